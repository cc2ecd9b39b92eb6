"""Exponentials kept above the smallest normal number.

Backends flush subnormals: ``exp(-88)`` is 0 in float32, although a thousand of them add up to a normal number, and so
does their product with a large one. Here an exponential is scaled by a power of two, by adding to its exponent.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stablenn.nn._elementary.exponential import reduced_exp
from stablenn.nn._elementary.tiny_factors import TinyFactor
from stablenn.nn._elementary.words import ldexp


class Scale(NamedTuple):
    """Where exponents count as small, and by which power of two their exponentials are scaled."""

    threshold: float
    power: int

    @property
    def half(self) -> float:
        """2^(-power/2): to take the scaling back in two steps, one before and one after a sum."""
        return 2.0 ** (-self.power // 2)


def scale_of(dtype) -> Scale:
    return Scale(-600.0, 108) if jnp.finfo(dtype).bits == 64 else Scale(-60.0, 48)


def scaled_exp(x: jax.Array, error: jax.Array | None = None) -> jax.Array:
    """exp(x + error) * 2^power for x up to 0, within 0.6 ulps, where `error` is a few ulps of x."""
    reduced = reduced_exp(x, error)
    return ldexp(reduced.mantissa.high, reduced.exponent + scale_of(x.dtype).power)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def exp_times(factor: jax.Array, x: jax.Array, power: int = 0) -> jax.Array:
    """factor * exp(x) * 2^power, also where exp(x) alone would leave the range."""
    return _exp(x, power).times(factor)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _exp(x: jax.Array, power: int) -> TinyFactor:
    """exp(x) * 2^power."""
    reduced = reduced_exp(x)
    return TinyFactor.of(reduced.mantissa.rounded, reduced.exponent + power)


@_exp.defjvp
def _exp_jvp(power, primals, tangents):
    (x,), (t,) = primals, tangents
    exp = _exp(x, power)
    return exp, exp.tangent(t)


@exp_times.defjvp
def _exp_times_jvp(power, primals, tangents):
    (factor, x), (factor_t, t) = primals, tangents
    product = exp_times(factor, x, power)
    return product, exp_times(factor_t, x, power) + product * t
