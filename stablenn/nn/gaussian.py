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

from stablenn.nn._elementary.exponential import Reduced, one_plus, reduced_exp
from stablenn.nn._elementary.logarithm import log
from stablenn.nn._elementary.normal_tail import LIMIT, Tail, scaled_tail, words_of
from stablenn.nn._elementary.words import (
    Words,
    divide,
    fast_two_sum,
    power_of_two,
    product,
    square,
    two_sum,
)
from stablenn.nn._rounding import rounded_once
from stablenn.nn.logistic import sigmoid_slope

# Of the tanh formula of GELU, which is x / (1 + exp(-w)) with w = x (A + B x^2): sqrt(8 / pi), and 0.044715 of it.
_A = Fraction("1.5957691216057307117597842397375274739034234644748")
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
      Max ULP, value / gradient: float64 0 / 0, float32 0 / 0,
      float16 0 / 0, bfloat16 0 / 0 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.ndtr(jnp.float32(-12.5)), jax.scipy.special.ndtr(jnp.float32(-12.5)))
      0 0
    """
    return _ndtr(x)


@jax.custom_jvp
def _ndtr(x):
    tail = _upper_tail(jnp.abs(x))
    return jnp.where(x < 0, tail, 1 - tail)


@_ndtr.defjvp
def _ndtr_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _ndtr(x), t * _density((1,), x)


def _upper_tail(z: jax.Array) -> jax.Array:
    """The normal distribution's share beyond z >= 0."""
    z = _at_most(z, 16, 48)
    return _times(scaled_tail(z).value, _bell(z))


def _at_most(z: jax.Array, float32: float, float64: float) -> jax.Array:
    """z, no larger than where an exponential has long become zero, whatever its factor."""
    return jnp.minimum(z, float64 if jnp.finfo(z.dtype).bits == 64 else float32)


def _bell(z: jax.Array) -> Reduced:
    """exp(-z^2/2)."""
    half_square = _half_square(z)
    return reduced_exp(-half_square.high, -half_square.low)


def _word(x: jax.Array) -> Words:
    return Words(x, jnp.zeros_like(x))


def _half_square(z: jax.Array) -> Words:
    words = square(z / 2).times_power(2)
    return fast_two_sum(words.high, words.low)


def _times(factor: Words, exp: Reduced) -> jax.Array:
    """factor * exp, even where the exponential alone would leave the range."""
    mantissa = one_plus(exp.change)
    product = factor.high * mantissa.high + (factor.high * mantissa.low + factor.low * mantissa.high)
    half = exp.exponent >> 1
    return product * power_of_two(half, product.dtype) * power_of_two(exp.exponent - half, product.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _density(polynomial, x):
    """The density of the normal distribution times a polynomial, given by its coefficients, lowest first."""
    z = _at_most(jnp.abs(x), 16, 48)
    x = jnp.where(x < 0, -z, z)
    value = jnp.full_like(x, polynomial[-1])
    for coefficient in reversed(polynomial[:-1]):
        value = value * x + coefficient
    limit = words_of(LIMIT, x)
    return _times(Words(value * limit.high, value * limit.low), _bell(z))


@_density.defjvp
def _density_jvp(polynomial, primals, tangents):
    (x,), (t,) = primals, tangents
    higher = (*(k * c for k, c in enumerate(polynomial)), 0, 0)[1:]
    derivative = tuple(a - b for a, b in zip(higher, (0, *polynomial), strict=True))
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
      Max ULP, value / gradient: float64 0 / 0, float32 0 / 0,
      float16 0 / 0, bfloat16 0 / 0 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.log_ndtr(jnp.float32(5.5)), jax.scipy.special.log_ndtr(jnp.float32(5.5)))
      0 0
    """
    return _log_ndtr(x)


@jax.custom_jvp
def _log_ndtr(x):
    z = jnp.minimum(jnp.abs(x), 2.0**80)
    left = x < 0
    upper = _upper_tail(z)
    words, complement = _far_tail(z).value, fast_two_sum(1, -upper)
    log_words = log(jnp.where(left, words.high, complement.high), jnp.where(left, words.low, complement.low))
    half_square = _half_square(z)
    total = two_sum(jnp.where(left, -half_square.high, 0), log_words.high)
    low = total.low + (log_words.low - jnp.where(left, half_square.low, 0))
    return total.high + jnp.where(jnp.isfinite(total.high), low, 0)


@_log_ndtr.defjvp
def _log_ndtr_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _log_ndtr(x), t * _log_ndtr_slope(x)


def _far_tail(z: jax.Array) -> Tail:
    """The scaled tail of z >= 0, which is that of 2^60 beyond: 1 / (sqrt(2 pi) z)."""
    return scaled_tail(jnp.minimum(z, 2.0**60))


@jax.custom_jvp
def _log_ndtr_slope(x):
    """The density over the distribution function: of -x, the hazard rate."""
    z = jnp.abs(x)
    tail, density_at_0 = _far_tail(z), words_of(LIMIT, x)
    below = jnp.where(tail.near, 1, z) * divide(density_at_0, tail.words)
    above = divide(density_at_0, fast_two_sum(1, -_upper_tail(z)))
    return jnp.where(x < 0, below, _times(_word(above), _bell(_at_most(z, 16, 48))))


@_log_ndtr_slope.defjvp
def _log_ndtr_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _log_ndtr_slope(x), t * _log_ndtr_curvature(x)


def _log_ndtr_curvature(x):
    """-h (x + h), with h the slope; on the left the tail itself knows the difference of z and h."""
    tail = _far_tail(jnp.where(x < 0, -x, 0))
    left = -words_of(LIMIT, x).high * tail.rest / (tail.words.high * tail.words.high)
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

    The formula with tanh is taken as a definition of its own, and computed as :math:`x / (1 + e^{-2u})`, where u is the
    argument of tanh: the left tail is not lost to ``1 + tanh(u)``, which is 0 from x = -4.9 in float32.

    Args:
      x: input array of any shape, real.
      approximate: whether to use the formula with tanh (the default), or the exact one, with :math:`\Phi` the
        distribution function of the standard normal distribution.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 0 / 0, float32 0 / 0,
      float16 0 / 0, bfloat16 0 / 0 (x86-64, jax 0.10.2 and 0.12.0.1).
      With `approximate=False`: float64 0 / 0, float32 0 / 0,
      float16 0 / 0, bfloat16 0 / 0.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.float32(-5.0)
      >>> print(nn.gelu(x), jax.nn.gelu(x))
      0 0
      >>> print(nn.gelu(x, approximate=False), jax.nn.gelu(x, approximate=False))
      0 0

    References:
      Hendrycks and Gimpel, `Gaussian Error Linear Units <https://arxiv.org/abs/1606.08415>`_, 2016.
    """
    return _gelu_tanh(x) if approximate else _gelu(x)


