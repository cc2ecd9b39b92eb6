"""The Specs of `stablenn.nn.linear_units`."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.properties import Bounded, Convex, Monotone
from stablenn.precision.spec.rows import by_argument


def _alpha():
    """That of Klambauer et al., equation 14."""
    return -jnp.sqrt(2 / (4 * jnp.arctan(1.0))) / (jax.lax.erfc(jnp.sqrt(1 / 2)) * jnp.exp(1 / 2) - 1)


def _selu_scale():
    pi, root, two = 4 * jnp.arctan(1.0), jax.lax.erfc(jnp.sqrt(1 / 2)), jax.lax.erfc(jnp.sqrt(2.0))
    factor = (1 - root * jnp.exp(1 / 2)) * jnp.sqrt(2 * pi)
    e = jnp.exp(1.0)
    return factor / jnp.sqrt(2 * two * e**2 + pi * root**2 * e - 2 * (2 + pi) * root * jnp.exp(1 / 2) + pi + 2)


LINEAR_UNITS: tuple[Spec, ...] = (
    Spec(
        name="nn.elu",
        fn=nn.elu,
        definition=lambda x, alpha: jnp.where(x > 0, x, alpha * (jnp.exp(x) - 1)),
        signature="(),()->()",
        domain=Domain.parse("x: float; alpha: float in [-max, max]"),
        peers=("jax.nn:elu",),
        kinks=(
            Convention(
                "at 0 the derivative is that to the left",
                applies=lambda x, alpha: x == 0,
                gradient=lambda x, alpha: by_argument(alpha, 0 * alpha),
            ),
        ),
    ),
    Spec(
        name="nn.celu",
        fn=nn.celu,
        definition=lambda x, alpha: jnp.where(x > 0, x, alpha * (jnp.exp(x / alpha) - 1)),
        signature="(),()->()",
        domain=Domain.parse("x: float; alpha: float in [tiny, max]"),
        peers=("jax.nn:celu",),
        properties=(
            Bounded("celu(x) >= -alpha", lower=lambda x, alpha: -alpha),
            Monotone("celu rises"),
        ),
    ),
    Spec(
        name="nn.selu",
        fn=nn.selu,
        definition=lambda x: _selu_scale() * jnp.where(x > 0, x, _alpha() * (jnp.exp(x) - 1)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:selu",),
        kinks=(
            Convention(
                "at 0 the derivative is that to the left",
                applies=lambda x: x == 0,
                gradient=lambda x: np.full(x.shape, 1.7580993408473768599),
            ),
        ),
        properties=(Monotone("selu rises"),),
    ),
    Spec(
        name="nn.squareplus",
        fn=nn.squareplus,
        definition=lambda x, b: jnp.where(x < 0, b / (2 * (jnp.sqrt(x * x + b) - x)), (x + jnp.sqrt(x * x + b)) / 2),
        signature="(),()->()",
        domain=Domain.parse("x: float; b: float in [tiny, max]"),
        peers=("jax.nn:squareplus",),
        conventions=(
            Convention(
                "at infinity it is the identity",
                applies=lambda x, b: x == np.inf,
                gradient=lambda x, b: by_argument(1 + 0 * b, 0 * b),
            ),
        ),
        properties=(
            Bounded("squareplus(x) >= max(x, 0)", lower=lambda x, b: jnp.maximum(x, 0)),
            Monotone("squareplus rises", positions=(0, 1)),
            Convex("squareplus is convex"),
        ),
    ),
)
