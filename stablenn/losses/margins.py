"""Losses that are zero once the right answer wins by a margin."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float, require_integers, require_pairs
from stablenn.losses._labels import guarded, names_no_class, own_class, require_labels
from stablenn.nn._elementary.words import two_sum
from stablenn.nn._masks import masked, with_mask
from stablenn.nn._rounding import rounded_once


@jax.jit
def hinge_loss(predictor_outputs: ArrayLike, targets: ArrayLike) -> jax.Array:
    r"""Hinge loss of a binary classifier, elementwise.

    .. math:: \ell(x, y) = \max(0, 1 - x y)

    Args:
      predictor_outputs: scores of any shape.
      targets: -1 or 1, broadcast against `predictor_outputs`.

    Returns:
      The loss per element, with the broadcast shape.

    Raises:
      TypeError: if an argument is complex.
      ValueError: if broadcasting made the result larger than both arguments.

    Accuracy:
      Max ULP, value / gradient: float64 [0.5] / 0.0, float32 [0.5] / 0.0,
      float16 [0.5] / 0.0, bfloat16 [0.5] / 0.0 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.hinge_loss(jnp.array([0.25, -0.5, 3.0]), jnp.array([1, 1, 1])))
      [0.75 1.5  0.  ]

    References:
      Rosasco et al., `Are Loss Functions All the Same? <https://doi.org/10.1162/089976604773135104>`_, 2004.
    """
    require_pairs("hinge_loss", predictor_outputs=predictor_outputs, targets=targets)
    return _hinge_loss(predictor_outputs, targets)


@rounded_once("predictor_outputs", "targets")
def _hinge_loss(predictor_outputs, targets):
    return jnp.maximum(0, 1 - predictor_outputs * targets)


def sparsemax_loss(logits: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    r"""Sparsemax loss of a binary classifier, elementwise.

    .. math:: \ell(x, y) = \mathrm{sparse\_plus}((1 - 2 y) x)

    It is zero if and only if ``sparse_sigmoid(logits) == labels``.

    Args:
      logits: scores of any shape.
      labels: 0 or 1, integers or booleans, broadcast against `logits`.
      where: elements to include, broadcast against `labels`; the others have the loss 0 and no gradient.

    Returns:
      The loss per element, with the broadcast shape.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` are neither integers nor booleans.
      ValueError: if an included label is neither 0 nor 1 (under jit, where labels are unknown, its loss and gradient
        are NaN), or if broadcasting made the result larger than both arguments.

    Accuracy:
      Max ULP, value / gradient: float64 1.8 / 0.5, float32 1.8 / 0.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.sparsemax_loss(jnp.array([0.5, 2.0, -3.0]), jnp.array([0, 1, 1])))
      [0.5625 0.     3.    ]

    References:
      Blondel et al., `Learning with Fenchel-Young Losses <https://jmlr.org/papers/v21/19-021.html>`_, 2020,
      section 4.4.
    """
    require_float("sparsemax_loss", logits=logits)
    labels = jnp.asarray(labels)
    if labels.dtype != bool:
        require_integers("sparsemax_loss", labels=labels)
        require_labels("sparsemax_loss", labels, 2, where)
    require_pairs("sparsemax_loss", logits=logits, labels=labels)
    return _sparsemax_loss(logits, labels, where)


@jax.jit
@rounded_once("logits")
def _sparsemax_loss(logits, labels, where):
    counted, where = with_mask(logits, where)
    loss = nn.sparse_plus(jnp.where(labels.astype(bool), -1, 1) * masked(counted, where))
    return guarded(loss, names_no_class(labels.astype(int), 2), where, logits)


def multiclass_hinge_loss(scores: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    r"""Multiclass hinge loss.

    .. math:: \ell(s, y) = \max_j \left(s_j - s_y + [j \ne y]\right)

    Differences come first: a margin of 1 counts beside scores of any size.

    Args:
      scores: scores, with shape ``[..., num_classes]``.
      labels: integers from 0 to num_classes - 1, with the shape of `scores` without the last axis.
      where: examples to include, with the shape of `labels`; the others have the loss 0 and no gradient.

    Returns:
      The loss per example, with the shape of `labels`.

    Raises:
      TypeError: if `scores` are not floating point, or `labels` not integers.
      ValueError: if an included label lies outside of 0 .. num_classes - 1 (under jit, where labels are unknown, the
        loss and the gradient of its example are NaN), or if broadcasting made the result larger than both arguments.

    Accuracy:
      Max ULP, value / gradient: float64 [0.7] / 0.0, float32 [0.8] / 0.0,
      float16 [0.5] / 0.0, bfloat16 [0.5] / 0.0 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.multiclass_hinge_loss(jnp.array([[1e9, 1e9], [3.0, 0.0]]), jnp.array([0, 0])))
      [1. 0.]

    References:
      Crammer and Singer, `On the Algorithmic Implementation of Multiclass Kernel-based Vector Machines
      <https://www.jmlr.org/papers/v2/crammer01a.html>`_, 2001.
    """
    _require_classes("multiclass_hinge_loss", scores, labels, where)
    return _margin_loss(scores, labels, where, margin=1)


def multiclass_perceptron_loss(scores: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    r"""Multiclass perceptron loss.

    .. math:: \ell(s, y) = \max_j (s_j - s_y)

    Args:
      scores: scores, with shape ``[..., num_classes]``.
      labels: integers from 0 to num_classes - 1, with the shape of `scores` without the last axis.
      where: examples to include, with the shape of `labels`; the others have the loss 0 and no gradient.

    Returns:
      The loss per example, with the shape of `labels`.

    Raises:
      TypeError: if `scores` are not floating point, or `labels` not integers.
      ValueError: if an included label lies outside of 0 .. num_classes - 1 (under jit, where labels are unknown, the
        loss and the gradient of its example are NaN), or if broadcasting made the result larger than both arguments.

    Accuracy:
      Max ULP, value / gradient: float64 0.5 / 0.0, float32 0.5 / 1.0,
      float16 0.5 / 0.0, bfloat16 0.5 / 0.0 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.multiclass_perceptron_loss(jnp.array([[1.0, 4.0], [3.0, 0.0]]), jnp.array([0, 0])))
      [3. 0.]

    References:
      Collins, `Discriminative Training Methods for Hidden Markov Models <https://aclanthology.org/W02-1001/>`_, 2002.
    """
    _require_classes("multiclass_perceptron_loss", scores, labels, where)
    return _margin_loss(scores, labels, where, margin=0)


def _require_classes(name, scores, labels, where):
    require_float(name, scores=scores)
    require_integers(name, labels=labels)
    require_pairs(name, scores=np.broadcast_to(0, jnp.shape(scores)[:-1]), labels=labels)
    require_labels(name, labels, jnp.shape(scores)[-1], where)


@functools.partial(jax.jit, static_argnames="margin")
@rounded_once("scores")
def _margin_loss(scores, labels, where, margin):
    scores, own, wrong = _classes(scores, labels, where)
    return guarded(_largest_lead(scores, own, margin), wrong, where, jnp.sum(scores, -1))


def _classes(scores, labels, where):
    """Scores of the broadcast shape, one-hot labels as booleans, and which labels name no class.

    The scores of examples that do not count are 0: whatever is there has no part in a derivative, either.
    """
    labels = jnp.asarray(labels)
    scores, own = jnp.broadcast_arrays(scores, own_class(labels, scores.shape[-1]))
    wrong = jnp.broadcast_to(names_no_class(labels, scores.shape[-1]), scores.shape[:-1])
    return masked(scores, None if where is None else jnp.asarray(where, bool)[..., None]), own, wrong


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _largest_lead(scores, own, margin):
    return jnp.maximum(_lead(scores, own, margin)[0], 0)


@_largest_lead.defjvp
def _largest_lead_jvp(margin, primals, tangents):
    (scores, own), (t, _) = primals, tangents
    lead, rivals = _lead(scores, own, margin)
    lead = lead[..., None]
    first = jnp.where(lead >= 0, rivals, False) | jnp.where(lead <= 0, own, False)
    share = 1 / jnp.sum(first, -1, dtype=t.dtype)
    tangent = share * jnp.sum(jnp.where(first, t, 0), -1) - jnp.sum(jnp.where(own, t, 0), -1)
    return _largest_lead(scores, own, margin), tangent


def _lead(scores, own, margin):
    """By how much the best of the other classes is ahead of the right one, with the margin; and which those are."""
    score = jnp.sum(jnp.where(own, scores, 0), -1)
    others = jnp.where(own, -jnp.inf, scores)
    best = jnp.max(others, -1)
    difference = two_sum(best, -score)
    # equal infinities differ by nothing
    high = jnp.where(best == score, 0, difference.high)
    # what the difference lost to rounding counts where the margin cancels it
    low = jnp.where(jnp.isfinite(difference.high), difference.low, 0)
    lead = (high + margin) + low
    return jnp.where(jnp.isnan(scores).any(-1), jnp.nan, lead), others == best[..., None]


def multiclass_sparsemax_loss(scores: ArrayLike, labels: ArrayLike, *, where: ArrayLike | None = None) -> jax.Array:
    r"""Multiclass sparsemax loss.

    .. math::
        \ell(s, y) = \tfrac{1}{2} \|y - p\|^2 + \max(\tau - s_y, 0), \qquad p = \max(s - \tau, 0)

    where :math:`\tau` is such that the probabilities :math:`p` add up to 1, and :math:`y` is one-hot. Both terms are
    at least 0; they are 0 if the right class leads by a margin of 1.

    Args:
      scores: scores, with shape ``[..., num_classes]``.
      labels: integers from 0 to num_classes - 1, with the shape of `scores` without the last axis.
      where: examples to include, with the shape of `labels`; the others have the loss 0 and no gradient.

    Returns:
      The loss per example, with the shape of `labels`.

    Raises:
      TypeError: if `scores` are not floating point, or `labels` not integers.
      ValueError: if an included label lies outside of 0 .. num_classes - 1 (under jit, where labels are unknown, the
        loss and the gradient of its example are NaN), or if broadcasting made the result larger than both arguments.

    Accuracy:
      Max ULP, value / gradient: float64 [1.9] / [3.0], float32 [1.5] / [1.3],
      float16 [0.5] / [0.2], bfloat16 [0.5] / [0.2] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.multiclass_sparsemax_loss(jnp.array([[0.5, 0.0], [3.0, 0.0]]), jnp.array([0, 0])))
      [0.0625 0.    ]

    References:
      Martins and Astudillo, `From Softmax to Sparsemax <https://arxiv.org/abs/1602.02068>`_, 2016.
    """
    _require_classes("multiclass_sparsemax_loss", scores, labels, where)
    return _multiclass_sparsemax_loss(scores, labels, where)


@jax.jit
@rounded_once("scores")
def _multiclass_sparsemax_loss(scores, labels, where):
    scores, own, wrong = _classes(scores, labels, where)
    return guarded(_sparsemax(scores, own), wrong, where, jnp.sum(scores, -1))


@jax.custom_jvp
def _sparsemax(scores, own):
    below = scores - jnp.max(scores, -1, keepdims=True)
    probabilities, excess = _projected(below)
    misses = _misses(probabilities, own)
    lacking = -jnp.sum(jnp.where(own, excess, 0), -1)
    return 0.5 * jnp.sum(misses * misses, -1) + jnp.maximum(lacking, 0)


@_sparsemax.defjvp
def _sparsemax_jvp(primals, tangents):
    (scores, own), (t, _) = primals, tangents
    probabilities, _ = _projected(scores - jnp.max(scores, -1, keepdims=True))
    return _sparsemax(scores, own), jnp.sum(_misses(probabilities, own) * t, -1)


def _misses(probabilities, own):
    """p - y, where 1 - p is the sum of the others."""
    others = jnp.sum(jnp.where(own, 0, probabilities), -1, keepdims=True)
    return jnp.where(own, -others, probabilities)


def _projected(scores):
    """The nearest probabilities to scores of which the largest is 0, and by how much these exceed their threshold."""
    descending = -jnp.sort(-scores, -1)
    counts = jnp.arange(1, scores.shape[-1] + 1, dtype=scores.dtype)
    threshold = jnp.max((jnp.cumsum(descending, -1) - 1) / counts, -1, keepdims=True)
    excess = scores - threshold
    # what is missing from a sum of 1 was rounded away from the threshold; the second step knows all that is above it
    for _ in range(2):
        surplus = jnp.sum(jnp.maximum(excess, 0), -1, keepdims=True) - 1
        excess = excess - surplus / jnp.sum(excess > 0, -1, keepdims=True, dtype=scores.dtype)
    return jnp.maximum(excess, 0), excess
