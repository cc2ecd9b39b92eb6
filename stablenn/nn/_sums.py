"""Sums with fewer roundings on the way: quarters of a row are added to each other before they are reduced."""

from __future__ import annotations

import jax
import jax.numpy as jnp

Axes = tuple[int, ...]


def total(x: jax.Array, axes: Axes) -> jax.Array:
    """The sum over `axes`, which are kept. It is fused into one reduction, and a row of 8 passes 3 additions, not 7."""
    longest = max(axes, key=lambda axis: x.shape[axis], default=0)
    quarter = x.shape[longest] // 4 if axes else 0
    if not quarter:
        return jnp.sum(x, axes, keepdims=True)
    parts = [jax.lax.slice_in_dim(x, i * quarter, (i + 1) * quarter, axis=longest) for i in range(4)]
    folded = jnp.sum((parts[0] + parts[1]) + (parts[2] + parts[3]), axes, keepdims=True)
    rest = jax.lax.slice_in_dim(x, 4 * quarter, x.shape[longest], axis=longest)
    return folded + jnp.sum(rest, axes, keepdims=True) if rest.size else folded
