"""What a broken law prints can be read, and its last line computes the same number again."""

import dataclasses
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import floats
from stablenn.precision.spec import SPECS
from stablenn.testing.laws import LAWS, LawViolation
from stablenn.testing.laws.verdict import GOOD, Verdict, most_above, worst

SPEC = {spec.name: spec for spec in SPECS}
LAW = {law.name: law for law in LAWS}


def violation(law, name, fn, dtype="float32"):
    with pytest.raises(LawViolation) as caught:
        LAW[law].hold(dataclasses.replace(SPEC[name], fn=fn), dtype)
    return caught.value


def run(line):
    """What a line prints in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("dtype", floats.NAMES)
def test_a_violation_says_where_what_and_how_to_see_it_again(dtype):
    error = violation("relations", "nn.logsumexp", jnp.max, dtype)
    lines = str(error).splitlines()
    assert len(lines) <= 12
    assert lines[0].startswith(f"nn.logsumexp in {dtype} breaks the law of relations")
    assert error.verdict.computed.hex() in str(error)
    assert error.verdict.right.hex() in str(error)
    assert float(run(lines[-1].strip())) == pytest.approx(error.verdict.computed, rel=1e-7)


def test_the_line_reproduces_a_gradient():
    error = violation("accuracy", "nn.sigmoid", jax.nn.sigmoid)
    assert error.subject.aspect == "gradient"
    shown = run(str(error).splitlines()[-1].strip())
    found = float(shown.removeprefix("(Array(").split(",")[0])
    assert found == pytest.approx(error.verdict.computed, rel=1e-6)


def test_the_line_reproduces_a_variant_of_a_function():
    spec = SPEC["nn.logsumexp_with_factors"]
    error = violation("accuracy", spec.name, spec.load("jax.scipy.special:logsumexp"))
    shown = run(str(error).splitlines()[-1].strip())
    assert f"{error.verdict.computed:.5g}"[:6] in shown


def test_the_worst_is_that_furthest_beyond_what_is_allowed():
    verdicts = [Verdict(3, 1), Verdict(100, 50), GOOD, Verdict(4, 1)]
    assert worst(verdicts) == Verdict(4, 1)
    assert worst([]) == GOOD
    assert Verdict(np.inf, 0.0).excess == np.inf
    assert Verdict(1.0, 0.0).excess == np.inf
    assert Verdict(0.0, 0.0).excess == 0.0


def test_an_excess_is_counted_in_ulps_of_the_larger_number():
    one = np.array([[1.0], [1.0]], np.float32)
    more = np.array([[1.0], [1.0 + 3 * 2.0**-23]], np.float32)
    inputs = (np.array([10.0, 20.0], np.float32),)
    verdict = most_above(more, one, 2.0, inputs)
    assert (verdict.error, verdict.excess, verdict.inputs[0]) == (3.0, 1.5, 20.0)
    assert most_above(one, more, 2.0, inputs).error == 0
    scaled = most_above(more, one, 2.0, inputs, scale=np.full((2, 1), 4.0))
    assert scaled.error == 0.75


def test_numbers_that_a_device_may_flush_are_no_excess():
    tiny = np.array([[1e-39]], np.float32)
    assert most_above(tiny, -tiny, 0.0, (np.zeros(1, np.float32),)).error == 0
