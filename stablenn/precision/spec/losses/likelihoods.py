"""The Specs of negative log-likelihoods."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import losses
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Spec
from stablenn.precision.spec.moves import reflected
from stablenn.precision.spec.properties import Bounded, Convex, Relation
from stablenn.precision.spec.rows import by_argument


def _gaussian_terms(predictions, targets, log_variance):
    """The square of the scaled error."""
    with np.errstate(all="ignore"):
        return np.exp(2 * np.log(np.abs(predictions - targets)) - log_variance)


def _gaussian_scale(predictions, targets, log_variance):
    return np.maximum(np.abs(log_variance), _gaussian_terms(predictions, targets, log_variance)) / 2


def _gaussian_slope_scale(predictions, targets, log_variance):
    """By the variance, (1 - square) / 2."""
    square = _gaussian_terms(predictions, targets, log_variance)
    return by_argument(0 * square, 0 * square, np.maximum(square, 1) / 2)


def _poisson_scale(log_predictions, targets):
    return np.maximum(np.exp(log_predictions), np.abs(targets * log_predictions))


def _poisson_slope_scale(log_predictions, targets):
    """exp(x) - y, and -x."""
    return by_argument(np.maximum(np.exp(log_predictions), targets), np.abs(log_predictions))


def _negative_binomial(log_predictions, targets, log_total_count):
    x, y, a = log_predictions, targets, log_total_count
    r = jnp.exp(a)
    rises = sum(jnp.where(i < y, jnp.log(1 + i / r), 0) for i in range(1, 64))
    return (r + y) * jnp.log(1 + jnp.exp(x - a)) - x * y - rises


def _negative_binomial_scale(x, y, a):
    """The sum of r log(1 + e^x / r), |y log(e^-x + 1 / r)|, and what the last term is at most."""
    failures = np.exp(a) * np.logaddexp(0, x - a)
    rises = y * np.maximum(np.abs(a) * (a < 2), np.log1p(y * np.exp(-a)))
    return failures + np.abs(y * np.logaddexp(-x, -a)) + rises


def _negative_binomial_slope_scale(x, y, a):
    """The expected failures, and y over 1 + e^x / r."""
    slope = np.exp(-np.logaddexp(-x, -a))
    share = 1 / (1 + np.exp(x - a))
    failures = np.exp(a) * np.logaddexp(0, x - a)
    return by_argument(np.maximum(slope, y * share), np.maximum(np.maximum(slope, failures), y))


LIKELIHOODS: tuple[Spec, ...] = (
    Spec(
        name="losses.gaussian_nll",
        fn=losses.gaussian_nll,
        definition=lambda predictions, targets, log_variance: (
            (log_variance + (predictions - targets) * (predictions - targets) * jnp.exp(-log_variance)) / 2
        ),
        signature="(),(),()->()",
        shapes="pairs",
        domain=Domain.parse(
            "predictions: float in [-max, max]; targets: float in [-max, max]; log_variance: float in [-1000, 1000]"
        ),
        properties=(
            Relation("gaussian_nll(-x, -y, v) = gaussian_nll(x, y, v)", reflected(negate=(0, 1))),
            Bounded("gaussian_nll >= log_variance / 2", lower=lambda x, y, v: v / 2),
        ),
        value_scale=_gaussian_scale,
        gradient_scale=_gaussian_slope_scale,
    ),
    Spec(
        name="losses.poisson_nll",
        fn=losses.poisson_nll,
        definition=lambda log_predictions, targets: jnp.exp(log_predictions) - log_predictions * targets,
        signature="(),()->()",
        shapes="pairs",
        domain=Domain.parse("log_predictions: float in [-80, 80]; targets: float in [0, max]"),
        properties=(Convex("poisson_nll is convex"),),
        value_scale=_poisson_scale,
        gradient_scale=_poisson_slope_scale,
    ),
    Spec(
        name="losses.negative_binomial_nll",
        fn=losses.negative_binomial_nll,
        definition=_negative_binomial,
        signature="(),(),()->()",
        shapes="pairs",
        domain=Domain.parse(
            "log_predictions: float in [-40, 40]; targets: int32 in [0, 64); log_total_count: float in [-40, 40]"
        ),
        value_scale=_negative_binomial_scale,
        gradient_scale=_negative_binomial_slope_scale,
    ),
)
