"""The function under check: as the device computes it and its derivatives, and as both are meant.

What is computed has the dtypes of the arguments. What is meant is the same traced program in float64 (`Wide`): of
the value, of the derivative that JAX makes of it with all custom rules (the rule), and of the derivative of the value
itself, custom rules walked through and `stop_gradient` ignored.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stablenn.interpret.host import wide_on_cpu
from stablenn.interpret.wide import Jitter, widen
from stablenn.interpret.work import scalar_operations
from stablenn.precision.gradients.layout import Layout, Leaf

# Points that are evaluated together: enough to pay for the call, few enough for the memory.
_TOGETHER = 1 << 22
MODES = ("fwd", "rev", "lin")
# What JAX raises for a derivative that does not exist, depending on the primitive or rule that lacks it.
NOT_DIFFERENTIABLE = (TypeError, ValueError, NotImplementedError)


class NoSuchMode(TypeError):
    """A function that this mode of differentiation does not reach."""


class Program:
    """``fn(*args)`` as a function of the real numbers in the inexact leaves of `args`."""

    why_not_exact = ""  # why there is no exact meaning
    compiler: Callable[[Callable], Callable] = staticmethod(jax.jit)

    def __init__(self, fn: Callable, args: Sequence, names: str = "args") -> None:
        paths, self._structure = jax.tree.flatten_with_path(tuple(args))
        leaves = [leaf for _, leaf in paths]
        for path, leaf in paths:
            _require_array(names + jax.tree_util.keystr(path), leaf)
        self._inexact = [i for i, leaf in enumerate(leaves) if jnp.issubdtype(_dtype(leaf), np.inexact)]
        self._leaves = leaves
        self.fn = fn
        # copies on the host: a function may donate its arguments
        self.inputs = [_copied(leaves[i]) for i in self._inexact]
        self.arguments = Layout(
            tuple(
                Leaf(names + jax.tree_util.keystr(paths[i][0]), np.shape(leaves[i]), _dtype(leaves[i]))
                for i in self._inexact
            )
        )
        self.at = self.arguments.to_host(self.arguments.from_host(self.arguments.to_host(self.inputs)))
        outputs = jax.tree.flatten_with_path(self._output_shapes())[0]
        self._wanted = [i for i, (_, leaf) in enumerate(outputs) if jnp.issubdtype(leaf.dtype, np.inexact)]
        self.outputs = Layout(
            tuple(
                Leaf("output" + jax.tree_util.keystr(outputs[i][0]), outputs[i][1].shape, outputs[i][1].dtype)
                for i in self._wanted
            )
        )
        self.kept: set[str] = set()  # primitives evaluated at their own dtypes
        self.met: set[str] = set()  # primitives of the value
        self._compiled = functools.cache(self._compile)
        self.trace_rule = functools.cache(self._trace_rule)
        self.meant = functools.cache(self._mean)

    def _output_shapes(self):
        """Trace the function; the shapes and dtypes of what it returns."""
        self.closed, shapes = jax.make_jaxpr(self._function, return_shape=True)(*self.inputs)
        return shapes

    def rebuilt(self, inputs: Sequence) -> tuple:
        """The arguments, with other values in their inexact leaves."""
        leaves = list(self._leaves)
        for i, value in zip(self._inexact, inputs, strict=True):
            leaves[i] = value
        return jax.tree.unflatten(self._structure, leaves)

    def _function(self, *inputs):
        given = [jnp.array(value) if isinstance(value, np.ndarray) else value for value in inputs]
        return self.fn(*self.rebuilt(given))

    def function(self, *inputs) -> list:
        """The inexact leaves of the output, of the inexact leaves of the arguments."""
        leaves = jax.tree.leaves(self._function(*inputs))
        return [leaves[i] for i in self._wanted]

    # --- as computed -----------------------------------------------------------------------------------------

    @functools.cached_property
    def computed_value(self) -> np.ndarray:
        """The outputs in their own dtypes."""
        return self.outputs.to_host(self.compiler(self.function)(*self.inputs))

    def computed(self, mode: str, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The outputs and the derivative that `mode` computes: gradients of weights, or tangents along them."""
        side = self.outputs if mode == "rev" else self.arguments
        try:
            value, derivative = self._compiled(mode)(self.inputs, side.from_host(weights))
        except NOT_DIFFERENTIABLE as error:
            raise NoSuchMode(f"{mode}: {str(error).strip().splitlines()[0]}") from error
        other = self.arguments if mode == "rev" else self.outputs
        return self.outputs.to_host(value), other.to_host(derivative)

    def _compile(self, mode: str) -> Callable:
        return self.compiler(functools.partial(self.derivative, mode))

    def derivative(self, mode: str, inputs: list, weights: list):
        """The outputs, and the gradients of weighted outputs or the tangents along weights."""
        if mode == "rev":
            # conjugated on both sides, the gradient is that of the real inner product
            value, pullback = jax.vjp(self.function, *inputs)
            cotangents = [jnp.conj(jnp.asarray(w, jnp.result_type(v))) for w, v in zip(weights, value, strict=True)]
            return value, jax.tree.map(jnp.conj, pullback(cotangents))
        weights = [jnp.asarray(w, jnp.result_type(x)) for w, x in zip(weights, inputs, strict=True)]
        if mode == "lin":
            value, push = jax.linearize(self.function, *inputs)
            return value, push(*weights)
        return jax.jvp(self.function, tuple(inputs), tuple(weights))

    # --- as meant --------------------------------------------------------------------------------------------

    def _evaluate(self, x, jitter: Jitter | None = None) -> tuple:
        """The outputs in float64 and the choices on the way, of a float64 vector: traceable."""
        outputs, meaning = widen(self.closed, jitter)(*self.arguments.unravel(x))
        self.kept |= meaning.kept
        self.met |= meaning.met
        return self.outputs.ravel([outputs[i] for i in self._wanted]), meaning.choices

    def value(self, x, jitter: Jitter | None = None):
        """The outputs in float64: a traceable function of a float64 vector."""
        return self._evaluate(x, jitter)[0]

    def values_with(self, jitters: np.ndarray) -> np.ndarray:
        """The outputs in float64, row by row with another jitter."""

        def run(x, jitters):
            return jax.lax.map(lambda row: self.value(x, Jitter(*row)), jitters)

        return self._on_host(run)(self.at, jitters)

    @functools.cached_property
    def places(self) -> Sequence[tuple[str, str]]:
        """The primitive and the source line of each choice that the program makes."""
        with wide_on_cpu():
            found: list[tuple[str, str]] = []

            def run(x):
                found[:] = [choice[:2] for choice in self._evaluate(x)[1]]
                return 0

            jax.eval_shape(run, jnp.zeros(self.arguments.size))
            return found

    @functools.cached_property
    def sampler(self) -> Callable:
        """(points, x) -> outputs at each point, and which choices are not those made at x."""

        def run(points, x):
            _, choices = self._evaluate(x)
            base = [choice.taken for choice in choices]

            def one(point):
                value, others = self._evaluate(point)
                moved = [jnp.any(o.taken != b) for o, b in zip(others, base, strict=True)]
                return value, jnp.array([*moved, False], bool)

            return jax.lax.map(one, points, batch_size=self._batch)

        return self._on_host(run)

    @functools.cached_property
    def _batch(self) -> int | None:
        """How many points vmap takes at once; None where it cannot."""
        together = _TOGETHER // max(self.arguments.size + self.outputs.size, self.work, 1)
        try:
            jax.eval_shape(jax.vmap(self.value), jax.ShapeDtypeStruct((2, self.arguments.size), np.float64))
        except NotImplementedError:  # such as a pure_callback without a vmap_method
            return None
        return int(min(together, 64)) or None

    def rule(self, mode: str, x, weights, jitter: Jitter | None = None):
        """The derivative that `mode` computes, in float64, custom rules and all: a traceable function."""
        side, other = (self.outputs, self.arguments) if mode == "rev" else (self.arguments, self.outputs)
        closed = self.trace_rule(mode)
        derivative, meaning = widen(closed, jitter)(*self.arguments.unravel(x), *side.unravel(weights))
        self.kept |= meaning.kept
        return other.ravel(derivative)

    def _trace_rule(self, mode: str):
        side = self.outputs if mode == "rev" else self.arguments
        weights = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in side.leaves]
        count = len(self.inputs)

        def derivative(*operands):
            return self.derivative(mode, list(operands[:count]), list(operands[count:]))[1]

        return jax.make_jaxpr(derivative)(*self.inputs, *weights)

    def values_meant(self, mode: str) -> tuple[np.ndarray, np.ndarray]:
        """The outputs in float64, and those that come with the derivative."""
        weights = self.outputs if mode == "rev" else self.arguments
        count = len(self.inputs)

        def value(*operands):
            return self.derivative(mode, list(operands[:count]), list(operands[count:]))[0]

        closed = jax.make_jaxpr(value)(*self.inputs, *weights.from_host(np.ones(weights.size)))
        with wide_on_cpu():
            operands = self.arguments.unravel(jnp.asarray(self.at)), weights.unravel(jnp.ones(weights.size))
            of_rule = self.outputs.ravel(widen(closed)(*operands[0], *operands[1])[0])
            return np.asarray(self.value(jnp.asarray(self.at))), np.asarray(of_rule)

    def own(self, mode: str, x, weights, jitter: Jitter | None = None):
        """The derivative of the value itself, in float64: a traceable function."""
        value = functools.partial(self.value, jitter=jitter)
        if mode == "rev":
            return jax.vjp(value, x)[1](weights)[0]
        return jax.jvp(value, (x,), (weights,))[1]

    def _mean(self, which: str, mode: str) -> Callable:
        """(points, weights, jitters) -> the rule, or the value's own derivative, row by row."""
        derivative = getattr(self, which)
        if which == "rule":
            self.trace_rule(mode)  # under the caller's own x64 setting

        def run(points, weights, jitters):
            return jax.lax.map(
                lambda row: derivative(mode, row[0], row[1], Jitter(*row[2])),
                (points, weights, jitters),
                batch_size=self._batch,
            )

        return self._on_host(run)

    @functools.cached_property
    def work(self) -> int:
        """About how many scalar operations an evaluation takes."""
        with wide_on_cpu():
            return scalar_operations(jax.make_jaxpr(self.value)(jnp.zeros(self.arguments.size)))

    def _on_host(self, run: Callable) -> Callable:
        compiled = jax.jit(
            run, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
        )

        def evaluate(*args):
            with wide_on_cpu():
                return jax.tree.map(np.asarray, compiled(*(np.asarray(arg, np.float64) for arg in args)))

        return evaluate


def _copied(leaf):
    """The leaf on the host; what is weakly typed stays as it is."""
    weak = not hasattr(leaf, "dtype") or getattr(leaf, "weak_type", False)
    return leaf if weak else np.array(leaf)


def _require_array(name: str, leaf) -> None:
    try:
        _dtype(leaf)
    except TypeError:
        raise TypeError(
            f"{name} is no array but {type(leaf).__name__}: bind it with functools.partial, or pass the arrays alone"
        ) from None


def _is_key(leaf) -> bool:
    return jax.dtypes.issubdtype(getattr(leaf, "dtype", np.dtype(object)), jax.dtypes.prng_key)


def _dtype(leaf) -> Any:
    return leaf.dtype if _is_key(leaf) else jax.dtypes.canonicalize_dtype(jax.dtypes.result_type(leaf))
