"""A second, blind set of cases for gradient checkers, written by someone who had not seen the checker they judge.

As in `gradient_cases`: a planted fault has to be found, and a healthy case must raise no alarm. Faults hide in one
element, leaf, row or step; healthy functions are right, however rough, steep, flat or swamped they are. Where a
function has a custom_vjp rule, forward mode is not available, and its name says so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax, nn
from jax.custom_derivatives import linear_call
from jax.scipy import linalg, special

from benchmarks.gradient_cases import FAULTS, Case

ALL = ("float32", "float64", "bfloat16", "float16")
WIDE = ALL[:2]
NO_HALF = ALL[:3]
NO_BFLOAT = (*WIDE, "float16")


def _case(name: str, fn: Callable, *values: Any, dtypes: tuple[str, ...] = ALL) -> Case:
    """A leaf of the values is a number or an array, or makes one from the name of a dtype; Python floats stay so."""

    def make(dtype: Any) -> tuple[Callable, tuple]:
        kinds = {"f": dtype, "c": jnp.result_type(dtype, jnp.complex64), "i": jnp.int32, "b": jnp.bool_}

        def leaf(value: Any) -> Any:
            value = value(jnp.dtype(dtype).name) if callable(value) else value
            if type(value) is float or isinstance(value, jax.Array):
                return value
            return jnp.asarray(np.asarray(value), kinds[np.asarray(value).dtype.kind])

        return fn, jax.tree.map(leaf, values)

    return Case(name, make, dtypes=dtypes)


# Values


def _each(float32: Any, float64: Any, bfloat16: Any, float16: Any) -> Callable[[str], np.ndarray]:
    chosen = dict(float32=float32, float64=float64, bfloat16=bfloat16, float16=float16)
    return lambda dtype: np.asarray(chosen[dtype], float)


def _gauss(seed: int, *shape: int, by: float = 1.0, at: float = 0.0) -> np.ndarray:
    return at + by * np.random.default_rng(seed).standard_normal(shape)


def _within(seed: int, low: float, high: float, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, shape)


def _exact(seed: int, *shape: int) -> np.ndarray:
    """Odd multiples of 1/32 between -1 and 1: exact in every dtype, and never 0."""
    return np.random.default_rng(seed).integers(-16, 16, shape) / 16 + 1 / 32


def _whole(seed: int, below: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, below, shape)


def _put(values: np.ndarray, where: Any, what: Any) -> np.ndarray:
    values = values.copy()
    values[where] = what
    return values


def _as(x: jax.Array, constant: Any) -> jax.Array:
    return jnp.asarray(constant, x.dtype)


def _key(_: str) -> jax.Array:
    return jax.random.key(1234)


# Rules, right and wrong


def _broad(x: jax.Array) -> jax.Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _rule(fn: Callable, tangent: Callable) -> Callable:
    """`fn`, with the custom_jvp rule tangent(primals, tangents), computed in float32 at least and rounded once."""
    ruled = jax.custom_jvp(fn)

    @ruled.defjvp
    def _(xs: tuple, ts: tuple) -> tuple:
        y = fn(*xs)
        return y, tangent(tuple(map(_broad, xs)), tuple(map(_broad, ts))).astype(y.dtype)

    return ruled


def _slope(fn: Callable, slope: Callable) -> Callable:
    return _rule(fn, lambda xs, ts: slope(*xs) * ts[0])


def _back(fn: Callable, cotangents: Callable) -> Callable:
    """`fn`, with the custom_vjp rule cotangents(primals, cotangent)."""
    ruled = jax.custom_vjp(fn)

    def backward(xs: tuple, ct: jax.Array) -> tuple:
        cts = cotangents(tuple(map(_broad, xs)), _broad(ct))
        return tuple(ct.astype(x.dtype) for ct, x in zip(cts, xs, strict=True))

    ruled.defvjp(lambda *xs: (fn(*xs), xs), backward)
    return ruled


def _same(bend: Callable) -> Callable:
    """The identity, whose tangent is bent."""
    return _rule(lambda x: x, lambda _, ts: bend(ts[0]))


def _two_ways(fn: Callable, along: Callable | None, back: Callable) -> Callable:
    """`fn` of one array, with a custom_jvp rule of its own (or the given) tangent, and another transpose of it."""
    ruled = jax.custom_jvp(fn)

    @ruled.defjvp
    def _(xs: tuple, ts: tuple) -> tuple:
        def forward(x: jax.Array, t: jax.Array) -> jax.Array:
            return (along or (lambda x, t: jax.jvp(fn, (x,), (t,))[1]))(x, t)

        def backward(x: jax.Array, ct: jax.Array) -> jax.Array:
            return back(_broad(x), _broad(ct)).astype(x.dtype)

        return fn(*xs), linear_call(forward, backward, *xs, *ts)

    return ruled


_half_more = _same(lambda t: 1.5 * t)
_per_mille = _same(lambda t: 1.001 * t)
_turned = _same(lambda t: -t)


def _only(mask: Any, faulty: Callable, x: jax.Array) -> jax.Array:
    return jnp.where(mask, faulty(x), x)


def _without(mask: Any, x: jax.Array) -> jax.Array:
    return jnp.where(mask, lax.stop_gradient(x), x)


# Programs, with a place for a fault where there is one


def _nothing(x: jax.Array, *_: Any) -> jax.Array:
    return x


def _leaves(seed: int, count: int, *shape: int) -> dict[str, dict[str, np.ndarray]]:
    return {f"block{i}": {"w": _gauss(seed + i, *shape), "b": _gauss(seed - i, 1)} for i in range(count)}


def _many_leaves(params: dict, fault: Callable = _nothing) -> jax.Array:
    return sum(
        jnp.sum(jnp.log1p(fault(block["w"], name) ** 2)) + jnp.sum(block["b"] ** 2) for name, block in params.items()
    )


def _pendulum(state: jax.Array, forces: jax.Array, fault: Callable = _nothing) -> jax.Array:
    """Positions and speeds by symplectic Euler steps of 1/16."""

    def step(state: jax.Array, at: tuple) -> tuple:
        i, force = at
        angle, speed = fault(state, i)
        speed = speed + (force - jnp.sin(angle)) / 16
        return jnp.stack([angle + speed / 16, speed]), None

    return lax.scan(step, state, (jnp.arange(len(forces)), forces))[0]


def _rows(x: jax.Array, fault: Callable = _nothing) -> jax.Array:
    """Per row of a batch, a soft maximum of squares."""
    return jax.vmap(lambda i, row: special.logsumexp(fault(row, i) ** 2))(jnp.arange(len(x)), x)


def _loud_and_faint(p: dict, fault: Callable = _nothing) -> jax.Array:
    return jnp.sum(jnp.sin(p["loud"])) + 2.0**-20 * jnp.sum(jnp.cosh(fault(p["faint"])))


def _det(a: jax.Array) -> jax.Array:
    return jnp.dot(a[0], jnp.cross(a[1], a[2]))


def _minors(a: jax.Array) -> jax.Array:
    """Unsigned: the cofactors without the checkerboard."""
    i, j = np.array([1, 0, 0]), np.array([2, 2, 1])
    return a[i][:, i] * a[j][:, j] - a[i][:, j] * a[j][:, i]


def _pooled(x: jax.Array, size: int = 2, factor: float = 0.25) -> jax.Array:
    return factor * lax.reduce_window(x, np.array(0, x.dtype), lax.add, (size, size), (size, size), "valid")


def _rms(x: jax.Array) -> jax.Array:
    return x * lax.rsqrt(jnp.mean(x * x))


def _rms_tangent(xs: tuple, ts: tuple, count: float = 1.0) -> jax.Array:
    (x,), (t,) = xs, ts
    scale = lax.rsqrt(jnp.mean(x * x))
    return scale * t - x * scale**3 * jnp.mean(x * t) * count


def _batch_norm(x: jax.Array, gain: jax.Array, bias: jax.Array, variance: Callable = jnp.var) -> jax.Array:
    return jnp.sin((x - jnp.mean(x, 0)) * lax.rsqrt(variance(x, axis=0) + 2.0**-8) * gain + bias)


def _masked_mean(x: jax.Array, mask: jax.Array, fault: Callable = _nothing) -> jax.Array:
    return jnp.sum(fault(jnp.where(mask, jnp.exp(x), 0))) / jnp.sum(mask)


def _centred_by_axis(x: jax.Array, fault: Callable = _nothing) -> jax.Array:
    """The mean is a collective over the rows of a vmap."""
    return jnp.sum(jax.vmap(lambda row: (row - fault(lax.pmean(row, "rows"))) ** 3, axis_name="rows")(x))


def _reduced(x: jax.Array, halve: Callable) -> jax.Array:
    """Halved until at most 1, by a loop whose count depends on the values: no reverse mode but by a scan."""
    steps = lax.scan(lambda x, _: (lax.cond(x > 1, halve, lambda x: x, x), None), x, length=6)[0]
    return jnp.sin(steps)


def _smooth_step(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, jnp.exp(-1 / x), 0)


def _swirl(p: jax.Array) -> jax.Array:
    square = jnp.sum(p * p, -1)
    return jnp.where(square > 0, square * jnp.arctan2(p[..., 1], p[..., 0]), 0)


def _exp_of_symmetric(a: jax.Array) -> jax.Array:
    values, vectors = jnp.linalg.eigh(a)
    return vectors * jnp.exp(values) @ vectors.T


def _masked_rows(x: jax.Array, mask: jax.Array) -> jax.Array:
    rows = nn.softmax(x + jnp.where(mask, _as(x, 0), -jnp.inf))
    return jnp.sum(jnp.where(jnp.any(mask, -1, keepdims=True), rows, 0) ** 2)


def _shifted(x: jax.Array, kernel: np.ndarray) -> jax.Array:
    return jnp.convolve(x, _as(x, kernel), mode="full")


def _kepler(anomaly: jax.Array, eccentricity: jax.Array) -> jax.Array:
    def improve(_: int, e: jax.Array) -> jax.Array:
        return e - (e - eccentricity * jnp.sin(e) - anomaly) / (1 - eccentricity * jnp.cos(e))

    return lax.fori_loop(0, 10, improve, anomaly)


def _kepler_tangent(xs: tuple, ts: tuple) -> jax.Array:
    e = _kepler(*xs)
    return (ts[0] + jnp.sin(e) * ts[1]) / (1 - xs[1] * jnp.cos(e))


def _cubic_root(x: jax.Array) -> jax.Array:
    """y with y**3 + y = x, differentiated implicitly."""

    def newton(f: Callable, y: jax.Array) -> jax.Array:
        return lax.fori_loop(0, 12, lambda _, y: y - f(y) / (3 * y * y + 1), y)

    return lax.custom_root(
        lambda y: y**3 + y - x, lax.stop_gradient(x), newton, lambda g, y: y / g(jnp.ones_like(y)), has_aux=False
    )


def _softmax_back(xs: tuple, ct: jax.Array) -> tuple:
    p = jnp.exp(xs[0] - special.logsumexp(xs[0], -1, keepdims=True))
    return (p * (ct - jnp.sum(p * ct, -1, keepdims=True)),)


def _stiff(x: jax.Array) -> jax.Array:
    """Implicit Euler for y' = -1024 (y - cos(x + t))."""

    def step(y: jax.Array, t: jax.Array) -> tuple:
        return (y + 64 * jnp.cos(x + t)) / 65, None

    return lax.scan(step, x, jnp.arange(1, 33).astype(x.dtype) / 16)[0]


