"""Sweep every float32 input of the univariate functions, in value and gradient: python -m benchmarks.sweep

A float64 evaluation of the same function filters the inputs (see `benchmarks.filtering`); the inputs that it finds
worst in each binade, those whose special values disagree, breaks, ends of binades and a random few are judged
exactly, and measure the filter itself. Progress is kept beside the output: after Ctrl-C, the same command goes on
where it was. A function whose program has changed since it was swept is swept again, and no other.

    python -m benchmarks.sweep [--functions NAMES] [--stride N] [--workers N] [--output FILE]

The figures of record, once with each version of jax, and then in prose:

    python -m benchmarks.sweep && python -m benchmarks.tolerances benchmarks/results/*.jsonl
    python -m benchmarks.render
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import figures
from benchmarks.filtering import (
    DTYPE,
    Chunk,
    Found,
    Subject,
    careful_errors,
    chunks_of,
    examine,
    inputs_of,
    quantile,
    wrong_zero,
)
from benchmarks.sweep_files import Journal, Key, Results
from stablenn import floats
from stablenn.cli.arguments import choose, device_named, split
from stablenn.precision import survey
from stablenn.precision.accuracy import Reference
from stablenn.precision.devices import find_device, platform_name, wide_if_needed
from stablenn.precision.record import QUANTITIES, SCHEMA_VERSION, Record
from stablenn.precision.report import spell_ulp
from stablenn.precision.spec import SPECS, Spec
from stablenn.precision.tolerances import find_tolerance
from stablenn.progress import progress_bar

Progress = Callable[[str, float, float], None]

# What a line of results repeats of the header, since lines of several sweeps stand in one file.
_PROVENANCE = ("stablenn", "jax", "jaxlib", "numpy", "started")


@dataclasses.dataclass(frozen=True)
class Task:
    """One function and quantity to sweep."""

    spec: Spec
    subject: Subject
    stride: int

    @classmethod
    def of(cls, spec: Spec, quantity: str, device: jax.Device, stride: int) -> Task:
        return cls(spec, Subject(spec.fn, quantity, device, spec.scale(quantity)), stride)

    def __reduce__(self):
        """Other processes look the functions up, since lambdas cannot be sent."""
        device = self.subject.device
        return _named, (self.spec.name, self.subject.quantity, f"{device.platform}:{device.id}", self.stride)

    @property
    def label(self) -> str:
        return f"{self.spec.name} {self.subject.quantity}"

    @functools.cached_property
    def chunks(self) -> list[Chunk]:
        (argument,) = self.spec.domain.with_dtype(DTYPE).arguments
        return chunks_of(argument, subnormals=not self.subject.flush)

    @functools.cached_property
    def program(self) -> str:
        """A digest of what is measured, and against what: results of another program are of no use."""
        with jax.default_device(self.subject.device):
            narrow = self.subject.program.lower(jnp.zeros(8, DTYPE)).as_text()
            with wide_if_needed("float64"):
                definition = jax.jit(self.spec.definition).lower(jnp.zeros((), "float64")).as_text()
        where = jax.__version__, self.subject.device.device_kind, str(self.spec.domain)
        return hashlib.sha256("\n".join([narrow, definition, *where]).encode()).hexdigest()[:16]

    @property
    def key(self) -> Key:
        """What results and progress belong to."""
        return Key(self.spec.name, self.subject.quantity, self.program, self.stride)


def _named(name: str, quantity: str, device: str, stride: int) -> Task:
    spec = next(spec for spec in SPECS if spec.name == name)
    return Task.of(spec, quantity, find_device(device), stride)


def _cells(specs: Sequence[Spec]) -> list[tuple[Spec, str]]:
    return [(spec, quantity) for spec in specs for quantity in QUANTITIES]


def sweep(
    specs: Sequence[Spec],
    output: Path,
    device: jax.Device,
    *,
    stride: int = 1,
    workers: int = 1,
    progress: Progress = lambda what, done, total: None,
) -> None:
    """Sweep functions into a file of results, and go on where an earlier sweep was interrupted."""
    header = {"kind": "run", "schema_version": SCHEMA_VERSION, **survey.provenance(device, [DTYPE], 0, specs)}
    header["command"] = " ".join(["python -m benchmarks.sweep", *sys.argv[1:]])
    results = Results(output, header, [(spec.name, quantity) for spec, quantity in _cells(SPECS)])
    journal = Journal(output.with_suffix(".state"))
    tasks = [Task.of(spec, quantity, device, stride) for spec, quantity in _cells(specs)]
    tasks = [task for task in tasks if not results.has(task.key)]
    total = sum(chunk.size(stride) for task in tasks for chunk in task.chunks)
    before = 0
    with _pool(workers) as pool:
        for task in tasks:
            begun = time.monotonic()
            done = journal.done(task.key)
            waiting = {pool.submit(_examine, task, chunk): chunk for chunk in task.chunks if chunk not in done}
            try:
                for future in as_completed(waiting):
                    chunk = waiting[future]
                    done[chunk] = future.result()
                    journal.add(task.key, chunk, done[chunk])
                    progress(task.label, before + sum(found.count for found in done.values()), total)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
            before += sum(found.count for found in done.values())
            record, details = conclude(task, [done[chunk] for chunk in task.chunks])
            results.put(record, details | {name: header[name] for name in _PROVENANCE})
            journal.forget(task.key)
            # print alone, of all ways to write, leaves the progress bar below the line
            print(f"{describe(record, details)}, {time.monotonic() - begun:.0f} s", flush=True)


def _pool(workers: int) -> Executor:
    """One thread, or several processes: threads would wait for each other between any two operations of NumPy."""
    if workers == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _leave_interrupts_to_the_parent)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _examine(task: Task, chunk: Chunk) -> Found:
    return examine(task.subject, chunk, task.stride)


def conclude(task: Task, found: Sequence[Found]) -> tuple[Record, dict[str, Any]]:
    """Judge exactly what the filter has found in the chunks of a task, and sum up."""
    subject, spec = task.subject, task.spec
    domain = spec.domain.with_dtype(DTYPE)
    corners = domain.corners(subnormals=not subject.flush)[0]
    if task.stride > 1:
        corners = corners[~_is_swept(corners, subject.flush)]
    chosen = [b for f in found for b in (*f.examine, *(bits for bits, _ in f.worst))]
    x = inputs_of(np.unique(np.concatenate([np.array(chosen, np.uint32), corners.view(np.uint32)])))
    narrow, wide = subject.evaluate(x)
    swept = _is_swept(x, subject.flush)

    reference = Reference.of(
        spec.definition,
        domain,
        (x,),
        DTYPE,
        subject.quantity,
        conventions=(*spec.conventions, *spec.kinks),
        scale=subject.scale,
    )
    nearest = reference.truth.nearest.reshape(-1)
    exact = reference.compare(narrow.reshape(reference.truth.nearest.shape), subject.device)
    filtered = careful_errors(narrow, wide, flush=subject.flush)
    _require_reproduced(task, x, filtered, found)
    error = floats.ulp_error(narrow.reshape(-1, 1), reference.truth, flush=subject.flush).reshape(-1)
    proved = reference.truth.proved.reshape(-1)
    regular = proved & np.isfinite(error) & np.isfinite(filtered)
    off = np.zeros(len(x))
    off[regular] = np.abs(filtered[regular] - error[regular]) / np.maximum(error[regular], 1)

    with np.errstate(over="ignore"):
        rounded = wide.astype(DTYPE)
    exactly = nearest + reference.truth.residual.reshape(-1) * floats.ulp(nearest, DTYPE)

    def corrected(counted: int, is_so: Callable[[np.ndarray, np.ndarray], np.ndarray], right, filtered) -> int:
        """What the filter counts, put right at the inputs that were judged exactly."""
        return counted + int((is_so(narrow, right) & proved).sum() - (is_so(narrow, filtered) & swept & proved).sum())

    worst = {c.binade: f.max_ulp for c, f in zip(task.chunks, found, strict=True)}
    count = sum(f.count for f in found) + int((~swept).sum())
    accuracy = dataclasses.replace(
        exact,
        count=count,
        mean_ulp=sum(f.total for f in found) / count,
        p99_ulp=min(quantile([pair for f in found for pair in f.histogram], 0.99), exact.max_ulp),
        wrong_specials=corrected(sum(f.wrong_specials for f in found), floats.wrong_special, nearest, rounded),
        flushed=corrected(sum(f.flushed for f in found), floats.flushed, nearest, rounded),
        binades=worst,
    )
    tolerance = find_tolerance(spec.name, subject.quantity, DTYPE, jax.__version__, platform_name(subject.device))
    record = Record(spec.name, spec.implementation, accuracy, None if tolerance is None else tolerance.max_ulp)
    return record, {
        "program": task.program,
        "stride": task.stride,
        "judged": f"filtered, worst {len(x)} judged exactly",
        "subnormal_inputs_not_judged": _subnormals(task) if subject.flush else 0,
        "zeros": corrected(sum(f.zeros for f in found), wrong_zero, exactly, wide),
        "breaks": sum(f.breaks for f in found),
        "filter_error": float(off.max()).hex(),
        "filter_worst_input": float(x[off.argmax()]).hex(),
    }


def describe(record: Record, details: dict[str, Any]) -> str:
    """A line for the terminal."""
    accuracy = record.accuracy
    where = f" at {float(accuracy.worst[0].inputs[0]).hex()}" if accuracy.worst else ""
    counts = {"wrong specials": accuracy.wrong_specials, "wrong zeros": details["zeros"]}
    wrong = "".join(f", {n} {name}" for name, n in counts.items() if n)
    return (
        f"{record.function} {accuracy.quantity}: {spell_ulp(accuracy)} ULP{where}{wrong}; {accuracy.count} inputs, "
        f"{details['judged']}, filter off by {float.fromhex(details['filter_error']):.1e} ULP"
    )


def _is_swept(x: np.ndarray, flush: bool) -> np.ndarray:
    """Whether inputs belong to the chunks, being finite and not 0."""
    smallest = floats.format_of(DTYPE).tiny if flush else 0
    return np.isfinite(x) & (np.abs(x) >= smallest) & (x != 0)


def _subnormals(task: Task) -> int:
    (argument,) = task.spec.domain.with_dtype(DTYPE).arguments
    return sum(c.size() for c in chunks_of(argument, subnormals=True)) - sum(c.size() for c in task.chunks)


def _require_reproduced(task: Task, x: np.ndarray, filtered: np.ndarray, found: Sequence[Found]) -> None:
    """What is judged exactly must be what was swept, perhaps by an earlier process."""
    now = dict(zip(x.view(np.uint32).tolist(), filtered.tolist(), strict=True))
    for bits, error in (pair for f in found for pair in f.worst):
        if abs(now[bits] - error) > 2.0**-20 * max(error, 1):
            raise click.ClickException(
                f"{task.label}: at {float(inputs_of([bits])[0]).hex()} the error was {error}, now it is {now[bits]}; "
                "delete the .state file, which another machine must have written"
            )


def default_output(device: jax.Device, stride: int) -> Path:
    """Results of record in their folder; a quick look in the current one, under a name that nothing reads."""
    name = f"sweep-{platform_name(device)}-jax-{jax.__version__}.jsonl"
    return figures.RESULTS / name if stride == 1 else Path(f"quick-{name}").with_suffix(f".stride-{stride}.jsonl")


@click.command()
@click.option("--functions", metavar="NAMES", help="Functions, separated by commas; all univariate ones by default.")
@click.option("--stride", default=1, show_default=True, type=click.IntRange(1, 1 << 20), help="For a quick look.")
@click.option("--workers", default=os.cpu_count(), show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--device", metavar="NAME", help="Where to evaluate; JAX's default device without one.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: in benchmarks/results.")
def main(functions: str | None, stride: int, workers: int, device: str | None, output: Path | None) -> None:
    univariate = [spec for spec in SPECS if spec.domain.is_univariate]
    wanted = choose("--functions", split(functions), [spec.name for spec in univariate])
    where = device_named(device)
    try:
        with progress_bar() as progress:
            sweep(
                [spec for spec in univariate if not wanted or spec.name in wanted],
                output or default_output(where, stride),
                where,
                stride=stride,
                workers=workers,
                progress=progress,
            )
    except KeyboardInterrupt:
        click.echo("stopped; the same command goes on from here", err=True)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
