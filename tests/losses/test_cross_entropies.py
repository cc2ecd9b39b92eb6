"""The two cross-entropies: values, gradients, limits, arguments and dtypes against the exact formula."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stablenn import exact, losses
from stablenn.floats import ulp_error

NAMES = ["softmax_cross_entropy", "sigmoid_binary_cross_entropy"]
BOTH = pytest.mark.parametrize("name", NAMES)
DTYPES = ["bfloat16", "float16", "float32"]
inf, nan = np.inf, np.nan


def categorical(logits, labels):
    return jnp.sum(labels * (jnp.log(jnp.sum(jnp.exp(logits))) - logits))


def binary(x, y):
    return y * jnp.log(1 + jnp.exp(-x)) + (1 - y) * jnp.log(1 + jnp.exp(x))


def error(actual, fn, *args, batched=False):
    actual = np.asarray(actual)
    truth = exact(fn, wide=True, dtype=actual.dtype, batched=batched)(*args)
    return ulp_error(actual, truth, flush=True).max()


@BOTH
def test_the_signature_is_the_peers(name):
    ours, peers = (inspect.signature(getattr(module, name)).parameters.values() for module in (losses, optax.losses))
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in peers]


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize("labels", [[0, 0, 1, 0], [0.25, 0.125, 0.5, 0.125], [2, 0, 1, 0.5]])
def test_the_categorical_loss_is_the_formulas(dtype, labels):
    y = np.array(labels).astype(jnp.dtype(dtype))
    for row in ([1, -2, 0.5, 3], [1e4, 9999, 1e4 - 2, 0], [-40, 30, 50, 1]):
        x = np.array(row).astype(y.dtype)
        with jax.enable_x64(dtype == "float64"):
            value, slope = jax.value_and_grad(losses.softmax_cross_entropy)(x, y)
            by_labels = jax.grad(losses.softmax_cross_entropy, 1)(x, y)
        assert value.dtype == slope.dtype == by_labels.dtype == y.dtype
        assert error(value, categorical, x, y) <= 4
        expected = exact(jax.grad(categorical), wide=True, dtype=y.dtype)(x, y)
        largest = np.abs(expected.astype(np.float64)).max() + np.abs(y.astype(np.float64)).max()
        gap = np.abs(np.asarray(slope, np.float64) - expected.astype(np.float64)).max()
        assert gap <= 4 * float(jnp.finfo(dtype).eps) * largest
        assert error(by_labels, jax.grad(categorical, 1), x, y) <= 4


@pytest.mark.parametrize("margin", [20, 50, 80, 87, 100])
def test_a_confident_answer_keeps_its_relative_accuracy(margin):
    x, y = np.float32([margin, 0]), np.float32([1, 0])
    value, slope = jax.value_and_grad(losses.softmax_cross_entropy)(x, y)
    assert error(value, categorical, x, y) <= 4
    assert error(slope, jax.grad(categorical), x, y) <= 6
    x, y = np.float32([margin, -margin]), np.float32([1, 0])
    assert error(losses.sigmoid_binary_cross_entropy(x, y), binary, x, y, batched=True) <= 4
    slope = jax.vmap(jax.grad(losses.sigmoid_binary_cross_entropy))(x, y)
    assert error(slope, jax.grad(binary), x, y, batched=True) <= 6


@pytest.mark.parametrize("rest", [np.full(5000, -90.0), np.linspace(-88, -100, 5000)])
def test_many_classes_that_each_underflow_still_cost_something(rest):
    x = np.concatenate([[0], rest]).astype(np.float32)
    y = np.eye(1, 5001, dtype=np.float32)[0]
    truth = np.exp(x[1:].astype(np.float64)).sum()
    value, slope = jax.value_and_grad(losses.softmax_cross_entropy)(x, y)
    np.testing.assert_allclose([value, slope[0]], [truth, -truth], rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
def test_the_binary_loss_is_the_formulas(dtype):
    x, y = np.meshgrid([-100, -30, -1, -0.01, 0, 0.5, 3, 30, 100], [0, 1])  # other labels cancel: see the Spec
    x, y = (v.ravel().astype(jnp.dtype(dtype)) for v in (x, y))
    with jax.enable_x64(dtype == "float64"):
        value = losses.sigmoid_binary_cross_entropy(x, y)
        slopes = jax.vmap(jax.grad(losses.sigmoid_binary_cross_entropy, (0, 1)))(x, y)
    assert value.dtype == slopes[0].dtype == slopes[1].dtype == x.dtype
    assert error(value, binary, x, y, batched=True) <= 4
    assert error(slopes[0], jax.grad(binary), x, y, batched=True) <= 6
    assert error(slopes[1], jax.grad(binary, 1), x, y, batched=True) <= 1


def test_an_infinite_logit_that_agrees_costs_nothing():
    x, y = jnp.float32([inf, -inf]), jnp.float32([1, 0])
    loss = losses.sigmoid_binary_cross_entropy
    np.testing.assert_array_equal(loss(x, y), [0, 0])
    np.testing.assert_array_equal(loss(x, 1 - y), [inf, inf])
    np.testing.assert_array_equal(jax.grad(lambda x: loss(x, y).sum())(x), [0, 0])
    np.testing.assert_array_equal(jax.grad(lambda x: loss(x, 1 - y).sum())(x), [1, -1])
    np.testing.assert_array_equal(jax.hessian(lambda x: loss(x, y).sum())(x), np.zeros((2, 2)))


@BOTH
def test_a_tangent_of_the_logits_alone_brings_no_nan(name):
    x, y = jnp.float32([inf, -inf]), jnp.float32([1, 0])
    _, tangent = jax.jvp(lambda x: getattr(losses, name)(x, y), (x,), (jnp.ones(2),))
    np.testing.assert_array_equal(tangent, jnp.zeros_like(tangent))


def test_an_impossible_class_that_is_not_the_answer_is_ignored():
    x, y = jnp.float32([1, -inf, 0]), jnp.float32([1, 0, 0])
    value, slopes = jax.value_and_grad(losses.softmax_cross_entropy, (0, 1))(x, y)
    possible, answer = np.float32([1, 0]), np.float32([1, 0])
    assert error(value, categorical, possible, answer) <= 2
    assert error(slopes[0][::2], jax.grad(categorical), possible, answer) <= 2
    assert (slopes[0][1], slopes[1][1]) == (0, 0)
    assert losses.softmax_cross_entropy(x, jnp.float32([0, 1, 0])) == inf
    assert losses.softmax_cross_entropy(jnp.float32([inf, 0, 0]), y) == 0


def test_the_largest_logits():
    x = np.float32([3e38, -3e38])
    for y in np.float32([[1, 0], [0, 1], [0.75, 0.25]]):
        assert error(losses.softmax_cross_entropy(x, y), categorical, x, y) <= 3
        assert error(losses.sigmoid_binary_cross_entropy(x, y), binary, x, y, batched=True) <= 3


@BOTH
def test_nan_passes_through_large_arrays(name):
    x = np.zeros((2, 5000), np.float32)
    x[1, 4321] = nan
    result = np.asarray(getattr(losses, name)(x, np.full_like(x, 0.5)))
    assert not np.isnan(result[0]).any()
    assert np.isnan(result[1]).all() if result.ndim == 1 else np.isnan(result[1, 4321])


@BOTH
@pytest.mark.parametrize("shapes", [((2, 3), (3,)), ((3,), (2, 3)), ((2, 3), (2, 1)), ((2, 3), ())])
def test_logits_and_labels_are_broadcast(name, shapes):
    x, y = (np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape) for shape in shapes)
    fn = getattr(losses, name)
    np.testing.assert_array_equal(fn(x, y), fn(*np.broadcast_arrays(x, y)))


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 2), None])
def test_axis_is_the_peers(axis):
    x = np.linspace(-3, 4, 24, dtype=np.float32).reshape(2, 3, 4)
    y = np.cos(x) ** 2
    ours, peers = (m.softmax_cross_entropy(x, y, axis) for m in (losses, optax.losses))
    assert ours.shape == peers.shape
    np.testing.assert_allclose(ours, peers, rtol=3e-6)


@pytest.mark.parametrize("where", [[[1, 0, 1], [0, 0, 0]], [1, 0], [[1, 1, 0]]])
def test_where_leaves_classes_out(where):
    x, y = np.float32([[1, 2, -1], [0, 3, 1]]), np.float32([[0.5, 9, 0.5], [1, 0, 0]])
    where = np.array(where, bool)
    full = np.broadcast_to(where if where.ndim == 2 else where[:, None], x.shape)
    value = losses.softmax_cross_entropy(x, y, where=where)
    slope = np.asarray(jax.grad(lambda x: losses.softmax_cross_entropy(x, y, where=where).sum())(x))
    for row in range(2):
        used = full[row]
        assert not slope[row][~used].any()
        if used.any():
            assert error(value[row], categorical, x[row][used], y[row][used]) <= 4
        else:
            assert value[row] == 0


@BOTH
def test_labels_of_any_type_keep_the_dtype_of_logits(name):
    fn = getattr(losses, name)
    for dtype in DTYPES:
        x = jnp.ones(3, dtype)
        for x64 in (False, True):
            with jax.enable_x64(x64):
                for y in (1, 1.0, True, np.array([0, 1, 0]), np.array([False, True, False])):
                    assert fn(x, y).dtype == dtype


@BOTH
def test_mixed_dtypes_give_the_peers(name):
    for pair in (("bfloat16", "float32"), ("float32", "bfloat16"), ("float16", "bfloat16")):
        x, y = (jnp.ones(3, dtype) for dtype in pair)
        assert getattr(losses, name)(x, y).dtype == getattr(optax.losses, name)(x, y).dtype


@BOTH
def test_wrong_arguments_are_refused_by_name(name):
    fn, x = getattr(losses, name), jnp.ones(3)
    with pytest.raises(TypeError, match=f"^{name}: logits must be floating point, got int32"):
        fn(jnp.arange(3), x)
    with pytest.raises(TypeError, match=f"^{name}: logits must be floating point, got complex64"):
        fn(x.astype(complex), x)
    with pytest.raises(TypeError, match=f"^{name}: labels must be real, got complex64"):
        fn(x, x.astype(complex))


def test_an_axis_out_of_range_is_refused():
    with pytest.raises(ValueError, match="out of bounds"):
        losses.softmax_cross_entropy(jnp.ones((2, 3)), jnp.ones((2, 3)), axis=2)


def test_masked_labels_have_no_gradient():
    x, y, where = jnp.float32([1, 2, 3]), jnp.float32([1, 0, 0]), np.array([True, False, True])
    for jacobian in (jax.jacfwd, jax.jacrev):
        slope = jacobian(lambda y: losses.softmax_cross_entropy(x, y, where=where))(y)
        np.testing.assert_allclose(slope, [np.log1p(np.exp(2.0)), 0, np.log1p(np.exp(-2.0))], rtol=1e-6)
