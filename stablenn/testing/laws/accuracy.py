"""Results are within tolerance of the exact value: in ordinary numbers, beside infinities and NaN, at any length."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from stablenn.precision.accuracy import BLOCK, Reference
from stablenn.precision.domain import Domain
from stablenn.precision.record import QUANTITIES, Accuracy
from stablenn.precision.spec import Spec
from stablenn.testing import strategies
from stablenn.testing.laws.running import Law, Subject
from stablenn.testing.laws.verdict import Verdict

_ROWS, _VECTORS = 6 * BLOCK, 2 * BLOCK
_FEW_ROWS = 2
_LONG = 1000
# Where a Jacobian has a scale, all of it is computed: of the longest rows it would take gigabytes.
_WIDE = 513


def reference_of(subject: Subject, inputs, quantity: str, definition: Callable | None = None) -> Reference:
    """The exact value of the Spec's definition, with its conventions and scale."""
    spec = subject.spec
    return Reference.of(
        definition or spec.definition,
        subject.domain,
        inputs,
        subject.dtype,
        quantity,
        conventions=subject.conventions,
        scale=spec.scale(quantity),
    )


def verdict_of(accuracy: Accuracy, allowed: float, note: str = "") -> Verdict:
    """The worst case of an accuracy."""
    if not accuracy.worst:
        return Verdict(accuracy.judged_ulp, allowed)
    case = accuracy.worst[0]
    return Verdict(accuracy.judged_ulp, allowed, case.inputs, case.actual, case.expected, note)


def _rows(subject: Subject) -> int:
    """Rows of vectors, whose Jacobians are large, cost more."""
    return _VECTORS if "n" in subject.spec.signature else _ROWS


def _check(subject: Subject, inputs) -> Verdict:
    accuracy = reference_of(subject, inputs, subject.aspect).judge(subject.spec.fn, subject.device)
    return verdict_of(accuracy, subject.tolerance(subject.aspect))


def _known(subject: Subject):
    yield subject.domain.corners(subnormals=subject.keeps_subnormals)
    if subject.past is not None:
        yield subject.past


ACCURACY = Law(
    name="accuracy",
    statement="value and gradient are within tolerance of the exact value",
    aspects=lambda spec: QUANTITIES,
    examples=lambda subject: subject.inputs(_rows(subject)),
    check=_check,
    count=6,
    known=_known,
)

SPECIALS = Law(
    name="specials",
    statement="infinities and NaN come out exactly where they are right",
    aspects=lambda spec: QUANTITIES,
    examples=lambda subject: subject.inputs(_rows(subject), finite=False),
    check=_check,
    count=6,
)


@dataclasses.dataclass(frozen=True)
class Length:
    """Rows of another length than the Spec's own."""

    quantity: str
    size: int

    @property
    def statement(self) -> str:
        """In words."""
        return f"{self.quantity} of rows of length {self.size}"


def _has_rows(spec: Spec) -> bool:
    """Whether the result is a row as long as those of the arguments."""
    return spec.signature.endswith("->(n)")


def _lengths(spec: Spec) -> tuple[Length, ...]:
    if "(n)" not in spec.signature:
        return ()
    # an integer argument names one of the entries: there must be one
    smallest = 0 if len(spec.domain.float_arguments) == len(spec.domain.arguments) else 1
    sizes = [size for size in strategies.LENGTHS if size >= smallest]
    # where a reduction changes its ways, values show it; of the long rows' gradients one is enough
    longest = [_WIDE] if _has_rows(spec) and spec.gradient_scale is not None else sizes[-1:]
    gradients = [size for size in sizes if size < _LONG] + longest
    return (
        *(Length("value", size) for size in sizes),
        *(Length("gradient", size) for size in gradients),
    )


def resized(domain: Domain, size: int) -> Domain:
    """The domain with vectors of length `size`, and integers that name an entry of them."""
    arguments = [
        dataclasses.replace(a, shape=(size,) if a.shape else ()) if a.is_float else dataclasses.replace(a, high=size)
        for a in domain.arguments
    ]
    return Domain(tuple(arguments))


@functools.lru_cache(maxsize=512)
def _first_output(fn: Callable) -> Callable:
    """One output is enough of a long row: all of them would have a Jacobian of 4097^2 entries."""
    return lambda *row: jnp.ravel(fn(*row))[:1]


def _of_first_output(stated: Callable, domain: Domain) -> Callable:
    """What is stated of a Jacobian, by the rows of each argument's block: that of the first output."""

    def of_first(*inputs):
        jacobian, sizes = stated(*inputs), [math.prod(domain.arguments[i].shape) for i in domain.float_arguments]
        starts = np.cumsum([0, *sizes[:-1]]) * (jacobian.shape[1] // max(sum(sizes), 1))
        return np.ma.concatenate([jacobian[:, s : s + n] for s, n in zip(starts, sizes, strict=True)], 1)

    return of_first


def _check_length(subject: Subject, inputs) -> Verdict:
    length, spec = subject.aspect, subject.spec
    fn, definition, conventions, scale = spec.fn, spec.definition, subject.conventions, spec.scale(length.quantity)
    domain = resized(subject.domain, length.size)
    if length.quantity == "gradient" and _has_rows(spec):
        fn, definition = _first_output(fn), _first_output(definition)
        scale = scale and _of_first_output(scale, domain)
        conventions = [
            dataclasses.replace(c, gradient=c.gradient and _of_first_output(c.gradient, domain)) for c in conventions
        ]
    reference = Reference.of(
        definition, domain, inputs, subject.dtype, length.quantity, conventions=tuple(conventions), scale=scale
    )
    return verdict_of(reference.judge(fn, subject.device), subject.tolerance(length.quantity), length.statement)


LENGTHS = Law(
    name="lengths",
    statement="rows of any length are as accurate",
    aspects=_lengths,
    examples=lambda subject: subject.inputs(_FEW_ROWS, domain=resized(subject.domain, subject.aspect.size)),
    check=_check_length,
    count=2,
)
