r"""The logistic function, its logarithm and its inverse, with derivatives that neither saturate nor cancel.

Everything is written in :math:`e = \exp(-|x|)`, which lies in (0, 1]: nothing overflows, and no difference of
nearly equal numbers is ever formed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._log1p import log1p
from stablenn.nn._rounding import rounded_once


@jax.jit
@rounded_once("x")
def sigmoid(x: ArrayLike) -> jax.Array:
    r"""Logistic sigmoid.

    .. math:: \mathrm{sigmoid}(x) = \frac{1}{1 + e^{-x}}

    The derivative is :math:`e / (1 + e)^2` with :math:`e = \exp(-|x|)`: it stays accurate where ``s * (1 - s)`` has
    long become zero (from x = 16.6 in float32).

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 2.2 / 2.4, float32 2.0 / 2.2,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(jax.grad(nn.sigmoid)(jnp.float32(20.0)), jax.grad(jax.nn.sigmoid)(jnp.float32(20.0)))
      2.0611537e-09 0.0
    """
    return _sigmoid(x)


@jax.custom_jvp
def _sigmoid(x):
    e = jnp.exp(-jnp.abs(x))
    return jnp.where(x < 0, e, 1) / (1 + e)


@_sigmoid.defjvp
def _sigmoid_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _sigmoid(x), t * sigmoid_slope(x)


@jax.custom_jvp
def sigmoid_slope(x):
    """sigmoid(x) sigmoid(-x) = e / (1 + e)^2, corrected for the rounding of 1 + e."""
    e = jnp.exp(-jnp.abs(x))
    # the barrier keeps XLA from simplifying (1 + e) - 1 to e
    total = jax.lax.optimization_barrier(1 + e)
    slope = e / (total * total)
    return slope - slope * (2 * (e - (total - 1)))


@sigmoid_slope.defjvp
def _sigmoid_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return sigmoid_slope(x), t * -(sigmoid_slope(x) * _tilt(x))


@jax.custom_jvp
def _tilt(x):
    """sigmoid(x) - sigmoid(-x): with the slope it is closed under differentiation, and neither saturates."""
    return jnp.tanh(x / 2)


@_tilt.defjvp
def _tilt_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _tilt(x), t * (2 * sigmoid_slope(x))


@jax.jit
@rounded_once("x")
def log_sigmoid(x: ArrayLike) -> jax.Array:
    r"""Logarithm of the logistic sigmoid.

    .. math:: \mathrm{log\_sigmoid}(x) = -\log(1 + e^{-x})

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 2.4 / 2.1, float32 2.6 / 2.0,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.log_sigmoid(jnp.array([-1e4, 0.0, 50.0])))
      [-1.0000000e+04 -6.9314718e-01 -1.9287499e-22]
    """
    return _log_sigmoid(x)


@jax.custom_jvp
def _log_sigmoid(x):
    return jnp.minimum(x, 0) - log1p_exp_neg_abs(x)


def log1p_exp_neg_abs(x: jax.Array) -> jax.Array:
    """log(1 + exp(-|x|)), the smooth part of softplus, in [0, log 2]."""
    return jnp.log1p(jnp.exp(-jnp.abs(x)))


@_log_sigmoid.defjvp
def _log_sigmoid_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _log_sigmoid(x), t * _sigmoid(-x)


@jax.jit
@rounded_once("x")
def softplus(x: ArrayLike) -> jax.Array:
    r"""Smooth approximation of relu.

    .. math:: \mathrm{softplus}(x) = \log(1 + e^x)

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 2.4 / 2.2, float32 2.7 / 2.0,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.softplus(jnp.array([-50.0, 0.0, 1e4])))
      [1.9287499e-22 6.9314718e-01 1.0000000e+04]
    """
    return _softplus(x)


@jax.custom_jvp
def _softplus(x):
    return jnp.maximum(x, 0) + log1p_exp_neg_abs(x)


@_softplus.defjvp
def _softplus_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _softplus(x), t * _sigmoid(x)


@jax.jit
@rounded_once("x")
def logit(x: ArrayLike) -> jax.Array:
    r"""Logarithm of the odds, the inverse of the logistic sigmoid.

    .. math:: \mathrm{logit}(x) = \log \frac{x}{1 - x}

    With q the smaller of x and 1 - x it is computed as :math:`\pm\mathrm{log1p}((1 - 2q) / q)`, which keeps the
    relative accuracy around x = 1/2, where both logarithms nearly cancel.

    Args:
      x: probabilities, of any shape, real; 0 gives ``-inf``, 1 gives ``inf``, anything outside gives NaN.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.4 / 1.8, float32 1.5 / 1.9,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.logit(jnp.array([0.0, 0.5, 0.50000006, 1.0])))
      [         -inf 0.0000000e+00 2.3841858e-07           inf]
    """
    return _logit(x)


@jax.custom_jvp
def _logit(p):
    smaller = jnp.minimum(p, 1 - p)
    smaller = jnp.where(smaller == 0, 0, smaller)  # -0 is a probability, too
    distance = jnp.abs(2 * p - 1)  # exact from 1/4 to 1, and below that far from deciding
    return jnp.sign(p - 0.5) * log1p(distance / smaller)


@_logit.defjvp
def _logit_jvp(primals, tangents):
    (p,), (t,) = primals, tangents
    slope = 1 / jnp.abs(p) / jnp.abs(1 - p)
    return _logit(p), t * jnp.where((p < 0) | (p > 1), jnp.nan, slope)
