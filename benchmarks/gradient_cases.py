"""The frozen cases on which gradient checkers are compared: planted faults, and healthy functions that are hard.

They were chosen before the checker existed and are not to be fitted to it. A planted fault has to be found; a healthy
case must raise no alarm. Where a function has a custom_vjp rule, forward mode is not available, and its name says so.

Arrays within the functions are exact in every dtype, so that a case is one function in all of them. The rules
multiply in float32 at least and round once: 1.001 is 1 in bfloat16.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, nn
from jax.custom_derivatives import linear_call
from jax.scipy import special

ALL = ("float32", "float64", "bfloat16", "float16")
WIDE = ALL[:2]
NO_HALF = ALL[:3]
NO_BFLOAT = (*WIDE, "float16")

FAULTS = (
    "x1.5",
    "x1.001",
    "sign",
    "one of 10,000 zeroed",
    "forgotten 1/N",
    "one branch wrong",
    "NaN gradient",
    "vjp wrong",
    "vanished",
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A function to check at given arguments, and whether something is wrong with it."""

    name: str
    make: Callable[[Any], tuple[Callable, tuple]]
    """From a dtype: the function under check, and the arguments to check it at."""
    fault: str | None = None
    dtypes: tuple[str, ...] = ALL


def _case(name: str, fn: Callable, *values: Any, dtypes: tuple[str, ...] = ALL) -> Case:
    """A value is a pytree, or a callable that gives one for the name of a dtype; the floats in it take the dtype."""

    def make(dtype: Any) -> tuple[Callable, tuple]:
        kinds = {"f": dtype, "c": jnp.result_type(dtype, jnp.complex64), "i": jnp.int32, "b": jnp.bool_}
        chosen = tuple(value(jnp.dtype(dtype).name) if callable(value) else value for value in values)
        return fn, jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), kinds[np.asarray(leaf).dtype.kind]), chosen)

    return Case(name, make, dtypes=dtypes)


# Values


def _by(float32: Any, float64: Any, bfloat16: Any, float16: Any) -> Callable[[str], Any]:
    return dict(float32=float32, float64=float64, bfloat16=bfloat16, float16=float16).__getitem__


def _steps(start: float, *counts: int) -> Callable[[str], np.ndarray]:
    """`start`, moved by so many epsilons of the dtype."""
    return lambda dtype: start + np.array(counts) * float(jnp.finfo(dtype).eps)


def _normal(seed: int, *shape: int, scale: float = 1.0, offset: float = 0.0) -> np.ndarray:
    return offset + scale * np.random.default_rng(seed).standard_normal(shape)


def _uniform(seed: int, *shape: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape)


def _coarse(seed: int, *shape: int) -> np.ndarray:
    """Multiples of 1/64 between -2 and 2 without 0, exact in every dtype: constants for use within a function."""
    return np.random.default_rng(seed).choice([-1, 1], shape) * _dyadic(seed + 1, *shape)


def _dyadic(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 129, shape) / 64


def _pick(seed: int, count: int) -> int:
    return int(np.random.default_rng(seed).integers(count))


def _as(x: jax.Array, constant: np.ndarray) -> jax.Array:
    return jnp.asarray(constant, x.dtype)


# Rules, right and wrong


