"""Whoever changes an import need not change a call."""

import inspect

import pytest

from stablenn import optim
from stablenn.precision.spec import SPECS, load

RENAMED = {"jax.numpy:sqrt", "jax.numpy:divide", "jax.numpy:logaddexp"}  # ufuncs: positional arguments
PLAIN = [spec for spec in SPECS if spec.variant is None]
PAIRS = [(spec.fn, load(path), path) for spec in PLAIN for path in spec.peers if path not in RENAMED]
PAIRS += [(optim.clip_by_global_norm, load("optax:clip_by_global_norm"), "optax:clip_by_global_norm")]


def parameters(fn):
    return {name: p.default for name, p in inspect.signature(fn).parameters.items()}


@pytest.mark.parametrize(("ours", "peer", "path"), [pytest.param(*pair, id=pair[2]) for pair in PAIRS])
def test_arguments_and_defaults_are_those_of_the_peer(ours, peer, path):
    theirs = parameters(peer)
    assert list(parameters(ours).items())[: len(theirs)] == [
        (name, default) for name, default in theirs.items() if name not in ("initial", "unroll")
    ]


def test_what_replaces_ufuncs_takes_their_arguments_by_position():
    by_path = {path: spec.fn for spec in PLAIN for path in spec.peers}
    assert [len(parameters(by_path[path])) for path in sorted(RENAMED)] == [2, 2, 1]
