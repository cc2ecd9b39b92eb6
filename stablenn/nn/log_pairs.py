"""Logarithms of sums and differences of two exponentials."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.differences import factors_of_difference
from stablenn.nn._elementary.exponential import exp, log_2_parts, one_plus, reduced_exp
from stablenn.nn._elementary.logarithm import log, log1p
from stablenn.nn._elementary.words import Words, divide, fast_two_sum, select, two_sum
from stablenn.nn._rounding import rounded_once
from stablenn.nn._shares import added, subtract


@jax.jit
@rounded_once("x1", "x2")
def logaddexp(x1: ArrayLike, x2: ArrayLike) -> jax.Array:
    r"""Logarithm of the sum of the exponentials of two numbers, elementwise.

    .. math:: \mathrm{logaddexp}(x_1, x_2) = \log(e^{x_1} + e^{x_2})

    An argument of ``-inf`` counts as nothing: where both are, the result is ``-inf`` with a gradient of zero.

    Args:
      x1: input array, real.
      x2: input array, real, broadcast against `x1`.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x1` or `x2` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 [0.5] / 1.0, float32 [0.5] / 1.0,
      float16 [0.5] / 0.5, bfloat16 [0.5] / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.logaddexp(jnp.array([0.0, 1e4, -jnp.inf]), jnp.array([0.0, 0.0, -jnp.inf])))
      [6.931472e-01 1.000000e+04         -inf]
    """
    return _logaddexp(*jnp.broadcast_arrays(x1, x2))


@jax.custom_jvp
def _logaddexp(x1, x2):
    larger = jnp.maximum(x1, x2)
    logarithm = log1p(_exp_of_distance(x1, x2))
    return jnp.where(jnp.isnan(larger), larger, added(larger, logarithm))


def _exp_of_distance(x1: jax.Array, x2: jax.Array) -> Words:
    """exp(-|x1 - x2|)."""
    return exp(*subtract(jnp.minimum(x1, x2), jnp.maximum(x1, x2)))


@_logaddexp.defjvp
def _logaddexp_jvp(primals, tangents):
    (x1, x2), (t1, t2) = primals, tangents
    return _logaddexp(x1, x2), _share(x1, x2) * t1 + _share(x2, x1) * t2


@jax.custom_jvp
def _share(x1, x2):
    """exp(x1) / (exp(x1) + exp(x2))."""
    exp = _exp_of_distance(x1, x2)
    part = Words(jnp.where(x1 < x2, exp.high, 1), jnp.where(x1 < x2, exp.low, 0))
    share = divide(part, one_plus(exp))
    share = jnp.where(jnp.isnan(x1) | jnp.isnan(x2) | ((x1 == jnp.inf) & (x2 == jnp.inf)), jnp.nan, share)
    return jnp.where((x1 == -jnp.inf) & (x2 == -jnp.inf), 0, share)


@_share.defjvp
def _share_jvp(primals, tangents):
    (x1, x2), (t1, t2) = primals, tangents
    share = _share(x1, x2)
    return share, share * _share(x2, x1) * (t1 - t2)


@jax.jit
@rounded_once("x1", "x2")
def logsubexp(x1: ArrayLike, x2: ArrayLike) -> jax.Array:
    r"""Logarithm of the difference of the exponentials of two numbers, elementwise.

    .. math:: \mathrm{logsubexp}(x_1, x_2) = \log(e^{x_1} - e^{x_2})

    Equal numbers give ``-inf``, also two of ``-inf``. The derivatives :math:`1 / (1 - e^{x_2 - x_1})` and one minus it
    grow without bound as the numbers approach each other, and stay accurate.

    Args:
      x1: input array, real; where it is less than `x2`, the result is NaN.
      x2: input array, real, broadcast against `x1`.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x1` or `x2` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 [0.6] / 2.1, float32 [0.6] / 2.0,
      float16 [0.5] / 0.5, bfloat16 [0.5] / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.logsubexp(jnp.array([1e4, 0.0]), jnp.array([0.0, -80.0])))
      [ 1.0000000e+04 -1.8048513e-35]
    """
    return _logsubexp(*jnp.broadcast_arrays(x1, x2))


class _Complement(NamedTuple):
    """exp(x2 - x1), and one minus it, times 2^power where the difference of tiny numbers would underflow."""

    exp: Words
    rest: Words
    power: jax.Array


def _complement(x1: jax.Array, x2: jax.Array) -> _Complement:
    larger, smaller = jnp.maximum(x1, x2), jnp.minimum(x1, x2)
    distance = subtract(smaller, larger)
    n, change = reduced_exp(*distance)
    exp = one_plus(change).ldexp(n)
    rest = fast_two_sum(1, -exp.high)
    rest = fast_two_sum(rest.high, rest.low - exp.low)
    near = n == 0  # the difference is known better than its exponential
    change = fast_two_sum(change.high, change.low)
    rest = select(near, -change, rest)

    info = jnp.finfo(x1.dtype)
    power = info.nmant + 2
    tiny = jnp.maximum(jnp.abs(x1), jnp.abs(x2)) < 2.0 ** (info.minexp + power)
    high = jnp.where(tiny, larger * 2.0**power - smaller * 2.0**power, rest.high)
    high = jnp.where(jnp.isnan(distance.high), jnp.nan, high)  # integer operations make a number of a NaN
    return _Complement(exp, Words(high, jnp.where(tiny, 0, rest.low)), jnp.where(tiny, 1.0 * power, 0.0))


@jax.custom_jvp
def _logsubexp(x1, x2):
    _, rest, power = _complement(x1, x2)
    positive = rest.high > 0
    logarithm = log(jnp.where(positive, rest.high, 1), jnp.where(positive, rest.low, 0))
    high, middle, low = log_2_parts(x1.dtype)
    shifted = two_sum(logarithm.high, -power * high)
    shifted = Words(shifted.high, shifted.low + (logarithm.low - power * middle - power * low))
    out = jnp.where(positive, added(x1, shifted), rest.high - jnp.inf)
    return jnp.where((x1 < x2) | ((x1 == jnp.inf) & (x2 == jnp.inf)), jnp.nan, out)


@_logsubexp.defjvp
def _logsubexp_jvp(primals, tangents):
    (x1, x2), (t1, t2) = primals, tangents
    inverse, ratio = _slopes(x1, x2)
    return _logsubexp(x1, x2), inverse * t1 - ratio * t2


def _where_defined(x1, x2, value):
    value = jnp.where((x1 == -jnp.inf) & (x2 == -jnp.inf), 0, value)
    return jnp.where((x1 < x2) | ((x1 == jnp.inf) & (x2 == jnp.inf)), jnp.nan, value)


@jax.custom_jvp
def _slopes(x1, x2):
    """1 / (1 - exp(x2 - x1)) and exp(x2 - x1) times that."""
    scale, change, vanishes = factors_of_difference(x2, x1)
    scale, change = jnp.where(vanishes, 0, scale), jnp.where(vanishes | (x1 == x2), 0, change)
    rest = (1 - scale) - scale * change
    # the difference of tiny numbers would underflow
    info = jnp.finfo(x1.dtype)
    lift = 2.0 ** (info.nmant + 2)
    tiny = jnp.maximum(jnp.abs(x1), jnp.abs(x2)) < 2.0**info.minexp * lift
    inverse = jnp.where(tiny, lift, 1) / jnp.where(tiny, jnp.abs(x1 * lift - x2 * lift), rest)
    return _where_defined(x1, x2, inverse), _where_defined(x1, x2, (scale + scale * change) * inverse)


@_slopes.defjvp
def _slopes_jvp(primals, tangents):
    (t1, t2), (inverse, ratio) = tangents, _slopes(*primals)
    tangent = inverse * ratio * (t2 - t1)
    return (inverse, ratio), (tangent, tangent)
