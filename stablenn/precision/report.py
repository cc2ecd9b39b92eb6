"""Show what was measured: records become a table of the terminal. Reads plain data, measures nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from stablenn import floats
from stablenn.precision.record import Accuracy, Case, Record, Run

_ALL = "all"  # every digit is wrong
_PAIR = 13  # width of "ours | peer"
_FIXED = 51  # of a row, all but the function's name and the worst input
_NARROW = 8  # a worst input in less room says nothing
_SHORT = {"bfloat16": "bf16", "float16": "f16", "float32": "f32", "float64": "f64"}


class Row(NamedTuple):
    """One function in one dtype: the records of ours and of its first peer, by quantity."""

    function: str
    dtype: str
    ours: dict[str, Record]
    peer: dict[str, Record]

    @property
    def advantage(self) -> float:
        """How many times larger the peer's error is, in value or gradient, a wrong special counting as infinite."""
        ratios = []
        for quantity, theirs in self.peer.items():
            ours = self.ours[quantity].accuracy.judged_ulp
            ratios.append(theirs.accuracy.judged_ulp / max(ours, 0.5) if math.isfinite(ours) else 0.0)
        return max(ratios, default=0.0)

    @property
    def worst(self) -> Case | None:
        """The case to show: where every digit of a number is wrong, else where a NaN is, else the largest error."""
        records = [*self.ours.values(), *self.peer.values()]
        cases = [case for record in records for case in record.accuracy.worst]
        lost = [case for case in cases if _all_wrong(case.ulps, self.dtype) and math.isfinite(case.ulps)]
        return max(lost or cases, key=lambda case: case.ulps, default=None)


def rows_of(records: Iterable[Record]) -> list[Row]:
    """The rows, the largest advantage first."""
    rows: dict[tuple[str, str], Row] = {}
    for record in records:
        key = record.function, record.accuracy.dtype
        row = rows.setdefault(key, Row(*key, {}, {}))
        (row.ours if record.is_ours else row.peer).setdefault(record.accuracy.quantity, record)
    return sorted(rows.values(), key=lambda row: (-row.advantage, row.function, row.dtype))


def spell_ulp(accuracy: Accuracy) -> str:
    """A figure as the tables have it: [n] for scaled errors, "all" when every digit is wrong."""
    error = accuracy.shown_ulp
    if _all_wrong(error, accuracy.dtype):
        text = _ALL
    elif error < 9.95:
        text = f"{error:.1f}"
    else:
        text = f"{error:.0f}" if error < 9999 else _short_exponent(f"{error:.0e}")
    return text if accuracy.max_scaled_ulp is None else f"[{text}]"


def _all_wrong(error: float, dtype: str) -> bool:
    return error >= 2.0 ** (floats.format_of(dtype).precision - 1)


def _lost(accuracy: Accuracy) -> bool:
    return spell_ulp(accuracy).strip("[]") == _ALL


def _short_exponent(text: str) -> str:
    return text.replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def spell_input(case: Case | None) -> str:
    """The inputs of a case in a few characters."""
    if case is None:
        return ""
    return ", ".join(_spell_array(np.asarray(value)) for value in case.inputs)


def _spell_array(array: np.ndarray) -> str:
    """A scalar, or the smallest and largest entries of an array."""
    values = array.astype(np.float64).ravel()
    if array.ndim == 0 or np.isnan(values).any():
        return _short_exponent(f"{values.max():.5g}")
    return _short_exponent(f"[{values.min():.3g}..{values.max():.3g}]")


def legend() -> list[str]:
    """What the figures mean, a line each."""
    return [
        "Largest error in units in the last place (ULP) against the exact value; 0.5 is correctly rounded.",
        "[n]: in ULP of the largest term, where the result is a difference.   all: every digit is wrong.",
        "wrong nan: outputs that are NaN where a number is right, or the reverse.",
        "worst input: of the largest error in the row; [a..b]: smallest and largest entry of a vector.",
    ]


def conclusion(rows: Sequence[Row]) -> str:
    """One line: what the table means."""
    ours = [record for row in rows for record in row.ours.values()]
    compared = [row for row in rows if row.peer]
    lost = [row for row in compared if any(_lost(r.accuracy) for r in row.peer.values())]
    nans = [row for row in compared if any(r.accuracy.wrong_specials for r in row.peer.values())]
    largest = max((r.accuracy.judged_ulp for r in ours), default=0.0)
    verdict = "within tolerance" if all(r.within_tolerance for r in ours) else "BEYOND TOLERANCE"
    return (
        f"stablenn: at most {largest:.1f} ULP off, {verdict}. "
        f"Peers: all digits wrong in {len(lost)} of {len(compared)} rows, NaN in {len(nans)}."
    )


def print_table(run: Run, top: int, console) -> None:
    """The table of a run on a rich console."""
    from rich.table import Table
    from rich.text import Text

    rows = rows_of(run.records)
    shown = rows[:top]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    name = min(max(len(row.function) for row in shown), console.width - _FIXED)
    room = console.width - _FIXED - name
    table.add_column("function", no_wrap=True)
    table.add_column("type", no_wrap=True)
    for quantity in ("value", "gradient"):
        table.add_column(f"{quantity}\nours | peer", justify="center", no_wrap=True, min_width=_PAIR)
    table.add_column("wrong nan\nours | peer", justify="center", no_wrap=True, min_width=11)
    if room >= _NARROW:
        table.add_column("worst input", no_wrap=True)
    for row in shown:
        cells = [_pair(row.ours.get(q), row.peer.get(q)) for q in ("value", "gradient")]
        nans = [_wrong(side) for side in (row.ours, row.peer)]
        specials = Text.assemble((nans[0], "bold red" if nans[0] != "0" else "green"), f" | {nans[1]}")
        worst = [Text(_cut(spell_input(row.worst), room))] if room >= _NARROW else []
        table.add_row(_cut(row.function, name), _SHORT[row.dtype], *cells, specials, *worst)
    console.print(_headline(run), style="dim", highlight=False)
    console.print(table)
    if len(rows) > top:
        console.print(f"… and {len(rows) - top} more rows; --top {len(rows)} shows all.", style="dim", highlight=False)
    console.print()
    for line in legend():
        console.print(line, style="dim", highlight=False, markup=False)
    console.print(conclusion(rows), style="bold", highlight=False, markup=False)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _headline(run: Run) -> str:
    p = run.provenance
    flushing = [name for name, flushes in p["flushes_subnormals"].items() if flushes]
    flush = f"subnormals flushed in {', '.join(_SHORT[name] for name in flushing)}" if flushing else "subnormals kept"
    return f"{p['platform']}, jax {p['jax']}, {flush}; tolerances: {p['tolerances']}"


def _wrong(side: dict[str, Record]) -> str:
    return str(sum(r.accuracy.wrong_specials for r in side.values())) if side else "-"


def _pair(ours: Record | None, peer: Record | None):
    from rich.text import Text

    left, right = (spell_ulp(record.accuracy) if record else "-" for record in (ours, peer))
    style = "green" if ours and ours.within_tolerance else "bold red"
    side = (_PAIR - 3) // 2
    lost = peer is not None and _lost(peer.accuracy)
    return Text.assemble((f"{left:>{side}}", style), " | ", (f"{right:<{side}}", "red" if lost else ""))
