"""Rounding once, independently of the library: an mpmath number to the nearest float, by integers."""

from fractions import Fraction

import mpmath
import numpy as np

FORMATS = {
    "bfloat16": (8, -126, 127),
    "float16": (11, -14, 15),
    "float32": (24, -126, 127),
    "float64": (53, -1022, 1023),
}


def fraction(x):
    """An mpmath number as an exact rational."""
    sign, mantissa, exponent, _ = x._mpf_
    return Fraction((-1) ** sign * int(mantissa)) * Fraction(2) ** int(exponent)


def nearest(x, dtype="float32"):
    """The float of `dtype` nearest to an mpmath number or a Fraction, ties to even, as a Python float."""
    if isinstance(x, mpmath.mpf):
        if not mpmath.isfinite(x):
            return float(x)
        x = fraction(x)
    precision, emin, emax = FORMATS[dtype]
    if x == 0:
        return 0.0
    exponent = emin
    while abs(x) >= Fraction(2) ** (exponent + 1):
        exponent += max(1, abs(x).numerator.bit_length() - abs(x).denominator.bit_length() - exponent - 2)
    unit = Fraction(2) ** (exponent - precision + 1)
    value = round(x / unit) * unit
    return float("inf") * (1 if x > 0 else -1) if abs(value) >= Fraction(2) ** (emax + 1) else float(value)


def same(actual, expected):
    """Equal, with NaN equal to itself and zeros told apart by nothing."""
    np.testing.assert_array_equal(np.asarray(actual, np.float64), np.asarray(expected, np.float64))
