"""Exponentials and logarithms in two words: as accurate as stated, whatever XLA contracts and fuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact
from stablenn.floats import ulp_error
from stablenn.nn._elementary import exponential, logarithm
from stablenn.nn._elementary.slopes import with_slope
from stablenn.nn._elementary.tiny_factors import TinyFactor
from stablenn.nn._elementary.words import Words, divide, product, quotient, single, square, two_sum
from stablenn.nn.logistic import gated

FUNCTIONS = {
    "exp": (exponential.exp, jnp.exp, 0.75),
    "expm1": (exponential.expm1, jnp.expm1, 1.5),
    "log": (logarithm.log, jnp.log, 0.75),
    "log1p": (lambda x: logarithm.log1p(Words(x, jnp.zeros_like(x))), jnp.log1p, 0.75),
}
EVERY = pytest.mark.parametrize("name", FUNCTIONS)


def inputs(name, dtype):
    rng = np.random.default_rng(1)
    near_zero = rng.choice([-1, 1], 3000) * 10.0 ** rng.uniform(-12, 0, 3000)
    if name == "log":
        return np.concatenate([2.0 ** near_zero[np.abs(near_zero) > 1e-6], 10.0 ** rng.uniform(-30, 30, 3000)]).astype(
            dtype
        )
    ends = (-60, 40) if name != "log1p" else (-0.999, 3)
    return np.concatenate([near_zero, rng.uniform(*ends, 3000)]).astype(dtype)


@EVERY
def test_the_words_hold_more_than_a_float_does(name):
    fn, formula, bound = FUNCTIONS[name]
    x = inputs(name, np.float32)
    right = exact(formula, wide=True, dtype="float64", batched=True)(x)
    high, low = (np.asarray(word, np.float64) for word in jax.jit(fn)(x))
    assert np.abs((high + low) / right - 1).max() <= (bound - 0.5) * 2.0**-23
    assert (np.abs(low) <= np.spacing(np.float32(np.abs(high)))).all()


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounded_they_are_accurate(name, dtype):
    fn, formula, bound = FUNCTIONS[name]
    x = inputs(name, dtype)
    with jax.enable_x64(dtype == "float64"):
        actual = np.asarray(jax.jit(lambda x: fn(x).rounded)(x))
    assert (
        ulp_error(actual, exact(formula, wide=True, dtype=dtype, batched=True).truth(x)[0], flush=True).max() <= bound
    )


def test_sums_and_products_lose_nothing():
    a, b = np.random.default_rng(2).standard_normal((2, 10_000)).astype(np.float32)
    for fn, right in [
        (two_sum, np.float64(a) + b),
        (product, np.float64(a) * b),
        (lambda a, b: square(a), np.float64(a) ** 2),
    ]:
        high, low = (np.asarray(word, np.float64) for word in jax.jit(fn)(a, b))
        np.testing.assert_allclose(high + low, right, rtol=2.0**-33)


def test_a_quotient_is_within_one_ulp():
    a, b = np.random.default_rng(3).uniform(1, 2, (2, 10_000)) * [[1.0], [-1.0]]
    parts = [np.float32(v) for v in (a, b)]
    rests = [np.float32(v - p) for v, p in zip((a, b), parts, strict=True)]
    actual = jax.jit(lambda a, da, b, db: divide(Words(a, da), Words(b, db)))(parts[0], rests[0], parts[1], rests[1])
    assert (np.abs(actual - a / b) <= 1.01 * np.spacing(np.float32(np.abs(a / b)))).all()


def test_a_quotient_in_two_words_loses_nothing():
    a, b = np.random.default_rng(4).uniform(1, 2, (2, 10_000)).astype(np.float32)
    high, low = (np.asarray(word, np.float64) for word in jax.jit(quotient)(single(a), b))
    np.testing.assert_allclose(high + low, np.float64(a) / b, rtol=2.0**-33)
    np.testing.assert_array_equal(quotient(single(jnp.float32([2, 0])), jnp.float32([np.inf, np.inf])).rounded, [0, 0])


def test_words_stay_exact_where_their_parts_are_computed_in_different_kernels():
    x = inputs("expm1", np.float32)
    high, low, _ = jax.jit(lambda x: (*exponential.expm1(x), jnp.cumsum(exponential.expm1(x).low)))(x)
    right = exact(jnp.expm1, wide=True, dtype="float64", batched=True)(x)
    assert np.abs((np.float64(high) + np.float64(low)) / right - 1).max() <= 2.0**-23


@EVERY
def test_derivatives_are_those_of_the_function(name):
    """Up to a few digits: bit patterns have the slopes they stand for."""
    fn, right = FUNCTIONS[name][:2]
    for derivative in (jax.grad, jax.jacfwd):
        found = jax.jit(derivative(lambda x: sum(fn(x))))(jnp.float32(0.5))
        np.testing.assert_allclose(found, jax.grad(right)(0.5), rtol=1e-5)


def test_a_slope_takes_the_place_of_a_derivative():
    def counted(x):
        """floor(x), with the derivatives of x^2 / 2."""
        return with_slope(jnp.floor(x), x, x)

    x = jnp.array([0.5, 2.5])
    np.testing.assert_array_equal(counted(x), [0, 2])
    for first in (jax.vmap(jax.grad(counted)), jax.grad(lambda x: counted(x).sum())):
        np.testing.assert_array_equal(jax.jit(first)(x), x)
    np.testing.assert_array_equal(jax.vmap(jax.grad(jax.grad(counted)))(x), [1, 1])
    by_rows = jax.vmap(lambda x: with_slope(jnp.float32(3), x, jnp.float32(5)), out_axes=-1)
    np.testing.assert_array_equal(by_rows(x), [3, 3])
    np.testing.assert_array_equal(jax.jacfwd(by_rows)(x), 5 * np.eye(2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_tiny_factor_meets_every_factor(dtype):
    info = np.finfo(dtype)
    exponents = np.array([0, -1, -40, -100, -149, -200, 2 * info.minexp - 1])
    with jax.enable_x64(dtype == "float64"):
        mantissa = jnp.full(len(exponents), 1.25, dtype)
        tiny = jax.jit(TinyFactor.of)(mantissa, jnp.array(exponents, dtype))
        for factor in (np.array(info.max), np.array(info.max) / 3, np.array(1.0, dtype)):
            right = np.where(exponents == exponents.min(), 0, np.ldexp(np.longdouble(1.25) * factor, exponents))
            actual = np.asarray(tiny.times(jnp.array(factor, dtype)))
            with np.errstate(over="ignore"):
                right = np.where(right < info.tiny, 0, right).astype(dtype)
            np.testing.assert_allclose(actual, right, rtol=info.eps)
        assert np.isnan(tiny.times(jnp.array(np.nan, dtype))).all()
        assert (tiny.times(jnp.array(np.inf, dtype)) == np.inf).all()


def test_products_with_a_tiny_factor_are_differentiable_where_jax_takes_rules_apart():
    second = jax.jit(jax.hessian(lambda v: gated(v[0], v[1])))(jnp.float32([0.3, -0.7]))
    expected = exact(jax.hessian(lambda v: v[0] / (1 + jnp.exp(-v[1]))), wide=True, dtype="float32")(
        np.float32([0.3, -0.7])
    )
    np.testing.assert_allclose(second, expected, rtol=1e-6)
