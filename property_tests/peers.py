"""The functions that ours replace, and what is wrong with each: the only reasons for which they may break a law.

Where no version is named, jax 0.10.2 and 0.12.0.1 with optax 0.2.8 behave alike.
"""

from __future__ import annotations

import dataclasses

import jax


@dataclasses.dataclass(frozen=True)
class Peer:
    """A peer, the Spec whose laws it is held to, and its defects by what they are defects of.

    `laws` are those that a defect breaks with every seed; the others of the same quantity may be broken, too.
    """

    path: str
    spec: str
    laws: frozenset[str]
    value: str = ""
    gradient: str = ""
    types: str = ""

    @property
    def defective(self) -> frozenset[str]:
        return frozenset(name for name in ("value", "gradient", "types") if getattr(self, name))


def peer(path: str, spec: str, laws: str, **defects: str) -> Peer:
    return Peer(path, spec, frozenset(laws.split()), **defects)


NEIGHBOURS = jax.__version_info__ >= (0, 12)  # rel_entr and kl_div look at p - q where it is small
EXP = jax.__version_info__ >= (0, 12)  # the slope of elu and selu is made of exp(x), not of expm1(x) + 1
STRONG = "a Python number counts as an array of float32"
WIDER = "(3, 1) against (4,) becomes (3, 4)"
NO_NAN = "finite where the value is NaN, and so is the function"

