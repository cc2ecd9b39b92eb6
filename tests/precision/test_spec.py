"""The table of Specs: accuracy within tolerance, and exact gradients confirmed by exact centered differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import exact
from stablenn.floats import NAMES
from stablenn.precision.accuracy import Reference, draw_inputs, flat
from stablenn.precision.devices import find_device, flushes_subnormals, platform_name
from stablenn.precision.record import QUANTITIES
from stablenn.precision.spec import SPECS
from stablenn.precision.tolerances import find_tolerance

every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


@every_spec
@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_the_kit_is_within_its_tolerances(spec, dtype, quantity):
    device = find_device()
    domain = spec.domain.with_dtype(dtype)
    inputs = draw_inputs(domain, 150, 7, subnormals=not flushes_subnormals(dtype, device))
    conventions = (*spec.conventions, *spec.kinks)
    reference = Reference.of(
        spec.definition, domain, inputs, dtype, quantity, conventions=conventions, scale=spec.scale(quantity)
    )
    accuracy = reference.judge(spec.fn, device)
    bound = find_tolerance(spec.name, quantity, dtype, jax.__version__, platform_name(device))
    assert accuracy.judged_ulp <= bound.max_ulp, accuracy.worst[0]
    assert accuracy.unproved == 0


@every_spec
def test_exact_gradients_are_exact_centered_differences(spec):
    """The step is 2^-400 times the argument: truncation and rounding are both far below one float64."""
    domain = spec.domain.with_dtype("float64")
    inputs = [column.astype(np.float64) for column in domain.sample(40, seed=3)]
    usable = np.all([np.isfinite(c).reshape(len(c), -1).all(1) for c in inputs], axis=0)
    sizes = [np.abs(c).reshape(len(c), -1) for c in inputs]
    usable &= np.all([((s == 0) | ((s > 1e-100) & (s < 1e4))).all(1) for s in sizes], axis=0)
    inputs = [column[usable][:8] for column in inputs]
    value = flat(spec.definition, "value", domain.float_arguments)
    gradient = flat(spec.definition, "gradient", domain.float_arguments)
    derivative = exact(gradient, batched=True, wide=True)(*inputs)
    outputs = derivative.shape[1] // sum(column[0].size for column in inputs)

    columns, start = [], 0
    for position, column in enumerate(inputs):
        flat_column = column.reshape(len(column), -1)
        part = derivative[:, start : start + outputs * flat_column.shape[1]].reshape(len(column), outputs, -1)
        start += outputs * flat_column.shape[1]
        for entry in range(flat_column.shape[1]):
            step = np.ldexp(1.0, -400 + np.frexp(flat_column[:, entry])[1])

            def quotient(h, *row, position=position, entry=entry):
                def moved(by):
                    shifted = jnp.ravel(row[position]).at[entry].add(by).reshape(row[position].shape)
                    return value(*row[:position], shifted, *row[position + 1 :])

                return (moved(h) - moved(-h)) / (2 * h)

            difference = exact(quotient, batched=True, wide=True)(step, *inputs)
            columns.append((part[:, :, entry], difference))
    assert len(inputs[0]) > 2
    for analytic, numeric in columns:
        np.testing.assert_allclose(analytic, numeric, rtol=1e-15, atol=0)
