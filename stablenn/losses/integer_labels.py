"""Cross-entropies between classes that integers name and the softmax of logits."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float, require_integers, require_pairs
from stablenn.losses._focusing import by_gamma, focused, missed_probability, slope_of_focused
from stablenn.losses._labels import counting, guarded, names_no_class, own_class, require_labels
from stablenn.losses.cross_entropies import cross_entropy
from stablenn.nn._across import Across, Names, squeezed, summed
from stablenn.nn._axes import Axis
from stablenn.nn._elementary.slopes import with_slope
from stablenn.nn._elementary.words import single, two_sum
from stablenn.nn._masks import included, masked
from stablenn.nn._rounding import at_least_float32, rounded_once, widened
from stablenn.nn._scaling import binade
from stablenn.nn._shares import exponentials, subtract, to_subtract
from stablenn.nn._sums import total_of_words
from stablenn.nn._tangents import instantiate, is_zero

Classes = int | tuple[int, ...]


def softmax_cross_entropy_with_integer_labels(
    logits: ArrayLike,
    labels: ArrayLike,
    axis: Classes = -1,
    where: ArrayLike | None = None,
    *,
    label_smoothing: ArrayLike = 0.0,
    class_weights: ArrayLike | None = None,
    axis_name: Names | None = None,
) -> jax.Array:
    r"""Cross-entropy between the softmax of logits and the classes that integer labels name.

    .. math:: \ell(x, y) = -\log \mathrm{softmax}(x)_y

    With `label_smoothing` :math:`\epsilon` and `class_weights` :math:`w` it is, among :math:`K` classes,

    .. math:: -(1 - \epsilon) w_y \log \mathrm{softmax}(x)_y
        - \frac{\epsilon}{K} \sum_j w_j \log \mathrm{softmax}(x)_j

    A label that names no class never wraps around: it raises, or under jit, where labels are unknown, gives NaN in
    the loss and in the gradient of that example.

    Args:
      logits: unnormalized log-probabilities, with shape ``[..., num_classes]``.
      labels: integers from 0 to num_classes - 1, with the shape of `logits` without `axis`.
      axis: the axis of the classes; of several axes, a label is the flat index into them.
      where: classes or examples to include, with the shape of `logits` or of `labels`. An example without any has
        the loss 0 and no gradient, whatever its label; a label whose class is left out has the loss inf.
      label_smoothing: the probability that is spread evenly over all classes that `where` includes, from 0 to 1; one
        for all examples, or broadcast against them.
      class_weights: a factor for each class, with shape ``[num_classes]``; None for 1.
      axis_name: inside of ``jax.shard_map``, the mesh axis or axes that the classes are split over: every device has
        the next ``num_classes`` of them, and the labels count through all of them.

    Returns:
      The loss per example, with the shape of `labels`.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` not integers.
      ValueError: if an included label lies outside of 0 .. num_classes - 1 (unless it is traced), if broadcasting made
        the result larger than the labels and the examples, or if `class_weights` are no vector of that length.

    Accuracy:
      Max ULP, value / gradient: float64 2.0 / 3.0, float32 1.9 / 2.9,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).
      With `label_smoothing` and `class_weights`: float64 3.3 / [4.3], float32 3.3 / [4.3],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5].

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> logits = jnp.array([[25.0, 0.0], [0.0, 0.0]])
      >>> print(losses.softmax_cross_entropy_with_integer_labels(logits, jnp.array([0, 1])))
      [1.3887944e-11 6.9314718e-01]

    References:
      Goodfellow et al., `Deep Learning <http://www.deeplearningbook.org/contents/prob.html>`_, 2016, section 6.2.2.
    """
    name = "softmax_cross_entropy_with_integer_labels"
    rows, labels, mask = _rows(name, logits, labels, axis, where, axis_name)
    weights = _weights(name, "class_weights", class_weights, rows)
    smoothing = None if isinstance(label_smoothing, float | int) and label_smoothing == 0 else label_smoothing
    return _integer_cross_entropy(rows, labels, mask, smoothing, weights, axis_name)


def _rows(name, logits, labels, axis, where, axis_name=None):
    """Checked arguments, with the classes in one last axis."""
    require_float(name, logits=logits)
    require_integers(name, labels=labels)
    rows, mask = _with_classes_last(jnp.asarray(logits), where, axis)
    require_pairs(name, logits=np.broadcast_to(0, rows.shape[:-1]), labels=labels)
    counted = mask if mask is None or isinstance(mask, jax.core.Tracer) else np.any(np.asarray(mask), -1)
    require_labels(name, labels, _number_of_classes(rows, axis_name), counted)
    return rows, jnp.asarray(labels), mask


def _number_of_classes(rows, axis_name):
    return rows.shape[-1] * (1 if axis_name is None else jax.lax.axis_size(axis_name))


def _weights(name, argument, weights, rows):
    if weights is None:
        return None
    weights = jnp.asarray(weights)
    if weights.shape != rows.shape[-1:]:
        raise ValueError(f"{name}: {argument} must have the shape {rows.shape[-1:]}, got {weights.shape}")
    return weights


def _with_classes_last(
    logits: jax.Array, where: ArrayLike | None, axis: Classes
) -> tuple[jax.Array, jax.Array | None]:
    """The classes in one last axis, and the mask in the shape of the logits."""
    axes = tuple(i % logits.ndim for i in (axis if isinstance(axis, tuple) else (axis,)))
    batch = tuple(i for i in range(logits.ndim) if i not in axes)
    shape = (*(logits.shape[i] for i in batch), math.prod(logits.shape[i] for i in axes))
    flat = logits.transpose(batch + axes).reshape(shape)
    if where is None:
        return flat, None
    mask = jnp.asarray(where, bool)
    mask = jnp.expand_dims(mask, axes) if mask.ndim != logits.ndim else mask
    return flat, jnp.broadcast_to(mask, logits.shape).transpose(batch + axes).reshape(shape)


@functools.partial(jax.jit, static_argnames="axis_name")
@rounded_once("logits", widen=False)
def _integer_cross_entropy(logits, labels, where, smoothing, weights, axis_name):
    size, first, axis = logits.shape[-1], 0, -1
    if axis_name is not None:
        first, axis = jax.lax.axis_index(axis_name) * size, Across(-1, axis_name)
    own = own_class(labels, size, first)
    logits, own = jnp.broadcast_arrays(logits, own)
    own &= jnp.ones_like(logits, bool)  # split over devices as the logits are, which an explicit mesh asks for
    wrong = names_no_class(labels, _number_of_classes(logits, axis_name))
    wrong = jnp.broadcast_to(wrong[..., None], (*own.shape[:-1], 1))
    where = None if where is None else jnp.broadcast_to(where, logits.shape)
    wide = at_least_float32(logits.dtype)
    weights = None if weights is None else jnp.broadcast_to(weights.astype(wide), logits.shape)
    classes = _number_of_classes(logits, axis_name)
    if where is not None:
        classes = summed(where.astype(wide), axis)
    if smoothing is None:
        rows = included(jax.lax.stop_gradient(logits), where)
        loss = _label_cross_entropy(logits, _answers(rows, labels, own, axis), own, wrong, where, axis)
        if weights is not None:
            weight = squeezed(summed(jnp.where(own, weights, 0), axis), axis)
            # an answer that counts for nothing may be impossible
            loss = jnp.where((weight == 0) & (loss == jnp.inf), 0, loss) * weight
    else:
        logits = widened(logits)
        smoothing = jnp.broadcast_to(jnp.asarray(smoothing, logits.dtype), logits.shape[:-1])[..., None]
        # a formula of the index, which XLA need not write out
        targets = (1 - smoothing) * own.astype(logits.dtype) + smoothing / jnp.maximum(classes, 1)
        targets = jnp.where(wrong, jnp.nan, targets if weights is None else targets * weights)
        loss = cross_entropy(logits, targets, where, axis)
    return loss if where is None else jnp.where(squeezed(classes, axis) > 0, loss, 0)


def _answers(rows, labels, own, axis):
    """The logits of the labels: by their indices, or, where classes are split over devices, as a sum over all."""
    split = isinstance(axis, Across) or jax.typeof(rows).sharding.spec[-1] is not None
    if split or not rows.shape[-1]:
        return summed(jnp.where(own, rows, 0), axis)
    index = jnp.broadcast_to(jnp.clip(counting(labels), 0, rows.shape[-1] - 1), rows.shape[:-1])
    return jnp.take_along_axis(rows, index[..., None], -1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(5,))
def _label_cross_entropy(logits, answer, own, wrong, where, axis):
    """That of one-hot labels and their logits, in arrays of one shape; NaN where the label is wrong.

    All the sums can be formed at once, as soon as the maximum is known: over devices these are two reductions.
    """
    found = exponentials(included(logits, where), axis)
    answer = widened(answer)
    answer = with_slope(answer, summed(jnp.where(own, widened(logits), 0), axis), jnp.ones_like(answer))
    difference, log = subtract(answer, to_subtract(found.maximum)), found.log_total
    loss = two_sum(log.high, -difference.high)
    rounded = jnp.where(jnp.isfinite(loss.high), loss.low + (log.low - difference.low), 0)
    undefined = wrong | (found.maximum == -jnp.inf) | jnp.isnan(found.total)
    return squeezed(jnp.where(undefined, jnp.nan, loss.high + rounded), axis)


@_label_cross_entropy.defjvp
def _label_cross_entropy_jvp(axis, primals, tangents):
    (logits, _, own, wrong, where), (t, *_) = primals, tangents
    found = exponentials(included(logits, where), axis)
    inverse, t = 1 / found.total, masked(widened(t), where)
    # what a share is more than its label, without forming 1 minus the share
    share = inverse * (1 / found.half)
    label = own.astype(t.dtype)
    excess = jnp.where(own & (found.count == 1), -found.rest * inverse, share - label)
    excess = jnp.where(found.top, excess, -label)
    slopes = found.exp * (t * inverse) + jnp.where(wrong, jnp.nan, excess) * t
    tangent = summed(masked(slopes, where), axis)
    return _label_cross_entropy(*primals, axis), squeezed(tangent, axis)


class ZLoss(NamedTuple):
    """What `z_loss` returns."""

    loss: jax.Array
    log_partition: jax.Array


@functools.partial(jax.jit, static_argnames="axis")
def z_loss(logits: ArrayLike, coefficient: ArrayLike = 1e-4, axis: Axis = -1, where: ArrayLike | None = None) -> ZLoss:
    r"""Penalty on the log-partition of logits, to add to a cross-entropy: logits stay near their log-probabilities.

    .. math:: \ell(x) = c \, \left(\log \sum_j e^{x_j}\right)^2

    Args:
      logits: unnormalized log-probabilities, with shape ``[..., num_classes]``.
      coefficient: its weight :math:`c`.
      axis: the axis or axes of the classes; None for all.
      where: classes to include, broadcast against `logits`. An example without any has the loss 0.

    Returns:
      The loss and the log-partition :math:`\log \sum_j e^{x_j}` per example, with the shape of `logits` without
      `axis`.

    Raises:
      TypeError: if `logits` are not floating point.

    Accuracy:
      Max ULP, value / gradient: float64 [3.4] / [3.7], float32 [3.5] / [3.7],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.z_loss(jnp.array([3.0, 3.0]), 0.5))
      ZLoss(loss=Array(6.8196683, dtype=float32), log_partition=Array(3.6931472, dtype=float32))

    References:
      Chowdhery et al., `PaLM <https://arxiv.org/abs/2204.02311>`_, 2022, section 5.
    """
    require_float("z_loss", logits=logits)
    return ZLoss(*_z_loss(logits, coefficient, axis, where))


@rounded_once("logits")
def _z_loss(logits, coefficient, axis, where):
    log_partition = nn.logsumexp(logits, axis, where=where)
    finite = jnp.where(log_partition == -jnp.inf, 0, log_partition)
    return _weighted_square(jnp.asarray(coefficient, logits.dtype), finite), log_partition


@jax.custom_jvp
def _weighted_square(coefficient, x):
    return coefficient * x * x


@functools.partial(_weighted_square.defjvp, symbolic_zeros=True)
def _weighted_square_jvp(primals, tangents):
    """Tangents are small: a coefficient alone would flush them, the slope as a whole need not."""
    (coefficient, x), (coefficient_t, x_t) = primals, tangents
    tangent = 2 * coefficient * x * instantiate(x_t)
    return _weighted_square(*primals), tangent if is_zero(coefficient_t) else tangent + x * x * coefficient_t


def softmax_focal_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    alpha: ArrayLike | None = None,
    gamma: ArrayLike = 2.0,
    axis: Classes = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""Focal loss of several classes, of which integer labels name one.

    .. math:: \ell(x, y) = -\alpha_y (1 - p_y)^\gamma \log p_y, \qquad p = \mathrm{softmax}(x)

    Labels that name no class are treated as by `softmax_cross_entropy_with_integer_labels`.

    Args:
      logits: unnormalized log-probabilities, with shape ``[..., num_classes]``.
      labels: integers from 0 to num_classes - 1, with the shape of `logits` without `axis`.
      alpha: a factor for each class, with shape ``[num_classes]``; None for 1.
      gamma: how much easy examples are weighed down, not negative; 0 gives the cross-entropy.
      axis: the axis of the classes; of several axes, a label is the flat index into them.
      where: classes or examples to include, with the shape of `logits` or of `labels`.

    Returns:
      The loss per example, with the shape of `labels`.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` not integers.
      ValueError: if an included label lies outside of 0 .. num_classes - 1 (unless it is traced), if broadcasting made
        the result larger than the labels and the examples, or if `alpha` is no vector of that length.

    Accuracy:
      Max ULP, value / gradient: float64 5.3 / [6.3], float32 5.0 / [5.3],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.softmax_focal_loss(jnp.array([[9.0, 0.0], [0.0, 0.0]]), jnp.array([0, 0])))
      [1.8789493e-12 1.7328680e-01]

    References:
      Lin et al., `Focal Loss for Dense Object Detection <https://arxiv.org/abs/1708.02002>`_, 2017.
    """
    name = "softmax_focal_loss"
    rows, labels, mask = _rows(name, logits, labels, axis, where)
    return _softmax_focal_loss(rows, labels, mask, _weights(name, "alpha", alpha, rows), gamma)


