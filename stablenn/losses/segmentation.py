"""Losses of overlap, for segmentation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float, require_same_shape
from stablenn.losses._focusing import missed_probability
from stablenn.nn._rounding import rounded_once

_REDUCTIONS = {"mean": jnp.mean, "sum": jnp.sum, "none": lambda loss, axis: loss}


def dice_loss(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    class_weights: ArrayLike | None = None,
    smooth: ArrayLike = 1.0,
    alpha: ArrayLike = 0.5,
    beta: ArrayLike = 0.5,
    apply_softmax: bool = True,
    reduction: str = "mean",
    ignore_background: bool = False,
    axis: int | tuple[int, ...] | None = None,
) -> jax.Array:
    r"""Dice loss: what predicted and true regions do not share, over what they cover (with weights: Tversky's loss).

    .. math::
        \ell = 1 - \frac{I + s}{I + \alpha F_p + \beta F_n + s}, \qquad
        I = \sum p t, \quad F_p = \sum p (1 - t), \quad F_n = \sum (1 - p) t

    It is computed as :math:`(\alpha F_p + \beta F_n)` over the denominator, which does not cancel where the overlap is
    nearly complete.

    Args:
      predictions: logits, with shape ``[batch, ..., num_classes]``; of one class, their sigmoid is taken.
      targets: one-hot targets, of the same shape; the last axis may be missing if there is one class.
      class_weights: a factor for each class, with shape ``[num_classes]``; None for 1.
      smooth: :math:`s`, which keeps the loss of empty regions defined.
      alpha: weight of false positives.
      beta: weight of false negatives.
      apply_softmax: False if `predictions` are probabilities already.
      reduction: "mean" or "sum" over the classes, or "none".
      ignore_background: whether to leave out the first of several classes.
      axis: the axes to sum over; None for all but the first and the last.

    Returns:
      The loss, with the shape of `predictions` without `axis`, and without classes unless `reduction` is "none".

    Raises:
      TypeError: if `predictions` are not floating point, or `targets` are complex.
      ValueError: if the shapes differ, if `reduction` is not one of those named, if `class_weights` are no vector, or
        if `predictions` are to be probabilities and do not add up to 1 (unless they are traced).

    Accuracy:
      Max ULP, value / gradient: float64 2.1 / [0.3], float32 2.4 / [0.3],
      float16 0.5 / [0.1], bfloat16 0.5 / [0.1] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> logits = jnp.array([[[20.0, 0.0], [0.0, 20.0]]])
      >>> print(losses.dice_loss(logits, jnp.array([[[1.0, 0.0], [0.0, 1.0]]])))
      [1.0305768e-09]

    References:
      Milletari et al., `V-Net <https://arxiv.org/abs/1606.04797>`_, 2016. Salehi et al., `Tversky Loss Function
      <https://arxiv.org/abs/1706.05721>`_, 2017.
    """
    require_float("dice_loss", predictions=predictions)
    if reduction not in _REDUCTIONS:
        raise ValueError(f"dice_loss: reduction must be one of {', '.join(_REDUCTIONS)}, got {reduction!r}")
    if class_weights is not None and jnp.ndim(class_weights) != 1:
        raise ValueError(f"dice_loss: class_weights must be a vector, got the shape {jnp.shape(class_weights)}")
    predictions, targets = jnp.asarray(predictions), jnp.asarray(targets)
    if predictions.ndim == targets.ndim - 1:
        predictions = predictions[..., None]
    if targets.ndim == predictions.ndim - 1:
        targets = targets[..., None]
    require_same_shape("dice_loss", predictions=predictions, targets=targets)
    if not apply_softmax:
        _require_probabilities("dice_loss", predictions)
    axes = tuple(range(1, predictions.ndim - 1)) if axis is None else axis
    options = (smooth, alpha, beta, apply_softmax, axes, class_weights, reduction, ignore_background)
    return _dice_loss(predictions, targets, *options)


def _require_probabilities(name, predictions):
    if isinstance(predictions, jax.core.Tracer):
        return
    totals = np.sum(np.asarray(predictions, np.float64), -1)
    if not np.allclose(totals, 1, rtol=max(1e-5, 4 * float(jnp.finfo(predictions.dtype).eps))):
        raise ValueError(
            f"{name}: with apply_softmax=False predictions must add up to 1 along the last axis, got sums from "
            f"{totals.min():.6g} to {totals.max():.6g}"
        )


@rounded_once("predictions", "targets")
def _dice_loss(
    predictions, targets, smooth, alpha, beta, apply_softmax, axes, class_weights, reduction, ignore_background
):
    loss = _of_classes(predictions, targets, smooth, alpha, beta, apply_softmax, axes)
    if class_weights is not None:
        loss = loss * jnp.asarray(class_weights, loss.dtype)
    if ignore_background and loss.shape[-1] > 1:
        loss = loss[..., 1:]
    return _REDUCTIONS[reduction](loss, axis=-1)


def _of_classes(predictions, targets, smooth, alpha, beta, apply_softmax, axes):
    smooth, alpha, beta = (jnp.asarray(value, predictions.dtype) for value in (smooth, alpha, beta))
    missed = 1 - predictions
    if apply_softmax and predictions.shape[-1] == 1:
        predictions, missed = nn.sigmoid(predictions), nn.sigmoid(-predictions)
    elif apply_softmax:
        missed = missed_probability(nn.log_softmax(predictions))
        predictions = nn.softmax(predictions)
    shared = jnp.sum(predictions * targets, axes)
    unshared = alpha * jnp.sum(predictions * (1 - targets), axes) + beta * jnp.sum(missed * targets, axes)
    return unshared / (shared + unshared + smooth)


def multiclass_generalized_dice_loss(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    smooth: ArrayLike = 1.0,
    apply_softmax: bool = True,
    ignore_background: bool = False,
) -> jax.Array:
    r"""Dice loss of several classes, of which rare ones weigh more, averaged over classes and batch.

    .. math:: w_k \propto \frac{1}{f_k^2 + 10^{-7}}, \qquad f_k = \sum t_k

    Args:
      predictions: logits, with shape ``[batch, ..., num_classes]``.
      targets: one-hot targets, of the same shape.
      smooth: what keeps the loss of empty regions defined.
      apply_softmax: False if `predictions` are probabilities already.
      ignore_background: whether to leave out the first of several classes.

    Returns:
      The mean loss, a scalar.

    Raises:
      TypeError: if `predictions` are not floating point, or `targets` are complex.
      ValueError: if the shapes differ, or if `predictions` are to be probabilities and do not add up to 1 (unless they
        are traced).

    Accuracy:
      Max ULP, value / gradient: float64 3.6 / [0.1], float32 4.1 / [0.2],
      float16 0.5 / [0.0], bfloat16 0.5 / [0.0] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> logits = jnp.array([[[20.0, 0.0], [0.0, 20.0]]])
      >>> print(losses.multiclass_generalized_dice_loss(logits, jnp.array([[[1.0, 0.0], [0.0, 1.0]]])))
      1.0305768e-09

    References:
      Sudre et al., `Generalised Dice Overlap <https://arxiv.org/abs/1707.03237>`_, 2017.
    """
    require_float("multiclass_generalized_dice_loss", predictions=predictions)
    predictions, targets = jnp.asarray(predictions), jnp.asarray(targets)
    require_same_shape("multiclass_generalized_dice_loss", predictions=predictions, targets=targets)
    if not apply_softmax:
        _require_probabilities("multiclass_generalized_dice_loss", predictions)
    return _generalized_dice_loss(predictions, targets, smooth, apply_softmax, ignore_background)


@rounded_once("predictions", "targets")
def _generalized_dice_loss(predictions, targets, smooth, apply_softmax, ignore_background):
    frequencies = jnp.sum(targets, tuple(range(targets.ndim - 1)))
    weights = 1 / (frequencies * frequencies + 1e-7)
    weights = weights / jnp.sum(weights) * len(weights)
    axes = tuple(range(1, predictions.ndim - 1))
    options = (smooth, 0.5, 0.5, apply_softmax, axes, weights, "none", ignore_background)
    return jnp.mean(_dice_loss(predictions, targets, *options))


def binary_dice_loss(
    predictions: ArrayLike, targets: ArrayLike, *, smooth: ArrayLike = 1.0, apply_sigmoid: bool = True
) -> jax.Array:
    r"""Dice loss of one class.

    .. math:: \ell = 1 - \frac{\sum p t + s}{\frac{1}{2} \sum p + \frac{1}{2} \sum t + s}

    Args:
      predictions: logits, with shape ``[batch, ...]`` or ``[batch, ..., 1]``.
      targets: 0 or 1, of the same shape.
      smooth: :math:`s`, which keeps the loss of empty regions defined.
      apply_sigmoid: False if `predictions` are probabilities already.

    Returns:
      The loss, with shape ``[batch]``.

    Raises:
      TypeError: if `predictions` are not floating point, or `targets` are complex.
      ValueError: if the shapes differ.

    Accuracy:
      Max ULP, value / gradient: float64 2.5 / [0.6], float32 2.9 / [0.5],
      float16 0.5 / [0.1], bfloat16 0.5 / [0.2] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.binary_dice_loss(jnp.array([[30.0, -30.0]]), jnp.array([[1.0, 0.0]])))
      [4.6788115e-14]

    References:
      Milletari et al., `V-Net <https://arxiv.org/abs/1606.04797>`_, 2016.
    """
    require_float("binary_dice_loss", predictions=predictions)
    predictions, targets = jnp.asarray(predictions), jnp.asarray(targets)
    require_same_shape("binary_dice_loss", predictions=predictions, targets=targets)
    if predictions.ndim == 0 or predictions.shape[-1] != 1:
        predictions, targets = predictions[..., None], targets[..., None]
    axes = tuple(range(1, predictions.ndim - 1))
    return _dice_loss(predictions, targets, smooth, 0.5, 0.5, apply_sigmoid, axes, None, "mean", False)
