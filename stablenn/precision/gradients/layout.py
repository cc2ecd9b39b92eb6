"""Pytrees of arrays as one vector of real numbers, and the names of its elements."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stablenn import floats


@dataclasses.dataclass(frozen=True)
class Leaf:
    """An array of floats or complex numbers: its name in the pytree, shape and dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: Any

    @property
    def is_complex(self) -> bool:
        return jnp.issubdtype(self.dtype, np.complexfloating)

    @property
    def format(self) -> floats.Format:
        """The format of the leaf's real numbers."""
        real = {"complex64": "float32", "complex128": "float64"}
        return floats.format_of(real.get(np.dtype(self.dtype).name, self.dtype))

    @property
    def count(self) -> int:
        """How many real numbers it holds."""
        return math.prod(self.shape) * (2 if self.is_complex else 1)


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the real numbers of each leaf lie in one vector: real parts, then imaginary parts, leaf by leaf."""

    leaves: tuple[Leaf, ...]

    @functools.cached_property
    def starts(self) -> list[int]:
        """The first position of each leaf, and the end of the last."""
        return [sum(leaf.count for leaf in self.leaves[:i]) for i in range(len(self.leaves) + 1)]

    @property
    def size(self) -> int:
        return self.starts[-1]

    def ravel(self, arrays: Sequence):
        """One float64 vector of the leaves' values, by JAX, under a local x64 setting."""
        parts = []
        for leaf, array in zip(self.leaves, arrays, strict=True):
            pair = (jnp.real(array), jnp.imag(array)) if leaf.is_complex else (array,)
            parts += [jnp.ravel(part).astype(np.float64) for part in pair]
        return jnp.concatenate(parts) if parts else jnp.zeros(0)

    def unravel(self, vector) -> list:
        """The leaves in float64 or complex128."""
        arrays = []
        for leaf, start in zip(self.leaves, self.starts, strict=False):
            part = vector[start : start + leaf.count]
            if leaf.is_complex:
                real, imaginary = jnp.split(part, 2)
                arrays.append(jax.lax.complex(real, imaginary).reshape(leaf.shape))
            else:
                arrays.append(part.reshape(leaf.shape))
        return arrays

    def to_host(self, arrays: Sequence) -> np.ndarray:
        """One float64 vector in NumPy; nothing is flushed."""
        parts = []
        for leaf, array in zip(self.leaves, arrays, strict=True):
            host = np.asarray(array)
            parts += [np.real(host), np.imag(host)] if leaf.is_complex else [host]
        return np.concatenate([np.ravel(part).astype(np.float64) for part in parts] or [np.zeros(0)])

    def from_host(self, vector: np.ndarray) -> list[np.ndarray]:
        """NumPy arrays of the leaves' own shapes and dtypes."""
        arrays = []
        for leaf, start in zip(self.leaves, self.starts, strict=False):
            part = vector[start : start + leaf.count]
            if leaf.is_complex:
                half = leaf.count // 2
                part = part[:half] + 1j * part[half:]
            with np.errstate(over="ignore"):
                arrays.append(part.reshape(leaf.shape).astype(leaf.dtype))
        return arrays

    @functools.cached_property
    def owners(self) -> np.ndarray:
        """The number of the leaf that each position belongs to."""
        return np.repeat(np.arange(len(self.leaves)), [leaf.count for leaf in self.leaves])

    def per_leaf(self, fact) -> np.ndarray:
        """A number of each leaf, at all positions of that leaf."""
        return np.repeat([float(fact(leaf)) for leaf in self.leaves], [leaf.count for leaf in self.leaves])

    def name(self, position: int) -> str:
        """How the user would write an element, such as ``args[0]['w'][3, 1]``."""
        number = int(self.owners[position])
        leaf, offset = self.leaves[number], int(position) - self.starts[number]
        part = ""
        if leaf.is_complex:
            half = leaf.count // 2
            part = ".real" if offset < half else ".imag"
            offset %= half
        index = ", ".join(str(int(i)) for i in np.unravel_index(offset, leaf.shape)) if leaf.shape else ""
        return leaf.name + (f"[{index}]" if index else "") + part
