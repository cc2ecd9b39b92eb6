r"""The logistic function and its logarithm, with derivatives that neither saturate nor cancel.

Everything is written in :math:`e = \exp(-|x|)`, which lies in (0, 1]: nothing overflows, and no difference of
nearly equal numbers is ever formed. Logarithms are made of double words, rounded once at the end.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.exponential import exp, factored_exp, light_exp, light_expm1, reduced_exp
from stablenn.nn._elementary.logarithm import log1p
from stablenn.nn._elementary.tiny_factors import TinyFactor
from stablenn.nn._elementary.words import Words, apart, fast_two_sum, ldexp
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
      Max ULP, value / gradient: float64 1.4 / 1.5, float32 1.7 / 1.8,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(jax.grad(nn.sigmoid)(jnp.float32(20.0)), jax.grad(jax.nn.sigmoid)(jnp.float32(20.0)))
      2.0611537e-09 0.0
    """
    return _sigmoid(x)


@jax.custom_jvp
def _sigmoid(x: jax.Array) -> jax.Array:
    return apart(x, sigmoid_raised(x))


def sigmoid_raised(x: jax.Array, power: int = 0) -> jax.Array:
    """sigmoid(x), times 2^power to the left of 0; not differentiable."""
    scale, change = factored_exp(-jnp.abs(x), power)
    e = scale * 2.0**-power * (1 + change)
    left = x < 0
    return over_one_plus(jnp.where(left, change, 0), e) * jnp.where(left, scale, 1)


def over_one_plus(change: jax.Array, e: jax.Array) -> jax.Array:
    """(1 + change) / (1 + e) for e up to one."""
    total = 1 + e
    return _less(change, _lost(total, e)) / total


def _lost(total: jax.Array, e: jax.Array) -> jax.Array:
    """What rounding took from total = 1 + e, divided by it, for e up to one: 1 / total to five percent is enough."""
    return ((1 - total) + e) * (1.457 - 0.5 * total)


def _less(change: jax.Array, lost: jax.Array) -> jax.Array:
    """(1 + change) (1 - lost), for a few ulps that are lost, rounded once."""
    return 1 + (change - (1 + change) * lost)


@_sigmoid.defjvp
def _sigmoid_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _sigmoid(x), t * sigmoid_rate(x)


def exp_neg_abs(x: jax.Array) -> tuple[Words, Words, jax.Array]:
    """e = exp(-|x|), up to a power of two that might underflow; 1 + e; and the exponent of that power."""
    e, exponent = _exp_neg_abs(x)
    total = fast_two_sum(1, ldexp(e.high, exponent))
    return e, fast_two_sum(total.high, total.low + ldexp(e.low, exponent)), exponent


def _exp_neg_abs(x: jax.Array) -> tuple[Words, jax.Array]:
    """exp(-|x|) as a number near one and the exponent of a power of two."""
    reduced = reduced_exp(-jnp.abs(x))
    return reduced.mantissa, reduced.exponent


@jax.custom_jvp
def gated(factor: jax.Array, x: jax.Array) -> jax.Array:
    """factor * sigmoid(x), also where sigmoid(x) alone would underflow."""
    return _gate(x).times(factor)


@jax.custom_jvp
def _gate(x: jax.Array) -> TinyFactor:
    """sigmoid(x)."""
    exponent, change = light_exp(-jnp.abs(x))
    e = ldexp(1 + change, exponent)
    left = x < 0
    return TinyFactor.of(over_one_plus(jnp.where(left, change, 0), e), jnp.where(left, exponent, 0))


@_gate.defjvp
def _gate_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    gate = _gate(x)
    return gate, gate.tangent(gated(t, -x))


@gated.defjvp
def _gated_jvp(primals, tangents):
    (factor, x), (factor_t, t) = primals, tangents
    return gated(factor, x), gated(factor_t, x) + t * sigmoid_slope(factor, x)


@jax.custom_jvp
def sigmoid_slope(factor, x):
    """factor * sigmoid(x) sigmoid(-x) = factor * e / (1 + e)^2, also where e alone would underflow."""
    return _slope(x).times(factor)


def scaled_slope(factor: jax.Array, x: jax.Array, low: jax.Array | None = None) -> jax.Array:
    """The same at x + low."""
    return _slope_at(x, low).times(factor)


def _slope_at(x: jax.Array, low: jax.Array | None = None) -> TinyFactor:
    """sigmoid(z) sigmoid(-z) = e / (1 + e)^2 at z = x + low, where e = exp(-|z|)."""
    exponent, change = light_exp(-jnp.abs(x), None if low is None else jnp.where(x < 0, low, -low))
    return TinyFactor.of(over_square(change, ldexp(1 + change, exponent)), exponent)


def over_square(change: jax.Array, e: jax.Array) -> jax.Array:
    """(1 + change) / (1 + e)^2 for e up to one."""
    rest = e * e + 2 * e
    square = 1 + rest
    # the inverse of the square to a few percent is enough for what rounding took from it
    lost = ((1 - square) + rest) * ((0.86 * e - 1.6) * e + 1)
    return _less(change, lost) / square


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def sigmoid_rate(x: jax.Array, power: int = 0) -> jax.Array:
    """2^power * sigmoid(x) sigmoid(-x), for small powers."""
    scale, change = factored_exp(-jnp.abs(x), power)
    return apart(x, scale * over_square(change, scale * 2.0**-power * (1 + change)))


@sigmoid_rate.defjvp
def _sigmoid_rate_jvp(power, primals, tangents):
    (x,), (t,) = primals, tangents
    rate = sigmoid_rate(x, power)
    return rate, -t * (rate * tilt(x))


@jax.custom_jvp
def _slope(x: jax.Array) -> TinyFactor:
    return _slope_at(x)


@_slope.defjvp
def _slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    slope = _slope(x)
    return slope, slope.tangent(-t * tilt(x))


@sigmoid_slope.defjvp
def _sigmoid_slope_jvp(primals, tangents):
    (factor, x), (factor_t, t) = primals, tangents
    slope = sigmoid_slope(factor, x)
    return slope, sigmoid_slope(factor_t, x) - t * (slope * tilt(x))


@jax.custom_jvp
def tilt(x):
    """sigmoid(x) - sigmoid(-x) = tanh(x/2): with the slope it is closed under differentiation."""
    large, small = light_expm1(-jnp.abs(x))
    change = large + small
    total = 2 + change
    lost = ((2 - total) + change) * (1.457 - 0.5 * total)  # as of the sigmoid
    return apart(x, jnp.copysign((large + (small - change * lost)) / total, x))


@tilt.defjvp
def _tilt_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return tilt(x), t * sigmoid_slope(jnp.full_like(x, 2), x)


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
      Max ULP, value / gradient: float64 1.0 / 1.3, float32 1.1 / 1.7,
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
    return apart(x, log1p(exp(-jnp.abs(x))).rounded)


@_log_sigmoid.defjvp
def _log_sigmoid_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _log_sigmoid(x), gated(t, -x)


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
      Max ULP, value / gradient: float64 1.0 / 1.4, float32 1.1 / 1.7,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.softplus(jnp.array([-50.0, 0.0, 1e4])))
      [1.9287499e-22 6.9314718e-01 1.0000000e+04]
    """
    return smooth_relu(x)


@jax.custom_jvp
def smooth_relu(x):
    """softplus in the dtype of its argument."""
    return jnp.maximum(x, 0) + log1p_exp_neg_abs(x)


@smooth_relu.defjvp
def _smooth_relu_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return smooth_relu(x), gated(t, x)
