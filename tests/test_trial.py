"""A trial swaps, restores, lets programs compute with ours and reports what that changes."""

import functools
import sys
import threading
import types

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
import optax
import pytest
from jax.nn import gelu, log_softmax

from stablenn import losses, nn, patched
from stablenn.trial import Change, _compared

CONFIDENT = np.float32([0, 40])  # the loss of the second class is exp(-40), which the peer loses
LOGITS = np.float32([[0, 1, -1], [2, 0, 1], [-1, 3, 0]])
PEERS = (jax.nn, jax.scipy.special, optax.losses, optax)
ORIGINAL = {peers.__name__: dict(vars(peers)) for peers in PEERS}


def ours():
    """Every name of the peers of which the kit has its own version."""
    for peers, kit in ((jax.nn, nn), (jax.scipy.special, nn), (optax.losses, losses)):
        for name, peer in vars(peers).items():
            found = vars(kit).get(name)
            if not name.startswith("_") and callable(found) and callable(peer) and found is not peer:
                yield peers, name


def is_swapped(function):
    return "replacement" in function.__code__.co_name if isinstance(function, types.FunctionType) else False


def restored():
    return all(vars(peers)[name] is value for peers in PEERS for name, value in ORIGINAL[peers.__name__].items())


def changes(trial, function):
    return {change.quantity: change for change in trial.changes if change.function == function}


# --- swap and restore --------------------------------------------------------------------------------------------


def test_every_own_function_takes_the_place_of_its_peer_and_nothing_else_does():
    expected = {(peers.__name__, name) for peers, name in ours()}
    assert {("jax.nn", "softmax"), ("jax.scipy.special", "entr"), ("optax.losses", "kl_divergence")} <= expected
    with patched() as trial:
        swapped = {(p.__name__, name) for p in PEERS for name in vars(p) if is_swapped(vars(p)[name])}
        assert {pair for pair in swapped if pair[0] != "optax"} == expected
        assert all(vars(optax)[name] is vars(optax.losses)[name] for peers, name in swapped if peers == "optax")
        assert ("optax", "softmax_cross_entropy") in swapped
        assert jax.nn.relu is ORIGINAL["jax.nn"]["relu"]
        assert len(trial.functions) <= len(expected)  # some have two names
    assert restored()


def test_names_taken_by_from_are_swapped_in_programs_and_not_inside_jax():
    program, lazy = types.ModuleType("a_program"), types.ModuleType("another")
    program.activation = program.gelu = here = gelu
    program.relu = jax.nn.relu
    table = {"gelu": gelu}
    sys.modules["a_program"] = program
    try:
        with patched():
            assert is_swapped(gelu) and program.gelu is program.activation is gelu is jax.nn.gelu
            assert jax._src.nn.functions.gelu is table["gelu"] is here
            assert program.relu is jax.nn.relu
            program.silu = jax.nn.silu  # as a module imported within the block does
            program.mish = lazy
        assert program.gelu is program.activation is gelu is jax.nn.gelu is here
        assert program.silu is jax.nn.silu is ORIGINAL["jax.nn"]["silu"] and program.mish is lazy
    finally:
        del sys.modules["a_program"]


def test_everything_is_restored_after_an_error():
    with pytest.raises(ZeroDivisionError), patched():
        jax.jit(gelu)(1.0)
        raise ZeroDivisionError
    assert restored() and not is_swapped(gelu)
    with patched():  # and another trial may begin
        assert is_swapped(gelu)


def test_trials_do_not_nest():
    with patched():
        with pytest.raises(RuntimeError, match="another trial is going on"), patched():
            pass
        assert is_swapped(jax.nn.gelu)
    assert restored()


def test_what_a_program_keeps_of_a_trial_is_the_original_afterwards():
    with patched() as trial:
        kept = functools.partial(jax.nn.log_softmax)
        assert kept(CONFIDENT)[1] != 0
    assert kept(CONFIDENT)[1] == 0
    assert trial.changes[0].calls == 1


def test_the_peers_of_a_comparison_call_the_originals():
    """optax's cross-entropy looks up jax.nn.log_softmax when it runs."""
    with patched() as trial:
        jax.jit(optax.softmax_cross_entropy)(CONFIDENT, np.float32([0, 1]))
    assert {change.function for change in trial.changes} == {"optax.losses.softmax_cross_entropy"}
    assert changes(trial, "optax.losses.softmax_cross_entropy")["value"].peer == 0


