"""What several commands read from their arguments: names, dtypes, devices, module paths."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Iterable

import click

from stablenn import floats


def split(text: str | None) -> list[str]:
    """The items of a comma-separated option."""
    return [item.strip() for item in (text or "").split(",") if item.strip()]


def dtype_names(text: str) -> list[str]:
    """Float dtypes of a comma-separated option."""
    try:
        return [floats.format_of(name).name for name in split(text)] or _missing("--dtypes", floats.NAMES)
    except ValueError as error:
        raise click.ClickException(f"--dtypes: {error}") from None


def choose(option: str, wanted: Iterable[str], known: Iterable[str]) -> list[str]:
    """The known names that are meant, by full name or by their last part."""
    known = list(known)
    chosen = []
    for name in wanted:
        matches = [full for full in known if name in (full, full.rpartition(".")[2])]
        if not matches:
            short = [full.rpartition(".")[2] for full in known]
            near = difflib.get_close_matches(name, [*known, *short], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            raise click.ClickException(f"{option}: unknown function {name!r}{hint}")
        chosen += matches
    return chosen


def device_named(name: str | None):
    """The device of ``--device``."""
    from stablenn.precision.devices import DeviceError, find_device

    try:
        return find_device(name)
    except DeviceError as error:
        raise click.ClickException(f"--device: {error}") from None


def function_at(path: str, option: str) -> Callable:
    """The function "module:function", the current directory being importable."""
    module_name, colon, name = path.partition(":")
    if not (module_name and colon and name):
        raise click.ClickException(f"{option}: expected 'module:function', got {path!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises while it is imported
        raise click.ClickException(
            f"{option}: cannot import {module_name!r}: {type(error).__name__}: {error}"
        ) from None
    function = module
    for part in name.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        public = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        near = difflib.get_close_matches(name, public, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise click.ClickException(f"{option}: {module_name!r} has no function {name!r}{hint}")
    return function


def _missing(option: str, allowed: Iterable[str]):
    raise click.ClickException(f"{option}: nothing given; allowed: {', '.join(allowed)}")
