"""Primitives that only move values: run on positions, and the positions tell where each value goes."""

from __future__ import annotations

import math

import jax
import numpy as np

from stablenn.interpret.balls.elements import Arithmetic, Element

# How many leading operands carry data; the others are indices. None: every operand is data.
_DATA_OPERANDS: dict[str, int | None] = {
    "concatenate": None,
    "pad": None,
    "rev": None,
    "gather": 1,
    "dynamic_slice": 1,
    "dynamic_update_slice": 2,
    "split": None,
    "tile": None,
    "slice": None,
    "stack": None,
    "unstack": None,
}


def is_structural(name: str) -> bool:
    """Whether a primitive only moves values."""
    return name in _DATA_OPERANDS or name in _IN_NUMPY or name.startswith("scatter")


def structural(eqn, inputs: list, arithmetic: Arithmetic) -> list:
    """The outputs of a structural equation on object arrays."""
    name = eqn.primitive.name
    if name in _IN_NUMPY:
        return [_IN_NUMPY[name](inputs[0], eqn.params)]
    if name.startswith("scatter"):
        return [_scatter(eqn, inputs, arithmetic)]
    count = _DATA_OPERANDS[name]
    data, indices = (inputs, []) if count is None else (inputs[:count], inputs[count:])
    fill: Element = math.nan
    params = dict(eqn.params)
    if name == "gather":
        if (given := params["fill_value"]) is not None:
            fill = arithmetic.from_float(float(given)) if isinstance(given, (float, np.floating)) else given
        params["fill_value"] = 0
    numbered, pool = _number(data, fill)
    outputs = eqn.primitive.bind(*numbered, *indices, **params)
    outputs = outputs if eqn.primitive.multiple_results else [outputs]
    return [pool[np.ravel(positions)].reshape(positions.shape) for positions in outputs]


def _number(operands: list, fill: Element) -> tuple[list[np.ndarray], np.ndarray]:
    """Each operand as consecutive positions from 1, and the pool that they index; 0 is the fill value."""
    numbered, start = [], 1
    for operand in operands:
        numbered.append(np.arange(start, start + operand.size, dtype=np.int32).reshape(operand.shape))
        start += operand.size
    pool = np.empty(start, object)
    pool[0] = fill
    pool[1:] = np.concatenate([operand.ravel() for operand in operands])
    return numbered, pool


# The commonest ones in NumPy: the same moves without compiling a program for each shape.
_IN_NUMPY = {
    "broadcast_in_dim": lambda x, p: _broadcast(x, p["shape"], p["broadcast_dimensions"]),
    "reshape": lambda x, p: x.reshape(p["new_sizes"]),
    "squeeze": lambda x, p: x.reshape([n for i, n in enumerate(x.shape) if i not in p["dimensions"]]),
    "expand_dims": lambda x, p: np.expand_dims(x, p["dimensions"]),
    "transpose": lambda x, p: x.transpose(p["permutation"]),
}


def _broadcast(x: np.ndarray, shape, dimensions) -> np.ndarray:
    ones = [1] * len(shape)
    for axis, dimension in enumerate(dimensions):
        ones[dimension] = x.shape[axis]
    return np.broadcast_to(x.reshape(ones), shape)


def _scatter(eqn, inputs: list, arithmetic: Arithmetic) -> np.ndarray:
    """Every scatter: find the target of each update, then combine one by one.

    The transpose of a scatter-add gathers, so that the transpose of *this* scatter, applied to the operand's
    positions, says where each update lands (0: out of range, dropped).
    """
    operand, indices, updates = inputs
    combine = {
        "scatter": lambda old, new: new,
        "scatter-add": arithmetic.add,
        "scatter_add": arithmetic.add,
        "scatter-sub": arithmetic.sub,
        "scatter_sub": arithmetic.sub,
        "scatter-mul": arithmetic.mul,
        "scatter_mul": arithmetic.mul,
        "scatter-min": arithmetic.min,
        "scatter_min": arithmetic.min,
        "scatter-max": arithmetic.max,
        "scatter_max": arithmetic.max,
    }[eqn.primitive.name]
    params = eqn.params

    def add(values):
        return jax.lax.scatter_add(
            np.zeros(operand.shape, np.float32),
            indices,
            values,
            params["dimension_numbers"],
            indices_are_sorted=params["indices_are_sorted"],
            unique_indices=params["unique_indices"],
            mode=params["mode"],
        )

    transpose = jax.linear_transpose(add, jax.ShapeDtypeStruct(updates.shape, np.float32))
    positions = np.arange(1, operand.size + 1, dtype=np.float32).reshape(operand.shape)
    (targets,) = transpose(positions)
    result = operand.ravel().copy()
    for target, update in zip(np.asarray(targets).astype(np.int64).flat, updates.flat, strict=True):
        if target:
            result[target - 1] = combine(result[target - 1], update)
    return result.reshape(operand.shape)
