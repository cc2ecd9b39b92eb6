"""Derivatives at zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import nn


def test_a_guarded_division_needs_no_second_where():
    """The usual mean of what a mask leaves over, of which nothing is left over."""

    def mean(x, mask):
        return nn.safe_divide(jnp.sum(x * mask), jnp.sum(mask))

    value, slope = jax.value_and_grad(mean)(jnp.ones(3), jnp.zeros(3))
    assert value == 0
    np.testing.assert_array_equal(slope, np.zeros(3))


@pytest.mark.parametrize("x", [0.0, -0.0])
def test_derivatives_of_every_order_vanish_at_zero(x):
    slopes = [nn.safe_sqrt, jax.grad(nn.safe_sqrt), jax.grad(jax.grad(nn.safe_sqrt))]
    assert [float(f(x)) for f in slopes] == [0, 0, 0]
    by_divisor = lambda y: nn.safe_divide(2.0, y)
    assert [float(f(x)) for f in (by_divisor, jax.grad(by_divisor), jax.grad(jax.grad(by_divisor)))] == [0, 0, 0]


def test_they_broadcast():
    out = nn.safe_divide(np.ones((3, 1), np.float32), np.float32([0, 2]))
    np.testing.assert_array_equal(out, np.broadcast_to(np.float32([0, 0.5]), (3, 2)))
    slopes = jax.grad(lambda x, y: nn.safe_divide(x, y).sum(), (0, 1))(jnp.ones((3, 1)), jnp.array([0.0, 2.0]))
    assert [slope.shape for slope in slopes] == [(3, 1), (2,)]
    np.testing.assert_array_equal(slopes[1], [0, -0.75])


def test_what_is_not_defined_stays_visible():
    assert np.isnan(nn.safe_sqrt(-1.0))
    assert np.isnan(nn.safe_divide(jnp.nan, 0.0))
    assert np.isnan(jax.grad(nn.safe_sqrt)(-1.0))


@pytest.mark.parametrize(("fn", "arguments"), [(nn.safe_sqrt, (1j,)), (nn.safe_divide, (1.0, 1j))])
def test_complex_input_is_refused(fn, arguments):
    with pytest.raises(TypeError, match=f"{fn.__name__}: . must be real"):
        fn(*arguments)
