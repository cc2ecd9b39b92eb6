r"""Activations that are their input times a gate: silu, mish and glu.

With :math:`e = \exp(-|x|)` both gates are quotients of polynomials in e. The power of two in e is multiplied last: far
to the left, where e alone is too small for the format, its product with x may still be a number in it.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.exponential import factored_exp
from stablenn.nn._elementary.words import Words, add, apart, divide, fast_two_sum, ldexp, multiply, select
from stablenn.nn._rounding import rounded_once
from stablenn.nn.hyperbolic import tanh_of, tanh_slope
from stablenn.nn.logistic import (
    exp_neg_abs,
    gated,
    sigmoid_raised,
    sigmoid_slope,
    smooth_relu,
    tilt,
)

_SPARE = 16  # far to the left x e is still a number where e is too small for one, by this power of two at most


@jax.jit
@rounded_once("x")
def silu(x: ArrayLike) -> jax.Array:
    r"""Sigmoid linear unit, also called swish.

    .. math:: \mathrm{silu}(x) = x \cdot \mathrm{sigmoid}(x) = \frac{x}{1 + e^{-x}}

    Args:
      x: input array of any shape, real; ``-inf`` gives 0, the limit.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 2.0 / [2.5], float32 2.5 / [3.5],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.silu(jnp.float32(-jnp.inf)), jax.nn.silu(jnp.float32(-jnp.inf)))
      -0.0 nan
    """
    return _silu(x)


swish = silu


@jax.custom_jvp
def _silu(x):
    x = _with_limit(x)
    return apart(x, x * sigmoid_raised(x, _SPARE) * jnp.where(x < 0, 2.0**-_SPARE, 1))


def _with_limit(x: jax.Array) -> jax.Array:
    """x, cut off far below where its product with exp(x) has vanished."""
    return jnp.maximum(x, -_limit(x.dtype))


def _limit(dtype) -> float:
    return 2.0 * int(jnp.finfo(dtype).maxexp)


@_silu.defjvp
def _silu_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _silu(x), t * _silu_slope(x)


@jax.custom_jvp
def _silu_slope(x):
    """e (1 + e + x) / (1 + e)^2 to the left of 0, and (1 + e + x e) / (1 + e)^2 to the right."""
    x = jnp.minimum(_with_limit(x), _limit(x.dtype))  # an infinite x would meet an e of zero
    left = x < 0
    power, change = factored_exp(-jnp.abs(x), _SPARE)
    e = power * 2.0**-_SPARE * (1 + change)
    total = 1 + e
    terms = (total + jnp.where(left, x, x * e)) + ((1 - total) + e)
    factor = jnp.where(left, power * (1 + change), 1) / (1 + (e * e + 2 * e))
    return apart(x, factor * terms * jnp.where(left, 2.0**-_SPARE, 1))


@_silu_slope.defjvp
def _silu_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    bounded = jnp.clip(x, -_limit(x.dtype), _limit(x.dtype))
    return _silu_slope(x), t * sigmoid_slope(2 - bounded * tilt(bounded), bounded)


@jax.jit
@rounded_once("x")
def mish(x: ArrayLike) -> jax.Array:
    r"""Self-regularized non-monotonic activation.

    .. math:: \mathrm{mish}(x) = x \tanh(\log(1 + e^x))

    The gate is :math:`w (w + 2) / (w (w + 2) + 2)` with :math:`w = e^x`.

    Args:
      x: input array of any shape, real; ``-inf`` gives 0, the limit.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.8 / [1.2], float32 2.4 / [1.6],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.mish(jnp.float32(-jnp.inf)), jax.nn.mish(jnp.float32(-jnp.inf)))
      -0.0 nan

    References:
      Misra, `Mish: A Self Regularized Non-Monotonic Activation Function <https://arxiv.org/abs/1908.08681>`_, 2019.
    """
    return _mish(x)


@jax.custom_jvp
def _mish(x):
    x = _with_limit(x)
    e, numerator, denominator, exponent = _mish_gate(x)
    gate = divide(multiply(numerator, e), denominator)
    return apart(x, ldexp(x * gate, exponent))


def _mish_gate(x: jax.Array) -> tuple[Words, Words, Words, jax.Array]:
    """The factor e up to a power of two, the rest of the numerator, the denominator, the exponent of that power.

    To the left of 0 the gate is e (2 + e) / (2 + e (2 + e)), to the right (1 + 2e) / (1 + 2e + 2e^2).
    """
    e, _, exponent = exp_neg_abs(x)
    left = x < 0
    one, zero = jnp.ones_like(x), jnp.zeros_like(x)
    full = Words(ldexp(e.high, exponent), ldexp(e.low, exponent))
    start, weight = jnp.where(left, 2 * one, one), jnp.where(left, one, 2 * one)
    first = fast_two_sum(start, full.high * weight)
    numerator = fast_two_sum(first.high, first.low + full.low * weight)
    squared = multiply(full, select(left, numerator, full.times_power(2.0)))
    denominator = add(select(left, Words(2 * one, zero), numerator), squared)
    return select(left, e, Words(one, zero)), numerator, denominator, jnp.where(left, exponent, 0)


@_mish.defjvp
def _mish_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _mish(x), t * _mish_slope(x)


@jax.custom_jvp
def _mish_slope(x):
    """With the numerator n and the denominator d of the gate: e (n d + 4x (1 + e)) / d^2 to the left of 0.

    To the right of it (n d + 4x e^2 (1 + e)) / d^2.
    """
    x = _with_limit(x)
    left = x < 0
    e, numerator, denominator, exponent = _mish_gate(x)
    small, total, small_exponent = exp_neg_abs(x)
    square = ldexp(small.high, small_exponent)
    square = square * square
    term = jnp.where(left, 4 * x, jnp.where(square == 0, 0, 4 * x * square))
    terms = add(multiply(numerator, denominator), multiply(Words(term, jnp.zeros_like(x)), total))
    return apart(x, ldexp(divide(multiply(terms, e), multiply(denominator, denominator)), exponent))


@_mish_slope.defjvp
def _mish_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    bounded = jnp.clip(x, -_limit(x.dtype), _limit(x.dtype))
    return _mish_slope(x), t * _mish_curvature(bounded)


def _mish_curvature(x: jax.Array) -> jax.Array:
    """With y = softplus(x): (2 + x (1 - s - 2 s tanh(y))) s / cosh(y)^2, where s = sigmoid(x)."""
    share, other, y = gated(jnp.ones_like(x), x), gated(jnp.ones_like(x), -x), smooth_relu(x)
    return gated((2 + x * (other - 2 * share * tanh_of(y))) * tanh_slope(y), x)


@functools.partial(jax.jit, static_argnames="axis")
@rounded_once("x")
def glu(x: ArrayLike, axis: int = -1) -> jax.Array:
    r"""Gated linear unit.

    .. math:: \mathrm{glu}(x) = a \cdot \mathrm{sigmoid}(b), \qquad (a, b) \text{ the halves of } x

    Args:
      x: input array, real, of even length along `axis`.
      axis: the axis that is split.

    Returns:
      An array of half the length along `axis`, and of the dtype of `x` (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.
      ValueError: if the length along `axis` is odd.

    Accuracy:
      Max ULP, value / gradient: float64 1.8 / 1.9, float32 1.8 / 1.9,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.array([1e30, -100.0])
      >>> print(f"{nn.glu(x)[0]:.6g} {jax.nn.glu(x)[0]}")
      3.72008e-14 0.0

    References:
      Dauphin et al., `Language Modeling with Gated Convolutional Networks <https://arxiv.org/abs/1612.08083>`_, 2017.
    """
    return _glu(x, axis)


def _glu(x, axis):
    if x.shape[axis] % 2:
        raise ValueError(f"glu: x must have an even length along axis {axis}, got shape {x.shape}")
    return _gated_half(*jnp.split(x, 2, axis))


@jax.custom_jvp
def _gated_half(a, b):
    return gated(_bounded(a, b == -jnp.inf), b)


@_gated_half.defjvp
def _gated_half_jvp(primals, tangents):
    (a, b), (a_t, b_t) = primals, tangents
    return _gated_half(a, b), gated(a_t, b) + b_t * sigmoid_slope(_bounded(a, jnp.isinf(b)), b)


def _bounded(a, there):
    """a, but finite `there`: the exponential of what is infinite prevails over an infinite factor."""
    largest = float(jnp.finfo(a.dtype).max)
    return jnp.where(there, jnp.clip(a, -largest, largest), a)
