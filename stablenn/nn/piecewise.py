r"""Functions put together from straight lines, parabolas and hyperbolas, each piece with its own derivative.

Where only the pieces that do not apply overflow, nothing of them reaches a value or a derivative, and the borders are
compared with `x` itself, not with a sum that has been rounded onto them.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.words import fast_two_sum
from stablenn.nn._rounding import rounded_once
from stablenn.nn._tangents import instantiate, is_zero


@jax.jit
@rounded_once("x", "negative_slope")
def leaky_relu(x: ArrayLike, negative_slope: ArrayLike = 1e-2) -> jax.Array:
    r"""Leaky rectified linear unit.

    .. math:: \mathrm{leaky\_relu}(x) = \begin{cases} x & x \ge 0 \\ \alpha x & x < 0 \end{cases}

    Here :math:`\alpha` is `negative_slope`. The derivative at 0 is 1. A 16-bit x meets :math:`\alpha` in float32: the
    bfloat16 nearest to 0.01 is 0.1% off.

    Args:
      x: input array of any shape, real.
      negative_slope: the slope for negative numbers, real, broadcast against `x`; with 0 even ``-inf`` gives 0.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` or `negative_slope` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 0.5 / 0.0, float32 0.5 / 0.0,
      float16 0.5 / 0.0, bfloat16 0.5 / 0.0 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.bfloat16(-44)
      >>> print(nn.leaky_relu(x), jax.nn.leaky_relu(x))
      -0.439453 -0.441406
    """
    return _leaky_relu(*jnp.broadcast_arrays(x, negative_slope))


@jax.custom_jvp
def _leaky_relu(x, negative_slope):
    nothing = (negative_slope == 0) & ~jnp.isnan(x)  # also of -inf
    return jnp.where(x >= 0, x, jnp.where(nothing, 0, negative_slope * x))


@functools.partial(_leaky_relu.defjvp, symbolic_zeros=True)
def _leaky_relu_jvp(primals, tangents):
    (x, negative_slope), (x_t, slope_t) = primals, tangents
    positive = x >= 0
    tangent = jnp.zeros_like(x)
    if not is_zero(x_t):
        tangent += jnp.where(positive, 1, negative_slope) * instantiate(x_t)
    if not is_zero(slope_t):
        tangent += jnp.where(positive, 0, x) * instantiate(slope_t)
    return _leaky_relu(x, negative_slope), tangent


@jax.jit
@rounded_once("x")
def hard_sigmoid(x: ArrayLike) -> jax.Array:
    r"""Piecewise linear approximation of the logistic sigmoid.

    .. math:: \mathrm{hard\_sigmoid}(x) = \frac{\min(\max(x + 3, 0), 6)}{6}

    The derivative at -3 and 3 is 0.

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.3 / 0.3, float32 1.3 / 0.3,
      float16 0.5 / 0.3, bfloat16 0.5 / 0.3 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.bfloat16(2.984375)  # x + 3 is rounded to 6
      >>> print(jax.grad(nn.hard_sigmoid)(x), jax.grad(jax.nn.hard_sigmoid)(x))
      0.166992 0
    """
    return _between(x, -3, 3, (x + 3) / 6)


def _between(x, low, high, inside):
    """`inside` for x between low and high (and for NaN), 0 below and 1 above."""
    return jnp.where(x <= low, 0, jnp.where(x >= high, 1, inside))


@jax.jit
@rounded_once("x")
def hard_silu(x: ArrayLike) -> jax.Array:
    r"""Piecewise quadratic approximation of :func:`silu`; :func:`hard_swish` is another name for it.

    .. math:: \mathrm{hard\_silu}(x) = x \cdot \mathrm{hard\_sigmoid}(x)

    Between -3 and 3 the derivative is :math:`(2x + 3) / 6`, a difference that is exact around its zero at -1.5. It is
    0 at -3 and 1 at 3, and what is infinite has a limit.

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 2.0 / 1.3, float32 2.2 / 1.3,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.hard_silu(-jnp.inf), jax.nn.hard_silu(-jnp.inf))
      0.0 nan
    """
    return _hard_silu(x)


hard_swish = hard_silu


@jax.custom_jvp
def _hard_silu(x):
    return jnp.where(x <= -3, 0, jnp.where(x >= 3, x, x * (x + 3) / 6))


@_hard_silu.defjvp
def _hard_silu_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _hard_silu(x), t * _between(x, -3, 3, (2 * x + 3) / 6)


@jax.jit
@rounded_once("x")
def sparse_plus(x: ArrayLike) -> jax.Array:
    r"""The sparse twin of :func:`softplus`: 0 below -1, a parabola up to 1, and linear above.

    .. math:: \mathrm{sparse\_plus}(x) = \begin{cases}
        0 & x \le -1 \\ \frac{1}{4} (x + 1)^2 & -1 < x < 1 \\ x & x \ge 1 \end{cases}

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.8 / 0.5, float32 1.9 / 0.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.float16(33000)  # the square of the other piece overflows
      >>> print(jax.grad(nn.sparse_plus)(x), jax.grad(jax.nn.sparse_plus)(x))
      1.0 nan

    References:
      Blondel, Martins, Niculae, `Learning with Fenchel-Young losses <https://arxiv.org/abs/1901.02324>`_, 2019.
    """
    return _sparse_plus(x)


def _sparse_plus(x):
    # at most 1: its square never overflows beside x
    slope = _between(x, -1, 1, (x + 1) / 2)
    return jnp.where(x >= 1, x, slope * slope)


@jax.jit
@rounded_once("x")
def sparse_sigmoid(x: ArrayLike) -> jax.Array:
    r"""The sparse twin of :func:`sigmoid`, and the derivative of :func:`sparse_plus`.

    .. math:: \mathrm{sparse\_sigmoid}(x) = \frac{\min(\max(x, -1), 1) + 1}{2}

    The derivative at -1 and 1 is the mean of both sides, 1/4.

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 0.5 / 0.0, float32 0.5 / 0.0,
      float16 0.5 / 0.0, bfloat16 0.5 / 0.0 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.float32(1.0000001)  # x + 1 is rounded to 2
      >>> print(jax.grad(nn.sparse_sigmoid)(x), jax.grad(jax.nn.sparse_sigmoid)(x))
      0.0 0.25

    References:
      Blondel, Martins, Niculae, `Learning with Fenchel-Young losses <https://arxiv.org/abs/1901.02324>`_, 2019.
    """
    return (jnp.clip(x, -1, 1) + 1) / 2


@jax.jit
@rounded_once("x")
def soft_sign(x: ArrayLike) -> jax.Array:
    r"""Smooth sign function.

    .. math:: \mathrm{soft\_sign}(x) = \frac{x}{1 + |x|}

    The derivative is :math:`1 / (1 + |x|)^2`: as a difference of :math:`1 / (1 + |x|)` and
    :math:`|x| / (1 + |x|)^2` it would lose every digit. The second derivative at 0 is 0, the mean of both sides.

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.4 / 1.4, float32 1.5 / 1.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.float32(1e10)
      >>> print(jax.grad(nn.soft_sign)(x), jax.grad(jax.nn.soft_sign)(x))
      1e-20 6.938894e-18
    """
    return _soft_sign(x)


@jax.custom_jvp
def _soft_sign(x):
    # from here on the quotient is 1, and infinity is no longer divided by itself
    x = jnp.clip(x, -(2.0**64), 2.0**64)
    return x / (1 + jnp.abs(x))


@_soft_sign.defjvp
def _soft_sign_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _soft_sign(x), t * _soft_sign_slope(x)


@jax.custom_jvp
def _soft_sign_slope(x):
    """1 / (1 + |x|)^2, corrected for the rounding of 1 + |x|."""
    size = jnp.abs(x)
    total, lost = fast_two_sum(jnp.maximum(size, 1), jnp.minimum(size, 1))
    return 1 / (total * total + jnp.where(jnp.isinf(size), 0, 2 * total * lost))


@_soft_sign_slope.defjvp
def _soft_sign_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    slope = _soft_sign_slope(x)
    return slope, t * (-2 * jnp.sign(x) * slope / (1 + jnp.abs(x)))
