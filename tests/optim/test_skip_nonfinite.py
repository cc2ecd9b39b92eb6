"""Steps that are not finite leave no trace."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from stablenn.optim import SkipNonfiniteState, skip_nonfinite

PARAMS = {"w": jnp.array([1.0, -0.0, 3.0]), "b": jnp.array(0.0)}
GOOD = {"w": jnp.array([0.1, -0.2, 0.3]), "b": jnp.array(1.0)}
BAD = {"w": jnp.array([0.1, jnp.nan, 0.3]), "b": jnp.array(1.0)}
OPTIMIZERS = {"sgd": optax.sgd(0.1, momentum=0.9), "adam": optax.adam(0.1), "adafactor": optax.adafactor(0.1)}


def bits(tree):
    return [(np.asarray(leaf).dtype, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)]


def run(optimizer, gradients, params=PARAMS):
    """Parameters and state after some steps, in a scan."""

    def step(carry, gradient):
        params, state = carry
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *gradients)
    return jax.lax.scan(step, (params, optimizer.init(params)), stacked)[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_bad_step_might_as_well_not_have_happened(name, bad):
    poisoned = {"w": GOOD["w"].at[1].set(bad), "b": GOOD["b"]}
    optimizer = skip_nonfinite(OPTIMIZERS[name])
    params, state = run(optimizer, [GOOD, poisoned, GOOD, GOOD])
    expected_params, expected_state = run(optimizer, [GOOD, GOOD, GOOD])
    assert bits(params) == bits(expected_params)
    assert bits(state.inner_state) == bits(expected_state.inner_state)
    assert (int(state.total_nonfinite), int(state.consecutive_nonfinite), bool(state.last_finite)) == (1, 0, True)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_on_ordinary_steps_it_is_the_bare_optimizer(name):
    """Step by step: inside of one program, XLA fuses the bare optimizer's last product with the addition."""
    bare, guarded = OPTIMIZERS[name], skip_nonfinite(OPTIMIZERS[name])
    expected_state, state = bare.init(PARAMS), guarded.init(PARAMS)
    for _ in range(4):
        expected, expected_state = jax.jit(bare.update)(GOOD, expected_state, PARAMS)
        updates, state = jax.jit(guarded.update)(GOOD, state, PARAMS)
        assert bits(updates) == bits(expected)
        assert bits(state.inner_state) == bits(expected_state)


def test_parameters_keep_the_sign_of_their_zeros():
    optimizer = skip_nonfinite(optax.sgd(0.1))
    params, _ = run(optimizer, [BAD])
    assert bits(params) == bits(PARAMS)


def test_updates_that_overflow_inside_are_left_out():
    optimizer = skip_nonfinite(optax.scale(1e30))
    updates, state = optimizer.update(jnp.array([1e30]), optimizer.init(jnp.zeros(1)))
    assert not state.last_finite
    assert bits(updates) == bits(jnp.array([-0.0]))


def test_a_state_that_overflows_is_left_out():
    optimizer = skip_nonfinite(optax.adam(0.1))  # the square of the gradient is infinite, the update is zero
    params = jnp.ones(1)
    state = optimizer.init(params)
    _, after = optimizer.update(jnp.array([1e20]), state, params)
    assert not after.last_finite
    assert bits(after.inner_state) == bits(state.inner_state)


def test_an_infinity_that_was_there_before_is_no_sign_of_a_bad_step():
    """The best loss so far of reduce_on_plateau begins at infinity."""
    inner = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(accumulation_size=3, patience=2))
    optimizer = skip_nonfinite(inner)
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(6):
        updates, state = optimizer.update(GOOD, state, params, value=jnp.array(1.0))
        params = optax.apply_updates(params, updates)
    assert int(state.total_nonfinite) == 0
    np.testing.assert_allclose(params["b"], -0.6, rtol=1e-6)


@pytest.mark.parametrize(("value", "finite"), [(1.0, True), (jnp.nan, False), (jnp.inf, False)])
def test_the_loss_is_looked_at_where_it_is_given(value, finite):
    optimizer = skip_nonfinite(optax.sgd(0.1))
    _, state = optimizer.update(GOOD, optimizer.init(PARAMS), PARAMS, value=jnp.array(value))
    assert bool(state.last_finite) is finite


def test_extra_arguments_reach_the_inner_transformation():
    def update(updates, state, params=None, *, factor, **extra):
        return jax.tree.map(lambda u: factor * u, updates), state

    optimizer = skip_nonfinite(optax.GradientTransformationExtraArgs(optax.init_empty_state, update))
    updates, _ = optimizer.update(GOOD, optimizer.init(PARAMS), PARAMS, factor=3.0)
    np.testing.assert_allclose(updates["w"], 3 * GOOD["w"])


