r"""The normal distribution function, its logarithm, and the Gaussian error linear unit.

Where they are small, all of them are :math:`e^{-z^2/2}`, z = |x|, times something moderate: the scaled tail
:math:`T(z) = e^{z^2/2} \Phi(-z)`, or what a derivative makes of it. The exponential is kept as a power of two and a
mantissa until it meets its factor, so that a product is right as long as it is a normal number itself.
"""

from __future__ import annotations

import functools
from fractions import Fraction

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.exponential import LOG_2, factored_exp, factored_exp2
from stablenn.nn._elementary.logarithm import log
from stablenn.nn._elementary.normal_tail import LIMIT, halves_of, scaled_tail, words_of
from stablenn.nn._elementary.words import (
    Words,
    apart,
    divide,
    fast_two_sum,
    halves,
    square,
    two_sum,
)
from stablenn.nn._rounding import rounded_once
from stablenn.nn.logistic import scaled_slope, sigmoid_slope, tilt

_HUGE = 2.0**60  # beyond it, the tail of z is 1 / (sqrt(2 pi) z)
_SPARE = 24  # products with an exponential may be numbers where it is too small for one, by this power of two
# Of the tanh formula of GELU, which is x / (1 + exp(-w)) with w = x (A + B x^2): sqrt(8 / pi), and 0.044715 of it.
_A = Fraction("1.5957691216057307117597842397375274739034345246597")
_B = _A * Fraction(44715, 10**6)


@jax.jit
@rounded_once("x")
def ndtr(x: ArrayLike) -> jax.Array:
    r"""Distribution function of the standard normal distribution.

    .. math:: \Phi(x) = \frac{1}{\sqrt{2 \pi}} \int_{-\infty}^x e^{-t^2/2} dt

    Args:
      x: input array of any shape, real.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.7 / 1.8, float32 3.2 / 2.3,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(f"{nn.ndtr(jnp.float32(-12.0)):.6g}, not {jax.scipy.special.ndtr(jnp.float32(-12.0)):.6g}")
      1.77648e-33, not 1.7765e-33
    """
    return _ndtr(x)


@jax.custom_jvp
def _ndtr(x):
    # the tail is used once: XLA would keep the result of a division in memory for a second use
    return apart(x, jnp.where(x < 0, 0, 1) + jnp.where(x < 0, 1, -1) * _upper_tail(jnp.abs(x)))


@_ndtr.defjvp
def _ndtr_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _ndtr(x), t * _density((1,), x)


def _upper_tail(z: jax.Array) -> jax.Array:
    """The normal distribution's share beyond z >= 0."""
    z = _in_reach(z)
    tail = scaled_tail(z)
    return _times_bell(tail.words.high, z) / tail.divisor


def _in_reach(z: jax.Array) -> jax.Array:
    """z, no larger than where exp(-z^2/2) has long become zero, whatever its factor."""
    return jnp.minimum(z, 46.0 if jnp.finfo(z.dtype).bits == 64 else 16.0)


def _times_bell(factor: jax.Array, z: jax.Array) -> jax.Array:
    """factor * exp(-z^2/2) for z in reach, even where the exponential alone would leave the range."""
    power, change = factored_exp(-0.5 * square(z).high, _SPARE, -0.5 * square(z).low)
    return factor * power * (1 + change) * 2.0**-_SPARE


def _half_square(z: jax.Array) -> Words:
    return square(z / 2).times_power(2).normalised


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _density(polynomial, x):
    """The density of the normal distribution times a polynomial, given by its coefficients, lowest first."""
    z = _in_reach(jnp.abs(x))
    y = jnp.where(x < 0, -z, z)
    value = jnp.full_like(y, polynomial[-1])
    for coefficient in reversed(polynomial[:-1]):
        value = value * y + coefficient
    return apart(x, _times_bell(value * words_of(LIMIT, y).high, z))


@_density.defjvp
def _density_jvp(polynomial, primals, tangents):
    (x,), (t,) = primals, tangents
    raised = (*(k * c for k, c in enumerate(polynomial)), 0, 0)[1:]
    derivative = tuple(a - b for a, b in zip(raised, (0, *polynomial), strict=True))
    return _density(polynomial, x), t * _density(derivative, x)


