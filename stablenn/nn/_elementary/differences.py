r"""exp(x - y) for x up to y, in one pass over an array.

With :math:`x - y = n \log 2 + r`, |r| at most half of log 2, it is :math:`2^n (1 + r + r^2 q(r))`. What the rounding
of x - y takes away, which alone would cost |x - y| ulps, comes back in r. One word holds the result, within 1.1 ulps.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn.nn._elementary.exponential import log_2_parts
from stablenn.nn._elementary.slopes import with_slope
from stablenn.nn._elementary.words import two_sum

# Chebyshev's approximation of (exp(r) - 1 - r) / r^2 (mpmath.chebyfit), from the constant term on: up to 2^-26 and
# 2^-55 of exp(r).
_FLOAT32 = (0.5, 0.16666576937934435, 0.04166655455253961, 0.008363187670809052, 0.0013926194353136184)
_FLOAT64 = (
    0.5,
    0.16666666666666669,
    0.04166666666662408,
    0.008333333333330058,
    0.0013888888917238233,
    0.0001984126986307247,
    2.480152125786665e-05,
    2.75572684307071e-06,
    2.7620106559514165e-07,
    2.5100399425451985e-08,
)


def exp_of_difference(x: jax.Array, y: jax.Array, power: int, where_equal: ArrayLike) -> jax.Array:
    """exp(x - y) * 2^power for x up to y; `where_equal` stands for it where x == y, infinities included."""
    unit, change, vanishes = factors_of_difference(x, y, power)
    exp = jnp.where(x == y, 2.0**power, jnp.where(vanishes, 0, (1 + change) * unit))
    return with_slope(jnp.where(x == y, where_equal, exp), x, exp)


def factors_of_difference(x: jax.Array, y: jax.Array, power: int = 0) -> tuple[jax.Array, jax.Array, jax.Array]:
    """p and c in exp(x - y) * 2^power = p (1 + c), and where that is too small for the format, whatever they are."""
    info = jnp.finfo(x.dtype)
    integer = np.dtype(f"int{info.bits}")
    difference, error = two_sum(x, -y)
    # n is an integer in the last digits of a sum with 2^digits, and there the exponent of the result as well
    unit = np.asarray(2.0**info.nmant + (info.maxexp - 1 + power), x.dtype)
    bits = jax.lax.bitcast_convert_type(difference * (1 / math.log(2)) + unit, integer)
    n = (bits - unit.view(integer)).astype(x.dtype)
    high, middle, last = log_2_parts(x.dtype)
    r = ((difference - n * high) - n * middle) + (error - n * last)
    last_coefficient, *others = reversed(_FLOAT64 if info.bits == 64 else _FLOAT32)
    q = jnp.full_like(r, last_coefficient)
    for coefficient in others:
        q = q * r + coefficient
    scale = jax.lax.bitcast_convert_type(bits << integer.type(info.nmant), x.dtype)
    return scale, r + r * r * q, difference < (int(info.minexp) - power) * math.log(2)
