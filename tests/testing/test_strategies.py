"""The strategies reach what they promise, and nothing outside of what was asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stablenn import floats
from stablenn.precision.domain import Domain, DomainError
from stablenn.testing.strategies import LENGTHS, SHAPES, arrays, from_domain, labels, masks

DTYPES = floats.NAMES
fixed = settings(max_examples=150, deadline=None, database=None, derandomize=True)


def drawn(strategy, count=400):
    """Many values of a strategy."""
    values = []

    @settings(max_examples=count, deadline=None, database=None, derandomize=True)
    @given(strategy)
    def collect(value):
        values.append(value)

    collect()
    return values


def wide(value):
    return np.asarray(value, np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_every_kind_occur(dtype):
    fmt = floats.format_of(dtype)
    rows = [wide(row) for row in drawn(arrays(dtype, (8,)))]
    finite = [row for row in rows if np.isfinite(row).all()]
    moderate = [row for row in finite if np.abs(row).max() < 1e6]
    kinds = {
        "ties": any(len(set(row)) == 2 and (row != 0).all() for row in finite),
        "zeros of both signs": any((row == 0).all() and 0 < np.signbit(row).sum() < 8 for row in finite),
        "one huge among tiny": any(np.sort(np.abs(row))[-2] <= 4 * fmt.tiny < 1 < np.abs(row).max() for row in finite),
        "cancelling pairs": any(0 < abs(row.sum()) <= 32 * fmt.eps * np.abs(row).max() for row in moderate),
        "an offset": any(row.min() > 50 and np.ptp(row) < 20 for row in finite),
        "the offset 1e4": any(abs(np.median(row) - 1e4) < 50 and np.ptp(row) < 500 for row in finite),
        "a confident row": any(np.sort(row)[-1] - np.sort(row)[-2] > 16.7 and np.abs(row[0]) < 200 for row in finite),
        "a mask": any(0 < np.isneginf(row).sum() < 8 and not np.isposinf(row).any() for row in rows),
        "nothing but a mask": any(np.isneginf(row).all() for row in rows),
        "infinity": any(np.isposinf(row).any() for row in rows),
        "nan": any(np.isnan(row).any() for row in rows),
        "the largest number": any((np.abs(row) == fmt.max).any() for row in finite),
        "the smallest normal": any((np.abs(row) == fmt.tiny).any() for row in finite),
        "a neighbour of one": any((row == 1 + fmt.eps).any() for row in finite),
    }
    assert [kind for kind, found in kinds.items() if not found] == []


def test_an_offset_of_1e8_occurs():
    rows = [wide(row) for row in drawn(arrays("float32", (8,), allow_infinity=False, allow_nan=False))]
    assert any(abs(abs(np.median(row)) - 1e8) < 100 and np.ptp(row) < 100 for row in rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("low", "high"), [(0, 1), (-10, -1), (0.5, None), (None, 0), (-3, 1e4)])
def test_bounds_are_kept(dtype, low, high):
    @fixed
    @given(arrays(dtype, (5,), min_value=low, max_value=high))
    def inside(x):
        assert x.dtype == dtype
        assert x.shape == (5,)
        assert not np.isnan(wide(x)).any()
        assert (wide(x) >= (-np.inf if low is None else low)).all()
        assert (wide(x) <= (np.inf if high is None else high)).all()

    inside()


@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormals_occur_only_where_they_are_asked_for(dtype):
    tiny = floats.format_of(dtype).tiny

    def has_subnormals(strategy):
        return any(((np.abs(wide(x)) < tiny) & (wide(x) != 0)).any() for x in drawn(strategy, 200))

    assert not has_subnormals(arrays(dtype, (7,)))
    assert has_subnormals(arrays(dtype, (7,), allow_subnormal=True))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_can_be_drawn(shape):
    for x in drawn(arrays("float32", shape), 5):
        assert x.shape == shape


def test_the_lengths_are_those_that_matter():
    assert {0, 1, 2, 4095, 4096, 4097} <= set(LENGTHS)
    assert any(length % 2 and 2 < length < 100 for length in LENGTHS)
    assert len(SHAPES) <= 8


def test_specials_can_be_left_out():
    for x in drawn(arrays("float32", (4,), allow_nan=False, allow_infinity=False), 200):
        assert np.isfinite(x).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_of_every_kind_occur(dtype):
    eps = float(floats.format_of(dtype).eps)
    rows = [wide(y) for y in drawn(labels(dtype, (6,)), 200)]
    for row in rows:
        assert (row >= 0).all()
        assert abs(row.sum() - 1) <= 6 * eps
    assert any(sorted(row) == [0, 0, 0, 0, 0, 1] for row in rows)
    assert any(len(set(row)) == 1 for row in rows)
    assert any((row > 0).all() and len(set(row)) > 2 for row in rows)
    assert any((row == 0).any() and len(set(row)) > 2 for row in rows)


def test_labels_need_not_be_normalised():
    sums = {round(float(wide(y).sum()), 3) for y in drawn(labels("float32", (6,), normalized=False), 100)}
    assert {0.0, 0.5, 3.0, 1000.0} <= sums


def test_masks_leave_out_nothing_something_and_everything():
    shares = {mask.mean() for mask in drawn(masks((4, 5)), 100)}
    assert {0.0, 1.0} <= shares
    assert len(shares) > 5


def test_domains_give_batches_of_all_arguments():
    domain = Domain.parse("x: bfloat16[3]; n: int32 in [0, 5); y: float32[2, 4] in simplex; p: float64 in (0, 1)")
    seen = set()
    for x, n, y, p in drawn(from_domain(domain, rows=6), 100):
        assert (x.shape, n.shape, y.shape, p.shape) == ((6, 3), (6,), (6, 2, 4), (6,))
        assert (x.dtype, n.dtype, y.dtype, p.dtype) == ("bfloat16", "int32", "float32", "float64")
        np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-6)
        assert ((p > 0) & (p < 1)).all()
        seen |= set(n.tolist())
    assert seen == {0, 1, 2, 3, 4}


def test_failures_shrink_to_simple_rows():
    """Patterns stand in the order from simple to harsh."""
    smallest = []

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(from_domain("x: float32[4]", rows=2))
    def fails(inputs):
        smallest.append(inputs[0])
        assert not (np.abs(inputs[0]) > 1e-3).all()

    with pytest.raises(AssertionError):
        fails()
    assert np.isfinite(smallest[-1]).all()
    assert np.abs(smallest[-1]).max() < 10


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_domain("x: float", rows=2), "no dtype for float yet"),
        (lambda: from_domain("x: float32", rows=0), "rows must be at least 1, got 0"),
        (lambda: from_domain("x; float32", rows=2), "expected"),
        (lambda: arrays("int32"), "int32"),
        (lambda: arrays("float32", min_value=0, allow_nan=True), "allow_nan=True needs no bounds"),
        (lambda: arrays("float32", min_value=2, max_value=1), "no float32 lies in"),
        (lambda: labels("float32", ()), "shape must have an axis of classes"),
        (lambda: masks((-1,)), r"shape must not be negative, got \(-1,\)"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(make, message):
    with pytest.raises((DomainError, ValueError), match=message):
        make()


def test_they_work_with_strategies_of_hypothesis():
    @fixed
    @given(st.data())
    def interactive(data):
        size = data.draw(st.sampled_from([1, 2]))
        assert data.draw(arrays("float16", (size,))).shape == (size,)

    interactive()