PEERS = (
    peer(
        "jax.nn:sigmoid",
        "nn.sigmoid",
        "accuracy differences",
        gradient="s (1 - s) loses its digits from x = 5 on and is 0 from 16.64",
    ),
    peer("jax.nn:log_sigmoid", "nn.log_sigmoid", "accuracy", gradient="8 ulps: exp(x - log(1 + exp(x)))"),
    peer("jax.nn:softplus", "nn.softplus", "accuracy", gradient="8 ulps: exp(x - log(1 + exp(x)))"),
    peer(
        "jax.nn:tanh",
        "nn.tanh",
        "accuracy specials differences curvature",
        gradient="1 - tanh(x)^2 is 0 from x = 8 on",
    ),
    peer(
        "jax.nn:silu",
        "nn.silu",
        "accuracy specials differences curvature relations",
        value="NaN at -inf; sigmoid(x) is flushed even where its product with x is a normal number",
        gradient="NaN at infinities; 0 or without digits where the value is flushed",
    ),
    peer(
        "jax.nn:mish",
        "nn.mish",
        "accuracy specials differences curvature",
        value="NaN at -inf; the gate is flushed even where its product with x is a normal number",
        gradient="NaN at infinities; 0 or without digits where the value is flushed",
    ),
    peer(
        "jax.nn:glu",
        "nn.glu",
        "accuracy specials differences curvature",
        value="NaN for two infinities; the gate is flushed even where its product is a normal number",
        gradient="NaN for two infinities; s (1 - s) is 0 from 16.64 on",
    ),
    peer(
        "jax.nn:elu",
        "nn.elu",
        "accuracy differences" if EXP else "accuracy specials differences curvature",
        gradient="exp(x) is flushed even where its product with alpha is a normal number; jax 0.10.2: 0 from -17.33",
    ),
    peer(
        "jax.nn:celu",
        "nn.celu",
        "accuracy specials differences curvature transformations",
        value="0 where x / alpha is flushed",
        gradient="0 from x / alpha = -17.33 down; NaN for small alpha",
    ),
    peer(
        "jax.nn:selu",
        "nn.selu",
        "accuracy" if EXP else "accuracy specials differences curvature",
        gradient="exp(x) is flushed even where its product is a normal number; jax 0.10.2: 0 from -17.33",
    ),
    peer(
        "jax.nn:squareplus",
        "nn.squareplus",
        "accuracy specials differences curvature transformations monotonicity",
        value="x and the root cancel to the left of 0; the square overflows from 1e19 on; NaN at -inf",
        gradient="the same",
    ),
    peer(
        "jax.scipy.special:logit",
        "nn.logit",
        "accuracy specials transformations",
        value="around p = 1/2 the two logarithms cancel: every digit is wrong",
        gradient=NO_NAN,
    ),
    peer("jax.nn:log1mexp", "nn.log1mexp", "accuracy specials transformations", gradient=NO_NAN),
    peer("jax.numpy:sqrt", "nn.safe_sqrt", "accuracy specials", gradient="infinite at 0, by another convention"),
    peer(
        "jax.numpy:divide",
        "nn.safe_divide",
        "accuracy specials",
        value="infinite or NaN where the divisor is 0, by another convention",
        gradient="the same",
    ),
    peer(
        "jax.numpy:logaddexp",
        "nn.logaddexp",
        "accuracy specials",
        gradient="the share of each of two equal large numbers is 1, not 1/2; NaN where both are -inf",
    ),
    peer(
        "jax.scipy.special:xlogy",
        "nn.xlogy",
        "accuracy specials transformations",
        gradient=f"NaN at (0, 0); {NO_NAN}",
    ),
    peer("jax.scipy.special:xlog1py", "nn.xlog1py", "accuracy specials", gradient=f"NaN at (0, -1); {NO_NAN}"),
    peer(
        "jax.scipy.special:ndtr",
        "nn.ndtr",
        "accuracy types",
        value="154 ulps by the rounding of x^2",
        gradient="the same",
        types=STRONG,
    ),
    peer(
        "jax.scipy.special:log_ndtr",
        "nn.log_ndtr",
        "accuracy specials types",
        value="-inf below -1.8e19; 1e6 ulps beside x = 5",
        gradient="exp(-x^2/2 - log_ndtr(x)): without digits from -1e4 on, then infinite or NaN",
        types=STRONG,
    ),
    peer(
        "jax.nn:gelu",
        "nn.gelu",
        "accuracy specials types",
        value="0 below -4.87; NaN at -inf",
        gradient="0 or without digits there; NaN beyond 1.07e19",
        types=STRONG,
    ),
    peer(
        "jax.nn:gelu",
        "nn.gelu_exact",
        "accuracy specials types",
        value="227 ulps by the rounding of x^2; flushed too early; NaN at -inf",
        gradient="the same; NaN at infinities",
        types=STRONG,
    ),
    peer(
        "jax.scipy.special:logsumexp",
        "nn.logsumexp",
        "accuracy specials lengths differences masking",
        gradient="65 ulps by the rounding of x - max; NaN where all entries are -inf",
    ),
    peer(
        "jax.scipy.special:logsumexp",
        "nn.logsumexp_with_factors",
        "accuracy specials differences masking relations",
        value="-inf where the largest logit has a tiny factor, inf for large factors",
        gradient="65 ulps by the rounding of a - max; NaN or 0 where the value is infinite",
    ),
    peer(
        "jax.nn:logmeanexp",
        "nn.logmeanexp",
        "accuracy specials lengths masking relations",
        value="the logarithms of the sum and of n cancel: every digit is wrong for small numbers",
        gradient="65 ulps by the rounding of x - max; NaN where all entries are -inf",
    ),
    peer(
        "jax.lax:cumlogsumexp",
        "nn.logcumsumexp",
        "accuracy specials",
        value="the rounding of differences and of one logarithm a step",
        gradient="the differences of rounded sums; NaN where a sum begins with -inf",
    ),
    peer(
        "jax.nn:softmax",
        "nn.softmax",
        "accuracy specials lengths differences relations masking",
        value="65 ulps by the rounding of x - max; entries are flushed one by one",
        gradient="s (1 - s) is 0 where an entry is sure",
    ),
    peer(
        "jax.nn:log_softmax",
        "nn.log_softmax",
        "accuracy specials lengths differences relations normalisation masking",
        value="0 past a margin of 16.6",
        gradient="1 - s is 0 there, and s is 65 ulps off",
    ),
    peer(
        "jax.numpy.linalg:norm",
        "nn.norm",
        "accuracy specials lengths differences relations bounds",
        value="squares overflow from 1e19 on, and vanish below 1e-23",
        gradient="NaN at 0, infinite or zero where the value is",
    ),
    peer(
        "optax.losses:cosine_similarity",
        "nn.cosine_similarity",
        "accuracy specials lengths relations",
        value="NaN for a vector of zeros and where a square overflows, as from 1e19 on, or vanishes, below 1e-23",
        gradient="the same",
    ),
    peer(
        "jax.numpy:var",
        "nn.variance",
        "accuracy specials relations",
        value="NaN or infinite where a sum overflows; of equal numbers not 0, since their mean is rounded",
        gradient="the same",
    ),
    peer(
        "jax.nn:standardize",
        "nn.standardize",
        "accuracy specials relations",
        value="E[x^2] - E[x]^2 cancels: no digit is right from an offset of 1e4 on; NaN for squares that overflow",
        gradient="the same",
    ),
    peer(
        "optax.losses:softmax_cross_entropy",
        "losses.softmax_cross_entropy",
        "accuracy specials lengths masking",
        value="0 past a margin of 16.6; NaN for an impossible class with the label 0",
        gradient="1 - s is 0 past a margin of 16.6; NaN as above",
    ),
    peer(
        "optax.losses:softmax_cross_entropy_with_integer_labels",
        "losses.softmax_cross_entropy_with_integer_labels",
        "accuracy specials lengths relations identities convexity masking",
        value="log(sum) + max - logit: 0 for a sure answer, 2% off at logits of 1e4, every digit at 1e8",
        gradient="65 ulps by the rounding of x - max, and 1 - s is 0 for a sure answer",
    ),
    peer(
        "optax.losses:sigmoid_binary_cross_entropy",
        "losses.sigmoid_binary_cross_entropy",
        "accuracy specials differences types",
        value="NaN for infinite logits that agree; 3533 ulps where label and probability are both near 1e-38",
        gradient="0 or without digits where sigmoid(x) - y cancels",
        types="Python numbers are refused",
    ),
    peer(
        "optax.losses:kl_divergence",
        "losses.kl_divergence",
        "accuracy specials lengths transformations masking",
        value="NaN for an impossible class with the target 0",
        gradient="NaN at a target of 0",
    ),
    peer(
        "optax.losses:kl_divergence_with_log_targets",
        "losses.kl_divergence_with_log_targets",
        "accuracy specials relations masking",
        value="NaN for log-targets of -inf; exp(t) is flushed even where its product with t - q is a normal number",
        gradient="the same",
    ),
    *(
        peer(
            f"optax.losses:{name}",
            f"losses.{name}",
            "accuracy specials differences",
            value=f"0 past a margin of 16.6; NaN {where}",
            gradient="1 - s is 0 past a margin of 16.6; NaN as above",
        )
        for name, where in (
            ("safe_softmax_cross_entropy", "where a logit is inf"),
            ("ranking_softmax_loss", "for an impossible item with the label 0"),
        )
    ),
    peer(
        "optax.losses:sigmoid_focal_loss",
        "losses.sigmoid_focal_loss",
        "accuracy specials differences curvature relations types",
        value="1 - p cancels: 31 ulps",
        gradient="NaN for the largest logits; without digits where the value is",
        types=WIDER,
    ),
    peer(
        "optax.losses:poly_loss_cross_entropy",
        "losses.poly_loss_cross_entropy",
        "accuracy specials masking",
        value="0 past a margin of 16.6",
        gradient="1 - s is 0 there; NaN for masked classes",
    ),
    peer("optax.losses:smooth_labels", "losses.smooth_labels", ""),
    peer(
        "optax.losses:generalized_kl_divergence",
        "losses.generalized_kl_divergence",
        "accuracy specials masking",
        gradient="NaN at a target of 0",
    ),
    peer(
        "optax.losses:convex_kl_divergence",
        "losses.convex_kl_divergence",
        "accuracy specials",
        gradient="NaN at a target of 0",
    ),
    peer("optax.losses:hinge_loss", "losses.hinge_loss", "types", types=WIDER),
    peer(
        "optax.losses:sparsemax_loss",
        "losses.sparsemax_loss",
        "accuracy specials types",
        gradient="NaN where the square of the piece that does not apply overflows",
        types=WIDER,
    ),
    peer(
        "optax.losses:multiclass_hinge_loss",
        "losses.multiclass_hinge_loss",
        "accuracy specials differences bounds",
        value="the margin is lost in large scores: 0 instead of 1",
        gradient="the rounding of scores + 1 makes ties",
    ),
    peer("optax.losses:multiclass_perceptron_loss", "losses.multiclass_perceptron_loss", ""),
    peer("optax.losses:squared_error", "losses.squared_error", ""),
    peer(
        "optax.losses:l2_loss",
        "losses.l2_loss",
        "accuracy specials relations",
        value="inf where the square overflows and half of it does not",
    ),
    peer(
        "optax.losses:huber_loss",
        "losses.huber_loss",
        "accuracy specials differences transformations types",
        gradient="(x - 1) + 1 for small errors: 0 from 3e-8 down",
        types=WIDER,
    ),
    peer(
        "optax.losses:log_cosh",
        "losses.log_cosh",
        "accuracy specials differences transformations relations types",
        value="the sum and log(2) cancel: every digit of a small loss is wrong",
        gradient="the difference of two shares: 0 from 3e-8 down",
        types=WIDER,
    ),
    peer(
        "optax.losses:cosine_distance",
        "losses.cosine_distance",
        "accuracy specials lengths relations bounds masking",
        value="NaN for a vector of zeros, and where a square overflows or vanishes; below 0 for equal vectors",
        gradient="the same",
    ),
    peer(
        "optax.losses:ntxent",
        "losses.ntxent",
        "bounds",
        value="below 0 where the loss is all but 0",
        gradient="its second derivatives cancel",
    ),
    peer("optax.losses:triplet_margin_loss", "losses.triplet_margin_loss", ""),
    peer(
        "optax.losses:dice_loss",
        "losses.dice_loss",
        "accuracy",
        value="1 - overlap cancels where the overlap is nearly whole",
    ),
    peer(
        "optax.losses:multiclass_generalized_dice_loss",
        "losses.multiclass_generalized_dice_loss",
        "accuracy specials",
        value="1 - overlap cancels where the overlap is nearly whole",
    ),
    peer(
        "optax.losses:binary_dice_loss",
        "losses.binary_dice_loss",
        "accuracy specials",
        value="1 - overlap cancels where the overlap is nearly whole",
    ),
    peer(
        "optax.losses:ctc_loss",
        "losses.ctc_loss",
        "transformations",
        value="raises under shard_map, since its scan begins with what does not vary",
        gradient="raises, too",
    ),
    peer("jax.nn:relu", "nn.relu", ""),
    peer("jax.nn:relu6", "nn.relu6", ""),
    peer("jax.nn:hard_tanh", "nn.hard_tanh", ""),
    peer(
        "jax.nn:leaky_relu",
        "nn.leaky_relu",
        "specials",
        value="NaN at -inf with a slope of 0",
        gradient="NaN by the slope at inf",
    ),
    peer(
        "jax.nn:hard_sigmoid",
        "nn.hard_sigmoid",
        "accuracy",
        gradient="0 at the last number below 3, since x + 3 is rounded to 6",
    ),
    *(
        peer(
            f"jax.nn:{name}",
            "nn.hard_silu",
            "accuracy specials",
            value="NaN at -inf",
            gradient="NaN at inf; around -3/2 two terms cancel; 1 instead of 3/2 below 3",
        )
        for name in ("hard_silu", "hard_swish")
    ),
    peer(
        "jax.nn:sparse_plus",
        "nn.sparse_plus",
        "accuracy",
        gradient="NaN where the derivative of the other piece overflows",
    ),
    peer(
        "jax.nn:sparse_sigmoid",
        "nn.sparse_sigmoid",
        "accuracy",
        gradient="1/4 beside 1, too, since x + 1 is rounded to 2",
    ),
    peer(
        "jax.nn:soft_sign",
        "nn.soft_sign",
        "accuracy specials",
        value="NaN at infinity",
        gradient="1 / (1 + |x|) and |x| / (1 + |x|)^2 cancel; NaN at infinity",
    ),
    peer(
        "jax.scipy.special:entr",
        "nn.entr",
        "accuracy",
        gradient="log(x) + 1 cancels around 1 / e",
    ),
    peer(
        "jax.scipy.special:rel_entr",
        "nn.rel_entr",
        "accuracy specials transformations",
        value="" if NEIGHBOURS else "jax 0.10.2: p log(p) and p log(q) cancel near p = q",
        gradient="finite where the value is infinite, and 0 by p where p is 0, by another convention",
    ),
    peer(
        "jax.scipy.special:kl_div",
        "nn.kl_div",
        "accuracy specials transformations",
        value="NaN where one argument is infinite; jax 0.10.2: its terms cancel near p = q, and it is negative",
        gradient="finite where the value is infinite, and 0 by p where p is 0, by another convention",
    ),
)
