"""The `stablenn` command: which subcommands there are, and how errors are told."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

_COMMANDS = {
    "bench": "Measure the kit and its peers: a precision table of this machine.",
    "check": "Measure a function of your own.",
    "info": "Versions, devices, x64, flush-to-zero.",
}


class _Commands(click.Group):
    """Subcommands that are imported when they are called, so that help costs nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            raise click.ClickException(f"unknown command {cmd_name!r}; allowed: {', '.join(_COMMANDS)}")
        return getattr(importlib.import_module(f"stablenn.cli.{cmd_name}"), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="stablenn")
def stablenn() -> None:
    """Find out how accurate numerical JAX functions are, and where they fail."""


def run(arguments: Sequence[str]) -> int:
    """Run `arguments`; bad input is one line on stderr and exit code 2."""
    try:
        return stablenn.main(list(arguments), prog_name="stablenn", standalone_mode=False) or 0
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        print(f"stablenn: {message}", file=sys.stderr)
        return 2
    except click.exceptions.Abort:
        return 130
    except ModuleNotFoundError as error:
        if error.name != "flint":
            raise
        print('stablenn: exact evaluation needs python-flint: pip install "stablenn[lab]"', file=sys.stderr)
        return 2
