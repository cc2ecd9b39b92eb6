"""Primitives that combine many elements: reductions, running reductions, products of matrices, order."""

from __future__ import annotations

import functools

import numpy as np

from stablenn.interpret.balls import elements, elementwise
from stablenn.interpret.balls.elements import UNKNOWN, Arithmetic, Element, compare, is_nan


def _objects(values: list, shape) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out.reshape(shape)


def _rows(x: np.ndarray, axes) -> tuple[np.ndarray, tuple[int, ...]]:
    """The elements to combine, one row a result, and the shape of the results."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    shape = tuple(x.shape[axis] for axis in kept)
    moved = x.transpose([*kept, *axes])
    count = int(np.prod([x.shape[axis] for axis in axes], dtype=int))
    return moved.reshape(-1, count) if x.size else np.empty((int(np.prod(shape, dtype=int)), 0), object), shape


def reduction(name: str, arithmetic: Arithmetic):
    """``reduce_*``: (array, axes) -> array."""
    combine = {
        "reduce_sum": arithmetic.sum,
        "reduce_prod": arithmetic.product,
        "reduce_max": lambda row: _extreme(row, arithmetic.max, -np.inf),
        "reduce_min": lambda row: _extreme(row, arithmetic.min, np.inf),
        "reduce_and": _all,
        "reduce_or": _any,
    }[name]

    def apply(x: np.ndarray, axes) -> np.ndarray:
        rows, shape = _rows(x, axes)
        return _objects([combine(row) for row in rows], shape)

    return apply


def _extreme(row, pick, empty: float) -> Element:
    return functools.reduce(pick, row) if len(row) else empty


def _all(row) -> bool | elements.Unknown:
    """Three-valued: one False settles it, an UNKNOWN leaves it open."""
    if any(value is not UNKNOWN and not value for value in row):
        return False
    return UNKNOWN if any(value is UNKNOWN for value in row) else True


def _any(row) -> bool | elements.Unknown:
    if any(value is not UNKNOWN and value for value in row):
        return True
    return UNKNOWN if any(value is UNKNOWN for value in row) else False


def argument_extreme(x: np.ndarray, axes, wanted: int) -> np.ndarray:
    """``argmax`` (wanted = 1) and ``argmin`` (-1): the first among equals; NaN wins."""
    rows, shape = _rows(x, axes)

    def pick(row) -> int:
        best = 0
        for i, value in enumerate(row):
            if is_nan(value):
                return i
            if i and (order := compare(value, row[best])) is None:
                raise elements.Undecided
            if i and order == wanted:
                best = i
        return best

    return np.array([pick(row) for row in rows]).reshape(shape)


def cumulative(name: str, arithmetic: Arithmetic):
    """``cumsum`` and its kind: (array, axis, reverse) -> array."""
    combine = {
        "cumsum": arithmetic.add,
        "cumprod": arithmetic.mul,
        "cummax": arithmetic.max,
        "cummin": arithmetic.min,
        "cumlogsumexp": functools.partial(_logaddexp, arithmetic),
    }[name]

    def apply(x: np.ndarray, axis: int, reverse: bool) -> np.ndarray:
        lines = np.moveaxis(x, axis, -1)
        out = np.empty(lines.shape, object)
        for index in np.ndindex(lines.shape[:-1]):
            line = lines[index][::-1] if reverse else lines[index]
            running = list(_accumulate(line, combine))
            out[index] = running[::-1] if reverse else running
        return np.moveaxis(out, -1, axis)

    return apply


def _accumulate(line, combine):
    total = None
    for i, value in enumerate(line):
        total = value if i == 0 else combine(total, value)
        yield total


def _logaddexp(arithmetic: Arithmetic, x: Element, y: Element) -> Element:
    exp, log = (elementwise.apply_function(name, arithmetic) for name in ("exp", "log"))
    return log(arithmetic.add(exp(x), exp(y)))


def dot_general(x: np.ndarray, y: np.ndarray, dimension_numbers, arithmetic: Arithmetic) -> np.ndarray:
    """Batched contraction of two arrays, as XLA's DotGeneral defines it."""
    (x_contract, y_contract), (x_batch, y_batch) = dimension_numbers
    x_free = [axis for axis in range(x.ndim) if axis not in (*x_contract, *x_batch)]
    y_free = [axis for axis in range(y.ndim) if axis not in (*y_contract, *y_batch)]
    shape = [*(x.shape[a] for a in x_batch), *(x.shape[a] for a in x_free), *(y.shape[a] for a in y_free)]
    batch = int(np.prod([x.shape[a] for a in x_batch], dtype=int))
    depth = int(np.prod([x.shape[a] for a in x_contract], dtype=int))
    left = x.transpose([*x_batch, *x_free, *x_contract]).reshape(
        batch, int(np.prod([x.shape[a] for a in x_free], dtype=int)), depth
    )
    right = y.transpose([*y_batch, *y_free, *y_contract]).reshape(
        batch, int(np.prod([y.shape[a] for a in y_free], dtype=int)), depth
    )
    products = [arithmetic.dot(row, column) for b in range(batch) for row in left[b] for column in right[b]]
    return _objects(products, shape)


def sort(operands: list[np.ndarray], axis: int, num_keys: int, arithmetic: Arithmetic) -> list[np.ndarray]:
    """Stable lexicographic sort of several operands by the first `num_keys`, NaN last.

    One operand alone can be sorted even where its order is undecided: the k-th smallest lies between the k-th
    smallest lower end and the k-th smallest upper end.
    """
    lines = [np.moveaxis(np.asarray(operand), axis, -1) for operand in operands]
    outputs = [np.empty(line.shape, line.dtype) for line in lines]
    for index in np.ndindex(lines[0].shape[:-1]):
        columns = [line[index] for line in lines]
        try:
            order = sorted(range(len(columns[0])), key=functools.cmp_to_key(_by_keys(columns[:num_keys])))
        except elements.Undecided:
            if len(columns) > 1:
                raise
            outputs[0][index] = _order_statistics(list(columns[0]), arithmetic)
            continue
        for out, column in zip(outputs, columns, strict=True):
            out[index] = column[order]
    return [np.moveaxis(out, -1, axis) for out in outputs]


def _by_keys(keys):
    def order(i: int, j: int) -> int:
        for column in keys:
            x, y = column[i], column[j]
            if column.dtype != object:
                result = int(x > y) - int(x < y)
            elif is_nan(x) or is_nan(y):
                result = is_nan(x) - is_nan(y)
            elif (result := compare(x, y)) is None:
                raise elements.Undecided
            if result:
                return result
        return 0

    return order


def _order_statistics(line: list, arithmetic: Arithmetic) -> list:
    """Selection by repeated minimum: (min, max) of neighbours until nothing moves is exact on enclosures."""
    line = list(line)
    for end in range(len(line) - 1, 0, -1):
        for i in range(end):
            a, b = line[i], line[i + 1]
            if is_nan(a):
                line[i], line[i + 1] = b, a
            elif not is_nan(b):
                line[i], line[i + 1] = arithmetic.min(a, b), arithmetic.max(a, b)
    return line
