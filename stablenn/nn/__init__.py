"""Stable primitives with the names and signatures of `jax.nn`, `jax.numpy` and `jax.scipy.special`.

Every public name of `jax.nn` is here, so that ``from stablenn import nn`` can replace ``from jax import nn``. These
are the objects of `jax.nn` themselves:

=============================  ====================================================================================
Name                           Why there is no other version
=============================  ====================================================================================
relu, relu6, hard_tanh         They choose one of their operands and round nothing: exact, with their derivatives.
identity, one_hot              They round nothing.
dot_product_attention          It chooses the kernels of a platform.
scaled_dot_general             It chooses the kernels of a platform, for matrices in formats of 8 and 4 bits.
scaled_matmul                  The same.
get_scaled_dot_general_config  It computes nothing.
initializers                   They draw random numbers.
=============================  ====================================================================================

All other functions are our own.
"""

from jax.nn import dot_product_attention as dot_product_attention
from jax.nn import get_scaled_dot_general_config as get_scaled_dot_general_config
from jax.nn import hard_tanh as hard_tanh
from jax.nn import identity as identity
from jax.nn import initializers as initializers
from jax.nn import one_hot as one_hot
from jax.nn import relu as relu
from jax.nn import relu6 as relu6
from jax.nn import scaled_dot_general as scaled_dot_general
from jax.nn import scaled_matmul as scaled_matmul

from stablenn.nn.attention import attention_weights as attention_weights
from stablenn.nn.cumulative import logcumsumexp as logcumsumexp
from stablenn.nn.directions import cosine_similarity as cosine_similarity
from stablenn.nn.directions import normalize as normalize
from stablenn.nn.entropies import entr as entr
from stablenn.nn.entropies import kl_div as kl_div
from stablenn.nn.entropies import rel_entr as rel_entr
from stablenn.nn.exponentials import log_softmax as log_softmax
from stablenn.nn.exponentials import softmax as softmax
from stablenn.nn.gates import glu as glu
from stablenn.nn.gates import mish as mish
from stablenn.nn.gates import silu as silu
from stablenn.nn.gates import swish as swish
from stablenn.nn.gaussian import gelu as gelu
from stablenn.nn.gaussian import log_ndtr as log_ndtr
from stablenn.nn.gaussian import ndtr as ndtr
from stablenn.nn.hyperbolic import log_cosh as log_cosh
from stablenn.nn.hyperbolic import softcap as softcap
from stablenn.nn.hyperbolic import tanh as tanh
from stablenn.nn.inverses import logit as logit
from stablenn.nn.inverses import softplus_inverse as softplus_inverse
from stablenn.nn.linear_units import celu as celu
from stablenn.nn.linear_units import elu as elu
from stablenn.nn.linear_units import selu as selu
from stablenn.nn.linear_units import squareplus as squareplus
from stablenn.nn.log_pairs import logaddexp as logaddexp
from stablenn.nn.log_pairs import logsubexp as logsubexp
from stablenn.nn.log_sums import logmeanexp as logmeanexp
from stablenn.nn.log_sums import logsumexp as logsumexp
from stablenn.nn.logarithms import clipped_log as clipped_log
from stablenn.nn.logarithms import log1mexp as log1mexp
from stablenn.nn.logarithms import xlog1py as xlog1py
from stablenn.nn.logarithms import xlogy as xlogy
from stablenn.nn.logistic import log_sigmoid as log_sigmoid
from stablenn.nn.logistic import sigmoid as sigmoid
from stablenn.nn.logistic import softplus as softplus
from stablenn.nn.normalisation import layer_norm as layer_norm
from stablenn.nn.normalisation import mean_and_variance as mean_and_variance
from stablenn.nn.normalisation import rms_norm as rms_norm
from stablenn.nn.normalisation import standardize as standardize
from stablenn.nn.normalisation import variance as variance
from stablenn.nn.norms import norm as norm
from stablenn.nn.piecewise import hard_sigmoid as hard_sigmoid
from stablenn.nn.piecewise import hard_silu as hard_silu
from stablenn.nn.piecewise import hard_swish as hard_swish
from stablenn.nn.piecewise import leaky_relu as leaky_relu
from stablenn.nn.piecewise import soft_sign as soft_sign
from stablenn.nn.piecewise import sparse_plus as sparse_plus
from stablenn.nn.piecewise import sparse_sigmoid as sparse_sigmoid
from stablenn.nn.zeros import safe_divide as safe_divide
from stablenn.nn.zeros import safe_sqrt as safe_sqrt
