r"""exp and expm1 in two words.

With :math:`x = n \log 2 + r`, |r| at most half of log 2, exp(x) is :math:`2^n (1 + r + r^2/2 + r^3 q(r))`, where q is
a Taylor series. Only the last term is rounded before the end, and it is below 1/120.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stablenn.nn._elementary.words import Words, fast_two_sum, power_of_two, square, two_sum

LOG_2 = Fraction("0.693147180559945309417232121458176568075500134360255254120680")


def log_2_parts(dtype) -> tuple[float, float, float]:
    """log 2 as a sum; products of its first two parts with exponents of the format are exact."""
    digits = 41 if jnp.finfo(dtype).bits == 64 else 15
    high = Fraction(round(LOG_2 * 2**digits), 2**digits)
    middle = Fraction(round((LOG_2 - high) * 4**digits), 4**digits)
    return float(high), float(middle), float(LOG_2 - high - middle)


class Reduced(NamedTuple):
    """exp(x) = 2^exponent * (1 + change)."""

    exponent: jax.Array
    change: Words


def reduced_exp(x: jax.Array, low: jax.Array | float = 0.0) -> Reduced:
    """exp(x + low) for finite x; the exponent is clipped where the result has long left the range."""
    info = jnp.finfo(x.dtype)
    limit = 2.0 * info.maxexp * math.log(2)
    x = jnp.clip(x, -limit, limit)
    high, middle, low_part = log_2_parts(x.dtype)
    n = jax.lax.round(x * (1 / math.log(2)), jax.lax.RoundingMethod.TO_NEAREST_EVEN)
    r, error = two_sum(x - n * high, -n * middle)
    error = error + (low - n * low_part)
    last = 14 if jnp.finfo(x.dtype).bits == 64 else 8
    series = jnp.full_like(r, 1 / math.factorial(last))
    for k in range(last - 1, 2, -1):
        series = series * r + 1 / math.factorial(k)
    half_square = square(r).times_power(0.5)
    change = fast_two_sum(r, half_square.high)
    rest = half_square.low + r * r * r * series
    return Reduced(n.astype(jnp.int32), Words(change.high, (change.low + rest) + (error + error * r)))


def exp(x: jax.Array, low: jax.Array | float = 0.0) -> Words:
    """exp(x + low), where `low` is a few ulps of x."""
    n, change = reduced_exp(x, low)
    mantissa = one_plus(change)
    half = n >> 1
    first, second = power_of_two(half, x.dtype), power_of_two(n - half, x.dtype)
    return Words(mantissa.high * first * second, mantissa.low * first * second)


def expm1(x: jax.Array) -> Words:
    """exp(x) - 1 for x up to where exp(x) overflows."""
    n, (high, low) = reduced_exp(x)
    power = power_of_two(jnp.maximum(n, jnp.finfo(x.dtype).minexp), x.dtype)
    below = fast_two_sum(jnp.maximum(power, 1), -jnp.minimum(power, 1))
    whole = jnp.where(power < 1, -below.high, below.high), jnp.where(power < 1, -below.low, below.low)
    total = fast_two_sum(whole[0], high * power)
    return fast_two_sum(total.high, total.low + (whole[1] + low * power))


def one_plus(words: Words) -> Words:
    """1 + a number below one."""
    total = fast_two_sum(1, words.high)
    return fast_two_sum(total.high, total.low + words.low)
