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
from jax.typing import ArrayLike

from stablenn.nn._differences import exp_of_difference
from stablenn.nn._elementary.logarithm import log1p
from stablenn.nn._elementary.words import Words, two_sum
from stablenn.nn._underflow import scale_of

Axis = int | tuple[int, ...] | None


class Shifted(NamedTuple):
    """The row, shifted so that its maximum is zero; reduced axes are kept."""

    maximum: jax.Array
    difference: jax.Array  # x - maximum, rounded
    error: jax.Array  # what that rounding took away
    scaled_rest: jax.Array  # the sum of exp(x - maximum) * 2^power off the maximum
    ties: jax.Array  # how often the maximum occurs, less one
    undefined: jax.Array  # no finite entry, or several infinities at the top: the shares have no limit

    @property
    def rest(self) -> jax.Array:
        """The sum of exp(x - maximum), less one maximum."""
        return self.scaled_rest * 2.0 ** -scale_of(self.maximum.dtype).power + self.ties

    @property
    def log_total(self) -> Words:
        """The logarithm of the sum of exp(x - maximum)."""
        log = log1p(two_sum(self.ties, self.scaled_rest * 2.0 ** -scale_of(self.maximum.dtype).power))
        # An integer operation on its bits may make a number of a NaN. Quotients XLA does not compute for every entry.
        kept = jnp.where(jnp.isnan(self.scaled_rest), jnp.nan, 1)
        return Words(log.high / kept, log.low / kept)


def shift(x: jax.Array, axis: Axis, where: jax.Array | None) -> Shifted:
    included, maximum, finite = _maximum(x, where, axis)
    # The maxima are marked by a negative number that a sum can count and does not feel.
    mark = 4 * float(jnp.finfo(x.dtype).tiny)
    exp = exp_of_difference(included, finite, scale_of(x.dtype).power, -mark)
    count = jnp.sum(exp - jnp.abs(exp), axis, keepdims=True) * (-0.5 / mark)
    scaled_rest = jnp.sum(exp, axis, keepdims=True) + count * mark
    undefined = (maximum == -jnp.inf) | ((maximum == jnp.inf) & (count > 1))
    return Shifted(maximum, *subtract(included, finite), scaled_rest, count - 1, undefined)


