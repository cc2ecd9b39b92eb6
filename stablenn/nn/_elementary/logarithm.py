r"""log in two words.

With :math:`x = 2^k (1 + f)`, where 1 + f lies within a factor of the root of two around one,

.. math:: \log x = k \log 2 + f - f^2/2 + f^3 p(f),

with a polynomial p. The last two terms are rounded before the end, and at most a fifth of the result.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from stablenn.nn._elementary.exponential import log_2_parts
from stablenn.nn._elementary.slopes import with_slope
from stablenn.nn._elementary.words import Words, fast_two_sum, two_sum

# Chebyshev's approximation of (log(1 + f) - f + f^2/2) / f^3 (mpmath.chebyfit), from the constant term on: up to 2^-26
# and 2^-54 of a third.
_FLOAT32 = (
    0.33333333281199244, -0.24999990275042185, 0.20000010039684972,
    -0.16668001523071928, 0.14286524547786642, -0.12450743320911726,
    0.1103778335905502, -0.10646191638199634, 0.10530864738938345, -0.062015001190183343,
)  # fmt: skip
_FLOAT64 = (
    0.33333333333333334,
    -0.25000000000000038,
    0.19999999999999459,
    -0.16666666666643224,
    0.14285714285850773,
    -0.12500000004323592,
    0.11111111099840468,
    -0.099999996347807163,
    0.090909093716499852,
    -0.083333500329535873,
    0.076923158900287483,
    -0.07142415039547202,
    0.066660153564322704,
    -0.062567819457417654,
    0.058985283682262261,
    -0.055007045724057429,
    0.050654096664845703,
    -0.051385304688066287,
    0.059187907228572227,
    -0.053961619312197896,
    0.023264220927877087,
)


def log(x: jax.Array, low: jax.Array | float = 0.0) -> Words:
    """log(x + low) for normal positive x, where `low` is a few ulps of x at most, or anything small beside x = 1."""
    k, mantissa, inverse = _split(x)
    return assembled(k, *two_sum(mantissa - 1, low * inverse))


def assembled(k: jax.Array, f: jax.Array, error: jax.Array | None = None) -> Words:
    """k log 2 + log(1 + f + error), where 1 + f lies within a factor of the root of two around one."""
    high, middle, last = log_2_parts(f.dtype)
    total = fast_two_sum(k * high, f)
    small = k * middle + k * last
    small = small if error is None else small + (error - error * f)
    return fast_two_sum(total.high, total.low + (f * f * (f * remainder(f) - 0.5) + small))


def remainder(f: jax.Array) -> jax.Array:
    """p(f), of log(1 + f) = f - f^2/2 + f^3 p(f), in the same range."""
    first, *others = reversed(_FLOAT64 if jnp.finfo(f.dtype).bits == 64 else _FLOAT32)
    polynomial = jnp.full_like(f, first)
    for coefficient in others:
        polynomial = polynomial * f + coefficient
    return polynomial


def log1p(x: Words) -> Words:
    """log(1 + x) for x > -1."""
    larger, smaller = jnp.maximum(x.high, 1), jnp.minimum(x.high, 1)
    total = fast_two_sum(larger, smaller)
    k, mantissa, inverse = _split(total.high)
    # half an ulp at most: less than the difference, or all there is
    f = fast_two_sum(mantissa - 1, total.low * inverse)
    return assembled(k, f.high, f.low + x.low * inverse)


def with_limits(x: jax.Array, log: jax.Array) -> jax.Array:
    """The logarithm of x where x is positive; its limits at 0 and infinity, and NaN elsewhere."""
    log = jnp.where(x == jnp.inf, jnp.inf, log)
    return jnp.where(x > 0, log, jnp.where(x == 0, -jnp.inf, jnp.nan))


def _split(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The exponent k, as a float; x / 2^k, which lies between the root of one half and the root of two; and 2^-k.

    The last is in range: for the largest x it is twice or four times that.
    """
    info = jnp.finfo(x.dtype)
    bits = np.dtype(f"int{info.bits}")
    pattern = jax.lax.bitcast_convert_type(x, bits)
    root, one = np.sqrt(np.array(0.5, x.dtype)).view(bits), np.ones((), x.dtype).view(bits)
    k = (pattern - root) >> bits.type(info.nmant)
    shifted = k << bits.type(info.nmant)
    inverse = one - jnp.minimum(shifted, one - np.array(info.tiny, x.dtype).view(bits))
    mantissa = jax.lax.bitcast_convert_type(pattern - shifted, x.dtype)
    mantissa = with_slope(mantissa, x, mantissa / x)
    return k.astype(x.dtype), mantissa, jax.lax.bitcast_convert_type(inverse, x.dtype)
