"""ndtr, log_ndtr and both kinds of GELU: values and derivatives where the functions of JAX fail."""

import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import ulp, ulp_error
from stablenn.nn import gaussian
from stablenn.precision.spec import SPECS

SPEC = {spec.name.removeprefix("nn."): spec for spec in SPECS}
NAMES = ["ndtr", "log_ndtr", "gelu", "gelu_exact"]
EVERY = pytest.mark.parametrize("name", NAMES)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
# beside zero, where branches meet, where a derivative changes its sign, and where exponentials end
INPUTS = [0.0, 1e-30, 1e-8, 0.3, 0.75179, 1.0, 1.4142135, 1.9999999, 2.0, 4.9, 5.0, 7.9, 10.4, 12.9, 13.1, 16.0, 46.0]
INPUTS += [37.4, 38.3, 1e4, 1e8, 1e15, 1e19, 2.6e19, 1e30, 3e38]


@functools.cache
def derivative(fn, order):
    return fn if order == 0 else jax.grad(derivative(fn, order - 1))


def inputs(dtype):
    return np.array([sign * x for x in INPUTS for sign in (-1, 1)], dtype)


def results(name, order, x):
    with jax.enable_x64(x.dtype == np.float64):
        return np.asarray(jax.jit(jax.vmap(derivative(SPEC[name].fn, order)))(x))


def truth(name, order, x):
    return exact(derivative(SPEC[name].definition, order), wide=True, dtype=x.dtype, batched=True).truth(x)[0]


@EVERY
@DTYPES
def test_values_are_within_two_ulps(name, dtype):
    x = inputs(dtype)
    assert ulp_error(results(name, 0, x), truth(name, 0, x), flush=True).max() <= 2


@EVERY
@DTYPES
def test_gradients_are_within_three_ulps(name, dtype):
    x = inputs(dtype)
    right = truth(name, 1, x)
    errors, scale = ulp_error(results(name, 1, x), right, flush=True), SPEC[name].gradient_scale
    if scale is not None:
        with np.errstate(all="ignore"):
            size = np.nan_to_num(scale(x.astype(np.float64))[:, 0])
        nearest = np.abs(right.nearest.astype(np.float64))
        errors = errors * ulp(nearest, dtype) / ulp(np.maximum(nearest, size), dtype)
    assert errors.max() <= 3


@EVERY
@DTYPES
def test_second_derivatives_are_the_formulas(name, dtype):
    x = np.array([-20.0, -13.2, -10.4, -5, -2.01, -1.99, -1, -0.3, 0, 0.3, 1, 2.01, 5, 10.4, 13.2], dtype)
    assert ulp_error(results(name, 2, x), truth(name, 2, x), flush=True).max() <= 20


def test_the_second_derivative_of_log_ndtr_holds_far_left():
    x = -np.geomspace(1e3, 1e38, 40).astype(np.float32)
    assert ulp_error(results("log_ndtr", 2, x), np.float32(-1) + np.float32(1 / x.astype(float) ** 2)).max() <= 8


@EVERY
def test_third_derivatives_are_finite_and_right(name):
    x = np.linspace(-9, 9, 61).astype(np.float32)
    np.testing.assert_allclose(results(name, 3, x), truth(name, 3, x).nearest, atol=2e-5)
    assert np.isfinite(results(name, 3, inputs("float32"))).all()


@pytest.mark.parametrize(
    ("name", "order", "at_minus_inf", "at_inf"),
    [
        ("ndtr", 0, 0, 1),
        ("ndtr", 1, 0, 0),
        ("log_ndtr", 0, -np.inf, 0),
        ("log_ndtr", 1, np.inf, 0),
        ("log_ndtr", 2, -1, 0),
        *((name, order, *ends) for name in ("gelu", "gelu_exact") for order, ends in enumerate([(0, np.inf), (0, 1)])),
    ],
)
def test_limits_at_infinity(name, order, at_minus_inf, at_inf):
    ends = results(name, order, np.float32([-np.inf, np.inf]))
    assert ulp_error(ends, np.float32([at_minus_inf, at_inf])).max() <= 1


@EVERY
def test_zero_keeps_its_place(name):
    values = results(name, 0, np.float32([0.0, -0.0]))
    assert values.tolist() == {"ndtr": [0.5, 0.5], "log_ndtr": [np.float32(np.log(0.5))] * 2}.get(name, [0, 0])
    if "gelu" in name:
        assert np.signbit(values).tolist() == [False, True]


@EVERY
@pytest.mark.parametrize("order", range(4))
def test_nan_passes_through(name, order):
    x = np.zeros(100, np.float32)
    x[43] = np.nan
    np.testing.assert_array_equal(np.isnan(results(name, order, x)), np.isnan(x))


@EVERY
def test_forward_and_reverse_agree(name):
    x, fn = jnp.float32([-14.0, -3, -0.7, 0.2, 9]), jax.vmap(SPEC[name].fn)
    np.testing.assert_array_equal(jax.jacfwd(fn)(x), jax.jacrev(fn)(x))


# --- what the functions of JAX get wrong, and by how much at least -------------------------------------------------

PEER = {name: SPEC[name].load(SPEC[name].peers[0]) for name in NAMES}
DEFECTS = [
    ("ndtr", 0, -11.384818, 100),
    ("ndtr", 1, 12.500014, 100),
    ("log_ndtr", 0, -1.9e19, 1e6),
    ("log_ndtr", 1, -17144.06, 1e9),
    ("log_ndtr", 1, -1e20, np.inf),
    ("gelu", 0, -6.0, 1e7),
    ("gelu", 1, -6.0, 1e7),
    ("gelu", 1, 2e19, np.inf),
    ("gelu", 0, -np.inf, np.inf),
    ("gelu_exact", 0, -13.1, 1e6),
    ("gelu_exact", 0, -np.inf, np.inf),
]


@pytest.mark.parametrize(("name", "order", "x", "least"), DEFECTS)
def test_where_the_peer_fails(name, order, x, least):
    x = np.float32([x])
    if np.isinf(x):
        right = np.float32([0])
    else:
        right = truth(name, order, x)
    theirs = np.asarray(jax.vmap(derivative(PEER[name], order))(x))
    assert ulp_error(theirs, right, flush=True).max() >= least
    assert ulp_error(results(name, order, x), right, flush=True).max() <= 2


def test_the_constant_of_the_formula_with_tanh():
    with mpmath.workdps(50):
        right = mpmath.sqrt(8 / mpmath.pi)
        assert abs(mpmath.mpf(gaussian._A.numerator) / gaussian._A.denominator / right - 1) < mpmath.mpf(10) ** -45


# --- arguments -----------------------------------------------------------------------------------------------------


def test_the_order_of_a_series_has_no_effect():
    x = jnp.float32([-30.0, -10, 3, 7])
    np.testing.assert_array_equal(nn.log_ndtr(x, series_order=1), nn.log_ndtr(x, 10))


def test_gelu_is_approximate_unless_told_otherwise():
    x = jnp.float32([-3.0, 0.5])
    np.testing.assert_array_equal(nn.gelu(x), nn.gelu(x, True))
    assert (nn.gelu(x) != nn.gelu(x, approximate=False)).all()


@pytest.mark.parametrize("fn", [nn.ndtr, nn.log_ndtr, nn.gelu], ids=lambda fn: fn.__name__)
def test_complex_input_is_refused_by_name(fn):
    with pytest.raises(TypeError, match=rf"^{fn.__name__}: x must be real, got complex64"):
        fn(jnp.ones(2, jnp.complex64))
