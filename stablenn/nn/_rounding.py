"""Compute in float32 and round once: what makes a 16-bit function accurate to its last bit."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp


def float_dtype(name: str, **arrays):
    """The float dtype of a result, by JAX's promotion of `arrays`; a TypeError that names the argument if complex."""
    for argument, value in arrays.items():
        if jnp.issubdtype(jax.dtypes.result_type(value), jnp.complexfloating):
            raise TypeError(f"{name}: {argument} must be real, got {jax.dtypes.result_type(value)}")
    # integers promote to whatever floats they are beside; strict promotion asks for that to be said
    floats = [v for v in arrays.values() if jnp.issubdtype(jax.dtypes.result_type(v), jnp.floating)]
    dtype = jnp.result_type(*(floats or arrays.values()))
    if jnp.issubdtype(dtype, jnp.floating):
        return dtype
    return jax.eval_shape(jnp.sin, jax.ShapeDtypeStruct((), dtype)).dtype  # as every function of jax.numpy has it


def at_least_float32(dtype):
    """The dtype to compute in: float32 for 16-bit formats, also under strict promotion."""
    return jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits < 32 else dtype


def converted(value, dtype) -> jax.Array:
    """`value` in `dtype`; a weak type stays weak where nothing is to be converted."""
    value = jnp.asarray(value)
    return value if value.dtype == dtype else value.astype(dtype)


def widened(value: jax.Array) -> jax.Array:
    """`value` in the dtype to compute in."""
    return converted(value, at_least_float32(value.dtype))


def _weakened(value: jax.Array) -> jax.Array:
    """`value` with the weak type that it lost where it was made of bit patterns."""
    return jax.lax.convert_element_type_p.bind(value, new_dtype=value.dtype, weak_type=True, sharding=None)


def rounded_once(*names: str, widen: bool = True) -> Callable[[Callable], Callable]:
    """Promote the arguments `names` to one float dtype, at least float32, and round the results to theirs.

    The casts are outside of any custom derivative rule, so that gradients too are computed in float32 and rounded
    once. Arguments that are None stay None. Without `widen` 16-bit arguments stay so, too: for functions that convert
    them a part at a time, and compute in float32 all the same.
    """

    def decorate(fn: Callable) -> Callable:
        signature = inspect.signature(fn)

        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()  # a number is promoted like one that was given
            given = {name: v for name in names if (v := bound.arguments[name]) is not None}
            dtype = float_dtype(fn.__name__.lstrip("_"), **given)
            wide = at_least_float32(dtype) if widen else dtype
            bound.arguments.update({name: converted(value, wide) for name, value in given.items()})
            is_weak = all(jax.typeof(value).weak_type for value in given.values())
            out = jax.tree.map(lambda out: converted(out, dtype), fn(*bound.args, **bound.kwargs))
            return jax.tree.map(_weakened, out) if is_weak else out

        return wrapper

    return decorate
