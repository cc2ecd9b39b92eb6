"""The global norm of a tree, and clipping by it, over the whole range of every format."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from stablenn.nn._scaling import binade
from stablenn.nn.zeros import safe_divide, safe_sqrt


def global_norm(updates: optax.Updates) -> jax.Array:
    r"""Euclidean norm of all entries of a tree.

    .. math:: \mathrm{global\_norm}(g) = \sqrt{\sum_i \sum_j |g_{ij}|^2}

    All entries are scaled by one power of two, and added in float32 at least: the norm neither overflows nor
    vanishes anywhere between the smallest normal and the largest float, and many 16-bit entries are not lost in a
    16-bit sum. Its gradient is :math:`g / \mathrm{global\_norm}(g)`, and zero where all entries are zero.

    Args:
      updates: a tree of arrays of any shapes and dtypes; leaves that are neither floating point nor complex do not
        count.

    Returns:
      A scalar, in float32 or the widest dtype of the leaves; 0 for a tree without leaves.

    Raises:
      TypeError: if a leaf is no array.

    Accuracy:
      Within 4 ULP of the exact norm, and its gradient within 4 ULP of the exact one (float32 and float64, x86-64).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import optim
      >>> print(optim.global_norm({"w": jnp.array([3e30]), "b": jnp.array([4e30])}))
      5e+30
    """
    leaves = _counted(updates)
    if not leaves:
        return jnp.zeros((), jnp.float32)
    return _norm(leaves)


def clip_by_global_norm(max_norm: ArrayLike) -> optax.GradientTransformation:
    r"""Scale updates down to a global norm of `max_norm` where theirs is larger.

    .. math:: g \mapsto g \min(1, m / \mathrm{global\_norm}(g))

    Updates within the bound come back bit for bit. Others keep their direction whatever their size: gradients of
    1e20 in float32, or of 300 in float16, whose squares overflow, are clipped and not turned into zeros.

    Where an entry is infinite or NaN there is no direction: NaN comes out, for :func:`skip_nonfinite` to see, which
    therefore belongs around this transformation.

    Args:
      max_norm: the largest global norm to pass, a real scalar, not negative.

    Returns:
      An `optax.GradientTransformation` without state.

    Raises:
      ValueError: if `max_norm` is no real scalar, or negative, or NaN (of a traced one only the shape is checked: a
        negative one turns the direction round).

    Accuracy:
      Within 4 ULP of the exact result (float32 and float64), correctly rounded in 16 bits (x86-64).

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from stablenn import optim
      >>> clip = optim.clip_by_global_norm(1.0)
      >>> updates, _ = clip.update(jnp.array([2e30, 0.0]), clip.init(None))
      >>> print(updates, optax.clip_by_global_norm(1.0).update(jnp.array([2e30, 0.0]), clip.init(None))[0])
      [1. 0.] [0. 0.]

    References:
      Pascanu et al., `On the difficulty of training recurrent neural networks <https://arxiv.org/abs/1211.5063>`_,
      2012.
    """
    if np.ndim(max_norm) or not (isinstance(max_norm, jax.core.Tracer) or _is_bound(np.asarray(max_norm))):
        raise ValueError(f"clip_by_global_norm: max_norm must be a real scalar and not negative, got {max_norm!r}")

    def update(updates, state, params=None):
        del params
        leaves = _counted(updates)
        if not leaves:
            return updates, state
        size, scale = _scaled_norm(leaves)
        with np.errstate(over="ignore"):  # a bound beyond the range is infinite
            bound = jnp.asarray(max_norm, size.dtype)
        within = size <= bound / scale
        # Where nothing is clipped every factor is 1, so that no inf * 0 comes into derivatives.
        ratio = jnp.where(within, 1, bound / scale) / jnp.where(within, 1, size)
        # A ratio that is no normal number is applied step by step: none of the steps is below the result.
        once = ratio >= jnp.finfo(size.dtype).tiny
        first, second = jnp.where(once, ratio, 1 / scale), jnp.where(once, 1, bound)
        last = jnp.where(once, 1, size)

        def clip(leaf):
            if not _counts(leaf):
                return leaf
            leaf = jnp.asarray(leaf)
            parts = (leaf.real, leaf.imag) if jnp.iscomplexobj(leaf) else (leaf,)
            parts = [(part.astype(size.dtype) * first * second / last).astype(part.dtype) for part in parts]
            clipped = jnp.where(within, leaf, jax.lax.complex(*parts) if len(parts) == 2 else parts[0])
            return leaf.at[...].set(clipped) if leaf.weak_type else clipped

        return jax.tree.map(clip, updates), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def _is_bound(value: np.ndarray) -> bool:
    real = any(jnp.issubdtype(value.dtype, kind) for kind in (jnp.floating, jnp.integer, np.bool_))
    return real and bool(value >= 0)


def _counts(leaf) -> bool:
    return jnp.issubdtype(jax.dtypes.result_type(leaf), jnp.inexact)


def _counted(updates) -> list[jax.Array]:
    """The leaves that have a size, as real arrays of one dtype, float32 at least."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(updates) if getattr(leaf, "size", 1) and _counts(leaf)]
    real = [jnp.stack([leaf.real, leaf.imag]) if jnp.iscomplexobj(leaf) else leaf for leaf in leaves]
    # not by promotion, which strict JAX refuses to mixed trees
    wide = jnp.float64 if any(jnp.finfo(leaf.dtype).bits > 32 for leaf in real) else jnp.float32
    return [leaf.astype(wide) for leaf in real]


@jax.custom_jvp
def _norm(leaves: list[jax.Array]) -> jax.Array:
    size, scale = _scaled_norm(leaves)
    return size * scale


@_norm.defjvp
def _norm_jvp(primals, tangents):
    (leaves,), (leaves_t,) = primals, tangents
    size, scale = _scaled_norm(leaves)
    inverse = safe_divide(1.0, size)
    along = [jnp.sum(x * (1 / scale) * inverse * t) for x, t in zip(leaves, leaves_t, strict=True)]
    return _norm(leaves), jnp.sum(jnp.stack(along))


def _scaled_norm(leaves: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The norm of all leaves divided by a power of two, and that power of two."""
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
    # The barriers keep XLA from computing the reductions of all leaves once more for each of them.
    scale = jax.lax.optimization_barrier(binade(largest))
    squares = jnp.stack([jnp.sum(jnp.square(leaf * (1 / scale))) for leaf in leaves])
    return safe_sqrt(jnp.sum(jax.lax.optimization_barrier(squares))), scale
