"""Forward mode: the tangents of all outputs, along random directions and along some elements."""

from __future__ import annotations

import numpy as np

from stablenn.precision.gradients.findings import Findings
from stablenn.precision.gradients.verdicts import FAILING, NOISE
from stablenn.precision.gradients.witness import Witness
from stablenn.progress import Progress


def tangents(
    witness: Witness, mode: str, directions: list[np.ndarray], positions: np.ndarray, progress: Progress
) -> list[Findings]:
    """Inspect the tangents that `mode` computes along directions, and along the elements at `positions`."""
    lines = [(f"along direction {i}", line) for i, line in enumerate(directions, 1)]
    if len(witness.at) == 1:
        lines = []  # the one element is every direction
    for position in positions:
        line = np.zeros(len(witness.at))
        line[position] = 1.0
        lines.append((f"by {witness.program.arguments.name(position)}", line))
    found = []
    for done, (label, line) in enumerate(lines):
        progress(f"{mode}: {label}", done, len(lines))
        found.append(_tangent(witness, mode, label, line, exactly=done == 0))
    return found


def _tangent(witness: Witness, mode: str, label: str, line: np.ndarray, exactly: bool) -> Findings:
    undefined = ~np.isfinite(witness.program.computed_value)
    sides = witness.exact.along(line) if exactly else None
    found = witness.findings(mode, label, line, None)
    found.undefined = undefined
    everything = range(witness.program.outputs.size)
    if sides is not None:
        for i in everything:
            found.learn_exactly(i, sides, i)
        witness.settle_conditions(found)
    found.grade()
    doubted = [i for i in everything if found.grades[i] in (*FAILING, "unknown") and not undefined[i]]
    if doubted:
        smallest = np.abs(witness.at[(line != 0) & (witness.at != 0)]).min(initial=1.0)
        numeric = witness.along(line, min(smallest, 1.0))
        sides = sides or witness.exact.along(line)
        for i in doubted:
            found.look(i, numeric, i)
            if not found.learn_exactly(i, sides, i):
                found.learn(i, numeric, i)
        found.grade_for_good(witness.exact)
    return found


def disagreement(reverse: Findings, forward: Findings) -> float:
    """How far the two modes are from being transposes, relative to their terms: <w, J v> beside <J'w, v>."""
    w, v = reverse.weights, forward.weights
    left, right = (
        np.where(weights == 0, 0.0, found.evidence.rule) * weights for weights, found in ((w, forward), (v, reverse))
    )
    with np.errstate(all="ignore"):
        size = np.linalg.norm(left) + np.linalg.norm(right)
        noise = np.abs(w) @ forward.evidence.noise + np.abs(v) @ reverse.evidence.noise
        gap = abs(left.sum() - right.sum()) - NOISE * noise
        return float(gap / size) if np.isfinite(gap) and np.isfinite(size) and size > 0 else 0.0
