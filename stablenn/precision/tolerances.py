"""The bounds that measured errors are held to; `tolerances.json` is their only home.

A row with the platform "*" is a bar: what a function must reach anywhere. A row for one platform and jax version is
what was measured there, and is tighter.
"""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import NamedTuple

ANY = "*"


class Tolerance(NamedTuple):
    """The largest error allowed, in (scaled) ulps, and whether it was measured on this platform or is the bar."""

    max_ulp: float
    measured: bool


class Key(NamedTuple):
    """What a tolerance belongs to."""

    function: str
    quantity: str
    dtype: str
    jax: str
    platform: str


@functools.cache
def table() -> dict[Key, float]:
    """All tolerances."""
    text = resources.files("stablenn.precision").joinpath("tolerances.json").read_text(encoding="utf-8")
    return {Key(*(row[field] for field in Key._fields)): row["max_ulp"] for row in json.loads(text)["rows"]}


def find_tolerance(function: str, quantity: str, dtype: str, jax_version: str, platform: str) -> Tolerance | None:
    """The measured tolerance of this platform, the bar where there is none, or None for a function without a bar."""
    rows = table()
    if (measured := rows.get(Key(function, quantity, dtype, jax_version, platform))) is not None:
        return Tolerance(measured, measured=True)
    bar = rows.get(Key(function, quantity, dtype, ANY, ANY))
    return None if bar is None else Tolerance(bar, measured=False)
