"""What is known of each function: the table that laws, benchmark, command line and report all read."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from stablenn import losses, nn
from stablenn.precision.domain import Domain


@dataclasses.dataclass(frozen=True)
class Convention:
    """What is right in rows where the formula has no limit (or, for a gradient, a kink).

    `applies` maps the inputs to a mask of rows; `value` and `gradient` map the (float64) inputs of those rows to
    what is right there, flattened; where they return a masked array, the formula is right at masked places.
    """

    reason: str
    applies: Callable[..., np.ndarray]
    value: Callable[..., np.ndarray] | None = None
    gradient: Callable[..., np.ndarray] | None = None

    def expected(self, quantity: str) -> Callable[..., np.ndarray] | None:
        return self.value if quantity == "value" else self.gradient


@dataclasses.dataclass(frozen=True)
class Spec:
    """One function of the kit and everything needed to judge it.

    Attributes:
      name: where it lives, without the package: "nn.softmax".
      fn: the function.
      definition: its textbook formula, free of rounded literals.
      signature: which axes of one row belong together, as for a NumPy gufunc.
      domain: the arguments of one row.
      peers: import strings of the functions it replaces, "module:function".
      conventions: what is right where the formula has no limit.
      kinks: what the gradient is where it jumps.
      value_scale, gradient_scale: the size of the largest term that the result is a difference of, where the
        result itself may cancel; None: the result itself.
    """

    name: str
    fn: Callable
    definition: Callable
    signature: str
    domain: Domain
    peers: tuple[str, ...] = ()
    conventions: tuple[Convention, ...] = ()
    kinks: tuple[Convention, ...] = ()
    value_scale: Callable[..., np.ndarray] | None = None
    gradient_scale: Callable[..., np.ndarray] | None = None

    @property
    def implementation(self) -> str:
        """The import string of `fn`."""
        module, _, name = self.name.rpartition(".")
        return f"stablenn.{module}:{name}"

    def scale(self, quantity: str) -> Callable[..., np.ndarray] | None:
        return self.value_scale if quantity == "value" else self.gradient_scale


def load(path: str) -> Callable:
    """The function that an import string "module:function" names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _several_infinities(x, *_):
    return np.sum(x == np.inf, -1) > 1


def _nan_rows(outputs: int) -> Callable[..., np.ndarray]:
    return lambda x, *_: np.full((len(x), outputs), np.nan)


def _no_shares(values: int | None, gradients: int) -> Convention:
    return Convention(
        "several infinite logits have no limit: the whole row is NaN, although parts of it would have one",
        applies=_several_infinities,
        value=None if values is None else _nan_rows(values),
        gradient=_nan_rows(gradients),
    )


def _log_softmax_definition(x):
    return jnp.log(jnp.exp(x) / jnp.sum(jnp.exp(x)))


def _logsumexp_definition(x):
    return jnp.log(jnp.sum(jnp.exp(x)))


def _cross_entropy_definition(logits, labels):
    # -sum(y log softmax(x)), with the logarithm of the quotient taken apart
    return jnp.sum(labels * (_logsumexp_definition(logits) - logits))


def _binary_cross_entropy_definition(logits, labels):
    return labels * jnp.log(1 + jnp.exp(-logits)) + (1 - labels) * jnp.log(1 + jnp.exp(logits))


def _binary_slope_scale(logits, labels):
    """d/dlogits is sigmoid(x) - y, d/dlabels is -x."""
    return np.stack([np.maximum(1 / (1 + np.exp(-logits)), np.abs(labels)), np.abs(logits)], -1)


def _ignored(logits, labels):
    """Impossible classes with the label 0, in rows that have a possible one."""
    return (logits == -np.inf) & (labels == 0) & np.any(logits > -np.inf, -1, keepdims=True)


def _slope_scale(logits, labels):
    """d/dlogits is softmax(x) sum(y) - y, d/dlabels is logsumexp(x) - x."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    share = shifted / shifted.sum(-1, keepdims=True) * labels.sum(-1, keepdims=True)
    return np.concatenate([np.maximum(share, np.abs(labels)), np.zeros(logits.shape)], -1)


SPECS: tuple[Spec, ...] = (
    Spec(
        name="nn.sigmoid",
        fn=nn.sigmoid,
        definition=lambda x: 1 / (1 + jnp.exp(-x)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:sigmoid",),
    ),
    Spec(
        name="nn.log_sigmoid",
        fn=nn.log_sigmoid,
        definition=lambda x: -jnp.log(1 + jnp.exp(-x)),
        signature="()->()",
        domain=Domain.parse("x: float"),
        peers=("jax.nn:log_sigmoid",),
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
                gradient=lambda x, min_value: np.stack([1 / x, 0 * x], -1),
            ),
            Convention(
                "a NaN says nothing about the derivative with respect to min_value",
                applies=lambda x, min_value: np.isnan(x),
                gradient=lambda x, min_value: np.stack([x, 0 * min_value], -1),
            ),
        ),
    ),
    Spec(
        name="nn.logsumexp",
        fn=nn.logsumexp,
        definition=_logsumexp_definition,
        signature="(n)->()",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.scipy.special:logsumexp",),
        conventions=(
            Convention(
                "a sum of nothing has no gradient",
                applies=lambda x: np.all(x == -np.inf, -1),
                gradient=np.zeros_like,
            ),
            _no_shares(None, 8),
        ),
        value_scale=lambda x: np.max(np.where(np.isfinite(x), np.abs(x), 0), -1),
    ),
    Spec(
        name="nn.softmax",
        fn=nn.softmax,
        definition=lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x)),
        signature="(n)->(n)",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.nn:softmax",),
        conventions=(_no_shares(8, 64),),
    ),
    Spec(
        name="nn.log_softmax",
        fn=nn.log_softmax,
        definition=_log_softmax_definition,
        signature="(n)->(n)",
        domain=Domain.parse("x: float[8]"),
        peers=("jax.nn:log_softmax",),
        conventions=(_no_shares(8, 64),),
    ),
    Spec(
        name="losses.softmax_cross_entropy",
        fn=losses.softmax_cross_entropy,
        definition=_cross_entropy_definition,
        signature="(n),(n)->()",
        domain=Domain.parse("logits: float[8]; labels: float[8] in simplex"),
        peers=("optax.losses:softmax_cross_entropy",),
        conventions=(
            _no_shares(1, 16),
            Convention(
                "a row without any possible class is no distribution: NaN",
                applies=lambda logits, labels: np.all(logits == -np.inf, -1),
                value=_nan_rows(1),
                gradient=_nan_rows(16),
            ),
            Convention(
                "a class that is impossible and has the label 0 is ignored, in the derivative by its label too",
                applies=lambda logits, labels: np.any(_ignored(logits, labels), -1),
                gradient=lambda logits, labels: np.ma.masked_array(
                    np.zeros((len(logits), 16)),
                    np.concatenate([np.ones(logits.shape, bool), ~_ignored(logits, labels)], -1),
                ),
            ),
        ),
        gradient_scale=_slope_scale,
    ),
    Spec(
        name="losses.sigmoid_binary_cross_entropy",
        fn=losses.sigmoid_binary_cross_entropy,
        definition=_binary_cross_entropy_definition,
        signature="(),()->()",
        domain=Domain.parse("logits: float; labels: float in [0, 1]"),
        peers=("optax.losses:sigmoid_binary_cross_entropy",),
        gradient_scale=_binary_slope_scale,
    ),
)
