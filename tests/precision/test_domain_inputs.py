"""The inputs of a domain lie inside its ranges, up to both ends, and reach everything that can be listed."""

import math

import numpy as np
import pytest

from stablenn import floats
from stablenn.precision.domain import Domain, DomainError

FORMATS = ("bfloat16", "float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
every_format = pytest.mark.parametrize("name", FORMATS)

RANGES = [
    "[0.1, 0.2]", "(0.1, 0.2)", "[0, 1]", "(0, 1)", "(0, 1]", "[-1, 0)", "(-1, 1)", "[-3, -2)", "[-100, 100]",
    "[1, 1]", "[-1e-3, 1e3)", "[tiny, 1]", "(tiny, max)", "[0, tiny)", "[1, max]", "[1, inf]", "[1, inf)",
    "(max, inf]", "(-inf, -1]", "[-inf, inf]", "(-inf, inf)", "[-1e300, 1e300]",
]  # fmt: skip
every_range = pytest.mark.parametrize("within", RANGES)


def bounds(within, fmt):
    named = {"tiny": fmt.tiny, "max": fmt.max}
    low, high = (named.get(end.strip()) or float(end) for end in within[1:-1].split(","))
    return low, high


def is_inside(values, within, fmt):
    """Membership by comparison of doubles, which hold every float of the four formats exactly."""
    (low, high), wide = bounds(within, fmt), values.astype(np.float64)
    above = wide > low if within[0] == "(" else wide >= low
    below = wide < high if within[-1] == ")" else wide <= high
    return above & below


def all_of_16_bits(name):
    return np.arange(2**16).astype(np.uint16).view(floats.format_of(name).dtype)


def bits(values):
    return values.view(f"u{values.dtype.itemsize}")


def is_subnormal(values):
    wide = np.abs(values.astype(np.float64))
    return (wide > 0) & (wide < floats.format_of(values.dtype).tiny)


# --- ranges of floats --------------------------------------------------------------------------------------------


@every_range
@every_format
@pytest.mark.parametrize("shape", ["", "[3]", "[2, 2]"])
def test_corners_and_samples_stay_inside_the_range(name, within, shape):
    domain, fmt = Domain.parse(f"x: {name}{shape} in {within}"), floats.format_of(name)
    for (values,) in (domain.corners(), domain.sample(200)):
        assert values.dtype == fmt.dtype
        assert is_inside(values, within, fmt).all(), values[~is_inside(values, within, fmt)]


@every_range
@every_format
def test_the_outermost_floats_of_the_range_are_corners(name, within):
    fmt = floats.format_of(name)
    (values,) = Domain.parse(f"x: {name} in {within}").corners()
    wide, infinity = values.astype(np.float64), np.array(np.inf).astype(fmt.dtype)
    for outermost, direction in ((wide.min(), -infinity), (wide.max(), infinity)):
        if abs(outermost) < np.inf:
            with np.errstate(over="ignore", under="ignore"):
                beyond = np.nextafter(np.array(outermost).astype(fmt.dtype), direction)
            assert not is_inside(beyond, within, fmt)


@every_range
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_exhaustive_is_every_float_of_the_range_once(name, within):
    (values,) = Domain.parse(f"x: {name} in {within}").exhaustive()
    everything = all_of_16_bits(name)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        expected = everything[is_inside(everything, within, floats.format_of(name))]
    np.testing.assert_array_equal(np.sort(bits(values)), np.sort(bits(expected)))


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_exhaustive_without_a_range_is_every_float_once_and_one_nan(name):
    (values,) = Domain.parse("x: float").with_dtype(name).exhaustive()
    infinity = bits(np.array([np.inf]).astype(values.dtype))[0]
    nan = (bits(values) & 0x7FFF) > infinity
    pattern = np.arange(2**16)
    np.testing.assert_array_equal(np.sort(bits(values)[~nan]), pattern[(pattern & 0x7FFF) <= infinity])
    assert nan.sum() == 1


@pytest.mark.parametrize("text", ["x: float32", "x: float16[2]", "x: float16; y: float16", "x: int16"])
def test_exhaustive_refuses_what_cannot_be_swept(text):
    with pytest.raises(DomainError) as caught:
        Domain.parse(text).exhaustive()
    message = str(caught.value)
    assert f"'{text}'" in message and "16 bits" in message and "float" in message.replace(text, "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x: bfloat16 in (1, 1.001)", "1.001"),
        ("x: float32 in [1.00000001, 1.00000002]", "1.00000001"),
        ("x: float16[3] in [70000, 80000]", "70000"),
        ("x: float32 in [max, 1]", "max"),
        ("x: float64 in (tiny, tiny]", "tiny"),
        ("i: int32 in (0.2, 0.8)", "0.2"),
        ("i: uint8[2] in [300, 400]", "300"),
        ("i: uint8 in [-5, -1]", "-5"),
    ],
)
def test_a_range_without_a_value_of_its_dtype_is_refused(text, shown):
    with pytest.raises(DomainError) as caught:
        domain = Domain.parse(text)
        domain.sample(3)
    assert shown in str(caught.value) and text.split()[1].split("[")[0] in str(caught.value)
    with pytest.raises(DomainError):
        Domain.parse(text).corners()


