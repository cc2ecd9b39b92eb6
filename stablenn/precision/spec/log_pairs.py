"""The Specs of `stablenn.nn.log_pairs`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import shifted, swapped
from stablenn.precision.spec.properties import Bounded, Convex, Identity, Monotone, Relation
from stablenn.precision.spec.rows import largest_of

LOG_PAIRS: tuple[Spec, ...] = (
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
        name="nn.logsubexp",
        fn=nn.logsubexp,
        definition=lambda x1, x2: jnp.log(jnp.exp(x1) - jnp.exp(x2)),
        signature="(),()->()",
        domain=Domain.parse("x1: float; x2: float"),
        properties=(
            Relation("logsubexp(x1 + c, x2 + c) = logsubexp(x1, x2) + c", shifted(0, 1), lambda out, c, *_: out + c),
            Monotone("logsubexp rises in its first argument", positions=(0,)),
            Monotone("logsubexp falls in its second argument", positions=(1,), sign=-1),
        ),
        conventions=(
            Convention(
                "where the logarithm is NaN, so is its derivative",
                applies=lambda x1, x2: x1 < x2,
                gradient=lambda x1, x2: np.full((len(x1), 2), np.nan),
            ),
            Convention(
                "equal numbers are approached from above",
                applies=lambda x1, x2: (x1 == x2) & (np.abs(x1) < np.inf),
                gradient=lambda x1, x2: np.full((len(x1), 2), [np.inf, -np.inf]),
            ),
            Convention(
                "the difference of two infinities has no limit",
                applies=lambda x1, x2: (x1 == np.inf) & (x2 == np.inf),
                value=lambda x1, x2: np.full(len(x1), np.nan),
                gradient=lambda x1, x2: np.full((len(x1), 2), np.nan),
            ),
            Convention(
                "a difference of nothing has no gradient",
                applies=lambda x1, x2: (x1 == -np.inf) & (x2 == -np.inf),
                value=lambda x1, x2: np.full(len(x1), -np.inf),
                gradient=lambda x1, x2: np.zeros((len(x1), 2)),
            ),
        ),
        value_scale=largest_of,
    ),
)
