"""Tangents that custom rules receive symbolically."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero


def is_zero(tangent) -> bool:
    """Whether nobody differentiates by an argument: its term is then left out, where 0 * inf would be NaN."""
    return isinstance(tangent, SymbolicZero)


def instantiate(tangent) -> jax.Array:
    """A tangent as an array, whether it is symbolic or not."""
    return jnp.zeros(tangent.shape, str(tangent.dtype)) if is_zero(tangent) else tangent