def _logistic_map(x: jax.Array) -> jax.Array:
    return lax.fori_loop(0, 10, lambda _, x: 3.875 * x * (1 - x), x)


def _van_der_pol(y: jax.Array, mu: jax.Array) -> jax.Array:
    def f(y: jax.Array) -> jax.Array:
        return jnp.stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])

    def step(_: int, y: jax.Array) -> jax.Array:
        a = f(y)
        b = f(y + a / 64)
        return y + f(y + (b * 2 - a) / 64) / 32

    return lax.fori_loop(0, 24, step, y)


def _sinkhorn(costs: jax.Array) -> jax.Array:
    def step(_: int, log: jax.Array) -> jax.Array:
        log = log - special.logsumexp(log, 0, keepdims=True)
        return log - special.logsumexp(log, 1, keepdims=True)

    return jnp.sum(jnp.exp(lax.fori_loop(0, 12, step, -costs)) * costs)


def _hidden_markov(starts: jax.Array, moves: jax.Array, seen: jax.Array) -> jax.Array:
    def step(log: jax.Array, likelihood: jax.Array) -> tuple:
        return special.logsumexp(log[:, None] + nn.log_softmax(moves), 0) + likelihood, None

    return special.logsumexp(lax.scan(step, nn.log_softmax(starts), seen)[0])


