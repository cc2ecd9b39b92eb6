"""The Specs of `stablenn.nn.attention`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Spec


def _definition(query, key):
    scores = jnp.einsum("tnh,snh->nts", query, key) / jnp.sqrt(1.0 * query.shape[-1] + 0 * query[0, 0, 0])
    return jnp.exp(scores) / jnp.sum(jnp.exp(scores), -1, keepdims=True)


def _products(query, key):
    """The weights, and how much larger than an ulp their errors may be that the rounding of scores makes."""
    products = np.einsum("btnh,bsnh->bntsh", query, key) / np.sqrt(query.shape[-1])
    scores = products.sum(-1)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    sizes = 1 + np.abs(products).sum(-1).max(-1, keepdims=True)
    return weights / weights.sum(-1, keepdims=True), sizes


def _size(query, key):
    """An error of the size of an ulp in a score is one of as many ulps of the weight as the score is large."""
    weights, sizes = _products(query, key)
    return weights * sizes


def _slope_size(query, key):
    """That of weights times differences of keys (or queries), in the order of the Jacobians."""
    weights, sizes = _products(query, key)
    rows, heads, targets, sources = weights.shape
    features = query.shape[-1]
    root = np.sqrt(features)
    by_query = np.zeros((rows, heads, targets, sources, targets, heads, features))
    by_key = np.zeros((rows, heads, targets, sources, sources, heads, features))
    for n in range(heads):
        for t in range(targets):
            w, size = weights[:, n, t], sizes[:, n, t]
            k, q = np.abs(key[:, :, n]), np.abs(query[:, t, n])
            mean = np.einsum("bs,bsh->bh", w, k)
            by_query[:, n, t, :, t, n] = (w * size)[..., None] * (k + mean[:, None]) / root
            delta = np.eye(sources) + w[:, None, :]
            by_key[:, n, t, :, :, n] = ((w * size)[..., None] * delta)[..., None] * q[:, None, None] / root
    return np.concatenate([by_query.reshape(rows, -1), by_key.reshape(rows, -1)], 1)


ATTENTION: tuple[Spec, ...] = (
    Spec(
        name="nn.attention_weights",
        fn=nn.attention_weights,
        definition=_definition,
        signature="(t,n,h),(s,n,h)->(n,t,s)",
        domain=Domain.parse("query: float[2, 1, 4] in [-100, 100]; key: float[3, 1, 4] in [-100, 100]"),
        value_scale=_size,
        gradient_scale=_slope_size,
    ),
)
