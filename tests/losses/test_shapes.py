"""Shapes whose pairs would be all pairs are refused, and so is what no loss can mean."""

import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import losses

COLUMN, ROW = np.zeros((3, 1), np.float32), np.zeros(3, np.float32)
PAIRED = (
    *("huber_loss", "log_cosh", "hinge_loss", "sigmoid_binary_cross_entropy", "sigmoid_focal_loss", "poisson_nll"),
    *("bernoulli_kl_divergence", "softmax_cross_entropy", "poly_loss_cross_entropy", "ranking_softmax_loss"),
    *("kl_divergence", "kl_divergence_with_log_targets", "generalized_kl_divergence", "categorical_kl_divergence"),
    "safe_softmax_cross_entropy",
)


@pytest.mark.parametrize("name", PAIRED)
def test_a_column_and_a_row_are_no_pairs(name):
    with pytest.raises(ValueError, match=rf"^{name}: .*\(3, 1\) and .*\(3,\) are no pairs: .* shape \(3, 3\)"):
        getattr(losses, name)(COLUMN, ROW)


@pytest.mark.parametrize("name", PAIRED)
def test_shapes_that_do_not_fit_are_named(name):
    with pytest.raises(ValueError, match=rf"^{name}: .* of shape \(3,\) do not fit .* of shape \(4,\)"):
        getattr(losses, name)(ROW, np.zeros(4, np.float32))


@pytest.mark.parametrize("name", ["l2_loss", "squared_error"])
def test_errors_are_those_of_equal_shapes(name):
    with pytest.raises(ValueError, match="must have the same shape"):
        getattr(losses, name)(COLUMN, ROW)


@pytest.mark.parametrize("name", ["gaussian_nll", "negative_binomial_nll"])
def test_likelihoods_of_three_arguments_are_paired_too(name):
    with pytest.raises(ValueError, match="are no pairs"):
        getattr(losses, name)(COLUMN, ROW, ROW)


@pytest.mark.parametrize(
    "name",
    [
        *("softmax_cross_entropy_with_integer_labels", "softmax_focal_loss", "multiclass_hinge_loss"),
        *("multiclass_perceptron_loss", "multiclass_sparsemax_loss"),
    ],
)
def test_a_column_of_labels_is_no_label_for_each_example(name):
    with pytest.raises(ValueError, match="are no pairs"):
        getattr(losses, name)(np.zeros((3, 4), np.float32), np.zeros((3, 1), np.int32))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.squared_error(np.arange(3)), "predictions must be floating point, got int"),
        (lambda: losses.multiclass_hinge_loss(np.zeros((2, 3)), np.zeros(2)), "labels must be integers, got float"),
        (lambda: losses.sparsemax_loss(np.zeros(2), np.zeros(2)), "labels must be integers, got float"),
        (lambda: losses.ntxent(np.zeros((2, 3)), np.zeros(2)), "labels must be integers, got float"),
    ],
)
def test_types_are_refused_by_name(call, message):
    with pytest.raises(TypeError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: losses.dice_loss(jnp.zeros((1, 2, 2)), jnp.zeros((1, 2, 2)), reduction="max"),
            "one of mean, sum, none",
        ),
        (lambda: losses.dice_loss(jnp.zeros((1, 2, 2)), jnp.zeros((1, 2, 2)), apply_softmax=False), "add up to 1"),
        (lambda: losses.dice_loss(jnp.zeros((1, 2, 2)), jnp.zeros((1, 3, 2))), "must have the same shape"),
        (
            lambda: losses.dice_loss(jnp.zeros((1, 2, 2)), jnp.zeros((1, 2, 2)), class_weights=jnp.ones((2, 2))),
            "must be a vector",
        ),
        (lambda: losses.ntxent(jnp.zeros((2, 3)), jnp.zeros(3, int)), r"\[batch, dim\]"),
        (lambda: losses.info_nce(jnp.zeros((2, 3)), jnp.zeros((3, 3))), "both have the shape"),
        (
            lambda: losses.info_nce(jnp.zeros((2, 3)), jnp.zeros((2, 3)), negatives=jnp.zeros((5, 4))),
            "negatives of shape",
        ),
        (lambda: losses.ctc_loss(jnp.zeros((2, 3)), 0, jnp.zeros((2, 1), int), 0), r"\[batch, frames, num_classes\]"),
        (
            lambda: losses.softmax_cross_entropy_with_integer_labels(
                jnp.zeros((2, 3)), jnp.zeros(2, int), class_weights=jnp.ones(2)
            ),
            r"class_weights must have the shape \(3,\), got \(2,\)",
        ),
    ],
)
def test_values_are_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call()
