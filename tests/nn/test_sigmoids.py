"""sigmoid and log_sigmoid: values, derivatives of every order, dtypes, against the exact formula."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import format_of, ulp_error

TEXTBOOK = {
    "sigmoid": lambda x: 1 / (1 + jnp.exp(-x)),
    "log_sigmoid": lambda x: -jnp.log(1 + jnp.exp(-x)),
}
BOTH = pytest.mark.parametrize("name", TEXTBOOK)
DTYPES = ["bfloat16", "float16", "float32"]
INPUTS = [
    -3e38,
    -1e8,
    -1e4,
    -87,
    -80,
    -50,
    -20,
    -17,
    -5,
    -1,
    -1e-3,
    0,
    1e-3,
    0.3,
    1,
    5,
    16.7,
    20,
    50,
    80,
    87,
    1e4,
    3e38,
]


def inputs(dtype):
    largest = format_of(dtype).max
    return np.clip(INPUTS, -largest, largest).astype(jnp.dtype(dtype))


def truth(fn, *args):
    return exact(fn, wide=True, dtype=args[0].dtype, batched=True)(*args)


@BOTH
def test_the_signature_is_the_peers(name):
    ours, peers = (inspect.signature(getattr(module, name)).parameters.values() for module in (nn, jax.nn))
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in peers]


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_value_is_the_formulas(name, dtype):
    x = inputs(dtype)
    actual = np.asarray(getattr(nn, name)(x))
    assert actual.dtype == x.dtype
    assert ulp_error(actual, truth(TEXTBOOK[name], x), flush=True).max() <= 3


@BOTH
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_is_the_formulas(name, dtype):
    x = inputs(dtype)
    actual = np.asarray(jax.vmap(jax.grad(getattr(nn, name)))(x))
    assert actual.dtype == x.dtype
    assert ulp_error(actual, truth(jax.grad(TEXTBOOK[name]), x), flush=True).max() <= 4


@BOTH
def test_float64_is_as_accurate(name):
    x = np.array([-700.0, -40, -1, 0, 1, 37, 100, 700])
    with jax.enable_x64(True):
        value = np.asarray(getattr(nn, name)(x))
        slope = np.asarray(jax.vmap(jax.grad(getattr(nn, name)))(x))
    assert value.dtype == slope.dtype == np.float64
    assert ulp_error(value, truth(TEXTBOOK[name], x), flush=True).max() <= 3
    assert ulp_error(slope, truth(jax.grad(TEXTBOOK[name]), x), flush=True).max() <= 4


@BOTH
def test_the_second_derivative_is_the_formulas(name):
    x = np.float32([-80, -20, -3, -0.5, 0.5, 3, 20, 80])
    actual = np.asarray(jax.vmap(jax.grad(jax.grad(getattr(nn, name))))(x))
    assert ulp_error(actual, truth(jax.grad(jax.grad(TEXTBOOK[name])), x), flush=True).max() <= 8


@pytest.mark.parametrize(
    ("name", "order", "at_minus_inf", "at_inf"),
    [
        ("sigmoid", 0, 0, 1),
        ("sigmoid", 1, 0, 0),
        ("sigmoid", 2, 0, 0),
        ("log_sigmoid", 0, -np.inf, 0),
        ("log_sigmoid", 1, 1, 0),
        ("log_sigmoid", 2, 0, 0),
    ],
)
def test_limits_at_infinity(name, order, at_minus_inf, at_inf):
    fn = getattr(nn, name)
    for _ in range(order):
        fn = jax.grad(fn)
    assert [float(fn(jnp.float32(v))) for v in (-np.inf, np.inf)] == [at_minus_inf, at_inf]


@BOTH
def test_nan_passes_through_value_and_gradient(name):
    x = np.zeros(5000, np.float32)
    x[4321] = np.nan
    fn = getattr(nn, name)
    for result in (fn(x), jax.grad(lambda x: fn(x).sum())(x)):
        np.testing.assert_array_equal(np.isnan(result), np.isnan(x))


@BOTH
def test_forward_and_reverse_agree(name):
    x = jnp.float32([-30.0, 0.2, 30.0])
    fn = getattr(nn, name)
    np.testing.assert_array_equal(jax.jacfwd(fn)(x), jax.jacrev(fn)(x))


@BOTH
@pytest.mark.parametrize(
    ("given", "dtype"),
    [(2, "float32"), (2.0, "float32"), (True, "float32"), (np.int8(2), "float32"), (np.float64(2), "float32")],
)
def test_numbers_take_the_float_dtype_of_jax(name, given, dtype):
    result = getattr(nn, name)(given)
    assert result.dtype == dtype
    assert result.shape == ()
    with jax.enable_x64(True):
        assert getattr(nn, name)(given).dtype == jnp.sin(given).dtype


@BOTH
def test_the_dtype_stays_under_x64(name):
    with jax.enable_x64(True):
        assert [getattr(nn, name)(jnp.ones(2, dtype)).dtype for dtype in DTYPES] == [jnp.dtype(d) for d in DTYPES]


@BOTH
def test_a_python_number_stays_weak(name):
    narrow = jnp.ones(1, jnp.bfloat16)
    assert (getattr(nn, name)(0.5) * narrow).dtype == narrow.dtype


@BOTH
def test_complex_input_is_refused_by_name(name):
    with pytest.raises(TypeError, match=rf"^{name}: x must be real, got complex64"):
        getattr(nn, name)(jnp.ones(2, jnp.complex64))
