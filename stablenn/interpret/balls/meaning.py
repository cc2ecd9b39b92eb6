"""The meaning that gives every equation its real value: which rule serves which primitive."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import numpy as np

from stablenn import floats
from stablenn.interpret.balls import elementwise, reductions, structure
from stablenn.interpret.balls.elements import UNKNOWN, Arithmetic, Undecided
from stablenn.interpret.walker import UNKNOWN_LINE, Control, Path, source_line

# What a float program does that leaves every real number as it is.
_IDENTITIES = {
    "stop_gradient",
    "copy",
    "copy_p",
    "optimization_barrier",
    "reduce_precision",
    "sharding_constraint",
    "reshard",
    "pvary",
    "pbroadcast",
    "layout_constraint",
}
_REFUSED = {
    "bitcast_convert_type": "the bits of a float are not a function of the real number",
    "nextafter": "the neighbour of a float is not a function of the real number",
}


class UnsupportedPrimitive(NotImplementedError):
    """exact() has no rule for a primitive."""


class Balls:
    """The real-number `Meaning`: float arrays are object arrays of elements, all else is as JAX has it.

    A boolean array that holds an undecided comparison is an object array of True, False and UNKNOWN.
    """

    def __init__(self) -> None:
        self.control: Mapping[str, Control] = {}  # every decision is made
        self.arithmetic = Arithmetic()
        a = self.arithmetic
        one = a.from_float(1.0)
        functions = {name: elementwise.apply_function(name, a) for name in elementwise.FUNCTIONS}
        self._unary = functions | {
            "neg": a.neg,
            "abs": a.abs,
            "sign": elementwise.signum(a),
            "floor": elementwise.floor(a),
            "ceil": elementwise.ceil(a),
            "square": lambda x: a.mul(x, x),
            "one_minus_square": lambda x: a.sub(one, a.mul(x, x)),
            "is_finite": elementwise.is_finite,
            "real": lambda x: x,
            "conj": lambda x: x,
        }
        self._binary = elementwise.COMPARISONS | {
            "add": a.add,
            "add_any": a.add,
            "sub": a.sub,
            "mul": a.mul,
            "div": a.div,
            "max": a.max,
            "min": a.min,
            "pow": a.pow,
            "rem": elementwise.remainder(a),
            "atan2": elementwise.atan2(a),
        }

    # --- the Meaning protocol --------------------------------------------------------------------------------

    def constant(self, value, aval):
        if jax.dtypes.issubdtype(aval.dtype, jax.dtypes.extended):
            return value
        if jax.dtypes.issubdtype(aval.dtype, np.complexfloating):
            raise UnsupportedPrimitive(f"exact() works on real numbers; {aval.str_short()} is complex")
        array = np.asarray(value, aval.dtype)
        return self.from_array(array) if floats.is_float(array.dtype) else array

    def equation(self, eqn, inputs: list, path: Path) -> list:
        try:
            return self._outputs(eqn, inputs)
        except Undecided:
            raise Undecided(f"primitive {eqn.primitive.name!r} at {source_line(eqn, path)}") from None
        except UnsupportedPrimitive as error:
            line = source_line(eqn, path)
            raise UnsupportedPrimitive(str(error) if line == UNKNOWN_LINE else f"{error} at {line}") from None

    def decide(self, value, eqn, path: Path) -> int:
        try:
            return int(np.asarray(value).item() if np.ndim(value) == 0 else value)
        except (Undecided, TypeError) as error:
            raise Undecided(f"primitive {eqn.primitive.name!r} at {source_line(eqn, path)}") from error

    # --- arrays ----------------------------------------------------------------------------------------------

    def from_array(self, array: np.ndarray) -> np.ndarray:
        """A float array as elements."""
        out = np.empty(array.size, object)
        out[:] = list(map(self.arithmetic.from_float, array.astype(np.float64).ravel().tolist()))
        return out.reshape(array.shape)

    def _outputs(self, eqn, inputs: list) -> list:
        name, params = eqn.primitive.name, eqn.params
        if name in ("debug_callback", "debug_print"):
            return []
        lifted = [isinstance(x, np.ndarray) and x.dtype == object for x in inputs]
        if not any(lifted):
            return self._as_it_is(eqn, inputs)
        if name in _IDENTITIES:
            return list(inputs)
        if name in _REFUSED:
            raise UnsupportedPrimitive(f"exact() refuses primitive {name!r}, since {_REFUSED[name]},")
        if structure.is_structural(name):
            return structure.structural(eqn, inputs, self.arithmetic)
        if name == "sort":
            return reductions.sort(inputs, params["dimension"], params["num_keys"], self.arithmetic)
        rule = self._rule(name, params)
        if rule is None:
            raise UnsupportedPrimitive(f"exact() has no rule for primitive {name!r}")
        output = rule(*inputs)
        (var,) = eqn.outvars
        return [output if floats.is_float(var.aval.dtype) else _narrowed(output, var.aval.dtype)]

    def _rule(self, name: str, params):
        """The function from arrays to an array that a primitive stands for; None where there is none."""
        a = self.arithmetic
        if name in self._unary:
            return functools.partial(_elementwise, self._unary[name])
        if name in self._binary:
            return functools.partial(_elementwise, self._binary[name])
        if name == "integer_pow":
            return functools.partial(_elementwise, lambda x: a.integer_pow(x, params["y"]))
        if name == "round":
            to_even = int(params["rounding_method"]) == 1
            return functools.partial(_elementwise, elementwise.round_half(a, to_even))
        if name == "reciprocal":
            return functools.partial(_elementwise, lambda x: a.div(a.from_float(1.0), x))
        if name == "polynomial":
            return functools.partial(_elementwise, a.polynomial)
        if name == "clamp":
            return lambda low, x, high: _elementwise(lambda lo, v, hi: a.min(a.max(v, lo), hi), low, x, high)
        if name == "select_n":
            return self._select
        if name == "convert_element_type":
            return functools.partial(self._convert, dtype=np.dtype(params["new_dtype"]))
        if name in ("argmax", "argmin"):
            wanted = 1 if name == "argmax" else -1
            return lambda x: reductions.argument_extreme(x, params["axes"], wanted)
        if name in ("reduce_sum", "reduce_prod", "reduce_max", "reduce_min", "reduce_and", "reduce_or"):
            return lambda x: reductions.reduction(name, a)(x, params["axes"])
        if name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"):
            return lambda x: reductions.cumulative(name, a)(x, params["axis"], params["reverse"])
        if name == "dot_general":
            return lambda x, y: reductions.dot_general(x, y, params["dimension_numbers"], a)
        if name in _LOGIC:
            return functools.partial(_elementwise, _LOGIC[name])
        return None

    def _as_it_is(self, eqn, inputs: list) -> list:
        """Integers, booleans, random bits and keys mean what JAX computes; floats made from them are exact."""
        if eqn.primitive.name == "convert_element_type" and floats.is_float(eqn.outvars[0].aval.dtype):
            return [self._convert(np.asarray(inputs[0]), dtype=np.dtype(eqn.params["new_dtype"]))]
        outputs = eqn.primitive.bind(*inputs, **eqn.params)
        outputs = outputs if eqn.primitive.multiple_results else [outputs]
        return [self._received(value) for value in outputs]

    def _received(self, value):
        if jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended):
            return value
        array = np.asarray(value)
        return self.from_array(array) if floats.is_float(array.dtype) else array

    def _select(self, which: np.ndarray, *cases: np.ndarray) -> np.ndarray:
        objects = [case if case.dtype == object else case.astype(object) for case in cases]

        def pick(index, *values):
            if index is not UNKNOWN:
                return values[int(index)]
            return functools.reduce(self._either, values)

        return _elementwise(pick, which, *objects)

    def _either(self, x, y):
        if isinstance(x, (bool, np.bool_)) or isinstance(y, (bool, np.bool_)):
            return x if x is y or x == y else UNKNOWN
        if isinstance(x, int) or isinstance(y, int):
            raise Undecided
        return self.arithmetic.hull(x, y)

    def _convert(self, x: np.ndarray, dtype: np.dtype) -> np.ndarray:
        a = self.arithmetic
        to_float = floats.is_float(dtype)
        if x.dtype != object:
            return _elementwise(a.from_int, x.astype(object)) if to_float else x.astype(dtype)
        if np.issubdtype(dtype, np.bool_):
            return _elementwise(elementwise.COMPARISONS["ne"], x, np.array(0.0, object))
        if not to_float:
            return _elementwise(lambda v: int(v) if isinstance(v, bool) else elementwise.truncate(v), x)
        zero_or_one = functools.partial(a.hull, 0.0, a.from_float(1.0))

        def convert(value):
            if isinstance(value, (bool, np.bool_)):
                return a.from_int(int(value))
            return value

        if any(isinstance(value, (bool, np.bool_)) for value in x.flat):  # comparisons, some of them open
            return _elementwise(lambda v: zero_or_one() if v is UNKNOWN else convert(v), x)
        return x


def _elementwise(fn, *operands) -> np.ndarray:
    arrays = [np.asarray(operand) for operand in operands]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    out = np.empty(shape, object)
    return np.frompyfunc(fn, len(arrays), 1)(*arrays, out=out) if out.size else out


def _not(x):
    return UNKNOWN if x is UNKNOWN else not x


_LOGIC = {
    "and": lambda x, y: reductions._all((x, y)),
    "or": lambda x, y: reductions._any((x, y)),
    "not": _not,
    "xor": lambda x, y: UNKNOWN if x is UNKNOWN or y is UNKNOWN else bool(x) != bool(y),
}


def _narrowed(values: np.ndarray, dtype) -> np.ndarray:
    """Decided booleans and integers in their own dtype; an object array where some are still open."""
    try:
        return values.astype(dtype)
    except Undecided:
        return values
