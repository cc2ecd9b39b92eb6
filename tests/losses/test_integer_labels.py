"""Labels that name no class never wrap around; axes, masks and dtypes are those of optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stablenn.losses import softmax_cross_entropy_with_integer_labels as loss

LOGITS = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
LABELS = np.array([[0, 3, 1], [2, 2, 0]], np.int32)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            [0, -1, 7],
            r"labels must lie between 0 and 3, got -1 at index \(1,\); padding labels\? pass where=labels >= 0",
        ),
        ([4, 0, 0], r"labels must lie between 0 and 3, got 4 at index \(0,\)"),
    ],
)
def test_the_first_label_that_names_no_class_is_reported(labels, message):
    with pytest.raises(ValueError, match=message):
        loss(LOGITS[0], jnp.array(labels))


@pytest.mark.parametrize("label", [-1, -4, 4, 8000, -(2**31)])
def test_under_jit_such_a_label_makes_its_example_nan_and_no_other(label):
    labels = jnp.array([1, label, 2])
    values, slopes = jax.jit(lambda x, y: (loss(x, y), jax.grad(lambda x: loss(x, y).sum())(x)))(LOGITS[0], labels)
    np.testing.assert_array_equal(np.isnan(values), [False, True, False])
    np.testing.assert_array_equal(np.isnan(slopes).all(1), [False, True, False])
    np.testing.assert_array_equal(np.isnan(slopes).any(1), [False, True, False])


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_labels_that_are_left_out_may_be_anything(wrap):
    labels = jnp.array([1, -100, 2])
    fn = wrap(lambda x: loss(x, labels, where=labels >= 0))
    np.testing.assert_allclose(fn(LOGITS[0])[np.array([0, 2])], loss(LOGITS[0, [0, 2]], labels[jnp.array([0, 2])]))
    assert fn(LOGITS[0])[1] == 0
    np.testing.assert_array_equal(jax.grad(lambda x: fn(x).sum())(LOGITS[0])[1], np.zeros(4))


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
