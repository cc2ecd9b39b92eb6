"""Losses with the names and signatures of `optax.losses`."""

from stablenn.losses.classification import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from stablenn.losses.classification import softmax_cross_entropy as softmax_cross_entropy
from stablenn.losses.classification import (
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from stablenn.losses.divergences import kl_divergence as kl_divergence
from stablenn.losses.divergences import kl_divergence_with_log_targets as kl_divergence_with_log_targets
