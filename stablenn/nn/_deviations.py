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

from stablenn.nn._scaling import halves, power_of_two, quotient, scaled
from stablenn.nn._shares import masked
from stablenn.nn._sums import Axes, total


class Deviations(NamedTuple):
    """Deviations, scaled by a power of two; reduced axes are kept."""

    values: jax.Array
    scale: jax.Array
    mean_square: jax.Array  # of the scaled ones
    infinite: jax.Array  # rows with an infinity, whose `values` are in proportion
    several: jax.Array  # rows with several of them


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


def deviations(x: jax.Array, where: jax.Array | None, axes: Axes, centred: bool) -> Deviations:
    """x less its mean, or x itself, scaled."""
    values, scale, infinite = scaled(x, axes, where)
    centre = jnp.zeros((), x.dtype)
    if centred:
        reference = jnp.where(infinite, 0, _reference(values, axes, where))
        difference = values - reference
        centre = mean(difference, axes, where)
        # TwoDiff (Knuth): values - reference == difference + error, exactly
        back = values - difference
        error = (values - (difference + back)) + (back - reference)
        values = (difference - centre) + error
    mean_square = mean(values * values, axes, where)
    several = infinite & (count(x, axes, where) * (mean_square + centre * centre) > 1.5)
    return Deviations(values, scale, mean_square, infinite, several)


class Ratios(NamedTuple):
    """Deviations over the root of their mean square plus epsilon; zeros where nothing deviates and epsilon is 0."""

    values: jax.Array  # times `lift`, which keeps small ones in range
    lift: jax.Array
    deviations: jax.Array  # over `power`
    weights: jax.Array  # the same over the sum of their squares and epsilon: the derivative of a root by deviations
    root: jax.Array  # what is divided by is root * power; infinite where nothing depends on x
    power: jax.Array


def _ratios(x, where, epsilon, axes, centred) -> Ratios:
    values, scale, mean_square, infinite, several = deviations(x, where, axes, centred)
    # what is added up is scaled once more, by a power of two near the larger summand
    power = power_of_two(jnp.maximum(jnp.sqrt(mean_square) * scale, jnp.sqrt(epsilon)))
    nothing = mean_square == 0
    flat = infinite | (nothing & (epsilon == 0))
    # masked entries may deviate where no other does
    factor = jnp.where(flat, 1, jnp.minimum(scale / power, jnp.finfo(x.dtype).max))
    # XLA divides by the product of two divisors, which may be 0: inverses are multiplied
    square = mean_square * factor * factor + jnp.where(infinite, 0, epsilon * (1 / power) * (1 / power))
    undefined = several | jnp.isnan(mean_square)
    square = jnp.where(undefined, jnp.nan, jnp.where(square == 0, 1, square))
    root = jnp.sqrt(square)
    lift = jnp.where(centred & (factor < 2.0**-60), 2.0**60, 1).astype(x.dtype)
    # x itself has entries that vanish beside the largest
    lifted = values * (factor * lift) if centred else jnp.where(infinite, values, x * (1 / power))
    values = values * factor if centred else lifted
    weights = values / (square * count(x, axes, where))
    return Ratios(lifted / root, lift, values, weights, jnp.where(flat, root * jnp.inf, root), power)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def ratios(x, where, epsilon, axes, centred):
    """The ratios, and the inverse of the root that they are divided by."""
    r = _ratios(x, where, epsilon, axes, centred)
    return r.values / r.lift, 1 / r.power / r.root


@ratios.defjvp
def _ratios_jvp(axes, centred, primals, tangents):
    (x, where, epsilon), (t, _, epsilon_t) = primals, tangents
    values, inverse = ratios(x, where, epsilon, axes, centred)
    deviations, weights = _projection(x, where, epsilon, axes, centred)
    before, after = halves(inverse)
    moved = t * before
    across = _centred(moved, where, axes, centred) - deviations * total(masked(weights * moved, where), axes)
    across = across * after
    by_epsilon = inverse * (inverse * epsilon_t) / 2
    slope = inverse * mean(values * t, axes, where) + by_epsilon
    return (values, inverse), (across - values * by_epsilon, -inverse * slope)


def _centred(t, where, axes, centred):
    return t - mean(t, axes, where) if centred else t


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _projection(x, where, epsilon, axes, centred):
    """Deviations and weights: their products are those of two ratios, over the number of these."""
    r = _ratios(x, where, epsilon, axes, centred)
    return r.deviations, r.weights


@_projection.defjvp
def _projection_jvp(axes, centred, primals, tangents):
    (x, where, epsilon), (t, _, epsilon_t) = primals, tangents
    _, inverse = ratios(x, where, epsilon, axes, centred)
    deviations, weights = _projection(x, where, epsilon, axes, centred)
    power = jax.lax.stop_gradient(_ratios(x, where, epsilon, axes, centred).power)
    t = _centred(t, where, axes, centred) / power
    relative = inverse * power
    along = 2 * total(masked(weights * t, where), axes) + inverse * (inverse * epsilon_t)
    return (deviations, weights), (t, t * relative * relative / count(x, axes, where) - weights * along)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def scaled_ratios(x, factors, where, epsilon, axes, centred):
    """The ratios times `factors`, also where a ratio alone would vanish."""
    r = _ratios(x, where, epsilon, axes, centred)
    if centred:
        return r.values * factors / r.lift
    return jnp.where(jnp.isfinite(r.root), quotient(x, factors, 1 / r.power, r.root), r.values * factors)


