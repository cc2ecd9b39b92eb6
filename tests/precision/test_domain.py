"""The text of a domain: what it means, what is refused and how, and that it prints as it was read."""

import math

import ml_dtypes
import numpy as np
import pytest

from stablenn.precision.domain import Argument, Domain, DomainError

# --- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("x: float", Argument("x")),
        ("  x :float32 ", Argument("x", "float32")),
        ("_x1: bfloat16[8]", Argument("_x1", "bfloat16", (8,))),
        ("x: float16 [2, 3]", Argument("x", "float16", (2, 3))),
        ("x: float64[2,3] in [-1, 1]", Argument("x", "float64", (2, 3), -1.0, 1.0)),
        ("x: float in (0, 1]", Argument("x", low=0.0, high=1.0, open_low=True)),
        ("x: float in [ -1e-3 , .5 )", Argument("x", low=-1e-3, high=0.5, open_high=True)),
        ("x: float in (-inf, inf)", Argument("x", low=-math.inf, high=math.inf, open_low=True, open_high=True)),
        ("x: float in [tiny, max]", Argument("x", low="tiny", high="max")),
        ("x: float[4] in simplex", Argument("x", "float", (4,), 0.0, 1.0, simplex=True)),
        ("i: int8[5] in [0, 10)", Argument("i", "int8", (5,), 0.0, 10.0, open_high=True)),
        ("i: uint64", Argument("i", "uint64")),
        ("mask: bool[2]", Argument("mask", "bool", (2,))),
    ],
)
def test_each_part_of_an_argument_is_read(text, argument):
    assert Domain.parse(text).arguments == (argument,)


def test_arguments_are_separated_by_semicolons():
    domain = Domain.parse("x: float[8]; labels: int32 in [0, 8);; where: bool[8] ;")
    assert [(a.name, a.dtype, a.shape) for a in domain.arguments] == [
        ("x", "float", (8,)),
        ("labels", "int32", ()),
        ("where", "bool", (8,)),
    ]
    assert domain.float_arguments == (0,)


@pytest.mark.parametrize(
    ("text", "univariate"),
    [
        ("x: float", True),
        ("x: bfloat16 in [0, 1]", True),
        ("x: float[1]", False),
        ("x: int32", False),
        ("x: float; y: float", False),
    ],
)
def test_one_scalar_float_makes_a_domain_univariate(text, univariate):
    assert Domain.parse(text).is_univariate is univariate


def test_float_arguments_are_those_with_derivatives():
    domain = Domain.parse("i: int32; x: float; b: bool; y: bfloat16[2]; p: float64[3] in simplex")
    assert domain.float_arguments == (1, 3, 4)


# --- refusing ----------------------------------------------------------------------------------------------------

