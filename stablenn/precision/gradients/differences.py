"""Centered and one-sided differences in float64, each with an estimate of its own error.

No single step is right: a large one truncates, a small one drowns in rounding, and kinks lie where they lie. So each
derivative is taken with several steps, relative to the element, refined by Richardson extrapolation, and the one whose
error estimate is smallest is kept. Where the derivatives from the left and from the right differ by more than their
errors, there is a kink.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from stablenn.precision.gradients.program import Program

# Steps, as powers of two relative to the element: truncation is negligible at the last, rounding at the first.
_FIRST, _LAST = -7, -20
_LEVELS = 6
_SMALLEST = -60  # of the largest, where an element is tiny beside its leaf
_CLOSE = -24, -44  # where a kink is seen: is it here, or only nearby?
# How much larger than its own error the gap between both sides must be, and relative to them, to be a kink.
_GAP, _RELATIVE_GAP = 4.0, 1e-5


@dataclasses.dataclass(frozen=True)
class Derivative:
    """The derivative of every output along one line through the arguments, in float64.

    Attributes:
      value: the centered difference; where a side is no number, the one-sided difference of the other.
      error: an estimate of its error; inf where nothing is known.
      left, right: the one-sided derivatives.
      kink: where they differ.
      near: the primitives and source lines whose choice changes within the largest step.
      moves: which outputs change at all.
    """

    value: np.ndarray
    error: np.ndarray
    left: np.ndarray
    right: np.ndarray
    kink: np.ndarray
    near: tuple[tuple[str, str], ...]
    moves: np.ndarray

    def contract(self, weights: np.ndarray) -> Derivative:
        """The derivative of the weighted sum of the outputs."""
        used = weights != 0
        w = weights[used]
        value, left, right = (np.array([np.sum(w * side[used])]) for side in (self.value, self.left, self.right))
        error = np.array([np.sum(np.abs(w) * self.error[used])])
        return Derivative(value, error, left, right, np.array([bool(self.kink[used].any())]), self.near, self.moves)

    def per(self, unit: float) -> Derivative:
        """The derivative by a number, from the derivative along `unit` times that number."""
        parts = (self.value / unit, self.error / unit, self.left / unit, self.right / unit)
        return Derivative(*parts, self.kink, self.near, self.moves)


def differentiate(program: Program, line: np.ndarray, smallest: float, noise: np.ndarray) -> Derivative:
    """The derivative of all outputs at ``program.at`` along `line`, per unit of `line`.

    Args:
      program: what is differentiated.
      line: how far each argument moves, as a vector; powers of two, so that steps are exact.
      smallest: the size of the tiniest element that moves, relative to its entry in `line`.
      noise: an estimate of the rounding errors of the outputs.
    """
    last = max(_LAST + np.log2(smallest), _SMALLEST)
    found = _with_steps(program, line, noise, _FIRST, last)
    if found.kink.any():
        shift = np.log2(smallest)
        closer = _with_steps(program, line, noise, _CLOSE[0] + shift, _CLOSE[1] + shift)
        nearby = found.kink & ~closer.kink & np.isfinite(closer.error)
        fields = {
            name: np.where(nearby, getattr(closer, name), getattr(found, name))
            for name in ("value", "error", "left", "right", "kink")
        }
        found = dataclasses.replace(found, **fields)
    return found


def _with_steps(program: Program, line, noise, first: float, last: float) -> Derivative:
    steps = np.exp2(np.round(np.linspace(first, last, _LEVELS)))
    points = np.stack([program.at, *(program.at + s * h * line for s in (1, -1) for h in steps)])
    values, moved = program.sampler(points, program.at)
    changed = np.any(moved[1:], axis=0)
    near = tuple(dict.fromkeys(place for place, yes in zip(program.places, changed, strict=False) if yes))
    with np.errstate(all="ignore"):
        return _extrapolated(values[0], values[1 : _LEVELS + 1], values[_LEVELS + 1 :], steps, noise, near)


def _extrapolated(center, ahead, behind, steps, noise, near) -> Derivative:
    h = steps[:, None]
    ratio = h[:-1] / h[1:]
    size = np.maximum(np.fmax.reduce(np.abs([center, *ahead, *behind]), axis=0) * 2.0**-52, noise)
    centered, centered_error = _best((ahead - behind) / (2 * h), ratio**2, size / h)
    right, right_error = _best((ahead - center) / h, ratio, 2 * size / h)
    left, left_error = _best((center - behind) / h, ratio, 2 * size / h)
    gap = np.abs(right - left)
    kink = (gap > _GAP * (left_error + right_error)) & (gap > _RELATIVE_GAP * np.maximum(np.abs(left), np.abs(right)))
    for side, error in ((right, right_error), (left, left_error)):  # at the edge of what the function is defined on
        only = ~np.isfinite(centered_error) & np.isfinite(error)
        centered, centered_error = np.where(only, side, centered), np.where(only, error, centered_error)
    moves = np.any((np.concatenate([ahead, behind]) != center) & ~np.isnan(center), axis=0)
    return Derivative(centered, centered_error, left, right, kink, near, moves)


def _best(quotients, order, rounding):
    """The extrapolated quotient whose estimated error is smallest, and that estimate."""
    refined = (order * quotients[1:] - quotients[:-1]) / (order - 1)
    # a bound even where the order is one less, as beside a seam
    errors = np.abs(quotients[1:] - quotients[:-1]) / np.sqrt(order) + 2 * rounding[1:]
    errors = np.where(np.isnan(errors), np.inf, errors)
    best = np.argmin(errors, axis=0)[None]
    return np.take_along_axis(refined, best, 0)[0], np.take_along_axis(errors, best, 0)[0]