@pytest.mark.parametrize("on_limit", ["hold", "reset_state", "accept"])
def test_what_happens_beyond_the_limit(on_limit):
    optimizer = skip_nonfinite(optax.trace(0.9), max_consecutive=2, on_limit=on_limit)
    state = optimizer.init(PARAMS)
    _, state = optimizer.update(GOOD, state, PARAMS)
    moved = state.inner_state
    for count in (1, 2):
        updates, state = optimizer.update(BAD, state, PARAMS)
        assert bits(state.inner_state) == bits(moved)
        assert int(state.consecutive_nonfinite) == count
    updates, state = optimizer.update(BAD, state, PARAMS)
    assert int(state.total_nonfinite) == 3
    if on_limit == "accept":
        assert np.isnan(updates["w"]).any()
    else:
        assert bits(optax.apply_updates(PARAMS, updates)) == bits(PARAMS)
        expected = moved if on_limit == "hold" else optax.trace(0.9).init(PARAMS)
        assert bits(state.inner_state) == bits(expected)


def test_all_devices_decide_alike():
    optimizer = skip_nonfinite(optax.sgd(1.0), axis_name="batch")
    gradients = jnp.array([[1.0, 1.0], [jnp.nan, 1.0]])
    step = lambda g: optimizer.update(g, optimizer.init(g))
    updates, state = jax.vmap(step, axis_name="batch")(gradients)
    assert bits(updates) == bits(jnp.full((2, 2), -0.0))
    np.testing.assert_array_equal(state.total_nonfinite, [1, 1])


def test_leaves_of_other_kinds_pass():
    params = {"z": jnp.array([1j]), "n": None, "masked": optax.MaskedNode(), "empty": jnp.zeros(0)}
    optimizer = skip_nonfinite(optax.identity())
    for value, finite in ((1 + 1j, True), (complex(np.nan, 0), False)):
        gradients = {**params, "z": jnp.array([value])}
        updates, state = jax.jit(optimizer.update)(gradients, optimizer.init(params), params)
        assert bool(state.last_finite) is finite
        assert updates["n"] is None
        expected = value if finite else complex(-0.0, -0.0)
        assert bits(updates["z"]) == bits(jnp.array([expected]))


def test_a_state_with_keys_and_integers_is_kept():
    noise = optax.add_noise(eta=0.1, gamma=0.5, key=jax.random.key(0))
    optimizer = skip_nonfinite(noise)
    state = optimizer.init(PARAMS)
    _, after = jax.jit(optimizer.update)(BAD, state, PARAMS)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    kept = jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf, after
    )
    before = jax.tree.map(
        lambda leaf: jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf, state
    )
    assert bits(kept.inner_state) == bits(before.inner_state)


def test_it_composes_as_optax_transformations_do():
    inner = optax.chain(optax.clip(1.0), optax.scale_by_adam())
    optimizer = optax.chain(skip_nonfinite(inner), optax.scale(-0.1))
    params, _ = run(optimizer, [BAD, GOOD])
    expected, _ = run(optax.chain(inner, optax.scale(-0.1)), [GOOD])
    assert bits(params) == bits(expected)

    masked = optax.masked(skip_nonfinite(optax.sgd(1.0)), {"w": True, "b": False})
    updates, _ = masked.update(BAD, masked.init(PARAMS))
    assert bits(updates["w"]) == bits(jnp.full(3, -0.0))
    assert bits(updates["b"]) == bits(BAD["b"])

    several = optax.MultiSteps(skip_nonfinite(optax.sgd(1.0)), every_k_schedule=2)
    state = several.init(PARAMS)
    for gradients in (GOOD, GOOD):
        updates, state = several.update(gradients, state, PARAMS)
    np.testing.assert_allclose(updates["w"], -GOOD["w"])


def test_the_state_is_documented_and_typed():
    state = skip_nonfinite(optax.sgd(0.1)).init(PARAMS)
    assert isinstance(state, SkipNonfiniteState)
    assert (state.total_nonfinite.dtype, state.last_finite.dtype) == (np.int32, np.bool_)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((lambda g: g,), TypeError, "inner must be a gradient transformation, got function"),
        ((optax.sgd(1.0), 1.5), TypeError, "max_consecutive must be an int or None, got 1.5"),
        ((optax.sgd(1.0), "3"), TypeError, "max_consecutive must be an int or None, got '3'"),
        ((optax.sgd(1.0), True), TypeError, "max_consecutive must be an int or None, got True"),
        ((optax.sgd(1.0), -1), ValueError, "max_consecutive must not be negative, got -1"),
        ((optax.sgd(1.0), 1, "stop"), ValueError, "on_limit must be one of hold, reset_state, accept; got 'stop'"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        skip_nonfinite(*arguments)


def test_a_reset_needs_parameters():
    optimizer = skip_nonfinite(optax.sgd(1.0), max_consecutive=1, on_limit="reset_state")
    with pytest.raises(ValueError, match="params must be given"):
        optimizer.update(GOOD, optimizer.init(PARAMS))
