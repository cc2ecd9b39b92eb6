"""Losses of embeddings: what belongs together is near, what does not is far."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float, require_integers
from stablenn.losses.integer_labels import softmax_cross_entropy_with_integer_labels
from stablenn.nn._axes import axes_of
from stablenn.nn._rounding import rounded_once
from stablenn.nn._scaling import binade


@jax.jit
def ntxent(embeddings: ArrayLike, labels: ArrayLike, temperature: ArrayLike = 0.07) -> jax.Array:
    r"""Normalized temperature-scaled cross-entropy (NT-Xent), averaged over all positive pairs.

    .. math::
        \ell = -\frac{1}{|P|} \sum_{(i, j) \in P} \log \frac{e^{c_{ij} / \tau}}
        {e^{c_{ij} / \tau} + \sum_{k: y_k \ne y_i} e^{c_{ik} / \tau}},
        \qquad P = \{(i, j): i \ne j, y_i = y_j\}

    with the cosine similarity :math:`c_{ij}` of two embeddings, whose squared norms count as at least the distance of
    1 from the next larger number of the format. Without any positive pair it is 0.

    Args:
      embeddings: embeddings, with shape ``[batch, dim]``.
      labels: integers, equal for positive pairs, with shape ``[batch]``.
      temperature: :math:`\tau`, positive.

    Returns:
      The mean loss, a scalar.

    Raises:
      TypeError: if `embeddings` are not floating point, or `labels` not integers.
      ValueError: if the shapes are not ``[batch, dim]`` and ``[batch]``.

    Accuracy:
      Max ULP, value / gradient: float64 [2.6] / [1.2], float32 [1.9] / [2.3],
      float16 [0.5] / [0.2], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.ntxent(jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), jnp.array([0, 0, 1]), 1.0))
      0.3132617

    References:
      Chen et al., `A Simple Framework for Contrastive Learning <https://arxiv.org/abs/2002.05709>`_, 2020.
    """
    require_float("ntxent", embeddings=embeddings)
    require_integers("ntxent", labels=labels)
    if jnp.ndim(embeddings) != 2 or jnp.shape(labels) != jnp.shape(embeddings)[:1]:
        raise ValueError(
            "ntxent: embeddings must have the shape [batch, dim] and labels the shape [batch], got "
            f"{jnp.shape(embeddings)} and {jnp.shape(labels)}"
        )
    return _ntxent(embeddings, labels, temperature)


@rounded_once("embeddings")
def _ntxent(embeddings, labels, temperature):
    least = jnp.finfo(embeddings.dtype).eps
    similarity = nn.cosine_similarity(embeddings[:, None], embeddings[None], epsilon=least)
    logits = similarity / jnp.asarray(temperature, embeddings.dtype)
    same = jnp.asarray(labels)[:, None] == jnp.asarray(labels)
    positive = same & ~jnp.eye(len(same), dtype=bool)
    # one negative answer for each row: log(1 + exp(others - own)) is the loss of a pair
    others = nn.logsumexp(logits, 1, where=~same, keepdims=True)
    pairs = nn.softplus(jnp.where(positive, others - logits, -jnp.inf))
    return jnp.sum(pairs) / jnp.maximum(jnp.sum(positive), 1).astype(pairs.dtype)


def info_nce(
    queries: ArrayLike, keys: ArrayLike, temperature: ArrayLike = 0.07, *, negatives: ArrayLike | None = None
) -> jax.Array:
    r"""InfoNCE: the cross-entropy of finding the key of each query among those of all.

    .. math::
        \ell_i = -\log \frac{e^{q_i \cdot k_i / \tau}}{\sum_j e^{q_i \cdot k_j / \tau}}

    Vectors are compared as they are: normalize them by `stablenn.nn.normalize` first if angles alone are to count.

    Args:
      queries: vectors :math:`q`, with shape ``[..., batch, dim]``.
      keys: their keys :math:`k` in the same order, with the same shape.
      temperature: :math:`\tau`, positive.
      negatives: more keys to choose from, with shape ``[..., number, dim]``; None for none.

    Returns:
      The loss per query, with shape ``[..., batch]``.

    Raises:
      TypeError: if an array is not floating point.
      ValueError: if `queries` and `keys` differ in shape, or `negatives` do not fit them.

    Accuracy:
      Max ULP, value / gradient: float64 [2.2] / [2.3], float32 [1.9] / [3.0],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.info_nce(jnp.eye(2), jnp.eye(2), 1.0))
      [0.3132617 0.3132617]

    References:
      van den Oord et al., `Representation Learning with Contrastive Predictive Coding
      <https://arxiv.org/abs/1807.03748>`_, 2018.
    """
    require_float("info_nce", queries=queries, keys=keys)
    queries, keys = jnp.asarray(queries), jnp.asarray(keys)
    if queries.ndim < 2 or queries.shape != keys.shape:
        raise ValueError(
            "info_nce: queries and keys must both have the shape [..., batch, dim], got "
            f"{queries.shape} and {keys.shape}"
        )
    if negatives is not None:
        require_float("info_nce", negatives=negatives)
        negatives = jnp.asarray(negatives)
        if negatives.ndim != keys.ndim or (*negatives.shape[:-2], negatives.shape[-1]) != (
            *keys.shape[:-2],
            keys.shape[-1],
        ):
            raise ValueError(f"info_nce: negatives of shape {negatives.shape} do not fit keys of shape {keys.shape}")
    return _info_nce(queries, keys, temperature, negatives)


@jax.jit
@rounded_once("queries", "keys", "negatives")
def _info_nce(queries, keys, temperature, negatives):
    candidates = keys if negatives is None else jnp.concatenate([keys, negatives], -2)
    scores = jnp.einsum("...id,...jd->...ij", queries, candidates, precision=jax.lax.Precision.HIGHEST)
    labels = jnp.arange(queries.shape[-2])
    labels = jnp.broadcast_to(labels, queries.shape[:-1])
    return softmax_cross_entropy_with_integer_labels(scores / jnp.asarray(temperature, scores.dtype), labels)


@functools.partial(jax.jit, static_argnames=("axis",))
def triplet_margin_loss(
    anchors: ArrayLike,
    positives: ArrayLike,
    negatives: ArrayLike,
    axis: int = -1,
    norm_degree: ArrayLike = 2,
    margin: ArrayLike = 1.0,
    eps: ArrayLike = 1e-6,
) -> jax.Array:
    r"""Triplet loss: anchors are nearer to positives than to negatives, by a margin.

    .. math::
        \ell(a, p, n) = \max(d(a, p) - d(a, n) + m, 0), \qquad
        d(a, b) = \left(\epsilon + \sum_j |a_j - b_j|^k\right)^{1 / k}

    Args:
      anchors: embeddings :math:`a`, with shape ``[..., dim]``.
      positives: embeddings :math:`p`, broadcast against `anchors`.
      negatives: embeddings :math:`n`, broadcast against `anchors`.
      axis: the axis of the embeddings.
      norm_degree: the degree :math:`k` of the norm, at least 1.
      margin: the margin :math:`m`.
      eps: what is added to sums of powers, not negative.

    Returns:
      The loss per triplet, with the shape of the arguments without `axis`.

    Raises:
      TypeError: if `anchors`, `positives` or `negatives` are not floating point.
      ValueError: if `axis` does not fit the arrays.

    Accuracy:
      Max ULP, value / gradient: float64 [0.9] / [2.2], float32 [0.9] / [2.0],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.triplet_margin_loss(jnp.array([0.0, 3e30]), jnp.array([0.0, 0.0]), jnp.array([4e30, 3e30])))
      0.0

    References:
      Balntas et al., `Learning Shallow Convolutional Feature Descriptors with Triplet Losses
      <https://bmva-archive.org.uk/bmvc/2016/papers/paper119/abstract119.pdf>`_, 2016.
    """
    require_float("triplet_margin_loss", anchors=anchors, positives=positives, negatives=negatives)
    return _triplet_margin_loss(anchors, positives, negatives, axis, norm_degree, margin, eps)


@rounded_once("anchors", "positives", "negatives")
def _triplet_margin_loss(anchors, positives, negatives, axis, norm_degree, margin, eps):
    anchors, positives, negatives = jnp.broadcast_arrays(anchors, positives, negatives)
    (along,) = axes_of(axis, anchors.ndim, "triplet_margin_loss")
    degree, margin, eps = (jnp.asarray(value, anchors.dtype) for value in (norm_degree, margin, eps))

    def distance(others):
        # a last entry whose power is eps
        entries = jnp.moveaxis(jnp.abs(anchors - others), along, -1)
        last = jnp.full_like(jnp.sum(entries, -1, keepdims=True), eps ** (1 / degree))
        entries = jnp.concatenate([entries, last], -1)
        largest = jax.lax.stop_gradient(jnp.max(entries, -1, keepdims=True))
        scale = jnp.where((largest > 0) & (largest < jnp.inf), largest, 1)
        # XLA multiplies by the inverse of a divisor; that of the largest numbers would be flushed
        unit = 1 / binade(scale)
        powers = jnp.sum((entries * unit / (scale * unit)) ** degree, -1)
        return jnp.where(powers == 0, 0, jnp.where(powers == 0, 1, powers) ** (1 / degree)) * scale[..., 0]

    return jnp.maximum(distance(positives) - distance(negatives) + margin, 0)
