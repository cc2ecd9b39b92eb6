"""Entries that do not count."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def with_mask(x: ArrayLike, where: ArrayLike | None) -> tuple[jax.Array, jax.Array | None]:
    """The array and its mask, broadcast against each other."""
    if where is None:
        return jnp.asarray(x), None
    x, mask = jnp.broadcast_arrays(x, jnp.asarray(where, bool))
    return x, mask


def paired(one: jax.Array, other: jax.Array, where: ArrayLike | None) -> tuple[jax.Array, jax.Array, jax.Array | None]:
    """Arrays of one shape, 0 where masked: whatever is there has no part in a derivative, either. And their mask."""
    one, other = jnp.broadcast_arrays(one, other)
    where = None if where is None else jnp.broadcast_to(jnp.asarray(where, bool), one.shape)
    return masked(one, where), masked(other, where), where


def masked(values: jax.Array, where: jax.Array | None) -> jax.Array:
    """The entries, 0 where masked."""
    return values if where is None else jnp.where(where, values, 0)


def included(x: jax.Array, where: jax.Array | None) -> jax.Array:
    """The entries, -inf where masked: their exponentials are nothing."""
    return x if where is None else jnp.where(where, x, -jnp.inf)
