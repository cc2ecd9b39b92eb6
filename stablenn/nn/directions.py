"""Directions of vectors, and the angles between them."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._axes import Axis, axes_of
from stablenn.nn._masks import masked, with_mask
from stablenn.nn._rounding import rounded_once
from stablenn.nn._scaling import for_each, lifted, ordinary, quotient, scaled, scaled_by, unless
from stablenn.nn._sums import dot, few, lift, total
from stablenn.nn.norms import direction, euclidean


@functools.partial(jax.jit, static_argnames=("axis",))
@rounded_once("x")
def normalize(x: ArrayLike, axis: Axis = -1, epsilon: ArrayLike = 0.0) -> jax.Array:
    r"""Unit vectors.

    .. math:: \mathrm{normalize}(x) = \frac{x}{\max(\mathrm{norm}(x), \epsilon)}

    A vector of zeros stays one, and its gradient is zero; so an `epsilon` is not needed.

    Args:
      x: input array of any shape, real.
      axis: the axis or axes of the vectors; None for all of `x`.
      epsilon: the smallest norm to divide by, not negative.

    Returns:
      An array of the shape of `x`, and of its dtype (the default float dtype for integers).

    Raises:
      TypeError: if `x` is complex.
      ValueError: if `axis` does not fit `x`.

    Accuracy:
      Max ULP, value / gradient: float64 2.2 / [1.8], float32 2.3 / [2.1],
      float16 0.5 / [0.5], bfloat16 0.5 / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.normalize(jnp.array([[3e-30, 4e-30], [3e30, 4e30], [0.0, 0.0]])).round(3))
      [[0.6 0.8]
       [0.6 0.8]
       [0.  0. ]]
    """
    x = jnp.asarray(x)
    axes = axes_of(axis, x.ndim, "normalize")
    epsilon = jnp.asarray(epsilon, x.dtype)
    return direction(x, epsilon, axes)


@functools.partial(jax.jit, static_argnames=("axis",))
@rounded_once("predictions", "targets")
def cosine_similarity(
    predictions: ArrayLike,
    targets: ArrayLike,
    *,
    epsilon: ArrayLike = 0.0,
    axis: Axis = -1,
    where: ArrayLike | None = None,
) -> jax.Array:
    r"""Cosine of the angle between vectors.

    .. math:: \cos(a, b) = \frac{\sum_j a_j b_j}{\mathrm{norm}(a) \, \mathrm{norm}(b)}

    The products are added up with what their rounding takes away. With a vector of zeros the similarity is 0, and so
    are its gradients.

    Args:
      predictions: vectors :math:`a`, with shape `[..., dim]`, real.
      targets: vectors :math:`b`, broadcast against `predictions`.
      epsilon: the smallest squared norm to divide by, as in optax, not negative.
      axis: the axis or axes of the vectors; None for all.
      where: elements to include, broadcast against `predictions`.

    Returns:
      Similarities between -1 and 1, with shape `[...]`; their dtype is that of `predictions` and `targets`, promoted.

    Raises:
      TypeError: if an argument is complex.
      ValueError: if `axis` does not fit the arrays.

    Accuracy:
      Max ULP, value / gradient: float64 [2.3] / [3.4], float32 [2.3] / [3.6],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> print(nn.cosine_similarity(jnp.array([3e30, 4e30]), jnp.array([[4e-30, 3e-30], [0.0, 0.0]])))
      [0.96 0.  ]
    """
    predictions, targets = jnp.broadcast_arrays(predictions, targets)
    predictions, mask = with_mask(predictions, where)
    targets = jnp.broadcast_to(targets, predictions.shape)
    axes = axes_of(axis, predictions.ndim, "cosine_similarity")
    least = jnp.asarray(epsilon, predictions.dtype)
    return jnp.squeeze(_cosine(masked(predictions, mask), masked(targets, mask), least, axes), axes)


class _Cosines(NamedTuple):
    """What rows have; reduced axes are kept."""

    a_scale: jax.Array
    b_scale: jax.Array
    a_infinite: jax.Array
    b_infinite: jax.Array
    size: jax.Array  # the product of both norms of scaled vectors
    product: jax.Array  # of scaled vectors
    by_a: jax.Array  # the product over the square of the norm, 0 where that is less than `least`
    by_b: jax.Array
    defined: jax.Array

    @property
    def cosine(self) -> jax.Array:
        return self.product / self.size


def _cosines(a, b, least, axes) -> _Cosines:
    """Long rows whose squares and products stay in range are read three times, and not scaled."""
    if few(a, axes):
        return _careful(a, b, least, axes)
    a_square, b_square, product = (jnp.sum(x * y, axes, keepdims=True) for x, y in ((a, a), (b, b), (a, b)))
    least = for_each(product, least)
    one, false = jnp.ones_like(product), jnp.zeros_like(product, bool)
    plain = _joined(one, one, false, false, least, least, a_square, b_square, product)
    return unless(_common(a_square, b_square, product, least), plain, lambda: _careful(a, b, least, axes))


def _common(a_square, b_square, product, least):
    return ordinary(a_square) & ordinary(b_square) & ordinary(product * product) & (least <= 1)


def _joined(a_scale, b_scale, a_infinite, b_infinite, a_least, b_least, a_square, b_square, product) -> _Cosines:
    a_short, b_short = a_square < a_least, b_square < b_least
    a_square, b_square = jnp.where(a_short, a_least, a_square), jnp.where(b_short, b_least, b_square)
    defined = (a_square != 0) & (b_square != 0)
    product = jnp.where(defined, product, a_square * b_square)  # 0 or NaN
    size = jnp.where(defined, jnp.sqrt(a_square * b_square), 1)
    by_a = jnp.where(a_short, 0, product / jnp.where(a_square == 0, 1, a_square))
    by_b = jnp.where(b_short, 0, product / jnp.where(b_square == 0, 1, b_square))
    return _Cosines(a_scale, b_scale, a_infinite, b_infinite, size, product, by_a, by_b, defined)


def _careful(a, b, least, axes) -> _Cosines:
    """Of vectors scaled by a power of two, with products that are added up with what their rounding takes away."""

    raised = lift(a.dtype)

    def product_of(x, y):
        return dot(x, y, axes).rounded * raised**-2

    def squared(x):
        entries = scaled(x, axes, least=jnp.sqrt(least))
        values = lifted(x, entries.scale, entries.infinite, raised)
        square = product_of(values, values)
        floor = jnp.where(entries.infinite, 0, least * (1 / entries.scale) * (1 / entries.scale))
        # several infinities have no direction
        return entries, values, floor, jnp.where(entries.infinite & (square > 1), jnp.nan, square)

    (a, a_values, a_least, a_square), (b, b_values, b_least, b_square) = squared(a), squared(b)
    product = product_of(a_values, b_values)
    return _joined(a.scale, b.scale, a.infinite, b.infinite, a_least, b_least, a_square, b_square, product)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _cosine(a, b, least, axes):
    return jnp.clip(_cosines(a, b, least, axes).cosine, -1, 1)


@_cosine.defjvp
def _cosine_jvp(axes, primals, tangents):
    (a, b, least), (a_t, b_t, least_t) = primals, tangents
    by_a, by_b = _cosine_slopes(a, b, least, axes)
    cosine = _cosine(a, b, least, axes)
    root = jnp.sqrt(least)
    short = sum(jnp.where(euclidean(x, axes) < root, 1, 0) for x in (a, b))
    by_least = jnp.where(short > 0, -cosine * short / (2 * jnp.where(least == 0, 1, least)), 0)
    return cosine, total(by_a * a_t, axes) + total(by_b * b_t, axes) + by_least * least_t


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _cosine_slopes(a, b, least, axes):
    """The gradients by `a` and `b`: the part of the other direction that is across, over the norm."""
    rows = _cosines(a, b, least, axes)

    def careful():
        scaled_a = scaled_by(a, rows.a_scale, rows.a_infinite)
        scaled_b = scaled_by(b, rows.b_scale, rows.b_infinite)
        return (
            _careful_slope(rows, a, scaled_a, b, scaled_b, rows.by_a),
            _careful_slope(rows, b, scaled_b, a, scaled_a, rows.by_b),
        )

    if few(a, axes):
        return careful()
    # a lifted difference loses none of its terms to the lower end of the range
    up = 2.0 ** (jnp.finfo(a.dtype).nmant + 1)
    outward = up / rows.size

    def plain():
        return (
            (b * outward - a * (rows.by_a * outward)) * (1 / up),
            (a * outward - b * (rows.by_b * outward)) * (1 / up),
        )

    moderate = ordinary(rows.size) & ordinary(rows.by_a * rows.by_a) & ordinary(rows.by_b * rows.by_b)
    common = moderate & (rows.a_scale == 1) & (rows.b_scale == 1)
    return jax.lax.cond(jnp.all(common), plain, careful)


def _careful_slope(rows, x, entries, other, others, share):
    def difference(lift, lower):
        inverse = lower / entries.scale
        across = jnp.where(others.infinite, others.values * lift * inverse, term(other, others, lift, inverse))
        return across - share * jnp.where(entries.infinite, 0, term(x, entries, lift, inverse))

    def term(x, by, lift, inverse):
        large = jnp.abs(x) >= 1
        return quotient(x * jnp.where(large, 1, lift), jnp.where(large, lift, 1) / by.scale, inverse, 1)

    # A lifted difference loses none of its terms to the lower end of the range; what that takes beyond the upper
    # end is lowered instead.
    up, down = 2.0 ** (jnp.finfo(x.dtype).nmant + 1), 2.0**-8
    lifted, lowered = difference(up, 1), difference(1, down)
    out = jnp.where(jnp.isfinite(lifted), lifted / rows.size * (1 / up), lowered / rows.size * (1 / down))
    return jnp.where(rows.defined, jnp.where(entries.infinite, 0 * rows.cosine, out), rows.cosine)


@_cosine_slopes.defjvp
def _cosine_slopes_jvp(axes, primals, tangents):
    def slope(a, b, least):
        least = jnp.sqrt(jnp.where(least == 0, 1, least)) * jnp.where(least == 0, 0, 1)
        size, short = euclidean(a, axes), euclidean(a, axes) < least
        along = jnp.where(short, 0, _cosine(a, b, least * least, axes) * direction(a, least, axes))
        defined = (size != 0) & (euclidean(b, axes) != 0)
        across = direction(b, least, axes) - along
        return jnp.where(defined, across / jnp.where(defined, jnp.maximum(size, least), 1), 0)

    def slopes(a, b, least):
        return slope(a, b, least), slope(b, a, least)

    return _cosine_slopes(*primals, axes), jax.jvp(slopes, primals, tangents)[1]
