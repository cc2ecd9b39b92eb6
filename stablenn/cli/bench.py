"""`stablenn bench`: the precision table of this machine."""

from __future__ import annotations

from pathlib import Path

import click

from stablenn.cli.arguments import choose, device_named, dtype_names, split
from stablenn.progress import console, progress_bar


@click.command(short_help="Measure the kit and its peers: a precision table of this machine.")
@click.option("--ops", metavar="NAMES", help="Functions, separated by commas; all by default.")
@click.option("--dtypes", default="float32,bfloat16", show_default=True, metavar="NAMES", help="Float dtypes.")
@click.option("--device", metavar="NAME", help="Where to evaluate, such as cpu or gpu:1; JAX's default device.")
@click.option("--top", default=15, show_default=True, type=click.IntRange(min=1), help="Rows to show.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the random inputs.")
@click.option("--full", is_flag=True, help="Twenty times the inputs, and every float in 16-bit formats.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the records here.")
def bench(ops, dtypes, device, top, seed, full, json_path) -> int:
    """Measure every function of stablenn and its peers over the same inputs, against the exact truth.

    Exit code 1 if a function of stablenn is beyond its tolerance.
    """
    names = dtype_names(dtypes)
    if json_path is not None and not json_path.parent.is_dir():
        raise click.ClickException(f"--json: there is no folder {str(json_path.parent)!r}")
    from stablenn.precision.report import print_table
    from stablenn.precision.spec import SPECS

    wanted = choose("--ops", split(ops), [spec.name for spec in SPECS])
    if ops is not None and not wanted:
        raise click.ClickException("--ops: nothing given")
    from stablenn.precision import survey
    from stablenn.precision.record import Run

    specs = [spec for spec in SPECS if not wanted or spec.name in wanted]
    where = device_named(device)
    with progress_bar() as progress:
        records = tuple(survey.survey(specs, names, where, seed=seed, full=full, progress=progress))
    run = Run(survey.provenance(where, names, seed, specs), records)
    if json_path is not None:
        run.write(json_path)
    print_table(run, top, console())
    return 0 if all(record.within_tolerance for record in records) else 1
