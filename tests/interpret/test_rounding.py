"""exact() rounds once: ties, cancellation, the ends of every format, and what cannot be decided."""

import warnings
from fractions import Fraction

import flint
import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from jax import lax
from rounding import nearest, same

from stablenn import exact
from stablenn.floats import NAMES, format_of
from stablenn.interpret.balls.elements import Undecided
from stablenn.interpret.balls.evaluation import UnprovedWarning
from stablenn.interpret.balls.meaning import UnsupportedPrimitive


def naive_log_softmax(x):
    return jnp.log(jnp.exp(x) / jnp.exp(x).sum())


def test_the_naive_log_softmax_is_right_in_real_numbers():
    x = np.float32([1000, 0, -1000])
    same(exact(naive_log_softmax)(x), [0, -1000, -2000])
    same(exact(jax.grad(lambda v: -naive_log_softmax(v)[0]))(x), [0, 0, 0])
    same(exact(jax.grad(lambda v: -naive_log_softmax(v)[1]))(x), [1, -1, 0])
    same(exact(jax.grad(lambda v: -naive_log_softmax(v)[2]))(x), [1, 0, -1])


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        (naive_log_softmax, (np.float32([5.0]),)),
        (lambda p, q: jnp.sum(p * (jnp.log(p) - jnp.log(q))), (np.float32([0.2, 0.3]), np.float32([0.2, 0.3]))),
        (lambda p, q: jnp.sum(p * jnp.log(jnp.exp(p) / jnp.exp(q))), (np.float32([0.2, 0.3]), np.float32([0.2, 0.3]))),
        (lambda x, y: x / y * y - 1, (np.float32(1), np.float32(3))),
        (lambda x: jnp.exp(jnp.log(x)) / 3 * 3 - x, (np.float32(1.7),)),
        (lambda x: jnp.sin(x) ** 2 + jnp.cos(x) ** 2 - 1, (np.float32(0.7),)),
        (lambda x: jnp.exp(x) - jnp.exp(x), (np.float32(700),)),
    ],
)
def test_what_is_zero_terminates_and_is_zero(program, arguments):
    same(exact(program)(*arguments), np.zeros(np.shape(program(*arguments))))


def test_ties_of_equal_expressions_are_decided():
    x = np.float32([1, 2, 2])
    gradient = exact(jax.grad(lambda v: jnp.max(jnp.exp(v))))(x)
    same(gradient, [0, nearest(mpmath.exp(2) / 2), nearest(mpmath.exp(2) / 2)])
    assert exact(lambda v: jnp.argmax(jnp.exp(v)))(x) == 1
    assert exact(lambda v: (jnp.exp(v[1]) == jnp.exp(v[2])).astype(int))(x) == 1


