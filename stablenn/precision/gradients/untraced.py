"""Functions that JAX differentiates but cannot trace, since Python's own control flow looks at their values.

What such a function means in float64 is what it computes from float64 arguments. Its custom rules cannot be walked
through, so that differences alone tell the derivative of its value.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from stablenn.interpret.host import wide_on_cpu
from stablenn.interpret.wide import Jitter
from stablenn.precision.gradients.program import Program


class Untraced(Program):
    """A `Program` that is run, each time, as Python has it."""

    why_not_exact = "Python's control flow looks at values, so that the function cannot be traced"
    compiler: Callable[[Callable], Callable] = staticmethod(lambda fn: fn)

    @property
    def places(self) -> Sequence[tuple[str, str]]:
        return ()

    def _output_shapes(self):
        return jax.tree.map(jnp.asarray, self._function(*self.inputs))

    def value(self, x, jitter: Jitter | None = None):  # what Python runs cannot be jittered inside
        return self.outputs.ravel(self.function(*self.arguments.unravel(jnp.asarray(x))))

    @functools.cached_property
    def sampler(self) -> Callable:
        def run(points, x):
            with wide_on_cpu():
                return np.stack([np.asarray(self.value(p)) for p in points]), np.zeros((len(points), 0), bool)

        return run

    def values_with(self, jitters: np.ndarray) -> np.ndarray:
        nudges = jitters[:, 1:2] * np.random.default_rng(0).uniform(-1, 1, (len(jitters), len(self.at)))
        return self.sampler(self.at * (1 + nudges), self.at)[0]

    def _mean(self, which: str, mode: str) -> Callable:
        if which == "own":
            raise NotImplementedError(self.why_not_exact)
        side, other = (self.outputs, self.arguments) if mode == "rev" else (self.arguments, self.outputs)

        def run(points, weights, jitters):
            generator = np.random.default_rng(0)
            rows = []
            with wide_on_cpu():
                for point, weight, size in zip(points, weights, jitters[:, 1], strict=True):
                    moved = jnp.asarray(point * (1 + size * generator.uniform(-1, 1, point.shape)))
                    inputs, along = self.arguments.unravel(moved), side.unravel(jnp.asarray(weight))
                    rows.append(np.asarray(other.ravel(self.derivative(mode, inputs, along)[1])))
            return np.stack(rows)

        return run

    def values_meant(self, mode: str) -> tuple[np.ndarray, np.ndarray]:
        weights = self.outputs if mode == "rev" else self.arguments
        with wide_on_cpu():
            at, ones = jnp.asarray(self.at), weights.unravel(jnp.ones(weights.size))
            of_rule = self.derivative(mode, self.arguments.unravel(at), ones)[0]
            return np.asarray(self.value(at)), np.asarray(self.outputs.ravel(of_rule))

    @property
    def work(self) -> int:
        return 100 * (self.arguments.size + self.outputs.size)


def program_of(fn: Callable, args: Sequence) -> Program:
    """A traced program where tracing is possible."""
    try:
        return Program(fn, args)
    except jax.errors.ConcretizationTypeError:
        return Untraced(fn, args)
