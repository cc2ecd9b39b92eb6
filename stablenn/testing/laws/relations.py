"""Relations between results at different inputs, and identities between functions."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from stablenn import floats
from stablenn.floats import Truth
from stablenn.precision.accuracy import BLOCK, Reference
from stablenn.precision.domain import Argument, Domain
from stablenn.precision.spec.properties import Identity, Relation
from stablenn.testing.laws.accuracy import verdict_of
from stablenn.testing.laws.running import Law, Subject
from stablenn.testing.laws.verdict import Verdict, most_above, worst

_ROWS = 3 * BLOCK


@functools.lru_cache(maxsize=512)
def _moved(definition: Callable, result: Callable) -> Callable:
    """What a relation says the function is at moved inputs, as a formula of the inputs."""
    return lambda parameter, *row: result(definition(*row), parameter, *row)


def _check_relation(subject: Subject, example) -> Verdict:
    inputs, seed = example
    spec, relation = subject.spec, subject.aspect
    before, after, parameter = relation.move(inputs, floats.format_of(subject.dtype), np.random.default_rng(seed))
    kind = "float64" if floats.is_float(parameter.dtype) else parameter.dtype.name
    extended = Domain((Argument("parameter", kind, parameter.shape[1:]), *subject.domain.arguments))
    formula = _moved(spec.definition, relation.result)
    stated = Reference.of(formula, extended, (parameter, *before), subject.dtype)
    known = stated.truth.proved.copy()
    for convention in subject.conventions:
        known &= ~np.asarray(convention.applies(*after) | convention.applies(*before))[:, None]
    scale = None if spec.value_scale is None else spec.value_scale(*(c.astype(np.float64) for c in after))
    reference = Reference(
        "value",
        subject.dtype,
        after,
        subject.domain.float_arguments,
        Truth(stated.truth.nearest, stated.truth.residual, known),
        None if scale is None else np.reshape(scale, known.shape),
    )
    return verdict_of(reference.judge(spec.fn, subject.device), subject.tolerance("value"), relation.statement)


RELATIONS = Law(
    name="relations",
    statement="shifted, scaled, permuted, swapped or reflected inputs give the result that mathematics says",
    aspects=lambda spec: [p for p in spec.properties if isinstance(p, Relation)],
    examples=lambda subject: st.tuples(subject.inputs(_ROWS), st.integers(0, 2**32 - 1)),
    check=_check_relation,
    count=6,
    known=lambda subject: () if subject.past is None else ((subject.past, 0),),
)


def results(subject: Subject, fn: Callable, inputs, domain: Domain | None = None) -> np.ndarray:
    """The outputs of each row, flat."""
    positions = (domain or subject.domain).float_arguments
    plain = Reference("value", subject.dtype, inputs, positions, _NO_TRUTH, None)
    return plain.evaluate(fn, subject.device)


_NO_TRUTH = Truth(np.zeros(0), np.zeros(0), np.zeros(0, bool))


def value_scale(subject: Subject, inputs) -> np.ndarray | None:
    """The Spec's scale of each row."""
    if subject.spec.value_scale is None:
        return None
    scale = subject.spec.value_scale(*(c.astype(np.float64) for c in inputs))
    return scale.reshape(len(scale), -1)


def _check_identity(subject: Subject, inputs) -> Verdict:
    identity = subject.aspect
    one, other = results(subject, subject.spec.fn, inputs), results(subject, identity.other, inputs)
    # the other way may leave the range where ours does not
    other = np.where(np.isfinite(other.astype(np.float64)), other, one)
    allowed = 2 * subject.tolerance("value") + identity.ulps
    scale = value_scale(subject, inputs)
    return worst(
        dataclasses.replace(verdict, note=identity.statement)
        for verdict in (most_above(one, other, allowed, inputs, scale), most_above(other, one, allowed, inputs, scale))
    )


IDENTITIES = Law(
    name="identities",
    statement="two ways to the same number agree",
    aspects=lambda spec: [p for p in spec.properties if isinstance(p, Identity)],
    examples=lambda subject: subject.inputs(_ROWS),
    check=_check_identity,
    count=6,
)
