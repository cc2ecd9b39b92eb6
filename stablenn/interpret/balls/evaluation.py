"""exact(): the correctly rounded value of a JAX program, by walking it at rising precision."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import flint
import jax
import numpy as np

from stablenn import floats
from stablenn.floats import Format, Truth
from stablenn.interpret import jaxprs
from stablenn.interpret.balls.elements import UNKNOWN, Undecided, as_ball
from stablenn.interpret.balls.meaning import Balls
from stablenn.interpret.balls.rounding import round_elements
from stablenn.interpret.host import on_cpu
from stablenn.interpret.walker import walk

# Rows that are walked together: enough to pay for tracing, few enough for what is remembered of them.
_BLOCK = 512


class UnprovedWarning(UserWarning):
    """Some values are not proved to be correctly rounded."""


class Enclosure(NamedTuple):
    """What is known of each output element: it lies in ``midpoint +- radius``.

    Attributes:
      midpoint: ``flint.arb`` objects of radius zero, or floats for 0, +-inf and nan.
      radius: float64 upper bounds; inf where nothing is known.
      proved: whether the enclosure rounds to one float of the output's dtype.
    """

    midpoint: Any
    radius: Any
    proved: Any


@contextlib.contextmanager
def _precision(bits: int):
    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield
    finally:
        flint.ctx.prec = before


class Exact:
    """What `exact` returns: a callable that evaluates a program in real arithmetic."""

    def __init__(
        self,
        fn: Callable,
        *,
        dtype=None,
        min_bits: int = 0,
        max_bits: int = 4096,
        batched: bool = False,
        wide: bool = False,
    ):
        if not callable(fn):
            raise TypeError(f"exact() needs a function, got {type(fn).__name__}")
        if max_bits < 64:
            raise ValueError(f"max_bits must be at least 64, got {max_bits}")
        self.fn = fn
        self.dtype = None if dtype is None else floats.format_of(dtype).dtype
        self.min_bits = min_bits
        self.max_bits = max_bits
        self.batched = batched
        self.wide = wide
        self._programs: dict[tuple, tuple] = {}

    def __call__(self, *args):
        """The correctly rounded outputs of ``fn(*args)``, as NumPy arrays in the structure that fn returns."""
        outputs, structure = self._evaluate(args, functools.partial(round_elements, strict=True))
        open_elements = sum(int((~o.proved).sum()) for o in outputs if isinstance(o, Truth))
        if open_elements:
            warnings.warn(
                f"{open_elements} elements are not proved to be correctly rounded with {self.max_bits} bits; "
                "see .enclose(...), or raise max_bits",
                UnprovedWarning,
                stacklevel=2,
            )
        leaves = [o.nearest if isinstance(o, Truth) else o for o in outputs]
        return jax.tree.unflatten(structure, leaves)

    def enclose(self, *args) -> Enclosure:
        """Proved enclosures of the outputs; each field has the structure that fn returns."""
        outputs, structure = self._evaluate(args, _enclosed)
        known = [
            o if isinstance(o, Enclosure) else Enclosure(o, np.zeros(o.shape), np.ones(o.shape, bool)) for o in outputs
        ]
        return Enclosure(*(jax.tree.unflatten(structure, list(field)) for field in zip(*known, strict=True)))

    def truth(self, *args, progress: Callable[[int, int], None] | None = None) -> list[Truth]:
        """The outputs' leaves with what rounding left over, which is what an error in ulps is measured against."""
        outputs, _ = self._evaluate(args, functools.partial(round_elements, strict=False), progress)
        return outputs

    # --- evaluation ------------------------------------------------------------------------------------------

    def _evaluate(self, args, finish, progress=None):
        leaves, treedef = jax.tree.flatten(args)
        leaves = [leaf if _is_key(leaf) else np.asarray(leaf) for leaf in leaves]
        given_wide = any(getattr(given, "dtype", None) == np.float64 for given in jax.tree.leaves(args))
        x64 = self.wide or given_wide or jax.config.read("jax_enable_x64")
        if not self.batched:
            return self._block(leaves, treedef, x64, finish)
        if not (rows := len(leaves[0]) if leaves else 0):
            raise ValueError("exact(..., batched=True) needs at least one row")
        blocks = []
        for start in range(0, rows, _BLOCK):
            part = [leaf[start : start + _BLOCK] for leaf in leaves]
            blocks.append(self._block(part, treedef, x64, finish))
            if progress is not None:
                progress(min(start + _BLOCK, rows), rows)
        outputs = [
            _fieldwise(lambda *parts: np.concatenate(parts), *column)
            for column in zip(*(block[0] for block in blocks), strict=True)
        ]
        return outputs, blocks[0][1]

    def _block(self, leaves, treedef, x64: bool, finish):
        """The outputs for one block of rows (or for all arguments), at the precision that each row needs."""
        rows = np.arange(len(leaves[0])) if self.batched else None
        outputs: list = []
        bits = 0
        while True:
            part = leaves if rows is None else [leaf[_padded(rows)] for leaf in leaves]
            closed, avals, structure = self._program(part, treedef, x64)
            formats = self._formats(avals)
            enough = max((2 * f.precision + 48 for f in formats if f), default=64)
            bits = min(self.max_bits, 2 * bits or max(enough, self.min_bits))
            try:
                values = self._walk(closed, part, bits, x64)
            except Undecided as error:
                if bits >= self.max_bits:
                    raise Undecided(f"not decided with {bits} bits: {error}") from None
                continue
            if rows is not None:
                values = [value[: len(rows)] for value in values]
            with _precision(bits):
                found = [finish(v, fmt) if fmt else v for v, fmt in zip(values, formats, strict=True)]
            outputs = [_update(o, f, rows) for o, f in zip(outputs, found, strict=True)] if outputs else found
            still_open = [~f.proved for f in found if not isinstance(f, np.ndarray)]
            if bits >= self.max_bits or not any(mask.any() for mask in still_open):
                return outputs, structure
            if rows is not None:
                rows = rows[np.any([mask.reshape(len(rows), -1).any(axis=1) for mask in still_open], axis=0)]

    def _program(self, leaves, treedef, x64: bool):
        def aval(leaf):
            if _is_key(leaf):
                return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
            wide = self.wide and floats.is_float(leaf.dtype)
            dtype = np.dtype(np.float64) if wide else jaxprs.canonical_dtype(leaf.dtype, x64)
            return jax.ShapeDtypeStruct(leaf.shape, dtype)

        avals = tuple(aval(leaf) for leaf in leaves)
        key = (treedef, x64, tuple((a.shape, a.dtype) for a in avals))
        if key not in self._programs:
            fn = jax.vmap(self.fn) if self.batched else self.fn
            closed, shapes = jaxprs.trace(fn, jax.tree.unflatten(treedef, avals), x64)
            out_avals, structure = jax.tree.flatten(shapes)
            self._programs[key] = (closed, out_avals, structure)
        return self._programs[key]

    def _formats(self, avals) -> list[Format | None]:
        kinds = (np.dtype(a.dtype) if not _is_key(a) else None for a in avals)
        return [floats.format_of(self.dtype or kind) if floats.is_float(kind) else None for kind in kinds]

    def _walk(self, closed, leaves, bits: int, x64: bool) -> list:
        meaning = Balls()
        with _precision(bits), jaxprs.enable_x64(x64), on_cpu(), np.errstate(all="ignore"):
            inputs = [
                leaf if _is_key(leaf) else meaning.constant(leaf, aval)
                for leaf, aval in zip(leaves, closed.in_avals, strict=True)
            ]
            return walk(closed.jaxpr, closed.consts, inputs, meaning)


