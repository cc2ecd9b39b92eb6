"""Kullback-Leibler divergences between distributions that are given by logits."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float_pairs
from stablenn.nn._axes import Axis
from stablenn.nn._elementary.words import Words, add
from stablenn.nn._masks import included, masked, paired
from stablenn.nn._rounding import rounded_once
from stablenn.nn._shares import exponentials, from_maximum, mean_tangent
from stablenn.nn.logistic import gated, sigmoid_slope


@jax.jit
def bernoulli_kl_divergence(logits: ArrayLike, target_logits: ArrayLike) -> jax.Array:
    r"""Kullback-Leibler divergence between binary distributions given by logits, elementwise.

    .. math:: D(x, t) = \sigma(t) \log \frac{\sigma(t)}{\sigma(x)} + \sigma(-t) \log \frac{\sigma(-t)}{\sigma(-x)}

    Args:
      logits: logits :math:`x` of the predictions, of any shape.
      target_logits: logits :math:`t` of the targets, broadcast against `logits`.

    Returns:
      The divergence per element, with the broadcast shape.

    Raises:
      TypeError: if `logits` or `target_logits` are not floating point.
      ValueError: if broadcasting made the result larger than both arguments.

    Accuracy:
      Max ULP, value / gradient: float64 [2.5] / [2.4], float32 [2.9] / [2.2],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.bernoulli_kl_divergence(jnp.array([0.0, -30.0]), jnp.array([0.0, 30.0])))
      [ 0. 30.]
    """
    require_float_pairs("bernoulli_kl_divergence", logits=logits, target_logits=target_logits)
    return _bernoulli_kl_divergence(logits, target_logits)


@functools.partial(jax.jit, static_argnames="axis")
def categorical_kl_divergence(
    logits: ArrayLike, target_logits: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""Kullback-Leibler divergence between categorical distributions given by logits.

    .. math:: D(x, t) = \sum_i \mathrm{softmax}(t)_i (\log \mathrm{softmax}(t)_i - \log \mathrm{softmax}(x)_i)

    Args:
      logits: unnormalized log-probabilities :math:`x` of the predictions, with shape ``[..., num_classes]``.
      target_logits: unnormalized log-probabilities :math:`t` of the targets, broadcast against `logits`.
      axis: the axis or axes of the classes; None for all.
      where: classes to include, broadcast against the arguments.

    Returns:
      The divergence per example, with the broadcast shape without `axis`.

    Raises:
      TypeError: if `logits` or `target_logits` are not floating point.
      ValueError: if broadcasting made the result larger than both.

    Accuracy:
      Max ULP, value / gradient: float64 [4.8] / [4.7], float32 [5.8] / [4.3],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.categorical_kl_divergence(jnp.array([0.0, 0.0, 0.0]), jnp.array([1e4, 0.0, -jnp.inf])))
      1.0986123

    References:
      Hinton et al., `Distilling the Knowledge in a Neural Network <https://arxiv.org/abs/1503.02531>`_, 2015.
    """
    require_float_pairs("categorical_kl_divergence", logits=logits, target_logits=target_logits)
    return _categorical_kl_divergence(logits, target_logits, axis, where)


@rounded_once("logits", "target_logits")
def _bernoulli_kl_divergence(logits, target_logits):
    return _binary_divergence(*jnp.broadcast_arrays(logits, target_logits))


@jax.custom_jvp
def _binary_divergence(x, t):
    positive = gated(nn.log_sigmoid(t) - nn.log_sigmoid(x), t)
    return positive + gated(nn.log_sigmoid(-t) - nn.log_sigmoid(-x), -t)


@_binary_divergence.defjvp
def _binary_divergence_jvp(primals, tangents):
    (x, t), (x_t, t_t) = primals, tangents
    excess = jnp.where(x > 0, nn.sigmoid(-t) - nn.sigmoid(-x), nn.sigmoid(x) - nn.sigmoid(t))
    return _binary_divergence(x, t), excess * x_t + sigmoid_slope(t - x, t) * t_t


@rounded_once("logits", "target_logits")
def _categorical_kl_divergence(logits, target_logits, axis, where):
    return _categorical(*paired(logits, target_logits, where), axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _differences(x, t, axis):
    """log(p) - log(q) of rows in which masked entries are -inf, rounded once; 0 where p is."""
    (t_high, t_low), (x_high, x_low) = from_maximum(t, axis), from_maximum(x, axis)
    known = (t_high > -jnp.inf) & (x_high > -jnp.inf)
    t_high, x_high = jnp.where(known, t_high, 0), jnp.where(known, x_high, 0)
    logs = add(exponentials(t, axis).log_total, -exponentials(x, axis).log_total)
    difference = add(add(Words(t_high, t_low), -Words(x_high, x_low)), -logs).rounded
    return jnp.where(known, difference, jnp.where(t == -jnp.inf, 0, jnp.inf))


@_differences.defjvp
def _differences_jvp(axis, primals, tangents):
    def difference(x, t):
        return jnp.where(t == -jnp.inf, 0, nn.log_softmax(t, axis) - nn.log_softmax(x, axis))

    return _differences(*primals, axis), jax.jvp(difference, primals, tangents)[1]


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _categorical(x, t, where, axis):
    """The sum of p (log(p) - log(q))."""
    x, t = included(x, where), included(t, where)
    difference = _differences(x, t, axis)
    missed = difference == jnp.inf  # what is possible and predicted to be impossible
    mean = mean_tangent(jnp.where(missed, 0, difference), exponentials(t, axis), axis)
    return jnp.where(jnp.any(missed, axis), jnp.inf, jnp.squeeze(mean, axis))


@_categorical.defjvp
def _categorical_jvp(axis, primals, tangents):
    (x, t, where), (x_t, t_t, _) = primals, tangents
    by_prediction = nn.softmax(x, axis, where) - nn.softmax(t, axis, where)
    # p (log(p) - log(q) - divergence): a derivative of p along the differences
    difference = _differences(included(x, where), included(t, where), axis)
    _, by_target = jax.jvp(lambda t: nn.softmax(t, axis, where), (t,), (difference,))
    tangent = masked(by_prediction, where) * x_t + masked(by_target, where) * t_t
    return _categorical(x, t, where, axis), jnp.sum(tangent, axis)
