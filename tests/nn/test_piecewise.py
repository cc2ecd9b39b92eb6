"""Piecewise activations: their borders, what overflows beside them, and slopes that 16 bits do not hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import ulp_error
from stablenn.precision.spec import SPECS

SPEC = {spec.name: spec for spec in SPECS}
NAMES = ("leaky_relu", "hard_sigmoid", "hard_silu", "sparse_plus", "sparse_sigmoid", "soft_sign")
BORDERS = {"hard_sigmoid": 3, "hard_silu": 3, "sparse_plus": 1, "sparse_sigmoid": 1}
every_name = pytest.mark.parametrize("name", NAMES)


def slopes(fn, x):
    return np.asarray(jax.vmap(jax.grad(fn))(x))


@pytest.mark.parametrize("name", BORDERS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_neighbours_of_borders_have_the_slope_of_their_side(name, dtype):
    border = jnp.asarray([-BORDERS[name], BORDERS[name]], dtype)
    x = np.asarray(jnp.concatenate([jnp.nextafter(border, border + step) for step in (-1, 1)]))
    expected = exact(jax.grad(SPEC[f"nn.{name}"].definition), dtype=dtype, wide=True, batched=True)(x)
    assert ulp_error(slopes(getattr(nn, name), x), expected).max() <= 1


@every_name
def test_infinities_have_limits(name):
    x = jnp.float32([-jnp.inf, jnp.inf])
    values = {"leaky_relu": [-jnp.inf, jnp.inf], "hard_silu": [0, jnp.inf], "sparse_plus": [0, jnp.inf]}
    np.testing.assert_array_equal(getattr(nn, name)(x), values.get(name, [-1 if name == "soft_sign" else 0, 1]))
    ends = {"leaky_relu": [np.float32(0.01), 1], "hard_silu": [0, 1], "sparse_plus": [0, 1]}
    np.testing.assert_array_equal(slopes(getattr(nn, name), x), ends.get(name, [0, 0]))


@every_name
def test_nan_passes(name):
    assert np.isnan(getattr(nn, name)(jnp.nan))


@every_name
def test_slopes_at_borders_are_those_of_jax(name):
    x = jnp.float32([-BORDERS.get(name, 0), BORDERS.get(name, 0)])
    np.testing.assert_array_equal(slopes(getattr(nn, name), x), slopes(getattr(jax.nn, name), x))


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("leaky_relu", lambda x: 0 * x),
        ("hard_sigmoid", lambda x: 0 * x),
        ("hard_silu", lambda x: np.where(np.abs(x) < 3, 1 / 3, 0)),
        ("sparse_plus", lambda x: np.where(np.abs(x) < 1, 1 / 2, 0)),
        ("sparse_sigmoid", lambda x: 0 * x),
        ("soft_sign", lambda x: -2 * np.sign(x) / (1 + np.abs(x)) ** 3),
    ],
)
def test_second_derivatives(name, second):
    x = np.float32([-1e30, -100, -3.5, -2, -0.5, -1e-30, 1e-30, 0.5, 2, 3.5, 100, 1e30])
    actual = jax.vmap(jax.grad(jax.grad(getattr(nn, name))))(x)
    np.testing.assert_allclose(actual, second(np.float64(x)), rtol=1e-6, atol=1e-38)


def test_the_slope_of_leaky_relu_is_not_rounded_to_16_bits():
    x = -np.arange(1, 200)
    expected = (x / 100).astype(jnp.bfloat16)
    np.testing.assert_array_equal(nn.leaky_relu(jnp.bfloat16(x)), expected)
    assert np.any(np.asarray(jax.nn.leaky_relu(jnp.bfloat16(x))) != expected)
    np.testing.assert_array_equal(slopes(nn.leaky_relu, jnp.bfloat16([-1])), np.float32([0.01]).astype(jnp.bfloat16))


def test_leaky_relu_takes_a_slope_for_each_channel():
    x, alpha = jnp.float32([[-1, 2], [-3, -4]]), jnp.float32([0.5, 0.25])
    np.testing.assert_array_equal(nn.leaky_relu(x, alpha), [[-0.5, 2], [-1.5, -1]])
    by_alpha = jax.grad(lambda a: nn.leaky_relu(x, a).sum())(alpha)
    np.testing.assert_array_equal(by_alpha, [-4, -4])


def test_a_slope_of_zero_is_relu():
    x = jnp.float32([-jnp.inf, -1, 0, 1, jnp.inf])
    np.testing.assert_array_equal(nn.leaky_relu(x, 0.0), nn.relu(x))
    np.testing.assert_array_equal(slopes(lambda v: nn.leaky_relu(v, 0.0), x), [0, 0, 1, 1, 1])


@every_name
def test_complex_input_is_refused(name):
    with pytest.raises(TypeError, match=f"{name}: x must be real"):
        getattr(nn, name)(1j)


@every_name
@pytest.mark.parametrize("x64", [False, True])
def test_strict_promotion_is_no_obstacle_and_float32_stays_float32(name, x64):
    x = jnp.linspace(-4, 4, 5, dtype=jnp.float32)
    slope = jax.grad(lambda v: getattr(nn, name)(v).sum())
    with jax.numpy_dtype_promotion("strict"), jax.enable_x64(x64):
        assert getattr(nn, name)(x).dtype == slope(x).dtype == "float32"
        assert "f64" not in str(jax.make_jaxpr(slope)(x)).replace("f64[]", "")
