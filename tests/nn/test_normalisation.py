"""Mean, variance and what is standardised by them: axes, masks, parameters, extremes and second derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import nn

X = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
MASK = np.random.default_rng(1).random((3, 4, 5)) < 0.7
MASK[0] = MASK[..., 0] = True  # no row without an entry
axes = pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1,)])


@axes
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("where", [None, MASK])
def test_mean_and_variance_reduce_as_the_peer(axis, keepdims, where):
    selected = True if where is None else where
    expected = [f(X.astype(np.float64), axis, keepdims=keepdims, where=selected) for f in (np.mean, np.var)]
    out = nn.mean_and_variance(X, axis, where, keepdims)
    for a, b in zip(out, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(out[1], nn.variance(X, axis, keepdims=keepdims, where=where), rtol=3e-7)


@pytest.mark.parametrize("keywords", [{"ddof": 1}, {"correction": 1.5}, {"ddof": 2, "axis": 1}])
def test_degrees_of_freedom_are_those_of_the_peer(keywords):
    np.testing.assert_allclose(nn.variance(X, **keywords), jnp.var(X, **keywords), rtol=1e-6)


def test_no_degrees_of_freedom_give_what_the_peer_gives():
    for x, ddof in [(jnp.ones(1), 1), (jnp.zeros(0), 0)]:
        np.testing.assert_array_equal(nn.variance(x, ddof=ddof), jnp.var(x, ddof=ddof))


def test_two_names_for_degrees_of_freedom_are_refused():
    with pytest.raises(ValueError, match="variance: ddof and correction are one"):
        nn.variance(X, ddof=1, correction=2)


@axes
@pytest.mark.parametrize("where", [None, MASK])
def test_standardize_agrees_with_the_peer(axis, where):
    x64 = X.astype(np.float64)
    selected = True if where is None else where
    mean, variance = (f(x64, axis, keepdims=True, where=selected) for f in (np.mean, np.var))
    expected = (x64 - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(nn.standardize(X, axis, where=where), expected, rtol=2e-6, atol=1e-6)
    np.testing.assert_allclose(nn.layer_norm(X, axis=axis, where=where), expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("given", [{"mean": 0.5}, {"variance": 2.0}, {"mean": 0.5, "variance": 2.0}])
def test_given_moments_are_those_of_the_peer(given):
    expected = jax.nn.standardize(X, **given, algorithm="stable")
    np.testing.assert_allclose(nn.standardize(X, **given), expected, rtol=2e-6, atol=1e-6)


def test_unknown_algorithms_are_named():
    with pytest.raises(ValueError, match="standardize: algorithm must be 'fast' or 'stable', got 'slow'"):
        nn.standardize(X, algorithm="slow")


@pytest.mark.parametrize("size", [1, 2, 3, 8, 1000])
@pytest.mark.parametrize("value", [0.1, 1e-38, 1e8, 1e30, -3e38])
@pytest.mark.parametrize("epsilon", [0, 1e-5])
def test_constant_rows_give_zero_with_finite_gradients(size, value, epsilon):
    x = jnp.full(size, value, jnp.float32)
    for fn in (nn.standardize, nn.layer_norm):
        np.testing.assert_array_equal(fn(x, epsilon=epsilon), np.zeros(size))
        assert np.isfinite(jax.grad(lambda x, fn=fn: fn(x, epsilon=epsilon)[0])(x)).all()
    assert nn.variance(x) == 0


@pytest.mark.parametrize("scale", [1e-36, 1e-20, 1.0, 1e20, 1e37])
@pytest.mark.parametrize("size", [3, 8, 17])
def test_without_epsilon_the_size_of_a_row_does_not_count(scale, size):
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    x = (x * np.float32(scale)).astype(np.float32)
    deviation = x.astype(np.float64) - x.astype(np.float64).mean()
    expected = deviation / np.sqrt(np.mean(deviation**2))
    np.testing.assert_allclose(nn.standardize(x, epsilon=0), expected, atol=5e-7)
    square = np.sqrt(np.mean(x.astype(np.float64) ** 2))
    np.testing.assert_allclose(nn.rms_norm(x, epsilon=0), x / square, rtol=5e-7)


def test_an_offset_costs_no_digits():
    x = np.float32(1e8) + np.float32([0, 8, 16, 40])
    np.testing.assert_allclose(
        nn.standardize(x, epsilon=0), (np.array([0, 8, 16, 40]) - 16) / np.sqrt(np.var([0, 8, 16, 40])), rtol=3e-7
    )


def test_masked_entries_have_no_influence():
    x = jnp.array([1.0, np.nan, 3.0, np.inf, 8.0])
    mask = ~np.isin(np.arange(5), [1, 3])
    kept = x[mask]
    for fn in (nn.standardize, nn.rms_norm):
        np.testing.assert_allclose(fn(x, where=mask)[mask], fn(kept), rtol=3e-7)
    np.testing.assert_allclose(jnp.stack(nn.mean_and_variance(x, where=mask)), jnp.stack(nn.mean_and_variance(kept)))
    np.testing.assert_allclose(jax.grad(lambda x: nn.variance(x, where=mask))(x)[mask], jax.grad(nn.variance)(kept))


def layer_norm(x, scale, bias, epsilon):
    deviation = x - jnp.mean(x)
    return deviation / jnp.sqrt(jnp.mean(deviation**2) + epsilon) * scale + bias


def rms_norm(x, scale, bias, epsilon):
    return x / jnp.sqrt(jnp.mean(x * x) + epsilon) * scale


@pytest.mark.parametrize(
    ("fn", "textbook"),
    [
        (lambda x, s, b, e: nn.layer_norm(x, s, b, epsilon=e), layer_norm),
        (lambda x, s, b, e: nn.rms_norm(x, s, epsilon=e), rms_norm),
        (lambda x, s, b, e: nn.standardize(x, epsilon=e), lambda x, s, b, e: layer_norm(x, 1.0, 0.0, e)),
        (lambda x, s, b, e: nn.variance(x), lambda x, s, b, e: jnp.var(x)),
    ],
    ids=["layer_norm", "rms_norm", "standardize", "variance"],
)
def test_derivatives_of_second_order(fn, textbook):
    with jax.enable_x64(True):
        arguments = (*np.random.default_rng(2).standard_normal((3, 5)), np.float64(0.1))
        order = tuple(range(4))
        second = lambda f: jax.jit(jax.jacfwd(jax.jacrev(f, order), order))
        ours, theirs = (jax.tree.leaves(second(f)(*arguments)) for f in (fn, textbook))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_scale_and_bias_may_cancel_at_the_end_of_the_range():
    x = np.float32([0, 0, 0, 1])
    out = nn.layer_norm(x, jnp.full(4, 3e38), 3e38 * jnp.array([1.0, 1.0, 1.0, -1.0]), epsilon=0)
    np.testing.assert_allclose(out, 3e38 * np.array([1 - 3**-0.5] * 3 + [3**0.5 - 1]), rtol=2e-6)


@pytest.mark.parametrize("fn", [nn.variance, nn.standardize, nn.layer_norm, nn.rms_norm, nn.mean_and_variance])
def test_wrong_axes_and_complex_input_are_refused(fn):
    with pytest.raises(ValueError, match=f"{fn.__name__}: axis 3 is out of bounds"):
        fn(X, axis=3)
    with pytest.raises(TypeError, match=f"{fn.__name__}: x must be real"):
        fn(jnp.ones(2, jnp.complex64))
