"""Where a function is measured: named arguments with dtypes, shapes and ranges, and the inputs drawn from them."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np

from stablenn import floats

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_GRAMMAR = (
    "arguments separated by ';', each 'name: dtype', 'name: dtype[shape]', then optionally 'in [low, high]' with "
    "'(' or ')' for an open end, or 'in simplex'; for example "
    "'x: float32[8] in [-100, 100]; y: int32[8] in [0, 10)'"
)
_ARGUMENT = re.compile(
    r"""\s*(?P<name>[A-Za-z_]\w*)\s*:\s*(?P<dtype>\w+)\s*
        (?:\[(?P<shape>[^\]]*)\])?\s*
        (?:in\s+(?:(?P<simplex>simplex)|(?P<open>[\[(])\s*(?P<low>[^,\])]+),\s*(?P<high>[^\])]+)(?P<close>[\])])))?\s*""",
    re.VERBOSE,
)
Bound = float | int | str
# Where exponentials, logarithms and sums do something: magnitudes around one.
_MODERATE = (2.0**-12, 2.0**10)


class DomainError(ValueError):
    """A domain that cannot be read, or that holds nothing."""


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument: its dtype ("float" stands for the dtype that is measured), shape and range.

    `low` and `high` are numbers, or "tiny" and "max" for the ends of the dtype's normal range. Without a range
    (`low` is None) everything is meant, NaN included; a range from -inf to inf leaves only NaN out.
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


@dataclasses.dataclass(frozen=True)
class Domain:
    """The arguments of a function, and the inputs on which it is measured.

    Inputs are tuples of NumPy arrays, one an argument, each with a leading axis of rows.
    """

    arguments: tuple[Argument, ...]

    @classmethod
    def parse(cls, text: str) -> Domain:
        """Read a domain from its text.

        Args:
          text: arguments separated by ``;``, each ``name: dtype[shape] in [low, high]``. The shape may be left out
            for scalars, the range for everything (NaN included); ``(`` and ``)`` leave an end out; ``simplex`` means
            probabilities along the last axis; dtype ``float`` is whatever dtype is being measured, and ``tiny`` and
            ``max`` are the ends of its normal range.

        Raises:
          DomainError: what cannot be read, and what is allowed.

        Example:
          >>> from stablenn import Domain
          >>> print(Domain.parse("x: float32[8] in [-100, 100]; y: int32 in [0, 10)"))
          x: float32[8] in [-100, 100]; y: int32 in [0, 10)
        """
        parts = [part for part in text.split(";") if part.strip()]
        if not parts:
            raise DomainError(f"domain {text!r} names no argument; expected {_GRAMMAR}")
        domain = cls(tuple(_parse_argument(part) for part in parts))
        names = [argument.name for argument in domain.arguments]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DomainError(f"domain {text!r} names the argument {twice!r} twice; each may stand only once")
        return domain

    def __str__(self) -> str:
        return "; ".join(map(str, self.arguments))

    def with_dtype(self, dtype) -> Domain:
        """The same domain with every "float" argument in `dtype`."""
        name = floats.format_of(dtype).name
        given = (dataclasses.replace(a, dtype=name) if a.dtype == "float" else a for a in self.arguments)
        return Domain(tuple(given))

    @property
    def float_arguments(self) -> tuple[int, ...]:
        """The positions of the arguments that have derivatives."""
        return tuple(i for i, argument in enumerate(self.arguments) if argument.is_float)

    @property
    def is_univariate(self) -> bool:
        """Whether there is one scalar float argument: a function to sweep and to draw."""
        return len(self.arguments) == 1 and self.arguments[0].is_float and self.arguments[0].shape == ()

    def corners(self, *, subnormals: bool = True) -> tuple[np.ndarray, ...]:
        """Rows at which arithmetic changes its character: specials, limits of the format, thresholds.

        Every pair of the harshest values of two arguments occurs, and every corner of each argument next to
        ordinary values of the others.
        """
        rng = np.random.default_rng(0)
        columns = [_corner_rows(argument) for argument in self.arguments]
        rows = []
        for i, column in enumerate(columns):
            others = [_draw(argument, len(column), rng) for argument in self.arguments]
            rows.append([column if j == i else other for j, other in enumerate(others)])
        if len(columns) > 1:
            harsh = [_harsh_rows(argument) for argument in self.arguments]
            index = np.indices([len(column) for column in harsh]).reshape(len(harsh), -1)
            rows.append([column[i] for column, i in zip(harsh, index, strict=True)])
        return self._finish([np.concatenate(parts) for parts in zip(*rows, strict=True)], subnormals)

    def sample(self, count: int, seed: int = 0, *, subnormals: bool = True) -> tuple[np.ndarray, ...]:
        """`count` random rows: uniform in ulps along the whole range, and around one; vectors with structure."""
        rng = np.random.default_rng(seed)
        return self._finish([_draw(argument, count, rng) for argument in self.arguments], subnormals)

    def exhaustive(self, *, subnormals: bool = True) -> tuple[np.ndarray, ...]:
        """Every float of a 16-bit univariate domain (one NaN stands for all of them)."""
        if not self.is_univariate or floats.format_of(self.arguments[0].dtype).bits > 16:
            raise DomainError(
                f"domain '{self}' cannot be swept; allowed: one scalar argument in bfloat16 or float16, of 16 bits"
            )
        (argument,) = self.arguments
        low, high = _ends(argument)
        first, last = int(floats.to_ordinal(low)), int(floats.to_ordinal(high))
        values = floats.from_ordinal(np.arange(first, last + 1), argument.dtype)
        specials = [-0.0] if low <= 0 <= high else []
        specials += [math.nan] if argument.low is None else []
        return self._finish([np.concatenate([values, np.array(specials).astype(values.dtype)])], subnormals)

    def _finish(self, columns: list[np.ndarray], subnormals: bool) -> tuple[np.ndarray, ...]:
        if subnormals:
            return tuple(columns)
        pairs = zip(columns, self.arguments, strict=True)
        return tuple(_without_subnormals(c, a) if a.is_float else c for c, a in pairs)


# --- parsing -----------------------------------------------------------------------------------------------------


def _parse_argument(text: str) -> Argument:
    match = _ARGUMENT.fullmatch(text)
    if match is None:
        raise DomainError(f"cannot read {text.strip()!r}; expected {_GRAMMAR}")
    name, dtype, shape = match["name"], match["dtype"], match["shape"]
    allowed = ("float", *floats.NAMES, *_INTEGERS, "bool")
    if dtype not in allowed:
        raise DomainError(f"argument {name!r} has unknown dtype {dtype!r}; allowed: {', '.join(allowed)}")
    try:
        sizes = tuple(int(size) for size in shape.split(",")) if shape and shape.strip() else ()
    except ValueError:
        raise DomainError(
            f"argument {name!r} has the shape [{repr(shape)[1:-1]}]; allowed: integers separated by commas"
        ) from None
    if any(size < 1 for size in sizes):
        raise DomainError(f"argument {name!r} has shape [{shape}]; every size must be at least 1")
    if match["simplex"]:
        if not sizes or dtype in (*_INTEGERS, "bool"):
            raise DomainError(f"argument {name!r}: a simplex needs a float dtype and a shape, got {text.strip()!r}")
        return Argument(name, dtype, sizes, 0.0, 1.0, simplex=True)
    if match["low"] is None:
        return Argument(name, dtype, sizes)
    low, high = (_number(match[end], name, dtype) for end in ("low", "high"))
    if dtype in (*_INTEGERS, "bool") and (isinstance(low, str) or isinstance(high, str)):
        raise DomainError(f"argument {name!r}: tiny and max are for float dtypes, got {text.strip()!r}")
    argument = Argument(name, dtype, sizes, low, high, match["open"] == "(", match["close"] == ")")
    known = not isinstance(low, str) and not isinstance(high, str)
    if known and (low > high or (low == high and (argument.open_low or argument.open_high))):
        raise DomainError(f"argument {name!r} has the empty range in {text.strip()!r}; low must not exceed high")
    return argument


def _number(text: str, name: str, dtype: str) -> Bound:
    text = text.strip()
    if text in ("tiny", "max"):
        return text
    try:
        if dtype in _INTEGERS and text.lstrip("+-").isdigit():
            return int(text)  # a float would round the largest ones
        if not math.isnan(value := float(text)):
            return value
    except ValueError:
        pass
    raise DomainError(f"argument {name!r} has the bound {text!r}; allowed: a number, inf, tiny, max")


def _spell(bound: Bound | None) -> str:
    return repr(bound).removesuffix(".0") if isinstance(bound, float) else str(bound)


# --- drawing -----------------------------------------------------------------------------------------------------


def _ends(argument: Argument) -> tuple[np.ndarray, np.ndarray]:
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
    named = {"tiny": fmt.tiny, "max": fmt.max}
    low, high = _bound(argument.low, -math.inf, named), _bound(argument.high, math.inf, named)
    first, last = (int(floats.to_ordinal(_cast(end, fmt.dtype))) for end in (low, high))
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


def _finite_ends(argument: Argument) -> tuple[float, float]:
    """The ends of the finite part of the range; an infinite end where there is no such part."""
    low, high = (float(end) for end in _ends(argument))
    limit = floats.format_of(argument.dtype).max
    return (low, high) if low > limit or high < -limit else (max(low, -limit), min(high, limit))


def _cast(values, dtype) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(dtype)


def _draw(argument: Argument, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random rows of one argument."""
    if not argument.is_float:
        low, high = (int(end) for end in _ends(argument))
        steps = rng.integers(0, high - low, (count, *argument.shape), np.uint64, endpoint=True)
        return (steps.astype(object) + low).astype(argument.dtype)
    if argument.simplex:
        return _draw_simplex(argument, count, rng)
    if not argument.shape:
        return _draw_scalars(argument, count, rng)
    size = math.prod(argument.shape)
    rows = [_vector(argument, size, kind, rng) for kind in rng.integers(0, 5, count)]
    return np.array(rows, floats.format_of(argument.dtype).dtype).reshape(count, *argument.shape)


