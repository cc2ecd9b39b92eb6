"""The functions of JAX and optax in place of ours break the laws that their defects break, and no others."""

import dataclasses
import warnings

import pytest
from peers import PEERS

from stablenn.precision.spec import SPECS
from stablenn.testing.laws import LAWS, LawViolation
from stablenn.testing.laws.running import Subject

SPEC = {spec.name: spec for spec in SPECS}


def broken(spec):
    """The laws that a function breaks, with what of it each of them is about."""
    for law in LAWS:
        for aspect in law.aspects(spec):
            about = "types" if law.name == "types" else Subject(spec, "float32", aspect).quantity
            try:
                dataclasses.replace(law, aspects=lambda spec, aspect=aspect: (aspect,)).hold(spec)
            except LawViolation:
                yield law.name, about


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.path)
def test_a_peer_breaks_the_laws_that_its_defects_break_and_no_others(peer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of optax are not ours
        found = set(broken(dataclasses.replace(SPEC[peer.spec], fn=SPEC[peer.spec].load(peer.path))))
    assert {about for _, about in found} == peer.defective
    assert peer.laws <= {law for law, _ in found}


def test_every_peer_is_judged():
    assert {(peer.spec, peer.path) for peer in PEERS} == {(spec.name, path) for spec in SPECS for path in spec.peers}
