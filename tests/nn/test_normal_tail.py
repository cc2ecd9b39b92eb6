"""The scaled tail: the committed coefficients are as accurate as they say, and so is what is computed from them."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

from benchmarks import normal_tail as fitting
from stablenn.nn._elementary.normal_tail import FITS, LIMIT, MIDDLE, scaled_tail

EVERY_DTYPE = pytest.mark.parametrize("dtype", FITS)


def errors(polynomial, target, dtype):
    first, *others = (float(np.dtype(dtype).type(c)) for c in polynomial.coefficients)
    return fitting.largest_error([mp.mpf(first) + polynomial.low, *others], target, 301)


def limits(dtype):
    return (FITS[dtype].near, FITS[dtype].near_error, fitting.near), (
        FITS[dtype].far,
        FITS[dtype].far_error,
        fitting.far,
    )


@EVERY_DTYPE
def test_the_coefficients_attain_their_stated_error(dtype):
    with mp.workprec(fitting.BITS):
        for polynomial, stated, target in limits(dtype):
            assert stated / 4 < errors(polynomial, target, dtype) < stated


@EVERY_DTYPE
def test_a_wrong_digit_is_seen(dtype):
    with mp.workprec(fitting.BITS):
        for polynomial, stated, target in limits(dtype):
            first, second, *others = polynomial.coefficients
            wrong = second * (1 + 64 * float(np.finfo(dtype).eps))
            assert errors(polynomial._replace(coefficients=(first, wrong, *others)), target, dtype) > stated


def test_the_constants():
    with mp.workprec(fitting.BITS):
        for fraction, right in ((MIDDLE, fitting.middle()), (LIMIT, fitting.limit())):
            assert abs(mp.mpf(fraction.numerator) / fraction.denominator / right - 1) < mp.mpf(10) ** -45


@EVERY_DTYPE
def test_the_words_are_as_accurate_as_a_rounded_result(dtype):
    z = np.concatenate([np.linspace(0, 2.5, 300), np.geomspace(1e-6, 1e15, 200), [2.0**60]]).astype(dtype)
    with jax.enable_x64(dtype == "float64"):
        tail = jax.tree.map(np.asarray, jax.jit(scaled_tail)(jnp.asarray(z)))
    with mp.workprec(fitting.BITS):
        for i, number in enumerate(map(mp.mpf, z.astype(float).tolist())):
            right = fitting.scaled_tail(number)
            rest = (fitting.limit() - number * right) * (1 if tail.near[i] else number**2)
            right *= 1 if tail.near[i] else number
            words = mp.mpf(float(tail.words.high[i])) + mp.mpf(float(tail.words.low[i]))
            assert abs(words / right - 1) <= 0.5 * np.finfo(dtype).eps
            assert abs(mp.mpf(float(tail.rest[i])) / rest - 1) <= 8 * np.finfo(dtype).eps
