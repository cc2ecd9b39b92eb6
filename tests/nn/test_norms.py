"""norm over axes, of every order, and with derivatives where others have none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import nn

X = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1,)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes_are_those_of_the_peer(axis, keepdims):
    expected = np.sqrt(np.sum(X.astype(np.float64) ** 2, axis, keepdims=keepdims))
    out = nn.norm(X, axis=axis, keepdims=keepdims)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out, expected, rtol=3e-7)


@pytest.mark.parametrize(
    ("ord", "axis"), [(1, 1), (np.inf, 0), (-np.inf, 0), (0, 2), (3, 1), ("nuc", (0, 1)), (2, (1, 2))]
)
def test_other_orders_are_those_of_the_peer(ord, axis):
    np.testing.assert_array_equal(nn.norm(X, ord, axis), jnp.linalg.norm(X, ord, axis))


@pytest.mark.parametrize(("ord", "axis"), [(2, 1), ("fro", (0, 2)), (None, (0, 2))])
def test_euclidean_norms_by_other_names_are_scaled_as_well(ord, axis):
    out = nn.norm(1e30 * X, ord, axis)
    np.testing.assert_allclose(out, 1e30 * np.sqrt(np.sum(X.astype(np.float64) ** 2, axis)), rtol=4e-7)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0)])
def test_small_shapes_have_a_norm(shape):
    x = jnp.full(shape, -3.0)
    assert nn.norm(x) == (3 if x.size else 0)
    assert jax.grad(nn.norm)(x).shape == shape


def test_integers_become_floats():
    assert nn.norm(jnp.array([3, 4])) == 5.0


@pytest.mark.parametrize("scale", [1e-37, 1e-25, 1.0, 1e20, 1e38])
def test_gradients_are_directions_at_every_magnitude(scale):
    x = np.float32([0.6, -0.8]) * np.float32(scale)
    np.testing.assert_allclose(jax.grad(nn.norm)(x), [0.6, -0.8], rtol=4e-7)


def test_a_zero_row_among_others_has_a_zero_gradient():
    x = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    slope = jax.grad(lambda x: nn.norm(x, axis=1).sum())(x)
    np.testing.assert_allclose(slope, [[0, 0], [0.6, 0.8]], rtol=1e-6)


def test_zero_has_finite_second_derivatives():
    np.testing.assert_array_equal(jax.hessian(nn.norm)(jnp.zeros(2)), np.zeros((2, 2)))


@pytest.mark.parametrize("axis", [3, (0, 1, 2), -4])
def test_axes_that_do_not_fit_are_named(axis):
    with pytest.raises(ValueError, match="norm: "):
        nn.norm(X, axis=axis)


def test_complex_input_is_refused():
    for ord in (None, 1):
        with pytest.raises(TypeError, match="norm: x must be real, got complex64"):
            nn.norm(jnp.ones(2, jnp.complex64), ord)
