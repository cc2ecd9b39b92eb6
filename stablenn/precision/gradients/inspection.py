"""One mode of differentiation of one program: the evidence on its derivatives, gathered until each can be graded.

All elements are compared with the derivative of the value at once, in float64 and, where that is affordable, exactly.
Elements that look wrong, and a few of every leaf that do not, are then looked at one by one with differences, which
know no rule of differentiation at all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from stablenn.precision.gradients import probes, verdicts
from stablenn.precision.gradients.differences import Derivative, differentiate
from stablenn.precision.gradients.exactly import ExactDerivatives, Sides
from stablenn.precision.gradients.layout import Layout
from stablenn.precision.gradients.program import Program
from stablenn.precision.gradients.verdicts import FAILING, RIGHT, SUSPICIOUS, Evidence, grade, relative_error

# How often rounding noise and condition are sampled.
_SAMPLES = 4
# How many scalar operations may be spent on elements that look wrong.
_BUDGET = 1_000_000_000
_EXACT_BUDGET = 400_000
_LISTED = 64  # elements that look wrong and are looked at, at least

Progress = Callable[[str, float, float], None]


@dataclasses.dataclass(frozen=True)
class Looked:
    """What differences said of one derivative."""

    numeric: float
    error: float
    near: tuple[tuple[str, str], ...]


@dataclasses.dataclass
class Findings:
    """The graded derivatives of one mode along one line, or of one weighted sum of outputs."""

    mode: str
    label: str
    evidence: Evidence
    grades: np.ndarray
    exact: np.ndarray
    looked: dict[int, Looked]

    @property
    def failing(self) -> np.ndarray:
        return np.flatnonzero(np.isin(self.grades, FAILING))


class Inspector:
    """Gathers the evidence on one program."""

    def __init__(self, program: Program, exact: ExactDerivatives, coordinates, generator, progress: Progress) -> None:
        self.program = program
        self.exact = exact
        self.at = program.at
        self.progress = progress
        self.notes: list[str] = []
        with np.errstate(invalid="ignore"):
            self.defined = bool(np.all(np.isfinite(program.computed_value)))
            finite = np.isfinite(program.computed_value)
        signs = generator.choice((-1.0, 1.0), program.outputs.size)
        self.weights = np.where(finite, signs if program.outputs.size > 1 else 1.0, 0.0)
        self.everything = coordinates == "all"
        self.positions = probes.elements(program.arguments, self.at, coordinates, generator)
        self.lines = [probes.direction(program.arguments, self.at, generator) for _ in range(2)]
        self.tangents = [np.where(np.isfinite(self.at), np.sign(line), 0.0) for line in self.lines]
        self._generator = generator
        self._differences: dict[int, Derivative] = {}
        self._along: dict[int, Sides | None] = {}

    # --- what both modes share -------------------------------------------------------------------------------

    def _rule(self, mode: str, weights) -> dict[str, np.ndarray]:
        """The rule in float64, its noise, and how far literals, and one ulp of arguments and weights, move it."""
        still, rounded = np.zeros((1, 3)), _jitters((0.0, 2.0**-52, 0.0), _SAMPLES)
        reworded = _jitters((0.0, 0.0, 1.0), _SAMPLES)
        jitters = np.concatenate([still, rounded, reworded, np.zeros((_SAMPLES, 3))])
        arguments, outputs = self.program.arguments, self.program.outputs
        side = outputs if mode == "rev" else arguments
        points, along = (np.tile(vector, (len(jitters), 1)) for vector in (self.at, weights))
        points[-_SAMPLES:] = self._nudged(arguments, self.at)
        along[-_SAMPLES:] = self._nudged(side, weights)
        rows = self.program.meant("rule", mode)(points, along, jitters)
        with np.errstate(all="ignore"):
            moved = np.nan_to_num(np.abs(rows - rows[0]), nan=0.0)
        noise, literals, condition = (part.max(0) for part in np.split(moved[1:], 3))
        return dict(rule=rows[0], noise=noise, literals=literals, condition=condition)

    def _nudged(self, layout: Layout, vector: np.ndarray) -> np.ndarray:
        eps = layout.per_leaf(lambda leaf: max(leaf.format.eps / 2, 2.0**-52))
        return vector * (1 + eps * self._generator.uniform(-1, 1, (_SAMPLES, len(vector))))

    def _own(self, mode: str, weights, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The derivative of the value in float64 and its noise; NaN where JAX cannot differentiate the value."""
        jitters = np.concatenate([np.zeros((1, 3)), _jitters((0.0, 2.0**-52, 0.0), _SAMPLES)])
        points, along = (np.tile(vector, (len(jitters), 1)) for vector in (self.at, weights))
        try:
            rows = self.program.meant("own", mode)(points, along, jitters)
        except (TypeError, ValueError, NotImplementedError) as error:
            if (reason := _first_line(error)) != self.exact.why_not:
                self.notes.append(f"JAX cannot differentiate the value itself in mode {mode}: {reason}")
            return np.full(size, np.nan), np.zeros(size)
        with np.errstate(all="ignore"):
            return rows[0], np.nan_to_num(np.abs(rows - rows[0]), nan=0.0).max(0)

    def _value_noise(self) -> np.ndarray:
        if not hasattr(self, "_noise"):
            n, samples = len(self.at), 2
            jitter = 2.0**-50 * self._generator.uniform(-1, 1, (samples, n))
            values, _ = self.program.sampler(np.concatenate([self.at[None], self.at * (1 + jitter)]), self.at)
            with np.errstate(all="ignore"):
                self._noise = np.nan_to_num(np.abs(values - values[0]), nan=0.0, posinf=0.0).max(0)
        return self._noise

    def _difference(self, position: int) -> Derivative:
        """The float64 differences of all outputs by one element."""
        if position not in self._differences:
            line, smallest = probes.line_through(position, self.program.arguments, self.at)
            found = differentiate(self.program, line, smallest, self._value_noise())
            unit = line[position]
            parts = (found.value / unit, found.error / unit, found.left / unit, found.right / unit)
            self._differences[position] = Derivative(*parts, found.kink, found.near)
        return self._differences[position]

    def _exact_difference(self, position: int) -> Sides | None:
        if position not in self._along:
            line = np.zeros(len(self.at))
            line[position] = probes.scales(self.program.arguments, self.at)[position]
            found = self.exact.along(line)
            unit = line[position]
            self._along[position] = found and Sides(
                found.value / unit, found.left / unit, found.right / unit, found.kink
            )
        return self._along[position]

    # --- reverse mode ----------------------------------------------------------------------------------------

    def reverse(self) -> Findings:
        """The gradient of a sum of the outputs with random signs: every element of it."""
        program, weights = self.program, self.weights
        self.progress("rev: derivatives", 0, 3)
        value, computed = program.computed("rev", weights)
        self._compare_values("rev", value)
        rule = self._rule("rev", weights)
        self.progress("rev: derivatives of the value", 1, 3)
        own, own_noise = self._own("rev", weights, len(self.at))
        exact = self.exact.own("rev", weights)
        exact = np.full(len(self.at), np.nan) if exact is None else exact
        exact = self._confirmed(exact)
        self.progress("rev: elements", 2, 3)
        evidence = _evidence(program.arguments, computed, own, own_noise, exact, **rule)
        found = Findings("rev", "", evidence, grade(evidence, defined=self.defined), exact, {})
        self._settle(found, weights, lambda position: position)
        self._follow_directions(found)
        return found

    def _settle(self, found: Findings, weights, element: Callable[[int], int]) -> None:
        """Look at the sampled elements and at those that look wrong, then grade again."""
        suspects = self._suspects(found)
        wanted = dict.fromkeys([*suspects, *self.positions])
        exactly = set(suspects[: max(1, _EXACT_BUDGET // max(self.program.work, 1))])
        for done, position in enumerate(wanted):
            self.progress("rev: elements", 2 + done / len(wanted), 3)
            self._look(found, int(position), weights, exactly=position in exactly or self.everything)
        self._grade_again(found, "rev", weights)
        unseen = np.setdiff1d(found.failing, list(found.looked))
        owners = self.program.arguments.owners
        for leaf in np.unique(owners[unseen]):
            seen = [i for i in suspects if owners[i] == leaf]
            if seen and not np.isin(found.grades[seen], FAILING).any():
                # whatever made those look wrong, such as kinks, is likely to be the same for the rest
                found.grades[unseen[owners[unseen] == leaf]] = "unknown"

    def _suspects(self, found: Findings) -> list[int]:
        """Elements that look wrong, as many as the budget allows, those of every kind first."""
        failing = found.failing
        failing = failing[np.isfinite(self.at[failing])]
        room = int(max(_LISTED, _BUDGET // (12 * max(self.program.work, 1))))
        if len(failing) <= room or self.everything:
            return [int(i) for i in failing]
        evidence = found.evidence[failing]
        with np.errstate(all="ignore"):
            ratio = np.round(np.log2(np.abs(np.nan_to_num(evidence.rule / evidence.true, nan=-1.0)) + 1e-9) * 4)
        kinds: dict[tuple, list[int]] = {}
        for i in self._generator.permutation(len(failing)):
            key = (self.program.arguments.owners[failing[i]], ratio[i], np.sign(evidence.rule[i]))
            kinds.setdefault(key, []).append(int(failing[i]))
        ordered = [i for depth in range(room) for kind in kinds.values() for i in kind[depth : depth + 1]]
        return ordered[:room]

    def _look(self, found: Findings, position: int, weights, exactly: bool) -> None:
        """Replace what is known of the true derivative of one element by what differences say."""
        e = found.evidence
        numeric = self._difference(position).contract(weights)
        found.looked[position] = Looked(float(numeric.value[0]), float(numeric.error[0]), numeric.near)
        if exactly and (sides := self._exact_difference(position)) is not None:
            sides = sides.contract(weights)
            if _tell(sides, position, e, found.exact):
                return
        if np.isfinite(found.exact[position]):
            sides = self._exact_difference(position) if numeric.kink[0] else None
            if sides is None or _tell(sides.contract(weights), position, e, found.exact):
                return
        if numeric.kink[0]:
            e.left[position], e.right[position] = numeric.left[0], numeric.right[0]
        elif np.isfinite(numeric.error[0]) and _settles(numeric, e, position):
            e.true[position], e.error[position] = numeric.value[0], numeric.error[0]

    def _grade_again(self, found: Findings, mode: str, weights) -> None:
        """Grade with all that is known; before a rule is called wrong, it is evaluated exactly where that can be."""
        found.grades[:] = grade(found.evidence, defined=self.defined)
        doubted = np.isin(found.grades, ("wrong", "suspicious", "vanished"))
        if doubted.any() and (rule := self.exact.rule(mode, weights)) is not None:
            known = doubted & np.isfinite(rule)
            found.evidence.rule[known] = rule[known]
            found.evidence.noise[known] = 0.0
            found.grades[:] = grade(found.evidence, defined=self.defined)

    def _confirmed(self, exact: np.ndarray) -> np.ndarray:
        """Exact gradients, if the exact difference along a random direction agrees with them."""
        line = np.where(np.isnan(exact), 0.0, self.lines[0])
        if not line.any() or (sides := self.exact.along(line)) is None:
            return exact
        sides = sides.contract(self.weights)
        if sides.kink[0] or not np.isfinite(sides.value[0]):
            return exact
        terms = np.where(line == 0, 0.0, exact) * line
        if abs(terms.sum() - sides.value[0]) <= 1e-9 * np.abs(terms).sum() + 2.0**-1000:
            return exact
        self.notes.append("the exact difference contradicts JAX's own derivative of a primitive: differences decide")
        return np.full_like(exact, np.nan)

    def _follow_directions(self, found: Findings) -> None:
        """Where no element looks wrong but a direction does, find the element by halving."""
        for line in self.lines:
            if len(found.failing) or not line.any():
                return
            gap, size = self._gap(found, line)
            if gap <= RIGHT * size:
                continue
            inside = np.flatnonzero(line)
            while len(inside) > 1:
                halves = np.array_split(inside, 2)
                inside = max(halves, key=lambda half: self._gap(found, _only(half, line))[0])
            self._look(found, int(inside[0]), self.weights, exactly=True)
            self._grade_again(found, "rev", self.weights)

    def _gap(self, found: Findings, line: np.ndarray) -> tuple[float, float]:
        """How far the rule is from the difference along a line, for no known reason, and the size of its terms."""
        numeric = differentiate(self.program, line, 1.0, self._value_noise()).contract(self.weights)
        e = found.evidence
        moved = line != 0
        with np.errstate(all="ignore"):
            terms = np.where(moved, e.rule, 0.0) * line
            size = np.linalg.norm(terms) + abs(numeric.value[0])
            noise = 16 * np.sum(np.where(moved, e.noise, 0.0) * np.abs(line))
            gap = abs(terms.sum() - numeric.value[0]) - 4 * numeric.error[0] - noise
        if numeric.kink[0] or not np.isfinite(gap) or not np.isfinite(size):
            return 0.0, 1.0
        return max(gap, 0.0), size

    # --- forward mode ----------------------------------------------------------------------------------------

    def forward(self, mode: str, elements: int) -> list[Findings]:
        """Tangents of all outputs: along random directions, and along some elements."""
        lines = [(f"along direction {i + 1}", tangent) for i, tangent in enumerate(self.tangents)]
        if len(self.at) == 1:
            lines = []  # the one element is every direction
        chosen = self.positions if self.everything else self.positions[:elements]
        for position in chosen:
            line = np.zeros(len(self.at))
            line[position] = 1.0
            lines.append((f"by {self.program.arguments.name(position)}", line))
        found = []
        for done, (label, line) in enumerate(lines):
            self.progress(f"{mode}: {label}", done, len(lines))
            found.append(self._tangent(mode, label, line, exactly=done == 0))
        return found

    def _tangent(self, mode: str, label: str, line: np.ndarray, exactly: bool) -> Findings:
        program, count = self.program, self.program.outputs.size
        value, computed = program.computed(mode, line)
        self._compare_values(mode, value)
        rule = self._rule(mode, line)
        own, own_noise = self._own(mode, line, count)
        nothing = np.full(count, np.nan)
        sides = self.exact.along(line) if exactly else None
        exact = nothing if sides is None else np.where(sides.kink, nothing, sides.value)
        evidence = _evidence(program.outputs, computed, own, own_noise, exact, **rule)
        undefined = ~np.isfinite(program.computed_value)
        found = Findings(mode, label, evidence, np.array([]), np.array(exact), {})
        self._sides_of(evidence, sides)
        found.grades = grade(evidence, defined=self.defined)
        looks_wrong = np.isin(found.grades, [*FAILING, "unknown"]) & ~undefined
        if looks_wrong.any():
            smallest = np.abs(self.at[(line != 0) & (self.at != 0)]).min(initial=1.0)
            numeric = differentiate(program, line, min(smallest, 1.0), self._value_noise())
            if sides is None and (sides := self.exact.along(line)) is not None:
                for i in np.flatnonzero(looks_wrong):
                    _tell(sides, i, evidence, found.exact)
            for i in np.flatnonzero(looks_wrong):
                found.looked[int(i)] = Looked(float(numeric.value[i]), float(numeric.error[i]), numeric.near)
                if numeric.kink[i] and not np.isfinite(found.exact[i]):
                    evidence.left[i], evidence.right[i] = numeric.left[i], numeric.right[i]
                elif np.isnan(found.exact[i]) and _settles(numeric, evidence, int(i)):
                    evidence.true[i], evidence.error[i] = numeric.value[i], numeric.error[i]
            self._grade_again(found, mode, line)
        found.grades[undefined] = "undefined"
        return found

    @staticmethod
    def _sides_of(evidence: Evidence, sides: Sides | None) -> None:
        if sides is not None:
            kinks = sides.kink & np.isfinite(sides.left) & np.isfinite(sides.right)
            evidence.left[kinks], evidence.right[kinks] = sides.left[kinks], sides.right[kinks]

    # --- values ----------------------------------------------------------------------------------------------

    def _compare_values(self, mode: str, value: np.ndarray) -> None:
        """Whether the derivative comes with another value than the function's own."""
        expected = self.program.computed_value
        differs = (relative_error(value, expected) > verdicts.WRONG) & ~(np.isnan(value) & np.isnan(expected))
        if differs.any():
            own, of_rule = self.program.values_meant(mode)
            differs &= ~(relative_error(of_rule, own) <= SUSPICIOUS)
        if differs.any():
            i = int(np.flatnonzero(differs)[0])
            self.changed.append((mode, self.program.outputs.name(i), float(value[i]), float(expected[i])))

    @property
    def changed(self) -> list[tuple[str, str, float, float]]:
        """Modes whose value is not that of the function, with output, value and what is right."""
        return self.__dict__.setdefault("_changed", [])

    def transposes(self, reverse: Findings, forward: Findings) -> float:
        """How far the two modes contradict each other along the first direction, relative to the terms."""
        tangent = self.tangents[0]
        left = self.weights * np.where(self.weights == 0, 0.0, forward.evidence.rule)
        right = tangent * np.where(tangent == 0, 0.0, reverse.evidence.rule)
        with np.errstate(all="ignore"):
            size = np.linalg.norm(left) + np.linalg.norm(right)
            noise = np.abs(self.weights) @ forward.evidence.noise + np.abs(tangent) @ reverse.evidence.noise
            gap = abs(left.sum() - right.sum()) - 16 * noise
            return float(gap / size) if np.isfinite(gap) and np.isfinite(size) and size > 0 else 0.0


def _jitters(size: tuple[float, float, float], count: int) -> np.ndarray:
    """Rows of seed, move of results, and move of literals."""
    rows = np.tile(size, (count, 1))
    rows[:, 0] = np.arange(1, count + 1)
    return rows


def _evidence(layout, computed, own, own_noise, exact, *, rule, noise, literals, condition) -> Evidence:
    known = ~np.isnan(exact)
    largest = np.array([np.abs(rule[layout.owners == i]).max(initial=0.0) for i in range(len(layout.leaves))])
    zero = np.where(known, exact, own) == 0
    noise = np.where(zero, np.fmax(noise, 2.0**-50 * np.nan_to_num(largest[layout.owners], posinf=0.0)), noise)
    nothing = np.full(len(computed), np.nan)
    return Evidence(
        computed=computed,
        rule=rule.copy(),
        noise=noise,
        literals=literals,
        true=np.where(known, exact, own),
        error=np.where(known, 0.0, 16 * own_noise),
        left=nothing.copy(),
        right=nothing.copy(),
        condition=condition,
        terms=noise * 2.0**52,
        tiny=layout.per_leaf(lambda leaf: leaf.format.tiny),
        largest=layout.per_leaf(lambda leaf: leaf.format.max),
    )


def _tell(sides: Sides, i: int, evidence: Evidence, exact: np.ndarray) -> bool:
    """Put what exact differences say of one derivative into the evidence; False where they say nothing."""
    at = 0 if len(sides.value) == 1 else i
    if sides.kink[at] and np.isfinite(sides.left[at]) and np.isfinite(sides.right[at]):
        evidence.left[i], evidence.right[i] = sides.left[at], sides.right[at]
        return True
    if not np.isfinite(sides.value[at]):
        return False
    exact[i] = evidence.true[i] = sides.value[at]
    evidence.error[i] = 0.0
    return True


def _settles(numeric: Derivative, evidence: Evidence, i: int) -> bool:
    """Whether a difference is more certain than what it would replace, or decides between that and the rule."""
    at = 0 if len(numeric.value) == 1 else i
    if np.isnan(evidence.true[i]):
        return bool(np.isfinite(numeric.error[at]))
    with np.errstate(invalid="ignore"):
        return bool(numeric.error[at] < 0.1 * abs(evidence.rule[i] - evidence.true[i]))


def _only(positions: np.ndarray, line: np.ndarray) -> np.ndarray:
    """The line with nothing but these positions moving."""
    kept = np.zeros_like(line)
    kept[positions] = line[positions]
    return kept


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
