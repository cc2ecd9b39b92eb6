"""Norms of vectors and matrices, over the whole range of the format."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn.nn._rounding import float_dtype, rounded_once
from stablenn.nn._scaling import power_of_two
from stablenn.nn._shares import Axis


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
      Max ULP, value / gradient: float64 1.5 / 2.5, float32 1.7 / 2.6,
      float16 0.5 / 0.5, bfloat16 0.5 / 0.5 (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.norm(jnp.array([3e30, 4e30])), jax.grad(nn.norm)(jnp.zeros(2)))
      5e+30 [0. 0.]
    """
    float_dtype("norm", x=x)
    axes = _axes(axis, np.ndim(x))
    if ord is None or (ord == 2 and len(axes) == 1) or (ord == "fro" and len(axes) == 2):
        return _euclidean(x, axes, keepdims)
    return jnp.linalg.norm(x, ord, axis, keepdims)


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for i in axes:
        if not -ndim <= i < ndim:
            raise ValueError(
                f"norm: axis must lie between {-ndim} and {ndim - 1} for an array of shape with {ndim} axes, got {i}"
            )
    if len(axes) > 2:
        raise ValueError(f"norm: axis must be one axis of vectors or two axes of matrices, got {axis}")
    return tuple(i % ndim for i in axes)


@rounded_once("x")
def _euclidean(x, axes, keepdims):
    out = _norm(x, axes)
    return out if keepdims else jnp.squeeze(out, axes)


def _scaled(x: jax.Array, axes: tuple[int, ...]) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Entries times a power of two, the norm of these, and the power of two."""
    scale = power_of_two(jnp.max(jnp.abs(x), axes, keepdims=True, initial=0))
    scaled = x * (1 / scale)
    return scaled, jnp.sqrt(jnp.sum(scaled * scaled, axes, keepdims=True)), scale


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _norm(x, axes):
    """The Euclidean norm with the reduced axes kept."""
    _, size, scale = _scaled(x, axes)
    return size * scale


@_norm.defjvp
def _norm_jvp(axes, primals, tangents):
    (x,), (t,) = primals, tangents
    return _norm(x, axes), jnp.sum(_direction(x, axes) * t, axes, keepdims=True)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _direction(x, axes):
    """x / norm(x): zero for a zero, the axis of a single infinity, NaN for several, which have no limit."""
    infinite = jnp.isinf(x)
    several = jnp.sum(infinite, axes, keepdims=True) > 1
    is_finite = jnp.sum(infinite, axes, keepdims=True) == 0
    scaled, size, _ = _scaled(jnp.where(is_finite | jnp.isnan(x), x, jnp.where(infinite, jnp.sign(x), 0)), axes)
    return jnp.where(several, jnp.nan, scaled / jnp.where(size == 0, 1, size))


@_direction.defjvp
def _direction_jvp(axes, primals, tangents):
    (x,), (t,) = primals, tangents
    direction, size = _direction(x, axes), _norm(x, axes)
    across = t - direction * jnp.sum(direction * t, axes, keepdims=True)
    return direction, jnp.where(size == 0, 0, across / jnp.where(size == 0, 1, size))
