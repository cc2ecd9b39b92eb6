"""Corner inputs: values at which arithmetic changes its character, and vectors made of them."""

from __future__ import annotations

import math

import numpy as np

from stablenn import floats
from stablenn.precision.domain.arguments import Argument, cast, ends_of


def _allowed(argument: Argument, values: np.ndarray) -> np.ndarray:
    low, high = ends_of(argument)
    wide = values.astype(np.float64)
    inside = (wide >= float(low)) & (wide <= float(high))
    return values[inside | (np.isnan(wide) if argument.low is None else False)]


def _corner_values(argument: Argument) -> np.ndarray:
    if not argument.is_float:
        low, high = (int(end) for end in ends_of(argument))
        middle = [value for value in (0, 1, 2) if low <= value <= high]
        return np.array(sorted({low, *middle, high}), argument.dtype)
    ends = np.stack(ends_of(argument))
    corners = _allowed(argument, floats.corners(argument.dtype))
    return np.concatenate([corners, ends])


def corner_rows(argument: Argument) -> np.ndarray:
    """Every corner of one argument, as scalars or in vectors."""
    values = _corner_values(argument)
    return values if not argument.shape else _as_rows(argument, values)


def _as_rows(argument: Argument, values: np.ndarray) -> np.ndarray:
    """Vectors made of corners: the corner throughout, alone among ordinary values, and beside each special."""
    size = math.prod(argument.shape)
    if argument.simplex:
        first, last = np.zeros(argument.shape), np.zeros(argument.shape)
        first[..., 0] = last[..., -1] = 1
        even = np.full(argument.shape, 1 / argument.shape[-1])
        return cast(np.stack([first, last, even]), floats.format_of(argument.dtype).dtype)
    low, high = (float(end) for end in ends_of(argument))
    ordinary = np.clip(np.linspace(0, 1, size), low, high)
    throughout = np.repeat(values[:, None], size, 1)
    alone = np.repeat((ordinary.astype(values.dtype) if argument.is_float else values[:1])[None], len(values), 0)
    alone = np.broadcast_to(alone, throughout.shape).copy()
    alone[:, 0] = values
    if not argument.is_float:
        return np.concatenate([throughout, alone]).reshape(-1, *argument.shape)
    opposed = throughout.copy()
    if low <= 0:
        opposed[:, 1:] = np.clip(-values.astype(np.float64), low, high)[:, None].astype(values.dtype)
    paired = alone.copy()
    paired[:, -1] = values
    return np.concatenate([throughout, alone, opposed, paired]).reshape(-1, *argument.shape)


def harsh_rows(argument: Argument) -> np.ndarray:
    """The few values that are crossed with those of the other arguments."""
    if argument.simplex:
        return corner_rows(argument)
    values = _corner_values(argument)
    if not argument.is_float:
        return values if not argument.shape else _as_rows(argument, values)
    wide = values.astype(np.float64)
    special = ~np.isfinite(wide) | (wide == 0) | (np.abs(wide) == 1) | (np.abs(wide) == 0.5)
    ends = np.zeros(len(values), bool)
    ends[-2:] = True
    chosen = values[special | ends]
    return chosen if not argument.shape else _as_rows(argument, chosen)
