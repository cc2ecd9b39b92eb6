"""Logarithms of what may be zero, or nearly one."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn.nn._elementary.exponential import exp, expm1, reduced_exp
from stablenn.nn._elementary.logarithm import log, with_limits
from stablenn.nn._elementary.logarithm import log1p as log1p_words
from stablenn.nn._elementary.words import Words, apart, divide, ldexp
from stablenn.nn._quotients import over, ratio
from stablenn.nn._rounding import at_least_float32, converted, float_dtype, rounded_once
from stablenn.nn._tangents import instantiate, is_zero


def clipped_log(x: ArrayLike, min_value: ArrayLike | None = None) -> jax.Array:
    r"""Logarithm of `x`, or of `min_value` where `x` is smaller.

    .. math:: \mathrm{clipped\_log}(x) = \log \max(x, m)

    The derivative is :math:`1/x` from `m` upwards and 0 below; NaN passes through. Clipping hides a zero, it does not
    cure it: an example with x below `min_value` no longer learns. A classifier that has logits should use
    :func:`stablenn.losses.softmax_cross_entropy` or :func:`stablenn.losses.sigmoid_binary_cross_entropy` instead,
    which need no clipping and lose nothing.

    Args:
      x: input array of any shape, real.
      min_value: positive, taken in float32 at least; broadcast against `x`. Default: the smallest normal number of
        the dtype of `x`.

    Returns:
      An array of the broadcast shape, and of the dtype of `x` (the default float dtype for integers).

    Raises:
      TypeError: if `x` or `min_value` is complex.
      ValueError: if `min_value` is not positive, or below the smallest normal number (a traced one is not checked:
        the logarithm of a zero is -inf).

    Accuracy:
      Max ULP, value / gradient: float64 0.5 / 0.5, float32 0.9 / 0.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.clipped_log(jnp.array([0.0, 1.0]), min_value=1e-6))
      [-13.815511   0.      ]
    """
    dtype = float_dtype("clipped_log", x=x)
    wide = at_least_float32(dtype)
    if min_value is None:
        min_value = float(jnp.finfo(dtype).tiny)
    float_dtype("clipped_log", min_value=min_value)
    smallest = jnp.finfo(wide).tiny
    if not isinstance(min_value, jax.core.Tracer) and not np.all(np.asarray(min_value, np.float64) >= smallest):
        raise ValueError(
            f"clipped_log: min_value must be positive, got {min_value}; "
            f"the smallest allowed for {dtype.name} is {smallest}"
        )
    is_weak = not hasattr(min_value, "dtype")
    return _clipped_log(x, jnp.asarray(min_value) if is_weak else jnp.asarray(min_value, wide))


@jax.jit
def _clipped_log(x, min_value):
    dtype = float_dtype("clipped_log", x=x)
    wide = at_least_float32(dtype)
    x, min_value = jnp.broadcast_arrays(converted(x, wide), converted(min_value, wide))
    return converted(_log_of_larger(x, min_value), dtype)


@jax.custom_jvp
def _log_of_larger(x, min_value):
    return jnp.log(jnp.maximum(x, min_value))


@functools.partial(_log_of_larger.defjvp, symbolic_zeros=False)
def _log_of_larger_jvp(primals, tangents):
    (x, min_value), (x_t, min_t) = primals, tangents
    below = x < min_value  # false for NaN, which therefore passes into the derivative
    return _log_of_larger(x, min_value), over(jnp.where(below, min_t, x_t), jnp.where(below, min_value, x))


@jax.jit
@rounded_once("x")
def log1mexp(x: ArrayLike) -> jax.Array:
    r"""Logarithm of one minus the exponential of minus x: of the complement of a probability.

    .. math:: \mathrm{log1mexp}(x) = \log(1 - e^{-x})

    Args:
      x: input array of any shape, real; 0 gives ``-inf``, negative numbers give NaN.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.0 / 1.0, float32 1.6 / 1.3,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.log1mexp(jnp.array([0.0, 1e-10, 50.0])))
      [         -inf -2.3025850e+01 -1.9287499e-22]

    References:
      Mächler, `Accurately computing log(1 - exp(-|a|))
      <https://cran.r-project.org/web/packages/Rmpfr/vignettes/log1mexp-note.pdf>`_, 2012.
    """
    return _log1mexp(x)


@jax.custom_jvp
def _log1mexp(x):
    size = jnp.abs(x)
    complement = -expm1(-size)
    # far away what one minus it keeps of the exponential is flushed: there it is all that counts
    result = jnp.where(size > 40, -exp(-size).rounded, log(complement.high, complement.low).rounded)
    return jnp.where(x == 0, -jnp.inf, jnp.where(x < 0, jnp.nan, apart(x, result)))


@_log1mexp.defjvp
def _log1mexp_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return _log1mexp(x), t * _log1mexp_slope(x)


@jax.custom_jvp
def _log1mexp_slope(x):
    """exp(-x) / (1 - exp(-x)), which is 1 / x as far as the format goes for the smallest x."""
    size = jnp.abs(x)
    e = reduced_exp(-size)
    slope = ldexp(divide(e.mantissa, -expm1(-size)), e.exponent)
    slope = jnp.where(size < jnp.finfo(x.dtype).eps / 64, 1 / size, slope)
    return jnp.where(x < 0, jnp.nan, slope)


@_log1mexp_slope.defjvp
def _log1mexp_slope_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    slope = _log1mexp_slope(x)
    return slope, -(t * slope) * (1 + slope)


@jax.jit
@rounded_once("x", "y")
def xlogy(x: ArrayLike, y: ArrayLike) -> jax.Array:
    r"""x log(y), and 0 where x is 0.

    .. math:: \mathrm{xlogy}(x, y) = x \log y

    Where x is 0 the derivative by y is 0 as well, and the derivative by x is log(y). A NaN in y passes through.

    Args:
      x: factor, real.
      y: argument of the logarithm, real, broadcast against `x`; negative numbers give NaN unless x is 0.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` or `y` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.2 / 0.5, float32 1.3 / 0.8,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.xlogy(jnp.array([0.0, 2.0]), jnp.array([0.0, 0.5])), jax.grad(nn.xlogy, 1)(0.0, 0.0))
      [ 0.        -1.3862944] 0.0
    """
    return _xlogy(*jnp.broadcast_arrays(x, y))


@jax.jit
@rounded_once("x", "y")
def xlog1py(x: ArrayLike, y: ArrayLike) -> jax.Array:
    r"""x log(1 + y), and 0 where x is 0.

    .. math:: \mathrm{xlog1py}(x, y) = x \log(1 + y)

    Where x is 0 the derivative by y is 0 as well, and the derivative by x is log(1 + y). A NaN in y passes through.

    Args:
      x: factor, real.
      y: real, broadcast against `x`; numbers below -1 give NaN unless x is 0.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` or `y` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 1.3 / 1.3, float32 1.4 / 1.3,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.xlog1py(jnp.array([0.0, 2.0]), jnp.array([-1.0, 1e-20])), jax.grad(nn.xlog1py, 1)(0.0, -1.0))
      [0.e+00 2.e-20] 0.0
    """
    return _xlog1py(*jnp.broadcast_arrays(x, y))


@jax.custom_jvp
def _log1p(y: jax.Array) -> jax.Array:
    return with_limits(1 + y, log1p_words(Words(y, jnp.zeros_like(y))).rounded)


@_log1p.defjvp
def _log1p_jvp(primals, tangents):
    (y,), (t,) = primals, tangents
    return _log1p(y), over(t, 1 + y)


def _times(x, log_y, y):
    return jnp.where((x == 0) & ~jnp.isnan(y), 0, x * log_y)


def _times_tangent(x, log_y, argument, tangents):
    """x' log(y) + y' x / y; a tangent that nobody asks for is left out, since log(0) * 0 would be NaN."""
    x_t, y_t = tangents
    tangent = jnp.zeros_like(x)
    if not is_zero(x_t):
        tangent += log_y * instantiate(x_t)
    if not is_zero(y_t):
        slope = jnp.where(argument < 0, jnp.nan, ratio(x, jnp.abs(argument)))
        tangent += jnp.where((x == 0) & ~jnp.isnan(argument), 0, slope) * instantiate(y_t)
    return tangent


@jax.custom_jvp
def _xlogy(x, y):
    return _times(x, jnp.log(y), y)


@functools.partial(_xlogy.defjvp, symbolic_zeros=True)
def _xlogy_jvp(primals, tangents):
    x, y = primals
    return _xlogy(x, y), _times_tangent(x, jnp.log(y), y, tangents)


@jax.custom_jvp
def _xlog1py(x, y):
    return _times(x, _log1p(y), y)


@functools.partial(_xlog1py.defjvp, symbolic_zeros=True)
def _xlog1py_jvp(primals, tangents):
    x, y = primals
    return _xlog1py(x, y), _times_tangent(x, _log1p(y), 1 + y, tangents)
