"""clipped_log at its edges: every 16-bit input, tangents of both arguments, min_value in all its forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import format_of, ulp_error

inf, nan = np.inf, np.nan


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_every_16_bit_number_is_rounded_correctly_but_for_ties(dtype):
    x = np.arange(2**15, dtype=np.uint16).view(jnp.dtype(dtype))
    x = x[np.isfinite(x.astype(np.float32))]
    low = format_of(dtype).tiny
    truth = exact(lambda x: jnp.log(jnp.maximum(x, low)), wide=True, dtype=dtype, batched=True).truth(x)[0]
    assert ulp_error(np.asarray(nn.clipped_log(x)), truth).max() <= 0.501
    x = x[x >= low]
    inverse = exact(lambda x: 1 / x, wide=True, dtype=dtype, batched=True).truth(x)[0]
    assert ulp_error(np.asarray(jax.vmap(jax.grad(nn.clipped_log))(x)), inverse, flush=True).max() <= 0.501


@pytest.mark.parametrize("low", [2.0**-126, 1e-7, 0.5, 1.0])
def test_float32_is_accurate_over_its_whole_range_and_around_one(low):
    x = np.concatenate([np.geomspace(1e-38, 3e38, 1000), 1 + np.linspace(-1e-5, 1e-5, 201)]).astype(np.float32)
    low = np.float32(low)
    truth = exact(lambda x: jnp.log(jnp.maximum(x, low)), wide=True, dtype="float32", batched=True).truth(x)[0]
    assert ulp_error(np.asarray(nn.clipped_log(x, low)), truth).max() <= 2


def test_float64_reaches_to_its_own_smallest_number():
    with jax.enable_x64(True):
        value = nn.clipped_log(np.float64([0, 1e-320, 1e-300, 1]), 1e-300)
        slope = jax.vmap(jax.grad(lambda x: nn.clipped_log(x, 1e-300)))(np.float64([0, 1e-299, 4]))
    np.testing.assert_allclose(value, [np.log(1e-300)] * 3 + [0], rtol=1e-15)
    np.testing.assert_allclose(slope, [0, 1e299, 0.25], rtol=1e-15)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_the_default_min_value_is_the_smallest_normal_number(dtype):
    with jax.enable_x64(dtype == "float64"):
        tiny = jnp.finfo(dtype).tiny
        x = jnp.array([0, tiny, 2 * tiny], dtype)
        value = np.asarray(nn.clipped_log(x), np.float64)
        slope = np.asarray(jax.vmap(jax.grad(nn.clipped_log))(x), np.float64)
    assert value[0] == value[1] < value[2]
    assert slope[0] == 0
    np.testing.assert_allclose(slope[1:], [1 / float(tiny), 0.5 / float(tiny)], rtol=1e-6)


def test_tangents_of_both_arguments_go_where_the_value_comes_from():
    x, low = jnp.float32([1, 0.25, 0.5]), jnp.full(3, 0.5)
    tangents = (jnp.full(3, 1.0), jnp.full(3, 10.0))
    for fn in (nn.clipped_log, jax.jit(nn.clipped_log), jax.vmap(nn.clipped_log)):
        np.testing.assert_array_equal(jax.jvp(fn, (x, low), tangents)[1], [1, 20, 2])
    hessian = jax.hessian(nn.clipped_log, (0, 1))(jnp.float32(0.25), jnp.float32(0.5))
    np.testing.assert_array_equal(jax.tree.leaves(hessian), [0, 0, 0, -4])


def test_a_gradient_has_the_shape_and_dtype_of_its_argument():
    x, low = jnp.ones((2, 3), jnp.bfloat16), jnp.full((3,), 2.0, jnp.float32)
    slopes = jax.grad(lambda x, low: nn.clipped_log(x, low).astype(jnp.float32).sum(), (0, 1))(x, low)
    assert [(v.shape, str(v.dtype)) for v in slopes] == [((2, 3), "bfloat16"), ((3,), "float32")]
    np.testing.assert_array_equal(slopes[1], [1, 1, 1])


def test_forward_and_reverse_agree():
    x = jnp.float32([0, 0.3, 0.5, 7, inf])
    fn = lambda x: nn.clipped_log(x, 0.5)
    np.testing.assert_array_equal(jax.jacfwd(fn)(x), jax.jacrev(fn)(x))
    np.testing.assert_array_equal(jnp.diagonal(jax.jacrev(fn)(x)), jnp.float32([0, 0, 2, 1 / 7, 0]))


def test_min_value_may_be_traced_mapped_or_scanned():
    lows = jnp.float32([0.5, 0.25])
    expected = np.log([0.5, 0.25])
    np.testing.assert_allclose(jax.vmap(nn.clipped_log, (None, 0))(jnp.float32(0), lows), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(nn.clipped_log)(jnp.zeros(2), lows), expected, rtol=1e-6)
    _, scanned = jax.lax.scan(lambda c, low: (c, nn.clipped_log(jnp.float32(0), low)), 0, lows)
    np.testing.assert_allclose(scanned, expected, rtol=1e-6)
    assert jax.jit(nn.clipped_log)(jnp.float32(0), jnp.float32(0)) == -inf


def test_a_wrong_min_value_inside_jit_is_refused_where_it_is_a_number():
    with pytest.raises(ValueError, match="min_value must be positive, got -1"):
        jax.jit(lambda x: nn.clipped_log(x, -1.0))(jnp.float32(0))
    with pytest.raises(ValueError, match="min_value must be positive"):
        nn.clipped_log(jnp.ones(2), jnp.float32([1, 0]))


def test_one_bad_min_value_among_good_ones_is_refused():
    for low in (np.float32([1, nan]), np.float32([[1], [-inf]]), np.array([1, 0])):
        with pytest.raises(ValueError, match="min_value must be positive"):
            nn.clipped_log(jnp.ones(2), low)


def test_an_infinite_min_value_clips_everything():
    np.testing.assert_array_equal(nn.clipped_log(jnp.float32([0, 1, 3e38]), inf), [inf, inf, inf])


def test_nan_is_never_clipped():
    for low in (2.0**-126, 1.0, 1e30):
        value, slope = jax.value_and_grad(nn.clipped_log)(jnp.float32(nan), low)
        assert np.isnan([value, slope]).all()
    x = np.full((2, 5000), 0.25, np.float32)
    x[1, 4999] = nan
    slope = jax.grad(lambda x: nn.clipped_log(x, 0.5).sum())(x)
    np.testing.assert_array_equal(np.isnan(slope), np.isnan(x))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_strict_promotion_is_no_obstacle(dtype):
    x = jnp.ones((2, 3), dtype)
    with jax.numpy_dtype_promotion("strict"):
        for arguments in ((x,), (x, 0.5), (x, x)):
            assert nn.clipped_log(*arguments).dtype == x.dtype
        assert jax.grad(lambda x: nn.clipped_log(x, 0.5).sum())(x).dtype == x.dtype


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "bool"])
def test_integers_of_every_width_are_converted_first(dtype):
    result = nn.clipped_log(jnp.asarray(np.array([0, 1]).astype(jnp.dtype(dtype))), 0.5)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [np.log(0.5), 0], rtol=1e-6)


def test_a_python_number_stays_weak():
    narrow = jnp.ones(1, jnp.bfloat16)
    assert (nn.clipped_log(0.5) * narrow).dtype == narrow.dtype


def test_shapes_that_do_not_broadcast_are_refused():
    with pytest.raises(ValueError, match="Incompatible shapes"):
        nn.clipped_log(jnp.ones(2), jnp.ones(3))


def test_empty_arrays_are_accepted():
    assert nn.clipped_log(np.zeros((0, 3), np.float32), 0.5).shape == (0, 3)
    assert nn.clipped_log(np.ones((2, 1), np.float32), np.ones(0, np.float32)).shape == (2, 0)
