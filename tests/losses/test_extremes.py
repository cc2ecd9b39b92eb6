"""What peers lose at the ends of the range, held against exact values or limits."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from stablenn import exact, losses

inf = np.inf


def close(ours, definition, *arguments, rtol=2e-6):
    wide = [np.asarray(argument, np.float64) for argument in arguments]
    narrow = [jnp.float32(argument) for argument in arguments]
    np.testing.assert_allclose(ours(*narrow), exact(definition)(*[np.float32(w) for w in wide]), rtol=rtol)


@pytest.mark.parametrize(("x", "y"), [(1e-3, 0.0), (1e-15, 0.0), (3e30, -3e30)])
def test_log_cosh_of_small_and_large_errors(x, y):
    error = abs(np.float64(np.float32(x)) - np.float64(np.float32(y)))
    np.testing.assert_allclose(
        losses.log_cosh(jnp.float32(x), jnp.float32(y)), error**2 / 2 if error < 1 else error, rtol=1e-6
    )


def test_huber_of_an_infinite_delta_is_the_squared_loss():
    x = jnp.array([0.5, -3e10, inf])
    np.testing.assert_array_equal(losses.huber_loss(x, delta=inf), losses.l2_loss(x))


def test_margins_count_beside_scores_of_any_size():
    assert losses.multiclass_hinge_loss(jnp.array([1e9, 1e9]), 0) == 1
    assert losses.multiclass_hinge_loss(jnp.array([-inf, 0.0, -inf]), 1) == 0
    assert losses.multiclass_hinge_loss(jnp.array([-inf, 0.0]), 0) == inf
    assert losses.multiclass_perceptron_loss(jnp.array([inf, 0.0]), 0) == 0
    assert losses.multiclass_sparsemax_loss(jnp.array([3e38, 0.0, -3e38]), 0) == 0


def test_near_directions_have_a_distance():
    close(
        losses.cosine_distance,
        lambda a, b: 1 - jnp.sum(a * b) / (jnp.sqrt(jnp.sum(a * a)) * jnp.sqrt(jnp.sum(b * b))),
        [1.0, 1e-10],
        [1.0, 0.0],
    )
    assert losses.cosine_distance(jnp.zeros(2), jnp.ones(2)) == 1


def test_overlap_that_is_nearly_complete_keeps_its_digits():
    def definition(x):
        p = 1 / (1 + jnp.exp(-x))
        return 1 - (jnp.sum(p * jnp.array([1, 0])) + 1) / ((jnp.sum(p) + 1) / 2 + 1)

    close(lambda x: losses.binary_dice_loss(x[None], jnp.array([[1.0, 0.0]]))[0], definition, [30.0, -30.0])


def test_a_sure_alignment_has_a_loss():
    logits = np.array([[[0.0, 30.0], [30.0, 0.0]]], np.float32)
    padding, labels, mask = np.zeros((1, 2)), np.array([[1]]), np.zeros((1, 1))
    # paths: (1, blank), (blank, 1), (1, 1)
    miss = np.exp(-30.0) / (1 + np.exp(-30.0))
    expected = -np.log1p(-(miss * (1 - miss)))
    np.testing.assert_allclose(losses.ctc_loss(logits, padding, labels, mask)[0], expected, rtol=2e-6)


@pytest.mark.parametrize("log_epsilon", [-1e5, -inf])
def test_an_impossible_sequence_is_impossible(log_epsilon):
    # two equal labels need a blank between them
    loss = losses.ctc_loss(
        np.zeros((1, 2, 3), np.float32),
        np.zeros((1, 2)),
        np.array([[1, 1]]),
        np.zeros((1, 2)),
        log_epsilon=log_epsilon,
    )
    assert loss[0] > 9e4


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_focal_losses_of_sure_answers_keep_their_digits_and_have_gradients(gamma):
    x = jnp.float32([-80, -30, -1, 0, 1, 30, 80])
    q, ce = (jnp.exp(-jnp.logaddexp(0, np.float64(x))), np.logaddexp(0, -np.float64(x)))
    expected = np.float64(q) ** gamma * ce
    out = losses.sigmoid_focal_loss(x, jnp.ones_like(x), gamma=gamma)
    big = expected > 1e-36
    np.testing.assert_allclose(np.asarray(out)[big], expected[big], rtol=3e-6)
    both = losses.softmax_focal_loss(jnp.stack([x, jnp.zeros_like(x)], -1), jnp.zeros(7, int), gamma=gamma)
    np.testing.assert_allclose(np.asarray(both)[big], expected[big], rtol=3e-6)
    for loss in (
        lambda x, g: losses.sigmoid_focal_loss(x, 1.0, gamma=g),
        lambda x, g: losses.softmax_focal_loss(jnp.stack([x, 0.0 * x]), 0, gamma=g),
    ):
        slopes = jax.vmap(jax.grad(loss, (0, 1)), (0, None))(x, jnp.float32(gamma))
        assert np.isfinite(slopes[0]).all()
        assert np.isfinite(slopes[1]).all()


def test_infinite_logits_that_are_right_cost_nothing():
    assert losses.sigmoid_focal_loss(jnp.float32(inf), jnp.float32(1)) == 0
    assert losses.softmax_focal_loss(jnp.array([inf, 0.0]), 0) == 0
    assert losses.safe_softmax_cross_entropy(jnp.array([0.0, -inf]), jnp.array([1.0, 0.0])) == 0
    assert losses.categorical_kl_divergence(jnp.array([0.0, -inf]), jnp.array([0.0, -inf])) == 0
    assert losses.categorical_kl_divergence(jnp.array([0.0, -inf]), jnp.array([0.0, 0.0])) == inf
    assert losses.generalized_kl_divergence(jnp.array([0.0, -inf]), jnp.array([1.0, 0.0])) == 0


def test_no_events_are_no_surprise_where_none_are_expected():
    assert losses.poisson_nll(jnp.float32(-inf), 0) == 0
    assert losses.poisson_nll(jnp.float32(-inf), 1) == inf
    assert jax.grad(losses.poisson_nll)(jnp.float32(-inf), 0.0) == 0


def test_many_failures_make_a_poisson_distribution():
    x, y = jnp.float32([-3.0, 0.0, 4.0]), jnp.array([0, 3, 60])
    negative_binomial = losses.negative_binomial_nll(x, y, jnp.float32(80.0), full=True)
    np.testing.assert_allclose(negative_binomial, losses.poisson_nll(x, y, full=True), rtol=2e-6)
    counts = jnp.arange(400)
    total = jnp.exp(-losses.negative_binomial_nll(jnp.float32(2.0), counts, jnp.float32(0.3), full=True)).sum()
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_likelihoods_are_those_of_densities():
    x = jnp.linspace(-40, 40, 20001)
    density = jnp.exp(-losses.gaussian_nll(jnp.float32(0.5), x, jnp.float32(2.0), full=True))
    np.testing.assert_allclose(jnp.sum(density) * (x[1] - x[0]), 1, rtol=2e-3)


def test_a_batch_without_pairs_has_no_loss():
    embeddings = jnp.eye(3)
    out, slope = jax.value_and_grad(losses.ntxent)(embeddings, jnp.arange(3))
    assert out == 0
    np.testing.assert_array_equal(slope, np.zeros((3, 3)))
    lists = jnp.zeros((2, 3), bool)
    out, slope = jax.value_and_grad(losses.ranking_softmax_loss)(embeddings[:2], embeddings[:2], where=lists)
    assert out == 0
    np.testing.assert_array_equal(slope, np.zeros((2, 3)))


def test_z_loss_gives_the_log_partition():
    x = jnp.array([[1e4, 1e4], [0.0, -inf]])
    loss, log_partition = losses.z_loss(x, 1.0)
    np.testing.assert_allclose(log_partition, [1e4 + np.log(2), 0], rtol=1e-6)
    np.testing.assert_allclose(loss, np.square(log_partition), rtol=1e-6)
    assert losses.z_loss(x[0], where=jnp.zeros(2, bool)).loss == 0


def test_negatives_are_more_keys():
    queries = jnp.eye(2, 3)
    many = losses.info_nce(queries, queries, 1.0, negatives=jnp.eye(3)[2:])
    np.testing.assert_allclose(many, np.log(np.e + 2) - 1, rtol=1e-6)


def test_sixteen_bits_are_rounded_once():
    logits = jnp.zeros((1, 70_000), jnp.float16)
    out = losses.softmax_cross_entropy_with_integer_labels(logits, jnp.array([3]), label_smoothing=0.1)
    assert out.dtype == jnp.float16
    np.testing.assert_allclose(out, np.log(70_000), rtol=1e-3)


@pytest.mark.parametrize("count", [100.0, 1e6, 1e20])
@pytest.mark.parametrize("a", [-85.0, -30.0, 0.0, 1.0, 30.0])
def test_counts_may_be_of_any_size(count, a):
    x = 3.0
    with mpmath.workdps(60):
        r, y = mpmath.exp(a), mpmath.mpf(float(np.float32(count)))
        right = (r + y) * mpmath.log1p(mpmath.exp(x - a)) - y * (x - a) - mpmath.loggamma(r + y) + mpmath.loggamma(r)
    found = losses.negative_binomial_nll(jnp.float32(x), jnp.float32(count), jnp.float32(a))
    np.testing.assert_allclose(found, float(right), rtol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_improbable_side_of_two_sure_answers_counts(sign):
    x, t = sign * 1e4, sign * 90.0
    right = np.exp(-90.0) * (1e4 - 90 - 1)
    np.testing.assert_allclose(losses.bernoulli_kl_divergence(jnp.float32(x), jnp.float32(t)), right, rtol=2e-4)


def test_expectations_beyond_the_range_cost_infinity():
    log_predictions, targets = jnp.array([0.0, 3e38]), jnp.array([1.0, 90.0])
    assert losses.generalized_kl_divergence(log_predictions, targets) == inf
    # sums that overflow to both sides, made of terms that do not
    assert losses.generalized_kl_divergence(jnp.array([0.0, 0.0]), jnp.array([3e38, 3e38])) == inf


def test_triplets_at_the_largest_distances():
    anchors, positives, negatives = jnp.array([1.0, 90.0]), jnp.array([0.0, -3e38]), jnp.array([-30.0, 1e20])
    near, far = np.float32(3e38), np.float32(1e20)
    np.testing.assert_allclose(losses.triplet_margin_loss(anchors, positives, negatives), near - far, rtol=1e-6)
    assert losses.triplet_margin_loss(anchors, negatives, positives) == 0


def test_counts_keep_every_digit_of_float64():
    with mpmath.workdps(40), jax.enable_x64(True):
        x, y, a = 2.0, 5.0, 2.25
        r = mpmath.exp(a)
        right = (r + y) * mpmath.log1p(mpmath.exp(x - a)) - y * (x - a) - mpmath.loggamma(r + y) + mpmath.loggamma(r)
        np.testing.assert_allclose(losses.negative_binomial_nll(x, y, a), float(right), rtol=2e-14)