@functools.partial(jax.jit, static_argnames="series_order")
@rounded_once("x")
def log_ndtr(x: ArrayLike, series_order: int = 3) -> jax.Array:
    r"""Logarithm of the distribution function of the standard normal distribution.

    .. math:: \mathrm{log\_ndtr}(x) = \log \frac{1}{\sqrt{2 \pi}} \int_{-\infty}^x e^{-t^2/2} dt

    Args:
      x: input array of any shape, real.
      series_order: without effect: no asymptotic series is used. It is accepted because
        :func:`jax.scipy.special.log_ndtr` has it.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 2.3 / 2.7, float32 3.4 / 3.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.float32(-1e5)
      >>> print(jax.grad(nn.log_ndtr)(x), jax.grad(jax.scipy.special.log_ndtr)(x))
      100000.0 1.0
    """
    return _log_ndtr(x)


@jax.custom_jvp
def _log_ndtr(x):
    left, z = x < 0, jnp.minimum(jnp.abs(x), _HUGE)
    words, complement = scaled_tail(z).value, fast_two_sum(1, -_upper_tail(z))
    log_words = log(jnp.where(left, words.high, complement.high), jnp.where(left, words.low, complement.low))
    half_square = _half_square(jnp.where(left, jnp.abs(x), 0))
    total = two_sum(-half_square.high, log_words.high)
    result = total.high + (total.low + (log_words.low - half_square.low))
    return apart(x, jnp.where(half_square.high < jnp.inf, result, -jnp.inf))


@_log_ndtr.defjvp
def _log_ndtr_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _log_ndtr(x), t * _log_ndtr_slope(x)


@jax.custom_jvp
def _log_ndtr_slope(x):
    """The density over the distribution function: of -x, the hazard rate."""
    z = jnp.abs(x)
    tail, peak = scaled_tail(jnp.minimum(z, _HUGE)), words_of(LIMIT, x)
    below = divide(peak, tail.words) * jnp.where(tail.near, 1, z)
    above = divide(peak, fast_two_sum(1, -_upper_tail(z)))
    return apart(x, jnp.where(x < 0, below, _times_bell(above, _in_reach(z))))


@_log_ndtr_slope.defjvp
def _log_ndtr_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _log_ndtr_slope(x), t * _log_ndtr_curvature(x)


def _log_ndtr_curvature(x):
    """-h (x + h), with h the slope; on the left the tail itself knows the difference of z and h."""
    tail = scaled_tail(jnp.minimum(jnp.where(x < 0, -x, 0), _HUGE))
    left = -words_of(LIMIT, x).high * tail.rest / (tail.words.rounded * tail.words.rounded)
    positive = jnp.where(x < 0, 0, x)
    share = _ndtr(positive)
    slope = _density((1,), positive) / share
    return jnp.where(x < 0, left, -(_density((0, 1), positive) / share + slope * slope))


@functools.partial(jax.jit, static_argnames="approximate")
@rounded_once("x")
def gelu(x: ArrayLike, approximate: bool = True) -> jax.Array:
    r"""Gaussian error linear unit.

    .. math:: \mathrm{gelu}(x) = x \Phi(x) \approx
        \frac{x}{2} \left(1 + \tanh\left(\sqrt{\frac{2}{\pi}} (x + 0.044715 x^3)\right)\right)

    The formula with tanh is taken as a definition of its own, and computed as :math:`x / (1 + e^{-2u})`, where u is
    the argument of tanh: the left tail is not lost to ``1 + tanh(u)``, which in float32 is 0 below x = -4.9.

    Args:
      x: input array of any shape, real.
      approximate: whether to use the formula with tanh (the default), or the exact one, with :math:`\Phi` the
        distribution function of the standard normal distribution.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 2.0 / [3.0], float32 3.3 / [5.6],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).
      With `approximate=False`: float64 1.9 / [2.6], float32 3.5 / [3.4],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5].

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.float32(-5.0)
      >>> print(nn.gelu(x), jax.nn.gelu(x))
      -2.2917962e-07 -0.0
      >>> x = jnp.float32(-13.0)
      >>> print(nn.gelu(x, approximate=False), jax.nn.gelu(x, approximate=False))
      -7.952314e-38 -7.952375e-38

    References:
      Hendrycks and Gimpel, `Gaussian Error Linear Units <https://arxiv.org/abs/1606.08415>`_, 2016.
    """
    return _gelu_tanh(x) if approximate else _gelu(x)


