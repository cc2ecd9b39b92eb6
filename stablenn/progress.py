"""A progress bar on stderr, and the console of the tables."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import rich.console
import rich.progress
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

# Called with what is being done, how much of it is done, and of how much.
Progress = Callable[[str, float, float], None]

_WIDTH_WHEN_PIPED = 100


def console() -> rich.console.Console:
    """Standard output; 100 columns and no colours when piped."""
    return rich.console.Console(width=None if sys.stdout.isatty() else _WIDTH_WHEN_PIPED, soft_wrap=False)


@contextlib.contextmanager
def progress_bar(delay: float = 0.0) -> Iterator[Progress]:
    """A callback (what, done, total) that draws, once `delay` seconds have passed; silent without a terminal."""
    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
    errors = rich.console.Console(stderr=True)
    bar = rich.progress.Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
    task = bar.add_task("starting", total=None)
    begun = time.monotonic()
    if not delay:
        bar.start()

    def update(what: str, done: float, total: float) -> None:
        if not bar.live.is_started and time.monotonic() - begun >= delay:
            bar.start()
        bar.update(task, description=what, completed=done, total=total)

    try:
        yield update
    finally:
        bar.stop()
