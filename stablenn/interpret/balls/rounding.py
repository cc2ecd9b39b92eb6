"""From an enclosure to the float nearest to the true value, and to what that rounding left over."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from flint import arb, fmpq

from stablenn.floats import Format, Truth, round_fraction, ulp
from stablenn.interpret.balls.elements import UNKNOWN, Element, as_ball, is_number

# A residual counts as known when its enclosure is this narrow, in ulps.
_NARROW = 2.0**-30
# Where a double holds the midpoint to full relative precision, rounding needs no exact arithmetic.
_SAFE_MIN, _SAFE_MAX = 2.0**-900, 2.0**1000


def round_elements(values: np.ndarray, fmt: Format, *, strict: bool) -> Truth:
    """Round an object array of elements to `fmt`.

    Args:
      values: elements, of any shape.
      fmt: the format.
      strict: whether the nearest float must be proved, even next to a midpoint of two floats; otherwise a
        narrow enclosure is enough, which is all that an error in ulps needs.

    Returns:
      The `Truth`; where it is not proved, a higher precision may tell more.
    """
    flat = list(values.flat)
    middle = np.array([float(as_ball(v)) if is_number(v) else math.nan for v in flat], np.float64)
    with np.errstate(over="ignore"):
        nearest = middle.astype(fmt.dtype)
    rounded = nearest.astype(np.float64)
    size = np.abs(middle)
    fast = (size > max(_SAFE_MIN, 4 * fmt.smallest_subnormal)) & (size < _SAFE_MAX) & np.isfinite(rounded)
    rest, radius = np.zeros(len(flat)), np.zeros(len(flat))
    for i in np.flatnonzero(fast):
        difference = as_ball(flat[i]) - float(middle[i])  # its radius accounts for the rounding of this subtraction
        rest[i] = float(difference)
        radius[i] = float(difference.rad())
    unit = ulp(rounded, fmt.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        residual = np.where(fast, ((middle - rounded) + rest) / unit, 0.0)
        radius = np.where(fast, radius / unit * 1.0001 + 2.0**-60, 0.0)
    narrow = radius < _NARROW
    # Within the radius of half an ulp the nearest float is in doubt, and so is a cast that rounded twice.
    doubtful = np.abs(residual) + radius >= 0.5
    proved = fast & narrow & ~doubtful
    if not strict:
        proved |= fast & narrow & (np.abs(residual) < 0.5 + _NARROW)
    with np.errstate(over="ignore"):
        for i in np.flatnonzero(~fast | (narrow & ~proved)):
            nearest[i], residual[i], proved[i] = _slowly(flat[i], fmt, strict)
    shape = values.shape
    return Truth(nearest.reshape(shape), residual.reshape(shape), proved.reshape(shape))


def _slowly(value: Element, fmt: Format, strict: bool) -> tuple[float, float, bool]:
    """One element by exact arithmetic: specials, rationals, the ends of the range, and near ties."""
    if type(value) is float:
        return value, 0.0, True
    if value is UNKNOWN:
        return math.nan, 0.0, False
    if type(value) is fmpq:
        return *round_fraction(Fraction(int(value.p), int(value.q)), fmt), True
    half = arb(fmt.smallest_subnormal) / 2
    if abs(value) < half:  # too small to tell from zero; the sign of that zero, where it is known
        return (-0.0 if value < 0 else 0.0), 0.0, True
    threshold = arb(fmt.max) + arb(fmt.max - _predecessor(fmt)) / 2
    if abs(value) > threshold:
        return (math.inf if value > 0 else -math.inf), 0.0, True
    # Exponents are moderate from here on, so that exact bounds are affordable.
    low, high = (_fraction(end) for end in (value.lower(), value.upper()))
    nearest, residual = round_fraction(_fraction(value.mid()), fmt)
    unit = Fraction(float(ulp(np.float64(nearest), fmt.dtype)))
    narrow = (high - low) / unit < _NARROW
    agreed = round_fraction(low, fmt)[0] == round_fraction(high, fmt)[0]
    return nearest, residual, bool(narrow and (agreed or not strict))


def _predecessor(fmt: Format) -> float:
    """The second largest finite number."""
    return fmt.max - 2.0 ** (fmt.emax - fmt.precision + 1)


def _fraction(exact: arb) -> Fraction:
    mantissa, exponent = exact.man_exp()
    mantissa, exponent = int(mantissa), int(exponent)
    return Fraction(mantissa * 2**exponent) if exponent >= 0 else Fraction(mantissa, 2**-exponent)
