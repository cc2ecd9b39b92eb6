"""Time stablenn.nn beside its peers: value and gradient, both compiled, by turns in one run.

    python -m benchmarks.speed [--functions NAMES] [--shapes NAMES] [--dtypes NAMES] [--markdown FILE]

A figure is the peer's median time over ours: above 1, ours is faster. The gradient is that of a weighted sum. The
floor is ``x * 2`` for results of the shape of x, and the sum of x otherwise.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.speed_cases import CASES, SHAPES, Case
from stablenn.cli.arguments import choose, dtype_names, split
from stablenn.precision.devices import find_device, platform_name
from stablenn.progress import console, progress_bar


class Times(NamedTuple):
    """Seconds a call, of every round."""

    ours: list[float]
    theirs: list[float]
    floor: list[float]

    @property
    def ratio(self) -> float:
        """Theirs over ours."""
        return statistics.median(self.theirs) / statistics.median(self.ours)

    @property
    def spread(self) -> tuple[float, float]:
        """The quartiles of the ratio over the rounds."""
        ratios = [theirs / ours for theirs, ours in zip(self.theirs, self.ours, strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        return low, high

    @property
    def above_floor(self) -> float:
        return statistics.median(self.ours) / statistics.median(self.floor)


def gradient(fn: Callable) -> Callable:
    """The derivative of the sum of fn's results times weights, by every argument."""

    def weighted(arguments, weights):
        return jnp.sum(fn(*arguments) * weights)

    return jax.grad(weighted)


def calls_of(case: Case, quantity: str, shape: tuple[int, ...], dtype: str) -> list[Callable]:
    """What is timed: ours, theirs, and the floor, each a call without arguments."""
    rng = np.random.default_rng(0)
    arguments = tuple(jnp.asarray(make(rng.standard_normal(shape)), dtype) for make in case.arguments)
    like = jax.eval_shape(case.ours, *arguments)
    floor = jax.jit((lambda x: x * 2) if quantity == "gradient" or like.shape == shape else jnp.sum)
    functions = jax.jit(case.ours), jax.jit(case.theirs)
    if quantity == "gradient":
        weights = jnp.asarray(rng.standard_normal(like.shape), like.dtype)
        ours, theirs = (jax.jit(gradient(fn)) for fn in functions)
        return [lambda: ours(arguments, weights), lambda: theirs(arguments, weights), lambda: floor(arguments[0])]
    return [lambda: functions[0](*arguments), lambda: functions[1](*arguments), lambda: floor(arguments[0])]


def require_same(name: str, calls: Sequence[Callable]) -> None:
    """Refuse to compare the speed of two functions whose values differ by more than rounding."""
    ours, theirs = (np.asarray(call(), np.float64) for call in calls[:2])
    coarse = 2.0 ** -(jnp.finfo(calls[0]().dtype).nmant // 2)
    if not np.allclose(ours, theirs, rtol=coarse, atol=coarse):
        raise click.ClickException(f"{name}: the peer's values are not ours: it is another function")


def interleave(calls: Sequence[Callable], rounds: int) -> Times:
    """The times of the calls, by turns; the first round, which compiles, does not count."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(rounds + 1):
        for call, seconds in zip(calls, times, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(call())
            if turn:
                seconds.append(time.perf_counter() - start)
    return Times(*times)


@click.command()
@click.option("--functions", default=",".join(CASES), help="Functions, separated by commas; all by default.")
@click.option("--shapes", default=",".join(SHAPES), help="Shapes, separated by commas; all by default.")
@click.option("--dtypes", default="float32", show_default=True, help="Float dtypes, separated by commas.")
@click.option("--rounds", default=61, show_default=True, type=click.IntRange(9), help="Rounds; medians are shown.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the table here.")
def main(functions: str, shapes: str, dtypes: str, rounds: int, markdown: Path | None) -> None:
    names, formats = choose("--functions", split(functions), CASES), dtype_names(dtypes)
    chosen = choose("--shapes", split(shapes), SHAPES)
    jax.config.update("jax_enable_x64", "float64" in formats)
    columns = ["function", "dtype", "shape", "value", "spread", "to floor", "gradient", "spread", "to floor"]
    lines = [
        f"jax {jax.__version__}, {platform_name(find_device())}, {rounds} rounds",
        "",
        f"| {' | '.join(columns)} |",
        "|" + "---|" * len(columns),
    ]
    cells = [(name, dtype, shape) for name in names for dtype in formats for shape in chosen]
    cells = [(name, dtype, shape) for name, dtype, shape in cells if shape in CASES[name].shapes]
    with progress_bar() as progress:
        for done, (name, dtype, shape) in enumerate(cells):
            progress(f"{name} {dtype} {shape}", done, len(cells))
            row = [name, dtype, "x".join(map(str, SHAPES[shape]))]
            for quantity in ("value", "gradient"):
                calls = calls_of(CASES[name], quantity, SHAPES[shape], dtype)
                if quantity == "value":
                    require_same(name, calls)
                times = interleave(calls, rounds)
                low, high = times.spread
                row += [f"{times.ratio:.2f}", f"{low:.2f} to {high:.2f}", f"{times.above_floor:.1f}"]
            lines.append(f"| {' | '.join(row)} |")
            if markdown is None:
                console().print(lines[-1], highlight=False, markup=False)
    if markdown is None:
        return
    markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
