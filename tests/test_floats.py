"""Float formats, rounding, ordinals, neighbours and corners, against exact rational arithmetic."""

import contextlib
import itertools
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest

from stablenn import floats
from stablenn.floats import corners, format_of, from_ordinal, neighbours, round_fraction, to_ordinal

# significand bits, least and greatest normal exponent: IEEE 754, and float32's exponents for bfloat16
IEEE = {"bfloat16": (8, -126, 127), "float16": (11, -14, 15), "float32": (24, -126, 127), "float64": (53, -1022, 1023)}
every_format = pytest.mark.parametrize("name", IEEE)


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


def float_at(ordinal, name):
    if abs(ordinal) == last_ordinal(name):
        return math.copysign(math.inf, ordinal)
    return float(value_at(ordinal, name))


def nearest_ordinal(value, name):
    """The ordinal of the float nearest to a positive rational, ties to even, by bisection."""
    low, high = 0, last_ordinal(name)
    if value >= value_at(high, name):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if value_at(middle, name) <= value else (low, middle)
    below, above = value - value_at(low, name), value_at(high, name) - value
    return low if below < above or (below == above and low % 2 == 0) else high


# --- formats -----------------------------------------------------------------------------------------------------


@every_format
def test_format_has_the_parameters_of_the_standard(name):
    fmt = format_of(name)
    precision, emin, emax = IEEE[name]
    assert (fmt.precision, fmt.emin, fmt.emax) == IEEE[name]
    assert fmt.name == name and fmt.bits == precision + (emax - emin + 2).bit_length()
    assert fmt.smallest_subnormal == value_at(1, name)
    assert fmt.tiny == value_at(2 ** (precision - 1), name) == two_to(emin)
    assert fmt.max == value_at(last_ordinal(name) - 1, name)
    assert fmt.eps == two_to(1 - precision)


@every_format
def test_format_is_found_by_name_dtype_and_scalar_type(name):
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    assert format_of(name) is format_of(dtype) is format_of(dtype.type)
    assert format_of(name).dtype == dtype


WRONG = ["float8_e5m2", "float77", "int32", "complex64", "", "finfo", "float32,", "x y", np.int32, bool, 3, None]


@pytest.mark.parametrize("given", WRONG, ids=repr)
def test_what_is_no_float_format_is_refused_with_the_allowed_names(given):
    with pytest.raises(ValueError) as caught:
        format_of(given)
    message = str(caught.value)
    assert getattr(given, "__name__", str(given)) in message
    assert "allowed: bfloat16, float16, float32, float64" in message
    assert "\n" not in message


@pytest.mark.parametrize("spelt", [str, lambda name: np.dtype(getattr(ml_dtypes, name, name))], ids=["name", "dtype"])
def test_is_float_tells_the_four_formats_from_the_rest(spelt):
    assert all(floats.is_float(spelt(name)) for name in IEEE)
    assert not any(floats.is_float(spelt(name)) for name in ("int32", "bool", "complex64", "uint8"))


# --- rounding exact rationals ------------------------------------------------------------------------------------


def assert_rounds_to(value, ordinal, name):
    """Check the nearest float and, in its ulps, what it leaves, for a positive value and its negative."""
    nearest, residual = round_fraction(value, format_of(name))
    assert nearest == float_at(ordinal, name), value
    unit = value_at(ordinal + 1, name) - value_at(ordinal, name)
    assert residual == (0 if math.isinf(nearest) else float((value - value_at(ordinal, name)) / unit)), value
    assert round_fraction(-value, format_of(name)) == (-nearest, -residual)


def test_rounding_is_right_at_and_around_every_midpoint_of_float16():
    line = [value_at(ordinal, "float16") for ordinal in range(last_ordinal("float16") + 1)]
    nudge = two_to(-60)
    for i, (low, high) in enumerate(itertools.pairwise(line)):
        middle, even = (low + high) / 2, i + i % 2
        for value, ordinal in [(middle - nudge, i), (middle, even), (middle + nudge, i + 1)]:
            assert_rounds_to(value, ordinal, "float16")


@every_format
def test_rounding_keeps_floats(name):
    last = last_ordinal(name)
    for ordinal in [1, 2, last - 2, last - 1, *np.random.default_rng(3).integers(1, last, 200).tolist()]:
        assert_rounds_to(value_at(ordinal, name), ordinal, name)


@every_format
def test_rounding_is_right_on_random_rationals(name):
    rng = np.random.default_rng(7)
    precision, emin, emax = IEEE[name]
    for exponent in [*rng.integers(emin - precision - 3, emax, 300).tolist(), emin - 1, emin, emax]:
        numerator, denominator = (int(v) for v in rng.integers(2**61, 2**62, 2))
        value = Fraction(numerator, 2 * denominator) * two_to(exponent)  # below 2^exponent
        assert_rounds_to(value, nearest_ordinal(value, name), name)


@every_format
def test_rounding_overflows_at_half_a_unit_beyond_the_largest_float(name):
    precision, _, emax = IEEE[name]
    threshold, last = two_to(emax + 1) - two_to(emax - precision), last_ordinal(name)
    assert_rounds_to(threshold, last, name)
    assert_rounds_to(threshold + two_to(emax - precision - 10), last, name)
    assert_rounds_to(threshold - two_to(emax - precision - 10), last - 1, name)


@pytest.mark.parametrize("factor", [1, Fraction(3, 2), 2, 1000, Fraction(2**900, 3)], ids=float)
@every_format
def test_rounding_overflows_far_beyond_the_largest_float(name, factor):
    assert_rounds_to(factor * two_to(IEEE[name][2] + 1), last_ordinal(name), name)


