"""Leaving entries out by ``where=`` is the same as slicing them away."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from stablenn.floats import Truth
from stablenn.precision.accuracy import BLOCK, Reference
from stablenn.precision.record import QUANTITIES
from stablenn.precision.spec import Spec
from stablenn.precision.spec.properties import Masked
from stablenn.testing.laws.accuracy import resized, verdict_of
from stablenn.testing.laws.running import Law, Subject
from stablenn.testing.laws.verdict import Verdict
from stablenn.testing.strategies import masks

_ROWS = BLOCK


@functools.lru_cache(maxsize=256)
def _masked(fn: Callable) -> Callable:
    return lambda *row: fn(*row[:-1], where=row[-1])


def _sliced(columns, mask: np.ndarray):
    """Vectors without their masked entries, and integers that name an entry of what is left."""
    place = np.cumsum(mask) - 1
    return tuple(column[:, mask] if column.ndim > 1 else place[column].astype(column.dtype) for column in columns)


def _named_entries_included(columns, mask: np.ndarray):
    """Integers that name a masked entry name the first included one instead."""
    first = int(np.argmax(mask))
    return tuple(c if c.ndim > 1 else np.where(mask[c], c, first).astype(c.dtype) for c in columns)


@dataclasses.dataclass(frozen=True)
class MaskedQuantity:
    """A quantity of a function with a mask."""

    quantity: str
    fill: float | None

    @property
    def statement(self) -> str:
        """In words."""
        return f"{self.quantity} with a mask"


def _quantities(spec: Spec) -> list[MaskedQuantity]:
    return [MaskedQuantity(q, p.fill) for p in spec.properties if isinstance(p, Masked) for q in QUANTITIES]


def _check(subject: Subject, example) -> Verdict:
    inputs, mask = example
    spec, quantity = subject.spec, subject.aspect.quantity
    kept, size = int(mask.sum()), len(mask)
    inputs = _named_entries_included(inputs, mask)
    slices = _sliced(inputs, mask)
    positions = subject.domain.float_arguments
    right = Reference.of(
        spec.definition,
        resized(subject.domain, kept),
        slices,
        subject.dtype,
        quantity,
        conventions=subject.conventions,
        scale=spec.scale(quantity),
    )
    nothing = Truth(np.zeros(0), np.zeros(0), np.zeros(0, bool))
    masked = (*inputs, np.broadcast_to(mask, (len(inputs[0]), size)))
    whole = Reference(quantity, subject.dtype, masked, positions, nothing, None)
    actual = whole.evaluate(_masked(spec.fn), subject.device)
    outputs = spec.signature.rpartition("(")[2].rstrip(")")
    included = mask if outputs == "n" else np.ones(int(outputs or 1), bool)
    if quantity == "value":
        counted, fill = included, subject.aspect.fill
    else:
        block = np.outer(included, mask).ravel()
        counted, fill = np.concatenate([block] * len(positions)), 0.0
    note = f"{quantity} with where={mask.astype(int).tolist()}"
    verdict = verdict_of(right.compare(actual[:, counted], subject.device), subject.tolerance(quantity), note)
    outside = actual[:, ~counted].astype(np.float64)
    wrong = ~(outside == fill) if fill is not None else np.zeros(outside.shape, bool)
    # a row that is undefined is NaN as a whole
    wrong &= ~np.isnan(right.truth.nearest).any(1, keepdims=True)
    if not wrong.any():
        return verdict
    row, column = (int(i[0]) for i in np.nonzero(wrong))
    found = float(outside[row, column])
    return Verdict(math.inf, 0.0, tuple(c[row] for c in inputs), found, float(fill), f"masked {note}")


def _size(subject: Subject) -> int:
    return next(a.shape[0] for a in subject.domain.arguments if a.shape)


def _known(subject: Subject):
    """Every other entry of what has failed before."""
    if subject.past is not None:
        yield subject.past, np.arange(_size(subject)) % 2 == 0


MASKING = Law(
    name="masking",
    statement="a mask gives what slicing gives, and no gradient to what it leaves out",
    aspects=_quantities,
    examples=lambda subject: st.tuples(subject.inputs(_ROWS), masks((_size(subject),))),
    check=_check,
    count=8,
    known=_known,
)
