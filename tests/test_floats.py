"""Float formats, the error in ULP, ordinals and corners, against exact rational arithmetic."""

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from stablenn import floats
from stablenn.floats import Truth, corners, format_of, from_ordinal, neighbours, round_fraction, to_ordinal, ulp_error

# significand bits, least and greatest normal exponent: IEEE 754, and float32's exponents for bfloat16
IEEE = {"bfloat16": (8, -126, 127), "float16": (11, -14, 15), "float32": (24, -126, 127), "float64": (53, -1022, 1023)}
LARGEST = Fraction(np.finfo(np.float64).max)
every_format = pytest.mark.parametrize("name", IEEE)


# --- an independent, slow reference --------------------------------------------------------------------------------


def two_to(exponent):
    return Fraction(2) ** exponent


def last_ordinal(name):
    """The ordinal of infinity."""
    precision, emin, emax = IEEE[name]
    return (emax - emin + 2) << (precision - 1)


def value_at(ordinal, name):
    """The real number that a float stands for, infinity being one step beyond the largest float."""
    precision, emin, _ = IEEE[name]
    field, mantissa = divmod(abs(ordinal), 2 ** (precision - 1))
    magnitude = mantissa * two_to(emin - precision + 1)
    if field:
        magnitude = (2 ** (precision - 1) + mantissa) * two_to(emin - precision + field)
    return magnitude if ordinal >= 0 else -magnitude


def floats_at(ordinals, name):
    bits = np.abs(np.asarray(ordinals, np.int64)).astype(f"u{format_of(name).dtype.itemsize}")
    magnitude = bits.view(format_of(name).dtype)
    return np.where(np.asarray(ordinals) < 0, -magnitude, magnitude)


def true_ulp(value, name):
    precision, emin, emax = IEEE[name]
    exponent = emin
    if value:
        exponent = abs(value.numerator).bit_length() - value.denominator.bit_length()
        exponent -= abs(value) < two_to(exponent)
    return two_to(min(max(exponent, emin), emax) - (precision - 1))


def nearest_ordinal(value, name):
    """Round to nearest, ties to even, by bisection."""
    low, high = 0, last_ordinal(name)
    if abs(value) >= value_at(high, name):
        low = high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if value_at(middle, name) <= abs(value) else (low, middle)
    below, above = abs(value) - value_at(low, name), value_at(high, name) - abs(value)
    best = low if below < above or (below == above and low % 2 == 0) else high
    return best if value > 0 else -best


def true_error(computed, true, name, flush=False):
    """The error in ULP as the design states it: `computed` a float, `true` a Fraction or a special float."""
    precision, emin, emax = IEEE[name]
    if math.isnan(computed) or (isinstance(true, float) and math.isnan(true)):
        return 0 if math.isnan(computed) and isinstance(true, float) and math.isnan(true) else math.inf
    beyond = two_to(emax + 1)
    if isinstance(true, float) and math.isinf(true):
        true = math.copysign(1, true) * beyond
    if abs(true) >= beyond - two_to(emax - precision):  # rounds to infinity
        true = beyond if true > 0 else -beyond
    true, unit = Fraction(true), true_ulp(Fraction(true), name)
    computed = Fraction(computed) if math.isfinite(computed) else int(math.copysign(1, computed)) * beyond
    if flush:
        tiny, gap = two_to(emin), two_to(emin) - two_to(emin - precision + 1)
        if abs(computed) < tiny and abs(true) < tiny:
            return 0
        computed, true = (v - max(-gap, min(gap, v)) for v in (computed, true))
    return min(abs(computed - true) / unit, LARGEST)


def assert_agrees(computed, truth, name, flush):
    """Compare `ulp_error` with the reference, element by element."""
    got = ulp_error(computed, truth, flush=flush)
    wrong = []
    for c, nearest, residual, error in zip(computed.astype(float), truth.nearest, truth.residual, got, strict=True):
        true = float(nearest)
        if math.isfinite(true):
            true = Fraction(true) + Fraction(float(residual)) * true_ulp(Fraction(true), name)
        expected = true_error(float(c), true, name, flush)
        same = error == expected if math.isinf(expected) else abs(Fraction(float(error)) - expected) <= expected / 2**50
        if not same:
            wrong.append((float(c), float(nearest), float(residual), float(error), float(expected)))
    assert not wrong, f"{len(wrong)} wrong; (computed, nearest, residual, got, expected): {wrong[:5]}"


