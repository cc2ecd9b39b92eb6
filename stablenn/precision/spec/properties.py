"""Statements that hold of a function in real arithmetic; the laws hold implementations to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax

from stablenn.precision.spec.moves import Move


@dataclasses.dataclass(frozen=True)
class Property:
    """One statement, such as ``softmax(x + c) = softmax(x)``."""

    statement: str


@dataclasses.dataclass(frozen=True)
class Relation(Property):
    """What the function is at moved inputs: ``result(output, parameter, *inputs)``, evaluated exactly."""

    move: Move
    result: Callable[..., jax.Array] = lambda output, parameter, *inputs: output


@dataclasses.dataclass(frozen=True)
class Monotone(Property):
    """Every output rises (or with sign -1 falls) with every entry of the arguments at `positions`."""

    positions: tuple[int, ...] = (0,)
    sign: int = 1


@dataclasses.dataclass(frozen=True)
class Convex(Property):
    """Convex (or with sign -1 concave) in the arguments at `positions` together."""

    positions: tuple[int, ...] = (0,)
    sign: int = 1


@dataclasses.dataclass(frozen=True)
class Bounded(Property):
    """No output lies below `lower` or above `upper`: numbers, which rounding respects, or formulas of the inputs."""

    lower: int | Callable[..., jax.Array] | None = None
    upper: int | Callable[..., jax.Array] | None = None


@dataclasses.dataclass(frozen=True)
class Total(Property):
    """The outputs of a row, after `transform` (a NumPy function), add up to one."""

    transform: Callable


@dataclasses.dataclass(frozen=True)
class Identity(Property):
    """The function equals `other`, made of other functions of the kit, up to `ulps` more roundings."""

    other: Callable[..., jax.Array]
    ulps: float = 2.0


@dataclasses.dataclass(frozen=True)
class Masked(Property):
    """Leaving entries out by ``where=`` is slicing them away; outputs in their places are `fill`."""

    fill: float | None = None
