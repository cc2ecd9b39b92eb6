"""Records survive their JSON lines bit by bit, and a file that is none is refused by line."""

import json
import sys

import numpy as np
import pytest

from stablenn import floats
from stablenn.precision.record import Accuracy, Case, Record, Run


def accuracy(**changes):
    inputs = (np.float32([np.inf, -0.0, 1e-45, 0.1]), np.int32(7), np.asarray(1.5, floats.format_of("bfloat16").dtype))
    case = Case(inputs, 2, float("nan"), 1 / 3, float("inf"))
    fields = dict(
        quantity="value",
        dtype="float32",
        count=10,
        unproved=1,
        max_ulp=0.1 + 0.2,
        mean_ulp=1e-300,
        p99_ulp=1e308,
        max_scaled_ulp=None,
        wrong_specials=1,
        flushed=2,
        worst=(case,),
        binades={(-1, -126): 0.5, (1, 3): 8388608.0},
    )
    return Accuracy(**(fields | changes))


def test_a_run_survives_its_file(tmp_path):
    records = (
        Record("nn.f", "stablenn.nn:f", accuracy(), 2.5),
        Record("nn.f", "jax.nn:f", accuracy(max_scaled_ulp=0.7)),
    )
    run = Run({"jax": "1.2", "flushes_subnormals": {"float32": True}}, records)
    path = tmp_path / "run.jsonl"
    run.write(path)
    again = Run.read(path)
    assert again.provenance == run.provenance
    for old, new in zip(records, again.records, strict=True):
        assert (new.function, new.implementation, new.tolerance) == (old.function, old.implementation, old.tolerance)
        for name in ("max_ulp", "mean_ulp", "p99_ulp", "max_scaled_ulp", "binades", "count", "wrong_specials"):
            assert getattr(new.accuracy, name) == getattr(old.accuracy, name)
        for a, b in zip(old.accuracy.worst[0].inputs, new.accuracy.worst[0].inputs, strict=True):
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes()


def test_an_error_as_large_as_the_largest_float_is_written(tmp_path):
    path = tmp_path / "run.jsonl"
    Run({}, (Record("nn.f", "jax.nn:f", accuracy(binades={(1, 0): sys.float_info.max})),)).write(path)
    (found,) = Run.read(path).records[0].accuracy.binades.values()
    assert 0.99 * sys.float_info.max < found <= sys.float_info.max


def test_floats_are_written_as_hex(tmp_path):
    path = tmp_path / "run.jsonl"
    Run({}, (Record("nn.f", "stablenn.nn:f", accuracy()),)).write(path)
    line = json.loads(path.read_text().splitlines()[1])
    assert line["max_ulp"] == (0.1 + 0.2).hex()
    assert line["worst"][0]["inputs"][0]["values"][:2] == ["inf", "-0x0.0p+0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is not the header"),
        ('{"kind": "record"}\n', "line 1 is not the header"),
        ('{"kind": "run", "schema_version": 99}\n', "schema version 99, this stablenn reads 1"),
        ('{"kind": "run", "schema_version": 1}\n{"kind": "rec', "line 2 is not JSON"),
    ],
)
def test_what_is_no_run_is_refused(tmp_path, text, message):
    path = tmp_path / "run.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Run.read(path)


def test_a_wrong_special_breaks_every_tolerance():
    assert not Record("nn.f", "stablenn.nn:f", accuracy(), 1e9).within_tolerance
    assert Record("nn.f", "stablenn.nn:f", accuracy(wrong_specials=0), 0.5).within_tolerance
    assert not Record("nn.f", "stablenn.nn:f", accuracy(wrong_specials=0), 0.25).within_tolerance
    assert not Record("nn.f", "stablenn.nn:f", accuracy(wrong_specials=0, max_scaled_ulp=0.3), 0.25).within_tolerance