@scaled_ratios.defjvp
def _scaled_ratios_jvp(axes, centred, primals, tangents):
    (x, factors, where, epsilon), (t, factors_t, _, epsilon_t) = primals, tangents
    values, inverse = ratios(x, where, epsilon, axes, centred)
    _, weights = _projection(x, where, epsilon, axes, centred)
    # The factors belong to the weights of the sum, which lifts small ones: no part of the difference is flushed alone.
    lift = jnp.where(inverse > 2.0**60, 1, 2.0 ** (jnp.finfo(x.dtype).nmant + 1)).astype(x.dtype)
    # Forward mode forms the difference of each entry: where that is small, it is lifted as well.
    small = (lift != 1) & (jnp.abs(factors) * inverse < 2.0**-60)
    raised = jnp.where(small, lift, 1)
    slope, outward = _slopes(x, factors, where, epsilon, lift, raised, axes, centred)
    t = t / lift
    tangent = slope * _centred(t, where, axes, centred) - outward * total(masked(weights * t, where), axes)
    tangent = tangent / raised
    tangent = tangent + values * factors_t - values * factors * (inverse * (inverse * epsilon_t) / 2)
    return scaled_ratios(x, factors, where, epsilon, axes, centred), tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(6, 7))
def _slopes(x, factors, where, epsilon, lift, raised, axes, centred):
    """factors * lift * raised / root, alone and times the deviations."""
    r = _ratios(x, where, epsilon, axes, centred)
    top = jnp.finfo(x.dtype).max  # an infinite slope would make NaN of a zero tangent
    alone = quotient(factors, lift * raised, 1 / r.power, r.root)
    outward = quotient(factors * lift, r.deviations * raised, 1 / r.power, r.root)
    return jnp.clip(alone, -top, top), jnp.clip(outward, -top, top)


@_slopes.defjvp
def _slopes_jvp(axes, centred, primals, tangents):
    (x, factors, where, epsilon, lift, raised), (t, factors_t, _, epsilon_t, _, _) = primals, tangents

    def slopes(x, factors, epsilon):
        _, inverse = ratios(x, where, epsilon, axes, centred)
        deviations, _ = _projection(x, where, epsilon, axes, centred)
        slope = factors * inverse * (lift * raised)
        return slope, slope * deviations

    _, tangent = jax.jvp(slopes, (x, factors, epsilon), (t, factors_t, epsilon_t))
    return _slopes(x, factors, where, epsilon, lift, raised, axes, centred), tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def variances(x, where, degrees, axes):
    """The sum of squared deviations over `degrees`."""
    values, scale, mean_square, infinite, _ = deviations(x, where, axes, centred=True)
    entries = count(x, axes, where)
    squares = total(masked(values * values, where), axes)
    # infinities of one sign throughout have no limit, a single number has no variance
    unbounded = jnp.where(mean_square == 0, jnp.where(entries == 1, 0 * degrees, jnp.nan), jnp.inf)
    return jnp.where(degrees > 0, jnp.where(infinite, unbounded, squares / degrees * scale * scale), jnp.nan)


@variances.defjvp
def _variances_jvp(axes, primals, tangents):
    (x, where, degrees), (t, _, _) = primals, tangents
    slope = weighted_deviations(x, where, 2 / degrees, axes)
    return variances(x, where, degrees, axes), total(slope * t, axes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def weighted_deviations(x, where, weight, axes):
    """The deviations times `weight`; 0 where masked, NaN where several infinities have no limit."""
    values, scale, _, infinite, several = deviations(x, where, axes, centred=True)
    values = values * weight
    # the selection keeps XLA from multiplying weight and scale first, which may be too small for the format
    values = jnp.where(infinite & (values != 0), jnp.copysign(jnp.inf, values), values) * scale
    return masked(jnp.where(several, jnp.nan, values), where)


@weighted_deviations.defjvp
def _weighted_deviations_jvp(axes, primals, tangents):
    (x, where, weight), (t, _, _) = primals, tangents
    tangent = masked(weight * (t - mean(t, axes, where)), where)
    return weighted_deviations(x, where, weight, axes), tangent


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def means(x, where, axes):
    """The mean, whose sum does not overflow."""
    values, scale, infinite = scaled(x, axes, where)
    average = mean(values, axes, where)
    one_sign = jnp.abs(average) == mean(jnp.abs(values), axes, where)
    return jnp.where(infinite, jnp.where(one_sign, jnp.copysign(jnp.inf, average), jnp.nan), average * scale)


@means.defjvp
def _means_jvp(axes, primals, tangents):
    (x, where), (t, _) = primals, tangents
    return means(x, where, axes), mean(t, axes, where)
