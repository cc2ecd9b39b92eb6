"""Turn committed results into tolerances: python -m benchmarks.tolerances [--loosen CAUSE] benchmarks/results/*.jsonl

A measured bound is twice the largest error of all runs and sweeps of a platform and jax version, but not beyond the
bar: another seed has found errors half as large again, rows of another length, or of few distinct entries, almost
twice as large, and another processor compiles other loops. A bound is only ever tightened; to loosen one, the cause
has to be named, and goes into the table.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from benchmarks.figures import by_version, worst
from stablenn.precision.record import Record
from stablenn.precision.tolerances import ANY, Key

TABLE = Path(__file__).parents[1] / "stablenn" / "precision" / "tolerances.json"
_ROUNDED_ONCE = 0.51


def bound(record: Record, bar: float) -> float:
    """The tolerance that a record supports."""
    error = record.accuracy.judged_ulp
    if error <= _ROUNDED_ONCE - 0.005:
        return _ROUNDED_ONCE
    return max(min(math.ceil(error * 20) / 10, bar), math.ceil(error * 10) / 10)


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--loosen", metavar="CAUSE", help="Allow larger bounds than before, naming the upstream change.")
def main(results: tuple[Path, ...], loosen: str | None) -> None:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    rows = {Key(*(row[field] for field in Key._fields)): row for row in table["rows"]}
    for run in by_version(results):
        where = run.provenance["jax"], run.provenance["platform"]
        for place, record in worst(run.records).items():
            key = Key(*place, *where)
            bar = rows[key._replace(jax=ANY, platform=ANY)]["max_ulp"]
            row = {**key._asdict(), "max_ulp": bound(record, bar)}
            before = rows.get(key)
            if before is not None and row["max_ulp"] > before["max_ulp"]:
                if loosen is None:
                    click.echo(f"kept {before['max_ulp']} for {key}: this run has {row['max_ulp']}", err=True)
                    continue
                row["loosened"] = loosen
            rows[key] = row
    lines = ",\n".join("  " + json.dumps(rows[key]) for key in sorted(rows))
    TABLE.write_text(f'{{"schema_version": {table["schema_version"]}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
