"""The tests of a Spec are kept together, so that one worker has its programs and its exact values."""

import runpy
from pathlib import Path

import pytest

SPEC = runpy.run_path(str(Path(__file__).parents[2] / "conftest.py"))["_SPEC"]


@pytest.mark.parametrize(
    ("test", "spec"),
    [
        ("property_tests/test_laws.py::test_the_kit_keeps_the_law[accuracy-nn.softmax-float32]", "nn.softmax"),
        (
            "property_tests/test_peers.py::test_a_peer[losses.kl_divergence-optax.losses:kl_divergence]",
            "losses.kl_divergence",
        ),
        ("property_tests/test_faults.py::test_the_law_sees[types: a cast too many, nn.sigmoid]", "nn.sigmoid"),
        ("tests/precision/test_spec.py::test_the_kit_is_within[value-bfloat16-nn.logit]", "nn.logit"),
        ("tests/nn/test_zeros.py::test_nn.something", None),
        ("tests/test_signatures.py::test_it[jax.nn.softmax]", None),
    ],
)
def test_a_test_is_grouped_by_its_spec(test, spec):
    found = SPEC.search(test)
    assert (found and found[1]) == spec
