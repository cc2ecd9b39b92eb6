"""What a report says, and in how many words."""

import jax
import jax.numpy as jnp

from stablenn import GradReport, grad_report
from stablenn.precision.gradients.report import Derivative


def derivative(**changes):
    known = dict(mode="rev", name="args[0]", analytic=1.0, numeric=1.0, exact=1.0, true=1.0)
    return Derivative(**(known | dict(relative_error=0.0, ulp=0.0, verdict="right") | changes))


def test_a_failure_is_told_first_with_its_verdict_and_what_that_means():
    text = str(grad_report(jax.nn.sigmoid, (jnp.array([0.0, 20.0]),), modes=("rev",)))
    lines = text.splitlines()
    assert lines[0] == "gradient check failed: 1 vanished of 2 derivatives"
    assert lines[3].split()[:3] == ["rev", "args[0][1]", "0"]
    assert "2.06115361e-09" in lines[3]
    assert "vanished (rounding)" in lines[3]
    assert "vanished: exactly zero where the true derivative is a normal number" in lines


def test_a_report_fits_a_terminal_and_says_how_much_it_leaves_out():
    report = GradReport(
        tuple(derivative(name=f"args[0]['a rather long name of a layer'][{i}]") for i in range(40)), {}
    )
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 118
    assert lines[-1] == "… and 28 more in .derivatives"


def test_numbers_that_are_not_known_are_dashes_and_nan_is_nan():
    text = str(
        GradReport((derivative(analytic=float("nan"), exact=float("nan"), verdict="invented"),), {"invented": 1})
    )
    assert text.splitlines()[3].split()[2:5] == ["nan", "1", "-"]


def test_ok_is_decided_by_the_counts_of_the_function_and_of_its_terms():
    good, bad = GradReport((), {"right": 3, "kink": 1, "inaccurate": 2}), GradReport((), {"right": 3, "wrong": 1})
    assert good.ok
    assert not bad.ok
    assert not GradReport((), {"right": 1}, terms={"data": bad}).ok
    assert str(good) == "gradient check passed: 3 of 6 derivatives right, 1 kink, 2 inaccurate"


def test_failures_are_those_that_fail():
    report = GradReport((derivative(verdict="wrong"), derivative(), derivative(verdict="kink")), {"wrong": 1})
    assert [d.verdict for d in report.failures] == ["wrong"]
