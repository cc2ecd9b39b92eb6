"""A label that names no class raises where it is known and is NaN where it is traced, in every loss with labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import losses

SCORES = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
TAKERS = (
    *("softmax_cross_entropy_with_integer_labels", "softmax_focal_loss", "multiclass_hinge_loss"),
    *("multiclass_perceptron_loss", "multiclass_sparsemax_loss"),
)
takers = pytest.mark.parametrize("loss", [getattr(losses, name) for name in TAKERS], ids=TAKERS)
MESSAGE = r"labels must lie between 0 and 3, got 4 at index \(1,\); padding labels\? pass where=labels >= 0$"


@takers
def test_a_known_label_raises(loss):
    with pytest.raises(ValueError, match=MESSAGE):
        loss(SCORES, jnp.array([0, 4, 1]))


@takers
@pytest.mark.parametrize("label", [-1, -4, 4, 8000, -(2**31)])
def test_a_traced_label_is_nan_in_loss_and_gradient_of_its_example(loss, label):
    labels = jnp.array([0, label, 1])
    values, slopes = jax.jit(lambda x, y: (loss(x, y), jax.grad(lambda x: loss(x, y).sum())(x)))(SCORES, labels)
    np.testing.assert_array_equal(np.isnan(values), [False, True, False])
    np.testing.assert_array_equal(np.isnan(slopes).any(-1), [False, True, False])
    np.testing.assert_array_equal(np.isnan(slopes).all(-1), [False, True, False])


@takers
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32])
def test_labels_of_a_narrow_dtype_do_not_wrap_among_many_classes(loss, dtype):
    scores, labels = np.random.default_rng(2).standard_normal((4, 300)).astype(np.float32), np.array([0, 44, 100, 127])
    np.testing.assert_array_equal(loss(scores, labels.astype(dtype)), loss(scores, labels))
    np.testing.assert_array_equal(jax.jit(loss)(scores, labels.astype(dtype)), loss(scores, labels))


@takers
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_labels_that_are_left_out_have_no_loss_and_no_gradient(loss, wrap):
    labels = jnp.array([0, -1, 1])
    fn = wrap(lambda x: loss(x, labels, where=labels >= 0))
    assert fn(SCORES)[1] == 0
    np.testing.assert_array_equal(jax.grad(lambda x: fn(x).sum())(SCORES)[1], np.zeros(4))
    np.testing.assert_allclose(fn(SCORES)[0], loss(SCORES[0], 0), rtol=1e-6)


def test_binary_labels_are_checked_too():
    with pytest.raises(ValueError, match=r"labels must lie between 0 and 1, got 2 at index \(0,\)"):
        losses.sparsemax_loss(jnp.ones(2), jnp.array([2, 1]))
    out, slope = jax.jit(jax.value_and_grad(lambda x, y: losses.sparsemax_loss(x, y).sum()))(
        jnp.ones(1), jnp.array([2])
    )
    assert np.isnan(out)
    assert np.isnan(slope).all()
    assert losses.sparsemax_loss(jnp.float32(0.5), jnp.array(True)) == losses.sparsemax_loss(jnp.float32(0.5), 1)


@takers
def test_every_label_of_int16_may_be_a_class_of_many(loss):
    scores = jnp.zeros((1, 40000)).at[0, 100].set(3.0)
    assert loss(scores, np.array([100], np.int16)) == loss(scores, np.array([100]))


def test_labels_of_sequences_may_be_narrow():
    logits, frames = np.random.default_rng(3).standard_normal((1, 6, 300)).astype(np.float32), np.zeros((1, 6))
    labels, padded = np.array([[7, 100]]), np.zeros((1, 2))
    narrow = losses.ctc_loss(logits, frames, labels.astype(np.int8), padded)
    np.testing.assert_array_equal(narrow, losses.ctc_loss(logits, frames, labels, padded))


def test_labels_of_sequences_are_checked_where_they_count():
    logits, frames = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3), np.float32)
    labels, padded = jnp.array([[1, 9], [2, -1]]), jnp.array([[0, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"got 9 at index \(0, 1\)"):
        losses.ctc_loss(logits, frames, labels, padded)
    fn = jax.jit(lambda x: losses.ctc_loss(x, frames, labels, padded))
    np.testing.assert_array_equal(np.isnan(fn(logits)), [True, False])
    slope = jax.grad(lambda x: fn(x).sum())(logits)
    np.testing.assert_array_equal(np.isnan(slope).all((1, 2)), [True, False])
    np.testing.assert_array_equal(np.isnan(slope).any((1, 2)), [True, False])
