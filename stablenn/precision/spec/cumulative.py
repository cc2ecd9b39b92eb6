"""The Specs of `stablenn.nn.cumulative`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.infinities import no_shares
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import shifted
from stablenn.precision.spec.properties import Relation


def _zero_before_the_first_number(x):
    """The Jacobian, masked where the formula is right."""
    nothing = np.maximum.accumulate(x, -1) == -np.inf
    counted = np.broadcast_to(~nothing[:, :, None], (*x.shape, x.shape[-1]))
    return np.ma.masked_array(np.zeros(counted.shape), counted).reshape(len(x), -1)


CUMULATIVE: tuple[Spec, ...] = (
    Spec(
        name="nn.logcumsumexp",
        fn=nn.logcumsumexp,
        definition=lambda x: jnp.log(jnp.cumsum(jnp.exp(x))),
        signature="(n)->(n)",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.lax:cumlogsumexp",),
        conventions=(
            Convention(
                "a sum of nothing has no gradient",
                applies=lambda x: np.all(x[:, :1] == -np.inf, -1),
                gradient=_zero_before_the_first_number,
            ),
            no_shares(values=None, gradients=lambda n: n * n),
            Convention(
                "NaN takes the gradients of the whole row, since its products with zero are NaN",
                applies=lambda x: np.isnan(x).any(-1),
                gradient=lambda x: np.full((len(x), x.shape[-1] ** 2), np.nan),
            ),
        ),
        properties=(Relation("logcumsumexp(x + c) = logcumsumexp(x) + c", shifted(0), lambda out, c, x: out + c),),
        value_scale=lambda x: np.maximum.accumulate(np.where(np.isfinite(x), np.abs(x), 0), -1),
    ),
)
