"""The Specs of `stablenn.losses`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import losses, nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.infinities import no_shares
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import permuted, reflected, shifted
from stablenn.precision.spec.properties import Bounded, Convex, Identity, Masked, Relation


def _logsumexp(x):
    return jnp.log(jnp.sum(jnp.exp(x)))


def _xlogx(p):
    """p log(p), and 0 at 0."""
    return jnp.where(p == 0, 0, p * jnp.log(jnp.where(p == 0, 1, p)))


def _divergence(log_predictions, targets):
    known = jnp.where(targets == 0, 1, targets)
    return jnp.sum(jnp.where(targets == 0, 0, known * (jnp.log(known) - log_predictions)))


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


def _by_the_second(value, places):
    """A gradient of two vectors that is `value` at `places` of the second, and the formula's elsewhere."""
    return np.ma.masked_array(
        np.concatenate([np.zeros(places.shape), np.broadcast_to(value, places.shape)], -1),
        np.concatenate([np.ones(places.shape, bool), ~places], -1),
    )


def _missed(log_predictions, log_targets):
    """Classes that are possible and predicted to be impossible."""
    return (log_predictions == -np.inf) & (log_targets > -np.inf)


def _slope_scale(logits, labels):
    """d/dlogits is softmax(x) sum(y) - y, d/dlabels is logsumexp(x) - x."""
    shifted_ = np.exp(logits - logits.max(-1, keepdims=True, initial=-np.inf))
    share = shifted_ / shifted_.sum(-1, keepdims=True) * labels.sum(-1, keepdims=True)
    return np.concatenate([np.maximum(share, np.abs(labels)), np.zeros(logits.shape)], -1)


def _binary_slope_scale(logits, labels):
    """d/dlogits is sigmoid(x) - y, d/dlabels is -x."""
    return np.stack([np.maximum(1 / (1 + np.exp(-logits)), np.abs(labels)), np.abs(logits)], -1)


def _divergence_scale(log_predictions, targets):
    """The largest of p log(p) and p log(q)."""
    log_targets = np.log(np.where(targets > 0, targets, 1))
    return np.max(np.abs(targets) * np.maximum(np.abs(log_targets), np.abs(log_predictions)), -1, initial=0)


def _divergence_slope_scale(log_predictions, targets):
    """d/dp is log(p) - log(q) + 1."""
    sizes = np.maximum(np.abs(np.log(targets)), np.maximum(np.abs(log_predictions), 1))
    return np.concatenate([np.zeros(targets.shape), sizes], -1)


def _log_terms(log_predictions, log_targets):
    """exp(t) and the larger of |t| and |log(q)|, in the classes that count."""
    possible = log_targets > -np.inf
    sizes = np.where(possible, np.maximum(np.abs(log_targets), np.abs(log_predictions)), 0)
    return np.exp(log_targets), sizes


def _log_divergence_scale(log_predictions, log_targets):
    targets, sizes = _log_terms(log_predictions, log_targets)
    return np.max(targets * sizes, -1, initial=0)


def _log_divergence_slope_scale(log_predictions, log_targets):
    """d/dt is exp(t) (t - log(q) + 1)."""
    targets, sizes = _log_terms(log_predictions, log_targets)
    return np.concatenate([np.zeros(log_targets.shape), targets * np.maximum(sizes, 1)], -1)


