"""logmeanexp, logsubexp, logcumsumexp: long rows, limits, masks, near equality, arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import ulp, ulp_error

inf, nan = np.inf, np.nan
SIZES = pytest.mark.parametrize("size", [1, 2, 3, 8, 17, 1000])


def mean(x):
    return jnp.log(jnp.sum(jnp.exp(x)) / x.shape[-1])


def sums(x):
    return jnp.log(jnp.cumsum(jnp.exp(x)))


def row(size, seed):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(size) * 10.0 ** rng.uniform(-4, 2) + rng.choice([0, 0, 100])).astype(np.float32)


VALUES = jax.jit(lambda x: (nn.logmeanexp(x), nn.logcumsumexp(x)))
SLOPES = jax.jit(lambda x: (jax.grad(nn.logmeanexp)(x), jax.grad(lambda x: nn.logcumsumexp(x)[-1])(x)))


@SIZES
def test_rows_of_any_length(size):
    for seed in range(12 if size < 100 else 3):
        x = row(size, seed)
        for value, definition in zip(VALUES(x), (mean, sums), strict=True):
            expected = exact(definition, wide=True, dtype="float64")(x)
            scale = np.maximum(np.abs(expected), np.abs(x).max())
            assert (np.abs(np.asarray(value, np.float64) - expected) <= 1.05 * ulp(scale, "float32")).all()
        right = exact(jax.grad(mean), wide=True, dtype="float32")(x)
        for slope in SLOPES(x):
            assert ulp_error(np.asarray(slope), right, flush=True).max() <= 7


def test_small_numbers_before_large_ones():
    x = np.float32([-1e8, -1e8, -50, -51, 0, 90, 1e8])
    expected = exact(sums, wide=True, dtype="float32")(x)
    assert ulp_error(np.asarray(nn.logcumsumexp(x)), expected).max() <= 1
    jacobian = exact(jax.jacfwd(sums), wide=True, dtype="float32")(x)
    for found in (jax.jacrev(nn.logcumsumexp)(x), jax.jacfwd(nn.logcumsumexp)(x)):
        assert ulp_error(np.asarray(found), jacobian, flush=True).max() <= 4


def test_sums_that_begin_with_nothing():
    x = jnp.float32([-inf, -inf, 0, inf, 1])
    np.testing.assert_array_equal(nn.logcumsumexp(x), [-inf, -inf, 0, inf, inf])
    np.testing.assert_array_equal(
        jax.jacrev(nn.logcumsumexp)(x),
        [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0]],
    )
    np.testing.assert_array_equal(nn.logcumsumexp(jnp.float32([0, nan, 1])), [0, nan, nan])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("reverse", [False, True])
def test_cumulative_arguments_are_those_of_jax(axis, reverse):
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    peer = jax.lax.cumlogsumexp(x, axis=axis % 2, reverse=reverse)
    np.testing.assert_allclose(nn.logcumsumexp(x, axis, reverse), peer, rtol=1e-6)
    with pytest.raises(ValueError, match="axis 2 is out of bounds"):
        nn.logcumsumexp(x, 2)


def test_the_mean_of_numbers_near_zero_keeps_its_digits():
    for scale in (1e-36, 1e-30, 1e-10, 1e-4, 0.1, 0.34, 1, 3):
        x = np.float32([-1, 0.5, 1, 0.25, -0.125]) * np.float32(scale)
        expected = exact(mean, wide=True, dtype="float64")(x)
        assert abs(float(nn.logmeanexp(x)) - expected) <= ulp(np.abs(x).max(), "float32")


@pytest.mark.parametrize(
    ("x", "where", "expected"),
    [
        ([-inf, -inf], None, -inf),
        ([inf, 0], None, inf),
        ([nan, 0], None, nan),
        ([-inf, 0], None, -np.log(2)),
        ([nan, 0], [False, True], 0),
        ([1, 2], [False, False], nan),
    ],
)
def test_limits_of_means(x, where, expected):
    where = None if where is None else jnp.array(where)
    np.testing.assert_allclose(nn.logmeanexp(jnp.float32(x), where=where), expected, rtol=1e-7)
    assert not np.any(jax.grad(lambda x: nn.logmeanexp(x, where=where))(jnp.float32([-inf, -inf])))


def test_differences_near_equality():
    x1 = np.float32([0.3, 1, 1e4, 3, 1e-30, 2e-38])
    for steps in (1, 2, 7, 1000):
        x2 = x1.copy()
        for _ in range(steps):
            x2 = np.nextafter(x2, np.float32(-inf))
        definition = lambda x1, x2: jnp.log(jnp.exp(x1) - jnp.exp(x2))
        value, slopes = exact(jax.value_and_grad(definition, (0, 1)), wide=True, dtype="float64", batched=True)(x1, x2)
        found, by = jax.vmap(jax.value_and_grad(nn.logsubexp, (0, 1)))(x1, x2)
        assert (np.abs(found - value) <= ulp(np.maximum(np.abs(value), np.abs(x1)), "float32")).all()
        for actual, right in zip(by, slopes, strict=True):
            finite = np.abs(right) < np.finfo(np.float32).max
            np.testing.assert_allclose(actual[finite], right[finite], rtol=2.5e-7)


def test_limits_of_differences():
    x1, x2 = np.float32([1, -inf, inf, 0, nan, 3, inf]), np.float32([1, -inf, inf, 1, 0, -inf, 3])
    np.testing.assert_array_equal(nn.logsubexp(x1, x2), [-inf, -inf, nan, nan, nan, 3, inf])


def test_complex_arguments_are_refused_by_name():
    z = jnp.ones(2, jnp.complex64)
    for fn, name in ((nn.logmeanexp, "x"), (nn.logcumsumexp, "operand")):
        with pytest.raises(TypeError, match=rf"^{fn.__name__}: {name} must be real, got complex64"):
            fn(z)
    with pytest.raises(TypeError, match=r"^logsubexp: x2 must be real, got complex64"):
        nn.logsubexp(1.0, z)
