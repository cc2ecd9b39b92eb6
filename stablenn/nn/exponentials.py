"""softmax and log_softmax."""

from __future__ import annotations

import functools

import jax
from jax.typing import ArrayLike

from stablenn.nn._axes import Axis, axes_of, without_unit_axes
from stablenn.nn._masks import included, masked, with_mask
from stablenn.nn._rounding import rounded_once
from stablenn.nn._shares import exponentials, log_shares, softmax_tangent


@functools.partial(jax.jit, static_argnames="axis")
@rounded_once("x")
def softmax(x: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None) -> jax.Array:
    r"""Softmax function.

    .. math:: \mathrm{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}

    A single ``+inf`` gets the probability 1 (the limit); several of them, or a row of ``-inf`` alone, have no limit
    and give NaN.

    Args:
      x: input array of any shape, real.
      axis: the axis or axes along which the probabilities sum to 1; None for all.
      where: elements to include, broadcast against `x`; the output for the others is 0.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 2.6 / 5.0, float32 2.7 / 5.4,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.softmax(jnp.array([0.0, 1.0, -jnp.inf])))
      [0.26894143 0.7310586  0.        ]
    """
    x, where = with_mask(x, where)
    return without_unit_axes(_softmax, x, axes_of(axis, x.ndim, "softmax"), where)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _softmax(x, axes, where):
    return masked(exponentials(included(x, where), axes).shares, where)


@_softmax.defjvp
def _softmax_jvp(axes, primals, tangents):
    (x, where), (t, _) = primals, tangents
    found = exponentials(included(x, where), axes)
    return masked(found.shares, where), masked(softmax_tangent(masked(t, where), found, axes), where)


@functools.partial(jax.jit, static_argnames="axis")
@rounded_once("x")
def log_softmax(x: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None) -> jax.Array:
    r"""Logarithm of softmax.

    .. math:: \mathrm{log\_softmax}(x)_i = \log \frac{e^{x_i}}{\sum_j e^{x_j}}

    The largest entry gets ``-log1p(rest)``, which keeps its relative accuracy when its probability is nearly 1.

    Args:
      x: input array of any shape, real.
      axis: the axis or axes along which the probabilities sum to 1; None for all.
      where: elements to include, broadcast against `x`; the output for the others is -inf.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.8 / 2.5, float32 2.5 / 2.6,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.log_softmax(jnp.array([20.0, 0.0])))
      [-2.0611537e-09 -2.0000000e+01]
    """
    return log_shares(*with_mask(x, where), axis)
