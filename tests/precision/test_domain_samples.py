"""Samples are repeatable and spread over the line; vectors, probabilities and corners have the structure promised."""

import itertools
import tracemalloc

import numpy as np
import pytest

from stablenn import floats
from stablenn.precision.domain import Domain

FORMATS = ("bfloat16", "float16", "float32", "float64")
every_format = pytest.mark.parametrize("name", FORMATS)


def bits(values):
    return values.view(f"u{values.dtype.itemsize}")


def assert_same(a, b):
    for left, right in zip(a, b, strict=True):
        assert left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()


# --- samples -----------------------------------------------------------------------------------------------------

MIXED = "x: float32; y: bfloat16[3]; i: int32[2, 3]; p: float16[4] in simplex; b: bool; u: uint8 in [3, 9]"
DTYPES = ["float32", "bfloat16", "int32", "float16", "bool", "uint8"]


def test_rows_have_the_shapes_and_dtypes_of_the_arguments():
    domain = Domain.parse(MIXED)
    for columns, count in ((domain.corners(), None), (domain.sample(17), 17), (domain.sample(0), 0)):
        rows = {len(column) for column in columns}
        assert rows == {count or len(columns[0])}
        assert [column.shape[1:] for column in columns] == [(), (3,), (2, 3), (4,), (), ()]
        assert [column.dtype.name for column in columns] == DTYPES


def test_a_seed_decides_the_sample():
    domain = Domain.parse(MIXED)
    assert_same(domain.sample(50, 3), Domain.parse(MIXED).sample(50, 3))
    assert_same(domain.sample(50), domain.sample(50, 0))
    assert_same(domain.corners(), domain.corners())
    for first, second in zip(domain.sample(50, 3), domain.sample(50, 4), strict=True):
        assert first.tobytes() != second.tobytes()


def test_a_sample_reaches_every_exponent_of_float16_on_both_sides():
    (values,) = Domain.parse("x: float16").sample(40_000)
    assert set((bits(values) >> 10).tolist()) == {exponent | sign for exponent in range(31) for sign in (0, 32)}


@every_format
def test_a_sample_is_uniform_in_ulps(name):
    (values,) = Domain.parse(f"x: {name} in [1, 16)").sample(20_000)
    share = np.bincount(np.frexp(values.astype(np.float64))[1] - 1, minlength=4) / 20_000
    np.testing.assert_allclose(share, 0.25, atol=0.02)  # six standard deviations


def test_half_of_a_sample_is_of_moderate_size():
    size = np.abs(Domain.parse("x: float64").sample(20_000)[0])
    # 23 of 2046 binades would be one in a hundred
    assert 0.45 < ((size >= 2.0**-12) & (size <= 2.0**10)).mean() < 0.55


# --- vectors -----------------------------------------------------------------------------------------------------


@every_format
def test_vectors_have_ties_offsets_and_dominant_entries(name):
    wide = Domain.parse(f"x: {name}[8] in (-inf, inf)").sample(500)[0].astype(np.float64)
    wide = wide[np.abs(wide).max(axis=1) < 1e9]
    distinct = np.array([len(np.unique(row)) for row in wide])
    ties = (distinct > 1) & (distinct < 7)
    spread, largest = np.ptp(wide, axis=1), np.max(wide, axis=1)
    offset = np.abs(wide).min(axis=1) > 4 * spread
    dominant = largest > 10 * np.abs(np.sort(wide, axis=1)[:, :-1]).max(axis=1)
    for structured in (ties, offset, dominant & (largest > 1)):
        assert structured.sum() > 10


@pytest.mark.parametrize("within", ["", "in [-inf, inf]", "in [-inf, 0)"])
@every_format
def test_some_entries_are_masked_where_the_range_holds_minus_infinity(name, within):
    wide = Domain.parse(f"x: {name}[4] {within}").sample(500)[0].astype(np.float64)
    masked = wide == -np.inf
    assert masked.any(axis=1).sum() > 10
    assert not masked.all(axis=1).any()
    assert np.isfinite(wide[~masked]).all()


@pytest.mark.parametrize("within", ["in (-inf, inf]", "in [0, inf]", "in [-100, 100]"])
def test_no_entry_is_masked_elsewhere(within):
    assert np.isfinite(Domain.parse(f"x: float32[4] {within}").sample(500)[0]).all()


def test_vectors_in_a_range_far_from_zero_are_not_all_constant():
    (values,) = Domain.parse("x: float32[8] in [1000, 2000]").sample(400)
    assert (np.ptp(values, axis=1) > 0).mean() > 0.5


@pytest.mark.parametrize("shape", ["[1]", "[8]", "[2, 3]"])
@every_format
def test_simplex_rows_are_probabilities(name, shape):
    domain, eps = Domain.parse(f"p: {name}{shape} in simplex"), floats.format_of(name).eps
    for (rows,) in (domain.corners(), domain.sample(300)):
        wide = rows.astype(np.float64)
        assert (wide >= 0).all()
        np.testing.assert_allclose(wide.sum(-1), 1, rtol=0, atol=2 * eps)
        hot = (wide.max(-1) == 1) & ((wide != 0).sum(-1) == 1)
        assert hot.any()
        if shape != "[1]":
            assert not hot.all()


@pytest.mark.parametrize("draw", [Domain.corners, lambda domain: domain.sample(4)], ids=["corners", "sample"])
def test_simplex_rows_take_memory_in_proportion_to_their_length(draw):
    domain = Domain.parse("p: float32[3000] in simplex")
    tracemalloc.start()
    try:
        draw(domain)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20e6  # a square of that side takes 72e6


# --- corners -----------------------------------------------------------------------------------------------------


@every_format
def test_corners_of_a_scalar_are_those_of_the_format(name):
    (values,) = Domain.parse(f"x: {name}").corners()
    assert set(bits(floats.corners(name)).tolist()) <= set(bits(values).tolist())


@every_format
def test_vectors_hold_each_corner_throughout_and_alone(name):
    (rows,) = Domain.parse(f"x: {name}[3]").corners()
    present = {row.tobytes() for row in rows}
    first = set(bits(rows[:, 0]).tolist())
    for corner in floats.corners(name):
        assert np.full(3, corner).tobytes() in present
        alone = bits(rows[:, 0].copy()) == bits(np.array([corner]))
        others = rows[alone][:, 1:].astype(np.float64)
        assert ((others >= 0) & (others <= 1)).all(axis=1).any()
    assert set(bits(floats.corners(name)).tolist()) <= first


def test_corners_cross_the_harshest_values_of_two_arguments():
    x, y = Domain.parse("x: float32; y: float32 in [-2, 3]").corners()
    pairs = set(zip(bits(x).tolist(), bits(y).tolist(), strict=True))
    left = np.array([0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan], np.float32)
    right = np.array([0.0, -0.0, 1, -1, -2, 3], np.float32)
    assert set(itertools.product(bits(left).tolist(), bits(right).tolist())) <= pairs


def test_corners_cross_the_ends_of_integers():
    i, j = Domain.parse("i: int32 in [-5, 70]; j: int32 in [-6, 80]").corners()
    assert {(-5, -6), (-5, 80), (70, -6), (70, 80)} <= set(zip(i.tolist(), j.tolist(), strict=True))
