"""The axes that an argument `axis` names."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

Axis = int | tuple[int, ...] | None


def axes_of(axis: Axis, ndim: int, name: str) -> tuple[int, ...]:
    """The axes to reduce, as non-negative numbers; a ValueError that names the function where one does not fit."""
    axes = tuple(range(ndim)) if axis is None else tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    for i in axes:
        if not -ndim <= i < ndim:
            raise ValueError(f"{name}: axis {i} is out of bounds for an array of {ndim} axes")
    return tuple(i % ndim for i in axes)


def without_unit_axes(fn: Callable[..., jax.Array], x: jax.Array, axes: tuple[int, ...], *others) -> jax.Array:
    """fn(x, axes, *others) without axes of length 1, beside which XLA of jax 0.10 vectorises no gradient on CPUs.

    The others are broadcast against x, or None.
    """
    units = tuple(i for i, size in enumerate(x.shape) if size == 1 and i not in axes)
    others = (v if v is None else jnp.squeeze(v, units) for v in others)
    axes = tuple(i - sum(unit < i for unit in units) for i in axes)
    return jnp.expand_dims(fn(jnp.squeeze(x, units), axes, *others), units)
