"""The axes that an argument `axis` names."""

from __future__ import annotations

from stablenn.nn._shares import Axis


def axes_of(axis: Axis, ndim: int, name: str) -> tuple[int, ...]:
    """The axes to reduce, as non-negative numbers; a ValueError that names the function where one does not fit."""
    axes = tuple(range(ndim)) if axis is None else tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    for i in axes:
        if not -ndim <= i < ndim:
            raise ValueError(f"{name}: axis {i} is out of bounds for an array of {ndim} axes")
    return tuple(i % ndim for i in axes)
