"""Unit vectors and cosines: axes, masks, the smallest norms, and derivatives of every order."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stablenn import nn

X, Y = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
MASK = np.random.default_rng(1).random((3, 4, 5)) < 0.7
MASK[0] = MASK[..., 0] = True  # no row without an entry
axes = pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1,)])


@axes
def test_normalize_divides_by_the_norm(axis):
    x64 = X.astype(np.float64)
    expected = x64 / np.sqrt(np.sum(x64**2, axis, keepdims=True))
    np.testing.assert_allclose(nn.normalize(X, axis), expected, rtol=4e-7)


def test_normalize_does_not_divide_by_less_than_epsilon():
    x = jnp.array([[3e-13, 4e-13], [3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(nn.normalize(x, epsilon=1e-12), [[0.3, 0.4], [0.6, 0.8], [0, 0]], rtol=4e-7)
    slope = jax.jacrev(lambda x: nn.normalize(x, epsilon=1e-12))(x)
    np.testing.assert_allclose(slope[0, :, 0], 1e12 * np.eye(2), rtol=4e-7)
    np.testing.assert_allclose(slope[2, :, 2], 1e12 * np.eye(2), rtol=4e-7)
    np.testing.assert_allclose(slope[1, :, 1], [[0.128, -0.096], [-0.096, 0.072]], rtol=1e-6)


@axes
@pytest.mark.parametrize("where", [None, MASK])
@pytest.mark.parametrize("epsilon", [0.0, 4.0])
def test_cosine_similarity_agrees_with_the_peer(axis, where, epsilon):
    keywords = {"axis": axis, "where": where, "epsilon": epsilon}
    functions = nn.cosine_similarity, optax.losses.cosine_similarity

    @jax.jit
    def both(x, y):
        grad = lambda fn: jax.grad(lambda x, y: fn(x, y, **keywords).sum(), (0, 1))(x, y)
        return [(fn(x, y, **keywords), grad(fn)) for fn in functions]

    for a, b in zip(*map(jax.tree.leaves, both(X, Y)), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


@pytest.mark.parametrize(("a", "b"), [(1e-37, 1e37), (1e30, 1e30), (1e-20, 1e-20)])
def test_cosine_similarity_at_every_magnitude(a, b):
    x, y = np.float32([3, 4]) * np.float32(a), np.float32([4, 3]) * np.float32(b)
    np.testing.assert_allclose(nn.cosine_similarity(x, y), 0.96, rtol=3e-7)


def test_orthogonal_vectors_have_the_cosine_of_their_rounding():
    x = np.float32([1 / 3, 0.1, -0.7])
    y = np.cross(x, [1, 2, 3]).astype(np.float32)
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    right = x64 @ y64 / np.sqrt(x64 @ x64 * (y64 @ y64))
    assert 0 < abs(right) < 1e-7
    np.testing.assert_allclose(nn.cosine_similarity(x, y), right, rtol=1e-2)


def test_zero_is_similar_to_nothing():
    zero, x = jnp.zeros(3), jnp.arange(3.0)
    assert nn.cosine_similarity(zero, x) == 0
    for slope in jax.jit(jax.grad(nn.cosine_similarity, (0, 1)))(zero, x):
        np.testing.assert_array_equal(slope, np.zeros(3))
    assert np.isfinite(jax.jit(jax.hessian(nn.cosine_similarity))(zero, x)).all()
    assert np.isfinite(jax.jit(jax.hessian(lambda x: nn.normalize(x).sum()))(zero)).all()


@pytest.mark.parametrize(
    ("fn", "textbook"),
    [
        (lambda x, y: nn.normalize(x), lambda x, y: x / jnp.sqrt(jnp.sum(x * x))),
        (nn.cosine_similarity, lambda x, y: jnp.sum(x * y) / jnp.sqrt(jnp.sum(x * x) * jnp.sum(y * y))),
        (
            lambda x, y: nn.cosine_similarity(x, 100 * y, epsilon=50.0),
            lambda x, y: jnp.sum(x * y) / jnp.sqrt(50 * jnp.sum(y * y)),
        ),
        (lambda x, y: nn.norm(x), lambda x, y: jnp.sqrt(jnp.sum(x * x))),
    ],
    ids=["normalize", "cosine_similarity", "cosine_similarity with epsilon", "norm"],
)
def test_derivatives_of_second_order(fn, textbook):
    with jax.enable_x64(True):
        arguments = tuple(np.random.default_rng(2).standard_normal((2, 5)))
        second = lambda f: jax.jit(jax.jacfwd(jax.jacrev(f, (0, 1)), (0, 1)))
        ours, theirs = (jax.tree.leaves(second(f)(*arguments)) for f in (fn, textbook))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_wrong_axes_and_complex_input_are_refused():
    with pytest.raises(ValueError, match="normalize: axis 3 is out of bounds"):
        nn.normalize(X, 3)
    with pytest.raises(ValueError, match="cosine_similarity: axis 3 is out of bounds"):
        nn.cosine_similarity(X, Y, axis=3)
    with pytest.raises(TypeError, match="cosine_similarity: targets must be real"):
        nn.cosine_similarity(jnp.ones(2), jnp.ones(2, jnp.complex64))