def _from_tail(x: jax.Array, tail: jax.Array) -> jax.Array:
    """A GELU from what it is at -|x|, by gelu(x) = x + gelu(-x), and x/2 where the sum would be flushed."""
    return jnp.where(jnp.abs(x) < 2.0**-60, x / 2, jnp.where(x > 0, x + tail, tail))


def _slope_from_tail(x: jax.Array, tail: jax.Array) -> jax.Array:
    """Its derivative from that at -|x|."""
    return jnp.where(x > 0, 1 - tail, tail)


@jax.custom_jvp
def _gelu(x):
    z = _at_most(jnp.abs(x), 16, 48)
    return _from_tail(x, -_times(scaled_tail(z).times_z, _bell(z)))


@_gelu.defjvp
def _gelu_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _gelu(x), t * _gelu_slope(x)


@jax.custom_jvp
def _gelu_slope(x):
    z = _at_most(jnp.abs(x), 16, 48)
    tail, limit = scaled_tail(z).value, words_of(LIMIT, x)
    return _slope_from_tail(x, _times(Words(tail.high - z * limit.high, tail.low - z * limit.low), _bell(z)))


@_gelu_slope.defjvp
def _gelu_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _gelu_slope(x), t * _density((2, 0, -1), x)


@jax.custom_jvp
def _gelu_tanh(x):
    z = _at_most(jnp.abs(x), 12.5, 26)
    exp, total = _logistic_terms(z)
    share = divide(_word(z), total)
    return _from_tail(x, -_times(_word(share), exp))


def _logistic_terms(z: jax.Array) -> tuple[Reduced, Words]:
    """exp(-w) and 1 + exp(-w), where w = z (A + B z^2) and z >= 0."""
    a, b = words_of(_A, z), words_of(_B, z)
    z_square = square(z)
    z_square = fast_two_sum(z_square.high, z_square.low)
    term = product(b.high, z_square.high)
    # not two_sum, of which XLA simplifies a difference with the constant away
    factor = fast_two_sum(jnp.maximum(term.high, a.high), jnp.minimum(term.high, a.high))
    low = factor.low + (term.low + b.high * z_square.low + b.low * z_square.high + a.low)
    factor = fast_two_sum(factor.high, low)
    w = product(z, factor.high)
    w = fast_two_sum(w.high, w.low + z * factor.low)
    exp = reduced_exp(-w.high, -w.low)
    one = jnp.ones_like(z)
    return exp, fast_two_sum(one, _times(_word(one), exp))


def _argument_slope(x: jax.Array) -> jax.Array:
    """dw/dx = A + 3 B x^2."""
    return float(_A) + float(3 * _B) * (x * x)


@_gelu_tanh.defjvp
def _gelu_tanh_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _gelu_tanh(x), t * _gelu_tanh_slope(x)


@jax.custom_jvp
def _gelu_tanh_slope(x):
    z = _at_most(jnp.abs(x), 12.5, 26)
    exp, total = _logistic_terms(z)
    inverse = 1 / total.rounded
    share = (1 - z * _argument_slope(z) * inverse) * inverse
    return _slope_from_tail(x, _times(_word(share), exp))


@_gelu_tanh_slope.defjvp
def _gelu_tanh_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _gelu_tanh_slope(x), t * _gelu_tanh_curvature(x)


@jax.custom_jvp
def _gelu_tanh_curvature(x):
    z = _at_most(jnp.abs(x), 12.5, 26)
    exp, total = _logistic_terms(z)
    inverse = 1 / total.rounded
    slope = _argument_slope(z)
    bend = 2 * slope + float(6 * _B) * (z * z) - z * (slope * slope) * ((2 - total.high) * inverse)
    return _times(_word(bend * inverse * inverse), exp)


@_gelu_tanh_curvature.defjvp
def _gelu_tanh_curvature_jvp(primals, tangents):
    """From here on by the formula, in single words."""

    def curvature(x):
        x = jnp.clip(x, -_at_most(x, 12.5, 26), 12.5)
        slope = _argument_slope(x)
        w = x * (float(_A) + float(_B) * (x * x))
        return sigmoid_slope(w) * (2 * slope + float(6 * _B) * (x * x) - x * (slope * slope) * jnp.tanh(w / 2))

    (x,), (t,) = primals, tangents
    return _gelu_tanh_curvature(x), jax.jvp(curvature, (x,), (t,))[1]