@jax.jit
@rounded_once("logits")
def _softmax_focal_loss(logits, labels, where, alpha, gamma):
    own = own_class(labels, logits.shape[-1])
    log_probability = jnp.sum(jnp.where(own, nn.log_softmax(logits, where=where), 0), -1)
    rows, cost = jax.lax.stop_gradient((included(logits, where), -log_probability))
    missed, cost = _missed_and_cost(rows, own, cost)
    gamma = jnp.asarray(gamma, logits.dtype) + jnp.zeros_like(log_probability)
    loss = _focal(log_probability, missed, cost, gamma)
    if alpha is not None:
        loss = loss * jnp.sum(jnp.where(own, alpha.astype(logits.dtype), 0), -1)
    counted = None if where is None else jnp.any(where, -1)
    return guarded(loss, names_no_class(labels, logits.shape[-1]), counted, jnp.sum(logits, -1))


def _missed_and_cost(rows, own, cost):
    """What is left of 1 for the other classes, and minus the logarithm of the probability.

    Both are made of the sum of the others where that is less than the probability. Their product, a power of it, needs
    the sum without roundings.
    """
    found = exponentials(rows, -1)
    others = jnp.where(found.top, 0, found.exp)
    unit = 2 * binade(jnp.max(others, -1, keepdims=True, initial=0))
    found = found._replace(rest=total_of_words(single(others / unit), -1).rounded * unit)
    first = found.top & (found.count == 1)
    missed = jnp.where(first, found.rest / found.total, 1 - found.shares)
    missed = jnp.sum(jnp.where(own, missed, 0), -1)
    return missed, jnp.where(jnp.any(own & first, -1), found.log_total.rounded[..., 0], cost)


@jax.custom_jvp
def _focal(log_probability, missed, cost, gamma):
    """`missed` and `cost` are given, since they are better known than from the logarithm."""
    missed = with_slope(missed, log_probability, -jnp.exp(log_probability))
    return focused(missed, gamma, with_slope(cost, log_probability, -jnp.ones_like(cost)))


@functools.partial(_focal.defjvp, symbolic_zeros=True)
def _focal_jvp(primals, tangents):
    (x, *_, gamma), (x_t, *_, gamma_t) = primals, tangents
    missed, loss = missed_probability(x), _focal(*primals)
    slope = slope_of_focused(missed, gamma, -x, -jnp.exp(x), -jnp.ones_like(x))
    tangent = slope * instantiate(x_t)
    return loss, tangent if is_zero(gamma_t) else tangent + by_gamma(missed, loss) * gamma_t