# --- programs ----------------------------------------------------------------------------------------------------


def test_jitted_functions_follow_the_swap_when_they_ran_before_and_after():
    loss = jax.jit(lambda x: -log_softmax(x)[1])
    outer = jax.jit(lambda x: loss(x) * 2)
    assert (loss(CONFIDENT), outer(CONFIDENT)) == (0, 0)
    with patched() as trial:
        within = loss(CONFIDENT), outer(CONFIDENT), loss(CONFIDENT)
        new = jax.jit(lambda x: jax.vmap(loss)(x[None]))
        assert new(CONFIDENT) == within[0]
    np.testing.assert_array_equal(within, np.float32([1, 2, 1]) * -nn.log_softmax(CONFIDENT)[1])
    assert (loss(CONFIDENT), outer(CONFIDENT), new(CONFIDENT)[0]) == (0, 0, 0)
    assert trial.changes[0].evaluations == 4


def scanned(x):
    return jax.lax.scan(jax.checkpoint(lambda total, row: (total + jax.nn.sigmoid(row).sum(), None)), 0.0, x)[0]


PROGRAMS = {
    "grad": jax.grad(lambda x: jax.nn.silu(x).sum()),
    "vmap": jax.vmap(jax.vmap(lambda x: jax.nn.silu(x) * 2)),
    "grad of vmap": jax.grad(lambda x: jax.vmap(jax.nn.log_softmax)(x)[:, 0].sum()),
    "vmap of grad": jax.vmap(jax.grad(lambda x: jax.nn.logsumexp(x))),
    "jvp": lambda x: jax.jvp(jax.nn.softmax, (x,), (x,)),
    "hessian": lambda x: jax.hessian(lambda row: jax.nn.logsumexp(row))(x[0]),
    "scan, remat": jax.grad(scanned),
    "cond": jax.vmap(lambda row: jax.lax.cond(row[0] > 0, jax.nn.mish, jax.nn.silu, row)),
    "while": lambda x: jax.lax.while_loop(lambda x: jax.nn.sigmoid(x).min() < 0.9, lambda x: x + 1, x),
    "loss": jax.grad(lambda x: optax.losses.softmax_cross_entropy_with_integer_labels(x, jnp.arange(3)).sum()),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_values_and_derivatives_are_ours_under_every_transformation(program, monkeypatch):
    with patched() as trial:
        result = jax.jit(program)(LOGITS)
    assert restored()
    with monkeypatch.context() as patch:  # the same program on ours, without wrapping
        for peers, name in ours():
            patch.setattr(peers, name, getattr(losses if peers is optax.losses else nn, name))
        expected = jax.jit(program)(LOGITS)  # traced anew since the trial is over
    jax.clear_caches()
    # what XLA fuses with what is not the same program to the last bit
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), result, expected)
    assert trial.changes and trial.remarks == []
    assert all(change.evaluations > 0 and change.entries > 0 for change in trial.changes)


def test_arguments_of_every_kind_pass():
    @jax.jit
    def program():
        return [
            jax.nn.gelu(1.0),
            jax.nn.gelu(np.float32(1), approximate=False),
            jax.nn.elu(x=-1.0, alpha=0.5),
            jax.nn.softplus(np.arange(3)),
            jax.nn.logsumexp(LOGITS, axis=(0, 1), b=-1.0, return_sign=True),
            jax.nn.standardize(LOGITS, where=LOGITS > 0, epsilon=1e-3),
            jax.nn.softmax(jnp.zeros((0, 3)), 1),
        ]

    with patched() as trial:
        values = program()
        jax.eval_shape(jax.nn.log1mexp, 1.0)
    expected = [nn.gelu(1.0), nn.gelu(1.0, False), nn.elu(-1.0, 0.5), nn.softplus(np.arange(3))]
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-6), values[:4], expected)
    assert (values[4][1], values[5].shape, values[6].shape) == (-1, LOGITS.shape, (0, 3))
    assert changes(trial, "jax.nn.softplus").keys() == {"value"}  # integers have no derivative
    assert changes(trial, "jax.nn.elu").keys() == {"value", "d/dx", "d/dalpha"}
    assert changes(trial, "jax.nn.logsumexp").keys() == {"value[0]", "value[1]", "d/da", "d/db"}
    assert changes(trial, "jax.nn.softmax")["value"].entries == 0
    assert changes(trial, "jax.nn.log1mexp") == {"value": Change("jax.nn.log1mexp", "value", calls=1)}
    assert trial.remarks == []


