"""The functions of JAX and optax in place of ours break the laws that their defects break, and no others."""

import dataclasses
import warnings

import pytest
from peers import PEERS

from stablenn.precision import tolerances
from stablenn.precision.spec import SPECS
from stablenn.testing.laws import LAWS, LENGTHS, TRANSFORMATIONS, LawViolation
from stablenn.testing.laws.running import Subject

SPEC = {spec.name: spec for spec in SPECS}


@pytest.fixture(autouse=True)
def by_the_bars(monkeypatch):
    """What was measured of ours is no measure of others: they are judged by the bars."""
    bars = {key: bound for key, bound in tolerances.table().items() if key.platform == tolerances.ANY}
    monkeypatch.setattr(tolerances, "table", lambda: bars)


def breaks(spec, law, aspect) -> bool:
    try:
        dataclasses.replace(law, aspects=lambda spec: (aspect,)).hold(spec)
    except LawViolation:
        return True
    return False


def broken(spec, peer):
    """The laws that a function breaks, and what of it; without what neither could change the verdict on the peer.

    All that concerns what is sound is tried, and of a law that is to be broken as much as it takes; other lengths and
    transformations, which compile much, only where they are to be.
    """
    laws, quantities = set(), set()
    tried = [law for law in LAWS if law not in (LENGTHS, TRANSFORMATIONS) or law.name in peer.laws]
    # those that a defect breaks with every seed come first
    for law in sorted(tried, key=lambda law: law.name not in peer.laws):
        for aspect in law.aspects(spec):
            about = "types" if law.name == "types" else Subject(spec, "float32", aspect).quantity
            wanted = law.name in peer.laws - laws
            if (about not in peer.defective or about not in quantities or wanted) and breaks(spec, law, aspect):
                laws.add(law.name)
                quantities.add(about)
    return laws, quantities


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: f"{peer.spec}-{peer.path}")
def test_a_peer_breaks_the_laws_that_its_defects_break_and_no_others(peer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of optax are not ours
        laws, quantities = broken(dataclasses.replace(SPEC[peer.spec], fn=SPEC[peer.spec].load(peer.path)), peer)
    assert quantities == peer.defective
    assert peer.laws <= laws


def test_every_peer_is_judged():
    assert {(peer.spec, peer.path) for peer in PEERS} == {(spec.name, path) for spec in SPECS for path in spec.peers}
