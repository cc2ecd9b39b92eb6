"""Kullback-Leibler divergences from log-probabilities."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.losses._arguments import require_float_pairs
from stablenn.nn._axes import Axis
from stablenn.nn._masks import masked, paired
from stablenn.nn._rounding import rounded_once
from stablenn.nn._tangents import instantiate, is_zero
from stablenn.nn._underflow import exp_times, scale_of


@functools.partial(jax.jit, static_argnames="axis")
def kl_divergence(
    log_predictions: ArrayLike, targets: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""Kullback-Leibler divergence of predicted log-probabilities from target probabilities.

    .. math:: D(p \,\|\, q) = \sum_i p_i (\log p_i - \log q_i)

    A target of 0 contributes nothing, even where the prediction is ``-inf``.

    Args:
      log_predictions: log-probabilities, with shape ``[..., dim]``.
      targets: probabilities, not negative, broadcast against `log_predictions`.
      axis: the axis or axes to sum over; None for all.
      where: elements to include, broadcast against the arguments.

    Returns:
      The divergence per example, with the broadcast shape without `axis`.

    Raises:
      TypeError: if `log_predictions` or `targets` are not floating point.
      ValueError: if broadcasting made the result larger than both.

    Accuracy:
      Max ULP, value / gradient: float64 [3.2] / [1.0], float32 [1.8] / [0.9],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.kl_divergence(jnp.array([-1e4, 0.0, -jnp.inf]), jnp.array([0.5, 0.5, 0.0])))
      4999.3066

    References:
      Kullback and Leibler, `On Information and Sufficiency <https://www.jstor.org/stable/2236703>`_, 1951.
    """
    require_float_pairs("kl_divergence", log_predictions=log_predictions, targets=targets)
    return _kl_divergence(log_predictions, targets, axis, where)


@functools.partial(jax.jit, static_argnames="axis")
def kl_divergence_with_log_targets(
    log_predictions: ArrayLike, log_targets: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""Kullback-Leibler divergence of predicted log-probabilities from target log-probabilities.

    .. math:: D(p \,\|\, q) = \sum_i e^{t_i} (t_i - \log q_i), \qquad t_i = \log p_i

    A target of ``-inf`` contributes nothing, even where the prediction is ``-inf``, too. Where
    :math:`e^{t_i}` alone would be flushed to zero, its product with a large difference is not.

    Args:
      log_predictions: log-probabilities, with shape ``[..., dim]``.
      log_targets: log-probabilities, broadcast against `log_predictions`.
      axis: the axis or axes to sum over; None for all.
      where: elements to include, broadcast against the arguments.

    Returns:
      The divergence per example, with the broadcast shape without `axis`.

    Raises:
      TypeError: if `log_predictions` or `log_targets` are not floating point.
      ValueError: if broadcasting made the result larger than both.

    Accuracy:
      Max ULP, value / gradient: float64 [2.2] / [1.7], float32 [2.3] / [1.6],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.kl_divergence_with_log_targets(jnp.array([-1e4, 0.0, -1.0]), jnp.array([-0.5, -1.0, -jnp.inf])))
      6064.6357

    References:
      Kullback and Leibler, `On Information and Sufficiency <https://www.jstor.org/stable/2236703>`_, 1951.
    """
    require_float_pairs("kl_divergence_with_log_targets", log_predictions=log_predictions, log_targets=log_targets)
    return _kl_divergence_with_log_targets(log_predictions, log_targets, axis, where)


@functools.partial(jax.jit, static_argnames="axis")
def generalized_kl_divergence(
    log_predictions: ArrayLike, targets: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""Kullback-Leibler divergence of measures, which need not add up to 1.

    .. math:: D(p \,\|\, q) = \sum_i \left(p_i (\log p_i - \log q_i) - p_i + q_i\right)

    It is convex in both arguments. A target of 0 contributes :math:`q_i`.

    Args:
      log_predictions: logarithms of :math:`q`, with shape ``[..., dim]``.
      targets: the measure :math:`p`, not negative, broadcast against `log_predictions`.
      axis: the axis or axes to sum over; None for all.
      where: elements to include, broadcast against the arguments.

    Returns:
      The divergence per example, with the broadcast shape without `axis`.

    Raises:
      TypeError: if `log_predictions` or `targets` are not floating point.
      ValueError: if broadcasting made the result larger than both.

    Accuracy:
      Max ULP, value / gradient: float64 [3.1] / [1.4], float32 [4.0] / [1.5],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.generalized_kl_divergence(jnp.array([0.0, -jnp.inf]), jnp.array([2.0, 0.0])))
      0.38629436

    References:
      Kullback and Leibler, `On Information and Sufficiency <https://www.jstor.org/stable/2236703>`_, 1951.
    """
    require_float_pairs("generalized_kl_divergence", log_predictions=log_predictions, targets=targets)
    return _generalized_kl_divergence(log_predictions, targets, axis, where)