def test_a_scalar_that_must_not_be_traced_has_no_derivative(monkeypatch):
    def checked(x, negative_slope=0.01):
        """A peer that wants a Python number."""
        if not isinstance(negative_slope, float):
            raise TypeError("negative_slope must be static")
        return jnp.where(x < 0, x * negative_slope, x)

    with monkeypatch.context() as patch:
        patch.setattr(jax.nn, "leaky_relu", checked)
        with patched() as trial:
            jax.nn.leaky_relu(CONFIDENT, 0.1)
    assert changes(trial, "jax.nn.leaky_relu").keys() == {"value", "d/dx"}


def test_defaults_are_those_of_the_peer():
    """The axis of jax.scipy's softmax is None."""
    with patched() as trial:
        probabilities = jax.jit(lambda x: jax.scipy.special.softmax(x))(LOGITS)
    np.testing.assert_allclose(probabilities, nn.softmax(LOGITS, axis=None), rtol=1e-6)
    assert trial.changes[0].function == "jax.scipy.special.softmax" and trial.changes[0].max_ulp < 20


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float64])
def test_ulps_are_those_of_the_dtype(dtype):
    with jax.enable_x64(True), patched() as trial:
        jax.nn.sigmoid(jnp.asarray(LOGITS, dtype))
    assert {change.dtype for change in trial.changes} == {jnp.dtype(dtype).name}
    assert all(change.max_ulp < 40 for change in trial.changes)


def test_errors_of_ours_reach_the_program():
    labels = jnp.array([0, 1, 3])
    with patched() as trial:
        with pytest.raises(ValueError, match="labels must lie between 0 and 2, got 3"):
            optax.softmax_cross_entropy_with_integer_labels(LOGITS, labels)
        with pytest.raises(TypeError, match="must be real"):
            jax.nn.sigmoid(1j)
        with pytest.raises(TypeError, match="slope"):
            jax.nn.sigmoid(1.0, slope=2)
        assert not jax.jit(lambda x: jax.nn.sigmoid(x) < 0)(0.0)  # the trial goes on
    assert changes(trial, "jax.nn.sigmoid")["value"].evaluations == 1


# --- the report --------------------------------------------------------------------------------------------------


def test_lost_values_and_gradients_are_named_first():
    with patched() as trial:
        jax.jit(jax.grad(lambda x: -jax.nn.log_softmax(x)[1]))(CONFIDENT)
        jax.jit(optax.log_cosh)(np.float32([1e-3, 1]), np.float32([0, 0]))
        jax.jit(jax.nn.sigmoid)(np.float32([0, 20]))
        jax.nn.relu(CONFIDENT)
    found = changes(trial, "jax.nn.log_softmax")["value"]
    assert (found.calls, found.evaluations, found.entries, found.peer_zero) == (1, 1, 2, 1)
    assert (found.peer, found.ours) == (0, np.float32(nn.log_softmax(CONFIDENT)[1])) and found.max_ulp > 1e6
    found = changes(trial, "optax.losses.log_cosh")["value"]
    assert found.max_ulp > 1e5 and abs(found.ours - 5e-7) < 1e-12 < abs(found.peer - 5e-7)
    assert changes(trial, "jax.nn.sigmoid")["value"].max_ulp < 5
    found = changes(trial, "jax.nn.sigmoid")["d/dx"]
    assert found.peer == 0 < found.ours and found.peer_zero == 1
    ulps = [change.max_ulp for change in trial.changes]
    assert ulps == sorted(ulps, reverse=True) and len(ulps) == 7


def test_evaluations_are_summed_up_to_the_last_and_the_worst_is_kept():
    @jax.jit
    def late(x):
        rounds = jax.lax.fori_loop(0, 300, lambda _, m: jnp.tanh(m @ m), jnp.ones((200, 200)))
        return jax.nn.log_softmax(x + 0 * rounds[0, 0])

    with patched() as trial:
        for x in (LOGITS[0, :2], CONFIDENT, LOGITS[0, :2], LOGITS[1, :2]):
            late(x)
    found = changes(trial, "jax.nn.log_softmax")["value"]
    assert (found.calls, found.evaluations, found.entries, found.peer_zero) == (1, 4, 8, 1)
    assert found.peer == 0 and found.max_ulp > 1e6


