"""What a floating-point format is: its limits, its units in the last place, its corners, its bits.

The ground floor of the laboratory: NumPy and ml_dtypes only. Every comparison between a computed and a true
value is done here, on the host, because XLA's CPU backend flushes subnormals even inside ``==``.
"""

from __future__ import annotations

import dataclasses
import functools
from fractions import Fraction

import ml_dtypes
import numpy as np

NAMES = ("bfloat16", "float16", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class Format:
    """A binary floating-point format with `precision` significand bits and normal exponents `emin..emax`."""

    dtype: np.dtype
    precision: int
    emin: int
    emax: int

    @property
    def name(self) -> str:
        return self.dtype.name

    @property
    def bits(self) -> int:
        return self.dtype.itemsize * 8

    @property
    def tiny(self) -> float:
        """The smallest positive normal number."""
        return 2.0**self.emin

    @property
    def smallest_subnormal(self) -> float:
        return 2.0 ** (self.emin - self.precision + 1)

    @property
    def max(self) -> float:
        return (2.0 - 2.0 ** (1 - self.precision)) * 2.0**self.emax

    @property
    def eps(self) -> float:
        """The gap between 1 and the next larger number."""
        return 2.0 ** (1 - self.precision)


@functools.cache
def _format(dtype: np.dtype) -> Format:
    info = ml_dtypes.finfo(dtype)
    # minexp and maxexp follow NumPy: max lies in the binade of exponent maxexp - 1.
    return Format(dtype, int(info.nmant) + 1, int(info.minexp), int(info.maxexp) - 1)


def format_of(dtype) -> Format:
    """The `Format` of a dtype or dtype name; `ValueError` when it is none of `NAMES`."""
    try:
        name = dtype if isinstance(dtype, str) or dtype is None else np.dtype(dtype).name
    except TypeError:
        name = dtype
    if name not in NAMES:
        raise ValueError(f"unsupported float dtype {name!r}; allowed: {', '.join(NAMES)}")
    return _format(np.dtype(getattr(ml_dtypes, name, name)))


def is_float(dtype) -> bool:
    """Whether a dtype, or its name, is one of the four supported float formats."""
    return (dtype if isinstance(dtype, str) else getattr(dtype, "name", None)) in NAMES


def _ulp_exponent(value: np.ndarray, fmt: Format) -> np.ndarray:
    """log2 of ulp(value); zero counts as subnormal, infinity as lying in the top binade."""
    _, exponent = np.frexp(value)
    exponent = np.where(np.isfinite(value), exponent - 1, fmt.emax)
    exponent = np.where(value == 0, fmt.emin, exponent)
    return np.clip(exponent, fmt.emin, fmt.emax) - (fmt.precision - 1)


def ulp(value, dtype) -> np.ndarray:
    r"""The unit in the last place of `dtype` at the real number `value`.

    .. math:: \mathrm{ulp}(r) = 2^{\min(\max(\lfloor \log_2 |r| \rfloor, e_{\min}), e_{\max}) - (p - 1)}
    """
    return np.ldexp(1.0, _ulp_exponent(np.asarray(value, np.float64), format_of(dtype)))


@dataclasses.dataclass(frozen=True)
class Truth:
    """Real numbers next to a float format: the true value is ``nearest + residual * ulp(nearest)``.

    Attributes:
      nearest: the correctly rounded value, in the format that is judged.
      residual: what rounding took away, in units of ``ulp(nearest)``, float64 in [-1/2, 1/2].
      proved: whether an enclosure of the true value was narrow enough to prove both.
    """

    nearest: np.ndarray
    residual: np.ndarray
    proved: np.ndarray

    def __getitem__(self, index) -> Truth:
        return Truth(self.nearest[index], self.residual[index], self.proved[index])


def ulp_error(actual, truth, *, flush: bool = False) -> np.ndarray:
    """How far `actual` is from the truth, in units in the last place of the truth.

    The metric of the JAX documentation's page "Numerical accuracy": infinity is placed one ULP above the largest
    float; a true value that rounds to infinity is infinity. With `flush`, for devices that flush subnormals,
    values below the smallest normal are all equal and the gap between the smallest normals and zero is one step.

    Args:
      actual: computed values, in one of the four float formats.
      truth: a `Truth`, or an array in the same format holding exact values.
      flush: whether the device that computed `actual` flushes subnormals.

    Returns:
      float64 errors: 0 where both are NaN, `inf` where exactly one of them is (see `wrong_special`).
    """
    actual = np.asarray(actual)
    if not isinstance(truth, Truth):
        expected = np.asarray(truth).astype(actual.dtype)
        truth = Truth(expected, np.zeros(expected.shape), np.ones(expected.shape, bool))
    fmt = format_of(actual.dtype)
    with np.errstate(invalid="ignore"):  # signalling NaNs
        computed, nearest = actual.astype(np.float64), truth.nearest.astype(np.float64)
    exponent = _ulp_exponent(nearest, fmt)
    # Just below a power of two the true value lives in the smaller binade, whose ulp is half as large.
    mantissa, _ = np.frexp(nearest)
    inward = (np.sign(truth.residual) == -np.sign(nearest)) & (np.abs(mantissa) == 0.5)
    halved = inward & np.isfinite(nearest) & (exponent > fmt.emin - fmt.precision + 1)
    unit = exponent - halved

    def in_ulps(value):
        # +-infinity sits one ULP above the largest float.
        beyond = np.copysign(np.ldexp(1.0, fmt.emax + 1 - unit), value)
        return np.where(np.isinf(value), beyond, np.ldexp(np.where(np.isinf(value), 0, value), -unit))

    with np.errstate(over="ignore", invalid="ignore"):
        whole = in_ulps(nearest)
        rest = np.where(np.isfinite(nearest), truth.residual, 0) * np.where(halved, 2.0, 1.0)
        got = in_ulps(computed)
        error = np.abs((got - whole) - rest)
        if flush:
            error = np.where(_crosses(computed, nearest, fmt), _contracted_error(got, whole, rest, unit, fmt), error)
    error = np.minimum(error, np.finfo(np.float64).max)
    both_infinite = np.isinf(computed) & (computed == nearest)
    error = np.where(both_infinite | (np.isnan(computed) & np.isnan(nearest)), 0.0, error)
    return np.where(np.isnan(computed) ^ np.isnan(nearest), np.inf, error)


def _crosses(computed: np.ndarray, nearest: np.ndarray, fmt: Format) -> np.ndarray:
    """Where the way from one to the other leads through subnormals; elsewhere flushing changes nothing."""
    small = (np.abs(computed) < fmt.tiny) | (np.abs(nearest) <= fmt.tiny)
    return small | (np.signbit(computed) != np.signbit(nearest))


def _contracted_error(got, whole, rest, unit, fmt: Format) -> np.ndarray:
    """The error on a line where everything up to the last subnormal is 0, and the smallest normal 1 ulp away."""
    last = np.ldexp(fmt.tiny - fmt.smallest_subnormal, -unit)
    tiny = np.ldexp(fmt.tiny, -unit)

    def contract(value):
        return np.copysign(np.maximum(np.abs(value) - last, 0), value)

    outward = np.sign(rest) == np.sign(whole)
    size = np.abs(whole)
    rest = np.where((size > last) | ((size == last) & outward), rest, 0.0)
    below = (size < tiny) | ((size == tiny) & ~outward & (rest != 0))
    return np.where(below & (np.abs(got) < tiny), 0.0, np.abs((contract(got) - contract(whole)) - rest))


def wrong_special(actual, nearest) -> np.ndarray:
    """Where a NaN was computed and a number (or an infinity) is right, or the other way round."""
    with np.errstate(invalid="ignore"):  # signalling NaNs
        return np.isnan(np.asarray(actual)) ^ np.isnan(np.asarray(nearest))


def flushed(actual, nearest) -> np.ndarray:
    """Where a subnormal number is right and zero was computed."""
    fmt = format_of(np.asarray(actual).dtype)
    nearest = np.asarray(nearest, np.float64)
    return (np.asarray(actual, np.float64) == 0) & (nearest != 0) & (np.abs(nearest) < fmt.tiny)


def round_fraction(value: Fraction, fmt: Format) -> tuple[float, float]:
    """The nearest float (ties to even) to an exact rational, and what it leaves, in ulps of that float."""
    if value == 0:
        return 0.0, 0.0
    magnitude = abs(value)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if magnitude < _power_of_two(exponent):
        exponent -= 1
    unit = max(exponent, fmt.emin) - fmt.precision + 1
    scaled = magnitude / _power_of_two(unit)
    whole = round(scaled)  # Python rounds a Fraction's halves to even
    if whole.bit_length() + unit > fmt.emax + 1:
        return (float("inf") if value > 0 else float("-inf")), 0.0
    rest = scaled - whole
    if whole.bit_length() > fmt.precision:  # rounded up into the next binade, whose ulp is twice as large
        rest /= 2
    sign = 1 if value > 0 else -1
    return sign * float(whole * _power_of_two(unit)), sign * float(rest)


def _power_of_two(exponent: int) -> Fraction:
    return Fraction(2**exponent) if exponent >= 0 else Fraction(1, 2**-exponent)


def to_ordinal(values) -> np.ndarray:
    """Integers that count floats along the line: adjacent floats differ by one, and both zeros are 0."""
    values = np.asarray(values)
    fmt = format_of(values.dtype)
    bits = values.view(f"i{fmt.bits // 8}").astype(np.int64)
    magnitude = bits & np.int64((1 << (fmt.bits - 1)) - 1)
    return np.where(bits < 0, -magnitude, magnitude)


def from_ordinal(ordinals, dtype) -> np.ndarray:
    """The inverse of `to_ordinal` (0 gives +0)."""
    fmt = format_of(dtype)
    ordinals = np.asarray(ordinals, np.int64)
    sign = np.where(ordinals < 0, np.int64(1) << (fmt.bits - 1), 0).astype(np.uint64)
    bits = np.abs(ordinals).astype(np.uint64) | sign.astype(np.uint64)
    return bits.astype(f"u{fmt.bits // 8}").view(fmt.dtype)


def neighbours(value: float, dtype, steps: int = 2) -> np.ndarray:
    """`value` rounded to `dtype` and the `steps` floats on either side of it, NaNs left out."""
    fmt = format_of(dtype)
    center = int(to_ordinal(np.asarray(value).astype(fmt.dtype)))
    last = int(to_ordinal(np.asarray(np.inf).astype(fmt.dtype)))
    around = np.clip(np.arange(center - steps, center + steps + 1), -last, last)
    return from_ordinal(np.unique(around), dtype)


@functools.cache
def corners(dtype) -> np.ndarray:
    """The values at which arithmetic changes its character, each with its neighbours, and +-0, +-inf and NaN."""
    fmt = format_of(dtype)
    limits = [fmt.smallest_subnormal, fmt.tiny, fmt.eps, 0.5, 1.0, 2.0, 1 / fmt.eps, fmt.max]
    # where sums with 1, exponentials, squares and square roots saturate
    limits += [fmt.eps**0.5, np.log(1 / fmt.eps), -np.log(fmt.tiny), np.log(fmt.max), fmt.max**0.5, fmt.tiny**0.5]
    values = np.concatenate([neighbours(sign * limit, dtype) for limit in limits for sign in (1, -1)])
    specials = np.array([0.0, -0.0, np.inf, -np.inf, np.nan]).astype(fmt.dtype)
    finite = values[np.isfinite(values.astype(np.float64)) & (values != 0)]
    found = np.concatenate([specials, np.unique(finite)])
    found.flags.writeable = False  # it is kept for the next caller
    return found
