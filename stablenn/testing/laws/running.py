"""How a law is run: on examples from Hypothesis, of which the worst is kept."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import hypothesis
import jax
import numpy as np
from hypothesis import strategies as st

from stablenn.precision.devices import find_device, flushes_subnormals, platform_name
from stablenn.precision.record import QUANTITIES
from stablenn.precision.spec import Spec
from stablenn.precision.tolerances import find_tolerance
from stablenn.testing.laws.past import past_failures
from stablenn.testing.laws.verdict import GOOD, Verdict, reproduction
from stablenn.testing.profiles import settings_of
from stablenn.testing.strategies import from_domain


@dataclasses.dataclass(frozen=True)
class Subject:
    """What a law is applied to: a Spec (perhaps with another function in place of ours) in one dtype.

    `aspect` is what of it the law looks at: a quantity, one of the properties that the Spec states, a transformation.
    """

    spec: Spec
    dtype: str
    aspect: Any

    @property
    def domain(self):
        return self.spec.domain.with_dtype(self.dtype)

    @property
    def device(self) -> jax.Device:
        return find_device()

    @property
    def quantity(self) -> str:
        """Whether the aspect is about values or gradients."""
        named = getattr(self.aspect, "quantity", self.aspect)
        return named if named in QUANTITIES else "value"

    @property
    def conventions(self):
        return (*self.spec.conventions, *self.spec.kinks)

    def tolerance(self, quantity: str) -> float:
        """The bound of the table: that of the function, whatever stands in its place."""
        bound = find_tolerance(self.spec.name, quantity, self.dtype, jax.__version__, platform_name(self.device))
        if bound is None:
            raise LookupError(f"no tolerance for the {quantity} of {self.spec.name} in {self.dtype}")
        return bound.max_ulp

    def inputs(self, rows: int, *, domain=None, finite: bool = True) -> st.SearchStrategy:
        """Batches of inputs, without what the device would take for zero."""
        return from_domain(
            domain or self.domain,
            rows=rows,
            allow_nan=not finite,
            allow_infinity=not finite,
            allow_subnormal=self.keeps_subnormals,
        )

    @property
    def past(self) -> tuple[np.ndarray, ...] | None:
        """Inputs at which functions of this kind have failed, if any are known."""
        return past_failures(self.spec.name, self.domain, subnormals=self.keeps_subnormals)

    @property
    def keeps_subnormals(self) -> bool:
        """Whether the device computes with subnormals."""
        return not flushes_subnormals(self.dtype, self.device)


@dataclasses.dataclass(frozen=True)
class Law:
    """A statement that functions are held to.

    Attributes:
      name: in identifiers: "accuracy".
      statement: in words.
      aspects: what of a Spec it applies to; empty where it says nothing about that Spec.
      examples: a strategy of examples for a subject.
      check: the verdict on one example.
      count: how many examples the profile `stablenn-dev` tries.
      known: examples to begin with: the corners of a domain, past failures.
    """

    name: str
    statement: str
    aspects: Callable[[Spec], Sequence[Any]]
    examples: Callable[[Subject], st.SearchStrategy]
    check: Callable[[Subject, Any], Verdict]
    count: int = 20
    known: Callable[[Subject], Iterable[Any]] = lambda subject: ()

    def hold(
        self, spec: Spec, dtype: str = "float32", *, seed: int | None = None, profile: str | None = None
    ) -> Verdict:
        """Try examples on `spec.fn`; a `LawViolation` for the worst of them if it breaks the law.

        Without a `seed` the profile decides: see `stablenn.testing.profiles`. Returns the worst verdict, which stands
        within what is allowed.
        """
        found = GOOD
        for aspect in self.aspects(spec):
            subject = Subject(spec, dtype, aspect)
            verdict = _worst_example(self, subject, seed, profile)
            if verdict.excess > 1:
                raise LawViolation(self, subject, verdict)
            found = max(found, verdict, key=lambda v: v.excess)
        return found


def _worst_example(law: Law, subject: Subject, seed: int | None, profile: str | None) -> Verdict:
    found = [GOOD]

    @settings_of(law.count, profile)
    @hypothesis.given(law.examples(subject))
    def examples(example):
        with np.errstate(all="ignore"):  # infinities and NaN are among the inputs
            verdict = law.check(subject, example)
        if verdict.excess > found[0].excess:
            found[0] = verdict

    if seed is not None:
        examples = hypothesis.seed(seed)(examples)
    for example in law.known(subject):
        examples = hypothesis.example(example)(examples)
    examples()
    return found[0]


class LawViolation(AssertionError):
    """A function breaks a law; the message shows the worst case seen and a line that reproduces it."""

    def __init__(self, law: Law, subject: Subject, verdict: Verdict):
        self.law, self.subject, self.verdict = law, subject, verdict
        aspect = getattr(subject.aspect, "statement", subject.aspect)
        order = getattr(subject.aspect, "order", 1)
        lines = [
            f"{subject.spec.name} in {subject.dtype} breaks the law of {law.name} ({law.statement}): {aspect}",
            f"  error {verdict.error:.4g}, allowed {verdict.allowed:.4g} ULP{verdict.note and '; ' + verdict.note}",
            f"  computed {verdict.computed!r} ({verdict.computed.hex()})",
            f"  right    {verdict.right!r} ({verdict.right.hex()})",
            f"  inputs   {', '.join(str(v) for v in verdict.inputs)}",
            f"  {reproduction(subject.spec.fn, subject.quantity, verdict.inputs, order)}",
        ]
        super().__init__("\n".join(lines))
