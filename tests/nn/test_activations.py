"""tanh and its kin, gates and linear units: where their peers lose every digit, and derivatives of every order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import ulp_error
from stablenn.precision.spec import SPECS

SPEC = {spec.name.removeprefix("nn."): spec for spec in SPECS}
# Inputs at which one or another naive form fails.
INPUTS = {
    "tanh": [-43.0, -20.0, -8.5, -1.0, -1e-3, -1e-30, 1e-30, 0.3, 2.0, 9.1, 30.0],
    "log_cosh": [-1e20, -89.0, -1.0, -3e-4, -1e-10, 1e-18, 1e-3, 0.99, 1.01, 100.0],
    "softplus_inverse": [1e-37, 1e-10, 1e-3, 0.5, 0.6931472, 0.7, 1.99, 2.01, 20.0, 1e4, 3e38],
    "silu": [-95.0, -89.0, -20.0, -1.3, -0.5, -1e-3, 1e-3, 0.7, 2.5, 20.0, 3e38],
    "mish": [-95.0, -89.0, -20.0, -1.3, -0.5, -1e-3, 1e-3, 0.7, 2.5, 20.0, 3e38],
    "selu": [-87.0, -17.5, -1.0, -1e-3, -1e-30, 1e-30, 0.7, 20.0, 3e38],
}
PAIRS = {
    "softcap": [
        (1e-30, 1e30),
        (-30.0, 30.0),
        (600.0, 30.0),
        (2500.0, 60.0),
        (1e-3, 1.0),
        (3e38, 1.2e-38),
        (0.5, 3e38),
    ],
    "elu": [(-17.5, 1.0), (-1.3, 3.4e38), (-100.0, 1e30), (-1e-10, 1.0), (-0.5, -2.0), (3e38, 1.0), (-1.0, 1.2e-38)],
    "celu": [(-1e-30, 1e30), (-17.5, 1.0), (-2500.0, 40.0), (-1e-3, 1.0), (-3e38, 1e37), (2.0, 1.2e-38), (-0.7, 2.0)],
    "squareplus": [(-1e4, 4.0), (-1e18, 4.0), (1e20, 4.0), (-1.0, 3.4e38), (-3.4e38, 3.5e37), (0.0, 4.0), (2.0, 1e-3)],
    "glu": [(3.4e38, -100.0), (3.4e38, -30.0), (1.0, 16.7), (-2.0, 40.0), (0.5, -0.7)],
}
ORDINARY = np.float32([-7.1, -2.3, -0.61, -0.13, 0.21, 0.87, 1.9, 6.3])
every_name = pytest.mark.parametrize("name", [*INPUTS, *PAIRS])


def rows(name):
    """The function, its formula, and columns of inputs."""
    if name == "glu":
        return nn.glu, SPEC[name].definition, (np.float32(PAIRS[name]),)
    columns = np.float32(PAIRS[name] if name in PAIRS else [INPUTS[name]])
    return getattr(nn, name), SPEC[name].definition, tuple(columns.T if name in PAIRS else columns)


def worst_error(fn, definition, columns):
    actual = jax.jit(jax.vmap(fn))(*columns)
    dtype = columns[0].dtype
    truth = exact(definition, wide=True, dtype=dtype, batched=True)(*columns)
    pairs = zip(jax.tree.leaves(actual), jax.tree.leaves(truth), strict=True)
    return max(ulp_error(np.asarray(a), t, flush=True).max() for a, t in pairs)


def gradients(fn, count):
    def total(*arguments):
        return jnp.sum(fn(*arguments))

    return jax.grad(total, tuple(range(count)))


@every_name
def test_values_and_gradients_where_peers_fail(name):
    fn, definition, columns = rows(name)
    assert worst_error(fn, definition, columns) <= 5
    slopes = [gradients(f, len(columns)) for f in (fn, definition)]
    assert worst_error(*slopes, columns) <= 8


def of_x(name):
    """The function and its formula of x alone, with a parameter that is no power of two."""
    fn, definition = getattr(nn, name), SPEC[name].definition
    if name == "glu":
        return tuple(lambda x, f=f: f(jnp.stack([x, x]))[0] for f in (fn, definition))
    if name in PAIRS:
        return tuple(lambda x, f=f: f(x, jnp.full_like(x, 3)) for f in (fn, definition))
    return fn, definition


@every_name
def test_third_derivatives(name):
    fn, definition = of_x(name)
    x = np.abs(ORDINARY) if name == "softplus_inverse" else ORDINARY
    for _ in range(3):
        fn, definition = jax.grad(fn), jax.grad(definition)
    expected = exact(definition, wide=True, dtype="float32", batched=True)(x)
    np.testing.assert_allclose(jax.jit(jax.vmap(fn))(x), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_mixed_second_derivatives(name):
    fn, definition, _ = rows(name)
    point = (np.float32([-0.7, 0.4]),) if name == "glu" else (np.float32(-0.7), np.float32(3))
    positions = tuple(range(len(point)))
    expected = exact(jax.hessian(lambda *a: jnp.sum(definition(*a)), positions), wide=True, dtype="float32")(*point)
    for second in (jax.hessian, lambda f, n: jax.jacrev(jax.grad(f, n), n)):
        actual = second(lambda *a: jnp.sum(fn(*a)), positions)(*point)
        for ours, right in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(ours, right, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "ends", "slopes"),
    [
        ("tanh", [-1, 1], [0, 0]),
        ("log_cosh", [np.inf, np.inf], [-1, 1]),
        ("softplus_inverse", [np.nan, np.inf], [np.nan, 1]),
        ("silu", [0, np.inf], [0, 1]),
        ("mish", [0, np.inf], [0, 1]),
        ("elu", [-1, np.inf], [0, 1]),
        ("celu", [-1, np.inf], [0, 1]),
        ("selu", [np.float32(-1.7580993408473768), np.inf], [0, np.float32(1.0507009873554805)]),
        ("squareplus", [0, np.inf], [0, 1]),
    ],
)
def test_limits_at_infinity(name, ends, slopes):
    x, fn = jnp.float32([-jnp.inf, jnp.inf]), getattr(nn, name)
    np.testing.assert_array_equal(fn(x), ends)
    np.testing.assert_array_equal(jax.vmap(jax.grad(fn))(x), slopes)
    np.testing.assert_array_equal(jax.vmap(jax.grad(jax.grad(fn)))(x), np.where(np.isnan(slopes), np.nan, 0))


def test_an_infinite_number_stays_infinite_however_small_the_gate():
    x = jnp.float32([[jnp.inf, -1e5], [-jnp.inf, -1e5], [jnp.inf, -jnp.inf], [jnp.nan, -jnp.inf]])
    np.testing.assert_array_equal(nn.glu(x)[:, 0], [jnp.inf, -jnp.inf, 0, jnp.nan])


@pytest.mark.parametrize("name", ["softcap", "celu"])
def test_an_infinite_parameter_leaves_the_identity(name):
    x, fn = jnp.float32([-1e30, -1, 0, 1e-30, 7]), lambda x: getattr(nn, name)(x, jnp.inf)
    np.testing.assert_array_equal(fn(x), x)
    np.testing.assert_array_equal(jax.vmap(jax.grad(fn))(x), np.ones(5))


@every_name
def test_nan_passes(name):
    fn, _, columns = rows(name)
    for position in range(len(columns)):
        row = [jnp.float32(-0.5)] * len(columns) if name != "glu" else [jnp.float32([-0.5, -0.5])]
        row[position] = row[position] * jnp.nan
        assert np.isnan(fn(*row)).all()
        assert all(np.isnan(slope).any() for slope in gradients(fn, len(row))(*row)[:1])


@pytest.mark.parametrize("name", ["elu", "celu", "squareplus", "leaky_relu"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64"])
def test_a_default_is_a_number_like_any_other(name, dtype):
    fn, number = getattr(nn, name), {"squareplus": 4, "leaky_relu": 0.01}.get(name, 1.0)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        x = jnp.array([-1.3, -0.2, 0.7], dtype)
        for given in (fn, lambda x: fn(x, number)):
            slope = jax.vmap(jax.grad(given))(x)
            assert given(x).dtype == slope.dtype == x.dtype
            assert not given(x).weak_type
            assert given(-0.5).weak_type
            np.testing.assert_array_equal(given(x), fn(x))
    if dtype == "float64":
        with jax.enable_x64(True):
            assert worst_error(fn, lambda x: SPEC[name].definition(x, number), [np.array(x)]) <= 5


@every_name
def test_python_numbers_stay_weak_and_integers_become_floats(name):
    fn, narrow = getattr(nn, name), jnp.ones(1, jnp.bfloat16)
    if name == "glu":
        assert fn(jnp.int32([2, 3])).dtype == "float32"
        return
    numbers = (2.0, 3.0) if name in PAIRS else (2.0,)
    assert (fn(*numbers) * narrow).dtype == narrow.dtype
    assert fn(*map(int, numbers)).dtype == fn(*map(np.int8, numbers)).dtype == "float32"
    with jax.enable_x64(True):
        assert fn(*map(int, numbers)).dtype == "float64"
        assert fn(narrow, *numbers[1:]).dtype == narrow.dtype


@pytest.mark.parametrize("name", ["softcap", "elu", "celu", "squareplus"])
def test_the_parameter_is_broadcast(name):
    x, parameter = ORDINARY[:6].reshape(3, 2), np.float32([0.5, 2])
    fn = getattr(nn, name)
    expected = np.stack([fn(x[:, i], parameter[i]) for i in range(2)], 1)
    np.testing.assert_allclose(fn(x, parameter), expected, rtol=1e-6)
    by_parameter = jax.grad(lambda p: fn(x, p).sum())(parameter)
    one_by_one = [jax.grad(lambda p, i=i: fn(x[:, i], p).sum())(parameter[i]) for i in range(2)]
    np.testing.assert_allclose(by_parameter, one_by_one, rtol=1e-6)


def test_glu_splits_any_axis_of_even_length():
    x = ORDINARY.reshape(4, 2)
    np.testing.assert_allclose(nn.glu(x, axis=0), x[:2] * nn.sigmoid(x[2:]), rtol=1e-6)
    assert nn.glu(jnp.zeros((3, 0))).shape == (3, 0)
    with pytest.raises(ValueError, match=r"glu: x must have an even length along axis 1, got shape \(2, 3\)"):
        nn.glu(jnp.ones((2, 3)), 1)


def test_swish_is_silu():
    assert nn.swish is nn.silu


@every_name
def test_complex_input_is_refused_by_name(name):
    with pytest.raises(TypeError, match=rf"^{name}: x must be real, got complex64"):
        getattr(nn, name)(jnp.ones(2, jnp.complex64), *([1.0] if name == "softcap" else []))
