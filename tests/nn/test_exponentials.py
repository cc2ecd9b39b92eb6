"""The softmax family at its edges: Jacobians entry by entry, higher derivatives, factors, masks, NaN, strict modes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import ulp_error

inf, nan = np.inf, np.nan
TEXTBOOK = {
    "softmax": lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x)),
    "log_softmax": lambda x: x - jnp.log(jnp.sum(jnp.exp(x))),
    "logsumexp": lambda x: jnp.log(jnp.sum(jnp.exp(x))),
}
ALL = pytest.mark.parametrize("name", TEXTBOOK)


def weighted(a, b):
    return jnp.log(jnp.abs(jnp.sum(b * jnp.exp(a))))


def with_factors(a, b):
    return nn.logsumexp(a, b=b, return_sign=True)[0]


def error(actual, fn, *args):
    actual = np.asarray(actual)
    return ulp_error(actual, exact(fn, wide=True, dtype=actual.dtype)(*args), flush=True).max()


def scaled_error(actual, fn, *args):
    """In units of the last place of the largest entry, for what changes sign."""
    expected = exact(fn, wide=True, dtype="float64")(*args)
    return np.abs(np.asarray(actual, np.float64) - expected).max() / np.spacing(np.float32(np.abs(expected).max()))


def first(fn, name):
    return fn if name == "logsumexp" else lambda x: fn(x)[0]


# --- derivatives ---------------------------------------------------------------------------------------------------

ROWS = pytest.mark.parametrize(
    "row",
    [[0, 80, 80], [-52, 24, 25], [0, -72, -1.5], [60, 0, 1], [0, -86, -86], [0.1, 0.2, 0.3], [1e4, 1e4 - 70, 9999]],
)


@ROWS
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_every_entry_of_the_jacobian_is_accurate_in_both_directions(name, row):
    x, fn = np.float32(row), getattr(nn, name)
    expected = exact(jax.jacfwd(TEXTBOOK[name]), wide=True, dtype="float32")(x)
    push = jax.jit(lambda x, t: jax.jvp(fn, (x,), (t,))[1])
    pull = jax.jit(lambda x, t: jax.vjp(fn, x)[1](t)[0])
    for i, unit in enumerate(np.eye(3, dtype=np.float32)):
        assert ulp_error(np.asarray(push(x, unit)), expected[:, i], flush=True).max() <= 8
        assert ulp_error(np.asarray(pull(x, unit)), expected[i], flush=True).max() <= 8


@ROWS
@ALL
def test_second_derivatives_are_accurate(name, row):
    x, fn, definition = np.float32(row), first(getattr(nn, name), name), first(TEXTBOOK[name], name)
    assert error(jax.hessian(fn)(x), jax.jacfwd(jax.jacfwd(definition)), x) <= 16


@ALL
def test_third_derivatives_are_accurate(name):
    x, fn, definition = np.float32([0.3, -1, 2]), first(getattr(nn, name), name), first(TEXTBOOK[name], name)
    actual = jax.jacfwd(jax.jacrev(jax.grad(fn)))(x)
    assert error(actual, jax.jacfwd(jax.jacfwd(jax.jacfwd(definition))), x) <= 16


@ALL
def test_an_entry_of_minus_infinity_is_as_if_it_were_not_there(name):
    x, fn = jnp.float32([0.5, -inf, 1]), first(getattr(nn, name), name)
    rest = [0, 2]
    for derivative in (jax.grad(fn), jax.hessian(fn), jax.jacfwd(jax.jacfwd(fn))):
        full, short = np.asarray(derivative(x)), np.asarray(derivative(x[jnp.array(rest)]))
        np.testing.assert_allclose(full[np.ix_(*[rest] * full.ndim)], short, rtol=1e-6)
        assert not full[1].any()
        assert not full[..., 1].any()


def test_limits_of_the_jacobians_at_an_infinite_logit():
    x = jnp.float32([inf, 0])
    for jacobian in (jax.jacfwd, jax.jacrev):
        np.testing.assert_array_equal(jacobian(nn.softmax)(x), np.zeros((2, 2)))
        np.testing.assert_array_equal(jacobian(nn.log_softmax)(x), [[0, 0], [-1, 1]])
        np.testing.assert_array_equal(jacobian(jax.grad(nn.logsumexp))(x), np.zeros((2, 2)))
    np.testing.assert_array_equal(jax.hessian(nn.logsumexp)(jnp.full(2, -inf)), np.zeros((2, 2)))


@ALL
def test_integers_have_no_tangent(name):
    x = jnp.array([1, 2])
    value, tangent = jax.jvp(getattr(nn, name), (x,), (np.zeros(2, jax.dtypes.float0),))
    np.testing.assert_array_equal(value, getattr(nn, name)(x.astype(jnp.float32)))
    assert not np.asarray(tangent).any()


@pytest.mark.parametrize("count", [10**5, 10**6])
def test_rounding_errors_do_not_add_up_in_long_rows(count):
    x = np.zeros(count, np.float32)
    for actual, expected in (
        (nn.logsumexp(x), np.log(count)),
        (nn.softmax(x), np.full(count, 1 / count)),
        (nn.log_softmax(x), np.full(count, -np.log(count))),
        (jax.grad(nn.logsumexp)(x), np.full(count, 1 / count)),
    ):
        assert ulp_error(np.asarray(actual), np.float32(expected)).max() <= 3


def test_float64_sums_what_underflows():
    x = np.concatenate([[0.0], np.linspace(-708, -740, 5000)])
    rest = np.exp(x[1:].astype(np.float64) + 600).sum() * np.exp(-600)  # halfway up, where nothing is subnormal
    with jax.enable_x64(True):
        value, slope = jax.value_and_grad(lambda x: -nn.log_softmax(x)[0])(x)
        share = jax.grad(lambda x: nn.softmax(x)[0])(x)[0]
    np.testing.assert_allclose([value, -slope[0], share], rest, rtol=1e-12)


# --- factors of logsumexp ------------------------------------------------------------------------------------------

FACTORS = {
    "ordinary": ([0.5, 2, -1], [1, -2, 3]),
    "the largest logit has the smallest factor": ([0, -90], [1e-20, 1e30]),
    "a factor beyond the range of the other": ([0, -120], [1e-20, 1e38]),
    "opposite extremes": ([80, -80], [1e-35, 1e35]),
    "a negative and a tiny factor": ([3, -100], [1e-10, -1e30]),
    "a small share": ([3, -85], [1, 1e30]),
    "the largest factors": ([0, 1], [1e38, 1e38]),
    "small factors": ([0, 0], [1e-37, 1e-37]),
    "an excluded entry above": ([0, -50], [0, 1]),
    "a large offset": ([1e4, 9999], [1, 3]),
    "an offset without fractions": ([1e8, 1e8], [1, 2]),
}
EACH = pytest.mark.parametrize("case", FACTORS)


@EACH
def test_values_with_factors_of_any_size(case):
    a, b = map(np.float32, FACTORS[case])
    assert error(with_factors(a, b), weighted, a, b) <= 4


@EACH
@pytest.mark.parametrize("argument", [0, 1])
def test_gradients_with_factors_of_any_size(case, argument):
    a, b = map(np.float32, FACTORS[case])
    assert error(jax.grad(with_factors, argument)(a, b), jax.grad(weighted, argument), a, b) <= 12


@EACH
@pytest.mark.parametrize("second", [0, 1])
def test_second_derivatives_with_factors_of_any_size(case, second):
    a, b = map(np.float32, FACTORS[case])
    actual = jax.jacfwd(jax.grad(with_factors), second)(a, b)
    assert scaled_error(actual, jax.jacfwd(jax.grad(weighted), second), a, b) <= 16


@pytest.mark.parametrize("factors", [[1, 1], [1, 1e38], [1e-30, 1], [-1, 5]])
def test_an_infinite_logit_outweighs_every_finite_factor(factors):
    a, b = jnp.float32([inf, 0]), jnp.float32(factors)
    value, sign = nn.logsumexp(a, b=b, return_sign=True)
    assert (float(value), float(sign)) == (inf, np.sign(factors[0]))
    np.testing.assert_array_equal(jax.grad(with_factors)(a, b), [1, 0])


@pytest.mark.parametrize("factor", [1, -2])
@pytest.mark.parametrize("count", [2, 5000])
def test_nan_passes_into_the_gradient_with_factors_too(factor, count):
    a = np.zeros(count, np.float32)
    a[-1] = nan
    value, slope = jax.value_and_grad(with_factors)(a, np.float32(factor))
    assert np.isnan(value)
    assert np.isnan(slope).all()


def test_a_nan_factor_is_not_lost():
    value, sign = nn.logsumexp(jnp.float32([0, 1]), b=jnp.float32([nan, 1]), return_sign=True)
    assert np.isnan([value, sign]).all()


@pytest.mark.parametrize("axis", [(), 0, (0, -1), None])
@pytest.mark.parametrize("factors", [2, [1, -2, 0, 3], [[1], [0]]])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("mask", [None, [True, False, True, True], [[True], [False]]])
def test_every_combination_of_arguments_gives_the_peers(axis, factors, keepdims, mask):
    a = np.linspace(-3, 4, 8, dtype=np.float32).reshape(2, 4)
    arguments = dict(axis=axis, b=jnp.asarray(factors), keepdims=keepdims, where=None if mask is None else np.array(mask))
    for return_sign in (False, True):
        ours, peers = (m.logsumexp(a, return_sign=return_sign, **arguments) for m in (nn, jax.nn))
        for mine, its in zip(jax.tree.leaves(ours), jax.tree.leaves(peers), strict=True):
            assert (mine.shape, mine.dtype) == (its.shape, its.dtype)
            np.testing.assert_allclose(mine, its, rtol=3e-6, atol=1e-6)


# --- NaN and masks -------------------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("count", [3, 5000])
@pytest.mark.parametrize("fill", [0.0, -inf])
def test_nan_is_stronger_than_infinity_in_rows_of_any_length(name, count, fill):
    x = np.full(count, fill, np.float32)
    x[1], x[-1] = inf, nan
    assert np.isnan(getattr(nn, name)(x)).all()
    assert np.isnan(jax.grad(first(getattr(nn, name), name))(x)).all()


@ALL
@pytest.mark.parametrize("hidden", [nan, inf, -inf, 3e38])
def test_what_a_mask_hides_has_no_part_in_any_derivative(name, hidden):
    x, mask = jnp.float32([0.5, hidden, 1]), np.array([True, False, True])

    def masked(x):
        return first(lambda x: getattr(nn, name)(x, where=mask), name)(x)

    short = x[jnp.array([0, 2])]
    for masked_derivative, derivative in (
        (jax.grad(masked), jax.grad(first(getattr(nn, name), name))),
        (jax.jacfwd(masked), jax.jacfwd(first(getattr(nn, name), name))),
        (jax.hessian(masked), jax.hessian(first(getattr(nn, name), name))),
    ):
        full, expected = np.asarray(masked_derivative(x)), np.asarray(derivative(short))
        np.testing.assert_allclose(full[np.ix_(*[[0, 2]] * full.ndim)], expected, rtol=1e-6)
        assert not full[1].any()


@ALL
def test_a_fully_masked_row_has_zero_derivatives(name):
    x = jnp.float32([1, 2])
    fn = first(lambda x: getattr(nn, name)(x, where=False), name)
    assert not np.asarray(jax.grad(lambda x: jnp.where(jnp.isfinite(y := fn(x)), y, 0))(x)).any()
    assert not np.asarray(jax.hessian(fn)(x)).any()


# --- shapes, dtypes, modes -----------------------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize(
    ("shape", "axis"), [((0,), -1), ((0, 3), -1), ((0, 3), 0), ((3, 0), -1), ((3, 0), 0), ((3, 0), None)]
)
def test_empty_arrays_give_the_peers(name, shape, axis):
    ours, peers = (getattr(module, name)(np.zeros(shape, np.float32), axis=axis) for module in (nn, jax.nn))
    np.testing.assert_array_equal(ours, peers)
    assert ours.dtype == peers.dtype


@ALL
def test_a_number_is_a_row_of_its_own(name):
    x = jnp.float32(2)
    np.testing.assert_array_equal(getattr(nn, name)(x, axis=None), {"softmax": 1, "log_softmax": 0, "logsumexp": 2}[name])
    np.testing.assert_array_equal(
        getattr(nn, name)(x, axis=()), {"softmax": 1, "log_softmax": 0, "logsumexp": 2}[name]
    )


@ALL
@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool"])
def test_integers_of_every_width_are_converted_first(name, dtype):
    x = np.array([0, 1, 1]).astype(jnp.dtype(dtype))
    result = getattr(nn, name)(jnp.asarray(x))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, getattr(nn, name)(np.float32([0, 1, 1])))


@ALL
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_strict_promotion_is_no_obstacle(name, dtype):
    x = jnp.ones(3, dtype)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        assert getattr(nn, name)(x).dtype == x.dtype
        assert jax.grad(first(getattr(nn, name), name))(x).dtype == x.dtype
        if name == "logsumexp":
            assert nn.logsumexp(x, b=x).dtype == x.dtype


@ALL
def test_limits_raise_no_alarm_under_debug_nans(name):
    fn = first(getattr(nn, name), name)
    with jax.debug_nans(True):
        for row in ([0, -inf, 1], [inf, 0, 0], [0, -100, -3e38]):
            x = jnp.float32(row)
            assert np.isfinite(jax.grad(fn)(x)).all()
            assert np.isfinite(jax.hessian(fn)(x)).all()
        assert not np.asarray(jax.grad(nn.logsumexp)(jnp.full(2, -inf))).any()


@ALL
def test_a_program_without_jit_gives_the_same(name):
    x = jnp.float32([3, -80, 1])
    compiled = jax.value_and_grad(first(getattr(nn, name), name))(x)
    with jax.disable_jit():
        plain = jax.value_and_grad(first(getattr(nn, name), name))(x)
    for ours, theirs in zip(jax.tree.leaves(compiled), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
