r"""log in two words.

With :math:`x = 2^k (1 + f)`, where 1 + f lies within a factor of the root of two around one, and
:math:`s = f / (2 + f)`,

.. math:: \log x = k \log 2 + f - f^2/2 + s (f^2/2 + 2 s^2/3 + 2 s^4/5 + \dots),

of which only the last term, at most a fiftieth, is rounded before the end.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from stablenn.nn._elementary.exponential import log_2_parts
from stablenn.nn._elementary.words import Words, fast_two_sum, power_of_two, square, two_sum


def log(x: jax.Array, low: jax.Array | float = 0.0) -> Words:
    """log(x + low) for normal positive x, where `low` is a few ulps of x at most, or anything small beside x = 1."""
    k, mantissa = _split(x)
    inverse = power_of_two(-jnp.clip(k, jnp.finfo(x.dtype).minexp, -jnp.finfo(x.dtype).minexp), x.dtype)
    f, error = two_sum(mantissa - 1, low * inverse)
    return _assembled(k.astype(x.dtype), f, error)


def _assembled(k: jax.Array, f: jax.Array, error: jax.Array) -> Words:
    half_square = square(f).times_power(0.5)
    s = f / (2 + f)
    z = s * s
    count = 10 if jnp.finfo(f.dtype).bits == 64 else 5
    series = jnp.full_like(f, 2 / (2 * count + 1))
    for i in range(count - 1, 0, -1):
        series = series * z + 2 / (2 * i + 1)
    rest = s * (half_square.rounded + z * series)
    high, middle, low_part = log_2_parts(f.dtype)
    whole = fast_two_sum(k * high, f)
    total = two_sum(whole.high, -half_square.high)
    low = rest + (k * middle + k * low_part + (error - error * f)) - half_square.low
    return fast_two_sum(total.high, (whole.low + total.low) + low)


def log1p(x: Words) -> Words:
    """log(1 + x) for x > -1."""
    larger, smaller = jnp.maximum(x.high, 1), jnp.minimum(x.high, 1)
    total = fast_two_sum(larger, smaller)
    return log(total.high, total.low + x.low)


def _split(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The exponent k and x / 2^k, which lies between the root of one half and the root of two."""
    info = jnp.finfo(x.dtype)
    bits = np.dtype(f"int{info.bits}")
    pattern = jax.lax.bitcast_convert_type(x, bits)
    root = np.sqrt(np.array(0.5, x.dtype)).view(bits)
    k = (pattern - root) >> bits.type(info.nmant)
    return k, jax.lax.bitcast_convert_type(pattern - (k << bits.type(info.nmant)), x.dtype)
