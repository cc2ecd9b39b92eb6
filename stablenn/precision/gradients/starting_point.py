"""Where a check starts: a few rows of data, and the arguments after some steps of training."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stablenn.precision.gradients.untraced import program_of


def with_data(fn: Callable, data: tuple) -> Callable:
    """The function of its other arguments alone."""
    return functools.partial(_append, fn, data) if data else fn


def _append(fn: Callable, data: tuple, *args):
    return fn(*args, *data)


def first_rows(data: Any, count: int) -> tuple:
    """The first rows of every array."""
    leaves = jax.tree.leaves(data)
    sizes = {np.shape(leaf)[0] if np.ndim(leaf) else None for leaf in leaves}
    if len(sizes) != 1 or None in sizes:
        raise ValueError(f"data must be arrays with one leading axis of rows, got {jax.tree.map(np.shape, data)}")
    rows = jax.tree.map(lambda leaf: leaf[:count], data)
    return tuple(rows) if isinstance(rows, tuple) else (rows,)


def warmed_up(fn: Callable, args: tuple, data: Any, steps: int, optimizer: Any) -> tuple[tuple, str]:
    """The arguments after some steps of an optimizer on all data, and what to say of it."""
    import optax

    optimizer = optax.adam(1e-3) if optimizer is None else optimizer
    rows = () if data is None else first_rows(data, len(jax.tree.leaves(data)[0]))
    program = program_of(with_data(fn, rows), args)
    loss = lambda inputs: jnp.sum(program.function(*inputs)[0])
    if program.outputs.size != 1 or program.outputs.leaves[0].is_complex:
        raise ValueError("warmup needs a function with one real number as output: a loss")
    inputs = [jnp.asarray(value) for value in program.inputs]
    state = optimizer.init(inputs)
    gradient = program.compiler(jax.grad(loss))
    for step in range(steps):
        updates, state = optimizer.update(gradient(inputs), state, inputs)
        moved: Any = optax.apply_updates(inputs, updates)
        if not all(np.isfinite(np.asarray(value)).all() for value in moved):
            return program.rebuilt(inputs), f"warm-up stopped after {step} steps: the next is not finite"
        inputs = moved
    return program.rebuilt(inputs), f"after {steps} steps of warm-up"
