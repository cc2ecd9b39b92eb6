"""The Specs of `stablenn.nn.logarithms`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import reflected
from stablenn.precision.spec.properties import Bounded, Convex, Monotone, Relation
from stablenn.precision.spec.rows import by_argument


def _product_conventions(offset: int, inverse: str) -> tuple[Convention, ...]:
    """Those of x log(y + offset)."""
    return (
        Convention(
            "a factor of 0 counts as nothing, unless the other argument is NaN",
            applies=lambda x, y: (x == 0) & ~np.isnan(y),
            value=lambda x, y: 0 * x,
            gradient=lambda x, y: np.ma.masked_array(np.zeros((len(x), 2)), np.tile([True, False], (len(x), 1))),
        ),
        Convention(
            "an infinite factor of log(1) has no limit",
            applies=lambda x, y: np.isinf(x) & (y == 1 - offset),
            value=lambda x, y: x * np.nan,
        ),
        Convention(
            f"where the logarithm is NaN, so is {inverse}",
            applies=lambda x, y: (y + offset < 0) & (x != 0),
            gradient=lambda x, y: np.full((len(x), 2), np.nan),
        ),
        Convention(
            "zero is approached from above, whatever its sign",
            applies=lambda x, y: (y + offset == 0) & (x != 0),
            gradient=lambda x, y: np.ma.masked_array(by_argument(x, x * np.inf), np.tile([True, False], (len(x), 1))),
        ),
    )


LOGARITHMS: tuple[Spec, ...] = (
    Spec(
        name="nn.clipped_log",
        fn=nn.clipped_log,
        definition=lambda x, min_value: jnp.log(jnp.maximum(x, min_value)),
        signature="(),()->()",
        domain=Domain.parse("x: float; min_value: float in [tiny, 1]"),
        kinks=(
            Convention(
                "at x = min_value the derivative is that of log(x)",
                applies=lambda x, min_value: x == min_value,
                gradient=lambda x, min_value: by_argument(1 / x, 0 * x),
            ),
            Convention(
                "a NaN says nothing about the derivative with respect to min_value",
                applies=lambda x, min_value: np.isnan(x),
                gradient=lambda x, min_value: by_argument(x, 0 * min_value),
            ),
        ),
        properties=(
            Bounded("clipped_log(x, m) >= log(m)", lower=lambda x, min_value: jnp.log(min_value)),
            Monotone("clipped_log rises", positions=(0, 1)),
        ),
    ),
    Spec(
        name="nn.log1mexp",
        fn=nn.log1mexp,
        definition=lambda x: jnp.log(1 - jnp.exp(-x)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:log1mexp",),
        conventions=(
            Convention(
                "where the logarithm is NaN, so is its derivative",
                applies=lambda x: x < 0,
                gradient=lambda x: x * np.nan,
            ),
        ),
        properties=(
            Bounded("log1mexp(x) <= 0", upper=0),
            Monotone("log1mexp rises"),
            Convex("log1mexp is concave", sign=-1),
        ),
    ),
    Spec(
        name="nn.xlogy",
        fn=nn.xlogy,
        definition=lambda x, y: x * jnp.log(y),
        signature="(),()->()",
        domain=Domain.parse("x: float; y: float"),
        peers=("jax.scipy.special:xlogy",),
        conventions=_product_conventions(0, "x / y"),
        properties=(Relation("xlogy(-x, y) = -xlogy(x, y)", reflected(negate=(0,)), lambda out, *_: -out),),
    ),
    Spec(
        name="nn.xlog1py",
        fn=nn.xlog1py,
        definition=lambda x, y: x * jnp.log(1 + y),
        signature="(),()->()",
        domain=Domain.parse("x: float; y: float"),
        peers=("jax.scipy.special:xlog1py",),
        conventions=_product_conventions(1, "x / (1 + y)"),
        properties=(Relation("xlog1py(-x, y) = -xlog1py(x, y)", reflected(negate=(0,)), lambda out, *_: -out),),
    ),
)
