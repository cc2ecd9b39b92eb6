"""Reverse mode: the gradient of a sum of the outputs with random signs, every element of it.

All elements are compared with the derivative of the value at once, in float64 and, where that is affordable, exactly.
Elements that look wrong, and a few of every leaf that do not, are then looked at one by one with differences, which
know no rule of differentiation at all.
"""

from __future__ import annotations

import numpy as np

from stablenn.precision.gradients.findings import Findings
from stablenn.precision.gradients.verdicts import FAILING, NOISE, RIGHT
from stablenn.precision.gradients.witness import Witness
from stablenn.progress import Progress

# How many scalar operations may be spent on elements that look wrong.
_BUDGET = 1_000_000_000
_EXACT_BUDGET = 400_000
# How many of them are looked at in any case.
_AT_LEAST = 64


def gradients(
    witness: Witness,
    weights: list[np.ndarray],
    positions: np.ndarray,
    lines: list[np.ndarray],
    everything: bool,
    progress: Progress,
) -> list[Findings]:
    """Inspect the gradients of weighted outputs; those of further weights only count if something fails there alone.

    Args:
      witness: tells what is known of the program.
      weights: of the outputs.
      positions: elements to look at one by one.
      lines: directions on which nothing may be hidden.
      everything: whether no element that looks wrong may be left out.
      progress: called with what is being done, how much of it is done, and of how much.
    """
    progress("rev: all elements", 0, 2)
    exact = _confirmed(witness, witness.exact.own("rev", weights[0]), weights[0], lines[0])
    found = witness.findings("rev", "", weights[0], exact)
    witness.settle_conditions(found)
    _settle(witness, found, positions, everything, progress)
    _follow(witness, found, lines)
    if len(found.failing):
        return [found]
    others = [witness.findings("rev", "(other weights)", more, None) for more in weights[1:]]
    for other in others:
        _settle(witness, other, positions[:0], everything, progress)
    return [found, *(other for other in others if len(other.failing))]


def _settle(witness: Witness, found: Findings, positions, everything: bool, progress: Progress) -> None:
    """Look at elements one by one, and grade for good."""
    suspects = _suspects(witness, found, everything)
    exactly = set(suspects if everything else suspects[: max(1, _EXACT_BUDGET // max(witness.program.work, 1))])
    wanted = dict.fromkeys([*suspects, *map(int, positions)])
    for done, position in enumerate(wanted):
        progress("rev: element by element", 1 + done / len(wanted), 2)
        _look(witness, found, position, exactly=position in exactly)
    found.grade_for_good(witness.exact)
    _grade_unseen(witness, found, suspects)


def _confirmed(witness: Witness, exact: np.ndarray | None, weights, line: np.ndarray) -> np.ndarray | None:
    """Exact gradients, if the exact difference along a line agrees with them."""
    if exact is None:
        return None
    line = np.where(np.isnan(exact), 0.0, line)
    if not line.any() or (sides := witness.exact.along(line)) is None:
        return exact
    sides = sides.contract(weights)
    if sides.kink[0] or not np.isfinite(sides.value[0]):
        return exact
    terms = np.where(line == 0, 0.0, exact) * line
    if abs(terms.sum() - sides.value[0]) <= 1e-9 * np.abs(terms).sum() + 2.0**-1000:
        return exact
    witness.notes.append("the exact difference contradicts JAX's own derivative of a primitive: differences decide")
    return None


def _suspects(witness: Witness, found: Findings, everything: bool) -> list[int]:
    """Elements that look wrong, as many as the budget allows, those of every kind first."""
    failing = found.failing
    failing = failing[np.isfinite(witness.at[failing])]
    room = int(max(_AT_LEAST, _BUDGET // (12 * max(witness.program.work, 1))))
    if len(failing) <= room or everything:
        return [int(i) for i in failing]
    evidence = found.evidence[failing]
    with np.errstate(all="ignore"):
        ratio = np.round(np.log2(np.abs(np.nan_to_num(evidence.rule / evidence.true, nan=-1.0)) + 1e-9) * 4)
    kinds: dict[tuple, list[int]] = {}
    for i in witness.generator.permutation(len(failing)):
        key = (witness.program.arguments.owners[failing[i]], ratio[i], np.sign(evidence.rule[i]))
        kinds.setdefault(key, []).append(int(failing[i]))
    ordered = [i for depth in range(room) for kind in kinds.values() for i in kind[depth : depth + 1]]
    return ordered[:room]


def _look(witness: Witness, found: Findings, position: int, exactly: bool) -> None:
    """Replace what is known of the true derivative by one element with what differences say."""
    numeric = witness.difference(position).contract(found.weights)
    found.look(position, numeric, 0)
    found.undefined[position] = bool(numeric.moves[~np.isfinite(witness.program.computed_value)].any())
    exact_is_known = bool(np.isfinite(found.exact[position]))
    if exactly or (exact_is_known and numeric.kink[0]):
        sides = witness.exact_difference(position)
        if found.learn_exactly(position, sides and sides.contract(found.weights), 0):
            return
    if not exact_is_known or numeric.kink[0]:
        found.learn(position, numeric, 0)


def _grade_unseen(witness: Witness, found: Findings, suspects: list[int]) -> None:
    """Whatever made the elements of a leaf look wrong that are not, such as kinks, may be the same for the rest."""
    unseen = np.setdiff1d(found.failing, list(found.looked))
    owners = witness.program.arguments.owners
    for leaf in np.unique(owners[unseen]):
        seen = [i for i in suspects if owners[i] == leaf]
        if seen and not np.isin(found.grades[seen], FAILING).any():
            found.grades[unseen[owners[unseen] == leaf]] = "unknown"


def _follow(witness: Witness, found: Findings, lines: list[np.ndarray]) -> None:
    """Where no element looks wrong but a direction does, find the element by halving."""
    for line in lines:
        if len(found.failing) or not line.any():
            return
        gap, size = _gap(witness, found, line)
        if gap <= RIGHT * size:
            continue
        inside = np.flatnonzero(line)
        while len(inside) > 1:
            halves = np.array_split(inside, 2)
            inside = max(halves, key=lambda half: _gap(witness, found, _only(half, line))[0])
        _look(witness, found, int(inside[0]), exactly=True)
        found.grade_for_good(witness.exact)


def _gap(witness: Witness, found: Findings, line: np.ndarray) -> tuple[float, float]:
    """How far the rule is from the difference along a line, for no known reason, and the size of its terms."""
    numeric = witness.along(line).contract(found.weights)
    moved = line != 0
    with np.errstate(all="ignore"):
        terms = np.where(moved, found.evidence.rule, 0.0) * line
        size = np.linalg.norm(terms) + abs(numeric.value[0])
        noise = NOISE * np.sum(np.where(moved, found.evidence.noise, 0.0) * np.abs(line))
        gap = abs(terms.sum() - numeric.value[0]) - 4 * numeric.error[0] - noise
    if numeric.kink[0] or not np.isfinite(gap) or not np.isfinite(size):
        return 0.0, 1.0
    return max(gap, 0.0), size


def _only(positions: np.ndarray, line: np.ndarray) -> np.ndarray:
    """The line with nothing but these positions moving."""
    kept = np.zeros_like(line)
    kept[positions] = line[positions]
    return kept
