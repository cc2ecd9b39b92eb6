"""Sums of arrays too large to be written out: whatever the chunks, the results stay as accurate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from stablenn import exact, losses, nn
from stablenn.floats import ulp_error
from stablenn.nn import _chunks

RNG = np.random.default_rng(5)


@pytest.fixture(params=["rows", "columns"])
def small_chunks(request, monkeypatch):
    """As if a cache had room for 28 numbers."""
    monkeypatch.setattr(_chunks, "_LARGE", 100)
    monkeypatch.setattr(_chunks, "_CHUNK", 112)
    monkeypatch.setattr(_chunks, "_WIDE", 3 if request.param == "columns" else 2**20)
    jax.clear_caches()
    yield
    jax.clear_caches()


def rows(shape):
    x = (RNG.standard_normal(shape) * 4).astype(np.float32)
    # maxima in several chunks; a confident row; rows without numbers, or without a maximum among them
    x[0, ..., ::5] = 20
    x[1] = -90
    x[1, ..., -1] = 0
    x[2, ..., 1:] = -np.inf
    return x


def has_loop(fn, x):
    return "stablehlo.while" in jax.jit(fn).lower(x).as_text()


@pytest.mark.parametrize("shape", [(9, 23), (5, 29), (7, 1, 31), (40, 3)])
def test_chunks_are_as_accurate_as_the_whole(small_chunks, shape):
    x, t = rows(shape), RNG.standard_normal(shape).astype(np.float32)
    assert has_loop(nn.softmax, x)
    assert not has_loop(lambda x: nn.softmax(x, 0), x)
    for fn, bound in [(nn.softmax, 7), (nn.log_softmax, 4), (lambda x: nn.logsumexp(x, -1), 2.5)]:
        right = exact(fn_of(fn), dtype="float32", batched=True)(x.reshape(-1, shape[-1]))
        found = np.asarray(jax.jit(fn)(x)).reshape(right.shape)
        assert ulp_error(found, right, flush=True).max() <= bound
    slope = jax.jit(jax.grad(lambda x: jnp.vdot(nn.log_softmax(jnp.where(jnp.isinf(x), -50, x)), t)))(x)
    wide = np.where(np.isinf(x), -50, np.float64(x))
    share = np.exp(wide - wide.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    right = np.where(np.isinf(x), 0, t - share * t.sum(-1, keepdims=True, dtype=np.float64))
    np.testing.assert_allclose(slope, right, rtol=1e-5, atol=1e-6)


def fn_of(fn):
    """The textbook's formula."""
    if fn is nn.softmax:
        return lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x))
    if fn is nn.log_softmax:
        return lambda x: x - jnp.log(jnp.sum(jnp.exp(x)))
    return lambda x: jnp.log(jnp.sum(jnp.exp(x)))


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_rows_keep_their_own_specials(small_chunks, special):
    x = rows((9, 23))
    x[4, 11] = special
    found = jax.jit(lambda x: nn.logsumexp(x, -1))(x)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x).any(-1))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(x).all(-1) | (x == np.inf).any(-1))
    found = jax.jit(nn.softmax)(np.full((9, 23), -np.inf, np.float32))
    assert np.isnan(found).all()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_what_uses_them_agrees_with_the_whole(small_chunks, dtype):
    x, labels = jnp.asarray(rows((9, 23))[3:], dtype), RNG.integers(0, 23, 6)
    where = RNG.random((6, 23)) < 0.7
    where[np.arange(6), labels] = True

    def results(x):
        loss = losses.softmax_cross_entropy_with_integer_labels
        sums = nn.logsumexp(x, -1), nn.logsumexp(x, -1, b=jnp.abs(x))
        return (
            *sums,
            loss(x, labels),
            jax.vmap(loss)(x, labels),
            loss(x, labels, where=where),
            nn.softmax(x, where=where),
        )

    def total(x):
        return sum(map(jnp.sum, results(x)[:-1]))

    by_chunks = jax.jit(lambda x: (results(x), jax.grad(total)(x)))(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_chunks, "_LARGE", 2**25)
        jax.clear_caches()
        whole = jax.jit(lambda x: (results(x), jax.grad(total)(x)))(x)
    for ours, theirs in zip(jax.tree.leaves(by_chunks), jax.tree.leaves(whole), strict=True):
        assert ours.dtype == dtype
        tolerance = max(2e-6, float(jnp.finfo(dtype).eps))
        np.testing.assert_allclose(np.float32(ours), np.float32(theirs), rtol=tolerance, atol=tolerance / 10)


def test_other_devices_take_the_whole(small_chunks):
    x = jax.ShapeDtypeStruct((9, 23), jnp.float32)
    fn = jax.jit(lambda x: nn.logsumexp(x, -1))
    loops = {p: "stablehlo.while" in export.export(fn, platforms=[p])(x).mlir_module() for p in ("cpu", "cuda", "tpu")}
    assert loops == {"cpu": True, "cuda": False, "tpu": False}
