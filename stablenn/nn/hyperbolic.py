r"""Hyperbolic functions: tanh, the logarithm of cosh, and a cap made of tanh."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.exponential import exp, expm1, log_2_parts
from stablenn.nn._elementary.logarithm import log1p
from stablenn.nn._elementary.words import Words, divide, multiply, quotient, single
from stablenn.nn._rounding import rounded_once
from stablenn.nn.logistic import scaled_slope, sigmoid_rate, tilt


@jax.jit
@rounded_once("x")
def tanh(x: ArrayLike, /) -> jax.Array:
    r"""Hyperbolic tangent.

    .. math:: \tanh(x) = \frac{e^x - e^{-x}}{e^x + e^{-x}}

    The derivative is :math:`4 e / (1 + e)^2` with :math:`e = \exp(-2|x|)`: it stays accurate where ``1 - tanh(x)**2``
    has long become zero (from x = 9 in float32).

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.7 / 1.5, float32 1.9 / 1.8,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(f"{jax.grad(nn.tanh)(10.0):.6g} {jax.grad(jnp.tanh)(10.0)}")
      8.24461e-09 0.0
    """
    return tanh_of(x)


@jax.custom_jvp
def tanh_of(x):
    """tanh in the dtype of its argument."""
    return tilt(2 * x)


@tanh_of.defjvp
def _tanh_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return tanh_of(x), t * tanh_slope(x)


@jax.custom_jvp
def tanh_slope(x):
    """1 / cosh(x)^2."""
    return sigmoid_rate(2 * x, 2)


@tanh_slope.defjvp
def _tanh_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    slope = tanh_slope(x)
    return slope, t * (-2 * slope * tanh_of(x))


@jax.jit
@rounded_once("x")
def log_cosh(x: ArrayLike) -> jax.Array:
    r"""Logarithm of the hyperbolic cosine.

    .. math:: \mathrm{log\_cosh}(x) = \log \frac{e^x + e^{-x}}{2}

    A smooth absolute value: about :math:`x^2/2` near 0, where ``logaddexp(x, -x) - log(2)`` loses every digit, and
    :math:`|x| - \log 2` far away.

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.7 / 1.7, float32 2.7 / 1.9,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(*(f"{value:.6g}" for value in nn.log_cosh(jnp.array([1e-10, 1.0, 100.0]))))
      5e-21 0.433781 99.3069
    """
    return _log_cosh(x)


@jax.custom_jvp
def _log_cosh(x):
    size = jnp.abs(x)
    near = size < 1
    e, change = exp(-size), expm1(-size)
    small = 0.5 * divide(multiply(change, change), e)
    rest = log1p(Words(jnp.where(near, small, e.high * e.high), jnp.zeros_like(x))).rounded
    high, middle, last = log_2_parts(x.dtype)
    result = jnp.where(near, rest, ((size - high) - (middle + last)) + rest)
    # x^2 / 2 is right to less than an ulp; the low word of a square that is nearly too small for the format is lost
    return jnp.where(size < math.sqrt(jnp.finfo(x.dtype).eps), 0.5 * x * x, result)


@_log_cosh.defjvp
def _log_cosh_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _log_cosh(x), t * tanh_of(x)


@jax.jit
@rounded_once("x", "cap")
def softcap(x: ArrayLike, cap: ArrayLike) -> jax.Array:
    r"""Smooth cap on the magnitude: the identity near 0, which never exceeds `cap`.

    .. math:: \mathrm{softcap}(x) = c \tanh(x / c)

    What keeps the logits of large models in range, in attention and before the softmax.

    Args:
      x: input array, real.
      cap: positive, real, broadcast against `x`.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` or `cap` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 2.6 / 2.5, float32 2.2 / 2.4,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(*(f"{y:.6g}" for y in nn.softcap(jnp.array([1e-3, 30.0, 1e4]), 30.0)))
      0.001 22.8478 30
      >>> print(f"{jax.grad(nn.softcap)(600.0, 30.0):.6g}")
      1.69934e-17

    References:
      Gemma Team, `Gemma 2: Improving Open Language Models at a Practical Size <https://arxiv.org/abs/2408.00118>`_,
      2024, section 2.
    """
    return _softcap(*jnp.broadcast_arrays(x, cap))


@jax.custom_jvp
def _softcap(x, cap):
    ratio = x / cap
    unchanged = jnp.abs(ratio) < math.sqrt(jnp.finfo(x.dtype).eps) / 4
    return jnp.where(unchanged, x, cap * tilt(2 * ratio))


@_softcap.defjvp
def _softcap_jvp(primals, tangents):
    (x, cap), (x_t, cap_t) = primals, tangents
    by_x, by_cap = _softcap_slopes(x, cap)
    return _softcap(x, cap), by_x * x_t + by_cap * cap_t


@jax.custom_jvp
def _softcap_slopes(x, cap):
    """With u = x / cap: 1 / cosh(u)^2, and tanh(u) - u / cosh(u)^2."""
    u = quotient(single(x), cap)
    by_x = scaled_slope(jnp.full_like(x, 4), 2 * u.high, 2 * u.low)
    # near 0 as (sinh(2u) / 2 - u) / cosh(u)^2, by the series of sinh, where no terms cancel
    u, tripled = u.high, 3 * u.low  # as a cube has it
    square, count = u * u, 14 if jnp.finfo(u.dtype).bits == 64 else 8
    series = jnp.zeros_like(u)
    for k in range(count, 0, -1):
        series = series * square + 4**k / math.factorial(2 * k + 1)
    near = jnp.abs(u) < 1.5
    return by_x, jnp.where(
        near, by_x * ((u + tripled) * square * series), tilt(2 * u) - jnp.where(near | jnp.isinf(u), 0, u) * by_x
    )


@_softcap_slopes.defjvp
def _softcap_slopes_jvp(primals, tangents):
    (x, cap), (x_t, cap_t) = primals, tangents
    by_x, by_cap = _softcap_slopes(x, cap)
    u = x / cap
    steepness = 2 * by_x * tanh_of(u)
    change = (x_t - u * cap_t) / cap
    return (by_x, by_cap), (-steepness * change, u * steepness * change)
