"""The Specs of `stablenn.nn.logistic`."""

from __future__ import annotations

import jax.numpy as jnp

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Spec
from stablenn.precision.spec.moves import reflected
from stablenn.precision.spec.properties import Bounded, Convex, Identity, Monotone, Relation

LOGISTIC: tuple[Spec, ...] = (
    Spec(
        name="nn.sigmoid",
        fn=nn.sigmoid,
        definition=lambda x: 1 / (1 + jnp.exp(-x)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:sigmoid",),
        properties=(
            Bounded("0 <= sigmoid(x) <= 1", lower=0, upper=1),
            Monotone("sigmoid rises"),
            Relation("sigmoid(-x) = 1 - sigmoid(x)", reflected(negate=(0,)), lambda out, _, x: 1 - out),
        ),
    ),
    Spec(
        name="nn.log_sigmoid",
        fn=nn.log_sigmoid,
        definition=lambda x: -jnp.log(1 + jnp.exp(-x)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:log_sigmoid",),
        properties=(
            Bounded("log_sigmoid(x) <= min(x, 0)", upper=lambda x: jnp.minimum(x, 0)),
            Monotone("log_sigmoid rises"),
            Convex("log_sigmoid is concave", sign=-1),
            Relation("log_sigmoid(-x) = log_sigmoid(x) - x", reflected(negate=(0,)), lambda out, _, x: out - x),
            Identity("log_sigmoid(x) = -softplus(-x)", lambda x: -nn.softplus(-x)),
        ),
    ),
    Spec(
        name="nn.softplus",
        fn=nn.softplus,
        definition=lambda x: jnp.log(1 + jnp.exp(x)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:softplus",),
        properties=(
            Bounded("softplus(x) >= 0", lower=0),
            Bounded("softplus(x) >= x", lower=lambda x: x),
            Monotone("softplus rises"),
            Convex("softplus is convex"),
            Relation("softplus(-x) = softplus(x) - x", reflected(negate=(0,)), lambda out, _, x: out - x),
            Identity("softplus(x) = logaddexp(x, 0)", lambda x: nn.logaddexp(x, jnp.zeros_like(x))),
        ),
    ),
)
