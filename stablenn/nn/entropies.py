r"""The summands of entropies and divergences.

Logarithms of quotients are computed in two words, from :math:`(p - q) / q` where p and q are near each other.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn.nn._elementary.logarithm import assembled, remainder
from stablenn.nn._elementary.slopes import with_slope
from stablenn.nn._elementary.words import Words, add, fast_two_sum, product
from stablenn.nn._rounding import rounded_once
from stablenn.nn._tangents import instantiate, is_zero

_E = Fraction("2.71828182845904523536028747135266249775724709369995957496697")


@jax.jit
@rounded_once("x")
def entr(x: ArrayLike) -> jax.Array:
    r"""Entropy of one outcome, and 0 where x is 0.

    .. math:: \mathrm{entr}(x) = -x \log x

    The derivative :math:`-(1 + \log x)` keeps its digits around its zero at :math:`1/e`.

    Args:
      x: input array of any shape, real; negative numbers give ``-inf``, with a derivative of NaN.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 0.9 / 0.9, float32 1.3 / 1.6,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.float32(0.36787945)  # 1/e = 0.367879441...
      >>> print(nn.entr(0.0), jax.grad(nn.entr)(x), jax.grad(jax.scipy.special.entr)(x))
      0.0 -2.4871614e-08 -0.0
    """
    return _entr(x)


@jax.custom_jvp
def _entr(x):
    high, low = assembled(*_reduced(x))
    beyond = jnp.where(x == 0, 0, jnp.where(jnp.isnan(x), x, -jnp.inf))
    return jnp.where((x > 0) & (x < jnp.inf), -(x * high + x * low), beyond)


@_entr.defjvp
def _entr_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _entr(x), t * _entr_slope(x)


@jax.custom_jvp
def _entr_slope(x):
    """-(1 + log(x)); around c, the float next to 1/e, as -log((1 + (x - c) / c) * c * e)."""
    center = float(np.array(1 / _E, x.dtype))
    excess = Fraction(center) * _E - 1
    near = jnp.abs(x - center) < center / 4
    change = (x - center) * (1 / center)
    k, f = _reduced(x)
    error = jnp.where(near, float(excess) * (1 + change), 0)
    high, low = assembled(jnp.where(near, 0, k), jnp.where(near, change, f), error)
    # exact where these two nearly cancel
    total = fast_two_sum(jnp.where(near, 0, jnp.ones_like(x)), high)
    slope = -(total.high + (total.low + low))
    beyond = jnp.where(x == 0, jnp.inf, jnp.where(x > 0, -jnp.inf, jnp.full_like(x, jnp.nan)))
    return jnp.where((x > 0) & (x < jnp.inf), slope, beyond)


@_entr_slope.defjvp
def _entr_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _entr_slope(x), t * (-1 / x)


@jax.jit
@rounded_once("p", "q")
def rel_entr(p: ArrayLike, q: ArrayLike) -> jax.Array:
    r"""Relative entropy of one outcome, and 0 where p is 0.

    .. math:: \mathrm{rel\_entr}(p, q) = p \log \frac{p}{q}

    Where p is 0 the derivative by q is 0 as well, and where both are 0 so are both derivatives. Numbers outside of
    the domain give ``inf``, and derivatives of NaN.

    Args:
      p: real; negative numbers give ``inf``.
      q: real, broadcast against `p`; numbers that are not positive give ``inf``, unless p is 0 and q is, too.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `p` or `q` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 0.7 / [0.5], float32 0.9 / [0.5],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.rel_entr(jnp.array([0.0, 1e30]), jnp.array([0.0, 1e-30])), jax.grad(nn.rel_entr, 1)(0.0, 0.0))
      [0.000000e+00 1.381551e+32] 0.0
    """
    return _rel_entr(*jnp.broadcast_arrays(p, q))


@jax.custom_jvp
def _rel_entr(p, q):
    high, low = _log_ratio(p, q)
    beyond = jnp.where((p > 0) & (q == jnp.inf), -jnp.inf, jnp.full_like(p, jnp.inf))
    return _extended(p, q, p * high + p * low, nothing=0, beyond=beyond)


@functools.partial(_rel_entr.defjvp, symbolic_zeros=True)
def _rel_entr_jvp(primals, tangents):
    return _rel_entr(*primals), _tangent(1, 0, primals, tangents)


@jax.jit
@rounded_once("p", "q")
def kl_div(p: ArrayLike, q: ArrayLike) -> jax.Array:
    r"""Kullback-Leibler divergence of one outcome, never negative, and q where p is 0.

    .. math:: \mathrm{kl\_div}(p, q) = p \log \frac{p}{q} - p + q

    Near p = q, where that is a difference of nearly equal numbers, it is computed without any: with
    :math:`f = (p - q) / q` and :math:`P(f) = (\log(1 + f) - f + f^2/2) / f^3` as

    .. math:: (p - q) \, f \, (1/2 + f ((1 + f) P(f) - 1/2)).

    Where p is 0 the derivative by q is 1, and where both are 0 that by p is 0. Numbers outside of the domain give
    ``inf``, and derivatives of NaN.

    Args:
      p: real; negative numbers give ``inf``.
      q: real, broadcast against `p`; numbers that are not positive give ``inf``, unless p is 0 and q is, too.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `p` or `q` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.3 / 1.3, float32 1.1 / 1.2,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> p, q = jnp.float32(0.3), jnp.float32(0.30001)
      >>> print(f"{nn.kl_div(p, q):.6g} {p * jnp.log(p / q) - p + q}")
      1.66123e-10 0.0
    """
    return _kl_div(*jnp.broadcast_arrays(p, q))


@jax.custom_jvp
def _kl_div(p, q):
    exponent, f, error = _reduced_ratio(p, q)
    near = exponent == 0
    neighbours = (p - q) * (f + error)
    neighbours *= 0.5 + f * ((1 + f) * remainder(f) - 0.5)
    value = jnp.where(near, neighbours, _divergence_of_others(p, q, assembled(exponent, f, error)))
    return _extended(p, q, value, nothing=q, beyond=jnp.inf)


def _divergence_of_others(p, q, log_ratio):
    """q + p (log(p / q) - 1), or where p is the smaller (q - p) + p log(p / q), so that nothing overflows early."""
    larger = p > q
    difference = fast_two_sum(q, jnp.where(larger, 0, -p))
    # exact where these two nearly cancel
    factor = fast_two_sum(jnp.where(larger, -1, 0), log_ratio.high)
    return (difference.high + p * factor.high) + (difference.low + p * (factor.low + log_ratio.low))


@functools.partial(_kl_div.defjvp, symbolic_zeros=True)
def _kl_div_jvp(primals, tangents):
    return _kl_div(*primals), _tangent(0, 1, primals, tangents)


def _extended(p, q, inside, *, nothing, beyond):
    """`inside` for positive finite numbers, `nothing` where p is 0, `beyond` elsewhere; both infinite: no limit."""
    usual = (p > 0) & (q > 0) & (p < jnp.inf) & (q < jnp.inf)
    unknown = jnp.isnan(p) | jnp.isnan(q) | ((p == jnp.inf) & (q == jnp.inf))
    beyond = jnp.where(unknown, jnp.full_like(p, jnp.nan), beyond)
    return jnp.where(usual, inside, jnp.where((p == 0) & (q >= 0), nothing, beyond))


def _tangent(p_constant, q_constant, primals, tangents):
    """p' (log(p/q) + p_constant) + q' (q_constant - p/q), of which a term that nobody asks for is left out."""
    (p, q), (p_t, q_t) = primals, tangents
    tangent = jnp.zeros_like(p)
    if not is_zero(p_t):
        tangent += _slope_by_p(p, q, p_constant) * instantiate(p_t)
    if not is_zero(q_t):
        tangent += _slope_by_q(p, q, q_constant) * instantiate(q_t)
    return tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _slope_by_p(p, q, constant):
    """log(p / q) + constant."""
    limit = jnp.where((p == 0) | (q == jnp.inf), -jnp.inf, jnp.full_like(p, jnp.inf))
    limit = jnp.where((p == 0) & (q == 0), 0, limit)
    limit = jnp.where((p < 0) | (q < 0), jnp.nan, limit)
    slope = add(_log_ratio(p, q), Words(jnp.full_like(p, constant), jnp.zeros_like(p))).rounded
    return _extended(p, q, slope, nothing=limit, beyond=limit)


@_slope_by_p.defjvp
def _slope_by_p_jvp(constant, primals, tangents):
    (p, q), (p_t, q_t) = primals, tangents
    return _slope_by_p(p, q, constant), p_t / p - q_t / q


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _slope_by_q(p, q, constant):
    """constant - p / q, as one quotient."""
    power = 2.0 ** (jnp.finfo(p.dtype).maxexp // 2)
    tiny = q < 1 / power  # their difference may be no normal number
    dividend, divisor = (jnp.where(tiny, v * power, v) for v in (p, q))
    beyond = jnp.where(q == jnp.inf, constant, jnp.full_like(p, -jnp.inf))
    beyond = jnp.where((p < 0) | (q < 0), jnp.nan, beyond)
    return _extended(p, q, (constant * divisor - dividend) / divisor, nothing=constant, beyond=beyond)


@_slope_by_q.defjvp
def _slope_by_q_jvp(constant, primals, tangents):
    (p, q), (p_t, q_t) = primals, tangents
    return _slope_by_q(p, q, constant), (p / q * q_t - p_t) / q


def _log_ratio(p: jax.Array, q: jax.Array) -> Words:
    """log(p / q) of positive finite numbers, whether their quotient and their difference are in range or not."""
    return assembled(*_reduced_ratio(p, q))


def _reduced_ratio(p: jax.Array, q: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """k, f and its error in p / q = 2^k (1 + f + error), where 1 + f lies within about the root of two around one."""
    (p_exponent, p), (q_exponent, q) = _split(p), _split(q)
    # so that p - q is exact, and zero is the exponent of neighbours
    halved, doubled = p > q * math.sqrt(2), p * math.sqrt(2) < q
    p = jnp.where(halved, p / 2, jnp.where(doubled, p * 2, p))
    exponent = p_exponent - q_exponent + jnp.where(halved, 1, jnp.where(doubled, -1, jnp.zeros_like(p)))
    difference, inverse = p - q, 1 / q
    quotient = difference * inverse
    back = product(quotient, q)
    return exponent, quotient, ((difference - back.high) - back.low) * inverse


def _reduced(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """k and f, where x = 2^k (1 + f) and 1 + f lies within a factor of the root of two around one."""
    exponent, mantissa = _split(x)
    halved = mantissa > math.sqrt(2)
    return exponent + jnp.where(halved, 1, jnp.zeros_like(x)), jnp.where(halved, mantissa / 2, mantissa) - 1


def _split(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The exponent of a positive number, as a float, and its mantissa, from 1 to 2."""
    info = jnp.finfo(x.dtype)
    bits = np.dtype(f"int{info.bits}")
    lift = info.nmant + 1  # makes subnormals normal, where a device knows any
    subnormal = x < info.tiny
    pattern = jax.lax.bitcast_convert_type(jnp.where(subnormal, x * 2.0**lift, x), bits)
    exponent = (pattern >> bits.type(info.nmant)) - bits.type(info.maxexp - 1)
    mantissa = pattern - (exponent << bits.type(info.nmant))
    exponent = exponent.astype(x.dtype) - jnp.where(subnormal, lift, jnp.zeros_like(x))
    mantissa = jax.lax.bitcast_convert_type(mantissa, x.dtype)
    return exponent, with_slope(mantissa, x, mantissa / x)
