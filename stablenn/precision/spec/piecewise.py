"""The Specs of `stablenn.nn.piecewise`, and of what `stablenn.nn` takes from `jax.nn`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import reflected, scaled
from stablenn.precision.spec.properties import Bounded, Convex, Identity, Monotone, Relation
from stablenn.precision.spec.rows import by_argument

NUMBER = Domain.parse("x: float")


def _kinks(*slopes: tuple[float, float]) -> Convention:
    """Where two pieces meet, and which slope JAX has there."""
    where = dict(slopes)
    return Convention(
        "where two pieces meet the slope is that of jax.nn",
        applies=lambda x: np.isin(x, list(where)),
        gradient=lambda x: np.array([where[float(v)] for v in x]),
    )


def _nan_slope(slope: float) -> Convention:
    return Convention(
        "which piece a NaN lies on is not known: its slope is that of jax.nn",
        applies=np.isnan,
        gradient=lambda x: np.full(x.shape, slope),
    )


def _between(x, low, high, inside):
    """`inside` between low and high; 0 below, and 1 above."""
    return jnp.where(x <= low, 0, jnp.where(x >= high, 1, inside))


PIECEWISE: tuple[Spec, ...] = (
    Spec(
        name="nn.relu",
        fn=nn.relu,
        definition=lambda x: jnp.maximum(x, 0),
        signature="()->()",
        domain=NUMBER,
        peers=("jax.nn:relu",),
        kinks=(_kinks((0, 0)), _nan_slope(0)),
        properties=(
            Bounded("relu(x) >= 0", lower=0),
            Bounded("relu(x) >= x", lower=lambda x: x),
            Monotone("relu rises"),
            Convex("relu is convex"),
            Relation("relu(s x) = s relu(x)", scaled(0), lambda out, s, x: s * out),
            Relation("relu(-x) = relu(x) - x", reflected(negate=(0,)), lambda out, _, x: out - x),
        ),
    ),
    Spec(
        name="nn.relu6",
        fn=nn.relu6,
        definition=lambda x: jnp.minimum(jnp.maximum(x, 0), 6),
        signature="()->()",
        domain=NUMBER,
        peers=("jax.nn:relu6",),
        kinks=(_kinks((0, 0), (6, 0)), _nan_slope(0)),
        properties=(
            Bounded("0 <= relu6(x) <= 6", lower=0, upper=6),
            Monotone("relu6 rises"),
            Identity("relu6(x) = min(relu(x), 6)", lambda x: jnp.minimum(nn.relu(x), 6)),
        ),
    ),
    Spec(
        name="nn.leaky_relu",
        fn=nn.leaky_relu,
        definition=lambda x, negative_slope: jnp.where(x >= 0, x, negative_slope * x),
        signature="(),()->()",
        domain=Domain.parse("x: float; negative_slope: float"),
        peers=("jax.nn:leaky_relu",),
        kinks=(
            Convention(
                "the slope at 0 is that of positive numbers",
                applies=lambda x, negative_slope: x == 0,
                gradient=lambda x, negative_slope: by_argument(np.ones_like(x), np.zeros_like(x)),
            ),
            Convention(
                "a slope of NaN says nothing about positive numbers",
                applies=lambda x, negative_slope: (x >= 0) & np.isnan(negative_slope),
                gradient=lambda x, negative_slope: by_argument(np.ones_like(x), np.zeros_like(x)),
            ),
        ),
        properties=(
            Relation(
                "leaky_relu(s x, negative_slope) = s leaky_relu(x, negative_slope)",
                scaled(0),
                lambda out, s, *_: s * out,
            ),
            Identity(
                "leaky_relu(x, negative_slope) = relu(x) - negative_slope relu(-x)",
                lambda x, negative_slope: nn.relu(x) - negative_slope * nn.relu(-x),
            ),
        ),
    ),
    Spec(
        name="nn.hard_sigmoid",
        fn=nn.hard_sigmoid,
        definition=lambda x: _between(x, -3, 3, (x + 3) / 6),
        signature="()->()",
        domain=NUMBER,
        peers=("jax.nn:hard_sigmoid",),
        kinks=(_kinks((-3, 0), (3, 0)),),
        properties=(
            Bounded("0 <= hard_sigmoid(x) <= 1", lower=0, upper=1),
            Monotone("hard_sigmoid rises"),
            Relation("hard_sigmoid(-x) = 1 - hard_sigmoid(x)", reflected(negate=(0,)), lambda out, _, x: 1 - out),
        ),
    ),
    Spec(
        name="nn.hard_silu",
        fn=nn.hard_silu,
        definition=lambda x: jnp.where(x <= -3, 0, jnp.where(x >= 3, x, x * (x + 3) / 6)),
        signature="()->()",
        domain=NUMBER,
        peers=("jax.nn:hard_silu", "jax.nn:hard_swish"),
        kinks=(_kinks((-3, 0), (3, 1)),),
        properties=(
            Bounded("hard_silu(x) >= -3/8", lower=lambda x: -3 / (8 + 0 * x)),
            Relation("hard_silu(-x) = hard_silu(x) - x", reflected(negate=(0,)), lambda out, _, x: out - x),
        ),
    ),
    Spec(
        name="nn.hard_tanh",
        fn=nn.hard_tanh,
        definition=lambda x: jnp.maximum(jnp.minimum(x, 1), -1),
        signature="()->()",
        domain=NUMBER,
        peers=("jax.nn:hard_tanh",),
        kinks=(_kinks((-1, 1), (1, 1)), _nan_slope(1)),
        properties=(
            Bounded("-1 <= hard_tanh(x) <= 1", lower=-1, upper=1),
            Monotone("hard_tanh rises"),
            Relation("hard_tanh(-x) = -hard_tanh(x)", reflected(negate=(0,)), lambda out, *_: -out),
        ),
    ),
    Spec(
        name="nn.sparse_plus",
        fn=nn.sparse_plus,
        definition=lambda x: jnp.where(x <= -1, 0, jnp.where(x >= 1, x, (x + 1) * (x + 1) / 4)),
        signature="()->()",
        domain=NUMBER,
        peers=("jax.nn:sparse_plus",),
        kinks=(_kinks((-1, 0), (1, 1)),),
        properties=(
            Bounded("sparse_plus(x) >= 0", lower=0),
            Bounded("sparse_plus(x) >= x", lower=lambda x: x),
            Monotone("sparse_plus rises"),
            Convex("sparse_plus is convex"),
            Relation("sparse_plus(-x) = sparse_plus(x) - x", reflected(negate=(0,)), lambda out, _, x: out - x),
        ),
    ),
    Spec(
        name="nn.sparse_sigmoid",
        fn=nn.sparse_sigmoid,
        definition=lambda x: _between(x, -1, 1, (x + 1) / 2),
        signature="()->()",
        domain=NUMBER,
        peers=("jax.nn:sparse_sigmoid",),
        kinks=(_kinks((-1, 0.25), (1, 0.25)), _nan_slope(0)),
        properties=(
            Bounded("0 <= sparse_sigmoid(x) <= 1", lower=0, upper=1),
            Monotone("sparse_sigmoid rises"),
            Relation("sparse_sigmoid(-x) = 1 - sparse_sigmoid(x)", reflected(negate=(0,)), lambda out, _, x: 1 - out),
        ),
    ),
    Spec(
        name="nn.soft_sign",
        fn=nn.soft_sign,
        definition=lambda x: x / (1 + jnp.abs(x)),
        signature="()->()",
        domain=NUMBER,
        peers=("jax.nn:soft_sign",),
        properties=(
            Bounded("-1 <= soft_sign(x) <= 1", lower=-1, upper=1),
            Monotone("soft_sign rises"),
            Relation("soft_sign(-x) = -soft_sign(x)", reflected(negate=(0,)), lambda out, *_: -out),
        ),
    ),
)
