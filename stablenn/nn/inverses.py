"""The inverses of the logistic function and of softplus."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.exponential import exp, expm1
from stablenn.nn._elementary.logarithm import log, log1p, with_limits
from stablenn.nn._elementary.words import divide, select, single
from stablenn.nn._rounding import rounded_once


@jax.jit
@rounded_once("x")
def softplus_inverse(x: ArrayLike) -> jax.Array:
    r"""Inverse of softplus.

    .. math:: \mathrm{softplus\_inverse}(x) = \log(e^x - 1)

    What initialises a positive parameter that is stored through :func:`softplus`.

    Args:
      x: input array of any shape, real; 0 gives ``-inf``, negative numbers give NaN.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 0.7 / 1.0, float32 1.0 / 1.3,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.softplus_inverse(jnp.array([1e-10, 1.0, 100.0])))
      [-23.02585      0.54132485 100.        ]
    """
    return _softplus_inverse(x)


@jax.custom_jvp
def _softplus_inverse(x):
    # For large x the exponential would overflow: x + log(1 - exp(-x)).
    large = x > 2
    change = expm1(jnp.where(large, -x, x))
    change = select(large, -change, change)
    result = log(change.high, change.low).rounded
    return jnp.where(x == 0, -jnp.inf, jnp.where(x < 0, jnp.nan, jnp.where(large, x + result, result)))


@_softplus_inverse.defjvp
def _softplus_inverse_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _softplus_inverse(x), t * _inverse_complement(x)


@jax.custom_jvp
def _inverse_complement(x):
    """1 / (1 - exp(-x))."""
    inverse = divide(single(jnp.ones_like(x)), -expm1(-jnp.abs(x)))
    inverse = jnp.where(x < jnp.finfo(x.dtype).eps / 64, 1 / jnp.abs(x), inverse)
    return jnp.where(x < 0, jnp.nan, inverse)


@_inverse_complement.defjvp
def _inverse_complement_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    inverse = _inverse_complement(x)
    return inverse, t * -(inverse * _less_one(x))


@jax.custom_jvp
def _less_one(x):
    """1 / (exp(x) - 1): the same less one."""
    return _inverse_complement(x) * exp(-x).rounded


@_less_one.defjvp
def _less_one_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    less = _less_one(x)
    return less, t * -(_inverse_complement(x) * less)


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
      Max ULP, value / gradient: float64 1.1 / 1.6, float32 1.5 / 2.0,
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
    odds = distance / smaller
    return jnp.sign(p - 0.5) * with_limits(1 + odds, log1p(single(odds)).rounded)


@_logit.defjvp
def _logit_jvp(primals, tangents):
    (p,), (t,) = primals, tangents
    slope = 1 / jnp.abs(p) / jnp.abs(1 - p)
    return _logit(p), t * jnp.where((p < 0) | (p > 1), jnp.nan, slope)
