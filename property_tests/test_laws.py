"""Our own functions keep every law."""

import pytest

from stablenn.floats import NAMES
from stablenn.precision.spec import SPECS
from stablenn.testing.laws import LAWS, LENGTHS, TRANSFORMATIONS

# Each length and each transformation compiles anew; a narrow format shows sums that are kept in it.
DTYPES = {LENGTHS.name: ("bfloat16", "float32"), TRANSFORMATIONS.name: ("float32",)}

CASES = [
    pytest.param(law, spec, dtype, id=f"{law.name}-{spec.name}-{dtype}")
    for law in LAWS
    for spec in SPECS
    if law.aspects(spec)
    for dtype in DTYPES.get(law.name, NAMES)
]


@pytest.mark.parametrize(("law", "spec", "dtype"), CASES)
def test_the_kit_keeps_the_law(law, spec, dtype):
    verdict = law.hold(spec, dtype)
    assert verdict.error <= verdict.allowed
