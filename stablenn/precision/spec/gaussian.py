"""The Specs of `stablenn.nn.gaussian`."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Spec, Variant
from stablenn.precision.spec.moves import reflected
from stablenn.precision.spec.properties import Bounded, Convex, Monotone, Relation
from stablenn.precision.spec.rows import by_argument


def _pi():
    return 4 * jnp.arctan(1.0)


@jax.custom_jvp
def _erfc(x):
    return jax.lax.erfc(x)


@_erfc.defjvp
def _erfc_jvp(primals, tangents):
    """JAX's own rule holds a rounded 2 / sqrt(pi)."""
    (x,), (t,) = primals, tangents
    return _erfc(x), t * (-2 / jnp.sqrt(_pi()) * jnp.exp(-x * x))


def _ndtr(x):
    return _erfc(-x / jnp.sqrt(2.0)) / 2


def _log_ndtr(x):
    """Far left, where balls no longer hold erfc, by the asymptotic series, which is good to 2^-150 there."""
    far = x < -100000
    z = jnp.where(far, -x, 100000)
    u = 1 / (z * z)
    series = 1 - u + 3 * u**2 - 15 * u**3
    return jnp.where(
        far, jnp.log(series / (z * jnp.sqrt(2 * _pi()))) - z * z / 2, jnp.log(_ndtr(jnp.where(far, 0, x)))
    )


def _gelu_tanh(x):
    u = jnp.sqrt(2 / _pi()) * (x + 44715 * x**3 / 1000000)
    return x * (1 + jnp.tanh(u)) / 2


def exactly(gelu, x):
    """The formula without approximation."""
    return gelu(x, approximate=False)


def _larger_term(x):
    """Of the derivative of x Phi(x): Phi(x) or x phi(x)."""
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    share = np.vectorize(lambda v: math.erfc(-v / math.sqrt(2)) / 2, otypes=[float])(x)
    return np.maximum(share, np.abs(x) * density)


def _larger_term_by_tanh(x):
    """The same for the formula with tanh: s(w) or x s'(w) w', where s is the logistic function."""
    a = math.sqrt(8 / math.pi)
    w = a * (x + 0.044715 * x**3)
    small = np.exp(-np.abs(w))
    share = np.where(w < 0, small, 1) / (1 + small)
    return np.maximum(share, np.abs(x) * a * (1 + 3 * 0.044715 * x * x) * small / (1 + small) ** 2)


_BETWEEN = Bounded(
    "min(x, 0) <= gelu(x) <= max(x, 0)", lower=lambda x: jnp.minimum(x, 0), upper=lambda x: jnp.maximum(x, 0)
)
_MIRRORED = Relation("gelu(-x) = gelu(x) - x", reflected(negate=(0,)), lambda out, _, x: out - x)

GAUSSIAN: tuple[Spec, ...] = (
    Spec(
        name="nn.ndtr",
        fn=nn.ndtr,
        definition=_ndtr,
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.scipy.special:ndtr",),
        properties=(
            Bounded("0 <= ndtr(x) <= 1", lower=0, upper=1),
            Monotone("ndtr rises"),
            Relation("ndtr(-x) = 1 - ndtr(x)", reflected(negate=(0,)), lambda out, _, x: 1 - out),
        ),
    ),
    Spec(
        name="nn.log_ndtr",
        fn=nn.log_ndtr,
        definition=_log_ndtr,
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.scipy.special:log_ndtr",),
        properties=(
            Bounded("log_ndtr(x) <= 0", upper=0),
            Bounded("log_ndtr(x) <= -x^2/2 for x < 0", upper=lambda x: -(jnp.minimum(x, 0) ** 2) / 2),
            Monotone("log_ndtr rises"),
            Convex("log_ndtr is concave", sign=-1),
        ),
    ),
    Spec(
        name="nn.gelu",
        fn=nn.gelu,
        definition=_gelu_tanh,
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:gelu",),
        properties=(
            _BETWEEN,
            _MIRRORED,
        ),
        gradient_scale=lambda x: by_argument(_larger_term_by_tanh(x)),
    ),
    Spec(
        name="nn.gelu_exact",
        fn=functools.partial(exactly, nn.gelu),
        variant=Variant("nn.gelu", "with `approximate=False`", exactly),
        definition=lambda x: x * _ndtr(x),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:gelu",),
        properties=(
            _BETWEEN,
            _MIRRORED,
        ),
        gradient_scale=lambda x: by_argument(_larger_term(x)),
    ),
)
