"""Losses of binary classifiers that give logits, elementwise."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float, require_pairs
from stablenn.losses._focusing import by_gamma, focused, slope_of_focused
from stablenn.nn._rounding import converted, rounded_once
from stablenn.nn._tangents import instantiate, is_zero
from stablenn.nn._underflow import scale_of, scaled_exp
from stablenn.nn.logistic import log1p_exp_neg_abs, sigmoid_slope


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
      ValueError: if broadcasting made the result larger than both arguments.

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
    require_pairs("sigmoid_binary_cross_entropy", logits=logits, labels=labels)
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


@jax.jit
def sigmoid_focal_loss(
    logits: ArrayLike, labels: ArrayLike, *, alpha: ArrayLike | None = None, gamma: ArrayLike = 2.0
) -> jax.Array:
    r"""Focal loss of binary classifiers, elementwise: a cross-entropy in which easy examples weigh less.

    .. math::
        \ell(x, y) = \alpha_t (1 - p_t)^\gamma \, \mathrm{BCE}(x, y), \qquad
        1 - p_t = y \, \sigma(-x) + (1 - y) \, \sigma(x), \qquad \alpha_t = \alpha y + (1 - \alpha) (1 - y)

    Args:
      logits: unnormalized log-probabilities of the positive class, of any shape.
      labels: probabilities of the positive class, usually 0 or 1, broadcast against `logits`.
      alpha: the weight of the positive class, from 0 to 1; None for no weights.
      gamma: how much easy examples are weighed down, not negative; 0 gives the cross-entropy.

    Returns:
      The loss per element, with the broadcast shape.

    Raises:
      TypeError: if `logits` are not floating point, or `labels` are complex.
      ValueError: if broadcasting made the result larger than both arguments.

    Accuracy:
      Max ULP, value / gradient: float64 4.9 / [4.6], float32 4.4 / [4.2],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.sigmoid_focal_loss(jnp.array([-20.0, 0.0, 20.0]), jnp.array([1.0, 1.0, 1.0])))
      [2.000000e+01 1.732868e-01 8.756512e-27]

    References:
      Lin et al., `Focal Loss for Dense Object Detection <https://arxiv.org/abs/1708.02002>`_, 2017.
    """
    require_float("sigmoid_focal_loss", logits=logits)
    require_pairs("sigmoid_focal_loss", logits=logits, labels=labels)
    return converted(_sigmoid_focal_loss(logits, labels, alpha, gamma), jax.dtypes.result_type(logits))


@rounded_once("logits", "labels")
def _sigmoid_focal_loss(logits, labels, alpha, gamma):
    x, y = jnp.broadcast_arrays(logits, labels)
    loss = _focal(x, y, jnp.asarray(gamma, x.dtype) + jnp.zeros_like(x))
    if alpha is None:
        return loss
    alpha = jnp.asarray(alpha, x.dtype)
    return (alpha * y + (1 - alpha) * (1 - y)) * loss


@jax.custom_jvp
def _missed(x, y):
    """y sigmoid(-x) + (1 - y) sigmoid(x), with a single exponential."""
    against, exp = jnp.where(x > 0, 1 - y, y), jnp.exp(-jnp.abs(x))
    return (against + (1 - against) * exp) / (1 + exp)


def _missed_slopes(x, y):
    return (1 - 2 * y) * sigmoid_slope(jnp.ones_like(x), x), nn.sigmoid(-x) - nn.sigmoid(x)


@_missed.defjvp
def _missed_jvp(primals, tangents):
    (x, y), (x_t, y_t) = primals, tangents
    by_x, by_y = _missed_slopes(x, y)
    return _missed(x, y), by_x * x_t + by_y * y_t


@jax.custom_jvp
def _focal(x, y, gamma):
    return focused(_missed(x, y), gamma, _binary_cross_entropy(x, y))


@functools.partial(_focal.defjvp, symbolic_zeros=True)
def _focal_jvp(primals, tangents):
    (x, y, gamma), (x_t, y_t, gamma_t) = primals, tangents
    loss, missed, cross_entropy = _focal(x, y, gamma), _missed(x, y), _binary_cross_entropy(x, y)
    by_x, by_y = _missed_slopes(x, y)
    tangent = slope_of_focused(missed, gamma, cross_entropy, by_x, _excess(x, y)) * instantiate(x_t)
    if not is_zero(y_t):
        tangent = tangent + slope_of_focused(missed, gamma, cross_entropy, by_y, -x) * y_t
    if not is_zero(gamma_t):
        tangent = tangent + by_gamma(missed, loss) * gamma_t
    return loss, tangent
