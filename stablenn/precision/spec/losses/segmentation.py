"""The Specs of losses of overlap."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stablenn import losses
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Spec
from stablenn.precision.spec.properties import Bounded

_CLASSES = Domain.parse("predictions: float[1, 3, 2] in [-20, 20]; targets: float[1, 3, 2] in [0, 1]")
_ONE_CLASS = Domain.parse("predictions: float[1, 4] in [-20, 20]; targets: float[1, 4] in [0, 1]")


def _overlap(probabilities, targets, axis):
    shared = jnp.sum(probabilities * targets, axis)
    covered = (jnp.sum(probabilities, axis) + jnp.sum(targets, axis)) / 2
    return 1 - (shared + 1) / (covered + 1)


def _dice(predictions, targets):
    exponentials = jnp.exp(predictions)
    return _overlap(exponentials / jnp.sum(exponentials, -1, keepdims=True), targets, 1)


def _generalized(predictions, targets):
    frequencies = jnp.sum(targets, (0, 1))
    weights = 1 / (frequencies * frequencies + jnp.ones(()) / 10000000)
    return jnp.mean(_dice(predictions, targets) * weights / jnp.mean(weights))


def _parts(count: int):
    """The parts that do not overlap are sums of p (1 - t) and (1 - p) t; derivatives differ in both."""

    def scale(predictions, targets):
        return np.ones((len(predictions), count * predictions[0].size))

    return scale


SEGMENTATION: tuple[Spec, ...] = (
    Spec(
        name="losses.dice_loss",
        fn=losses.dice_loss,
        definition=lambda predictions, targets: jnp.mean(_dice(predictions, targets), -1),
        signature="(b,s,c),(b,s,c)->(b)",
        domain=_CLASSES,
        peers=("optax.losses:dice_loss",),
        properties=(Bounded("0 <= dice_loss <= 1", lower=0, upper=1),),
        gradient_scale=_parts(2),
    ),
    Spec(
        name="losses.multiclass_generalized_dice_loss",
        fn=losses.multiclass_generalized_dice_loss,
        definition=_generalized,
        signature="(b,s,c),(b,s,c)->()",
        # classes that are nearly absent have weights that are infinitely steep
        domain=Domain.parse("predictions: float[1, 3, 2] in [-20, 20]; targets: int32[1, 3, 2] in [0, 2)"),
        peers=("optax.losses:multiclass_generalized_dice_loss",),
        gradient_scale=_parts(1),
    ),
    Spec(
        name="losses.binary_dice_loss",
        fn=losses.binary_dice_loss,
        definition=lambda predictions, targets: _overlap(1 / (1 + jnp.exp(-predictions)), targets, 1),
        signature="(b,s),(b,s)->(b)",
        domain=_ONE_CLASS,
        peers=("optax.losses:binary_dice_loss",),
        properties=(Bounded("0 <= binary_dice_loss <= 1", lower=0, upper=1),),
        gradient_scale=_parts(2),
    ),
)
