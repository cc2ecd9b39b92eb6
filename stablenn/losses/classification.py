"""Cross-entropies of logits."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.nn._rounding import rounded_once
from stablenn.nn._tangents import instantiate, is_zero
from stablenn.nn._underflow import scale_of, scaled_exp
from stablenn.nn.exponentials import Axis
from stablenn.nn.logistic import log1p_exp_neg_abs


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
      Max ULP, value / gradient: float64 2.8 / [3.7], float32 3.2 / [4.2],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.softmax_cross_entropy(jnp.array([25.0, 0.0, -jnp.inf]), jnp.array([1.0, 0.0, 0.0])))
      1.3887944e-11

    References:
      Goodfellow et al., `Deep Learning <http://www.deeplearningbook.org/contents/prob.html>`_, 2016, section 6.2.2.
    """
    _require_float("softmax_cross_entropy", logits)
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
    log_probabilities = nn.log_softmax(logits, axis, where)
    maximum = jnp.max(logits, axis, keepdims=True, initial=-jnp.inf, where=where)
    # A class that cannot be and is not the answer does not count; a row must have a class that can be.
    ignored = (labels == 0) & (log_probabilities == -jnp.inf) & (maximum > -jnp.inf)
    terms = labels * jnp.where(ignored, 0, log_probabilities)
    # Logits so far apart that their difference overflows still have a finite loss if the label is small.
    overflow = (log_probabilities == -jnp.inf) & jnp.isfinite(logits) & jnp.isfinite(maximum)
    terms = jnp.where(overflow, labels * (logits / 2 - maximum / 2) * 2, terms)
    return -jnp.sum(terms, axis, where=where)


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
      Max ULP, value / gradient: float64 2.5 / [2.2], float32 3.0 / [2.4],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.sigmoid_binary_cross_entropy(jnp.array([-50.0, 50.0, jnp.inf]), jnp.array([1.0, 1.0, 1.0])))
      [5.0000000e+01 1.9287499e-22 0.0000000e+00]

    References:
      Goodfellow et al., `Deep Learning <http://www.deeplearningbook.org/contents/prob.html>`_, 2016, section 6.2.2.
    """
    _require_float("sigmoid_binary_cross_entropy", logits)
    return _sigmoid_binary_cross_entropy(logits, labels).astype(jax.dtypes.result_type(logits))


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
    return _excess(x, y), nn.sigmoid(x) * nn.sigmoid(-x) * x_t - y_t


def _require_float(name: str, logits: ArrayLike) -> None:
    dtype = jax.dtypes.result_type(logits)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{name}: logits must be floating point, got {dtype}")