BAD = [  # the text, what of it the message repeats, and what the message says is allowed
    ("", "''", "name: dtype"),
    ("   ", "'   '", "name: dtype"),
    (" ; ;", "' ; ;'", "name: dtype"),
    ("x", "'x'", "name: dtype"),
    ("x:", "'x:'", "name: dtype"),
    (": float32", "': float32'", "name: dtype"),
    ("x float32", "'x float32'", "name: dtype"),
    ("x = float32", "'x = float32'", "name: dtype"),
    ("1x: float32", "'1x: float32'", "name: dtype"),
    ("x: float32, y: float32", "'x: float32, y: float32'", "separated by ';'"),
    ("x: float; y = float", "'y = float'", "name: dtype"),
    ("x: float33", "'float33'", "float32"),
    ("x: Float32", "'Float32'", "float32"),
    ("x: complex64", "'complex64'", "float32"),
    ("x:float32in[0,1]", "'float32in'", "float32"),
    ("x: float32[a]", "[a]", "integers"),
    ("x: float32[3.5]", "[3.5]", "integers"),
    ("x: float32[2 3]", "[2 3]", "separated by commas"),
    ("x: float32[2,,3]", "[2,,3]", "separated by commas"),
    ("x: float32[2\n3]", "2\\n3", "separated by commas"),
    ("x: float32[0]", "[0]", "at least 1"),
    ("x: float32[4, -1]", "[4, -1]", "at least 1"),
    ("x: float32[8", "'x: float32[8'", "dtype[shape]"),
    ("x: float32(8)", "'x: float32(8)'", "dtype[shape]"),
    ("x: float32 in", "'x: float32 in'", "in [low, high]"),
    ("x: float32 in [0, 1", "'x: float32 in [0, 1'", "in [low, high]"),
    ("x: float32 in 0, 1", "'x: float32 in 0, 1'", "in [low, high]"),
    ("x: float32 in [0]", "'x: float32 in [0]'", "in [low, high]"),
    ("x: float32 in {0, 1}", "'x: float32 in {0, 1}'", "in [low, high]"),
    ("x: float32 in ]0, 1[", "'x: float32 in ]0, 1['", "for an open end"),
    ("x: float32 in [0, 1] [3]", "'x: float32 in [0, 1] [3]'", "in [low, high]"),
    ("x: float32 in [0, 1, 2]", "'1, 2'", "a number"),
    ("x: float32 in [a, b]", "'a'", "a number, inf, tiny, max"),
    ("x: float32 in [0, huge]", "'huge'", "a number, inf, tiny, max"),
    ("x: float32 in [nan, 1]", "nan", "a number"),
    ("x: float32 in [0, nan)", "nan", "a number"),
    ("x: float32 in [2, 1]", "[2, 1]", "low must not exceed high"),
    ("x: float32 in [inf, -inf]", "[inf, -inf]", "low must not exceed high"),
    ("x: float32 in (1, 1)", "(1, 1)", "low must"),
    ("x: float32 in [1, 1)", "[1, 1)", "low must"),
    ("x: float32 in simplex", "'x: float32 in simplex'", "a shape"),
    ("x: int32[3] in simplex", "'x: int32[3] in simplex'", "float dtype"),
    ("x: float[3] in simplexes", "'x: float[3] in simplexes'", "in simplex"),
    ("x: float; long_name: float; long_name: int32", "'long_name'", "once"),
]


@pytest.mark.parametrize(("text", "given", "allowed"), BAD, ids=[repr(text) for text, *_ in BAD])
def test_bad_text_is_refused_in_one_line_that_says_what_was_given_and_what_is_allowed(text, given, allowed):
    with pytest.raises(DomainError) as caught:
        Domain.parse(text)
    message = str(caught.value)
    assert given in message
    assert allowed in message
    assert "\n" not in message


def test_domain_error_is_a_value_error():
    assert issubclass(DomainError, ValueError)


def test_equal_closed_ends_are_no_empty_range():
    (argument,) = Domain.parse("x: float32 in [1, 1]").arguments
    assert argument.low == argument.high == 1


# --- printing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "x: float",
        "x: float32[8] in [-100, 100]; y: int32[2, 3] in [0, 10)",
        "x: float in (-inf, inf); y: float in [tiny, max)",
        "p: bfloat16[4] in simplex; b: bool[3]",
        "x: float64 in (0.25, 1.5]",
    ],
)
def test_text_in_its_plain_form_prints_as_it_was_read(text):
    assert str(Domain.parse(text)) == text


@pytest.mark.parametrize(
    "bounds", ["0.123456789, 1", "-16777217, 16777217", "1.00000001, 1.00000002", "1e-300, 1.7976931348623157e308"]
)
def test_printing_keeps_every_digit_of_a_bound(bounds):
    domain = Domain.parse(f"x: float64 in [{bounds}]")
    assert Domain.parse(str(domain)) == domain


def test_printing_round_trips_on_random_bounds():
    rng = np.random.default_rng(0)
    for low in (rng.standard_normal(100) * 10.0 ** rng.integers(-300, 300, 100)).tolist():
        domain = Domain.parse(f"x: float64[2] in ({low!r}, {low + abs(low)!r}]; i: int32")
        assert Domain.parse(str(domain)) == domain, low


# --- choosing the dtype ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["bfloat16", ml_dtypes.bfloat16, np.dtype(ml_dtypes.bfloat16)], ids=repr)
def test_with_dtype_fills_in_the_measured_dtype_only(given):
    domain = Domain.parse("x: float[2] in [tiny, 1); y: float16; i: int32; p: float[3] in simplex")
    expected = "x: bfloat16[2] in [tiny, 1); y: float16; i: int32; p: bfloat16[3] in simplex"
    assert domain.with_dtype(given) == Domain.parse(expected)
    assert domain.arguments[0].dtype == "float"


def test_with_dtype_refuses_what_is_no_float_format():
    with pytest.raises(ValueError, match=r"'int32'.*allowed: bfloat16, float16, float32, float64"):
        Domain.parse("x: float").with_dtype("int32")
