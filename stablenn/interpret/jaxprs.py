"""What a jaxpr looks like: every difference between jax versions, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import jax
from jax._src import source_info_util
from jax.extend import core

Literal = core.Literal
JaxprEqn = core.JaxprEqn

# Primitives that call one inner jaxpr on their own operands: where the parameter of that jaxpr is.
CALLS = {
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
