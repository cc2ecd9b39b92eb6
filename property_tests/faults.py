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


@jax.custom_jvp
def constant_shares(x):
    return nn.logsumexp(x)


@constant_shares.defjvp
def _(primals, tangents):
    """Each entry's share, as if the sum did not change with the other entries."""
    (x,), (tangent,) = primals, tangents
    total = nn.logsumexp(x)
    return total, jnp.sum(jnp.exp(x - jax.lax.stop_gradient(total)) * tangent)


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


@jax.custom_jvp
def other_value_in_the_rule(x):
    return nn.softplus(x)


@other_value_in_the_rule.defjvp
def _(primals, tangents):
    (x,), (tangent,) = primals, tangents
    return nn.softplus(x.astype(jnp.float16)).astype(x.dtype), nn.sigmoid(x) * tangent


def log_cosh_of_a_sum(x):
    return nn.logaddexp(x, -x) - jnp.log(2).astype(x.dtype)


def silu_by_its_slope(x):
    """By s (1 - s), which is 0 where s is rounded to 1."""
    s = nn.sigmoid(x)
    return s + x * s * (1 - s)


def celu_of_a_rounded_ratio(x, alpha):
    return jnp.maximum(x, 0) + alpha * nn.elu(jnp.minimum(x, 0) / alpha)


def root_of_a_sum(x, b):
    """To the left of 0 the sum cancels, and the square overflows."""
    return (x + jnp.sqrt(x * x + b)) / 2


def ndtr_of_rounded(x):
    """By exp(-x^2/2), with a square in single precision."""
    z = -x
    return jnp.exp(-(z * z) / 2) / (z * jnp.sqrt(2 * jnp.pi)) * (1 - 1 / (z * z) + 3 / z**4)


def exact_gelu(x):
    return nn.gelu(x, approximate=False)


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


def unshifted_variance(x):
    return jnp.maximum(jnp.mean(x * x) - jnp.mean(x) ** 2, 0)


def variance_of_all(x, axis=None, where=None):
    return nn.variance(x if where is None else jnp.where(where, x, 0))


def with_epsilon_outside(x):
    """The epsilon is added to the root."""
    d = x - jnp.mean(x)
    return d / (jnp.sqrt(nn.variance(x)) + 1e-5)


def unbiased(x):
    d = x - jnp.mean(x)
    return d / jnp.sqrt(nn.variance(x, ddof=1) + 1e-5)


def frozen_statistics(x):
    """No derivative passes through mean and variance."""
    mean, variance = (jax.lax.stop_gradient(v) for v in nn.mean_and_variance(x))
    return nn.standardize(x, mean=mean, variance=variance)


