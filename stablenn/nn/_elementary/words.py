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


class Words(NamedTuple):
    """The number high + low."""

    high: jax.Array
    low: jax.Array

    @property
    def rounded(self) -> jax.Array:
        return self.high + self.low

    def __neg__(self) -> Words:
        return Words(-self.high, -self.low)

    def ldexp(self, exponent: jax.Array) -> Words:
        """The number times 2^exponent, in or out of the range of the format."""
        first, second = powers(exponent, self.high.dtype)
        return Words(self.high * first * second, self.low * first * second)

    @property
    def normalised(self) -> Words:
        """The same number with the nearest float as its first word."""
        return fast_two_sum(self.high, self.low)

    def times_power(self, power: jax.Array | float) -> Words:
        """The number times a power of two."""
        return Words(self.high * power, self.low * power)


def fast_two_sum(a: jax.Array | int, b: jax.Array) -> Words:
    """a + b, exactly, where |a| >= |b| or a == 0."""
    total = a + b
    return Words(total, (a - total) + b)


def two_sum(a: jax.Array, b: jax.Array) -> Words:
    """a + b, exactly, unless it overflows."""
    total = a + b
    back = total - a
    return Words(total, (a - (total - back)) + (b - back))


def add(a: Words, b: Words) -> Words:
    """The sum of two numbers."""
    total = two_sum(a.high, b.high)
    return fast_two_sum(total.high, total.low + (a.low + b.low))


def multiply(a: Words, b: Words) -> Words:
    """The product of two numbers."""
    exact = product(a.high, b.high)
    return fast_two_sum(exact.high, exact.low + (a.high * b.low + a.low * b.high))


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
    """The quotient of normalised numbers, rounded: within about one ulp."""
    # The correction does not use the quotient: XLA keeps what is divided and used twice in memory.
    inverse = 1 / b.high
    return a.high / b.high + (a.low - a.high * inverse * b.low) * inverse


def quotient(x: Words, y: jax.Array) -> Words:
    """x / y in two words, for positive y."""
    # a power of two keeps what remains of the division in range
    factor = jnp.where(y < 2.0 ** (jnp.finfo(y.dtype).minexp // 2), 2.0 ** (-jnp.finfo(y.dtype).minexp // 2), 1)
    (high, low), y = x.times_power(factor), y * factor
    ratio = high / y
    nearest = product(ratio, y)
    rest = (((high - nearest.high) - nearest.low) + low) / y
    return Words(ratio, jnp.where((jnp.abs(ratio) < 2.0**16) & (y < jnp.inf), rest, 0))


def single(x: jax.Array) -> Words:
    """A float as two words."""
    return Words(x, jnp.zeros_like(x))


def select(condition: jax.Array, a: Words, b: Words) -> Words:
    return Words(jnp.where(condition, a.high, b.high), jnp.where(condition, a.low, b.low))


def power_of_two(exponent: jax.Array, dtype) -> jax.Array:
    """2^exponent for integers, given as floats, in the range of normal numbers."""
    info = jnp.finfo(dtype)
    bits = np.dtype(f"int{info.bits}")
    # added to 2^digits, an integer is the last part of the pattern
    pattern = jax.lax.bitcast_convert_type(exponent + (2.0**info.nmant + (info.maxexp - 1)), bits)
    return jax.lax.bitcast_convert_type(pattern << bits.type(info.nmant), dtype)


def powers(exponent: jax.Array, dtype) -> tuple[jax.Array, jax.Array]:
    """2^exponent as a product of two numbers in range; exponents beyond those of such products are cut off there.

    Each has half of the exponent: a product with both in turn leaves the range only if its result does.
    """
    info = jnp.finfo(dtype)
    bits = np.dtype(f"int{info.bits}")
    exponent = jnp.clip(exponent, 2.0 * info.minexp, 2.0 * (info.maxexp - 1))
    # twice the exponent of one as the last part of the pattern; what is above it, the shift discards
    pattern = jax.lax.bitcast_convert_type(exponent + (2.0**info.nmant + 2 * (info.maxexp - 1)), bits)
    half = pattern >> bits.type(1)
    first, second = (
        jax.lax.bitcast_convert_type(part << bits.type(info.nmant), dtype) for part in (half, pattern - half)
    )
    return first, second


def ldexp(x: jax.Array, exponent: jax.Array) -> jax.Array:
    """x * 2^exponent, in or out of the range of the format."""
    first, second = powers(exponent, x.dtype)
    return x * first * second


def apart(x: jax.Array, result: jax.Array) -> jax.Array:
    """The result of a long elementwise computation on x, kept apart from reductions that follow.

    XLA's CPU backend pulls sums and products into a reduction, one number at a time; a selection it leaves outside.
    """
    return jnp.where(x == x, result, x)
