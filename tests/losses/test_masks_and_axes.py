"""Classes may lie along any axis, and what a mask leaves out has no influence, whatever it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import losses

RNG = np.random.default_rng(11)
X, Y = RNG.standard_normal((2, 3, 5)).astype(np.float32)
LOG_P, LOG_Q = (np.asarray(jax.nn.log_softmax(a)) for a in (X, Y))
LABELS = np.array([0, 3, 2])
KEPT = np.array([True, False, True, True, False])

# by name: a function of rows, and the rows
ROWS = {
    "kl_divergence": (losses.kl_divergence, (LOG_Q, np.exp(LOG_P))),
    "kl_divergence_with_log_targets": (losses.kl_divergence_with_log_targets, (LOG_Q, LOG_P)),
    "generalized_kl_divergence": (losses.generalized_kl_divergence, (Y, np.exp(X))),
    "categorical_kl_divergence": (losses.categorical_kl_divergence, (X, Y)),
    "cosine_distance": (losses.cosine_distance, (X, Y)),
    "softmax_cross_entropy": (losses.softmax_cross_entropy, (X, np.exp(LOG_P))),
    "poly_loss_cross_entropy": (losses.poly_loss_cross_entropy, (X, np.exp(LOG_P))),
    "z_loss": (lambda x, **options: losses.z_loss(x, 1.0, **options).loss, (X,)),
    "softmax_focal_loss": (lambda x, **options: losses.softmax_focal_loss(x, LABELS, **options), (X,)),
    "integer labels": (
        lambda x, **options: losses.softmax_cross_entropy_with_integer_labels(x, LABELS, **options),
        (X,),
    ),
    "integer labels, smoothed": (
        lambda x, **options: losses.softmax_cross_entropy_with_integer_labels(
            x, LABELS, label_smoothing=0.1, **options
        ),
        (X,),
    ),
}
functions = pytest.mark.parametrize("name", ROWS)


def value_and_grad(fn, rows, **options):
    def total(*rows):
        values = fn(*rows, **options)
        return jnp.sum(values), values

    slopes, values = jax.jit(jax.grad(total, tuple(range(len(rows))), has_aux=True))(*rows)
    return values, slopes


@functions
def test_classes_may_lie_along_the_first_axis(name):
    fn, rows = ROWS[name]
    values, slopes = value_and_grad(fn, rows)
    others, other_slopes = value_and_grad(fn, [row.T for row in rows], axis=0)
    np.testing.assert_allclose(others, values, rtol=1e-6)
    for one, other in zip(slopes, other_slopes, strict=True):
        np.testing.assert_allclose(other.T, one, rtol=1e-5, atol=1e-7)


RUBBISH = (np.nan, np.inf, -np.inf, 100.0, 3e38)


@functions
def test_masked_classes_have_no_influence_and_no_gradient(name):
    fn, rows = ROWS[name]
    where = np.broadcast_to(KEPT, X.shape)
    kept, slice_of = fn, fn
    if "labels" in name or "focal" in name:  # of which each is among the classes that are left
        labels = np.array([0, 1, 1])
        loss = losses.softmax_focal_loss if "focal" in name else losses.softmax_cross_entropy_with_integer_labels
        smoothing = {"label_smoothing": 0.1} if "smoothed" in name else {}

        def slice_of(x):
            return loss(x, labels, **smoothing)

        def kept(x, where):
            return loss(x, np.flatnonzero(KEPT)[labels], **smoothing, where=where)

    right, right_slopes = value_and_grad(slice_of, [row[:, KEPT] for row in rows])
    program = jax.jit(lambda *rows: value_and_grad(kept, rows, where=where))
    for rubbish in RUBBISH:
        found, slopes = program(*(np.where(KEPT, row, np.float32(rubbish)) for row in rows))
        np.testing.assert_allclose(found, right, rtol=1e-6)
        for slope, expected in zip(slopes, right_slopes, strict=True):
            np.testing.assert_allclose(slope[:, KEPT], expected, rtol=1e-5, atol=1e-7)
            np.testing.assert_array_equal(slope[:, ~KEPT], 0)


@pytest.mark.parametrize(
    "loss",
    [
        losses.softmax_cross_entropy_with_integer_labels,
        losses.softmax_focal_loss,
        losses.multiclass_hinge_loss,
        losses.multiclass_perceptron_loss,
        losses.multiclass_sparsemax_loss,
    ],
)
def test_examples_that_do_not_count_have_no_gradient(loss):
    labels, where = jnp.array([2, -1]), jnp.array([True, False])
    program = jax.jit(lambda x: value_and_grad(lambda x: loss(x, labels, where=where), (x,)))
    for rubbish in RUBBISH:
        scores = jnp.array(X[:2]).at[1].set(rubbish)
        values, (slope,) = program(scores)
        np.testing.assert_allclose(values, [loss(scores[0], 2), 0], rtol=1e-6)
        np.testing.assert_array_equal(slope[1], 0)
        assert np.abs(slope[0]).sum() > 0


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_binary_examples_that_do_not_count_have_no_gradient(rubbish):
    where = jnp.array([True, False])
    values, (slope,) = value_and_grad(
        lambda x: losses.sparsemax_loss(x, jnp.array([0, 1]), where=where), (jnp.array([0.5, rubbish]),)
    )
    np.testing.assert_allclose(values, [0.5625, 0])
    np.testing.assert_allclose(slope, [0.75, 0])


def test_a_mask_of_examples_leaves_out_the_axis_of_the_classes():
    mask = jnp.array([True, True, False])
    expected = [np.log(2), np.log(2), 0]
    by_label = losses.softmax_cross_entropy_with_integer_labels(jnp.zeros((2, 3)), jnp.array([0, 1, 0]), 0, mask)
    np.testing.assert_allclose(by_label, expected, rtol=1e-6)
    by_share = losses.softmax_cross_entropy(jnp.zeros((2, 3)), jnp.full((2, 3), 0.5), axis=0, where=mask)
    np.testing.assert_allclose(by_share, expected, rtol=1e-6)


def test_info_nce_of_a_batch_of_batches_is_that_of_each():
    queries = RNG.standard_normal((2, 3, 4)).astype(np.float32)
    each = [losses.info_nce(q, q, 1.0) for q in queries]
    np.testing.assert_allclose(losses.info_nce(queries, queries, 1.0), each, rtol=1e-6)


def test_a_mask_of_smoothed_labels_is_broadcast():
    smoothed = losses.smooth_labels(jnp.eye(2, 4), 0.4, where=jnp.ones((2, 1), bool))
    np.testing.assert_allclose(smoothed, losses.smooth_labels(jnp.eye(2, 4), 0.4), rtol=1e-6)


def test_sequences_without_labels_are_blanks():
    logits = RNG.standard_normal((1, 3, 4)).astype(np.float32)
    loss = losses.ctc_loss(logits, jnp.zeros((1, 3)), jnp.zeros((1, 0), int), jnp.zeros((1, 0)))
    np.testing.assert_allclose(loss, -jax.nn.log_softmax(logits)[..., 0].sum(-1), rtol=1e-6)


def test_frames_of_padding_have_no_gradient():
    logits = jnp.zeros((1, 3, 4)).at[0, 2].set(jnp.nan)
    paddings, labels = jnp.array([[0, 0, 1]]), jnp.array([[1]])
    values, (slope,) = value_and_grad(lambda x: losses.ctc_loss(x, paddings, labels, jnp.zeros((1, 1))), (logits,))
    np.testing.assert_allclose(values, losses.ctc_loss(jnp.zeros((1, 2, 4)), jnp.zeros((1, 2)), labels, labels * 0))
    np.testing.assert_array_equal(slope[0, 2], 0)
    assert np.isfinite(slope).all()


def test_a_label_that_cannot_be_reached_costs_what_log_epsilon_says():
    frames, labels = jnp.zeros((1, 2)), jnp.array([[1, 1]])  # two equal labels need a blank between them
    loss = losses.ctc_loss(jnp.zeros((1, 2, 3)), frames, labels, jnp.zeros((1, 2)), log_epsilon=-jnp.inf)
    assert loss[0] == jnp.inf