def random_pairs(name, count, seed):
    """Computed values and truths: anywhere, around powers of two, zero, the smallest normals and the largest float."""
    rng = np.random.default_rng(seed)
    step, last = 2 ** (IEEE[name][0] - 1), last_ordinal(name)
    anywhere = rng.integers(-last, last, count)
    powers = rng.integers(1, last // step, count) * step
    centers = np.stack([anywhere, powers, -powers, 0 * powers, 0 * powers + step, 0 * powers - step, 0 * powers + last])
    centers = centers[rng.integers(0, len(centers), count), np.arange(count)]
    nearest = np.clip(centers + rng.integers(-3, 4, count), -last, last)
    near = np.clip(nearest + rng.integers(-5, 6, count), -last, last)
    mirrored = np.clip(rng.integers(-5, 6, count) - nearest, -last, last)
    far = rng.choice([0, step, -step, last, -last, last - 1], count)
    computed = np.choose(rng.integers(0, 5, count), [near, near, mirrored, far, rng.integers(-last, last, count)])
    residual = rng.choice([0.0, 0.5, 0.25, rng.random()], count) * rng.choice([1, -1], count) * rng.random(count).round()
    # what rounding takes away never reaches into the inner half of the way to a float of the smaller binade
    inward = (np.abs(nearest) % step == 0) & (np.abs(nearest) > step) & (np.sign(residual) == -np.sign(nearest))
    residual = np.where(inward, residual / 2, residual) * (np.abs(nearest) < last)
    residual = np.where((np.abs(nearest) == last - 1) & (np.abs(residual) == 0.5), 0.499, residual)
    return floats_at(computed, name), Truth(floats_at(nearest, name), residual, np.ones(count, bool))


def one_truth(nearest, residual, name):
    return Truth(np.array([nearest]).astype(format_of(name).dtype), np.array([residual]), np.array([True]))


def error_of(computed, nearest, name, residual=0.0, flush=False):
    computed = np.array([computed]).astype(format_of(name).dtype)
    return float(ulp_error(computed, one_truth(nearest, residual, name), flush=flush)[0])


def special_values(name):
    fmt = format_of(name)
    step, last = 2 ** (fmt.precision - 1), last_ordinal(name)
    ordinals = [0, 1, 2, step - 1, step, step + 1, 2 * step, to_ordinal(np.ones((), fmt.dtype)), last - 2, last - 1, last]
    positive = floats_at(ordinals, name)
    return np.concatenate([positive, -positive, np.array([np.nan]).astype(fmt.dtype)])


# --- the error against the reference -------------------------------------------------------------------------------


@pytest.mark.parametrize("flush", [False, True])
@every_format
def test_error_is_the_stated_formula_on_random_pairs(name, flush):
    computed, truth = random_pairs(name, 4000, seed=len(name))
    assert_agrees(computed, truth, name, flush)


@pytest.mark.parametrize("flush", [False, True])
@every_format
def test_error_is_the_stated_formula_on_every_pair_of_specials(name, flush):
    values = special_values(name)
    computed, nearest = (v.ravel() for v in np.meshgrid(values, values))
    truth = Truth(nearest, np.zeros(nearest.shape), np.ones(nearest.shape, bool))
    assert not np.isnan(ulp_error(computed, truth, flush=flush)).any()
    assert_agrees(computed, truth, name, flush)


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_error_is_never_nan_on_random_bits(name, flush):
    bits = np.random.default_rng(1).integers(0, 2**16, (2, 50_000), np.uint16)
    computed, nearest = bits.view(format_of(name).dtype)
    error = ulp_error(computed, nearest, flush=flush)
    assert not np.isnan(error).any() and (error >= 0).all()
    np.testing.assert_array_equal(np.isinf(error), np.isnan(computed) ^ np.isnan(nearest))


# --- the error on hand-made cases ----------------------------------------------------------------------------------


@every_format
def test_unit_is_that_of_the_binade(name):
    precision, emin, emax = IEEE[name]
    fmt, smallest = format_of(name), 2.0 ** (emin - precision + 1)
    cases = {
        1.0: fmt.eps, 1.5: fmt.eps, 2.0: 2 * fmt.eps, 1 - fmt.eps / 2: fmt.eps / 2, 0.5: fmt.eps / 2,
        0.0: smallest, smallest: smallest, fmt.tiny / 2: smallest, fmt.tiny - smallest: smallest,
        fmt.tiny: smallest, 2 * fmt.tiny - smallest: smallest, 2 * fmt.tiny: 2 * smallest,
        2.0**emax: 2.0 ** (emax - precision + 1), fmt.max: 2.0 ** (emax - precision + 1),
        math.inf: 2.0 ** (emax - precision + 1),
    }  # fmt: skip
    np.testing.assert_array_equal(floats.ulp(list(cases), name), list(cases.values()))
    np.testing.assert_array_equal(floats.ulp([-value for value in cases], name), list(cases.values()))


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
def test_unit_beyond_the_largest_float_is_that_of_the_top_binade(name):
    precision, _, emax = IEEE[name]
    assert floats.ulp(2.0 ** (emax + 7), name) == 2.0 ** (emax - precision + 1)


@every_format
def test_identical_values_have_no_error(name):
    values = special_values(name)
    assert not ulp_error(values, values).any()
    assert not ulp_error(values, values, flush=True).any()


@pytest.mark.parametrize("sign", [1, -1])
@every_format
def test_neighbours_differ_by_one_unit_of_the_true_value(name, sign):
    eps = format_of(name).eps
    assert error_of(sign * (1 + eps), sign, name) == 1
    assert error_of(sign, sign * (1 + eps), name) == 1
    assert error_of(sign * (1 - eps / 2), sign, name) == 0.5  # half a unit of 1, the true value
    assert error_of(sign, sign * (1 - eps / 2), name) == 1
    assert error_of(sign * (1 + eps), sign * (1 - eps / 2), name) == 3


@pytest.mark.parametrize("sign", [1, -1])
@every_format
def test_true_value_between_two_floats_is_half_a_unit_from_both(name, sign):
    eps = format_of(name).eps
    for computed in (1, 1 + eps):
        assert error_of(sign * computed, sign, name, residual=sign * 0.5) == 0.5
    for computed in (1, 1 - eps / 2):  # the true value is 1 - eps/4, and its unit eps/2
        assert error_of(sign * computed, sign, name, residual=-sign * 0.25) == 0.5


@pytest.mark.parametrize("sign", [1, -1])
@every_format
def test_unit_halves_just_below_a_power_of_two_but_not_at_the_smallest_normal(name, sign):
    fmt = format_of(name)
    assert error_of(sign, sign, name, residual=-sign / 8) == 0.25
    assert error_of(sign * (1 - fmt.eps / 2), sign, name, residual=-sign / 8) == 0.75
    assert error_of(sign, sign, name, residual=sign / 8) == 0.125
    assert error_of(sign * 2 * fmt.tiny, sign * 2 * fmt.tiny, name, residual=-sign / 8) == 0.25
    assert error_of(sign * fmt.tiny, sign * fmt.tiny, name, residual=-sign / 8) == 0.125


@every_format
def test_infinity_lies_one_unit_above_the_largest_float(name):
    largest = format_of(name).max
    assert error_of(math.inf, math.inf, name) == 0
    assert error_of(largest, math.inf, name) == 1
    assert error_of(math.inf, largest, name) == 1
    assert error_of(-math.inf, -largest, name, residual=-0.25) == 0.75
    just_below_the_threshold = np.nextafter(0.5, 0)
    assert error_of(math.inf, largest, name, residual=just_below_the_threshold) == 1 - just_below_the_threshold
    assert error_of(largest, largest, name, residual=just_below_the_threshold) == just_below_the_threshold


@every_format
def test_log_of_zero_is_infinitely_deep_only_up_to_the_end_of_the_format(name):
    precision, _, emax = IEEE[name]
    assert error_of(-math.inf, -math.inf, name) == 0
    assert error_of(-format_of(name).max, -math.inf, name) == 1
    assert error_of(0.0, -math.inf, name) == 2.0**precision
    assert error_of(-(2.0**emax), -math.inf, name) == 2.0 ** (precision - 1)


@every_format
def test_wrong_sign_of_infinity_is_twice_the_whole_line(name):
    precision = IEEE[name][0]
    assert error_of(math.inf, -math.inf, name) == error_of(-math.inf, math.inf, name) == 2.0 ** (precision + 1)


@pytest.mark.parametrize("flush", [False, True])
@every_format
def test_nan_is_its_own_class(name, flush):
    values = special_values(name)
    nan = np.full(values.shape, np.nan).astype(values.dtype)
    number = ~np.isnan(values)
    np.testing.assert_array_equal(ulp_error(nan, values, flush=flush), np.where(number, np.inf, 0))
    np.testing.assert_array_equal(ulp_error(values, nan, flush=flush), np.where(number, np.inf, 0))
    np.testing.assert_array_equal(floats.wrong_special(nan, values), number)
    np.testing.assert_array_equal(floats.wrong_special(values, nan), number)
    assert not floats.wrong_special(values, values).any()
    assert not floats.wrong_special(values[number], np.flip(values[number])).any()  # infinities are numbers here


def test_huge_ratios_clamp_to_a_finite_number():
    fmt = format_of("float64")
    for computed, nearest in [(math.inf, 1), (fmt.max, fmt.smallest_subnormal), (-fmt.max, 0), (math.inf, -fmt.tiny)]:
        for flush in (False, True):
            assert error_of(computed, nearest, "float64", flush=flush) == fmt.max


@every_format
def test_signed_zeros_are_equal(name):
    assert error_of(-0.0, 0.0, name) == error_of(0.0, -0.0, name) == 0
    assert error_of(-0.0, 0.0, name, residual=0.25) == 0.25


# --- flushed subnormals --------------------------------------------------------------------------------------------


@every_format
def test_flushing_makes_everything_below_the_smallest_normal_equal(name):
    fmt = format_of(name)
    below = [0.0, fmt.smallest_subnormal, fmt.tiny / 2, fmt.tiny - fmt.smallest_subnormal]
    below += [-value for value in below]
    for computed in below:
        for nearest in below:
            assert error_of(computed, nearest, name, flush=True) == 0
    # a true value just below the smallest normal rounds to it
    assert error_of(0.0, fmt.tiny, name, residual=-0.25, flush=True) == 0
    assert error_of(0.0, fmt.tiny, name, residual=-0.0625, flush=True) == 0


@pytest.mark.parametrize("sign", [1, -1])
@every_format
def test_flushing_contracts_the_gap_around_zero_to_one_step(name, sign):
    fmt = format_of(name)
    tiny, following = sign * fmt.tiny, sign * (fmt.tiny + fmt.smallest_subnormal)
    for a, b, steps in [(tiny, 0, 1), (tiny, -tiny, 2), (following, 0, 2), (following, -tiny, 3)]:
        assert error_of(a, b, name, flush=True) == error_of(b, a, name, flush=True) == steps
    assert error_of(following, tiny, name, flush=True) == 1
    assert error_of(following, -following, name, flush=True) == 4
    assert error_of(0, tiny, name, residual=sign * 0.25, flush=True) == 1.25
    assert error_of(tiny, tiny, name, residual=-sign * 0.25, flush=True) == 0.25


@every_format
def test_flushing_changes_nothing_away_from_the_subnormals(name):
    computed, truth = random_pairs(name, 4000, seed=3)
    wide, right = computed.astype(float), truth.nearest.astype(float)
    tiny = format_of(name).tiny
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


# --- shapes and formats --------------------------------------------------------------------------------------------


def test_error_keeps_the_shape_and_truth_can_be_indexed():
    computed, truth = random_pairs("float32", 24, seed=0)
    error = ulp_error(computed.reshape(4, 6), Truth(*(v.reshape(4, 6) for v in vars(truth).values())))
    assert error.shape == (4, 6) and error.dtype == np.float64
    np.testing.assert_array_equal(error.ravel()[5:9], ulp_error(computed[5:9], truth[5:9]))


@every_format
def test_format_has_the_parameters_of_the_standard(name):
    fmt, info = format_of(name), ml_dtypes.finfo(name if name != "bfloat16" else ml_dtypes.bfloat16)
    assert (fmt.precision, fmt.emin, fmt.emax) == IEEE[name]
    assert fmt.name == name and fmt.bits == info.bits
    assert fmt.tiny == float(info.smallest_normal) and fmt.smallest_subnormal == float(info.smallest_subnormal)
    assert fmt.max == float(info.max) and fmt.eps == float(info.eps)


@every_format
def test_format_is_found_by_name_dtype_and_scalar_type(name):
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    for given in (name, dtype, dtype.type, np.ones(3, dtype).dtype):
        assert format_of(given) is format_of(name)
        assert floats.is_float(given)


WRONG = ["float8_e5m2", "float128", "int32", "complex64", "", "finfo", "float32,", "x y", np.int32, bool, 3, None, {}, []]


@pytest.mark.parametrize("given", WRONG, ids=repr)
def test_what_is_no_float_format_is_refused_with_the_allowed_names(given):
    with pytest.raises(ValueError) as caught:
        format_of(given)
    message = str(caught.value)
    shown = getattr(given, "__name__", given) if isinstance(given, type) else given
    assert str(shown) in message and "allowed: bfloat16, float16, float32, float64" in message
    assert "\n" not in message
    assert not floats.is_float(given)


# --- rounding exact rationals --------------------------------------------------------------------------------------


def assert_rounds(value, name):
    nearest, residual = round_fraction(value, format_of(name))
    best = nearest_ordinal(value, name)
    assert nearest == float(floats_at([best], name)[0]), (value, nearest)
    if math.isfinite(nearest):
        exact = (value - value_at(best, name)) / true_ulp(value_at(best, name), name)
        assert residual == float(exact) and abs(residual) <= 0.5, (value, residual)
    else:
        assert residual == 0.0


def test_rounding_is_right_at_and_around_every_midpoint_of_float16():
    last = last_ordinal("float16")
    line = [value_at(ordinal, "float16") for ordinal in range(last + 1)]
    fmt, nudge = format_of("float16"), two_to(-60)
    for i, (low, high) in enumerate(zip(line, line[1:], strict=False)):
        middle, even = (low + high) / 2, i + i % 2
        for value, ordinal in [(low, i), (middle - nudge, i), (middle, even), (middle + nudge, i + 1)]:
            nearest, residual = round_fraction(value, fmt)
            if ordinal == last:
                assert (nearest, residual) == (math.inf, 0)
            else:
                assert nearest == line[ordinal]
                assert residual == float((value - line[ordinal]) / true_ulp(line[ordinal], "float16"))
                assert round_fraction(-value, fmt) == (-nearest, -residual)


@every_format
def test_rounding_is_right_on_random_rationals(name):
    rng = np.random.default_rng(7)
    precision, emin, emax = IEEE[name]
    for exponent in [*rng.integers(emin - precision - 3, emax + 2, 300).tolist(), emin - 1, emin, emax]:
        numerator, denominator = (int(v) for v in rng.integers(2**61, 2**62, 2))
        value = Fraction(numerator, denominator) * two_to(exponent)
        assert_rounds(value, name)
        assert_rounds(-value, name)


@every_format
def test_rounding_overflows_at_half_a_unit_beyond_the_largest_float(name):
    precision, _, emax = IEEE[name]
    threshold = two_to(emax + 1) - two_to(emax - precision)
    assert round_fraction(threshold, format_of(name)) == (math.inf, 0)
    assert round_fraction(-threshold, format_of(name)) == (-math.inf, 0)
    below = threshold - two_to(emax - precision - 10)
    assert round_fraction(below, format_of(name)) == (format_of(name).max, 0.5 - 2.0**-11)


@pytest.mark.parametrize("factor", [1, Fraction(3, 2), 2, 1000, Fraction(2**900, 3)])
@every_format
def test_rounding_overflows_far_beyond_the_largest_float(name, factor):
    value = factor * two_to(IEEE[name][2] + 1)
    assert round_fraction(value, format_of(name)) == (math.inf, 0)
    assert round_fraction(-value, format_of(name)) == (-math.inf, 0)


@every_format
def test_rounding_underflows_to_a_zero_with_a_residual(name):
    precision, emin, _ = IEEE[name]
    smallest, fmt = two_to(emin - precision + 1), format_of(name)
    assert round_fraction(Fraction(0), fmt) == (0, 0)
    assert round_fraction(smallest / 2, fmt) == (0, 0.5)
    assert round_fraction(-smallest / 4, fmt) == (0, -0.25)
    assert round_fraction(smallest * Fraction(3, 2), fmt) == (2 * fmt.smallest_subnormal, -0.5)


# --- ordinals, neighbours, corners ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_ordinals_round_trip_on_every_bit_pattern(name):
    values = np.arange(2**16).astype(np.uint16).view(format_of(name).dtype)
    back = from_ordinal(to_ordinal(values), name)
    zero = values == 0
    np.testing.assert_array_equal(back[~zero].view(np.uint16), values[~zero].view(np.uint16))
    np.testing.assert_array_equal(back[zero].view(np.uint16), 0)
    last = last_ordinal(name)
    line = np.arange(-last, last + 1)
    np.testing.assert_array_equal(to_ordinal(from_ordinal(line, name)), line)


@every_format
def test_ordinals_count_floats_along_the_line(name):
    last = last_ordinal(name)
    ordinals = np.unique(np.r_[np.random.default_rng(0).integers(-last, last, 2000), -last : -last + 3, -3:4, last - 2 : last + 1])
    values = from_ordinal(ordinals, name)
    assert values.dtype == format_of(name).dtype
    assert (np.diff(values.astype(float)) > 0).all()
    inner = np.abs(ordinals) < last
    assert [Fraction(float(v)) for v in values[inner]] == [value_at(o, name) for o in ordinals[inner].tolist()]
    assert values[0] == -np.inf and values[-1] == np.inf
    np.testing.assert_array_equal(to_ordinal(values), ordinals)
    after = np.nextafter(values[:-1], np.array(np.inf).astype(values.dtype))
    np.testing.assert_array_equal(to_ordinal(after), ordinals[:-1] + 1)


@every_format
def test_neighbours_are_the_next_floats_on_either_side(name):
    fmt = format_of(name)
    eps, small = fmt.eps, fmt.smallest_subnormal
    cases = {
        1.0: [1 - eps, 1 - eps / 2, 1, 1 + eps, 1 + 2 * eps],
        -1.0: [-1 - 2 * eps, -1 - eps, -1, -1 + eps / 2, -1 + eps],
        0.0: [-2 * small, -small, 0, small, 2 * small],
        fmt.max: [fmt.max * (1 - eps), fmt.max - 2.0 ** (fmt.emax - fmt.precision + 1), fmt.max, math.inf],
        -math.inf: [-math.inf, -fmt.max, 2.0 ** (fmt.emax - fmt.precision + 1) - fmt.max],
    }
    cases[fmt.max][0] = cases[fmt.max][1] - 2.0 ** (fmt.emax - fmt.precision + 1)
    for value, expected in cases.items():
        around = neighbours(value, name)
        assert around.dtype == fmt.dtype
        np.testing.assert_array_equal(around.astype(float), expected)
    assert neighbours(1 + eps / 3, name, steps=0).astype(float).tolist() == [1.0]
    assert len(neighbours(3.0, name, steps=4)) == 9


@every_format
def test_corners_hold_the_specials_and_each_limit_with_its_neighbours(name):
    fmt, values = format_of(name), corners(name)
    wide = values.astype(float)
    limits = [fmt.smallest_subnormal, fmt.tiny, fmt.eps, 0.5, 1.0, 2.0, 1 / fmt.eps, fmt.max, fmt.eps**0.5]
    limits += [math.log(1 / fmt.eps), -math.log(fmt.tiny), math.log(fmt.max), fmt.max**0.5, fmt.tiny**0.5]
    for limit in limits:
        rounded = to_ordinal(np.array(limit).astype(fmt.dtype))
        for ordinal in range(int(rounded) - 2, int(rounded) + 3):
            value = float(value_at(ordinal, name)) if ordinal < last_ordinal(name) else math.inf
            assert value in wide and -value in wide
    assert np.isnan(wide).sum() == 1
    assert sorted(np.signbit(wide[wide == 0])) == [False, True]
    assert values.dtype == fmt.dtype


@every_format
def test_corners_are_unique_and_finite_but_for_the_specials(name):
    values = corners(name)
    bits = values.view(f"u{values.dtype.itemsize}")
    assert len(np.unique(bits)) == len(bits)
    assert not np.isfinite(values.astype(float)).all()
    assert np.isfinite(values.astype(float)).sum() == len(values) - 3


@every_format
def test_a_caller_cannot_spoil_the_corners_of_the_next(name):
    before = corners(name).copy()
    try:
        corners(name)[:] = 1
    except ValueError:  # read-only is as good as a copy
        pass
    unchanged = np.array_equal(corners(name).view(f"u{before.dtype.itemsize}"), before.view(f"u{before.dtype.itemsize}"))
    if not unchanged:
        corners.cache_clear()
    assert unchanged