def _enclosed(values: np.ndarray, fmt: Format) -> Enclosure:
    proved = round_elements(values, fmt, strict=True).proved
    midpoint = np.asarray(np.frompyfunc(_midpoint, 1, 1)(values), object)
    radius = np.asarray(np.frompyfunc(_radius, 1, 1)(values), np.float64)
    return Enclosure(midpoint, radius, proved)


def _midpoint(value):
    if value is UNKNOWN:
        return float("nan")
    return value if type(value) is float else as_ball(value).mid()


def _radius(value) -> float:
    if value is UNKNOWN:
        return float("inf")
    if type(value) is float or as_ball(value).is_exact():
        return 0.0
    # A double may round the radius down: one step up keeps the bound a bound.
    return float(np.nextafter(float(as_ball(value).rad()), np.inf))


def _is_key(leaf) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key)


def _padded(pending: np.ndarray) -> np.ndarray:
    """Rows to a power of two by repetition, so that few block sizes are ever traced; repeats cost nothing."""
    size = 1 << (len(pending) - 1).bit_length()
    return np.concatenate([pending, np.full(size - len(pending), pending[0])])


def _fieldwise(combine, *values):
    """`combine` on arrays, and on each field of truths and enclosures."""
    if isinstance(values[0], np.ndarray):
        return combine(*values)
    names = [field.name for field in dataclasses.fields(Truth)] if isinstance(values[0], Truth) else Enclosure._fields
    return type(values[0])(*(combine(*(getattr(value, name) for value in values)) for name in names))


