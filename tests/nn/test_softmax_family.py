"""softmax, log_softmax, logsumexp: values, gradients, limits, arguments and dtypes against the exact formula."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact, nn
from stablenn.floats import ulp_error

TEXTBOOK = {
    "softmax": lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x)),
    "log_softmax": lambda x: jnp.log(jnp.exp(x) / jnp.sum(jnp.exp(x))),
    "logsumexp": lambda x: jnp.log(jnp.sum(jnp.exp(x))),
}
ALL = pytest.mark.parametrize("name", TEXTBOOK)
MARGINS = pytest.mark.parametrize("margin", [20, 50, 80, 87, 100])
inf, nan = np.inf, np.nan


def weighted(a, b):
    return jnp.log(jnp.abs(jnp.sum(b * jnp.exp(a))))


def error(actual, fn, *args):
    actual = np.asarray(actual)
    return ulp_error(actual, exact(fn, wide=True, dtype=actual.dtype)(*args), flush=True).max()


@ALL
def test_the_signature_is_the_peers(name):
    ours, peers = (inspect.signature(getattr(module, name)).parameters.values() for module in (nn, jax.nn))
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in peers]


@ALL
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
@pytest.mark.parametrize("offset", [0, 1e4])
def test_value_and_gradient_are_the_formulas(name, dtype, offset):
    x = (np.array([-30, -3.3, -0.7, 0.1, 1.3, 2, 2, 5]) + offset).astype(jnp.dtype(dtype))

    def scalar(fn):
        return lambda x: fn(x) if name == "logsumexp" else fn(x)[0]

    for x64 in {True, dtype == "float64"}:
        with jax.enable_x64(x64):
            value = np.asarray(getattr(nn, name)(x))
            slope = np.asarray(jax.grad(scalar(getattr(nn, name)))(x))
        assert value.dtype == slope.dtype == x.dtype
        assert error(value, TEXTBOOK[name], x) <= 4
        assert error(slope, jax.grad(scalar(TEXTBOOK[name])), x) <= 6


@ALL
def test_extreme_offsets_are_exact(name):
    for x in (
        np.float32([1e8, 1e8 - 16, 1e8 - 8]),
        np.float32([3e38, -3e38, 3e38]),
        np.float32([-3e38, -3e38, -3e38]),
    ):
        assert error(getattr(nn, name)(x), TEXTBOOK[name], x) <= 4


@MARGINS
def test_a_confident_answer_keeps_its_relative_accuracy(margin):
    x = np.float32([margin, 0])
    assert error(nn.log_softmax(x), TEXTBOOK["log_softmax"], x) <= 3
    for name in ("log_softmax", "softmax"):
        actual, expected = jax.jacrev(getattr(nn, name))(x), jax.jacfwd(TEXTBOOK[name])
        assert error(actual, expected, x) <= 6


@pytest.mark.parametrize("row", [[0, 80, 80], [-52, 24, 25]])
def test_small_shares_beside_two_large_ones_have_tangents_in_both_directions(row):
    x = np.float32(row)
    truth = exact(jax.jacfwd(TEXTBOOK["softmax"]), wide=True, dtype="float32")(x)
    for column, tangent in enumerate(np.eye(3, dtype=np.float32)):
        forward = jax.jvp(nn.softmax, (x,), (tangent,))[1]
        (backward,) = jax.vjp(nn.softmax, x)[1](tangent)
        for slope in (forward, backward):  # the Jacobian is symmetric
            assert ulp_error(np.asarray(slope), truth[:, column], flush=True).max() <= 8


@ALL
def test_many_entries_that_each_underflow_still_add_up(name):
    x = np.concatenate([[0], np.linspace(-88, -100, 5000)]).astype(np.float32)
    fn, definition = getattr(nn, name), TEXTBOOK[name]
    first = (lambda f: f) if name == "logsumexp" else (lambda f: lambda x: f(x)[0])
    assert error(first(fn)(x), first(definition), x) <= 4
    assert error(jax.grad(first(fn))(x), jax.grad(first(definition)), x) <= 8


def test_the_loss_of_the_top_is_the_sum_of_what_underflows():
    x = np.concatenate([[0], np.full(5000, -90)]).astype(np.float32)
    expected = np.exp(np.float64(-90)) * 5000
    loss, slope = jax.value_and_grad(lambda x: -nn.log_softmax(x)[0])(x)
    np.testing.assert_allclose([-loss, slope[0]], [-expected, -expected], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_long_rows_of_equal_logits(dtype):
    x = jnp.full(70000, 3, dtype)
    share, total = np.asarray([1 / 70000, np.log(70000)]).astype(x.dtype)
    assert ulp_error(np.asarray(nn.softmax(x)), np.broadcast_to(share, x.shape), flush=True).max() <= 1
    assert ulp_error(np.asarray(nn.log_softmax(x)), np.broadcast_to(-total, x.shape)).max() <= 1
    assert ulp_error(np.asarray(nn.logsumexp(x - 3)), total).max() <= 1


@pytest.mark.parametrize(
    ("row", "softmax", "log_softmax", "logsumexp"),
    [
        ([inf, 0, -inf], [1, 0, 0], [0, -inf, -inf], inf),
        ([0, -inf, -inf], [1, 0, 0], [0, -inf, -inf], 0),
        ([inf, inf, 0], [nan] * 3, [nan] * 3, inf),
        ([-inf] * 3, [nan] * 3, [nan] * 3, -inf),
        ([nan, 0, inf], [nan] * 3, [nan] * 3, nan),
        ([nan, -inf, -inf], [nan] * 3, [nan] * 3, nan),
        ([nan, inf, inf], [nan] * 3, [nan] * 3, nan),
    ],
)
def test_specials(row, softmax, log_softmax, logsumexp):
    x = jnp.float32(row)
    np.testing.assert_array_equal(nn.softmax(x), softmax)
    np.testing.assert_array_equal(nn.log_softmax(x), log_softmax)
    np.testing.assert_array_equal(nn.logsumexp(x), logsumexp)


def test_the_gradient_of_a_sum_of_nothing_is_zero():
    np.testing.assert_array_equal(jax.grad(nn.logsumexp)(jnp.full(3, -inf)), [0, 0, 0])
    np.testing.assert_array_equal(jax.grad(nn.logsumexp)(jnp.float32([-inf, inf, 0])), [0, 1, 0])


@ALL
@pytest.mark.parametrize("fill", [0.0, -inf])
def test_nan_passes_through_large_arrays(name, fill):
    x = np.full((2, 5000), fill, np.float32)
    x[:, 0], x[1, 4321] = 1, nan
    result = np.asarray(getattr(nn, name)(x, axis=1))
    assert not np.isnan(result[0]).any()
    assert np.isnan(result[1]).all()


@ALL
@pytest.mark.parametrize("axis", [0, 1, -1, -3, (0, 2), (-1, 1), None, (), np.int64(1)])
def test_axis_is_the_peers(name, axis):
    x = np.linspace(-3, 4, 24, dtype=np.float32).reshape(2, 3, 4)
    ours, peers = getattr(nn, name)(x, axis=axis), getattr(jax.nn, name)(x, axis=axis)
    assert ours.shape == peers.shape
    np.testing.assert_allclose(ours, peers, rtol=2e-6, atol=1e-6)


@ALL
@pytest.mark.parametrize("axis", [0, 1, 2, -1, (0, 1), (1, 3), None])
def test_axes_of_length_one_change_nothing(name, axis):
    x = np.linspace(-3, 4, 12, dtype=np.float32).reshape(1, 3, 1, 4)
    mask = np.arange(12).reshape(x.shape) % 5 != 0
    weights = np.cos(np.arange(12, dtype=np.float32)).reshape(x.shape)

    def slope(fn):
        return jax.grad(lambda x: (jnp.where(mask, fn(x, axis=axis, where=mask), 0) * weights).sum())(x)

    np.testing.assert_allclose(slope(getattr(nn, name)), slope(getattr(jax.nn, name)), rtol=2e-5, atol=1e-6)


@ALL
@pytest.mark.parametrize("axis", [2, -3, (0, 5)])
def test_an_axis_out_of_range_is_refused(name, axis):
    with pytest.raises(ValueError, match="out of bounds"):
        getattr(nn, name)(jnp.ones((2, 3)), axis=axis)


@pytest.mark.parametrize("mask", [[[1, 0, 1, 1], [0, 0, 0, 0]], [1, 0, 0, 1], [[True], [False]]])
def test_where_leaves_entries_out(mask):
    x = np.float32([[1, nan, 3, -2], [inf, 0, 1, 2]])
    where = np.array(mask, bool)
    full = np.broadcast_to(where, x.shape)
    kept = np.where(full, x, -inf)
    rows = [row for row in range(2) if np.isfinite(kept[row][full[row]]).all()]
    for name, outside, empty in (("softmax", 0, 0), ("log_softmax", -inf, -inf), ("logsumexp", None, -inf)):
        result = np.asarray(getattr(nn, name)(x, axis=1, where=where))
        slope = np.asarray(
            jax.grad(
                lambda x, name=name: jnp.where(
                    jnp.isfinite(y := getattr(nn, name)(x, axis=1, where=where)), y, 0
                ).sum()
            )(x)
        )
        for row in rows:
            used = full[row]
            if outside is not None:
                np.testing.assert_array_equal(result[row][~used], outside)
            assert not slope[row][~used].any()
            if used.any():
                entries = x[row][used]
                value = result[row] if outside is None else result[row][used]
                assert error(value, TEXTBOOK[name], entries) <= 4
            else:
                np.testing.assert_array_equal(result[row], np.full(result[row].shape, empty))
                assert not slope[row].any()


@ALL
def test_a_mask_with_more_axes_broadcasts_the_input(name):
    # jax.nn.softmax of jax 0.10.2 and 0.12.0.1 gives [0.5, 0, 0.5] for the first row here, whatever the input
    x, where = jnp.float32([1, 2, 3]), jnp.array([[True, False, True], [True, True, True]])
    result = getattr(nn, name)(x, axis=-1, where=where)
    np.testing.assert_array_equal(result, getattr(nn, name)(jnp.stack([x, x]), axis=-1, where=where))


def test_keepdims():
    x = np.ones((2, 3, 4), np.float32)
    shapes = {None: (1, 1, 1), 1: (2, 1, 4), (0, -1): (1, 3, 1)}
    assert {axis: nn.logsumexp(x, axis=axis, keepdims=True).shape for axis in shapes} == shapes
    pair = nn.logsumexp(x, axis=1, keepdims=True, return_sign=True)
    assert [v.shape for v in pair] == [(2, 1, 4), (2, 1, 4)]


FACTORS = {
    "ordinary": ([0.5, 2, -1], [1, 2, 3], 1),
    "a negative sum": ([0.5, 2, -1], [1, -2, 3], -1),
    "a zero excludes any value": ([200, 2, -1], [0, 2, 3], 1),
    "large factors": ([0, 1, 2], [1e25, 1e30, 1e38], 1),
    "what is left where the largest cancel": ([0, 0, -50], [1, -1, 1], 1),
    "large logits": ([1e8, 1e8, 1e8], [1, 1, 2], 1),
    "far apart": ([1, -50, -80], [1, 1, 1], 1),
    "small factors": ([0, 0, 1], [1e-30, 1e-36, 1e-37], 1),
}


@pytest.mark.parametrize("case", FACTORS)
def test_factors(case):
    a, b, sign = FACTORS[case]
    a, b = np.float32(a), np.float32(b)
    value, found = nn.logsumexp(a, b=b, return_sign=True)
    assert (float(found), value.dtype) == (sign, np.float32)
    assert error(value, weighted, a, b) <= 4
    with_sign = nn.logsumexp(a, b=b)
    np.testing.assert_array_equal(with_sign, value if sign > 0 else nan)


@pytest.mark.parametrize("case", FACTORS)
def test_gradients_by_factors_and_logits(case):
    a, b, _ = FACTORS[case]
    a, b = np.float32(a), np.float32(b)
    for argument in (0, 1):
        actual = jax.grad(lambda a, b: nn.logsumexp(a, b=b, return_sign=True)[0], argument)(a, b)
        assert error(actual, jax.grad(weighted, argument), a, b) <= 12


def test_factors_of_nothing():
    a = jnp.full(1, -inf)
    for b in (-1.0, 0.0, 1.0):
        np.testing.assert_array_equal(nn.logsumexp(a, b=jnp.full(1, b)), -inf)
        np.testing.assert_array_equal(nn.logsumexp(a, b=jnp.full(1, b), return_sign=True), [-inf, 0])


def test_an_infinite_logit_has_a_gradient_with_factors_as_without():
    a = jnp.float32([inf, 0])
    np.testing.assert_array_equal(jax.grad(lambda a: nn.logsumexp(a, b=jnp.ones(2)))(a), [1, 0])


def test_the_tangent_of_an_excluded_entry_is_not_felt():
    a, b = jnp.float32([0, 200]), jnp.float32([1, 0])
    np.testing.assert_array_equal(jax.jvp(lambda a: nn.logsumexp(a, b=b), (a,), (jnp.ones(2),))[1], 1)


def test_integers_become_the_floats_of_jax():
    for x64 in (False, True):
        with jax.enable_x64(x64):
            for dtype in ("int8", "int32", *(["int64"] if x64 else [])):
                x = jnp.arange(3).astype(dtype)
                for name in ("softmax", "log_softmax", "logsumexp"):
                    assert getattr(nn, name)(x).dtype == jnp.sin(x).dtype


def test_dtypes_are_promoted():
    narrow, wide = jnp.ones(2, jnp.bfloat16), jnp.ones(2, jnp.float32)
    assert nn.logsumexp(narrow, b=wide).dtype == jnp.float32
    assert nn.logsumexp(narrow, b=2).dtype == nn.logsumexp(narrow, b=np.array([1, 2])).dtype == jnp.bfloat16
    for fn in (nn.softmax, nn.log_softmax, nn.logsumexp):
        assert fn(np.arange(3)).dtype == fn(2.0, axis=None).dtype == jnp.float32
        with jax.enable_x64(True):
            assert fn(np.arange(3)).dtype == fn(2.0, axis=None).dtype == jnp.float64


@pytest.mark.parametrize("argument", ["a", "b"])
def test_complex_arguments_are_refused_by_name(argument):
    with pytest.raises(TypeError, match=rf"^logsumexp: {argument} must be real, got complex64"):
        nn.logsumexp(**({"a": jnp.ones(2)} | {argument: jnp.ones(2, jnp.complex64)}))
    for name in ("softmax", "log_softmax"):
        with pytest.raises(TypeError, match=rf"^{name}: x must be real, got complex64"):
            getattr(nn, name)(jnp.ones(2, jnp.complex64))
