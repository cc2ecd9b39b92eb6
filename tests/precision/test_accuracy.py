"""measure(): planted faults are caught, their healthy twins are not, and figures are those of closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import stablenn
from stablenn import measure, nn
from stablenn.precision.accuracy import Reference
from stablenn.precision.devices import DeviceError, find_device
from stablenn.precision.domain import Domain, DomainError
from stablenn.precision.spec import Convention


def softmax_definition(x):
    return jnp.exp(x) / jnp.sum(jnp.exp(x))


def log1p_definition(x):
    return jnp.log(1 + x)


def sigmoid_definition(x):
    return 1 / (1 + jnp.exp(-x))


def nan_at_one_input(x):
    return jnp.where(x == 3, jnp.nan, jnp.exp(x))


# name: (fault, healthy twin, definition, domain)
PLANTED = {
    "softmax without the max": (softmax_definition, nn.softmax, softmax_definition, "x: float[8] in [-200, 200]"),
    "log(1 + x) for log1p": (log1p_definition, jnp.log1p, log1p_definition, "x: float in [1e-9, 10]"),
    "NaN at one input": (nan_at_one_input, jnp.exp, jnp.exp, "x: float in [3, 4]"),
    "a factor of 1.001": (lambda x: 1.001 * x * x, lambda x: x * x, lambda x: x * x, "x: float in [1e-3, 1e3]"),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("seed", range(3))
def test_a_planted_fault_is_caught_and_its_healthy_twin_is_not(name, seed):
    fault, twin, definition, domain = PLANTED[name]
    assert measure(fault, definition, domain, samples=200, seed=seed).judged_ulp > 1000
    assert measure(twin, definition, domain, samples=200, seed=seed).judged_ulp < 6


def vanishing_gradient(x):
    return jax.nn.sigmoid(x)


@jax.custom_jvp
def with_a_wrong_derivative(x):
    return jnp.tanh(x)


@with_a_wrong_derivative.defjvp
def _(primals, tangents):
    return jnp.tanh(*primals), tangents[0] * (1 - jnp.tanh(*primals) ** 2) * 1.001


@pytest.mark.parametrize(
    ("fault", "twin", "definition", "domain"),
    [
        (vanishing_gradient, nn.sigmoid, sigmoid_definition, "x: float in [-80, 80]"),
        (with_a_wrong_derivative, jnp.tanh, jnp.tanh, "x: float in [-0.5, 0.5]"),
        (lambda x: jnp.where(x > 0, jnp.sqrt(x), 0), jnp.cbrt, jnp.cbrt, "x: float in [0, 0]"),
    ],
)
def test_a_wrong_gradient_is_caught_and_its_healthy_twin_is_not(fault, twin, definition, domain):
    if definition is jnp.cbrt:  # sqrt at 0 behind a where: the value is right, the gradient NaN
        accuracy = measure(fault, lambda x: 0 * x, "x: float in [0, 0]", quantity="gradient", samples=1)
        assert accuracy.wrong_specials == accuracy.count
        return
    assert measure(fault, definition, domain, quantity="gradient", samples=200).max_ulp > 1000
    assert measure(twin, definition, domain, quantity="gradient", samples=200).max_ulp < 8


def test_a_correctly_rounded_function_is_at_most_half_an_ulp_off():
    accuracy = measure(jnp.sqrt, jnp.sqrt, "x: float in [0, inf]", samples=500)
    assert 0.49 < accuracy.max_ulp <= 0.5
    assert accuracy.wrong_specials == 0


def test_an_error_of_known_size_is_measured_as_such():
    accuracy = measure(lambda x: x * (1 + 2.0**-20), lambda x: x, "x: float in [1, 1]", samples=1)
    assert accuracy.max_ulp == 8.0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "float64"])
def test_values_beyond_the_range_are_infinite_and_right(dtype):
    accuracy = measure(lambda x: x * x, lambda x: x * x, "x: float", dtype, samples=300)
    assert (accuracy.wrong_specials, accuracy.judged_ulp <= 0.5) == (0, True)


@pytest.mark.parametrize(
    ("definition", "inputs", "right"),
    [
        (lambda x: jnp.exp(x) / (1 + jnp.exp(x)), np.float32([np.inf, -np.inf]), [1, 0]),
        (jnp.log, np.float32([np.inf, -np.inf]), [np.inf, np.nan]),
        (lambda x: 1 / jnp.log(x), np.float32([np.inf]), None),
        (lambda x: jnp.sqrt(x * x + 1) - x, np.float32([np.inf]), [0]),
        (lambda x: x - x, np.float32([np.inf, -np.inf]), [0, 0]),
        (lambda x: jnp.sin(x), np.float32([np.inf]), None),
    ],
)
def test_the_truth_at_infinity_is_the_limit(definition, inputs, right):
    reference = Reference.of(definition, Domain.parse("x: float32"), (inputs,), "float32")
    if right is None:  # no limit, or one that is reached too slowly to be sure of
        assert not reference.truth.proved.any() or np.isnan(reference.truth.nearest).all()
    else:
        np.testing.assert_array_equal(reference.truth.nearest.ravel(), np.float32(right))


def test_a_limit_that_depends_on_the_path_is_nan():
    rows = np.float32([[np.inf, np.inf], [np.inf, 1], [-np.inf, -np.inf], [-np.inf, 1]])
    reference = Reference.of(softmax_definition, Domain.parse("x: float32[2]"), (rows,), "float32")
    expected = [[np.nan, np.nan], [1, 0], [np.nan, np.nan], [0, 1]]
    np.testing.assert_array_equal(reference.truth.nearest, np.float32(expected))


def test_few_rows_of_any_number_are_one_program():
    traces = []

    def traced(x):
        traces.append(x)
        return jnp.exp(x)

    for rows in (1, 18, 19, 20, 57, 300):
        x = np.linspace(-1, 1, rows, dtype=np.float32)
        reference = Reference.of(jnp.exp, Domain.parse("x: float32"), (x,), "float32")
        np.testing.assert_allclose(reference.evaluate(traced, find_device()).ravel(), np.exp(x), rtol=1e-6)
    assert len(traces) == 1


def test_conventions_do_not_change_what_is_remembered_of_a_formula():
    domain, x = Domain.parse("x: float32"), (np.float32([0, 1]),)
    stated = Convention("another value", applies=lambda x: x == 0, value=lambda x: x + 7)
    before = Reference.of(jnp.exp, domain, x, "float32").truth.nearest.ravel()
    assert Reference.of(jnp.exp, domain, x, "float32", conventions=(stated,)).truth.nearest[0] == 7
    np.testing.assert_array_equal(Reference.of(jnp.exp, domain, x, "float32").truth.nearest.ravel(), before)


def test_without_a_definition_only_rounding_counts():
    assert measure(lambda x: x + 0.1, None, "x: float in [0, 1]", samples=100).max_ulp <= 0.5
    cancelling = measure(lambda x, y: (y + x) - y, None, "x: float in [1e-8, 1e-7]; y: float in [1, 1]", samples=100)
    assert cancelling.max_ulp > 1e5


def test_integer_arguments_have_no_gradient():
    def pick(x, i):
        return x[i]

    accuracy = measure(pick, pick, "x: float[4]; i: int32 in [0, 4)", quantity="gradient", samples=50)
    assert (accuracy.judged_ulp, accuracy.count % 4) == (0, 0)


def test_the_worst_cases_reproduce():
    accuracy = measure(log1p_definition, log1p_definition, "x: float in [1e-9, 1e-3]", samples=200)
    case = accuracy.worst[0]
    assert case.ulps == accuracy.max_ulp
    assert float(jax.jit(log1p_definition)(case.inputs[0])) == case.actual
    assert float(np.log1p(np.float64(case.inputs[0])).astype(np.float32)) == case.expected


def test_errors_by_binade_cover_the_inputs():
    accuracy = measure(jnp.exp, jnp.exp, "x: float in [0.5, 8)", samples=300)
    assert set(accuracy.binades) == {(1, exponent) for exponent in (-1, 0, 1, 2)}
    assert max(accuracy.binades.values()) == accuracy.max_ulp


def test_a_scale_turns_cancellation_into_scaled_ulps():
    accuracy = measure(
        lambda x, y: (y + x) - y,
        lambda x, y: x,
        "x: float in [1e-8, 1e-6]; y: float in [1, 1]",
        scale=lambda x, y: y,
        samples=200,
    )
    assert accuracy.max_ulp > 1e5
    assert accuracy.max_scaled_ulp <= 1


def test_equal_seeds_give_equal_figures():
    first, second, third = (measure(nn.sigmoid, sigmoid_definition, "x: float", seed=s, samples=50) for s in (1, 1, 2))
    assert first == second
    assert first != third


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(dtype="float8"), ValueError, "float8.*allowed: bfloat16"),
        (dict(quantity="hessian"), ValueError, "hessian.*allowed: value, gradient"),
        (dict(device="abacus"), DeviceError, "abacus.*here: cpu:0"),
        (dict(domain="x: float in [2, 1]"), DomainError, "empty range"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    given = {"domain": "x: float", **arguments}
    with pytest.raises(error, match=message):
        measure(nn.sigmoid, sigmoid_definition, given.pop("domain"), **given)


def test_a_function_with_other_outputs_than_its_definition_is_refused():
    with pytest.raises(ValueError, match="returns 2 numbers a row, its definition 1"):
        measure(lambda x: jnp.stack([x, x]), lambda x: x, "x: float", samples=1)


def test_the_default_device_is_found():
    assert find_device() in jax.devices()
    assert find_device("cpu:0").platform == "cpu"


def test_measuring_changes_no_global_setting():
    before = jax.config.read("jax_enable_x64")
    stablenn.measure(nn.sigmoid, sigmoid_definition, "x: float", "float64", samples=5)
    assert jax.config.read("jax_enable_x64") == before
