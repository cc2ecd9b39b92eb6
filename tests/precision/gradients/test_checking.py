"""check_grads and grad_report as their users meet them: migration, bad input, orders, terms, data, warm-up."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import stablenn
from stablenn import check_grads, grad_report

REVERSE = dict(modes=("rev",))


def scaled_rule(fn, factor):
    """`fn` with a custom rule that is `factor` times the right one."""
    wrong = jax.custom_jvp(fn)
    wrong.defjvp(lambda primals, tangents: (fn(*primals), factor * jax.jvp(fn, primals, tangents)[1]))
    return wrong


# --- migration from jax.test_util ----------------------------------------------------------------------------------


def test_the_signature_is_that_of_jax():
    check_grads(jnp.sin, (0.5,), 1, ("fwd", "rev"))
    with pytest.raises(AssertionError) as caught:
        check_grads(scaled_rule(jnp.sin, 1.5), (0.5,), order=1, modes=["rev"])
    assert [d.verdict for d in caught.value.report.failures] == ["wrong"]
    assert str(caught.value) == str(caught.value.report)


@pytest.mark.parametrize("name", ["atol", "rtol", "eps"])
def test_tolerances_are_accepted_with_a_warning_that_says_why_they_are_not_used(name):
    with pytest.warns(UserWarning, match=rf"{name}=0.1 is not used: \w+"):
        check_grads(jnp.sin, (0.5,), 1, ("rev",), **{name: 0.1})


@pytest.mark.parametrize(("x", "dtype"), [(1e6, "float32"), (300.0, "bfloat16"), (3.0, "float64")])
def test_what_jax_rejects_though_it_is_right_passes(x, dtype):
    with jax.enable_x64(dtype == "float64"):
        check_grads(jnp.square, (jnp.asarray(x, dtype),))


def test_neither_the_users_x64_setting_nor_the_dtype_of_the_results_changes():
    before = jax.config.read("jax_enable_x64")
    seen = []

    def fn(x):
        seen.append(jnp.zeros(()).dtype)
        return x * jnp.float32(2)

    grad_report(fn, (1.0,))
    assert jax.config.read("jax_enable_x64") == before
    assert set(seen) == {jnp.zeros(()).dtype}


def test_functions_that_cannot_be_traced_are_checked_by_differences_and_the_report_says_so():
    def branches(x, factor=1.0):
        if x > 0:
            return x**2
        return factor * scaled_rule(jnp.exp, factor)(x)

    healthy = grad_report(branches, (-2.0,))
    assert healthy.ok
    assert any("cannot be traced" in note for note in healthy.notes)
    assert not grad_report(lambda x: branches(x, 1.5), (-2.0,)).ok
    assert grad_report(branches, (1.5,), order=2, **REVERSE).ok
    loss = lambda w, x: jnp.mean(branches(w) * x)
    assert grad_report(loss, (1.5,), data=jnp.ones(4), warmup=2, **REVERSE).ok


@pytest.mark.parametrize(
    "settings",
    [
        lambda: jax.debug_nans(True),
        lambda: jax.numpy_dtype_promotion("strict"),
        lambda: jax.numpy_rank_promotion("raise"),
        lambda: np.errstate(all="raise"),
    ],
)
def test_strict_settings_of_the_user_do_not_stop_the_check(settings):
    with settings():
        assert grad_report(lambda x: x * x, (jnp.array([1e20, 1e-30, 1.0]),)).counts.get("right")
        assert not grad_report(jnp.sqrt, (0.0,), **REVERSE).ok
        assert grad_report(lambda z: z * z, (1.5 + 1j,)).ok


def test_nothing_warns(recwarn):
    grad_report(lambda x: jnp.abs(jnp.fft.fft(x)), (jnp.arange(1.0, 5.0),))
    grad_report(lambda x, y: jax.lax.sort((x, y), num_keys=2), (jnp.ones(3), jnp.arange(3.0)))
    grad_report(lambda x: jnp.log(x), (jnp.array([-1.0, 1.0]),))
    assert [str(warning.message) for warning in recwarn] == []


def test_donated_arguments_stay_the_users():
    x = jnp.ones(3)
    check_grads(jax.jit(jnp.sin, donate_argnums=0), (x,))
    assert x.sum() == 3


def test_functions_are_given_arrays_of_jax():
    check_grads(lambda x: x.at[1].multiply(3), (jnp.ones(3),))
    check_grads(lambda x: x.at[1].multiply(3) if x[0] > 0 else x, (np.ones(3, np.float32),))


def test_an_implicit_root_is_checked():
    def cube_root(a):
        newton = lambda f, x: jax.lax.fori_loop(0, 30, lambda _, x: x - f(x) / (3 * x * x), x)
        return jax.lax.custom_root(lambda x: x**3 - a, jnp.float32(1), newton, lambda g, y: y / g(jnp.float32(1)))

    assert grad_report(cube_root, (2.0,)).ok


def test_a_mode_that_a_function_does_not_have_is_noted_or_raises_where_there_is_no_other():
    square = jax.custom_vjp(lambda x: x**2)
    square.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))
    report = grad_report(square, (3.0,))
    assert report.ok
    assert any("fwd" in note for note in report.notes)
    with pytest.raises(TypeError, match="fwd"):
        grad_report(square, (3.0,), modes=("fwd",))
    with pytest.raises(TypeError, match="rev"):
        grad_report(lambda x: jax.lax.while_loop(lambda v: v < 9, lambda v: v * 2, x), (3.0,), modes=("rev",))


def test_a_mode_that_was_asked_for_and_is_missing_is_a_warning_of_check_grads():
    square = jax.custom_vjp(lambda x: x**2)
    square.defvjp(lambda x: (x**2, x), lambda x, g: (2 * x * g,))
    with pytest.warns(UserWarning, match="not checked.*fwd"):
        check_grads(square, (3.0,))


def test_a_check_that_tells_nothing_says_so():
    with pytest.warns(UserWarning, match="gradient check told nothing, 1 undefined"):
        check_grads(jnp.log, (0.0,), modes=("rev",))


@pytest.mark.parametrize("modes", ["rev", ["rev"], (mode for mode in ("rev",))])
def test_modes_may_be_any_iterable_or_one_name(modes):
    with pytest.raises(AssertionError):
        check_grads(scaled_rule(jnp.sin, 1.5), (0.5,), modes=modes)


def test_linearize_is_a_mode_of_its_own():
    assert grad_report(jnp.sin, (0.5,), modes=("lin",)).ok
    assert not grad_report(scaled_rule(jnp.sin, 1.5), (0.5,), modes=("lin",)).ok


# --- arguments ---------------------------------------------------------------------------------------------------


def test_integers_none_and_keys_are_constants_and_every_float_leaf_is_named():
    def loss(params, label, nothing, key):
        noise = jax.random.normal(key, (3,))
        return -jax.nn.log_softmax(params["w"] @ params["b"] + noise)[label]

    args = ({"w": jnp.ones((3, 2)), "b": jnp.ones(2, jnp.bfloat16)}, 2, None, jax.random.key(0))
    report = grad_report(loss, args, **REVERSE)
    assert report.ok
    assert {d.name.rpartition("[")[0] for d in report.derivatives} == {"args[0]['w']", "args[0]['b']"}


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_complex_arguments_count_as_two_real_numbers(factor):
    def energy(z):
        return jnp.sum(jnp.abs(scaled_rule(lambda z: z**2, factor)(z)))

    report = grad_report(energy, (jnp.array([1 + 2j, 0.5 - 1j]),), coordinates="all")
    assert report.ok == (factor == 1.0)
    assert {d.name for d in report.derivatives if d.mode == "rev"} == {
        f"args[0][{i}].{part}" for i in (0, 1) for part in ("real", "imag")
    }
    assert any("complex" in note for note in report.notes)


def test_arguments_without_elements_pass_with_a_note():
    report = grad_report(lambda x, n: jnp.sum(x) * n, (jnp.zeros((0, 3)), 2))
    assert report.ok
    assert report.notes == ("there are no elements to check",)


def test_infinite_arguments_are_not_moved():
    report = grad_report(lambda x: jnp.sum(jax.nn.softmax(x)[:2] ** 2), (jnp.array([1.0, 2.0, -jnp.inf]),))
    assert report.ok
    assert grad_report(jnp.tanh, (jnp.array([jnp.inf, -jnp.inf]),)).ok


def test_random_functions_are_refused_and_the_fix_is_named():
    state = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"two answers.*output.*fixed jax\.random key.*dropout"):
        grad_report(lambda x: x * state.uniform(), (1.0,))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (dict(fn=3), TypeError, "fn must be a function, got int"),
        (dict(args=jnp.ones(2)), TypeError, r"args must be a tuple of arguments such as \(x,\), got ArrayImpl"),
        (dict(order=0), ValueError, "order must be at least 1, got 0"),
        (dict(order=1.5), TypeError, "order must be an integer, got 1.5"),
        (dict(seed=-1), ValueError, "seed must be at least 0, got -1"),
        (dict(args=(1.0, {"activation": jnp.tanh})), TypeError, r"args\[1\]\['activation'\] is no array but"),
        (dict(modes=("forward",)), ValueError, "modes must be some of 'fwd', 'rev', 'lin'"),
        (dict(modes="both"), ValueError, "modes must be"),
        (dict(modes=()), ValueError, "modes must be"),
        (dict(coordinates="some"), TypeError, "coordinates.*'all'.* got 'some'"),
        (dict(datapoints=0), ValueError, "datapoints must be at least 1, got 0"),
        (dict(warmup=-1), ValueError, "warmup must be at least 0, got -1"),
        (dict(terms={"data": 1}), TypeError, r"terms\['data'\] must be a function, got int"),
        (dict(fn=jnp.float32, args=(3,)), ValueError, "no floats"),
        (dict(fn=lambda x: jnp.int32(1)), ValueError, "returns no floats"),
        (dict(data=(jnp.ones(3), jnp.ones(2)), fn=lambda x, a, b: x), ValueError, r"leading axis.*\(3,\), \(2,\)"),
        (dict(warmup=1, fn=lambda x: x * jnp.ones(2)), ValueError, "one real number as output"),
    ],
)
def test_bad_input_is_named(change, error, message):
    with pytest.raises(error, match=message):
        grad_report(**(dict(fn=jnp.sin, args=(1.0,)) | change))


# --- orders, terms, data, warm-up ----------------------------------------------------------------------------------


def test_second_order_finds_a_rule_whose_own_derivative_is_wrong():
    @jax.custom_jvp
    def cube(x):
        return x**3

    @cube.defjvp
    def _(primals, tangents):
        (x,), (t,) = primals, tangents
        return x**3, 3 * x * jax.lax.stop_gradient(x) * t

    assert grad_report(cube, (2.0,), **REVERSE).ok
    report = grad_report(cube, (2.0,), order=2, modes=("fwd", "rev"))
    assert {d.mode for d in report.failures} == {"fwd of fwd", "fwd of rev", "rev of fwd", "rev of rev"}
    assert {(d.analytic, d.exact) for d in report.failures} == {(6.0, 12.0)}
    assert grad_report(lambda x: x**3, (2.0,), order=2).ok


def test_terms_are_checked_by_themselves():
    def data(w):
        return scaled_rule(lambda w: jnp.sum(jnp.tanh(w)), 1.5)(w)

    def regularization(w):
        return 1e8 * jnp.sum(w**2)

    w = jnp.array([0.3, -0.4])
    total = lambda w: data(w) + regularization(w)
    terms = {"data": data, "regularization": regularization}
    assert grad_report(total, (w,), **REVERSE).ok  # swamped
    report = grad_report(total, (w,), terms=terms, **REVERSE)
    assert not report.ok
    assert {name: term.ok for name, term in report.terms.items()} == {"data": False, "regularization": True}
    assert "term 'data': gradient check failed" in str(report)


def test_only_a_few_rows_of_data_are_used():
    rows = []

    def loss(w, x, y):
        rows.append(x.shape)
        return jnp.mean((x @ w - y) ** 2)

    x = jnp.asarray(np.random.default_rng(0).normal(size=(50, 4)), jnp.float32)
    assert grad_report(loss, (jnp.ones(4),), data=(x, x[:, 0]), datapoints=2, **REVERSE).ok
    assert set(rows) == {(2, 4)}


def test_warm_up_leaves_a_point_where_a_wrong_gradient_looks_right():
    @jax.custom_jvp
    def square(w):
        return w**2

    square.defjvp(lambda primals, tangents: (primals[0] ** 2, 3 * primals[0] * tangents[0]))
    loss = lambda w, x: jnp.mean(x) * w + square(w)
    at_initialisation = (jnp.zeros(()),)
    data = jnp.ones(8)
    assert grad_report(loss, at_initialisation, data=data, **REVERSE).ok
    report = grad_report(loss, at_initialisation, data=data, warmup=3, optimizer=optax.sgd(0.1), **REVERSE)
    assert not report.ok
    assert "after 3 steps of warm-up" in report.notes


def test_a_warm_up_that_diverges_stops_where_it_was_finite():
    report = grad_report(lambda w: w**4, (jnp.array(3.0),), warmup=20, optimizer=optax.sgd(1e3), **REVERSE)
    assert any("warm-up stopped after" in note for note in report.notes)


# --- reports -----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_report_and_another_looks_elsewhere():
    fn, args = (lambda x: jnp.sum(jnp.sin(x))), (jnp.arange(1.0, 200.0),)
    first, second, other = (grad_report(fn, args, seed=seed, **REVERSE) for seed in (0, 0, 1))
    assert first == second
    assert {d.name for d in first.derivatives} != {d.name for d in other.derivatives}


def test_all_coordinates_are_looked_at_on_demand():
    report = grad_report(lambda x: jnp.sum(jnp.sin(x)), (jnp.arange(1.0, 8.0),), coordinates="all", **REVERSE)
    assert len(report.derivatives) == 7
    assert all(abs(d.numeric - d.exact) < 1e-8 for d in report.derivatives)


def test_a_report_holds_analytic_numeric_and_exact_values_and_their_distance():
    (derivative,) = grad_report(jnp.exp, (50.0,), **REVERSE).derivatives
    assert derivative.name == "args[0]"
    assert derivative.exact == pytest.approx(float(np.exp(np.longdouble(50))), rel=1e-15)
    assert derivative.numeric == pytest.approx(derivative.exact, rel=1e-8)
    assert derivative.relative_error == pytest.approx(abs(derivative.analytic / derivative.exact - 1), rel=1e-6)
    assert derivative.ulp == pytest.approx(
        stablenn.ulp_error(np.float32(derivative.analytic), np.float32(derivative.exact)), abs=0.51
    )


def test_where_exact_evaluation_has_no_rule_the_report_says_so():
    report = grad_report(lambda x: jnp.sum(jnp.linalg.cholesky(x @ x.T + jnp.eye(2))), (jnp.ones((2, 2)),), **REVERSE)
    assert report.ok
    assert any("cholesky" in note for note in report.notes)
    assert all(np.isnan(d.exact) for d in report.derivatives)


def test_exact_evaluation_can_be_switched_off_and_on():
    args = (jnp.arange(1.0, 4.0),)
    off = grad_report(lambda x: jnp.sum(jnp.sin(x)), args, exact=False, **REVERSE)
    assert off.ok
    assert all(np.isnan(d.exact) for d in off.derivatives)
    assert grad_report(lambda x: jnp.sum(jnp.sin(x)), args, exact=True, **REVERSE).derivatives[0].exact


def test_progress_is_told():
    told = []
    grad_report(jnp.sin, (1.0,), progress=lambda what, done, total: told.append((what, done, total)))
    assert {"rev", "fwd"} <= {what.split(":")[0] for what, _, _ in told}
    assert all(0 <= done <= total for _, done, total in told)


def test_nothing_is_printed_without_a_terminal(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        grad_report(jnp.sin, (1.0,))
    assert capfd.readouterr() == ("", "")
