"""Norms of vectors and matrices, over the whole range of the format."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn.nn._axes import axes_of
from stablenn.nn._elementary.words import Words, fast_two_sum, multiply, square
from stablenn.nn._rounding import float_dtype, rounded_once
from stablenn.nn._scaling import Scaled, halves, scaled
from stablenn.nn._shares import Axis
from stablenn.nn._sums import dot, total


@functools.partial(jax.jit, static_argnames=("ord", "axis", "keepdims"))
def norm(x: ArrayLike, ord: int | float | str | None = None, axis: Axis = None, keepdims: bool = False) -> jax.Array:
    r"""Norm of a vector or a matrix.

    .. math:: \mathrm{norm}(x) = \sqrt{\sum_j x_j^2}

    The Euclidean norm (the default; Frobenius' norm of a matrix) is computed on entries scaled by a power of two: it
    neither overflows nor vanishes anywhere between the smallest normal and the largest float. Its gradient is
    :math:`x / \mathrm{norm}(x)`, and zero where `x` is zero. Other orders are those of `jax.numpy.linalg.norm`.

    Args:
      x: input array of any shape, real.
      ord: order of the norm, as for `jax.numpy.linalg.norm`.
      axis: the axis of vectors, or the two axes of matrices; None for all of `x`, which then may have any number of
        axes if `ord` is None, and one or two otherwise.
      keepdims: whether to keep the reduced axes with length 1.

    Returns:
      An array of the shape of `x` without the reduced axes, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.
      ValueError: if `ord` and `axis` do not fit each other or `x`.

    Accuracy:
      Max ULP, value / gradient: float64 1.2 / 2.2, float32 1.2 / 2.1,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.norm(jnp.array([3e30, 4e30])), jax.grad(nn.norm)(jnp.zeros(2)))
      5e+30 [0. 0.]
    """
    float_dtype("norm", x=x)
    axes = axes_of(axis, np.ndim(x), "norm")
    if axis is not None and len(axes) > 2:
        raise ValueError(f"norm: axis must be one axis of vectors or two axes of matrices, got {axis}")
    if ord is None or (ord == 2 and len(axes) == 1) or (ord == "fro" and len(axes) == 2):
        return _reduced(x, axes, keepdims)
    return jnp.linalg.norm(x, ord, axis, keepdims)


@rounded_once("x")
def _reduced(x, axes, keepdims):
    out = euclidean(x, axes)
    return out if keepdims else jnp.squeeze(out, axes)


def _sized(x: jax.Array, axes: tuple[int, ...]) -> tuple[Scaled, jax.Array]:
    """Scaled entries, and the norm of these."""
    entries = scaled(x, axes)
    return entries, jnp.sqrt(total(entries.values * entries.values, axes))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def euclidean(x, axes):
    """The Euclidean norm with the reduced axes kept."""
    entries, size = _sized(x, axes)
    return jnp.where(entries.infinite, size * jnp.inf, size * entries.scale)


@euclidean.defjvp
def _euclidean_jvp(axes, primals, tangents):
    (x,), (t,) = primals, tangents
    return euclidean(x, axes), total(direction(x, axes) * t, axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def direction(x, axes):
    """x / norm(x): zero for a zero, the axis of a single infinity, NaN for several, which have no limit."""
    entries, size = _sized(x, axes)
    several = entries.infinite & (size > 1)
    return entries.values / jnp.where(several, jnp.nan, jnp.where(size == 0, 1, size))


@direction.defjvp
def _direction_jvp(axes, primals, tangents):
    (x,), (t,) = primals, tangents
    values, weights, inverse, factor = _projection(x, axes)
    before, after = halves(jax.lax.stop_gradient(jnp.minimum(factor, 1)))
    t = t * before
    return direction(x, axes), (t * inverse - values * total(weights * t, axes)) * after


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _projection(x, axes):
    """Scaled entries, these over the cube of their norm, 1 over the norm, and 1 over the scale.

    The second and the third are multiplied by the last where it is above 1: so products of small entries stay in
    range. The last two are 0 where a derivative vanishes. The cube is rounded once: what else is rounded in a
    derivative is two products.
    """
    entries = scaled(x, axes)
    exact = dot(entries.values, entries.values, axes)
    vanishes, several = (exact.high == 0) | entries.infinite, entries.infinite & (exact.high > 1)
    exact = Words(jnp.where(vanishes, 1, exact.high), jnp.where(vanishes, 0, exact.low))
    root = 1 / jnp.sqrt(exact.high)
    square_over = multiply(square(root), exact)  # nearly 1: Newton's step
    inverse = fast_two_sum(root, root * (((1 - square_over.high) - square_over.low) / 2))
    cube = multiply(multiply(inverse, inverse), inverse).rounded
    factor = jnp.where(vanishes, 0, 1 / entries.scale)
    lift = jnp.maximum(factor, 1)
    weights = entries.values * jnp.where(several, jnp.nan, cube * lift)
    return entries.values, weights, jnp.where(vanishes, 0, inverse.high * lift), factor


@_projection.defjvp
def _projection_jvp(axes, primals, tangents):
    (x,), (t,) = primals, tangents
    values, weights, inverse, factor = _projection(x, axes)
    t, unscaled = t * factor, inverse / jnp.maximum(factor, 1)
    along = total(weights * t, axes)
    relative = along / jnp.where(inverse == 0, 1, inverse)
    across = t * unscaled * unscaled * inverse - 3 * weights * relative
    return (values, weights, inverse, factor), (t, across, -along, jnp.zeros_like(factor))
