"""What a gradient check found: plain data, and its text."""

from __future__ import annotations

import collections
import dataclasses
import io
import math
from collections.abc import Mapping

from stablenn.precision.gradients.verdicts import FAILING, GRADES

# How many derivatives a text shows.
_SHOWN = 12
_WIDTH = 118


@dataclasses.dataclass(frozen=True)
class Derivative:
    """One derivative: as differentiation, as differences have it, and exactly.

    Attributes:
      mode: "rev", "fwd" or "lin"; of the gradient of which order, for orders above 1.
      name: the element, such as ``args[0]['w'][3, 1]``; in forward mode the output, and along what.
      analytic: what differentiation gave, as the device computed it.
      numeric: the float64 difference, NaN where this element was not looked at by itself.
      exact: the exact derivative, NaN where there is none.
      true: what the verdict is based on: the exact derivative, or the float64 one that is most certain.
      relative_error: |analytic - true| / max(|analytic|, |true|).
      ulp: |analytic - true| in units in the last place of the dtype.
      verdict: one of those in `stablenn.precision.gradients.verdicts.GRADES`, which says what each means.
      wrong_side: "rule" (the formula of the derivative), "rounding" (the formula is right, its evaluation is not),
        "difference" (the derivative is right, the float64 difference is far off), or "".
      left, right: the one-sided derivatives at a kink, NaN elsewhere.
      where: the primitive and source line whose choice changes nearby, if any does.
    """

    mode: str
    name: str
    analytic: float
    numeric: float
    exact: float
    true: float
    relative_error: float
    ulp: float
    verdict: str
    wrong_side: str = ""
    left: float = math.nan
    right: float = math.nan
    where: str = ""

    @property
    def ok(self) -> bool:
        return self.verdict not in FAILING


@dataclasses.dataclass(frozen=True)
class GradReport:
    """What `grad_report` returns.

    Attributes:
      derivatives: those that fail, and those that were looked at one by one.
      counts: how many derivatives were graded how, all elements included.
      notes: what could not be checked, and how the check was done.
      terms: the reports of the terms, by name.
    """

    derivatives: tuple[Derivative, ...]
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()
    terms: Mapping[str, GradReport] = dataclasses.field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether no derivative fails, in the function and in each of its terms."""
        return not any(self.counts.get(name) for name in FAILING) and all(term.ok for term in self.terms.values())

    @property
    def told(self) -> bool:
        """Whether the check told right from wrong for any derivative at all."""
        silent = ("unknown", "undefined")
        return not self.counts or any(count for name, count in self.counts.items() if name not in silent)

    @property
    def failures(self) -> tuple[Derivative, ...]:
        """The derivatives that fail, the gravest first."""
        return tuple(d for d in self.derivatives if not d.ok)

    def __str__(self) -> str:
        parts = [self._headline(), *([_table(self.derivatives)] if self.derivatives else [])]
        verdicts = dict.fromkeys(d.verdict for d in self.derivatives if d.verdict != "right")
        parts += [f"{verdict}: {GRADES[verdict]}" for verdict in verdicts]
        parts += [f"note: {note}" for note in self.notes]
        for name, term in self.terms.items():
            parts += ["", f"term {name!r}: {term}"]
        return "\n".join(parts)

    def _headline(self) -> str:
        total = sum(self.counts.values())
        failing = {name: self.counts[name] for name in FAILING if self.counts.get(name)}
        if failing:
            said = ", ".join(f"{count:,} {name}" for name, count in failing.items())
            return f"gradient check failed: {said} of {total:,} derivatives"
        others = {name: count for name, count in self.counts.items() if count and name != "right"}
        said = "".join(f", {count:,} {name}" for name, count in others.items())
        if not self.told:
            return f"gradient check told nothing{said}"
        return f"gradient check passed: {self.counts.get('right', 0):,} of {total:,} derivatives right{said}"


def _table(derivatives: tuple[Derivative, ...]) -> str:
    import rich.box
    import rich.console
    from rich.table import Table

    table = Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in ("mode", "derivative", "analytic", "numeric", "exact", "rel. error", "ULP", "verdict"):
        table.add_column(column, justify="left" if column in ("mode", "derivative", "verdict") else "right")
    for d in derivatives[:_SHOWN]:
        numbers = [f"{d.analytic:.9g}", _spell(d.numeric, 9), _spell(d.exact, 9)]
        verdict = d.verdict + (f" ({d.wrong_side})" if d.wrong_side else "")
        if not math.isnan(d.left):
            verdict += f": left {d.left:.4g}, right {d.right:.4g}"
        if d.where:
            verdict += f", {d.where}"
        table.add_row(d.mode, d.name, *numbers, _spell(d.relative_error, 2), _spell(d.ulp, 3), verdict)
    text = io.StringIO()
    console = rich.console.Console(file=text, width=_WIDTH, color_system=None, markup=False, emoji=False)
    console.print(table, highlight=False)
    more = len(derivatives) - _SHOWN
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    return "\n".join(lines + ([f"… and {more:,} more in .derivatives"] if more > 0 else []))


def _spell(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}g}"


def merged(reports: Mapping[str, GradReport] | list[GradReport], notes: tuple[str, ...] = ()) -> GradReport:
    """Several reports of one function, such as those of its orders, as one."""
    listed = list(reports.values()) if isinstance(reports, Mapping) else reports
    counts: collections.Counter[str] = collections.Counter()
    for report in listed:
        counts.update(report.counts)
    derivatives = sorted((d for report in listed for d in report.derivatives), key=lambda d: d.ok)
    all_notes = dict.fromkeys([*notes, *(note for report in listed for note in report.notes)])
    return GradReport(tuple(derivatives), dict(counts), tuple(all_notes))
