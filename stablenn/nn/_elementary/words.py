"""Arithmetic of double words: unevaluated sums of two floats, of which the second holds what the first rounds away.

XLA may contract a product and a sum to one operation, in one of the places where it computes them and not in another.
So a product that is an operand of a sum with an error term has to be exact, as the first words of products are here.
Up to jax 0.10.2 it simplifies ``(x + c) - c`` to ``x`` where c is a constant: differences are written as
``(a - total) + b``, which it leaves alone.

References:
  Dekker, `A floating-point technique for extending the available precision
  <https://doi.org/10.1007/BF01397083>`_, 1971; Knuth, The Art of Computer Programming, volume 2, section 4.2.2.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


class Words(NamedTuple):
    """The number high + low."""

    high: jax.Array
    low: jax.Array

    @property
    def rounded(self) -> jax.Array:
        return self.high + self.low

    def __neg__(self) -> Words:
        return Words(-self.high, -self.low)

    def times_power(self, power: jax.Array | float) -> Words:
        """The number times a power of two."""
        return Words(self.high * power, self.low * power)


def fast_two_sum(a: ArrayLike, b: jax.Array) -> Words:
    """a + b, exactly, where |a| >= |b| or a == 0."""
    total = a + b
    return Words(total, (a - total) + b)


def two_sum(a: jax.Array, b: jax.Array) -> Words:
    """a + b, exactly, unless it overflows."""
    total = a + b
    back = total - a
    return Words(total, (a - (total - back)) + (b - back))


def add(words: Words, x: jax.Array) -> Words:
    """The number plus x."""
    total = two_sum(words.high, x)
    return fast_two_sum(total.high, total.low + words.low)


def product(a: jax.Array, b: jax.Array) -> Words:
    """a * b up to 2^-33 (float32) of it; the first word is exact, but not the nearest."""
    (a_high, a_low), (b_high, b_low) = halves(a), halves(b)
    return Words(a_high * b_high, a_high * b_low + a_low * b)


def square(a: jax.Array) -> Words:
    """a * a, likewise."""
    high, low = halves(a)
    return Words(high * high, (a + high) * low)


def halves(a: jax.Array) -> Words:
    """a as a sum of two numbers of half its digits, which have exact products."""
    info = jnp.finfo(a.dtype)
    bits = np.dtype(f"uint{info.bits}")
    kept = bits.type((1 << info.bits) - (1 << (info.nmant // 2 + 1)))
    high = jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(a, bits) & kept, a.dtype)
    return Words(high, a - high)


def divide(a: Words, b: Words) -> jax.Array:
    """The quotient, rounded: within about one ulp."""
    quotient = a.high / b.high
    return quotient + (a.low - quotient * b.low) / b.high


def power_of_two(exponent: jax.Array, dtype) -> jax.Array:
    """2^exponent for integers in the range of normal numbers."""
    info = jnp.finfo(dtype)
    bits = np.dtype(f"int{info.bits}")
    shifted = (exponent.astype(bits) + bits.type(info.maxexp - 1)) << bits.type(info.nmant)
    return jax.lax.bitcast_convert_type(shifted, dtype)
