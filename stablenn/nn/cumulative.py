"""Cumulative sums of exponentials."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._axes import axes_of
from stablenn.nn._elementary.exponential import exp
from stablenn.nn._elementary.logarithm import log
from stablenn.nn._elementary.slopes import with_slope
from stablenn.nn._elementary.words import Words, add, divide, multiply, single
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
      Max ULP, value / gradient: float64 [0.6] / 2.2, float32 [0.5] / 2.3,
      float16 [0.5] / 0.5, bfloat16 [0.5] / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.logcumsumexp(jnp.array([-jnp.inf, 0.0, 0.0, 90.0])))
      [      -inf  0.         0.6931472 90.       ]
    """
    x = jnp.asarray(operand)
    (along,) = axes_of(axis, x.ndim, "logcumsumexp")
    return _logcumsumexp(x, along, reverse)


class _Prefix(NamedTuple):
    """What is known of a prefix."""

    top: jax.Array  # its maximum
    total: Words  # the sum of exp(x - top)
    weighted: tuple[jax.Array, ...]  # those of t exp(x - top), for every tangent t


def _combine(one: _Prefix, other: _Prefix) -> _Prefix:
    """A prefix and what follows on it."""
    first = one.top >= other.top
    larger, smaller = (jax.tree.map(functools.partial(jnp.where, first), *p) for p in ((one, other), (other, one)))
    top = jnp.maximum(one.top, other.top)
    factor = exp(*subtract(jnp.minimum(one.top, other.top), top))
    total = add(larger.total, multiply(smaller.total, factor))
    pairs = zip(larger.weighted, smaller.weighted, strict=True)
    return _Prefix(top, total, tuple(a + (b * factor.high + b * factor.low) for a, b in pairs))


def _prefixes(x: jax.Array, tangents: tuple[jax.Array, ...], axis: int, reverse: bool) -> _Prefix:
    # all that depends on x, for those who differentiate, are these exponentials; the maxima drop out of quotients
    counts = _unit_exp(x)
    start = _Prefix(jax.lax.stop_gradient(x), single(counts), tuple(t * counts for t in tangents))
    return jax.lax.associative_scan(_combine, start, reverse=reverse, axis=axis)


@jax.custom_jvp
def _unit_exp(x):
    """exp(x), beside exp(x) as the unit."""
    unit = jnp.where(x == -jnp.inf, jnp.zeros_like(x), 1)
    return with_slope(unit, x, unit)


@_unit_exp.defjvp
def _unit_exp_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    unit = _unit_exp(x)
    return unit, unit * t


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _logcumsumexp(x, axis, reverse):
    top, sums, _ = _prefixes(x, (), axis, reverse)
    out = added(top, log(jnp.where(sums.high < 1, 1, sums.high), sums.low))
    return jnp.where(jnp.isnan(top) | (top == -jnp.inf), top, out)


@_logcumsumexp.defjvp
def _logcumsumexp_jvp(axis, reverse, primals, tangents):
    (x,), (t,) = primals, tangents
    return _logcumsumexp(x, axis, reverse), _weighted_means(x, t, axis, reverse)


def _weighted_means(x, t, axis, reverse):
    """The means of t over the prefixes, weighted by exp(x)."""
    top, sums, (weighted,) = _prefixes(x, (t,), axis, reverse)
    inverse = divide(single(jnp.ones_like(x)), Words(jnp.where(sums.high < 1, 1, sums.high), sums.low))
    undefined = jnp.isnan(top) | ((top == jnp.inf) & (sums.high > 1))
    return weighted * jnp.where(undefined, jnp.nan, inverse)
