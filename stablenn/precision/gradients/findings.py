"""What an inspection found of some derivatives: the evidence, the grades, and what was looked at one by one."""

from __future__ import annotations

import dataclasses

import numpy as np

from stablenn.precision.gradients.differences import Derivative
from stablenn.precision.gradients.exactly import ExactDerivatives, Sides
from stablenn.precision.gradients.verdicts import CONDITION, FAILING, Evidence, grade

_DOUBTED = ("wrong", "suspicious", "vanished")


@dataclasses.dataclass(frozen=True)
class Looked:
    """What differences said of one derivative."""

    numeric: float
    error: float
    near: tuple[tuple[str, str], ...]


@dataclasses.dataclass
class Findings:
    """The derivatives of one mode, with one vector of weights: of the outputs ("rev"), or of the arguments.

    Attributes:
      mode: "rev", "fwd" or "lin".
      label: which weights.
      weights: the weights.
      evidence: what is known of each derivative; it grows while the inspection goes on.
      exact: the exact derivatives, NaN where there is none.
      linear: whether the rule is linear in the weights, as every derivative is.
      grades: the grade of each derivative.
      undefined: where an output that is not finite depends on this argument, or is this output.
      looked: what differences said, by position.
    """

    mode: str
    label: str
    weights: np.ndarray
    evidence: Evidence
    exact: np.ndarray
    linear: np.ndarray
    grades: np.ndarray = dataclasses.field(init=False)
    undefined: np.ndarray = dataclasses.field(init=False)
    looked: dict[int, Looked] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.undefined = np.zeros(len(self.exact), bool)
        self.grade()

    @property
    def failing(self) -> np.ndarray:
        """The positions of the derivatives that fail."""
        return np.flatnonzero(np.isin(self.grades, FAILING))

    @property
    def explained_zeros(self) -> np.ndarray:
        """Where the computed derivative is zero, the true one is not, and one ulp of the arguments explains that."""
        e = self.evidence
        size = np.abs(e.true)
        return (e.computed == 0) & (size >= e.tiny) & (size <= CONDITION * e.condition)

    def grade(self) -> None:
        """Grade with all that is known."""
        self.grades = grade(self.evidence)
        self.grades[~self.linear & ~np.isin(self.grades, FAILING)] = "not linear"
        self.grades[self.undefined] = "undefined"

    def grade_for_good(self, exact: ExactDerivatives) -> None:
        """Grade; before a rule is called wrong, it is evaluated exactly where that can be."""
        self.grade()
        doubted = np.isin(self.grades, _DOUBTED)
        if doubted.any() and (rule := exact.rule(self.mode, self.weights)) is not None:
            known = doubted & np.isfinite(rule)
            self.evidence.rule[known] = rule[known]
            self.evidence.noise[known] = 0.0
            self.grade()

    def learn_exactly(self, i: int, sides: Sides | None, at: int) -> bool:
        """Take entry `at` of exact differences for derivative `i`; False where they say nothing."""
        if sides is None:
            return False
        if sides.kink[at] and np.isfinite(sides.left[at]) and np.isfinite(sides.right[at]):
            self.evidence.left[i], self.evidence.right[i] = sides.left[at], sides.right[at]
            return True
        if not np.isfinite(sides.value[at]):
            return False
        self.exact[i] = self.evidence.true[i] = sides.value[at]
        self.evidence.error[i] = 0.0
        return True

    def learn(self, i: int, numeric: Derivative, at: int) -> None:
        """Take entry `at` of float64 differences for derivative `i`, if they are more certain."""
        e = self.evidence
        if numeric.kink[at]:
            e.left[i], e.right[i] = numeric.left[at], numeric.right[at]
            return
        with np.errstate(invalid="ignore"):
            decides = numeric.error[at] < 0.1 * abs(e.rule[i] - e.true[i])
        if np.isfinite(numeric.error[at]) and (np.isnan(e.true[i]) or decides):
            e.true[i], e.error[i] = numeric.value[at], numeric.error[at]

    def look(self, i: int, numeric: Derivative, at: int) -> None:
        """Note what differences said, for the report."""
        self.looked[i] = Looked(float(numeric.value[at]), float(numeric.error[at]), numeric.near)
