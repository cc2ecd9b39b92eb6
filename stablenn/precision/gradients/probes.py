"""Where a check looks: elements of every leaf, and random directions through all of them at once."""

from __future__ import annotations

import numpy as np

from stablenn.precision.gradients.layout import Layout


def scales(layout: Layout, at: np.ndarray) -> np.ndarray:
    """The size of each element's neighbourhood: its own magnitude, or that of its leaf where it is zero."""
    magnitude = np.where(np.isfinite(at), np.abs(at), 0.0)
    return _power_of_two(np.where(magnitude > 0, magnitude, leaf_scales(layout, at)))


def leaf_scales(layout: Layout, at: np.ndarray) -> np.ndarray:
    """At each position the root mean square of its leaf; 1 for a leaf of zeros."""
    found = np.ones(len(at))
    for leaf, start in zip(layout.leaves, layout.starts, strict=False):
        part = at[start : start + leaf.count]
        part = part[np.isfinite(part)]
        largest = np.max(np.abs(part), initial=0.0)
        if largest > 0:
            found[start : start + leaf.count] = largest * np.sqrt(np.mean((part / largest) ** 2))
    return found


def _power_of_two(x: np.ndarray) -> np.ndarray:
    """The largest power of two up to x: a step of it is exact in every binary format."""
    return np.ldexp(1.0, np.frexp(x)[1] - 1)


def direction(layout: Layout, at: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Every element moves, up or down, by the same share of its own size; infinite elements stay."""
    signs = generator.choice((-1.0, 1.0), len(at))
    return np.where(np.isfinite(at), signs * scales(layout, at), 0.0)


def elements(layout: Layout, at: np.ndarray, count: int | str, generator: np.random.Generator) -> np.ndarray:
    """Positions to look at one by one: `count` of each leaf, or all of them."""
    finite = np.flatnonzero(np.isfinite(at))
    if count == "all":
        return finite
    chosen = []
    for number in range(len(layout.leaves)):
        own = finite[layout.owners[finite] == number]
        chosen.append(generator.choice(own, min(int(count), len(own)), replace=False) if len(own) else own)
    return np.sort(np.concatenate(chosen)).astype(int) if chosen else np.zeros(0, int)


def line_through(position: int, layout: Layout, at: np.ndarray) -> tuple[np.ndarray, float]:
    """A line on which one element moves by the size of its leaf, and how small the element is beside that."""
    line = np.zeros(len(at))
    neighbourhood = _power_of_two(np.maximum(np.abs(at[position]), leaf_scales(layout, at)[position]))
    line[position] = neighbourhood
    own = abs(at[position])
    return line, own / neighbourhood if own > 0 else 2.0**-10
