"""Exponentials and logarithms in two words: as accurate as stated, whatever XLA contracts and fuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact
from stablenn.floats import ulp_error
from stablenn.nn._elementary import exponential, logarithm
from stablenn.nn._elementary.words import Words, divide, product, square, two_sum

FUNCTIONS = {
    "exp": (exponential.exp, jnp.exp, 80),
    "expm1": (exponential.expm1, jnp.expm1, 80),
    "log": (lambda x: logarithm.log(jnp.exp(x)), lambda x: jnp.log(jnp.exp(x)), 80),
    "log of a number": (logarithm.log, jnp.log, None),
    "log1p": (lambda x: logarithm.log1p(Words(x, jnp.zeros_like(x))), jnp.log1p, None),
}
FUNCTIONS.pop("log")
EVERY = pytest.mark.parametrize("name", FUNCTIONS)


def inputs(name, dtype):
    rng = np.random.default_rng(1)
    near_zero = rng.uniform(-1, 1, 3000) * 10.0 ** rng.uniform(-12, 0, 3000)
    if name == "log of a number":
        return np.concatenate([1 + 0.5 * near_zero, 10.0 ** rng.uniform(-30, 30, 3000)]).astype(dtype)
    ends = (-60, 80) if name != "log1p" else (-0.999, 3)
    return np.concatenate([near_zero, rng.uniform(*ends, 3000)]).astype(dtype)


@EVERY
def test_the_words_hold_more_than_a_float_does(name):
    fn, formula, _ = FUNCTIONS[name]
    x = inputs(name, np.float32)
    right = exact(formula, wide=True, dtype="float64", batched=True)(x)
    high, low = (np.asarray(word, np.float64) for word in jax.jit(fn)(x))
    assert np.abs((high + low) / right - 1).max() <= 2.0**-26.5
    assert (np.abs(low) <= np.spacing(np.float32(np.abs(high)))).all()


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rounded_they_are_within_two_thirds_of_an_ulp(name, dtype):
    fn, formula, _ = FUNCTIONS[name]
    x = inputs(name, dtype)
    with jax.enable_x64(dtype == "float64"):
        actual = np.asarray(jax.jit(lambda x: fn(x).rounded)(x))
    assert (
        ulp_error(actual, exact(formula, wide=True, dtype=dtype, batched=True).truth(x)[0], flush=True).max() <= 0.67
    )
