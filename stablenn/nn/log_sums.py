"""Logarithms of sums of exponentials."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._axes import Axis, axes_of
from stablenn.nn._elementary.exponential import one_plus, reduced_exp
from stablenn.nn._elementary.logarithm import log, log1p
from stablenn.nn._elementary.words import add, quotient, select, single
from stablenn.nn._factors import log_sum, shares_and_quotients
from stablenn.nn._masks import included, masked, with_mask
from stablenn.nn._rounding import rounded_once, widened
from stablenn.nn._scaling import binade, unless
from stablenn.nn._shares import added, exponentials, from_maximum, mean_tangent
from stablenn.nn._sums import total_of_words
from stablenn.nn._tangents import instantiate, is_zero


@functools.partial(jax.jit, static_argnames=("axis", "keepdims", "return_sign"))
@rounded_once("a", "b", widen=False)
def logsumexp(
    a: ArrayLike,
    axis: Axis = None,
    b: ArrayLike | None = None,
    keepdims: bool = False,
    return_sign: bool = False,
    where: ArrayLike | None = None,
) -> jax.Array | tuple[jax.Array, jax.Array]:
    r"""Logarithm of a sum of exponentials.

    .. math:: \mathrm{logsumexp}(a) = \log \sum_j b_j e^{a_j}

    Entries of ``-inf`` count as nothing: a row of them gives ``-inf`` with a gradient of zero, not NaN. Factors may be
    of any size, beside logits of any size; where some are negative the error is one of the largest term.

    Args:
      a: input array of any shape, real.
      axis: the axis or axes to sum over; None for all.
      b: factors of the exponentials, broadcast against `a`; 0 excludes an entry, whatever its value.
      keepdims: whether to keep the reduced axes with length 1.
      return_sign: whether to return the sign of the sum as well; without it, a negative sum gives NaN.
      where: elements to include, broadcast against `a`.

    Returns:
      An array of the shape of `a` without the reduced axes; with `return_sign`, a pair (log of the absolute value
      of the sum, sign of the sum). The dtype is that of `a` and `b`, promoted.

    Raises:
      TypeError: if `a` or `b` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 [1.1] / 2.8, float32 [1.1] / 2.7,
      float16 [0.5] / 0.5, bfloat16 [0.5] / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).
      With factors `b`: float64 [0.7] / 3.4, float32 [0.5] / 3.4,
      float16 [0.5] / 0.5, bfloat16 [0.5] / 0.5.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> a = jnp.full(3, -jnp.inf)
      >>> print(nn.logsumexp(a), jax.grad(nn.logsumexp)(a))
      -inf [0. 0. 0.]
    """
    a, mask = with_mask(a, where)
    if b is not None:
        a, b = jnp.broadcast_arrays(widened(a), widened(jnp.asarray(b)))
        mask = None if mask is None else jnp.broadcast_to(mask, a.shape)
    axes = axes_of(axis, a.ndim, "logsumexp")
    out, sign = _logsumexp(a, b, mask, axes)
    if b is None and not return_sign:
        sign = None
    if not keepdims:
        out, sign = (None if v is None else jnp.squeeze(v, axes) for v in (out, sign))
    if return_sign:
        return out, sign
    return out if sign is None else jnp.where(sign < 0, jnp.nan, out)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _logsumexp(a, b, where, axis):
    """(log |sum|, sign), with the reduced axes kept."""
    if b is not None:
        return log_sum(a, b, where, axis)
    found = exponentials(included(a, where), axis)
    # XLA's CPU backend may lose the NaNs of a row in its maximum: they are still in the sum
    empty = (found.maximum == -jnp.inf) & ~jnp.isnan(found.rest)
    out = jnp.where(empty, -jnp.inf, added(found.maximum, found.log_total))
    return out, jnp.where(empty, 0, jnp.where(jnp.isnan(out), out, 1))


@functools.partial(_logsumexp.defjvp, symbolic_zeros=True)
def _logsumexp_jvp(axis, primals, tangents):
    (a, b, where), (a_t, b_t, _) = primals, tangents
    out, sign = _logsumexp(a, b, where, axis)
    if b is None:
        tangent = mean_tangent(masked(widened(instantiate(a_t)), where), exponentials(included(a, where), axis), axis)
        return (out, sign), (tangent, jnp.zeros_like(sign))
    # d log|S| = sum_j exp(a_j) / S * (b_j da_j + db_j)
    shares, quotients = shares_and_quotients(a, b, where, axis)
    tangent = jnp.zeros_like(out)
    if not is_zero(a_t):
        used = (b != 0) if where is None else (b != 0) & where
        tangent += jnp.sum(shares * masked(a_t, used), axis, keepdims=True)
    if not is_zero(b_t):
        tangent += jnp.sum(quotients * masked(b_t, where), axis, keepdims=True)
    return (out, sign), (tangent, jnp.zeros_like(sign))


@functools.partial(jax.jit, static_argnames=("axis", "keepdims"))
@rounded_once("x")
def logmeanexp(x: ArrayLike, axis: Axis = None, where: ArrayLike | None = None, keepdims: bool = False) -> jax.Array:
    r"""Logarithm of a mean of exponentials.

    .. math:: \mathrm{logmeanexp}(x) = \log \frac{1}{n} \sum_{j=1}^n e^{x_j}

    It is never made of a logarithm of the sum and one of n: the mean of numbers near zero keeps its digits.

    Args:
      x: input array of any shape, real.
      axis: the axis or axes to take the mean over; None for all.
      where: elements to include, broadcast against `x`. The mean of none is NaN.
      keepdims: whether to keep the reduced axes with length 1.

    Returns:
      An array of the shape of `x` without the reduced axes, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 [1.5] / 2.8, float32 [1.3] / 2.5,
      float16 [0.5] / 0.5, bfloat16 [0.5] / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.array([3e-5, -1e-5])
      >>> print(nn.logmeanexp(x), "not", jax.nn.logmeanexp(x))  # doctest: +ELLIPSIS
      1.00002e-05 not ...
    """
    x, mask = with_mask(x, where)
    axes = axes_of(axis, x.ndim, "logmeanexp")
    out = _logmeanexp(x, mask, axes)
    return out if keepdims else jnp.squeeze(out, axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _logmeanexp(x, where, axis):
    found = exponentials(included(x, where), axis)
    counted = jnp.ones_like(x, bool) if where is None else where
    count = jnp.sum(counted, axis, keepdims=True, dtype=x.dtype)
    n_log, log_total = log(jnp.maximum(count, 1)), found.log_total
    plain = added(found.maximum, add(log_total, -n_log))
    # Numbers near zero may have a mean far nearer to it.
    out = unless(jnp.abs(found.maximum) >= 0.5, plain, lambda: _near_zero(x, counted, axis, found.maximum, count))
    out = jnp.where(jnp.isnan(found.rest) | (count == 0), jnp.nan, out)
    return jnp.where((found.maximum == -jnp.inf) & (count > 0) & ~jnp.isnan(found.rest), -jnp.inf, out)


def _near_zero(x, counted, axis, maximum, count):
    """logmeanexp where the sum is taken in two words."""
    distance = from_maximum(included(x, counted), axis)
    distance = select(counted, distance, single(jnp.zeros_like(x)))
    # Where all entries are near the largest one, exp(x - maximum) - 1 takes the place of the exponential.
    lowest = jnp.min(distance.high, axis, keepdims=True, initial=0)
    near = lowest > -0.34
    n, change = reduced_exp(*distance)
    exp = one_plus(change).ldexp(n)
    terms = select(counted, select(near, change, exp), single(jnp.zeros_like(x)))
    unit = jnp.where(near, 2 * binade(-lowest), 1)
    sums = total_of_words(terms.times_power(1 / unit), axis).times_power(unit)
    mean, n_log = log1p(quotient(sums, count)), log(jnp.maximum(count, 1))
    apart = log(jnp.where(sums.high > 0, sums.high, 1), sums.low)
    out = select(near, mean, add(apart, -n_log))
    # Tiny numbers have the mean itself; their differences divided by n would underflow.
    large = 2.0 ** (2 * jnp.finfo(x.dtype).nmant)
    tiny = jnp.maximum(jnp.abs(maximum), -lowest) < 1 / large
    scaled = added(maximum * large, quotient(sums.times_power(large), count)) * (1 / large)
    return jnp.where(tiny, scaled, added(maximum, out))


@_logmeanexp.defjvp
def _logmeanexp_jvp(axis, primals, tangents):
    (x, where), (t, _) = primals, tangents
    out = _logmeanexp(x, where, axis)
    return out, mean_tangent(masked(t, where), exponentials(included(x, where), axis), axis)
