"""exact() on elementwise primitives: mpmath rounded once, and IEEE rules at the specials."""

import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from jax import lax
from rounding import nearest, same

from stablenn import exact
from stablenn.interpret.balls.elementwise import FUNCTIONS

LINE = [
    -3e38,
    -1e10,
    -700.5,
    -88.3,
    -20.25,
    -5.5,
    -1.0,
    -0.75,
    -1e-5,
    -1e-30,
    1e-38,
    1e-20,
    1e-3,
    0.5,
    1.0,
    1.5,
    17.0,
    89.0,
    1e5,
]
UNIT = [-1.0, -0.999, -0.5, -1e-6, 1e-30, 1e-3, 0.25, 0.75, 0.9999999, 1.0]
POSITIVE = [1e-38, 1e-20, 0.1, 0.5, 1.0, 1.5, 2.0, 3.7, 100.0, 1e10, 3e38]
MODERATE = [-170.5, -20.25, -3.5, -1.0, -0.5, -1e-8, 1e-20, 1e-3, 0.3, 1.0, 2.5, 30.0]

# primitive: (JAX function, mpmath function, inputs)
CASES = {
    "exp": (lax.exp, mpmath.exp, MODERATE),
    "exp2": (lax.exp2, lambda x: mpmath.mpf(2) ** x, MODERATE),
    "expm1": (lax.expm1, mpmath.expm1, MODERATE),
    "log": (lax.log, mpmath.log, POSITIVE),
    "log1p": (lax.log1p, mpmath.log1p, [-0.9999, -0.41, -1e-20, *POSITIVE]),
    "sqrt": (lax.sqrt, mpmath.sqrt, POSITIVE),
    "rsqrt": (lax.rsqrt, lambda x: 1 / mpmath.sqrt(x), POSITIVE),
    "cbrt": (lax.cbrt, lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)), LINE),
    "sin": (lax.sin, mpmath.sin, LINE),
    "cos": (lax.cos, mpmath.cos, LINE),
    "tan": (lax.tan, mpmath.tan, LINE),
    "asin": (lax.asin, mpmath.asin, UNIT),
    "acos": (lax.acos, mpmath.acos, UNIT),
    "atan": (lax.atan, mpmath.atan, LINE),
    "sinh": (lax.sinh, mpmath.sinh, MODERATE),
    "cosh": (lax.cosh, mpmath.cosh, MODERATE),
    "tanh": (lax.tanh, mpmath.tanh, MODERATE),
    "asinh": (lax.asinh, mpmath.asinh, MODERATE),
    "acosh": (lax.acosh, mpmath.acosh, [1.0, 1.0000001, 2.5, 1e10]),
    "atanh": (lax.atanh, mpmath.atanh, [x for x in UNIT if abs(x) < 1]),
    "logistic": (lax.logistic, lambda x: 1 / (1 + mpmath.exp(-x)), MODERATE),
    "erf": (lax.erf, mpmath.erf, [-5.5, -1.0, -1e-8, 0.3, 2.5, 9.0]),
    "erfc": (lax.erfc, mpmath.erfc, [-5.5, -1.0, -1e-8, 0.3, 2.5, 9.0]),
    "erf_inv": (lax.erf_inv, mpmath.erfinv, [-0.999, -0.5, -1e-6, 1e-3, 0.25, 0.75]),
    "lgamma": (
        lax.lgamma,
        lambda x: mpmath.log(abs(mpmath.gamma(x))),
        [-3.5, -0.25, 1e-20, 0.5, 1.0, 2.0, 3.7, 100.0],
    ),
    "digamma": (lax.digamma, mpmath.digamma, [-3.5, -0.25, 0.5, 1.0, 2.0, 3.7, 100.0]),
    "square": (lax.square, lambda x: x * x, LINE),
    "abs": (lax.abs, abs, LINE),
    "neg": (lax.neg, lambda x: -x, LINE),
    "log2": (jnp.log2, lambda x: mpmath.log(x) / mpmath.log(2), POSITIVE),
}


def test_every_elementary_function_is_tested():
    assert set(FUNCTIONS) <= set(CASES)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_those_of_mpmath_rounded_once(name, dtype):
    fn, truth, points = CASES[name]
    if name == "log2" and dtype == "float32":
        points = [0.25, 1.0, 2.0, 1024.0]  # jax 0.10 divides by a rounded log(2)
    if name == "log2" and dtype == "float64":
        points = [1.0]
    x = np.array(points, dtype)
    with mpmath.workprec(400):
        expected = [nearest(truth(mpmath.mpf(float(value))), dtype) for value in x]
    same(exact(fn)(x), expected)


IEEE = {
    lax.exp: [(0.0, 1), (np.inf, np.inf), (-np.inf, 0)],
    lax.expm1: [(-np.inf, -1), (np.inf, np.inf)],
    lax.log: [(0.0, -np.inf), (-0.0, -np.inf), (-1.0, np.nan), (np.inf, np.inf), (-np.inf, np.nan)],
    lax.log1p: [(-1.0, -np.inf), (-1.5, np.nan), (np.inf, np.inf)],
    lax.sqrt: [(-1.0, np.nan), (np.inf, np.inf), (0.0, 0)],
    lax.rsqrt: [(0.0, np.inf), (-0.0, -np.inf), (-2.0, np.nan), (np.inf, 0)],
    lax.sin: [(np.inf, np.nan), (0.0, 0)],
    lax.cos: [(np.inf, np.nan), (0.0, 1)],
    lax.atanh: [(1.0, np.inf), (-1.0, -np.inf), (1.5, np.nan)],
    lax.asin: [(1.5, np.nan)],
    lax.acosh: [(0.5, np.nan), (0.0, np.nan), (1.0, 0), (np.inf, np.inf)],
    lax.tanh: [(np.inf, 1), (-np.inf, -1)],
    lax.logistic: [(np.inf, 1), (-np.inf, 0), (0.0, 0.5)],
    lax.erf: [(np.inf, 1), (-np.inf, -1)],
    lax.erfc: [(np.inf, 0), (-np.inf, 2), (0.0, 1)],
    lax.erf_inv: [(1.0, np.inf), (-1.0, -np.inf), (2.0, np.nan)],
    lax.lgamma: [(0.0, np.inf), (-2.0, np.inf), (np.inf, np.inf)],
    lax.sign: [(-0.0, 0), (np.inf, 1), (-3.0, -1)],
    lax.floor: [(-0.5, -1), (2.0, 2), (np.inf, np.inf), (2.5, 2)],
    lax.ceil: [(-0.5, 0), (2.0, 2), (2.5, 3)],
    lax.abs: [(-np.inf, np.inf), (-0.0, 0)],
}