@pytest.mark.parametrize("text", ["x: float", "i: int32; x: float[3] in [0, 1]", "p: float[3] in simplex"])
def test_inputs_in_the_measured_dtype_need_that_dtype_first(text):
    domain = Domain.parse(text)
    for draw in (domain.corners, lambda: domain.sample(3), *([domain.exhaustive] if domain.is_univariate else [])):
        with pytest.raises(DomainError, match=r"with_dtype"):
            draw()


@every_format
def test_infinities_and_nan_occur_only_where_the_range_allows_them(name):
    everything = {"-inf", "inf", "nan"}
    for within, expected in [("", everything), ("in [-inf, inf]", everything - {"nan"}), ("in (-inf, inf)", set())]:
        for shape in ("", "[3]"):
            wide = Domain.parse(f"x: {name}{shape} {within}").corners()[0].astype(np.float64)
            assert {str(value) for value in wide[~np.isfinite(wide)].tolist()} == expected
        scalars = Domain.parse(f"x: {name} {within}").sample(2000)[0].astype(np.float64)
        assert np.isfinite(scalars).all()


# --- subnormals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("within", ["", "in [-1, 1]", "in (0, 1]", "in [-1, 0)", "in [-inf, inf]", "in [1e-45, 1]"])
@every_format
def test_no_subnormals_are_left_where_the_device_flushes_them(name, within):
    for shape in ("", "[3]"):
        domain = Domain.parse(f"x: {name}{shape} {within}")
        for (values,) in (domain.corners(subnormals=False), domain.sample(3000, subnormals=False)):
            assert values.dtype == floats.format_of(name).dtype
            assert not is_subnormal(values).any()
            if within:
                assert is_inside(values, within.removeprefix("in "), floats.format_of(name)).all()


def test_exhaustive_leaves_no_subnormals_where_the_device_flushes_them():
    (values,) = Domain.parse("x: float16").exhaustive(subnormals=False)
    assert not is_subnormal(values).any()
    every = all_of_16_bits("float16")
    kept = every[~is_subnormal(every) & ~np.isnan(every)]
    assert set(bits(values[~np.isnan(values)]).tolist()) == set(bits(kept).tolist())


@pytest.mark.parametrize("text", ["x: float16 in (0, tiny)", "x: float32[3] in [-1e-40, -1e-45]"])
def test_a_range_of_subnormals_holds_nothing_where_the_device_flushes_them(text):
    for draw in (Domain.corners, lambda domain, **given: domain.sample(5, **given)):
        draw(Domain.parse(text))
        with pytest.raises(DomainError, match=r"subnormal"):
            draw(Domain.parse(text), subnormals=False)


@every_format
def test_subnormals_are_corners_elsewhere(name):
    (values,) = Domain.parse(f"x: {name}").corners()
    smallest = floats.format_of(name).smallest_subnormal
    assert {smallest, -smallest} <= set(values.astype(float).tolist())
    assert is_subnormal(Domain.parse(f"x: {name} in (0, tiny)").sample(50)[0]).all()


# --- integers and booleans ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["", "[3]"])
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_without_a_range_reach_both_ends(name, shape):
    domain, info = Domain.parse(f"i: {name}{shape}"), np.iinfo(name)
    (values,) = domain.corners()
    assert values.dtype == name and values.min() == info.min and values.max() == info.max
    (values,) = domain.sample(300)
    assert values.dtype == name
    assert values.max() > 0.9 * info.max and values.min() <= 0.9 * info.min + 0.1 * info.max


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("int32 in [0, 4)", range(4)),
        ("int32 in (0, 4]", range(1, 5)),
        ("int8 in (-3, 3)", range(-2, 3)),
        ("uint16 in [0.5, 3.5]", range(1, 4)),
        ("int64 in (-2.5, 2.5)", range(-2, 3)),
        ("uint8 in [-5, 2]", range(3)),
        ("uint8 in [253, 400]", range(253, 256)),
        ("int32 in [7, 7]", [7]),
        ("bool", [False, True]),
    ],
)
def test_integers_take_every_value_of_their_range(text, values):
    for shape in ("", "[3]"):
        head, _, tail = text.partition(" ")
        domain = Domain.parse(f"i: {head}{shape} {tail}")
        assert set(np.unique(domain.sample(300)[0]).tolist()) == set(values)
        corners = set(np.unique(domain.corners()[0]).tolist())
        assert {min(values), max(values)} <= corners <= set(values)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("i: int32 in [5, inf)", 5, 2**31 - 1),
        ("i: int32 in [-inf, 5]", -(2**31), 5),
        ("i: int32 in [5, max]", 5, 2**31 - 1),
        ("i: int32 in [tiny, 5]", 1, 5),
        ("i: int64 in [9007199254740993, 9007199254740993]", 2**53 + 1, 2**53 + 1),
        ("b: bool in [0, 0]", 0, 0),
        ("b: bool in (0, 1]", 1, 1),
    ],
)
def test_a_bound_that_an_integer_cannot_honour_is_refused_or_honoured(text, low, high):
    try:
        domain = Domain.parse(text)
        drawn = [int(value) for values in (*domain.corners(), *domain.sample(100)) for value in values]
    except DomainError as error:
        assert text.partition(" in ")[2].strip("[(])").split(",")[0] in str(error) or "bool" in str(error)
    else:
        assert low <= min(drawn) and max(drawn) <= high


def test_infinity_alone_is_a_range_too():
    domain = Domain.parse("x: float32 in [inf, inf]")
    for (values,) in (domain.corners(), domain.sample(5)):
        assert set(values.tolist()) == {math.inf}
