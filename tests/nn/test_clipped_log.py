"""clipped_log: the logarithm of the larger of x and min_value, its derivatives, dtypes and refusals."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import format_of, ulp_error

DTYPES = ["bfloat16", "float16", "float32"]


def textbook(x, min_value):
    return jnp.log(jnp.maximum(x, min_value))


def pairs(dtype):
    tiny, largest = format_of(dtype).tiny, format_of(dtype).max
    x = np.array([-1, 0, tiny, 1e-3, 0.5, 0.999, 1, 1.001, 3, 1000, largest, -largest]).astype(jnp.dtype(dtype))
    return x, np.full(x.shape, 0.25).astype(x.dtype)


def truth(fn, *args):
    return exact(fn, wide=True, dtype=args[0].dtype, batched=True)(*args)


def test_the_signature_is_x_and_min_value():
    parameters = inspect.signature(nn.clipped_log).parameters
    assert [(p.name, p.default) for p in parameters.values()] == [("x", inspect.Parameter.empty), ("min_value", None)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_value_is_the_formulas(dtype):
    x, low = pairs(dtype)
    actual = np.asarray(nn.clipped_log(x, low))
    assert actual.dtype == x.dtype
    assert ulp_error(actual, truth(textbook, x, low), flush=True).max() <= 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("argument", [0, 1])
def test_the_gradient_is_the_formulas(dtype, argument):
    x, low = pairs(dtype)
    actual = np.asarray(jax.vmap(jax.grad(nn.clipped_log, argument))(x, low))
    assert actual.dtype == x.dtype
    assert ulp_error(actual, truth(jax.grad(textbook, argument), x, low), flush=True).max() <= 2


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
def test_by_default_zero_is_clipped_to_the_smallest_normal_number(dtype):
    with jax.enable_x64(dtype == "float64"):
        result = np.asarray(nn.clipped_log(jnp.zeros(1, dtype)))
    expected = np.array([format_of(dtype).emin * math.log(2)]).astype(jnp.dtype(dtype))
    assert result.dtype == expected.dtype
    assert ulp_error(result, expected).max() <= 1


def test_the_derivative_at_min_value_is_that_of_the_logarithm():
    assert jax.grad(nn.clipped_log)(jnp.float32(0.25), 0.25) == 4
    assert jax.grad(nn.clipped_log, 1)(jnp.float32(0.25), jnp.float32(0.25)) == 0


def test_below_min_value_every_derivative_is_zero():
    first = jax.grad(nn.clipped_log)
    for derivative in (first, jax.grad(first), jax.jacfwd(first), jax.jit(jax.grad(first))):
        assert [float(derivative(jnp.float32(v))) for v in (0, -1, -3e38, -np.inf)] == [0, 0, 0, 0]


def test_the_second_derivative_is_minus_one_over_x_squared():
    x = jnp.float32([0.5, 1, 4])
    np.testing.assert_array_equal(jax.vmap(jax.grad(jax.grad(nn.clipped_log)))(x), [-4, -1, -0.0625])


def test_specials():
    x = jnp.float32([np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(nn.clipped_log(x, 1.0), [np.inf, 0, np.nan])
    np.testing.assert_array_equal(jax.vmap(jax.grad(lambda x: nn.clipped_log(x, 1.0)))(x), [0, 0, np.nan])


def test_nan_passes_through_large_arrays():
    x = np.ones(5000, np.float32)
    x[4321] = np.nan
    np.testing.assert_array_equal(np.isnan(nn.clipped_log(x)), np.isnan(x))


def test_min_value_is_broadcast():
    x = jnp.float32([0, 2, 8])
    low = jnp.float32([[1], [4]])
    expected = np.log(np.float64([[1, 2, 8], [4, 4, 8]]))
    np.testing.assert_allclose(nn.clipped_log(x, low), expected, rtol=3e-7)


def test_a_min_value_below_the_range_of_the_dtype_still_keeps_the_result_finite():
    # log(1e-8) = -18.42 is an ordinary number of a format that does not hold 1e-8
    half = nn.clipped_log(jnp.zeros(1, jnp.float16), 1e-8)
    assert half.dtype == jnp.float16
    np.testing.assert_allclose(np.float64(half), math.log(1e-8), rtol=1e-3)
    with pytest.raises(ValueError, match="min_value must be positive, got 1e-50; the smallest allowed for float32"):
        nn.clipped_log(jnp.zeros(1, jnp.float32), 1e-50)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_is_that_of_x(dtype):
    x = jnp.ones(2, dtype)
    for x64 in (False, True):
        with jax.enable_x64(x64):
            lows = (0.5, 1, np.float32(0.5), np.float64(0.5), jnp.float32(0.5))
            assert {str(nn.clipped_log(x, low).dtype) for low in lows} == {dtype}


def test_integers_take_the_default_float_dtype():
    assert nn.clipped_log(3).dtype == nn.clipped_log(np.arange(3)).dtype == "float32"
    with jax.enable_x64(True):
        assert nn.clipped_log(3).dtype == nn.clipped_log(np.arange(3)).dtype == "float64"


@pytest.mark.parametrize("low", [0, 0.0, -1, -1e-30, float("nan"), np.float32(0), np.float64(-1), np.int32(0)])
def test_a_min_value_that_is_not_positive_is_refused_by_name(low):
    with pytest.raises(ValueError, match="min_value must be positive, got"):
        nn.clipped_log(jnp.ones(2), low)


@pytest.mark.parametrize(("args", "argument"), [((1j,), "x"), ((1.0, 1j), "min_value")])
def test_complex_arguments_are_refused_by_name(args, argument):
    with pytest.raises(TypeError, match=f"^clipped_log: {argument} must be real"):
        nn.clipped_log(*args)
