"""What losses refuse."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def require_float(name: str, **arrays: ArrayLike) -> None:
    """A TypeError that names the argument unless all `arrays` are floating point."""
    for argument, value in arrays.items():
        dtype = jax.dtypes.result_type(value)
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(f"{name}: {argument} must be floating point, got {dtype}")
