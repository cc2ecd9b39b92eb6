"""Norms of vectors and matrices, over the whole range of the format."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from stablenn.nn._axes import Axis, axes_of
from stablenn.nn._elementary.words import Words, fast_two_sum, multiply, single, square
from stablenn.nn._rounding import float_dtype, rounded_once
from stablenn.nn._scaling import binade, for_each, halves, ordinary, scaled, scaled_by, unless
from stablenn.nn._sums import dot, few, lift, total


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
      Max ULP, value / gradient: float64 1.4 / 2.2, float32 1.3 / 2.3,
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


class Sized(NamedTuple):
    """Vectors scaled by a power of two; reduced axes are kept."""

    scale: jax.Array
    infinite: jax.Array
    square: jax.Array  # the sum of the squares of the scaled entries; where a vector is infinite, of its infinities

    @property
    def several(self) -> jax.Array:
        """Several infinities, which have no direction."""
        return self.infinite & (self.square > 1)


def sized(x: jax.Array, axes: tuple[int, ...], least: jax.Array | float = 0) -> Sized:
    """Vectors scaled near their norms, or near `least` if that is larger.

    Where no square leaves the range, their sum comes first: one pass over the entries, not three.
    """
    square = total(x * x, axes)
    least = for_each(square, least).astype(x.dtype)
    scale = binade(jnp.maximum(jnp.sqrt(square), least))
    plain = Sized(scale, jnp.zeros_like(square, bool), square * (1 / scale) * (1 / scale))

    def careful():
        values, scale, infinite = scaled(x, axes, least=least)
        return Sized(scale, infinite, total(values * values, axes))

    return unless(ordinary(square), plain, careful)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def euclidean(x, axes):
    """The Euclidean norm with the reduced axes kept."""
    size = sized(x, axes)
    return jnp.where(size.infinite, jnp.inf, jnp.sqrt(size.square) * size.scale)


@euclidean.defjvp
def _euclidean_jvp(axes, primals, tangents):
    (x,), (t,) = primals, tangents
    return euclidean(x, axes), total(direction(x, jnp.zeros((), x.dtype), axes) * t, axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def direction(x, least, axes):
    """x over its norm, or over `least` where that is larger.

    It is zero for a zero, the axis of a single infinity, NaN for several, which have no limit.
    """
    size = sized(x, axes, least)
    root, bound = jnp.sqrt(size.square), least * (1 / size.scale)
    divisor = jnp.where(size.infinite, 1, jnp.maximum(root, bound))
    divisor = jnp.where(size.several, jnp.nan, jnp.where(divisor == 0, 1, divisor))
    return scaled_by(x, size.scale, size.infinite).values / divisor


@direction.defjvp
def _direction_jvp(axes, primals, tangents):
    (x, least), (t, least_t) = primals, tangents
    values, inverse, cube, factor, short = _projection(x, least, axes)
    # a factor above 1 lies between the entries in both directions: so products of small ones stay in range
    before, after = halves(jax.lax.stop_gradient(jnp.minimum(factor, 1)))
    after = after * jnp.maximum(factor, 1)
    t = t * before
    across = t * (inverse * after) - values * (cube * after * total(values * t, axes))
    return direction(x, least, axes), across - values * inverse * (short * inverse * factor * least_t)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _projection(x, least, axes):
    """Scaled entries, 1 over their norm (or over the scaled `least`), its cube (or 0), 1 over the scale, and which.

    Where a derivative vanishes, there are zeros. The cube is rounded once: what else is rounded in a derivative is
    two products.
    """
    size = sized(x, axes, least)
    bound = least * (1 / size.scale)
    short = ~size.infinite & (jnp.sqrt(size.square) < bound)
    vanishes = size.infinite | (~short & (size.square == 0))
    values = jnp.where(jnp.isinf(x), 0, x * jnp.where(size.infinite, 0, 1 / size.scale))
    exact = single(size.square)
    if few(x, axes):
        lifted, power = values * lift(x.dtype), lift(x.dtype) ** -2
        exact = dot(lifted, lifted, axes).times_power(power)
    one = Words(jnp.where(vanishes | short, 1, exact.high), jnp.where(vanishes | short, 0, exact.low))
    root = 1 / jnp.sqrt(one.high)
    square_over = multiply(square(root), one)  # nearly 1: Newton's step
    inverse = fast_two_sum(root, root * (((1 - square_over.high) - square_over.low) / 2))
    cube = multiply(multiply(inverse, inverse), inverse).rounded
    inverse = jnp.where(short, 1 / jnp.where(short, bound, 1), inverse.high)
    nothing = jnp.where(size.several, jnp.nan, 0)
    return (
        values,
        jnp.where(vanishes, nothing, inverse),
        jnp.where(vanishes | short, nothing, cube),
        jnp.where(vanishes, 0, 1 / size.scale),
        short.astype(x.dtype),
    )


@_projection.defjvp
def _projection_jvp(axes, primals, tangents):
    (x, least), (t, least_t) = primals, tangents
    values, inverse, cube, factor, short = _projection(x, least, axes)
    t = t * factor
    along = total(values * t, axes)
    inverse_t = -cube * along - short * inverse * (inverse * (factor * least_t))
    cube_t = -3 * cube * (inverse * (inverse * along))
    zeros = jnp.zeros_like(factor)
    return (values, inverse, cube, factor, short), (t, inverse_t, cube_t, zeros, zeros)
