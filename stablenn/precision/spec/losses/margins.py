"""The Specs of losses with a margin."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from stablenn import losses
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import permuted
from stablenn.precision.spec.piecewise import PIECEWISE
from stablenn.precision.spec.properties import Bounded, Convex, Relation
from stablenn.precision.spec.rows import by_argument

_SPARSE_PLUS = next(spec for spec in PIECEWISE if spec.name == "nn.sparse_plus")
_SCORES = Domain.parse("scores: float[8] in [-max, max]; labels: int32 in [0, 8)")


def _own(scores, labels):
    return jnp.arange(scores.shape[-1]) == labels


def _own_score(scores, labels):
    return jnp.sum(jnp.where(_own(scores, labels), scores, 0))


def _sparsemax(scores, labels):
    """With the threshold, which is the largest of those that the largest k scores would give."""
    descending = -jnp.sort(-scores)
    threshold = jnp.max((jnp.cumsum(descending) - 1) / jnp.arange(1, scores.shape[-1] + 1))
    above = jnp.maximum(scores - threshold, 0)
    return jnp.sum(above * (scores + threshold)) / 2 - _own_score(scores, labels) + jnp.ones(()) / 2


def _below(scores):
    """The scores and their threshold, both from the largest score on."""
    below = scores - scores.max(-1, keepdims=True)
    totals = np.cumsum(-np.sort(-below, -1), -1)
    return below, np.max((totals - 1) / np.arange(1, scores.shape[-1] + 1), -1, keepdims=True)


def _first(scores, labels, margin):
    """The classes that lead, and the right one, as arrays of booleans."""
    own = np.arange(scores.shape[-1]) == labels[:, None]
    others = np.where(own, -np.inf, scores)
    best, score = others.max(-1), np.sum(np.where(own, scores, 0), -1)
    ahead = np.array([math.fsum((b / 4, -s / 4, margin / 4)) for b, s in zip(best, score, strict=True)])[:, None]
    return ((others == best[:, None]) & (ahead >= 0)) | (own & (ahead <= 0)), own


def _ties(margin: int) -> Convention:
    def tied(scores, labels):
        return np.sum(_first(scores, labels, margin)[0], -1) > 1

    def shared(scores, labels):
        first, own = _first(scores, labels, margin)
        return first / first.sum(-1, keepdims=True) - own

    return Convention("classes that lead together share the derivative", applies=tied, gradient=shared)


MARGINS: tuple[Spec, ...] = (
    Spec(
        name="losses.hinge_loss",
        fn=losses.hinge_loss,
        definition=lambda predictor_outputs, targets: jnp.maximum(0, 1 - predictor_outputs * targets),
        signature="(),()->()",
        shapes="pairs",
        domain=Domain.parse("predictor_outputs: float in [-max, max]; targets: float in [-1, 1]"),
        peers=("optax.losses:hinge_loss",),
        kinks=(
            Convention(
                "at the margin the derivative is half of that before it",
                applies=lambda x, y: np.float64(x) * np.float64(y) == 1,
                gradient=lambda x, y: by_argument(-y / 2, -x / 2),
            ),
        ),
        properties=(
            Bounded("hinge_loss >= 0", lower=0),
            Convex("hinge_loss is convex in the scores"),
        ),
        value_scale=lambda x, y: np.maximum(np.abs(x * y), 1),
    ),
    Spec(
        name="losses.sparsemax_loss",
        fn=losses.sparsemax_loss,
        definition=lambda logits, labels: _SPARSE_PLUS.definition(jnp.where(labels == 1, -logits, logits)),
        signature="(),()->()",
        shapes="pairs",
        domain=Domain.parse("logits: float; labels: int32 in [0, 2)"),
        peers=("optax.losses:sparsemax_loss",),
        kinks=(
            Convention(
                "at the ends of its parabola the derivative is continuous",
                applies=lambda x, y: np.abs(x) == 1,
                gradient=lambda x, y: ((1 - 2 * y) * ((1 - 2 * y) * x > 0))[:, None],
            ),
        ),
        properties=(Bounded("sparsemax_loss >= 0", lower=0), Convex("sparsemax_loss is convex")),
    ),
    Spec(
        name="losses.multiclass_hinge_loss",
        fn=losses.multiclass_hinge_loss,
        definition=lambda scores, labels: (
            jnp.max(scores + jnp.where(_own(scores, labels), 0, 1)) - _own_score(scores, labels)
        ),
        signature="(n),()->()",
        domain=_SCORES,
        peers=("optax.losses:multiclass_hinge_loss",),
        kinks=(_ties(1),),
        properties=(
            Relation("the loss does not depend on the order of the classes", permuted(0, index=1)),
            Bounded("multiclass_hinge_loss >= 0", lower=0),
            Convex("multiclass_hinge_loss is convex"),
        ),
        value_scale=lambda scores, labels: np.ones(len(scores)),
    ),
    Spec(
        name="losses.multiclass_perceptron_loss",
        fn=losses.multiclass_perceptron_loss,
        definition=lambda scores, labels: jnp.max(scores) - _own_score(scores, labels),
        signature="(n),()->()",
        domain=_SCORES,
        peers=("optax.losses:multiclass_perceptron_loss",),
        kinks=(_ties(0),),
        properties=(
            Relation("the loss does not depend on the order of the classes", permuted(0, index=1)),
            Bounded("multiclass_perceptron_loss >= 0", lower=0),
            Convex("multiclass_perceptron_loss is convex"),
        ),
    ),
    Spec(
        name="losses.multiclass_sparsemax_loss",
        fn=losses.multiclass_sparsemax_loss,
        definition=_sparsemax,
        signature="(n),()->()",
        domain=_SCORES,
        # the peer takes no single example
        kinks=(
            Convention(
                "where a score meets the threshold the derivative is continuous",
                applies=lambda scores, labels: np.any(np.equal(*_below(scores)), -1),
                gradient=lambda scores, labels: (
                    np.maximum(np.subtract(*_below(scores)), 0) - (np.arange(scores.shape[-1]) == labels[:, None])
                ),
            ),
        ),
        properties=(
            Relation("the loss does not depend on the order of the classes", permuted(0, index=1)),
            Bounded("multiclass_sparsemax_loss >= 0", lower=0),
            Convex("multiclass_sparsemax_loss is convex"),
        ),
        value_scale=lambda scores, labels: np.ones(len(scores)),
        gradient_scale=lambda scores, labels: np.ones(scores.shape),
    ),
)
