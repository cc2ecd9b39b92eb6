"""The derivative of the exact value: no rounding, no choice of a step, and no rule of the user's.

The gradient of all elements at once comes from differentiating the program with its custom rules walked through; along
a line, the exact value itself is differenced with a step so small that truncation and rounding both lie far below an
ulp. Where the two differ, the difference is right.
"""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from stablenn import floats
from stablenn.floats import Truth
from stablenn.interpret.balls.elements import Undecided
from stablenn.interpret.balls.evaluation import Exact
from stablenn.interpret.balls.meaning import UnsupportedPrimitive
from stablenn.precision.gradients.program import NOT_DIFFERENTIABLE, Program

_STEP = 400
_BITS = _STEP + 160
# Two exact one-sided differences of a smooth function agree to far more than this; at a kink they do not.
_GAP = 2.0**-40
_TRUNCATION = 2.0**-300


@dataclasses.dataclass(frozen=True)
class Sides:
    """Exact derivatives of every output along a line, from the left and from the right."""

    value: np.ndarray
    left: np.ndarray
    right: np.ndarray
    kink: np.ndarray

    def contract(self, weights: np.ndarray) -> Sides:
        """The derivative of the weighted sum of the outputs."""
        used = weights != 0
        w = weights[used]
        with np.errstate(invalid="ignore"):
            value, left, right = (np.array([np.sum(w * side[used])]) for side in (self.value, self.left, self.right))
        return Sides(value, left, right, np.array([bool(self.kink[used].any())]))

    def per(self, unit: float) -> Sides:
        """The derivative by a number, from the derivative along `unit` times that number."""
        return Sides(self.value / unit, self.left / unit, self.right / unit, self.kink)


class ExactDerivatives:
    """Exact derivatives of a program at its arguments, as long as there is a rule for each of its primitives.

    Attributes:
      why_not: why there are none; empty as long as there are.
    """

    def __init__(self, program: Program, affordable: float) -> None:
        self.program = program
        self.why_not = program.why_not_exact
        if not self.why_not and not affordable:
            self.why_not = "switched off"
        elif not self.why_not and program.work > affordable:
            self.why_not = f"about {program.work:.1e} scalar operations are too many to be evaluated exactly"
        # 16-bit floats and float32 fit into float32's range; what rounding to it leaves over is known as well
        wide = any(leaf.format.bits == 64 for leaf in (*program.arguments.leaves, *program.outputs.leaves))
        self._dtype = "float64" if wide else "float32"
        self._own = functools.cache(self._own_of)

    def own(self, mode: str, weights: np.ndarray, at: np.ndarray | None = None) -> np.ndarray | None:
        """The gradient of the weighted outputs, or the tangent along the weights; NaN where it is not known."""
        return self._evaluate(self._own(mode), weights, at=at)

    def rule(self, mode: str, weights: np.ndarray) -> np.ndarray | None:
        """The exact value of what the rule of `mode` says, right or wrong."""
        if self.why_not:
            return None
        self.program.trace_rule(mode)
        return self._evaluate(Exact(lambda x, w: self.program.rule(mode, x, w), dtype=self._dtype), weights)

    @functools.cached_property
    def value(self) -> np.ndarray | None:
        """The exact outputs."""
        return self._evaluate(Exact(self.program.value, dtype=self._dtype))

    def along(self, line: np.ndarray) -> Sides | None:
        """The differences of the exact value on both sides, per unit of `line`."""
        at = np.abs(self.program.at)
        moved = (line != 0) & (at != 0) & np.isfinite(at)
        # no element may move further than it is large: poles, logarithms and kinks are never crossed
        share = np.exp2(np.floor(np.log2(np.min(at[moved] / np.abs(line[moved]), initial=1.0))))
        # the share is taken out again inside, where no format's range ends
        found = self._evaluate(self._differences, line, np.asarray(share))
        if found is None:
            return None
        left, right = np.split(found, 2)
        with np.errstate(invalid="ignore"):
            gap = np.abs(left - right)
            kink = (gap > _GAP * np.maximum(np.abs(left), np.abs(right))) & (gap > _TRUNCATION)
            return Sides((left + right) / 2, left, right, kink)

    @functools.cached_property
    def _differences(self) -> Exact:
        def differences(x, line, share):
            step = share * 2.0**-_STEP
            before, here, after = (self.program.value(x + s * step * line) for s in (-1, 0, 1))
            return jnp.concatenate([here - before, after - here]) / step

        return Exact(differences, dtype=self._dtype, min_bits=_BITS)

    def _own_of(self, mode: str) -> Exact:
        return Exact(lambda x, w: self.program.own(mode, x, w), dtype=self._dtype)

    def _evaluate(self, exact: Exact, *operands: np.ndarray, at: np.ndarray | None = None) -> np.ndarray | None:
        if self.why_not:
            return None
        try:
            (truth,) = exact.truth(
                self.program.at if at is None else at, *(np.asarray(o, np.float64) for o in operands)
            )
        except UnsupportedPrimitive as error:
            self.why_not = str(error)
            return None
        except Undecided:
            return None
        except NOT_DIFFERENTIABLE:
            return None
        return _double(truth)


def _double(truth: Truth) -> np.ndarray:
    """The truth in float64, or NaN where it is not proved."""
    fmt = floats.format_of(truth.nearest.dtype)
    nearest = truth.nearest.astype(np.float64)
    with np.errstate(invalid="ignore"):
        value = np.where(np.isfinite(nearest), nearest + truth.residual * floats.ulp(nearest, fmt.dtype), nearest)
    return np.where(truth.proved, value, np.nan)