def _from_tail(x: jax.Array, tail: jax.Array) -> jax.Array:
    """A GELU from what it is at -|x|, by gelu(x) = x + gelu(-x), and x/2 where the sum would be flushed."""
    return apart(x, jnp.where(jnp.abs(x) < 2.0**-60, x / 2, jnp.where(x > 0, x + tail, tail)))


def _slope_from_tail(x: jax.Array, tail: jax.Array) -> jax.Array:
    """Its derivative from that at -|x|."""
    return apart(x, jnp.where(x > 0, 1 - tail, tail))


@jax.custom_jvp
def _gelu(x):
    z = _in_reach(jnp.abs(x))
    tail = scaled_tail(z)
    return _from_tail(x, -_times_bell(tail.words.high, z) * tail.factor)


@_gelu.defjvp
def _gelu_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _gelu(x), t * _gelu_slope(x)


@jax.custom_jvp
def _gelu_slope(x):
    z = _in_reach(jnp.abs(x))
    tail, peak = scaled_tail(z).value, words_of(LIMIT, x)
    return _slope_from_tail(x, _times_bell((tail.high - z * peak.high) + (tail.low - z * peak.low), z))


@_gelu_slope.defjvp
def _gelu_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _gelu_slope(x), t * _density((2, 0, -1), x)


@jax.custom_jvp
def _gelu_tanh(x):
    z = _in_reach(jnp.abs(x))
    power, change, e = _exponential_of_argument(z)
    return _from_tail(x, -(z * power) * ((1 + change) / (1 + e)) * 2.0**-_SPARE)


def _exponential_of_argument(z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """p, c and e in e = exp(-w) = p (1 + c) / 2^spare."""
    w = _argument(z, _A / LOG_2, _B / LOG_2)
    power, change = factored_exp2(-w.high, _SPARE, -w.low)
    return power, change, power * 2.0**-_SPARE * (1 + change)


def _argument(z: jax.Array, a: Fraction = _A, b: Fraction = _B) -> Words:
    """w = z (A + B z^2) for z >= 0, not normalised; GELU at -z is -z / (1 + exp(w))."""
    first, third = halves_of(a, z), halves_of(b, z)
    z_high, z_low = halves(z)
    square_high, square_middle = halves(z_high * z_high)
    cubic = square_high * third.high
    cubic_low = (square_middle + (z + z_high) * z_low) * (third.high + third.low) + square_high * third.low
    # exact whichever is the larger, since half of the first's digits are zero
    total = fast_two_sum(first.high, cubic)
    high, middle = halves(total.high)
    low = z * (total.low + (cubic_low + first.low))
    return Words(z_high * high, (z_high * middle + z_low * total.high) + low)


@_gelu_tanh.defjvp
def _gelu_tanh_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _gelu_tanh(x), t * _gelu_tanh_slope(x)


@jax.custom_jvp
def _gelu_tanh_slope(x):
    z = _in_reach(jnp.abs(x))
    power, change, e = _exponential_of_argument(z)
    total = 1 + e
    factor = (total - z * _argument_slope(z)) + ((1 - total) + e)
    return _slope_from_tail(x, power * ((1 + change) / (total * total)) * factor * 2.0**-_SPARE)


@_gelu_tanh_slope.defjvp
def _gelu_tanh_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _gelu_tanh_slope(x), t * _gelu_tanh_curvature(x)


def _argument_slope(x: jax.Array) -> jax.Array:
    """dw/dx."""
    return float(_A) + float(3 * _B) * (x * x)


def _bend(x: jax.Array, w: jax.Array) -> jax.Array:
    """The second derivative of x s(w), with s the logistic function, is this times s'(w)."""
    slope = _argument_slope(x)
    return 2 * slope + x * (float(6 * _B) * x - slope * slope * tilt(w))


@jax.custom_jvp
def _gelu_tanh_curvature(x):
    z = _in_reach(jnp.abs(x))
    w = _argument(z)
    return scaled_slope(_bend(z, w.rounded), *w.normalised)


@_gelu_tanh_curvature.defjvp
def _gelu_tanh_curvature_jvp(primals, tangents):
    """From here on by the formula, in single words."""

    def curvature(x):
        x = jnp.clip(x, -_in_reach(jnp.abs(x)), _in_reach(jnp.abs(x)))
        w = x * (float(_A) + float(_B) * (x * x))
        return sigmoid_slope(_bend(x, w), w)

    (x,), (t,) = primals, tangents
    return _gelu_tanh_curvature(x), jax.jvp(curvature, (x,), (t,))[1]
