"""Sums with fewer roundings on the way than an ordinary reduction, made of ordinary reductions.

Compilers vectorise these and split them over devices.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from stablenn.nn._elementary.words import Words, fast_two_sum, two_sum

Axes = tuple[int, ...]

_LANES = 64  # what XLA's CPU backend adds up side by side


def few(x: jax.Array, axes: Axes) -> bool:
    """Whether the sums over `axes` are short: XLA adds them up one after another, and every rounding counts."""
    return max((x.shape[axis] for axis in axes), default=0) < _LANES


def total(x: jax.Array, axes: Axes) -> jax.Array:
    """The sum over `axes`, which are kept. A row of 8 passes 3 additions, not 7.

    Longer rows are added up in lanes by XLA, which fuses that with what makes them.
    """
    longest = max(axes, key=lambda axis: x.shape[axis], default=0)
    quarter = x.shape[longest] // 4 if axes else 0
    if not quarter or not few(x, axes):
        return jnp.sum(x, axes, keepdims=True)
    parts = [jax.lax.slice_in_dim(x, i * quarter, (i + 1) * quarter, axis=longest) for i in range(4)]
    folded = jnp.sum((parts[0] + parts[1]) + (parts[2] + parts[3]), axes, keepdims=True)
    rest = jax.lax.slice_in_dim(x, 4 * quarter, x.shape[longest], axis=longest)
    return folded + jnp.sum(rest, axes, keepdims=True) if rest.size else folded


def lift(dtype) -> float:
    """What numbers below 2 are multiplied by before their products are added up.

    Small products count where large ones cancel or are missing: their halves stay above the smallest normal.
    """
    return 2.0 ** (jnp.finfo(dtype).nmant + 4)


def dot(x: jax.Array, y: jax.Array, axes: Axes) -> Words:
    """The sum of products of numbers below 2, all of them times `lift`, with what products and sum round away.

    Products of leading halves are exact. Their parts on a coarse grid add up without any rounding, and what is left is
    so small that its own roundings do not count.
    """
    x_high, y_high = _leading_half(x), _leading_half(y)
    low = x_high * (y - y_high) + (x - x_high) * y
    high = x_high * y_high
    length = 1
    for axis in axes:
        length *= x.shape[axis]
    # Adding 1.5 * 2^k rounds to a grid. It is no literal, since XLA would take (x + c) - c for x.
    grid = 6.0 * lift(x.dtype) ** 2 * 2.0 ** max(length - 1, 1).bit_length()
    rounder = jnp.where(jnp.isnan(high), jnp.nan, grid).astype(x.dtype)
    coarse = (high + rounder) - rounder
    return fast_two_sum(total(coarse, axes), total((high - coarse) + low, axes))


def total_of_words(terms: Words, axis) -> Words:
    """The sum of terms of at most 1 along `axis`, which is kept.

    The upper digits of all terms are multiples of one power of two, so that their sum is exact, however they cancel.
    The sum of the lower digits is rounded, far below the last digit of the sum.
    """
    bits, size = jnp.finfo(terms.high.dtype).nmant, terms.high.size // max(jnp.sum(terms.high, axis).size, 1)
    scale = 2.0 ** max(bits - 1 - math.ceil(math.log2(max(size, 1))), 0)
    upper = jax.lax.round(terms.high * scale, jax.lax.RoundingMethod.TO_NEAREST_EVEN) * (1 / scale)
    lower = (terms.high - upper) + terms.low
    # The selections keep XLA's CPU backend from moving parts of this arithmetic into its reductions, at their cost.
    zero = terms.high == 0
    upper, lower = jnp.where(zero, 0, upper), jnp.where(zero, terms.low, lower)
    return two_sum(*(jnp.sum(part, axis, keepdims=True) for part in (upper, lower)))


def _leading_half(x: jax.Array) -> jax.Array:
    """The leading half of the digits: products of two of them are exact."""
    info = jnp.finfo(x.dtype)
    bits = np.dtype(f"uint{info.bits}")
    digits = bits.type(((1 << info.bits) - 1) ^ ((1 << (info.nmant + 2) // 2) - 1))
    return jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(x, bits) & digits, x.dtype)
