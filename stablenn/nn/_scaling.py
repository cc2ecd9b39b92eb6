"""Scaling by a power of two, which rounds nothing: squares neither overflow nor vanish."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

Rows = TypeVar("Rows")


def binade(largest: jax.Array) -> jax.Array:
    """The power of two at or below each of `largest` (>= 0), kept so far from the ends that its inverse is normal.

    Infinities and NaNs give the largest such power, and zeros the smallest.
    """
    info = jnp.finfo(largest.dtype)
    bits = np.dtype(f"uint{info.bits}")
    exponent_bits = bits.type(((1 << info.nexp) - 1) << info.nmant)
    exponent = jax.lax.bitcast_convert_type(largest, bits) & exponent_bits
    power = jax.lax.bitcast_convert_type(exponent, largest.dtype)
    return jnp.clip(jax.lax.stop_gradient(power), 2.0**info.minexp, 2.0**-info.minexp)


class Scaled(NamedTuple):
    """Vectors as `values` times `scale`, a power of two; reduced axes are kept."""

    values: jax.Array  # below 2; where a vector is infinite, the signs of its infinities among zeros
    scale: jax.Array
    infinite: jax.Array


def scaled(
    x: jax.Array, axes: tuple[int, ...], where: jax.Array | None = None, least: jax.Array | float = 0
) -> Scaled:
    """Vectors scaled by a power of two near their largest entry, or near `least` if that is larger."""
    size = jnp.abs(x) if where is None else jnp.where(where, jnp.abs(x), 0)
    largest = jnp.max(size, axes, keepdims=True, initial=0)
    largest = jax.lax.stop_gradient(largest)
    return scaled_by(x, binade(jnp.maximum(largest, least)), largest == jnp.inf)


def scaled_by(x: jax.Array, scale: jax.Array, infinite: jax.Array) -> Scaled:
    values = jnp.where(infinite & jnp.isinf(x), jnp.sign(x), x * jnp.where(infinite, 0, 1 / scale))
    return Scaled(values, scale, infinite)


def lifted(x: jax.Array, scale: jax.Array, infinite: jax.Array, lift: float) -> jax.Array:
    """Vectors over `scale`, times `lift`, in such steps that no entry is flushed which it brings back."""
    early = jnp.where(infinite, 0, jnp.where(scale < 1, 1, lift) / scale)
    late = jnp.where(infinite | (scale < 1), lift, 1)
    # the selection keeps XLA from multiplying the two first, which may be too large for the format
    return jnp.where(infinite & jnp.isinf(x), jnp.sign(x), x * early) * late


def ordinary(square: jax.Array) -> jax.Array:
    """Whether a sum of squares is so far from both ends of the range that nothing that counts in it was lost there."""
    info = jnp.finfo(square.dtype)
    return (square >= 2.0 ** (info.minexp // 2 + 3)) & (square <= 2.0 ** (info.maxexp // 2 - 4))


def unless(common: jax.Array, plain: Rows, careful: Callable[[], Rows]) -> Rows:
    """What is `plain` for common rows and `careful` for others, which is computed only if there are any.

    A row does not depend on what its neighbours are. Under `vmap` the branch becomes a selection: right, but slower.
    """
    plain = jax.tree.map(lambda value: for_each(common, value), plain)

    def selected():
        return jax.tree.map(lambda a, b: jnp.where(common, a, b), plain, careful())

    return jax.lax.cond(jnp.all(common), lambda: plain, selected)


def for_each(rows: jax.Array, value: jax.Array | float) -> jax.Array:
    """A value for each of the rows: within `shard_map`, branches take and give what varies as they do."""
    return jnp.where(rows == rows, value, value)


def quotient(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array | float) -> jax.Array:
    """a * b * c / d for d of at least 1, in an order in which no part of it leaves the range before the whole."""
    a, b = _descending(a, b)
    b, c = _descending(b, c)
    a, b = _descending(a, b)
    extremes = a * c
    return jnp.where(jnp.abs(extremes) < 1, extremes * b / d, extremes / d * b)


def _descending(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    ordered = jnp.abs(a) > jnp.abs(b)
    return jnp.where(ordered, a, b), jnp.where(ordered, b, a)


def halves(factor: jax.Array) -> tuple[jax.Array, jax.Array]:
    """What to multiply by before a sum and after it, instead of by `factor` >= 0.

    A factor below 1 is applied half before and half after, one above 1 wholly before: so neither the terms nor
    those of the transpose leave the range where the result does not.
    """
    before = jnp.where(factor >= 1, factor, 2 * binade(jnp.sqrt(factor)))
    return before, jnp.where(factor >= 1, 1, factor / before)
