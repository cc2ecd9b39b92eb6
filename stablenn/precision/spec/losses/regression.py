"""The Specs of losses of errors."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from stablenn import losses
from stablenn.precision.domain import Domain
from stablenn.precision.spec.directions import DIRECTIONS
from stablenn.precision.spec.kinds import Spec
from stablenn.precision.spec.moves import permuted, scaled, swapped
from stablenn.precision.spec.properties import Bounded, Masked, Relation

_PAIRS = Domain.parse("predictions: float; targets: float")
_SIMILARITY = next(spec for spec in DIRECTIONS if spec.name == "nn.cosine_similarity")


def _huber(predictions, targets):
    size = jnp.abs(predictions - targets)
    return jnp.where(size <= 1, size * size / 2, size - jnp.where(size <= 1, 0, 1) / 2)


def _from_one(convention):
    """What is stated of a similarity, of 1 minus it."""
    value = convention.value
    return dataclasses.replace(convention, value=None if value is None else lambda a, b: 1 - value(a, b))


REGRESSION: tuple[Spec, ...] = (
    Spec(
        name="losses.squared_error",
        fn=losses.squared_error,
        definition=lambda predictions, targets: (predictions - targets) * (predictions - targets),
        signature="(),()->()",
        shapes="equal",
        domain=_PAIRS,
        peers=("optax.losses:squared_error",),
        properties=(Relation("squared_error(x, y) = squared_error(y, x)", swapped(0, 1)),),
    ),
    Spec(
        name="losses.l2_loss",
        fn=losses.l2_loss,
        definition=lambda predictions, targets: (predictions - targets) * (predictions - targets) / 2,
        signature="(),()->()",
        shapes="equal",
        domain=_PAIRS,
        peers=("optax.losses:l2_loss",),
        properties=(Relation("l2_loss(x, y) = l2_loss(y, x)", swapped(0, 1)),),
    ),
    Spec(
        name="losses.huber_loss",
        fn=losses.huber_loss,
        definition=_huber,
        signature="(),()->()",
        shapes="pairs",
        domain=_PAIRS,
        peers=("optax.losses:huber_loss",),
        properties=(
            Relation("huber_loss(x, y) = huber_loss(y, x)", swapped(0, 1)),
            Bounded("huber_loss(x, y) <= |x - y|", upper=lambda x, y: jnp.abs(x - y)),
        ),
    ),
    Spec(
        name="losses.log_cosh",
        fn=losses.log_cosh,
        definition=lambda predictions, targets: jnp.log(
            (jnp.exp(predictions - targets) + jnp.exp(targets - predictions)) / 2
        ),
        signature="(),()->()",
        shapes="pairs",
        domain=_PAIRS,
        peers=("optax.losses:log_cosh",),
        properties=(
            Relation("log_cosh(x, y) = log_cosh(y, x)", swapped(0, 1)),
            Bounded("log_cosh(x, y) <= |x - y|", upper=lambda x, y: jnp.abs(x - y)),
        ),
    ),
    Spec(
        name="losses.cosine_distance",
        fn=losses.cosine_distance,
        definition=lambda a, b: 1 - _SIMILARITY.definition(a, b),
        signature="(n),(n)->()",
        domain=_SIMILARITY.domain,
        peers=("optax.losses:cosine_distance",),
        conventions=tuple(_from_one(convention) for convention in _SIMILARITY.conventions),
        properties=(
            Relation("cosine_distance(s a, b) = cosine_distance(a, b)", scaled(0)),
            Relation("cosine_distance does not depend on the order", permuted(0, 1)),
            Bounded("0 <= cosine_distance <= 2", lower=0, upper=2),
            Masked("a mask is a slice"),
        ),
        value_scale=lambda a, b: np.ones(len(a)),
        gradient_scale=_SIMILARITY.gradient_scale,
    ),
)
