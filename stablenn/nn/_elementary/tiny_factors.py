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
        # a mantissa up to one: its product with the largest numbers does not overflow before it is scaled
        step = (exponent < 0).astype(mantissa.dtype)
        vanishes = exponent < 2.0 * jnp.finfo(mantissa.dtype).minexp
        scaled = jnp.where(vanishes, 2.0**-60, mantissa * (1 - 0.5 * step))
        return cls(scaled, *powers(exponent + step, mantissa.dtype))

    def times(self, factor: jax.Array) -> jax.Array:
        return factor * self.mantissa * self.first * self.second

    def tangent(self, rate: jax.Array) -> TinyFactor:
        """That of the number, given that of its logarithm."""
        return TinyFactor(self.mantissa * rate, jnp.zeros_like(self.first), jnp.zeros_like(self.second))
