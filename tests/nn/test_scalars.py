"""sigmoid, log_sigmoid and clipped_log: derivatives of every order, specials, dtypes and errors."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import NAMES, format_of, ulp_error

LOGISTIC = {
    "sigmoid": (nn.sigmoid, jax.nn.sigmoid, lambda x: 1 / (1 + jnp.exp(-x))),
    "log_sigmoid": (nn.log_sigmoid, jax.nn.log_sigmoid, lambda x: -jnp.log(1 + jnp.exp(-x))),
}
every_function = pytest.mark.parametrize("name", LOGISTIC)
GRID = np.float32([-87, -50, -17, -3, -1e-3, -1e-30, 0, 1e-30, 1e-3, 3, 17, 50, 87])


@every_function
def test_signatures_are_the_peers(name):
    ours, theirs, _ = LOGISTIC[name]
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@every_function
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_derivatives_of_every_order_are_accurate(name, order):
    ours, _, formula = LOGISTIC[name]
    for _ in range(order):
        ours, formula = jax.grad(ours), jax.grad(formula)
    truth = exact(formula, batched=True, wide=True, dtype="float32")(GRID)
    actual = np.asarray(jax.vmap(ours)(GRID))
    np.testing.assert_allclose(actual, truth, rtol=2e-6, atol=1e-7 if order > 1 else 1e-38)


@every_function
def test_infinities_have_their_limits(name):
    ours = LOGISTIC[name][0]
    x = np.float32([-np.inf, np.inf, np.nan])
    expected = {"sigmoid": ([0, 1, np.nan], [0, 0, np.nan]), "log_sigmoid": ([-np.inf, 0, np.nan], [1, 0, np.nan])}
    np.testing.assert_array_equal(ours(x), expected[name][0])
    np.testing.assert_array_equal(jax.vmap(jax.grad(ours))(x), expected[name][1])


@every_function
@pytest.mark.parametrize("dtype", NAMES)
def test_dtypes_are_kept(name, dtype):
    ours, _, formula = LOGISTIC[name]
    with jax.enable_x64(dtype == "float64"):
        x = np.linspace(-6, 6, 41).astype(format_of(dtype).dtype)
        out = ours(x)
        assert (out.dtype, jax.grad(lambda v: ours(v).sum())(x).dtype) == (x.dtype, x.dtype)
        truth = exact(formula, wide=True, dtype=dtype)(x)
        assert ulp_error(np.asarray(out), truth).max() <= (0.51 if format_of(dtype).bits == 16 else 3)
        assert ours(1).dtype == jnp.result_type(float)
        assert ours(1.0).weak_type


@every_function
def test_bad_input_is_named(name):
    with pytest.raises(TypeError, match=f"{name}: x must be real, got complex64"):
        LOGISTIC[name][0](jnp.ones(2, jnp.complex64))


def test_clipped_log_clips_the_value_and_the_derivative():
    x = np.float32([-1, 0, 0.25, 0.5, 1, 4, np.nan, np.inf])
    value, gradient = nn.clipped_log(x, 0.5), jax.vmap(jax.grad(lambda v: nn.clipped_log(v, 0.5)))(x)
    half = np.float32(np.log(0.5))
    np.testing.assert_allclose(value, [half, half, half, half, 0, np.log(4), np.nan, np.inf], rtol=1e-7)
    np.testing.assert_array_equal(gradient, [0, 0, 0, 2, 1, 0.25, np.nan, 0])


@pytest.mark.parametrize("dtype", NAMES)
def test_clipped_log_starts_at_the_smallest_normal_number(dtype):
    fmt = format_of(dtype)
    with jax.enable_x64(dtype == "float64"):
        out = nn.clipped_log(np.zeros(1, fmt.dtype))
        assert out.dtype == fmt.dtype
        truth = exact(jnp.log, dtype=dtype)(np.asarray(fmt.tiny).astype(fmt.dtype))
        assert ulp_error(np.asarray(out), truth).max() <= 1
        assert np.isfinite(
            np.asarray(jax.grad(lambda v: nn.clipped_log(v).sum())(jnp.full(1, fmt.tiny, fmt.dtype)), float)
        ).all()


def test_min_value_broadcasts_and_has_a_derivative():
    x, m = np.float32([[0.1], [2]]), np.float32([0.5, 1])
    assert nn.clipped_log(x, m).shape == (2, 2)
    gradient = jax.grad(lambda v: nn.clipped_log(x, v).sum())(m)
    np.testing.assert_array_equal(gradient, [2, 1])


@pytest.mark.parametrize("bad", [0, -1.0, float("nan")])
def test_a_min_value_that_is_not_positive_is_refused(bad):
    with pytest.raises(ValueError, match="min_value must be positive, got"):
        nn.clipped_log(jnp.ones(2), bad)


def test_complex_arguments_of_clipped_log_are_named():
    with pytest.raises(TypeError, match="x must be real, got complex64"):
        nn.clipped_log(jnp.ones(2, jnp.complex64))
    with pytest.raises(TypeError, match="min_value must be real, got complex64"):
        nn.clipped_log(jnp.ones(2), jnp.ones(2, jnp.complex64))
