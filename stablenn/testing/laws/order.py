"""Bounds, monotonicity, convexity, and probabilities that add up to one."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable

import numpy as np
from hypothesis import strategies as st

from stablenn import floats
from stablenn.interpret.balls.evaluation import exact
from stablenn.precision.accuracy import BLOCK
from stablenn.precision.spec.properties import Bounded, Convex, Monotone, Total
from stablenn.testing.laws.relations import results, value_scale
from stablenn.testing.laws.running import Law, Subject
from stablenn.testing.laws.verdict import GOOD, Verdict, most_above, worst

_ROWS = 3 * BLOCK


def _of_kind(kind: type) -> Callable:
    return lambda spec: [p for p in spec.properties if isinstance(p, kind)]


@functools.lru_cache(maxsize=256)
def _exactly(formula: Callable, dtype: str):
    return exact(formula, dtype=dtype, batched=True, wide=True)


def _bound(bound, subject: Subject, inputs, like: np.ndarray) -> tuple[np.ndarray, float]:
    """The bound of every output, and by how many ULP it may be missed: a number is kept without exception."""
    if callable(bound):
        values = _exactly(bound, subject.dtype)(*inputs).reshape(len(like), -1)
        return np.broadcast_to(values, like.shape), subject.tolerance("value") + 1
    return np.full(like.shape, bound, like.dtype), 0.0


def _check_bounds(subject: Subject, inputs) -> Verdict:
    bounded = subject.aspect
    out, scale = results(subject, subject.spec.fn, inputs), value_scale(subject, inputs)
    verdicts = [GOOD]
    if bounded.lower is not None:
        lower, allowed = _bound(bounded.lower, subject, inputs, out)
        verdicts.append(most_above(lower, out, allowed, inputs, scale))
    if bounded.upper is not None:
        upper, allowed = _bound(bounded.upper, subject, inputs, out)
        verdicts.append(most_above(out, upper, allowed, inputs, scale))
    return worst(verdicts)


BOUNDS = Law(
    name="bounds",
    statement="no result lies outside of its bounds",
    aspects=_of_kind(Bounded),
    examples=lambda subject: subject.inputs(_ROWS),
    check=_check_bounds,
    count=6,
)


def _pairs(subject: Subject) -> st.SearchStrategy:
    return st.tuples(subject.inputs(_ROWS), subject.inputs(_ROWS), st.integers(0, 2**32 - 1))


def _nearer(column: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For half of the rows, a neighbour on the way from one to the other: a step down may be small."""
    shape = (len(column), *(1,) * (column.ndim - 1))
    here, there = column.astype(np.float64), other.astype(np.float64)
    step = 2.0 ** -rng.integers(1, 20, shape) * np.sign(there - here) * np.sign(here)
    neighbour = np.clip(here * (1 + step), np.minimum(here, there), np.maximum(here, there))
    return np.where(rng.random(shape) < 0.5, there, neighbour).astype(column.dtype)


def _sorted_corners(subject: Subject):
    """The corners of the domain beside the next larger ones."""
    columns = subject.domain.corners(subnormals=subject.keeps_subnormals)
    order = np.lexsort([c.reshape(len(c), -1)[:, 0].astype(np.float64) for c in reversed(columns)])
    ascending = tuple(c[order] for c in columns)
    for seed in range(2):
        yield ascending, tuple(np.roll(c, -1, 0) for c in ascending), seed


def _check_monotone(subject: Subject, example) -> Verdict:
    some, others, seed = example
    monotone, rng = subject.aspect, np.random.default_rng(seed)
    low, high = list(some), list(some)
    for position in monotone.positions:
        column, other = some[position], _nearer(some[position], others[position], rng)
        # one entry of a vector, so that the effect is not lost in a larger one
        size = column[0].size
        chosen = (np.arange(size) == rng.integers(size, size=(len(column), 1))).reshape(column.shape)
        low[position] = np.where(chosen, np.minimum(column, other), column)
        high[position] = np.where(chosen, np.maximum(column, other), column)
    lower, upper = (results(subject, subject.spec.fn, tuple(columns)) for columns in (low, high))
    if monotone.sign < 0:
        lower, upper = upper, lower
    scale = _largest(value_scale(subject, tuple(columns)) for columns in (low, high))
    return most_above(lower, upper, 2 * subject.tolerance("value"), tuple(low), scale)


