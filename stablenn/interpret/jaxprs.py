"""What a jaxpr looks like: every difference between jax versions, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from jax._src import source_info_util
from jax.extend import core

# The lines that users read about are theirs, not those of the laboratory.
source_info_util.register_exclusion(str(Path(__file__).parents[1] / "interpret"))
source_info_util.register_exclusion(str(Path(__file__).parents[1] / "precision"))

Literal = core.Literal
JaxprEqn = core.JaxprEqn

# Primitives that call one inner jaxpr on their own operands: where the parameter of that jaxpr is.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "custom_lin": "call_jaxpr",
    "run_state": "jaxpr",
    "linear_call": "callee",
    "composite": "jaxpr",
    "eval_jaxpr": "call_jaxpr",
}


def trace(fn: Callable, args: Sequence, x64: bool):
    """The closed jaxpr of ``fn(*args)`` under a local x64 setting, and the shapes and structure of its output."""
    with jax.enable_x64(x64):
        return jax.make_jaxpr(fn, return_shape=True)(*args)


def opened(jaxpr) -> tuple[core.Jaxpr, Sequence]:
    """A jaxpr and its constants, whether it came closed or open."""
    if isinstance(jaxpr, core.ClosedJaxpr):
        return jaxpr.jaxpr, jaxpr.consts
    return jaxpr, ()


def called(eqn: JaxprEqn):
    """The jaxpr that a call equation calls on its own operands; None for other equations."""
    if (parameter := _CALLS.get(eqn.primitive.name)) is not None:
        return eqn.params[parameter]
    if eqn.primitive.name == "call_hi_primitive":  # since jax 0.12: an operation that defines itself by a function
        operation = eqn.params["_prim"]
        avals: Any = [atom.aval for atom in eqn.invars]
        operands = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in avals]
        return jax.make_jaxpr(operation.expand)(*jax.tree.unflatten(operation.in_tree, operands))
    return None


def bind(eqn: JaxprEqn, operands: Sequence, params: dict | None = None) -> list:
    """The outputs of an equation on other operands, and perhaps with other parameters."""
    found = eqn.primitive.get_bind_params(eqn.params if params is None else params)
    outputs = eqn.primitive.bind(*operands, **found)
    if not eqn.primitive.multiple_results:
        return [outputs]
    return list(getattr(outputs, "vals", outputs))  # some of them return trees


def scan_operands(eqn: JaxprEqn, operands: Sequence) -> tuple[list, list, list]:
    """The constants, initial carry and scanned arrays among the operands of a scan."""
    if "ft_in" in eqn.params:  # since jax 0.12
        consts, carry, scanned = map(list, eqn.params["ft_in"].update(operands).unpack())
        return consts, carry, scanned
    consts, carries = eqn.params["num_consts"], eqn.params["num_carry"]
    split = consts + carries
    return list(operands[:consts]), list(operands[consts:split]), list(operands[split:])


def source_line(eqn: JaxprEqn) -> str:
    """``file:line (function)`` of the user's code that made an equation."""
    return source_info_util.summarize(eqn.source_info)


def enable_x64(enabled: bool) -> contextlib.AbstractContextManager:
    """A local x64 setting; the global one stays as the user has it."""
    return jax.enable_x64(enabled)


def canonical_dtype(dtype, x64: bool):
    """The dtype that JAX gives an input under an x64 setting."""
    with jax.enable_x64(x64):
        return jax.dtypes.canonicalize_dtype(dtype)
