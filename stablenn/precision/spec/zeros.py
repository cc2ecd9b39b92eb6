"""The Specs of `stablenn.nn.zeros`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import reflected, scaled
from stablenn.precision.spec.properties import Bounded, Convex, Monotone, Relation
from stablenn.precision.spec.rows import by_argument

ZEROS: tuple[Spec, ...] = (
    Spec(
        name="nn.safe_sqrt",
        fn=nn.safe_sqrt,
        definition=jnp.sqrt,
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.numpy:sqrt",),
        kinks=(
            Convention(
                "the derivative at 0 is 0, by definition",
                applies=lambda x: x == 0,
                gradient=np.zeros_like,
            ),
        ),
        properties=(
            Bounded("safe_sqrt(x) >= 0", lower=0),
            Monotone("safe_sqrt rises"),
            Convex("safe_sqrt is concave", sign=-1),
        ),
    ),
    Spec(
        name="nn.safe_divide",
        fn=nn.safe_divide,
        definition=lambda x, y: x / y,
        signature="(),()->()",
        domain=Domain.parse("x: float; y: float"),
        peers=("jax.numpy:divide",),
        conventions=(
            Convention(
                "infinity by infinity has no limit, and no derivative by the divisor",
                applies=lambda x, y: np.isinf(x) & np.isinf(y),
                gradient=lambda x, y: np.ma.masked_array(
                    np.full((len(x), 2), np.nan), np.tile([True, False], (len(x), 1))
                ),
            ),
        ),
        kinks=(
            Convention(
                "a divisor of 0 gives 0 and no derivative; a dividend of NaN passes through",
                applies=lambda x, y: y == 0,
                value=lambda x, y: np.where(np.isnan(x), x, 0),
                gradient=lambda x, y: by_argument(0 * y, np.where(np.isnan(x), x, 0)),
            ),
        ),
        properties=(
            Relation("safe_divide(s x, s y) = safe_divide(x, y)", scaled(0, 1)),
            Relation("safe_divide(-x, y) = -safe_divide(x, y)", reflected(negate=(0,)), lambda out, *_: -out),
            Relation("safe_divide(-x, -y) = safe_divide(x, y)", reflected(negate=(0, 1))),
        ),
    ),
)
