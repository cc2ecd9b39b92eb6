r"""Sums of exponentials with factors, :math:`\sum_j b_j e^{a_j}`, at any size of both.

Every term is a number times a power of two whose exponent is an integer: that of the factor plus that of the
exponential. The largest of them is the scale of the sum, so that neither a large factor of a small exponential nor a
tiny factor of a large one leaves the range. The sum is taken in two words.

Common rows need none of this: their factors are positive and of no extreme size, and their logits not near zero.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stablenn.nn._axes import Axis
from stablenn.nn._elementary.differences import exp_of_difference
from stablenn.nn._elementary.exponential import log_2_parts, reduced_exp
from stablenn.nn._elementary.logarithm import log
from stablenn.nn._elementary.words import Words, divide, fast_two_sum, power_of_two, product, select, single, two_sum
from stablenn.nn._masks import included, masked
from stablenn.nn._scaling import unless
from stablenn.nn._shares import added, maximum_of, subtract, to_subtract
from stablenn.nn._sums import total_of_words
from stablenn.nn._underflow import scale_of


class Sum(NamedTuple):
    """sum_j b_j exp(a_j) = total * exp(top) * 2^exponent; reduced axes are kept."""

    top: jax.Array  # the largest a_j whose factor is not zero; -inf where nothing is summed
    exponent: jax.Array  # an integer, as a float
    total: Words
    terms: Words
    exp: tuple[jax.Array, jax.Array]  # exp(a_j - top) as a number and the exponent of two, an integer as a float


def factored_sum(a: jax.Array, b: jax.Array, where: jax.Array | None, axis: Axis) -> Sum:
    info, power = jnp.finfo(a.dtype), scale_of(a.dtype).power
    used = (b != 0) if where is None else (b != 0) & where
    top = maximum_of(included(a, used), axis)
    distance, error = subtract(a, to_subtract(top))
    limit = 4 * info.maxexp * math.log(2)  # beyond it a term is nothing beside the top, whatever its factor
    near = jnp.abs(distance) < limit
    reduced = reduced_exp(jnp.where(near, distance, limit * jnp.sign(distance)), jnp.where(near, error, 0))
    n, mantissa = reduced.exponent, reduced.mantissa
    n = jnp.where(jnp.isnan(n), 0, n)

    counts = used & jnp.isfinite(b) & (a > -jnp.inf)
    factor, exponent = jnp.frexp(jnp.where(counts, b, 0))
    # as floats, whose maxima are faster than those of integers
    exponent = jnp.where(counts, n + exponent.astype(a.dtype), -(2.0**20))
    largest = jnp.max(exponent, axis, keepdims=True, initial=-(2.0**20))
    scale = _power_of_two(exponent - largest + power, a.dtype)
    high, low = product(factor, mantissa.high)
    terms = fast_two_sum(high, low + factor * mantissa.low)
    terms = select(counts, terms.times_power(scale), single(jnp.zeros_like(a)))
    unit = 2.0**power
    sums = total_of_words(terms.times_power(1 / unit), axis).times_power(unit)

    # infinite factors and NaN, which integer operations would make numbers of
    size = jnp.where(a == -jnp.inf, 0, jnp.where(jnp.isnan(a), jnp.nan, 1))
    special = jnp.where(used & ~(jnp.isfinite(b) & ~jnp.isnan(a)), b * size, 0)
    special = jnp.sum(special, axis, keepdims=True)
    sums = select(special == 0, sums, single(special))
    exp = jnp.where(a == -jnp.inf, 0, mantissa.high), n
    return Sum(top, largest - power, sums, terms, exp)


def _power_of_two(exponent: jax.Array, dtype) -> jax.Array:
    """2^exponent, 0 below and infinite above the range of normal numbers."""
    info = jnp.finfo(dtype)
    power = power_of_two(jnp.clip(exponent, float(info.minexp), float(info.maxexp - 1)), dtype)
    return jnp.where(exponent < info.minexp, 0, jnp.where(exponent >= info.maxexp, jnp.inf, power))


class _Plain(NamedTuple):
    """The sum in one word and one unit; reduced axes are kept."""

    common: jax.Array  # where that is enough for the sum
    positive: jax.Array  # where no factor is 0, by which there is a derivative as well
    top: jax.Array
    exp: jax.Array  # exp(a_j - top) / half
    total: jax.Array  # sum_j b_j exp(a_j - top) / half

    @classmethod
    def of(cls, a: jax.Array, b: jax.Array, where: jax.Array | None, axis: Axis) -> _Plain:
        half = scale_of(a.dtype).half
        smallest = jnp.min(b, axis, keepdims=True, initial=jnp.inf, where=where)
        b = masked(b, where)
        a = included(a, b != 0)
        top = maximum_of(a, axis)
        exp = exp_of_difference(a, to_subtract(top), -round(math.log2(half)), 1 / half)
        total = jnp.sum(b * exp, axis, keepdims=True)
        largest = jnp.max(b, axis, keepdims=True, initial=-jnp.inf)
        # a term of which the exponential vanished is nothing beside the sum, and none of its quotients a number
        common = (smallest >= 0) & (jnp.abs(top) >= 2) & (top < jnp.inf) & (total >= jnp.maximum(largest, 1))
        return cls(common & (total < 1 / half**4), smallest > 0, top, exp, total)


def log_sum(a: jax.Array, b: jax.Array, where: jax.Array | None, axis: Axis) -> tuple[jax.Array, jax.Array]:
    """The logarithm of the absolute value of the sum, and its sign."""
    plain = _Plain.of(a, b, where, axis)
    size = jnp.where(plain.common, plain.total, 1) * scale_of(a.dtype).half
    value = added(plain.top, log(size)), jnp.ones_like(plain.top)

    def careful():
        found = factored_sum(a, b, where, axis)
        return log_size(found), jnp.sign(found.total.high)

    return unless(plain.common, value, careful)


def log_size(found: Sum) -> jax.Array:
    """The logarithm of the absolute value of the sum."""
    dtype = found.top.dtype
    positive = found.total.high > 0
    size = select(positive, found.total, -found.total)
    size = fast_two_sum(size.high, size.low)
    logarithm = log(jnp.where(size.high > 0, size.high, 1), size.low)
    high, middle, low = log_2_parts(dtype)
    whole = two_sum(found.exponent * high, logarithm.high)
    rest = whole.low + (logarithm.low + found.exponent * middle + found.exponent * low)
    result = added(found.top, fast_two_sum(whole.high, rest))
    result = jnp.where(jnp.isfinite(size.high), result, size.high)
    nothing = jnp.where(found.top == jnp.inf, jnp.nan, -jnp.inf)
    return jnp.where(size.high == 0, nothing, result)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def shares_and_quotients(a, b, where, axis):
    """b_j exp(a_j) and exp(a_j) as parts of the sum; zeros where nothing is summed."""
    plain = _Plain.of(a, b, where, axis)
    inverse = 1 / plain.total
    shares, quotients = masked(b, where) * plain.exp * inverse, plain.exp * inverse
    common = plain.common & plain.positive
    return unless(common, (shares, quotients), lambda: _careful_shares(a, b, where, axis))


def _careful_shares(a, b, where, axis):
    found = factored_sum(a, b, where, axis)
    empty = found.top == -jnp.inf
    shares = divide(found.terms, found.total)
    exp, n = found.exp
    quotients = exp / found.total.high
    half = jnp.floor((n - found.exponent) * 0.5)
    quotients = quotients * _power_of_two(half, a.dtype) * _power_of_two((n - found.exponent) - half, a.dtype)
    infinite = jnp.isinf(found.total.high)  # by an infinite factor, which takes everything
    shares = jnp.where(infinite & jnp.isinf(b), 1, shares)
    quotients = jnp.where(infinite, 0, quotients)
    several = (
        jnp.sum((a == jnp.inf) & (found.terms.high != 0), axis, keepdims=True, dtype=a.dtype) > 1
    )  # they have no limit
    kept = (jnp.where(empty, 0, jnp.where(several, jnp.nan, part)) for part in (shares, quotients))
    return tuple(masked(part, where) for part in kept)


@shares_and_quotients.defjvp
def _shares_and_quotients_jvp(axis, primals, tangents):
    (a, b, where), (a_t, b_t, _) = primals, tangents
    shares, quotients = shares_and_quotients(a, b, where, axis)
    a_t, b_t = masked(a_t, where), masked(b_t, where)
    # The shares add up to one: where one of them alone is large its tangent is taken from all.
    top = shares > 0.5
    top = top & (jnp.sum(top, axis, keepdims=True) == 1)
    a_t = a_t - jnp.sum(jnp.where(top, a_t, 0), axis, keepdims=True)
    by_a = a_t - jnp.sum(jnp.where(top, 0, shares) * a_t, axis, keepdims=True)
    by_b = jnp.sum(quotients * b_t, axis, keepdims=True)
    return (shares, quotients), (shares * (by_a - by_b) + quotients * b_t, quotients * (by_a - by_b))