@pytest.mark.parametrize(
    ("program", "x", "truth"),
    [
        (lambda x: (1 + x) - 1, 1e-30, lambda x: x),
        (lambda x: 1 - jnp.cos(x), 1e-8, lambda x: 2 * mpmath.sin(x / 2) ** 2),
        (lambda x: jnp.sqrt(x * x + 1) - x, 1e10, lambda x: 1 / (mpmath.sqrt(x * x + 1) + x)),
        (lambda x: jnp.log(1 + jnp.exp(x)), -80.0, lambda x: mpmath.log1p(mpmath.exp(x))),
        (lambda x: jnp.exp(x) * jnp.exp(-x / 2), 500.0, lambda x: mpmath.exp(x / 2)),
        (lambda x: jnp.exp(jnp.exp(x)) - jnp.exp(jnp.exp(x)) + x, 3.0, lambda x: x),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cancellation_costs_nothing(program, x, truth, dtype):
    x = np.asarray(x, dtype)
    with mpmath.workprec(2000):
        same(exact(program)(x), nearest(truth(mpmath.mpf(float(x))), dtype))


@pytest.mark.parametrize("dtype", NAMES)
def test_halves_round_to_even(dtype):
    fmt = format_of(dtype)
    ulp = fmt.eps
    x = np.array([1, 1 + ulp, 1 + 2 * ulp]).astype(fmt.dtype)
    same(exact(lambda v: v + np.asarray(ulp / 2, fmt.dtype))(x), [1, 1 + 2 * ulp, 1 + 2 * ulp])


@pytest.mark.parametrize("dtype", NAMES)
def test_the_ends_of_the_format(dtype):
    fmt = format_of(dtype)
    big = np.asarray(fmt.max).astype(fmt.dtype)
    small = np.asarray(fmt.smallest_subnormal).astype(fmt.dtype)
    same(exact(lambda v: v * 2 / 2)(big), fmt.max)
    same(exact(lambda v: v * 2)(big), np.inf)
    same(exact(lambda v: v + v * fmt.eps / 8)(big), fmt.max)  # below the threshold of rounding to infinity
    same(exact(lambda v: -(v + v * fmt.eps))(big), -np.inf)
    same(exact(lambda v: jnp.exp(jnp.log(v)) * 1.5 / 1.5)(big), fmt.max)
    same(exact(lambda v: v / 2)(small), 0)
    same(exact(lambda v: v * 3 / 4)(small), fmt.smallest_subnormal)
    same(exact(lambda v: jnp.sqrt(v) * jnp.sqrt(v * 5))(small), nearest(Fraction(fmt.smallest_subnormal) * 2, dtype))


@pytest.mark.parametrize("dtype", NAMES)
def test_random_quotients_round_once(dtype):
    fmt = format_of(dtype)
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(50).astype(fmt.dtype) for _ in range(2))
    expected = [nearest(Fraction(float(a)) / Fraction(float(b)), dtype) for a, b in zip(x, y, strict=True)]
    same(exact(lambda a, b: a / b)(x, y), expected)
    same(exact(lambda a, b: jnp.exp(jnp.log(jnp.abs(a))) / b, batched=True)(x, y), np.sign(x.astype(float)) * expected)


def test_the_dtype_of_the_result_can_be_chosen():
    x = np.float32(2)
    for dtype in NAMES:
        result = exact(jnp.sqrt, dtype=dtype)(x)
        assert result.dtype == format_of(dtype).dtype
        same(result, nearest(mpmath.sqrt(2), dtype))


def test_literals_mean_the_floats_that_tracing_made_of_them():
    x = np.float32(1)
    same(exact(lambda v: v * 0.1, dtype="float64")(x), np.float64(np.float32(0.1)))
    same(exact(lambda v: v * 0.1, dtype="float64", wide=True)(x), 0.1)


def test_float64_needs_no_global_setting():
    assert exact(lambda x: x / 3)(np.float64([1])).dtype == np.float64
    same(exact(lambda x: x / 3)(np.float64([1])), [1 / 3])
    assert not jax.config.read("jax_enable_x64")


@pytest.mark.parametrize("rows", [1, 3, 700])
def test_batched_rows_are_evaluated_each_for_itself(rows):
    x = np.random.default_rng(1).standard_normal((rows, 3)).astype(np.float32) * 100
    batched = exact(naive_log_softmax, batched=True)(x)
    same(batched[:5], [exact(naive_log_softmax)(row) for row in x[:5]])
    assert batched.shape == x.shape


def test_enclosures_hold_the_truth_and_prove_it():
    enclosure = exact(lambda x: jnp.exp(x), dtype="float64").enclose(np.float32([0.5, 3.0]))
    with mpmath.workprec(300):
        for middle, radius, x in zip(enclosure.midpoint, enclosure.radius, (0.5, 3), strict=True):
            mantissa, exponent = middle.man_exp()
            middle = mpmath.mpf(int(mantissa)) * mpmath.mpf(2) ** int(exponent)
            assert abs(middle - mpmath.exp(x)) <= radius < 1e-30
    assert enclosure.proved.all()


def undecidable(x):
    return jnp.log(jnp.exp(jnp.log(x)) - x)


def test_what_no_precision_decides_is_told():
    with pytest.warns(UnprovedWarning, match="1 elements are not proved.*4096 bits"):
        assert np.isnan(exact(undecidable)(np.float32(3)))
    enclosure = exact(undecidable).enclose(np.float32(3))
    assert (enclosure.proved, enclosure.radius) == (False, np.inf)


def test_a_tie_that_no_precision_decides_returns_a_neighbour_and_says_so():
    tie = 1 + 2.0**-24

    def program(x):
        return jnp.exp(jnp.log(x))

    with pytest.warns(UnprovedWarning):
        assert exact(program, dtype="float32")(np.float64(tie)) in (1, np.float32(1 + 2.0**-23))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert exact(program)(np.float64(tie)) == tie


def test_control_flow_that_no_precision_decides_names_its_line():
    def program(x):
        return lax.cond(jnp.exp(jnp.log(x)) > x, lambda: x, lambda: -x)

    with pytest.raises(Undecided, match=r"not decided with 4096 bits: primitive '.*test_rounding\.py"):
        exact(program)(np.float32(3))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda x: jnp.abs(jnp.fft.rfft(x)), r"no rule for primitive 'fft' at .*test_rounding\.py"),
        (lambda x: lax.nextafter(x, x + 1), r"refuses primitive 'nextafter'.*test_rounding\.py"),
        (lambda x: lax.bitcast_convert_type(x, jnp.int32), r"refuses primitive 'bitcast_convert_type'.*bits"),
        (lambda x: jnp.linalg.inv(jnp.outer(x, x)), r"no rule for primitive 'lu'"),
        (lambda x: x * (1 + 2j), "complex"),
    ],
)
def test_what_has_no_meaning_is_refused_by_primitive_and_line(program, message):
    with pytest.raises(UnsupportedPrimitive, match=message):
        exact(program)(np.float32([1, 2]))


def test_bad_arguments_are_named():
    with pytest.raises(TypeError, match="needs a function, got int"):
        exact(5)
    with pytest.raises(ValueError, match="at least 64, got 3"):
        exact(jnp.exp, max_bits=3)
    with pytest.raises(ValueError, match=r"float8.*allowed: bfloat16"):
        exact(jnp.exp, dtype="float8")


def test_settings_are_left_as_they_were():
    before = flint.ctx.prec, jax.config.read("jax_enable_x64")
    exact(jnp.exp)(np.float64(1))
    with pytest.raises(UnsupportedPrimitive):
        exact(lambda x: jnp.fft.rfft(x))(np.float32([1, 2]))
    assert (flint.ctx.prec, jax.config.read("jax_enable_x64")) == before
