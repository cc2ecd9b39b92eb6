"""exact() on structural primitives, reductions, products and order, against NumPy on small whole numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from stablenn import exact

X = np.float32([[3, -1, 4], [1, -5, 9]])
V = np.float32([2, 7, 1, 8, 2, 8])
INDICES = np.array([4, 0, 4, -1])

# The result of JAX is exact on these whole numbers, so that exact() must give the very same.
PROGRAMS = {
    "reshape": lambda x=X: jnp.reshape(x, (3, 2)) * 2,
    "transpose": lambda x=X: jnp.transpose(x) + 1,
    "broadcast": lambda x=V: jnp.broadcast_to(x, (2, 6)) * 2,
    "strided slice": lambda x=V: x[1:6:2],
    "reversed": lambda x=V: x[::-1],
    "concatenate": lambda x=V: jnp.concatenate([x, -x, jnp.ones(2)]),
    "stack": lambda x=V: jnp.stack([x, x + 1], axis=1),
    "pad": lambda x=V: lax.pad(x, np.float32(5), [(2, 1, 1)]),
    "negative pad": lambda x=V: lax.pad(x, np.float32(5), [(-1, -2, 0)]),
    "take": lambda x=V: jnp.take(x, np.array([0, 5, 2])),
    "take beyond the end": lambda x=V: jnp.take(x, np.array([1, 17, -3])),
    "take, clipped": lambda x=V: jnp.take(x, np.array([1, 17, -9]), mode="clip"),
    "fancy indexing": lambda x=X: x[np.array([0, 1, 1]), np.array([2, 0, -1])],
    "dynamic slice": lambda x=V: lax.dynamic_slice(x, (3,), (2,)),
    "dynamic update slice": lambda x=V: lax.dynamic_update_slice(x, x[:2] * 10, (4,)),
    "set": lambda x=V: jnp.asarray(x).at[INDICES].set(x[:4]),
    "add at": lambda x=V: jnp.asarray(x).at[INDICES].add(x[:4]),
    "multiply at": lambda x=V: jnp.asarray(x).at[INDICES].multiply(x[:4]),
    "min at": lambda x=V: jnp.asarray(x).at[INDICES].min(x[:4]),
    "max at": lambda x=V: jnp.asarray(x).at[INDICES].max(x[:4]),
    "add beyond the end": lambda x=V: jnp.asarray(x).at[np.array([1, 99])].add(x[:2]),
    "set rows": lambda x=X: jnp.asarray(x).at[1].set(x[0] * 2),
    "split": lambda x=V: jnp.split(x, 3)[1],
    "tile": lambda x=V: jnp.tile(x, 2),
    "repeat": lambda x=V: jnp.repeat(x, 2),
    "roll": lambda x=V: jnp.roll(x, 2),
    "expand and squeeze": lambda x=V: jnp.squeeze(x[None, :, None], 0),
    "iota": lambda x=V: x + jnp.arange(6.0),
    "one hot": lambda x=V: jax.nn.one_hot(jnp.argmax(x), 6) * x,
    "triangle": lambda x=X: jnp.tril(x),
    "segment sum": lambda x=V: jax.ops.segment_sum(x, np.array([0, 1, 0, 2, 1, 0]), 3),
    "sum over axes": lambda x=X: jnp.sum(x[None], axis=(0, 2)),
    "product": lambda x=X: jnp.prod(x, axis=1),
    "max and min": lambda x=X: jnp.max(x, 0) - jnp.min(x, 0),
    "empty sum": lambda x=X: jnp.sum(x[:, :0], axis=1),
    "all and any": lambda x=X: jnp.all(x > 0, 1).astype(float) + jnp.any(x > 0, 0).sum(),
    "argmax, first of ties": lambda x=V: jnp.argmax(x),
    "argmin by rows": lambda x=X: jnp.argmin(x, axis=1),
    "cumsum": lambda x=X: jnp.cumsum(x, axis=1),
    "cumsum from the end": lambda x=V: lax.cumsum(x, reverse=True),
    "cumprod": lambda x=V: jnp.cumprod(x),
    "cummax": lambda x=V: lax.cummax(x),
    "cummin from the end": lambda x=V: lax.cummin(x, reverse=True),
    "matrix product": lambda x=X: x @ x.T,
    "batched product": lambda x=X: jnp.einsum("bi,bj->bij", x, x),
    "contraction": lambda x=X: jnp.einsum("ij,kj->ik", x, x * 2),
    "inner product": lambda x=V: jnp.vdot(x, x),
    "sort": lambda x=X: jnp.sort(x, axis=1),
    "sort downwards": lambda x=V: -jnp.sort(-x),
    "argsort is stable": lambda x=V: jnp.argsort(x),
    "sort with a payload": lambda x=V: lax.sort((x, x[::-1]), num_keys=1)[1],
    "sort by two keys": lambda x=V: lax.sort((x % 2, x, jnp.arange(6.0)), num_keys=2)[2],
    "median": lambda x=V: jnp.median(x),
    "searchsorted": lambda x=V: jnp.searchsorted(jnp.sort(x), 2.0),
    "gradient of indexing": lambda x=V: jax.grad(lambda v: (v[np.array([1, 1, 3])] ** 2).sum())(x),
    "gradient of sorting": lambda x=V: jax.grad(lambda v: (jnp.sort(v)[:2] * np.float32([3, 5])).sum())(x),
    "gradient of cumsum": lambda x=V: jax.grad(lambda v: (jnp.cumsum(v) * v).sum())(x),
    "gradient of max": lambda x=V: jax.grad(lambda v: jnp.max(v))(x),
    "gradient of a product": lambda x=V: jax.grad(jnp.prod)(x),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_whole_numbers_move_and_combine_as_in_jax(name):
    program = PROGRAMS[name]
    arguments = program.__defaults__ or ()
    expected = jax.tree.map(np.asarray, program(*arguments))
    actual = exact(program)(*arguments)
    np.testing.assert_array_equal(actual, expected)
    assert np.shape(actual) == np.shape(expected)


def test_nan_is_sorted_last_and_wins_extremes():
    x = np.float32([3, np.nan, 1])
    np.testing.assert_array_equal(exact(jnp.sort)(x), np.float32([1, 3, np.nan]))
    assert np.isnan(exact(jnp.max)(x))
    assert exact(jnp.argmax)(x) == 1


def test_sums_that_cancel_are_exact():
    x = np.float32([1e30, 1, -1e30, 1e-30])
    assert exact(jnp.sum)(x) == 1
    assert exact(lambda v: jnp.cumsum(v)[-1])(x) == 1
    assert exact(lambda v: v @ jnp.ones(4))(x) == 1
    assert exact(lambda v: jnp.sum(v) - 1)(x) == np.float32(1e-30)


def test_a_running_logsumexp_is_that_of_each_prefix():
    x = np.float32([1, 200, -3, 200])
    prefixes = [exact(lambda v: jnp.log(jnp.sum(jnp.exp(v))))(x[: n + 1]) for n in range(4)]
    np.testing.assert_array_equal(exact(lax.cumlogsumexp)(x), prefixes)


def test_sorting_balls_that_tie_gives_enclosures_that_converge():
    def program(x):
        return jnp.sort(jnp.stack([jnp.exp(jnp.log(x)), x]))

    enclosure = exact(program).enclose(np.float32(3))
    assert (np.asarray(enclosure.radius) < 1e-20).all()
    np.testing.assert_array_equal([float(m) for m in enclosure.midpoint], [3, 3])
