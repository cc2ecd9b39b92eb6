"""Time the kit beside its peers: value and gradient, both compiled, by turns in one run.

    python -m benchmarks.speed [--functions NAMES] [--shapes NAMES] [--dtypes NAMES] [--markdown FILE]

A figure is the peer's median time over ours: above 1, ours is faster. The gradient is that of a weighted sum; of a
loss the mean is taken, and its gradient together with its value. The floor is ``x * 2`` for results of the shape of
x, and the sum of x otherwise. The memory is what XLA says a gradient takes beside arguments and results, ours and
theirs in MiB.
"""

from __future__ import annotations

import dataclasses
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


@dataclasses.dataclass(frozen=True)
class Calls:
    """What is timed, compiled, and the arguments; the floor takes the first."""

    ours: Callable
    theirs: Callable
    floor: Callable
    arguments: tuple

    @property
    def turns(self) -> list[Callable]:
        """Calls without arguments: of ours, theirs and the floor."""
        return [
            lambda: self.ours(*self.arguments),
            lambda: self.theirs(*self.arguments),
            lambda: self.floor(self.arguments[0]),
        ]

    @property
    def memory(self) -> tuple[float, float]:
        """Temporary bytes in MiB, ours and theirs."""
        compiled = (fn.lower(*self.arguments).compile() for fn in (self.ours, self.theirs))
        return tuple(c.memory_analysis().temp_size_in_bytes / 2**20 for c in compiled)


def calls_of(case: Case, quantity: str, shape: tuple[int, ...], dtype: str) -> Calls:
    """The value, or the gradient by every float argument."""
    rng = np.random.default_rng(0)
    made = (make(rng.standard_normal(shape)) for make in case.arguments)
    arguments = tuple(jnp.asarray(a, None if np.issubdtype(a.dtype, np.integer) else dtype) for a in made)
    like = jax.eval_shape(case.ours, *arguments)
    floor = jax.jit((lambda x: x * 2) if quantity == "gradient" or like.shape == shape else jnp.sum)
    functions = [jax.jit(case.ours), jax.jit(case.theirs)]
    if case.is_objective:
        floor = floor if quantity == "gradient" else jax.jit(jnp.sum)
        functions = [_mean_of(fn) for fn in functions]
        if quantity == "gradient":
            functions = [jax.value_and_grad(fn) for fn in functions]
    elif quantity == "gradient":
        weights = jnp.asarray(rng.standard_normal(like.shape), like.dtype)
        functions = [_gradient_of(fn, len(arguments)) for fn in functions]
        arguments = (*arguments, weights)
    return Calls(*map(jax.jit, functions), floor, arguments)


def _mean_of(fn: Callable) -> Callable:
    return lambda *arguments: jnp.mean(fn(*arguments))


def _gradient_of(fn: Callable, count: int) -> Callable:
    """The derivative of the sum of fn's results times weights, by every argument."""

    def weighted(*arguments_and_weights):
        *arguments, weights = arguments_and_weights
        return jnp.sum(fn(*arguments) * weights)

    return jax.grad(weighted, tuple(range(count)))


def require_same(name: str, calls: Calls) -> None:
    """Refuse to compare the speed of two functions whose values differ by more than rounding."""
    ours, theirs = (fn(*calls.arguments) for fn in (calls.ours, calls.theirs))
    coarse = 2.0 ** -(jnp.finfo(ours.dtype).nmant // 2)
    ours, theirs = (np.asarray(value, np.float64) for value in (ours, theirs))
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
    columns = ["function", "dtype", "shape", "value", "spread", "to floor", "gradient", "spread", "to floor", "memory"]
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
                times = interleave(calls.turns, rounds)
                low, high = times.spread
                row += [f"{times.ratio:.2f}", f"{low:.2f} to {high:.2f}", f"{times.above_floor:.1f}"]
            ours, theirs = calls.memory
            lines.append(f"| {' | '.join([*row, f'{ours:.1f}, {theirs:.1f}'])} |")
            if markdown is None:
                console().print(lines[-1], highlight=False, markup=False)
    if markdown is None:
        return
    markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