def _kalman(a: jax.Array, q: jax.Array, seen: jax.Array) -> jax.Array:
    def step(state: tuple, z: jax.Array) -> tuple:
        mean, cov = state
        mean, cov = a @ mean, a @ cov @ a.T + jnp.diag(jnp.exp(q))
        s = cov[0, 0] + 0.5
        gain, error = cov[:, 0] / s, z - mean[0]
        return (mean + gain * error, cov - jnp.outer(gain, cov[0])), jnp.log(s) + error**2 / s

    return jnp.sum(lax.scan(step, (jnp.zeros(2, a.dtype), jnp.eye(2, dtype=a.dtype)), seen)[1])


def _linear_recurrence(decay: jax.Array, x: jax.Array) -> jax.Array:
    def join(one: tuple, two: tuple) -> tuple:
        return one[0] * two[0], one[1] * two[0] + two[1]

    return lax.associative_scan(join, (decay, x))[1]


def _residual_tower(x: jax.Array, w: jax.Array) -> jax.Array:
    return lax.scan(lambda x, _: (x + jnp.tanh(w @ x) / 32, None), x, length=60)[0]


def _mixed(x: jax.Array, w: jax.Array) -> jax.Array:
    low = x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16)
    return jnp.sum(jnp.tanh(low.astype(x.dtype)))


def _in_float32(x: jax.Array) -> jax.Array:
    y = x.astype(jnp.float32)
    return (y * lax.rsqrt(jnp.mean(y * y, -1, keepdims=True) + 2.0**-10)).astype(x.dtype)


def _gru(params: dict, h: jax.Array, xs: jax.Array) -> jax.Array:
    def step(h: jax.Array, x: jax.Array) -> tuple:
        z, r = jnp.split(nn.sigmoid(jnp.concatenate([h, x]) @ params["gates"]), 2)
        return (1 - z) * h + z * jnp.tanh(jnp.concatenate([r * h, x]) @ params["new"]), None

    return jnp.sum(lax.scan(step, h, xs)[0] ** 2)


def _bilinear(image: jax.Array, at: jax.Array) -> jax.Array:
    low = jnp.floor(at).astype(jnp.int32)
    u, v = (at - low.astype(at.dtype)).T
    i, j = low.T
    top = image[i, j] * (1 - v) + image[i, j + 1] * v
    return top * (1 - u) + (image[i + 1, j] * (1 - v) + image[i + 1, j + 1] * v) * u


def _state_of_training(state: dict, key: jax.Array, training: jax.Array, start: jax.Array) -> dict:
    """Keys, booleans, integers, None and no elements at all, in and out."""
    w = lax.dynamic_slice(state["w"], (start, start * 0), (3, 4))
    noise = jax.random.rademacher(key, w.shape, jnp.int32).astype(w.dtype)
    loss = jnp.sum(jnp.where(training, w * (1 + noise / 8), w) ** 2) + jnp.sum(state["none yet"])
    return {"loss": loss, "step": state["step"] + 1, "large": w > 1, "key": key, "nothing": state["mask"]}


def _gumbel(logits: jax.Array, key: jax.Array) -> jax.Array:
    uniform = jax.random.randint(key, logits.shape, 1, 16).astype(logits.dtype) / 16
    return jnp.sum(nn.softmax((logits - jnp.log(-jnp.log(uniform))) * 2) ** 2)


def _rotated(angle: jax.Array, points: jax.Array) -> jax.Array:
    c, s = jnp.cos(angle), jnp.sin(angle)
    return points @ jnp.stack([jnp.stack([c, -s]), jnp.stack([s, c])])


def _steep_relu(x: jax.Array) -> jax.Array:
    return nn.relu6(x) + jnp.maximum(x, 0) * x + jnp.clip(x, -6, 6) * 0.25


_LAST = 9999
_IDS = _whole(900, 5, 23)
_TAKEN = np.array([3, 0, 3, 6, 3, 1, 0])
_ORDER = np.random.default_rng(901).permutation(10_000)
_KERNEL = np.array([0.5, -1.25, 2.0, 0.75])
_WEIGHTS = _exact(902, 7, 7)
_TALL = _gauss(903, 10_000, at=1.5, by=0.25)
_SPD = (lambda a: a @ a.T / 4 + np.eye(5))(_gauss(904, 5, 5))
_ILL = np.array([[1 / (i + j + 1) for j in range(4)] for i in range(4)])

_ONE_AND_A_HALF = (
    _case(
        "faint leaf beside a loud one x1.5",
        partial(_loud_and_faint, fault=_half_more),
        {"loud": _gauss(1001, 6), "faint": _gauss(1002, 6)},
        dtypes=NO_HALF,
    ),
    _case(
        "one of 60 leaves x1.5, jitted",
        jax.jit(partial(_many_leaves, fault=lambda w, name: _half_more(w) if name == "block17" else w)),
        _leaves(1100, 30, 3),
    ),
    _case(
        "pendulum, only the last step x1.5",
        partial(_pendulum, fault=lambda state, i: _only(i == 12, _half_more, state)),
        np.array([0.75, -0.5]),
        _gauss(1003, 13),
    ),
    _case(
        "one row of a vmap x1.5",
        partial(_rows, fault=lambda row, i: _only(i == 7, _half_more, row)),
        _gauss(1004, 11, 5),
    ),
    _case(
        "a b^T custom_jvp, second x1.5",
        _rule(lambda a, b: a @ b.T, lambda xs, ts: ts[0] @ xs[1].T + 1.5 * xs[0] @ ts[1].T),
        _gauss(1005, 3, 6),
        _gauss(1006, 4, 6),
    ),
    _case(
        "within a checkpoint within a jit x1.5",
        jax.jit(lambda x: jnp.cosh(jax.checkpoint(lambda x: jnp.exp(-(_half_more(x) ** 2)))(x))),
        _within(1007, 0.25, 1.5, 13),
    ),
    _case("scalar tan custom_jvp x1.5", _slope(jnp.tan, lambda x: 1.5 / jnp.cos(x) ** 2), np.float64(-0.4)),
)

