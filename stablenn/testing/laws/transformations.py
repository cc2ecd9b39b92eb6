"""Under every transformation of JAX the result is within tolerance of the exact value.

They are never compared with one another bit by bit: jit contracts products and sums, eager execution does not.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import PartitionSpec

from stablenn.precision.accuracy import Column, flat, ravel, value_and_gradient
from stablenn.precision.devices import wide_if_needed
from stablenn.precision.record import QUANTITIES
from stablenn.testing.laws.accuracy import reference_of, verdict_of
from stablenn.testing.laws.running import Law, Subject
from stablenn.testing.laws.verdict import Verdict

_ROWS = 8


def _eager(fn, positions):
    by_row = jax.vmap(value_and_gradient(fn, positions))

    def eagerly(*columns):
        with jax.disable_jit():
            return by_row(*columns)

    return eagerly


def _row_by_row(fn, positions):
    """The value by itself, as inference computes it."""
    functions = [flat(fn, quantity, positions) for quantity in QUANTITIES]
    return lambda *columns: [np.stack([np.asarray(f(*row)) for row in zip(*columns, strict=True)]) for f in functions]


def _over_last_axis(fn, positions):
    over_last = jax.vmap(value_and_gradient(fn, positions), in_axes=-1)
    return lambda *columns: over_last(*(np.moveaxis(column, 0, -1) for column in columns))


def _scan(fn, positions):
    both = value_and_gradient(fn, positions)
    by_row = lambda row: both(*row)
    return lambda *columns: jax.lax.map(by_row, columns)


def _sharded(fn, positions):
    """Each device has some of the rows."""
    devices = [d for d in jax.devices()[:_ROWS] if _ROWS % len(jax.devices()[:_ROWS]) == 0] or jax.devices()[:1]
    mesh = jax.sharding.Mesh(np.array(devices), ("rows",))
    spec, by_row = PartitionSpec("rows"), jax.vmap(value_and_gradient(fn, positions))
    return jax.jit(jax.shard_map(by_row, mesh=mesh, in_specs=spec, out_specs=spec))


def _jvp(fn, positions):
    def both(*row):
        jacobians, value = jax.jacfwd(lambda *row: (fn(*row),) * 2, argnums=positions, has_aux=True)(*row)
        return ravel(value), ravel(jacobians)

    return jax.vmap(both)


# Each makes of a function what maps columns to values and gradients of all rows.
_WAYS: dict[str, Callable] = {
    "jit": lambda fn, positions: jax.jit(jax.vmap(value_and_gradient(fn, positions))),
    "eager": _eager,
    "one row at a time": _row_by_row,
    "vmap over the last axis": _over_last_axis,
    "scan": _scan,
    "shard_map": _sharded,
    "remat": lambda fn, positions: jax.jit(jax.vmap(value_and_gradient(jax.checkpoint(fn), positions))),
    "jvp": _jvp,
}


@functools.lru_cache(maxsize=64)
def _program(way: str, fn: Callable, positions: tuple[int, ...]) -> Callable:
    return _WAYS[way](fn, positions)


@dataclasses.dataclass(frozen=True)
class Transformation:
    """One way to evaluate a quantity."""

    name: str
    quantity: str

    @property
    def statement(self) -> str:
        """In words."""
        return f"{self.quantity} under {self.name}"


def _transformations(spec) -> tuple[Transformation, ...]:
    return tuple(Transformation(name, quantity) for name in _WAYS for quantity in QUANTITIES)


# Both quantities of a batch come from one evaluation.
@functools.lru_cache(maxsize=64)
def _evaluated(way: str, fn: Callable, dtype: str, positions: tuple[int, ...], columns: tuple[Column, ...]):
    with wide_if_needed(dtype):
        both = _program(way, fn, positions)(*(column.array for column in columns))
        return dict(zip(QUANTITIES, map(np.asarray, both), strict=True))


def _evaluate(subject: Subject, inputs) -> np.ndarray:
    way, columns = subject.aspect, tuple(map(Column.of, inputs))
    with jax.default_device(subject.device):
        both = _evaluated(way.name, subject.spec.fn, subject.dtype, subject.domain.float_arguments, columns)
    return both[way.quantity]


def _check(subject: Subject, inputs) -> Verdict:
    quantity = subject.aspect.quantity
    reference = reference_of(subject, inputs, quantity)
    if subject.aspect.name == "jvp" and quantity == "gradient":
        # in all of JAX, a zero tangent times an infinite derivative is NaN in forward mode
        finite = np.isfinite(reference.truth.nearest.astype(np.float64)).all(1, keepdims=True)
        truth = dataclasses.replace(reference.truth, proved=reference.truth.proved & finite)
        reference = dataclasses.replace(reference, truth=truth)
    try:
        actual = _evaluate(subject, inputs)
    except Exception as error:  # whatever a transformation raises is what the law looks for
        row = tuple(column[0] for column in inputs)
        return Verdict(math.inf, 0.0, row, note=f"{subject.aspect.statement} raises {type(error).__name__}: {error}")
    accuracy = reference.compare(actual, subject.device)
    return verdict_of(accuracy, subject.tolerance(quantity), subject.aspect.statement)


TRANSFORMATIONS = Law(
    name="transformations",
    statement="jit, eager, vmap, scan, remat, shard_map and jvp are each within tolerance of the exact value",
    aspects=_transformations,
    examples=lambda subject: subject.inputs(_ROWS),
    check=_check,
    count=2,
)