def _wide(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _sloped(x: jax.Array, slope: Callable, t: jax.Array) -> jax.Array:
    return (slope(_wide(x)) * _wide(t)).astype(t.dtype)


def _with_jvp(fn: Callable, slope: Callable) -> Callable:
    """Elementwise `fn`, with a custom_jvp rule of this slope."""
    ruled = jax.custom_jvp(fn)
    ruled.defjvp(lambda xs, ts: (fn(*xs), _sloped(*xs, slope, *ts)))
    return ruled


def _with_vjp(fn: Callable, slope: Callable) -> Callable:
    """Elementwise `fn`, with a custom_vjp rule of this slope."""
    ruled = jax.custom_vjp(fn)
    ruled.defvjp(lambda x: (fn(x), x), lambda x, ct: (_sloped(x, slope, ct),))
    return ruled


def _with_two(fn: Callable, slope: Callable, slope_back: Callable) -> Callable:
    """Elementwise `fn`, with a custom_jvp rule of this slope, whose transpose has another one."""
    ruled = jax.custom_jvp(fn)

    @ruled.defjvp
    def _(xs: tuple, ts: tuple) -> tuple:
        along, back = (lambda x, t, slope=s: _sloped(x, slope, t) for s in (slope, slope_back))
        return fn(*xs), linear_call(along, back, *xs, *ts)

    return ruled


def _bent(fn: Callable, bend: Callable, mode: str = "jvp") -> Callable:
    """`fn`, with a custom rule: its own tangent or its own cotangents, put through `bend`."""
    if mode == "jvp":
        ruled = jax.custom_jvp(fn)

        @ruled.defjvp
        def _(xs: tuple, ts: tuple) -> tuple:
            y, t = jax.jvp(fn, xs, ts)
            return y, bend(t)

    else:
        ruled = jax.custom_vjp(fn)
        ruled.defvjp(lambda *xs: (fn(*xs), xs), lambda xs, ct: bend(jax.vjp(fn, *xs)[1](ct)))
    return ruled


def _by_factor(factor: float) -> Callable:
    return lambda t: jax.tree.map(lambda leaf: (_wide(leaf) * factor).astype(leaf.dtype), t)


def _leak(x: jax.Array, factor: float | jax.Array) -> jax.Array:
    """x itself, with `factor` times its gradient: no custom rule, but a stray stop_gradient."""
    return x + (factor - 1) * (x - lax.stop_gradient(x))


def _drop(x: jax.Array, at: int) -> jax.Array:
    """x itself, without the gradient of one element."""
    return jnp.where(jnp.arange(x.size).reshape(x.shape) == at, lax.stop_gradient(x), x)


# Programs, with a place for a fault where there is one


def _same(x: jax.Array) -> jax.Array:
    return x


def _layers(seed: int, *sizes: int) -> dict[str, np.ndarray]:
    """Weights w1, w2, ... and biases b1, b2, ... of an MLP."""
    params = {}
    for i, (m, n) in enumerate(itertools.pairwise(sizes), 1):
        params |= {f"w{i}": _normal(seed + i, m, n) / np.sqrt(m), f"b{i}": _normal(seed - i, n, scale=0.3)}
    return params


def _mlp(activate: Callable, params: dict, x: jax.Array) -> jax.Array:
    return jnp.mean(jnp.square(activate(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]))


def _mlp_leaking(activate: Callable, name: str, factor: float, params: dict, x: jax.Array) -> jax.Array:
    return _mlp(activate, params | {name: _leak(params[name], factor)}, x)


def _attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
    scores = jnp.where(jnp.tri(len(q), len(k), dtype=bool), q @ k.T / 4, -jnp.inf)
    return nn.softmax(scores) @ v


def _rnn(params: dict, xs: jax.Array, carry: Callable = _same) -> jax.Array:
    def step(h: jax.Array, x: jax.Array) -> tuple:
        return jnp.tanh(carry(h) @ params["u"] + x @ params["w"]), None

    return jnp.sum(jnp.square(lax.scan(step, jnp.zeros(len(params["u"]), xs.dtype), xs)[0]))


def _layer_norm(x: jax.Array, gain: jax.Array, bias: jax.Array, mean: Callable = _same) -> jax.Array:
    centred = x - mean(jnp.mean(x, -1, keepdims=True))
    return centred * lax.rsqrt(jnp.mean(centred**2, -1, keepdims=True) + 2.0**-10) * gain + bias


def _cross_entropy(logits: jax.Array, labels: np.ndarray) -> jax.Array:
    return -jnp.mean(jnp.take_along_axis(nn.log_softmax(logits), labels[:, None], -1))


def _labelled_loss(params: dict, labels: jax.Array, bias: Callable = _same) -> jax.Array:
    """A loss over a pytree that also holds integers and None."""
    return _cross_entropy(params["features"] @ params["dense"][0] + bias(params["dense"][1]), labels)


def _labelled(seed: int) -> dict[str, Any]:
    dense = _normal(seed, 6, 5), _normal(seed + 1, 5, scale=0.1)
    return {"features": _normal(seed + 2, 12, 6), "dense": dense, "step": np.int32(7), "mask": None}


def _newton_sqrt(x: jax.Array) -> jax.Array:
    return lax.fori_loop(0, 6, lambda _, y: (y + x / y) / 2, jnp.ones_like(x))


def _by_turns(even: Callable, x: jax.Array) -> jax.Array:
    """A loop whose even steps and odd steps take different branches of a cond."""
    return lax.fori_loop(0, 6, lambda i, y: lax.cond(i % 2 == 0, lambda y: jnp.sin(even(y)), jnp.sinh, y), x)


def _cond(first: Callable, second: Callable, x: jax.Array) -> jax.Array:
    return lax.cond(jnp.sum(x) > 0, first, second, x)


def _huber(x: jax.Array) -> jax.Array:
    return jnp.where(abs(x) <= 1, x * x / 2, abs(x) - 0.5)


@jax.custom_jvp
def _greedy_maximum(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.where(a > b, a, b)


_greedy_maximum.defjvps(
    lambda t, _, a, b: jnp.where(a >= b, t, 0),
    lambda t, _, a, b: jnp.where(b >= a, t, 0),
)


def _sinc(x: jax.Array) -> jax.Array:
    near = abs(x) < 0.25
    return jnp.where(near, 1 - x * x / 6 * (1 - x * x / 20), jnp.sin(x) / jnp.where(near, 1, x))


def _log1mexp(x: jax.Array) -> jax.Array:
    return jnp.log(-jnp.expm1(-x))


def _logsumexp(x: jax.Array) -> jax.Array:
    return special.logsumexp(x, -1)


def _softplus(x: jax.Array) -> jax.Array:
    return jnp.logaddexp(x, 0)


@jax.custom_vjp
def _right_logsumexp(x: jax.Array) -> jax.Array:
    return _logsumexp(x)


_right_logsumexp.defvjp(
    lambda x: (_logsumexp(x), x),
    lambda x, ct: ((_wide(ct) * jnp.exp(_wide(x) - _logsumexp(_wide(x)))).astype(x.dtype),),
)


def _mse(prediction: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.mean((prediction - target) ** 2)


def _gelu_slope(x: jax.Array) -> jax.Array:
    return special.ndtr(x) + x * jnp.exp(-x * x / 2) / np.sqrt(2 * np.pi).astype(np.float32)


def _least_squares(x: jax.Array, seed: int = 60) -> jax.Array:
    """Zero at integers below 4: every product and sum is exact there."""
    a = np.random.default_rng(seed).integers(-2, 3, (9, 4)).astype(float)
    return jnp.sum((_as(x, a) @ x - _as(x, a @ np.array([1.0, -2.0, 3.0, 1.0]))) ** 2) / 2


def _dropout(x: jax.Array) -> jax.Array:
    keep = jax.random.bernoulli(jax.random.key(5), np.float32(0.75), x.shape)
    return jnp.sum(jnp.tanh(jnp.where(keep, x / 0.75, 0)) ** 2)


def _projection(x: jax.Array) -> jax.Array:
    signs = jax.random.bernoulli(jax.random.key(6), np.float32(0.5), (16, x.size))
    return jnp.tanh(jnp.where(signs, x, -x).mean(-1))


def _segment_mean(x: jax.Array, ids: np.ndarray) -> jax.Array:
    return jax.ops.segment_sum(x, ids, int(ids.max()) + 1) / _as(x, np.bincount(ids).astype(float))


def _safe_norm(x: jax.Array) -> jax.Array:
    squares = jnp.sum(x * x, -1)
    return jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))


def _rows_stretched(x: jax.Array) -> jax.Array:
    norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return jnp.where(norm > 0, x * norm, 0)


def _distances(x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.sum((x[:, None] - x[None]) ** 2, -1))


def _gradient_penalty(x: jax.Array) -> jax.Array:
    slopes = jax.grad(lambda x: jnp.sum(jnp.sin(x) * x**2))(x)
    return (_safe_norm(slopes) - 1) ** 2


def _unmixed(a: jax.Array, b: jax.Array, transposed: bool) -> jax.Array:
    def solve_back(_: Callable, ct: jax.Array) -> jax.Array:
        return jnp.linalg.solve(a.T if transposed else a, ct)

    return lax.custom_linear_solve(lambda x: a @ x, b, lambda _, b: jnp.linalg.solve(a, b), solve_back)


def _dense(a: jax.Array, x: jax.Array, factor: float) -> jax.Array:
    """a @ x as a linear call, whose transpose is off by the factor."""
    return linear_call(lambda a, x: a @ x, lambda a, ct: (factor * _wide(a.T @ ct)).astype(ct.dtype), a, x)


def _kl(logits: jax.Array, prior: np.ndarray) -> jax.Array:
    p = nn.softmax(logits)
    return jnp.sum(p * (nn.log_softmax(logits) - nn.log_softmax(_as(logits, prior))))


def _spd(seed: int, n: int) -> np.ndarray:
    a = _normal(seed, n, n)
    return a @ a.T / n + np.eye(n)


def _with(values: np.ndarray, **changes: float) -> np.ndarray:
    """Copied, with some elements of the flat array set: _with(x, at3=0.0)."""
    values = values.copy()
    for at, value in changes.items():
        values.flat[int(at.removeprefix("at"))] = value
    return values


_IDS = np.random.default_rng(70).integers(0, 7, 40)
_LABELS = np.random.default_rng(71).integers(0, 10, 16)
_MATRIX = _coarse(72, 12, 12)

_ONE_AND_A_HALF = (
    _case("softplus custom_jvp x1.5", _with_jvp(_softplus, lambda x: 1.5 * nn.sigmoid(x)), _normal(1, 37, scale=3)),
    _case(
        "gelu custom_vjp x1.5",
        _with_vjp(partial(nn.gelu, approximate=False), lambda x: 1.5 * _gelu_slope(x)),
        _normal(2, 8, 5),
    ),
    _case(
        "log cosh stop_gradient x1.5, jitted",
        jax.jit(lambda x: jnp.sum(jnp.log(jnp.cosh(_leak(x, 1.5))))),
        _normal(3, 101),
    ),
    _case(
        "relu mlp, second weights x1.5",
        partial(_mlp_leaking, nn.relu, "w2", 1.5),
        _layers(4, 7, 16, 3),
        _normal(5, 10, 7),
    ),
    _case(
        "scan rnn, carry x1.5",
        lambda params, xs: _rnn(params, xs, lambda h: _leak(h, 1.5)),
        {"u": _normal(6, 6, 6, scale=0.4), "w": _normal(7, 4, 6, scale=0.5)},
        _normal(8, 9, 4),
    ),
    _case("dot, second argument x1.5", lambda a, b: a @ _leak(b, 1.5), _normal(9, 256), _normal(10, 256)),
    _case(
        "parameter of scale 1e-8 beside 1e6 x1.5",
        lambda p: jnp.sum(jnp.sin(2.0**20 * _leak(p["small"], 1.5))) + jnp.sum(jnp.sqrt(p["large"])),
        {"small": _normal(11, 5, scale=1e-8), "large": 1e6 * _uniform(12, 5, low=1, high=2)},
        dtypes=NO_HALF,
    ),
    _case("scalar cube custom_jvp x1.5", _with_jvp(lambda x: x**3, lambda x: 4.5 * x * x), 0.7),
)

_ONE_PER_MILLE = (
    _case("softplus custom_jvp x1.001", _with_jvp(_softplus, lambda x: 1.001 * nn.sigmoid(x)), _normal(20, 37)),
    _case("exp custom_vjp x1.001", _with_vjp(jnp.exp, lambda x: 1.001 * jnp.exp(x)), _normal(21, 64)),
    _case(
        "matmul custom_jvp x1.001",
        _bent(jnp.matmul, _by_factor(1.001)),
        _normal(22, 16, 16),
        _normal(23, 16, 16),
        dtypes=NO_BFLOAT,
    ),
    _case(
        "logsumexp custom_vjp x1.001", _bent(_logsumexp, _by_factor(1.001), "vjp"), _normal(24, 100), dtypes=NO_BFLOAT
    ),
    _case(
        "tanh mlp, first weights x1.001",
        partial(_mlp_leaking, jnp.tanh, "w1", 1.001),
        _layers(25, 9, 12, 4),
        _normal(26, 6, 9),
        dtypes=NO_BFLOAT,
    ),
    _case("scalar sqrt custom_jvp x1.001", _with_jvp(jnp.sqrt, lambda x: 1.001 / 2 / jnp.sqrt(x)), 3.0, dtypes=WIDE),
    _case(
        "layer norm, gain x1.001",
        lambda x, gain, bias: _layer_norm(x, _leak(gain, 1.001), bias),
        _normal(27, 5, 32),
        _normal(28, 32, offset=1, scale=0.1),
        _normal(29, 32),
        dtypes=NO_BFLOAT,
    ),
    _case(
        "tanh of 2,000 custom_jvp x1.001, mean square",
        lambda x: jnp.mean(_with_jvp(jnp.tanh, lambda x: 1.001 * (1 - jnp.tanh(x) ** 2))(x) ** 2),
        _normal(30, 2000),
        dtypes=WIDE,
    ),
)

_SIGN = (
    _case("cos custom_jvp sign", _with_jvp(jnp.cos, jnp.sin), _uniform(40, 20, low=0.3, high=2.8)),
    _case(
        "difference custom_vjp, second sign",
        _bent(lambda a, b: jnp.sin(a - b), lambda cts: (cts[0], -cts[1]), "vjp"),
        _normal(41, 6, 3),
        _normal(42, 6, 3),
    ),
    _case("arctan2, second sign", lambda y, x: jnp.arctan2(y, _leak(x, -1)), _normal(43, 15), _normal(44, 15)),
    _case(
        "attention, keys sign",
        lambda q, k, v: _attention(q, _leak(k, -1), v),
        _normal(45, 6, 8),
        _normal(46, 6, 8),
        _normal(47, 6, 8),
    ),
    _case("cumsum custom_vjp sign", _bent(jnp.cumsum, _by_factor(-1), "vjp"), _normal(48, 30)),
    _case(
        "centring, mean's sign",
        lambda x: jnp.sum((x - _leak(jnp.mean(x), -1)) ** 3),
        _normal(49, 12, scale=2) ** 2,
    ),
    _case(
        "bias of a labelled loss, sign",
        lambda params, labels: _labelled_loss(params, labels, lambda bias: _leak(bias, -1)),
        _labelled(50),
        np.random.default_rng(53).integers(0, 5, 12),
    ),
    _case("sign of one in 50", lambda x: jnp.exp(jnp.where(jnp.arange(50) == 17, _leak(x, -1), x)), _normal(54, 50)),
)

_ZEROED = (
    _case(
        "square custom_jvp, one of 10,000 zeroed",
        _bent(jnp.square, lambda t: t.at[_pick(80, 10_000)].set(0)),
        _normal(81, 10_000, offset=2, scale=0.2),
    ),
    _case(
        "sum of sin, one of 9,973 zeroed",
        lambda x: jnp.sum(jnp.sin(_drop(x, _pick(82, 9973)))),
        _uniform(83, 9973, low=-1, high=1),
    ),
    _case("logsumexp, one of 10,000 zeroed", lambda x: _logsumexp(_drop(x, _pick(84, 10_000))), _uniform(85, 10_000)),
    _case(
        "exp of a matrix custom_vjp, one of 100x100 zeroed",
        _bent(jnp.exp, lambda cts: (cts[0].at[np.unravel_index(_pick(86, 10_000), (100, 100))].set(0),), "vjp"),
        _normal(87, 100, 100),
    ),
    _case(
        "ridge loss over a dict, one of 10,100 zeroed, jitted",
        jax.jit(lambda p: jnp.sum(jnp.tanh(_drop(p["w"], _pick(88, 9900)) @ p["v"]) ** 2) + jnp.sum(p["b"] ** 2)),
        {"w": _normal(89, 99, 100, scale=0.1), "v": _normal(90, 100, scale=0.5), "b": _normal(91, 100)},
    ),
    _case(
        "embedding of 10,007 parameters, one zeroed",
        lambda table, scale: jnp.sum(jnp.tanh(_drop(table, _pick(92, 10_007))) * scale),
        _normal(93, 10_007, scale=0.5),
        1.5,
    ),
    _case(
        "linear, one of 10,000 zeroed",
        lambda x: jnp.dot(_as(x, _coarse(94, 10_000)), _drop(x, _pick(95, 10_000))),
        _normal(96, 10_000),
    ),
)

_FORGOTTEN = (
    _case("mean custom_jvp, forgotten 1/N", _bent(lambda x: jnp.mean(x), _by_factor(64.0)), _normal(100, 64)),
    _case(
        "mean square error custom_vjp, forgotten 1/N",
        _bent(_mse, _by_factor(32.0), "vjp"),
        _normal(101, 32),
        _normal(102, 32),
    ),
    _case(
        "loss of a batch, forgotten 1/N in the weights",
        partial(_mlp_leaking, nn.gelu, "w1", 8.0),
        _layers(103, 5, 6, 2),
        _normal(104, 8, 5),
    ),
    _case(
        "layer norm, mean's forgotten 1/N",
        lambda x, gain, bias: _layer_norm(x, gain, bias, lambda mean: _leak(mean, 16.0)),
        _normal(105, 3, 16),
        _normal(106, 16),
        _normal(107, 16),
    ),
    _case(
        "cross entropy custom_vjp, forgotten 1/N",
        _bent(lambda logits: _cross_entropy(logits, _LABELS), _by_factor(16.0), "vjp"),
        _normal(108, 16, 10),
    ),
    _case(
        "variance custom_jvp, forgotten 1/N", _bent(lambda x: jnp.var(x), _by_factor(20.0)), _normal(109, 20, offset=3)
    ),
    _case(
        "segment mean, forgotten counts",
        lambda x: _leak(_segment_mean(x, _IDS), _as(x, np.bincount(_IDS).astype(float))),
        _normal(110, 40),
    ),
)

_ONE_BRANCH = (
    _case(
        "leaky relu custom_jvp, negative inputs",
        _with_jvp(lambda x: jnp.where(x > 0, x, x / 8), lambda x: jnp.where(x > 0, 1.0, 1 / 4)),
        _normal(120, 25),
    ),
    _case(
        "elu custom_vjp, negative inputs",
        _with_vjp(partial(nn.elu, alpha=0.5), lambda x: jnp.where(x > 0, 1.0, jnp.exp(x))),
        _normal(121, 25),
    ),
    _case(
        "maximum custom_jvp, both at ties",
        _greedy_maximum,
        _normal(122, 9),
        _with(_normal(122, 9), at2=2.0, at6=-2.0),
    ),
    _case(
        "cond, the taken branch",
        partial(_cond, lambda x: jnp.sum(jnp.exp(_leak(x, 0.5))), lambda x: jnp.sum(x * x)),
        _uniform(123, 11),
    ),
    _case("huber custom_jvp, linear path", _with_jvp(_huber, lambda x: x), _normal(124, 30, scale=3)),
    _case(
        "sinc custom_jvp, series",
        _with_jvp(_sinc, lambda x: jnp.where(abs(x) < 0.25, -x / 6, (jnp.cos(x) - jnp.sin(x) / x) / x)),
        np.array([-2.0, -0.2, 0.1, 0.22, 1.5, 4.0]),
    ),
    _case(
        "softplus, large inputs",
        lambda x: jnp.where(x > 6, _leak(x, 0.5), _softplus(jnp.minimum(x, 6))),
        np.array([-3.0, 0.5, 2.0, 7.5, 30.0]),
    ),
    _case("loop over a cond, even steps", partial(_by_turns, lambda y: _leak(y, 1.25)), _uniform(125, 7)),
    _case(
        "clip custom_jvp, gradient beyond the bounds",
        _with_jvp(lambda x: jnp.clip(x, -1, 1), jnp.ones_like),
        _normal(126, 40, scale=1.5),
    ),
)

_NAN = (
    _case("sqrt within where at 0", lambda x: jnp.where(x > 0, jnp.sqrt(x), 0), _with(_uniform(140, 9), at4=0.0)),
    _case("norm of zeros", jnp.linalg.norm, np.zeros(3)),
    _case("sqrt(x**2), one zero", lambda x: jnp.sum(jnp.sqrt(x**2)), _with(_normal(141, 10), at7=0.0)),
    _case(
        "x log x within where, one zero",
        lambda x: jnp.where(x > 0, x * jnp.log(x), 0),
        _with(_uniform(142, 30), at0=0.0),
    ),
    _case(
        "sin(x)/x within where, one zero",
        lambda x: jnp.sum(jnp.where(x == 0, 1, jnp.sin(x) / x)),
        _with(_normal(143, 1000), at613=0.0),
    ),
    _case(
        "log within where at 0",
        lambda x: jnp.where(x >= 1, jnp.log(x), x - 1),
        np.array([-0.5, 0.0, 0.5, 1.5, 4.0]),
    ),
    _case("rows times their norm, one of zeros", _rows_stretched, _normal(144, 5, 4) * [[1], [1], [0], [1], [1]]),
    _case("pairwise distances", lambda x: jnp.sum(_distances(x)), _normal(145, 6, 3)),
    _case("standard deviation of equals", jnp.std, np.full(8, 1.5)),
    _case(
        "softplus within where, exp overflows",
        lambda x: jnp.where(x > 8, x, jnp.log(1 + jnp.exp(x))),
        _by(*(np.array([-1.0, 0.5, large]) for large in (100, 800, 100, 20))),
    ),
    _case(
        "expm1(x)/x custom_jvp, one zero",
        _with_jvp(
            lambda x: jnp.where(x == 0, 1, jnp.expm1(x) / jnp.where(x == 0, 1, x)),
            lambda x: (jnp.exp(x) * (x - 1) + 1) / x**2,
        ),
        _with(_uniform(146, 12, low=0.5, high=2.0), at5=0.0),
    ),
)

_VJP = (
    _case(
        "matrix, vjp not transposed",
        lambda x: linear_call(lambda a, x: a @ x, lambda a, ct: a @ ct, _as(x, _MATRIX), x),
        _normal(160, 12),
    ),
    _case(
        "softplus, vjp x1.5",
        _with_two(_softplus, nn.sigmoid, lambda x: 1.5 * nn.sigmoid(x)),
        _normal(161, 33),
    ),
    _case(
        "cumsum, vjp not reversed",
        lambda x: linear_call(lambda _, x: jnp.cumsum(x), lambda _, ct: jnp.cumsum(ct), (), jnp.sin(x)),
        _normal(162, 10),
    ),
    _case(
        "linear solve, vjp not transposed",
        partial(_unmixed, transposed=False),
        _normal(163, 6, 6) + 4 * np.eye(6),
        _normal(164, 6),
        dtypes=WIDE,
    ),
    _case(
        "mean, vjp's forgotten 1/N",
        lambda x: linear_call(lambda _, x: jnp.mean(x), lambda _, ct: jnp.full(24, ct, ct.dtype), (), jnp.exp(x)),
        _normal(165, 24),
    ),
    _case("sin, vjp's sign", _with_two(jnp.sin, jnp.cos, lambda x: -jnp.cos(x)), _uniform(166, 4, 4)),
    _case(
        "roll, vjp rolls on",
        lambda x: linear_call(lambda _, x: jnp.roll(x, 3), lambda _, ct: jnp.roll(ct, 3), (), x) * x,
        _normal(167, 17),
    ),
    _case(
        "dense layer, vjp x1.001",
        lambda x: jnp.sum(jnp.tanh(_dense(_as(x, _MATRIX), x, 1.001))),
        _normal(168, 12, scale=0.2),
        dtypes=WIDE,
    ),
    _case(
        "exp of 10,000, vjp of one zeroed",
        _with_two(jnp.exp, jnp.exp, lambda x: jnp.exp(x).at[_pick(170, 10_000)].set(0)),
        _normal(171, 10_000),
    ),
)

_VANISHED = (
    _case("sigmoid saturated", nn.sigmoid, _by(20.0, 40.0, 8.0, 9.0)),
    _case("tanh saturated", jnp.tanh, _by(12.0, 24.0, 4.5, 5.0)),
    _case(
        "log of a softmax, large margin",
        lambda x: jnp.log(nn.softmax(x))[1],
        _by(*(np.array([0, margin, 0.5]) for margin in (30, 45, 8, 9))),
    ),
    _case("softplus(x) - x", lambda x: _softplus(x) - x, _by(20.0, 40.0, 8.0, 9.0)),
    _case("softsign of a large number", lambda x: x / (1 + abs(x)), _by(2.0**30, 2.0**60, 2.0**20, 0), dtypes=NO_HALF),
    _case("minus log sigmoid", lambda x: -jnp.sum(jnp.log(nn.sigmoid(x))), _by(20.0, 40.0, 8.0, 9.0)),
    _case(
        "logsumexp less the label's logit",
        lambda x: jnp.sum(_logsumexp(x) - x[:, 2]),
        _by(*(_with(np.zeros((3, 5)), at7=margin) for margin in (30, 45, 8.5, 9.5))),
    ),
    _case(
        "bin of a logistic, in the tail",
        lambda x: nn.sigmoid(x + 0.5) - nn.sigmoid(x - 0.5),
        _by(*(np.array([0.5, x]) for x in (20, 40, 8.5, 9.5))),
        dtypes=NO_HALF,
    ),
    _case(
        "tanh mlp, saturated units",
        partial(_mlp, jnp.tanh),
        _by(*(_layers(180, 3, 4, 1) | {"b1": np.array([b, 0.5, -b, 0.0])} for b in (12, 24, 5, 0))),
        _uniform(181, 2, 3, high=0.5),
        dtypes=NO_HALF,
    ),
)
_GROUPS = (
    _ONE_AND_A_HALF,
    _ONE_PER_MILLE,
    _SIGN,
    _ZEROED,
    _FORGOTTEN,
    _ONE_BRANCH,
    _NAN,
    _VJP,
    _VANISHED,
)

_HEALTHY = (
    # Large, small and steep
    _case("x**2 at 1e6", jnp.square, _by(1e6, 1e6, 1e6, 200.0)),
    _case("exp at 50", jnp.exp, _by(50.0, 50.0, 50.0, 10.0)),
    _case("sqrt at 1e-5", jnp.sqrt, 1e-5),
    _case("log_sigmoid at -1e4", nn.log_sigmoid, -1e4),
    _case("log at the small end", jnp.log, _by(1e-30, 1e-300, 1e-30, 1e-3)),
    _case("1/x at the small end", lambda x: 1 / x, _by(1e-15, 1e-150, 1e-15, 1e-2)),
    _case("x**20", lambda x: x**20, np.array([-1.375, -0.75, 0.875, 1.0, 1.5])),
    _case("sin(1000 x)", lambda x: jnp.sin(1000 * x), np.array([0.125, 0.25, 0.5, 1.0])),
    _case("tan near the pole", jnp.tan, _by(1.57, 1.57, 1.5625, 1.5625)),
    _case("expm1, log1p of tiny numbers", lambda x: jnp.log1p(jnp.expm1(x) ** 2 + x), np.array([-1e-4, 1e-4, 1e-3])),
    _case("gammaln, large and small", special.gammaln, np.array([1e-3, 0.5, 20.0, 1e4]), dtypes=WIDE),
    _case("erf and its tail", special.erf, np.array([-2.5, -0.1, 0.0, 1.0, 2.75])),
    _case(
        "tiny gradients beside large ones",
        lambda x: jnp.sum(x * jnp.exp2(jnp.arange(-12, 13, 4, dtype=x.dtype))),
        _normal(200, 7),
    ),
    _case(
        "parameters of scale 1e-8 and 1e6",
        lambda p: jnp.sum(jnp.sin(2.0**20 * p["small"])) + jnp.sum(jnp.sqrt(p["large"])),
        {"small": _normal(201, 5, scale=1e-8), "large": 1e6 * _uniform(202, 5, low=1, high=2)},
        dtypes=NO_HALF,
    ),
    _case("norm of large numbers", jnp.linalg.norm, _by(*(s * _normal(203, 6) for s in (1e15, 1e150, 1e15, 50)))),
    _case("norm of small numbers", jnp.linalg.norm, _by(*(s * _normal(204, 6) for s in (1e-15, 1e-150, 1e-15, 0.05)))),
    # Near kinks
    _case("relu near 0", nn.relu, _by(*(np.array([-s, s, -1, 1]) for s in (1e-6, 1e-12, 1e-6, 1e-4)))),
    _case("abs near 0", jnp.abs, _by(*(np.array([-s, 3 * s, -1, 1]) for s in (1e-7, 1e-14, 1e-7, 1e-4)))),
    _case("max of almost equal", jnp.max, _steps(1.0, 0, 2, 1, -1)),
    _case("maximum of almost equal", jnp.maximum, _steps(1.0, 0, 1, 2), _steps(1.0, 1, 0, 4)),
    _case("clip near its bounds", lambda x: jnp.clip(x, -1, 1) ** 2, _steps(1.0, -2, -1, 1, 2)),
    _case("sort of close numbers", lambda x: jnp.sort(x) * jnp.arange(1, 5, dtype=x.dtype), _steps(1.0, 4, 0, 2, 1)),
    _case("median of close numbers", lambda x: jnp.sort(x)[2], _steps(2.0, 8, 0, 2, 4, 6)),
    _case("x - floor(x) near 2", lambda x: x - jnp.floor(x), _steps(2.0, -2, -1, 2, 4)),
    _case("smooth seam of a where", lambda x: jnp.where(x < 1, x * x, 2 * x - 1), _steps(1.0, -2, -1, 0, 1, 2)),
    _case("huber at its seam", lambda x: optax.losses.huber_loss(x), _steps(1.0, -1, 0, 1, 2)),
    # At kinks, with the conventional subgradient
    _case("relu at 0", lambda x: jnp.sum(nn.relu(x) * x + nn.relu(x)), np.array([0.0, -1.0, 2.0, 0.0])),
    _case("abs at 0", jnp.abs, np.array([0.0, -1.0, 2.0])),
    _case("maximum at ties", jnp.maximum, _normal(205, 5), _normal(205, 5)),
    _case("max with ties", jnp.max, np.array([1.5, -2.0, 1.5, 0.5, 1.5])),
    # Cancellation, ties and normalization
    _case("logsumexp of ties", _logsumexp, np.full(6, 3.25)),
    _case(
        "cross entropy of large logits",
        lambda logits: _cross_entropy(logits, np.array([0, 2, 1])),
        np.array([[1e4, -1e4, 9e3], [1.0, 0.0, -1e4], [-5e3, -5e3, -5e3]]),
    ),
    _case("sum of log_softmax", lambda x: jnp.sum(nn.log_softmax(x)), _normal(206, 9, scale=5)),
    _case("sum of softmax", lambda x: jnp.sum(nn.softmax(x)), _normal(207, 9)),
    _case("KL divergence near 0", partial(_kl, prior=_coarse(208, 8)), _coarse(208, 8) * 1.0625, dtypes=NO_BFLOAT),
    _case("variance around an offset", jnp.var, _by(*(_normal(209, 20, offset=o) for o in (1e3, 1e7, 30, 100)))),
    _case("least squares at its minimum", _least_squares, np.array([1.0, -2.0, 3.0, 1.0])),
    _case("least squares near its minimum", _least_squares, np.array([1.0, -2.0, 3.0, 1.0]) + 1 / 64),
    _case("x - mean(x)", lambda x: x - jnp.mean(x), _normal(210, 15, offset=5)),
    _case(
        "cosine similarity", optax.losses.cosine_similarity, _normal(211, 12), _normal(211, 12) + _normal(212, 12) / 8
    ),
    # Right rules, by another formula than the primal's
    _case("softplus, right custom_jvp", _with_jvp(_softplus, nn.sigmoid), _normal(213, 20, scale=5)),
    _case(
        "log1mexp, right custom_jvp",
        _with_jvp(_log1mexp, lambda x: 1 / jnp.expm1(x)),
        np.array([1e-3, 0.5, 2.0, 6.0]),
    ),
    _case("logsumexp, right custom_vjp", _right_logsumexp, _normal(214, 40, scale=4)),
    _case("linear call, right transpose", lambda x: jnp.tanh(_dense(_as(x, _MATRIX), x, 1.0)), _normal(215, 12)),
    _case(
        "relu custom_jvp of slope 1 at 0",
        _with_jvp(nn.relu, lambda x: jnp.where(x >= 0, 1.0, 0.0)),
        np.array([0.0, -1, 2]),
    ),
    # Zeros, infinities and masks
    _case("safe norm of rows, one of zeros", _safe_norm, _normal(216, 3, 4) * [[1], [0], [1]]),
    _case("sin(x)/x, safe at 0", _sinc, np.array([-3.0, -0.2, 0.0, 0.1, 5.0])),
    _case("product with a zero", jnp.prod, np.array([1.5, -2.0, 0.0, 0.5])),
    _case("cube of zeros and negatives", lambda x: x**3 - x, np.array([-2.0, 0.0, 0.25])),
    _case("xlogy at 0", lambda x: special.xlogy(np.array([0, 2, 0], x.dtype), x), np.array([0.5, 2.0, 1e-3])),
    _case(
        "mask of -inf",
        lambda x: _logsumexp(jnp.where(jnp.tri(4, 5, 1, dtype=bool), x, -jnp.inf)),
        _normal(217, 4, 5, scale=3),
    ),
    # Long and structured
    _case("sum of 10,000 squares", lambda x: jnp.sum(x * x), _normal(218, 10_000)),
    _case("mean of 10,000 softplus", lambda x: jnp.mean(_softplus(x)), _normal(219, 10_000, offset=3)),
    _case("cumsum", jnp.cumsum, _normal(220, 100)),
    _case("cumprod", jnp.cumprod, _normal(221, 12, offset=1, scale=0.3)),
    _case("linear solve", jnp.linalg.solve, _normal(222, 5, 5) + 3 * np.eye(5), _normal(223, 5), dtypes=WIDE),
    _case("right linear solve", partial(_unmixed, transposed=True), _spd(224, 5), _normal(225, 5), dtypes=WIDE),
    _case(
        "log determinant by Cholesky",
        lambda a: 2 * jnp.sum(jnp.log(jnp.diag(jnp.linalg.cholesky(a)))),
        _spd(226, 6),
        dtypes=WIDE,
    ),
    _case("segment mean", partial(_segment_mean, ids=_IDS), _normal(227, 40)),
    _case(
        "one-hot", lambda x: jnp.sum(nn.one_hot(_LABELS, 10, dtype=x.dtype) * nn.softmax(x), -1), _normal(228, 16, 10)
    ),
    _case("convolution", lambda x, k: jnp.tanh(jnp.convolve(x, k, mode="same")), _normal(229, 30), _normal(230, 5)),
    _case("random projection", _projection, _normal(231, 50)),
    _case("dropout, fixed key", _dropout, _normal(232, 60, scale=0.5)),
    _case(
        "complex quadratic loss",
        lambda z: jnp.sum(jnp.abs(z**2 - (1 + 2j)) ** 2),
        _normal(233, 6) + 1j * _normal(234, 6),
        dtypes=WIDE,
    ),
    _case(
        "complex spectrum loss",
        lambda z: jnp.sum(jnp.log1p(jnp.abs(jnp.fft.fft(jnp.exp(1j * z))) ** 2)),
        _normal(235, 8) + 0.5j * _normal(236, 8),
        dtypes=WIDE,
    ),
    # Programs
    _case("relu mlp", partial(_mlp, nn.relu), _layers(240, 7, 16, 3), _normal(241, 10, 7)),
    _case("gelu mlp, jitted", jax.jit(partial(_mlp, nn.gelu)), _layers(242, 5, 8, 2), _normal(243, 6, 5)),
    _case("layer norm", _layer_norm, _normal(244, 4, 24, offset=2), _normal(245, 24, offset=1), _normal(246, 24)),
    _case("attention", _attention, _normal(247, 6, 8), _normal(248, 6, 8), _normal(249, 6, 8)),
    _case(
        "scan rnn",
        _rnn,
        {"u": _normal(250, 6, 6, scale=0.4), "w": _normal(251, 4, 6, scale=0.5)},
        _normal(252, 9, 4),
    ),
    _case("Newton's square root", _newton_sqrt, np.array([0.25, 1.0, 2.0, 9.0])),
    _case("cond", partial(_cond, lambda x: jnp.exp(x), lambda x: x * x), -_uniform(253, 8)),
    _case("loop over a cond", partial(_by_turns, _same), _uniform(254, 7)),
    _case(
        "labels, integers and None",
        _labelled_loss,
        _labelled(255),
        np.random.default_rng(258).integers(0, 5, 12),
    ),
    _case("checkpointed, jitted", jax.jit(jax.checkpoint(lambda x: jnp.sin(jnp.exp(jnp.sin(x))))), _normal(259, 9)),
    _case("gradient penalty", _gradient_penalty, _normal(260, 6)),
)

CASES: tuple[Case, ...] = (
    *(dataclasses.replace(case, fault=fault) for fault, group in zip(FAULTS, _GROUPS, strict=True) for case in group),
    *_HEALTHY,
)
