"""Scaling by a power of two, which rounds nothing: squares neither overflow nor vanish."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def power_of_two(largest: jax.Array) -> jax.Array:
    """The power of two at or below each of `largest` (>= 0), kept so far from the ends that its inverse is normal.

    Infinities and NaNs give the largest such power, and zeros the smallest.
    """
    info = jnp.finfo(largest.dtype)
    bits = np.dtype(f"uint{info.bits}")
    exponent_bits = bits.type(((1 << info.nexp) - 1) << info.nmant)
    exponent = jax.lax.bitcast_convert_type(largest, bits) & exponent_bits
    power = jax.lax.bitcast_convert_type(exponent, largest.dtype)
    return jnp.clip(jax.lax.stop_gradient(power), 2.0**info.minexp, 2.0**-info.minexp)
