"""The progress bar: on a terminal, after a while, and nowhere else."""

import io

import rich.console

from stablenn import progress


def drawn(monkeypatch, delay, terminal):
    stream = io.StringIO()
    monkeypatch.setattr(
        progress.rich.console, "Console", lambda **_: rich_console(file=stream, force_terminal=terminal, width=80)
    )
    with progress.progress_bar(delay) as update:
        update("sweeping", 1, 2)
    return stream.getvalue()


rich_console = rich.console.Console


def test_a_terminal_shows_what_is_being_done(monkeypatch):
    assert "sweeping" in drawn(monkeypatch, 0.0, True)


def test_nothing_is_drawn_before_the_delay_or_without_a_terminal(monkeypatch):
    assert drawn(monkeypatch, 60.0, True) == ""
    assert "sweeping" not in drawn(monkeypatch, 0.0, False)
