"""Hold the harness against a published table: the elementary functions of jax.lax on this device.

The JAX documentation publishes the largest error of each function by dtype and platform
(https://docs.jax.dev/en/latest/accuracy.html, reviewed 2026-09-18). What stablenn measures here should agree within
half an ULP, or differ for a reason that the jax version gives. Otherwise the harness is wrong.

    python -m benchmarks.accuracy [--stride N] [--markdown FILE]

16-bit formats are swept completely. float32 is filtered (see `benchmarks.filtering`): one float in `stride` is
compared with a float64 evaluation, and the worst of them with the exact value; ``--stride 1`` takes all. float64 is
sampled.
"""

from __future__ import annotations

from pathlib import Path

import click
import jax
import numpy as np
from jax import lax

from benchmarks.filtering import Subject, chunks_of, examine, inputs_of
from stablenn import floats
from stablenn.cli.arguments import choose, dtype_names, split
from stablenn.precision.accuracy import Reference, draw_inputs
from stablenn.precision.devices import find_device, flushes_subnormals, platform_name
from stablenn.precision.domain import Domain
from stablenn.progress import console, progress_bar

FUNCTIONS = {
    f.__name__: f for f in (lax.exp, lax.log, lax.log1p, lax.expm1, lax.tanh, lax.logistic, lax.erf, lax.sqrt)
}
FUNCTIONS["rsqrt"] = lax.rsqrt

# Column "CPU" (x86-64) of the published tables; rsqrt in float32 is 1.0 to 2.0, by vendor.
PUBLISHED = {
    "bfloat16": dict(exp=0.5, log=0.5, log1p=0.5, expm1=0.5, tanh=0.5, logistic=2.5, erf=0.5, sqrt=0.5, rsqrt=0.5),
    "float16": dict(exp=1.0, log=1.0, log1p=1.0, expm1=2.5, tanh=0.5, logistic=2.0, erf=1.0, sqrt=0.5, rsqrt=0.5),
    "float32": dict(exp=1.5, log=1.5, log1p=3.0, expm1=6.5, tanh=5.0, logistic=2.5, erf=7.0, sqrt=0.5, rsqrt=2.0),
    "float64": dict(exp=2.0, log=0.5, log1p=2.0, expm1=4.5, tanh=7.0, logistic=3.5, erf=2.5, sqrt=0.5, rsqrt=1.5),
}
# Why a version is beyond the published bound.
EXPLAINED = {
    ("exp", "float32"): "up to jax 0.10: less accurate above 88.54",
    ("log1p", "float64"): "up to jax 0.10: cancellation between -0.4142 and -0.356",
}
_CANDIDATES = 300


def measure_exactly(fn, dtype: str, device, samples: int) -> tuple[float, float]:
    """The largest error and its input, over every float of a 16-bit format or over corners and samples."""
    domain = Domain.parse("x: float").with_dtype(dtype)
    exhaustive = floats.format_of(dtype).bits == 16
    inputs = draw_inputs(domain, samples, 0, subnormals=not flushes_subnormals(dtype, device), exhaustive=exhaustive)
    return judge(fn, inputs[0], dtype, device)


def judge(fn, x: np.ndarray, dtype: str, device) -> tuple[float, float]:
    """As the table has it: a function that flushes subnormal results is measured on a line without subnormals."""
    domain = Domain.parse("x: float").with_dtype(dtype)
    finite = x[np.isfinite(x.astype(np.float64))]
    reference = Reference.of(fn, domain, (finite,), dtype)
    actual = reference.evaluate(fn, device)
    flush = bool(floats.flushed(actual, reference.truth.nearest).any()) or flushes_subnormals(dtype, device)
    error = np.nan_to_num(floats.ulp_error(actual, reference.truth, flush=flush), posinf=0.0).ravel()
    return float(error.max()), float(finite[error.argmax()])


def measure_filtered(fn, device, stride: int, progress) -> tuple[float, float]:
    """float32: the inputs that the filter of the sweeps finds worst, judged exactly."""
    subject = Subject(fn, "value", device)
    (argument,) = Domain.parse("x: float32").arguments
    chunks = chunks_of(argument, subnormals=False)
    worst: list[tuple[int, float]] = []
    for done, chunk in enumerate(chunks):
        progress(done / len(chunks))
        worst += examine(subject, chunk, stride).worst
    worst.sort(key=lambda pair: -pair[1])
    return judge(fn, inputs_of([bits for bits, _ in worst[:_CANDIDATES]]), "float32", device)


def verdict(name: str, dtype: str, error: float, bound: float) -> str:
    """Whether a measured error agrees with a published bound, which is rounded up to half an ulp."""
    if error > bound + 0.5:
        return EXPLAINED.get((name, dtype), "BEYOND, unexplained")
    return "agrees" if error >= bound - 0.5 else "below the bound"


@click.command()
@click.option("--stride", default=256, show_default=True, type=click.IntRange(1), help="Floats between two inputs.")
@click.option("--samples", default=50_000, show_default=True, type=click.IntRange(1), help="Random float64 inputs.")
@click.option("--ops", default=",".join(FUNCTIONS), help="Functions, separated by commas; all by default.")
@click.option("--dtypes", default=",".join(PUBLISHED), help="Float dtypes, separated by commas; all by default.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the table here.")
def main(stride: int, samples: int, ops: str, dtypes: str, markdown: Path | None) -> None:
    names, formats = choose("--ops", split(ops), FUNCTIONS), dtype_names(dtypes)
    device = find_device()
    rows = []
    with progress_bar() as progress:
        total = len(formats) * len(names)
        for dtype in formats:
            for name in names:
                fn, published = FUNCTIONS[name], PUBLISHED[dtype]
                done = len(rows)
                progress(f"{name} {dtype}", done, total)
                if dtype == "float32":
                    found = measure_filtered(
                        fn, device, stride, lambda part, d=done: progress("sweep", d + part, total)
                    )
                else:
                    found = measure_exactly(fn, dtype, device, samples)
                rows.append((name, dtype, *found, published[name]))
    lines = [
        f"jax {jax.__version__}, {platform_name(device)}; float32 every {stride} floats, float64 {samples} samples",
        "",
        "| function | dtype | measured | published | at input | |",
        "|---|---|---|---|---|---|",
    ]
    for name, dtype, error, worst, bound in rows:
        lines.append(
            f"| {name} | {dtype} | {error:.2f} | {bound} | {worst:.9g} | {verdict(name, dtype, error, bound)} |"
        )
    text = "\n".join(lines) + "\n"
    console().print(text, highlight=False, markup=False)
    if markdown is not None:
        markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
