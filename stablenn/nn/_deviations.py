"""Deviations from the mean, or from zero, and their ratios to the root of their mean square.

The mean is taken of differences from one of the entries: those of equal entries are exactly zero, and an offset that
is common to all of them costs no digits. Squares are those of entries scaled by a power of two.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stablenn.nn._masks import masked
from stablenn.nn._scaling import binade, for_each, halves, ordinary, quotient, scaled, scaled_by, unless
from stablenn.nn._sums import Axes, total


class Deviations(NamedTuple):
    """What makes deviations of the entries of rows, scaled by a power of two; reduced axes are kept."""

    scale: jax.Array
    centre: jax.Array  # of the scaled entries
    shift: jax.Array  # what was rounded away from it
    squares: jax.Array  # the sum of the squared deviations of scaled entries
    infinite: jax.Array  # rows with an infinity, whose scaled entries are the signs of infinities among zeros
    several: jax.Array  # rows with several of them

    def of(self, x: jax.Array) -> jax.Array:
        """The deviations of the scaled entries."""
        return (scaled_by(x, self.scale, self.infinite).values - self.centre) - self.shift


def count(x: jax.Array, axes: Axes, where: jax.Array | None) -> jax.Array | float:
    """How many entries each row has."""
    if where is None:
        return float(math.prod(x.shape[i] for i in axes))
    return jnp.sum(where, axes, keepdims=True, dtype=x.dtype)


def mean(x: jax.Array, axes: Axes, where: jax.Array | None) -> jax.Array:
    """The mean of each row, by a sum that may overflow."""
    return total(masked(x, where), axes) / count(x, axes, where)


def _reference(y: jax.Array, axes: Axes, where: jax.Array | None) -> jax.Array:
    """One of the entries of each row."""
    if where is not None:
        return jnp.max(jnp.where(where, y, -jnp.inf), axes, keepdims=True, initial=-jnp.inf)
    if any(y.shape[i] == 0 for i in axes):
        return jnp.zeros([1 if i in axes else size for i, size in enumerate(y.shape)], y.dtype)
    return y[tuple(slice(1) if i in axes else slice(None) for i in range(y.ndim))]


def deviations(x: jax.Array, where: jax.Array | None, axes: Axes, centred: bool, epsilon=0.0) -> Deviations:
    """What x less its mean is, or x itself, where `epsilon` is added to the mean square."""
    if centred:
        return _from_mean(x, where, axes, epsilon)
    square = _squares(x, where, axes)
    plain = _plain(1.0, jnp.zeros_like(square), jnp.zeros_like(square), square)
    return unless(ordinary(square + epsilon), plain, lambda: _careful(x, where, axes, centred))


def _from_mean(x, where, axes, epsilon) -> Deviations:
    """Two passes where the mean is smaller than the deviations: then its rounding does not count beside them."""
    entries = count(x, axes, where)
    centre = total(masked(x, where), axes) / entries
    square = _squares(x - centre, where, axes)
    epsilon = for_each(square, epsilon)
    near = ordinary(square) & (4 * centre * centre <= square / entries)

    def twice():
        # Deviations from a rounded mean are nearly exact: what their mean is was missing. Lifted, none is flushed.
        info = jnp.finfo(x.dtype)
        lift = 2.0 ** (info.nmant + 1)
        lifted = x * lift
        centre = total(masked(lifted, where), axes) / entries
        shift = total(masked(lifted - centre, where), axes) / entries
        square = _squares((lifted - centre) - shift, where, axes)
        known = ordinary(square * (1 / lift) * (1 / lift) + epsilon)
        known &= centre * centre <= square / entries * 2.0**info.nmant
        plain = _plain(1 / lift, centre, shift, square)
        return unless(near | known, plain, lambda: _careful(x, where, axes, centred=True))

    return unless(near, _plain(1.0, centre, jnp.zeros_like(centre), square), twice)


def _plain(scale, centre, shift, squares) -> Deviations:
    finite = jnp.zeros_like(squares, bool)
    return Deviations(jnp.full_like(squares, scale), centre, shift, squares, finite, finite)


def _squares(values, where, axes):
    values = masked(values, where)
    return total(values * values, axes)


def _careful(x, where, axes, centred) -> Deviations:
    values, scale, infinite = scaled(x, axes, where)
    centre = shift = jnp.zeros_like(scale)
    if centred:
        reference = jnp.where(infinite, 0, _reference(values, axes, where))
        centre = reference + mean(values - reference, axes, where)
        values = values - centre
        shift = mean(values, axes, where)
        values = values - shift
    squares = _squares(values, where, axes)
    several = infinite & (squares + count(x, axes, where) * (centre * centre) > 1.5)
    return Deviations(scale, centre, shift, squares, infinite, several)


class Ratios(NamedTuple):
    """Deviations over the root of their mean square plus epsilon; zeros where nothing deviates and epsilon is 0."""

    deviations: Deviations
    factor: jax.Array  # what scaled deviations are multiplied by, to be over `power`
    lift: jax.Array  # and this, which keeps small ones in range
    square: jax.Array
    root: jax.Array  # what is divided by is this times power
    power: jax.Array
    constant: jax.Array  # where nothing depends on x

    @property
    def inverse(self) -> jax.Array:
        """One over the root: 0 where nothing depends on x."""
        return jnp.where(self.constant, 0, 1) / self.root

    def lifted(self, x: jax.Array, centred: bool) -> jax.Array:
        """The deviations over `power`, times `lift`."""
        if centred:
            return self.deviations.of(x) * (self.factor * self.lift)
        # x itself has entries that vanish beside the largest
        return scaled_by(x, self.power, self.deviations.infinite).values

    def inside(self, x: jax.Array, centred: bool) -> jax.Array:
        """The deviations over `power`."""
        return self.deviations.of(x) * self.factor if centred else self.lifted(x, centred)


def _ratios(x, where, epsilon, axes, centred) -> Ratios:
    of_rows = deviations(x, where, axes, centred, epsilon)
    scale, infinite = of_rows.scale, of_rows.infinite
    mean_square = of_rows.squares / count(x, axes, where)
    # what is added up is scaled once more, by a power of two near the larger summand
    power = binade(jnp.maximum(jnp.sqrt(mean_square) * scale, jnp.sqrt(epsilon)))
    constant = infinite | ((mean_square == 0) & (epsilon == 0))
    # masked entries may deviate where no other does
    factor = jnp.where(constant, 1, jnp.minimum(scale * (1 / power), jnp.finfo(x.dtype).max))
    # XLA divides by the product of two divisors, which may be 0: inverses are multiplied
    square = mean_square * factor * factor + jnp.where(infinite, 0, epsilon * (1 / power) * (1 / power))
    undefined = of_rows.several | jnp.isnan(mean_square)
    square = jnp.where(undefined, jnp.nan, jnp.where(square == 0, 1, square))
    lift = jnp.where(centred & (factor < 2.0**-60), 2.0**60, 1).astype(x.dtype)
    return Ratios(of_rows, factor, lift, square, jnp.sqrt(square), power, constant)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def ratios(x, where, epsilon, axes, centred):
    """The ratios, and the inverse of the root that they are divided by."""
    r = _ratios(x, where, epsilon, axes, centred)
    return r.lifted(x, centred) / (r.root * r.lift), r.inverse * (1 / r.power)


@ratios.defjvp
def _ratios_jvp(axes, centred, primals, tangents):
    (x, where, epsilon), (t, _, epsilon_t) = primals, tangents
    values, inverse = ratios(x, where, epsilon, axes, centred)
    inside, weight = _projection(x, where, epsilon, axes, centred)
    before, after = halves(inverse)
    moved = t * before
    along = weight * total(masked(inside * moved, where), axes)
    across = (_centred(moved, where, axes, centred) - inside * along) * after
    by_epsilon = inverse * (inverse * epsilon_t) / 2
    slope = inverse * mean(values * t, axes, where) + by_epsilon
    return (values, inverse), (across - values * by_epsilon, -inverse * slope)


def _centred(t, where, axes, centred):
    return t - mean(t, axes, where) if centred else t


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _projection(x, where, epsilon, axes, centred):
    """Deviations, and one over the sum of their squares and epsilon: the product of two of them and of this is that of
    two ratios, over the number of these."""
    r = _ratios(x, where, epsilon, axes, centred)
    weight = 1 / (r.square * count(x, axes, where))
    return r.inside(x, centred), weight


@_projection.defjvp
def _projection_jvp(axes, centred, primals, tangents):
    (x, where, epsilon), (t, _, epsilon_t) = primals, tangents
    _, inverse = ratios(x, where, epsilon, axes, centred)
    inside, weight = _projection(x, where, epsilon, axes, centred)
    power = jax.lax.stop_gradient(_ratios(x, where, epsilon, axes, centred).power)
    t = _centred(t, where, axes, centred) / power
    along = 2 * weight * total(masked(inside * t, where), axes) + inverse * (inverse * epsilon_t)
    return (inside, weight), (t, -weight * along)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def scaled_ratios(x, factors, where, epsilon, axes, centred):
    """The ratios times `factors`, also where a ratio alone would vanish."""
    r = _ratios(x, where, epsilon, axes, centred)
    if centred:
        return r.lifted(x, centred) / r.root * factors / r.lift
    infinite = r.deviations.infinite
    return jnp.where(infinite, r.lifted(x, centred) / r.root * factors, quotient(x, factors, 1 / r.power, r.root))


@scaled_ratios.defjvp
def _scaled_ratios_jvp(axes, centred, primals, tangents):
    (x, factors, where, epsilon), (t, factors_t, _, epsilon_t) = primals, tangents
    values, inverse = ratios(x, where, epsilon, axes, centred)
    inside, weight = _projection(x, where, epsilon, axes, centred)
    # The factors belong to the weights of the sum, which lifts small ones: no part of the difference is flushed alone.
    digits = 2.0 ** (jnp.finfo(x.dtype).nmant + 1)
    lift = jnp.where(inverse > 2.0**60, 1, digits).astype(x.dtype)
    # Forward mode forms the difference of each entry: where that is small, it is lifted as well.
    raised = jnp.where(jnp.abs(factors) < 2.0**-40, digits, 1).astype(x.dtype)
    # In some rows it may be large, or the product of lifted factors, which must not be infinite beside a zero tangent.
    room = 2.0**124 / (inverse * lift) / jnp.max(jnp.abs(factors), initial=0)
    power = jnp.where(inverse < 2.0**-40, digits, jnp.where(room < 1, binade(room), 1)).astype(x.dtype)
    slope = factors * raised * _inverse(x, where, epsilon, lift * power, axes, centred)
    t = t * (1 / lift)
    along = weight * total(masked(inside * t, where), axes)
    tangent = slope * (_centred(t, where, axes, centred) - inside * along) * (1 / power) * (1 / raised)
    tangent = tangent + values * factors_t - values * factors * (inverse * (inverse * epsilon_t) / 2)
    return scaled_ratios(x, factors, where, epsilon, axes, centred), tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def _inverse(x, where, epsilon, power, axes, centred):
    """One over the root, times a power of two."""
    r = _ratios(x, where, epsilon, axes, centred)
    return r.inverse * jnp.minimum(power / r.power, jnp.finfo(x.dtype).max)


@_inverse.defjvp
def _inverse_jvp(axes, centred, primals, tangents):
    (x, where, epsilon, power), (t, _, epsilon_t, _) = primals, tangents

    def inverse(x, epsilon):
        return ratios(x, where, epsilon, axes, centred)[1] * power

    _, tangent = jax.jvp(inverse, (x, epsilon), (t, epsilon_t))
    return _inverse(x, where, epsilon, power, axes, centred), tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def variances(x, where, degrees, axes):
    """The sum of squared deviations over `degrees`."""
    r = deviations(x, where, axes, centred=True)
    # infinities of one sign throughout have no limit, a single number has no variance
    unbounded = jnp.where(r.squares == 0, jnp.where(count(x, axes, where) == 1, 0 * degrees, jnp.nan), jnp.inf)
    bounded = r.squares / degrees * r.scale * r.scale
    return jnp.where(degrees > 0, jnp.where(r.infinite, unbounded, bounded), jnp.nan)


@variances.defjvp
def _variances_jvp(axes, primals, tangents):
    (x, where, degrees), (t, _, _) = primals, tangents
    slope = weighted_deviations(x, where, 2 / degrees, axes)
    return variances(x, where, degrees, axes), total(slope * t, axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def weighted_deviations(x, where, weight, axes):
    """The deviations times `weight`; 0 where masked, NaN where several infinities have no limit."""
    r = deviations(x, where, axes, centred=True)
    values = r.of(x) * weight
    # the selection keeps XLA from multiplying weight and scale first, which may be too small for the format
    values = jnp.where(r.infinite & (values != 0), jnp.copysign(jnp.inf, values), values) * r.scale
    return masked(jnp.where(r.several, jnp.nan, values), where)


@weighted_deviations.defjvp
def _weighted_deviations_jvp(axes, primals, tangents):
    (x, where, weight), (t, _, _) = primals, tangents
    tangent = masked(weight * (t - mean(t, axes, where)), where)
    return weighted_deviations(x, where, weight, axes), tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def means(x, where, axes):
    """The mean, whose sum does not overflow."""
    average = mean(x, axes, where)

    def careful():
        values, scale, infinite = scaled(x, axes, where)
        average = mean(values, axes, where)
        one_sign = jnp.abs(average) == mean(jnp.abs(values), axes, where)
        return jnp.where(infinite, jnp.where(one_sign, jnp.copysign(jnp.inf, average), jnp.nan), average * scale)

    return unless(ordinary(average * average), average, careful)


@means.defjvp
def _means_jvp(axes, primals, tangents):
    (x, where), (t, _) = primals, tangents
    return means(x, where, axes), mean(t, axes, where)
