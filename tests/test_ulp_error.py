"""The error in units in the last place, against a slow reference in exact rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest

from stablenn import floats
from stablenn.floats import Truth, format_of, from_ordinal, to_ordinal, ulp_error

# significand bits, least and greatest normal exponent: IEEE 754, and float32's exponents for bfloat16
IEEE = {"bfloat16": (8, -126, 127), "float16": (11, -14, 15), "float32": (24, -126, 127), "float64": (53, -1022, 1023)}
every_format = pytest.mark.parametrize("name", IEEE)
both_signs = pytest.mark.parametrize("sign", [1, -1])
with_and_without_flush = pytest.mark.parametrize("flush", [False, True])


# --- the reference: the formula of the design, in rationals ------------------------------------------------------


def two_to(exponent):
    return Fraction(2) ** exponent


def true_ulp(value, name):
    precision, emin, emax = IEEE[name]
    exponent = emin
    if value:
        exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
        exponent -= abs(value) < two_to(exponent)
    return two_to(min(max(exponent, emin), emax) - (precision - 1))


def place(value, name):
    """A float or rational on the line, infinity one unit above the largest float, where rounding reaches it."""
    precision, _, emax = IEEE[name]
    beyond = two_to(emax + 1)
    if not isinstance(value, Fraction) and math.isinf(value):
        return beyond if value > 0 else -beyond
    value = Fraction(value)
    threshold = beyond - two_to(emax - precision)
    return value if abs(value) < threshold else beyond if value > 0 else -beyond


def true_error(computed, true, name, flush):
    """`computed` is a float, `true` a Fraction, or a float where it is infinite or NaN."""
    precision, emin, _ = IEEE[name]
    if computed != computed or true != true:
        return 0 if computed != computed and true != true else math.inf
    computed, true = place(computed, name), place(true, name)
    unit = true_ulp(true, name)
    if flush:
        if max(abs(computed), abs(true)) < two_to(emin):
            return 0
        gap = two_to(emin) - two_to(emin - precision + 1)
        computed, true = (v - max(-gap, min(gap, v)) for v in (computed, true))
    return min(abs(computed - true) / unit, Fraction(np.finfo(np.float64).max))


def assert_agrees(computed, truth, name, flush):
    """Compare `ulp_error` with the reference, element by element."""
    got = ulp_error(computed, truth, flush=flush).tolist()
    columns = computed.astype(float).tolist(), truth.nearest.astype(float).tolist(), truth.residual.tolist(), got
    wrong = []
    for c, nearest, residual, error in zip(*columns, strict=True):
        true = nearest
        if math.isfinite(nearest):
            true = Fraction(nearest) + Fraction(residual) * true_ulp(Fraction(nearest), name)
        expected = true_error(c, true, name, flush)
        close = error == expected if math.inf in (error, expected) else abs(error - expected) <= expected / 2**50
        if not close:
            wrong.append((c, nearest, residual, error, float(expected)))
    assert not wrong, f"{len(wrong)} wrong; (computed, nearest, residual, got, expected): {wrong[:5]}"


def landmarks(name):
    """The ordinals at which floats change their character: one binade, the smallest normal, 1, infinity."""
    one, infinity = (int(to_ordinal(np.array(v).astype(format_of(name).dtype))) for v in (1.0, np.inf))
    return 2 ** (IEEE[name][0] - 1), one, infinity


def random_pairs(name, count, seed):
    """Computed values and truths: anywhere, around powers of two, zero, the smallest normals and the largest float."""
    rng = np.random.default_rng(seed)
    step, _, last = landmarks(name)

    def pick(*columns):
        return np.choose(rng.integers(0, len(columns), count), columns)

    def beside(ordinals):
        return np.clip(ordinals + rng.integers(-5, 6, count), -last, last)

    def anywhere():
        return rng.integers(-last, last, count)

    powers = rng.integers(1, last // step, count) * step
    nearest = beside(pick(anywhere(), powers, -powers, 0, step, -step, last))
    computed = pick(beside(nearest), beside(nearest), beside(-nearest), anywhere(), *map(beside, (last, -last, 0)))
    residual = pick(0.0, 0.5, 0.25, rng.random(count) / 2) * pick(1, -1)
    # what rounding to a power of two takes away on the side of zero is half as large
    power = (np.abs(nearest) % step == 0) & (np.abs(nearest) > step)
    residual = np.where(power & (np.sign(residual) == -np.sign(nearest)), residual / 2, residual)
    # half a unit above the largest float rounds to infinity, which leaves nothing
    residual = np.where(np.abs(nearest) == last - 1, np.clip(residual, -0.499, 0.499), residual)
    residual = np.where(np.abs(nearest) == last, 0.0, residual)
    return from_ordinal(computed, name), Truth(from_ordinal(nearest, name), residual, np.ones(count, bool))


def special_values(name):
    step, one, last = landmarks(name)
    positive = from_ordinal([0, 1, 2, step - 1, step, step + 1, 2 * step, one, last - 2, last - 1, last], name)
    return np.concatenate([positive, -positive, np.array([np.nan]).astype(positive.dtype)])


def error_of(computed, nearest, name, residual=0.0, flush=False):
    computed, nearest = (np.array([value]).astype(format_of(name).dtype) for value in (computed, nearest))
    return float(ulp_error(computed, Truth(nearest, np.array([residual]), np.array([True])), flush=flush)[0])


# --- against the reference ---------------------------------------------------------------------------------------


@with_and_without_flush
@every_format
def test_error_is_the_stated_formula_on_random_pairs(name, flush):
    computed, truth = random_pairs(name, 6000, seed=len(name))
    assert_agrees(computed, truth, name, flush)


@with_and_without_flush
@every_format
def test_error_is_the_stated_formula_on_every_pair_of_specials(name, flush):
    computed, nearest = (column.ravel() for column in np.meshgrid(special_values(name), special_values(name)))
    truth = Truth(nearest, np.zeros(nearest.shape), np.ones(nearest.shape, bool))
    assert not np.isnan(ulp_error(computed, truth, flush=flush)).any()
    assert_agrees(computed, truth, name, flush)


@with_and_without_flush
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_error_is_never_nan_on_random_bits(name, flush):
    bits = np.random.default_rng(1).integers(0, 2**16, (2, 50_000), np.uint16)
    infinity = np.array(np.inf).astype(format_of(name).dtype).view(np.uint16)
    nan = (bits & 0x7FFF) > infinity
    error = ulp_error(*bits.view(format_of(name).dtype), flush=flush)
    assert not np.isnan(error).any() and (error >= 0).all()
    np.testing.assert_array_equal(np.isinf(error), nan[0] ^ nan[1])
    np.testing.assert_array_equal(floats.wrong_special(*bits.view(format_of(name).dtype)), nan[0] ^ nan[1])


# --- on hand-made cases ------------------------------------------------------------------------------------------


@both_signs
@every_format
def test_unit_is_that_of_the_binade(name, sign):
    precision, emin, emax = IEEE[name]
    eps, tiny, smallest, top = 2.0 ** (1 - precision), 2.0**emin, 2.0 ** (emin - precision + 1), 2.0**emax
    largest = top * (2 - eps)
    for values, unit in [
        ([1.0, 1 + eps, 1.5, 2 - eps], eps),
        ([2.0, 3.0, 4 - 2 * eps], 2 * eps),
        ([1 - eps / 2, 0.75, 0.5], eps / 2),
        ([0.0, smallest, tiny / 2, tiny - smallest, tiny, 2 * tiny - smallest], smallest),
        ([2 * tiny, 2 * tiny + 2 * smallest], 2 * smallest),
        ([top, top * 1.5, largest, math.inf], top * eps),
    ]:
        np.testing.assert_array_equal(floats.ulp(sign * np.array(values), name), unit)


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
def test_unit_beyond_the_largest_float_is_that_of_the_top_binade(name):
    precision, _, emax = IEEE[name]
    assert floats.ulp(2.0 ** (emax + 7), name) == 2.0 ** (emax - precision + 1)


@every_format
def test_identical_values_have_no_error(name):
    values = special_values(name)
    assert not ulp_error(values, values).any()
    assert not ulp_error(values, values, flush=True).any()


@both_signs
@every_format
def test_neighbours_differ_by_one_unit_of_the_true_value(name, sign):
    eps = format_of(name).eps
    assert error_of(sign * (1 + eps), sign, name) == 1
    assert error_of(sign, sign * (1 + eps), name) == 1
    assert error_of(sign, sign * (1 - eps / 2), name) == 1
    assert error_of(sign * (1 - eps / 2), sign, name) == 0.5  # half a unit of 1, the true value
    assert error_of(sign * (1 + eps), sign * (1 - eps / 2), name) == 3


@both_signs
@every_format
def test_true_value_between_two_floats_is_half_a_unit_from_both(name, sign):
    eps = format_of(name).eps
    for computed in (1, 1 + eps):
        assert error_of(sign * computed, sign, name, residual=sign * 0.5) == 0.5
    for computed in (1, 1 - eps / 2):  # the true value is 1 - eps/4, and its unit eps/2
        assert error_of(sign * computed, sign, name, residual=-sign * 0.25) == 0.5


@both_signs
@every_format
def test_unit_halves_just_below_a_power_of_two_but_not_at_the_smallest_normal(name, sign):
    fmt = format_of(name)
    assert error_of(sign, sign, name, residual=sign / 8) == 0.125
    assert error_of(sign, sign, name, residual=-sign / 8) == 0.25
    assert error_of(sign * (1 - fmt.eps / 2), sign, name, residual=-sign / 8) == 0.75
    assert error_of(sign * 2 * fmt.tiny, sign * 2 * fmt.tiny, name, residual=-sign / 8) == 0.25
    assert error_of(sign * fmt.tiny, sign * fmt.tiny, name, residual=-sign / 8) == 0.125


@both_signs
@every_format
def test_infinity_lies_one_unit_above_the_largest_float(name, sign):
    infinity, largest = sign * math.inf, sign * format_of(name).max
    assert error_of(infinity, infinity, name) == 0
    assert error_of(largest, infinity, name) == 1
    assert error_of(infinity, largest, name) == 1
    assert error_of(infinity, largest, name, residual=sign * 0.25) == 0.75
    assert error_of(infinity, largest, name, residual=sign * (0.5 - 2.0**-40)) == 0.5 + 2.0**-40
    assert error_of(largest, largest, name, residual=sign * (0.5 - 2.0**-40)) == 0.5 - 2.0**-40


@every_format
def test_log_of_zero_is_only_as_deep_as_the_format(name):
    precision, _, emax = IEEE[name]
    assert error_of(-math.inf, -math.inf, name) == 0
    assert error_of(-format_of(name).max, -math.inf, name) == 1
    assert error_of(-(2.0**emax), -math.inf, name) == 2.0 ** (precision - 1)
    assert error_of(0.0, -math.inf, name) == 2.0**precision


@every_format
def test_wrong_sign_of_infinity_is_the_whole_line_away(name):
    whole_line = 2.0 ** (IEEE[name][0] + 1)
    assert error_of(math.inf, -math.inf, name) == error_of(-math.inf, math.inf, name) == whole_line


@with_and_without_flush
@every_format
def test_nan_is_its_own_class(name, flush):
    values = special_values(name)
    nan, number = np.full_like(values, np.nan), ~np.isnan(values)
    np.testing.assert_array_equal(ulp_error(nan, values, flush=flush), np.where(number, np.inf, 0))
    np.testing.assert_array_equal(ulp_error(values, nan, flush=flush), np.where(number, np.inf, 0))
    np.testing.assert_array_equal(floats.wrong_special(nan, values), number)
    np.testing.assert_array_equal(floats.wrong_special(values, nan), number)
    assert not floats.wrong_special(values[number], np.flip(values[number])).any()  # infinities are numbers here


@with_and_without_flush
def test_huge_ratios_clamp_to_a_finite_number(flush):
    fmt = format_of("float64")
    for computed, nearest in [(math.inf, 1), (fmt.max, fmt.smallest_subnormal), (-fmt.max, 0), (math.inf, -fmt.tiny)]:
        assert error_of(computed, nearest, "float64", flush=flush) == fmt.max


@every_format
def test_signed_zeros_are_equal(name):
    assert error_of(-0.0, 0.0, name) == error_of(0.0, -0.0, name) == 0
    assert error_of(-0.0, 0.0, name, residual=0.25) == error_of(0.0, -0.0, name, residual=-0.25) == 0.25


def test_error_keeps_the_shape_and_truth_can_be_indexed():
    computed, truth = random_pairs("float32", 24, seed=0)
    error = ulp_error(computed.reshape(4, 6), Truth(*(v.reshape(4, 6) for v in vars(truth).values())))
    assert error.shape == (4, 6) and error.dtype == np.float64
    np.testing.assert_array_equal(error.ravel()[5:9], ulp_error(computed[5:9], truth[5:9]))


# --- on devices that flush subnormals ----------------------------------------------------------------------------


@every_format
def test_flushing_makes_everything_below_the_smallest_normal_equal(name):
    fmt = format_of(name)
    below = [0.0, fmt.smallest_subnormal, fmt.tiny / 2, fmt.tiny - fmt.smallest_subnormal]
    below += [-value for value in below]
    assert not any(error_of(computed, nearest, name, flush=True) for computed in below for nearest in below)


@pytest.mark.parametrize("residual", [-0.5, -0.25, -0.0625])
@every_format
def test_flushing_counts_a_true_value_that_rounds_up_to_the_smallest_normal_as_below_it(name, residual):
    tiny = format_of(name).tiny
    assert error_of(0.0, tiny, name, residual=residual, flush=True) == 0
    assert error_of(-0.0, -tiny, name, residual=-residual, flush=True) == 0
    assert error_of(tiny, tiny, name, residual=residual, flush=True) == -residual


@both_signs
@every_format
def test_flushing_contracts_the_gap_around_zero_to_one_step(name, sign):
    fmt = format_of(name)
    tiny, following = sign * fmt.tiny, sign * (fmt.tiny + fmt.smallest_subnormal)
    cases = [(tiny, 0, 1), (tiny, -tiny, 2), (following, 0, 2), (following, -tiny, 3), (following, tiny, 1)]
    for a, b, steps in cases:
        assert error_of(a, b, name, flush=True) == error_of(b, a, name, flush=True) == steps


@both_signs
@every_format
def test_flushing_contracts_the_gap_between_any_two_normals_of_opposite_sign(name, sign):
    fmt = format_of(name)
    following = sign * (fmt.tiny + fmt.smallest_subnormal)
    assert error_of(following, -following, name, flush=True) == 4


@both_signs
@every_format
def test_flushing_keeps_the_residual(name, sign):
    assert error_of(0, sign * format_of(name).tiny, name, residual=sign * 0.25, flush=True) == 1.25


@every_format
def test_flushing_changes_nothing_on_one_side_of_the_subnormals(name):
    computed, truth = random_pairs(name, 6000, seed=3)
    wide, right, tiny = computed.astype(float), truth.nearest.astype(float), format_of(name).tiny
    same_side = (np.minimum(np.abs(wide), np.abs(right)) > tiny) & (np.sign(wide) == np.sign(right))
    assert same_side.sum() > 1000
    with_flush, without = (ulp_error(computed, truth, flush=flush)[same_side] for flush in (True, False))
    np.testing.assert_array_equal(with_flush, without)


@every_format
def test_flushed_marks_zeros_where_a_subnormal_is_right(name):
    fmt = format_of(name)
    right = np.array([fmt.tiny / 2, -fmt.smallest_subnormal, fmt.tiny, 0.0, np.nan, fmt.tiny / 2]).astype(fmt.dtype)
    computed = np.array([0.0, -0.0, 0.0, 0.0, 0.0, fmt.tiny / 2]).astype(fmt.dtype)
    np.testing.assert_array_equal(floats.flushed(computed, right), [True, True, False, False, False, False])
