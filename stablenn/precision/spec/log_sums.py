"""The Specs of `stablenn.nn.log_sums`."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.infinities import no_shares
from stablenn.precision.spec.kinds import Convention, Spec, Variant
from stablenn.precision.spec.moves import permuted, shifted
from stablenn.precision.spec.properties import Bounded, Convex, Masked, Monotone, Relation
from stablenn.precision.spec.rows import largest_of


def with_factors(logsumexp, a, b, where=None):
    """The logarithm of the absolute value of a sum with factors."""
    return logsumexp(a, b=b, where=where, return_sign=True)[0]


def _largest_part(a, b):
    """The largest logit, or logarithm of a factor: the result is a sum of both."""
    return largest_of(a, np.log(b))


_NOTHING = Convention(
    "a sum of nothing has no gradient",
    applies=lambda x: np.all(x == -np.inf, -1),
    gradient=np.zeros_like,
)

LOG_SUMS: tuple[Spec, ...] = (
    Spec(
        name="nn.logsumexp",
        fn=nn.logsumexp,
        definition=lambda x: jnp.log(jnp.sum(jnp.exp(x))),
        signature="(n)->()",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.scipy.special:logsumexp",),
        conventions=(
            _NOTHING,
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
        # factors of both signs cancel: tests/nn/test_factors.py measures them beside the largest term
        domain=Domain.parse("a: float[8] in [-inf, max]; b: float[8] in [tiny, max]"),
        peers=("jax.scipy.special:logsumexp",),
        conventions=(
            Convention(
                "a sum of nothing has no gradient",
                applies=lambda a, b: np.all(a == -np.inf, -1),
                gradient=lambda a, b: np.zeros((len(a), 2 * a.shape[-1])),
            ),
            no_shares(values=None, gradients=lambda n: 2 * n),
        ),
        properties=(
            Relation("logsumexp(a + c, b) = logsumexp(a, b) + c", shifted(0), lambda out, c, a, b: out + c),
            Monotone("logsumexp rises in every entry and factor", positions=(0, 1)),
            Masked("a mask is a slice"),
        ),
        value_scale=_largest_part,
    ),
    Spec(
        name="nn.logmeanexp",
        fn=nn.logmeanexp,
        definition=lambda x: jnp.log(jnp.sum(jnp.exp(x)) / x.size),
        signature="(n)->()",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.nn:logmeanexp",),
        conventions=(_NOTHING, no_shares(values=None, gradients=lambda n: n)),
        properties=(
            Relation("logmeanexp(x + c) = logmeanexp(x) + c", shifted(0), lambda out, c, x: out + c),
            Relation("logmeanexp does not depend on the order", permuted(0)),
            Bounded("min(x) <= logmeanexp(x) <= max(x)", lower=jnp.min, upper=jnp.max),
            Monotone("logmeanexp rises in every entry"),
            Masked("a mask is a slice"),
        ),
        value_scale=largest_of,
    ),
)
