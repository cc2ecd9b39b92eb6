"""Cumulative sums of exponentials."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.exponential import exp
from stablenn.nn._elementary.logarithm import log
from stablenn.nn._elementary.words import Words, divide, fast_two_sum, product, select, two_sum
from stablenn.nn._rounding import rounded_once
from stablenn.nn._shares import added, subtract


@functools.partial(jax.jit, static_argnames=("axis", "reverse"))
@rounded_once("operand")
def logcumsumexp(operand: ArrayLike, axis: int = 0, reverse: bool = False) -> jax.Array:
    r"""Logarithms of the cumulative sums of exponentials.

    .. math:: \mathrm{logcumsumexp}(x)_i = \log \sum_{j \le i} e^{x_j}

    Sums that have begun with ``-inf`` alone are ``-inf`` there, with a gradient of zero. The sums are taken in two
    words, by a scan of logarithmic depth, each with its own maximum: a later, larger entry takes nothing from them.

    Args:
      operand: input array, real, with at least one axis.
      axis: the axis to sum along; a negative one counts from the last.
      reverse: whether to sum from the end.

    Returns:
      An array of the shape of `operand`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `operand` is complex.
      ValueError: if there is no such axis.

    Accuracy:
      Max ULP, value / gradient: float64 [0.5] / 2.1, float32 [0.5] / 2.1,
      float16 [0.5] / 0.5, bfloat16 [0.5] / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.logcumsumexp(jnp.array([-jnp.inf, 0.0, 0.0, 90.0])))
      [      -inf  0.         0.6931472 90.       ]
    """
    x = jnp.asarray(operand)
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"logcumsumexp: axis {axis} is out of bounds for an array of {x.ndim} axes")
    return _logcumsumexp(x, axis % x.ndim, reverse)


def _sums(x: jax.Array, t: jax.Array, axis: int, reverse: bool) -> tuple[jax.Array, Words, jax.Array]:
    """Of every prefix: its maximum, the sum of exp(x - maximum), and that of t exp(x - maximum)."""

    def combine(one, other):
        (top1, sum1, t1), (top2, sum2, t2) = one, other
        top = jnp.maximum(top1, top2)
        factor1, factor2 = (exp(*subtract(v, top)) for v in (top1, top2))
        larger, smaller = (select(top1 >= top2, u, v) for u, v in ((sum1, sum2), (sum2, sum1)))
        factor = select(top1 >= top2, factor2, factor1)
        part = product(smaller.high, factor.high)
        part = fast_two_sum(part.high, part.low + (smaller.high * factor.low + smaller.low * factor.high))
        both = two_sum(larger.high, part.high)
        both = fast_two_sum(both.high, both.low + (larger.low + part.low))
        weighted = (t1 * factor1.high + t1 * factor1.low) + (t2 * factor2.high + t2 * factor2.low)
        return top, both, weighted

    # all that depends on x, for those who differentiate, are these exponentials; the maxima drop out of quotients
    counts = jnp.where(x == -jnp.inf, 0, _unit_exp(x))
    x = jax.lax.stop_gradient(x)
    start = x, Words(counts, jnp.zeros_like(x)), t * counts
    return jax.lax.associative_scan(combine, start, reverse=reverse, axis=axis)


@jax.custom_jvp
def _unit_exp(x):
    """exp(x), beside exp(x) as the unit."""
    return jnp.ones_like(x)


@_unit_exp.defjvp
def _unit_exp_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    unit = _unit_exp(x)
    return unit, unit * t


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _logcumsumexp(x, axis, reverse):
    top, sums, _ = _sums(x, jnp.zeros_like(x), axis, reverse)
    out = added(top, log(jnp.maximum(sums.high, 1), sums.low))
    return jnp.where(jnp.isnan(top) | (top == -jnp.inf), top, out)


@_logcumsumexp.defjvp
def _logcumsumexp_jvp(axis, reverse, primals, tangents):
    (x,), (t,) = primals, tangents
    return _logcumsumexp(x, axis, reverse), _weighted_means(x, t, axis, reverse)


def _weighted_means(x, t, axis, reverse):
    """The means of t over the prefixes, weighted by exp(x)."""
    top, sums, weighted = _sums(x, t, axis, reverse)
    one = Words(jnp.ones_like(x), jnp.zeros_like(x))
    inverse = divide(one, Words(jnp.where(sums.high < 1, 1, sums.high), sums.low))
    undefined = jnp.isnan(top) | ((top == jnp.inf) & (sums.high > 1))
    return weighted * jnp.where(undefined, jnp.nan, inverse)
