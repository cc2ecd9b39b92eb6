"""One argument of a function: its dtype, shape and range."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from stablenn import floats

INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
Bound = float | int | str


class DomainError(ValueError):
    """A domain that cannot be read, or that holds nothing."""


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument: its dtype ("float" stands for the dtype that is measured), shape and range.

    `low` and `high` are numbers, or "tiny", "max" and their negatives for the ends of the dtype's normal range.
    Without a range (`low` is None) everything is meant, NaN included; a range from -inf to inf leaves only NaN out.
    """

    name: str
    dtype: str = "float"
    shape: tuple[int, ...] = ()
    low: Bound | None = None
    high: Bound | None = None
    open_low: bool = False
    open_high: bool = False
    simplex: bool = False

    @property
    def is_float(self) -> bool:
        return self.dtype == "float" or self.dtype in floats.NAMES

    def __str__(self) -> str:
        shape = f"[{', '.join(map(str, self.shape))}]" if self.shape else ""
        where = ""
        if self.simplex:
            where = " in simplex"
        elif self.low is not None:
            ends = "(" if self.open_low else "[", ")" if self.open_high else "]"
            where = f" in {ends[0]}{_spell(self.low)}, {_spell(self.high)}{ends[1]}"
        return f"{self.name}: {self.dtype}{shape}{where}"


def _spell(bound: Bound | None) -> str:
    return repr(bound).removesuffix(".0") if isinstance(bound, float) else str(bound)


@functools.lru_cache(maxsize=512)
def ends_of(argument: Argument) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and largest values of the range, in the argument's dtype."""
    if not argument.is_float:
        info = np.iinfo(np.uint8 if argument.dtype == "bool" else argument.dtype)
        lowest, highest = (0, 1) if argument.dtype == "bool" else (info.min, info.max)
        below, above = _bound(argument.low, -math.inf, {}), _bound(argument.high, math.inf, {})
        low = lowest if below < lowest else math.ceil(below) + (argument.open_low and math.ceil(below) == below)
        high = highest if above > highest else math.floor(above) - (argument.open_high and math.floor(above) == above)
        if low > high:
            raise DomainError(f"no {argument.dtype} lies in '{argument}'")
        return np.asarray(low), np.asarray(high)
    fmt = floats.format_of(argument.dtype)
    named = {"tiny": fmt.tiny, "max": fmt.max, "-tiny": -fmt.tiny, "-max": -fmt.max}
    low, high = _bound(argument.low, -math.inf, named), _bound(argument.high, math.inf, named)
    first, last = (int(floats.to_ordinal(cast(end, fmt.dtype))) for end in (low, high))
    # a bound that is no float of this dtype, or an open end, moves inwards
    rounded = floats.from_ordinal(np.array([first, last]), fmt.dtype).astype(np.float64)
    first += bool(rounded[0] < low or (argument.open_low and rounded[0] == low))
    last -= bool(rounded[1] > high or (argument.open_high and rounded[1] == high))
    if first > last:
        raise DomainError(f"no {fmt.name} lies in '{argument}'")
    ends = floats.from_ordinal(np.array([first, last]), fmt.dtype)
    return ends[0], ends[1]


def _bound(bound: Bound | None, absent: float, named: dict[str, float]) -> float:
    if bound is None:
        return absent
    return named[bound] if isinstance(bound, str) else bound


def finite_ends(argument: Argument) -> tuple[float, float]:
    """The ends of the finite part of the range; an infinite end where there is no such part."""
    low, high = (float(end) for end in ends_of(argument))
    limit = floats.format_of(argument.dtype).max
    return (low, high) if low > limit or high < -limit else (max(low, -limit), min(high, limit))


def cast(values, dtype) -> np.ndarray:
    """`values` rounded to `dtype`, to infinity where they are beyond it."""
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(dtype)


def without_subnormals(values: np.ndarray, argument: Argument) -> np.ndarray:
    """Subnormals become zeros, as on the device; or the smallest normal where the range leaves zero out."""
    fmt = floats.format_of(values.dtype)
    wide = values.astype(np.float64)
    low, high = (float(end) for end in ends_of(argument))
    if max(abs(low), abs(high)) < fmt.tiny and low * high > 0:
        raise DomainError(f"'{argument}' holds nothing but subnormals, which this device flushes to zero")
    instead = 0.0 if low <= 0 <= high else fmt.tiny
    subnormal = (wide != 0) & (np.abs(wide) < fmt.tiny)
    return np.where(subnormal, np.copysign(instead, wide).astype(fmt.dtype), values)
