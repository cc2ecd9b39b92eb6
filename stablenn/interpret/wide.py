"""The meaning that gives every float 64 bits: the program as written, without the roundings of its own dtypes.

Custom rules of differentiation are walked through and `stop_gradient` is no barrier, so that what JAX differentiates
here is the value. Unlike the exact meaning this one can be compiled: it is a JAX program again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from stablenn.interpret import jaxprs
from stablenn.interpret.walker import Control, Frame, Path, source_line, walk, walk_closed

_IDENTITIES = {"stop_gradient", "copy", "copy_p", "optimization_barrier", "reduce_precision"}
# These mean bits, or run code that expects its own dtypes.
_AS_THEY_ARE = {"bitcast_convert_type", "nextafter", "reduce", "reduce_window", "shard_map", "pallas_call"}
_AS_THEY_ARE |= {"pure_callback", "io_callback", "ffi_call", "custom_partitioning", "random_gamma"}
_EXACT = {"bitcast_convert_type", "nextafter"}  # of these, what does not round
_DTYPE_PARAMETERS = ("new_dtype", "dtype", "preferred_element_type")
_NO_LONGER_APT = {"precision": None, "accuracy": None}  # how much the program's own dtype may lose
_SCATTERS = {
    "scatter": lax.scatter,
    "scatter-add": lax.scatter_add,
    "scatter_add": lax.scatter_add,
    "scatter-sub": lax.scatter_sub,
    "scatter_sub": lax.scatter_sub,
    "scatter-mul": lax.scatter_mul,
    "scatter_mul": lax.scatter_mul,
    "scatter-min": lax.scatter_min,
    "scatter_min": lax.scatter_min,
    "scatter-max": lax.scatter_max,
    "scatter_max": lax.scatter_max,
}
_EPS = float(np.finfo(np.float64).eps)
# What rounds in floating point; the others move values or choose among them.
_ROUNDING = {
    *("add", "add_any", "sub", "mul", "div", "rem", "pow", "integer_pow", "square", "sqrt", "rsqrt", "cbrt", "exp"),
    *("exp2", "expm1", "log", "log1p", "tanh", "logistic", "erf", "erfc", "erf_inv", "lgamma", "digamma", "sin"),
    *("cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "asinh", "acosh", "atanh", "reduce_sum"),
    *("reduce_prod", "cumsum", "cumprod", "cumlogsumexp", "dot_general", "conv_general_dilated", "scatter-add"),
}


class Jitter(NamedTuple):
    """Small random moves of numbers: how far they move the outputs is the noise that rounding makes.

    Attributes:
      seed: any number.
      results: by how much, relatively, each result moves that floating point rounds; equal results move equally.
      literals: by how many half ulps of their own dtype the literals move, other than powers of two: whoever wrote
        them meant another number.
    """

    seed: Any
    results: Any
    literals: Any


class Choice(NamedTuple):
    """Where a program takes one way or another: what it took, element by element."""

    primitive: str
    line: str
    taken: Any


def widened_dtype(dtype) -> Any:
    """float64 for floats, complex128 for complex numbers, any other dtype as it is."""
    if jnp.issubdtype(dtype, np.floating):
        return np.dtype(np.float64)
    return np.dtype(np.complex128) if jnp.issubdtype(dtype, np.complexfloating) else dtype


def widened(value, aval):
    """An operand or constant in float64."""
    if jax.dtypes.issubdtype(aval.dtype, jax.dtypes.extended):
        return value
    return jnp.asarray(value, widened_dtype(aval.dtype))


class Wide:
    """The float64 `Meaning`: values are JAX arrays, traced or not, under a local x64 setting.

    Args:
      jitter: how far rounding may move what is computed.

    Attributes:
      choices: what comparisons, maxima, orders and the like decided, in the order of the program.
      kept: the primitives that were evaluated at their own dtypes.
      met: all primitives.
    """

    def __init__(self, jitter: Jitter | None = None) -> None:
        self.jitter = jitter
        self.choices: list[Choice] = []
        self.kept: set[str] = set()
        self.met: set[str] = set()
        self.control: Mapping[str, Control] = {"scan": self._scan, "while": self._while, "cond": self._cond}

    # --- the Meaning protocol --------------------------------------------------------------------------------

    def constant(self, value, aval):
        wide = widened(value, aval)
        if self.jitter is None or aval.shape or not jnp.issubdtype(aval.dtype, np.floating):
            return wide
        if not np.isfinite(value) or np.frexp(np.float64(value))[0] in (0, 0.5, -0.5):
            return wide
        half_ulp = float(jnp.finfo(aval.dtype).eps) / 2
        return wide * (1 + self.jitter.literals * half_ulp * jnp.sin(wide * 1e9 + self.jitter.seed))

    def decide(self, value, eqn, path: Path) -> int:
        raise NotImplementedError(f"control flow of {eqn.primitive.name} is run as it is")

    def equation(self, eqn, inputs: list, path: Path) -> list:
        name = eqn.primitive.name
        self.met.add(name)
        if name in _IDENTITIES:
            return list(inputs)
        outputs = self._outputs(eqn, inputs)
        if self.jitter is not None and name in _ROUNDING:
            outputs = [_moved(output, self.jitter) for output in outputs]
        if (taken := _taken(name, inputs, outputs, eqn.params)) is not None:
            self.choices.append(Choice(name, source_line(eqn, path), taken))
        return outputs

    def _outputs(self, eqn, inputs: list) -> list:
        name, params = eqn.primitive.name, dict(eqn.params)
        if name in ("debug_callback", "debug_print"):
            return []
        if name in _AS_THEY_ARE:
            return self._at_own_dtypes(eqn, inputs)
        if name == "convert_element_type":
            if jnp.iscomplexobj(inputs[0]) and not jnp.issubdtype(params["new_dtype"], np.complexfloating):
                inputs = [jnp.real(inputs[0])]
            return [lax.convert_element_type(inputs[0], widened_dtype(params["new_dtype"]))]
        if name in _SCATTERS:
            passed = ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")
            return [_SCATTERS[name](*inputs, **{key: params[key] for key in passed})]
        for key in _DTYPE_PARAMETERS:
            if params.get(key) is not None:
                params[key] = widened_dtype(params[key])
        params |= {key: value for key, value in _NO_LONGER_APT.items() if key in params}
        return jaxprs.bind(eqn, inputs, params)

    def _at_own_dtypes(self, eqn, inputs: list) -> list:
        def is_narrow(atom):
            return widened_dtype(atom.aval.dtype) != atom.aval.dtype

        if any(map(is_narrow, eqn.invars)):
            self.kept.add(eqn.primitive.name)
        narrow = [
            value.astype(atom.aval.dtype) if is_narrow(atom) else value
            for atom, value in zip(eqn.invars, inputs, strict=True)
        ]
        outputs = []
        for var, value in zip(eqn.outvars, jaxprs.bind(eqn, narrow), strict=True):
            wide = value.astype(widened_dtype(var.aval.dtype)) if is_narrow(var) else value
            if self.jitter is not None and is_narrow(var) and eqn.primitive.name not in _EXACT:
                # rounded to its own dtype: that noise, in place of float64's
                wide = _moved(wide, self.jitter, float(jnp.finfo(var.aval.dtype).eps) / _EPS)
            outputs.append(wide)
        return outputs

    # --- control flow stays what it is, with widened bodies --------------------------------------------------

    def _inside(self) -> Wide:
        inner = Wide(self.jitter)
        inner.kept, inner.met = self.kept, self.met
        return inner

    def _scan(self, eqn, inputs: list, meaning, path: Path) -> list:
        params = eqn.params
        fixed, carry, xs = jaxprs.scan_operands(eqn, inputs)
        carries, places = len(carry), []

        def body(carry, x):
            inner = self._inside()
            outputs = walk_closed(params["jaxpr"], [*fixed, *carry, *x], inner, (*path, Frame(eqn)))
            places[:] = [choice[:2] for choice in inner.choices]
            return outputs[:carries], (outputs[carries:], [choice.taken for choice in inner.choices])

        carry, (ys, taken) = lax.scan(body, carry, xs, length=params["length"], reverse=params["reverse"])
        self.choices += [Choice(name, line, steps) for (name, line), steps in zip(places, taken, strict=True)]
        return [*carry, *ys]

    def _while(self, eqn, inputs: list, meaning, path: Path) -> list:
        self.met.add("while")
        first, second = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        fixed, consts, carry = inputs[:first], inputs[first : first + second], inputs[first + second :]
        frame = (*path, Frame(eqn))

        def live(carry):
            return walk_closed(eqn.params["cond_jaxpr"], [*fixed, *carry], self._inside(), frame)[0]

        def body(carry):
            advanced = walk_closed(eqn.params["body_jaxpr"], [*consts, *carry], self._inside(), frame)
            lanes = live(carry)
            if jnp.ndim(lanes) == 0:
                return advanced
            return [  # a predicate per lane: freeze those that have finished
                jnp.where(lanes.reshape(lanes.shape + (1,) * (new.ndim - lanes.ndim)), new, old)
                for new, old in zip(advanced, carry, strict=True)
            ]

        return list(lax.while_loop(lambda carry: jnp.any(live(carry)), body, carry))

    def _cond(self, eqn, inputs: list, meaning, path: Path) -> list:
        def branch(index, jaxpr):
            return lambda *args: walk_closed(jaxpr, args, self._inside(), (*path, Frame(eqn, index)))

        index = jnp.clip(jnp.asarray(inputs[0], np.int32), 0, len(eqn.params["branches"]) - 1)
        self.choices.append(Choice("cond", source_line(eqn, path), index))
        branches = [branch(i, jaxpr) for i, jaxpr in enumerate(eqn.params["branches"])]
        return list(lax.switch(index, branches, *inputs[1:]))


def _moved(value, jitter: Jitter, times: float = 1.0):
    if not jnp.issubdtype(value.dtype, np.inexact):
        return value
    # as good as random, and equal for equals
    phase = jnp.sin(lax.stop_gradient(jnp.real(value)) * 1e9 + jitter.seed)
    return value * (1 + times * jitter.results * jnp.where(jnp.isfinite(phase), phase, 0))


def _taken(name: str, inputs: list, outputs: list, params) -> Any:
    """What was chosen, as integers; None for an equation that chooses nothing."""
    if not inputs or not jnp.issubdtype(inputs[0].dtype, np.floating):
        return None
    x = lax.stop_gradient(inputs[0])
    if name in ("gt", "ge", "lt", "le", "eq", "ne"):
        return outputs[0]
    if name in ("abs", "sign"):
        return jnp.sign(x).astype(np.int8)
    if name in ("max", "min"):
        return jnp.sign(x - lax.stop_gradient(inputs[1])).astype(np.int8)
    if name in ("reduce_max", "reduce_min"):
        return x == jnp.expand_dims(lax.stop_gradient(outputs[0]), params["axes"])
    if name in ("cummax", "cummin"):
        return x == lax.stop_gradient(outputs[0])
    if name in ("floor", "ceil", "round"):
        return lax.stop_gradient(outputs[0])
    if name == "clamp":
        low, value, high = map(lax.stop_gradient, inputs)
        return jnp.sign(value - low).astype(np.int8) + 3 * jnp.sign(high - value).astype(np.int8)
    if name in ("argmax", "argmin"):
        return outputs[0]
    if name == "sort":
        return jnp.argsort(x, axis=params["dimension"])
    if name == "top_k":
        return outputs[1]
    if name == "convert_element_type" and not jnp.issubdtype(outputs[0].dtype, np.inexact):
        return outputs[0]
    return None


def widen(closed, jitter: Jitter | None = None) -> Callable[..., tuple[list, Wide]]:
    """The program of a closed jaxpr in float64, as a function of its operands that JAX can trace.

    It returns the outputs, and the meaning that knows the choices on the way to them. To be called under a local x64
    setting.
    """

    def run(*operands: Sequence):
        meaning = Wide(jitter)
        inputs = [widened(value, aval) for value, aval in zip(operands, closed.in_avals, strict=True)]
        outputs = walk(closed.jaxpr, closed.consts, inputs, meaning)
        return outputs, meaning

    return run
