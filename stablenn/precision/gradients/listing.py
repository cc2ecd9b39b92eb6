"""From what an inspection found to what a report says, element by element."""

from __future__ import annotations

import collections

import numpy as np

from stablenn import floats
from stablenn.interpret.walker import UNKNOWN_LINE
from stablenn.precision.gradients.findings import Findings
from stablenn.precision.gradients.forward import disagreement
from stablenn.precision.gradients.layout import Layout
from stablenn.precision.gradients.report import Derivative
from stablenn.precision.gradients.verdicts import FAILING, SUSPICIOUS, WRONG, relative_error, rule_error
from stablenn.precision.gradients.witness import Witness

# Failing derivatives that a report lists one by one; all are counted.
_LISTED = 1000
# Others that are not just right: a few of each mode and direction.
_REMARKABLE = 3


def listed(witness: Witness, findings: list[Findings], label: str) -> tuple[list[Derivative], dict[str, int]]:
    """The derivatives to show, failures first, and how many were graded how."""
    program = witness.program
    counts: collections.Counter[str] = collections.Counter()
    derivatives: list[Derivative] = []
    for found in findings:
        layout = program.arguments if found.mode == "rev" else program.outputs
        counts.update(collections.Counter(map(str, found.grades)))
        remarkable = np.flatnonzero(~np.isin(found.grades, ("right", *FAILING)))[:_REMARKABLE]
        shown = dict.fromkeys(map(int, [*found.failing[:_LISTED], *remarkable, *found.looked])) or {0: None}
        derivatives += [_one(layout, found, i, label) for i in shown]
    for verdict, side, values in (
        ("changed value", "rule", witness.changed_values),
        ("lost value", "rounding", witness.lost_values),
    ):
        for mode, output, value, right in values:
            counts[verdict] += 1
            error = float(relative_error(value, right))
            numbers = (value, np.nan, np.nan, right, error, np.nan)
            derivatives.append(Derivative(label + mode, output, *numbers, verdict, side))
    reverse = next((f for f in findings if f.mode == "rev"), None)
    forward = next((f for f in findings if f.mode != "rev"), None)
    if reverse and forward and not any(counts[name] for name in FAILING):
        gap = disagreement(reverse, forward)
        if gap > SUSPICIOUS:
            counts["not transposes"] += 1
            derivatives.append(
                Derivative(
                    *(label + "fwd, rev", "direction 1", np.nan, np.nan, np.nan, np.nan),
                    *(gap, np.nan, "not transposes", "rule"),
                )
            )
    derivatives.sort(key=lambda d: (d.ok, d.verdict == "right", -d.relative_error if not d.ok else 0.0))
    return derivatives, {name: count for name, count in counts.items() if count}


def _one(layout: Layout, found: Findings, i: int, label: str) -> Derivative:
    e = found.evidence[i]
    computed, true = float(e.computed), float(e.true)
    looked = found.looked.get(i)
    verdict = str(found.grades[i])
    numeric = looked.numeric if looked and looked.error < 0.1 * abs(looked.numeric) + np.abs(e.tiny) else np.nan
    side = ""
    if verdict in FAILING:
        broken = verdict == "not linear" or not np.isfinite(e.rule) or rule_error(e) > SUSPICIOUS
        side = "rule" if broken else "rounding"
    elif looked and verdict in ("right", "fair") and looked.error < np.inf:
        side = "difference" if relative_error(numeric, true) > WRONG and true != 0 else ""
    fmt = layout.leaves[layout.owners[i]].format
    size = min(max(abs(true), float(e.floor)), fmt.max)
    with np.errstate(all="ignore"):
        ulps = abs(computed - true) / float(floats.ulp(size, fmt.dtype))
    near = looked.near if looked and (verdict == "kink" or verdict in FAILING) else ()
    where = next((f"{p} at {line}" for p, line in near if line != UNKNOWN_LINE), near[0][0] if near else "")
    return Derivative(
        mode=label + found.mode,
        name=layout.name(i) + (f" {found.label}" if found.label else ""),
        analytic=computed,
        numeric=numeric,
        exact=float(found.exact[i]),
        true=true,
        relative_error=float(relative_error(computed, true, e.floor)),
        ulp=ulps,
        verdict=verdict,
        wrong_side=side,
        left=float(e.left) if verdict in ("kink", "wrong") else np.nan,
        right=float(e.right) if verdict in ("kink", "wrong") else np.nan,
        where=where,
    )
