"""The Specs of divergences."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp
import numpy as np

from stablenn import losses
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.losses.formulas import by_the_second, logsumexp, xlogx
from stablenn.precision.spec.moves import permuted, shifted
from stablenn.precision.spec.properties import Bounded, Masked, Relation
from stablenn.precision.spec.rows import by_argument


def _divergence(log_predictions, targets):
    known = jnp.where(targets == 0, 1, targets)
    return jnp.sum(jnp.where(targets == 0, 0, known * (jnp.log(known) - log_predictions)))


def _missed(log_predictions, log_targets):
    """Classes that are possible and predicted to be impossible."""
    return (log_predictions == -np.inf) & (log_targets > -np.inf)


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


def _generalized_slope_scale(log_predictions, targets):
    """exp(q) - p, and log(p) - q."""
    with np.errstate(divide="ignore"):
        sizes = np.maximum(np.abs(np.log(targets)), np.abs(log_predictions))
    return np.concatenate([np.maximum(np.exp(log_predictions), targets), sizes], -1)


def _binary_scale(logits, target_logits):
    """The larger of the two terms, each with the larger of its logarithms."""
    sides = []
    for sign in (1, -1):
        log_p, log_q = -np.logaddexp(0, -sign * target_logits), -np.logaddexp(0, -sign * logits)
        sides.append(np.exp(log_p) * np.maximum(np.abs(log_p), np.abs(log_q)))
    return np.max(sides, 0)


def _binary_slope_scale(logits, target_logits):
    """sigmoid(x) - sigmoid(t), and sigmoid'(t) (t - x)."""
    p, q = 1 / (1 + np.exp(-target_logits)), 1 / (1 + np.exp(-logits))
    return by_argument(np.maximum(p, q), 0 * p)


def _categorical(logits, target_logits):
    weights = jnp.exp(target_logits)
    mean = jnp.sum(weights * (target_logits - logits)) / jnp.sum(weights)
    return mean + logsumexp(logits) - logsumexp(target_logits)


def _logarithms(logits):
    largest = logits.max(-1, keepdims=True, initial=-np.inf)
    return logits - largest - np.log(np.sum(np.exp(logits - largest), -1, keepdims=True))


def _categorical_scale(logits, target_logits):
    log_q, log_p = _logarithms(logits), _logarithms(target_logits)
    return np.max(np.exp(log_p) * np.maximum(np.abs(log_p), np.abs(log_q)), -1, initial=0)


def _categorical_slope_scale(logits, target_logits):
    """q - p, and p (log(p) - log(q) - divergence)."""
    log_q, log_p = _logarithms(logits), _logarithms(target_logits)
    p, sizes = np.exp(log_p), np.maximum(np.abs(log_p), np.abs(log_q))
    mean = np.sum(p * sizes, -1, keepdims=True)
    return np.concatenate([np.maximum(p, np.exp(log_q)), p * np.maximum(sizes, mean)], -1)


_BY_A_TARGET_OF_0 = Convention(
    "by a target of 0 the derivative is that of p log(p), or 0 where the class is impossible, too",
    applies=lambda log_predictions, targets: np.any(targets == 0, -1),
    gradient=lambda log_predictions, targets: by_the_second(
        np.where(log_predictions == -np.inf, 0, -np.inf), targets == 0
    ),
)

_DIVERGENCES: tuple[Spec, ...] = (
    Spec(
        name="losses.kl_divergence",
        fn=losses.kl_divergence,
        definition=_divergence,
        signature="(n),(n)->()",
        domain=Domain.parse("log_predictions: float[8] in [-inf, 0]; targets: float[8] in simplex"),
        peers=("optax.losses:kl_divergence",),
        conventions=(_BY_A_TARGET_OF_0,),
        properties=(
            Relation("divergence does not depend on the order of the classes", permuted(0, 1)),
            Bounded(
                "Gibbs: no divergence is smaller than that of the sums",
                lower=lambda log_predictions, targets: (
                    xlogx(jnp.sum(targets)) - jnp.sum(targets) * logsumexp(log_predictions)
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
                gradient=lambda log_predictions, log_targets: by_the_second(
                    np.inf, _missed(log_predictions, log_targets)
                ),
            ),
        ),
        properties=(
            Relation("divergence does not depend on the order of the classes", permuted(0, 1)),
            Bounded(
                "Gibbs: no divergence is smaller than that of the sums",
                lower=lambda log_predictions, log_targets: (
                    jnp.sum(jnp.exp(log_targets)) * (logsumexp(log_targets) - logsumexp(log_predictions))
                ),
            ),
            Masked("a mask is a slice"),
        ),
        value_scale=_log_divergence_scale,
        gradient_scale=_log_divergence_slope_scale,
    ),
    Spec(
        name="losses.generalized_kl_divergence",
        fn=losses.generalized_kl_divergence,
        definition=lambda log_predictions, targets: (
            _divergence(log_predictions, targets) + jnp.sum(jnp.exp(log_predictions) - targets)
        ),
        signature="(n),(n)->()",
        domain=Domain.parse("log_predictions: float[8] in [-80, 80]; targets: float[8] in [0, 1e30]"),
        peers=("optax.losses:generalized_kl_divergence",),
        conventions=(_BY_A_TARGET_OF_0,),
        properties=(
            Relation("divergence does not depend on the order of the classes", permuted(0, 1)),
            Masked("a mask is a slice"),
        ),
        value_scale=lambda log_predictions, targets: np.maximum(
            _divergence_scale(log_predictions, targets),
            np.max(np.maximum(np.exp(log_predictions), targets), -1, initial=0),
        ),
        gradient_scale=_generalized_slope_scale,
    ),
    Spec(
        name="losses.bernoulli_kl_divergence",
        fn=losses.bernoulli_kl_divergence,
        definition=lambda logits, target_logits: (
            (target_logits - logits) / (1 + jnp.exp(-target_logits))
            + jnp.log((1 + jnp.exp(logits)) / (1 + jnp.exp(target_logits)))
        ),
        signature="(),()->()",
        shapes="pairs",
        domain=Domain.parse("logits: float in [-80, 80]; target_logits: float in [-80, 80]"),
        value_scale=_binary_scale,
        gradient_scale=_binary_slope_scale,
    ),
    Spec(
        name="losses.categorical_kl_divergence",
        fn=losses.categorical_kl_divergence,
        definition=_categorical,
        signature="(n),(n)->()",
        domain=Domain.parse("logits: float[8] in [-20, 20]; target_logits: float[8] in [-20, 20]"),
        properties=(
            Relation("divergence of logits + c", shifted(0)),
            Relation("divergence does not depend on the order of the classes", permuted(0, 1)),
            Masked("a mask is a slice"),
        ),
        conventions=(
            Convention(
                "of no classes it is 0",
                applies=lambda logits, target_logits: np.full(len(logits), logits.shape[-1] == 0),
                value=lambda logits, target_logits: np.zeros(len(logits)),
            ),
        ),
        value_scale=_categorical_scale,
        gradient_scale=_categorical_slope_scale,
    ),
)
_GENERALIZED = next(spec for spec in _DIVERGENCES if spec.fn is losses.generalized_kl_divergence)

DIVERGENCES: tuple[Spec, ...] = (
    *_DIVERGENCES,
    dataclasses.replace(
        _GENERALIZED,
        name="losses.convex_kl_divergence",
        fn=losses.convex_kl_divergence,
        peers=("optax.losses:convex_kl_divergence",),
        properties=(),
    ),
)
