"""Means, variances, and what is standardised by them."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._axes import Axis, axes_of
from stablenn.nn._deviations import count, means, ratios, scaled_ratios, variances
from stablenn.nn._masks import with_mask
from stablenn.nn._rounding import rounded_once


@functools.partial(jax.jit, static_argnames=("axis", "keepdims"))
@rounded_once("x")
def mean_and_variance(
    x: ArrayLike, axis: Axis = None, where: ArrayLike | None = None, keepdims: bool = False
) -> tuple[jax.Array, jax.Array]:
    r"""Mean and variance.

    .. math:: \mu = \frac{1}{n} \sum_j x_j, \qquad \sigma^2 = \frac{1}{n} \sum_j (x_j - \mu)^2

    Neither the sum nor a square leaves the range where the result does not, and the variance is never a difference.

    Args:
      x: input array of any shape, real.
      axis: the axis or axes to reduce; None for all.
      where: elements to include, broadcast against `x`.
      keepdims: whether to keep the reduced axes with length 1.

    Returns:
      A pair of arrays of the shape of `x` without the reduced axes, and of its dtype (the default float dtype for
      integers).

    Raises:
      TypeError: if `x` is complex.
      ValueError: if `axis` does not fit `x`.

    Accuracy:
      Max ULP, value / gradient: float64 [2.4] / [0.8], float32 [2.7] / [1.0],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.array([4097.0, 4098.0, 4099.0, 4102.0])
      >>> mean, variance = nn.mean_and_variance(x)
      >>> print(mean, variance, jnp.mean(x * x) - jnp.mean(x) ** 2)
      4099.0 3.5 4.0
    """
    x, mask = with_mask(x, where)
    axes = axes_of(axis, x.ndim, "mean_and_variance")
    mean, variance = means(x, mask, axes), variances(x, mask, _degrees(x, axes, mask, 0), axes)
    return (mean, variance) if keepdims else (jnp.squeeze(mean, axes), jnp.squeeze(variance, axes))


def variance(
    x: ArrayLike,
    axis: Axis = None,
    ddof: int = 0,
    keepdims: bool = False,
    *,
    where: ArrayLike | None = None,
    correction: int | float | None = None,
) -> jax.Array:
    r"""Variance.

    .. math:: \sigma^2 = \frac{1}{n - \mathrm{ddof}} \sum_j (x_j - \mu)^2

    where :math:`\mu` is the mean. No square leaves the range where the result does not, and every digit of the result
    is right, however far the numbers lie from zero.

    Args:
      x: input array of any shape, real.
      axis: the axis or axes to reduce; None for all.
      ddof: what is taken off the number of elements.
      keepdims: whether to keep the reduced axes with length 1.
      where: elements to include, broadcast against `x`.
      correction: another name for `ddof`, which may be a fraction.

    Returns:
      An array of the shape of `x` without the reduced axes, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.
      ValueError: if `axis` does not fit `x`, or `ddof` and `correction` are both given.

    Accuracy:
      Max ULP, value / gradient: float64 2.8 / [0.9], float32 2.9 / [1.1],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.array([1e-20, 3e-20])
      >>> print(nn.variance(1e38 * x, ddof=1), jax.grad(nn.variance)(jnp.array([3e38, -3e38])))
      2e+36 [ 3.e+38 -3.e+38]
    """
    if correction is None:
        correction = ddof
    elif ddof != 0:
        raise ValueError(f"variance: ddof and correction are one, got {ddof} and {correction}")
    return _variance(x, axis, correction, keepdims, where)


@functools.partial(jax.jit, static_argnums=(1, 3))
@rounded_once("x")
def _variance(x, axis, ddof, keepdims, where):
    x, mask = with_mask(x, where)
    axes = axes_of(axis, x.ndim, "variance")
    out = variances(x, mask, _degrees(x, axes, mask, ddof), axes)
    return out if keepdims else jnp.squeeze(out, axes)


def _degrees(x, axes, mask, ddof) -> jax.Array:
    return jnp.maximum(jnp.asarray(count(x, axes, mask) - ddof, x.dtype), 0)


@functools.partial(jax.jit, static_argnames=("axis", "algorithm"))
def standardize(
    x: ArrayLike,
    axis: Axis = -1,
    mean: ArrayLike | None = None,
    variance: ArrayLike | None = None,
    epsilon: ArrayLike = 1e-5,
    where: ArrayLike | None = None,
    *,
    algorithm: str = "fast",
) -> jax.Array:
    r"""Deviations from the mean in units of the standard deviation.

    .. math:: z_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}}

    where :math:`\mu` and :math:`\sigma^2` are mean and variance. An offset costs no digits, and constant rows of any
    size give 0; with an `epsilon` of 0, too, then with gradients of 0.

    Args:
      x: input array of any shape, real.
      axis: the axis or axes along which to standardise; None for all.
      mean: the mean to use, broadcast against `x`; that of `x` by default.
      variance: the variance to use, broadcast against `x`; that of `x` about `mean` by default.
      epsilon: what is added to the variance, not negative.
      where: elements to include in mean and variance, broadcast against `x`.
      algorithm: either algorithm of `jax.nn.standardize`, "fast" or "stable"; there is only one here.

    Returns:
      An array of the shape of `x`; its dtype is that of `x`, `mean` and `variance`, promoted.

    Raises:
      TypeError: if `x` is complex.
      ValueError: if `axis` does not fit `x`, or `algorithm` has another name.

    Accuracy:
      Max ULP, value / gradient: float64 [2.5] / [3.0], float32 [2.0] / [3.9],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.array([4097.0, 4098.0, 4099.0, 4102.0])
      >>> print(jnp.round(nn.standardize(x) * 1000).astype(int), jnp.round(jax.nn.standardize(x) * 1000).astype(int))
      [-1069  -535     0  1604] [-1000  -500     0  1500]
    """
    if algorithm not in ("fast", "stable"):
        raise ValueError(f"standardize: algorithm must be 'fast' or 'stable', got {algorithm!r}")
    return _standardize(x, mean, variance, epsilon, where, axis)


@rounded_once("x", "mean", "variance")
def _standardize(x, mean, variance, epsilon, where, axis):
    epsilon = jnp.asarray(epsilon, x.dtype)
    x, mask = with_mask(x, where)
    axes = axes_of(axis, x.ndim, "standardize")
    if variance is not None:
        centre = means(x, mask, axes) if mean is None else mean
        return (x - centre) / jnp.sqrt(variance + epsilon)
    if mean is not None:
        x = x - mean
    return ratios(x, mask, epsilon, axes, mean is None)[0]


@functools.partial(jax.jit, static_argnames=("axis",))
@rounded_once("x", "scale", "bias")
def layer_norm(
    x: ArrayLike,
    scale: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    axis: Axis = -1,
    epsilon: ArrayLike = 1e-5,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""Layer normalisation.

    .. math:: y_i = \frac{x_i - \mu}{\sqrt{\sigma^2 + \epsilon}} s_i + b_i

    where :math:`\mu` and :math:`\sigma^2` are mean and variance, as in `standardize`.

    Args:
      x: input array of any shape, real.
      scale: what the result is multiplied by, broadcast against `x`; nothing by default.
      bias: what is added then, broadcast against `x`; nothing by default.
      axis: the axis or axes along which to normalise; None for all.
      epsilon: what is added to the variance, not negative.
      where: elements to include in mean and variance, broadcast against `x`.

    Returns:
      An array of the shape of `x`; its dtype is that of `x`, `scale` and `bias`, promoted.

    Raises:
      TypeError: if an argument is complex.
      ValueError: if `axis` does not fit `x`.

    Accuracy:
      Max ULP, value / gradient: float64 [3.0] / [3.8], float32 [2.2] / [2.9],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.array([[1.0, 3.0], [1e30, 1e30], [3e38, -3e38]])
      >>> print(jnp.round(nn.layer_norm(x, jnp.array([2.0, 2.0]), jnp.array([0.0, 1.0]), epsilon=0)).astype(int))
      [[-2  3]
       [ 0  1]
       [ 2 -1]]

    References:
      J. L. Ba, J. R. Kiros, G. E. Hinton, `Layer normalization <https://arxiv.org/abs/1607.06450>`_, 2016.
    """
    x, mask = with_mask(x, where)
    return _normalized(x, scale, bias, mask, epsilon, axes_of(axis, x.ndim, "layer_norm"), centred=True)