_ONE_PER_MILLE = (
    _case(
        "stopped term of 0.4%",
        lambda x: jnp.sum(x * x + lax.stop_gradient(jnp.sin(x)) * 2.0**-8),
        _within(1020, 0.375, 0.625, 19),
        dtypes=NO_BFLOAT,
    ),
    _case(
        "power series in a scan, last term stopped: 0.3%",
        lambda x: lax.scan(lambda term, k: (term * x / 2, _without(k == 11, term)), jnp.ones_like(x), jnp.arange(12))[
            1
        ].sum(0),
        _within(1021, 0.9, 1.1, 5),
        dtypes=WIDE,
    ),
    _case(
        "reciprocal custom_jvp x1.001", _slope(lambda x: 1 / x, lambda x: -1.001 / x**2), _exact(1022, 31), dtypes=WIDE
    ),
    _case(
        "Gram matrix custom_jvp, transposed factor x1.001",
        _rule(lambda a: a.T @ a, lambda xs, ts: xs[0].T @ ts[0] + 1.001 * ts[0].T @ xs[0]),
        _gauss(1023, 6, 4),
        dtypes=WIDE,
    ),
    _case(
        "faint leaf beside a loud one x1.001",
        partial(_loud_and_faint, fault=_per_mille),
        {"loud": _gauss(1024, 4), "faint": _gauss(1025, 9)},
        dtypes=WIDE,
    ),
    _case(
        "log1p custom_vjp, 1 / (1 + 1.001 x)",
        _back(jnp.log1p, lambda xs, ct: (ct / (1 + 1.001 * xs[0]),)),
        _within(1026, 4, 9, 21),
        dtypes=WIDE,
    ),
    _case(
        "one row of a vmap x1.005",
        partial(_rows, fault=lambda row, i: _only(i == 0, _same(lambda t: 1.005 * t), row)),
        _gauss(1027, 6, 3),
        dtypes=NO_BFLOAT,
    ),
)

_SIGN = (
    _case(
        "cross product custom_jvp, second sign",
        _rule(lambda a, b: jnp.cross(a, b), lambda xs, ts: jnp.cross(ts[0], xs[1]) + jnp.cross(ts[1], xs[0])),
        _gauss(1040, 3),
        _gauss(1041, 3),
    ),
    _case(
        "differences custom_jvp, sign cancelled in the sum",
        _rule(
            lambda x: jnp.sin(x) + (jnp.roll(x, 2) - x) / 2,
            lambda xs, ts: jnp.cos(xs[0]) * ts[0] - (jnp.roll(ts[0], 2) - ts[0]) / 2,
        ),
        _within(1042, 0.2, 1.2, 9),
    ),
    _case(
        "sign of the smallest of 40",
        lambda x: jnp.sum(_only(abs(x) == jnp.min(abs(x)), _turned, x) ** 2),
        np.exp2(_within(1043, -6, 3, 40)),
    ),
    _case(
        "determinant custom_jvp, no checkerboard of signs",
        _rule(_det, lambda xs, ts: jnp.sum(_minors(xs[0]) * ts[0])),
        np.array([[1.5, -0.5, 2.0], [0.75, 1.0, -1.25], [-2.0, 0.5, 1.75]]),
    ),
    _case(
        "complex modulus, imaginary part's sign",
        lambda z: jnp.sum(jnp.log1p(z.real**2 + _turned(z.imag) ** 2)),
        _gauss(1044, 5) + 1j * _gauss(1045, 5),
        dtypes=WIDE,
    ),
    _case(
        "quotient custom_vjp, divisor's sign",
        _back(lambda a, b: a / b, lambda xs, ct: (ct / xs[1], ct * xs[0] / xs[1] ** 2)),
        _gauss(1046, 4, 3),
        _within(1047, 0.5, 2, 4, 3),
    ),
)

_ZEROED = (
    _case(
        "permutation of 10,000, the last forgotten",
        _rule(lambda x: x[_ORDER], lambda _, ts: jnp.where(jnp.arange(10_000) < _LAST, ts[0][_ORDER], 0)),
        _gauss(1060, 10_000),
    ),
    _case(
        "the smallest of 10,000 zeroed",
        lambda x: jnp.sum(jnp.expm1(_without(jnp.arange(10_000) == 4321, x))),
        _put(_within(1061, 0.5, 1.0, 10_000), 4321, 2.0**-9),
    ),
    _case(
        "100 leaves of 100, one element zeroed",
        lambda leaves: sum(
            jnp.sum(jnp.sin(_without((i == 63) & (jnp.arange(100) == 99), leaf))) for i, leaf in enumerate(leaves)
        ),
        [_within(1062 + i, -1, 1, 100) for i in range(100)],
    ),
    _case(
        "scan over 100 of 100, one zeroed in the last step",
        lambda x: lax.scan(
            lambda h, at: (h + jnp.cos(_without((at[0] == 99) & (jnp.arange(100) == 0), at[1])), None),
            jnp.zeros(100, x.dtype),
            (jnp.arange(100), x),
        )[0],
        _within(1162, 0.5, 1.5, 100, 100),
    ),
    _case(
        "mean of 10,001 fourth powers custom_vjp, one zeroed",
        _back(
            lambda x: jnp.mean(x**4),
            lambda xs, ct: (jnp.where(jnp.arange(10_001) == 5, 0, ct * xs[0] ** 3 * (4 / 10_001)),),
        ),
        _gauss(1163, 10_001, at=2, by=0.2),
    ),
    _case(
        "product of 2 and 3 axes, one of 10,800 zeroed",
        lambda x, y: jnp.einsum("ijk,jk->i", _without((jnp.arange(10_800) == 6007).reshape(12, 30, 30), x), y),
        _gauss(1164, 12, 30, 30, by=0.25),
        _within(1165, 0.5, 1, 30, 30),
    ),
)

_FORGOTTEN = (
    _case(
        "mean pooling custom_jvp, forgotten 1/N",
        _rule(lambda x: _pooled(x), lambda _, ts: _pooled(ts[0], factor=1.0)),
        _gauss(1080, 6, 8),
    ),
    _case(
        "rms normalisation custom_jvp, forgotten 1/N in the radial term",
        _rule(_rms, partial(_rms_tangent, count=10.0)),
        _gauss(1081, 10),
    ),
    _case(
        "batch norm, variance's 1/N taken for 1/(N - 1)",
        partial(
            _batch_norm,
            variance=lambda x, axis: _same(lambda t: t * (9 / 8))(jnp.var(x, axis=axis)),
        ),
        _gauss(1082, 9, 4, at=1),
        _gauss(1083, 4, at=1, by=0.25),
        _gauss(1084, 4),
    ),
    _case(
        "masked mean, forgotten count",
        partial(_masked_mean, fault=_same(lambda t: t * 12)),
        _gauss(1085, 20),
        _put(np.zeros(20, bool), slice(None, None, 5), True) | (np.arange(20) < 10),
    ),
    _case(
        "mean over a mapped axis, forgotten 1/N",
        partial(_centred_by_axis, fault=_same(lambda t: 5 * t)),
        _gauss(1086, 5, 3) ** 2,
    ),
    _case(
        "log of a mean custom_vjp, forgotten 1/N",
        _back(lambda x: jnp.log(jnp.mean(x * x)), lambda xs, ct: (ct * 2 * xs[0] / jnp.mean(xs[0] ** 2),)),
        _gauss(1087, 7),
    ),
)