def _largest(sizes: Iterable[np.ndarray | None]) -> np.ndarray:
    """The largest of several scales; infinities and NaNs give none."""
    known = [np.nan_to_num(np.abs(size.astype(np.float64)), posinf=0.0) for size in sizes if size is not None]
    return functools.reduce(np.maximum, known, np.zeros((1, 1)))


MONOTONICITY = Law(
    name="monotonicity",
    statement="a larger input never gives a smaller result",
    aspects=_of_kind(Monotone),
    examples=_pairs,
    check=_check_monotone,
    count=6,
    known=_sorted_corners,
)


def _on_grid(one: np.ndarray, other: np.ndarray, fmt: floats.Format) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two numbers, rounded so that their mean is a float, and their mean."""
    a, b = (np.clip(v.astype(np.float64), -fmt.max / 4, fmt.max / 4) for v in (one, other))
    exponent = np.maximum(np.frexp(np.maximum(np.abs(a), np.abs(b)))[1], fmt.emin + fmt.precision)
    grid = np.ldexp(1.0, exponent - fmt.precision + 2)
    a, b = (np.round(v / grid) * grid for v in (a, b))
    return a.astype(fmt.dtype), b.astype(fmt.dtype), (a / 2 + b / 2).astype(fmt.dtype)


def _check_convex(subject: Subject, example) -> Verdict:
    some, others, _ = example
    convex, fmt = subject.aspect, floats.format_of(subject.dtype)
    ends, middle = [list(some), list(some)], list(some)
    for position in convex.positions:
        ends[0][position], ends[1][position], middle[position] = _on_grid(some[position], others[position], fmt)
    first, second, between = (results(subject, subject.spec.fn, tuple(c)) for c in (*ends, middle))
    chord = first.astype(np.float64) / 2 + second.astype(np.float64) / 2
    between = between.astype(np.float64)
    below, above = (between, chord) if convex.sign > 0 else (chord, between)
    scale = _largest([first, second, *(value_scale(subject, tuple(columns)) for columns in ends)])
    return most_above(below, above, 2 * subject.tolerance("value"), tuple(middle), scale, fmt.dtype)


CONVEXITY = Law(
    name="convexity",
    statement="between two inputs the result does not lie above (concave: below) the chord",
    aspects=_of_kind(Convex),
    examples=_pairs,
    check=_check_convex,
    count=6,
)


def _check_total(subject: Subject, inputs) -> Verdict:
    fmt = floats.format_of(subject.dtype)
    out = results(subject, subject.spec.fn, inputs).astype(np.float64)
    transform, tolerance = subject.aspect.transform, subject.tolerance("value")
    terms = transform(out)
    room = tolerance * floats.ulp(out, fmt.dtype)
    slack = np.maximum(np.abs(transform(out + room) - terms), np.abs(transform(out - room) - terms))
    error = np.abs(terms.sum(-1) - 1)
    # the sum itself is taken in float64
    allowed = np.nan_to_num(slack).sum(-1) + 4 * np.finfo(np.float64).eps
    ratio = np.where(np.isnan(error), np.inf, error / allowed)
    row = int(np.argmax(ratio))
    verdict = Verdict(float(ratio[row]), 1.0, tuple(c[row] for c in inputs), float(terms[row].sum()), 1.0)
    return dataclasses.replace(verdict, note="error and bound as multiples of what the tolerance of each term adds")


NORMALISATION = Law(
    name="normalisation",
    statement="probabilities add up to one",
    aspects=_of_kind(Total),
    examples=lambda subject: subject.inputs(_ROWS),
    check=_check_total,
    count=6,
)
