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

Sums = Callable[[jax.Array, jax.Array, Axis | Across], tuple[jax.Array, ...]]


def row_sums(sums: Sums, x: jax.Array, by_row: jax.Array, axis: Axis | Across, fill: float) -> tuple[jax.Array, ...]:
    """Sums of x, and of a number per row, along the axis, which is kept; `fill` is an entry that adds nothing."""
    last = axis in (-1, (-1,), x.ndim - 1, (x.ndim - 1,))
    # With several devices the rows may be split over them, and a chunk of them would have to be gathered.
    if not last or x.size * x.dtype.itemsize <= _LARGE or jax.device_count() > 1:
        return sums(x, by_row, axis)

    def by_chunks(x, by_row):
        rows, entries = x.size // x.shape[-1], _CHUNK // x.dtype.itemsize
        shape = by_row.shape
        x, by_row = x.reshape(rows, -1), by_row.reshape(rows, 1)
        if entries // rows >= _WIDE:
            found = _by_columns(sums, x, by_row, fill, entries // rows)
        else:
            found = _by_rows(sums, x, by_row, max(entries // x.shape[-1], 1))
        return tuple(part.reshape(shape) for part in found)

    return jax.lax.platform_dependent(x, by_row, cpu=by_chunks, default=lambda x, by_row: sums(x, by_row, axis))


def _by_columns(sums: Sums, x: jax.Array, by_row: jax.Array, fill: float, columns: int) -> tuple[jax.Array, ...]:
    length, part = x.shape[-1], _parts(x, 1)

    def add_chunk(i, totals):
        start = jnp.minimum(i * columns, length - columns)
        chunk = part(start, columns)
        seen = jax.lax.broadcasted_iota(jnp.int32, chunk.shape, 1) < i * columns - start
        news = sums(jnp.where(seen, fill, chunk), by_row, -1)
        exact = [two_sum(high, new) for (high, _), new in zip(totals, news, strict=True)]
        return [(total.high, low + total.low) for total, (_, low) in zip(exact, totals, strict=True)]

    zeros = _zeros(sums, x, by_row)
    totals = jax.lax.fori_loop(0, -(-length // columns), add_chunk, [(zero, zero) for zero in zeros])
    return tuple(high + low for high, low in totals)


def _by_rows(sums: Sums, x: jax.Array, by_row: jax.Array, rows: int) -> tuple[jax.Array, ...]:
    part, theirs = _parts(x, 0), _parts(by_row, 0)

    def put_chunk(i, found):
        start = jnp.minimum(i * rows, len(x) - rows)
        news = sums(part(start, rows), theirs(start, rows), -1)
        return [
            jax.lax.dynamic_update_slice_in_dim(whole, new, start, 0) for whole, new in zip(found, news, strict=True)
        ]

    zeros = _zeros(sums, x, by_row)
    return tuple(jax.lax.fori_loop(0, -(-len(x) // rows), put_chunk, zeros))


def _parts(x: jax.Array, axis: int) -> Callable[[jax.Array, int], jax.Array]:
    """What takes slices of x in a loop, as bits: all of a 16-bit array XLA would convert before the loop."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint16) if x.dtype.itemsize == 2 else x

    def part(start, size):
        return jax.lax.bitcast_convert_type(jax.lax.dynamic_slice_in_dim(bits, start, size, axis), x.dtype)

    return part


def _zeros(sums: Sums, x: jax.Array, by_row: jax.Array) -> list[jax.Array]:
    found = jax.eval_shape(lambda x, by_row: sums(x, by_row, -1), x, by_row)
    return [jnp.zeros(part.shape, part.dtype) for part in found]
