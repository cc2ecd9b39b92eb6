r"""The softmax family: logsumexp, softmax, log_softmax.

With :math:`m = \max_j x_j` the family is made of :math:`e_j = \exp(x_j - m)` and of their sum off the maximum,
:math:`\mathrm{rest} = \sum_j e_j - 1`:

- ``exp(x - m)`` is compensated for the rounding of ``x - m``, which alone would cost |x - m| ulps;
- it is kept scaled by a power of two, so that many entries too small for the format still add up to a number in it;
- ``log1p(rest)`` keeps the loss of a confident answer, which ``log(1 + rest)`` rounds to zero;
- derivatives never form ``1 - s`` for a probability near one: `_off_top` replaces it by the sum of the others.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._rounding import rounded_once
from stablenn.nn._tangents import instantiate, is_zero
from stablenn.nn._underflow import scale_of, scaled_exp

Axis = int | tuple[int, ...] | None
_LOG_2 = math.log(2)


class _Shifted(NamedTuple):
    """The row, shifted so that its maximum is zero; reduced axes are kept."""

    maximum: jax.Array
    difference: jax.Array  # x - maximum, rounded
    error: jax.Array  # what that rounding took away
    exp: jax.Array  # exp(x - maximum) * 2^power, 0 where masked
    rest: jax.Array  # sum of exp(x - maximum), less one maximum
    undefined: jax.Array  # no finite entry, or several infinities at the top: the shares have no limit


def _shift(x: jax.Array, axis: Axis, where: jax.Array | None) -> _Shifted:
    included = x if where is None else jnp.where(where, x, -jnp.inf)
    maximum = jax.lax.stop_gradient(jnp.max(included, axis, keepdims=True, initial=-jnp.inf))
    is_max = included == maximum
    raw = included - maximum
    difference = jnp.where(is_max, 0, raw)
    # TwoDiff (Knuth): included - maximum == difference + error, exactly
    back = raw - included
    error = (included - (raw - back)) - (maximum + back)
    error = jnp.where(jnp.isfinite(raw), error, 0)

    exp = scaled_exp(difference, error)
    if where is not None:
        exp, is_max = jnp.where(where, exp, 0), is_max & where
    ties = jnp.sum(is_max, axis, keepdims=True, dtype=x.dtype) - 1
    rest = jnp.sum(jnp.where(is_max, 0, exp), axis, keepdims=True) * 2.0 ** -scale_of(x.dtype).power + ties
    undefined = (maximum == -jnp.inf) | ((maximum == jnp.inf) & (ties > 0))
    return _Shifted(maximum, difference, error, exp, rest, undefined)


def _log1p(rest: jax.Array) -> jax.Array:
    """log(1 + rest) for rest >= 0: where XLA's log1p forgets what 1 + rest rounds away, that is added again."""
    # The barrier keeps XLA from simplifying (1 + rest) - 1 to rest.
    total = jax.lax.optimization_barrier(1 + rest)
    lost = jnp.where(rest < 1, rest - (total - 1), 1 - (total - rest))
    compensated = jnp.log(total) + jnp.where(jnp.isfinite(total), lost / total, 0)
    return jnp.where(rest < 0.3, jnp.log1p(rest), compensated)


def _off_top(tangent: jax.Array, top: jax.Array, axis: Axis) -> jax.Array:
    """The tangent less that of the top entry (if there is one), which becomes exactly zero."""
    return jnp.where(top, 0, tangent - jnp.sum(jnp.where(top, tangent, 0), axis, keepdims=True))


def _top(scaled: jax.Array) -> jax.Array:
    """The one entry, if any, whose probability exceeds 1/2; `scaled` is softmax times 2^power."""
    return scaled > 2.0 ** (scale_of(scaled.dtype).power - 1)


def _log_softmax_tangent(t: jax.Array, scaled: jax.Array, axis: Axis) -> jax.Array:
    r""":math:`t_j - \sum_k s_k t_k`, without forming :math:`1 - s_j` for s_j near 1.

    The map does not change when a constant is added to the tangent. Where one probability exceeds 1/2 its own
    tangent is that constant, and it drops out of the sum: what was 1 - s_j becomes the sum of the others. The
    transpose of these very steps treats cotangents in the same way. Half of the scaling of `scaled` is taken back
    before the sum and half after it, so that neither the sum nor its transpose underflows.
    """
    top, half = _top(scaled), scale_of(scaled.dtype).half
    weighted = jnp.where(top, 0, scaled) * _off_top(t * half, top, axis)
    return _off_top(t, top, axis) - jnp.sum(weighted, axis, keepdims=True) * half


