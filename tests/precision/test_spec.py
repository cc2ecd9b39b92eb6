"""The table of Specs: the kit is within its tolerances, and the truth is known, at the corners of every domain.

In float32: the law of accuracy tries all dtypes, and other inputs.
"""

import jax
import pytest

from stablenn.precision.accuracy import Reference
from stablenn.precision.devices import find_device, flushes_subnormals, platform_name
from stablenn.precision.record import QUANTITIES
from stablenn.precision.spec import SPECS
from stablenn.precision.tolerances import find_tolerance

every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


@every_spec
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_the_kit_is_within_its_tolerances(spec, quantity):
    device, dtype = find_device(), "float32"
    domain = spec.domain.with_dtype(dtype)
    subnormals = not flushes_subnormals(dtype, device)
    conventions = (*spec.conventions, *spec.kinks)
    bound = find_tolerance(spec.name, quantity, dtype, jax.__version__, platform_name(device))
    reference = Reference.of(
        spec.definition,
        domain,
        domain.corners(subnormals=subnormals),
        dtype,
        quantity,
        conventions=conventions,
        scale=spec.scale(quantity),
    )
    accuracy = reference.judge(spec.fn, device)
    assert accuracy.judged_ulp <= bound.max_ulp, accuracy.worst[0]
    assert accuracy.unproved == 0
