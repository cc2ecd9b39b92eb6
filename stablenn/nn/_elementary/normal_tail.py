r"""The upper tail of the normal distribution, scaled so that it neither vanishes nor cancels.

With z >= 0 it is :math:`T(z) = e^{z^2/2} \int_z^\infty \varphi(t) dt = \mathrm{erfcx}(z / \sqrt 2) / 2`, which falls
from 1/2 at 0 like :math:`1 / (\sqrt{2 \pi} z)`. Two polynomials, chosen lane by lane, approximate

.. math:: T(z) = T(1) + t P(t), \quad t = z - 1, \qquad
    z T(z) = 1 / \sqrt{2 \pi} - v P(t), \quad v = 1 / (z^2 + 5), \quad t = 18 v - 1

up to z = 2 and beyond. In both the polynomial is the smaller term, so that the sum has more digits than a float. The
coefficients come from ``python -m benchmarks.normal_tail``.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._elementary.words import Words, fast_two_sum, product

MIDDLE = Fraction("0.26157829186512337168184383684564849755414841673971")
LIMIT = Fraction("0.39894228040143267793994605993438186847585863116493")  # 1 / sqrt(2 pi)


class Polynomial(NamedTuple):
    """Coefficients, lowest first, and what rounding took from the first of them."""

    coefficients: tuple[float, ...]
    low: float


class Fit(NamedTuple):
    """The polynomials of one dtype, and their largest errors relative to the tail."""

    near: Polynomial
    far: Polynomial
    near_error: float
    far_error: float


FITS = {
    "float32": Fit(
        near=Polynomial(
            (
                -0.137364,
                0.06210714,
                -0.025085252,
                0.009255478,
                -0.0031681587,
                0.0010148606,
                -0.00030238912,
                8.7895205e-05,
                -2.9192895e-05,
                7.3367305e-06,
            ),
            -4.710795753481989e-09,
        ),
        far=Polynomial(
            (
                0.45779577,
                0.076541536,
                0.021986293,
                0.0057163425,
                0.0018126515,
                0.0005352263,
                0.00017350256,
                4.720826e-05,
                2.5172985e-05,
                1.08086715e-05,
            ),
            -1.0878376421885605e-08,
        ),
        near_error=2.0**-26.0,
        far_error=2.0**-29.5,
    ),
    "float64": Fit(
        near=Polynomial(
            (
                -0.1373639885363093,
                0.06210715166440703,
                -0.025085612290634107,
                0.009255384843443517,
                -0.0031660454894378424,
                0.0010148898923293822,
                -0.00030730794244648055,
                8.844774377675797e-05,
                -2.4317799841716687e-05,
                6.412994192815231e-06,
                -1.627709625866205e-06,
                3.9877431469825563e-07,
                -9.453348054455338e-08,
                2.1730340101069277e-08,
                -4.8534707903007995e-09,
                1.0562077778294759e-09,
                -2.2353118231324353e-10,
                4.519769782868143e-11,
                -9.218617158669945e-12,
                2.2521577385256954e-12,
                -4.1824385164982743e-13,
            ),
            -1.1119825905877903e-17,
        ),
        far=Polynomial(
            (
                0.4577957576514412,
                0.07654147011398349,
                0.021986384461663854,
                0.005717434706162872,
                0.0018114105505642579,
                0.0005304995966141004,
                0.0001780687422482532,
                5.4874049081004096e-05,
                1.92470329311963e-05,
                6.048821887969933e-06,
                2.2151631846821028e-06,
                6.919421291050494e-07,
                2.683967064803319e-07,
                8.162556067360307e-08,
                3.300902262534591e-08,
                8.112913798542184e-09,
                5.768544112374909e-09,
                1.786740138312392e-09,
                -1.8569363214695224e-10,
                -1.5787773031110617e-10,
                4.0801474572229175e-10,
            ),
            1.8609998941739874e-17,
        ),
        near_error=2.0**-56.5,
        far_error=2.0**-56.0,
    ),
}


def words_of(number: Fraction, like: jax.Array) -> Words:
    """A constant in the dtype of `like`."""
    cast = like.dtype.type
    high = cast(float(number))
    return Words(high, cast(float(number - Fraction(float(high)))))


def halves_of(number: Fraction, like: jax.Array) -> Words:
    """A constant of which the first word has half of the digits."""
    cast = like.dtype.type
    digits = jnp.finfo(like.dtype).nmant // 2 - math.floor(math.log2(number))
    high = Fraction(round(number * 2**digits), 2**digits)
    return Words(cast(float(high)), cast(float(number - high)))


class Tail(NamedTuple):
    """T at `z`.

    The `words` hold T(z) where z is `near`, and z T(z) elsewhere; `rest` is 1 / sqrt(2 pi) - z T(z), which the two
    nearly cancel to, and elsewhere z^2 times that.
    """

    z: jax.Array
    near: jax.Array
    words: Words
    rest: jax.Array

    @property
    def value(self) -> Words:
        """T(z), with two more roundings where z is not near."""
        inverse = 1 / self.divisor
        return Words(self.words.high * inverse, self.words.low * inverse)

    @property
    def divisor(self) -> jax.Array:
        """What the words are to be divided by for T(z)."""
        return jnp.where(self.near, 1, self.z)

    @property
    def factor(self) -> jax.Array:
        """What they are to be multiplied by for z T(z)."""
        return jnp.where(self.near, self.z, 1)


def scaled_tail(z: jax.Array) -> Tail:
    """T(z) for z >= 0 with a finite square; differentiable like any other formula."""
    fit = FITS[z.dtype.name]
    near = z < 2

    def chosen(first: ArrayLike, second: ArrayLike) -> jax.Array:
        return jnp.where(near, jnp.asarray(first, z.dtype), jnp.asarray(second, z.dtype))

    v = 1 / (z * z + 5)
    t = jnp.where(near, z - 1, 18 * v - 1)
    *lower, last = zip(fit.near.coefficients[1:], fit.far.coefficients[1:], strict=True)
    series = chosen(*last)
    for pair in reversed(lower):
        series = series * t + chosen(*pair)
    series = series * t
    first = chosen(fit.near.coefficients[0], fit.far.coefficients[0])
    start, limit = words_of(MIDDLE, z), words_of(LIMIT, z)
    step = jnp.where(near, t, -v)
    term = product(step, first)
    total = fast_two_sum(chosen(start.high, limit.high), term.high)
    low = step * (series + chosen(fit.near.low, fit.far.low)) + (term.low + chosen(start.low, limit.low))
    total = fast_two_sum(total.high, total.low + low)
    rest = jnp.where(near, limit.high - z * total.rounded, (1 - 5 * v) * (series + first))
    return Tail(z, near, total, rest)