_ONE_BRANCH = (
    _case(
        "straight-through round",
        lambda x: x * x + 2 * (x + lax.stop_gradient(jnp.round(x) - x)),
        np.array([-2.25, -0.75, 0.2, 1.3, 3.8125]),
    ),
    _case(
        "sinh custom_jvp, gradient clipped at 1",
        _slope(jnp.sinh, lambda x: jnp.minimum(jnp.cosh(x), 1)),
        np.array([0.0, 0.5, 1.0, -2.0]),
    ),
    _case(
        "switch, the branch taken",
        lambda i, x: lax.switch(i, [jnp.sin, jnp.cos, lambda x: lax.stop_gradient(x) * x, jnp.exp], x),
        np.int32(2),
        _gauss(1101, 5),
    ),
    _case(
        "sin custom_jvp, slope 0 for an element at 0",
        _slope(jnp.sin, lambda x: jnp.where(x == 0, 0, jnp.cos(x))),
        _put(_gauss(1102, 30), 11, 0.0),
    ),
    _case(
        "halving within a cond within a scan",
        lambda x: jax.vmap(partial(_reduced, halve=lambda x: lax.stop_gradient(x) / 4 + x / 4))(x),
        np.array([0.5, 3.0, 0.25, 11.0]),
    ),
    _case(
        "remainder custom_jvp, truncated for negatives",
        _rule(jnp.remainder, lambda xs, ts: ts[0] - jnp.trunc(xs[0] / xs[1]) * ts[1]),
        np.array([5.25, 3.5, -4.75, 0.5]),
        np.array([2.0, 1.5, 1.25, 3.0]),
    ),
    _case(
        "a b^T custom_jvp, tangent not transposed",
        _rule(lambda a, b: a @ b.T, lambda xs, ts: ts[0] @ xs[1].T + xs[0] @ ts[1]),
        _gauss(1103, 4, 4),
        _gauss(1104, 4, 4),
    ),
    _case(
        "power custom_jvp, exponent's part forgotten below 1",
        _rule(
            jnp.power,
            lambda xs, ts: (
                xs[1] * xs[0] ** (xs[1] - 1) * ts[0] + xs[0] ** xs[1] * jnp.log(jnp.maximum(xs[0], 1)) * ts[1]
            ),
        ),
        np.array([1.5, 2.5, 0.25, 3.0]),
        np.array([2.0, -1.0, 1.5, 0.5]),
    ),
    _case(
        "top_k custom_jvp, the last from a neighbour",
        _rule(
            lambda x: lax.top_k(x, 3)[0],
            lambda xs, ts: ts[0][lax.top_k(xs[0], 3)[1] + np.array([0, 0, 1])],
        ),
        np.array([0.5, 4.0, -1.0, 2.5, 1.0, 3.0, -2.0]),
    ),
)

_NAN = (
    _case("sqrt(x**4), one zero", lambda x: jnp.sqrt(x**4), _put(_within(1120, 0.5, 1.5, 8), 3, 0.0)),
    _case("exp(-1/x) within where, one zero of 600", _smooth_step, _put(_within(1121, 0.5, 3, 600), 599, 0.0)),
    _case("r**2 times the angle, at the origin", _swirl, _put(_gauss(1122, 4, 2), 2, 0.0)),
    _case("exp of a symmetric matrix by eigh, equal eigenvalues", _exp_of_symmetric, np.eye(3), dtypes=WIDE),
    _case(
        "softmax of a row all masked",
        _masked_rows,
        _gauss(1123, 3, 4),
        np.array([[1, 1, 0, 1], [0, 0, 0, 0], [1, 0, 1, 1]], bool),
    ),
    _case(
        "exp, NaN in forward mode only",
        _two_ways(jnp.exp, lambda x, t: t * jnp.exp(x) * jnp.where(x == 1, jnp.nan, 1), lambda x, ct: ct * jnp.exp(x)),
        np.array([0.5, 1.0, -1.5]),
    ),
    _case(
        "x**3 / |x| custom_vjp, one zero",
        _back(lambda x: x * abs(x), lambda xs, ct: (ct * 2 * xs[0] ** 2 / abs(xs[0]),)),
        _put(_gauss(1125, 40), 0, 0.0),
    ),
)

_VJP = (
    _case(
        "cumsum, vjp off by one",
        _two_ways(lambda x: jnp.cumsum(x), None, lambda _, ct: jnp.cumsum(ct[::-1])[::-1] - ct),
        _gauss(1140, 9),
    ),
    _case(
        "W x^T, vjp not transposed",
        _two_ways(lambda x: _as(x, _WEIGHTS) @ x.T, None, lambda x, ct: _as(x, _WEIGHTS).T @ ct),
        _gauss(1141, 7, 7),
    ),
    _case(
        "gather with duplicates, vjp sets for adds",
        _two_ways(lambda x: x[_TAKEN], None, lambda x, ct: jnp.zeros_like(x).at[_TAKEN].set(ct)),
        _gauss(1142, 8),
    ),
    _case(
        "convolution, vjp's kernel not flipped",
        lambda x: (
            _two_ways(
                lambda x: _shifted(x, _KERNEL), None, lambda x, ct: jnp.convolve(ct, _as(x, _KERNEL), mode="valid")
            )(x)
            ** 2
        ),
        _gauss(1143, 14),
    ),
    _case(
        "differences, vjp forgets the first",
        lambda x: (
            _two_ways(
                lambda x: jnp.diff(x, prepend=_as(x, [0])),
                None,
                lambda _, ct: jnp.where(jnp.arange(11) == 0, 0, ct - jnp.append(ct[1:], 0)),
            )(x)
            ** 2
        ),
        _gauss(1144, 11),
    ),
    _case(
        "softmax, vjp without the sum",
        _two_ways(lambda x: nn.softmax(x), None, lambda x, ct: nn.softmax(x) * ct),
        _gauss(1145, 6),
    ),
    _case(
        "scan, vjp x1.5 in the last step",
        lambda x: lax.scan(
            lambda h, i: (_only(i == 6, _two_ways(jnp.sin, None, lambda x, ct: 1.5 * jnp.cos(x) * ct), h) + 0.25, i),
            x,
            jnp.arange(7),
        )[0],
        _gauss(1146, 5),
    ),
    _case(
        "cosh, vjp NaN for an element at 0",
        _two_ways(jnp.cosh, None, lambda x, ct: ct * jnp.sinh(x) * x / x),
        _put(_gauss(1147, 12), 4, 0.0),
    ),
)

