"""The Specs of `stablenn.nn.inverses`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import reflected
from stablenn.precision.spec.properties import Bounded, Convex, Monotone, Relation


def _outside(p):
    return (p < 0) | (p > 1)


INVERSES: tuple[Spec, ...] = (
    Spec(
        name="nn.softplus_inverse",
        fn=nn.softplus_inverse,
        definition=lambda x: jnp.log(jnp.exp(x) - 1),
        signature="()->()",
        domain=Domain.parse("x: float"),
        conventions=(
            Convention(
                "where the logarithm is NaN, so is its derivative",
                applies=lambda x: x < 0,
                gradient=lambda x: x * np.nan,
            ),
            Convention(
                "zero is approached from above, whatever its sign",
                applies=lambda x: x == 0,
                gradient=lambda x: np.full(x.shape, np.inf),
            ),
        ),
        properties=(
            Bounded("softplus_inverse(x) <= x", upper=lambda x: x),
            Monotone("softplus_inverse rises"),
            Convex("softplus_inverse is concave", sign=-1),
        ),
    ),
    Spec(
        name="nn.logit",
        fn=nn.logit,
        definition=lambda x: jnp.log(x) - jnp.log(1 - x),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.scipy.special:logit",),
        conventions=(
            Convention(
                "what is no probability has no odds, and they have no derivative",
                applies=_outside,
                gradient=lambda p: p * np.nan,
            ),
            Convention(
                "zero is approached from above, whatever its sign",
                applies=lambda p: p == 0,
                gradient=lambda p: np.full(p.shape, np.inf),
            ),
        ),
        properties=(
            Monotone("logit rises"),
            Relation("logit(1 - x) = -logit(x)", reflected(complement=(0,)), lambda out, _, x: -out),
        ),
    ),
)
