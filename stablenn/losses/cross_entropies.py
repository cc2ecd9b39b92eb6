"""Cross-entropies between probabilities and the softmax of logits."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float, require_float_pairs, require_pairs
from stablenn.losses._focusing import missed_probability
from stablenn.nn._across import Across, largest, squeezed, summed
from stablenn.nn._axes import Axis, axes_of
from stablenn.nn._chunks import row_sums
from stablenn.nn._masks import included, masked, with_mask
from stablenn.nn._rounding import rounded_once
from stablenn.nn._scaling import unless
from stablenn.nn._shares import exponentials, log_shares
from stablenn.nn._tangents import instantiate, is_zero


@functools.partial(jax.jit, static_argnames="axis")
def softmax_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""Cross-entropy between label probabilities and the softmax of logits.

    .. math:: \ell(x, y) = -\sum_i y_i \log \mathrm{softmax}(x)_i

    The loss of a confident right answer stays relatively accurate, in value and gradient, where the peer's is
    exactly zero. A class with a label of 0 contributes nothing even where its logit is ``-inf``.

    Args:
      logits: unnormalized log-probabilities, with shape ``[..., num_classes]``.
      labels: probabilities (one-hot or soft; they need not sum to 1), broadcast against `logits`.
      axis: the axis or axes of the classes; None for all.
      where: classes to include, broadcast against `logits`.

    Returns:
      The loss per example, with the shape of `logits` without `axis`.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` are complex.
      ValueError: if broadcasting made the logits and labels larger than both.

    Accuracy:
      Max ULP, value / gradient: float64 2.6 / [5.1], float32 2.9 / [3.9],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.softmax_cross_entropy(jnp.array([25.0, 0.0, -jnp.inf]), jnp.array([1.0, 0.0, 0.0])))
      1.3887944e-11

    References:
      Goodfellow et al., `Deep Learning <http://www.deeplearningbook.org/contents/prob.html>`_, 2016, section 6.2.2.
    """
    require_float("softmax_cross_entropy", logits=logits)
    require_pairs("softmax_cross_entropy", logits=logits, labels=labels)
    return _softmax_cross_entropy(logits, labels, axis, where)


