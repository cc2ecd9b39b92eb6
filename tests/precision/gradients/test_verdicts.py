"""Each fault that a check names, planted, and beside it a healthy twin on which the check stays silent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.custom_derivatives import linear_call

from stablenn import grad_report
from stablenn.precision.gradients.verdicts import FAILING, GRADES, Evidence, grade, relative_error, rule_error


def with_rule(fn, rule):
    """`fn` with a custom jvp."""
    custom = jax.custom_jvp(fn)
    custom.defjvp(lambda primals, tangents: (fn(*primals), rule(*primals, *tangents)))
    return custom


def verdicts(fn, *args, modes=("rev",), **options):
    """The verdicts of a check, all elements included."""
    return set(grad_report(fn, args, modes=modes, **options).counts)


N = 10_000
X = jnp.asarray(np.random.default_rng(0).normal(size=N), jnp.float32)
BRANCHES = jnp.array([-2.0, 3.0])


def backward(fn, change):
    """`fn` with a custom vjp whose gradient is changed."""
    custom = jax.custom_vjp(fn)

    def pull(x, g):
        return (change(jax.vjp(fn, x)[1](g)[0]),)

    custom.defvjp(lambda x: (fn(x), x), pull)
    return custom


def transposed(factor):
    """A function whose jvp is right; the transpose of it is off by a factor."""

    def rule(x, t):
        return linear_call(lambda c, t: c * t, lambda c, g: factor * c * g, jnp.cos(x), t)

    return with_rule(jnp.sin, rule)


@pytest.mark.parametrize(
    ("healthy", "faulty", "args", "verdict", "modes"),
    [
        (
            with_rule(jnp.sin, lambda x, t: jnp.cos(x) * t),
            with_rule(jnp.sin, lambda x, t: 1.5 * jnp.cos(x) * t),
            (0.5,),
            "wrong",
            ("rev",),
        ),
        (jnp.sin, with_rule(jnp.sin, lambda x, t: 1.001 * jnp.cos(x) * t), (0.5,), "suspicious", ("rev",)),
        (jnp.sin, with_rule(jnp.sin, lambda x, t: -jnp.cos(x) * t), (0.5,), "wrong", ("fwd",)),
        (jnp.sin, backward(jnp.sin, lambda g: g.at[4321].set(0)), (X,), "vanished", ("rev",)),
        (jnp.mean, backward(lambda x: jnp.mean(x), lambda g: g * 7), (X[:7],), "wrong", ("rev",)),
        (
            jnp.abs,
            with_rule(jnp.abs, lambda x, t: jnp.where(x < 0, 2.0, 1.0) * jnp.sign(x) * t),
            (BRANCHES,),
            "wrong",
            ("rev",),
        ),
        (transposed(1), transposed(2), (0.5,), "wrong", ("fwd", "rev")),
        (lambda x: x * x, lambda x: x * jax.lax.stop_gradient(x), (3.0,), "wrong", ("rev",)),
        (lambda x: jnp.sqrt(x**2 + 1e-12), lambda x: jnp.sqrt(x**2), (0.0,), "invented", ("rev",)),
        (
            lambda x: jnp.where(x > 0, jnp.log(jnp.where(x > 0, x, 1.0)), 0.0),
            lambda x: jnp.where(x > 0, jnp.log(x), 0.0),
            (jnp.array([1.0, 0.0]),),
            "invented",
            ("rev",),
        ),
        (lambda x: jnp.exp(-jnp.abs(x)), jax.nn.sigmoid, (20.0,), "vanished", ("rev",)),
        (lambda x: jnp.sqrt(x + 1), jnp.sqrt, (0.0,), "infinite", ("rev",)),
    ],
)
def test_a_fault_is_found_and_its_healthy_twin_is_not(healthy, faulty, args, verdict, modes):
    assert not verdicts(healthy, *args, modes=modes) & set(FAILING)
    assert verdict in verdicts(faulty, *args, modes=modes)


def test_a_transpose_that_is_wrong_leaves_forward_mode_right():
    report = grad_report(transposed(2), (0.5,))
    assert {d.mode for d in report.failures} == {"rev"}


def test_a_rule_that_changes_the_value_is_found():
    custom = jax.custom_vjp(jnp.sin)
    custom.defvjp(lambda x: (jnp.sin(x) + 1, x), lambda x, g: (jnp.cos(x) * g,))
    report = grad_report(custom, (0.5,))
    assert [(d.verdict, d.name) for d in report.failures] == [("changed value", "output")]


def test_a_stable_rule_for_an_unstable_value_is_right():
    """The value overflows in float32, and its own derivative is NaN there: the exact one is not."""
    softplus = with_rule(lambda x: jnp.log(1 + jnp.exp(x)), lambda x, t: jax.nn.sigmoid(x) * t)
    assert grad_report(softplus, (80.0,)).ok


def test_the_wrong_side_is_named():
    (of_rule,) = grad_report(with_rule(jnp.sin, lambda x, t: t), (1.0,), modes=("rev",)).failures
    (of_rounding,) = grad_report(jax.nn.sigmoid, (20.0,), modes=("rev",)).failures
    assert (of_rule.wrong_side, of_rounding.wrong_side) == ("rule", "rounding")


def test_one_wrong_element_among_ten_thousand_is_named_with_its_exact_derivative():
    (failure,) = grad_report(backward(jnp.sin, lambda g: g.at[77].mul(1.01)), (X,), modes=("rev",)).failures
    assert failure.name == "args[0][77]"
    assert abs(failure.exact) == pytest.approx(abs(np.cos(np.float64(X[77]))), rel=1e-7)


def test_halving_finds_an_element_where_jax_cannot_differentiate_the_value():
    def host(x):
        return jax.pure_callback(lambda x: np.sin(np.asarray(x)), jax.ShapeDtypeStruct(x.shape, x.dtype), x)

    def custom(change):
        fn = jax.custom_vjp(host)
        fn.defvjp(lambda x: (host(x), x), lambda x, g: (change(g * jnp.cos(x)),))
        return lambda x: jnp.sum(fn(x))

    with jax.enable_x64(True):
        x = jnp.linspace(1.0, 3.0, 40)
        assert grad_report(custom(lambda g: g), (x,)).ok
        report = grad_report(custom(lambda g: g.at[29].mul(1.2)), (x,), coordinates=1)
    assert [d.name for d in report.failures] == ["args[0][29]"]


# --- kinks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "x", "sides"),
    [
        (lambda x: jax.nn.relu(x), 0.0, (0, 1)),
        (lambda x: jnp.abs(x), 0.0, (-1, 1)),
        (lambda x: jnp.max(jnp.stack([x, 2 - x])), 1.0, (-1, 1)),
        (lambda x: jnp.where(x > 1, 3 * x - 2, x), 1.0, (1, 3)),
        (lambda x: jnp.sort(jnp.stack([x, 2 * x]))[0], 0.0, (2, 1)),
    ],
)
@pytest.mark.parametrize("exact", [None, False])
def test_kinks_are_found_and_both_sides_are_told(fn, x, sides, exact):
    (derivative,) = grad_report(fn, (x,), modes=("rev",), exact=exact).derivatives
    assert derivative.verdict == "kink"
    assert (derivative.left, derivative.right) == pytest.approx(sides, abs=1e-6)
    assert "test_verdicts.py" in derivative.where


@pytest.mark.parametrize("exact", [None, False])
@pytest.mark.parametrize("distance", [-1e-6, 1e-6, -1e-30])
def test_beside_a_kink_the_derivative_is_that_of_its_own_side(distance, exact):
    (derivative,) = grad_report(jax.nn.relu, (distance,), modes=("rev",), exact=exact).derivatives
    assert (derivative.verdict, derivative.true) == ("right", float(distance > 0))


def test_at_a_kink_what_lies_outside_of_both_sides_is_wrong():
    (derivative,) = grad_report(with_rule(jnp.abs, lambda x, t: 3 * t), (0.0,), modes=("rev",)).failures
    assert (derivative.verdict, derivative.left, derivative.right) == ("wrong", -1, 1)


@pytest.mark.parametrize("coordinates", [1, "all"])
def test_a_minimum_is_no_kink(coordinates):
    report = grad_report(jnp.square, (jnp.zeros(2),), coordinates=coordinates)
    assert set(report.counts) == {"right"}


def test_a_seam_without_a_kink_is_no_kink():
    report = grad_report(lambda x: jnp.where(x > 0, x + x**2, x - x**2), (0.0,))
    assert set(report.counts) == {"right"}


# --- rounding ----------------------------------------------------------------------------------------------------


def test_rounding_noise_about_a_true_zero_is_right():
    report = grad_report(lambda x: jax.nn.softmax(x).sum(), (jnp.arange(5.0),))
    assert set(report.counts) == {"right"}


def test_a_loss_at_its_minimum_may_have_a_gradient_of_zero():
    a = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    w = jnp.array([0.1, -0.7, 0.3])
    target = a @ w
    assert grad_report(lambda w: jnp.sum((a @ w - target) ** 2), (w,)).ok


def test_digits_lost_by_a_right_rule_are_told_and_do_not_fail():
    report = grad_report(lambda x: x - jnp.sin(x), (2e-3,), modes=("rev",))
    assert report.ok
    assert set(report.counts) == {"inaccurate"}


def test_a_literal_rounded_to_sixteen_bits_is_no_wrong_rule():
    x = jnp.array([-2.5, -0.1, 1.0], jnp.bfloat16)
    assert grad_report(jax.lax.erf, (x,)).ok  # jax multiplies by 2/sqrt(pi) in bfloat16
    assert not grad_report(with_rule(jax.lax.erf, lambda x, t: 1.1 * jnp.exp(-x * x) * t), (x,)).ok


def test_a_gradient_beyond_the_largest_float_is_an_overflow():
    report = grad_report(lambda x: x * 1000, (jnp.float16(60.0),), modes=("rev",))
    assert report.ok


def test_a_value_that_overflows_although_the_true_one_does_not_is_lost():
    softplus = lambda x: jnp.log(1 + jnp.exp(x))
    report = grad_report(softplus, (100.0,), modes=("rev",))
    (lost,) = report.failures
    assert (lost.verdict, lost.analytic, lost.true) == ("lost value", np.inf, 100.0)
    assert grad_report(lambda x: x * jnp.float32(1e38) * 1e4, (1.0,), modes=("rev",)).ok  # infinite indeed


# --- values that are not finite ----------------------------------------------------------------------------------


def test_an_output_that_is_infinite_excuses_only_what_it_depends_on():
    report = grad_report(lambda x, y: (jnp.log(x), jnp.linalg.norm(y)), (0.0, jnp.zeros(2)), modes=("rev",))
    assert report.counts == {"undefined": 1, "invented": 2}
    masked = lambda x: jnp.where(jnp.arange(3) < 2, x, -jnp.inf)
    assert grad_report(masked, (jnp.ones(3),)).ok


# --- cotangents and tangents -------------------------------------------------------------------------------------


def scaled_by(rule):
    """The identity, with a gradient made of the cotangent alone."""
    custom = jax.custom_vjp(lambda x: x * 1.0)
    custom.defvjp(lambda x: (x * 1.0, None), lambda _, g: (rule(g),))
    return custom


@pytest.mark.parametrize(
    "rule", [jnp.ones_like, lambda g: jnp.clip(g, -1, 1), lambda g: g**3, jnp.sign, jnp.abs, lambda g: g[::-1]]
)
@pytest.mark.parametrize("size", [2, 8])
def test_rules_that_mishandle_the_cotangent_are_found(rule, size):
    assert verdicts(scaled_by(rule), jnp.ones(size)) & set(FAILING)
    assert not verdicts(scaled_by(lambda g: g), jnp.ones(size)) & set(FAILING)


def test_a_forgotten_cotangent_of_a_scalar_is_found():
    custom = jax.custom_vjp(lambda x: jnp.sin(x).sum())
    custom.defvjp(lambda x: (jnp.sin(x).sum(), x), lambda x, g: (jnp.cos(x),))
    report = grad_report(custom, (jnp.ones(3),), modes=("rev",))
    assert {(d.verdict, d.wrong_side) for d in report.derivatives} == {("not linear", "rule")}


@pytest.mark.parametrize("rule", [jnp.abs, jnp.square])
def test_rules_that_mishandle_the_tangent_are_found(rule):
    assert "not linear" in verdicts(with_rule(jnp.sin, lambda x, t: jnp.cos(x) * rule(t)), 0.5, modes=("fwd",))


# --- kernels and callbacks, which keep their own dtypes ----------------------------------------------------------


def of_callback(factor):
    shape = jax.ShapeDtypeStruct((3,), jnp.float32)
    host = lambda x: jax.pure_callback(lambda x: np.sin(x).astype(np.float32), shape, x, vmap_method="sequential")
    custom = jax.custom_vjp(host)
    custom.defvjp(lambda x: (host(x), x), lambda x, g: (factor * g * jnp.cos(x),))
    return custom


def test_a_float32_callback_is_differenced_as_finely_as_float32_allows():
    x = jnp.array([1.25, -1.05, -0.9])
    report = grad_report(of_callback(1.0), (x,), modes=("rev",))
    assert report.ok
    assert any("pure_callback" in note for note in report.notes)
    assert verdicts(of_callback(1.02), x) & set(FAILING)


def test_a_sharded_function_is_checked():
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("i",))
    spec = jax.sharding.PartitionSpec("i")
    assert grad_report(jax.shard_map(jnp.sin, mesh=mesh, in_specs=spec, out_specs=spec), (jnp.ones(2),)).ok


def test_large_functions_that_choose_nothing_are_sampled_too():
    assert grad_report(jnp.tanh, (jnp.linspace(-1, 1, 400_000),), modes=("rev",), exact=False, coordinates=1).ok


# --- the grades themselves ---------------------------------------------------------------------------------------


def evidence(computed=1.0, rule=None, true=1.0, **others):
    rule = computed if rule is None else rule
    known = dict(computed=computed, rule=rule, noise=0, literals=0, true=true, error=0, left=np.nan, right=np.nan)
    known |= dict(condition=0, terms=0, tiny=2.0**-126, largest=3.4e38)
    return Evidence(**{name: np.array([float(value)]) for name, value in (known | others).items()})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (dict(), "right"),
        (dict(rule=1 + 1e-6), "fair"),
        (dict(rule=1 + 1e-3), "suspicious"),
        (dict(rule=1.02), "wrong"),
        (dict(rule=1.02, error=0.03), "right"),
        (dict(rule=1.02, noise=0.01), "right"),
        (dict(rule=1.02, literals=0.02), "right"),
        (dict(rule=2.0, left=0.5, right=2.5), "kink"),
        (dict(rule=3.0, left=0.5, right=2.5), "wrong"),
        (dict(computed=0.0, rule=1.0), "vanished"),
        (dict(computed=0.0, rule=1.0, condition=1.0), "right"),
        (dict(computed=0.0, rule=1e-39, true=1e-39), "right"),
        (dict(computed=0.9, rule=1.0), "inaccurate"),
        (dict(computed=0.9, rule=1.0, condition=0.1), "right"),
        (dict(computed=np.nan, rule=1.0), "invented"),
        (dict(computed=np.inf, rule=1.0), "invented"),
        (dict(computed=np.inf, true=np.inf), "infinite"),
        (dict(computed=np.inf, rule=1e39, true=1e39), "overflow"),
        (dict(true=np.nan), "unknown"),
        (dict(computed=1e-9, rule=0.0, true=0.0, terms=1.0), "right"),
        (dict(computed=0.1, rule=0.0, true=0.0, terms=1.0), "inaccurate"),
    ],
)
def test_grades(given, expected):
    assert grade(evidence(**given)).tolist() == [expected]
    assert expected in GRADES


def test_relative_errors():
    assert relative_error(np.array([1.0, 0.0, 0.0]), np.array([2.0, 0.0, 1.0])).tolist() == [0.5, 0.0, 1.0]
    assert relative_error(np.array(1e-9), np.array(0.0), np.array(1.0)) == 1e-9
    assert rule_error(evidence(rule=0.5)).tolist() == [0.5]


@pytest.mark.parametrize("seed", range(3))
def test_a_zero_is_not_excused_by_the_noise_of_float64(seed):
    """x / (1 + |x|): its rule cancels to 0 in float64 as well, and what is left is far below the noise there."""
    with jax.enable_x64(True):
        softsign = lambda x: x / (1 + jnp.abs(x))
        assert "vanished" in verdicts(softsign, jnp.float64(2.0**60), seed=seed)
        a = jnp.asarray(np.random.default_rng(seed).normal(size=(5, 3)))
        w = jnp.array([0.1, -0.7, 0.3])
        target = a @ w
        assert not verdicts(lambda w: jnp.sum((a @ w - target) ** 2), w, seed=seed) & set(FAILING)
