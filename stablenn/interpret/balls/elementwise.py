"""The elementwise primitives of jax.lax as functions of elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from flint import arb, fmpq

from stablenn.interpret.balls import elements
from stablenn.interpret.balls.elements import UNKNOWN, Arithmetic, Element, compare, is_nan, sign

_NAN, _INF = math.nan, math.inf


class Function(NamedTuple):
    """A real function of one variable: on balls, and at the specials where IEEE rules decide."""

    ball: Callable[[arb], arb]
    zero: Callable[[float], float] | None  # value at +-0; None: what `ball` says
    inf: float | Callable[[], arb]
    neg_inf: float | Callable[[], arb]
    outside: Callable[[arb], float | None] = lambda x: None  # NaN or a pole, where x is surely no inner point


def _same(zero: float) -> float:
    return zero


def _below(bound: int, at_bound: float = _NAN):
    """Undefined below `bound`; at it, a pole or a NaN."""

    def outside(x: arb) -> float | None:
        if x < bound:
            return _NAN
        return at_bound if x.is_exact() and x == bound else None

    return outside


def _inside_unit(at_one: float = _NAN):
    """Undefined beyond +-1, with poles of `at_one` times the sign there."""

    def outside(x: arb) -> float | None:
        if abs(x) > 1:
            return _NAN
        return math.copysign(at_one, float(x)) if x.is_exact() and abs(x) == 1 else None

    return outside


def _pole_at_negative_integers(value: float):
    def outside(x: arb) -> float | None:
        return value if x.is_exact() and x.is_integer() and x <= 0 else None

    return outside


def _half_pi() -> arb:
    return arb.pi() / 2


def _logistic(x: arb) -> arb:
    # For large |x| one form keeps its relative accuracy where the other loses it.
    if x < 0:
        e = x.exp()
        return e / (1 + e)
    return 1 / (1 + (-x).exp())


def _cbrt(x: arb) -> arb:
    return -((-x).root(3)) if x < 0 else x.root(3)


def _log_abs_gamma(x: arb) -> arb:
    if x > 0:
        return x.lgamma()
    # log|Gamma(x)| = log(pi / |sin(pi x)|) - log Gamma(1 - x)
    return (arb.pi() / abs(x.sin_pi())).log() - (1 - x).lgamma()


FUNCTIONS: dict[str, Function] = {
    "exp": Function(arb.exp, lambda z: 1.0, _INF, 0.0),
    "exp2": Function(lambda x: arb(2) ** x, lambda z: 1.0, _INF, 0.0),
    "expm1": Function(arb.expm1, _same, _INF, -1.0),
    "log": Function(arb.log, lambda z: -_INF, _INF, _NAN, _below(0)),
    "log2": Function(lambda x: x.log() / arb.const_log2(), lambda z: -_INF, _INF, _NAN, _below(0)),
    "log1p": Function(arb.log1p, _same, _INF, _NAN, _below(-1, -_INF)),
    "sqrt": Function(arb.sqrt, _same, _INF, _NAN, _below(0)),
    "rsqrt": Function(arb.rsqrt, lambda z: math.copysign(_INF, z), 0.0, _NAN, _below(0)),
    "cbrt": Function(_cbrt, _same, _INF, -_INF),
    "sin": Function(arb.sin, _same, _NAN, _NAN),
    "cos": Function(arb.cos, lambda z: 1.0, _NAN, _NAN),
    "tan": Function(arb.tan, _same, _NAN, _NAN),
    "asin": Function(arb.asin, _same, _NAN, _NAN, _inside_unit()),
    "acos": Function(arb.acos, None, _NAN, _NAN, _inside_unit()),
    "atan": Function(arb.atan, _same, _half_pi, lambda: -_half_pi()),
    "sinh": Function(arb.sinh, _same, _INF, -_INF),
    "cosh": Function(arb.cosh, lambda z: 1.0, _INF, _INF),
    "tanh": Function(arb.tanh, _same, 1.0, -1.0),
    "asinh": Function(arb.asinh, _same, _INF, -_INF),
    "acosh": Function(arb.acosh, lambda z: _NAN, _INF, _NAN, _below(1)),
    "atanh": Function(arb.atanh, _same, _NAN, _NAN, _inside_unit(_INF)),
    "logistic": Function(_logistic, lambda z: 0.5, 1.0, 0.0),
    "erf": Function(arb.erf, _same, 1.0, -1.0),
    "erfc": Function(arb.erfc, lambda z: 1.0, 0.0, 2.0),
    "erf_inv": Function(arb.erfinv, _same, _NAN, _NAN, _inside_unit(_INF)),
    "lgamma": Function(_log_abs_gamma, lambda z: _INF, _INF, _INF, _pole_at_negative_integers(_INF)),
    "digamma": Function(arb.digamma, lambda z: _NAN, _INF, _NAN, _pole_at_negative_integers(_NAN)),
}


def apply_function(name: str, arithmetic: Arithmetic) -> Callable[[Element], Element]:
    """The function `name` of one element."""
    function = FUNCTIONS[name]

    def of_ball(x: Element) -> Element:
        x = elements.as_ball(x)
        value = function.ball(x)
        if value.is_finite():
            return arithmetic.ball(value)
        outside = function.outside(x)
        return UNKNOWN if outside is None else outside

    def at_special(x: float) -> Element:
        if is_nan(x):
            return x
        if x == 0:
            return arithmetic.ball(function.ball(arb(0))) if function.zero is None else from_float(function.zero(x))
        value = function.inf if x > 0 else function.neg_inf
        return value() if callable(value) else from_float(value)

    from_float = arithmetic.from_float

    def apply(x: Element) -> Element:
        if type(x) is float:
            return at_special(x)
        return UNKNOWN if x is UNKNOWN else arithmetic.remembered(name, of_ball, x)

    return apply


# --- functions that jump, signs, and order ---------------------------------------------------------------------


def _integral(x: arb, toward: Callable[[arb], arb], arithmetic: Arithmetic) -> Element:
    """An integer where the ball lies between two jumps, the hull of the possible ones elsewhere."""
    return arithmetic.ball(toward(x))


def floor(arithmetic: Arithmetic):
    """Round down."""
    return _rounding(arithmetic, lambda q: q.floor(), arb.floor)


def ceil(arithmetic: Arithmetic):
    """Round up."""
    return _rounding(arithmetic, lambda q: q.ceil(), arb.ceil)


def round_half(arithmetic: Arithmetic, to_even: bool):
    """Round to the nearest integer, ties to even or away from zero."""

    def of_rational(q: fmpq):
        twice, whole = 2 * q, (q + fmpq(1, 2)).floor()
        if twice.q == 1 and int(twice.p) % 2:  # a tie
            return whole - int(whole) % 2 if to_even else (whole if q > 0 else whole - 1)
        return whole

    return _rounding(arithmetic, of_rational, lambda b: (b + arb(0.5)).floor())


def _rounding(arithmetic: Arithmetic, of_rational, of_ball):
    def apply(x: Element) -> Element:
        if type(x) is fmpq:
            return arithmetic.rational(fmpq(of_rational(x)))
        return _integral(x, of_ball, arithmetic) if type(x) is arb else x

    return apply


def signum(arithmetic: Arithmetic):
    """-1, 0 or 1 with the sign of the argument; zeros keep theirs."""

    def apply(x: Element) -> Element:
        if type(x) is float and (x == 0 or x != x):
            return x
        if (s := sign(x)) is not None:
            return arithmetic.from_float(float(s))
        return UNKNOWN if x is UNKNOWN else arithmetic.ball(arb(0, 1))

    return apply


def truncate(x: Element) -> int:
    """float -> integer, towards zero; raises `Undecided` where a ball holds a jump."""
    if type(x) is fmpq:
        return int(x.p) // int(x.q) if x > 0 else -(-int(x.p) // int(x.q))
    if type(x) is arb:
        whole = (x.floor() if x > 0 else x.ceil()) if sign(x) else None
        if whole is not None and (integer := whole.unique_fmpz()) is not None:
            return int(integer)
        if abs(x) < 1:
            return 0
    if type(x) is float and math.isfinite(x):
        return 0
    raise elements.Undecided


def remainder(arithmetic: Arithmetic):
    """C's fmod: the result has the sign of the dividend."""

    def apply(x: Element, y: Element) -> Element:
        if is_nan(x) or is_nan(y) or (type(x) is float and math.isinf(x)) or (type(y) is float and y == 0):
            return _NAN
        if type(x) is float or (type(y) is float and math.isinf(y)):
            return x
        if x is UNKNOWN or y is UNKNOWN:
            return UNKNOWN
        try:
            whole = arithmetic.from_int(truncate(arithmetic.div(x, y)))
        except elements.Undecided:
            return UNKNOWN
        return arithmetic.sub(x, arithmetic.mul(whole, y))

    return apply


