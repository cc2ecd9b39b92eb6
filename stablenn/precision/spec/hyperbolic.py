"""The Specs of `stablenn.nn.hyperbolic`."""

from __future__ import annotations

import jax.numpy as jnp

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Spec
from stablenn.precision.spec.moves import reflected
from stablenn.precision.spec.properties import Bounded, Convex, Monotone, Relation

HYPERBOLIC: tuple[Spec, ...] = (
    Spec(
        name="nn.tanh",
        fn=nn.tanh,
        definition=lambda x: (jnp.exp(x) - jnp.exp(-x)) / (jnp.exp(x) + jnp.exp(-x)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:tanh",),
        properties=(
            Bounded("-1 <= tanh(x) <= 1", lower=-1, upper=1),
            Monotone("tanh rises"),
            Relation("tanh(-x) = -tanh(x)", reflected(negate=(0,)), lambda out, *_: -out),
        ),
    ),
    Spec(
        name="nn.log_cosh",
        fn=nn.log_cosh,
        definition=lambda x: jnp.log((jnp.exp(x) + jnp.exp(-x)) / 2),
        signature="()->()",
        domain=Domain.parse("x: float"),
        properties=(
            Bounded("log_cosh(x) >= 0", lower=0),
            Bounded("log_cosh(x) <= |x|", upper=jnp.abs),
            Convex("log_cosh is convex"),
            Relation("log_cosh(-x) = log_cosh(x)", reflected(negate=(0,))),
        ),
    ),
    Spec(
        name="nn.softcap",
        fn=nn.softcap,
        definition=lambda x, cap: cap * jnp.tanh(x / cap),
        signature="(),()->()",
        domain=Domain.parse("x: float; cap: float in [tiny, max]"),
        properties=(
            Bounded("softcap(x) <= cap", upper=lambda x, cap: cap),
            Monotone("softcap rises"),
            Relation("softcap(-x) = -softcap(x)", reflected(negate=(0,)), lambda out, *_: -out),
        ),
    ),
)
