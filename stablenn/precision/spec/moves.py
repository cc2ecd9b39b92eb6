"""Changes of inputs that round nothing, so that a relation between two results can be checked exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stablenn.floats import Format

Columns = tuple[np.ndarray, ...]
# (inputs, format, generator) -> inputs on which the move is exact, the moved inputs, and its parameter by row
Move = Callable[[Columns, Format, np.random.Generator], tuple[Columns, Columns, np.ndarray]]

_OFFSETS = (1.0, -1.0, 100.0, -100.0, 1e4, -1e4, 1e8, -1e8)


def _per_row(values: np.ndarray, column: np.ndarray) -> np.ndarray:
    return values.reshape(-1, *(1,) * (column.ndim - 1))


def _replaced(columns: Columns, changes: dict[int, np.ndarray]) -> Columns:
    return tuple(changes[i].astype(c.dtype) if i in changes else c for i, c in enumerate(columns))


def shifted(*positions: int) -> Move:
    """x -> x + c, where x is rounded to a grid on which the sum is exact; the parameter is c."""

    def move(columns, fmt, rng):
        allowed = [offset for offset in _OFFSETS if abs(offset) < fmt.max / 8]
        offset = np.round(rng.choice(allowed, len(columns[0])))
        before, after = {}, {}
        # offset and entries are multiples of the grid, and their sum has no more digits than the format
        reach = 2.0 ** np.ceil(np.log2(np.maximum(np.abs(offset), 64)))
        grid = reach * 4 * 2.0**-fmt.precision
        offset = np.round(offset / grid) * grid
        for position in positions:
            column = columns[position].astype(np.float64)
            inside = np.clip(column, -_per_row(reach, column), _per_row(reach, column))
            step = _per_row(grid, column)
            on_grid = np.where(np.isinf(column), column, np.round(inside / step) * step)
            before[position], after[position] = on_grid, on_grid + _per_row(offset, column)
        return _replaced(columns, before), _replaced(columns, after), offset

    return move


def scaled(*positions: int) -> Move:
    """x -> 2^k x, as far as every entry stays a normal number; the parameter is 2^k."""

    def move(columns, fmt, rng):
        rows = len(columns[0])
        sizes = np.concatenate([np.abs(columns[p].astype(np.float64)).reshape(rows, -1) for p in positions], 1)
        known = np.isfinite(sizes) & (sizes > 0)
        exponents = np.frexp(np.where(known, sizes, 1.0))[1]
        lowest = fmt.emin + 1 - np.min(exponents, 1, initial=0, where=known)
        highest = fmt.emax - np.max(exponents, 1, initial=0, where=known)
        usable = lowest <= highest
        power = rng.integers(np.where(usable, lowest, 0), np.where(usable, highest, 0), endpoint=True)
        power = np.clip(power, -1000, 1000)
        factor = np.ldexp(1.0, power)
        after = {p: columns[p].astype(np.float64) * _per_row(factor, columns[p]) for p in positions}
        return columns, _replaced(columns, after), factor

    return move


def permuted(*positions: int, index: int | None = None) -> Move:
    """The entries of vectors in another order, and with them the integer argument `index` that names one of them.

    The parameter is the permutation: entry i of the moved row is entry parameter[i] of the row.
    """

    def move(columns, fmt, rng):
        shape = columns[positions[0]].shape
        order = rng.permuted(np.broadcast_to(np.arange(shape[-1]), shape), axis=-1)
        after = {p: np.take_along_axis(columns[p], order, -1) for p in positions}
        if index is not None:
            after[index] = np.argmax(order == columns[index][:, None], -1)
        return columns, _replaced(columns, after), order

    return move


def swapped(first: int, second: int) -> Move:
    """Two arguments exchanged."""

    def move(columns, fmt, rng):
        return columns, _replaced(columns, {first: columns[second], second: columns[first]}), np.zeros(len(columns[0]))

    return move


def reflected(*, negate: tuple[int, ...] = (), complement: tuple[int, ...] = ()) -> Move:
    """x -> -x for some arguments, p -> 1 - p for others, where p is rounded so that this is exact."""

    def move(columns, fmt, rng):
        after = {p: -columns[p].astype(np.float64) for p in negate}
        grid = 2.0 ** (1 - fmt.precision)
        before = {p: np.round(columns[p].astype(np.float64) / grid) * grid for p in complement}
        after |= {p: 1 - column for p, column in before.items()}
        return _replaced(columns, before), _replaced(columns, after), np.zeros(len(columns[0]))

    return move
