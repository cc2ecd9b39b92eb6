"""What losses refuse."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def require_float(name: str, **arrays: ArrayLike) -> None:
    """A TypeError that names the argument unless all `arrays` are floating point."""
    for argument, value in arrays.items():
        dtype = jax.dtypes.result_type(value)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"{name}: {argument} must be floating point, got {dtype}")


def require_integers(name: str, **arrays: ArrayLike) -> None:
    """A TypeError that names the argument unless all `arrays` are integers."""
    for argument, value in arrays.items():
        dtype = jax.dtypes.result_type(value)
        if not jnp.issubdtype(dtype, jnp.integer):
            raise TypeError(f"{name}: {argument} must be integers, got {dtype}")


def require_pairs(name: str, **arrays: ArrayLike) -> None:
    """A ValueError that names both arguments where a result would be larger than each of them.

    Predictions of shape (n, 1) against targets of shape (n,) are no n pairs but n * n.
    """
    (one, first), (other, second) = ((argument, jnp.shape(value)) for argument, value in arrays.items())
    try:
        shape = np.broadcast_shapes(first, second)
    except ValueError:
        raise ValueError(f"{name}: {one} of shape {first} do not fit {other} of shape {second}") from None
    if math.prod(shape) > max(math.prod(first), math.prod(second)):
        raise ValueError(
            f"{name}: {one} of shape {first} and {other} of shape {second} are no pairs: together they would have "
            f"the shape {shape}"
        )


def require_float_pairs(name: str, **arrays: ArrayLike) -> None:
    """What `require_float` and `require_pairs` refuse."""
    require_float(name, **arrays)
    require_pairs(name, **arrays)


def require_same_shape(name: str, **arrays: ArrayLike) -> None:
    """A ValueError that names both arguments unless their shapes are equal."""
    (one, first), (other, second) = ((argument, jnp.shape(value)) for argument, value in arrays.items())
    if first != second:
        raise ValueError(f"{name}: {one} and {other} must have the same shape, got {first} and {second}")
