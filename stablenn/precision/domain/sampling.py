"""Random inputs: uniform in ulps along the whole range, and around one; vectors with structure."""

from __future__ import annotations

import math

import numpy as np

from stablenn import floats
from stablenn.precision.domain.arguments import Argument, cast, ends_of, finite_ends

# Where exponentials, logarithms and sums do something: magnitudes around one.
_MODERATE = (2.0**-12, 2.0**10)


def draw(argument: Argument, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random rows of one argument."""
    if not argument.is_float:
        low, high = (int(end) for end in ends_of(argument))
        steps = rng.integers(0, high - low, (count, *argument.shape), np.uint64, endpoint=True)
        return (steps.astype(object) + low).astype(argument.dtype)
    if argument.simplex:
        return _draw_simplex(argument, count, rng)
    if not argument.shape:
        return _draw_scalars(argument, count, rng)
    size = math.prod(argument.shape)
    rows = [_vector(argument, size, kind, rng) for kind in rng.integers(0, 5, count)]
    return np.array(rows, floats.format_of(argument.dtype).dtype).reshape(count, *argument.shape)


def _draw_scalars(argument: Argument, count: int, rng: np.random.Generator) -> np.ndarray:
    """Half of them uniform in ulps over the whole range, half over the magnitudes around one."""
    low, high = finite_ends(argument)
    dtype = np.dtype(floats.format_of(argument.dtype).dtype)
    whole = _uniform_in_ulps(low, high, count, dtype, rng)
    band = [(max(low, a), min(high, b)) for a, b in (_MODERATE, (-_MODERATE[1], -_MODERATE[0]))]
    band = [(a, b) for a, b in band if a <= b]
    if not band:
        return whole
    pieces = np.stack([_uniform_in_ulps(a, b, count, dtype, rng) for a, b in band])
    moderate = pieces[rng.integers(0, len(band), count), np.arange(count)]
    return np.where(rng.random(count) < 0.5, whole, moderate)


def _uniform_in_ulps(low: float, high: float, count: int, dtype, rng: np.random.Generator) -> np.ndarray:
    first, last = (int(floats.to_ordinal(cast(end, dtype))) for end in (low, high))
    return floats.from_ordinal(rng.integers(first, last, count, np.int64, endpoint=True), dtype)


def _vector(argument: Argument, size: int, kind: int, rng: np.random.Generator) -> np.ndarray:
    """One row with the structure that reductions fail on: offsets, ties, one dominant entry, masked entries."""
    low, high = finite_ends(argument)
    spread = rng.standard_normal(size) * 2.0 ** rng.integers(-6, 6)
    if kind == 0:
        row = None
    elif kind == 1:
        row = spread
    elif kind == 2:  # a common offset
        row = spread + rng.choice([1e2, -1e2, 1e4, -1e4, 1e8])
    elif kind == 3:  # ties
        row = rng.choice(spread, size)
    else:  # one dominant entry, and some that are masked
        row = spread * 0.1
        row[rng.integers(size)] += rng.uniform(0, 110)
        if ends_of(argument)[0] == -np.inf and size > 1 and rng.random() < 0.5:
            row[rng.permutation(size)[: rng.integers(1, size)]] = -np.inf
    if row is None or not np.any((row > low) & (row < high)):
        return _draw_scalars(argument, size, rng)
    row = cast(row, floats.format_of(argument.dtype).dtype)
    outside = np.isfinite(row.astype(np.float64)) & ((row < low) | (row > high))
    return np.where(outside, _draw_scalars(argument, size, rng), row) if outside.any() else row


def _draw_simplex(argument: Argument, count: int, rng: np.random.Generator) -> np.ndarray:
    """Probabilities along the last axis: one-hot, smoothed, and soft ones."""
    size = argument.shape[-1]
    shape = (count, *argument.shape)
    hot = np.arange(size) == rng.integers(0, size, shape[:-1])[..., None]
    soft = np.exp(rng.standard_normal(shape) * 3)
    soft /= soft.sum(-1, keepdims=True)
    kind = rng.integers(0, 3, shape[:-1])[..., None]
    rows = np.where(kind == 0, hot, np.where(kind == 1, 0.9 * hot + 0.1 / size, soft))
    return cast(rows, floats.format_of(argument.dtype).dtype)
