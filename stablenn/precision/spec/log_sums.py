"""The Specs of `stablenn.nn.log_sums`."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.infinities import no_shares
from stablenn.precision.spec.kinds import Convention, Spec, Variant
from stablenn.precision.spec.moves import permuted, shifted, swapped
from stablenn.precision.spec.properties import Bounded, Convex, Identity, Masked, Monotone, Relation
from stablenn.precision.spec.rows import largest_of


def with_factors(logsumexp, a, b, where=None):
    """The logarithm of the absolute value of a sum with factors."""
    return logsumexp(a, b=b, where=where, return_sign=True)[0]


LOG_SUMS: tuple[Spec, ...] = (
    Spec(
        name="nn.logaddexp",
        fn=nn.logaddexp,
        definition=lambda x1, x2: jnp.log(jnp.exp(x1) + jnp.exp(x2)),
        signature="(),()->()",
        domain=Domain.parse("x1: float; x2: float"),
        peers=("jax.numpy:logaddexp",),
        conventions=(
            Convention(
                "a sum of nothing has no gradient",
                applies=lambda x1, x2: (x1 == -np.inf) & (x2 == -np.inf),
                gradient=lambda x1, x2: np.zeros((len(x1), 2)),
            ),
        ),
        properties=(
            Relation("logaddexp(x2, x1) = logaddexp(x1, x2)", swapped(0, 1)),
            Relation("logaddexp(x1 + c, x2 + c) = logaddexp(x1, x2) + c", shifted(0, 1), lambda out, c, *_: out + c),
            Bounded("logaddexp(x1, x2) >= max(x1, x2)", lower=jnp.maximum),
            Monotone("logaddexp rises", positions=(0, 1)),
            Convex("logaddexp is convex", positions=(0, 1)),
            Identity("logaddexp is logsumexp of two", lambda x1, x2: nn.logsumexp(jnp.stack([x1, x2]))),
        ),
        value_scale=largest_of,
    ),
    Spec(
        name="nn.logsumexp",
        fn=nn.logsumexp,
        definition=lambda x: jnp.log(jnp.sum(jnp.exp(x))),
        signature="(n)->()",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.scipy.special:logsumexp",),
        conventions=(
            Convention(
                "a sum of nothing has no gradient",
                applies=lambda x: np.all(x == -np.inf, -1),
                gradient=np.zeros_like,
            ),
            no_shares(values=None, gradients=lambda n: n),
        ),
        properties=(
            Relation("logsumexp(x + c) = logsumexp(x) + c", shifted(0), lambda out, c, x: out + c),
            Relation("logsumexp does not depend on the order", permuted(0)),
            Bounded("logsumexp(x) >= max(x)", lower=jnp.max),
            Monotone("logsumexp rises in every entry"),
            Convex("logsumexp is convex"),
            Masked("a mask is a slice"),
        ),
        value_scale=largest_of,
    ),
    Spec(
        name="nn.logsumexp_with_factors",
        fn=functools.partial(with_factors, nn.logsumexp),
        variant=Variant("nn.logsumexp", "with factors `b`", with_factors),
        definition=lambda a, b: jnp.log(jnp.abs(jnp.sum(b * jnp.exp(a)))),
        signature="(n),(n)->()",
        domain=Domain.parse("a: float[8] in [-100, 100]; b: float[8] in [0.5, 2]"),
        peers=("jax.scipy.special:logsumexp",),
        value_scale=largest_of,
    ),
)
