"""What the speed of the kit is measured on: each function beside its peer, or beside plain jax.numpy.

Chosen before the kit was made fast. No function may look at these shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from stablenn import losses, nn

SHAPES = {
    "square": (1000, 1000),
    "long rows": (16, 65536),
    "short rows": (10007, 97),
    "few classes": (128, 10),
    "classes": (4096, 1000),
    "prime classes": (1021, 8191),
    "vocabulary": (512, 50257),
    "large vocabulary": (256, 131072),
    "vector": (10_000_000,),
}
ROWS = ("square", "long rows", "short rows")
VOCABULARIES = ("vocabulary", "large vocabulary")
CLASSES = ("few classes", "short rows", "classes", "prime classes", *VOCABULARIES)


class Case(NamedTuple):
    """Two functions of the same arguments, and how the arguments are made of normal numbers.

    Of an objective the mean is timed, and its value together with its gradient.
    """

    ours: Callable
    theirs: Callable
    arguments: tuple[Callable[[np.ndarray], np.ndarray], ...]
    shapes: tuple[str, ...] = ROWS
    is_objective: bool = False


def _wide(z: np.ndarray) -> np.ndarray:
    return 5 * z


def _plain(z: np.ndarray) -> np.ndarray:
    return z


def _positive(z: np.ndarray) -> np.ndarray:
    return np.exp(z)


def _unit(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _class_of_row(z: np.ndarray) -> np.ndarray:
    return np.int32(np.abs(z[..., 0]) * 1e6) % z.shape[-1]


def _sign(z: np.ndarray) -> np.ndarray:
    return np.float32(z > 0)


def _shares(z: np.ndarray) -> np.ndarray:
    return np.exp(z) / np.exp(z).sum(-1, keepdims=True)


def _layer_norm(x: jax.Array, scale: jax.Array, bias: jax.Array) -> jax.Array:
    centred = x - jnp.mean(x, -1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.var(x, -1, keepdims=True) + 1e-5) * scale + bias


def _rms_norm(x: jax.Array, scale: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * scale


def _attention_weights(query: jax.Array, key: jax.Array) -> jax.Array:
    return jax.nn.softmax(jnp.einsum("tnh,snh->nts", query, key) / query.shape[-1] ** 0.5)


def _with_ten_heads(fn: Callable) -> Callable:
    return lambda *arguments: fn(*(x.reshape(x.shape[0], 10, -1) for x in arguments))


def _of_first_row(fn: Callable, count: int) -> Callable:
    """A function of an array and of `count` vectors, called with arrays of one shape."""
    return lambda x, *vectors: fn(x, *(v[0] for v in vectors[:count]))


def _univariate(name: str, theirs: Callable, argument: Callable = _wide) -> tuple[str, Case]:
    return name, Case(getattr(nn, name), theirs, (argument,))


CASES: dict[str, Case] = dict(
    [
        _univariate("sigmoid", jax.nn.sigmoid),
        _univariate("log_sigmoid", jax.nn.log_sigmoid),
        _univariate("softplus", jax.nn.softplus),
        _univariate("softplus_inverse", lambda x: x + jnp.log(-jnp.expm1(-x)), _positive),
        _univariate("logit", jax.scipy.special.logit, _unit),
        _univariate("tanh", jnp.tanh),
        _univariate("log_cosh", lambda x: jnp.logaddexp(x, -x) - jnp.log(2.0).astype(x.dtype)),
        _univariate("silu", jax.nn.silu),
        _univariate("mish", jax.nn.mish),
        _univariate("elu", jax.nn.elu),
        _univariate("celu", jax.nn.celu),
        _univariate("selu", jax.nn.selu),
        _univariate("squareplus", jax.nn.squareplus),
        _univariate("gelu", jax.nn.gelu),
        _univariate("ndtr", jax.scipy.special.ndtr),
        _univariate("log_ndtr", jax.scipy.special.log_ndtr),
        _univariate("log1mexp", jax.nn.log1mexp, _positive),
        _univariate("clipped_log", jnp.log, _positive),
        _univariate("entr", jax.scipy.special.entr, _positive),
        _univariate("relu", jax.nn.relu),
        _univariate("relu6", jax.nn.relu6),
        _univariate("leaky_relu", jax.nn.leaky_relu),
        _univariate("hard_sigmoid", jax.nn.hard_sigmoid),
        _univariate("hard_silu", jax.nn.hard_silu),
        _univariate("hard_tanh", jax.nn.hard_tanh),
        _univariate("sparse_plus", jax.nn.sparse_plus),
        _univariate("sparse_sigmoid", jax.nn.sparse_sigmoid),
        _univariate("soft_sign", jax.nn.soft_sign),
        _univariate("safe_sqrt", jnp.sqrt, _positive),
        _univariate("logcumsumexp", lambda x: jax.lax.cumlogsumexp(x, 0)),
    ]
)
CASES |= {
    "gelu_exact": Case(lambda x: nn.gelu(x, approximate=False), lambda x: jax.nn.gelu(x, approximate=False), (_wide,)),
    "glu": Case(nn.glu, jax.nn.glu, (_wide,), ("square", "long rows")),
    "softcap": Case(lambda x: nn.softcap(x, 5.0), lambda x: 5 * jnp.tanh(x / 5), (_wide,)),
    "safe_divide": Case(nn.safe_divide, jnp.divide, (_plain, _positive)),
    "xlogy": Case(nn.xlogy, jax.scipy.special.xlogy, (_positive, _positive)),
    "xlog1py": Case(nn.xlog1py, jax.scipy.special.xlog1py, (_positive, _positive)),
    "rel_entr": Case(nn.rel_entr, jax.scipy.special.rel_entr, (_positive, _positive)),
    "kl_div": Case(nn.kl_div, jax.scipy.special.kl_div, (_positive, _positive)),
    "logaddexp": Case(nn.logaddexp, jnp.logaddexp, (_wide, _wide)),
    "logsubexp": Case(
        lambda x, d: nn.logsubexp(x + d, x), lambda x, d: (x + d) + jnp.log(-jnp.expm1(-d)), (_wide, _positive)
    ),
    "softmax": Case(nn.softmax, jax.nn.softmax, (_wide,)),
    "log_softmax": Case(nn.log_softmax, jax.nn.log_softmax, (_wide,)),
    "logsumexp": Case(
        lambda x: nn.logsumexp(x, -1), lambda x: jax.nn.logsumexp(x, -1), (_wide,), (*ROWS, *VOCABULARIES)
    ),
    "logsumexp_with_factors": Case(
        lambda x, b: nn.logsumexp(x, -1, b), lambda x, b: jax.nn.logsumexp(x, -1, b), (_wide, _positive)
    ),
    "logmeanexp": Case(lambda x: nn.logmeanexp(x, -1), lambda x: jax.nn.logmeanexp(x, -1), (_wide,)),
    "norm": Case(lambda x: nn.norm(x, axis=-1), lambda x: jnp.linalg.norm(x, axis=-1), (_plain,)),
    "normalize": Case(nn.normalize, lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True), (_plain,)),
    "cosine_similarity": Case(nn.cosine_similarity, optax.losses.cosine_similarity, (_plain, _plain)),
    "variance": Case(lambda x: nn.variance(x, -1), lambda x: jnp.var(x, -1), (_plain,)),
    "mean_and_variance": Case(
        lambda x: sum(nn.mean_and_variance(x, -1)), lambda x: jnp.mean(x, -1) + jnp.var(x, -1), (_plain,)
    ),
    "standardize": Case(nn.standardize, jax.nn.standardize, (_plain,)),
    "layer_norm": Case(_of_first_row(nn.layer_norm, 2), _of_first_row(_layer_norm, 2), (_plain, _positive, _plain)),
    "rms_norm": Case(_of_first_row(nn.rms_norm, 1), _of_first_row(_rms_norm, 1), (_plain, _positive)),
    "attention_weights": Case(
        _with_ten_heads(nn.attention_weights), _with_ten_heads(_attention_weights), (_plain, _plain), ("square",)
    ),
}


def _objective(name: str, *arguments: Callable, shapes: tuple[str, ...] = CLASSES) -> tuple[str, Case]:
    return name, Case(getattr(losses, name), getattr(optax.losses, name), arguments, shapes, True)


OBJECTIVES: dict[str, Case] = dict(
    [
        _objective("softmax_cross_entropy_with_integer_labels", _wide, _class_of_row),
        _objective("softmax_cross_entropy", _wide, _shares),
        _objective("sigmoid_binary_cross_entropy", _wide, _sign, shapes=("classes", "vector")),
        _objective("sigmoid_focal_loss", _wide, _sign, shapes=("classes", "vector")),
        _objective("kl_divergence", _wide, _shares, shapes=("classes",)),
        _objective("log_cosh", _wide, _plain, shapes=("classes",)),
    ]
)
CASES |= {f"losses.{name}": case for name, case in OBJECTIVES.items()}
