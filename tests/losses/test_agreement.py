"""On ordinary inputs losses and their gradients are those of optax, in all that can be asked of them."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax.losses
import pytest

from stablenn import losses

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def probabilities(*shape):
    return np.asarray(jax.nn.softmax(normal(*shape)))


X, Y, P = normal(5, 4), normal(5, 4), probabilities(5, 4)
SIGNS, LABELS = np.sign(Y), np.array([0, 1, 3, 2, 2])
MASK = X < 1
PIXELS, CLASSES = normal(2, 6, 4), np.eye(4, dtype=np.float32)[RNG.integers(0, 4, (2, 6))]
FRAMES = normal(3, 7, 5), np.zeros((3, 7), np.float32)
WORDS = np.array([[1, 1, 2], [3, 4, 0], [2, 2, 2]]), np.array([[0, 0, 0], [0, 0, 1], [0, 1, 1]], np.float32)
SHORTER = FRAMES[0], np.array([[0] * 7, [0] * 5 + [1, 1], [0] * 7], np.float32)
CASES = [
    ("squared_error", (X, Y), {}),
    ("l2_loss", (X,), {}),
    ("l2_loss", (X, Y), {}),
    ("huber_loss", (X, Y), {"delta": 0.7}),
    ("huber_loss", (X,), {}),
    ("log_cosh", (X, Y), {}),
    ("cosine_distance", (X, Y), {}),
    ("cosine_distance", (X, Y), {"axis": 0, "where": MASK}),
    ("cosine_distance", (X, Y), {"epsilon": 30.0}),
    ("cosine_similarity", (X, Y), {}),
    ("hinge_loss", (X, SIGNS), {}),
    ("perceptron_loss", (X, SIGNS), {}),
    ("sparsemax_loss", (X, (Y > 0).astype(np.int32)), {}),
    ("multiclass_hinge_loss", (X, LABELS), {}),
    ("multiclass_perceptron_loss", (X, LABELS), {}),
    ("multiclass_sparsemax_loss", (X, LABELS), {}),
    ("poly_loss_cross_entropy", (X, P), {"epsilon": 0.5}),
    ("poly_loss_cross_entropy", (X, P), {"where": MASK, "axis": 0}),
    ("safe_softmax_cross_entropy", (X, P), {}),
    ("ranking_softmax_loss", (X, P), {}),
    ("ranking_softmax_loss", (X, P), {"where": MASK, "weights": P, "reduce_fn": jnp.sum}),
    ("ranking_softmax_loss", (X, P), {"where": MASK & (LABELS > 0)[:, None]}),
    ("ranking_softmax_loss", (X, P), {"where": MASK & (LABELS > 0)[:, None], "reduce_fn": None}),
    ("smooth_labels", (P, 0.1), {"where": MASK}),
    ("smooth_labels", (P, 0.1), {"axis": None}),
    ("generalized_kl_divergence", (X, P), {}),
    ("convex_kl_divergence", (X, P), {"axis": 0}),
    ("sigmoid_focal_loss", (X, P), {"alpha": 0.3, "gamma": 1.7}),
    ("sigmoid_focal_loss", (X, P), {"gamma": 0.0}),
    ("ntxent", (normal(6, 3), np.array([0, 0, 1, 1, 2, 2])), {}),
    ("triplet_margin_loss", (X, Y, P), {}),
    ("triplet_margin_loss", (X, Y, P), {"norm_degree": 4, "margin": 0.1, "axis": 0}),
    ("dice_loss", (PIXELS, CLASSES), {}),
    ("dice_loss", (PIXELS, CLASSES), {"alpha": 0.2, "beta": 0.8, "reduction": "none", "ignore_background": True}),
    ("dice_loss", (PIXELS, CLASSES), {"class_weights": np.arange(4.0, dtype=np.float32), "reduction": "sum"}),
    ("dice_loss", (PIXELS, CLASSES), {"axis": (0, 1), "smooth": 0.1}),
    ("multiclass_generalized_dice_loss", (PIXELS, CLASSES), {}),
    ("binary_dice_loss", (PIXELS[..., 0], CLASSES[..., 0]), {}),
    ("ctc_loss", (*FRAMES, *WORDS), {}),
    ("ctc_loss", (*SHORTER, *WORDS), {"blank_id": 4}),
]


def weighted(fn, options):
    def total(x, *rest):
        return sum(
            jnp.sum(out * jnp.cos(jnp.arange(out.size).reshape(out.shape))) for out in [fn(x, *rest, **options)]
        )

    return jax.jit(jax.grad(total))


@pytest.mark.parametrize(
    ("name", "arguments", "options"), [pytest.param(*case, id=f"{i}-{case[0]}") for i, case in enumerate(CASES)]
)
def test_values_and_gradients_are_those_of_optax(name, arguments, options):
    arguments = jax.tree.map(jnp.asarray, arguments)
    ours, theirs = getattr(losses, name), getattr(optax.losses, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, slope = theirs(*arguments, **options), weighted(theirs, options)(*arguments)
    out = ours(*arguments, **options)
    assert (out.shape, out.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weighted(ours, options)(*arguments), slope, rtol=1e-4, atol=2e-6)


def test_forward_probabilities_of_ctc_are_those_of_optax():
    ours, theirs = (m.ctc_loss_with_forward_probs(*FRAMES, *WORDS) for m in (losses, optax.losses))
    for out, expected in zip(ours, theirs, strict=True):
        assert out.shape == expected.shape
        possible = np.asarray(expected) > -1e4
        np.testing.assert_allclose(np.asarray(out)[possible], np.asarray(expected)[possible], rtol=1e-5)
        assert (np.asarray(out)[~possible] < -1e4).all()
