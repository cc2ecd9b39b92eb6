"""Hypothesis strategies for the inputs that hurt.

Hypothesis chooses the pattern of a row (ties, one huge entry among tiny ones, an offset, a mask) and the seed of its
numbers, and shrinks both; NumPy fills the row in. Patterns stand in the order from simple to harsh.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from stablenn import floats
from stablenn.floats import Format
from stablenn.precision.domain import Argument, Domain
from stablenn.precision.domain.arguments import Bound, ends_of, finite_ends, without_subnormals

# Few shapes, since each one compiles anew: nothing, one, two, an odd number, and the sizes around a power of two at
# which backends change the way they reduce.
LENGTHS = (0, 1, 2, 7, 4095, 4096, 4097)
SHAPES = ((), (1,), (2,), (7,), (3, 5), (0,), (2, 0, 3), (4097,))

Pattern = Callable[[np.random.Generator, int, Format], np.ndarray]


def _ordinary(rng, size, fmt):
    return rng.standard_normal(size)


def _zeros(rng, size, fmt):
    return rng.choice([0.0, -0.0], size)


def _spread(rng, size, fmt):
    return rng.standard_normal(size) * 2.0 ** rng.integers(-12, 10)


def _ties(rng, size, fmt):
    return rng.choice(rng.standard_normal(2) * 2.0 ** rng.integers(-3, 6), size)


@functools.cache
def _finite_corners(fmt: Format) -> np.ndarray:
    corners = floats.corners(fmt.dtype).astype(np.float64)
    return corners[np.isfinite(corners)]


def _thresholds(rng, size, fmt):
    """Beside zero, one, epsilon, the ends of the format, and where exponentials saturate."""
    return rng.choice(_finite_corners(fmt), size)


def _whole_line(rng, size, fmt):
    """Uniform in ulps: every binade is as likely as any other."""
    last = int(floats.to_ordinal(np.asarray(fmt.max, fmt.dtype)))
    return floats.from_ordinal(rng.integers(-last, last, size, endpoint=True), fmt.dtype)


def _tiny(rng, size, fmt):
    return fmt.tiny * rng.integers(1, 5, size) * rng.choice([1.0, -1.0], size)


def _offset(rng, size, fmt):
    offsets = [offset for offset in (1e2, 1e4, 1e8) if offset < fmt.max / 4]
    return rng.standard_normal(size) + rng.choice(offsets) * rng.choice([1, -1])


def _confident(rng, size, fmt):
    """One entry far above the others: a classifier that is sure."""
    row = rng.standard_normal(size) * 0.1
    row[rng.integers(size)] += rng.uniform(10, 110)
    return row


def _one_huge(rng, size, fmt):
    row = _tiny(rng, size, fmt)
    row[rng.integers(size)] = 2.0 ** rng.uniform(1, fmt.emax) * rng.choice([1.0, -1.0])
    return row


def _cancelling(rng, size, fmt):
    """Pairs whose sum is a few ulps."""
    row = _spread(rng, size, fmt)
    pairs = size // 2
    row[pairs : 2 * pairs] = -row[:pairs] * (1 + rng.integers(-3, 4, pairs) * fmt.eps)
    return rng.permutation(row)


def _masked(rng, size, fmt):
    """Some entries, or all of them, at -inf."""
    row = _spread(rng, size, fmt)
    row[rng.permutation(size)[: rng.integers(1, size + 1)]] = -np.inf
    return row


def _infinite(rng, size, fmt):
    row = _spread(rng, size, fmt)
    row[rng.permutation(size)[: rng.integers(1, size + 1)]] = rng.choice([np.inf, -np.inf])
    return row


def _nan(rng, size, fmt):
    row = rng.choice([_ordinary, _whole_line])(rng, size, fmt).astype(np.float64)
    row[rng.integers(size)] = np.nan
    return row


_SCALARS: tuple[Pattern, ...] = (_ordinary, _zeros, _spread, _thresholds, _whole_line, _tiny)
_ROWS: tuple[Pattern, ...] = (*_SCALARS, _ties, _offset, _confident, _one_huge, _cancelling)
_INFINITE: tuple[Pattern, ...] = (_masked, _infinite)


def _one_hot(rng, size):
    return (np.arange(size) == rng.integers(max(size, 1))).astype(float)


def _even(rng, size):
    return np.full(size, 1 / max(size, 1))


def _smoothed(rng, size):
    return 0.9 * _one_hot(rng, size) + 0.1 / max(size, 1)


def _soft(rng, size):
    weights = np.exp(rng.standard_normal(size) * 3)
    return weights / weights.sum()


def _sparse(rng, size):
    weights = _soft(rng, size) * (rng.random(size) < 0.5)
    return weights / weights.sum() if weights.any() else _one_hot(rng, size)


_DISTRIBUTIONS = (_one_hot, _even, _smoothed, _soft, _sparse)


def _fitted(rows: np.ndarray, argument: Argument, fmt: Format) -> np.ndarray:
    """Rows inside of the argument's range, infinities where the range has them."""
    low, high = finite_ends(argument)
    rows = np.abs(rows) if low >= 0 else -np.abs(rows) if high <= 0 else rows
    ends = [float(end) for end in ends_of(argument)]
    inside = np.clip(rows, low, high)
    return np.where(np.isinf(rows) & (rows >= ends[0]) & (rows <= ends[1]), rows, inside).astype(fmt.dtype)


