"""The gradient is the centered difference of the exact value: no rule of differentiation has a part in it.

In exact arithmetic the step is no dilemma: with 2^-400 of each number, truncation and rounding both lie far below an
ulp of any format.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from stablenn.floats import Truth
from stablenn.precision.accuracy import Reference, flat
from stablenn.precision.domain import Argument, Domain
from stablenn.testing.laws.accuracy import verdict_of
from stablenn.testing.laws.running import Law, Subject
from stablenn.testing.laws.verdict import Verdict

_ROWS = 8
_STEP = 400
# The step at zero is 2^-400 of this: below everything else in any format.
_UNIT_AT_ZERO = 2.0**-1000


@functools.lru_cache(maxsize=512)
def _quotient(definition: Callable, float_arguments: tuple[int, ...], position: int, entry: int) -> Callable:
    """The centered difference of all outputs by one entry of one argument."""
    value = flat(definition, "value", float_arguments)

    def quotient(unit, *row):
        step = unit * 2.0 ** (-_STEP // 2) * 2.0 ** (-_STEP // 2)

        def moved(by):
            shifted = jnp.ravel(row[position]).at[entry].add(by).reshape(row[position].shape)
            return value(*row[:position], shifted, *row[position + 1 :])

        return (moved(step) - moved(-step)) / (2 * step)

    return quotient


def _entries(subject: Subject) -> list[tuple[int, int]]:
    """The position of an argument and of an entry in it."""
    shapes = [(i, math.prod(subject.domain.arguments[i].shape)) for i in subject.domain.float_arguments]
    return [(position, entry) for position, size in shapes for entry in range(size)]


def _known(subject: Subject):
    if subject.past is not None:
        yield from ((subject.past, entry) for entry in _entries(subject)[:2])


def _check(subject: Subject, example) -> Verdict:
    inputs, (position, entry) = example
    spec, domain = subject.spec, subject.domain
    at = inputs[position].astype(np.float64).reshape(len(inputs[position]), -1)[:, entry]
    unit = np.where(at == 0, _UNIT_AT_ZERO, np.abs(at))
    extended = Domain((Argument("unit", "float64"), *domain.arguments))
    quotient = _quotient(spec.definition, domain.float_arguments, position, entry)
    difference = Reference.of(quotient, extended, (unit, *inputs), subject.dtype)

    def column(flat_gradient):
        """The derivatives of all outputs by this entry, of a gradient as `flat` has it."""
        outputs, start = difference.truth.nearest.shape[1], 0
        for argument in domain.float_arguments:
            size = math.prod(domain.arguments[argument].shape)
            if argument == position:
                block = flat_gradient[:, start : start + outputs * size]
                return block.reshape(len(flat_gradient), outputs, size)[:, :, entry]
            start += outputs * size
        raise LookupError(position)

    # no difference at infinity or where the value is no number, and at conventions and kinks nothing to compare with
    finite = [np.isfinite(c.astype(np.float64)).reshape(len(c), -1).all(1, keepdims=True) for c in inputs]
    known = difference.truth.proved & ~np.isnan(difference.truth.nearest) & np.all(finite, axis=0)
    for convention in subject.conventions:
        known &= ~np.asarray(convention.applies(*inputs))[:, None]
    scale = None if spec.gradient_scale is None else spec.gradient_scale(*(c.astype(np.float64) for c in inputs))
    gradient = Reference("gradient", subject.dtype, inputs, domain.float_arguments, difference.truth, None)
    truth = Truth(difference.truth.nearest, difference.truth.residual, known)
    reference = Reference(
        "gradient", subject.dtype, inputs, domain.float_arguments, truth, None if scale is None else column(scale)
    )
    accuracy = reference.compare(column(gradient.evaluate(spec.fn, subject.device)), subject.device)
    return verdict_of(accuracy, subject.tolerance("gradient"), f"by entry {entry} of argument {position}")


DIFFERENCES = Law(
    name="differences",
    statement="the gradient is the exact centered difference of the exact value",
    aspects=lambda spec: ("gradient",),
    examples=lambda subject: st.tuples(subject.inputs(_ROWS), st.sampled_from(_entries(subject))),
    check=_check,
    count=6,
    known=_known,
)
