"""Factors that may be too small for the format where their products are numbers in it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from stablenn.nn._elementary.words import powers


class TinyFactor(NamedTuple):
    """The number mantissa * first * second; the last two are powers of two.

    Made by a function with a derivative of its own, it leaves products with it differentiable, and linear in the other
    factor: what JAX transposes it takes apart, rules of differentiation included.
    """

    mantissa: jax.Array
    first: jax.Array
    second: jax.Array

    @classmethod
    def of(cls, mantissa: jax.Array, exponent: jax.Array) -> TinyFactor:
        """mantissa * 2^exponent, for mantissas up to 2; exponents below twice the least make products vanish."""
        vanishes = exponent < 2.0 * jnp.finfo(mantissa.dtype).minexp
        # a product, since the exponent of NaN is any
        return cls(mantissa * jnp.where(vanishes, 2.0**-60, 1), *powers(exponent, mantissa.dtype))

    def times(self, factor: jax.Array) -> jax.Array:
        # half of the power first: the largest numbers times a mantissa above one would overflow
        return factor * self.first * self.mantissa * self.second

    def tangent(self, rate: jax.Array) -> TinyFactor:
        """That of the number, given that of its logarithm."""
        return TinyFactor(self.mantissa * rate, jnp.zeros_like(self.first), jnp.zeros_like(self.second))