def _patterns(argument: Argument, allow_nan: bool, allow_infinity: bool) -> tuple[Pattern, ...]:
    chosen = _ROWS if math.prod(argument.shape) > 1 else _SCALARS
    if allow_infinity and any(np.isinf(np.float64(end)) for end in ends_of(argument)):
        chosen = (*chosen, *_INFINITE)
    return (*chosen, _nan) if allow_nan and argument.low is None else chosen


@st.composite
def _columns(draw, argument: Argument, rows: int, allow_nan: bool, allow_infinity: bool, allow_subnormal: bool):
    """`rows` values of one argument, with a leading axis."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = math.prod(argument.shape)
    if not argument.is_float:
        low, high = (int(end) for end in ends_of(argument))
        inner = rng.integers(low, high, (rows, *argument.shape), endpoint=True, dtype=argument.dtype)
        at_end = rng.random(inner.shape) < 0.25
        return np.where(at_end, rng.choice(np.array([low, high], argument.dtype), inner.shape), inner)
    fmt = floats.format_of(argument.dtype)
    if not size:
        return np.zeros((rows, *argument.shape), fmt.dtype)
    kinds = _DISTRIBUTIONS if argument.simplex else _patterns(argument, allow_nan, allow_infinity)
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=rows, max_size=rows))
    if argument.simplex:
        width = argument.shape[-1]
        filled = [[kind(rng, width) for _ in range(size // width)] for kind in chosen]
        return np.reshape(filled, (rows, *argument.shape)).astype(fmt.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        filled = np.stack([kind(rng, size, fmt).astype(np.float64) for kind in chosen])
        values = _fitted(filled, argument, fmt).reshape(rows, *argument.shape)
    return values if allow_subnormal else without_subnormals(values, argument)


def from_domain(
    domain: Domain | str,
    *,
    rows: int,
    allow_nan: bool = True,
    allow_infinity: bool = True,
    allow_subnormal: bool = False,
) -> st.SearchStrategy[tuple[np.ndarray, ...]]:
    """Batches of inputs from a `Domain`: one array an argument, each with a leading axis of `rows` rows.

    Args:
      domain: the arguments, with their dtypes, shapes and ranges, as a `Domain` or its text.
      rows: how many rows a batch has; keep it fixed, since each number compiles anew.
      allow_nan: whether arguments without a range may hold NaN.
      allow_infinity: whether arguments whose range reaches infinity may hold it.
      allow_subnormal: whether subnormals may occur; most devices take them for zeros.

    Returns:
      A strategy of tuples of NumPy arrays.

    Raises:
      DomainError: a domain that cannot be read, or whose "float" has no dtype yet.
      ValueError: if `rows` is not positive.

    Example:
      >>> import numpy as np
      >>> from hypothesis import given
      >>> from stablenn.testing.strategies import from_domain
      >>> @given(from_domain("x: float32[3] in [-10, 10]", rows=4))
      ... def test(inputs):
      ...     (x,) = inputs
      ...     assert x.shape == (4, 3) and np.all(np.abs(x) <= 10)
      >>> test()
    """
    domain = Domain.parse(domain) if isinstance(domain, str) else domain
    domain.require_dtypes()
    if rows < 1:
        raise ValueError(f"rows must be at least 1, got {rows}")
    flags = (allow_nan, allow_infinity, allow_subnormal)
    return st.tuples(*(_columns(argument, rows, *flags) for argument in domain.arguments))


def arrays(
    dtype,
    shape: tuple[int, ...] = (),
    *,
    min_value: Bound | None = None,
    max_value: Bound | None = None,
    allow_nan: bool | None = None,
    allow_infinity: bool | None = None,
    allow_subnormal: bool = False,
) -> st.SearchStrategy[np.ndarray]:
    """Arrays of floats, biased to where arithmetic changes its character.

    Args:
      dtype: a float dtype.
      shape: of the arrays; `SHAPES` has those worth trying.
      min_value: the smallest number, or None.
      max_value: the largest number, or None.
      allow_nan: whether NaN may occur; by default, if there are no bounds.
      allow_infinity: whether infinities may occur; by default, where there is no bound on their side.
      allow_subnormal: whether subnormals may occur; most devices take them for zeros.

    Returns:
      A strategy of NumPy arrays.

    Raises:
      DomainError: if no float lies between the bounds.
      ValueError: if `allow_nan` is asked for beside bounds, or `dtype` is no float dtype.

    Example:
      >>> import numpy as np
      >>> from hypothesis import given
      >>> from stablenn.testing.strategies import arrays
      >>> @given(arrays("bfloat16", (5,), min_value=0, max_value=1))
      ... def test(x):
      ...     assert x.dtype == "bfloat16" and np.all((x >= 0) & (x <= 1))
      >>> test()
    """
    bounded = min_value is not None or max_value is not None
    if allow_nan and bounded:
        raise ValueError(f"allow_nan=True needs no bounds, got min_value={min_value} and max_value={max_value}")
    name = floats.format_of(dtype).name
    low, high = (-math.inf if min_value is None else min_value), (math.inf if max_value is None else max_value)
    argument = Argument("x", name, tuple(shape), low, high) if bounded else Argument("x", name, tuple(shape))
    ends_of(argument)
    columns = _columns(argument, 1, allow_nan is not False, allow_infinity is not False, allow_subnormal)
    return columns.map(lambda column: column[0])


def labels(dtype, shape: tuple[int, ...], *, normalized: bool = True) -> st.SearchStrategy[np.ndarray]:
    """Label probabilities along the last axis: one-hot, even, smoothed, soft, and soft with zeros.

    Args:
      dtype: a float dtype.
      shape: of the arrays, classes last.
      normalized: whether every row adds up to one (up to rounding); if not, it is weighted by anything from 0 to 1000.

    Returns:
      A strategy of NumPy arrays.

    Raises:
      ValueError: if `dtype` is no float dtype, or `shape` has no axis.

    Example:
      >>> from hypothesis import given
      >>> from stablenn.testing.strategies import labels
      >>> @given(labels("float32", (2, 3)))
      ... def test(y):
      ...     assert abs(y.sum(-1) - 1).max() < 1e-6
      >>> test()
    """
    if not shape:
        raise ValueError("shape must have an axis of classes, got ()")
    fmt = floats.format_of(dtype)
    rows = _columns(Argument("y", fmt.name, tuple(shape), simplex=True), 1, False, False, False)
    if normalized:
        return rows.map(lambda row: row[0])
    weights = st.sampled_from([0.0, 0.5, 3.0, 1000.0])
    return st.tuples(rows, weights).map(lambda drawn: (drawn[0][0] * drawn[1]).astype(fmt.dtype))


def masks(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
    """Boolean masks: everything, nothing, or some of it.

    Args:
      shape: of the masks.

    Returns:
      A strategy of NumPy arrays of bool.

    Raises:
      ValueError: if an axis is negative.

    Example:
      >>> from hypothesis import given
      >>> from stablenn.testing.strategies import masks
      >>> @given(masks((2, 3)))
      ... def test(mask):
      ...     assert mask.shape == (2, 3) and mask.dtype == bool
      >>> test()
    """
    if any(length < 0 for length in shape):
        raise ValueError(f"shape must not be negative, got {shape}")

    def mask(drawn):
        share, seed = drawn
        return np.random.default_rng(seed).random(shape) < share

    return st.tuples(st.sampled_from([1.0, 0.0, 0.5, 0.9]), st.integers(0, 2**32 - 1)).map(mask)
