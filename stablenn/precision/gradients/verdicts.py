"""What a computed derivative is worth beside the true one: the grades, and which side is wrong."""

from __future__ import annotations

import dataclasses

import numpy as np

# Relative errors, as gradient checks have graded them since LeCun and as CS231n teaches them.
WRONG, SUSPICIOUS, RIGHT = 1e-2, 1e-4, 1e-7
# How many times its estimate the rounding noise of a float64 evaluation may be.
NOISE = 16.0
# How many times its sample the effect of rounded literals may be.
_LITERALS = 2.0
# How many ulps of the arguments a true derivative may be worth where the computed one is zero.
CONDITION = 4.0

GRADES = {
    "right": "relative error of the rule below 1e-7",
    "fair": "relative error of the rule below 1e-4: an approximation",
    "kink": "the derivatives from the left and from the right differ; the computed one lies between them",
    "inaccurate": "the rule is right, rounding took more than 1% of the computed value",
    "overflow": "the true derivative is beyond the largest float",
    "undefined": "the function has no finite value to differentiate here",
    "unknown": "neither differences nor the exact value tell the derivative",
    "suspicious": "relative error of the rule between 1e-4 and 1e-2",
    "wrong": "relative error of the rule above 1e-2",
    "vanished": "exactly zero where the true derivative is a normal number",
    "invented": "NaN or infinite where the true derivative is finite",
    "infinite": "infinite while the value is finite, and no finite derivative is known",
    "not linear": "the rule is not linear in the cotangent (or tangent) that it is given",
    "lost value": "the value is not finite although the true one is a number of its dtype",
    "changed value": "the value that comes with the derivative is not that of the function",
    "not transposes": "forward and reverse mode contradict each other",
}
FAILING = ("suspicious", "wrong", "vanished", "invented", "infinite", "not linear", "lost value")
FAILING += ("changed value", "not transposes")


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What is known of some derivatives; arrays of one length, NaN where something is not known.

    Attributes:
      computed: by the device, in the dtype of the argument (or of the output).
      rule: what the rule says, in float64 or exactly.
      noise: how far rounding may move `rule`.
      literals: how far half an ulp of the literals in the program of the rule, in their own dtypes, moves it.
      true: the derivative of the value.
      error: an estimate of the error of `true`; 0 where it is exact.
      left, right: the one-sided derivatives, at kinks.
      condition: how far one ulp of the arguments moves the derivative.
      terms: about how large the terms are whose difference the derivative is: the floor for true zeros.
      tiny, largest: the smallest normal number and the largest of the dtype.
    """

    computed: np.ndarray
    rule: np.ndarray
    noise: np.ndarray
    literals: np.ndarray
    true: np.ndarray
    error: np.ndarray
    left: np.ndarray
    right: np.ndarray
    condition: np.ndarray
    terms: np.ndarray
    tiny: np.ndarray
    largest: np.ndarray

    @property
    def floor(self) -> np.ndarray:
        """What a true zero is measured by."""
        with np.errstate(invalid="ignore"):
            return np.where(np.abs(self.true) <= self.error, self.terms, 0.0)

    def __getitem__(self, index) -> Evidence:
        return Evidence(*(getattr(self, field.name)[index] for field in dataclasses.fields(self)))


def relative_error(computed, true, floor=0.0) -> np.ndarray:
    """|a - n| / max(|a|, |n|, floor); 0 where both are equal."""
    with np.errstate(all="ignore"):
        size = np.fmax(np.fmax(np.abs(computed), np.abs(true)), floor)
        return np.where(computed == true, 0.0, np.abs(computed - true) / size)


def rule_error(evidence: Evidence) -> np.ndarray:
    """The relative error of the rule that neither rounding nor the reference explains."""
    e = evidence
    with np.errstate(all="ignore"):
        at_kink = ~np.isnan(e.left) & ~np.isnan(e.right)
        low, high = np.fmin(e.left, e.right), np.fmax(e.left, e.right)
        nearest = np.where(at_kink, np.clip(e.rule, low, high), e.true)
        unexplained = np.abs(e.rule - nearest) - NOISE * e.noise - _LITERALS * e.literals
        unexplained = np.maximum(unexplained - np.where(at_kink, 0.0, e.error), 0.0)
        size = np.maximum(np.abs(e.rule), np.abs(nearest))
        return np.where(e.rule == nearest, 0.0, unexplained / size)


def grade(evidence: Evidence) -> np.ndarray:
    """A grade for each derivative."""
    e = evidence
    with np.errstate(all="ignore"):
        kink = ~np.isnan(e.left) & ~np.isnan(e.right)
        finite = np.isfinite(e.computed)
        normal = np.abs(e.true) - e.error >= e.tiny
        well_conditioned = np.abs(e.true) > CONDITION * e.condition + 2 * e.error
        lost = relative_error(e.computed, e.true, e.floor) > WRONG
        lost &= np.abs(e.computed - e.true) > CONDITION * e.condition + 2 * e.error + e.tiny
        error = rule_error(e)
        graded = np.select(
            [
                np.isinf(e.computed) & (np.isnan(e.true) | (e.computed == e.true)) & ~kink,
                ~finite & (np.abs(e.true) > e.largest) & ~np.isnan(e.computed),
                ~finite,
                np.isnan(e.true) & ~kink,
                np.isinf(e.true),
                (e.computed == 0) & normal & well_conditioned & ~kink,
                error > WRONG,
                error > SUSPICIOUS,
                kink,
                np.isnan(error),
                lost,
                error > RIGHT,
            ],
            [
                *("infinite", "overflow", "invented", "unknown", "kink", "vanished", "wrong"),
                *("suspicious", "kink", "unknown", "inaccurate", "fair"),
            ],
            "right",
        )
    return graded
