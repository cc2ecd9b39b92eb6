"""Faults that people make, each planted in a function that is otherwise right, and the law that must see it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from stablenn import nn


@dataclasses.dataclass(frozen=True)
class Fault:
    """A function with a fault, in place of that of a Spec."""

    name: str
    law: str
    spec: str
    fn: Callable
    dtype: str = "float32"


def with_rule(fn, slope):
    """`fn` with another derivative."""
    wrong = jax.custom_jvp(fn)
    wrong.defjvp(lambda primals, tangents: (fn(*primals), slope(*primals) * tangents[0]))
    return wrong


def nan_at(x, value):
    """`value`, but NaN at one single input."""
    return jnp.where(x == 1, jnp.nan, value)


def softplus_linear_from(threshold):
    return lambda x: jnp.where(x > threshold, x, nn.softplus(x))


def log_sigmoid_without_log1p(x):
    return jnp.minimum(x, 0) - jnp.log(1 + jnp.exp(-jnp.abs(x)))


def float16_sum(x):
    shifted = jnp.exp(x - jnp.max(x)).astype(jnp.float16)
    return (jnp.max(x) + jnp.log(jnp.sum(shifted, dtype=jnp.float16))).astype(x.dtype)


def without_the_tail(x):
    """Blocks of 4096 entries, of which the last, incomplete one was forgotten in the sum."""
    e = jnp.exp(x - jnp.max(x, initial=-jnp.inf))
    whole = max(x.shape[-1] // 4096, 1) * 4096
    return e / jnp.sum(e[:whole])


def rest_for_the_last(x):
    s = nn.softmax(x)
    return s.at[-1].set(1 - jnp.sum(s[:-1]))


def masked_with(value):
    def log_softmax(x, where=None):
        kept = x if where is None else jnp.where(where, x, value)
        out = nn.log_softmax(kept)
        return out if where is None else jnp.where(where, out, -jnp.inf)

    return log_softmax


@jax.custom_vjp
def reverse_mode_only(x):
    return nn.sigmoid(x)


reverse_mode_only.defvjp(lambda x: (nn.sigmoid(x), x), lambda x, ct: (ct * nn.sigmoid(x) * nn.sigmoid(-x),))


class Forgetful:
    """A function with a state: every trace but the first gets another constant."""

    def __init__(self):
        self.traces = 0

    def __call__(self, x):
        self.traces += 1
        return nn.sigmoid(x) * (1 if self.traces == 1 else 1.001)


def clipped_probability(logits, labels):
    p = jnp.clip(nn.sigmoid(logits), 1e-7, 1 - 1e-7)
    return -(labels * jnp.log(p) + (1 - labels) * jnp.log(1 - p))


def added_epsilon(logits, labels):
    return -jnp.sum(labels * jnp.log(nn.softmax(logits) + 1e-7))


def straight_through(logits):
    return with_rule(nn.softplus, lambda x: jnp.clip(nn.sigmoid(x), 0.01, 0.99))(logits)


def shifted_by_the_largest_logit(a, b, where=None):
    """The largest logit may have the smallest factor."""
    top = jnp.max(a, initial=-jnp.inf)
    shifted = jnp.log(jnp.sum(b * jnp.exp(a - jnp.where(jnp.isfinite(top), top, 0)))) + top
    return jnp.where(jnp.isfinite(top), shifted, top)


def shifted_by_the_last_maximum(x):
    """What comes before the largest entry underflows."""
    top = jnp.max(x, initial=-jnp.inf)
    return top + jnp.log(jnp.cumsum(jnp.exp(x - top)))


FAULTS = (
    Fault(
        "log1p became log", "accuracy", "nn.log_sigmoid", lambda x: jnp.minimum(x, 0) - jnp.log(1 + jnp.exp(-abs(x)))
    ),
    Fault("the shift by the maximum is gone", "accuracy", "nn.logsumexp", lambda x: jnp.log(jnp.sum(jnp.exp(x)))),
    Fault("sums are kept in float16", "accuracy", "nn.logsumexp", float16_sum),
    Fault("the last class gets what is left", "accuracy", "nn.softmax", rest_for_the_last),
    Fault("NaN at one input", "accuracy", "nn.softplus", lambda x: nan_at(x, nn.softplus(x))),
    Fault("the branch begins too early", "accuracy", "nn.softplus", softplus_linear_from(9)),
    Fault("a square may overflow", "accuracy", "nn.norm", lambda x: jnp.sqrt(jnp.sum(x * x))),
    Fault("the shift forgets the factors", "accuracy", "nn.logsumexp_with_factors", shifted_by_the_largest_logit),
    Fault("a sum less the logarithm of n", "accuracy", "nn.logmeanexp", lambda x: nn.logsumexp(x) - jnp.log(x.size)),
    Fault("one shift for all prefixes", "accuracy", "nn.logcumsumexp", shifted_by_the_last_maximum),
    Fault("no expm1", "accuracy", "nn.logsubexp", lambda x1, x2: x1 + jnp.log(1 - jnp.exp(x2 - x1))),
    Fault(
        "the scale is forgotten", "accuracy", "nn.attention_weights", lambda q, k: nn.attention_weights(q, k, scale=1)
    ),
    Fault("-inf counts as a number", "specials", "nn.logaddexp", lambda a, b: nn.logaddexp(a, b) + 0 * (a + b)),
    Fault("nan_to_num hides a NaN", "specials", "nn.sigmoid", lambda x: jnp.nan_to_num(nn.sigmoid(x))),
    Fault("the last block is not summed", "lengths", "nn.softmax", without_the_tail),
    Fault("the gradient is clipped", "differences", "nn.softplus", straight_through),
    Fault("a factor of the rule is gone", "differences", "nn.sigmoid", with_rule(nn.sigmoid, nn.sigmoid)),
    Fault("the sign of the rule", "differences", "nn.log1mexp", with_rule(nn.log1mexp, lambda x: -1 / jnp.expm1(x))),
    Fault("no rule for forward mode", "transformations", "nn.sigmoid", reverse_mode_only),
    Fault("a state that changes by tracing", "transformations", "nn.sigmoid", Forgetful()),
    Fault("large logits are clipped", "relations", "nn.softmax", lambda x: nn.softmax(jnp.clip(x, -1e3, 1e3))),
    Fault("one entry has another weight", "relations", "nn.norm", lambda x: nn.norm(x.at[-1].multiply(1.001))),
    Fault("odd became even", "relations", "nn.xlogy", lambda x, y: nn.xlogy(abs(x), y)),
    Fault("probabilities are clipped", "identities", "losses.sigmoid_binary_cross_entropy", clipped_probability),
    Fault("an epsilon in the logarithm", "bounds", "losses.softmax_cross_entropy", added_epsilon),
    Fault("an epsilon in the logarithm", "bounds", "nn.log_sigmoid", lambda x: jnp.log(nn.sigmoid(x) + 1e-6)),
    Fault("the branch begins too early", "monotonicity", "nn.softplus", softplus_linear_from(2)),
    Fault("large results are clipped", "convexity", "nn.norm", lambda x: jnp.minimum(nn.norm(x), 1e3)),
    Fault("an epsilon in the denominator", "normalisation", "nn.softmax", lambda x: nn.softmax(x) / (1 + 1e-5)),
    Fault("the mask is a moderate number", "masking", "nn.log_softmax", masked_with(-100.0)),
    Fault("the mask is forgotten", "masking", "nn.log_softmax", lambda x, where=None: nn.log_softmax(x)),
    Fault("a cast too many", "types", "nn.sigmoid", lambda x: nn.sigmoid(x).astype(jnp.float32), "bfloat16"),
    Fault("a weak type becomes strong", "types", "nn.logit", lambda p: nn.logit(jnp.asarray(p, jnp.result_type(p)))),
)
