r"""Activations that are linear to the right of 0: elu, celu, selu and squareplus."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.exponential import expm1, reach, reduced_exp
from stablenn.nn._elementary.words import apart, ldexp, quotient, single
from stablenn.nn._rounding import rounded_once
from stablenn.nn._scaling import binade
from stablenn.nn._tangents import instantiate, is_zero
from stablenn.nn._underflow import exp_times

# The fixed point of mean 0 and variance 1 (Klambauer et al., equation 14): lambda, and lambda times alpha.
_SELU_SCALE = 1.0507009873554804934193349852946
_SELU_LIMIT = 1.7580993408473768599402175208123


@jax.jit
@rounded_once("x", "alpha")
def elu(x: ArrayLike, alpha: ArrayLike = 1.0) -> jax.Array:
    r"""Exponential linear unit.

    .. math:: \mathrm{elu}(x) = \begin{cases} x & x > 0 \\ \alpha (e^x - 1) & x \le 0 \end{cases}

    Args:
      x: input array, real.
      alpha: real, broadcast against `x`.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` or `alpha` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.3 / 1.1, float32 1.1 / 1.1,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax
      >>> from stablenn import nn
      >>> print(f"{jax.grad(nn.elu)(-100.0, 1e30):.6g} {jax.grad(jax.nn.elu)(-100.0, 1e30)}")
      3.72008e-14 0.0

    References:
      Clevert et al., `Fast and Accurate Deep Network Learning by Exponential Linear Units
      <https://arxiv.org/abs/1511.07289>`_, 2015.
    """
    return _elu(*jnp.broadcast_arrays(x, alpha))


@jax.custom_jvp
def _elu(x, alpha):
    return jnp.where(x >= 0, x, alpha * _expm1_left(x))


@functools.partial(_elu.defjvp, symbolic_zeros=True)
def _elu_jvp(primals, tangents):
    (x, alpha), (x_t, alpha_t) = primals, tangents
    tangent = jnp.zeros_like(x)
    if not is_zero(x_t):
        tangent += jnp.where(x > 0, 1, exp_times(alpha, _left(x))) * instantiate(x_t)
    if not is_zero(alpha_t):
        tangent += jnp.where(x > 0, 0, _expm1_left(x)) * instantiate(alpha_t)
    return _elu(x, alpha), tangent


def _left(x):
    """x to the left of 0: exponentials of the rest may be infinite, and so may their derivatives."""
    return jnp.where(x > 0, 0, x)


@jax.custom_jvp
def _expm1_left(x):
    """exp(x) - 1 to the left of 0, and 0 to the right."""
    return apart(x, expm1(jnp.minimum(x, 0)).rounded)


@_expm1_left.defjvp
def _expm1_left_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _expm1_left(x), jnp.where(x > 0, 0, exp_times(jnp.ones_like(x), _left(x))) * t


@jax.jit
@rounded_once("x", "alpha")
def celu(x: ArrayLike, alpha: ArrayLike = 1.0) -> jax.Array:
    r"""Continuously differentiable exponential linear unit.

    .. math:: \mathrm{celu}(x) = \begin{cases} x & x > 0 \\ \alpha (e^{x / \alpha} - 1) & x \le 0 \end{cases}

    Args:
      x: input array, real.
      alpha: positive, real, broadcast against `x`.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` or `alpha` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.6 / 2.3, float32 1.6 / 2.6,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x, alpha = jnp.float32(-1e-30), 1e30
      >>> print(nn.celu(x, alpha), jax.nn.celu(x, alpha))
      -1e-30 0.0

    References:
      Barron, `Continuously Differentiable Exponential Linear Units <https://arxiv.org/abs/1704.07483>`_, 2017.
    """
    return _celu(*jnp.broadcast_arrays(x, alpha))


@jax.custom_jvp
def _celu(x, alpha):
    left = jnp.minimum(x, 0)
    ratio = left / alpha
    value = alpha * _expm1_left(ratio)
    is_linear = jnp.abs(ratio) < jnp.finfo(x.dtype).eps / 4
    return jnp.where((x > 0) | is_linear, x, value)


@functools.partial(_celu.defjvp, symbolic_zeros=True)
def _celu_jvp(primals, tangents):
    (x, alpha), (x_t, alpha_t) = primals, tangents
    tangent = jnp.zeros_like(x)
    if not is_zero(x_t):
        tangent += _celu_slope(x, alpha) * instantiate(x_t)
    if not is_zero(alpha_t):
        tangent += _celu_by_alpha(jnp.minimum(x, 0) / alpha) * instantiate(alpha_t)
    return _celu(x, alpha), tangent


@jax.custom_jvp
def _celu_slope(x, alpha):
    """exp(x / alpha) to the left of 0, with what the division rounds away: the exponential would magnify it."""
    ratio = quotient(single(jnp.minimum(x, 0)), alpha)
    reduced = reduced_exp(ratio.high, ratio.low)
    return jnp.where(x > 0, 1, ldexp(reduced.mantissa.rounded, reduced.exponent))


@_celu_slope.defjvp
def _celu_slope_jvp(primals, tangents):
    (x, alpha), (x_t, alpha_t) = primals, tangents
    slope, ratio = _celu_slope(x, alpha), jnp.minimum(x, 0) / alpha
    is_left = (x <= 0) & (slope > 0)
    change = (x_t - jnp.where(is_left, ratio, 0) * alpha_t) / alpha
    return slope, jnp.where(is_left, slope * change, 0)


@jax.custom_jvp
def _celu_by_alpha(ratio):
    """exp(u) - 1 - u exp(u) for u up to 0; near 0 as the series - u^2/2 - u^3/3 - ..., without cancellation."""
    ratio = jnp.maximum(ratio, reach(ratio.dtype)[0])  # where an infinite one has vanished
    near, count = ratio > -1, 20 if jnp.finfo(ratio.dtype).bits == 64 else 12
    u = jnp.where(near, ratio, 0)
    series = jnp.zeros_like(u)
    for k in range(count, 1, -1):
        series = series * u + (k - 1) / math.factorial(k)
    return jnp.where(near, -u * (u * series), _expm1_left(ratio) - exp_times(jnp.where(near, 0, ratio), ratio))


@_celu_by_alpha.defjvp
def _celu_by_alpha_jvp(primals, tangents):
    (ratio,), (t,) = primals, tangents
    return _celu_by_alpha(ratio), exp_times(-jnp.maximum(ratio, reach(ratio.dtype)[0]), ratio) * t


@jax.jit
@rounded_once("x")
def selu(x: ArrayLike) -> jax.Array:
    r"""Scaled exponential linear unit.

    .. math:: \mathrm{selu}(x) = \lambda \begin{cases} x & x > 0 \\ \alpha (e^x - 1) & x \le 0 \end{cases}

    with :math:`\lambda = 1.0507009873554805` and :math:`\alpha = 1.6732632423543772`.

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.4 / 1.2, float32 1.9 / 1.6,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax
      >>> from stablenn import nn
      >>> print(f"{jax.grad(nn.selu)(-20.0):.5g}")  # jax 0.10.2 says 0
      3.6237e-09

    References:
      Klambauer et al., `Self-Normalizing Neural Networks <https://arxiv.org/abs/1706.02515>`_, 2017.
    """
    return _selu(x)


@jax.custom_jvp
def _selu(x):
    return jnp.where(x > 0, _SELU_SCALE * x, _SELU_LIMIT * _expm1_left(x))


@_selu.defjvp
def _selu_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    left = exp_times(jnp.full_like(x, _SELU_LIMIT), _left(x))
    return _selu(x), jnp.where(x > 0, _SELU_SCALE, left) * t


@jax.jit
@rounded_once("x", "b")
def squareplus(x: ArrayLike, b: ArrayLike = 4) -> jax.Array:
    r"""Smooth approximation of relu by a square root.

    .. math:: \mathrm{squareplus}(x) = \frac{x + \sqrt{x^2 + b}}{2}

    To the left of 0 the sum would cancel: there it is :math:`b / (2 (\sqrt{x^2 + b} - x))`. Everything is scaled by a
    power of two, so that no square leaves the range of the format.

    Args:
      x: input array, real.
      b: smoothness, not negative, real, broadcast against `x`; 0 gives relu.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` or `b` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.6 / 3.8, float32 1.5 / 2.9,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.array([-1e5, 0.0, 1e30])
      >>> print(nn.squareplus(x), jax.nn.squareplus(x))
      [1.e-05 1.e+00 1.e+30] [ 0.  1. inf]

    References:
      Barron, `Squareplus: A Softplus-Like Algebraic Rectifier <https://arxiv.org/abs/2112.11687>`_, 2021.
    """
    return _squareplus(*jnp.broadcast_arrays(x, b))


class _Hypotenuse(NamedTuple):
    """sqrt(x^2 + b), in units of a power of two near sqrt(b), in which b is near one; and x in those units.

    Where x is `far`, the square of which might overflow, the root is |x|; x itself may be infinite in those units.
    """

    unit: jax.Array
    x: jax.Array
    far: jax.Array
    root: jax.Array

    @classmethod
    def of(cls, x: jax.Array, b: jax.Array) -> _Hypotenuse:
        unit = binade(jnp.sqrt(b))
        inverse = 1 / unit
        x = x * inverse
        far = jnp.abs(x) > 2.0 ** (jnp.finfo(x.dtype).maxexp // 2 - 2)
        return cls(unit, x, far, jnp.where(far, jnp.abs(x), jnp.sqrt(x * x + b * inverse * inverse)))


@jax.custom_jvp
def _squareplus(x, b):
    unit, scaled, far, root = _Hypotenuse.of(x, b)
    left = b * (0.5 / unit) / (root + jnp.abs(scaled))
    return jnp.where(x < 0, left, jnp.where(far, x, (scaled + root) * (0.5 * unit)))


@functools.partial(_squareplus.defjvp, symbolic_zeros=True)
def _squareplus_jvp(primals, tangents):
    (x, b), (x_t, b_t) = primals, tangents
    by_x, by_b = _squareplus_slopes(x, b)
    tangent = jnp.zeros_like(x)
    if not is_zero(x_t):
        tangent += by_x * instantiate(x_t)
    if not is_zero(b_t):
        tangent += by_b * instantiate(b_t)
    return _squareplus(x, b), tangent


@jax.custom_jvp
def _squareplus_slopes(x, b):
    """With y = squareplus(x) and h = sqrt(x^2 + b): y / h, and 1 / 4h."""
    unit, scaled, far, root = _Hypotenuse.of(x, b)
    inverse = 1 / unit
    shorter = b * inverse * (0.5 * inverse) / ((root + jnp.abs(scaled)) * root)
    shorter = jnp.where(root == 0, 0.5, shorter)
    by_b = jnp.where(far, 0.25, 0.25 * inverse) / jnp.where(far, jnp.abs(x), root)
    return jnp.where(x < 0, shorter, 1 - shorter), by_b


@_squareplus_slopes.defjvp
def _squareplus_slopes_jvp(primals, tangents):
    (x, b), (x_t, b_t) = primals, tangents
    unit, scaled, far, root = _Hypotenuse.of(x, b)
    inverse = jnp.where(far, 1, 1 / unit) / jnp.where(far, jnp.abs(x), root)  # 1 / h
    by_x_and_b = -jnp.where(far, jnp.sign(x), scaled / root) * inverse * inverse / 4
    by_x = b * inverse * inverse * inverse / 2 * x_t + by_x_and_b * b_t
    return _squareplus_slopes(x, b), (by_x, by_x_and_b * x_t - inverse * inverse * inverse / 8 * b_t)
