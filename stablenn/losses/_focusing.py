"""Probabilities of missing the answer, and what focal losses weigh easy examples down by."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from stablenn.nn._elementary.exponential import reduced_exp
from stablenn.nn._elementary.logarithm import log
from stablenn.nn._elementary.tiny_factors import TinyFactor
from stablenn.nn._elementary.words import multiply, single


@jax.custom_jvp
def missed_probability(log_probability: jax.Array) -> jax.Array:
    """1 - exp(x); JAX's derivative of expm1 adds 1 to it, which rounds small probabilities away."""
    return -jnp.expm1(log_probability)


@missed_probability.defjvp
def _missed_probability_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return missed_probability(x), -jnp.exp(x) * t


def focused(missed: jax.Array, gamma: jax.Array, loss: jax.Array) -> jax.Array:
    """missed^gamma * loss for `missed` from 0 to 1 and gamma >= 0, also where the power alone is out of the range."""
    return _power(missed, gamma).times(loss)


@jax.custom_jvp
def _power(missed, gamma) -> TinyFactor:
    """In two words, since gamma multiplies what is rounded of the logarithm."""
    known = (missed > 0) & (missed < 1)
    logarithm = multiply(log(jnp.where(known, missed, 0.5)), single(gamma * jnp.ones_like(missed)))
    reduced = reduced_exp(logarithm.high, logarithm.low)
    limit = jnp.where(jnp.isnan(missed), missed, jnp.where((missed <= 0) & (gamma > 0), 0, 1))
    mantissa = jnp.where(known, reduced.mantissa.rounded, limit)
    return TinyFactor.of(mantissa, jnp.where(known, reduced.exponent, 0))


@_power.defjvp
def _power_jvp(primals, tangents):
    (missed, gamma), (missed_t, gamma_t) = primals, tangents
    power, divisor = _power(missed, gamma), jnp.where(missed == 0, 1, missed)
    # with a gamma below 1 it is infinitely steep at 0, where what is missed has no slope left
    rate = jnp.where(missed == 0, 0, gamma / divisor) * missed_t
    return power, power.tangent(rate + jnp.where(missed == 0, 0, jnp.log(divisor)) * gamma_t)


def slope_of_focused(missed, gamma, loss, missed_slope, loss_slope) -> jax.Array:
    """The derivative of `focused` by what moves `missed` and `loss` with these slopes."""
    nearby = (gamma >= 1) | (missed == 0)
    rate = jnp.where(missed == 0, 0, focused(missed, gamma, loss * missed_slope) / jnp.where(nearby, 1, missed))
    steep = focused(missed, gamma, loss_slope) + gamma * rate
    # one power for both terms, of which either alone may be too small for the format
    # and of which the sum may be too large
    scale = jnp.where(jnp.abs(loss) + jnp.abs(loss_slope) > jnp.finfo(loss.dtype).max / 16, 0.0625, 1)
    terms = (loss * scale * missed_slope) * gamma + missed * (loss_slope * scale)
    return jnp.where(gamma < 1, steep, focused(missed, jnp.maximum(gamma - 1, 0), terms) / scale)


def by_gamma(missed: jax.Array, focused_loss: jax.Array) -> jax.Array:
    """The derivative of `focused` by gamma."""
    return jnp.where(missed == 0, 0, focused_loss * jnp.log(jnp.where(missed == 0, 1, missed)))
