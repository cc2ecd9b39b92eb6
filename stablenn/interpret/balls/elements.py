"""One real number and its arithmetic: an exact rational, a ball, a special float, or UNKNOWN.

An element is one of

- ``fmpq``: an exact nonzero rational;
- ``arb``: a ball that is proved to hold the true value;
- ``float``: one of 0.0, -0.0, inf, -inf, nan, under IEEE rules;
- ``UNKNOWN``: the working precision does not tell; a higher one may.

The same operation on the same operands is the same object. That is how ties and ``x - x`` are decided where
balls, which overlap at every precision, cannot decide them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb, fmpq

Element = Any  # fmpq | arb | float | Unknown: unions of extension types cost more than they tell

# A rational longer than this is replaced by a ball: iterated maps double the length at each step.
_MAX_RATIONAL_BITS = 16384
_RATIONALS = (fmpq, fmpq)


class Undecided(ArithmeticError):
    """A truth value or an integer is needed, and the working precision does not give it."""


class Unknown:
    """The value that the working precision does not tell; it refuses to be taken for a truth value."""

    def __bool__(self):
        raise Undecided

    def __repr__(self):
        return "UNKNOWN"


UNKNOWN = Unknown()


def is_nan(x: Element) -> bool:
    """Whether x is the special NaN (UNKNOWN is not)."""
    return type(x) is float and x != x


def is_number(x: Element) -> bool:
    """Whether x is a finite nonzero number, exact or enclosed."""
    return type(x) is arb or type(x) is fmpq


def as_ball(x: Element) -> arb:
    """A number or a zero as a ball of the working precision."""
    return x if type(x) is arb else arb(x)


def sign(x: Element) -> int | None:
    """-1, 0 or 1; None where a ball holds zero, or for NaN and UNKNOWN. Zeros of both signs have sign 0."""
    kind = type(x)
    if kind is fmpq:
        return 1 if x > 0 else -1
    if kind is arb:
        return 1 if x > 0 else -1 if x < 0 else None
    if kind is float and x == x:
        return (x > 0) - (x < 0)
    return None


def _representative(x: Element) -> float:
    """A double of the same class and sign, to ask IEEE rules about."""
    return x if type(x) is float else float(sign(x) or math.nan)


def compare(x: Element, y: Element) -> int | None:
    """-1, 0 or 1 as x is less than, equal to or greater than y; None if that is not known (nor is NaN)."""
    if x is y and x is not UNKNOWN and not is_nan(x):
        return 0
    if x is UNKNOWN or y is UNKNOWN or is_nan(x) or is_nan(y):
        return None
    if (type(x) is float and math.isinf(x)) or (type(y) is float and math.isinf(y)):
        a = x if type(x) is float and math.isinf(x) else 0.0
        b = y if type(y) is float and math.isinf(y) else 0.0
        return (a > b) - (a < b)
    if type(x) is float and type(y) is float:
        return 0
    if type(x) is float:
        return None if (s := sign(y)) is None else -s
    if type(y) is float:
        return sign(x)
    if x < y:
        return -1
    if x > y:
        return 1
    if type(x) is fmpq and type(y) is fmpq:
        return 0
    x, y = as_ball(x), as_ball(y)
    return 0 if x.is_exact() and y.is_exact() and x == y else None


class Arithmetic:
    """Operations on elements, at flint's current precision, remembered for as long as this object lives."""

    def __init__(self) -> None:
        self._rationals: dict[float, fmpq] = {}
        self._floats: dict[float, fmpq] = {}
        self._memo: dict[tuple, tuple] = {}

    # --- making elements -------------------------------------------------------------------------------------

    def from_float(self, value: float) -> Element:
        """The element of a Python float."""
        if value == 0 or value - value != 0:
            return value
        q = self._floats.get(value)
        if q is None:
            q = self._floats[value] = self.rational(fmpq(*value.as_integer_ratio()))
        return q

    def from_int(self, value: int) -> Element:
        return self.rational(fmpq(int(value)))

    def rational(self, q: fmpq) -> Element:
        """The one object that stands for the rational `q`."""
        if not q:
            return 0.0
        try:
            key = float(q)
        except OverflowError:
            key = math.inf
        known = self._rationals.setdefault(key, q)
        if known is q or known == q:
            return known
        return q if q.height_bits() < _MAX_RATIONAL_BITS else arb(q)

    def ball(self, b: arb) -> Element:
        """The element of a ball: a rational where it is exact, UNKNOWN where it says nothing."""
        if not b.is_finite():
            return UNKNOWN
        return self.rational(b.fmpq()) if b.is_exact() else b

    def remembered(self, name, compute: Callable[..., Element], *operands: Element) -> Element:
        """``compute(*operands)``, and the same object for the same name and operands ever after."""
        key = (name, *map(id, operands))
        hit = self._memo.get(key)
        if hit is None:
            # The operands are kept too: an id is only unique for as long as its object lives.
            hit = self._memo[key] = (compute(*operands), operands)
        return hit[0]

    # --- field operations ------------------------------------------------------------------------------------

    def neg(self, x: Element) -> Element:
        kind = type(x)
        if kind is fmpq:
            return self.rational(-x)
        if kind is arb:
            return self.remembered("neg", operator.neg, x)
        return -x if kind is float else x

    def add(self, x: Element, y: Element) -> Element:
        kinds = type(x), type(y)
        if kinds == _RATIONALS:
            return self._bounded(x + y)
        if float not in kinds and Unknown not in kinds:
            if id(x) > id(y):
                x, y = y, x
            return self.remembered("add", operator.add, x, y)
        if is_nan(x) or is_nan(y):
            return math.nan
        if x is UNKNOWN or y is UNKNOWN:
            return UNKNOWN
        if type(x) is float and type(y) is float:
            return x + y
        special, number = (x, y) if type(x) is float else (y, x)
        return number if special == 0 else special

    def sub(self, x: Element, y: Element) -> Element:
        if is_number(x) and is_number(y):
            if x is y:
                return 0.0
            if type(x) is fmpq and type(y) is fmpq:
                return self._bounded(x - y)
            return self.remembered("sub", operator.sub, x, y)
        return self.add(x, self.neg(y))

    def mul(self, x: Element, y: Element) -> Element:
        kinds = type(x), type(y)
        if kinds == _RATIONALS:
            return self._bounded(x * y)
        if float not in kinds and Unknown not in kinds:
            if id(x) > id(y):
                x, y = y, x
            return self.remembered("mul", operator.mul, x, y)
        if is_nan(x) or is_nan(y):
            return math.nan
        if x is UNKNOWN or y is UNKNOWN:
            return UNKNOWN
        a, b = _representative(x), _representative(y)
        if a == 0 or b == 0:
            return 0.0 if a != a or b != b else a * b  # a ball of unknown sign times zero: a zero all the same
        product = a * b
        return UNKNOWN if product != product else product

    def div(self, x: Element, y: Element) -> Element:
        if is_number(x) and is_number(y):
            if type(x) is fmpq and type(y) is fmpq:
                return self._bounded(x / y)
            if x is y:
                return self.from_float(1.0) if sign(x) else UNKNOWN
            return self.remembered("div", lambda a, b: self.ball(as_ball(a) / b), x, y)
        if is_nan(x) or is_nan(y):
            return math.nan
        if x is UNKNOWN or y is UNKNOWN:
            return UNKNOWN
        a, b = _representative(x), _representative(y)
        if a != a or b != b:  # a ball that holds zero, against a zero or an infinity
            return 0.0 if a == 0 or math.isinf(b) else UNKNOWN
        with np.errstate(all="ignore"):
            return float(np.float64(a) / np.float64(b))

    def _bounded(self, q: fmpq) -> Element:
        return self.rational(q) if q.height_bits() < _MAX_RATIONAL_BITS else arb(q)

    # --- order -----------------------------------------------------------------------------------------------

    def hull(self, x: Element, y: Element) -> Element:
        """An enclosure of both: what a choice between them is worth while it cannot be made."""
        if x is y or compare(x, y) == 0:
            return x
        if x is UNKNOWN or y is UNKNOWN:
            return UNKNOWN
        if any(type(e) is float and e != 0 for e in (x, y)):
            return UNKNOWN
        return self.remembered("hull", lambda a, b: as_ball(a).union(as_ball(b)), x, y)

    def max(self, x: Element, y: Element) -> Element:
        return self._extreme("max", arb.max, x, y, 1)

    def min(self, x: Element, y: Element) -> Element:
        return self._extreme("min", arb.min, x, y, -1)

    def _extreme(self, name, of_balls, x, y, wanted: int) -> Element:
        if is_nan(x) or is_nan(y):
            return math.nan
        order = compare(x, y)
        if order is not None:
            return y if order == -wanted else x
        if x is UNKNOWN or y is UNKNOWN:
            return UNKNOWN
        if id(x) > id(y):
            x, y = y, x
        return self.remembered(name, lambda a, b: of_balls(as_ball(a), as_ball(b)), x, y)

    # --- sums ------------------------------------------------------------------------------------------------

    def sum(self, elements) -> Element:
        total: Element = 0.0
        for element in elements:
            total = self.add(total, element)
        return total

    def product(self, elements) -> Element:
        total = self.from_float(1.0)
        for element in elements:
            total = self.mul(total, element)
        return total

    def dot(self, xs, ys) -> Element:
        return self.sum(map(self.mul, xs, ys))

    def polynomial(self, x: Element, *coefficients: Element) -> Element:
        """Horner's rule, the constant coefficient first."""
        total: Element = coefficients[-1]
        for coefficient in reversed(coefficients[:-1]):
            total = self.add(coefficient, self.mul(x, total))
        return total

    # --- powers ----------------------------------------------------------------------------------------------

    def integer_pow(self, x: Element, n: int) -> Element:
        if n < 0:
            return self.div(self.from_float(1.0), self.integer_pow(x, -n))
        if n == 0:
            return self.from_float(1.0)
        if type(x) is fmpq:
            return self._bounded(x**n) if x.height_bits() * n < _MAX_RATIONAL_BITS else arb(x) ** n
        if type(x) is arb:
            return self.remembered(("integer_pow", n), lambda b: self.ball(b**n), x)
        return x**n if type(x) is float else UNKNOWN

    def pow(self, x: Element, y: Element) -> Element:
        if type(y) is fmpq and y.q == 1 and abs(y.p) <= 1024:
            return self.integer_pow(x, int(y.p))
        if is_number(x) and is_number(y):
            s = sign(x)
            if s is None:
                return UNKNOWN
            if s < 0:
                if type(y) is fmpq and y.q == 1:
                    magnitude = self.pow(self.neg(x), y)
                    return self.neg(magnitude) if int(y.p) % 2 else magnitude
                return math.nan if type(y) is fmpq else UNKNOWN
            return self.remembered("pow", lambda a, b: self.ball(as_ball(a) ** as_ball(b)), x, y)
        if type(y) is float and y == 0:
            return self.from_float(1.0)
        if x is UNKNOWN or y is UNKNOWN:
            return UNKNOWN
        return self._special_pow(x, y)

    def _special_pow(self, x: Element, y: Element) -> Element:
        """At least one of x and y is a special: ask IEEE's pow, with a double on the same side of 1."""
        if is_number(x):
            side, s = compare(self.abs(x), self.from_float(1.0)), sign(x)
            if side is None or s is None:
                return UNKNOWN
            a = s * 2.0**side
        else:
            a = x
        if is_number(y):
            if (s := sign(y)) is None:
                return UNKNOWN
            b = float(y.p) if type(y) is fmpq and y.q == 1 and abs(y.p) < 2**53 else 0.75 * s
        else:
            b = y
        with np.errstate(all="ignore"):
            return self.from_float(float(np.power(np.float64(a), np.float64(b))))

    def abs(self, x: Element) -> Element:
        if type(x) is float:
            return abs(x)
        s = sign(x)
        if s is None:
            return UNKNOWN if x is UNKNOWN else self.remembered("abs", abs, x)
        return x if s > 0 else self.neg(x)