@rounded_once("logits", "labels")
def _softmax_cross_entropy(logits, labels, axis, where):
    if where is not None and jnp.ndim(where) != jnp.ndim(logits):
        where = jnp.expand_dims(where, axis)  # as optax reads a mask without the class axis
    logits, labels = jnp.broadcast_arrays(logits, labels)
    where = None if where is None else jnp.broadcast_to(jnp.asarray(where, bool), logits.shape)
    return cross_entropy(logits, labels, where, axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def cross_entropy(
    logits: jax.Array, labels: jax.Array, where: jax.Array | None, axis: Axis | Across = -1
) -> jax.Array:
    """That of arrays of one shape and dtype."""
    if isinstance(axis, Across):  # whose devices are not to meet in a branch
        return squeezed(_careful(logits, labels, where, axis), axis)
    found = exponentials(included(logits, where), axis)
    # a rounding of x - maximum is nothing beside the logarithm of a probability, which is further from 0
    # (selections keep XLA's CPU backend from making both of these once an entry instead of once a row)
    maximum = jnp.where(jnp.isfinite(found.maximum), found.maximum, 0)
    log_total = jnp.where(jnp.isnan(found.rest), jnp.nan, found.log_total.rounded)

    def sums(logits, labels, log_total, maximum, axis):
        return (summed(labels * (log_total - (logits - maximum)), axis),)

    rows = masked(logits, where), masked(labels, where)
    (plain,) = row_sums(sums, rows, (log_total, maximum), axis, (0, 0))
    common = (jnp.abs(plain) >= jnp.finfo(logits.dtype).tiny / found.half) & (jnp.abs(plain) < jnp.inf)
    return squeezed(unless(common, plain, lambda: _careful(logits, labels, where, axis)), axis)


def _careful(logits, labels, where, axis):
    """Where logits are infinite or the loss is tiny."""
    log_probabilities, found = log_shares(logits, where, axis), exponentials(included(logits, where), axis)
    maximum = found.maximum
    # A class that cannot be and is not the answer does not count; a row must have a class that can be.
    ignored = (labels == 0) & (log_probabilities == -jnp.inf) & (maximum > -jnp.inf)
    terms = labels * jnp.where(ignored, 0, log_probabilities)
    # Logits so far apart that their difference overflows still have a finite loss if the label is small.
    overflow = (log_probabilities == -jnp.inf) & jnp.isfinite(logits) & jnp.isfinite(maximum)
    terms = jnp.where(overflow, labels * (logits / 2 - maximum / 2) * 2, terms)
    loss = -summed(masked(terms, where), axis)
    # The part of a class that is all but certain, label * rest, is flushed to zero; the others' may be as small.
    sure = summed(masked(jnp.where(found.top, labels, 0), where), axis)
    flushed = sure * found.rest
    is_flushed = (flushed < jnp.finfo(logits.dtype).tiny / found.half) & (found.count == 1) & (found.rest < found.half)
    return jnp.where(is_flushed & (loss < 1), (loss / found.half + flushed) * found.half, loss)


@functools.partial(cross_entropy.defjvp, symbolic_zeros=True)
def _cross_entropy_jvp(axis, primals, tangents):
    (logits, labels, where), (logits_t, labels_t, _) = primals, tangents
    loss = cross_entropy(logits, labels, where, axis)
    tangent = jnp.zeros_like(loss)
    if not is_zero(logits_t):
        slope = jax.jvp(lambda x: log_shares(x, where, axis), (logits,), (logits_t,))[1]
        tangent = -squeezed(summed(masked(labels * slope, where), axis), axis)
    if not is_zero(labels_t):  # 0 * -inf would be NaN where nobody asked for this derivative
        ignored = (labels == 0) & (logits == -jnp.inf) & (largest(included(logits, where), axis) > -jnp.inf)
        ignored = ignored if where is None else ignored | ~where
        terms = jnp.where(ignored, 0, log_shares(logits, where, axis)) * labels_t
        tangent = tangent - squeezed(summed(terms, axis), axis)
    return loss, tangent


@jax.jit
def safe_softmax_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    r"""Cross-entropy between label probabilities and the softmax of logits, of which some may be ``-inf``.

    .. math:: \ell(x, y) = -\sum_i y_i \log \mathrm{softmax}(x)_i

    It is `softmax_cross_entropy` along the last axis, which takes a class with a label of 0 and a logit of ``-inf``
    for nothing, too.

    Args:
      logits: unnormalized log-probabilities, with shape ``[..., num_classes]``.
      labels: probabilities, broadcast against `logits`.

    Returns:
      The loss per example, with the shape of `logits` without the last axis.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` are complex.
      ValueError: if broadcasting made the logits and labels larger than both.

    Accuracy:
      Max ULP, value / gradient: float64 2.6 / [5.2], float32 2.9 / [3.9],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.safe_softmax_cross_entropy(jnp.array([0.0, 0.0, -jnp.inf]), jnp.array([1.0, 0.0, 0.0])))
      0.6931472
    """
    require_float("safe_softmax_cross_entropy", logits=logits)
    require_pairs("safe_softmax_cross_entropy", logits=logits, labels=labels)
    return _softmax_cross_entropy(logits, labels, -1, None)


@functools.partial(jax.jit, static_argnames="axis")
def poly_loss_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    epsilon: ArrayLike = 2.0,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""Cross-entropy with one more term of its expansion in powers of the missed probability.

    .. math:: \ell(x, y) = -\sum_i y_i \log p_i + \epsilon \sum_i y_i (1 - p_i), \qquad p = \mathrm{softmax}(x)

    Args:
      logits: unnormalized log-probabilities, with shape ``[..., num_classes]``.
      labels: probabilities (one-hot or soft), broadcast against `logits`.
      epsilon: the weight of the additional term.
      axis: the axis or axes of the classes; None for all.
      where: classes to include, broadcast against `logits`.

    Returns:
      The loss per example, with the shape of `logits` without `axis`.

    Raises:
      TypeError: if `logits` or `labels` are not floating point.
      ValueError: if broadcasting made the logits and labels larger than both.

    Accuracy:
      Max ULP, value / gradient: float64 2.8 / [4.5], float32 2.9 / [4.9],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.poly_loss_cross_entropy(jnp.array([25.0, 0.0]), jnp.array([1.0, 0.0])))
      4.1663832e-11

    References:
      Leng et al., `PolyLoss <https://arxiv.org/abs/2204.12511>`_, 2022.
    """
    require_float_pairs("poly_loss_cross_entropy", logits=logits, labels=labels)
    return _poly_loss(logits, labels, epsilon, axis, where)


@rounded_once("logits", "labels")
def _poly_loss(logits, labels, epsilon, axis, where):
    logits, labels = jnp.broadcast_arrays(logits, labels)
    where = None if where is None else jnp.broadcast_to(jnp.asarray(where, bool), logits.shape)
    return _poly(logits, labels, jnp.asarray(epsilon, logits.dtype), where, axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4,))
def _poly(logits, labels, epsilon, where, axis):
    return cross_entropy(logits, labels, where, axis) + epsilon * _missed(logits, labels, where, axis)


def _missed(logits, labels, where, axis):
    missed = masked(missed_probability(nn.log_softmax(logits, axis, where)), where)
    return jnp.sum(masked(labels, where) * missed, axis)


@functools.partial(_poly.defjvp, symbolic_zeros=True)
def _poly_jvp(axis, primals, tangents):
    (logits, labels, epsilon, where), (logits_t, labels_t, epsilon_t, _) = primals, tangents
    # one derivative of the logarithms: two would round, and flush, apart
    weights = masked(labels, where) * (1 + epsilon * nn.softmax(logits, axis, where))
    slope = jax.jvp(lambda x: nn.log_softmax(x, axis, where), (logits,), (instantiate(logits_t),))[1]
    tangent = -jnp.sum(weights * masked(slope, where), axis)
    if not is_zero(labels_t):
        by_label = jax.jvp(lambda y: cross_entropy(logits, y, where, axis), (labels,), (labels_t,))[1]
        tangent = tangent + by_label + epsilon * _missed(logits, labels_t, where, axis)
    if not is_zero(epsilon_t):
        tangent = tangent + epsilon_t * _missed(logits, labels, where, axis)
    return _poly(logits, labels, epsilon, where, axis), tangent


def ranking_softmax_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    where: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    reduce_fn: Callable[..., ArrayLike] | None = jnp.mean,
) -> jax.Array:
    r"""Cross-entropy between the relevance of items in lists and the softmax of their scores.

    .. math:: \ell(s, y) = -\sum_i w_i y_i \log \mathrm{softmax}(s)_i

    Args:
      logits: scores of items, with shape ``[..., list_size]``.
      labels: relevance of items, with the shape of `logits`.
      where: items to include, with the shape of `logits`; a list without any does not count.
      weights: factors of the items, broadcast against `labels`; None for 1.
      reduce_fn: what reduces the losses of lists, called with ``where=`` if `where` is given: ``jnp.mean`` (of no list
        it is 0), ``jnp.sum``, or None for the losses themselves.

    Returns:
      The reduced loss, or the losses with the shape of `logits` without the last axis.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` are complex.
      ValueError: if broadcasting made the logits and labels larger than both.

    Accuracy:
      Max ULP, value / gradient: float64 2.6 / [5.2], float32 2.9 / [3.9],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> scores, relevance = jnp.array([2.0, 1.0, 3.0]), jnp.array([1.0, 0.0, 0.0])
      >>> print(losses.ranking_softmax_loss(scores, relevance))  # doctest: +ELLIPSIS
      1.40760...

    References:
      Cao et al., `Learning to Rank <https://doi.org/10.1145/1273496.1273513>`_, 2007.
    """
    require_float("ranking_softmax_loss", logits=logits)
    require_pairs("ranking_softmax_loss", logits=logits, labels=labels)
    labels = jnp.asarray(labels).astype(jnp.result_type(logits))
    if weights is not None:
        labels = labels * weights
    mask = None if where is None else jnp.broadcast_to(jnp.asarray(where, bool), jnp.shape(logits))
    loss = _softmax_cross_entropy(logits, labels, -1, mask)
    if mask is None:
        return loss if reduce_fn is None else jnp.asarray(reduce_fn(loss))
    lists = jnp.any(mask, -1)
    loss = jnp.where(lists, loss, 0)
    if reduce_fn is None:
        return loss
    # the mean of nothing, of which the others are independent
    empty = (reduce_fn is jnp.mean) & ~jnp.any(lists)
    return jnp.where(empty, 0, reduce_fn(loss, where=lists | empty))


@functools.partial(jax.jit, static_argnames="axis")
def smooth_labels(
    labels: ArrayLike, alpha: ArrayLike, *, axis: Axis = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""Label probabilities mixed with those that are all alike.

    .. math:: \mathrm{smooth}(y)_i = (1 - \alpha) y_i + \frac{\alpha}{K}

    For integer labels, `softmax_cross_entropy_with_integer_labels` takes ``label_smoothing``, and needs no such array.

    Args:
      labels: probabilities, usually one-hot, with shape ``[..., num_classes]``.
      alpha: the probability that is spread over all classes, from 0 to 1.
      axis: the axis or axes of the :math:`K` classes; None for all.
      where: classes to count, broadcast against `labels`.

    Returns:
      An array of the broadcast shape.

    Raises:
      TypeError: if `labels` are not floating point.

    Accuracy:
      Max ULP, value / gradient: float64 1.4 / [0.2], float32 0.9 / [0.4],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.smooth_labels(jnp.array([1.0, 0.0]), 0.5))
      [0.75 0.25]

    References:
      Szegedy et al., `Rethinking the Inception Architecture <https://arxiv.org/abs/1512.00567>`_, 2015, section 7.
    """
    require_float("smooth_labels", labels=labels)
    return _smooth_labels(labels, alpha, axis, where)


@rounded_once("labels")
def _smooth_labels(labels, alpha, axis, where):
    labels, where = with_mask(labels, where)
    alpha = jnp.asarray(alpha, labels.dtype)
    if where is None:
        axes = axes_of(axis, labels.ndim, "smooth_labels")
        classes = math.prod(labels.shape[i] for i in axes)
    else:
        classes = jnp.sum(where, axis, keepdims=True, dtype=labels.dtype)
    return (1 - alpha) * labels + alpha / classes
