"""Figures of record: the worst of runs and sweeps, in documentation and tolerances alike."""

import dataclasses
import json

import pytest
from click.testing import CliRunner

from benchmarks import figures, render, tolerances
from benchmarks.figures import Place
from stablenn.precision.record import QUANTITIES, Accuracy, Record, Run
from stablenn.precision.spec import SPECS

SOFTPLUS = "stablenn.nn:softplus"


def record(ulp, dtype="float32", quantity="value", implementation=SOFTPLUS, specials=0):
    accuracy = Accuracy(quantity, dtype, 100, 0, ulp, 0.25, 0.5, None, specials, 0, (), {})
    return Record("nn.softplus", implementation, accuracy)


def write(folder, name, *records, jax="0.10.2", platform="cpu-x86_64"):
    Run({"jax": jax, "platform": platform}, records).write(folder / name)


@pytest.fixture
def folder(tmp_path):
    """A run and a sweep of one version, and the run of another; the sweep found more in the value, less elsewhere."""
    run = [record(1.5, dtype, q) for dtype in ("float64", "float32", "float16", "bfloat16") for q in QUANTITIES]
    write(tmp_path, "cpu-x86_64-jax-0.10.2.jsonl", *run, record(9.0, implementation="jax.nn:softplus"))
    write(tmp_path, "cpu-x86_64-jax-0.12.0.1.jsonl", *run, jax="0.12.0.1")
    write(tmp_path, "sweep-cpu-x86_64-jax-0.10.2.jsonl", record(2.5), record(1.25, quantity="gradient"))
    write(tmp_path, "quick-sweep-cpu-x86_64-jax-0.10.2.stride-8.jsonl", record(100.0))
    return tmp_path


def test_the_worse_of_run_and_sweep_counts(folder):
    first, second = figures.of_record(folder)
    assert (first.provenance["jax"], second.provenance["jax"]) == ("0.10.2", "0.12.0.1")
    ours = figures.worst(first.records)
    assert ours[Place("nn.softplus", "value", "float32")].accuracy.max_ulp == 2.5
    assert ours[Place("nn.softplus", "gradient", "float32")].accuracy.max_ulp == 1.5
    assert ours[Place("nn.softplus", "value", "float64")].accuracy.max_ulp == 1.5
    assert figures.worst(second.records)[Place("nn.softplus", "value", "float32")].accuracy.max_ulp == 1.5
    assert len(first.records) == 2 * 4 + 1  # each once, and the peer


def test_a_wrong_special_is_worse_than_any_error():
    found = figures.worst([record(0.5, specials=1), record(99.0)])
    assert [r.accuracy.wrong_specials for r in found.values()] == [1]


def test_of_several_seeds_the_worst_counts_for_each_implementation(folder):
    peers = record(11.0, implementation="jax.nn:softplus"), record(7.0, implementation="jax.nn:soft_sign")
    write(folder, "cpu-x86_64-jax-0.10.2-seed-1.jsonl", record(2.75), record(1.0, quantity="gradient"), *peers)
    first, _ = figures.of_record(folder)
    found = {
        (r.implementation, r.accuracy.quantity): r.accuracy.max_ulp for r in first.records if "32" in r.accuracy.dtype
    }
    assert found == {
        (SOFTPLUS, "value"): 2.75,
        (SOFTPLUS, "gradient"): 1.5,
        ("jax.nn:softplus", "value"): 11.0,
        ("jax.nn:soft_sign", "value"): 7.0,
    }


def test_documentation_shows_what_a_sweep_found(folder):
    first, second = figures.of_record(folder)
    paragraph = render.paragraph("nn.softplus", figures.worst([*first.records, *second.records]), "1 and 2")
    assert "float64 1.5 / 1.5, float32 2.5 / 1.5," in paragraph
    (row,) = [line for line in render.markdown_table(first).splitlines() if "| float32 |" in line]
    assert row.startswith("| nn.softplus | float32 | 2.5 | 9.0 | 1.5 | - |")


@pytest.fixture
def table(tmp_path, monkeypatch):
    def rows(measured):
        bar = {"function": "nn.softplus", "quantity": "value", "dtype": "float32", "jax": "*", "platform": "*"}
        text = [{**bar, "max_ulp": 3.0}]
        if measured is not None:
            text.append({**bar, "jax": "0.10.2", "platform": "cpu-x86_64", "max_ulp": measured})
        path.write_text(json.dumps({"schema_version": 1, "rows": text}), encoding="utf-8")

    path = tmp_path / "tolerances.json"
    monkeypatch.setattr(tolerances, "TABLE", path)
    return path, rows


@pytest.mark.parametrize(
    ("measured", "options", "expected"),
    [(None, (), 3.0), (2.0, (), 2.0), (2.0, ("--loosen", "swept"), 3.0), (5.0, (), 3.0)],
)
@pytest.mark.parametrize("order", [1, -1])
def test_a_tolerance_covers_run_and_sweep_in_any_order(tmp_path, table, measured, options, expected, order):
    path, rows = table
    rows(measured)
    write(tmp_path, "cpu.jsonl", record(1.0))
    write(tmp_path, "sweep.jsonl", record(2.5))
    files = [str(tmp_path / name) for name in ("cpu.jsonl", "sweep.jsonl")][::order]
    result = CliRunner().invoke(tolerances.main, [*options, *files], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = {row["jax"]: row for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}
    assert found["0.10.2"]["max_ulp"] == expected
    assert found["*"]["max_ulp"] == 3.0
    assert ("kept 2.0" in result.output) == (measured == 2.0 and not options)


def test_records_of_several_platforms_stay_apart(tmp_path):
    write(tmp_path, "a.jsonl", record(1.0))
    write(tmp_path, "b.jsonl", record(2.0), platform="cpu-aarch64")
    runs = figures.by_version(tmp_path.glob("*.jsonl"))
    assert [run.records for run in runs] == [(record(1.0),), (record(2.0),)]


def test_what_a_sweep_writes_is_a_run(tmp_path):
    write(tmp_path, "sweep.jsonl", record(1.0))
    text = (tmp_path / "sweep.jsonl").read_text(encoding="utf-8").replace('"kind": "record"', '"sweep": {"stride": 1}')
    (tmp_path / "sweep.jsonl").write_text(text, encoding="utf-8")
    assert Run.read(tmp_path / "sweep.jsonl").records == (dataclasses.replace(record(1.0), tolerance=None),)


def test_the_truth_is_proved_in_every_committed_record():
    records = [record for run in figures.of_record() for record in run.records]
    assert {record.function for record in records} >= {spec.name for spec in SPECS}
    assert [record.function for record in records if record.accuracy.unproved] == []