def _draw_scalars(argument: Argument, count: int, rng: np.random.Generator) -> np.ndarray:
    """Half of them uniform in ulps over the whole range, half over the magnitudes around one."""
    low, high = _finite_ends(argument)
    dtype = np.dtype(floats.format_of(argument.dtype).dtype)
    whole = _uniform_in_ulps(low, high, count, dtype, rng)
    band = [(max(low, a), min(high, b)) for a, b in (_MODERATE, (-_MODERATE[1], -_MODERATE[0]))]
    band = [(a, b) for a, b in band if a <= b]
    if not band:
        return whole
    pieces = np.stack([_uniform_in_ulps(a, b, count, dtype, rng) for a, b in band])
    moderate = pieces[rng.integers(0, len(band), count), np.arange(count)]
    return np.where(rng.random(count) < 0.5, whole, moderate)


def _uniform_in_ulps(low: float, high: float, count: int, dtype, rng: np.random.Generator) -> np.ndarray:
    first, last = (int(floats.to_ordinal(_cast(end, dtype))) for end in (low, high))
    return floats.from_ordinal(rng.integers(first, last, count, np.int64, endpoint=True), dtype)


def _vector(argument: Argument, size: int, kind: int, rng: np.random.Generator) -> np.ndarray:
    """One row with the structure that reductions fail on: offsets, ties, one dominant entry, masked entries."""
    low, high = _finite_ends(argument)
    spread = rng.standard_normal(size) * 2.0 ** rng.integers(-6, 6)
    if kind == 0:
        row = None
    elif kind == 1:
        row = spread
    elif kind == 2:  # a common offset
        row = spread + rng.choice([1e2, -1e2, 1e4, -1e4, 1e8])
    elif kind == 3:  # ties
        row = rng.choice(spread, size)
    else:  # one dominant entry, and some that are masked
        row = spread * 0.1
        row[rng.integers(size)] += rng.uniform(0, 110)
        if _ends(argument)[0] == -np.inf and size > 1 and rng.random() < 0.5:
            row[rng.permutation(size)[: rng.integers(1, size)]] = -np.inf
    if row is None or not np.any((row > low) & (row < high)):
        return _draw_scalars(argument, size, rng)
    inside = np.where(np.isinf(row), row, np.clip(row, low, high))
    return _cast(inside, floats.format_of(argument.dtype).dtype)


