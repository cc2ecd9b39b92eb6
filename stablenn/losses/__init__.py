"""Losses with the names and signatures of `optax.losses`.

Every public name of `optax.losses` is here. Two functions are optax's own, imported when they are first used, since
they meet the bars:

=========================  ==========================================================
`perceptron_loss`          one product, rounded once; refuses shapes that differ
`make_fenchel_young_loss`  as accurate as the function that it is made of
=========================  ==========================================================

`cosine_similarity` is that of `stablenn.nn`. What optax does not have: `z_loss`, `softmax_focal_loss`, `gaussian_nll`,
`poisson_nll`, `negative_binomial_nll`, `bernoulli_kl_divergence`, `categorical_kl_divergence`, `info_nce`, and the
keywords ``label_smoothing``, ``class_weights`` and ``axis_name`` of `softmax_cross_entropy_with_integer_labels`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from stablenn.losses.binary import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from stablenn.losses.binary import sigmoid_focal_loss as sigmoid_focal_loss
from stablenn.losses.contrastive import info_nce as info_nce
from stablenn.losses.contrastive import ntxent as ntxent
from stablenn.losses.contrastive import triplet_margin_loss as triplet_margin_loss
from stablenn.losses.cross_entropies import poly_loss_cross_entropy as poly_loss_cross_entropy
from stablenn.losses.cross_entropies import ranking_softmax_loss as ranking_softmax_loss
from stablenn.losses.cross_entropies import safe_softmax_cross_entropy as safe_softmax_cross_entropy
from stablenn.losses.cross_entropies import smooth_labels as smooth_labels
from stablenn.losses.cross_entropies import softmax_cross_entropy as softmax_cross_entropy
from stablenn.losses.divergences import convex_kl_divergence as convex_kl_divergence
from stablenn.losses.divergences import generalized_kl_divergence as generalized_kl_divergence
from stablenn.losses.divergences import kl_divergence as kl_divergence
from stablenn.losses.divergences import kl_divergence_with_log_targets as kl_divergence_with_log_targets
from stablenn.losses.integer_labels import (
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from stablenn.losses.integer_labels import softmax_focal_loss as softmax_focal_loss
from stablenn.losses.integer_labels import z_loss as z_loss
from stablenn.losses.likelihoods import gaussian_nll as gaussian_nll
from stablenn.losses.likelihoods import negative_binomial_nll as negative_binomial_nll
from stablenn.losses.likelihoods import poisson_nll as poisson_nll
from stablenn.losses.logit_divergences import bernoulli_kl_divergence as bernoulli_kl_divergence
from stablenn.losses.logit_divergences import categorical_kl_divergence as categorical_kl_divergence
from stablenn.losses.margins import hinge_loss as hinge_loss
from stablenn.losses.margins import multiclass_hinge_loss as multiclass_hinge_loss
from stablenn.losses.margins import multiclass_perceptron_loss as multiclass_perceptron_loss
from stablenn.losses.margins import multiclass_sparsemax_loss as multiclass_sparsemax_loss
from stablenn.losses.margins import sparsemax_loss as sparsemax_loss
from stablenn.losses.regression import cosine_distance as cosine_distance
from stablenn.losses.regression import huber_loss as huber_loss
from stablenn.losses.regression import l2_loss as l2_loss
from stablenn.losses.regression import log_cosh as log_cosh
from stablenn.losses.regression import squared_error as squared_error
from stablenn.losses.segmentation import binary_dice_loss as binary_dice_loss
from stablenn.losses.segmentation import dice_loss as dice_loss
from stablenn.losses.segmentation import multiclass_generalized_dice_loss as multiclass_generalized_dice_loss
from stablenn.losses.sequences import ctc_loss as ctc_loss
from stablenn.losses.sequences import ctc_loss_with_forward_probs as ctc_loss_with_forward_probs
from stablenn.nn.directions import cosine_similarity as cosine_similarity

if TYPE_CHECKING:
    from optax.losses import make_fenchel_young_loss as make_fenchel_young_loss
    from optax.losses import perceptron_loss as perceptron_loss

_OPTAX = ("make_fenchel_young_loss", "perceptron_loss")


def __getattr__(name: str):
    if name in _OPTAX:
        return getattr(importlib.import_module("optax.losses"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_OPTAX])
