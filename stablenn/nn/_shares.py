r"""What the softmax family is made of: shifted exponentials, their shares of the sum, and the derivatives of shares.

With :math:`m = \max_j x_j` the family is made of :math:`e_j = \exp(x_j - m)` and of their sum off the maximum,
:math:`\mathrm{rest} = \sum_j e_j - 1`:

- ``exp(x - m)`` is compensated for the rounding of ``x - m``, which alone would cost |x - m| ulps;
- it is kept scaled by a power of two, so that many entries too small for the format still add up to a number in it;
- ``log1p(rest)`` keeps the loss of a confident answer, which ``log(1 + rest)`` rounds to zero;
- derivatives never form ``1 - s`` for a probability near one: the sum of the others takes its place.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stablenn.nn._across import Across, largest, summed
from stablenn.nn._axes import Axis
from stablenn.nn._chunks import in_chunks, row_sums
from stablenn.nn._elementary.differences import exp_of_difference
from stablenn.nn._elementary.logarithm import log1p
from stablenn.nn._elementary.slopes import with_slope
from stablenn.nn._elementary.words import Words, two_sum
from stablenn.nn._masks import included, masked
from stablenn.nn._rounding import widened
from stablenn.nn._underflow import scale_of


class Exponentials(NamedTuple):
    """Rows of exp(x - maximum), and what they add up to; reduced axes are kept.

    The exponential of a maximum is known, and the others would lose digits beside it. A negative number stands in its
    place, which sums do not feel and can count. A derivative by `exp` alone stands for that of the shares.
    """

    maximum: jax.Array
    exp: jax.Array  # exp(x - maximum) / half; below 0 at the maxima, 0 where masked
    rest: jax.Array  # their sum off the maxima
    count: jax.Array  # the number of the maxima

    @property
    def half(self) -> float:
        """A power of two: what is small beside a maximum remains a number."""
        return scale_of(self.exp.dtype).half

    @property
    def top(self) -> jax.Array:
        return self.exp < 0

    @property
    def total(self) -> jax.Array:
        """The sum of exp(x - maximum) / half; NaN where several infinities have no limit."""
        several = (self.maximum == jnp.inf) & (self.count > 1)
        return jnp.where(several, jnp.nan, self.rest + self.count * (1 / self.half))

    @property
    def log_total(self) -> Words:
        """The logarithm of the sum of exp(x - maximum)."""
        log = log1p(two_sum(self.count - 1, self.rest * self.half))
        # An integer operation on its bits may make a number of a NaN. Quotients XLA does not compute for every entry.
        kept = jnp.where(jnp.isnan(self.rest), jnp.nan, 1)
        return Words(log.high / kept, log.low / kept)

    @property
    def shares(self) -> jax.Array:
        inverse = 1 / self.total
        return self.exp * inverse + jnp.where(self.top, inverse * (1 / self.half), 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def exponentials(x: jax.Array, axis: Axis | Across, maximum: jax.Array | None = None) -> Exponentials:
    """Those of rows; 16-bit formats are converted to float32 where they are read."""
    maximum = widened(maximum_of(x, axis) if maximum is None else maximum)
    shift = to_subtract(maximum)
    exp = _marked(x, shift)
    if in_chunks(x, axis):
        marks, rest = row_sums(
            lambda x, shift, axis: _sums(_marked(x, shift), axis), (x,), (shift,), axis, (-jnp.inf,)
        )
    else:
        marks, rest = _sums(exp, axis)
    mark = _mark(exp.dtype)
    # rounded, it keeps XLA from multiplying this factor and a later one first, out of the range
    count = jnp.round(marks * (-0.5 / mark))
    return Exponentials(maximum, exp, rest + count * mark, count)


def _mark(dtype) -> float:
    return 4 * float(jnp.finfo(dtype).tiny)


def _marked(x: jax.Array, shift: jax.Array) -> jax.Array:
    """exp(x - shift) / half, with a negative number in place of the maxima."""
    power = -int(math.log2(scale_of(shift.dtype).half))
    return exp_of_difference(widened(x), shift, power, -_mark(shift.dtype))


def _sums(exp: jax.Array, axis: Axis | Across) -> tuple[jax.Array, jax.Array]:
    """That of the negative numbers, twice, and that of all."""
    return summed(exp - jnp.abs(exp), axis), summed(exp, axis)


@exponentials.defjvp
def _exponentials_jvp(axis, primals, tangents):
    found = exponentials(primals[0], axis, primals[1])
    zeros = jax.tree.map(jnp.zeros_like, found)
    return found, zeros._replace(exp=softmax_tangent(widened(tangents[0]), found, axis) * found.total)


def maximum_of(x: jax.Array, axis: Axis | Across) -> jax.Array:
    return largest(jax.lax.stop_gradient(x), axis)


def to_subtract(maximum: jax.Array) -> jax.Array:
    """The maximum, 0 where there is nothing."""
    # The selection keeps XLA's CPU backend from writing the maximum out to the shape of the array, too.
    return jnp.where(maximum == -jnp.inf, 0, maximum)


def from_maximum(x: jax.Array, axis: Axis | Across) -> Words:
    """x - maximum, exactly; 0 for equal infinities."""
    return subtract(x, to_subtract(maximum_of(x, axis)))


def subtract(x: jax.Array, y: jax.Array) -> Words:
    """x - y, exactly; 0 for equal infinities."""
    difference = two_sum(x, -y)
    high = with_slope(jnp.where(x == y, 0, difference.high), difference.high, jnp.ones_like(x))
    return Words(high, jnp.where(jnp.abs(difference.high) < jnp.inf, difference.low, 0))


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def log_shares(x: jax.Array, where: jax.Array | None, axis: Axis | Across) -> jax.Array:
    """The logarithms of the shares, -inf where masked; NaN where they have no limit."""
    x = included(x, where)
    found = exponentials(x, axis)
    difference, log = subtract(x, to_subtract(found.maximum)), found.log_total
    out = two_sum(difference.high, -log.high)
    correction = jnp.where(difference.high > -jnp.inf, out.low + (difference.low - log.low), 0)
    undefined = (found.maximum == -jnp.inf) | jnp.isnan(found.total)
    return included(jnp.where(undefined, jnp.nan, out.high + correction), where)


@log_shares.defjvp
def _log_shares_jvp(axis, primals, tangents):
    (x, where), (t, _) = primals, tangents
    tangent = log_softmax_tangent(masked(t, where), exponentials(included(x, where), axis), axis)
    return log_shares(x, where, axis), masked(tangent, where)


def softmax_tangent(t: jax.Array, found: Exponentials, axis: Axis | Across, unit: float = 1.0) -> jax.Array:
    r""":math:`s_j (t_j - \sum_k s_k t_k)` times `unit`, without forming :math:`1 - s_j`.

    One maximum takes its own tangent times the share of the others, less their part of the mean. The transpose of
    these very steps is as accurate.
    """
    total, one = found.total, found.count == 1
    inverse = 1 / total
    share = inverse * (1 / found.half)
    small, mean, tops = _weighted(t, found, inverse, axis)
    at_top = share * (jnp.where(one, found.rest, total) * small - jnp.where(one, mean, mean + tops))
    # A mean over the total would leave the range.
    elsewhere = found.exp * (t * (inverse * unit)) - _apart(found.exp * (found.half * unit)) * ((mean + tops) * share)
    return jnp.where(found.top, at_top * unit, 0) + elsewhere


def _apart(product: jax.Array) -> jax.Array:
    """A product of numbers at least 0 that XLA does not multiply in another order; 0 at the maxima."""
    return with_slope(jnp.abs(product), product, jnp.ones_like(product))


def log_softmax_tangent(t: jax.Array, found: Exponentials, axis: Axis | Across) -> jax.Array:
    r""":math:`t_j - \sum_k s_k t_k`, with the same care in both directions."""
    one = found.count == 1
    small, mean, tops = _weighted(t, found, 1 / found.total, axis)
    own = jnp.where(found.top & one, found.rest * small, t)
    return own - (mean + jnp.where(one, 0, tops)) - jnp.where(found.top, 0, jnp.where(one, tops, 0))


def mean_tangent(t: jax.Array, found: Exponentials, axis: Axis | Across) -> jax.Array:
    r""":math:`\sum_k s_k t_k`; zero where there is nothing."""
    _, mean, tops = _weighted(t, found, jnp.where(found.total == 0, 0, 1 / found.total), axis)
    return mean + tops


def _weighted(t, found, inverse, axis):
    """Tangents over the total, and the parts of their mean off the maxima and at them."""
    small = t * inverse
    tops = summed(jnp.where(found.top, t, 0), axis) * (inverse * (1 / found.half))
    return small, summed(found.exp * small, axis), tops


def added(y: jax.Array, words: Words) -> jax.Array:
    """y plus a number in two words, rounded; an infinite y stays what it is."""
    total = two_sum(y, words.high)
    return total.high + jnp.where(jnp.isfinite(total.high), total.low + words.low, 0)
