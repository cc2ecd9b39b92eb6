"""Stable primitives with the names and signatures of `jax.nn`, `jax.numpy` and `jax.scipy.special`."""

from stablenn.nn.attention import attention_weights as attention_weights
from stablenn.nn.cumulative import logcumsumexp as logcumsumexp
from stablenn.nn.exponentials import log_softmax as log_softmax
from stablenn.nn.exponentials import softmax as softmax
from stablenn.nn.log_pairs import logaddexp as logaddexp
from stablenn.nn.log_pairs import logsubexp as logsubexp
from stablenn.nn.log_sums import logmeanexp as logmeanexp
from stablenn.nn.log_sums import logsumexp as logsumexp
from stablenn.nn.logarithms import clipped_log as clipped_log
from stablenn.nn.logarithms import log1mexp as log1mexp
from stablenn.nn.logarithms import xlog1py as xlog1py
from stablenn.nn.logarithms import xlogy as xlogy
from stablenn.nn.logistic import log_sigmoid as log_sigmoid
from stablenn.nn.logistic import logit as logit
from stablenn.nn.logistic import sigmoid as sigmoid
from stablenn.nn.logistic import softplus as softplus
from stablenn.nn.norms import norm as norm
from stablenn.nn.zeros import safe_divide as safe_divide
from stablenn.nn.zeros import safe_sqrt as safe_sqrt
