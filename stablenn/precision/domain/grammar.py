"""The text of a domain."""

from __future__ import annotations

import math
import re

from stablenn import floats
from stablenn.precision.domain.arguments import INTEGERS, Argument, Bound, DomainError

GRAMMAR = (
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


def parse_argument(text: str) -> Argument:
    """Read one argument; a DomainError says what was given and what is allowed."""
    match = _ARGUMENT.fullmatch(text)
    if match is None:
        raise DomainError(f"cannot read {text.strip()!r}; expected {GRAMMAR}")
    name, dtype, shape = match["name"], match["dtype"], match["shape"]
    allowed = ("float", *floats.NAMES, *INTEGERS, "bool")
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
        if not sizes or dtype in (*INTEGERS, "bool"):
            raise DomainError(f"argument {name!r}: a simplex needs a float dtype and a shape, got {text.strip()!r}")
        return Argument(name, dtype, sizes, 0.0, 1.0, simplex=True)
    if match["low"] is None:
        return Argument(name, dtype, sizes)
    low, high = (_number(match[end], name, dtype) for end in ("low", "high"))
    if dtype in (*INTEGERS, "bool") and (isinstance(low, str) or isinstance(high, str)):
        raise DomainError(f"argument {name!r}: tiny and max are for float dtypes, got {text.strip()!r}")
    argument = Argument(name, dtype, sizes, low, high, match["open"] == "(", match["close"] == ")")
    known = not isinstance(low, str) and not isinstance(high, str)
    if known and (low > high or (low == high and (argument.open_low or argument.open_high))):
        raise DomainError(f"argument {name!r} has the empty range in {text.strip()!r}; low must not exceed high")
    return argument


def _number(text: str, name: str, dtype: str) -> Bound:
    text = text.strip()
    if text.removeprefix("-") in ("tiny", "max"):
        return text
    try:
        if dtype in INTEGERS and text.lstrip("+-").isdigit():
            return int(text)  # a float would round the largest ones
        if not math.isnan(value := float(text)):
            return value
    except ValueError:
        pass
    raise DomainError(f"argument {name!r} has the bound {text!r}; allowed: a number, inf, tiny, max")
