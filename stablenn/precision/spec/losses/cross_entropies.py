"""The Specs of cross-entropies."""

from __future__ import annotations

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from stablenn import losses, nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.infinities import no_shares
from stablenn.precision.spec.kinds import Convention, Spec, Variant
from stablenn.precision.spec.losses.formulas import by_the_second, logsumexp, xlogx
from stablenn.precision.spec.moves import permuted, reflected, shifted
from stablenn.precision.spec.properties import Bounded, Convex, Identity, Masked, Relation


def _impossible(logits):
    """Rows of classes of which none is possible."""
    return np.all(logits == -np.inf, -1) & (logits.shape[-1] > 0)


def _no_distribution(size: int) -> Convention:
    """`size` counts the vectors that the gradient consists of."""
    return Convention(
        "a row without any possible class is no distribution: NaN",
        applies=lambda logits, labels: _impossible(logits),
        value=lambda logits, labels: np.full(len(logits), np.nan),
        gradient=lambda logits, labels: np.full((len(logits), size * logits.shape[-1]), np.nan),
    )


def _ignored(logits, labels):
    """Impossible classes with the label 0, in rows that have a possible one."""
    return (logits == -np.inf) & (labels == 0) & ~_impossible(logits)[:, None]


def _slope_scale(logits, labels):
    """d/dlogits is softmax(x) sum(y) - y, d/dlabels is logsumexp(x) - x."""
    shifted_ = np.exp(logits - logits.max(-1, keepdims=True, initial=-np.inf))
    share = shifted_ / shifted_.sum(-1, keepdims=True) * labels.sum(-1, keepdims=True)
    return np.concatenate([np.maximum(share, np.abs(labels)), np.zeros(logits.shape)], -1)


def _binary_slope_scale(logits, labels):
    """d/dlogits is sigmoid(x) - y, d/dlabels is -x."""
    return np.stack([np.maximum(1 / (1 + np.exp(-logits)), np.abs(labels)), np.abs(logits)], -1)


def smoothed(loss, logits, labels, weights):
    """Integer labels with an eighth of label smoothing, and with class weights."""
    return loss(logits, labels, label_smoothing=0.125, class_weights=weights)


def _smoothed(logits, labels, weights):
    costs = weights * (logsumexp(logits) - logits)
    own = jnp.sum(jnp.where(jnp.arange(logits.shape[-1]) == labels, costs, 0))
    return (7 * own + jnp.sum(costs) / logits.shape[-1]) / 8


def _smoothed_slope_scale(logits, labels, weights):
    """d/dlogits is softmax(x) sum(y) - y, with y the smoothed and weighted labels; d/dweights has one sign."""
    own = np.arange(logits.shape[-1]) == labels[:, None]
    targets = weights * (own * 7 / 8 + 1 / 8 / logits.shape[-1])
    return _slope_scale(logits, targets)


def _z_loss(logits):
    log_partition = logsumexp(logits)
    return jnp.stack([log_partition * log_partition / 10000, log_partition])


def _z_loss_scale(logits):
    largest = np.abs(logits).max(-1, initial=0)
    return np.stack([largest**2 / 10000, largest], -1)


def _partition_slope_scale(logits):
    share = np.exp(logits - logits.max(-1, keepdims=True, initial=-np.inf))
    share /= share.sum(-1, keepdims=True)
    return np.concatenate([np.abs(logits).max(-1, keepdims=True, initial=0) * share / 5000, 0 * share], -1)


def _softmax_focal(logits, labels):
    own = jnp.arange(logits.shape[-1]) == labels
    cost = jnp.sum(jnp.where(own, logsumexp(logits) - logits, 0))
    missed = jnp.sum(jnp.where(own, 0, jnp.exp(logits))) / jnp.sum(jnp.exp(logits))
    return missed * missed * cost


def _softmax_focal_slope_scale(logits, labels):
    """The derivative by the cross-entropy, a sum, times softmax(x) - y."""
    share = np.exp(logits - logits.max(-1, keepdims=True))
    share /= share.sum(-1, keepdims=True)
    own = np.arange(logits.shape[-1]) == labels[:, None]
    missed, cost = np.sum(np.where(own, 0, share), -1), -np.log(np.sum(np.where(own, share, 0), -1))
    return np.maximum(missed**2, 2 * missed * (1 - missed) * cost)[:, None] * np.maximum(share, own * missed[:, None])


def _sigmoid_focal(logits, labels):
    positive, negative = 1 / (1 + jnp.exp(-logits)), 1 / (1 + jnp.exp(logits))
    missed = labels * negative + (1 - labels) * positive
    return missed * missed * (-labels * jnp.log(positive) - (1 - labels) * jnp.log(negative))


