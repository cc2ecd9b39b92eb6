"""Exponentials kept above the smallest normal number.

Backends flush subnormals: ``exp(-88)`` is 0 in float32, although a thousand of them add up to a normal number. Here
an exponential below a threshold is computed as ``exp(x) * 2**power``, by adding ``power * log(2)`` to its exponent.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stablenn.nn._elementary.exponential import reduced_exp
from stablenn.nn._elementary.words import Words, power_of_two

_LOG_2 = Fraction("0.693147180559945309417232121458176568075500134360255254120680")


class Scale(NamedTuple):
    """Where exponents count as small, and by which power of two their exponentials are scaled."""

    threshold: float
    power: int
    shift_high: float  # power * log(2), rounded so that adding it to an exponent below the threshold is exact
    shift_low: float  # and what that rounding took away

    @property
    def half(self) -> float:
        """2^(-power/2): to take the scaling back in two steps, one before and one after a sum."""
        return 2.0 ** (-self.power // 2)


def scale_of(dtype) -> Scale:
    threshold, power, grid = (-600.0, 108, 40) if jnp.finfo(dtype).bits == 64 else (-60.0, 48, 16)
    shift = power * _LOG_2
    high = Fraction(round(shift * 2**grid), 2**grid)
    return Scale(threshold, power, float(high), float(shift - high))


def mantissa_exp(x: jax.Array, error: jax.Array | None = None) -> tuple[jax.Array, Words]:
    """exp(x + error) as 2^n times a number."""
    reduced = reduced_exp(x, error)
    return reduced.exponent, reduced.mantissa


def exp_words(x: jax.Array, error: jax.Array | None = None) -> Words:
    """exp(x + error) for x up to 0 in two words, 0 where it underflows."""
    n, mantissa = mantissa_exp(x, error)
    return times_power(mantissa, n)


def scaled_exp(x: jax.Array, error: jax.Array | None = None) -> jax.Array:
    """exp(x + error) * 2^power for x up to 0, within 0.6 ulps, where `error` is a few ulps of x."""
    n, mantissa = mantissa_exp(x, error)
    return times_power(mantissa, n + scale_of(x.dtype).power).high


def times_power(words: Words, exponent: jax.Array) -> Words:
    """A number near one times 2^exponent, 0 below the range."""
    dtype = words.high.dtype
    power = power_of_two(exponent, dtype)
    return Words(*(jnp.where(exponent < jnp.finfo(dtype).minexp, 0, word * power) for word in words))


def times_exp(factor: jax.Array, x: jax.Array, power: int = 0) -> jax.Array:
    """factor * exp(x) * 2^power, also where exp(x) alone would leave the range: its root is multiplied twice."""
    scale, half = scale_of(x.dtype), x / 2
    small = half < scale.threshold
    exp = jnp.exp(half + jnp.where(small, scale.shift_high, 0))
    exp = exp + exp * jnp.where(small, scale.shift_low, 0)
    product = factor * jnp.where(small, 2.0 ** (power - 2 * scale.power), 2.0**power) * exp * exp
    return jnp.where(exp == 0, 0, product)
