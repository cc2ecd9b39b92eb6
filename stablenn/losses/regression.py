"""Losses of errors, the differences between predictions and targets."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float, require_pairs, require_same_shape
from stablenn.nn._axes import Axis, axes_of
from stablenn.nn._masks import masked, with_mask
from stablenn.nn._rounding import rounded_once


@jax.jit
def squared_error(predictions: ArrayLike, targets: ArrayLike | None = None) -> jax.Array:
    r"""Squared error, elementwise.

    .. math:: \ell(x, y) = (x - y)^2

    Args:
      predictions: input array of any shape.
      targets: what was to be predicted, with the shape of `predictions`; None for zeros.

    Returns:
      The loss per element.

    Raises:
      TypeError: if `predictions` are not floating point, or `targets` are complex.
      ValueError: if the shapes differ.

    Accuracy:
      Max ULP, value / gradient: float64 1.9 / 0.5, float32 1.9 / 0.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.squared_error(jnp.array([3.0, 1.0]), jnp.array([1.0, 1.5])))
      [4.   0.25]
    """
    require_float("squared_error", predictions=predictions)
    if targets is not None:
        require_same_shape("squared_error", predictions=predictions, targets=targets)
    return _scaled_square(predictions, targets, 1)


@jax.jit
def l2_loss(predictions: ArrayLike, targets: ArrayLike | None = None) -> jax.Array:
    r"""Half of the squared error, elementwise.

    .. math:: \ell(x, y) = \tfrac{1}{2} (x - y)^2

    Args:
      predictions: input array of any shape.
      targets: what was to be predicted, with the shape of `predictions`; None for zeros.

    Returns:
      The loss per element.

    Raises:
      TypeError: if `predictions` are not floating point, or `targets` are complex.
      ValueError: if the shapes differ.

    Accuracy:
      Max ULP, value / gradient: float64 1.9 / 0.5, float32 1.9 / 0.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.l2_loss(jnp.array([3.0, 1.0]), jnp.array([1.0, 1.5])))
      [2.    0.125]
    """
    require_float("l2_loss", predictions=predictions)
    if targets is not None:
        require_same_shape("l2_loss", predictions=predictions, targets=targets)
    return _scaled_square(predictions, targets, 0.5)


@rounded_once("predictions", "targets")
def _scaled_square(predictions, targets, factor):
    return _square(_errors(predictions, targets), factor)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _square(errors, factor):
    return (factor * errors) * errors


@_square.defjvp
def _square_jvp(factor, primals, tangents):
    (errors,), (t,) = primals, tangents
    return _square(errors, factor), (2 * factor * errors) * t


def _errors(predictions, targets):
    return predictions if targets is None else predictions - targets


@jax.jit
def huber_loss(predictions: ArrayLike, targets: ArrayLike | None = None, *, delta: ArrayLike = 1.0) -> jax.Array:
    r"""Huber loss, elementwise: quadratic for small errors, linear for large ones.

    .. math::
        \ell(x, y) = \begin{cases} \frac{1}{2} e^2 & |e| \le \delta \
        \delta (|e| - \frac{1}{2} \delta) & |e| > \delta \end{cases}, \qquad e = x - y

    Its derivative is the error, clipped to `delta`; with an infinite `delta` the loss is `l2_loss`.

    Args:
      predictions: input array of any shape.
      targets: what was to be predicted, broadcast against `predictions`; None for zeros.
      delta: the largest error of which the loss is quadratic, not negative, broadcast against the others.

    Returns:
      The loss per element, with the broadcast shape.

    Raises:
      TypeError: if `predictions` are not floating point, or another argument is complex.
      ValueError: if broadcasting made the result larger than both `predictions` and `targets`.

    Accuracy:
      Max ULP, value / gradient: float64 1.7 / 0.5, float32 1.9 / 0.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.huber_loss(jnp.array([0.5, -3.0])))
      [0.125 2.5  ]

    References:
      Huber, `Robust Estimation of a Location Parameter <https://doi.org/10.1214/aoms/1177703732>`_, 1964.
    """
    require_float("huber_loss", predictions=predictions)
    if targets is not None:
        require_pairs("huber_loss", predictions=predictions, targets=targets)
    return _huber_loss(predictions, targets, delta)


@rounded_once("predictions", "targets")
def _huber_loss(predictions, targets, delta):
    errors = _errors(predictions, targets)
    return _huber(*jnp.broadcast_arrays(errors, jnp.asarray(delta, errors.dtype)))


@jax.custom_jvp
def _huber(errors, delta):
    size = jnp.abs(errors)
    quadratic = jnp.minimum(size, delta)
    return 0.5 * quadratic * quadratic + jnp.where(size > delta, delta * (size - delta), 0)


@_huber.defjvp
def _huber_jvp(primals, tangents):
    (errors, delta), (errors_t, delta_t) = primals, tangents
    excess = jnp.where(jnp.abs(errors) > delta, jnp.abs(errors) - delta, 0)
    return _huber(errors, delta), jnp.clip(errors, -delta, delta) * errors_t + excess * delta_t


@jax.jit
def log_cosh(predictions: ArrayLike, targets: ArrayLike | None = None) -> jax.Array:
    r"""Logarithm of the hyperbolic cosine of the error, elementwise.

    .. math:: \ell(x, y) = \log \cosh(x - y)

    It keeps its digits for small errors, where the peer's is zero.

    Args:
      predictions: input array of any shape.
      targets: what was to be predicted, broadcast against `predictions`; None for zeros.

    Returns:
      The loss per element, with the broadcast shape.

    Raises:
      TypeError: if `predictions` are not floating point, or `targets` are complex.
      ValueError: if broadcasting made the result larger than both `predictions` and `targets`.

    Accuracy:
      Max ULP, value / gradient: float64 2.2 / 1.8, float32 2.4 / 1.7,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> from stablenn import losses
      >>> print(f"{losses.log_cosh(1e-3):.3g} {losses.log_cosh(1e3, -1e3):.6g}")
      5e-07 1999.31
    """
    require_float("log_cosh", predictions=predictions)
    if targets is not None:
        require_pairs("log_cosh", predictions=predictions, targets=targets)
    return _log_cosh(predictions, targets)


@rounded_once("predictions", "targets")
def _log_cosh(predictions, targets):
    return nn.log_cosh(_errors(predictions, targets))


@functools.partial(jax.jit, static_argnames=("axis",))
@rounded_once("predictions", "targets")
def cosine_distance(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    epsilon: ArrayLike = 0.0,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""Cosine distance of vectors.

    .. math:: d(a, b) = 1 - \frac{\sum_j a_j b_j}{\mathrm{norm}(a) \, \mathrm{norm}(b)}

    Between vectors of nearly the same direction it is half of the squared distance of their unit vectors, which does
    not cancel. The distance from a vector of zeros is 1.

    Args:
      predictions: vectors :math:`a`, with shape `[..., dim]`, real.
      targets: vectors :math:`b`, broadcast against `predictions`, also as all pairs of two batches.
      epsilon: the smallest squared norm to divide by, as in optax, not negative.
      axis: the axis or axes of the vectors; None for all.
      where: elements to include, broadcast against `predictions`.

    Returns:
      Distances between 0 and 2, with shape `[...]`.

    Raises:
      TypeError: if an argument is complex.
      ValueError: if `axis` does not fit the arrays.

    Accuracy:
      Max ULP, value / gradient: float64 [1.5] / [3.2], float32 [1.3] / [3.5],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.cosine_distance(jnp.array([1.0, 1e-6]), jnp.array([1.0, 0.0])))
      5e-13
    """
    predictions, targets = jnp.broadcast_arrays(predictions, targets)
    predictions, mask = with_mask(predictions, where)
    targets = jnp.broadcast_to(targets, predictions.shape)
    axes = axes_of(axis, predictions.ndim, "cosine_distance")
    least = jnp.asarray(epsilon, predictions.dtype)
    return _cosine_distance(masked(predictions, mask), masked(targets, mask), least, axes)


def _cosine_similarity(a, b, least, axes):
    return nn.cosine_similarity(a, b, epsilon=least, axis=axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _cosine_distance(a, b, least, axes):
    similarity = _cosine_similarity(a, b, least, axes)
    difference = nn.normalize(a, axes) - nn.normalize(b, axes)
    shorter = jnp.minimum(nn.norm(a, axis=axes), nn.norm(b, axis=axes))
    near = (similarity > 0.5) & (shorter >= jnp.sqrt(least))
    return jnp.where(near, jnp.sum(0.5 * difference * difference, axes), 1 - similarity)


@_cosine_distance.defjvp
def _cosine_distance_jvp(axes, primals, tangents):
    _, tangent = jax.jvp(lambda a, b, least: _cosine_similarity(a, b, least, axes), primals, tangents)
    return _cosine_distance(*primals, axes), -tangent
