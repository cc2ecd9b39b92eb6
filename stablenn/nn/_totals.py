"""Sums in two words, by ordinary reductions: compilers vectorise them and split them over devices."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from stablenn.nn._elementary.words import Words, two_sum


def total(terms: Words, axis) -> Words:
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
