"""The Spec of connectionist temporal classification."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np

from stablenn import losses
from stablenn.precision.domain import Domain
from stablenn.precision.spec.kinds import Spec
from stablenn.precision.spec.properties import Bounded


def _read(path):
    """A path without its repetitions and blanks."""
    return tuple(label for label, _ in itertools.groupby(path) if label != 0)


def _over_paths(logits, logit_paddings, labels, label_paddings):
    """The sum over every path of three frames that reads as the two labels."""
    exponentials = jnp.exp(logits[0])
    total = jnp.zeros(())
    for path in itertools.product(range(logits.shape[-1]), repeat=len(exponentials)):
        if len(read := _read(path)) == labels.shape[-1]:
            product = jnp.prod(jnp.stack([exponentials[t, label] for t, label in enumerate(path)]))
            fits = (labels[0, 0] == read[0]) & (labels[0, 1] == read[1])
            total = total + jnp.where(fits, product, 0)
    partition = jnp.sum(exponentials, -1)
    return jnp.log(partition[0] * partition[1] * partition[2] / total)[None]


def _largest(logits):
    """The largest cost of a frame."""
    return np.maximum(np.max(logits.max(-1, keepdims=True) - logits, (1, 2, 3)), 1)


SEQUENCES: tuple[Spec, ...] = (
    Spec(
        name="losses.ctc_loss",
        fn=losses.ctc_loss,
        definition=_over_paths,
        signature="(b,t,c),(b,t),(b,n),(b,n)->(b)",
        domain=Domain.parse(
            "logits: float[1, 3, 4] in [-20, 20]; logit_paddings: int32[1, 3] in [0, 1); "
            "labels: int32[1, 2] in [1, 4); label_paddings: int32[1, 2] in [0, 1)"
        ),
        peers=("optax.losses:ctc_loss",),
        properties=(Bounded("ctc_loss >= 0", lower=0),),
        value_scale=lambda logits, *_: _largest(logits)[:, None],
        gradient_scale=lambda logits, *_: np.broadcast_to(_largest(logits)[:, None], (len(logits), logits[0].size)),
    ),
)