_VANISHED = (
    _case(
        "sqrt(1 + x**2) - x of a large number",
        lambda x: jnp.sqrt(1 + x * x) - x,
        _each(2.0**13, 2.0**28, 2.0**5, 2.0**6),
    ),
    _case(
        "arctan(x + 1) - arctan(x) far out",
        lambda x: jnp.arctan(x + 1) - jnp.arctan(x),
        _each([0.5, 2.0**25], [0.5, 2.0**54], [0.5, 2.0**9], 0),
        dtypes=NO_HALF,
    ),
    _case(
        "log(x + 1) - log(x), the last of five",
        lambda x: jnp.sum(jnp.log(x + 1) - jnp.log(x)),
        _each(*([0.5, 1, 2, 3, far] for far in (2.0**25, 2.0**54, 2.0**9, 0))),
        dtypes=NO_HALF,
    ),
    _case("arcsinh, its square overflowing", jnp.arcsinh, _each(1e30, 1e300, 1e30, 0), dtypes=NO_HALF),
    _case(
        "exp(c) exp(-x), underflowing",
        lambda c, x: jnp.exp(c) * jnp.exp(-x),
        _each(88, 709, 88, 10),
        _each([80, 106], [700, 748], [80, 106], [9, 18]),
    ),
    _case(
        "cosh custom_jvp, slope from the output",
        _rule(jnp.cosh, lambda xs, ts: jnp.sign(xs[0]) * jnp.sqrt(jnp.cosh(xs[0]) ** 2 - 1) * ts[0]),
        _each([2, 2.0**-14], [2, 2.0**-28], [2, 2.0**-14], [2, 2.0**-13]),
    ),
    _case(
        "softsign of a sum, one row far out",
        lambda x: jax.vmap(lambda row: jnp.sum(row) / jnp.sqrt(1 + jnp.sum(row) ** 2))(x),
        _each(*([[0.5, 1.0], [big, big]] for big in (2.0**14, 2.0**29, 2.0**6, 0))),
        dtypes=NO_HALF,
    ),
)

_GROUPS = (_ONE_AND_A_HALF, _ONE_PER_MILLE, _SIGN, _ZEROED, _FORGOTTEN, _ONE_BRANCH, _NAN, _VJP, _VANISHED)

