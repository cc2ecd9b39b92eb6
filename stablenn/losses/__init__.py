"""Losses with the names and signatures of `optax.losses`."""

from stablenn.losses.classification import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from stablenn.losses.classification import softmax_cross_entropy as softmax_cross_entropy
