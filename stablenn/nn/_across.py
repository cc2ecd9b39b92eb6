"""Reductions that go on over the devices an axis is split over."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from stablenn.nn._axes import Axis

Names = str | tuple[str, ...]


class Across(NamedTuple):
    """Axes of which every device of the mesh axes `names` has a part."""

    axes: Axis
    names: Names


def summed(x: jax.Array, axis: Axis | Across) -> jax.Array:
    """The sum over the axes, which are kept."""
    if isinstance(axis, Across):
        return jax.lax.psum(jnp.sum(x, axis.axes, keepdims=True), axis.names)
    return jnp.sum(x, axis, keepdims=True)


def largest(x: jax.Array, axis: Axis | Across) -> jax.Array:
    """The maximum over the axes, which are kept; -inf of none."""
    if isinstance(axis, Across):
        return jax.lax.pmax(jnp.max(x, axis.axes, keepdims=True, initial=-jnp.inf), axis.names)
    return jnp.max(x, axis, keepdims=True, initial=-jnp.inf)


def squeezed(x: jax.Array, axis: Axis | Across) -> jax.Array:
    """Without the axes that were kept."""
    return jnp.squeeze(x, axis.axes if isinstance(axis, Across) else axis)