_HEALTHY = (
    # Stiff, steep, chaotic
    _case("cos(x**2)", lambda x: jnp.cos(x * x), np.array([6.0, 10.0, 12.0])),
    _case("stiff decay by implicit Euler", _stiff, np.array([0.5, 2.0, -1.0])),
    _case("chaotic logistic map", _logistic_map, np.array([0.1875, 0.71875]), dtypes=WIDE),
    _case("van der Pol oscillator", _van_der_pol, np.array([1.75, -0.5]), np.float64(4.0), dtypes=NO_BFLOAT),
    _case("exp of exp of exp", lambda x: jnp.exp(jnp.exp(jnp.exp(x))), np.array([-1.0, 0.25, 0.5])),
    _case("Rosenbrock", lambda x: jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), _exact(2001, 6)),
    _case("sin(1/x) near 0", lambda x: jnp.sin(1 / x), np.array([2.0**-5, 2.0**-4, -(2.0**-3)])),
    _case("x**-8 and x**0", lambda x: x**-8 + x**0, np.array([0.5, -1.5, 2.0])),
    # The ends of the range, swamped and faint
    _case("cube root of the smallest", jnp.cbrt, _each(1e-36, 1e-306, 1e-36, 1e-4)),
    _case(
        "half of the largest", lambda x: x / 2, _each([3e38, -1e38], [1.7e308, -1e308], [3e38, -1e38], [65000, -6e4])
    ),
    _case("arctan far out", jnp.arctan, _each([1e15, -3e12], [1e150, -3e120], [1e15, -3e12], [100.0, -30.0])),
    _case("hypot of large numbers", jnp.hypot, _each(1e18, 1e150, 1e18, 96), _each(-3e18, 2e150, -3e18, -128)),
    _case("sine swamped by a constant", lambda x: jnp.sin(x) + 4 / float(jnp.finfo(x.dtype).eps), _gauss(2002, 4)),
    _case(
        "faint leaf beside a loud one",
        _loud_and_faint,
        {"loud": _gauss(2003, 6), "faint": _gauss(2004, 6)},
        dtypes=NO_HALF,
    ),
    _case("sum of 2**14 and of 2**-10", lambda x: jnp.sum(x**3), np.array([25.0, -0.0625, 0.125, 11.0])),
    _case(
        "arcsinh of large and tiny numbers",
        jnp.arcsinh,
        _each([1e18, 1e-30], [1e150, 1e-300], [1e18, 1e-30], [200, 1e-4]),
    ),
    _case("gradient in the small normal numbers", lambda x: x * x / 4, _each(1e-36, 1e-306, 1e-36, 3e-3)),
    _case(
        "digamma and Bessel", lambda x: special.digamma(x) + special.i0e(x), np.array([0.25, 3.0, 40.0]), dtypes=WIDE
    ),
    _case("erfinv near 1", special.erfinv, np.array([-0.5, 0.25, 0.9921875]), dtypes=WIDE),
    _case(
        "expanded (x - 1)**7 near 1",
        lambda x: jnp.polyval(_as(x, [1, -7, 21, -35, 35, -21, 7, -1]), x),
        np.array([1.5, 0.625]),
        dtypes=WIDE,
    ),
    # Kinks at and around the point
    _case("relu6, maximum and clip at their kinks", _steep_relu, np.array([0.0, 6.0, -6.0, 3.0])),
    _case(
        "absolute deviations at the data",
        lambda x: jnp.sum(abs(x - _as(x, [-1.5, 0.5, 2.0]))),
        np.array([0.0, 0.5, 2.0]),
    ),
    _case(
        "hard swish and hard tanh at their seams",
        lambda x: nn.hard_swish(x) + nn.hard_tanh(x),
        np.array([-3.0, -1, 0, 1, 3]),
    ),
    _case(
        "sawtooth of 64 teeth",
        lambda x: abs(64 * x - jnp.round(64 * x)) * x,
        _whole(2010, 256, 9) / 256 + 1 / 1024,
        dtypes=WIDE,
    ),
    _case(
        "300 kinks around the point",
        lambda x: jnp.mean(abs(x - _as(x, np.arange(-150, 150) / 128 + 1 / 256))) * 2,
        np.float64(0.25),
    ),
    _case(
        "max pooling with ties",
        lambda x: lax.reduce_window(x, np.array(-np.inf, x.dtype), lax.max, (2, 2), (2, 2), "valid"),
        np.array([[1.0, 1, 2, 3], [0, 1, 3, 3], [5, -1, 0, 0], [4, 2, 0, 1]]),
    ),
    _case(
        "hinge of margins, one at 0",
        lambda x: jnp.sum(nn.relu(1 - x * _as(x, [1, -1, 1, -1]))),
        np.array([1.0, 0.5, -2, -3]),
    ),
    _case("segment_max with ties", lambda x: jax.ops.segment_max(x, _IDS, 5), _whole(2011, 4, 23).astype(float)),
    _case("top_k", lambda x: lax.top_k(x, 4)[0] ** 2, _gauss(2012, 17)),
    _case(
        "sorted rows by a key", lambda x: jnp.take_along_axis(x, jnp.argsort(-x, -1), -1)[:, ::2], _gauss(2013, 5, 6)
    ),
    _case("quantile", lambda x: jnp.quantile(x, _as(x, [0.25, 0.625])), _gauss(2014, 9), dtypes=WIDE),
    _case(
        "piecewise linear interpolation",
        lambda x: jnp.interp(x, jnp.arange(5.0, dtype=x.dtype), _as(x, [0, 2, -1, 4, 4])),
        np.array([0.25, 1.5, 3.75]),
        dtypes=NO_BFLOAT,
    ),
    # Indexing
    _case(
        "scatter with duplicates",
        lambda x, y: x.at[_TAKEN].add(y).at[jnp.array([3, 3])].multiply(2),
        _gauss(2020, 8),
        _gauss(2021, 7),
    ),
    _case(
        "dynamic slices by an integer argument",
        lambda i, x: lax.dynamic_update_slice(x * 2, lax.dynamic_slice(x, (i,), (3,)) ** 2, (i + 4,)),
        np.int32(1),
        _gauss(2022, 9),
    ),
    _case(
        "gather, some out of bounds",
        lambda x: x.at[jnp.array([0, 2, 99, -1])].get(mode="fill", fill_value=1) ** 2,
        _gauss(2023, 5),
    ),
    _case("bilinear interpolation", _bilinear, _gauss(2024, 5, 6), np.array([[0.25, 1.5], [3.125, 4.75], [2.5, 0.5]])),
    # Transforms and linear algebra
    _case(
        "strided, dilated convolution",
        lambda x, k: lax.conv_general_dilated(x, k, (2, 1), "SAME", rhs_dilation=(1, 2)),
        _gauss(2030, 1, 2, 6, 7),
        _gauss(2031, 3, 2, 3, 2),
    ),
    _case(
        "low pass by rfft",
        lambda x: jnp.fft.irfft(jnp.fft.rfft(x) * _as(x, [1, 1, 0.5, 0, 0]), 8) ** 2,
        _gauss(2032, 8),
        dtypes=WIDE,
    ),
    _case("singular values", lambda a: jnp.linalg.svd(a, compute_uv=False), _gauss(2033, 5, 3), dtypes=WIDE),
    _case("QR with its signs", lambda a: jnp.linalg.qr(a)[1], _gauss(2034, 5, 3), dtypes=WIDE),
    _case("inverse of a Hilbert matrix", lambda a: jnp.linalg.inv(a) / 64, _ILL, dtypes=("float64",)),
    _case(
        "log determinant, custom_jvp by a solve",
        _rule(lambda a: jnp.linalg.slogdet(a)[1], lambda xs, ts: jnp.trace(jnp.linalg.solve(xs[0], ts[0]))),
        _SPD,
        dtypes=WIDE,
    ),
    _case("exp of a rotation's generator", lambda a: linalg.expm(a - a.T), _gauss(2035, 3, 3), dtypes=WIDE),
    _case(
        "triangular solve",
        lambda a, b: linalg.solve_triangular(a, b, lower=True, trans=1),
        np.tril(_gauss(2036, 4, 4)) + 3 * np.eye(4),
        _gauss(2037, 4),
        dtypes=WIDE,
    ),
    _case(
        "exp of a symmetric matrix by eigh",
        lambda a: _exp_of_symmetric(a + a.T),
        _gauss(2038, 4, 4, by=0.5),
        dtypes=WIDE,
    ),
    _case(
        "complex Moebius map",
        lambda z: jnp.sum(abs((z - 0.5j) / (1 + 0.5j * z)) ** 2),
        _gauss(2039, 5) + 1j * _within(2040, 0.5, 1, 5),
        dtypes=WIDE,
    ),
    # Right rules, by another formula
    _case(
        "Kepler's equation, custom_jvp",
        _rule(_kepler, _kepler_tangent),
        np.array([0.5, 1.5, -2.0]),
        np.array([0.25, 0.5, 0.75]),
    ),
    _case("root of a cubic, custom_root", _cubic_root, np.array([-3.0, 0.5, 10.0])),
    _case(
        "softmax, right custom_vjp",
        lambda x: _back(lambda x: nn.softmax(x), _softmax_back)(x) ** 2,
        _gauss(2050, 4, 6, by=2),
    ),
    _case("rms normalisation, right custom_jvp", _rule(_rms, _rms_tangent), _gauss(2051, 10)),
    _case(
        "cubed difference, expanded custom_jvp",
        _rule(
            lambda a, b: (a - b) ** 3,
            lambda xs, ts: 3 * (xs[0] - xs[1]) ** 2 * ts[0] - 3 * (xs[0] - xs[1]) ** 2 * ts[1],
        ),
        _gauss(2052, 7),
        _gauss(2053, 7),
    ),
    _case(
        "arctanh by logarithms, right custom_jvp",
        _slope(lambda x: (jnp.log1p(x) - jnp.log1p(-x)) / 2, lambda x: 1 / ((1 - x) * (1 + x))),
        np.array([-0.75, 0.0, 2.0**-7, 0.875]),
    ),
    _case(
        "determinant, right custom_vjp",
        _back(_det, lambda xs, ct: (ct * _minors(xs[0]) * np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]]),)),
        _exact(2054, 3, 3),
    ),
    _case(
        "cumsum, right transpose",
        _two_ways(lambda x: jnp.cumsum(x), None, lambda _, ct: jnp.sum(ct) - jnp.cumsum(ct) + ct),
        _gauss(2055, 9),
    ),
    # Unusual arguments and results
    _case(
        "keys, booleans, integers, None, no elements",
        _state_of_training,
        {"w": _gauss(2060, 6, 4), "step": np.int32(3), "mask": None, "none yet": np.zeros((0, 3))},
        _key,
        np.bool_(True),
        np.int32(2),
    ),
    _case("Gumbel softmax by a key", _gumbel, _gauss(2061, 3, 5), _key),
    _case("Python floats", lambda x, scale, shift: jnp.tanh(scale * x + shift), _gauss(2062, 6, by=0.5), 0.75, -0.25),
    _case("identity", lambda x: x, _gauss(2063, 5)),
    _case("identity of a tree", lambda tree: tree, {"a": _gauss(2064, 2), "b": (np.int32(4), None), "c": np.zeros(0)}),
    _case("constant", lambda x: jnp.ones(3, x.dtype), _gauss(2065, 4)),
    _case(
        "rounded, floored, signed and counted",
        lambda x: jnp.round(x) + jnp.floor(x) * 2 - jnp.sign(x) + jnp.argmax(x).astype(x.dtype),
        np.array([0.25, -1.75, 3.125]),
    ),
    _case("times 0", lambda x, y: x * 0 + y * y, _gauss(2066, 3), _gauss(2067, 3)),
    _case(
        "empty loops",
        lambda x: lax.scan(lambda h, y: (h * y, h), lax.fori_loop(3, 3, lambda _, h: h * h, x), x[:0]),
        _gauss(2068, 4),
    ),
    _case(
        "result with integers",
        lambda x: {"best": jnp.argmax(x), "value": jnp.max(x), "rank": jnp.argsort(x), "x": (x, x > 0)},
        _gauss(2069, 6),
    ),
    _case("no elements at all", lambda x: jnp.sum(jnp.exp(x)), np.zeros((0, 4))),
    # Networks and programs
    _case("batch norm", _batch_norm, _gauss(2080, 9, 4, at=1), _gauss(2081, 4, at=1, by=0.25), _gauss(2082, 4)),
    _case("rows of norm 1", lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True), _gauss(2083, 5, 3)),
    _case(
        "causal softmax with -inf",
        lambda x: nn.softmax(jnp.where(np.tri(4, dtype=bool), x, -jnp.inf)) ** 2,
        _gauss(2084, 4, 4),
    ),
    _case("bfloat16 product inside", _mixed, _gauss(2085, 4, 8, by=0.5), _gauss(2086, 8, 3, by=0.25)),
    _case("normalised in float32 inside", _in_float32, _gauss(2087, 3, 8), dtypes=("bfloat16", "float16", "float32")),
    _case(
        "GRU",
        _gru,
        {"gates": _gauss(2088, 7, 8, by=0.25), "new": _gauss(2089, 7, 4, by=0.25)},
        _gauss(2090, 4),
        _gauss(2091, 6, 3),
    ),
    _case("tower of 60 residual layers", _residual_tower, _gauss(2092, 4), _gauss(2093, 4, 4), dtypes=NO_BFLOAT),
    _case("sine 80 times", lambda x: lax.fori_loop(0, 80, lambda _, x: jnp.sin(x), x), np.array([0.5, 1.25, 2.0])),
    _case("Sinkhorn", _sinkhorn, _within(2094, 0, 3, 4, 4), dtypes=NO_BFLOAT),
    _case(
        "hidden Markov model",
        _hidden_markov,
        _gauss(2095, 3),
        _gauss(2096, 3, 3),
        _gauss(2097, 9, 3),
        dtypes=NO_BFLOAT,
    ),
    _case(
        "Kalman filter",
        _kalman,
        np.array([[1.0, 0.25], [-0.25, 0.875]]),
        np.array([-1.0, -2.0]),
        _gauss(2098, 7),
        dtypes=WIDE,
    ),
    _case("linear recurrence by associative_scan", _linear_recurrence, _within(2099, 0.25, 1, 12), _gauss(2100, 12)),
    _case("cumulative logsumexp", lax.cumlogsumexp, _gauss(2101, 8, by=2)),
    _case("pendulum", _pendulum, np.array([0.75, -0.5]), _gauss(2102, 13)),
    _case("60 leaves, jitted", jax.jit(_many_leaves), _leaves(2200, 30, 3)),
    _case("mean over a mapped axis", _centred_by_axis, _gauss(2103, 5, 3) ** 2),
    _case(
        "halved within a cond within a scan",
        jax.vmap(partial(_reduced, halve=lambda x: x / 2)),
        np.array([0.5, 3.0, 0.25, 11.0]),
    ),
    _case("rotation", _rotated, np.float64(0.75), _gauss(2104, 4, 2)),
    _case(
        "Hessian-vector product, checkpointed",
        lambda x, v: jax.jvp(jax.grad(jax.checkpoint(lambda x: jnp.sum(jnp.sin(x) * x**2))), (x,), (v,))[1],
        _gauss(2105, 5),
        _gauss(2106, 5),
    ),
    _case(
        "CTC loss",
        lambda x: optax.ctc_loss(
            x, jnp.zeros((2, 6), x.dtype), np.array([[1, 2, 2], [3, 1, 0]]), np.array([[0, 0, 0], [0, 0, 1]], x.dtype)
        ),
        _gauss(2107, 2, 6, 4),
        dtypes=WIDE,
    ),
)

CASES: tuple[Case, ...] = (
    *(dataclasses.replace(case, fault=fault) for fault, group in zip(FAULTS, _GROUPS, strict=True) for case in group),
    *_HEALTHY,
)