def _focal_slope_scale(logits, labels):
    """The larger term of each derivative: that of the focus, and that of the cross-entropy."""
    positive, negative = 1 / (1 + np.exp(-logits)), 1 / (1 + np.exp(logits))
    missed = labels * negative + (1 - labels) * positive
    cost = labels * np.logaddexp(0, -logits) + (1 - labels) * np.logaddexp(0, logits)
    by_logits = np.maximum(2 * missed * positive * negative * cost, missed**2 * np.maximum(positive, labels))
    by_labels = np.maximum(2 * missed * np.maximum(positive, negative) * cost, missed**2 * np.abs(logits))
    return np.stack([by_logits, by_labels], -1)


_CROSS_ENTROPIES: tuple[Spec, ...] = (
    Spec(
        name="losses.softmax_cross_entropy",
        fn=losses.softmax_cross_entropy,
        # -sum(y log softmax(x)), with the logarithm of the quotient taken apart
        definition=lambda logits, labels: jnp.sum(labels * (logsumexp(logits) - logits)),
        signature="(n),(n)->()",
        domain=Domain.parse("logits: float[8]; labels: float[8] in simplex"),
        peers=("optax.losses:softmax_cross_entropy",),
        conventions=(
            no_shares(values=lambda n: 1, gradients=lambda n: 2 * n),
            _no_distribution(2),
            Convention(
                "a class that is impossible and has the label 0 is ignored, in the derivative by its label too",
                applies=lambda logits, labels: np.any(_ignored(logits, labels), -1),
                gradient=lambda logits, labels: by_the_second(0.0, _ignored(logits, labels)),
            ),
        ),
        properties=(
            Relation("cross-entropy of logits + c", shifted(0)),
            Relation("cross-entropy does not depend on the order of the classes", permuted(0, 1)),
            Bounded("cross-entropy >= 0", lower=0),
            Bounded(
                "Gibbs: no cross-entropy is smaller than the entropy of the labels",
                lower=lambda logits, labels: xlogx(jnp.sum(labels)) - jnp.sum(xlogx(labels)),
            ),
            Convex("cross-entropy is convex in the logits"),
            Identity(
                "cross-entropy = -sum(y log_softmax(x))",
                lambda logits, labels: -jnp.sum(jnp.where(labels == 0, 0, labels * nn.log_softmax(logits))),
                ulps=8,
            ),
            Masked("a mask is a slice"),
        ),
        gradient_scale=_slope_scale,
    ),
    Spec(
        name="losses.softmax_cross_entropy_with_integer_labels",
        fn=losses.softmax_cross_entropy_with_integer_labels,
        definition=lambda logits, labels: jnp.sum(
            jnp.where(jnp.arange(logits.shape[-1]) == labels, logsumexp(logits) - logits, 0)
        ),
        signature="(n),()->()",
        domain=Domain.parse("logits: float[8]; labels: int32 in [0, 8)"),
        peers=("optax.losses:softmax_cross_entropy_with_integer_labels",),
        conventions=(no_shares(values=lambda n: 1, gradients=lambda n: n), _no_distribution(1)),
        properties=(
            Relation("cross-entropy of logits + c", shifted(0)),
            Relation("cross-entropy does not depend on the order of the classes", permuted(0, index=1)),
            Bounded("cross-entropy >= 0", lower=0),
            Convex("cross-entropy is convex in the logits"),
            Identity(
                "integer labels are one-hot labels",
                lambda logits, labels: losses.softmax_cross_entropy(
                    logits, (jnp.arange(logits.shape[-1]) == labels).astype(logits.dtype)
                ),
            ),
            Masked("a mask is a slice"),
        ),
    ),
    Spec(
        name="losses.sigmoid_binary_cross_entropy",
        fn=losses.sigmoid_binary_cross_entropy,
        definition=lambda logits, labels: (
            labels * jnp.log(1 + jnp.exp(-logits)) + (1 - labels) * jnp.log(1 + jnp.exp(logits))
        ),
        signature="(),()->()",
        shapes="pairs",
        domain=Domain.parse("logits: float; labels: float in [0, 1]"),
        peers=("optax.losses:sigmoid_binary_cross_entropy",),
        properties=(
            Relation("BCE(-x, 1 - y) = BCE(x, y)", reflected(negate=(0,), complement=(1,))),
            Bounded("BCE >= 0", lower=0),
            Bounded(
                "Gibbs: no cross-entropy is smaller than the entropy of the labels",
                lower=lambda logits, labels: -xlogx(labels) - xlogx(1 - labels),
            ),
            Convex("BCE is convex in the logits"),
            Identity(
                "BCE is the cross-entropy of two classes",
                lambda logits, labels: losses.softmax_cross_entropy(
                    jnp.stack([logits, jnp.zeros_like(logits)]), jnp.stack([labels, 1 - labels])
                ),
            ),
        ),
        gradient_scale=_binary_slope_scale,
    ),
    Spec(
        name="losses.smoothed_cross_entropy",
        fn=functools.partial(smoothed, losses.softmax_cross_entropy_with_integer_labels),
        variant=Variant(
            "losses.softmax_cross_entropy_with_integer_labels", "with `label_smoothing` and `class_weights`", smoothed
        ),
        definition=_smoothed,
        signature="(n),(),(n)->()",
        domain=Domain.parse(
            "logits: float[8] in [-1e38, 1e38]; labels: int32 in [0, 8); weights: float[8] in [1e-3, 1000]"
        ),
        properties=(Relation("cross-entropy of logits + c", shifted(0)), Convex("cross-entropy is convex")),
        gradient_scale=_smoothed_slope_scale,
    ),
    Spec(
        name="losses.z_loss",
        fn=losses.z_loss,
        definition=_z_loss,
        signature="(n)->(2)",
        domain=Domain.parse("logits: float[8] in [-10000, 10000]"),  # its square is in the range
        conventions=(
            Convention(
                "of no classes it is 0",
                applies=lambda logits: np.full(len(logits), logits.shape[-1] == 0),
                value=lambda logits: np.tile([0, -np.inf], (len(logits), 1)),
            ),
        ),
        value_scale=_z_loss_scale,
        gradient_scale=_partition_slope_scale,
    ),
    Spec(
        name="losses.softmax_focal_loss",
        fn=losses.softmax_focal_loss,
        definition=_softmax_focal,
        signature="(n),()->()",
        # gamma times a loss is to be in the range, too
        domain=Domain.parse("logits: float[8] in [-1e37, 1e37]; labels: int32 in [0, 8)"),
        properties=(
            Relation("focal loss of logits + c", shifted(0)),
            Relation("focal loss does not depend on the order of the classes", permuted(0, index=1)),
            Bounded("focal loss >= 0", lower=0),
        ),
        gradient_scale=_softmax_focal_slope_scale,
    ),
    Spec(
        name="losses.sigmoid_focal_loss",
        fn=losses.sigmoid_focal_loss,
        definition=_sigmoid_focal,
        signature="(),()->()",
        shapes="pairs",
        domain=Domain.parse("logits: float in [-max, max]; labels: float in [0, 1]"),
        peers=("optax.losses:sigmoid_focal_loss",),
        properties=(
            Relation("focal loss of (-x, 1 - y)", reflected(negate=(0,), complement=(1,))),
            Bounded("focal loss >= 0", lower=0),
        ),
        gradient_scale=_focal_slope_scale,
    ),
    Spec(
        name="losses.poly_loss_cross_entropy",
        fn=losses.poly_loss_cross_entropy,
        definition=lambda logits, labels: jnp.sum(
            labels * (logsumexp(logits) - logits + 2 * (1 - jnp.exp(logits - logsumexp(logits))))
        ),
        signature="(n),(n)->()",
        domain=Domain.parse("logits: float[8] in [-40, 40]; labels: float[8] in simplex"),
        peers=("optax.losses:poly_loss_cross_entropy",),
        properties=(
            Relation("the loss of logits + c", shifted(0)),
            Relation("the loss does not depend on the order of the classes", permuted(0, 1)),
            Masked("a mask is a slice"),
        ),
        gradient_scale=lambda logits, labels: 3 * _slope_scale(logits, labels),
    ),
)
_PLAIN = _CROSS_ENTROPIES[0]

CROSS_ENTROPIES: tuple[Spec, ...] = (
    *_CROSS_ENTROPIES,
    *(
        # the same of a whole row, under other names
        dataclasses.replace(_PLAIN, name=f"losses.{name}", fn=fn, peers=(f"optax.losses:{name}",), properties=())
        for name, fn in (
            ("safe_softmax_cross_entropy", losses.safe_softmax_cross_entropy),
            ("ranking_softmax_loss", losses.ranking_softmax_loss),
        )
    ),
    Spec(
        name="losses.smooth_labels",
        fn=losses.smooth_labels,
        definition=lambda labels, alpha: (1 - alpha) * labels + alpha / labels.shape[-1],
        signature="(n),()->(n)",
        domain=Domain.parse("labels: float[8] in simplex; alpha: float in [0, 1]"),
        peers=("optax.losses:smooth_labels",),
        properties=(Bounded("0 <= smooth_labels <= 1", lower=0, upper=1),),
        gradient_scale=lambda labels, alpha: np.ones((len(labels), labels.shape[-1] * (labels.shape[-1] + 1))),
    ),
)
