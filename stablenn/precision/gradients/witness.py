"""What is known of a program at one point: its rules and its value's own derivatives in float64, and their noise."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from stablenn.precision.gradients import probes
from stablenn.precision.gradients.differences import Derivative, differentiate
from stablenn.precision.gradients.exactly import ExactDerivatives, Sides
from stablenn.precision.gradients.findings import Findings
from stablenn.precision.gradients.layout import Layout
from stablenn.precision.gradients.program import NOT_DIFFERENTIABLE, Program
from stablenn.precision.gradients.verdicts import NOISE, SUSPICIOUS, WRONG, Evidence, relative_error

# How often rounding noise and condition are sampled.
_SAMPLES = 4
_ROUNDING = 2.0**-52


class WrongValue(NamedTuple):
    """An output whose value is wrong, or another where its derivative is computed."""

    mode: str
    output: str
    value: float
    right: float


class Witness:
    """Tells, on demand, what is known of the derivatives of `program` at its arguments."""

    def __init__(self, program: Program, exact: ExactDerivatives, generator: np.random.Generator) -> None:
        self.program = program
        self.exact = exact
        self.at = program.at
        self.generator = generator
        self.notes: list[str] = []
        self.changed_values: list[WrongValue] = []
        self.difference = functools.cache(self._difference)
        self.exact_difference = functools.cache(self._exact_difference)

    def findings(self, mode: str, label: str, weights: np.ndarray, exact: np.ndarray | None) -> Findings:
        """All derivatives of one mode with one vector of weights, as far as one evaluation of each kind tells."""
        program = self.program
        layout = program.arguments if mode == "rev" else program.outputs
        value, computed = program.computed(mode, weights)
        self._compare_values(mode, value)
        rule, noise, literals, condition, thrice = self._rule(mode, weights)
        own, own_noise = self._own(mode, weights, layout.size)
        exact = np.full(layout.size, np.nan) if exact is None else exact.copy()
        known = ~np.isnan(exact)
        true = np.where(known, exact, own)
        # rounding noise about a true zero is at least that of the largest derivative of its leaf
        largest = np.array([np.abs(rule[layout.owners == i]).max(initial=0.0) for i in range(len(layout.leaves))])
        floor = 2.0**-50 * np.nan_to_num(largest, posinf=0.0)[layout.owners]
        noise = np.where(true == 0, np.fmax(noise, floor), noise)
        evidence = Evidence(
            computed=computed,
            rule=rule.copy(),
            noise=noise,
            literals=literals,
            true=true,
            error=np.where(known, 0.0, NOISE * own_noise),
            left=np.full(layout.size, np.nan),
            right=np.full(layout.size, np.nan),
            condition=condition,
            terms=noise / _ROUNDING,
            tiny=layout.per_leaf(lambda leaf: leaf.format.tiny),
            largest=layout.per_leaf(lambda leaf: leaf.format.max),
        )
        with np.errstate(all="ignore"):
            excess = np.abs(thrice + 3 * rule) - 6 * NOISE * np.fmax(noise, floor)
            linear = ~(excess > SUSPICIOUS * np.abs(3 * rule))
        return Findings(mode, label, weights, evidence, exact, linear)

    def settle_conditions(self, found: Findings) -> None:
        """Where a zero may be explained by one ulp of the arguments, or by the noise of float64: ask exactly."""
        e = found.evidence
        doubtful = found.explained_zeros & np.isfinite(found.exact)
        if not doubtful.any():
            return
        arguments, side = self.program.arguments, self.program.outputs
        points = self._nudged(arguments, self.at)[:2]
        weights = self._nudged(side if found.mode == "rev" else arguments, found.weights)[:2]
        nearby = [self.exact.own(found.mode, w, x) for w, x in zip(weights, points, strict=True)]
        if rows := [row for row in nearby if row is not None]:
            e.condition[doubtful] = _largest(_moves(np.stack([found.exact, *rows])))[doubtful]
            found.grade()

    # --- in float64 ------------------------------------------------------------------------------------------

    def _rule(self, mode: str, weights: np.ndarray) -> tuple[np.ndarray, ...]:
        """The rule, how far rounding, its literals, and an ulp of what goes in move it, and the rule of -3 weights."""
        rounded, reworded = _jitters(_ROUNDING, 0.0), _jitters(0.0, 1.0)
        jitters = np.concatenate([np.zeros((1, 3)), rounded, reworded, np.zeros((_SAMPLES + 1, 3))])
        arguments, outputs = self.program.arguments, self.program.outputs
        side = outputs if mode == "rev" else arguments
        points, along = (np.tile(vector, (len(jitters), 1)) for vector in (self.at, weights))
        points[-_SAMPLES - 1 : -1] = self._nudged(arguments, self.at)
        along[-_SAMPLES - 1 : -1] = self._nudged(side, weights)
        along[-1] = -3 * weights
        *rows, thrice = self.program.meant("rule", mode)(points, along, jitters)
        noise, literals, condition = (_largest(part) for part in np.split(_moves(np.stack(rows)), 3))
        return rows[0], noise, literals, condition, thrice

    def _nudged(self, layout: Layout, vector: np.ndarray) -> np.ndarray:
        eps = layout.per_leaf(lambda leaf: max(leaf.format.eps / 2, _ROUNDING))
        return vector * (1 + eps * self.generator.uniform(-1, 1, (_SAMPLES, len(vector))))

    def _own(self, mode: str, weights: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The derivative of the value and its noise; NaN where JAX cannot differentiate the value."""
        jitters = np.concatenate([np.zeros((1, 3)), _jitters(_ROUNDING, 0.0)])
        points, along = (np.tile(vector, (len(jitters), 1)) for vector in (self.at, weights))
        try:
            rows = self.program.meant("own", mode)(points, along, jitters)
        except NOT_DIFFERENTIABLE as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            if reason != self.exact.why_not:
                self.notes.append(f"JAX cannot differentiate the value itself in mode {mode}: {reason}")
            return np.full(size, np.nan), np.zeros(size)
        return rows[0], _largest(_moves(rows))

    @functools.cached_property
    def value_noise(self) -> np.ndarray:
        """How far rounding moves each output."""
        values = self.program.values_with(np.concatenate([np.zeros((1, 3)), _jitters(_ROUNDING, 0.0)]))
        return np.nan_to_num(_largest(_moves(values)), posinf=0.0)

    # --- element by element ----------------------------------------------------------------------------------

    def along(self, line: np.ndarray, smallest: float = 1.0) -> Derivative:
        """The float64 differences of all outputs along a line."""
        return differentiate(self.program, line, smallest, self.value_noise)

    def _difference(self, position: int) -> Derivative:
        line, smallest = probes.line_through(position, self.program.arguments, self.at)
        return self.along(line, smallest).per(line[position])

    def _exact_difference(self, position: int) -> Sides | None:
        line = np.zeros(len(self.at))
        line[position] = probes.scales(self.program.arguments, self.at)[position]
        found = self.exact.along(line)
        return None if found is None else found.per(line[position])

    # --- values ----------------------------------------------------------------------------------------------

    @functools.cached_property
    def lost_values(self) -> list[WrongValue]:
        """Outputs that are not finite in their own dtypes although the true value is."""
        outputs, values = self.program.outputs, self.program.computed_value
        if np.isfinite(values).all():
            return []
        exact = self.exact.value
        right = self.program.values_with(np.zeros((1, 3)))[0] if exact is None else exact
        with np.errstate(invalid="ignore"):
            lost = ~np.isfinite(values) & (np.abs(right) <= outputs.per_leaf(lambda leaf: leaf.format.max))
        return [WrongValue("value", outputs.name(int(i)), values[i], right[i]) for i in np.flatnonzero(lost)]

    def _compare_values(self, mode: str, value: np.ndarray) -> None:
        """Whether the derivative comes with another value than the function's own."""
        expected = self.program.computed_value
        differs = (relative_error(value, expected) > WRONG) & ~(np.isnan(value) & np.isnan(expected))
        if differs.any():  # by rounding, or by what is meant?
            own, of_rule = self.program.values_meant(mode)
            differs &= ~(relative_error(of_rule, own) <= SUSPICIOUS)
        known = {changed[:2] for changed in self.changed_values}
        for i in np.flatnonzero(differs)[:1]:
            name = self.program.outputs.name(i)
            if (mode, name) not in known:
                self.changed_values.append(WrongValue(mode, name, float(value[i]), float(expected[i])))


def _jitters(results: float, literals: float) -> np.ndarray:
    """Rows of seed, move of results, and move of literals."""
    return np.array([[seed, results, literals] for seed in range(1, _SAMPLES + 1)], np.float64)


def _moves(rows: np.ndarray) -> np.ndarray:
    """How far each row is from the first; 0 where that cannot be told."""
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.abs(rows[1:] - rows[0]), nan=0.0)


def _largest(moves: np.ndarray) -> np.ndarray:
    return moves.max(axis=0)
