"""Found, missed, false alarms: gradient checkers on planted faults and on gradients that are right but hard.

    python -m benchmarks.gradients [--dtypes float32] [--only TEXT] [--markdown FILE]

The cases of gradient_cases.py were frozen before the checker was tuned; those of fresh_gradient_cases.py were written
by somebody else, who had not seen it. Each checker has its defaults. torch.autograd.gradcheck, where torch is
installed, checks a bridge that computes value and gradient with JAX; beyond 300 arguments in its fast mode.
"""

from __future__ import annotations

import collections
import contextlib
import importlib.util
import io
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click
import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np

import stablenn
from benchmarks import fresh_gradient_cases, gradient_cases
from stablenn import floats
from stablenn.cli.arguments import choose, dtype_names, split
from stablenn.precision.devices import find_device, platform_name, wide_if_needed
from stablenn.progress import console, progress_bar

# A checker says True (right), False (wrong), or raises what it fails with.
Checker = Callable[[Callable, tuple, tuple[str, ...]], bool]
_SLOW_TORCH = 300


def ours(fn, args, modes) -> bool:
    return stablenn.grad_report(fn, args, modes=modes).ok


def jaxs(fn, args, modes) -> bool:
    try:
        jax.test_util.check_grads(fn, args, order=1, modes=modes)
    except AssertionError:
        return False
    return True


def torchs(fn, args, modes) -> bool:
    import torch

    function, given = _inexact(fn, args)
    kinds = [jnp.asarray(value).dtype for value in given]

    def to_torch(value):
        name = jnp.asarray(value).dtype.name
        wide = np.asarray(value).astype(np.float32) if name == "bfloat16" else np.array(value)
        return torch.from_numpy(np.array(wide)).to(getattr(torch, name))

    def to_jax(tensor, dtype):
        wide = tensor.detach().float() if tensor.dtype is torch.bfloat16 else tensor.detach()
        return jnp.asarray(wide.numpy(), dtype)

    forward = jax.jit(function)
    backward = jax.jit(lambda inputs, weights: jax.vjp(function, *inputs)[1](weights))

    class Bridge(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *tensors):
            ctx.given = [to_jax(t, kind) for t, kind in zip(tensors, kinds, strict=True)]
            return tuple(map(to_torch, forward(*ctx.given)))

        @staticmethod
        def backward(ctx, *gradients):
            outputs = jax.eval_shape(function, *ctx.given)
            # torch's gradient of a real loss is the conjugate of JAX's
            weights = tuple(jnp.conj(to_jax(g, o.dtype)) for g, o in zip(gradients, outputs, strict=True))
            return tuple(to_torch(jnp.conj(g)) for g in backward(ctx.given, weights))

    tensors = [to_torch(value).requires_grad_() for value in given]
    fast = sum(t.numel() for t in tensors) > _SLOW_TORCH
    return torch.autograd.gradcheck(Bridge.apply, tensors, raise_exception=False, fast_mode=fast)


CHECKERS: dict[str, Checker] = {"stablenn.grad_report": ours, "jax.test_util.check_grads": jaxs}
if importlib.util.find_spec("torch") is not None:
    CHECKERS["torch.autograd.gradcheck"] = torchs


SETS = {"frozen": gradient_cases.CASES, "fresh": fresh_gradient_cases.CASES}


class Outcome(NamedTuple):
    """What one checker said of one case in one dtype."""

    cases: str
    case: str
    fault: str | None
    dtype: str
    checker: str
    said_right: bool
    failure: str
    seconds: float

    @property
    def verdict(self) -> str:
        if self.fault:
            return "missed" if self.said_right else "found"
        return "accepted" if self.said_right else "false alarm"


def evaluate(cases: str, number: int, dtype: str, checkers: list[str]) -> list[Outcome]:
    """What the checkers say of one case."""
    case, outcomes = SETS[cases][number], []
    with wide_if_needed(dtype), warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        fn, args = case.make(floats.format_of(dtype).dtype)
        modes = _modes(fn, args)
        for checker in checkers:
            failure, start = "", time.perf_counter()
            try:
                right = CHECKERS[checker](fn, args, modes)
            except Exception as error:  # a checker that fails has not accepted the gradient
                right, failure = False, f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"
            seconds = time.perf_counter() - start
            outcomes.append(Outcome(cases, case.name, case.fault, dtype, checker, bool(right), failure, seconds))
    jax.clear_caches()
    return outcomes


def _modes(fn, args) -> tuple[str, ...]:
    """Both modes; reverse mode alone for a function that has no other (custom_vjp)."""
    try:
        jax.eval_shape(lambda *a: jax.jvp(_inexact(fn, a)[0], _inexact(fn, a)[1], _inexact(fn, a)[1]), *args)
    except TypeError:
        return ("rev",)
    return ("fwd", "rev")


