"""The Specs of `stablenn.nn.entropies`."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import scaled
from stablenn.precision.spec.properties import Bounded, Convex, Identity, Relation
from stablenn.precision.spec.rows import by_argument

PAIR = Domain.parse("p: float; q: float")


def _no_nan(p, q):
    return ~np.isnan(p) & ~np.isnan(q)


def _divergence_conventions(at_zero: Callable, by_q_at_zero: int) -> tuple[Convention, ...]:
    """Those of rel_entr and kl_div: scipy's for the values, limits for the derivatives."""
    return (
        Convention(
            "a p of 0 is the limit from above; where q is 0, too, the derivative by p is 0",
            applies=lambda p, q: (p == 0) & (q >= 0),
            value=at_zero,
            gradient=lambda p, q: by_argument(np.where(q == 0, 0, -np.inf), np.full(len(q), by_q_at_zero)),
        ),
        Convention(
            "a q of 0 is the limit from above",
            applies=lambda p, q: (p > 0) & (q == 0),
            value=lambda p, q: np.full(len(p), np.inf),
            gradient=lambda p, q: by_argument(np.full(len(p), np.inf), np.full(len(p), -np.inf)),
        ),
        Convention(
            "outside of the domain the value is infinite and has no derivative",
            applies=lambda p, q: ((p < 0) | (q < 0)) & _no_nan(p, q),
            value=lambda p, q: np.full(len(p), np.inf),
            gradient=lambda p, q: np.full((len(p), 2), np.nan),
        ),
    )


def _one_or_log_ratio(p, q):
    """The larger term of each derivative, log(p / q) + 1 and -p / q."""
    with np.errstate(all="ignore"):
        return by_argument(np.maximum(np.abs(np.log(p) - np.log(q)), 1), 0 * p)


def _rescaled(name: str) -> Relation:
    return Relation(f"{name}(s p, s q) = s {name}(p, q)", scaled(0, 1), lambda out, s, *_: s * out)


ENTROPIES: tuple[Spec, ...] = (
    Spec(
        name="nn.entr",
        fn=nn.entr,
        definition=lambda x: -x * jnp.log(x),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.scipy.special:entr",),
        conventions=(
            Convention(
                "zero is the limit from above",
                applies=lambda x: x == 0,
                value=lambda x: 0 * x,
                gradient=lambda x: np.full(x.shape, np.inf),
            ),
            Convention(
                "outside of the domain the value is infinite and has no derivative",
                applies=lambda x: x < 0,
                value=lambda x: np.full(x.shape, -np.inf),
                gradient=lambda x: np.full(x.shape, np.nan),
            ),
        ),
        properties=(
            Bounded("entr(x) <= 1/e", upper=lambda x: jnp.exp(0 * x - 1)),
            Convex("entr is concave", sign=-1),
            Identity("entr(x) = -xlogy(x, x)", lambda x: jnp.where(x < 0, -jnp.inf, -nn.xlogy(x, x))),
        ),
    ),
    Spec(
        name="nn.rel_entr",
        fn=nn.rel_entr,
        definition=lambda p, q: p * jnp.log(p / q),
        signature="(),()->()",
        domain=PAIR,
        peers=("jax.scipy.special:rel_entr",),
        conventions=_divergence_conventions(lambda p, q: 0 * p, 0),
        properties=(
            _rescaled("rel_entr"),
            Bounded("rel_entr(p, q) >= p - q", lower=lambda p, q: jnp.where((p < 0) | (q < 0), 0 * p, p - q)),
        ),
        gradient_scale=_one_or_log_ratio,
    ),
    Spec(
        name="nn.kl_div",
        fn=nn.kl_div,
        definition=lambda p, q: p * jnp.log(p / q) - p + q,
        signature="(),()->()",
        domain=PAIR,
        peers=("jax.scipy.special:kl_div",),
        conventions=_divergence_conventions(lambda p, q: q, 1),
        kinks=(
            Convention(
                "at p = q it is least: a difference of values is no zero there, but of the third order",
                applies=lambda p, q: (p == q) & (p > 0) & np.isfinite(p),
                gradient=lambda p, q: np.zeros((len(p), 2)),
            ),
        ),
        properties=(
            _rescaled("kl_div"),
            Bounded("kl_div(p, q) >= 0", lower=0),
        ),
    ),
)
