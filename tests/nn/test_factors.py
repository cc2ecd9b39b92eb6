"""logsumexp with factors: sizes of every kind, signs, derivatives of both orders, limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import ulp

inf, nan = np.inf, np.nan


def formula(a, b):
    return jnp.log(jnp.abs(jnp.sum(b * jnp.exp(a))))


def ours(a, b):
    return nn.logsumexp(a, b=b, return_sign=True)[0]


def factors(rows, size, dtype, seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((rows, size)) * 10.0 ** rng.uniform(-3, 2, (rows, 1)) + rng.choice(
        [0, 1e4, -1e8], (rows, 1)
    )
    b = rng.standard_normal((rows, size)) * 10.0 ** rng.uniform(-30, 30, (rows, size))
    return a.astype(dtype), b.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 17, 1000])
def test_sums_of_both_signs_are_accurate_beside_their_largest_term(size, dtype):
    a, b = factors(40 if size < 100 else 4, size, dtype, size)
    truth = exact(jax.value_and_grad(formula, (0, 1)), wide=True, dtype="float64", batched=True)
    value, (by_a, by_b) = truth(a, b)
    shares = np.abs(by_a)
    cancelled = np.maximum(shares.max(1), 1)
    with jax.enable_x64(dtype == np.float64):
        found = jax.tree.map(np.asarray, jax.jit(jax.vmap(jax.value_and_grad(ours, (0, 1))))(a, b))
    scale = np.maximum(np.maximum(np.abs(a).max(1), np.abs(np.log(np.abs(np.float64(b)))).max(1)), cancelled)
    assert (np.abs(found[0] - value) <= 1.7 * ulp(scale, dtype)).all()
    for actual, expected in zip(found[1], (by_a, by_b), strict=True):
        regular = np.abs(expected) > 100 * np.finfo(dtype).tiny
        error = np.abs(actual - expected) / ulp(np.where(regular, expected, 1), dtype) / cancelled[:, None]
        assert error[regular & np.isfinite(actual)].max() <= 4
        assert (np.isfinite(actual) | (np.abs(expected) > np.finfo(dtype).max / 2)).all()


@pytest.mark.parametrize("span", [1, 10, 100])
def test_positive_factors_of_moderate_size_lose_no_small_share(span):
    rng = np.random.default_rng(span)
    a = (rng.uniform(-span, 0, (60, 9)) + rng.choice([-3, 2.5, 40], (60, 1))).astype(np.float32)
    b = (10.0 ** rng.uniform(-8, 8, (60, 9))).astype(np.float32)
    truth = exact(jax.value_and_grad(formula, (0, 1)), wide=True, dtype="float64", batched=True)
    value, slopes = truth(a, b)
    found = jax.tree.map(np.asarray, jax.jit(jax.vmap(jax.value_and_grad(ours, (0, 1))))(a, b))
    in_one_batch = np.asarray(nn.logsumexp(a, -1, b))
    scale = np.maximum(np.abs(value), np.abs(a).max(1))
    for actual in (found[0], in_one_batch):
        assert (np.abs(actual - value) <= 1.7 * ulp(scale, np.float32)).all()
    for actual, expected in zip(found[1], slopes, strict=True):
        regular = np.abs(expected) > np.finfo(np.float32).tiny
        assert (np.abs(actual - expected) / ulp(expected, np.float32))[regular].max() <= 6


CASES = {
    "the largest logit has a tiny factor": ([0, -90], [1e-20, 1e30], -20.922447),
    "an infinite logit beside a large factor": ([inf, 0], [1, 1e38], inf),
    "large logits": ([1e8, 1e8], [1, 2], 1e8),
    "huge logits and far apart factors": ([1e30, 1e30], [1e38, 1e-38], 1e30),
    "an infinite factor": ([1, 2], [0, inf], inf),
    "an infinite factor of nothing": ([1, -inf], [1, inf], nan),
    "a zero excludes NaN": ([nan, 1], [0, 1], 1),
    "NaN": ([nan, 1], [1, 1], nan),
    "infinities that cancel": ([inf, inf], [1, -1], nan),
    "numbers that cancel": ([1, 1], [1, -1], -inf),
    "nothing": ([1, 2], [0, 0], -inf),
}


@pytest.mark.parametrize("case", CASES)
def test_values(case):
    a, b, expected = CASES[case]
    np.testing.assert_allclose(ours(jnp.float32(a), jnp.float32(b)), np.float32(expected), rtol=1e-7)


def test_a_nan_reaches_the_gradient():
    slopes = jax.grad(ours, (0, 1))(jnp.float32([nan, 0]), jnp.ones(2))
    assert np.isnan(slopes).all()


@pytest.mark.parametrize(
    ("a", "b"),
    [([1e8, 1e8], [1, 2]), ([0.5, 2, -1], [1, -2, 3]), ([0, 90, 1], [1e30, 1e-9, 1]), ([1, 2], [1e-30, 1e-30])],
)
def test_second_derivatives_are_those_of_the_formula(a, b):
    a, b = np.float32(a), np.float32(b)
    expected = exact(jax.jacfwd(jax.jacfwd(formula, (0, 1)), (0, 1)), wide=True, dtype="float64")(a, b)
    found = jax.hessian(ours, (0, 1))(a, b)
    for actual, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        right = np.where(np.abs(right) > np.finfo(np.float32).max, np.copysign(inf, right), right)
        np.testing.assert_allclose(
            actual, right, rtol=2e-5, atol=1e-6 * np.abs(right[np.isfinite(right)]).max(initial=0)
        )
