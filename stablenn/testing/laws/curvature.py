"""Second derivatives, forward over reverse: finite and right where the exact ones are.

They are graded loosely: no table has bounds for them, and a rule that was not written to be differentiated again may
lose digits there. But a rule that stops at the first derivative gives zero, NaN or a wrong factor. Only numbers whose
fourth powers are normal are looked at: beyond, quotients of squares and cubes leave the range.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from stablenn import floats
from stablenn.precision.accuracy import BLOCK, Reference, ravel
from stablenn.precision.domain import Argument, Domain
from stablenn.testing.laws.relations import results
from stablenn.testing.laws.running import Law, Subject
from stablenn.testing.laws.verdict import GOOD, Verdict

# A thousand ulps, and in narrow formats a tenth.
_ULPS, _SHARE = 1000.0, 0.1
# What a change of the inputs by this part (of zeros: to this) makes of the exact second derivative is no error: there
# it changes its sign, or jumps. Neighbours change in opposite directions, since in ratios a common factor may cancel.
_MOVE = 2.0**-12


@functools.lru_cache(maxsize=256)
def _column(fn: Callable, float_arguments: tuple[int, ...]) -> Callable:
    """The product of a direction with the Hessian of a weighted sum of all outputs, argument by argument."""

    def column(direction, *row):
        def total(*arguments):
            given = dict(zip(float_arguments, arguments, strict=True))
            out = ravel(fn(*(given.get(i, argument) for i, argument in enumerate(row))))
            return jnp.sum(out * jnp.arange(1, out.size + 1, dtype=out.dtype))

        arguments = [row[i] for i in float_arguments]
        ends = np.cumsum([a.size for a in arguments])[:-1]
        tangents = [d.reshape(a.shape) for d, a in zip(jnp.split(direction, ends), arguments, strict=True)]
        _, second = jax.jvp(jax.grad(total, tuple(range(len(arguments)))), tuple(arguments), tuple(tangents))
        return ravel(second)

    return column


@dataclasses.dataclass(frozen=True)
class SecondDerivative:
    """The derivative of the gradient."""

    quantity: str = "gradient"
    statement: str = "second derivative"
    order: int = 2


def _sizes(subject: Subject) -> list[int]:
    return [math.prod(subject.domain.arguments[i].shape) for i in subject.domain.float_arguments]


def _moved(column: np.ndarray, by: float) -> np.ndarray:
    wide = column.astype(np.float64)
    steps = by * (-1.0) ** np.arange(math.prod(wide.shape[1:])).reshape(wide.shape[1:])
    return np.where(wide == 0, steps, wide * (1 + steps)).astype(column.dtype)


def _is_interior(columns: list[np.ndarray], fmt: floats.Format) -> np.ndarray:
    """Rows of zeros and of numbers with a normal fourth power."""
    sizes = [np.abs(column.astype(np.float64)).reshape(len(column), -1) for column in columns]
    moderate = [(s == 0) | ((s >= 2.0 ** (fmt.emin / 4)) & (s <= 2.0 ** (fmt.emax / 4))) for s in sizes]
    return np.all([flags.all(1) for flags in moderate], axis=0)


def _check(subject: Subject, example) -> Verdict:
    columns, entry = example
    fmt, positions, sizes = floats.format_of(subject.dtype), subject.domain.float_arguments, _sizes(subject)
    interior = _is_interior([columns[i] for i in positions], fmt)
    if not interior.any():
        return GOOD
    inputs = tuple(column[interior] for column in columns)
    # each row is differentiated by another entry
    entries = (entry + np.arange(len(inputs[0]))) % sum(sizes)
    one = np.eye(sum(sizes), dtype=fmt.dtype)[entries]
    extended = Domain((Argument("direction", subject.dtype, (sum(sizes),)), *subject.domain.arguments))
    definition = _column(subject.spec.definition, positions)

    def exactly(by: float):
        moved = tuple(_moved(c, by) if by and i in positions else c for i, c in enumerate(inputs))
        truth = Reference.of(definition, extended, (one, *moved), subject.dtype).truth
        return np.where(truth.proved, truth.nearest.astype(np.float64), np.nan)

    right, below, above = exactly(0.0), exactly(-_MOVE), exactly(_MOVE)
    known = np.isfinite(right) & np.isfinite(below) & np.isfinite(above)
    for convention in subject.conventions:
        known &= ~np.asarray(convention.applies(*inputs))[:, None]
    actual = results(subject, _column(subject.spec.fn, positions), (one, *inputs), extended).astype(np.float64)
    blocks = np.split(np.abs(np.nan_to_num(right)), np.cumsum(sizes)[:-1], axis=1)
    scale = np.concatenate([np.broadcast_to(b.max(1, keepdims=True), b.shape) for b in blocks], 1)
    change = np.maximum(np.abs(below - right), np.abs(above - right))
    allowed = min(_ULPS, _SHARE / fmt.eps)
    # the device may flush what is below the smallest normal
    room = scale * fmt.eps + (np.where(known, change, 0.0) + 2 * fmt.tiny) / allowed
    error = np.where(known, np.abs(actual - right) / room, 0.0)
    error = np.where(known & ~np.isfinite(actual), np.inf, error)
    row, place = np.unravel_index(np.argmax(error), error.shape)
    worst = tuple(column[row] for column in inputs)
    note = f"entry {place} of the derivative of the gradient by entry {entries[row]}"
    return Verdict(float(error[row, place]), allowed, worst, float(actual[row, place]), float(right[row, place]), note)


def _known(subject: Subject):
    if subject.past is not None:
        yield subject.past, 0


CURVATURE = Law(
    name="curvature",
    statement="second derivatives are finite and right where the exact ones are",
    aspects=lambda spec: (SecondDerivative(),),
    examples=lambda subject: st.tuples(subject.inputs(BLOCK), st.integers(0, sum(_sizes(subject)) - 1)),
    check=_check,
    count=4,
    known=_known,
)
