"""The global norm of a tree, and clipping by it, over the whole range of every format."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from stablenn.nn._rounding import at_least_float32, converted
from stablenn.nn._scaling import power_of_two
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
      max_norm: the largest global norm to pass, a scalar, not negative.

    Returns:
      An `optax.GradientTransformation` without state.

    Raises:
      ValueError: if `max_norm` is no scalar, or negative, or NaN (a traced one is not checked: a negative one turns
        the direction round).

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
    if np.ndim(max_norm):
        raise ValueError(f"clip_by_global_norm: max_norm must be a scalar, got shape {np.shape(max_norm)}")
    if not isinstance(max_norm, jax.core.Tracer) and not np.asarray(max_norm) >= 0:
        raise ValueError(f"clip_by_global_norm: max_norm must not be negative, got {max_norm}")

    def update(updates, state, params=None):
        del params
        leaves = _counted(updates)
        if not leaves:
            return updates, state
        size, scale = _scaled_norm(leaves)
        bound = jnp.asarray(max_norm, size.dtype)
        within = size <= bound / scale
        # the factor that is applied is bound / (size * scale): in two steps where it is not a normal number
        ratio = bound / jnp.where(size == 0, 1, size)
        once = ratio / scale >= jnp.finfo(size.dtype).tiny
        first, second = jnp.where(once, 1, 1 / scale), jnp.where(once, ratio / scale, ratio)

        def clip(leaf):
            if not _counts(leaf):
                return leaf
            clipped = jnp.asarray(leaf, jnp.promote_types(leaf.dtype, size.dtype)) * first * second
            return jnp.where(within, leaf, clipped.astype(leaf.dtype))

        return jax.tree.map(clip, updates), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def _counts(leaf) -> bool:
    return jnp.issubdtype(jax.dtypes.result_type(leaf), jnp.inexact)


def _counted(updates) -> list[jax.Array]:
    """The leaves that have a size, as real arrays of one dtype, float32 at least."""
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(updates) if getattr(leaf, "size", 1) and _counts(leaf)]
    real = [jnp.stack([leaf.real, leaf.imag]) if jnp.iscomplexobj(leaf) else leaf for leaf in leaves]
    wide = at_least_float32(jnp.result_type(*{leaf.dtype for leaf in real})) if real else None
    return [converted(leaf, wide) for leaf in real]


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
    return size * scale, jnp.sum(jnp.stack(along))


def _scaled_norm(leaves: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The norm of all leaves divided by a power of two, and that power of two."""
    largest = jnp.max(jnp.stack([jnp.max(jnp.abs(leaf)) for leaf in leaves]))
    # The barriers keep XLA from computing the reductions of all leaves once more for each of them.
    scale = jax.lax.optimization_barrier(power_of_two(largest))
    squares = jnp.stack([jnp.sum(jnp.square(leaf * (1 / scale))) for leaf in leaves])
    return safe_sqrt(jnp.sum(jax.lax.optimization_barrier(squares))), scale