def atan2(arithmetic: Arithmetic):
    """The angle of the point (x, y), of y and x."""

    def apply(y: Element, x: Element) -> Element:
        if is_nan(x) or is_nan(y):
            return _NAN
        if x is UNKNOWN or y is UNKNOWN:
            return UNKNOWN
        if not (type(x) is float and type(y) is float) and not any(type(e) is float and math.isinf(e) for e in (x, y)):
            if type(y) is float and sign(x) == 1:
                return y
            value = arb.atan2(elements.as_ball(y), elements.as_ball(x))
            return arithmetic.neg(value) if type(y) is float and math.copysign(1, y) < 0 else arithmetic.ball(value)
        a, b = (e if type(e) is float else float(sign(e) or 1) for e in (y, x))
        quarters = math.atan2(a, b) / (math.pi / 4)  # a multiple of pi/4, of which the double gives the count
        return math.copysign(0.0, a) if quarters == 0 else arb.pi() * fmpq(round(quarters), 4)

    return apply


def is_finite(x: Element):
    """True for every real number: its meaning does not depend on where a format overflows."""
    if x is UNKNOWN:
        return UNKNOWN
    return not (type(x) is float and not math.isfinite(x))


def _comparison(accepts: Callable[[int], bool], with_nan: bool):
    def apply(x: Element, y: Element):
        if is_nan(x) or is_nan(y):
            return with_nan
        order = compare(x, y)
        return UNKNOWN if order is None else accepts(order)

    return apply


def _total_order(accepts: Callable[[int], bool]):
    """Comparison in the order in which sorting puts floats: -0 before +0, and NaN last."""

    def apply(x: Element, y: Element):
        if is_nan(x) or is_nan(y):
            return accepts(is_nan(x) - is_nan(y))
        order = compare(x, y)
        if order == 0 and type(x) is float and type(y) is float and x == 0:
            order = int(math.copysign(1, x) - math.copysign(1, y))
        return UNKNOWN if order is None else accepts(order)

    return apply


COMPARISONS = {
    "lt_to": _total_order(lambda order: order < 0),
    "le_to": _total_order(lambda order: order <= 0),
    "eq_to": _total_order(lambda order: order == 0),
    "lt": _comparison(lambda order: order < 0, False),
    "le": _comparison(lambda order: order <= 0, False),
    "gt": _comparison(lambda order: order > 0, False),
    "ge": _comparison(lambda order: order >= 0, False),
    "eq": _comparison(lambda order: order == 0, False),
    "ne": _comparison(lambda order: order != 0, True),
}
