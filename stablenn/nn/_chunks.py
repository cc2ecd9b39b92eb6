"""Sums along the rows of arrays so large that XLA's CPU backend had better not write an array of their terms.

Memory of more than 32 MiB is new to the process at every call, and its pages cost far more than what is computed in
them. So a part of the array is taken at a time, as large as a cache: some rows, or some columns of all rows. Other
devices, and rows that may be split over several of them, take the sums as they are.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from stablenn.nn._across import Across
from stablenn.nn._axes import Axis
from stablenn.nn._elementary.words import two_sum

_LARGE, _CHUNK = 2**25, 2**23  # bytes
_WIDE = 2**11  # columns, below which a chunk has rows instead

Sums = Callable[..., tuple[jax.Array, ...]]
Arrays = tuple[jax.Array, ...]


def in_chunks(x: jax.Array, axis: Axis | Across) -> bool:
    """Whether sums along the axis are taken a part at a time."""
    last = axis in (-1, (-1,), x.ndim - 1, (x.ndim - 1,))
    # With several devices the rows may be split over them, and a chunk of them would have to be gathered.
    return last and x.size * x.dtype.itemsize > _LARGE and jax.device_count() == 1


def row_sums(
    sums: Sums, arrays: Arrays, by_row: Arrays, axis: Axis | Across, fills: tuple[float, ...]
) -> tuple[jax.Array, ...]:
    """`sums` of arrays of one shape, of numbers per row and of the axis to sum along, which is kept.

    Entries of `fills` in the arrays add nothing to the sums.
    """
    x = arrays[0]
    if not in_chunks(x, axis):
        return sums(*arrays, *by_row, axis)

    def by_chunks(*operands):
        rows, entries = x.size // x.shape[-1], _CHUNK // x.dtype.itemsize
        wide = tuple(a.reshape(rows, -1) for a in operands[: len(arrays)])
        narrow = tuple(a.reshape(rows, 1) for a in operands[len(arrays) :])
        if entries // rows >= _WIDE:
            found = _by_columns(sums, wide, narrow, fills, entries // rows)
        else:
            found = _by_rows(sums, wide, narrow, max(entries // x.shape[-1], 1))
        return tuple(part.reshape(*x.shape[:-1], 1) for part in found)

    return jax.lax.platform_dependent(*arrays, *by_row, cpu=by_chunks, default=lambda *operands: sums(*operands, axis))


def _by_columns(sums: Sums, arrays: Arrays, by_row: Arrays, fills: tuple[float, ...], columns: int) -> Arrays:
    length, parts = arrays[0].shape[-1], [_parts(a, 1) for a in arrays]

    def add_chunk(i, totals):
        start = jnp.minimum(i * columns, length - columns)
        seen = jax.lax.broadcasted_iota(jnp.int32, (1, columns), 1) < i * columns - start
        chunks = [jnp.where(seen, fill, part(start, columns)) for part, fill in zip(parts, fills, strict=True)]
        news = sums(*chunks, *by_row, -1)
        exact = [two_sum(high, new) for (high, _), new in zip(totals, news, strict=True)]
        return [(total.high, low + total.low) for total, (_, low) in zip(exact, totals, strict=True)]

    zeros = _zeros(sums, arrays, by_row)
    totals = jax.lax.fori_loop(0, -(-length // columns), add_chunk, [(zero, zero) for zero in zeros])
    return tuple(high + low for high, low in totals)


def _by_rows(sums: Sums, arrays: Arrays, by_row: Arrays, rows: int) -> Arrays:
    count, parts = len(arrays[0]), [_parts(a, 0) for a in (*arrays, *by_row)]

    def put_chunk(i, found):
        start = jnp.minimum(i * rows, count - rows)
        news = sums(*(part(start, rows) for part in parts), -1)
        return [
            jax.lax.dynamic_update_slice_in_dim(whole, new, start, 0) for whole, new in zip(found, news, strict=True)
        ]

    return tuple(jax.lax.fori_loop(0, -(-count // rows), put_chunk, _zeros(sums, arrays, by_row)))


def _parts(x: jax.Array, axis: int) -> Callable[[jax.Array, int], jax.Array]:
    """What takes slices of x in a loop, as bits: all of a 16-bit array XLA would convert before the loop."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint16) if x.dtype.itemsize == 2 else x

    def part(start, size):
        return jax.lax.bitcast_convert_type(jax.lax.dynamic_slice_in_dim(bits, start, size, axis), x.dtype)

    return part


def _zeros(sums: Sums, arrays: Arrays, by_row: Arrays) -> list[jax.Array]:
    found = jax.eval_shape(lambda *operands: sums(*operands, -1), *arrays, *by_row)
    return [jnp.zeros(part.shape, part.dtype) for part in found]
