"""The Specs of `stablenn.nn.gates`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import reflected
from stablenn.precision.spec.properties import Bounded, Relation
from stablenn.precision.spec.rows import by_argument


def _sigmoid(x):
    return 1 / (1 + jnp.exp(-x))


def _slope_scale(x):
    """The larger of s and x s (1 - s), for activations that resemble x sigmoid(x)."""
    share, other = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(x))
    return by_argument(np.maximum(share, np.where(other == 0, 0, np.abs(x) * share * other)))


GATES: tuple[Spec, ...] = (
    Spec(
        name="nn.silu",
        fn=nn.silu,
        definition=lambda x: x * _sigmoid(x),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:silu",),
        properties=(
            Bounded("silu(x) >= min(x, 0)", lower=lambda x: jnp.minimum(x, 0)),
            Bounded("silu(x) <= max(x, 0)", upper=lambda x: jnp.maximum(x, 0)),
            Relation("silu(-x) = silu(x) - x", reflected(negate=(0,)), lambda out, _, x: out - x),
        ),
        gradient_scale=_slope_scale,
    ),
    Spec(
        name="nn.mish",
        fn=nn.mish,
        # x tanh(log(1 + w)) with w = exp(x), in a form whose derivative does not cancel
        definition=lambda x: x / (1 + 2 / (jnp.exp(x) * (jnp.exp(x) + 2))),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:mish",),
        properties=(
            Bounded("mish(x) >= min(x, 0)", lower=lambda x: jnp.minimum(x, 0)),
            Bounded("mish(x) <= max(x, 0)", upper=lambda x: jnp.maximum(x, 0)),
        ),
        gradient_scale=_slope_scale,
    ),
    Spec(
        name="nn.glu",
        fn=nn.glu,
        definition=lambda x: x[:1] * _sigmoid(x[1:]),
        signature="(2)->(1)",
        domain=Domain.parse("x: float[2]"),
        peers=("jax.nn:glu",),
        conventions=(
            Convention(
                "an infinite number stays infinite, however small the gate",
                applies=lambda x: np.isinf(x[:, 0]) & np.isfinite(x[:, 1]),
                value=lambda x: x[:, :1],
                gradient=lambda x: np.ma.masked_array(x[:, [0, 0]], np.broadcast_to([True, False], x.shape)),
            ),
        ),
    ),
)