def _draw_simplex(argument: Argument, count: int, rng: np.random.Generator) -> np.ndarray:
    """Probabilities along the last axis: one-hot, smoothed, and soft ones."""
    size = argument.shape[-1]
    shape = (count, *argument.shape)
    hot = np.arange(size) == rng.integers(0, size, shape[:-1])[..., None]
    soft = np.exp(rng.standard_normal(shape) * 3)
    soft /= soft.sum(-1, keepdims=True)
    kind = rng.integers(0, 3, shape[:-1])[..., None]
    rows = np.where(kind == 0, hot, np.where(kind == 1, 0.9 * hot + 0.1 / size, soft))
    return _cast(rows, floats.format_of(argument.dtype).dtype)


# --- corners -----------------------------------------------------------------------------------------------------


def _allowed(argument: Argument, values: np.ndarray) -> np.ndarray:
    low, high = _ends(argument)
    wide = values.astype(np.float64)
    inside = (wide >= float(low)) & (wide <= float(high))
    return values[inside | (np.isnan(wide) if argument.low is None else False)]


def _corner_values(argument: Argument) -> np.ndarray:
    if not argument.is_float:
        low, high = (int(end) for end in _ends(argument))
        middle = [value for value in (0, 1, 2) if low <= value <= high]
        return np.array(sorted({low, *middle, high}), argument.dtype)
    ends = np.stack(_ends(argument))
    corners = _allowed(argument, floats.corners(argument.dtype))
    return np.concatenate([corners, ends])


