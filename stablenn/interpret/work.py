"""How much there is to do: the scalar operations of a program, counted on its jaxpr."""

from __future__ import annotations

import math

import numpy as np

from stablenn.interpret import jaxprs

_ROUNDS_OF_A_LOOP = 16  # while: the number is not written in the program


def scalar_operations(jaxpr) -> int:
    """About how many scalar operations an evaluation takes: an element of an output each, a product a pair."""
    inner, _ = jaxprs.opened(jaxpr)
    return sum(_operations(eqn) for eqn in inner.eqns)


def _operations(eqn) -> int:
    name, params = eqn.primitive.name, eqn.params
    if (called := jaxprs.called(eqn)) is not None:
        return scalar_operations(called)
    if name == "scan":
        return params["length"] * scalar_operations(params["jaxpr"])
    if name == "while":
        return _ROUNDS_OF_A_LOOP * (scalar_operations(params["cond_jaxpr"]) + scalar_operations(params["body_jaxpr"]))
    if name == "cond":
        return max(map(scalar_operations, params["branches"]))
    size = sum(math.prod(getattr(var.aval, "shape", ())) for var in eqn.outvars)
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return size * int(np.prod([eqn.invars[0].aval.shape[axis] for axis in contracted], dtype=int))
    if name == "conv_general_dilated":
        kernel = eqn.invars[1].aval.shape
        return size * math.prod(kernel) // max(kernel[params["dimension_numbers"].rhs_spec[0]], 1)
    if name.startswith(("reduce_", "arg", "cum", "sort")):
        return math.prod(eqn.invars[0].aval.shape)
    return size
