"""The float64 meaning: the same program without the roundings of its own dtypes, and what it chose on the way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from stablenn.interpret.host import wide_on_cpu
from stablenn.interpret.wide import Jitter, widen
from stablenn.interpret.work import scalar_operations


def wide(fn, *args, jitter=None):
    closed = jax.make_jaxpr(fn)(*args)
    with wide_on_cpu():
        outputs, meaning = widen(closed, jitter)(*args)
    return np.asarray(outputs[0]), meaning.choices, meaning.kept


X = np.float32([0.5, -0.2, 0.3])


def scanned(x):
    carry, ys = lax.scan(lambda c, t: (jnp.tanh(c * t), jnp.maximum(c, t)), x[0], x)
    return carry + ys.sum()


def looped(x):
    return lax.while_loop(lambda v: v[0] < 10, lambda v: v * 3, x)


@pytest.mark.parametrize(
    "fn",
    [
        scanned,
        looped,
        lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.cos, x),
        lambda x: jnp.zeros(4, x.dtype).at[jnp.array([0, 2, 0])].add(x),
        lambda x: jnp.sort(x) @ jnp.cumsum(x),
        lambda x: jax.nn.gelu(x) + jax.nn.softmax(x),
        lambda x: jax.vmap(looped)(jnp.abs(x)[:, None]),
        jax.remat(jnp.exp),
        lambda x: x + lax.optimization_barrier(x),
    ],
)
def test_it_is_what_the_function_computes_from_float64(fn):
    with jax.enable_x64(True):
        expected = fn(X.astype(np.float64))
    computed = wide(fn, X)[0]
    assert computed.dtype == np.float64
    # literals keep the rounding of the program's own dtype
    np.testing.assert_allclose(computed, expected, rtol=2e-7 if "gelu" in fn.__code__.co_names else 1e-14)


def test_conversions_to_narrow_floats_and_back_change_nothing():
    assert wide(lambda x: x.astype(jnp.bfloat16).astype(jnp.float32), X)[0].tolist() == X.astype(np.float64).tolist()


def test_random_numbers_stay_those_of_the_program():
    def noisy(x):
        return x + jax.random.uniform(jax.random.key(3), x.shape)

    np.testing.assert_allclose(wide(noisy, X)[0], noisy(X), rtol=1e-6)


def test_bits_are_taken_at_their_own_dtype_and_that_is_told():
    computed, _, kept = wide(lambda x: lax.bitcast_convert_type(x, jnp.int32), X)
    assert computed.tolist() == X.view(np.int32).tolist()
    assert kept == {"bitcast_convert_type"}


def test_custom_rules_and_stop_gradient_are_walked_through():
    @jax.custom_jvp
    def wrong(x):
        return x**3

    wrong.defjvp(lambda primals, tangents: (wrong(*primals), 100 * tangents[0]))
    closed = jax.make_jaxpr(lambda x: wrong(x) * lax.stop_gradient(x))(2.0)
    with wide_on_cpu():
        assert jax.grad(lambda x: widen(closed)(x)[0][0])(2.0) == 4 * 2.0**3


def test_choices_tell_where_they_are_made():
    _, choices, _ = wide(lambda x: jnp.maximum(x, 0) + jnp.abs(x), X)
    assert [choice.primitive for choice in choices] == ["max", "abs"]
    assert choices[0].taken.tolist() == [1, -1, 1]
    assert all("test_wide.py" in choice.line for choice in choices)


def test_choices_inside_a_scan_are_kept_step_by_step():
    _, choices, _ = wide(scanned, X)
    assert [choice.taken.shape for choice in choices] == [(3,)]


def test_jitter_of_nothing_changes_nothing_and_more_moves_results_by_that_much():
    def fn(x):
        return (jnp.exp(x) - 1).sum()

    still = wide(fn, X)[0]
    assert wide(fn, X, jitter=Jitter(1.0, 0.0, 0.0))[0] == still
    moved = wide(fn, X, jitter=Jitter(1.0, 1e-6, 0.0))[0]
    assert 1e-8 < abs(moved - still) < 1e-5


def test_jitter_keeps_what_is_equal_equal():
    def fn(x):
        largest = jnp.exp(x).max()
        return jnp.where(jnp.exp(x) == largest, 1.0, 0.0)

    assert wide(fn, X, jitter=Jitter(1.0, 1e-6, 0.0))[0].tolist() == [1, 0, 0]


def test_literals_move_by_half_an_ulp_of_their_own_dtype_but_powers_of_two_do_not():
    x = jnp.ones((), jnp.bfloat16)
    moved = [wide(lambda x: x * 1.3, x, jitter=Jitter(seed, 0.0, 1.0))[0] for seed in (1.0, 2.0, 3.0, 4.0)]
    assert 1e-4 < np.ptp(moved) < 2.0**-7
    assert wide(lambda x: x * 2, x, jitter=Jitter(1.0, 0.0, 1.0))[0] == 2


def test_scalar_operations_are_counted_through_calls_and_loops():
    def fn(a, b):
        return lax.fori_loop(0, 5, lambda _, v: jnp.exp(v), (a @ b).sum())

    count = scalar_operations(jax.make_jaxpr(fn)(np.ones((7, 11)), np.ones((11, 3))))
    assert 7 * 11 * 3 + 7 * 3 + 5 <= count <= 7 * 11 * 3 + 7 * 3 + 20
