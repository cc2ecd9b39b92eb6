"""The files of a sweep: its results, and the progress that is kept until they are there."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.filtering import Chunk, Found
from stablenn.precision.record import Record, to_json


class Key(NamedTuple):
    """What results and progress belong to: a function, a digest of its program, and how densely it is swept."""

    function: str
    quantity: str
    program: str
    stride: int


class Journal:
    """The chunks that are done: one line each, written when it is done."""

    def __init__(self, path: Path):
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self._entries = [entry for line in lines if (entry := _parsed(line)) is not None]
        self._write()

    def done(self, key: Key) -> dict[Chunk, Found]:
        """The chunks of a key, and what was found there."""
        entries = (entry for entry in self._entries if Key(*(entry[name] for name in Key._fields)) == key)
        return {Chunk(entry["first"], entry["last"]): Found(**entry["found"]) for entry in entries}

    def add(self, key: Key, chunk: Chunk, found: Found) -> None:
        entry = {**key._asdict(), **dataclasses.asdict(chunk), "found": vars(found)}
        self._entries.append(entry)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def forget(self, key: Key) -> None:
        """Drop the progress of a function and quantity, of whatever program and stride."""
        self._entries = [e for e in self._entries if (e["function"], e["quantity"]) != (key.function, key.quantity)]
        self._write()

    def _write(self) -> None:
        if self._entries:
            _replace(self._path, self._entries)
        else:
            self._path.unlink(missing_ok=True)


class Results:
    """The results: a header, and one line a function and quantity, in the order of `order`."""

    def __init__(self, path: Path, header: dict[str, Any], order: Sequence[tuple[str, str]]):
        self._path, self._header = path, header
        self._ranks = {pair: rank for rank, pair in enumerate(order)}
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        for name in ("jax", "platform"):
            if lines and lines[0][name] != header[name]:
                raise ValueError(f"{path} holds results of {name} {lines[0][name]}, not {header[name]}")
        self._lines = {(line["function"], line["quantity"]): line for line in lines[1:]}

    def has(self, key: Key) -> bool:
        """Whether results of this very program are there."""
        line = self._lines.get((key.function, key.quantity))
        return line is not None and (line["sweep"]["program"], line["sweep"]["stride"]) == (key.program, key.stride)

    def put(self, record: Record, details: dict[str, Any]) -> None:
        line = {"kind": "record", **to_json(record), "sweep": details}
        self._lines[record.function, record.accuracy.quantity] = line
        pairs = sorted(self._lines, key=lambda pair: (self._ranks.get(pair, len(self._ranks)), pair))
        _replace(self._path, [self._header, *(self._lines[pair] for pair in pairs)])


def _parsed(line: str) -> dict | None:
    """None for a line that was being written when its sweep was stopped."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def _replace(path: Path, lines: Sequence[dict]) -> None:
    beside = path.with_name(f"{path.name}.new")
    beside.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    beside.replace(path)
