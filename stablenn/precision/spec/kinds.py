"""What is stated of one function: Spec, and the conventions where a formula has no limit."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable

import numpy as np

from stablenn.precision.domain import Domain
from stablenn.precision.spec.properties import Property


@dataclasses.dataclass(frozen=True)
class Convention:
    """What is right in rows where the formula has no limit (or, for a gradient, a kink).

    `applies` maps the inputs to a mask of rows; `value` and `gradient` map the (float64) inputs of those rows to
    what is right there, flattened; where they return a masked array, the formula is right at masked places.
    """

    reason: str
    applies: Callable[..., np.ndarray]
    value: Callable[..., np.ndarray] | None = None
    gradient: Callable[..., np.ndarray] | None = None

    def expected(self, quantity: str) -> Callable[..., np.ndarray] | None:
        return self.value if quantity == "value" else self.gradient


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to call a function that has another Spec for its plain call: ``logsumexp(a, b=b)``.

    Attributes:
      of: the name of that other Spec, which is that of the function.
      how: the way in a few words, for the docstring: "with factors `b`".
      call: calls a function (ours, or a peer) in this way; maps the function and the arguments of a row to its value.
    """

    of: str
    how: str
    call: Callable


@dataclasses.dataclass(frozen=True)
class Spec:
    """One function of the kit and everything needed to judge it.

    Attributes:
      name: where it lives, without the package: "nn.softmax"; of a variant, the name of its measurements.
      fn: the function; of a variant, ``functools.partial(variant.call, function)``.
      definition: its textbook formula, free of rounded literals.
      signature: which axes of one row belong together, as for a NumPy gufunc.
      domain: the arguments of one row.
      peers: import strings of the functions it replaces, "module:function".
      conventions: what is right where the formula has no limit.
      kinks: what the gradient is where it jumps.
      properties: mathematical statements that laws hold the function to.
      value_scale, gradient_scale: the size of the largest term that the result is a difference of, where the
        result itself may cancel; None: the result itself.
      variant: where one way to call a function is measured, which way of which function.
      shapes: of which shapes an elementwise function takes arguments: "any" that broadcast, "pairs" (no result larger
        than each of the first two), or "equal" ones.
    """

    name: str
    fn: Callable
    definition: Callable
    signature: str
    domain: Domain
    peers: tuple[str, ...] = ()
    conventions: tuple[Convention, ...] = ()
    kinks: tuple[Convention, ...] = ()
    properties: tuple[Property, ...] = ()
    value_scale: Callable[..., np.ndarray] | None = None
    gradient_scale: Callable[..., np.ndarray] | None = None
    variant: Variant | None = None
    shapes: str = "any"

    @property
    def implementation(self) -> str:
        """The import string of the function."""
        module, _, name = (self.variant.of if self.variant else self.name).rpartition(".")
        return f"stablenn.{module}:{name}"

    def load(self, path: str) -> Callable:
        """The function that an import string names, called as this Spec calls it."""
        fn = load(path)
        return functools.partial(self.variant.call, fn) if self.variant else fn

    def scale(self, quantity: str) -> Callable[..., np.ndarray] | None:
        return self.value_scale if quantity == "value" else self.gradient_scale


def load(path: str) -> Callable:
    """The function that an import string "module:function" names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
