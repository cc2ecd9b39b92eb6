"""Walk a jaxpr: environments, calls and control flow, whatever the values mean.

The walker knows which equation comes next; a `Meaning` knows what values are. Add a meaning, not a second walker.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from stablenn.interpret import jaxprs


class Frame(NamedTuple):
    """One level around an equation: a call, the iteration of a loop, or the branch of a cond."""

    eqn: jaxprs.JaxprEqn
    index: int = 0


Path = tuple[Frame, ...]
Control = Callable[[jaxprs.JaxprEqn, list, Any, Path], list]


UNKNOWN_LINE = "an unknown line"


def source_line(eqn: jaxprs.JaxprEqn, path: Path) -> str:
    """The line of the user's code that made an equation, or that called the library function which did."""
    lines = (jaxprs.source_line(equation) for equation in (eqn, *(frame.eqn for frame in reversed(path))))
    return next((line for line in lines if line), UNKNOWN_LINE)


class Meaning(Protocol):
    """What values are, and what an equation does to them.

    Attributes:
      control: how control flow is run, by primitive, where the walker is not to decide it.
    """

    control: Mapping[str, Control]

    def constant(self, value: Any, aval: Any) -> Any:
        """The meaning of a literal or captured constant."""
        ...

    def equation(self, eqn: jaxprs.JaxprEqn, inputs: list, path: Path) -> list:
        """The outputs of an equation that is neither a call nor control flow."""
        ...

    def decide(self, value: Any, eqn: jaxprs.JaxprEqn, path: Path) -> int:
        """The concrete integer or truth value that control flow depends on."""
        ...


def walk(jaxpr, consts: Sequence, args: Sequence, meaning: Meaning, path: Path = ()) -> list:
    """Evaluate `jaxpr` on `args` (values of `meaning`) and return its outputs (values of `meaning`).

    Args:
      jaxpr: an open jaxpr.
      consts: the concrete arrays that it captured.
      args: one value a variable.
      meaning: what values are.
      path: the calls and control flow around this jaxpr, outermost first.
    """
    env: dict = {}
    for var, value in zip(jaxpr.constvars, consts, strict=True):
        env[var] = meaning.constant(value, var.aval)
    env.update(zip(jaxpr.invars, args, strict=True))

    def read(atom):
        return meaning.constant(atom.val, atom.aval) if isinstance(atom, jaxprs.Literal) else env[atom]

    for eqn in jaxpr.eqns:
        inputs = [read(atom) for atom in eqn.invars]
        name = eqn.primitive.name
        if (inner := jaxprs.called(eqn)) is not None:
            outputs = walk_closed(inner, inputs, meaning, (*path, Frame(eqn)))
        elif (control := meaning.control.get(name, _CONTROL.get(name))) is not None:
            outputs = control(eqn, inputs, meaning, path)
        else:
            outputs = meaning.equation(eqn, inputs, path)
        env.update(zip(eqn.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def walk_closed(jaxpr, inputs: Sequence, meaning: Meaning, path: Path) -> list:
    """Evaluate a jaxpr that may hold its own constants."""
    inner, consts = jaxprs.opened(jaxpr)
    return walk(inner, consts, inputs, meaning, path)


def _cond(eqn, inputs, meaning, path):
    branches = eqn.params["branches"]
    index = int(np.clip(meaning.decide(inputs[0], eqn, path), 0, len(branches) - 1))
    return walk_closed(branches[index], inputs[1:], meaning, (*path, Frame(eqn, index)))


def _while(eqn, inputs, meaning, path):
    condition_consts, body_consts = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    condition_args = inputs[:condition_consts]
    body_args = inputs[condition_consts : condition_consts + body_consts]
    carry = inputs[condition_consts + body_consts :]
    iteration = 0
    while True:
        frame = (*path, Frame(eqn, iteration))
        (live,) = walk_closed(eqn.params["cond_jaxpr"], [*condition_args, *carry], meaning, frame)
        if np.ndim(live) == 0:
            if not meaning.decide(live, eqn, path):
                return carry
            carry = walk_closed(eqn.params["body_jaxpr"], [*body_args, *carry], meaning, frame)
        else:  # a predicate per lane: run while any lane is live, freeze those that have finished
            lanes = np.array([bool(meaning.decide(lane, eqn, path)) for lane in np.asarray(live).flat]).reshape(
                live.shape
            )
            if not lanes.any():
                return carry
            advanced = walk_closed(eqn.params["body_jaxpr"], [*body_args, *carry], meaning, frame)
            carry = [_freeze(lanes, new, old) for new, old in zip(advanced, carry, strict=True)]
        iteration += 1


def _freeze(lanes, new, old):
    return np.where(lanes.reshape(lanes.shape + (1,) * (np.ndim(new) - lanes.ndim)), new, old)


def _scan(eqn, inputs, meaning, path):
    params = eqn.params
    fixed, carry, xs = jaxprs.scan_operands(eqn, inputs)
    carries = len(carry)
    order = range(params["length"])
    collected: list[list] = []
    for i in reversed(order) if params["reverse"] else order:
        frame = (*path, Frame(eqn, i))
        outputs = walk_closed(params["jaxpr"], [*fixed, *carry, *(x[i, ...] for x in xs)], meaning, frame)
        carry = outputs[:carries]
        collected.append(outputs[carries:])
    if params["reverse"]:
        collected.reverse()
    stacked = [_stack(column) for column in zip(*collected, strict=True)]
    if not collected:
        stacked = [np.zeros(var.aval.shape, object) for var in eqn.outvars[carries:]]
    return [*carry, *stacked]


def _stack(column):
    if all(isinstance(value, np.ndarray) for value in column):
        return np.stack(column)
    import jax.numpy as jnp  # typed random keys are not NumPy arrays

    return jnp.stack([jnp.asarray(value) for value in column])


def _linear_solve(eqn, inputs, meaning, path):
    lengths, solves = eqn.params["const_lengths"], eqn.params["jaxprs"]
    start = lengths.matvec + lengths.vecmat
    consts = inputs[start : start + lengths.solve]
    operands = inputs[start + lengths.solve + lengths.transpose_solve :]
    return walk_closed(solves.solve, [*consts, *operands], meaning, (*path, Frame(eqn)))


_CONTROL = {"cond": _cond, "while": _while, "scan": _scan, "custom_linear_solve": _linear_solve}
