"""Stable primitives with the names and signatures of `jax.nn` and `jax.scipy.special`."""

from stablenn.nn.exponentials import log_softmax as log_softmax
from stablenn.nn.exponentials import logsumexp as logsumexp
from stablenn.nn.exponentials import softmax as softmax
from stablenn.nn.logarithms import clipped_log as clipped_log
from stablenn.nn.logistic import log_sigmoid as log_sigmoid
from stablenn.nn.logistic import sigmoid as sigmoid
