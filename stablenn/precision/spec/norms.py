"""The Specs of `stablenn.nn.norms`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.infinities import several_of_any_sign
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import permuted, reflected, scaled
from stablenn.precision.spec.properties import Bounded, Convex, Relation

NORMS: tuple[Spec, ...] = (
    Spec(
        name="nn.norm",
        fn=nn.norm,
        definition=lambda x: jnp.sqrt(jnp.sum(x * x)),
        signature="(n)->()",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.numpy.linalg:norm",),
        conventions=(
            Convention(
                "several infinities give no direction",
                applies=several_of_any_sign,
                gradient=lambda x: np.full(x.shape, np.nan),
            ),
        ),
        kinks=(
            Convention(
                "the gradient at 0 is 0, the smallest of the subgradients",
                applies=lambda x: np.all(x == 0, -1),
                gradient=np.zeros_like,
            ),
        ),
        properties=(
            Relation("norm(s x) = s norm(x)", scaled(0), lambda out, s, x: s * out),
            Relation("norm(-x) = norm(x)", reflected(negate=(0,))),
            Relation("norm does not depend on the order", permuted(0)),
            Bounded("norm(x) >= max|x|", lower=lambda x: jnp.max(jnp.abs(x))),
            Convex("norm is convex"),
        ),
    ),
)
