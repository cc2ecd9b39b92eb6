"""How many scalar results a second exact() gives: python -m benchmarks.exact_speed"""

from __future__ import annotations

import statistics
import time

import click
import jax
import jax.numpy as jnp
import numpy as np

import stablenn
from stablenn.progress import console

CASES = {
    "log(1 + exp(x))": lambda x: jnp.log(1 + jnp.exp(x)),
    "grad of log(1 + exp(x))": jax.grad(lambda x: jnp.log(1 + jnp.exp(x))),
    "sqrt(x * x + 1)": lambda x: jnp.sqrt(x * x + 1),
    "x * x - 2 * x + 1": lambda x: x * x - 2 * x + 1,
}


@click.command()
@click.option("--count", default=100_000, show_default=True, type=click.IntRange(1), help="Inputs a round.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Rounds; the median is shown.")
def main(count: int, rounds: int) -> None:
    from rich.table import Table

    table = Table("float32, jax " + jax.__version__, "batched/s", "whole array/s", box=None)
    for name, fn in CASES.items():
        rates = []
        for evaluate in (stablenn.exact(fn, batched=True), stablenn.exact(jax.vmap(fn))):
            evaluate(np.ones(2, np.float32))
            times = []
            for seed in range(rounds):
                x = (np.random.default_rng(seed).standard_normal(count) * 10).astype(np.float32)
                start = time.perf_counter()
                evaluate(x)
                times.append(time.perf_counter() - start)
            rates.append(count / statistics.median(times))
        table.add_row(name, *(f"{rate:,.0f}" for rate in rates))
    console().print(table, highlight=False)


if __name__ == "__main__":
    main()
