"""Quotients that may be differentiated twice: JAX's own rule squares the divisor, which soon leaves the range."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from stablenn.nn._tangents import instantiate, is_zero


@jax.custom_jvp
def ratio(x: jax.Array, y: jax.Array) -> jax.Array:
    """x / y."""
    return x / y


@functools.partial(ratio.defjvp, symbolic_zeros=True)
def _ratio_jvp(primals, tangents):
    (x, y), (x_t, y_t) = primals, tangents
    quotient, tangent = ratio(x, y), jnp.zeros_like(x)
    if not is_zero(x_t):
        tangent += over(instantiate(x_t), y)
    if not is_zero(y_t):
        tangent -= over(quotient, y) * instantiate(y_t)
    return quotient, tangent


def over(x: jax.Array, y: jax.Array) -> jax.Array:
    """x / y as a product, for tangents: what it is multiplied by does not depend on it."""
    inverse, power = _inverse(y)
    return x * inverse * power


@jax.custom_jvp
def _inverse(y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """1 / y as a product with a power of two: alone it would underflow for the largest numbers."""
    half = jnp.finfo(y.dtype).maxexp // 2
    power = jnp.where(jnp.abs(y) > 2.0**half, 2.0**-half, 1).astype(y.dtype)
    return 1 / (y * power), power


@_inverse.defjvp
def _inverse_jvp(primals, tangents):
    (y,), (t,) = primals, tangents
    inverse, power = _inverse(y)
    return (inverse, power), (-(inverse * t) * power * inverse, jnp.zeros_like(power))