LOSSES: tuple[Spec, ...] = (
    Spec(
        name="losses.softmax_cross_entropy",
        fn=losses.softmax_cross_entropy,
        # -sum(y log softmax(x)), with the logarithm of the quotient taken apart
        definition=lambda logits, labels: jnp.sum(labels * (_logsumexp(logits) - logits)),
        signature="(n),(n)->()",
        domain=Domain.parse("logits: float[8]; labels: float[8] in simplex"),
        peers=("optax.losses:softmax_cross_entropy",),
        conventions=(
            no_shares(values=lambda n: 1, gradients=lambda n: 2 * n),
            _no_distribution(2),
            Convention(
                "a class that is impossible and has the label 0 is ignored, in the derivative by its label too",
                applies=lambda logits, labels: np.any(_ignored(logits, labels), -1),
                gradient=lambda logits, labels: _by_the_second(0.0, _ignored(logits, labels)),
            ),
        ),
        properties=(
            Relation("cross-entropy of logits + c", shifted(0)),
            Relation("cross-entropy does not depend on the order of the classes", permuted(0, 1)),
            Bounded("cross-entropy >= 0", lower=0),
            Bounded(
                "Gibbs: no cross-entropy is smaller than the entropy of the labels",
                lower=lambda logits, labels: _xlogx(jnp.sum(labels)) - jnp.sum(_xlogx(labels)),
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
            jnp.where(jnp.arange(logits.shape[-1]) == labels, _logsumexp(logits) - logits, 0)
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
        domain=Domain.parse("logits: float; labels: float in [0, 1]"),
        peers=("optax.losses:sigmoid_binary_cross_entropy",),
        properties=(
            Relation("BCE(-x, 1 - y) = BCE(x, y)", reflected(negate=(0,), complement=(1,))),
            Bounded("BCE >= 0", lower=0),
            Bounded(
                "Gibbs: no cross-entropy is smaller than the entropy of the labels",
                lower=lambda logits, labels: -_xlogx(labels) - _xlogx(1 - labels),
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
        name="losses.kl_divergence",
        fn=losses.kl_divergence,
        definition=_divergence,
        signature="(n),(n)->()",
        domain=Domain.parse("log_predictions: float[8] in [-inf, 0]; targets: float[8] in simplex"),
        peers=("optax.losses:kl_divergence",),
        conventions=(
            Convention(
                "by a target of 0 the derivative is that of p log(p), or 0 where the class is impossible, too",
                applies=lambda log_predictions, targets: np.any(targets == 0, -1),
                gradient=lambda log_predictions, targets: _by_the_second(
                    np.where(log_predictions == -np.inf, 0, -np.inf), targets == 0
                ),
            ),
        ),
        properties=(
            Relation("divergence does not depend on the order of the classes", permuted(0, 1)),
            Bounded(
                "Gibbs: no divergence is smaller than that of the sums",
                lower=lambda log_predictions, targets: (
                    _xlogx(jnp.sum(targets)) - jnp.sum(targets) * _logsumexp(log_predictions)
                ),
            ),
            Masked("a mask is a slice"),
        ),
        value_scale=_divergence_scale,
        gradient_scale=_divergence_slope_scale,
    ),
    Spec(
        name="losses.kl_divergence_with_log_targets",
        fn=losses.kl_divergence_with_log_targets,
        definition=lambda log_predictions, log_targets: jnp.sum(
            jnp.exp(log_targets) * (log_targets - log_predictions)
        ),
        signature="(n),(n)->()",
        domain=Domain.parse("log_predictions: float[8] in [-inf, 0]; log_targets: float[8] in [-inf, 0]"),
        peers=("optax.losses:kl_divergence_with_log_targets",),
        conventions=(
            Convention(
                "a class that is possible and predicted to be impossible costs infinity, however improbable it is",
                applies=lambda log_predictions, log_targets: np.any(_missed(log_predictions, log_targets), -1),
                value=lambda log_predictions, log_targets: np.full(len(log_targets), np.inf),
                gradient=lambda log_predictions, log_targets: _by_the_second(
                    np.inf, _missed(log_predictions, log_targets)
                ),
            ),
        ),
        properties=(
            Relation("divergence does not depend on the order of the classes", permuted(0, 1)),
            Bounded(
                "Gibbs: no divergence is smaller than that of the sums",
                lower=lambda log_predictions, log_targets: (
                    jnp.sum(jnp.exp(log_targets)) * (_logsumexp(log_targets) - _logsumexp(log_predictions))
                ),
            ),
            Masked("a mask is a slice"),
        ),
        value_scale=_log_divergence_scale,
        gradient_scale=_log_divergence_slope_scale,
    ),
)
