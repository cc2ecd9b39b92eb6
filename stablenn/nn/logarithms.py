"""Logarithms that stay finite."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn.nn._rounding import at_least_float32, converted, float_dtype


def clipped_log(x: ArrayLike, min_value: ArrayLike | None = None) -> jax.Array:
    r"""Logarithm of `x`, or of `min_value` where `x` is smaller.

    .. math:: \mathrm{clipped\_log}(x) = \log \max(x, m)

    The derivative is :math:`1/x` from `m` upwards and 0 below; NaN passes through. Clipping hides a zero, it does not
    cure it: an example with x below `min_value` no longer learns. A classifier that has logits should use
    :func:`stablenn.losses.softmax_cross_entropy` or :func:`stablenn.losses.sigmoid_binary_cross_entropy` instead,
    which need no clipping and lose nothing.

    Args:
      x: input array of any shape, real.
      min_value: positive, taken in float32 at least; broadcast against `x`. Default: the smallest normal number of
        the dtype of `x`.

    Returns:
      An array of the broadcast shape, and of the dtype of `x` (the default float dtype for integers).

    Raises:
      TypeError: if `x` or `min_value` is complex.
      ValueError: if `min_value` is not positive, or below the smallest normal number (a traced one is not checked:
        the logarithm of a zero is -inf).

    Accuracy:
      Max ULP, value / gradient: float64 0.5 / 0.5, float32 1.1 / 0.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.clipped_log(jnp.array([0.0, 1.0]), min_value=1e-6))
      [-13.815511   0.      ]
    """
    dtype = float_dtype("clipped_log", x=x)
    wide = at_least_float32(dtype)
    if min_value is None:
        min_value = jnp.finfo(dtype).tiny
    float_dtype("clipped_log", min_value=min_value)
    smallest = jnp.finfo(wide).tiny
    if not isinstance(min_value, jax.core.Tracer) and not np.all(np.asarray(min_value, np.float64) >= smallest):
        raise ValueError(
            f"clipped_log: min_value must be positive, got {min_value}; "
            f"the smallest allowed for {dtype.name} is {smallest}"
        )
    return _clipped_log(x, jnp.asarray(min_value, wide))


@jax.jit
def _clipped_log(x, min_value):
    dtype = float_dtype("clipped_log", x=x)
    x, min_value = jnp.broadcast_arrays(converted(x, min_value.dtype), min_value)
    return converted(_log_of_larger(x, min_value), dtype)


@jax.custom_jvp
def _log_of_larger(x, min_value):
    return jnp.log(jnp.maximum(x, min_value))


@functools.partial(_log_of_larger.defjvp, symbolic_zeros=False)
def _log_of_larger_jvp(primals, tangents):
    (x, min_value), (x_t, min_t) = primals, tangents
    below = x < min_value  # false for NaN, which therefore passes into the derivative
    inverse = 1 / jnp.where(below, min_value, x)
    return _log_of_larger(x, min_value), jnp.where(below, min_t, x_t) * inverse
