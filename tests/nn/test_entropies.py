"""entr, rel_entr, kl_div: their zeros, neighbours, ratios out of range, and what lies outside of the domain."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import ulp_error
from stablenn.precision.spec import SPECS

SPEC = {spec.name: spec for spec in SPECS}
PAIRS = pytest.mark.parametrize("name", ["rel_entr", "kl_div"])


def gradients(fn, *args):
    return [np.asarray(v) for v in jax.jit(jax.vmap(jax.grad(fn, tuple(range(len(args))))))(*args)]


def neighbours(dtype):
    """Pairs from one ulp to a factor of four apart, in all binades."""
    rng, eps = np.random.default_rng(5), np.finfo(dtype).eps
    steps = rng.integers(1, 20, 600) * eps
    apart = np.exp(rng.uniform(np.log(eps), 0, 600)), 4 ** rng.uniform(-1, 1, 600)
    ratios = np.concatenate([1 + steps, 1 - steps, 1 + apart[0], apart[1]])
    q = np.exp(rng.uniform(-45, 60, ratios.size)).astype(dtype)
    p = (q * ratios).astype(dtype)
    return p[p != q], q[p != q]


def error(actual, definition, *args):
    expected = exact(definition, dtype=args[0].dtype, wide=True, batched=True)(*args)
    return ulp_error(np.asarray(actual), expected, flush=True).max()


@PAIRS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_neighbours_keep_their_digits(name, dtype):
    with jax.enable_x64(dtype == "float64"):
        p, q = neighbours(dtype)
        fn, definition = getattr(nn, name), SPEC[f"nn.{name}"].definition
        assert error(fn(p, q), definition, p, q) <= 3
        by_p, by_q = gradients(fn, p, q)
        if name == "kl_div":  # the other passes through 0 elsewhere, where p / q is 1 / e
            assert error(by_p, jax.grad(definition, 0), p, q) <= 2
        assert error(by_q, jax.grad(definition, 1), p, q) <= 2


def test_kl_div_is_never_negative_and_zero_only_at_equality():
    p, q = neighbours("float32")
    assert np.all(np.asarray(nn.kl_div(p, q)) > 0)
    np.testing.assert_array_equal(nn.kl_div(q, q), 0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_derivative_of_entr_keeps_its_digits_around_its_zero(dtype):
    with jax.enable_x64(dtype == "float64"):
        steps = np.arange(-1000, 1001)
        x = (np.exp(-1) * (1 + steps * np.finfo(dtype).eps)).astype(dtype)
        (actual,) = gradients(nn.entr, x)
        assert error(actual, jax.grad(SPEC["nn.entr"].definition), x) <= 2


@PAIRS
def test_ratios_and_differences_may_leave_the_range(name):
    tiny, large = np.finfo(np.float32).tiny, np.finfo(np.float32).max
    p = np.float32([1e30, 1e-30, tiny, large / 100, large, large, tiny, tiny * 1.5, large])
    q = np.float32([1e-30, 1e30, large, tiny, large / 2, large * 0.75, tiny * 2, tiny, large])
    fn, definition = getattr(nn, name), SPEC[f"nn.{name}"].definition
    assert error(fn(p, q), definition, p, q) <= 3
    for position, slope in enumerate(gradients(fn, p, q)):
        assert error(slope, jax.grad(definition, position), p, q) <= 2


def test_values_outside_are_those_of_scipy_and_have_no_derivative():
    p, q = (np.float32(v).ravel() for v in np.meshgrid([0, 1, -1, -np.inf], [0, 1, -1, -np.inf], indexing="ij"))
    outside = (p < 0) | (q < 0)
    np.testing.assert_array_equal(nn.rel_entr(p, q), [0, 0, np.inf, np.inf, np.inf, 0] + [np.inf] * 10)
    np.testing.assert_array_equal(nn.kl_div(p, q), [0, 1, np.inf, np.inf, np.inf, 0] + [np.inf] * 10)
    np.testing.assert_array_equal(nn.entr(np.float32([0, 1, -1, -np.inf, np.inf])), [0, 0, -np.inf, -np.inf, -np.inf])
    for fn in (nn.rel_entr, nn.kl_div):
        for slope in gradients(fn, p, q):
            np.testing.assert_array_equal(np.isnan(slope), outside)
    assert np.isnan(gradients(nn.entr, np.float32([-1]))[0])


@PAIRS
def test_nan_and_two_infinities_stay_visible(name):
    for pair in ((np.nan, 1.0), (0.0, np.nan), (-1.0, np.nan), (np.inf, np.inf)):
        assert np.isnan(getattr(nn, name)(*pair)), pair


@pytest.mark.parametrize(("name", "by_q"), [("rel_entr", 0), ("kl_div", 1)])
def test_an_impossible_outcome_has_a_derivative_by_its_prediction(name, by_q):
    fn = getattr(nn, name)
    assert jax.grad(fn, 1)(0.0, 0.0) == jax.grad(fn, 1)(0.0, 0.5) == by_q
    assert jax.grad(fn, 0)(0.0, 0.0) == 0
    assert jax.grad(fn, 0)(0.0, 0.5) == -np.inf


@PAIRS
def test_second_derivatives(name):
    p, q = np.float32([0.3, 1e-20, 1e20, 1e-30, 5]), np.float32([0.30001, 2e-20, 1e20, 1e-20, 1e-3])
    for first in (0, 1):
        for second in (0, 1):
            twice = lambda fn, first=first, second=second: jax.grad(jax.grad(fn, first), second)
            actual = jax.vmap(twice(getattr(nn, name)))(p, q)
            expected = exact(twice(SPEC[f"nn.{name}"].definition), dtype="float32", wide=True, batched=True)(p, q)
            np.testing.assert_allclose(actual, expected, rtol=1e-6)


def test_the_second_derivative_of_entr_is_minus_one_over_x():
    x = jnp.float32([1e-30, 0.25, 0.36787945, 1, 1e30])
    np.testing.assert_array_equal(jax.vmap(jax.grad(jax.grad(nn.entr)))(x), -1 / x)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits_are_rounded_once(dtype):
    p = jnp.linspace(0, 1, 200).astype(dtype)
    for fn in (lambda v: nn.entr(v), lambda v: nn.rel_entr(v, v[::-1]), lambda v: nn.kl_div(v, v[::-1])):
        assert fn(p).dtype == dtype
        np.testing.assert_array_equal(fn(p), fn(p.astype(jnp.float32)).astype(dtype))


@pytest.mark.parametrize(("fn", "args", "argument"), [(nn.entr, (1j,), "x"), (nn.kl_div, (1.0, 1j), "q")])
def test_complex_arguments_are_refused(fn, args, argument):
    with pytest.raises(TypeError, match=f"{fn.__name__}: {argument} must be real"):
        fn(*args)


@pytest.mark.parametrize("x64", [False, True])
def test_strict_promotion_is_no_obstacle_and_float32_stays_float32(x64):
    p = jnp.linspace(0, 1, 5, dtype=jnp.float32)
    with jax.numpy_dtype_promotion("strict"), jax.enable_x64(x64):
        for fn in (lambda v: nn.entr(v), lambda v: nn.rel_entr(v, v), lambda v: nn.kl_div(v, v)):
            slope = jax.grad(lambda v, fn=fn: fn(v).sum())
            assert fn(p).dtype == slope(p).dtype == "float32"
            assert "f64" not in str(jax.make_jaxpr(slope)(p)).replace("f64[]", "")
