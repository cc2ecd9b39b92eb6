r"""exp and expm1 in two words.

With :math:`x = n \log 2 + r`, |r| at most half of log 2, exp(x) is :math:`2^n (1 + r + r^2 q(r))`, where q is a Taylor
series. The last term alone is rounded before the end, at most a fifteenth of the result.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stablenn.nn._elementary.words import (
    Words,
    fast_two_sum,
    ldexp,
    power_of_two,
    select,
)

LOG_2 = Fraction("0.693147180559945309417232121458176568075500134360255254120680")


def log_2_parts(dtype) -> tuple[float, float, float]:
    """log 2 as a sum; products of its first two parts with exponents of the format are exact."""
    digits = 41 if jnp.finfo(dtype).bits == 64 else 15
    high = Fraction(round(LOG_2 * 2**digits), 2**digits)
    middle = Fraction(round((LOG_2 - high) * 4**digits), 4**digits)
    return float(high), float(middle), float(LOG_2 - high - middle)


class Reduced(NamedTuple):
    """exp(x) = 2^exponent * (1 + change)."""

    exponent: jax.Array  # an integer, as a float
    change: Words  # not normalised

    @property
    def mantissa(self) -> Words:
        """1 + change, between the roots of one half and of two."""
        return one_plus(self.change)


def reach(dtype) -> tuple[float, float]:
    """The arguments of exp: below, it vanishes in any product with one number; above, its exponent is too large."""
    info = jnp.finfo(dtype)
    return 2 * int(info.minexp) * math.log(2), (int(info.maxexp) - 0.6) * math.log(2)


def reduced_exp(x: jax.Array, low: jax.Array | None = None) -> Reduced:
    """exp(x + low), where `low` is a few ulps of x; cut off where the exponent is four times that of the format."""
    # that leaves room for the exponents of other factors; the products with log 2 are still exact
    lowest, _ = reach(x.dtype)
    whole, x = x, jnp.minimum(jnp.maximum(x, 2 * lowest), -2 * lowest)
    low = None if low is None else jnp.where(whole == x, low, 0)
    n = nearest_integer(x * (1 / math.log(2)))
    high, middle, last = log_2_parts(x.dtype)
    first, second = x - n * high, n * middle
    # near multiples of log 2 this difference is exact, and what is left of x must not meet a rounded sum
    start = first - second
    rest = -n * last if low is None else low - n * last
    r = start + rest
    lost = ((start - r) + rest) + ((first - start) - second)
    return Reduced(n, Words(r, r * r * _series(r, 14 if jnp.finfo(r.dtype).bits == 64 else 8) + lost))


def _series(r: jax.Array, length: int) -> jax.Array:
    """(exp(r) - 1 - r) / r^2 up to the power r^(length - 2), for r up to half of log 2."""
    series = jnp.full_like(r, 1 / math.factorial(length))
    for k in range(length - 1, 1, -1):
        series = series * r + 1 / math.factorial(k)
    return series


def nearest_integer(x: jax.Array) -> jax.Array:
    """An integer nearest to a number far below 2^22."""
    if jnp.finfo(x.dtype).bits == 64:  # whose patterns many processors convert one by one
        return jax.lax.round(x, jax.lax.RoundingMethod.TO_NEAREST_EVEN)
    # the last part of a pattern, which is not simplified like (x + c) - c
    magic = np.float32(1.5 * 2**23)
    pattern = jax.lax.bitcast_convert_type(x + magic, np.int32)
    return (pattern - magic.view(np.int32)).astype(x.dtype)


def light_exp(x: jax.Array, low: jax.Array | None = None, lowest: float | None = None) -> tuple[jax.Array, jax.Array]:
    """n and c in exp(x + low) = 2^n (1 + c), where c has but one word, x is at most 0 and `low` a few ulps of it.

    The sum, once rounded, is within 0.8 ulps. Where x is below `lowest` it is cut off there.
    """
    whole, x = x, jnp.maximum(x, 2 * reach(x.dtype)[0] if lowest is None else lowest)
    n = nearest_integer(x * (1 / math.log(2)))
    high, middle, last = log_2_parts(x.dtype)
    r = (x - n * high) - n * (middle + last)
    r = r if low is None else r + jnp.where(whole == x, low, 0)
    return n, r + r * r * _series(r, 13 if jnp.finfo(r.dtype).bits == 64 else 7)


def factored_exp(x: jax.Array, power: int = 0, low: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
    """p and c in exp(x + low) * 2^power = p (1 + c), as above; p is zero where it is too small for the format."""
    least = int(jnp.finfo(x.dtype).minexp) - 1 - power  # of which the power is made zero
    n, change = light_exp(x, low, least * math.log(2))
    return power_of_two(n + power, x.dtype), change


def factored_exp2(x: jax.Array, power: int, low: jax.Array) -> tuple[jax.Array, jax.Array]:
    """p and c in 2^(x + low + power) = p (1 + c), likewise, where `low` may be up to a tenth."""
    x = jnp.maximum(x, float(jnp.finfo(x.dtype).minexp) - 1 - power)
    n = nearest_integer(x)
    f = (x - n) + low
    log_2, length = float(LOG_2), 14 if jnp.finfo(x.dtype).bits == 64 else 8
    series = jnp.full_like(f, log_2**length / math.factorial(length))
    for k in range(length - 1, 0, -1):
        series = series * f + log_2**k / math.factorial(k)
    return power_of_two(n + power, x.dtype), f * series


def light_expm1(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """exp(x) - 1 for x at most 0 as a sum, which once rounded is within an ulp; the first is the larger, or 0."""
    n, change = light_exp(x, lowest=-(jnp.finfo(x.dtype).nmant + 3) * math.log(2))
    power = power_of_two(n, x.dtype)
    return power - 1, power * change


def exp(x: jax.Array, low: jax.Array | None = None) -> Words:
    """exp(x + low) for x up to 88 (float64: 709), where `low` is a few ulps of x."""
    reduced = reduced_exp(jnp.minimum(x, reach(x.dtype)[1]), low)
    return reduced.mantissa.ldexp(reduced.exponent)


def expm1(x: jax.Array, low: jax.Array | None = None) -> Words:
    """exp(x + low) - 1 for x up to 88 (float64: 709), where `low` is a few ulps of x."""
    n, change = reduced_exp(jnp.minimum(x, reach(x.dtype)[1]), low)
    power = ldexp(jnp.ones_like(x), n)
    below = fast_two_sum(jnp.maximum(power, 1), -jnp.minimum(power, 1))
    whole = select(power < 1, -below, below)
    total = fast_two_sum(whole.high, change.high * power)
    return fast_two_sum(total.high, total.low + (whole.low + change.low * power))


def one_plus(words: Words) -> Words:
    """1 + a number between -1/2 and 1."""
    total = fast_two_sum(1, words.high)
    return fast_two_sum(total.high, total.low + words.low)
