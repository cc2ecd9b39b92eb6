"""Options of losses, in value and in the derivative by every argument, beside the textbook formula in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import gammaln

from stablenn import losses

RNG = np.random.default_rng(7)
ROW, OTHER = RNG.standard_normal((2, 5))
SHARES = np.array([0.1, 0.2, 0.3, 0.15, 0.25])
KEPT = np.array([True, False, True, True, False])
WEIGHTS = np.array([0.5, 2.0, 1.5, 0.25, 3.0])
FIELD = RNG.standard_normal((2, 6, 3))  # batch, places, classes
OVERLAP = RNG.random((2, 6, 3))
TARGET = np.eye(3)[RNG.integers(0, 3, (2, 6))]


def log_shares(x, where=True):
    return x - jnp.log(jnp.sum(jnp.where(where, jnp.exp(x), 0)))


def focal(x, gamma, where=True):
    log_p = log_shares(x, where)[2]
    return -((1 - jnp.exp(log_p)) ** gamma) * log_p


def binary_focal(x, y, gamma):
    p = 1 / (1 + jnp.exp(-x))
    missed = 1 - (p * y + (1 - p) * (1 - y))
    return missed**gamma * (-y * jnp.log(p) - (1 - y) * jnp.log(1 - p))


def cross_entropy(x, smoothing, weights, where=True):
    targets = ((1 - smoothing) * (np.arange(5) == 2) + smoothing / jnp.sum(where * jnp.ones(5))) * weights
    return -jnp.sum(jnp.where(where, targets * log_shares(x, where), 0))


def kept(x):
    return x[KEPT]


def similarity(a, b, least):
    squares = [jnp.maximum(jnp.sum(v * v), least) for v in (a, b)]
    return jnp.sum(a * b) / jnp.sqrt(squares[0] * squares[1])


def pairs(x, temperature):
    """NT-Xent of four embeddings of two classes."""
    unit = x / jnp.sqrt(jnp.sum(x * x, -1, keepdims=True))
    scores, same = unit @ unit.T / temperature, np.kron(np.eye(2), np.ones((2, 2))) > 0
    others = jnp.sum(jnp.where(same, 0, jnp.exp(scores)), 1, keepdims=True)
    positive = same & ~np.eye(4, dtype=bool)
    return jnp.sum(jnp.where(positive, jnp.log1p(others / jnp.exp(scores)), 0)) / 4


def triplet(a, p, n, margin, eps):
    return jnp.maximum(jnp.sqrt(jnp.sum((a - p) ** 2) + eps) - jnp.sqrt(jnp.sum((a - n) ** 2) + eps) + margin, 0)


def dice(p, t, smooth, axis=1):
    return 1 - (jnp.sum(p * t, axis) + smooth) / (0.5 * jnp.sum(p, axis) + 0.5 * jnp.sum(t, axis) + smooth)


def generalized(p, t, smooth, first=0):
    weights = 1 / (jnp.sum(t, (0, 1)) ** 2 + 1e-7)
    return jnp.mean((dice(p, t, smooth) * weights)[:, first:] / jnp.mean(weights))


def softmax(x):
    return jnp.exp(x) / jnp.sum(jnp.exp(x), -1, keepdims=True)


def negative_binomial(x, y, a):
    r, mu = jnp.exp(a), jnp.exp(x)
    return (r + y) * jnp.log1p(mu / r) - y * (x - a) - gammaln(r + y) + gammaln(r)


CASES = {
    "focal, gamma": (lambda x, g: losses.softmax_focal_loss(x, 2, gamma=g), focal, (ROW, 2.5)),
    "focal, gamma below 1": (lambda x, g: losses.softmax_focal_loss(x, 2, gamma=g), focal, (ROW, 0.5)),
    "focal, alpha": (
        lambda x, w: losses.softmax_focal_loss(x, 2, alpha=w),
        lambda x, w: w[2] * focal(x, 2),
        (ROW, WEIGHTS),
    ),
    "focal, where": (
        lambda x: losses.softmax_focal_loss(x, 2, where=KEPT),
        lambda x: focal(x, 2, KEPT),
        (ROW,),
    ),
    "sigmoid focal, gamma": (lambda x, y, g: losses.sigmoid_focal_loss(x, y, gamma=g), binary_focal, (1.0, 0.8, 2.5)),
    "sigmoid focal, gamma below 1": (
        lambda x, y, g: losses.sigmoid_focal_loss(x, y, gamma=g),
        binary_focal,
        (1.0, 0.8, 0.5),
    ),
    "sigmoid focal, alpha": (
        lambda x, y, a: losses.sigmoid_focal_loss(x, y, alpha=a),
        lambda x, y, a: (a * y + (1 - a) * (1 - y)) * binary_focal(x, y, 2),
        (1.0, 0.8, 0.3),
    ),
    "z-loss, coefficient": (
        lambda x, c: losses.z_loss(x, c).loss,
        lambda x, c: c * jnp.log(jnp.sum(jnp.exp(x))) ** 2,
        (ROW, 0.5),
    ),
    "z-loss, where": (
        lambda x: losses.z_loss(x, 1.0, where=KEPT).log_partition,
        lambda x: jnp.log(jnp.sum(jnp.exp(kept(x)))),
        (ROW,),
    ),
    "labels, smoothing and weights": (
        lambda x, s, w: losses.softmax_cross_entropy_with_integer_labels(x, 2, label_smoothing=s, class_weights=w),
        cross_entropy,
        (ROW, 0.3, WEIGHTS),
    ),
    "labels, weights": (
        lambda x, w: losses.softmax_cross_entropy_with_integer_labels(x, 2, class_weights=w),
        lambda x, w: cross_entropy(x, 0, w),
        (ROW, WEIGHTS),
    ),
    "labels, weights and where": (
        lambda x, w: losses.softmax_cross_entropy_with_integer_labels(x, 2, class_weights=w, where=KEPT),
        lambda x, w: cross_entropy(x, 0, w, KEPT),
        (ROW, WEIGHTS),
    ),
    "labels, smoothing and where": (
        lambda x, s: losses.softmax_cross_entropy_with_integer_labels(x, 2, label_smoothing=s, where=KEPT),
        lambda x, s: cross_entropy(x, s, 1, KEPT),
        (ROW, 0.3),
    ),
    "poly, epsilon": (
        lambda x, y, e: losses.poly_loss_cross_entropy(x, y, epsilon=e),
        lambda x, y, e: jnp.sum(y * (-log_shares(x) + e * (1 - jnp.exp(log_shares(x))))),
        (ROW, SHARES, 0.7),
    ),
    "ranking, weights": (
        lambda x, y, w: losses.ranking_softmax_loss(x, y, weights=w),
        lambda x, y, w: -jnp.sum(w * y * log_shares(x)),
        (ROW, SHARES, WEIGHTS),
    ),
    "huber, delta": (
        lambda x, y, d: losses.huber_loss(x, y, delta=d),
        lambda x, y, d: jnp.where(abs(x - y) <= d, (x - y) ** 2 / 2, d * (abs(x - y) - d / 2)),
        (3.0, 0.5, 1.5),
    ),
    "cosine, epsilon": (
        lambda a, b, e: losses.cosine_distance(a, b, epsilon=e),
        lambda a, b, e: 1 - similarity(a, b, e),
        (ROW, ROW + 0.1 * OTHER, 30.0),
    ),
    "cosine, one short vector": (
        lambda a, b, e: losses.cosine_distance(a, b, epsilon=e),
        lambda a, b, e: 1 - similarity(a, b, e),
        (np.array([1.0, 0.0]), np.array([1.0, 0.0]), 1.5),
    ),
    "NT-Xent, temperature": (
        lambda x, t: losses.ntxent(x, jnp.array([0, 0, 1, 1]), t),
        pairs,
        (RNG.standard_normal((4, 3)), 0.6),
    ),
    "InfoNCE, temperature": (
        lambda q, k, t: losses.info_nce(q, k, t)[1],
        lambda q, k, t: -log_shares(q[1] @ k.T / t)[1],
        (*RNG.standard_normal((2, 4, 3)), 0.6),
    ),
    "triplet, margin and eps": (
        lambda a, p, n, m, e: losses.triplet_margin_loss(a, p, n, margin=m, eps=e),
        triplet,
        (ROW, OTHER, ROW + 1, 0.9, 0.25),
    ),
    "dice, probabilities": (
        lambda p: losses.dice_loss(p, TARGET, smooth=0.1, apply_softmax=False).sum(),
        lambda p: jnp.sum(jnp.mean(dice(p, TARGET, 0.1), -1)),
        (OVERLAP,),
    ),
    "generalized dice, probabilities": (
        lambda p: losses.multiclass_generalized_dice_loss(p, TARGET, apply_softmax=False),
        lambda p: generalized(p, TARGET, 1.0),
        (OVERLAP,),
    ),
    "generalized dice, smooth": (
        lambda x: losses.multiclass_generalized_dice_loss(x, TARGET, smooth=0.1),
        lambda x: generalized(softmax(x), TARGET, 0.1),
        (FIELD,),
    ),
    "binary dice, probabilities": (
        lambda p: losses.binary_dice_loss(p, TARGET[0], apply_sigmoid=False).sum(),
        lambda p: jnp.sum(dice(p, TARGET[0], 1.0)),
        (OVERLAP[0],),
    ),
    "Gaussian, full": (
        lambda x, y, v: losses.gaussian_nll(x, y, v, full=True),
        lambda x, y, v: (v + (x - y) ** 2 * jnp.exp(-v) + jnp.log(2 * jnp.pi)) / 2,
        (0.7, -0.4, 0.3),
    ),
    "Poisson, full": (
        lambda x, y: losses.poisson_nll(x, y, full=True),
        lambda x, y: jnp.exp(x) - x * y + gammaln(y + 1),
        (0.7, 3.0),
    ),
    **{
        f"negative binomial of {count}, {a}": (losses.negative_binomial_nll, negative_binomial, (0.3, count, a))
        for count in (0.0, 1.0, 2.5)
        for a in (-3.0, 0.5, 3.0)
    },
    "negative binomial, full": (
        lambda x, y, a: losses.negative_binomial_nll(x, y, a, full=True),
        lambda x, y, a: negative_binomial(x, y, a) + gammaln(y + 1),
        (0.3, 4.0, 1.5),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_value_and_derivatives_are_those_of_the_textbook(case):
    fn, textbook, arguments = CASES[case]
    every = tuple(range(len(arguments)))
    with jax.enable_x64(True):
        right = jax.value_and_grad(textbook, every)(*map(jnp.float64, arguments))
        found = jax.jit(jax.value_and_grad(fn, every))(*map(jnp.float64, arguments))
    # gammaln and digamma of 20 are known to 1e-11 by their differences alone
    tolerance = 1e-10 if "binomial" in case else 1e-12
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), found, right)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_the_derivative_by_gamma_has_a_slope_of_its_own(gamma):
    def mixed(fn):
        return jax.grad(jax.grad(fn, 0), 2)(1.0, 0.8, gamma)

    right = mixed(binary_focal)
    np.testing.assert_allclose(mixed(lambda x, y, g: losses.sigmoid_focal_loss(x, y, gamma=g)), right, rtol=1e-4)


def test_smoothing_may_differ_between_examples():
    logits, smoothing = jnp.tile(jnp.array([1.0, 0.0, 0.0]), (3, 1)), jnp.array([0.0, 0.5, 1.0])
    fn = losses.softmax_cross_entropy_with_integer_labels
    labels = jnp.zeros(3, int)
    one_by_one = [fn(logits[i], labels[i], label_smoothing=smoothing[i]) for i in range(3)]
    np.testing.assert_array_equal(fn(logits, labels, label_smoothing=smoothing), one_by_one)


@pytest.mark.parametrize("smoothing", [0.0, jnp.float32(0)])
def test_an_answer_of_weight_0_may_be_impossible(smoothing):
    def loss(x):
        weights = jnp.array([0.0, 1.0])
        return losses.softmax_cross_entropy_with_integer_labels(x, 0, label_smoothing=smoothing, class_weights=weights)

    value, slope = jax.value_and_grad(loss)(jnp.array([-jnp.inf, 0.0]))
    assert value == 0
    np.testing.assert_array_equal(slope, [0, 0])


def test_nothing_expected_and_nothing_counted_costs_nothing():
    value, slopes = jax.value_and_grad(losses.negative_binomial_nll, (0, 2))(-jnp.inf, 0.0, 0.5)
    assert value == 0
    np.testing.assert_array_equal(slopes, [0, 0])


def test_a_poisson_count_beyond_every_expectation_costs_infinity():
    assert losses.poisson_nll(jnp.float32(1000), jnp.float32(3e38)) == jnp.inf


def test_the_background_may_be_ignored():
    found = losses.multiclass_generalized_dice_loss(FIELD.astype("float32"), TARGET, ignore_background=True)
    np.testing.assert_allclose(found, generalized(softmax(FIELD), TARGET, 1.0, first=1), rtol=1e-5)


def test_a_reduction_of_ones_own_is_called_with_lists_that_do_not_count_left_out():
    def reduce_fn(x, where=None):
        return jnp.sum(x, where=where) + 7

    none = jnp.zeros((1, 2), bool)
    assert losses.ranking_softmax_loss(jnp.zeros((1, 2)), jnp.ones((1, 2)), where=none, reduce_fn=reduce_fn) == 7


def test_equal_vectors_have_a_distance_with_a_slope_without_eps():
    positives, negatives = jnp.array([0.5, 0.5]), jnp.ones(2)
    slope = jax.grad(lambda a: losses.triplet_margin_loss(a, positives, negatives, eps=0.0))(positives)
    np.testing.assert_allclose(slope, np.full(2, 0.5**0.5), rtol=1e-6)
