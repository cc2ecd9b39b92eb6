"""The weights of scaled dot-product attention."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from stablenn.nn._axes import without_unit_axes
from stablenn.nn._masks import included, masked
from stablenn.nn._rounding import converted, float_dtype, rounded_once
from stablenn.nn._scaling import binade
from stablenn.nn._shares import exponentials, maximum_of, softmax_tangent, subtract
from stablenn.nn._underflow import scale_of


@functools.partial(jax.jit, static_argnames="is_causal")
def attention_weights(
    query: ArrayLike,
    key: ArrayLike,
    bias: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    *,
    scale: ArrayLike | None = None,
    is_causal: bool = False,
) -> jax.Array:
    r"""The weights of scaled dot-product attention: the softmax of scaled products of queries and keys.

    .. math:: W = \mathrm{softmax}\left(\frac{Q K^T}{\sqrt{H}} + B\right)

    The arguments are those of `jax.nn.dot_product_attention`, whose result is
    ``jnp.einsum("BNTS,BSNH->BTNH", weights, value)`` (`value` repeated where it has fewer heads). A query that may
    attend to nothing gets weights of zero and no gradient, where `jax.nn` gives equal weights to everything. Scores
    are accumulated in float32 at least, and never overflow on their way to finite weights.

    Args:
      query: shape ``[B, T, N, H]`` or ``[T, N, H]``: batch, queries, heads, features.
      key: shape ``[B, S, K, H]`` or ``[S, K, H]``, where the number of key heads K divides N: each serves N / K query
        heads in turn.
      bias: added to the scaled scores; broadcast against ``[B, N, T, S]``. An entry of -inf is as good as a mask.
      mask: boolean, True where a query may attend to a key; broadcast against ``[B, N, T, S]``. Weights are exactly 0
        elsewhere.
      scale: factor of the scores; None for 1 / sqrt(H).
      is_causal: whether queries attend to keys of no later position only.

    Returns:
      The weights, with shape ``[B, N, T, S]`` or ``[N, T, S]`` and the promoted dtype of `query` and `key`.

    Raises:
      TypeError: if `query`, `key` or `bias` is complex, or `mask` not boolean.
      ValueError: if shapes do not fit.

    Accuracy:
      Max ULP, value / gradient: float64 [2.0] / [4.0], float32 [2.2] / [3.6],
      float16 [0.5] / [0.5], bfloat16 [0.5] / [0.5] (x86-64, jax 0.10.2 and 0.12.0.1).

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import nn
      >>> x = jnp.array([[[1.0]], [[2.0]]])  # two positions, one head, one feature
      >>> weights = nn.attention_weights(x, x, mask=jnp.array([[False, False], [True, True]]))
      >>> print((weights > 0).tolist())  # a position that may attend to nothing has weights of zero
      [[[False, False], [True, True]]]
    """
    for name, value in (("query", query), ("key", key)):
        if jnp.ndim(value) not in (3, 4):
            raise ValueError(f"attention_weights: {name} must have 3 or 4 axes, got shape {jnp.shape(value)}")
    if mask is not None and jnp.asarray(mask).dtype != bool:
        raise TypeError(f"attention_weights: mask must be boolean, got {jnp.asarray(mask).dtype}")
    (*batch, _, heads, features), (*others, _, groups, size) = jnp.shape(query), jnp.shape(key)
    if batch != others or features != size or heads % groups:
        raise ValueError(
            f"attention_weights: query and key must have the same batch and features, and the heads of the key must "
            f"divide those of the query, got shapes {jnp.shape(query)} and {jnp.shape(key)}"
        )
    scale = 1 / math.sqrt(features) if scale is None else scale
    return _weights(query, key, bias, mask, scale, is_causal)


@rounded_once("query", "key")
def _weights(query, key, bias, mask, scale, is_causal):
    batched = query.ndim == 4
    query, key = _with_four_axes(query), _with_four_axes(key)
    bias, mask = (v if v is None else _with_four_axes(v) for v in (bias, mask))
    (batch, targets, heads, features), (_, sources, groups, _) = query.shape, key.shape
    shape = (batch, heads, targets, sources)
    if bias is not None:
        float_dtype("attention_weights", bias=bias)
        bias = converted(bias, query.dtype)
        mask = (bias > -jnp.inf) | jnp.isnan(bias) if mask is None else mask & ~(bias == -jnp.inf)
    if is_causal:
        causal = jnp.tril(jnp.ones((targets, sources), bool))[None, None]
        mask = causal if mask is None else mask & causal
    query = query.reshape(batch, targets, groups, heads // groups, features)
    if mask is not None:
        mask = jnp.broadcast_to(mask, shape)
        by_group = mask.reshape(batch, groups, heads // groups, targets, sources)
        # padding may hold anything, and its product with a gradient of zero is to be zero
        query = jnp.where(by_group.any(4).transpose(0, 3, 1, 2)[..., None], query, 0)
        key = jnp.where(by_group.any((2, 3)).transpose(0, 2, 1)[..., None], key, 0)

    # Products of large numbers are kept in the range by powers of two. The scale is no factor of a score: contracted
    # with a difference of scores, it would come out different from what their maximum was taken of.
    query = query * jnp.asarray(scale, query.dtype)
    by_query, by_key = _excess(_largest(query, (4,))), _excess(_largest(key, (1, 3)))
    scores = _halved_scores(query / by_query, key / by_key).reshape(shape)
    by_query = by_query.transpose(0, 2, 3, 1, 4).reshape(batch, heads, targets, 1)
    by_key = jnp.repeat(by_key.reshape(batch, groups, 1, 1), heads // groups, 1)
    if bias is not None:
        half = scale_of(query.dtype).half
        scores = scores + jnp.where(bias == -jnp.inf, 0, bias) * half / by_query / by_key
    weights = without_unit_axes(_softmax, scores, (3,), by_query, by_key, mask)
    return weights if batched else weights[0]


@jax.custom_jvp
def _halved_scores(query, key):
    """The products of queries and keys, times 2^(-power/2)."""
    return _products(query, key) * scale_of(query.dtype).half


@_halved_scores.defjvp
def _halved_scores_jvp(primals, tangents):
    (query, key), (query_t, key_t) = primals, tangents
    half = scale_of(query.dtype).half
    return _halved_scores(query, key), _products(query_t * half, key) + _products(query, key_t * half)


def _products(query, key):
    # With the heads in front the products come in the order of the weights; in another, all of them would be copied,
    # as would their cotangents if there were two axes to sum over.
    batch, targets, groups, heads, features = query.shape
    query = query.transpose(0, 2, 3, 1, 4).reshape(batch, groups, heads * targets, features)
    return jnp.einsum("BKTH,BKSH->BKTS", query, key.transpose(0, 2, 1, 3), precision=jax.lax.Precision.HIGHEST)


def _logits(scores, axes, by_query, by_key, mask):
    """The scores in full size and their maximum; their distance from it where they may be too large for the format."""
    scores = included(scores, mask)
    largest = maximum_of(scores, axes)
    large = ((by_query > 1) | (by_key > 1)) & jnp.isfinite(largest)
    shifted, maximum = jnp.where(large, subtract(scores, largest).high, scores), jnp.where(large, 0, largest)
    half = scale_of(scores.dtype).half
    return shifted / half * by_query * by_key, axes, maximum / half * by_query * by_key


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _softmax(scores, axes, by_query, by_key, mask):
    """softmax(scores * by_query * by_key * 2^(power/2)) along the last of the axes."""
    return masked(exponentials(*_logits(scores, axes, by_query, by_key, mask)).shares, mask)


@_softmax.defjvp
def _softmax_jvp(axes, primals, tangents):
    scores, by_query, by_key, mask = primals
    tangent = masked(tangents[0], mask) * by_query * by_key
    found = exponentials(*_logits(scores, axes, by_query, by_key, mask))
    # By the smaller scores, the tangents of the softmax are 2^(power/2) times as large, and do not underflow.
    return masked(found.shares, mask), masked(softmax_tangent(tangent, found, axes, 1 / found.half), mask)


def _largest(x: jax.Array, axis: tuple[int, ...]) -> jax.Array:
    return jnp.max(jnp.abs(x), axis, keepdims=True, initial=0)


def _excess(size: jax.Array) -> jax.Array:
    """A power of two, mostly one: divided by it, two numbers of that size have a product in the range."""
    return jnp.maximum(binade(size) * 2.0 ** (16 - jnp.finfo(size.dtype).maxexp // 2), 1)


def _with_four_axes(value: ArrayLike) -> jax.Array:
    return jnp.expand_dims(value, tuple(range(4 - jnp.ndim(value))))