def _maximum(x: jax.Array, where: jax.Array | None, axis: Axis) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The entries, -inf where masked; their maximum; and what to subtract from them."""
    included = x if where is None else jnp.where(where, x, -jnp.inf)
    maximum = jax.lax.stop_gradient(jnp.max(included, axis, keepdims=True, initial=-jnp.inf))
    # The selection keeps XLA's CPU backend from writing the maximum out to the shape of x, too.
    return included, maximum, jnp.where(maximum == -jnp.inf, 0, maximum)


def subtract(x: jax.Array, y: jax.Array) -> Words:
    """x - y, exactly; 0 for equal infinities."""
    difference = two_sum(x, -y)
    return Words(
        jnp.where(x == y, 0, difference.high), jnp.where(jnp.abs(difference.high) < jnp.inf, difference.low, 0)
    )


def log_shares(shifted: Shifted, where: jax.Array | None) -> jax.Array:
    """The logarithms of the shares: -inf where masked, NaN where undefined."""
    log = shifted.log_total
    out = two_sum(shifted.difference, -log.high)
    correction = jnp.where(shifted.difference > -jnp.inf, out.low + (shifted.error - log.low), 0)
    out = jnp.where(shifted.undefined, jnp.nan, out.high + correction)
    return out if where is None else jnp.where(where, out, -jnp.inf)


class Shares(NamedTuple):
    """The shares of the exponentials as quotients exp / total; reduced axes are kept.

    A derivative by `exp` alone stands for that of the quotient.
    """

    exp: jax.Array  # exp(x - maximum) / half, 0 where masked
    total: jax.Array  # their sum; 0 where there is nothing, NaN where several infinities have no limit
    half: float  # a power of two: small shares remain numbers

    @property
    def value(self) -> jax.Array:
        return self.exp * (1 / self.total)

    @property
    def scaled(self) -> jax.Array:
        """The shares divided by `half`."""
        return self.exp * (1 / self.half / self.total)

    @property
    def top(self) -> jax.Array:
        """The one entry, if any, that has most of a row to itself."""
        return self.exp > self.total * 0.6


def shares(x: jax.Array, where: jax.Array | None, axis: Axis) -> Shares:
    exp, total = _shares(x, where, axis)
    return Shares(exp, total, scale_of(x.dtype).half)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _shares(x, where, axis):
    half = scale_of(x.dtype).half
    included, maximum, finite = _maximum(x, where, axis)
    # Beside a maximum of 1 / half the others would lose digits. A smaller number takes its place in their sum, just
    # large enough for the sums with either sign to tell how often it is there; so a maximum is known by its sign.
    size = x.size // max(maximum.size, 1)
    mark = min(64.0 * 2 ** math.ceil(math.log2(max(size, 1))), 1 / half)
    exp = exp_of_difference(included, finite, -int(math.log2(half)), -mark)
    less, more = (jnp.sum(v, axis, keepdims=True) for v in (exp, jnp.abs(exp)))
    count = jnp.floor((more - less) * (0.5 / mark) + 0.5)
    total = less + count * (mark + 1 / half)
    return jnp.where(exp < 0, 1 / half, exp), jnp.where((maximum == jnp.inf) & (count > 1), jnp.nan, total)


@_shares.defjvp
def _shares_jvp(axis, primals, tangents):
    (x, where), (t, _) = primals, tangents
    found = shares(x, where, axis)
    tangent = softmax_tangent(masked(t, where) * found.half, found, axis) * found.total
    return (found.exp, found.total), (tangent, jnp.zeros_like(found.total))


def softmax_tangent(t: jax.Array, found: Shares, axis: Axis, before: float = 1.0) -> jax.Array:
    r""":math:`s_j (t_j - \sum_k s_k t_k)`, divided by `half`, without forming :math:`1 - s_j` for s_j near 1.

    The map does not change when a constant is added to the tangent. Where one share is most of the sum its own tangent
    is that constant, and drops out. The transpose of these very steps sums the others' results instead: those
    of a row add up to zero. The sum is taken of tangents times `before`, and divided by it in products with shares.
    """
    others, t = jnp.where(found.top, 0, found.scaled), t - _at_top(t, found.top, axis)
    mean = jnp.sum(others * (t * before), axis, keepdims=True)
    return others * t - found.exp * (1 / before / found.total) * mean


def log_softmax_tangent(t: jax.Array, found: Shares, axis: Axis) -> jax.Array:
    r""":math:`t_j - \sum_k s_k t_k`, with the same care in both directions.

    Half of the scaling of the shares is taken back before the sum and half after it, so that neither the sum nor its
    transpose underflows.
    """
    top, t = found.top, t * found.half
    difference = jnp.where(top, 0, t - _at_top(t, top, axis))
    return difference * (1 / found.half) - jnp.sum(found.scaled * difference, axis, keepdims=True)


def _at_top(t: jax.Array, top: jax.Array, axis: Axis) -> jax.Array:
    """The tangent of the top entry, 0 if there is none."""
    return jnp.sum(jnp.where(top, t, 0), axis, keepdims=True)


def with_mask(x: ArrayLike, where: ArrayLike | None) -> tuple[jax.Array, jax.Array | None]:
    """The array and its mask, broadcast against each other."""
    if where is None:
        return jnp.asarray(x), None
    x, mask = jnp.broadcast_arrays(x, jnp.asarray(where, bool))
    return x, mask


def masked(values: jax.Array, where: jax.Array | None) -> jax.Array:
    return values if where is None else jnp.where(where, values, 0)


def added(y: jax.Array, words: Words) -> jax.Array:
    """y plus a number in two words, rounded; an infinite y stays what it is."""
    total = two_sum(y, words.high)
    return total.high + jnp.where(jnp.isfinite(total.high), total.low + words.low, 0)
