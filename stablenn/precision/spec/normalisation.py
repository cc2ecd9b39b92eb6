"""The Specs of `stablenn.nn.normalisation`."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import nn
from stablenn.precision.domain import Domain
from stablenn.precision.spec.infinities import several_of_any_sign
from stablenn.precision.spec.kinds import Convention, Spec
from stablenn.precision.spec.moves import permuted, reflected, scaled, shifted
from stablenn.precision.spec.properties import Bounded, Convex, Identity, Masked, Relation


def _mean(x):
    return jnp.sum(x) / x.shape[-1]


def _variance(x):
    return _mean((x - _mean(x)) ** 2)


def _epsilon():
    """The default of JAX: 1e-5, as a ratio."""
    return jnp.divide(1, 100000)


def _standardized(x):
    return (x - _mean(x)) / jnp.sqrt(_variance(x) + _epsilon())


def _over_rms(x):
    return x / jnp.sqrt(_mean(x * x) + _epsilon())


def _ratios(x, *, centred: bool):
    """Roughly: what `x` is divided by, and the ratios; anywhere in the range of float64."""
    infinite = np.isinf(x)
    x = np.where(infinite.any(-1, keepdims=True), np.where(infinite, np.sign(x) * 2.0**1000, 0), x)
    reference = x[:, :1] / 4 if centred else 0
    quarters = x / 4 - reference
    largest = np.max(np.abs(quarters), -1, keepdims=True, initial=0)
    values = quarters / np.where(largest == 0, 1, largest)
    if centred:
        values = values - np.sum(values, -1, keepdims=True) / max(x.shape[-1], 1)
    square = np.sum(values**2, -1, keepdims=True) / max(x.shape[-1], 1)
    root = np.hypot(np.sqrt(square) * largest, np.sqrt(1e-5) / 4)
    return 4 * root, values * (largest / root)


def _largest(z):
    return np.broadcast_to(np.max(np.abs(z), -1, keepdims=True, initial=0), z.shape)


def _standardized_scale(x, scale=1.0, bias=0.0):
    """The largest component, and what is added to it."""
    sizes = np.maximum(_largest(_ratios(x, centred=True)[1]) * np.abs(scale), np.abs(bias))
    return np.minimum(sizes, np.finfo(np.float64).max)


def _slope_scale(x, *, centred: bool):
    """d z_i / d x_j is (delta_ij - 1/n - z_i z_j / n) / sigma, where each ratio is as good as the largest."""
    n = max(x.shape[-1], 1)
    root, z = _ratios(x, centred=centred)
    sizes = np.abs(z)
    pairs = np.maximum(sizes[:, :, None], sizes[:, None, :]) * np.max(sizes, -1, initial=0)[:, None, None] / n
    mean = 1 / n if centred else 0.0
    return np.maximum(np.maximum(np.eye(x.shape[-1]), mean), pairs) / root[:, :, None]


def _flat(*blocks):
    return np.concatenate([block.reshape(len(block), -1) for block in blocks], -1)


def _by_ratios(x, scale, *, centred: bool):
    """The derivatives by `x` and by `scale`."""
    z = _largest(_ratios(x, centred=True)[1]) if centred else np.zeros(x.shape)
    return np.abs(scale)[:, :, None] * _slope_scale(x, centred=centred), z[:, :, None] * np.eye(x.shape[-1])


def _layer_slope_scale(x, scale, bias):
    return _flat(*_by_ratios(x, scale, centred=True), np.zeros((len(x), x.shape[-1] ** 2)))


def _deviation_scale(x):
    """d variance / d x_j is 2 (x_j - mean) / n."""
    quarters = x / 4 - x[:, :1] / 4
    quarters = quarters - np.sum(quarters, -1, keepdims=True) / max(x.shape[-1], 1)
    return _largest(quarters) * (8 / max(x.shape[-1], 1))


def _mean_scale(x):
    """The mean of magnitudes."""
    n = max(x.shape[-1], 1)
    return np.stack([np.sum(np.abs(x) / n, -1), np.zeros(len(x))], -1)


def _first_nan(count, others):
    """NaN for the first `count` outputs, then where `others`; the formula is right elsewhere."""
    known = np.concatenate([np.zeros((len(others), count), bool), ~others], -1)
    return np.ma.masked_array(np.full(known.shape, np.nan), known)


def _nothing_certain(outputs, gradients, without=lambda n: 0):
    """Rows with several infinities; the formula is right for the last outputs, `without` counts them."""
    return Convention(
        "several infinities have no limit: the whole row is NaN, although parts of it would have one",
        applies=several_of_any_sign,
        value=None if outputs is None else lambda x, *_: np.full((len(x), outputs(x.shape[-1])), np.nan),
        gradient=lambda x, *_: _first_nan(gradients(x.shape[-1]), np.zeros((len(x), without(x.shape[-1])), bool)),
    )


NORMALISATION: tuple[Spec, ...] = (
    Spec(
        name="nn.mean_and_variance",
        fn=nn.mean_and_variance,
        definition=lambda x: jnp.stack([_mean(x), _variance(x)]),
        signature="(n)->(2)",
        domain=Domain.parse("x: float[8]"),
        properties=(
            Relation("mean and variance do not depend on the order", permuted(0)),
            Relation(
                "the mean of x + c is mean(x) + c, the variance stays", shifted(0), lambda out, c, x: out.at[0].add(c)
            ),
            Relation(
                "mean(s x) = s mean(x), variance(s x) = s^2 variance(x)",
                scaled(0),
                lambda out, s, x: out * jnp.stack([s, s * s]),
            ),
            Masked("a mask is a slice"),
        ),
        conventions=(
            Convention(
                "infinities of both signs have no mean",
                applies=lambda x: np.any(x == np.inf, -1) & np.any(x == -np.inf, -1),
                value=lambda x: _first_nan(1, np.zeros((len(x), 1), bool)),
            ),
            Convention(
                "reverse mode adds both gradients up: where the variance has an infinite one, the mean has none",
                applies=lambda x: np.any(np.isinf(x), -1) & (x.shape[-1] > 1),
                gradient=lambda x: _first_nan(x.shape[-1], np.broadcast_to(several_of_any_sign(x)[:, None], x.shape)),
            ),
        ),
        value_scale=_mean_scale,
        gradient_scale=lambda x: _flat(np.zeros(x.shape), _deviation_scale(x)),
    ),
    Spec(
        name="nn.variance",
        fn=nn.variance,
        definition=_variance,
        signature="(n)->()",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.numpy:var",),
        conventions=(_nothing_certain(None, lambda n: n),),
        properties=(
            Relation("variance(x + c) = variance(x)", shifted(0)),
            Relation("variance(s x) = s^2 variance(x)", scaled(0), lambda out, s, x: s * s * out),
            Relation("variance(-x) = variance(x)", reflected(negate=(0,))),
            Relation("variance does not depend on the order", permuted(0)),
            Bounded("variance >= 0", lower=0),
            Convex("variance is convex"),
            Masked("a mask is a slice"),
        ),
        gradient_scale=_deviation_scale,
    ),
    Spec(
        name="nn.standardize",
        fn=nn.standardize,
        definition=_standardized,
        signature="(n)->(n)",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.nn:standardize",),
        conventions=(_nothing_certain(lambda n: n, lambda n: n * n),),
        properties=(
            Relation("standardize(x + c) = standardize(x)", shifted(0)),
            Relation("standardize(-x) = -standardize(x)", reflected(negate=(0,)), lambda out, _, x: -out),
            Relation("standardize of another order", permuted(0), lambda out, order, x: out[order]),
            Identity("layer_norm without parameters", lambda x: nn.layer_norm(x)),
        ),
        value_scale=_standardized_scale,
        gradient_scale=lambda x: _flat(_slope_scale(x, centred=True)),
    ),
    Spec(
        name="nn.layer_norm",
        fn=nn.layer_norm,
        definition=lambda x, scale, bias: _standardized(x) * scale + bias,
        signature="(n),(n),(n)->(n)",
        domain=Domain.parse("x: float[4]; scale: float[4] in [-1e25, 1e25]; bias: float[4] in [-max, max]"),
        conventions=(_nothing_certain(lambda n: n, lambda n: 2 * n * n, lambda n: n * n),),
        properties=(
            Relation("layer_norm(x + c) = layer_norm(x)", shifted(0)),
            Relation("layer_norm of another order", permuted(0, 1, 2), lambda out, order, x, scale, bias: out[order]),
        ),
        value_scale=_standardized_scale,
        gradient_scale=_layer_slope_scale,
    ),
    Spec(
        name="nn.rms_norm",
        fn=nn.rms_norm,
        definition=lambda x, scale: _over_rms(x) * scale,
        signature="(n),(n)->(n)",
        domain=Domain.parse("x: float[4]; scale: float[4] in [-1e25, 1e25]"),
        conventions=(_nothing_certain(lambda n: n, lambda n: 2 * n * n),),
        properties=(
            Relation("rms_norm(-x) = -rms_norm(x)", reflected(negate=(0,)), lambda out, _, x, scale: -out),
            Relation("rms_norm of another order", permuted(0, 1), lambda out, order, x, scale: out[order]),
        ),
        gradient_scale=lambda x, scale: _flat(*_by_ratios(x, scale, centred=False)),
    ),
)