def plain_cosine(a, b):
    return jnp.sum(nn.normalize(a) * nn.normalize(b))


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
    Fault("a difference of mean squares", "accuracy", "nn.variance", unshifted_variance),
    Fault("the epsilon stands outside of the root", "accuracy", "nn.standardize", with_epsilon_outside),
    Fault("statistics without a derivative", "differences", "nn.standardize", frozen_statistics),
    Fault("n - 1 for n", "accuracy", "nn.standardize", unbiased),
    Fault("an epsilon in the denominator", "accuracy", "nn.normalize", lambda x: x / (nn.norm(x) + 1e-12)),
    Fault("an offset counts", "relations", "nn.standardize", lambda x: nn.rms_norm(x)),
    Fault("a cosine above 1", "bounds", "nn.cosine_similarity", lambda a, b: plain_cosine(a, b) * (1 + 1e-6)),
    Fault("masked entries count as zeros", "masking", "nn.variance", variance_of_all),
    Fault("the shift forgets the factors", "accuracy", "nn.logsumexp_with_factors", shifted_by_the_largest_logit),
    Fault("a sum less the logarithm of n", "accuracy", "nn.logmeanexp", lambda x: nn.logsumexp(x) - jnp.log(x.size)),
    Fault("one shift for all prefixes", "accuracy", "nn.logcumsumexp", shifted_by_the_last_maximum),
    Fault("no expm1", "accuracy", "nn.logsubexp", lambda x1, x2: x1 + jnp.log(1 - jnp.exp(x2 - x1))),
    Fault(
        "the scale is forgotten", "accuracy", "nn.attention_weights", lambda q, k: nn.attention_weights(q, k, scale=1)
    ),
    Fault("-inf counts as a number", "specials", "nn.logaddexp", lambda a, b: nn.logaddexp(a, b) + 0 * (a + b)),
    Fault("nan_to_num hides a NaN", "specials", "nn.sigmoid", lambda x: jnp.nan_to_num(nn.sigmoid(x))),
    Fault("a piece that does not apply", "specials", "nn.hard_silu", lambda x: x * nn.hard_sigmoid(x)),
    Fault("the border is a rounded sum", "accuracy", "nn.hard_sigmoid", lambda x: nn.relu6(x + 3) / 6),
    Fault("neighbours cancel", "accuracy", "nn.kl_div", lambda p, q: nn.rel_entr(p, q) - p + q),
    Fault("zero by zero", "specials", "nn.rel_entr", lambda p, q: p * (jnp.log(p) - jnp.log(q))),
    Fault("the last block is not summed", "lengths", "nn.softmax", without_the_tail),
    Fault("the gradient is clipped", "differences", "nn.softplus", straight_through),
    Fault("a factor of the rule is gone", "differences", "nn.sigmoid", with_rule(nn.sigmoid, nn.sigmoid)),
    Fault("the sign of the rule", "differences", "nn.log1mexp", with_rule(nn.log1mexp, lambda x: -1 / jnp.expm1(x))),
    Fault(
        "the rule is not differentiated again",
        "curvature",
        "nn.softplus",
        with_rule(nn.softplus, lambda x: jax.lax.stop_gradient(nn.sigmoid(x))),
    ),
    Fault(
        "the rule overflows when it is differentiated",
        "curvature",
        "nn.log_sigmoid",
        with_rule(nn.log_sigmoid, lambda x: 1 / (1 + jnp.exp(x))),
    ),
    Fault(
        "a factor of the rule of a rule is gone",
        "curvature",
        "nn.softplus",
        with_rule(nn.softplus, with_rule(nn.sigmoid, nn.sigmoid)),
    ),
    Fault("entries do not mix", "curvature", "nn.logsumexp", constant_shares),
    Fault("no rule for forward mode", "transformations", "nn.sigmoid", reverse_mode_only),
    Fault("the rule has a value of its own", "transformations", "nn.softplus", other_value_in_the_rule),
    Fault("a state that changes by tracing", "transformations", "nn.sigmoid", Forgetful()),
    Fault("large logits are clipped", "relations", "nn.softmax", lambda x: nn.softmax(jnp.clip(x, -1e3, 1e3))),
    Fault("one entry has another weight", "relations", "nn.norm", lambda x: nn.norm(x.at[-1].multiply(1.001))),
    Fault("the square is rounded", "accuracy", "nn.ndtr", lambda x: jnp.where(x < -8, ndtr_of_rounded(x), nn.ndtr(x))),
    Fault("the tail is cut", "accuracy", "nn.gelu", lambda x: jnp.where(x < -4.87, 0, nn.gelu(x))),
    Fault("no expm1", "accuracy", "nn.softplus_inverse", lambda x: jnp.log(jnp.exp(x) - 1)),
    Fault("saturated", "accuracy", "nn.tanh", with_rule(nn.tanh, lambda x: 1 - nn.tanh(x) ** 2)),
    Fault("nothing but the asymptote", "accuracy", "nn.log_cosh", log_cosh_of_a_sum),
    Fault("-inf times 0", "specials", "nn.silu", lambda x: x * nn.sigmoid(x)),
    Fault("saturated", "accuracy", "nn.silu", with_rule(nn.silu, silu_by_its_slope)),
    Fault("the gate is flushed", "accuracy", "nn.glu", lambda x: x[:1] * nn.sigmoid(x[1:])),
    Fault("the division is rounded", "accuracy", "nn.celu", celu_of_a_rounded_ratio),
    Fault("the sum cancels", "accuracy", "nn.squareplus", root_of_a_sum),
    Fault("-inf times 0", "specials", "nn.gelu_exact", lambda x: x * nn.ndtr(x)),
    Fault("the term with the density is gone", "differences", "nn.gelu_exact", with_rule(exact_gelu, nn.ndtr)),
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