def _normalized(x, scale, bias, mask, epsilon, axes, centred):
    epsilon = jnp.asarray(epsilon, x.dtype)
    if scale is None:
        out = ratios(x, mask, epsilon, axes, centred)[0]
        return out if bias is None else out + bias
    if bias is None:
        return scaled_ratios(x, scale, mask, epsilon, axes, centred)
    return _scaled_and_shifted(x, scale, bias, mask, epsilon, axes, centred)


@functools.partial(jax.custom_jvp, nondiff_argnums=(5, 6))
def _scaled_and_shifted(x, scale, bias, mask, epsilon, axes, centred):
    info = jnp.finfo(x.dtype)
    # The product alone may overflow (no ratio exceeds the root of its number), or be flushed beside a small bias.
    room, lift = 2.0 ** -(2 + (max(x.size, 1).bit_length() + 1) // 2), 2.0 ** (info.nmant + 1)
    large = jnp.maximum(jnp.abs(scale), jnp.abs(bias)) > info.max * room
    small = (jnp.abs(bias) < info.tiny * 4 * lift) & (jnp.abs(scale) < 2.0**60)
    factor = jnp.where(large, room, jnp.where(small, lift, 1)).astype(x.dtype)
    return (scaled_ratios(x, scale * factor, mask, epsilon, axes, centred) + bias * factor) / factor


@_scaled_and_shifted.defjvp
def _scaled_and_shifted_jvp(axes, centred, primals, tangents):
    (x, scale, bias, mask, epsilon), (x_t, scale_t, bias_t, _, epsilon_t) = primals, tangents

    def product(x, scale, epsilon):
        return scaled_ratios(x, scale, mask, epsilon, axes, centred)

    _, product_t = jax.jvp(product, (x, scale, epsilon), (x_t, scale_t, epsilon_t))
    return _scaled_and_shifted(x, scale, bias, mask, epsilon, axes, centred), product_t + bias_t


@functools.partial(jax.jit, static_argnames=("axis",))
@rounded_once("x", "scale")
def rms_norm(
    x: ArrayLike,
    scale: ArrayLike | None = None,
    axis: Axis = -1,
    epsilon: ArrayLike = 1e-5,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""Normalisation by the root of the mean square.

    .. math:: y_i = \frac{x_i}{\sqrt{\frac{1}{n} \sum_j x_j^2 + \epsilon}} s_i

    No square leaves the range. With an `epsilon` of 0, rows of zeros give zeros, with gradients of 0.

    Args:
      x: input array of any shape, real.
      scale: what the result is multiplied by, broadcast against `x`; nothing by default.
      axis: the axis or axes along which to normalise; None for all.
      epsilon: what is added to the mean square, not negative.
      where: elements to include in the mean square, broadcast against `x`.

    Returns:
      An array of the shape of `x`; its dtype is that of `x` and `scale`, promoted.

    Raises:
      TypeError: if an argument is complex.
      ValueError: if `axis` does not fit `x`.

    Accuracy:
      Max ULP, value / gradient: float64 2.6 / [3.7], float32 2.4 / [3.7],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> slope = jax.grad(lambda x: nn.rms_norm(x, epsilon=0)[0])
      >>> print(nn.rms_norm(jnp.array([3e30, -3e30])).round(3), slope(jnp.zeros(2)))
      [ 1. -1.] [0. 0.]

    References:
      B. Zhang, R. Sennrich, `Root mean square layer normalization <https://arxiv.org/abs/1910.07467>`_, 2019.
    """
    x, mask = with_mask(x, where)
    return _normalized(x, scale, None, mask, epsilon, axes_of(axis, x.ndim, "rms_norm"), centred=False)
