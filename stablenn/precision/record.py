"""What was measured, as plain data, and its lines of JSON: floats as hex, so that nothing is lost on the way."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from stablenn import floats

SCHEMA_VERSION = 1
QUANTITIES = ("value", "gradient")


@dataclasses.dataclass(frozen=True)
class Case:
    """One input, what came out, and what is right."""

    inputs: tuple[np.ndarray, ...]
    output: int  # position in the flattened output
    actual: float
    expected: float
    ulps: float  # scaled where a scale is stated


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """How far a function is from the truth over many inputs, in units in the last place.

    Attributes:
      quantity: "value" or "gradient".
      dtype: name of the float format.
      count: number of compared outputs; `unproved` more were left out, their truth being unknown.
      max_ulp, mean_ulp, p99_ulp: over the outputs that are not wrong specials.
      max_scaled_ulp: the largest error in ulps of max(|result|, scale), where a scale is given.
      wrong_specials: outputs that are NaN where a number is right, or the other way round.
      flushed: outputs that are zero where a subnormal is right.
      worst: a few wrong specials, then a few of the largest errors.
      binades: for univariate functions, the largest error by (sign, exponent) of the input.
    """

    quantity: str
    dtype: str
    count: int
    unproved: int
    max_ulp: float
    mean_ulp: float
    p99_ulp: float
    max_scaled_ulp: float | None
    wrong_specials: int
    flushed: int
    worst: tuple[Case, ...]
    binades: dict[tuple[int, int], float]

    @property
    def shown_ulp(self) -> float:
        """The largest error, scaled where a scale is stated."""
        return self.max_ulp if self.max_scaled_ulp is None else self.max_scaled_ulp

    @property
    def judged_ulp(self) -> float:
        """The figure that tolerances bound: the largest error, infinite where a special is wrong."""
        return math.inf if self.wrong_specials else self.shown_ulp


@dataclasses.dataclass(frozen=True)
class Record:
    """The accuracy of one implementation of one function; `tolerance` bounds ours, peers have none."""

    function: str
    implementation: str
    accuracy: Accuracy
    tolerance: float | None = None

    @property
    def is_ours(self) -> bool:
        return self.implementation.startswith("stablenn.")

    @property
    def within_tolerance(self) -> bool:
        return self.tolerance is None or self.accuracy.judged_ulp <= self.tolerance


@dataclasses.dataclass(frozen=True)
class Run:
    """Records, and where they come from: versions, device, seed (`provenance` holds JSON values)."""

    provenance: dict[str, Any]
    records: tuple[Record, ...]

    def write(self, path: Path) -> None:
        """One line of provenance, then one line a record."""
        header = {"kind": "run", "schema_version": SCHEMA_VERSION, **self.provenance}
        lines = [header, *({"kind": "record", **to_json(record)} for record in self.records)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Run:
        """The run that `write` wrote; a ValueError names the line that is no part of one."""
        lines = list(_parsed(path.read_text(encoding="utf-8").splitlines(), path))
        if not lines or lines[0].get("kind") != "run":
            raise ValueError(f"{path}: line 1 is not the header of a run")
        if (version := lines[0].get("schema_version")) != SCHEMA_VERSION:
            raise ValueError(f"{path}: schema version {version}, this stablenn reads {SCHEMA_VERSION}")
        provenance = {key: value for key, value in lines[0].items() if key not in ("kind", "schema_version")}
        return cls(provenance, tuple(from_json(line) for line in lines[1:]))


def _parsed(lines: Iterable[str], path: Path) -> Iterator[dict]:
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: line {number} is not JSON: {error.msg}") from None


# --- JSON --------------------------------------------------------------------------------------------------------

_FLOATS = ("max_ulp", "mean_ulp", "p99_ulp", "max_scaled_ulp")


def _hex(value: float | None) -> str | None:
    return None if value is None else float(value).hex()


def _unhex(text: str | None) -> float | None:
    return None if text is None else float.fromhex(text)


def to_json(record: Record) -> dict[str, Any]:
    """A record as its line of JSON has it."""
    accuracy = record.accuracy
    plain = {f.name: getattr(accuracy, f.name) for f in dataclasses.fields(Accuracy)}
    plain |= {name: _hex(plain[name]) for name in _FLOATS}
    plain["worst"] = [_case_to_json(case) for case in accuracy.worst]
    plain["binades"] = _curve_to_json(accuracy.binades)
    head = {"function": record.function, "implementation": record.implementation, "tolerance": _hex(record.tolerance)}
    return head | plain


def from_json(line: dict[str, Any]) -> Record:
    """The record of a line, whatever else the line holds."""
    fields = {field.name: line[field.name] for field in dataclasses.fields(Accuracy)}
    fields |= {name: _unhex(fields[name]) for name in _FLOATS}
    fields["worst"] = tuple(_case_from_json(case) for case in fields["worst"])
    fields["binades"] = _curve_from_json(fields["binades"])
    return Record(line["function"], line["implementation"], Accuracy(**fields), _unhex(line["tolerance"]))


def _curve_to_json(binades: dict[tuple[int, int], float]) -> list:
    """Errors by binade as runs of (sign, first exponent, hex errors to eight bits), which is enough to draw them."""
    runs: list = []
    for (sign, exponent), error in sorted(binades.items()):
        if not runs or runs[-1][0] != sign or runs[-1][1] + len(runs[-1][2]) != exponent:
            runs.append([sign, exponent, []])
        mantissa, power = math.frexp(error)
        # rounded up, but not beyond the largest float
        digits = min(math.ceil(mantissa * 2**8), 2**8 - (power == sys.float_info.max_exp))
        text = math.ldexp(digits, power - 8).hex()
        runs[-1][2].append(text.replace("0000000000p", "p").removeprefix("0x"))
    return [[sign, exponent, " ".join(errors)] for sign, exponent, errors in runs]


def _curve_from_json(runs: list) -> dict[tuple[int, int], float]:
    return {
        (sign, first + i): float.fromhex(error)
        for sign, first, errors in runs
        for i, error in enumerate(errors.split())
    }


def _case_to_json(case: Case) -> dict[str, Any]:
    numbers = {name: _hex(getattr(case, name)) for name in ("actual", "expected", "ulps")}
    return {"inputs": [_array_to_json(np.asarray(a)) for a in case.inputs], "output": case.output, **numbers}


def _case_from_json(case: dict[str, Any]) -> Case:
    inputs = tuple(_array_from_json(array) for array in case["inputs"])
    return Case(inputs, case["output"], *(float.fromhex(case[name]) for name in ("actual", "expected", "ulps")))


def _array_to_json(array: np.ndarray) -> dict[str, Any]:
    is_float = floats.is_float(array.dtype)
    values = [float(v).hex() if is_float else int(v) for v in array.ravel()]
    return {"dtype": array.dtype.name, "shape": list(array.shape), "values": values}


def _array_from_json(array: dict[str, Any]) -> np.ndarray:
    if array["dtype"] in floats.NAMES:
        values = np.array([float.fromhex(v) for v in array["values"]], np.float64)
        return values.astype(floats.format_of(array["dtype"]).dtype).reshape(array["shape"])
    return np.array(array["values"], array["dtype"]).reshape(array["shape"])
