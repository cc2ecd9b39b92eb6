"""Float64 differences and exact ones, beside derivatives that are known."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from stablenn.precision.gradients import probes
from stablenn.precision.gradients.differences import differentiate
from stablenn.precision.gradients.exactly import ExactDerivatives
from stablenn.precision.gradients.program import Program
from stablenn.precision.gradients.witness import Witness


def by_element(fn, x, dtype="float64", position=0):
    """The float64 difference of `fn` by one element, with its error."""
    with jax.enable_x64(True):
        program = Program(fn, (jnp.asarray(x, dtype),))
        witness = Witness(program, ExactDerivatives(program, 0), np.random.default_rng(0))
        return witness.difference(position)


@pytest.mark.parametrize(
    ("fn", "formula", "x"),
    [
        (jnp.square, lambda x: 2 * x, 1e6),
        (jnp.exp, mpmath.exp, 50.0),
        (jnp.exp, mpmath.exp, -700.0),
        (jnp.sqrt, lambda x: 1 / (2 * mpmath.sqrt(x)), 1e-5),
        (jnp.log, lambda x: 1 / mpmath.mpf(x), 1e-30),
        (lambda x: jnp.sin(1000 * x), lambda x: 1000 * mpmath.cos(1000 * mpmath.mpf(x)), 0.3),
        (lambda x: 1 / x, lambda x: -1 / mpmath.mpf(x) ** 2, 1e-150),
        (jnp.tanh, lambda x: mpmath.sech(x) ** 2, 1e-4),
        (lambda x: x**20, lambda x: 20 * mpmath.mpf(x) ** 19, 1.5),
        (lambda x: jnp.where(x > 1, x**2, 2 * x - 1), lambda x: 2 * max(mpmath.mpf(x), 1), 1.0),
        (lambda x: jnp.maximum(x, 0.7), lambda x: 1, 0.7 + 1e-7),
    ],
)
def test_the_difference_is_right_within_its_own_estimate(fn, formula, x):
    found = by_element(fn, x)
    with mpmath.workdps(40):
        right = float(formula(x))
    assert not found.kink[0]
    assert abs(found.value[0] - right) <= 2 * found.error[0] + 1e-15 * abs(right)
    assert found.error[0] <= 1e-4 * abs(right)


def test_the_estimate_is_honest_where_differences_know_nothing():
    found = by_element(lambda x: (1e20 + x) - 1e20, 1e-10)
    assert found.error[0] > 1  # all differences are zero


@pytest.mark.parametrize("fn", [jnp.sqrt, lambda x: jnp.where(x < 0, jnp.nan, x + 1)])
def test_at_the_edge_of_the_domain_one_side_is_enough(fn):
    found = by_element(fn, 0.0)
    assert not np.isnan(found.right[0])
    assert not found.kink[0]


def test_a_tiny_element_beside_large_ones_is_differenced_on_its_own_scale():
    found = by_element(lambda x: jnp.sum(jnp.log(x)), [1e-9, 1.0, 1e6])
    assert found.value[0] == pytest.approx(1e9, rel=1e-6)


def test_steps_are_exact_so_that_a_linear_function_has_an_exact_difference():
    found = by_element(lambda x: 3 * x, 0.1, "float32")
    assert found.value[0] == 3.0


def test_exact_differences_are_those_of_the_value_and_not_of_its_rules():
    @jax.custom_jvp
    def wrong(x):
        return jnp.exp(x)

    wrong.defjvp(lambda primals, tangents: (wrong(*primals), 2 * tangents[0]))
    program = Program(lambda x: jax.lax.stop_gradient(x) * wrong(x), (jnp.float32(3.0),))
    exact = ExactDerivatives(program, np.inf)
    with mpmath.workdps(40):
        right = float(4 * mpmath.exp(3))
    assert exact.own("rev", np.ones(1))[0] == right
    assert exact.along(np.ones(1)).value[0] == right
    assert exact.rule("rev", np.ones(1))[0] == 6.0


def test_exact_sides_of_a_kink_and_of_no_kink():
    program = Program(lambda x: jnp.abs(x - 1), (jnp.float32([1.0, np.nextafter(np.float32(1), np.float32(2))]),))
    exact = ExactDerivatives(program, np.inf)
    sides = exact.along(np.array([1.0, 1.0]))
    assert sides.left.tolist() == [-1, 1]
    assert sides.right.tolist() == [1, 1]
    assert sides.kink.tolist() == [True, False]


def test_no_element_crosses_zero_on_an_exact_line():
    program = Program(lambda x: 1 / x, (jnp.float32([1e-15, 1e15]),))
    sides = ExactDerivatives(program, np.inf).along(np.ones(2))
    right = [-(float(x) ** -2) for x in np.float32([1e-15, 1e15])]
    assert sides.value.tolist() == pytest.approx(right, rel=1e-12)


def test_programs_that_are_too_large_or_have_no_rule_say_why():
    program = Program(lambda x: jnp.sum(jnp.linalg.inv(x)), (jnp.eye(2),))
    exact = ExactDerivatives(program, np.inf)
    assert exact.own("rev", np.ones(1)) is None
    assert "lu" in exact.why_not
    assert "too many" in ExactDerivatives(program, 1).why_not
    assert ExactDerivatives(program, 0).why_not == "switched off"


def test_a_line_through_an_element_moves_by_the_size_of_its_leaf():
    program = Program(jnp.sum, (jnp.array([1e-6, 3.0, 0.0]),))
    line, smallest = probes.line_through(0, program.arguments, program.at)
    assert line.tolist() == [1.0, 0.0, 0.0]
    assert smallest == pytest.approx(1e-6)
    found = differentiate(program, line, smallest, np.zeros(1))
    assert found.value[0] == 1.0
