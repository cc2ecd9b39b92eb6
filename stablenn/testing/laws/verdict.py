"""What a law finds: the worst case, and how to see it again."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from stablenn import floats


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The worst of some inputs: its error beside what is allowed, in ULP."""

    error: float
    allowed: float
    inputs: tuple[np.ndarray, ...] = ()
    computed: float = math.nan
    right: float = math.nan
    note: str = ""

    @property
    def excess(self) -> float:
        """The error as a multiple of what is allowed: above 1, the law is broken."""
        if self.error <= self.allowed:
            return min(self.error / self.allowed, 1.0) if self.allowed else 0.0
        return min(self.error / self.allowed, 1e300) if self.allowed else math.inf


GOOD = Verdict(0.0, 1.0)


def worst(verdicts) -> Verdict:
    """The verdict that is furthest from what is allowed."""
    return max(verdicts, key=lambda verdict: verdict.excess, default=GOOD)


def most_above(
    larger: np.ndarray, smaller: np.ndarray, allowed: float, inputs: tuple[np.ndarray, ...], scale=None, dtype=None
) -> Verdict:
    """How far, in ULP, any of `larger` exceeds what it should not, `smaller`; leading axes are rows of `inputs`.

    An ulp is that of the larger magnitude of the two, or of `scale` where that is larger still. NaNs are no excess:
    the law of accuracy looks at them.
    """
    fmt = floats.format_of(dtype or larger.dtype)
    big, small = (np.asarray(value, np.float64) for value in (larger, smaller))
    size = np.maximum(np.abs(big), np.abs(small))
    if scale is not None:
        size = np.maximum(size, np.nan_to_num(scale, posinf=0.0))
    excess = np.where(big > small, (big - small) / floats.ulp(np.minimum(size, fmt.max), fmt.dtype), 0.0)
    # below the smallest normal, a device may have flushed either
    excess = np.where(size < fmt.tiny, 0.0, np.nan_to_num(excess, nan=0.0, posinf=np.inf))
    if not excess.size:
        return Verdict(0.0, allowed)
    place = np.unravel_index(np.argmax(excess), excess.shape)
    row = tuple(column[place[0]] for column in inputs)
    return Verdict(float(excess[place]), allowed, row, float(big[place]), float(small[place]))


def spell_array(value: np.ndarray) -> str:
    """Python code for an array, its floats in hex, so that nothing is lost."""
    value = np.asarray(value)
    if not floats.is_float(value.dtype):
        return f"np.array({value.tolist()}, {value.dtype.name!r})"
    words = " ".join(float(v).hex() for v in value.astype(np.float64).ravel())
    reshaped = "" if value.ndim == 1 else f".reshape({value.shape})"
    made = f"np.array([float.fromhex(v) for v in {words!r}.split()]){reshaped}"
    return f"{made}.astype(jnp.{value.dtype.name})"


def reproduction(fn, quantity: str, inputs: tuple[np.ndarray, ...]) -> str:
    """A line of code that computes once more what a verdict is about."""
    imported, name = _spell_function(fn)
    call = f"fn({', '.join(spell_array(v) for v in inputs)})"
    if quantity == "gradient":
        wanted = tuple(i for i, v in enumerate(inputs) if floats.is_float(np.asarray(v).dtype))
        call = call.replace("fn(", f"jax.jacrev(fn, {wanted})(", 1)
    wide = any(np.asarray(v).dtype == np.float64 for v in inputs)
    x64 = "jax.config.update('jax_enable_x64', True); " if wide else ""
    imports = "import jax, jax.numpy as jnp, numpy as np; "
    return f"{imports}{x64}{imported}; fn = {name}; print({call})"


def _spell_function(fn) -> tuple[str, str]:
    """Imports, and the name of a function; of a variant of one, the partial call."""
    if not isinstance(fn, functools.partial):
        name = getattr(fn, "__qualname__", repr(fn))
        return f"from {fn.__module__} import {name.partition('.')[0]}", name
    parts = [_spell_function(part) for part in (fn.func, *fn.args)]
    imports = "; ".join(["import functools", *(imported for imported, _ in parts)])
    return imports, f"functools.partial({', '.join(name for _, name in parts)})"
