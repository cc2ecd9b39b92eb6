"""The command line: one file a command. Starting it loads neither jax nor optax."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code: 0, 1 for a finding, 2 for bad input."""
    try:
        from stablenn.cli.commands import run
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        print(f'stablenn: the command line needs {error.name}: pip install "stablenn[lab]"', file=sys.stderr)
        return 2
    return run(sys.argv[1:])