@pytest.mark.parametrize("fn", IEEE, ids=lambda fn: fn.__name__)
def test_specials_follow_ieee(fn):
    inputs, expected = zip(*[*IEEE[fn], (np.nan, np.nan)], strict=True)
    same(exact(fn)(np.float32(inputs)), expected)


def test_atan_at_infinity_is_half_pi():
    same(exact(lax.atan)(np.float64([np.inf, -np.inf])), [np.pi / 2, -np.pi / 2])


GRID = np.float32([-np.inf, -3.0, -2.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 7.0, np.inf, np.nan])
PAIRS = tuple(np.ravel(axis) for axis in np.meshgrid(GRID, GRID))
BINARY = {
    "add": (lax.add, np.add),
    "sub": (lax.sub, np.subtract),
    "mul": (lax.mul, np.multiply),
    "div": (lax.div, np.divide),
    "max": (lax.max, np.maximum),
    "min": (lax.min, np.minimum),
    "rem": (lax.rem, np.fmod),
    "pow": (lax.pow, np.power),
    "atan2": (lax.atan2, np.arctan2),
    "lt": (lax.lt, np.less),
    "ge": (lax.ge, np.greater_equal),
    "eq": (lax.eq, np.equal),
    "ne": (lax.ne, np.not_equal),
}


@pytest.mark.parametrize("name", BINARY)
def test_binary_operations_agree_with_numpy_where_floats_are_exact(name):
    fn, reference = BINARY[name]
    x, y = PAIRS
    with np.errstate(all="ignore"):
        expected = reference(x.astype(np.float64), y.astype(np.float64))
    actual = exact(fn)(x, y)
    if expected.dtype != bool:  # NumPy in float64, rounded, is right to one ulp, and exact at specials
        np.testing.assert_allclose(actual, expected.astype(np.float32), rtol=1e-7, atol=0)
    else:
        same(actual, expected)


@pytest.mark.parametrize(
    ("base", "exponent"), [(2.0, 0.5), (10.0, -3.25), (0.3, 100.0), (1.0000001, 1e7), (7.0, -1.0)]
)
def test_powers_are_those_of_mpmath(base, exponent):
    x, y = np.float32(base), np.float32(exponent)
    with mpmath.workprec(400):
        same(exact(lax.pow)(x, y), nearest(mpmath.mpf(float(x)) ** mpmath.mpf(float(y))))


def test_signed_zeros_keep_their_signs():
    assert np.signbit(exact(lax.mul)(np.float32(-0.0), np.float32(3)))
    assert np.signbit(exact(lambda x: jnp.sqrt(x))(np.float32(-0.0)))
    same(exact(lambda x: 1 / x)(np.float32([-0.0, 0.0])), [-np.inf, np.inf])
    assert not np.signbit(exact(lambda x: x - x)(np.float32(3)))


def test_ties_round_as_asked():
    x = np.float32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4999998, 8388609.0])
    same(exact(lambda v: lax.round(v, lax.RoundingMethod.TO_NEAREST_EVEN))(x), np.round(x))
    away = np.copysign(np.floor(np.abs(x.astype(np.float64)) + 0.5), x)
    same(exact(lambda v: lax.round(v, lax.RoundingMethod.AWAY_FROM_ZERO))(x), away)


def test_conversions_truncate_and_keep():
    same(exact(lambda x: x.astype(jnp.int32))(np.float32([-2.7, -0.3, 0.9, 3.0])), [-2, 0, 0, 3])
    same(exact(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32))(np.float32([0.1])), np.float32([0.1]))
    same(exact(lambda i: i.astype(jnp.float32) / 3)(np.int32([1, 2])), np.float32([1 / 3, 2 / 3]))
    same(exact(lambda x: x.astype(bool))(np.float32([0.0, -0.0, 1e-40, np.nan])), [False, False, True, True])


@pytest.mark.parametrize("power", [-3, -1, 0, 1, 2, 5])
def test_integer_powers(power):
    x = np.float32([-1.5, 0.1, 3.0])
    expected = [nearest(mpmath.mpf(float(v)) ** power) for v in x]
    same(exact(lambda v: lax.integer_pow(v, power))(x), expected)


def test_clamp_and_select_choose():
    x = np.float32([-1, 0.5, 2, np.nan])
    same(exact(lambda v: lax.clamp(np.float32(0), v, np.float32(1)))(x), [0, 0.5, 1, np.nan])
    same(exact(lambda v: jnp.where(v > 0, v, -v))(x), [1, 0.5, 2, np.nan])
    same(exact(lambda v: jnp.select([v < 0, v < 1], [v * 2, v * 3], 7))(x), [-2, 1.5, 7, 7])
