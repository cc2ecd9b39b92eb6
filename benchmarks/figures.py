"""The measured figures of record: runs of the benchmark, and sweeps of every float32 input, as one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from stablenn.precision.record import Accuracy, Record, Run

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


class Place(NamedTuple):
    """What one record of ours measures."""

    function: str
    quantity: str
    dtype: str


def worst(records: Iterable[Record]) -> dict[Place, Record]:
    """The worst record of ours by function, quantity and dtype."""
    return {
        Place(record.function, record.accuracy.quantity, record.accuracy.dtype): record
        for record in _worst_of_each(record for record in records if record.is_ours)
    }


def _worst_of_each(records: Iterable[Record]) -> list[Record]:
    """The worst record of each implementation by quantity and dtype."""
    found: dict[tuple[str, ...], Record] = {}
    for record in records:
        accuracy = record.accuracy
        key = record.function, record.implementation, accuracy.quantity, accuracy.dtype
        before = found.get(key)
        if before is None or _badness(accuracy) > _badness(before.accuracy):
            found[key] = record
    return list(found.values())


def _badness(accuracy: Accuracy) -> tuple[float, float]:
    # wrong NaNs are judged infinitely wrong, whatever the other errors are
    return accuracy.judged_ulp, accuracy.max_ulp


def joined(runs: Sequence[Run]) -> Run:
    """Runs of one platform and jax version as one: the worst records of ours and of the peers."""
    return Run(runs[0].provenance, tuple(_worst_of_each(record for run in runs for record in run.records)))


def by_version(paths: Iterable[Path]) -> list[Run]:
    """The runs in some files, joined by platform and jax version; a sweep stands behind the run that it completes."""
    found: dict[tuple[str, str], list[Run]] = {}
    for path in sorted(paths):
        run = Run.read(path)
        found.setdefault((run.provenance["platform"], run.provenance["jax"]), []).append(run)
    return [joined(runs) for runs in found.values()]


def of_record(folder: Path = RESULTS) -> list[Run]:
    """The figures from which documentation is rendered, one run a jax version."""
    return by_version([*folder.glob("cpu-x86_64-jax-*.jsonl"), *folder.glob("sweep-cpu-x86_64-jax-*.jsonl")])
