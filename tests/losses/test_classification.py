"""The two cross-entropies at their edges: labels of every kind, masks, infinite logits, transformations, modes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from stablenn import exact, losses
from stablenn.floats import ulp_error

NAMES = ["softmax_cross_entropy", "sigmoid_binary_cross_entropy"]
BOTH = pytest.mark.parametrize("name", NAMES)
inf, nan = np.inf, np.nan
categorical, binary = losses.softmax_cross_entropy, losses.sigmoid_binary_cross_entropy


def categorical_formula(logits, labels):
    return jnp.sum(labels * (jnp.log(jnp.sum(jnp.exp(logits))) - logits))


def binary_formula(x, y):
    return y * jnp.log(1 + jnp.exp(-x)) + (1 - y) * jnp.log(1 + jnp.exp(x))


def error(actual, fn, *args, batched=False):
    actual = np.asarray(actual)
    return ulp_error(actual, exact(fn, wide=True, dtype=actual.dtype, batched=batched)(*args), flush=True).max()


def summed(name, **arguments):
    return lambda x, y: getattr(losses, name)(x, y, **arguments).sum()


# --- labels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [[0, -30, -85], [1e4, 9999, 9990], [0.25, 0.5, 1], [87, 0, 0]])
@pytest.mark.parametrize("answer", range(3))
def test_one_hot_labels_give_accurate_losses_gradients_and_hessians(row, answer):
    x, y = np.float32(row), np.eye(3, dtype=np.float32)[answer]
    assert error(categorical(x, y), categorical_formula, x, y) <= 4
    assert error(jax.grad(categorical)(x, y), jax.grad(categorical_formula), x, y) <= 8
    assert error(jax.hessian(categorical)(x, y), jax.jacfwd(jax.jacfwd(categorical_formula)), x, y) <= 12


def test_derivatives_by_logits_and_labels_together_are_exact():
    x, y = np.float32([0.3, -1, 2]), np.float32([0.5, 0.25, 0.25])
    expected = exact(jax.jacfwd(jax.jacfwd(categorical_formula), 1), wide=True, dtype="float32")(x, y)
    for outer in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(outer(jax.grad(categorical), 1)(x, y), expected, rtol=3e-6)
        np.testing.assert_allclose(outer(jax.grad(categorical, 1), 0)(x, y), expected.T, rtol=3e-6)
        np.testing.assert_array_equal(outer(jax.grad(categorical, 1), 1)(x, y), np.zeros((3, 3)))


LABELS = {
    "soft": [0.75, 0.3, 0.01, 0.999, 0.5, 0.125],
    "as small as the probability": [1e-30, 1e-10, 1e-35, 1e-37, 0, 1e-3],
    "outside of [0, 1]": [-1, 2, 1.5, -0.5, 3, 0.5],
}


@pytest.mark.parametrize("kind", LABELS)
def test_binary_labels_of_every_kind(kind):
    x = np.repeat(np.float32([-86, -30, -1.5, 0, 0.25, 20, 80]), 6)
    y = np.tile(np.float32(LABELS[kind]), 7)
    value, slope = (np.asarray(jax.vmap(fn)(x, y)) for fn in (binary, jax.grad(binary)))
    truth = exact(binary_formula, wide=True, dtype="float64", batched=True)(x, y)
    scale = np.abs(y.astype(np.float64) * x) + np.abs((1 - y.astype(np.float64)) * x) if "outside" in kind else truth
    assert np.all(np.abs(value - truth) <= 4 * np.spacing(np.float32(np.maximum(np.abs(scale), 1e-37))))
    truth = exact(jax.grad(binary_formula), wide=True, dtype="float64", batched=True)(x, y)
    largest = np.maximum(1 / (1 + np.exp(-x.astype(np.float64))), np.abs(y))
    assert np.all(np.abs(slope - truth) <= 4 * np.spacing(np.float32(np.maximum(largest, 1e-37))))


@BOTH
def test_labels_of_other_types_are_numbers(name):
    x = jnp.float32([1, -2, 3])
    expected = getattr(losses, name)(x, jnp.float32([1, 0, 1]))
    for labels in (np.array([1, 0, 1]), np.array([True, False, True]), jnp.array([1, 0, 1], jnp.uint8)):
        np.testing.assert_array_equal(getattr(losses, name)(x, labels), expected)
        slope = jax.grad(summed(name))(x, labels)
        np.testing.assert_array_equal(slope, jax.grad(summed(name))(x, jnp.float32([1, 0, 1])))


def test_labels_that_are_all_zero_cost_nothing():
    x, y = jnp.float32([1, 2, -inf]), jnp.zeros(3)
    assert categorical(x, y) == 0
    np.testing.assert_array_equal(jax.grad(categorical)(x, y), [0, 0, 0])


@BOTH
def test_a_nan_label_is_seen(name):
    result = getattr(losses, name)(jnp.float32([2, 1]), jnp.float32([nan, 1]))
    assert np.isnan(np.ravel(result)[0])


@BOTH
def test_gradients_have_the_shapes_and_dtypes_of_their_arguments(name):
    x, y = jnp.ones((2, 3), jnp.bfloat16), jnp.full(3, 0.5, jnp.float32)
    slopes = jax.grad(lambda x, y: getattr(losses, name)(x, y).astype(jnp.float32).sum(), (0, 1))(x, y)
    assert [(v.shape, str(v.dtype)) for v in slopes] == [((2, 3), "bfloat16"), ((3,), "float32")]


@BOTH
def test_float64_labels_do_not_change_the_dtype_unless_they_change_the_peers(name):
    with jax.enable_x64(True):
        for dtype in ("bfloat16", "float16", "float32", "float64"):
            x, y = jnp.ones(3, dtype), np.full(3, 0.5)
            ours, peers = (getattr(module, name)(x, y) for module in (losses, optax.losses))
            assert ours.dtype == peers.dtype
            assert jax.grad(summed(name))(x, y).dtype == x.dtype


# --- masks ---------------------------------------------------------------------------------------------------------

MASKS = pytest.mark.parametrize("mask", [[[1, 0, 1], [0, 0, 0]], [1, 0], [[True, True, False]], True, [[1], [0]]])


@MASKS
def test_masked_classes_have_no_part_in_either_gradient(mask):
    x, y = jnp.float32([[1, 2, -1], [0, 3, 1]]), jnp.float32([[0.5, 9, 0.5], [1, 0, 0]])
    mask = np.array(mask, bool)
    used = np.broadcast_to(mask[:, None] if mask.shape == (2,) else mask, x.shape)
    loss = summed("softmax_cross_entropy", where=jnp.asarray(mask))
    for jacobian in (jax.jacfwd, jax.jacrev):
        by_logits, by_labels = (np.asarray(v) for v in jacobian(loss, (0, 1))(x, y))
        assert not by_logits[~used].any()
        assert not by_labels[~used].any()
        for row in range(2):
            keep = np.flatnonzero(used[row])
            if keep.size:
                short, answer = np.asarray(x[row][keep]), np.asarray(y[row][keep])
                assert error(by_labels[row][keep], jax.grad(categorical_formula, 1), short, answer) <= 4


@pytest.mark.parametrize("hidden", [nan, inf, -inf, 3e38])
def test_what_a_mask_hides_has_no_part_in_the_loss_or_its_derivatives(hidden):
    x, y, mask = jnp.float32([0.5, hidden, 1]), jnp.float32([1, nan, 0]), np.array([True, False, True])
    loss = lambda x: categorical(x, y, where=mask)
    short, answer = x[jnp.array([0, 2])], jnp.float32([1, 0])
    np.testing.assert_allclose(loss(x), categorical(short, answer), rtol=1e-6)
    for derivative in (jax.grad, jax.jacfwd, jax.hessian):
        full, expected = np.asarray(derivative(loss)(x)), np.asarray(derivative(categorical)(short, answer))
        np.testing.assert_allclose(full[np.ix_(*[[0, 2]] * full.ndim)], expected, rtol=1e-6)
        assert not full[1].any()


@pytest.mark.parametrize(
    ("axis", "mask"), [(0, [True, False, True]), (1, [True, False]), ((0, 1), True), (None, [[True], [False]]), (-1, True)]
)
def test_masks_without_the_class_axis_are_read_as_by_the_peer(axis, mask):
    x = np.linspace(-3, 4, 6, dtype=np.float32).reshape(2, 3)
    y, mask = np.cos(x) ** 2, jnp.asarray(mask)
    ours, peers = (m.softmax_cross_entropy(x, y, axis, where=mask) for m in (losses, optax.losses))
    assert ours.shape == peers.shape
    np.testing.assert_allclose(ours, peers, rtol=3e-6)


# --- infinite logits -----------------------------------------------------------------------------------------------


def test_an_ignored_class_is_absent_from_every_derivative():
    x, y = jnp.float32([1, -inf, 0]), jnp.float32([1, 0, 0])
    short, answer = jnp.float32([1, 0]), jnp.float32([1, 0])
    for derivative in (jax.grad, jax.jacfwd, jax.hessian):
        full, expected = np.asarray(derivative(categorical)(x, y)), np.asarray(derivative(categorical)(short, answer))
        np.testing.assert_allclose(full[np.ix_(*[[0, 2]] * full.ndim)], expected, rtol=1e-6)
        assert not full[1].any()


def test_limits_of_the_categorical_loss():
    right, wrong = jnp.float32([0, 1, 0]), jnp.float32([1, 0, 0])
    x = jnp.float32([1, inf, 2])
    assert (categorical(x, right), categorical(x, wrong)) == (0, inf)
    np.testing.assert_array_equal(jax.grad(categorical)(x, right), [0, 0, 0])
    np.testing.assert_array_equal(jax.grad(categorical)(x, wrong), [-1, 1, 0])
    for row in ([inf, inf, 0], [-inf] * 3, [nan, 0, 0]):
        assert np.isnan(categorical(jnp.float32(row), right))
        assert np.isnan(jax.grad(categorical)(jnp.float32(row), right)).all()


def test_limits_of_the_binary_loss_to_the_third_derivative():
    first, second = jax.grad(binary), jax.grad(jax.grad(binary))
    third = jax.grad(second)
    expected = {(inf, 1): 0, (-inf, 0): 0, (inf, 0): 1, (-inf, 1): -1, (inf, 0.5): 0.5, (-inf, 0.5): -0.5}
    for (x, y), slope in expected.items():
        x = jnp.float32(x)
        assert float(binary(x, y)) == (inf if slope else 0)
        assert [float(fn(x, y)) for fn in (first, second, third)] == [slope, 0, 0]


def scanned(x, y):
    return jax.lax.scan(lambda total, pair: (total + binary(*pair), None), jnp.float32(0), (x, y))[0]


def carried(x, y):
    def body(carry, logit):
        total, label = carry
        return (total + binary(logit, label), 1 - label), None

    return jax.lax.scan(body, (jnp.float32(0), y[0]), x)[0][0]


PROGRAMS = {
    "plain": lambda x, y: binary(x, y).sum(),
    "jit": jax.jit(lambda x, y: binary(x, y).sum()),
    "vmap": lambda x, y: jax.vmap(binary)(x, y).sum(),
    "checkpoint": jax.checkpoint(lambda x, y: binary(x, y).sum()),
    "scan": scanned,
    "labels in the carry": carried,
    "cond": lambda x, y: jax.lax.cond(x[0] > 0, lambda x: binary(x, y).sum(), lambda x: x.sum(), x),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_labels_without_a_tangent_bring_no_nan_in_any_program(program):
    x, y = jnp.float32([inf, -inf]), jnp.float32([1, 0])
    fn = lambda x: PROGRAMS[program](x, y)
    np.testing.assert_array_equal(jax.grad(fn)(x), [0, 0])
    assert jax.jvp(fn, (x,), (jnp.ones(2),)) == (0, 0)
    assert jax.linearize(fn, x)[1](jnp.ones(2)) == 0


# --- shapes, transformations, modes --------------------------------------------------------------------------------


@BOTH
def test_vmap_over_any_argument_is_broadcasting(name):
    fn = getattr(losses, name)
    x, y = np.float32([[1, 2, -3], [0, 1, 5]]), np.float32([[1, 0, 0], [0.5, 0.25, 0.25]])
    for mapped, expected in (
        (jax.vmap(fn)(x, y), fn(x, y)),
        (jax.vmap(fn, (0, None))(x, y[0]), fn(x, y[0])),
        (jax.vmap(fn, (None, 0))(x[0], y), fn(x[0], y)),
        (jax.vmap(fn, (1, 0))(x.T, y), fn(x, y)),
    ):
        np.testing.assert_allclose(mapped, expected, rtol=1e-6)
    np.testing.assert_allclose(
        jax.vmap(jax.grad(summed(name)))(x, y), jax.grad(summed(name))(x, y), rtol=1e-6, atol=1e-7
    )


def test_masks_may_be_mapped():
    x, masks = np.ones((2, 3), np.float32), np.array([True, False])
    mapped = jax.vmap(lambda x, mask: categorical(x, x, where=mask))(x, masks)
    np.testing.assert_allclose(mapped, [3 * np.log(3), 0], rtol=1e-6)


@BOTH
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_empty_arrays_give_the_peers(name, shape):
    ours, peers = (getattr(module, name)(*[jnp.zeros(shape)] * 2) for module in (losses, optax.losses))
    np.testing.assert_array_equal(ours, peers)


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_strict_promotion_is_no_obstacle(name, dtype):
    x = jnp.full((2, 3), 0.5, dtype)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        assert getattr(losses, name)(x, x).dtype == x.dtype
        assert {v.dtype for v in jax.grad(summed(name), (0, 1))(x, x)} == {x.dtype}


@BOTH
def test_limits_raise_no_alarm_under_debug_nans(name):
    x, y = jnp.float32([inf, -inf]), jnp.float32([1, 0])
    with jax.debug_nans(True):
        assert not np.asarray(getattr(losses, name)(x, y)).any()
        assert not np.asarray(jax.grad(summed(name))(x, y)).any()
        assert not np.asarray(jax.hessian(summed(name))(x, y)).any()


@BOTH
def test_shapes_that_do_not_broadcast_are_refused(name):
    with pytest.raises(ValueError, match=r"\(2, 3\), \(2, 2\)"):
        getattr(losses, name)(jnp.ones((2, 3)), jnp.ones((2, 2)))


def test_a_half_precision_loss_of_many_classes_does_not_overflow_its_sum():
    for dtype in ("float16", "bfloat16"):
        x = jnp.zeros(70000, dtype)
        y = jnp.zeros(70000, dtype).at[0].set(1)
        value, slope = jax.value_and_grad(categorical)(x, y)
        expected = np.array([np.log(70000), 1 / 70000 - 1, 1 / 70000]).astype(x.dtype)
        np.testing.assert_array_equal(np.array([value, slope[0], slope[1]], x.dtype), expected)