def test_pending_callbacks_are_awaited_before_the_end(monkeypatch):
    swapped = []
    monkeypatch.setattr(jax, "effects_barrier", lambda: swapped.append(is_swapped(gelu)))
    with patched():
        assert swapped == []
    assert swapped == [True]


def test_subnormal_numbers_are_no_change():
    change = _compared("f", "value", np.float32([0, 1e-40, 0]), np.float32([1e-40, 0, 3e-38]))
    assert (change.peer_zero, change.ours) == (1, np.float32(3e-38))
    assert _compared("f", "value", np.float32([0, 1e-40]), np.float32([1e-40, 0])).max_ulp == 0


def test_nans_and_infinities_are_counted_on_both_sides():
    labels = jnp.array([0, 1, 3])
    with patched() as trial:
        jax.jit(jax.nn.logsumexp)(np.float32([-np.inf, -np.inf]))
        jax.jit(optax.losses.softmax_cross_entropy_with_integer_labels)(LOGITS, labels)
        jax.jit(jax.nn.squareplus)(np.float32([1e20, 1]))
    found = changes(trial, "optax.losses.softmax_cross_entropy_with_integer_labels")["d/dlogits"]
    assert found.our_nan == 3 and found.max_ulp == np.inf and np.isnan(found.ours) and found.peer_nan == 0
    assert changes(trial, "jax.nn.logsumexp")["d/da"].peer_nan == 2
    assert changes(trial, "jax.nn.squareplus")["value"].peer_inf == 1


def test_a_healthy_program_changes_by_few_ulps():
    with patched() as trial:
        for function in (jax.nn.softplus, jax.nn.silu, jax.nn.selu, jax.nn.hard_silu):
            jax.jit(function)(np.float32([0.5, 1, 1.5]))
        jax.jit(jax.grad(lambda x: optax.softmax_cross_entropy(x, np.eye(3, dtype=np.float32)).mean()))(LOGITS)
    assert len(trial.changes) == 4 * 2 + 3
    assert [change for change in trial.changes if change.max_ulp > 8] == []
    counts = ("peer_nan", "peer_inf", "peer_zero", "our_nan")
    assert not any(getattr(change, count) for change in trial.changes for count in counts)


def test_a_softmax_is_not_judged_by_the_derivative_of_its_sum():
    """That is 0, and its rounding errors are as large as itself."""
    with patched() as trial:
        jax.jit(lambda x: [jax.nn.softmax(x, axis) for axis in (0, 1, (0, 1))])(LOGITS)
    assert all(change.max_ulp < 200 for change in trial.changes)


def test_a_batch_is_one_evaluation_and_recorded_from_all_threads():
    def work():
        jax.jit(jax.vmap(jax.nn.mish))(LOGITS)

    with patched() as trial:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = changes(trial, "jax.nn.mish")["value"]
    assert (found.evaluations, found.entries) == (4, 4 * LOGITS.size)


def test_a_peer_that_raises_is_remarked_upon(monkeypatch):
    def refuse(x):
        """A peer that gives another shape, or refuses."""
        if np.ndim(x) > 1:
            raise ValueError("no\nmatrices")
        return jnp.sum(x)

    with monkeypatch.context() as patch:
        patch.setattr(jax.nn, "silu", refuse)
        with patched() as trial:
            np.testing.assert_array_equal(jax.nn.silu(LOGITS), nn.silu(LOGITS))
            jax.jit(jax.nn.silu)(CONFIDENT)
    assert trial.remarks == [
        "jax.nn.silu: the peer raised ValueError: no",
        "jax.nn.silu: the shapes [()] became [(2,)]",
    ]
    assert str(trial).splitlines()[2:] == trial.remarks
    assert trial.changes == (Change("jax.nn.silu", "value", calls=2, evaluations=2),)


def test_the_table_is_aligned_and_says_when_there_is_none():
    with patched() as trial:
        pass
    assert str(trial) == f"None of the {len(trial.functions)} replaced functions was called."
    assert trial.changes == () and len(trial.functions) > 40
    with patched() as trial:
        jax.nn.log_softmax(CONFIDENT)
    head, worst, *rest = str(trial).splitlines()
    assert len(rest) == 1 and head.index("of") == worst.index("value")
    assert worst.split()[:5] == ["jax.nn.log_softmax", "value", "1", "1", "2"]
    assert worst.split()[-2:] == ["0.0", str(nn.log_softmax(CONFIDENT)[1])] and len(head) == len(worst)
