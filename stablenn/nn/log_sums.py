"""Logarithms of sums of exponentials."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._log1p import add_log1p
from stablenn.nn._rounding import rounded_once
from stablenn.nn._shares import Axis, Shifted, added, masked, scaled_softmax, shift, with_mask
from stablenn.nn._tangents import instantiate, is_zero
from stablenn.nn._underflow import scale_of

_LOG_2 = math.log(2)


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
      Max ULP, value / gradient: float64 [1.9] / 3.4, float32 [1.7] / 3.5,
      float16 [0.5] / 0.5, bfloat16 [0.5] / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> a = jnp.full(3, -jnp.inf)
      >>> print(nn.logsumexp(a), jax.grad(nn.logsumexp)(a))
      -inf [0. 0. 0.]
    """
    a, mask = with_mask(a, where)
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
    shifted = shift(a, axis, _used(b, where))
    if b is None:
        # XLA's CPU backend may lose the NaNs of a row in its maximum: they are still in the sum
        empty = (shifted.maximum == -jnp.inf) & ~jnp.isnan(shifted.scaled_rest)
        out = jnp.where(empty, -jnp.inf, added(shifted.maximum, shifted.log_total))
        return out, jnp.where(empty, 0, jnp.where(jnp.isnan(out), out, 1))
    total = jnp.sum(_terms(b, where, shifted, axis), axis, keepdims=True)
    out = shifted.maximum + (jnp.log(jnp.abs(total)) + _exponent(b, where, axis).astype(a.dtype) * _LOG_2)
    empty = (shifted.maximum == -jnp.inf) & ~jnp.isnan(total)
    return jnp.where(empty, -jnp.inf, out), jnp.where(empty, 0, jnp.sign(total))


def _exponent(b, where, axis):
    """The binary exponent of the largest factor that counts, which keeps products of factors in range."""
    largest = jnp.max(jnp.abs(b), axis, keepdims=True, initial=0, where=_used(b, where))
    return jax.lax.stop_gradient(jnp.where(jnp.isfinite(largest) & (largest > 0), jnp.frexp(largest)[1], 0))


def _terms(b, where, shifted: Shifted, axis):
    """The summands b exp(a - maximum), scaled by the power of two of the largest factor."""
    return masked(jnp.ldexp(b, -_exponent(b, where, axis)) * _unscaled(shifted.exp), _used(b, where))


def _unscaled(exp):
    return exp * 2.0 ** -scale_of(exp.dtype).power


@functools.partial(_logsumexp.defjvp, symbolic_zeros=True)
def _logsumexp_jvp(axis, primals, tangents):
    (a, b, where), (a_t, b_t, _) = primals, tangents
    out, sign = _logsumexp(a, b, where, axis)
    tangent = jnp.zeros_like(out)
    if b is None:
        half = scale_of(a.dtype).half
        scaled = jnp.where(out == -jnp.inf, 0, scaled_softmax(a, where, axis))
        tangent = jnp.sum(scaled * (masked(instantiate(a_t), where) * half), axis, keepdims=True) * half
        return (out, sign), (tangent, jnp.zeros_like(sign))
    # d log|S| = sum_j exp(a_j) / S * (b_j da_j + db_j)
    shifted, used = shift(a, axis, _used(b, where)), _used(b, where)
    total = jnp.sum(_terms(b, where, shifted, axis), axis, keepdims=True)
    plain = jnp.where(out == -jnp.inf, 0, sign * jnp.exp(a - out))
    if not is_zero(a_t):
        share = jnp.where(used & (out > -jnp.inf), _terms(b, where, shifted, axis) / total, 0)
        share = _with_derivative_of(share, masked(plain * b, used))
        tangent += jnp.sum(share * masked(a_t, used), axis, keepdims=True)
    if not is_zero(b_t):
        share = jnp.ldexp(_unscaled(shifted.exp) / total, -_exponent(b, where, axis))
        share = _with_derivative_of(jnp.where(used & (out > -jnp.inf), share, plain), plain)
        tangent += jnp.sum(masked(share, where) * masked(b_t, where), axis, keepdims=True)
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


def _squeeze(value: jax.Array, ndim: int, axis: Axis) -> jax.Array:
    axes = range(ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return jnp.squeeze(value, tuple(i % ndim for i in axes)) if ndim else value


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
      Max ULP, value / gradient: float64 [2.0] / 2.4, float32 [2.2] / 2.4,
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
    distance = jnp.where(x1 == x2, 0, jnp.abs(x1 - x2))
    return add_log1p(jnp.maximum(x1, x2), jnp.exp(-distance))


@_logaddexp.defjvp
def _logaddexp_jvp(primals, tangents):
    (x1, x2), (t1, t2) = primals, tangents
    return _logaddexp(x1, x2), _share(x1, x2) * t1 + _share(x2, x1) * t2


@jax.custom_jvp
def _share(x1, x2):
    """sigmoid(x1 - x2), compensated for the rounding of the difference."""
    raw = x1 - x2
    difference = jnp.where(x1 == x2, 0, raw)
    # TwoDiff (Knuth): x1 - x2 == difference + error, exactly
    back = raw - x1
    error = jnp.where(jnp.isfinite(raw), (x1 - (raw - back)) - (x2 + back), 0)
    e = jnp.exp(-jnp.abs(difference))
    e = e - e * jnp.where(difference < 0, -error, error)
    share = jnp.where(difference < 0, e, 1) / (1 + e)
    share = jnp.where((x1 == jnp.inf) & (x2 == jnp.inf), jnp.nan, share)
    return jnp.where((x1 == -jnp.inf) & (x2 == -jnp.inf), 0, share)


@_share.defjvp
def _share_jvp(primals, tangents):
    (x1, x2), (t1, t2) = primals, tangents
    share = _share(x1, x2)
    return share, share * _share(x2, x1) * (t1 - t2)
