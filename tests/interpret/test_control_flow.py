"""exact() on calls and control flow: what a loop computes is what the same formula says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from stablenn import exact

X = np.float32(1.1)


def power(n):
    return lambda x: x**n


@jax.custom_jvp
def doubled(x):
    return 2 * x


doubled.defjvp(lambda primals, tangents: (2 * primals[0], 3 * tangents[0]))  # a wrong rule, to see which one is used


@jax.custom_vjp
def tripled(x):
    return 3 * x


tripled.defvjp(lambda x: (3 * x, None), lambda _, ct: (5 * ct,))


def collatz_steps(x):
    """A loop whose length depends on its argument."""

    def body(state):
        value, steps = state
        return jnp.where(value % 2 == 0, value / 2, 3 * value + 1), steps + 1

    return lax.while_loop(lambda state: state[0] > 1, body, (x, jnp.zeros(())))[1]


def linear_solve(x):
    return lax.custom_linear_solve(lambda v: 4 * v, x, lambda matvec, b: b / 4, symmetric=True)


# program: (what it computes, the same as a formula)
SAME = {
    "jit": (jax.jit(lambda x: x * x), power(2)),
    "nested jit": (jax.jit(lambda x: jax.jit(jnp.exp)(x) * jax.jit(jnp.exp)(x)), lambda x: jnp.exp(2 * x)),
    "fori_loop": (lambda x: lax.fori_loop(0, 5, lambda i, c: c * x, jnp.ones(())), power(5)),
    "while_loop": (lambda x: lax.while_loop(lambda c: c < 100, lambda c: c * x, x), lambda x: x ** (49)),
    "scan": (lambda x: lax.scan(lambda c, t: (c * x + t, c), 0.0, jnp.array([2.0, 3.0]))[0], lambda x: 2 * x + 3),
    "scan in reverse": (
        lambda x: lax.scan(lambda c, t: (c * x + t, c), 0.0, jnp.array([2.0, 3.0]), reverse=True)[0],
        lambda x: 3 * x + 2,
    ),
    "scan of nothing": (lambda x: lax.scan(lambda c, _: (c * 2, c), x, None, length=0)[0], lambda x: x),
    "cond": (lambda x: lax.cond(x > 1, lambda v: v * v, lambda v: v, x), power(2)),
    "switch": (lambda x: lax.switch(2, [jnp.sin, jnp.cos, jnp.exp], x), jnp.exp),
    "map": (lambda x: lax.map(lambda t: t * x, jnp.array([1.0, 2.0]))[1], lambda x: 2 * x),
    "custom_jvp": (doubled, lambda x: 2 * x),
    "custom_vjp": (tripled, lambda x: 3 * x),
    "the rule of a custom_jvp": (jax.grad(doubled), lambda x: 0 * x + 3),
    "the rule of a custom_vjp": (jax.grad(tripled), lambda x: 0 * x + 5),
    "checkpoint": (jax.checkpoint(lambda x: jnp.sin(x) * 2), lambda x: 2 * jnp.sin(x)),
    "gradient of a checkpoint": (
        jax.grad(jax.checkpoint(lambda x: jnp.sin(jnp.sin(x)))),
        lambda x: jnp.cos(jnp.sin(x)) * jnp.cos(x),
    ),
    "custom_linear_solve": (linear_solve, lambda x: x / 4),
    "gradient of a linear solve": (jax.grad(linear_solve), lambda x: 0 * x + 1 / 4),
    "gradient of a scan": (
        jax.grad(lambda x: lax.scan(lambda c, _: (c * x, None), x, None, length=4)[0]),
        lambda x: 5 * x**4,
    ),
    "forward mode": (lambda x: jax.jvp(jnp.exp, (x,), (2 * x,))[1], lambda x: 2 * x * jnp.exp(x)),
    "jacfwd of jacrev": (jax.jacfwd(jax.jacrev(lambda x: x**3)), lambda x: 6 * x),
    "hessian": (lambda x: jax.hessian(lambda v: v[0] ** 2 * v[1])(jnp.stack([x, x]))[0, 1], lambda x: 2 * x),
    "while under vmap": (
        lambda x: jax.vmap(collatz_steps)(x * 0 + jnp.array([6.0, 1.0, 7.0])).sum(),
        lambda x: 0 * x + 24,
    ),
    "cond under vmap": (
        lambda x: jax.vmap(lambda t: lax.cond(t > 0, jnp.exp, lambda v: v * v, t))(jnp.stack([x, -x])).sum(),
        lambda x: jnp.exp(x) + x * x,
    ),
    "scan under vmap": (
        lambda x: jax.vmap(lambda t: lax.scan(lambda c, _: (c * t, None), t, None, length=2)[0])(
            jnp.stack([x, 2 * x])
        )[1],
        lambda x: 8 * x**3,
    ),
    "stop_gradient": (jax.grad(lambda x: x * lax.stop_gradient(x)), lambda x: x),
    "remainder of integers": (lambda x: x * (jnp.arange(7)[5] % 3), lambda x: 2 * x),
}


@pytest.mark.parametrize("name", SAME)
def test_a_program_has_the_value_of_its_formula(name):
    program, formula = SAME[name]
    np.testing.assert_array_equal(exact(program)(X), exact(formula)(X))


def test_a_carry_of_several_arrays_and_stacked_outputs():
    def program(x):
        def step(carry, t):
            a, (b, n) = carry
            return (a + t["u"], (b * t["v"], n + 1)), {"a": a, "n": n}

        xs = {"u": jnp.arange(3.0), "v": jnp.array([2.0, 3.0, 4.0])}
        return lax.scan(step, (x, (x, jnp.array(0))), xs)

    (a, (b, n)), stacked = exact(program)(np.float32(1))
    assert (a, b, n) == (4, 24, 3)
    np.testing.assert_array_equal(stacked["a"], [1, 1, 2])
    np.testing.assert_array_equal(stacked["n"], [0, 1, 2])
    assert stacked["n"].dtype.kind == "i"


def test_random_numbers_are_those_that_jax_draws():
    def program(x):
        return x * jax.random.uniform(jax.random.key(0), (3,)), jax.random.bernoulli(jax.random.key(1), 0.5, (4,))

    expected = program(np.float32(2))
    actual = exact(program)(np.float32(2))
    np.testing.assert_array_equal(actual[0], expected[0])
    np.testing.assert_array_equal(actual[1], expected[1])


def test_a_key_can_be_an_argument():
    def program(key, x):
        return x * jax.random.uniform(key)

    key = jax.random.key(3)
    np.testing.assert_array_equal(exact(program)(key, np.float32(2)), program(key, np.float32(2)))


def test_pytrees_go_in_and_come_out():
    tree = {"a": np.float32([1, 2]), "b": (np.float32(3), np.int32(4))}
    out = exact(lambda t: {"sum": t["a"].sum() + t["b"][0], "twice": [t["b"][1] * 2]})(tree)
    assert out == {"sum": 6, "twice": [8]}


def test_a_loop_may_run_long():
    def logistic_map(x):
        return lax.fori_loop(0, 60, lambda i, c: 4 * c * (1 - c), x)

    # 4x(1-x) doubles the angle of x = sin(t)^2: a closed form for a loop that loses a bit at each step
    x = np.float64(0.3)
    closed = exact(lambda v: jnp.sin(2.0**60 * jnp.arcsin(jnp.sqrt(v))) ** 2)(x)
    assert exact(logistic_map)(x) == closed