def _softmax_tangent(t: jax.Array, scaled: jax.Array, axis: Axis) -> jax.Array:
    r""":math:`s_j (t_j - \sum_k s_k t_k)`, times 2^(power/2), with the same care in both directions.

    The tangents of a row add up to zero. That gives the one of the top entry, and makes the map its own transpose.
    """
    top, half = _top(scaled), scale_of(scaled.dtype).half
    others, difference = jnp.where(top, 0, scaled), _off_top(t * half, top, axis)
    # The barrier keeps XLA from forming half * mean first, which would underflow.
    halved = jax.lax.optimization_barrier(others * half)
    mean = jnp.sum(halved * difference, axis, keepdims=True)
    tangent = others * difference - halved * mean
    return tangent - jnp.where(top, jnp.sum(tangent, axis, keepdims=True), 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _scaled_softmax(x, where, axis):
    """softmax(x) * 2^power."""
    shifted = _shift(x, axis, where)
    s = jnp.where(shifted.undefined, jnp.nan, shifted.exp / (1 + shifted.rest))
    return s if where is None else jnp.where(where, s, 0)


@_scaled_softmax.defjvp
def _scaled_softmax_jvp(axis, primals, tangents):
    (x, where), (t, _) = primals, tangents
    scaled = _scaled_softmax(x, where, axis)
    return scaled, _softmax_tangent(_masked(t, where), scaled, axis) / scale_of(x.dtype).half


@functools.partial(jax.jit, static_argnames="axis")
@rounded_once("x")
def softmax(x: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None) -> jax.Array:
    r"""Softmax function.

    .. math:: \mathrm{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}

    A single ``+inf`` gets the probability 1 (the limit); several of them, or a row of ``-inf`` alone, have no limit
    and give NaN.

    Args:
      x: input array of any shape, real.
      axis: the axis or axes along which the probabilities sum to 1; None for all.
      where: elements to include, broadcast against `x`; the output for the others is 0.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 3.3 / 6.4, float32 3.1 / 5.6,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.softmax(jnp.array([0.0, 1.0, -jnp.inf])))
      [0.26894143 0.7310586  0.        ]
    """
    return _softmax(*_with_mask(x, where), axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _softmax(x, where, axis):
    return _scaled_softmax(x, where, axis) * 2.0 ** -scale_of(x.dtype).power


@_softmax.defjvp
def _softmax_jvp(axis, primals, tangents):
    (x, where), (t, _) = primals, tangents
    scaled = _scaled_softmax(x, where, axis)
    tangent = _softmax_tangent(_masked(t, where), scaled, axis) * scale_of(x.dtype).half
    return _softmax(x, where, axis), tangent


@functools.partial(jax.jit, static_argnames="axis")
@rounded_once("x")
def log_softmax(x: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None) -> jax.Array:
    r"""Logarithm of softmax.

    .. math:: \mathrm{log\_softmax}(x)_i = \log \frac{e^{x_i}}{\sum_j e^{x_j}}

    The largest entry gets ``-log1p(rest)``, which keeps its relative accuracy when its probability is nearly 1.

    Args:
      x: input array of any shape, real.
      axis: the axis or axes along which the probabilities sum to 1; None for all.
      where: elements to include, broadcast against `x`; the output for the others is -inf.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 2.5 / 3.1, float32 2.5 / 2.9,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.log_softmax(jnp.array([20.0, 0.0])))
      [-2.0611537e-09 -2.0000000e+01]
    """
    return _log_softmax(*_with_mask(x, where), axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _log_softmax(x, where, axis):
    shifted = _shift(x, axis, where)
    out = shifted.difference + (shifted.error - _log1p(shifted.rest))
    out = jnp.where(shifted.undefined, jnp.nan, out)
    return out if where is None else jnp.where(where, out, -jnp.inf)


@_log_softmax.defjvp
def _log_softmax_jvp(axis, primals, tangents):
    (x, where), (t, _) = primals, tangents
    scaled = _scaled_softmax(x, where, axis)
    return _log_softmax(x, where, axis), _masked(_log_softmax_tangent(_masked(t, where), scaled, axis), where)


@functools.partial(jax.jit, static_argnames=("axis", "keepdims", "return_sign"))
@rounded_once("a", "b")
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

    Entries of ``-inf`` count as nothing: a row of them gives ``-inf`` with a gradient of zero, not NaN.

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
      Max ULP, value / gradient: float64 [2.7] / 3.3, float32 [2.3] / 3.1,
      float16 [0.5] / 0.5, bfloat16 [0.5] / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> a = jnp.full(3, -jnp.inf)
      >>> print(nn.logsumexp(a), jax.grad(nn.logsumexp)(a))
      -inf [0. 0. 0.]
    """
    a, mask = _with_mask(a, where)
    if b is not None:
        a, b = jnp.broadcast_arrays(a, b)
        mask = None if mask is None else jnp.broadcast_to(mask, a.shape)
    out, sign = _logsumexp(a, b, mask, axis)
    if b is None and not return_sign:
        sign = None
    if not keepdims:
        out, sign = (None if v is None else _squeeze(v, a.ndim, axis) for v in (out, sign))
    if return_sign:
        return out, sign
    return out if sign is None else jnp.where(sign < 0, jnp.nan, out)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _logsumexp(a, b, where, axis):
    """(log |sum|, sign), with the reduced axes kept."""
    shifted = _shift(a, axis, _used(b, where))
    if b is None:
        # XLA's CPU backend may lose the NaNs of a row in its maximum: they are still in the sum
        log_total = _log1p(shifted.rest)
        empty = (shifted.maximum == -jnp.inf) & ~jnp.isnan(shifted.rest)
        out = jnp.where(empty, -jnp.inf, shifted.maximum + log_total)
        return out, jnp.where(empty, 0, jnp.where(jnp.isnan(out), out, 1))
    total = jnp.sum(_terms(b, where, shifted, axis), axis, keepdims=True)
    out = shifted.maximum + (jnp.log(jnp.abs(total)) + _exponent(b, where, axis).astype(a.dtype) * _LOG_2)
    empty = (shifted.maximum == -jnp.inf) & ~jnp.isnan(total)
    return jnp.where(empty, -jnp.inf, out), jnp.where(empty, 0, jnp.sign(total))


def _exponent(b, where, axis):
    """The binary exponent of the largest factor that counts, which keeps products of factors in range."""
    largest = jnp.max(jnp.abs(b), axis, keepdims=True, initial=0, where=_used(b, where))
    return jax.lax.stop_gradient(jnp.where(jnp.isfinite(largest) & (largest > 0), jnp.frexp(largest)[1], 0))


def _terms(b, where, shifted: _Shifted, axis):
    """The summands b exp(a - maximum), scaled by the power of two of the largest factor."""
    return _masked(jnp.ldexp(b, -_exponent(b, where, axis)) * _unscaled(shifted.exp), _used(b, where))


def _unscaled(exp):
    return exp * 2.0 ** -scale_of(exp.dtype).power


@functools.partial(_logsumexp.defjvp, symbolic_zeros=True)
def _logsumexp_jvp(axis, primals, tangents):
    (a, b, where), (a_t, b_t, _) = primals, tangents
    out, sign = _logsumexp(a, b, where, axis)
    tangent = jnp.zeros_like(out)
    if b is None:
        half = scale_of(a.dtype).half
        scaled = jnp.where(out == -jnp.inf, 0, _scaled_softmax(a, where, axis))
        tangent = jnp.sum(scaled * (_masked(instantiate(a_t), where) * half), axis, keepdims=True) * half
        return (out, sign), (tangent, jnp.zeros_like(sign))
    # d log|S| = sum_j exp(a_j) / S * (b_j da_j + db_j)
    shifted, used = _shift(a, axis, _used(b, where)), _used(b, where)
    total = jnp.sum(_terms(b, where, shifted, axis), axis, keepdims=True)
    plain = jnp.where(out == -jnp.inf, 0, sign * jnp.exp(a - out))
    if not is_zero(a_t):
        share = jnp.where(used & (out > -jnp.inf), _terms(b, where, shifted, axis) / total, 0)
        share = _with_derivative_of(share, _masked(plain * b, used))
        tangent += jnp.sum(share * _masked(a_t, used), axis, keepdims=True)
    if not is_zero(b_t):
        share = jnp.ldexp(_unscaled(shifted.exp) / total, -_exponent(b, where, axis))
        share = _with_derivative_of(jnp.where(used & (out > -jnp.inf), share, plain), plain)
        tangent += jnp.sum(_masked(share, where) * _masked(b_t, where), axis, keepdims=True)
    return (out, sign), (tangent, jnp.zeros_like(sign))


def _with_derivative_of(value: jax.Array, formula: jax.Array) -> jax.Array:
    """`value`, which is accurate, with the derivatives of `formula`, which is not."""
    formula = jnp.where(jnp.isfinite(formula), formula, 0)
    return jax.lax.stop_gradient(value) + (formula - jax.lax.stop_gradient(formula))


def _used(b: jax.Array | None, where: jax.Array | None) -> jax.Array | None:
    """The entries that count: those of the mask with a factor other than 0."""
    if b is None:
        return where
    return (b != 0) if where is None else (b != 0) & where


def _with_mask(x: ArrayLike, where: ArrayLike | None) -> tuple[jax.Array, jax.Array | None]:
    """The array and its mask, broadcast against each other."""
    if where is None:
        return jnp.asarray(x), None
    x, mask = jnp.broadcast_arrays(x, jnp.asarray(where, bool))
    return x, mask


def _masked(values: jax.Array, where: jax.Array | None) -> jax.Array:
    return values if where is None else jnp.where(where, values, 0)


def _squeeze(value: jax.Array, ndim: int, axis: Axis) -> jax.Array:
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return jnp.squeeze(value, tuple(i % ndim for i in axes)) if ndim else value
