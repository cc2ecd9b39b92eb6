"""Negative log-likelihoods of numbers and of counts."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn import nn
from stablenn.losses._arguments import require_float, require_pairs
from stablenn.nn._rounding import rounded_once
from stablenn.nn._tangents import instantiate, is_zero
from stablenn.nn._underflow import exp_times

_SHIFT = 8  # Stirling's series needs numbers of at least this size


@functools.partial(jax.jit, static_argnames="full")
def gaussian_nll(
    predictions: ArrayLike, targets: ArrayLike, log_variance: ArrayLike, *, full: bool = False
) -> jax.Array:
    r"""Negative log-likelihood of normal distributions, elementwise.

    .. math:: \ell(\mu, y, v) = \tfrac{1}{2} \left(v + (y - \mu)^2 e^{-v}\right)

    The logarithm of the variance, which a model can give without any constraint, needs no smallest variance.

    Args:
      predictions: means :math:`\mu` of any shape.
      targets: what was observed, :math:`y`, broadcast against `predictions`.
      log_variance: :math:`v`, broadcast against the others.
      full: whether to add the constant :math:`\tfrac{1}{2} \log 2 \pi`.

    Returns:
      The loss per element, with the broadcast shape.

    Raises:
      TypeError: if `predictions` or `log_variance` are not floating point, or `targets` are complex.
      ValueError: if broadcasting made the result larger than both `predictions` and `targets`.

    Accuracy:
      Max ULP, value / gradient: float64 [4.1] / [3.2], float32 [3.9] / [3.0],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.gaussian_nll(jnp.array([0.0, 1e-30]), jnp.array([2.0, 0.0]), jnp.array([0.0, -138.0])))
      [  2.      -68.57184]

    References:
      Nix and Weigend, `Estimating the Mean and Variance of the Target Probability Distribution
      <https://doi.org/10.1109/ICNN.1994.374138>`_, 1994.
    """
    require_float("gaussian_nll", predictions=predictions, log_variance=log_variance)
    require_pairs("gaussian_nll", predictions=predictions, targets=targets)
    return _gaussian_nll(predictions, targets, log_variance, full)


@rounded_once("predictions", "targets", "log_variance")
def _gaussian_nll(predictions, targets, log_variance, full):
    loss = _gaussian(*jnp.broadcast_arrays(predictions, targets, log_variance))
    return loss + 0.5 * math.log(2 * math.pi) if full else loss


def _deviation(predictions, targets, log_variance):
    """The error over the standard deviation; neither of them need be in the range of the format, nor the square."""
    halved = exp_times(0.5 * predictions - 0.5 * targets, -0.5 * log_variance, 1)
    plain = exp_times(predictions - targets, -0.5 * log_variance)
    return jnp.where(_far_apart(predictions, targets), halved, plain)


def _far_apart(predictions, targets):
    """Whether the error may be out of the range of the format."""
    return jnp.maximum(jnp.abs(predictions), jnp.abs(targets)) > jnp.finfo(predictions.dtype).max / 4


@jax.custom_jvp
def _gaussian(predictions, targets, log_variance):
    deviation = _deviation(predictions, targets, log_variance)
    # halves that are too small for the format, and squares that are too large
    small = 0.5 * (log_variance + deviation * deviation)
    return jnp.where(jnp.abs(deviation) < 1, small, 0.5 * log_variance + (0.5 * deviation) * deviation)


@_gaussian.defjvp
def _gaussian_jvp(primals, tangents):
    (predictions, targets, log_variance), (predictions_t, targets_t, log_variance_t) = primals, tangents
    deviation = _deviation(predictions, targets, log_variance)
    halved = exp_times(0.5 * predictions - 0.5 * targets, -log_variance, 1)
    # no two powers of two of the format lead from the largest errors to its smallest numbers
    halved = jnp.where(log_variance > 8, exp_times(deviation, -0.5 * log_variance), halved)
    plain = exp_times(predictions - targets, -log_variance)
    by_error = jnp.where(_far_apart(predictions, targets), halved, plain)
    by_variance = 0.5 - (0.5 * deviation) * deviation
    loss = _gaussian(predictions, targets, log_variance)
    return loss, by_error * (predictions_t - targets_t) + by_variance * log_variance_t


@functools.partial(jax.jit, static_argnames="full")
def poisson_nll(log_predictions: ArrayLike, targets: ArrayLike, *, full: bool = False) -> jax.Array:
    r"""Negative log-likelihood of Poisson distributions, elementwise.

    .. math:: \ell(x, y) = e^x - x y

    Args:
      log_predictions: logarithms :math:`x` of the expected counts, of any shape.
      targets: counts :math:`y`, not negative, broadcast against `log_predictions`.
      full: whether to add :math:`\log y!`, on which no prediction depends.

    Returns:
      The loss per element, with the broadcast shape.

    Raises:
      TypeError: if `log_predictions` are not floating point, or `targets` are complex.
      ValueError: if broadcasting made the result larger than both arguments.

    Accuracy:
      Max ULP, value / gradient: float64 [1.0] / [1.0], float32 [1.1] / [1.0],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.poisson_nll(jnp.array([0.0, -jnp.inf]), jnp.array([2.0, 0.0])))
      [1. 0.]
    """
    require_float("poisson_nll", log_predictions=log_predictions)
    require_pairs("poisson_nll", log_predictions=log_predictions, targets=targets)
    return _poisson_nll(log_predictions, targets, full)


@rounded_once("log_predictions", "targets")
def _poisson_nll(log_predictions, targets, full):
    loss = _poisson(*jnp.broadcast_arrays(log_predictions, targets))
    return loss + jax.scipy.special.gammaln(targets + 1) if full else loss


def _expected(log_predictions):
    return exp_times(jnp.ones_like(log_predictions), log_predictions)


@jax.custom_jvp
def _poisson(x, y):
    # 0 events are no surprise where none are expected
    linear = y * jnp.where((y == 0) & (x == -jnp.inf), 0, x)
    # both too large: the exponential wins, unless the count is as large
    wins = x > jnp.log(y) + jnp.log(jnp.abs(x))
    return jnp.where(linear == jnp.inf, jnp.where(wins, jnp.inf, -jnp.inf), _expected(x) - linear)


@functools.partial(_poisson.defjvp, symbolic_zeros=True)
def _poisson_jvp(primals, tangents):
    (x, y), (x_t, y_t) = primals, tangents
    tangent = (_expected(x) - y) * instantiate(x_t)
    if not is_zero(y_t):  # an infinite logarithm times 0 would be NaN where nobody asked
        tangent = tangent - x * y_t
    return _poisson(x, y), tangent


@functools.partial(jax.jit, static_argnames="full")
def negative_binomial_nll(
    log_predictions: ArrayLike, targets: ArrayLike, log_total_count: ArrayLike, *, full: bool = False
) -> jax.Array:
    r"""Negative log-likelihood of negative binomial distributions, elementwise: counts that vary more than Poisson's.

    .. math::
        \ell(x, y, \log r) = (r + y) \log(1 + e^x / r) - x y - \sum_{i < y} \log(1 + i / r)

    Their mean is :math:`e^x` and their variance :math:`e^x + e^{2x} / r`. As :math:`r` grows, the loss becomes
    `poisson_nll`.

    Args:
      log_predictions: logarithms :math:`x` of the expected counts, of any shape.
      targets: counts :math:`y`, not negative, broadcast against `log_predictions`.
      log_total_count: the logarithm of :math:`r`, the inverse of the dispersion, broadcast against the others.
      full: whether to add :math:`\log y!`, on which no prediction depends.

    Returns:
      The loss per element, with the broadcast shape.

    Raises:
      TypeError: if `log_predictions` or `log_total_count` are not floating point, or `targets` are complex.
      ValueError: if broadcasting made the result larger than both `log_predictions` and `targets`.

    Accuracy:
      Max ULP, value / gradient: float64 [5.0] / [2.6], float32 [4.2] / [3.5],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import losses
      >>> print(losses.negative_binomial_nll(jnp.array([0.0, 0.0]), jnp.array([2.0, 2.0]), jnp.array([0.0, 60.0])))
      [1.3862944 1.       ]

    References:
      Hilbe, `Negative Binomial Regression <https://doi.org/10.1017/CBO9780511973420>`_, 2011, chapter 8.
    """
    require_float("negative_binomial_nll", log_predictions=log_predictions, log_total_count=log_total_count)
    require_pairs("negative_binomial_nll", log_predictions=log_predictions, targets=targets)
    return _negative_binomial_nll(log_predictions, targets, log_total_count, full)


@rounded_once("log_predictions", "targets", "log_total_count")
def _negative_binomial_nll(log_predictions, targets, log_total_count, full):
    x, y, a = jnp.broadcast_arrays(log_predictions, targets, log_total_count)
    spread = nn.logaddexp(-x, -a)
    spread = jnp.where((y == 0) & (spread == jnp.inf), 0, spread)  # nothing is expected, nothing happened
    loss = _all_failures(x, a) + y * spread - _log_rises(y, a)
    return loss + jax.scipy.special.gammaln(y + 1) if full else loss


@jax.custom_jvp
def _all_failures(x, a):
    """r log(1 + mu / r): of mu = e^x where that is smaller than r = e^a, so that it becomes mu as r grows."""
    ratio = jnp.exp(-jnp.abs(x - a))
    below = jnp.exp(jnp.minimum(x, a)) * jnp.where(ratio == 0, 1, jnp.log1p(ratio) / jnp.where(ratio == 0, 1, ratio))
    return jnp.where(x <= a, below, jnp.exp(a) * nn.softplus(x - a))


@_all_failures.defjvp
def _all_failures_jvp(primals, tangents):
    (x, a), (x_t, a_t) = primals, tangents
    value, slope = _all_failures(x, a), _expected_failures(x, a)
    return value, slope * x_t + (value - slope) * a_t


def _expected_failures(x, a):
    """1 / (e^-x + e^-a)."""
    below = jnp.exp(jnp.where(x <= a, x, 0)) * nn.sigmoid(a - x)
    return jnp.where(x <= a, below, jnp.exp(a) * nn.sigmoid(x - a))


def _log_rises(y, a):
    """The sum of log(1 + i / r) over i < y, which vanishes as r = e^a grows: log(gamma(r + y) / gamma(r)) - y a."""
    large = a > math.log(_SHIFT)
    # where r is small, gamma(r + y) / gamma(r + 1) times powers of r, from gamma functions of larger numbers
    small = jnp.where(large, 0, a)
    r, count = jnp.exp(small), jnp.where(y == 0, 1, y)
    ratios = [(r + (1 + i)) / (r + (count + i)) for i in range(_SHIFT)]
    # one logarithm of all is more accurate, but the product may be too small for the format
    apart = sum(jnp.log(ratio) for ratio in ratios)
    together = jnp.log(functools.reduce(jnp.multiply, (jnp.where(count < 1000, ratio, 1) for ratio in ratios)))
    base = r + (1 + _SHIFT)
    shifted = (count - 1) * jnp.log(base) + _excess(count - 1, base) - (count - 1) * small
    shifted += jnp.where(count < 1000, together, apart)
    many = jnp.exp(jnp.where(large, a, 3.0))
    rises = jnp.where(large, _excess(y, many), shifted)
    return jnp.where(y == 0, y * _first_slope(r, small, many, large), rises)


def _first_slope(r, log_r, many, large):
    """digamma(r) - log(r), the derivative of the rises where there is no count; `many` stands for a large r."""
    series = (0.5 + (1 / 12 - (1 / 120) / (many * many)) / many) / many
    tiny = r < 1e-9  # where digamma is -1 / r
    digamma = jax.scipy.special.digamma(jnp.where(tiny, 1, r))
    digamma = jnp.where(tiny, -jnp.exp(-jnp.maximum(log_r, -80)), digamma)
    return jnp.where(large, -series, digamma - log_r)


def _excess(y, r):
    """log(gamma(r + y) / gamma(r)) - y log(r) for r of at least 8, by Stirling's series."""
    u = y / r
    return y * _first_excess(u) - 0.5 * jnp.log1p(u) + (_stirling(r + y) - _stirling(r))


def _first_excess(u):
    """((1 + u) log(1 + u) - u) / u."""
    length = 52 if jnp.finfo(u.dtype).bits == 64 else 24
    near = jnp.where(u < 0.5, u, 0)  # at least -1/8
    series = jnp.zeros_like(u)
    for k in range(length, 1, -1):
        series = series * -near + 1 / (k * (k - 1))
    far = jnp.where(u < 0.5, 1, u)
    return jnp.where(u < 0.5, near * series, (1 + 1 / far) * jnp.log1p(far) - 1)


def _stirling(z):
    """log(gamma(z)) without its leading terms, for z of at least 8."""
    inverse = 1 / z
    square = inverse * inverse
    series = jnp.zeros_like(z)
    for term in (-3617 / 122400, 1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
        series = series * square + term
    return series * inverse
