"""Connectionist temporal classification: losses of sequences without an alignment."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float, require_integers, require_same_shape
from stablenn.losses._labels import counting, names_no_class, require_labels, spoilt
from stablenn.nn._rounding import rounded_once


def ctc_loss(
    logits: ArrayLike,
    logit_paddings: ArrayLike,
    labels: ArrayLike,
    label_paddings: ArrayLike,
    *,
    blank_id: int = 0,
    log_epsilon: ArrayLike = -1e5,
) -> jax.Array:
    r"""Connectionist temporal classification (CTC): no frame is labelled, only the whole sequence.

    .. math:: \ell = -\log \sum_{\pi \in B(y)} \prod_t \mathrm{softmax}(x_t)_{\pi_t}

    where :math:`B(y)` holds all paths that become :math:`y` when repetitions are merged and blanks removed.

    Args:
      logits: unnormalized log-probabilities, with shape ``[batch, frames, num_classes]``.
      logit_paddings: 1 for frames that do not count, at the end, and else 0, with shape ``[batch, frames]``.
      labels: integers from 0 to num_classes - 1, with shape ``[batch, length]``.
      label_paddings: 1 for labels that do not count, at the end, and else 0, with the shape of `labels`.
      blank_id: the class that stands for no label.
      log_epsilon: what stands for the logarithm of 0 at the beginning; ``-inf`` works, too.

    Returns:
      The loss per sequence, with shape ``[batch]``.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` not integers.
      ValueError: if the shapes do not fit, or if a label that counts lies outside of 0 .. num_classes - 1 (under jit,
        where labels are unknown, the loss and the gradient of its sequence are NaN).

    Accuracy:
      Max ULP, value / gradient: float64 [2.3] / [1.1], float32 [2.2] / [1.1],
      float16 [0.5] / [0.2], bfloat16 [0.5] / [0.2] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> logits = jnp.array([[[0.0, 30.0], [30.0, 0.0]]])  # surely label 1, then blank
      >>> print(losses.ctc_loss(logits, jnp.zeros((1, 2)), jnp.array([[1]]), jnp.zeros((1, 1))))
      [9.357623e-14]

    References:
      Graves et al., `Connectionist Temporal Classification <https://dl.acm.org/doi/10.1145/1143844.1143891>`_, 2006.
    """
    loss, _, _ = _checked(
        "ctc_loss", logits, logit_paddings, labels, label_paddings, blank_id=blank_id, log_epsilon=log_epsilon
    )
    return loss


def ctc_loss_with_forward_probs(
    logits: ArrayLike,
    logit_paddings: ArrayLike,
    labels: ArrayLike,
    label_paddings: ArrayLike,
    *,
    blank_id: int = 0,
    log_epsilon: ArrayLike = -1e5,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    r"""`ctc_loss`, and the logarithms of the forward probabilities that it is made of.

    .. math:: \ell = -\log \sum_{\pi \in B(y)} \prod_t \mathrm{softmax}(x_t)_{\pi_t}

    Args:
      logits: unnormalized log-probabilities, with shape ``[batch, frames, num_classes]``.
      logit_paddings: 1 for frames that do not count, at the end, and else 0, with shape ``[batch, frames]``.
      labels: integers from 0 to num_classes - 1, with shape ``[batch, length]``.
      label_paddings: 1 for labels that do not count, at the end, and else 0, with the shape of `labels`.
      blank_id: the class that stands for no label.
      log_epsilon: what stands for the logarithm of 0 at the beginning; ``-inf`` works, too.

    Returns:
      The loss per sequence, with shape ``[batch]``; the log-probabilities, after each frame, of the paths through the
      first n labels that end in a blank, with shape ``[frames, batch, length + 1]``, and of those that end in the n-th
      label, with shape ``[frames, batch, length]``.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` not integers.
      ValueError: if the shapes do not fit, or if a label that counts lies outside of 0 .. num_classes - 1 (under jit,
        where labels are unknown, the loss and the gradient of its sequence are NaN).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> logits = jnp.array([[[0.0, 30.0], [30.0, 0.0]]])  # surely label 1, then blank
      >>> loss, blanks, emitted = losses.ctc_loss_with_forward_probs(
      ...     logits, jnp.zeros((1, 2)), jnp.array([[1]]), jnp.zeros((1, 1)))
      >>> print(emitted[:, 0, 0])
      [-9.357623e-14 -3.000000e+01]

    References:
      Graves et al., `Connectionist Temporal Classification <https://dl.acm.org/doi/10.1145/1143844.1143891>`_, 2006.
    """
    return _checked(
        "ctc_loss_with_forward_probs",
        logits,
        logit_paddings,
        labels,
        label_paddings,
        blank_id=blank_id,
        log_epsilon=log_epsilon,
    )


def _checked(name, logits, logit_paddings, labels, label_paddings, *, blank_id, log_epsilon):
    require_float(name, logits=logits)
    require_integers(name, labels=labels)
    logits, labels, label_paddings = jnp.asarray(logits), jnp.asarray(labels), jnp.asarray(label_paddings)
    if logits.ndim != 3 or labels.ndim != 2 or labels.shape[0] != logits.shape[0]:
        raise ValueError(
            f"{name}: logits must have the shape [batch, frames, num_classes] and labels the shape [batch, length], "
            f"got {logits.shape} and {labels.shape}"
        )
    require_same_shape(name, labels=labels, label_paddings=label_paddings)
    require_same_shape(name, **{"logits without classes": logits[..., 0], "logit_paddings": logit_paddings})
    require_labels(name, labels, logits.shape[-1], label_paddings == 0)
    return _ctc(logits, jnp.asarray(logit_paddings), labels, label_paddings, blank_id, log_epsilon)


@functools.partial(jax.jit, static_argnames="blank_id")
@rounded_once("logits")
def _ctc(logits, logit_paddings, labels, label_paddings, blank_id, log_epsilon):
    counted = label_paddings == 0
    wrong = jnp.any(counted & names_no_class(labels, logits.shape[-1]), -1)
    labels = jnp.clip(counting(labels), 0, logits.shape[-1] - 1)
    repeated = labels[:, :-1] == labels[:, 1:]

    padded = (logit_paddings != 0)[..., None]
    logits = spoilt(jnp.where(padded, 0, logits), wrong[:, None, None], logits)
    log_probabilities = jnp.moveaxis(nn.log_softmax(logits), 1, 0)
    emissions = jnp.take_along_axis(log_probabilities, labels[None], -1)
    frames = emissions, log_probabilities[..., blank_id, None], jnp.moveaxis(padded, 1, 0)

    def joined(blanks, emitted):
        return nn.logaddexp(blanks[:, 1:], emitted)

    def step(state, frame):
        blanks, emitted = state
        emission, blank, padded = frame
        start, either = blanks[:, :1], joined(blanks, emitted)
        # between two equal labels there is a blank
        ready = jnp.where(repeated, blanks[:, 1:-1], either[:, :-1])
        after = (
            jnp.concatenate([start, either], -1) + blank,
            nn.logaddexp(jnp.concatenate([start, ready], -1), emitted) + emission,
        )
        state = jax.tree.map(lambda old, new: jnp.where(padded, old, new), state, after)
        return state, state

    nothing = jnp.zeros_like(emissions[0]) + log_epsilon
    first = jnp.concatenate([jnp.zeros_like(log_probabilities[0, :, :1]), nothing], -1)
    (blanks, emitted), (all_blanks, all_emitted) = jax.lax.scan(step, (first, nothing), frames)
    ends = jnp.concatenate([blanks[:, :1], joined(blanks, emitted)], -1)
    length = jnp.sum(counted, -1, keepdims=True)
    loss = -jnp.take_along_axis(ends, length, -1)[:, 0]
    return loss, all_blanks.at[-1].set(ends), all_emitted
