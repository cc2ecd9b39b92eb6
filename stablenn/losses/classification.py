"""Cross-entropies of logits."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float
from stablenn.nn._axes import Axis
from stablenn.nn._masks import included
from stablenn.nn._rounding import converted, rounded_once
from stablenn.nn._shares import exponentials, log_shares
from stablenn.nn._tangents import instantiate, is_zero
from stablenn.nn._underflow import scale_of, scaled_exp
from stablenn.nn.logistic import log1p_exp_neg_abs, sigmoid_slope


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

    Accuracy:
      Max ULP, value / gradient: float64 2.1 / [4.5], float32 2.1 / [3.2],
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
    return _softmax_cross_entropy(logits, labels, axis, where)


@rounded_once("logits", "labels")
def _softmax_cross_entropy(logits, labels, axis, where):
    if where is not None and jnp.ndim(where) != jnp.ndim(logits):
        where = jnp.expand_dims(where, axis)  # as optax reads a mask without the class axis
    logits, labels = jnp.broadcast_arrays(logits, labels)
    where = None if where is None else jnp.broadcast_to(jnp.asarray(where, bool), logits.shape)
    return _cross_entropy(logits, labels, where, axis)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _cross_entropy(logits, labels, where, axis):
    rows = included(logits, where)
    log_probabilities, found = log_shares(rows, axis), exponentials(rows, axis)
    maximum = found.maximum
    # A class that cannot be and is not the answer does not count; a row must have a class that can be.
    ignored = (labels == 0) & (log_probabilities == -jnp.inf) & (maximum > -jnp.inf)
    terms = labels * jnp.where(ignored, 0, log_probabilities)
    # Logits so far apart that their difference overflows still have a finite loss if the label is small.
    overflow = (log_probabilities == -jnp.inf) & jnp.isfinite(logits) & jnp.isfinite(maximum)
    terms = jnp.where(overflow, labels * (logits / 2 - maximum / 2) * 2, terms)
    loss = -jnp.sum(terms, axis, keepdims=True, where=where)
    # The part of a class that is all but certain, label * rest, is flushed to zero; the others' may be as small.
    sure = jnp.sum(jnp.where(found.top, labels, 0), axis, keepdims=True, where=where)
    flushed = sure * found.rest
    is_flushed = (flushed < jnp.finfo(logits.dtype).tiny / found.half) & (found.count == 1) & (found.rest < found.half)
    loss = jnp.where(is_flushed & (loss < 1), (loss / found.half + flushed) * found.half, loss)
    return jnp.squeeze(loss, axis)


@functools.partial(_cross_entropy.defjvp, symbolic_zeros=True)
def _cross_entropy_jvp(axis, primals, tangents):
    (logits, labels, where), (logits_t, labels_t, _) = primals, tangents
    loss = _cross_entropy(logits, labels, where, axis)
    log_probabilities, slope = jax.jvp(lambda x: nn.log_softmax(x, axis, where), (logits,), (instantiate(logits_t),))
    tangent = -jnp.sum(labels * slope, axis, where=where)
    if not is_zero(labels_t):  # 0 * -inf would be NaN where nobody asked for this derivative
        maximum = jnp.max(logits, axis, keepdims=True, initial=-jnp.inf, where=where)
        ignored = (labels == 0) & (logits == -jnp.inf) & (maximum > -jnp.inf)
        ignored = ignored if where is None else ignored | ~where
        tangent = tangent - jnp.sum(jnp.where(ignored, 0, log_probabilities) * labels_t, axis, where=where)
    return loss, tangent


def softmax_cross_entropy_with_integer_labels(
    logits: ArrayLike, labels: ArrayLike, axis: int | tuple[int, ...] = -1, where: ArrayLike | None = None
) -> jax.Array:
    r"""Cross-entropy between the softmax of logits and the classes that integer labels name.

    .. math:: \ell(x, y) = -\log \mathrm{softmax}(x)_y

    A label that names no class never wraps around: it raises, or under jit, where labels are unknown, gives NaN in
    the loss and in the gradient of that example.

    Args:
      logits: unnormalized log-probabilities, with shape ``[..., num_classes]``.
      labels: integers from 0 to num_classes - 1, with the shape of `logits` without `axis`.
      axis: the axis of the classes; of several axes, a label is the flat index into them.
      where: classes or examples to include, with the shape of `logits` or of `labels`. An example without any has
        the loss 0 and no gradient, whatever its label; a label whose class is left out has the loss inf.

    Returns:
      The loss per example, with the shape of `labels`.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` not integers.
      ValueError: if an included label lies outside of 0 .. num_classes - 1 (unless it is traced).

    Accuracy:
      Max ULP, value / gradient: float64 1.5 / 2.8, float32 1.6 / 2.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

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
    require_float(name, logits=logits)
    if not jnp.issubdtype(jax.dtypes.result_type(labels), jnp.integer):
        raise TypeError(f"{name}: labels must be integers, got {jax.dtypes.result_type(labels)}")
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    logits, where = _with_classes_last(logits, where, axis)
    if not any(isinstance(value, jax.core.Tracer) for value in (labels, where)):
        _require_labels(name, np.asarray(labels), logits.shape[-1], where)
    return _integer_cross_entropy(logits, labels, where)


def _with_classes_last(
    logits: jax.Array, where: ArrayLike | None, axis: int | tuple[int, ...]
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


def _require_labels(name: str, labels: np.ndarray, classes: int, where: jax.Array | None) -> None:
    wrong = (labels < 0) | (labels >= classes)
    if where is not None:
        wrong &= np.any(np.asarray(where), -1)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name}: labels must lie between 0 and {classes - 1}, got {np.broadcast_to(labels, wrong.shape)[index]} "
            f"at index {index}; padding labels? pass where=labels >= 0"
        )


@jax.jit
@rounded_once("logits")
def _integer_cross_entropy(logits, labels, where):
    classes = logits.shape[-1]
    is_label = labels[..., None] == jnp.arange(classes, dtype=labels.dtype)
    loss = -jnp.sum(jnp.where(is_label, nn.log_softmax(logits, where=where), 0), -1)
    wrong = (labels < 0) | (labels >= classes)
    if where is not None:
        included = jnp.any(where, -1)
        loss, wrong = jnp.where(included, loss, 0), wrong & included
    # a product with the logits, not a constant: the gradient is NaN as well
    return loss + jnp.where(wrong, jnp.nan, 0) * jnp.sum(jnp.where(wrong[..., None], logits, 0), -1)


@jax.jit
def sigmoid_binary_cross_entropy(logits: ArrayLike, labels: ArrayLike) -> jax.Array:
    r"""Cross-entropy between label probabilities and the sigmoid of logits, elementwise.

    .. math:: \ell(x, y) = -y \log \sigma(x) - (1 - y) \log (1 - \sigma(x))

    An infinite logit that agrees with its label has the loss 0, its limit.

    Args:
      logits: unnormalized log-probabilities of the positive class, of any shape.
      labels: probabilities of the positive class, usually 0 or 1, broadcast against `logits`.

    Returns:
      The loss per element, with the broadcast shape.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` are complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.3 / [1.4], float32 1.3 / [1.4],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.sigmoid_binary_cross_entropy(jnp.array([-50.0, 50.0, jnp.inf]), jnp.array([1.0, 1.0, 1.0])))
      [5.0000000e+01 1.9287499e-22 0.0000000e+00]

    References:
      Goodfellow et al., `Deep Learning <http://www.deeplearningbook.org/contents/prob.html>`_, 2016, section 6.2.2.
    """
    require_float("sigmoid_binary_cross_entropy", logits=logits)
    return converted(_sigmoid_binary_cross_entropy(logits, labels), jax.dtypes.result_type(logits))


@rounded_once("logits", "labels")
def _sigmoid_binary_cross_entropy(logits, labels):
    return _binary_cross_entropy(*jnp.broadcast_arrays(logits, labels))


@jax.custom_jvp
def _binary_cross_entropy(x, y):
    # y softplus(-x) + (1 - y) softplus(x): the linear part belongs to the label that x argues against
    against = jnp.where(x > 0, 1 - y, y)
    linear = jnp.where(against == 0, 0, against * jnp.abs(x))
    # a label as small as the probability: add before either is flushed to zero
    scale, distance = scale_of(x.dtype), -jnp.abs(x)
    tiny = (linear * 2.0**scale.power + scaled_exp(distance)) * 2.0**-scale.power
    return jnp.where((distance < scale.threshold) & (linear < 1), tiny, linear + log1p_exp_neg_abs(x))


@functools.partial(_binary_cross_entropy.defjvp, symbolic_zeros=True)
def _binary_cross_entropy_jvp(primals, tangents):
    (x, y), (x_t, y_t) = primals, tangents
    tangent = _excess(x, y) * instantiate(x_t)
    if not is_zero(y_t):  # an infinite logit times 0 would be NaN where nobody asked
        tangent = tangent - x * y_t
    return _binary_cross_entropy(x, y), tangent


@jax.custom_jvp
def _excess(x, y):
    """sigmoid(x) - y, from the smaller of sigmoid(x) and sigmoid(-x): 1 - y is exact where cancellation threatens."""
    plain = jnp.where(x > 0, (1 - y) - nn.sigmoid(-x), nn.sigmoid(x) - y)
    # a label as small as the probability: subtract before either is flushed to zero
    power = scale_of(x.dtype).power
    tiny = (scaled_exp(jnp.minimum(x, 0)) - y * 2.0**power) * 2.0**-power
    return jnp.where((x < scale_of(x.dtype).threshold) & (jnp.abs(y) < 1), tiny, plain)


@_excess.defjvp
def _excess_jvp(primals, tangents):
    (x, y), (x_t, y_t) = primals, tangents
    return _excess(x, y), sigmoid_slope(jnp.ones_like(x), x) * x_t - y_t
