"""The vectorised filter of a sweep: float32 results held against a float64 evaluation of the same function.

It is fast, and it proves nothing: what it finds worst, and whatever it cannot vouch for, goes to exact evaluation.
A fault that both precisions share is out of its sight, except that it breaks the smooth course of the float64 results
from one input to the next; such breaks are found, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np

from stablenn import floats
from stablenn.floats import Truth
from stablenn.precision.accuracy import compiled, flat
from stablenn.precision.devices import flushes_subnormals, wide_if_needed
from stablenn.precision.domain.arguments import Argument, ends_of

DTYPE = "float32"
_FORMAT = floats.format_of(DTYPE)
_SIGN = 1 << 31
_MANTISSA_BITS = _FORMAT.precision - 1
# Inputs in one call of a compiled function, and how many of its results NumPy takes at a time, to stay in the cache.
BLOCK = 1 << 18
_SLICE = 1 << 15
# Inputs of a chunk that are kept for exact judgement, of each kind, and those taken at random.
_KEPT = 8
_BLIND = 4
# In units of 2^floor(log2|result|): an ulp, the least second difference that counts as a break, a lost result.
_ULP = _FORMAT.eps
_BREAK = _ULP / 16
_LOST = 0.125
_ROUNDS_TO_INFINITY = _FORMAT.max * (1 + _FORMAT.eps / 4)
_ROUNDS_TO_ZERO = _FORMAT.smallest_subnormal / 2
_POWER_BITS = np.int64(0x7FF0 << 48)
# The histogram of log2(1 + error), from which quantiles are read: one in so many results, bins a unit, bins.
_EVERY, _FINENESS, _BINS = 64, 64, 1024


@dataclasses.dataclass(frozen=True)
class Subject:
    """A univariate function, or its gradient, as it is swept.

    Attributes:
      fn: the function.
      quantity: "value" or "gradient".
      device: where it is evaluated, in float32 and in float64.
      scale: maps inputs to the size against which scaled errors are counted; None: the result itself.
    """

    fn: Callable
    quantity: str
    device: jax.Device
    scale: Callable[..., np.ndarray] | None = None

    @property
    def program(self) -> Callable:
        """What is compiled: the very program that a `Reference` judges."""
        return compiled(flat(self.fn, self.quantity, (0,)))

    @property
    def flush(self) -> bool:
        return flushes_subnormals(DTYPE, self.device)

    def evaluate(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The results in float32 and in float64; `x` is filled up to whole blocks, so that no remainder of a loop is
        compiled in another way."""
        filled = np.concatenate([x, np.broadcast_to(x[-1:], -len(x) % BLOCK)]) if len(x) % BLOCK else x
        parts = [self._block(filled[start : start + BLOCK]) for start in range(0, len(filled), BLOCK)]
        narrow, wide = (np.concatenate(part) if len(part) > 1 else part[0] for part in zip(*parts, strict=True))
        return narrow[: len(x)], wide[: len(x)]

    def _block(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with jax.default_device(self.device):
            narrow = self.program(x)
            with wide_if_needed("float64"):
                wide = self.program(x.astype(np.float64))
            return np.asarray(narrow).reshape(-1), np.asarray(wide).reshape(-1)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """The floats of one sign and one exponent, or a part of them, as bit patterns; both ends included."""

    first: int
    last: int

    @property
    def binade(self) -> tuple[int, int]:
        """Sign and exponent of the inputs; one exponent stands for all subnormals."""
        exponent = (self.first & ~_SIGN) >> _MANTISSA_BITS
        return (-1 if self.first & _SIGN else 1), exponent + _FORMAT.emin - 1

    def size(self, stride: int = 1) -> int:
        return -(-(self.last - self.first) // stride) + 1

    def blocks(self, stride: int) -> Iterator[np.ndarray]:
        """The bit patterns, a block at a time: all, or one in `stride` at random distances, and both ends."""
        size = self.size(stride)
        for start in range(0, size, BLOCK):
            bits = np.arange(start, min(start + BLOCK, size), dtype=np.int64)
            if stride > 1:
                rng = np.random.default_rng(self.first + start)
                bits = bits * stride + np.where(bits > 0, rng.integers(0, stride, len(bits)), 0)
                bits = np.minimum(bits, self.last - self.first - 1)
            bits += self.first
            if start + BLOCK >= size:
                bits[-1] = self.last
            yield bits.astype(np.uint32)


def chunks_of(argument: Argument, *, subnormals: bool) -> list[Chunk]:
    """Every finite float of the argument's range but the zeros."""
    low, high = (int(floats.to_ordinal(end)) for end in ends_of(argument))
    found = []
    for sign in (1, -1):
        # magnitudes of this sign within the range
        smallest, largest = (low, high) if sign > 0 else (-high, -low)
        for exponent in range(0 if subnormals else 1, 255):
            first = max(exponent << _MANTISSA_BITS, smallest, 1)
            last = min(((exponent + 1) << _MANTISSA_BITS) - 1, largest)
            if first <= last:
                bits = 0 if sign > 0 else _SIGN
                found.append(Chunk(bits | first, bits | last))
    return found


def inputs_of(bits) -> np.ndarray:
    """The float32 numbers of bit patterns."""
    return np.asarray(bits, np.uint32).view(np.float32)


@dataclasses.dataclass
class Found:
    """What the filter has to say about a chunk; numbers and lists, as JSON has them. Inputs are bit patterns.

    Attributes:
      count: inputs that were compared.
      total: the sum of their errors.
      histogram: of a part of the errors, as (bin, count).
      max_ulp: the largest error, not counting wrong specials.
      wrong_specials: NaN in one precision alone.
      flushed: zeros where a subnormal is right.
      zeros: zeros where a normal number is right.
      breaks: breaks in the course of the float64 results.
      worst: the inputs with the largest errors, and the errors.
      examine: other inputs that should be judged exactly.
    """

    count: int = 0
    total: float = 0.0
    histogram: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    max_ulp: float = 0.0
    wrong_specials: int = 0
    flushed: int = 0
    zeros: int = 0
    breaks: int = 0
    worst: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    examine: list[int] = dataclasses.field(default_factory=list)


def quantile(histogram: Sequence[tuple[int, int]], share: float) -> float:
    """The error that a share of the results stays below; of the last bin, its end."""
    if not histogram:
        return 0.0
    counts = np.bincount(*np.transpose(histogram))
    place = np.searchsorted(np.cumsum(counts), share * counts.sum())
    return float(2 ** ((place + 1) / _FINENESS) - 1)


def examine(subject: Subject, chunk: Chunk, stride: int = 1) -> Found:
    """Pass a chunk through the filter."""
    scan = _Scan(subject)
    before = np.zeros(0), np.zeros(0, np.uint32)
    for bits in chunk.blocks(stride):
        x = inputs_of(bits)
        narrow, wide = subject.evaluate(x)
        for start in range(0, len(x), _SLICE):
            part = slice(start, start + _SLICE)
            scan.compare(bits[part], narrow[part], wide[part])
        if stride == 1:
            course = np.concatenate([before[0], wide]), np.concatenate([before[1], bits])
            for start in range(0, len(course[0]) - 2, _SLICE):
                scan.find_breaks(*(column[start : start + _SLICE + 2] for column in course))
            before = course[0][-2:], course[1][-2:]
    return scan.found(chunk)


def careful_errors(narrow: np.ndarray, wide: np.ndarray, *, flush: bool) -> np.ndarray:
    """The metric itself, with float64 results for the truth: for a few, or unusual, results."""
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = wide.astype(np.float32)
        residual = np.nan_to_num((wide - nearest) / floats.ulp(nearest, DTYPE), posinf=0.0, neginf=0.0)
    return floats.ulp_error(narrow, Truth(nearest, residual, np.ones(wide.shape, bool)), flush=flush)


def wrong_zero(narrow: np.ndarray, wide: np.ndarray) -> np.ndarray:
    """Where zero was computed and a normal number is right; a subnormal one may round to the smallest of them."""
    return (narrow == 0) & (np.abs(wide) >= _FORMAT.tiny)


def _powers(wide: np.ndarray) -> np.ndarray:
    """2^floor(log2|result|), within the range of the format."""
    return np.clip((wide.view(np.int64) & _POWER_BITS).view(np.float64), _FORMAT.tiny, 2.0**_FORMAT.emax)


class _Largest:
    """The inputs of the largest figures seen so far."""

    def __init__(self, count: int):
        self._count = count
        self.floor = 0.0
        self.figures, self.bits = np.zeros(0), np.zeros(0, np.uint32)

    def offer(self, figures: np.ndarray, bits: np.ndarray) -> None:
        better = np.flatnonzero(figures > self.floor)
        if not len(better):
            return
        figures = np.concatenate([self.figures, figures[better]])
        bits = np.concatenate([self.bits, bits[better]])
        order = np.argsort(-figures, kind="stable")[: self._count]
        self.figures, self.bits = figures[order], bits[order]
        if len(order) == self._count:
            self.floor = float(self.figures[-1])


class _Scan:
    """The state of the filter within a chunk."""

    def __init__(self, subject: Subject):
        self._subject, self._flush = subject, subject.flush
        self._sums = Found()
        self._histogram = np.zeros(_BINS, np.int64)
        self._worst, self._scaled, self._breaks = _Largest(_KEPT), _Largest(_KEPT), _Largest(_KEPT)
        self._specials: list[int] = []
        self._zeros: list[int] = []

    def compare(self, bits: np.ndarray, narrow: np.ndarray, wide: np.ndarray) -> None:
        """Errors of a slice."""
        self._sums.count += len(bits)
        sizes, true_sizes = np.abs(narrow), np.abs(wide)
        smallest, largest, true_smallest, true_largest = (
            float(figure) for figure in (sizes.min(), sizes.max(), true_sizes.min(), true_sizes.max())
        )
        # a NaN fails every one of these comparisons
        if smallest >= _FORMAT.tiny < true_smallest and largest <= _FORMAT.max >= true_largest:
            self._add(bits, wide, self._regular_errors(narrow, wide))
        elif self._flush and largest == 0 and true_largest < _FORMAT.tiny * (1 - _FORMAT.eps):
            self._sums.flushed += int(np.count_nonzero(true_sizes > _ROUNDS_TO_ZERO))
            self._histogram[0] += len(bits[::_EVERY])
        elif not self._is_constant(narrow, wide, smallest, true_smallest):
            self._compare_carefully(bits, narrow, wide)
        else:
            self._histogram[0] += len(bits[::_EVERY])

    def _is_constant(self, narrow, wide, smallest: float, true_smallest: float) -> bool:
        """Nothing but NaN, or nothing but the same infinity."""
        if np.isnan(smallest) and np.isnan(true_smallest):
            return bool(np.isnan(narrow).all() and np.isnan(wide).all())
        infinite = smallest == np.inf and true_smallest >= _ROUNDS_TO_INFINITY
        return infinite and bool(np.array_equal(narrow > 0, wide > 0))

    def _regular_errors(self, narrow: np.ndarray, wide: np.ndarray) -> np.ndarray:
        """Of normal numbers, as a rule of the same sign."""
        error = narrow.astype(np.float64)
        error -= wide
        np.abs(error, out=error)
        error /= _powers(wide)
        lost = np.flatnonzero(error > _LOST)
        error *= 1 / _ULP
        if len(lost):
            error[lost] = careful_errors(narrow[lost], wide[lost], flush=self._flush)
        return error

    def _compare_carefully(self, bits: np.ndarray, narrow: np.ndarray, wide: np.ndarray) -> None:
        error = careful_errors(narrow, wide, flush=self._flush)
        special = floats.wrong_special(narrow, wide)
        with np.errstate(over="ignore"):
            nearest = wide.astype(np.float32)
        zero = wrong_zero(narrow, wide)
        self._sums.flushed += int(np.count_nonzero(floats.flushed(narrow, nearest)))
        self._sums.wrong_specials += int(np.count_nonzero(special))
        self._sums.zeros += int(np.count_nonzero(zero))
        self._specials += bits[special][: _KEPT - len(self._specials)].tolist()
        self._zeros += bits[zero][: _KEPT - len(self._zeros)].tolist()
        self._add(bits, wide, np.where(special, 0.0, error))

    def _add(self, bits: np.ndarray, wide: np.ndarray, error: np.ndarray) -> None:
        with np.errstate(over="ignore"):  # where results are off by more than a float64 can count
            self._sums.total += float(error.sum())
        bins = np.minimum(np.log2(1 + error[::_EVERY]) * _FINENESS, _BINS - 1).astype(np.int64)
        self._histogram += np.bincount(bins, minlength=_BINS)
        largest = float(error.max())
        self._sums.max_ulp = max(self._sums.max_ulp, largest)
        if largest > self._worst.floor:
            self._worst.offer(error, bits)
        if self._subject.scale is not None and largest > self._scaled.floor:
            # a scaled error is never larger than the plain one
            among = np.flatnonzero(error > self._scaled.floor)
            self._scaled.offer(error[among] * self._shares(bits[among], wide[among]), bits[among])

    def _shares(self, bits: np.ndarray, wide: np.ndarray) -> np.ndarray:
        """An ulp of each result as a part of an ulp of its scale, where that is larger."""
        with np.errstate(all="ignore"):
            scale = np.abs(np.asarray(self._subject.scale(inputs_of(bits).astype(np.float64)), np.float64))
        scale = np.nan_to_num(scale.reshape(wide.shape), posinf=0.0)
        power = _powers(np.nan_to_num(wide, posinf=0.0, neginf=0.0))
        return power / np.maximum(power, _powers(scale))

    def find_breaks(self, wide: np.ndarray, bits: np.ndarray) -> None:
        """Where the second difference of the float64 results is out of proportion, or not a number."""
        turns = None
        if not np.abs(wide).max() <= _FORMAT.max:
            # stretches of NaN, or of infinity, are smooth; their ends are breaks
            nan = np.isnan(wide)
            turns = (nan[1:-1] != nan[:-2]) | (nan[1:-1] != nan[2:])
            wide = np.where(nan, 0.0, np.clip(wide, -2 * _FORMAT.max, 2 * _FORMAT.max))
        bend = np.diff(np.diff(wide))
        np.abs(bend, out=bend)
        limits = _powers(wide[1:-1])
        limits *= _BREAK
        if turns is None and not (bend > limits).any():
            return
        size = bend / limits
        if turns is not None:
            size[turns] = np.inf
        broken = size > 1
        self._sums.breaks += int(np.count_nonzero(broken))
        self._breaks.offer(np.where(broken, size, 0.0), bits[1:-1])

    def found(self, chunk: Chunk) -> Found:
        around = [int(b) + step for b in self._breaks.bits for step in (-1, 0, 1)]
        rng = np.random.default_rng(chunk.first)
        blind = rng.integers(chunk.first, chunk.last, _BLIND, endpoint=True).tolist()
        inputs = [chunk.first, chunk.last, *blind, *self._scaled.bits.tolist(), *around, *self._specials, *self._zeros]
        worst = zip(self._worst.bits.tolist(), self._worst.figures.tolist(), strict=True)
        bins = np.flatnonzero(self._histogram)
        histogram = zip(bins.tolist(), self._histogram[bins].tolist(), strict=True)
        return dataclasses.replace(
            self._sums, histogram=list(histogram), worst=list(worst), examine=sorted(set(inputs))
        )
