"""The Specs of losses of embeddings."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import losses
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Spec
from stablenn.precision.spec.moves import reflected
from stablenn.precision.spec.properties import Bounded, Relation


def _scores(queries, keys):
    """What the default temperature, 0.07, makes of products."""
    return jnp.sum(queries[:, None] * keys[None], -1) * 100 / 7


def _ntxent(embeddings, labels):
    unit = embeddings / jnp.sqrt(jnp.sum(embeddings * embeddings, -1, keepdims=True))
    scores = _scores(unit, unit)
    same = labels[:, None] == labels
    positive = same & ~jnp.eye(len(labels), dtype=bool)
    others = jnp.sum(jnp.where(same, 0, jnp.exp(scores)), 1, keepdims=True)
    pairs = jnp.where(positive, jnp.log((jnp.exp(scores) + others) / jnp.exp(scores)), 0)
    return jnp.sum(pairs) / jnp.maximum(jnp.sum(positive), 1)


def _info_nce(queries, keys):
    scores = _scores(queries, keys)
    own = jnp.sum(jnp.where(jnp.eye(len(scores), dtype=bool), scores, 0), -1)
    return jnp.log(jnp.sum(jnp.exp(scores), -1)) - own


def _largest_score(queries, keys):
    products = np.abs(queries[:, :, None] * keys[:, None]).sum(-1)
    return products.max((1, 2))[:, None] * (100 / 7)


def _info_nce_slope_scale(queries, keys):
    """The vectors that a derivative is a mean of, times the largest score, which rounding moves probabilities by."""
    largest = np.maximum(_largest_score(queries, keys), 1)
    sizes = [np.broadcast_to(np.abs(a).max((1, 2))[:, None], (len(a), a[0].size)) for a in (keys, queries)]
    slopes = [np.tile(size * largest * (100 / 7), (1, queries.shape[1])) for size in sizes]
    return np.concatenate(slopes, -1)


def _distance(a, b):
    return jnp.sqrt(jnp.sum((a - b) * (a - b)) + jnp.ones(()) / 1000000)


def _distances(anchors, positives, negatives):
    return [np.sqrt(np.sum((anchors - other) ** 2, -1) + 1e-6) for other in (positives, negatives)]


CONTRASTIVE: tuple[Spec, ...] = (
    Spec(
        name="losses.ntxent",
        fn=losses.ntxent,
        definition=_ntxent,
        signature="(m,n),(m)->()",
        domain=Domain.parse("embeddings: float[4, 3] in [0.125, 8]; labels: int32[4] in [0, 2)"),
        peers=("optax.losses:ntxent",),
        properties=(Bounded("ntxent >= 0", lower=0),),
        value_scale=lambda embeddings, labels: np.full(len(embeddings), 100 / 7),
        gradient_scale=lambda embeddings, labels: np.broadcast_to(
            (100 / 7) ** 2 / np.abs(embeddings).max((1, 2))[:, None], (len(embeddings), embeddings[0].size)
        ),
    ),
    Spec(
        name="losses.info_nce",
        fn=losses.info_nce,
        definition=_info_nce,
        signature="(m,n),(m,n)->(m)",
        domain=Domain.parse("queries: float[3, 2] in [-2, 2]; keys: float[3, 2] in [-2, 2]"),
        properties=(
            Relation("info_nce(-q, -k) = info_nce(q, k)", reflected(negate=(0, 1))),
            Bounded("info_nce >= 0", lower=0),
        ),
        value_scale=lambda queries, keys: np.repeat(_largest_score(queries, keys), queries.shape[1], -1),
        gradient_scale=_info_nce_slope_scale,
    ),
    Spec(
        name="losses.triplet_margin_loss",
        fn=losses.triplet_margin_loss,
        definition=lambda anchors, positives, negatives: jnp.maximum(
            _distance(anchors, positives) - _distance(anchors, negatives) + 1, 0
        ),
        signature="(n),(n),(n)->()",
        # less than the margin apart, where the loss has a kink
        domain=Domain.parse(
            "anchors: float[4] in [-0.2, 0.2]; positives: float[4] in [-0.2, 0.2]; negatives: float[4] in [-0.2, 0.2]"
        ),
        peers=("optax.losses:triplet_margin_loss",),
        properties=(
            Relation("triplet_margin_loss(-a, -p, -n) = triplet_margin_loss(a, p, n)", reflected(negate=(0, 1, 2))),
            Bounded("triplet_margin_loss >= 0", lower=0),
        ),
        value_scale=lambda *columns: np.maximum(np.max(_distances(*columns), 0), 1),
        gradient_scale=lambda *columns: np.ones((len(columns[0]), 3 * columns[0].shape[-1])),
    ),
)