def _corner_rows(argument: Argument) -> np.ndarray:
    values = _corner_values(argument)
    return values if not argument.shape else _as_rows(argument, values)


def _as_rows(argument: Argument, values: np.ndarray) -> np.ndarray:
    """Vectors made of corners: the corner throughout, alone among ordinary values, and beside each special."""
    size = math.prod(argument.shape)
    if argument.simplex:
        first, last = np.zeros(argument.shape), np.zeros(argument.shape)
        first[..., 0] = last[..., -1] = 1
        even = np.full(argument.shape, 1 / argument.shape[-1])
        return _cast(np.stack([first, last, even]), floats.format_of(argument.dtype).dtype)
    low, high = (float(end) for end in _ends(argument))
    ordinary = np.clip(np.linspace(0, 1, size), low, high)
    throughout = np.repeat(values[:, None], size, 1)
    alone = np.repeat((ordinary.astype(values.dtype) if argument.is_float else values[:1])[None], len(values), 0)
    alone = np.broadcast_to(alone, throughout.shape).copy()
    alone[:, 0] = values
    if not argument.is_float:
        return np.concatenate([throughout, alone]).reshape(-1, *argument.shape)
    opposed = throughout.copy()
    if low <= 0:
        opposed[:, 1:] = np.clip(-values.astype(np.float64), low, high)[:, None].astype(values.dtype)
    paired = alone.copy()
    paired[:, -1] = values
    return np.concatenate([throughout, alone, opposed, paired]).reshape(-1, *argument.shape)


def _harsh_rows(argument: Argument) -> np.ndarray:
    """The few values that are crossed with those of the other arguments."""
    if argument.simplex:
        return _corner_rows(argument)
    values = _corner_values(argument)
    if not argument.is_float:
        return values if not argument.shape else _as_rows(argument, values)
    wide = values.astype(np.float64)
    special = ~np.isfinite(wide) | (wide == 0) | (np.abs(wide) == 1) | (np.abs(wide) == 0.5)
    ends = np.zeros(len(values), bool)
    ends[-2:] = True
    chosen = values[special | ends]
    return chosen if not argument.shape else _as_rows(argument, chosen)


def _without_subnormals(values: np.ndarray, argument: Argument) -> np.ndarray:
    """Subnormals become zeros, as on the device; or the smallest normal where the range leaves zero out."""
    fmt = floats.format_of(values.dtype)
    wide = values.astype(np.float64)
    low, high = (float(end) for end in _ends(argument))
    instead = 0.0 if low <= 0 <= high else fmt.tiny
    subnormal = (wide != 0) & (np.abs(wide) < fmt.tiny)
    return np.where(subnormal, np.copysign(instead, wide).astype(fmt.dtype), values)
