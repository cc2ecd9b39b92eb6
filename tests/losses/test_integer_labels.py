"""Axes, masks, dtypes, smoothing and weights of the cross-entropy of integer labels."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stablenn.losses import softmax_cross_entropy_with_integer_labels as loss

LOGITS = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
LABELS = np.array([[0, 3, 1], [2, 2, 0]], np.int32)
SCORES = LOGITS[0]


@pytest.mark.parametrize("axis", [-1, 2, 1, 0])
def test_classes_may_lie_along_any_axis(axis):
    logits = np.moveaxis(LOGITS, -1, axis)
    np.testing.assert_allclose(loss(logits, LABELS, axis), loss(LOGITS, LABELS), rtol=1e-6)
    expected = optax.losses.softmax_cross_entropy_with_integer_labels(logits, LABELS, axis)
    np.testing.assert_allclose(loss(logits, LABELS, axis), expected, rtol=1e-5)


def test_several_axes_are_named_by_a_flat_index():
    labels = np.array([5, 11], np.int32)
    expected = optax.losses.softmax_cross_entropy_with_integer_labels(LOGITS, labels, (1, 2))
    np.testing.assert_allclose(loss(LOGITS, labels, (1, 2)), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4)])
def test_masks_have_the_shape_of_labels_or_logits(shape):
    where = np.ones(shape, bool)
    where[0] = False
    out = loss(LOGITS, LABELS, where=where)
    np.testing.assert_array_equal(out[0], np.zeros(3))
    np.testing.assert_allclose(out[1], loss(LOGITS[1], LABELS[1]), rtol=1e-6)


def test_a_label_whose_class_is_left_out_is_impossible():
    where = np.array([False, True, True, True])
    assert loss(LOGITS[0, 0], 0, where=where) == np.inf


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32"])
def test_any_integers_are_labels(dtype):
    np.testing.assert_allclose(loss(LOGITS, LABELS.astype(dtype)), loss(LOGITS, LABELS))


def test_other_arguments_are_refused():
    with pytest.raises(TypeError, match="logits must be floating point, got int32"):
        loss(jnp.ones((2, 3), jnp.int32), jnp.array([0, 1]))
    with pytest.raises(TypeError, match="labels must be integers, got float32"):
        loss(LOGITS, LABELS.astype(np.float32))


def test_it_can_be_mapped_and_vmapped_with_labels():
    np.testing.assert_allclose(jax.vmap(jax.vmap(loss))(LOGITS, LABELS), loss(LOGITS, LABELS), rtol=1e-6)
    np.testing.assert_allclose(jax.lax.map(lambda row: loss(*row), (LOGITS, LABELS)), loss(LOGITS, LABELS), rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("axis", [-1, 0])
def test_label_smoothing_is_that_of_smoothed_one_hot_labels(smoothing, axis):
    labels = jnp.array([0, 2, 1] if axis else [0, 2, 1, 1])
    one_hot = jax.nn.one_hot(labels, SCORES.shape[axis], axis=axis)
    expected = optax.softmax_cross_entropy(SCORES, optax.smooth_labels(one_hot, smoothing, axis=axis), axis)
    np.testing.assert_allclose(loss(SCORES, labels, axis, label_smoothing=smoothing), expected, rtol=1e-5)
    traced = jax.jit(lambda s: loss(SCORES, labels, axis, label_smoothing=s))
    np.testing.assert_allclose(traced(smoothing), expected, rtol=1e-5)


def test_label_smoothing_spreads_over_the_classes_that_count():
    where = np.array([True, True, False, True])
    out = loss(SCORES[0], 0, where=where, label_smoothing=0.3)
    expected = loss(SCORES[0, where], 0, label_smoothing=0.3)
    np.testing.assert_allclose(out, expected, rtol=1e-6)


def test_impossible_classes_cost_nothing_without_smoothing():
    logits = jnp.array([0.0, 0.0, -jnp.inf])
    assert loss(logits, 0, label_smoothing=0.1) == jnp.inf
    np.testing.assert_allclose(loss(logits, 0, class_weights=jnp.array([2.0, 1.0, 1.0])), 2 * np.log(2), rtol=1e-6)


def test_label_smoothing_needs_no_one_hot_array():
    logits, labels = jnp.zeros((64, 4096)), jnp.zeros(64, jnp.int32)

    def temporary(fn):
        analysis = jax.jit(jax.value_and_grad(lambda x, y: fn(x, y).sum())).lower(logits, labels).compile()
        return analysis.memory_analysis().temp_size_in_bytes

    ours = temporary(lambda x, y: loss(x, y, label_smoothing=0.1))
    assert ours <= 4.1 * logits.nbytes
