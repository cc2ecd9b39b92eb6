"""attention_weights: the conventions of jax.nn.dot_product_attention, masks, ranges, gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import ulp_error

inf, nan = np.inf, np.nan
RNG = np.random.default_rng(0)
QUERY, KEY, VALUE = (RNG.standard_normal(s).astype(np.float32) for s in ((2, 5, 4, 8), (2, 6, 2, 8), (2, 6, 2, 8)))
BIAS = RNG.standard_normal((1, 4, 5, 6)).astype(np.float32)
MASK = (RNG.random((2, 1, 5, 6)) < 0.6) | (np.arange(6) == 0)


def attended(weights, value):
    return jnp.einsum("BNTS,BSNH->BTNH", weights, jnp.repeat(value, weights.shape[1] // value.shape[2], 2))


@pytest.mark.parametrize(
    ("heads", "arguments"),
    [
        (1, {}),
        (2, {"mask": MASK}),
        (1, {"is_causal": True}),
        (2, {"bias": BIAS, "mask": MASK, "is_causal": True, "scale": 0.3}),
        (1, {"bias": BIAS[:, :1], "mask": MASK[:1]}),
    ],
    ids=lambda value: "+".join(value) or "plain" if isinstance(value, dict) else None,
)
def test_attention_is_that_of_jax(heads, arguments):
    key, value = KEY[:, :, :heads], VALUE[:, :, :heads]

    def ours(query, key):
        return attended(nn.attention_weights(query, key, **arguments), value)

    def theirs(query, key):
        return jax.nn.dot_product_attention(query, key, value, **arguments)

    @jax.jit
    def both(query, key):
        slopes = lambda fn: jax.grad(lambda *arguments: (fn(*arguments) ** 2).sum(), (0, 1))(query, key)
        return [(fn(query, key), slopes(fn)) for fn in (ours, theirs)]

    (out, slopes), (their_out, their_slopes) = both(QUERY, key)
    np.testing.assert_allclose(out, their_out, rtol=2e-5, atol=2e-6)
    for a, b in zip(slopes, their_slopes, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


def test_without_a_batch():
    whole = nn.attention_weights(QUERY, KEY, BIAS, MASK)
    one = nn.attention_weights(QUERY[1], KEY[1], BIAS[0], MASK[1])
    assert (whole.shape, one.shape) == ((2, 4, 5, 6), (4, 5, 6))
    np.testing.assert_allclose(one, whole[1], rtol=1e-5)


@pytest.mark.parametrize("poison", [0.0, nan, inf])
@pytest.mark.parametrize("by", ["mask", "bias"])
def test_what_is_masked_has_no_weight_and_no_gradient_whatever_it_holds(by, poison):
    mask = np.array([[False, False], [True, False]])[None, None]
    query, key = np.float32([poison, 1]).reshape(1, 2, 1, 1), np.float32([2, poison]).reshape(1, 2, 1, 1)

    def weights(query, key):
        if by == "mask":
            return nn.attention_weights(query, key, mask=mask)
        return nn.attention_weights(query, key, bias=np.where(mask, np.float32(0), -inf))

    np.testing.assert_array_equal(weights(query, key)[0, 0], [[0, 0], [1, 0]])
    slopes = jax.jit(jax.grad(lambda *a: (weights(*a) * jnp.arange(4.0).reshape(2, 2)).sum(), (0, 1)))
    for slope in slopes(query, key):
        np.testing.assert_array_equal(slope, np.zeros_like(slope))


def test_scores_do_not_overflow_on_their_way_to_finite_weights():
    query, key = np.float32([1e30, -1e30, 1e-20]).reshape(3, 1, 1), np.float32([1e30, 2e30, 1e30]).reshape(3, 1, 1)
    expected = [[0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]]
    for fn in (nn.attention_weights, jax.jit(nn.attention_weights)):
        np.testing.assert_array_equal(fn(query, key)[0], expected)
    with jax.disable_jit():
        np.testing.assert_array_equal(nn.attention_weights(query, key)[0], expected)
    query, key = query * np.float32(1e-20), key * np.float32(1e-8)
    assert all(np.isfinite(slope).all() for slope in jax.jit(jax.jacrev(nn.attention_weights, (0, 1)))(query, key))
    small, large = np.full((1, 1, 1), 1e-35, np.float32), np.float32([1e35, 2e35]).reshape(2, 1, 1)
    np.testing.assert_allclose(
        nn.attention_weights(small, large)[0, 0], [1 / (1 + np.e), np.e / (1 + np.e)], rtol=3e-7
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_formats_are_rounded_once(dtype):
    query, key = (jnp.asarray(v, dtype) for v in (QUERY, KEY[:, :, :1]))
    weights = nn.attention_weights(query, key)
    assert weights.dtype == query.dtype

    def definition(query, key):
        scores = jnp.einsum("btnh,bsh->bnts", query, key[:, :, 0]) / jnp.sqrt(
            1.0 * query.shape[-1] + 0 * query[0, 0, 0, 0]
        )
        return jnp.exp(scores) / jnp.sum(jnp.exp(scores), -1, keepdims=True)

    truth = exact(definition, wide=True, dtype=dtype).truth(np.asarray(query), np.asarray(key))[0]
    assert ulp_error(np.asarray(weights), truth, flush=True).max() <= 0.51


def test_a_wider_bias_does_not_widen_the_weights():
    query, key = (jnp.asarray(v, jnp.bfloat16) for v in (QUERY, KEY))
    assert nn.attention_weights(query, key, BIAS).dtype == jnp.bfloat16
    with jax.numpy_dtype_promotion("strict"):
        assert nn.attention_weights(query, key, jnp.asarray(BIAS, jnp.bfloat16)).dtype == jnp.bfloat16


def test_the_hessian_is_exact():
    query, key = QUERY[0, :1, :1, :2], KEY[0, :3, :1, :2]

    def definition(query, key):
        scores = jnp.einsum("tnh,snh->nts", query, key) / jnp.sqrt(2.0 + 0 * query[0, 0, 0])
        return (jnp.exp(scores) / jnp.sum(jnp.exp(scores), -1, keepdims=True))[0, 0, 0]

    expected = exact(jax.jacfwd(jax.jacfwd(definition, (0, 1)), (0, 1)), wide=True, dtype="float32")(query, key)
    found = jax.jit(jax.hessian(lambda q, k: nn.attention_weights(q, k)[0, 0, 0], (0, 1)))(query, key)
    for actual, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(actual, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("query", "key", "mask", "error", "message"),
    [
        ((5, 8), (6, 2, 8), None, ValueError, "query must have 3 or 4 axes"),
        ((5, 3, 8), (6, 2, 8), None, ValueError, "heads of the key must divide"),
        ((5, 2, 4), (6, 2, 8), None, ValueError, "same batch and features"),
        ((5, 2, 8), (6, 2, 8), np.ones((5, 6)), TypeError, "mask must be boolean, got float"),
    ],
)
def test_what_does_not_fit_is_refused(query, key, mask, error, message):
    with pytest.raises(error, match=message):
        nn.attention_weights(np.ones(query, np.float32), np.ones(key, np.float32), mask=mask)
