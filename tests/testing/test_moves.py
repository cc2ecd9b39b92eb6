"""The moves that relations are made of round nothing, and stay among the floats."""

from fractions import Fraction

import numpy as np
import pytest

from stablenn import floats
from stablenn.precision.domain import Domain
from stablenn.precision.spec.moves import permuted, reflected, scaled, shifted, swapped

DTYPES = floats.NAMES


def rows(text, dtype, count=200):
    return Domain.parse(text).with_dtype(dtype).sample(count, 11, subnormals=False)


def moved(move, columns, dtype):
    with np.errstate(all="ignore"):
        return move(columns, floats.format_of(dtype), np.random.default_rng(5))


def fractions(column):
    return [[Fraction(float(v)) if np.isfinite(np.float64(v)) else float(v) for v in row] for row in column]


@pytest.mark.parametrize("dtype", DTYPES)
def test_shifts_are_exact(dtype):
    before, after, offset = moved(shifted(0), rows("x: float[5]", dtype), dtype)
    assert len(set(offset.tolist())) >= 4
    for old, new, c in zip(fractions(before[0]), fractions(after[0]), offset, strict=True):
        assert [v + Fraction(c) if isinstance(v, Fraction) else v for v in old] == new


@pytest.mark.parametrize("dtype", DTYPES)
def test_scalings_are_exact_and_stay_normal(dtype):
    fmt = floats.format_of(dtype)
    before, after, factor = moved(scaled(0), rows("x: float[5]", dtype), dtype)
    assert len(set(factor.tolist())) > 3
    for old, new, s in zip(fractions(before[0]), fractions(after[0]), factor, strict=True):
        for a, b in zip(old, new, strict=True):
            if isinstance(a, Fraction):
                assert b == a * Fraction(s)
                assert b == 0 or fmt.tiny <= abs(b) <= fmt.max


def test_permutations_take_the_named_entry_along():
    columns = rows("x: float[8]; y: float[8]; label: int32 in [0, 8)", "float32")
    before, (x, y, label), order = moved(permuted(0, 1, index=2), columns, "float32")
    for row in range(len(x)):
        np.testing.assert_array_equal(x[row], before[0][row][order[row]])
        np.testing.assert_array_equal(y[row], before[1][row][order[row]])
        assert order[row][label[row]] == before[2][row]
    assert any((o != np.arange(8)).any() for o in order)


def test_swaps_exchange_arguments():
    (a, b), (c, d), _ = moved(swapped(0, 1), rows("x: float; y: float", "float32"), "float32")
    np.testing.assert_array_equal([a, b], [d, c])


@pytest.mark.parametrize("dtype", DTYPES)
def test_reflections_are_exact(dtype):
    columns = rows("x: float; p: float in [0, 1]", dtype)
    before, after, _ = moved(reflected(negate=(0,), complement=(1,)), columns, dtype)
    np.testing.assert_array_equal(before[0], -after[0])
    for p, q in zip(before[1], after[1], strict=True):
        assert Fraction(float(p)) + Fraction(float(q)) == 1
