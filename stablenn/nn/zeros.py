"""Functions whose derivative at zero is infinite or undefined, and here zero."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._quotients import over
from stablenn.nn._rounding import rounded_once


@jax.jit
@rounded_once("x")
def safe_sqrt(x: ArrayLike) -> jax.Array:
    r"""Square root with the derivative 0 at 0.

    .. math:: \mathrm{safe\_sqrt}(x) = \sqrt x, \qquad \mathrm{safe\_sqrt}'(0) := 0

    The derivative of ``sqrt`` is infinite at 0, and NaN after the multiplication by 0 that usually follows.

    Args:
      x: input array of any shape, real; negative numbers give NaN.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 0.5 / 1.4, float32 0.5 / 1.5,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> distance = lambda sqrt: lambda x: sqrt(jnp.sum(x**2))
      >>> print(jax.grad(distance(nn.safe_sqrt))(jnp.zeros(2)), jax.grad(distance(jnp.sqrt))(jnp.zeros(2)))
      [0. 0.] [nan nan]
    """
    return _safe_sqrt(x)


@jax.custom_jvp
def _safe_sqrt(x):
    return jnp.sqrt(x)


@_safe_sqrt.defjvp
def _safe_sqrt_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    root = _safe_sqrt(x)
    return root, t * (0.5 * _safe_divide(jnp.ones_like(x), root))


@jax.jit
@rounded_once("x", "y")
def safe_divide(x: ArrayLike, y: ArrayLike) -> jax.Array:
    r"""Division that gives 0 where the divisor is 0, with derivatives of 0 there.

    .. math:: \mathrm{safe\_divide}(x, y) = \begin{cases} x / y & y \ne 0 \\ 0 & y = 0 \end{cases}

    A NaN in x passes through, also where y is 0.

    Args:
      x: dividend, real.
      y: divisor, real, broadcast against `x`.

    Returns:
      An array of the broadcast shape, and of the promoted dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` or `y` is complex.

    Accuracy:
      Max ULP, value / gradient: float64 0.5 / 1.6, float32 0.5 / 1.6,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.safe_divide(jnp.array([1.0, 1.0]), jnp.array([0.0, 4.0])), jax.grad(nn.safe_divide)(1.0, 0.0))
      [0.   0.25] 0.0
    """
    return _safe_divide(*jnp.broadcast_arrays(x, y))


@jax.custom_jvp
def _safe_divide(x, y):
    nothing = y == 0
    return jnp.where(nothing & ~jnp.isnan(x), 0, x / jnp.where(nothing, 1, y))


@_safe_divide.defjvp
def _safe_divide_jvp(primals, tangents):
    (x, y), (x_t, y_t) = primals, tangents
    nothing = y == 0
    quotient = _safe_divide(x, y)
    divisor = jnp.where(nothing, 1, y)
    # x / y^2 as two divisions, since y^2 leaves the range long before the quotient does
    return quotient, jnp.where(nothing, 0, over(x_t, divisor) - over(quotient, divisor) * y_t)
