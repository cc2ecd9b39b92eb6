"""The Specs of `stablenn.nn`."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.infinities import no_shares
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import permuted, reflected, scaled, shifted, swapped
from stablenn.precision.spec.properties import Bounded, Convex, Identity, Masked, Monotone, Relation, Total


def _largest(*columns):
    """The largest finite magnitude of each row."""
    flat = (c.reshape(len(c), math.prod(c.shape[1:])) for c in columns)
    return np.max([np.where(np.isfinite(c), np.abs(c), 0).max(-1, initial=0) for c in flat], 0)


def _gradients(*columns):
    return np.stack(columns, -1)


def _outside(p):
    return (p < 0) | (p > 1)


def _several_infinite(x):
    return np.sum(np.isinf(x), -1) > 1


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
            gradient=lambda x, y: np.ma.masked_array(_gradients(x, x * np.inf), np.tile([True, False], (len(x), 1))),
        ),
    )


_UNIVARIATE = (
    Spec(
        name="nn.sigmoid",
        fn=nn.sigmoid,
        definition=lambda x: 1 / (1 + jnp.exp(-x)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:sigmoid",),
        properties=(
            Bounded("0 <= sigmoid(x) <= 1", lower=0, upper=1),
            Monotone("sigmoid rises"),
            Relation("sigmoid(-x) = 1 - sigmoid(x)", reflected(negate=(0,)), lambda out, _, x: 1 - out),
        ),
    ),
    Spec(
        name="nn.log_sigmoid",
        fn=nn.log_sigmoid,
        definition=lambda x: -jnp.log(1 + jnp.exp(-x)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:log_sigmoid",),
        properties=(
            Bounded("log_sigmoid(x) <= min(x, 0)", upper=lambda x: jnp.minimum(x, 0)),
            Monotone("log_sigmoid rises"),
            Convex("log_sigmoid is concave", sign=-1),
            Relation("log_sigmoid(-x) = log_sigmoid(x) - x", reflected(negate=(0,)), lambda out, _, x: out - x),
            Identity("log_sigmoid(x) = -softplus(-x)", lambda x: -nn.softplus(-x)),
        ),
    ),
    Spec(
        name="nn.softplus",
        fn=nn.softplus,
        definition=lambda x: jnp.log(1 + jnp.exp(x)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:softplus",),
        properties=(
            Bounded("softplus(x) >= 0", lower=0),
            Bounded("softplus(x) >= x", lower=lambda x: x),
            Monotone("softplus rises"),
            Convex("softplus is convex"),
            Relation("softplus(-x) = softplus(x) - x", reflected(negate=(0,)), lambda out, _, x: out - x),
            Identity("softplus(x) = logaddexp(x, 0)", lambda x: nn.logaddexp(x, jnp.zeros_like(x))),
        ),
    ),
    Spec(
        name="nn.logit",
        fn=nn.logit,
        definition=lambda x: jnp.log(x) - jnp.log(1 - x),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.scipy.special:logit",),
        conventions=(
            Convention(
                "what is no probability has no odds, and they have no derivative",
                applies=_outside,
                gradient=lambda p: p * np.nan,
            ),
            Convention(
                "zero is approached from above, whatever its sign",
                applies=lambda p: p == 0,
                gradient=lambda p: np.full(p.shape, np.inf),
            ),
        ),
        properties=(
            Monotone("logit rises"),
            Relation("logit(1 - x) = -logit(x)", reflected(complement=(0,)), lambda out, _, x: -out),
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
        name="nn.clipped_log",
        fn=nn.clipped_log,
        definition=lambda x, min_value: jnp.log(jnp.maximum(x, min_value)),
        signature="(),()->()",
        domain=Domain.parse("x: float; min_value: float in [tiny, 1]"),
        kinks=(
            Convention(
                "at x = min_value the derivative is that of log(x)",
                applies=lambda x, min_value: x == min_value,
                gradient=lambda x, min_value: _gradients(1 / x, 0 * x),
            ),
            Convention(
                "a NaN says nothing about the derivative with respect to min_value",
                applies=lambda x, min_value: np.isnan(x),
                gradient=lambda x, min_value: _gradients(x, 0 * min_value),
            ),
        ),
        properties=(
            Bounded("clipped_log(x, m) >= log(m)", lower=lambda x, min_value: jnp.log(min_value)),
            Monotone("clipped_log rises", positions=(0, 1)),
        ),
    ),
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
)

_BIVARIATE = (
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
        value_scale=_largest,
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
                gradient=lambda x, y: _gradients(0 * y, np.where(np.isnan(x), x, 0)),
            ),
        ),
        properties=(
            Relation("safe_divide(s x, s y) = safe_divide(x, y)", scaled(0, 1)),
            Relation("safe_divide(-x, y) = -safe_divide(x, y)", reflected(negate=(0,)), lambda out, *_: -out),
            Relation("safe_divide(-x, -y) = safe_divide(x, y)", reflected(negate=(0, 1))),
        ),
    ),
)

_VECTORS = (
    Spec(
        name="nn.logsumexp",
        fn=nn.logsumexp,
        definition=lambda x: jnp.log(jnp.sum(jnp.exp(x))),
        signature="(n)->()",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.scipy.special:logsumexp",),
        conventions=(
            Convention(
                "a sum of nothing has no gradient",
                applies=lambda x: np.all(x == -np.inf, -1),
                gradient=np.zeros_like,
            ),
            no_shares(values=None, gradients=lambda n: n),
        ),
        properties=(
            Relation("logsumexp(x + c) = logsumexp(x) + c", shifted(0), lambda out, c, x: out + c),
            Relation("logsumexp does not depend on the order", permuted(0)),
            Bounded("logsumexp(x) >= max(x)", lower=jnp.max),
            Monotone("logsumexp rises in every entry"),
            Convex("logsumexp is convex"),
            Masked("a mask is a slice"),
        ),
        value_scale=_largest,
    ),
    Spec(
        name="nn.softmax",
        fn=nn.softmax,
        definition=lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x)),
        signature="(n)->(n)",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.nn:softmax",),
        conventions=(no_shares(values=lambda n: n, gradients=lambda n: n * n),),
        properties=(
            Relation("softmax(x + c) = softmax(x)", shifted(0)),
            Relation("softmax of another order", permuted(0), lambda out, order, x: out[order]),
            Bounded("0 <= softmax(x) <= 1", lower=0, upper=1),
            Total("probabilities add up to 1", transform=lambda out: out),
            Masked("a mask is a slice", fill=0.0),
        ),
    ),
    Spec(
        name="nn.log_softmax",
        fn=nn.log_softmax,
        definition=lambda x: jnp.log(jnp.exp(x) / jnp.sum(jnp.exp(x))),
        signature="(n)->(n)",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.nn:log_softmax",),
        conventions=(no_shares(values=lambda n: n, gradients=lambda n: n * n),),
        properties=(
            Relation("log_softmax(x + c) = log_softmax(x)", shifted(0)),
            Relation("log_softmax of another order", permuted(0), lambda out, order, x: out[order]),
            Bounded("log_softmax(x) <= 0", upper=0),
            Total("probabilities add up to 1", transform=np.exp),
            Masked("a mask is a slice", fill=-np.inf),
        ),
    ),
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
                applies=_several_infinite,
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

PRIMITIVES: tuple[Spec, ...] = (*_UNIVARIATE, *_BIVARIATE, *_VECTORS)
