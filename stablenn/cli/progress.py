"""A progress bar on stderr, and the console of the tables."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

import rich.console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_WIDTH_WHEN_PIPED = 100


def console() -> rich.console.Console:
    """Standard output; 100 columns and no colours when piped."""
    return rich.console.Console(width=None if sys.stdout.isatty() else _WIDTH_WHEN_PIPED, soft_wrap=False)


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[str, float, float], None]]:
    """A callback (what, done, total) that draws; silent when stderr is not a terminal."""
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
    errors = rich.console.Console(stderr=True)
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("starting", total=None)

        def update(what: str, done: float, total: float) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield update