def _inexact(fn, args):
    """A function of the inexact leaves alone, and those leaves."""
    leaves, structure = jax.tree.flatten(args)
    chosen = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(jax.dtypes.result_type(leaf), np.inexact)]

    def function(*inputs):
        full = list(leaves)
        for i, value in zip(chosen, inputs, strict=True):
            full[i] = value
        outputs = jax.tree.leaves(fn(*jax.tree.unflatten(structure, full)))
        return tuple(value for value in outputs if jnp.issubdtype(value.dtype, np.inexact))

    return function, tuple(leaves[i] for i in chosen)


def table(outcomes: list[Outcome]) -> str:
    """Markdown: one row a set of cases and dtype, found, missed and false alarms a checker."""
    names = list(dict.fromkeys(o.checker for o in outcomes))
    lines = [
        "| cases | dtype | faults | healthy | " + " | ".join(f"{n}: missed | false alarms" for n in names) + " |",
        "|---|---|---|---|" + "---|---|" * len(names),
    ]
    for cases, dtype in dict.fromkeys((o.cases, o.dtype) for o in outcomes):
        rows = [o for o in outcomes if (o.cases, o.dtype) == (cases, dtype)]
        first = [o for o in rows if o.checker == names[0]]
        faults = sum(bool(o.fault) for o in first)
        cells = [cases, dtype, str(faults), str(len(first) - faults)]
        for name in names:
            said = collections.Counter(o.verdict for o in rows if o.checker == name)
            cells += [str(said["missed"]), str(said["false alarm"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def mistakes(outcomes: list[Outcome]) -> str:
    """Markdown: what each checker got wrong, case by case."""
    lines = []
    for checker in dict.fromkeys(o.checker for o in outcomes):
        for verdict in ("missed", "false alarm"):
            wrong: dict[str, list[str]] = {}
            for o in outcomes:
                if (o.checker, o.verdict) == (checker, verdict):
                    wrong.setdefault(o.case, []).append(o.dtype)
            said = "; ".join(f"{name} ({', '.join(kinds)})" for name, kinds in wrong.items())
            lines.append(f"- **{checker}, {verdict}**: {said or 'none'}.")
    return "\n".join(lines)


def times(outcomes: list[Outcome]) -> str:
    """One line a checker: the seconds of a check, compilation included."""
    lines = []
    for checker in dict.fromkeys(o.checker for o in outcomes):
        seconds = [o.seconds for o in outcomes if o.checker == checker]
        lines.append(f"- {checker}: median {statistics.median(seconds):.2f} s, longest {max(seconds):.1f} s.")
    return "\n".join(lines)


@click.command()
@click.option("--dtypes", default=",".join(reversed(floats.NAMES)), help="Float dtypes, separated by commas.")
@click.option("--cases", default=",".join(SETS), help="Sets of cases, separated by commas; all by default.")
@click.option("--only", default="", help="Only the cases whose name holds this text.")
@click.option("--checkers", default=",".join(CHECKERS), help="Checkers, separated by commas; all by default.")
@click.option("--workers", default=4, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the tables here.")
def main(dtypes: str, cases: str, only: str, checkers: str, workers: int, markdown: Path | None) -> None:
    chosen = choose("--checkers", split(checkers), CHECKERS)
    todo = [
        (name, number, dtype, chosen)
        for name in choose("--cases", split(cases), SETS)
        for dtype in dtype_names(dtypes)
        for number, case in enumerate(SETS[name])
        if dtype in case.dtypes and only in case.name
    ]
    outcomes: list[Outcome] = []
    processes = multiprocessing.get_context("spawn")  # threads of JAX do not survive a fork
    with progress_bar() as progress, ProcessPoolExecutor(workers, processes) as pool:
        for done, found in enumerate(pool.map(evaluate, *zip(*todo, strict=True)), 1):
            progress(f"{found[0].case} {found[0].dtype}", done, len(todo))
            outcomes += found
    sections = [
        "# Gradient checkers: planted faults, and gradients that are right but hard",
        f"`python -m benchmarks.gradients`, {platform_name(find_device())}, jax {jax.__version__}; missed faults and "
        "false alarms of each checker with its defaults.",
        table(outcomes),
        mistakes(outcomes),
        "Time of a check, compilation included:\n\n" + times(outcomes),
    ]
    text = "\n\n".join(sections) + "\n"
    console().print(text, highlight=False, markup=False)
    for o in outcomes:
        if o.failure and o.checker.startswith("stablenn"):
            console().print(f"{o.case} {o.dtype}: {o.failure}", highlight=False, markup=False)
    if markdown is not None:
        markdown.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
