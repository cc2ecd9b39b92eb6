"""Inputs at which functions have failed, ours or their peers: laws begin with them."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from stablenn import floats
from stablenn.precision.domain import Domain
from stablenn.precision.domain.arguments import ends_of


def _row(*first: float, rest: float = 0.0, size: int = 8) -> tuple[float, ...]:
    return (*first, *[rest] * (size - len(first)))


_short = functools.partial(_row, size=4)


_HOT = _row(1.0)
_LOW = _row(-1e4, -10001.0, rest=-1e4)  # below what people write for -inf: a mask of -100 or -1e4 counts
_MASK = _row(25.0, 0.0, rest=-np.inf)

# By Spec: rows of arguments. The comment says what went wrong there.
FAILURES: Mapping[str, tuple[tuple, ...]] = {
    "nn.sigmoid": (
        (16.64,),  # s (1 - s) is 0
        (20.0,),
        (-88.8,),
        (36.8,),  # the same in float64
    ),
    "nn.log_sigmoid": ((-10.6,), (-1e4,), (16.7,)),  # 8 ulps by the slope; log(sigmoid) is -inf or 0
    "nn.softplus": ((-10.6,), (16.7,), (-1e4,), (1e4,)),
    "nn.softplus_inverse": ((1e-10,), (3e-39,), (0.6931472,), (2.0000002,), (100.0,), (-0.0,)),  # exp(x) - 1 cancels
    "nn.tanh": ((8.0,), (9.1,), (20.0,), (-43.7,), (1e-30,)),  # 1 - tanh(x)^2 is 0
    "nn.log_cosh": (
        (3e-4,),  # exp(x) + exp(-x) is 2
        (2.4414062e-4,),  # in float16 half of the square is beside a tie
        (1e-3,),
        (1.5e-19,),  # the square is nearly too small for the format
        (0.99999994,),  # beside the branch
        (1.0000001,),
        (89.0,),
    ),
    "nn.softcap": (
        (1e-30, 1e38),  # the ratio is flushed
        (600.0, 30.0),  # 1 - tanh(x / c)^2 is 0
        (2500.0, 60.0),  # the exponential magnifies what the division rounds away
        (3.4e38, 1.2e-38),
        (1e-38, 1.2e-38),
        (30.0, 30.0),
        (1e-3, 1.0),  # tanh(u) - u / cosh(u)^2 cancels
    ),
    "nn.silu": (
        (-np.inf,),  # NaN
        (-89.0,),  # the exponential is flushed, the result is not
        (-90.5,),
        (-1.2784645,),  # the derivative changes its sign
        (-1.2784646,),
        (2.3993573,),  # the curvature does
    ),
    "nn.mish": ((-np.inf,), (-89.0,), (-90.5,), (-1.1924609,), (-17.4,), (89.0,)),
    "nn.glu": (
        ((3.4e38, -100.0),),  # the gate is flushed, the result is not
        ((3.4e38, -30.0),),  # a mantissa above 1 times the largest number
        ((1.0, 16.64),),  # s (1 - s) is 0
        ((-np.inf, -np.inf),),
        ((np.nan, -1e5),),  # 0
    ),
    "nn.elu": (
        (-17.33, 1.0),  # the gradient is 0
        (-1.3, 3.4e38),  # a mantissa above 1 times the largest number
        (-100.0, 1e30),  # the exponential is flushed, the result is not
        (-1e-10, 1.0),
        (np.inf, 1.0),  # 0 * inf
    ),
    "nn.celu": (
        (-1e-30, 1e38),  # the ratio is flushed
        (-17.33, 1.0),
        (-2500.0, 40.0),  # the exponential magnifies what the division rounds away
        (-3.4e38, 1.2e-38),
        (-1e-3, 1.0),  # the derivative by alpha cancels
        (np.inf, 1.0),
    ),
    "nn.selu": ((-17.33,), (-1e-10,), (-88.0,), (np.inf,), (-np.inf,)),
    "nn.squareplus": (
        (-1e4, 4.0),  # x + |x|
        (-1e20, 4.0),  # the square overflows
        (1e20, 4.0),
        (-1.0, 3.4e38),
        (-3.4e38, 3.5e37),
        (1e-25, 1.2e-38),  # the square is flushed
        (np.inf, 4.0),
    ),
    "nn.logit": ((0.5000001,), (0.4999999,), (1e-30,), (-0.0,)),  # the logarithms cancel; -0 is a probability
    "nn.log1mexp": ((1e-10,), (0.6931472,), (0.69,), (0.7,), (-0.0,)),  # beside the branch at log 2
    "nn.ndtr": ((-12.5,), (-11.384818,), (-2.16,)),  # 154 ulps by the rounding of x^2
    "nn.log_ndtr": (
        (-1e20,),  # the square overflows
        (-17144.06,),  # the gradient is exp(log_ndtr - x^2/2): infinite or without digits
        (5.0001,),  # beside the branches
        (-10.0001,),
        (0.31,),
    ),
    "nn.gelu": (
        (-4.9,),  # 1 + tanh(u) is 0
        (-10.4,),  # the exponential is flushed, the result is not
        (-1e20,),  # the cube overflows, with a NaN gradient
        (1e20,),
        (-0.7518,),  # the derivative changes its sign
        (1.5e-38,),
    ),
    "nn.gelu_exact": ((-13.1,), (-11.384818,), (-0.7518,), (1.5e-38,), (-2.16,)),
    "nn.safe_sqrt": ((0.0,), (1e-5,)),
    "nn.safe_divide": ((1.0, 0.0), (0.0, 0.0), (1e-20, 1e-20), (1e30, 1e25)),  # y^2 leaves the range
    "nn.xlogy": ((0.0, 0.0), (0.0, np.inf), (1e-30, 1e-30)),
    "nn.xlog1py": ((0.0, -1.0), (2.0, 1e-20), (1.0, -0.4)),  # log1p of float64: 128 ulps
    "nn.logaddexp": (
        (-np.inf, -np.inf),
        (1e30, 1e30),  # the share of each is 1 instead of 1/2
        (60.1, -20.3),
        (-0.37, -0.21),  # the maximum and the logarithm cancel
    ),
    "nn.logsumexp": (
        (_row(85.4),),  # 50 ulps by the rounding of x - max
        (_row(rest=-np.inf),),  # NaN gradient
        (_LOW,),
        (_row(1e4, 9995.0),),
        (_row(1e8, rest=1e8),),
        (_row(65504.0, rest=65504.0),),
    ),
    "nn.logsumexp_with_factors": (
        (_row(0.0, -11.0, rest=-np.inf), _row(1e-4, 6e4, rest=1.0)),  # the largest logit has a tiny factor
        (_row(85.4), _row(2.0, rest=1.0)),
    ),
    "nn.logmeanexp": (
        (_row(3e-5, -1e-5, rest=1e-5),),  # the logarithms of sum and number cancel
        (_row(85.4),),
        (_row(rest=-np.inf),),  # NaN gradient
        (_LOW,),
        (_row(-1.1754946e-38, rest=1.1754946e-38),),  # differences divided by n underflow
    ),
    "nn.logcumsumexp": (
        (_row(-np.inf, -np.inf, 1.0),),  # NaN gradient
        (_row(-1e8, -1e8, rest=0.0),),  # a later, larger entry
        (_row(0.0, -30.0, rest=-20.0),),
    ),
    "nn.logsubexp": ((2.0, 1.9999999), (0.0, -80.0), (0.35, 0.0), (0.34, 0.0), (1e8, 99999992.0), (1.0, 1.0)),
    "nn.softmax": (
        (_row(85.4, -0.025),),  # 65 ulps
        (_row(20.0),),  # the gradient of the confident class is 0
        (_row(-90.0, -90.0, rest=0.0),),
        (_row(rest=-np.inf),),
        (_LOW,),
    ),
    "nn.log_softmax": (
        (_LOW,),
        (_row(16.7),),
        (_row(80.0),),
        (_row(1e4, 9995.0),),
        (_MASK,),
    ),  # 0 past a margin of 16.6
    "nn.norm": (
        (_row(1e20, 1e20),),  # inf
        (_row(1e-25, 3e-25),),  # 0
        (_row(),),  # NaN gradient
        (_row(300.0, 1.0),),  # inf in float16
        (_row(np.inf, 1.0),),
    ),
    "nn.leaky_relu": ((-np.inf, 0.0), (np.inf, 0.01), (-102.0, 0.01)),  # 0 * inf
    "nn.hard_sigmoid": ((2.9999998,), (-3.0,), (3.0,)),  # x + 3 is rounded to 6: no slope
    "nn.hard_silu": ((-1.4999999,), (2.9999998,), (3e38,)),  # the slope cancels, or misses its border
    "nn.sparse_plus": ((3e38,), (-1.0,), (-0.99999994,)),  # NaN gradient
    "nn.sparse_sigmoid": ((1.0000001,), (0.99999994,)),  # x + 1 is rounded to 2: half the slope
    "nn.soft_sign": ((1e6,), (1e20,), (-3e38,)),  # the gradient is 0
    "nn.entr": ((0.0,), (0.36787945,), (0.36732137,), (1e30,)),  # the slope cancels around 1 / e
    "nn.rel_entr": (
        (0.3, 0.30001),  # the logarithms cancel
        (1.0000001, 1.0),
        (1e30, 1e-30),  # the ratio leaves the range
        (2.17258, 2.326112e-37),  # half of the digits of q were flushed
        (0.0, 0.0),
        (1.0, np.inf),
    ),
    "nn.kl_div": (
        (0.3, 0.30001),  # 0 or negative
        (1.0000001, 1.0),
        (1.7632415e-38, 1.1754944e-38),  # the difference is flushed
        (3e38, 2.5e38),  # the sum overflows
        (1.2921819e-10, 9.741544e-36),
        (0.0, 0.0),
        (1.0, np.inf),
    ),
    "nn.normalize": (
        (_row(3e30, 4e30),),
        (_row(3e-30, 4e-30),),
        (_row(),),  # 0 / 0
        (_row(2.4e34, rest=6e36),),  # products of two entries are flushed before they are divided by the norm
        (_row(np.inf, 1.0),),
    ),
    "nn.cosine_similarity": (
        (_row(3e30, 4e30), _row(4e-30, 3e-30)),  # NaN
        (_row(), _HOT),
        (_row(1.0, rest=1.0), _row(7.0, rest=-1.0)),  # orthogonal
        (_row(rest=1e-38), _row(rest=1e8)),  # parallel: inf - inf in the gradient
        (_row(1.0, 1e-20), _row(1e-20, 1.0)),  # nothing but small products
        (  # an entry is flushed beside the largest of its vector, its product counts
            (-1.4439382e36, -1.2543306e-16, -3.6505384e-3, 3.2940835e11, -153.65675, 2.5130143, 11.872553, -0.1292576),
            (-5.0801211e-3, -6.9337607e-26, 1.4118527e10, 3.1582551e-20, 4.4974289, 3e-21, 1.5e-18, -6.5292895e37),
        ),
    ),
    "nn.mean_and_variance": (
        (_row(rest=3e38),),  # the sum overflows
        (_row(4097.0, 4098.0, rest=4099.0),),
        (_row(np.inf, 1.0),),
    ),
    "nn.variance": (
        (_row(1e8, rest=1e8 + 8),),
        (_row(3e38, rest=-3e38),),  # deviations overflow where the gradient does not
        (_row(1.7e19, rest=-1.7e19),),  # the sum of squares overflows where the variance does not
        (_row(rest=0.1),),  # rounded means differ from equal numbers
        (_row(np.inf, rest=np.inf),),
    ),
    "nn.standardize": (
        (_row(1e8, rest=1e8 + 8),),  # -493 for -1
        (_row(4097.0, 4098.0, rest=4099.0),),
        (_row(rest=1e30),),  # NaN
        (_row(3e38, rest=-3e38),),
        (_row(1e-38, rest=-1e-38),),
        (_row(np.inf, 1.0),),
    ),
    "nn.layer_norm": (
        (_short(1e8, rest=1e8 + 8), _short(rest=1.0), _short()),
        (_short(rest=1e30), _short(rest=2.0), _short(rest=1.0)),
        (_short(3e38, rest=-3e38), _short(rest=1e-38), _short(rest=1e-38)),
        (_short(1.0, rest=-1.0), _short(rest=1e25), _short(rest=-3.4e38)),
    ),
    "nn.rms_norm": (
        (_short(1e20, 1e-20), _short(rest=1e25)),  # a ratio that vanishes, times a large factor
        (_short(3e38, rest=-3e38), _short(rest=1.0)),
        (_short(), _short(rest=1.0)),
        (_short(5e-4, -0.0366), _short(rest=1.1754944e-38)),
    ),
    "losses.softmax_cross_entropy": (
        (_row(25.0), _HOT),  # 0, with a gradient of 0
        (_MASK, _HOT),  # 0 * -inf
        (_row(1e4, 9995.0, rest=-1e4), _HOT),
        (_row(0.0, 88.72285, rest=-np.inf), _row(2.3509887e-38, 1.0)),  # the loss of the sure class was flushed
        (_row(3e38, -3e38), _row(0.0, 1e-4)),  # a difference overflows
    ),
    "losses.softmax_cross_entropy_with_integer_labels": (
        (_row(1e4, 9995.0, rest=-1e4), 0),  # 2% off
        (_row(75.0), 0),  # 0
        (_row(1e8, rest=1e8), 7),
        (_row(np.inf), 0),  # NaN for a loss of 0
    ),
    "losses.sigmoid_binary_cross_entropy": (
        (np.inf, 1.0),  # NaN for matching infinities
        (-np.inf, 0.0),
        (-87.33656, 1.1754944e-38),  # label and probability are equally small
        (1.0842e-19, 0.0),
        (-8.472386, 9.1e-12),
    ),
    "losses.kl_divergence": (
        (_row(-0.1, -np.inf, rest=-2.0), _HOT),  # 0 * (log(0) + inf)
        (_row(-20.0, rest=-1e-9), _row(1e-10, 1.0)),
    ),
    "losses.kl_divergence_with_log_targets": (
        (_row(-1.0, rest=-np.inf), _row(0.0, rest=-np.inf)),  # 0 * (-inf + inf)
        (_row(rest=-1e7), _row(rest=-100.0)),  # probabilities flushed to zero
        (_row(-1e30), _row(-90.0)),
        (_row(-np.inf), _row(-1e6)),  # impossible by prediction, hardly possible in truth
    ),
    "losses.smoothed_cross_entropy": (
        (_row(0.0, 1e38), 0, _row(rest=1.18)),  # eight such losses overflow, their mean does not
        (_row(88.72, rest=0.5), 0, _row(0.0879, rest=0.467)),  # two shares are flushed apart, their sum is not
    ),
    "losses.z_loss": ((_row(0.15, -0.1, 0.03, 82.1, 0.04),),),  # a coefficient alone flushes the derivative
    "losses.softmax_focal_loss": ((_row(40.0), 0), (_row(40.0), 1), (_row(1e37, rest=-1e37), 1)),  # 1 - p is 0
    "losses.sigmoid_focal_loss": (
        (-3.4e38, 1.45e-11),  # 1 - p cancels; the derivative is NaN
        (16.7, 1.0),
        (88.8, 1.0),
    ),
    "losses.poly_loss_cross_entropy": ((_row(40.0, rest=-40.0), _HOT), (_row(40.0, rest=-40.0), _row(rest=0.125))),
    "losses.generalized_kl_divergence": ((_row(rest=-1.0), _row(25.0)), (_row(rest=-80.0), _row(rest=1e-38))),
    "losses.multiclass_hinge_loss": (
        (_row(rest=-3.4e38), 6),  # the margin is lost beside large scores
        (_row(0.99999994, rest=0.5), 2),  # one score and the margin are rounded into a tie
    ),
    "losses.sparsemax_loss": ((3.4e38, 0), (-3.4e38, 0)),  # the square of the piece that does not apply
    "losses.l2_loss": ((1.8446744e19, 0.9122137),),  # the square overflows, half of it does not
    "losses.huber_loss": ((0.0, 1.0842021e-19), (1e-9, 0.0), (3.4e38, -3.4e38)),  # (x - 1) + 1
    "losses.log_cosh": ((3.278e-5, -4.28e-8), (1e-3, 0.0), (0.0, 1.0842021e-19), (3e38, -3e38)),  # log(sum) - log(2)
    "losses.cosine_distance": (
        (_row(), _row(1e-3, rest=1.0)),  # NaN for a vector of zeros
        (_row(1e20, 1.0), _row(1e20, 2.0)),
        (_row(-0.6676873, 0.16324401, rest=1.0), _row(-0.6676873, 0.16324401, rest=1.0)),  # below 0
    ),
    "losses.gaussian_nll": ((1e25, 0.0, 80.0), (1e-25, 0.0, -80.0), (3e38, -3e38, 176.0)),  # the square alone
    "losses.poisson_nll": ((40.0, 2.3538527e17), (0.0, 1.0), (-80.0, 1e-30)),  # two terms cancel
}


def past_failures(name: str, domain: Domain, *, subnormals: bool) -> tuple[np.ndarray, ...] | None:
    """The failures of one Spec as a batch of its domain's dtypes.

    What overflows there becomes infinite, or an end of the argument's range.
    """
    rows = FAILURES.get(name)
    if not rows:
        return None
    columns = []
    for argument, column in zip(domain.arguments, zip(*rows, strict=True), strict=True):
        with np.errstate(over="ignore"):
            dtype = floats.format_of(argument.dtype).dtype if argument.is_float else argument.dtype
            values = np.clip(np.array(column).astype(dtype), *ends_of(argument))
        if argument.is_float and not subnormals:
            tiny = np.abs(values.astype(np.float64)) < floats.format_of(argument.dtype).tiny
            values = np.where(tiny, np.copysign(np.zeros((), values.dtype), values), values)
        if argument.is_float and not argument.simplex:
            values = np.clip(values, *ends_of(argument))
        columns.append(values)
    return tuple(columns)
