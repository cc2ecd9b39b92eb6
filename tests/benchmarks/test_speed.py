"""The benchmark of speed compares what is comparable."""

from __future__ import annotations

import click
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import speed, speed_cases
from stablenn.precision.spec import SPECS


def test_functions_that_differ_are_not_compared():
    case = speed_cases.Case(jnp.tanh, jnp.sin, (np.asarray,))
    same, different = (speed.calls_of(c, "value", (4, 5), "float32") for c in (case._replace(theirs=jnp.tanh), case))
    speed.require_same("tanh", same)
    with pytest.raises(click.ClickException, match="tanh: the peer's values are not ours"):
        speed.require_same("tanh", different)


def test_every_function_of_the_kit_has_a_case():
    kit = {spec.name.removeprefix("nn.") for spec in SPECS if spec.name.startswith("nn.")}
    assert kit <= speed_cases.CASES.keys()


def test_a_ratio_is_theirs_over_ours_and_the_floor_is_beside_it():
    times = speed.Times([2.0, 1.0, 2.0], [4.0, 4.0, 2.0], [1.0, 0.5, 1.0])
    assert times.ratio == 2
    assert times.above_floor == 2
    assert times.spread == (1, 4)


def test_the_calls_take_turns_and_the_first_round_does_not_count():
    calls = []
    times = speed.interleave(
        [lambda: calls.append("ours"), lambda: calls.append("theirs"), lambda: calls.append("")], 2
    )
    assert calls == ["ours", "theirs", ""] * 3
    assert [len(seconds) for seconds in times] == [2, 2, 2]


def test_of_a_loss_the_mean_is_timed_and_its_value_with_the_gradient():
    case = speed_cases.CASES["losses.softmax_cross_entropy_with_integer_labels"]
    calls = speed.calls_of(case, "gradient", (4, 5), "bfloat16")
    logits, labels = calls.arguments
    assert (logits.dtype, labels.dtype, labels.shape) == (jnp.bfloat16, jnp.int32, (4,))
    for fn in (calls.ours, calls.theirs):
        loss, gradient = fn(logits, labels)
        assert (loss.shape, gradient.shape) == ((), (4, 5))
        np.testing.assert_allclose(np.float32(gradient).sum(), 0, atol=0.01)
    assert all(mebibytes >= 0 for mebibytes in calls.memory)


def test_the_table_has_a_row_for_each_function_dtype_and_shape(tmp_path, monkeypatch):
    monkeypatch.setitem(speed_cases.SHAPES, "square", (3, 5))
    path = tmp_path / "speed.md"
    result = CliRunner().invoke(
        speed.main,
        ["--functions", "sigmoid,softmax", "--shapes", "square", "--rounds", "9", "--markdown", str(path)],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    rows = [line.split(" | ") for line in path.read_text().splitlines() if "3x5" in line]
    assert [row[0] for row in rows] == ["| sigmoid", "| softmax"]
    assert all(float(row[3]) > 0 and float(row[6]) > 0 for row in rows)
