r"""What the softmax family is made of: shifted exponentials, their shares of the sum, and the derivatives of shares.

With :math:`m = \max_j x_j` the family is made of :math:`e_j = \exp(x_j - m)` and of their sum off the maximum,
:math:`\mathrm{rest} = \sum_j e_j - 1`:

- ``exp(x - m)`` is compensated for the rounding of ``x - m``, which alone would cost |x - m| ulps;
- it is kept scaled by a power of two, so that many entries too small for the format still add up to a number in it;
- ``log1p(rest)`` keeps the loss of a confident answer, which ``log(1 + rest)`` rounds to zero;
- derivatives never form ``1 - s`` for a probability near one: `_off_top` replaces it by the sum of the others.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.logarithm import log1p
from stablenn.nn._elementary.words import Words, two_sum
from stablenn.nn._underflow import scale_of, scaled_exp

Axis = int | tuple[int, ...] | None


class Shifted(NamedTuple):
    """The row, shifted so that its maximum is zero; reduced axes are kept."""

    maximum: jax.Array
    difference: jax.Array  # x - maximum, rounded
    error: jax.Array  # what that rounding took away
    exp: jax.Array  # exp(x - maximum) * 2^power, 0 where masked
    scaled_rest: jax.Array  # sum of exp off the maximum
    ties: jax.Array  # how often the maximum occurs, less one
    undefined: jax.Array  # no finite entry, or several infinities at the top: the shares have no limit

    @property
    def rest(self) -> jax.Array:
        """The sum of exp(x - maximum), less one maximum."""
        return self.scaled_rest * 2.0 ** -scale_of(self.exp.dtype).power + self.ties

    @property
    def log_total(self) -> Words:
        """The logarithm of the sum of exp(x - maximum)."""
        log = log1p(two_sum(self.ties, self.scaled_rest * 2.0 ** -scale_of(self.exp.dtype).power))
        lost = jnp.isnan(self.scaled_rest)  # an integer operation on its bits may make a number of a NaN
        return Words(jnp.where(lost, jnp.nan, log.high), jnp.where(lost, jnp.nan, log.low))


def shift(x: jax.Array, axis: Axis, where: jax.Array | None) -> Shifted:
    included = x if where is None else jnp.where(where, x, -jnp.inf)
    maximum = jax.lax.stop_gradient(jnp.max(included, axis, keepdims=True, initial=-jnp.inf))
    # The selection keeps XLA's CPU backend from writing the maximum out to the shape of x, too.
    finite = jnp.where(maximum == -jnp.inf, 0, maximum)
    is_max = included == finite
    difference, error = subtract(included, finite)
    exp = scaled_exp(difference, error)
    scaled_rest = jnp.sum(jnp.where(is_max, 0, exp), axis, keepdims=True)
    ties = jnp.sum(is_max, axis, keepdims=True, dtype=x.dtype) - 1
    undefined = (maximum == -jnp.inf) | ((maximum == jnp.inf) & (ties > 0))
    return Shifted(maximum, difference, error, exp, scaled_rest, ties, undefined)


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


def _off_top(tangent: jax.Array, top: jax.Array, axis: Axis) -> jax.Array:
    """The tangent less that of the top entry (if there is one), which becomes exactly zero."""
    return jnp.where(top, 0, tangent - jnp.sum(jnp.where(top, tangent, 0), axis, keepdims=True))


def _top(scaled: jax.Array) -> jax.Array:
    """The one entry, if any, whose probability exceeds 1/2; `scaled` is softmax times 2^power."""
    return scaled > 2.0 ** (scale_of(scaled.dtype).power - 1)


def log_softmax_tangent(t: jax.Array, scaled: jax.Array, axis: Axis) -> jax.Array:
    r""":math:`t_j - \sum_k s_k t_k`, without forming :math:`1 - s_j` for s_j near 1.

    The map does not change when a constant is added to the tangent. Where one probability exceeds 1/2 its own
    tangent is that constant, and it drops out of the sum: what was 1 - s_j becomes the sum of the others. The
    transpose of these very steps treats cotangents in the same way. Half of the scaling of `scaled` is taken back
    before the sum and half after it, so that neither the sum nor its transpose underflows.
    """
    top, half = _top(scaled), scale_of(scaled.dtype).half
    weighted = jnp.where(top, 0, scaled) * _off_top(t * half, top, axis)
    return _off_top(t, top, axis) - jnp.sum(weighted, axis, keepdims=True) * half


def softmax_tangent(t: jax.Array, scaled: jax.Array, axis: Axis) -> jax.Array:
    r""":math:`s_j (t_j - \sum_k s_k t_k)`, times 2^(power/2), with the same care in both directions.

    The tangents of a row add up to zero. That gives the one of the top entry, and makes the map its own transpose.
    """
    top, half = _top(scaled), scale_of(scaled.dtype).half
    others, difference = jnp.where(top, 0, scaled), _off_top(t * half, top, axis)
    # The barrier keeps XLA from forming half * mean first, which would underflow.
    halved = jax.lax.optimization_barrier(others * half)
    mean = jnp.sum(halved * difference, axis, keepdims=True)
    tangent = others * difference - halved * mean
    return tangent - jnp.where(top, jnp.sum(tangent, axis, keepdims=True), 0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def scaled_softmax(x, where, axis):
    """softmax(x) * 2^power."""
    shifted = shift(x, axis, where)
    s = jnp.where(shifted.undefined, jnp.nan, shifted.exp / (1 + shifted.rest))
    return s if where is None else jnp.where(where, s, 0)


@scaled_softmax.defjvp
def scaled_softmax_jvp(axis, primals, tangents):
    (x, where), (t, _) = primals, tangents
    scaled = scaled_softmax(x, where, axis)
    return scaled, softmax_tangent(masked(t, where), scaled, axis) / scale_of(x.dtype).half


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
