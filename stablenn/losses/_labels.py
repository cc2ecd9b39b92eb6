"""Labels that name classes, and what becomes of those that name none."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def require_labels(name: str, labels: ArrayLike, classes: int, where: ArrayLike | None = None) -> None:
    """A ValueError that names the first included label that is no class, unless it is traced."""
    if isinstance(labels, jax.core.Tracer) or isinstance(where, jax.core.Tracer):
        return
    labels = np.asarray(labels)
    wrong = names_no_class(labels, classes)
    if where is not None:
        wrong = wrong & np.asarray(where)
    if wrong.any():
        index = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name}: labels must lie between 0 and {classes - 1}, got {np.broadcast_to(labels, wrong.shape)[index]} "
            f"at index {index}; padding labels? pass where=labels >= 0"
        )


def names_no_class(labels, classes: int):
    """Which labels lie outside of 0 .. classes - 1."""
    labels = counting(labels)
    return (labels < 0) | (labels >= classes)


def own_class(labels: jax.Array, classes: int, first: ArrayLike = 0) -> jax.Array:
    """One-hot labels as booleans, of `classes` classes from `first`; none where a label names no class."""
    labels = counting(labels)
    return labels[..., None] == jnp.arange(classes, dtype=labels.dtype) + jnp.asarray(first, labels.dtype)


def counting(labels):
    """Labels in a dtype that holds any number of classes: bytes would wrap where there are 300."""
    return labels.astype(np.int32) if labels.dtype.itemsize < 4 else labels


def spoilt(values: jax.Array, wrong: jax.Array, inputs: jax.Array) -> jax.Array:
    """NaN where `wrong`, in what depends on `inputs` as well: by a product with them, which has a gradient."""
    return values + jnp.where(wrong, jnp.nan, 0) * jnp.where(wrong, inputs, 0)


def guarded(loss: jax.Array, wrong: jax.Array, where: jax.Array | None, inputs: jax.Array) -> jax.Array:
    """0 for examples that do not count, NaN for labels that name no class, in loss and gradient by `inputs`."""
    if where is not None:
        where = jnp.asarray(where, bool)
        loss, wrong = jnp.where(where, loss, 0), wrong & where
    return spoilt(loss, wrong, inputs)
