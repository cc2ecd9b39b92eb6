"""Sweeps: planted faults are found, healthy twins have none, an interrupted sweep ends with the same results."""

import json

import click
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import filtering
from benchmarks import sweep as command
from benchmarks.sweep import sweep
from stablenn import nn
from stablenn.precision.accuracy import Reference
from stablenn.precision.devices import find_device
from stablenn.precision.domain import Domain
from stablenn.precision.record import Run
from stablenn.precision.spec import SPECS, Convention, Spec

DEVICE = find_device()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks are filled up, which costs time where chunks are small."""
    monkeypatch.setattr(filtering, "BLOCK", 1 << 12)


ONE = int(np.float32(1).view(np.uint32))
WHERE = float(np.uint32(ONE + 12345).view(np.float32))


def spec_of(fn, definition=jnp.exp, domain="x: float in [1, 1.0078125]", **more):
    """By default over 2^16 + 1 inputs."""
    return Spec("nn.planted", fn, definition, "()->()", Domain.parse(domain), **more)


def swept(spec, folder, **kwargs):
    """The lines of a sweep by quantity, and its records."""
    path = folder / "sweep.jsonl"
    sweep([spec], path, DEVICE, **kwargs)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    records = Run.read(path).records
    return {line["quantity"]: line["sweep"] for line in lines}, {r.accuracy.quantity: r.accuracy for r in records}


def only_at(wrong, right=jnp.exp):
    return lambda x: jnp.where(x == WHERE, wrong(x), right(x))


def in_float32_only(wrong):
    return lambda x: wrong(x) if x.dtype == np.float32 else jnp.exp(x)


@pytest.mark.parametrize("precisions", [in_float32_only, lambda fn: fn], ids=["float32", "both precisions"])
@pytest.mark.parametrize(
    ("wrong", "field"),
    [(lambda x: 1.00001 * jnp.exp(x), "max_ulp"), (lambda x: x * jnp.nan, "specials"), (jnp.zeros_like, "zeros")],
)
def test_a_fault_at_one_single_input_is_found(tmp_path, wrong, field, precisions):
    details, accuracy = swept(spec_of(precisions(only_at(wrong))), tmp_path)
    value = accuracy["value"]
    assert float(value.worst[0].inputs[0]) == WHERE
    assert value.wrong_specials == (field == "specials")
    assert details["value"]["zeros"] == (field == "zeros")
    assert (value.judged_ulp > 50) and (value.max_ulp > 50) == (field != "specials")


def test_a_healthy_twin_has_the_figures_of_exact_evaluation(tmp_path):
    spec = spec_of(nn.softplus, lambda x: jnp.log(1 + jnp.exp(x)))
    details, accuracy = swept(spec, tmp_path)
    x = np.arange(ONE, ONE + 2**16 + 1, dtype=np.uint32).view(np.float32)
    for quantity in ("value", "gradient"):
        expected = Reference.of(spec.definition, spec.domain.with_dtype("float32"), (x,), "float32", quantity)
        expected = expected.judge(spec.fn, DEVICE)
        got = accuracy[quantity]
        assert (got.max_ulp, got.count, got.wrong_specials) == (expected.max_ulp, expected.count, 0)
        assert got.worst[0] == expected.worst[0]
        assert got.mean_ulp == pytest.approx(expected.mean_ulp, rel=1e-6)
        assert got.binades == pytest.approx(expected.binades, rel=2**-7)
        assert (details[quantity]["zeros"], details[quantity]["breaks"]) == (0, 0)
        assert float.fromhex(details[quantity]["filter_error"]) < 2**-20


def test_a_whole_line_is_judged_by_conventions_and_kinks(tmp_path):
    spec = next(spec for spec in SPECS if spec.name == "nn.safe_sqrt")
    details, accuracy = swept(spec, tmp_path, stride=1 << 15)
    assert [accuracy[q].wrong_specials for q in ("value", "gradient")] == [0, 0]
    assert max(accuracy[q].max_ulp for q in ("value", "gradient")) < 2
    assert details["value"]["subnormal_inputs_not_judged"] == 2 * (2**23 - 1)
    assert details["value"]["stride"] == 1 << 15
    blamed = Convention("1 instead of 0", applies=lambda x: x == 0, gradient=np.ones_like)
    _, wrong = swept(
        spec_of(spec.fn, spec.definition, "x: float in [0, 1e-30]", kinks=(blamed,)), tmp_path, stride=4096
    )
    assert wrong["gradient"].max_ulp > 1e6


def test_the_limits_at_infinity_and_nan_are_judged(tmp_path):
    stuck = lambda x: jnp.where(jnp.isinf(x) | jnp.isnan(x), 0, jnp.tanh(x))
    _, accuracy = swept(spec_of(stuck, jnp.tanh, "x: float"), tmp_path, stride=1 << 16)
    assert accuracy["value"].wrong_specials == 1  # at NaN
    assert accuracy["value"].max_ulp > 1e6  # at infinity


def test_scaled_errors_are_those_of_exact_evaluation(tmp_path):
    spec = spec_of(
        lambda x: x * x - 1, lambda x: x * x - 1, "x: float in [0.9990234375, 0.9999]", value_scale=lambda x: x * x
    )
    low = np.float32(0.9990234375).view(np.uint32)
    x = np.arange(low, np.float32(0.9999).view(np.uint32), dtype=np.uint32).view(np.float32)
    expected = Reference.of(
        spec.definition, spec.domain.with_dtype("float32"), (x,), "float32", scale=spec.value_scale
    )
    got = swept(spec, tmp_path)[1]["value"]
    assert got.max_scaled_ulp == expected.judge(spec.fn, DEVICE).max_scaled_ulp
    assert got.max_scaled_ulp < got.max_ulp


# --- interruptions -----------------------------------------------------------------------------------------------

SEVERAL_CHUNKS = spec_of(nn.sigmoid, lambda x: 1 / (1 + jnp.exp(-x)), "x: float in [-8, -1]")
CHUNKS = 2 * 4  # of value and gradient


def without_times(path):
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for line in lines:
        line.pop("started", None)
        line.get("sweep", {}).pop("started", None)
    return lines


def interrupted(spec, path, after, **kwargs):
    calls = []

    def progress(what, done, total):
        calls.append(what)
        if len(calls) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep([spec], path, DEVICE, progress=progress, **kwargs)


def test_an_interrupted_sweep_goes_on_and_ends_with_the_same_results(tmp_path, monkeypatch):
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    sweep([SEVERAL_CHUNKS], whole, DEVICE, stride=4096)
    interrupted(SEVERAL_CHUNKS, parts, 6, stride=4096)
    state = tmp_path / "parts.state"
    done = state.read_text(encoding="utf-8").splitlines()
    assert len(done) == 2  # the value is there, the gradient is not
    state.write_text("\n".join([*done, done[-1][:100]]), encoding="utf-8")  # torn while it was written

    examined = []
    examine = command.examine
    monkeypatch.setattr(command, "examine", lambda *args: examined.append(args[1]) or examine(*args))
    sweep([SEVERAL_CHUNKS], parts, DEVICE, stride=4096)
    assert len(examined) == CHUNKS - 6
    assert without_times(parts) == without_times(whole)
    assert not state.exists()

    examined.clear()
    sweep([SEVERAL_CHUNKS], parts, DEVICE, stride=4096)
    assert examined == []


def test_two_processes_find_what_one_finds(tmp_path):
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    spec = next(spec for spec in SPECS if spec.name == "nn.safe_sqrt")
    for path, workers in ((one, 1), (two, 2)):
        sweep([spec], path, DEVICE, stride=1 << 17, workers=workers)
    assert without_times(two) == without_times(one)


def test_results_and_progress_of_another_program_are_not_reused(tmp_path):
    path = tmp_path / "sweep.jsonl"
    good, bad = spec_of(jnp.exp), spec_of(only_at(jnp.zeros_like))
    sweep([good], path, DEVICE, stride=1)
    before = path.read_text(encoding="utf-8")
    interrupted(bad, path, 1)
    assert path.read_text(encoding="utf-8") == before
    sweep([good], path, DEVICE)
    assert path.read_text(encoding="utf-8") == before
    sweep([bad], path, DEVICE)
    assert Run.read(path).records[0].accuracy.max_ulp > 1e6


def test_progress_that_cannot_be_reproduced_is_refused(tmp_path):
    path = tmp_path / "sweep.jsonl"
    interrupted(SEVERAL_CHUNKS, path, 3, stride=4096)
    state = tmp_path / "sweep.state"
    entries = [json.loads(line) for line in state.read_text(encoding="utf-8").splitlines()]
    entries[0]["found"]["worst"][0][1] += 0.25
    state.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    with pytest.raises(click.ClickException, match=r"delete the \.state file"):
        sweep([SEVERAL_CHUNKS], path, DEVICE, stride=4096)


def test_results_of_another_version_are_not_overwritten(tmp_path):
    path = tmp_path / "sweep.jsonl"
    path.write_text('{"kind": "run", "jax": "0.0.1", "platform": "cpu-x86_64"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"holds results of jax 0\.0\.1"):
        sweep([SEVERAL_CHUNKS], path, DEVICE)


# --- the command -------------------------------------------------------------------------------------------------


def test_the_command_sweeps_what_it_is_asked_for(tmp_path, monkeypatch):
    other = next(spec for spec in SPECS if spec.name == "nn.softmax")
    monkeypatch.setattr(command, "SPECS", (spec_of(jnp.exp), other))
    path = tmp_path / "quick.jsonl"
    for functions in ([], ["--functions", "planted"]):
        options = ["--stride", "16", "--workers", "1", "--output", str(path)]
        result = CliRunner().invoke(command.main, [*functions, *options])
        assert result.exit_code == 0, result.output
        assert result.output.startswith("nn.planted value: ") is (functions == [])  # the second time it is there
    records = Run.read(path).records
    assert [r.accuracy.quantity for r in records] == ["value", "gradient"]
    assert all(r.function == "nn.planted" and r.is_ours and r.accuracy.dtype == "float32" for r in records)
    assert all(r.accuracy.count == 2**12 + 1 for r in records)


def test_the_command_knows_univariate_functions_only():
    result = CliRunner().invoke(command.main, ["--functions", "softmax"])
    assert result.exit_code == 1
    assert "unknown function 'softmax'" in result.output


@pytest.mark.parametrize(("stride", "quick"), [(1, False), (8, True)])
def test_only_a_whole_sweep_is_a_result_of_record(stride, quick):
    path = command.default_output(DEVICE, stride)
    assert path.name.startswith("quick-sweep-" if quick else "sweep-")
    assert (path.parent.name == "results") is not quick
