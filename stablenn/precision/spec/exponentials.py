"""The Specs of `stablenn.nn.exponentials`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.infinities import no_shares
from stablenn.precision.spec.kinds import Spec
from stablenn.precision.spec.moves import permuted, shifted
from stablenn.precision.spec.properties import Bounded, Masked, Relation, Total

EXPONENTIALS: tuple[Spec, ...] = (
    Spec(
        name="nn.softmax",
        fn=nn.softmax,
        definition=lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x)),
        signature="(n)->(n)",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.nn:softmax",),
        conventions=(no_shares(values=lambda n: n, gradients=lambda n: n * n),),
        properties=(
            Relation("softmax(x + c) = softmax(x)", shifted(0)),
            Relation("softmax of another order", permuted(0), lambda out, order, x: out[order]),
            Bounded("0 <= softmax(x) <= 1", lower=0, upper=1),
            Total("probabilities add up to 1", transform=lambda out: out),
            Masked("a mask is a slice", fill=0.0),
        ),
    ),
    Spec(
        name="nn.log_softmax",
        fn=nn.log_softmax,
        definition=lambda x: jnp.log(jnp.exp(x) / jnp.sum(jnp.exp(x))),
        signature="(n)->(n)",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.nn:log_softmax",),
        conventions=(no_shares(values=lambda n: n, gradients=lambda n: n * n),),
        properties=(
            Relation("log_softmax(x + c) = log_softmax(x)", shifted(0)),
            Relation("log_softmax of another order", permuted(0), lambda out, order, x: out[order]),
            Bounded("log_softmax(x) <= 0", upper=0),
            Total("probabilities add up to 1", transform=np.exp),
            Masked("a mask is a slice", fill=-np.inf),
        ),
    ),
)
