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

from stablenn.precision.accuracy import flat
from stablenn.precision.devices import wide_if_needed
from stablenn.precision.record import QUANTITIES
from stablenn.testing.laws.accuracy import reference_of, verdict_of
from stablenn.testing.laws.running import Law, Subject
from stablenn.testing.laws.verdict import Verdict

_ROWS = 8


def _eager(fn, *columns):
    with jax.disable_jit():
        return jax.vmap(fn)(*columns)


def _sharded(fn, *columns):
    """Each device has some of the rows."""
    devices = [d for d in jax.devices()[:_ROWS] if _ROWS % len(jax.devices()[:_ROWS]) == 0] or jax.devices()[:1]
    mesh = jax.sharding.Mesh(np.array(devices), ("rows",))
    spec = PartitionSpec("rows")
    return jax.jit(jax.shard_map(jax.vmap(fn), mesh=mesh, in_specs=spec, out_specs=spec))(*columns)


_BY_ROW: dict[str, Callable] = {
    "jit": lambda fn, *columns: jax.jit(jax.vmap(fn))(*columns),
    "eager": _eager,
    "one row at a time": lambda fn, *columns: np.stack([np.asarray(fn(*row)) for row in zip(*columns, strict=True)]),
    "vmap over the last axis": lambda fn, *columns: jax.vmap(fn, in_axes=-1)(
        *(np.moveaxis(column, 0, -1) for column in columns)
    ),
    "scan": lambda fn, *columns: jax.lax.map(lambda row: fn(*row), columns),
    "shard_map": _sharded,
}


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
    both = tuple(Transformation(name, quantity) for name in (*_BY_ROW, "remat") for quantity in QUANTITIES)
    return (*both, Transformation("jvp", "gradient"))


@functools.lru_cache(maxsize=256)
def _rematerialised(fn: Callable) -> Callable:
    return jax.checkpoint(fn)


def _forward(fn: Callable, float_arguments: tuple[int, ...]) -> Callable:
    def gradient(*row):
        jacobians = jax.jacfwd(fn, argnums=float_arguments)(*row)
        return jax.numpy.concatenate([jax.numpy.ravel(leaf) for leaf in jacobians])

    return gradient


def _evaluate(subject: Subject, inputs) -> np.ndarray:
    way, fn, positions = subject.aspect, subject.spec.fn, subject.domain.float_arguments
    with wide_if_needed(subject.dtype), jax.default_device(subject.device):
        if way.name == "jvp":
            return np.asarray(jax.vmap(_forward(fn, positions))(*inputs))
        if way.name == "remat":
            return np.asarray(jax.jit(jax.vmap(flat(_rematerialised(fn), way.quantity, positions)))(*inputs))
        return np.asarray(_BY_ROW[way.name](flat(fn, way.quantity, positions), *inputs))


def _check(subject: Subject, inputs) -> Verdict:
    quantity = subject.aspect.quantity
    reference = reference_of(subject, inputs, quantity)
    if subject.aspect.name == "jvp":
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
    count=1,
)