def convex_kl_divergence(
    log_predictions: ArrayLike, targets: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""The name that `generalized_kl_divergence` had in older programs.

    .. math:: D(p \,\|\, q) = \sum_i \left(p_i (\log p_i - \log q_i) - p_i + q_i\right)

    Args:
      log_predictions: logarithms of :math:`q`, with shape ``[..., dim]``.
      targets: the measure :math:`p`, not negative, broadcast against `log_predictions`.
      axis: the axis or axes to sum over; None for all.
      where: elements to include, broadcast against the arguments.

    Returns:
      The divergence per example, with the broadcast shape without `axis`.

    Raises:
      TypeError: if `log_predictions` or `targets` are not floating point.
      ValueError: if broadcasting made the result larger than both.

    Accuracy:
      Max ULP, value / gradient: float64 [3.1] / [1.4], float32 [4.0] / [1.5],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.convex_kl_divergence(jnp.array([0.0, 0.0]), jnp.array([1.0, 1.0])))
      0.0
    """
    return generalized_kl_divergence(log_predictions, targets, axis, where)


@rounded_once("log_predictions", "targets")
def _kl_divergence(log_predictions, targets, axis, where):
    return _divergence(*paired(log_predictions, targets, where), axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _divergence(q, p, where, axis):
    """The sum of p (log(p) - q)."""
    return jnp.sum(_terms(q, p), axis, where=where)


def _terms(q, p):
    return jnp.where((p == 0) & ~jnp.isnan(q), 0, p * (jnp.log(p) - q))


@functools.partial(_divergence.defjvp, symbolic_zeros=True)
def _divergence_jvp(axis, primals, tangents):
    (q, p, where), (q_t, p_t, _) = primals, tangents
    tangent = jnp.zeros_like(p)
    if not is_zero(q_t):
        tangent -= p * instantiate(q_t)
    if not is_zero(p_t):  # infinite at p = 0: it is left out where nobody asks for it
        tangent += _by_target(q, p, where, 1) * instantiate(p_t)
    return _divergence(q, p, where, axis), jnp.sum(tangent, axis, where=where)


def _by_target(q, p, where, more):
    """log(p) - q and `more`, 0 for an impossible class."""
    ignored = (p == 0) & (q == -jnp.inf)
    return jnp.where(ignored, 0, masked((jnp.log(p) - q) + more, where))


@rounded_once("log_predictions", "log_targets")
def _kl_divergence_with_log_targets(log_predictions, log_targets, axis, where):
    return _log_divergence(*paired(log_predictions, log_targets, where), axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _log_divergence(q, t, where, axis):
    """The sum of exp(t) (t - q)."""
    terms = _weighted(t - q, q, t)
    plain = jnp.sum(terms, axis, where=where)
    # many terms, each small enough to be flushed to zero, may add up to a number that is not
    power = scale_of(t.dtype).power
    scaled = jnp.sum(_weighted(t - q, q, t, power), axis, where=where) * 2.0**-power
    return jnp.where(jnp.max(jnp.abs(terms), axis, initial=0, where=where) < 2.0 ** (-2 * power), scaled, plain)


@_log_divergence.defjvp
def _log_divergence_jvp(axis, primals, tangents):
    (q, t, where), (q_t, t_t, _) = primals, tangents
    tangent = masked(_weighted((t - q) + 1, q, t), where) * t_t - jnp.exp(t) * q_t
    return _log_divergence(q, t, where, axis), jnp.sum(tangent, axis, where=where)


def _weighted(factor, q, t, power=0):
    """factor * exp(t) * 2^power, where the factor is infinite because q is, or because a difference overflowed."""
    product = jnp.where(jnp.isinf(q) & (t > -jnp.inf), factor, exp_times(factor, t, power))
    return jnp.where((t == -jnp.inf) & ~jnp.isnan(q), 0, product)


@rounded_once("log_predictions", "targets")
def _generalized_kl_divergence(log_predictions, targets, axis, where):
    q, p, where = paired(log_predictions, targets, where)
    return _divergence_of_measures(q, p, where, axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _divergence_of_measures(q, p, where, axis):
    """The sum of p (log(p) - q) - p + exp(q)."""
    expected = jnp.exp(q)
    # no term is negative: each is infinite where a part of it is, and so is their sum
    exceeds = (expected == jnp.inf) & ~jnp.isnan(p)
    terms = _terms(jnp.where(exceeds, 0, q), p) + (expected - p)
    return jnp.sum(jnp.where(exceeds, jnp.inf, terms), axis, where=where)


@functools.partial(_divergence_of_measures.defjvp, symbolic_zeros=True)
def _divergence_of_measures_jvp(axis, primals, tangents):
    (q, p, where), (q_t, p_t, _) = primals, tangents
    tangent = jnp.zeros_like(p)
    if not is_zero(q_t):
        tangent += (jnp.exp(q) - p) * instantiate(q_t)
    if not is_zero(p_t):
        tangent += _by_target(q, p, where, 0) * instantiate(p_t)
    return _divergence_of_measures(q, p, where, axis), jnp.sum(tangent, axis, where=where)
