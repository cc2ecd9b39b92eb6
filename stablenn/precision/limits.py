"""What is right at infinity: the limit, where there is one.

IEEE rules make NaN of ``inf - inf`` and ``inf / inf`` inside a textbook formula whose limit exists. So an infinite
input is approached: the formula is evaluated, exactly, at finite arguments beyond every float, twice as far in the
exponent, and with the infinite entries at different multiples of each other. Where all agree, that is the limit;
where the last disagrees, the limit depends on the path, and NaN is right.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np

from stablenn.floats import Format, Truth
from stablenn.interpret.balls.evaluation import Exact

# How far beyond the largest float 2^emax the nearer of the two points lies, as a power of two.
_MARGIN = 76


def truth_at_infinity(
    fn: Callable, inputs: tuple[np.ndarray, ...], float_arguments: tuple[int, ...], fmt: Format, *, wide: bool
) -> Truth:
    """The limits of ``fn(*row)`` for rows with infinite entries.

    Args:
      fn: a function of one row that returns one array.
      inputs: rows; the floats among them hold infinities and no NaN.
      float_arguments: the positions of the float arguments.
      fmt: the format of the result.
      wide: whether `fn` is traced on float64.
    """
    exponent = fmt.emax + _MARGIN
    near = _approach(fn, inputs, float_arguments, fmt, exponent, wide, spread=False)
    far = _approach(fn, inputs, float_arguments, fmt, 2 * exponent, wide, spread=False)
    apart = _approach(fn, inputs, float_arguments, fmt, exponent, wide, spread=True)
    a, b, c = (truth.nearest.astype(np.float64) for truth in (near, far, apart))
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    along_every_path = (a == c) | (np.isnan(a) & np.isnan(c))
    with np.errstate(all="ignore"):
        # logarithms have not reached infinity yet, nor inverse roots zero, but they are on their way
        grows, falls = ~same & (b / a > 1.5), ~same & (np.abs(b / a) < 2.0**-20)
    limit = np.where(same & along_every_path, a, np.where(grows, np.copysign(np.inf, a), np.nan))
    limit = np.where(falls, 0.0, limit)
    proved = (near.proved & far.proved & apart.proved) & (same | grows | falls)
    residual = np.where(np.isfinite(limit) & ~falls, near.residual, 0.0)
    return Truth(limit.astype(fmt.dtype), residual, proved)


def _approach(fn, inputs, float_arguments, fmt: Format, exponent: int, wide: bool, *, spread: bool) -> Truth:
    finite, multiples, before = list(inputs), [], 0
    for position in float_arguments:
        values = inputs[position].astype(np.float64)
        infinite = np.isinf(values)
        size = math.prod(values.shape[1:])
        weights = 1 + (np.arange(before, before + size) % 64).reshape(values.shape[1:]) / 64 if spread else 1.0
        before += size
        multiples.append(np.where(infinite, np.sign(values) * weights, 0.0).astype(fmt.dtype))
        finite[position] = np.where(infinite, 0.0, values).astype(inputs[position].dtype)
    beyond = _moved(fn, float_arguments, fmt, exponent, wide)
    (truth,) = beyond.truth(tuple(finite), tuple(multiples))
    return truth


@functools.lru_cache(maxsize=512)
def _moved(fn, float_arguments, fmt: Format, exponent: int, wide: bool) -> Exact:
    """fn at arguments plus 2^exponent times shifts."""
    # a product of powers of two that the dtype of the trace can hold, staged so that it is evaluated exactly
    step = 15 if fmt.emax < 100 and not wide else 100
    factors = [2.0 ** min(step, exponent - done) for done in range(0, exponent, step)]

    def beyond(row, shifts):
        row = list(row)
        for position, shift in zip(float_arguments, shifts, strict=True):
            for factor in factors:
                shift = shift * factor
            row[position] = row[position] + shift
        return fn(*row)

    return Exact(beyond, dtype=fmt.dtype, batched=True, wide=wide)
