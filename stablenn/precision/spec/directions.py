"""The Specs of `stablenn.nn.directions`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.infinities import several_of_any_sign
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import permuted, reflected, scaled, swapped
from stablenn.precision.spec.properties import Bounded, Masked, Relation

_LARGEST = np.finfo(np.float64).max


def _norm(x):
    return jnp.sqrt(jnp.sum(x * x))


def _direction(x):
    """Roughly: the norm and x over it, anywhere in the range of float64."""
    infinite = np.isinf(x)
    x = np.where(infinite.any(-1, keepdims=True), np.where(infinite, np.sign(x) * _LARGEST / 2, 0), x)
    largest = np.max(np.abs(x), -1, keepdims=True, initial=0)
    values = x / np.where(largest == 0, 1, largest)
    size = np.sqrt(np.sum(values**2, -1, keepdims=True))
    return np.minimum(size * largest, _LARGEST), values / size


def _direction_slope_scale(x):
    """d u_i / d x_j is (delta_ij - u_i u_j) / norm."""
    size, unit = _direction(x)
    products = np.abs(unit[:, :, None] * unit[:, None, :])
    return (np.maximum(products, np.eye(x.shape[-1])) / size[:, :, None]).reshape(len(x), -1)


def _cosine_scale(a, b):
    """The largest summand."""
    return np.max(np.abs(_direction(a)[1] * _direction(b)[1]), -1, initial=0)


def _cosine_slope_scale(a, b):
    """The derivative by a_j is (v_j - cosine u_j) / norm(a), with directions u and v; the cosine cancels itself."""
    (a_size, u), (b_size, v) = _direction(a), _direction(b)
    cosine = np.maximum(np.abs(np.sum(u * v, -1)), np.max(np.abs(u * v), -1, initial=0))[:, None]
    by_a = np.maximum(np.abs(v), np.abs(cosine * u)) / a_size
    by_b = np.maximum(np.abs(u), np.abs(cosine * v)) / b_size
    return np.minimum(np.concatenate([by_a, by_b], -1), _LARGEST)


def _any_zero(a, b):
    return np.all(a == 0, -1) | np.all(b == 0, -1)


def _either_several(a, b):
    return several_of_any_sign(a) | several_of_any_sign(b)


def _unknown(a, b):
    return np.any(np.isnan(a) | np.isnan(b), -1)


DIRECTIONS: tuple[Spec, ...] = (
    Spec(
        name="nn.normalize",
        fn=nn.normalize,
        definition=lambda x: x / _norm(x),
        signature="(n)->(n)",
        domain=Domain.parse("x: float[8]"),
        conventions=(
            Convention(
                "zero has no direction: 0, and a gradient of 0",
                applies=lambda x: np.all(x == 0, -1),
                value=np.zeros_like,
                gradient=lambda x: np.zeros((len(x), x.shape[-1] ** 2)),
            ),
            Convention(
                "several infinities give no direction",
                applies=several_of_any_sign,
                value=lambda x: np.full(x.shape, np.nan),
                gradient=lambda x: np.full((len(x), x.shape[-1] ** 2), np.nan),
            ),
        ),
        properties=(
            Relation("normalize(s x) = normalize(x)", scaled(0)),
            Relation("normalize(-x) = -normalize(x)", reflected(negate=(0,)), lambda out, _, x: -out),
            Relation("normalize in another order", permuted(0), lambda out, order, x: out[order]),
            Bounded("-1 <= normalize(x) <= 1", lower=-1, upper=1),
        ),
        gradient_scale=_direction_slope_scale,
    ),
    Spec(
        name="nn.cosine_similarity",
        fn=nn.cosine_similarity,
        definition=lambda a, b: jnp.sum(a * b) / (_norm(a) * _norm(b)),
        signature="(n),(n)->()",
        domain=Domain.parse("predictions: float[8]; targets: float[8]"),
        peers=("optax.losses:cosine_similarity",),
        conventions=(
            Convention(
                "zero has no direction: it is similar to nothing, by 0",
                applies=lambda a, b: _any_zero(a, b) & ~_unknown(a, b),
                value=lambda a, b: np.zeros(len(a)),
                gradient=lambda a, b: np.zeros((len(a), 2 * a.shape[-1])),
            ),
            Convention(
                "several infinities give no direction",
                applies=_either_several,
                value=lambda a, b: np.full(len(a), np.nan),
                gradient=lambda a, b: np.full((len(a), 2 * a.shape[-1]), np.nan),
            ),
        ),
        properties=(
            Relation("cosine_similarity(s a, b) = cosine_similarity(a, b)", scaled(0)),
            Relation("cosine_similarity(a, b) = cosine_similarity(b, a)", swapped(0, 1)),
            Relation(
                "cosine_similarity(-a, b) = -cosine_similarity(a, b)",
                reflected(negate=(0,)),
                lambda out, _, a, b: -out,
            ),
            Relation("cosine_similarity does not depend on the order", permuted(0, 1)),
            Bounded("-1 <= cosine_similarity <= 1", lower=-1, upper=1),
            Masked("a mask is a slice"),
        ),
        value_scale=_cosine_scale,
        gradient_scale=_cosine_slope_scale,
    ),
)
