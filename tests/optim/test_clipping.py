"""Clipping by the global norm, at every magnitude and in every dtype."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import optax
import pytest

from stablenn import floats
from stablenn.interpret.jaxprs import enable_x64
from stablenn.optim import clip_by_global_norm, global_norm

mpmath.mp.prec = 300
DTYPES = ["float32", "float64", "bfloat16", "float16"]


def numbers(tree):
    return [mpmath.mpf(float(v)) for leaf in jax.tree.leaves(tree) for v in np.ravel(np.asarray(leaf, np.float64))]


def exact_norm(tree):
    return mpmath.sqrt(sum(v * v for v in numbers(tree)))


def ulps(actual, expected, dtype):
    """The error of a float against an exact number, where neither has overflowed or vanished."""
    fmt = floats.format_of(dtype)
    size = max(abs(float(expected)), fmt.tiny)
    return float(abs(mpmath.mpf(float(actual)) - expected) / float(floats.ulp(np.array(size), dtype)))


def clip(tree, max_norm):
    transformation = clip_by_global_norm(max_norm)
    return jax.jit(transformation.update)(tree, transformation.init(tree))[0]


def gradients(dtype, exponent, seed=0):
    rng = np.random.default_rng(seed)
    draw = lambda *shape: jnp.asarray(
        np.ldexp(rng.uniform(0.5, 1, shape) * rng.choice([-1, 1], shape), exponent), dtype
    )
    return {"w": draw(3, 4), "b": draw(5), "scale": draw()}


def exponents(dtype):
    fmt = floats.format_of(dtype)
    return [fmt.emin + 2, fmt.emin // 2, -3, 0, 5, fmt.emax // 2 + 1, fmt.emax - 3]


CASES = [(dtype, exponent) for dtype in DTYPES for exponent in exponents(dtype)]


@pytest.mark.parametrize(("dtype", "exponent"), CASES)
def test_the_norm_is_right_at_every_magnitude(dtype, exponent):
    with enable_x64(dtype == "float64"):
        tree = gradients(dtype, exponent)
        norm = global_norm(tree)
        assert norm.dtype == ("float64" if dtype == "float64" else "float32")
        assert ulps(norm, exact_norm(tree), norm.dtype) <= 4


@pytest.mark.parametrize(("dtype", "exponent"), CASES)
def test_its_gradient_is_the_direction(dtype, exponent):
    with enable_x64(dtype == "float64"):
        tree = gradients(dtype, exponent)
        norm = exact_norm(tree)
        for actual, entry in zip(numbers(jax.grad(global_norm)(tree)), numbers(tree), strict=True):
            assert ulps(actual, entry / norm, dtype) <= 4


@pytest.mark.parametrize(("dtype", "exponent"), CASES)
@pytest.mark.parametrize("max_norm", [1.0, 2.0**-10, 1e4])
def test_clipped_updates_keep_their_direction(dtype, exponent, max_norm):
    with enable_x64(dtype == "float64"):
        tree = gradients(dtype, exponent)
        clipped, norm = clip(tree, max_norm), exact_norm(tree)
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), clipped) == jax.tree.map(
            lambda leaf: (leaf.shape, leaf.dtype), tree
        )
        if norm <= max_norm:
            jax.tree.map(np.testing.assert_array_equal, clipped, tree)
            return
        allowed = 4 if dtype in ("float32", "float64") else 0.51
        for actual, entry in zip(numbers(clipped), numbers(tree), strict=True):
            assert ulps(actual, entry / norm * max_norm, dtype) <= allowed
        eps = float(floats.format_of(dtype).eps)
        assert exact_norm(clipped) <= max_norm * (1 + 4 * eps)


@pytest.mark.parametrize("power", [-60, -7, 1, 40])
def test_scaling_by_powers_of_two_changes_no_bit(power):
    tree = gradients("float32", 10)
    scaled = jax.tree.map(lambda leaf: leaf * 2.0**power, tree)
    expected = jax.tree.map(lambda leaf: leaf * 2.0**power, clip(tree, 3.0))
    jax.tree.map(np.testing.assert_array_equal, clip(scaled, 3.0 * 2.0**power), expected)


def test_what_optax_turns_into_zeros_is_clipped():
    for given, dtype in (([1e20, 1e20], "float32"), ([300, 1], "float16"), ([6e4, 6e4], "float16")):
        updates = jnp.array(given, dtype)
        unit = np.array(given) / np.linalg.norm(given)
        bare = optax.clip_by_global_norm(1.0).update(updates, optax.EmptyState())[0]
        assert np.all(np.asarray(bare, np.float64) == 0)
        np.testing.assert_allclose(np.asarray(clip(updates, 1.0), np.float64), unit, rtol=1e-3, atol=1e-6)


def test_many_narrow_leaves_are_not_lost_in_a_narrow_sum():
    leaves = [jnp.ones((), jnp.bfloat16)] * 1000
    np.testing.assert_allclose(global_norm(leaves), np.sqrt(1000), rtol=1e-6)
    np.testing.assert_allclose(float(exact_norm(clip(leaves, 1.0))), 1.0, rtol=2**-8)


def test_small_entries_beside_large_ones_survive_where_they_can():
    tree = jnp.array([1e-30, 1e20], jnp.float32)
    np.testing.assert_allclose(clip(tree, 1e19), [1e-31, 1e19], rtol=1e-6)


def test_a_bound_of_zero_gives_zeros():
    np.testing.assert_array_equal(clip(jnp.array([1.0, -2.0]), 0.0), [0.0, 0.0])
    np.testing.assert_array_equal(clip(jnp.zeros(2), 0.0), [0.0, 0.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("times", [1.25, 1.75, 3.0])
def test_bounds_next_to_the_smallest_normal_are_met(dtype, times):
    with enable_x64(dtype == "float64"):
        fmt = floats.format_of(dtype)
        bound = times * float(fmt.tiny)
        for largest in (1.5, 2.0**3 * bound, float(fmt.max)):
            clipped = clip(jnp.array([largest, 0.0], dtype), np.dtype(dtype).type(bound))
            assert ulps(clipped[0], mpmath.mpf(bound), dtype) <= 4


def test_a_bound_beyond_the_range_clips_nothing():
    np.testing.assert_array_equal(clip(jnp.array([3e38, 3e38]), 1e300), jnp.array([3e38, 3e38]))


def test_zero_gradients_have_a_zero_norm_and_slope():
    tree = {"w": jnp.zeros((2, 2)), "b": jnp.zeros(3)}
    assert global_norm(tree) == 0
    for leaf in jax.tree.leaves(jax.grad(global_norm)(tree)):
        np.testing.assert_array_equal(leaf, np.zeros_like(leaf))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_has_no_direction_stays_visible(bad):
    clipped = clip({"w": jnp.array([1.0, bad]), "b": jnp.ones(2)}, 1.0)
    assert not np.isfinite(clipped["w"]).all()
    norm = global_norm({"w": jnp.array([1.0, bad])})
    assert np.isnan(norm) if np.isnan(bad) else norm == np.inf


def test_infinity_beside_nan_is_nan():
    assert np.isnan(global_norm([jnp.array([jnp.inf]), jnp.array([jnp.nan])]))


def test_trees_without_numbers_pass():
    for tree in ({}, {"w": None}, {"w": optax.MaskedNode()}, {"w": jnp.zeros((0, 3))}, {"n": jnp.arange(3)}):
        assert global_norm(tree) == 0
        jax.tree.map(np.testing.assert_array_equal, clip(tree, 1.0), tree)


def test_complex_leaves_count_with_their_modulus():
    tree = {"z": jnp.array([3 + 4j], jnp.complex64), "x": jnp.array([12.0], jnp.float32)}
    np.testing.assert_allclose(global_norm(tree), 13, rtol=1e-6)
    clipped = clip(tree, 1.3)
    assert clipped["z"].dtype == np.complex64
    np.testing.assert_allclose(clipped["z"], [0.3 + 0.4j], rtol=1e-6)


def test_mixed_dtypes_keep_theirs():
    tree = {"half": jnp.array([3.0], jnp.float16), "single": jnp.array([4.0], jnp.float32)}
    clipped = clip(tree, 1.0)
    assert {name: leaf.dtype.name for name, leaf in clipped.items()} == {"half": "float16", "single": "float32"}
    np.testing.assert_allclose([float(clipped["half"][0]), float(clipped["single"][0])], [0.6, 0.8], rtol=1e-3)


def test_weak_types_and_python_numbers_stay_weak():
    for max_norm in (1.0, 10.0):
        tree = {"number": 3.0, "weak": jnp.asarray(4.0), "strong": jnp.array([0.0], jnp.float32)}
        clipped, _ = clip_by_global_norm(max_norm).update(tree, optax.EmptyState())
        weak = {name: leaf.weak_type for name, leaf in clipped.items()}
        assert weak == {"number": True, "weak": True, "strong": False}
        expected = np.array([3.0, 4.0]) * min(1, max_norm / 5)
        np.testing.assert_allclose([clipped["number"], clipped["weak"]], expected, rtol=1e-6)


def test_strict_promotion_is_kept():
    tree = {"half": jnp.array([3.0], jnp.bfloat16), "single": jnp.array([0.0]), "z": jnp.array([4j], jnp.complex64)}
    with jax.numpy_dtype_promotion("strict"):
        assert global_norm(tree) == 5
        clipped = clip(tree, 2.5)
    np.testing.assert_array_equal([float(clipped["half"][0]), complex(clipped["z"][0])], [1.5, 2j])


@pytest.mark.parametrize("bound", [-1.0, np.nan, np.ones(2), np.ones(1), None, "1", 1j, jnp.float32(-1)])
def test_bounds_that_are_none_are_refused(bound):
    with pytest.raises(ValueError, match="max_norm must"):
        clip_by_global_norm(bound)


def test_it_composes_as_optax_transformations_do():
    params = {"w": jnp.ones(3), "b": jnp.ones(2)}
    large = jax.tree.map(lambda leaf: 1e25 * leaf, params)
    unit = np.float32(1 / np.sqrt(5))

    chained = optax.chain(clip_by_global_norm(1.0), optax.scale(-0.5))
    updates, _ = chained.update(large, chained.init(params))
    np.testing.assert_allclose(updates["w"], -0.5 * unit, rtol=1e-6)

    masked = optax.masked(clip_by_global_norm(1.0), {"w": True, "b": False})
    updates, _ = masked.update(large, masked.init(params))
    np.testing.assert_allclose(updates["w"], 1 / np.sqrt(3), rtol=1e-6)
    np.testing.assert_array_equal(updates["b"], large["b"])

    injected = optax.inject_hyperparams(clip_by_global_norm)(max_norm=2.0)
    updates, _ = injected.update(large, injected.init(params))
    np.testing.assert_allclose(updates["w"], 2 * unit, rtol=1e-6)

    labels = {"w": "clipped", "b": "free"}
    split = optax.multi_transform({"clipped": clip_by_global_norm(1.0), "free": optax.identity()}, labels)
    updates, _ = split.update(large, split.init(params))
    np.testing.assert_array_equal(updates["b"], large["b"])


def test_it_clips_what_multi_steps_has_accumulated():
    several = optax.MultiSteps(clip_by_global_norm(1.0), every_k_schedule=2)
    state = several.init(jnp.zeros(2))
    for gradient in ([1e20, 0.0], [0.0, 1e20]):
        updates, state = several.update(jnp.array(gradient), state)
    np.testing.assert_allclose(updates, [np.sqrt(0.5)] * 2, rtol=1e-6)


@pytest.mark.parametrize("size", [0.0, 1e-37, 1.0])
def test_within_the_bound_its_derivative_is_the_identity(size):
    update = lambda g: clip_by_global_norm(1e4).update(g, optax.EmptyState())[0]
    np.testing.assert_array_equal(jax.jacobian(update)(jnp.full(2, size)), np.eye(2))


@pytest.mark.parametrize("largest", [3e-38, 1.0, 3e38])
def test_tangents_of_the_norm_survive_in_second_derivatives(largest):
    """Along the only entry that is not zero the norm is linear: slope 1, and of t * t / x nothing but rounding."""
    x, t = jnp.array([largest, 0.0]), jnp.array([0.1, 0.0])
    once = lambda x: jax.jvp(global_norm, (x,), (t,))
    (_, slope), (outer, curvature) = jax.jvp(once, (x,), (t,))
    np.testing.assert_allclose([slope, outer], [0.1, 0.1], rtol=1e-6)
    assert abs(float(curvature)) <= 4 * 2.0**-23 * 0.1 * 0.1 / largest


def test_it_runs_in_a_scan_and_can_be_differentiated_twice():
    transformation = clip_by_global_norm(1.0)

    def step(state, gradient):
        updates, state = transformation.update(gradient, state)
        return state, updates

    gradients = jnp.array([[3.0, 4.0], [0.3, 0.4]])
    _, updates = jax.lax.scan(step, transformation.init(gradients[0]), gradients)
    np.testing.assert_allclose(updates, [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)

    first = lambda g: transformation.update(g, optax.EmptyState())[0][0]
    # d/dg of g / |g| at (3, 4)
    np.testing.assert_allclose(jax.grad(first)(gradients[0]), [16 / 125, -12 / 125], rtol=1e-5)
    assert np.isfinite(jax.hessian(first)(gradients[0])).all()
