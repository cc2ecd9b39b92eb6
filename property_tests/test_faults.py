"""Testing the tester: each law sees the faults planted for it, and is silent on the originals, whatever the seed."""

import dataclasses

import jax
import pytest
from faults import FAULTS, with_rule

from stablenn import nn
from stablenn.precision.spec import SPECS
from stablenn.testing.laws import LAWS, LawViolation

LAW = {law.name: law for law in LAWS}
SPEC = {spec.name: spec for spec in SPECS}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.law}: {fault.name}, {fault.spec}")
def test_the_law_sees_the_fault(fault):
    faulty = dataclasses.replace(SPEC[fault.spec], fn=fault.fn)
    with pytest.raises(LawViolation) as caught:
        LAW[fault.law].hold(faulty, fault.dtype)
    assert caught.value.verdict.excess > 1
    assert fault.spec in str(caught.value)


@pytest.mark.parametrize("seed", (1, 2))
@pytest.mark.parametrize(("law", "spec", "dtype"), sorted({(f.law, f.spec, f.dtype) for f in FAULTS}))
def test_the_law_is_silent_on_the_original(law, spec, dtype, seed):
    verdict = LAW[law].hold(SPEC[spec], dtype, seed=seed)
    assert verdict.error <= verdict.allowed


@jax.custom_jvp
def by_shares(x):
    return nn.logsumexp(x)


by_shares.defjvp(lambda primals, tangents: (nn.logsumexp(*primals), nn.softmax(*primals) @ tangents[0]))


@pytest.mark.parametrize(
    ("spec", "fn"), [("nn.softplus", with_rule(nn.softplus, nn.sigmoid)), ("nn.logsumexp", by_shares)]
)
def test_a_rule_made_of_functions_with_rules_is_no_fault(spec, fn):
    LAW["curvature"].hold(dataclasses.replace(SPEC[spec], fn=fn))


def test_every_law_has_a_fault():
    assert {fault.law for fault in FAULTS} == set(LAW)