def _update(old, new, rows):
    """`old` with `new` in the places `rows`; `new` altogether where rows are not told apart."""
    if rows is None:
        return new

    def put(before, after):
        before[rows] = after
        return before

    return _fieldwise(put, old, new)


def exact(fn: Callable, *, dtype=None, max_bits: int = 4096, batched: bool = False, wide: bool = False) -> Exact:
    r"""The real value of a JAX program, correctly rounded.

    Each equation of the program of `fn` is evaluated with exact rationals and proved enclosures (balls), at a
    precision that doubles until every output rounds to a single float (Ziv's strategy). ``exact(jax.grad(fn))`` and
    ``exact(jax.vmap(fn))`` are programs like any other. What is evaluated is the program: literals count as the
    floats that tracing made of them, and conversions between float types change nothing.

    Args:
      fn: a function of arrays (pytrees of them) that JAX can trace; static arguments by ``functools.partial``.
      dtype: float dtype to round the results to; the outputs' own by default.
      max_bits: the precision at which to give up.
      batched: every argument has a leading axis of independent rows, and `fn` takes one row. Only rows that need
        more bits are evaluated again.
      wide: trace `fn` on float64 arguments whatever their dtype: the meaning of a textbook formula, whose literals
        are not to be rounded to the dtype of the data.

    Returns:
      A callable with the arguments of `fn` that returns NumPy arrays. float64 arrays are taken as float64 whatever
      ``jax_enable_x64`` says. Its method ``enclose(*args)`` returns an `Enclosure`: midpoint, radius, and whether
      the enclosure rounds to one float.

    Raises:
      UnsupportedPrimitive: the program contains a primitive that has no rule; primitive and source line are named.
      Undecided: control flow, an index or a conversion to an integer depends on a comparison that `max_bits` bits
        do not decide.

    Warns:
      UnprovedWarning: some results are not proved (a tie of two floats, or NaN where nothing is known).

    Example:
      >>> import jax.numpy as jnp, numpy as np
      >>> from stablenn import exact
      >>> naive = lambda x: jnp.log(jnp.exp(x) / jnp.exp(x).sum())
      >>> exact(naive)(np.float32([1000, 0, -1000]))
      array([    0., -1000., -2000.], dtype=float32)

    References:
      Johansson, `Arb: efficient arbitrary-precision midpoint-radius interval arithmetic
      <https://arxiv.org/abs/1611.02831>`_, 2017.

      Ziv, *Fast evaluation of elementary mathematical functions with correctly rounded last bit*, 1991.
    """
    return Exact(fn, dtype=dtype, max_bits=max_bits, batched=batched, wide=wide)