@every_format
def test_rounding_underflows_to_a_zero_with_a_residual(name):
    smallest, fmt = value_at(1, name), format_of(name)
    assert round_fraction(Fraction(0), fmt) == (0, 0)
    assert round_fraction(smallest / 2, fmt) == (0, 0.5)
    assert round_fraction(-smallest / 4, fmt) == (0, -0.25)
    assert round_fraction(smallest * Fraction(3, 2), fmt) == (2 * fmt.smallest_subnormal, -0.5)


# --- ordinals and neighbours -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_ordinals_round_trip_on_every_bit_pattern(name):
    bits = np.arange(2**16).astype(np.uint16)
    back = from_ordinal(to_ordinal(bits.view(format_of(name).dtype)), name).view(np.uint16)
    np.testing.assert_array_equal(back, np.where(bits == 0x8000, 0, bits))  # -0 comes back as +0
    line = np.arange(-last_ordinal(name), last_ordinal(name) + 1)
    np.testing.assert_array_equal(to_ordinal(from_ordinal(line, name)), line)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_every_ordinal_of_a_short_format_is_its_float(name):
    line = range(-last_ordinal(name), last_ordinal(name) + 1)
    values = from_ordinal(np.array(line), name).astype(float)
    np.testing.assert_array_equal(values, [float_at(ordinal, name) for ordinal in line])


@every_format
def test_ordinals_count_floats_along_the_line(name):
    last = last_ordinal(name)
    ends = np.r_[-last : -last + 3, -3:4, last - 2 : last + 1]
    ordinals = np.unique(np.r_[np.random.default_rng(0).integers(-last, last, 2000), ends])
    values = from_ordinal(ordinals, name)
    assert values.dtype == format_of(name).dtype
    np.testing.assert_array_equal(values.astype(float), [float_at(ordinal, name) for ordinal in ordinals.tolist()])
    assert (np.diff(values.astype(float)) > 0).all()
    np.testing.assert_array_equal(to_ordinal(values), ordinals)
    finite = values[np.isfinite(values.astype(float))][:-1]
    after = np.nextafter(finite, np.array(np.inf).astype(values.dtype))
    np.testing.assert_array_equal(to_ordinal(after), to_ordinal(finite) + 1)


@every_format
def test_ordinals_keep_the_shape(name):
    values = from_ordinal([[1, 2, 3], [-1, 0, 1]], name)
    assert values.shape == (2, 3)
    assert to_ordinal(values.T).tolist() == [[1, -1], [2, 0], [3, 1]]
    assert to_ordinal(values[0, 1]) == 2


@every_format
def test_neighbours_are_the_next_floats_on_either_side(name):
    fmt = format_of(name)
    eps, small, top = fmt.eps, fmt.smallest_subnormal, 2.0 ** (fmt.emax - fmt.precision + 1)
    for value, expected in [
        (1.0, [1 - eps, 1 - eps / 2, 1, 1 + eps, 1 + 2 * eps]),
        (-1.0, [-1 - 2 * eps, -1 - eps, -1, -1 + eps / 2, -1 + eps]),
        (0.0, [-2 * small, -small, 0, small, 2 * small]),
        (fmt.max, [fmt.max - 2 * top, fmt.max - top, fmt.max, math.inf]),
        (-math.inf, [-math.inf, -fmt.max, -fmt.max + top]),
    ]:
        around = neighbours(value, name)
        assert around.dtype == fmt.dtype
        assert around.astype(float).tolist() == expected
    assert neighbours(1 + eps / 3, name, steps=0).astype(float).tolist() == [1.0]
    assert len(neighbours(3.0, name, steps=4)) == 9


# --- corners -----------------------------------------------------------------------------------------------------


@every_format
def test_corners_hold_the_specials_and_each_limit_with_its_neighbours(name):
    fmt, values = format_of(name), corners(name)
    wide, last = values.astype(float), last_ordinal(name)
    limits = [fmt.smallest_subnormal, fmt.tiny, fmt.eps, 0.5, 1.0, 2.0, 1 / fmt.eps, fmt.max]
    limits += [math.sqrt(v) for v in (fmt.eps, fmt.max, fmt.tiny)]
    limits += [math.log(1 / fmt.eps), -math.log(fmt.tiny), math.log(fmt.max)]
    for limit in limits:
        center = nearest_ordinal(Fraction(limit), name)
        around = [float_at(o, name) for o in range(center - 2, min(center + 3, last + 1))]
        assert set(around) | {-v for v in around} <= set(wide.tolist()), limit
    assert values.dtype == fmt.dtype
    assert sorted(np.signbit(wide[wide == 0]).tolist()) == [False, True]


@every_format
def test_corners_are_unique_and_finite_but_for_the_specials(name):
    values = corners(name)
    bits = values.view(f"u{values.dtype.itemsize}")
    assert len(np.unique(bits)) == len(bits)
    special = values[~np.isfinite(values.astype(float))].astype(float)
    assert np.isnan(special).sum() == 1 and sorted(special[~np.isnan(special)].tolist()) == [-math.inf, math.inf]


@every_format
def test_a_caller_cannot_spoil_the_corners_of_the_next(name):
    before = corners(name).tobytes()
    with contextlib.suppress(ValueError):  # read-only is as good as a copy
        corners(name)[:] = 1
    after = corners(name).tobytes()
    if after != before:
        corners.cache_clear()
    assert after == before
