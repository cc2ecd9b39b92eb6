"""sigmoid and log_sigmoid: every 16-bit input, third derivatives, identities, transformations, strict modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import ulp_error

TEXTBOOK = {
    "sigmoid": lambda x: 1 / (1 + jnp.exp(-x)),
    "log_sigmoid": lambda x: -jnp.log(1 + jnp.exp(-x)),
}
BOTH = pytest.mark.parametrize("name", TEXTBOOK)
inf, nan = np.inf, np.nan


def truth(fn, x, dtype=None):
    return exact(fn, wide=True, dtype=dtype or x.dtype, batched=True).truth(x)[0]


@BOTH
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_every_16_bit_number_is_rounded_correctly_but_for_ties(name, dtype):
    x = np.arange(2**16, dtype=np.uint16).view(jnp.dtype(dtype))
    x = x[np.isfinite(x.astype(np.float32))]
    for fn, definition in (
        (getattr(nn, name), TEXTBOOK[name]),
        (jax.vmap(jax.grad(getattr(nn, name))), jax.grad(TEXTBOOK[name])),
    ):
        # 0.5 and the error of the float32 result, which is thousands of times finer
        assert ulp_error(np.asarray(fn(x)), truth(definition, x), flush=True).max() <= 0.501


@BOTH
def test_float32_keeps_its_accuracy_over_its_whole_range(name):
    x = np.concatenate([np.linspace(-104, 104, 2000), np.geomspace(1e-38, 3e38, 500), -np.geomspace(1e-38, 3e38, 500)])
    x = x.astype(np.float32)
    value, slope = np.asarray(getattr(nn, name)(x)), np.asarray(jax.vmap(jax.grad(getattr(nn, name)))(x))
    assert ulp_error(value, truth(TEXTBOOK[name], x), flush=True).max() <= 3
    assert ulp_error(slope, truth(jax.grad(TEXTBOOK[name]), x), flush=True).max() <= 4


def nth(fn, order):
    for _ in range(order):
        fn = jax.grad(fn)
    return fn


@BOTH
def test_the_third_derivative_is_that_of_the_formula(name):
    x = np.float32([-80, -30, -2, -0.5, 0.75, 2.5, 30, 80])  # away from its zeros
    actual = np.asarray(jax.vmap(nth(getattr(nn, name), 3))(x))
    assert ulp_error(actual, truth(nth(TEXTBOOK[name], 3), x), flush=True).max() <= 16


@BOTH
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_every_order_are_finite_everywhere(name, order):
    x = jnp.float32([-inf, -3e38, -1e4, -88, 0, 88, 1e4, 3e38, inf])
    assert np.isfinite(jax.vmap(nth(getattr(nn, name), order))(x)).all()


def test_derivatives_at_zero_are_the_known_numbers():
    assert [float(nth(nn.sigmoid, n)(0.0)) for n in range(6)] == [0.5, 0.25, 0, -0.125, 0, 0.25]
    assert [float(nth(nn.log_sigmoid, n)(0.0)) for n in range(1, 5)] == [0.5, -0.25, 0, 0.125]


def test_the_identities_of_the_function_hold():
    x = np.float32(np.linspace(0, 100, 1001))
    rest = np.asarray(nn.sigmoid(x), np.float64) + np.asarray(nn.sigmoid(-x), np.float64)
    np.testing.assert_allclose(rest, 1, atol=2e-7)
    up, down = np.asarray(nn.log_sigmoid(x), np.float64), np.asarray(nn.log_sigmoid(-x), np.float64)
    np.testing.assert_allclose(up - down, x, rtol=3e-7)
    # the derivative is even, to the last bit
    slope = jax.vmap(jax.grad(nn.sigmoid))
    np.testing.assert_array_equal(slope(x), slope(-x))


@BOTH
def test_the_function_never_decreases(name):
    steps = np.float32(np.linspace(-120, 120, 20001))
    values = np.asarray(getattr(nn, name)(steps))
    gap = np.diff(values.astype(np.float64))
    assert gap.min() >= -4 * np.spacing(np.abs(values[1:])).max()
    assert (gap[np.abs(steps[1:]) < 5] > 0).all()


@BOTH
def test_every_transformation_gives_the_same_derivative(name):
    x, fn = jnp.float32([-30, 0.25, 20]), getattr(nn, name)
    expected = jax.vmap(jax.grad(fn))(x)
    unit = jnp.ones(3)
    _, pushed = jax.jvp(fn, (x,), (unit,))
    _, linear = jax.linearize(fn, x)
    _, pulled = jax.vjp(fn, x)
    _, scanned = jax.lax.scan(lambda c, v: (c, jax.grad(fn)(v)), 0, x)
    summed = jax.grad(jax.checkpoint(lambda x: fn(x).sum()))(x)
    for slope in (pushed, linear(unit), pulled(unit)[0], scanned, summed, jax.jit(jax.vmap(jax.grad(fn)))(x)):
        assert ulp_error(np.asarray(slope), np.asarray(expected)).max() <= 1
    np.testing.assert_array_equal(jax.vmap(fn, in_axes=1, out_axes=1)(x.reshape(1, 3)), fn(x).reshape(1, 3))


@BOTH
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_integers_of_every_width_are_converted_first(name, dtype):
    x = jnp.asarray(np.array([0, 1, 3]).astype(jnp.dtype(dtype)))
    result = getattr(nn, name)(x)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, getattr(nn, name)(np.float32([0, 1, 3])))


@BOTH
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_strict_promotion_is_no_obstacle(name, dtype):
    x = jnp.ones((2, 3), dtype)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        assert getattr(nn, name)(x).dtype == x.dtype
        assert jax.grad(lambda x: getattr(nn, name)(x).sum())(x).dtype == x.dtype


@BOTH
@pytest.mark.parametrize("x64", [False, True])
def test_weak_types_are_the_peers(name, x64):
    with jax.enable_x64(x64):
        for given in (0.5, jnp.asarray(0.5), jnp.ones(2), np.float32(1), np.ones(2), jnp.bfloat16(1)):
            ours, peers = (getattr(module, name)(given) for module in (nn, jax.nn))
            assert (ours.weak_type, ours.dtype, ours.shape) == (peers.weak_type, peers.dtype, peers.shape)


@BOTH
def test_empty_arrays_are_accepted(name):
    for x in (np.zeros((0, 3), np.float32), np.zeros(0, np.int32)):
        assert getattr(nn, name)(x).shape == x.shape


@BOTH
def test_limits_raise_no_alarm_under_debug_nans(name):
    with jax.debug_nans(True):
        for v in (-inf, inf, -3e38, 0.0):
            assert not np.isnan(nth(getattr(nn, name), 2)(jnp.float32(v)))
