"""measure(): evaluate a function on a device, compare it with the exact truth on the host."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stablenn import floats
from stablenn.floats import Truth
from stablenn.interpret.balls.evaluation import Exact
from stablenn.precision.devices import find_device, flushes_subnormals, wide_if_needed
from stablenn.precision.domain import Domain
from stablenn.precision.limits import truth_at_infinity
from stablenn.precision.record import QUANTITIES, Accuracy, Case
from stablenn.precision.spec import Convention

Progress = Callable[[int, int], None]

# How many cases of each kind a record keeps.
_WORST = 3

# Few rows are evaluated in blocks of one size, so that a program is compiled once for batches of any size. Each row
# is as good as alone, but the size is no multiple of a vector's lanes: the remainder of a loop is seen, too.
BLOCK = 19
_FEW = 2048


def ravel(tree) -> jax.Array:
    """All leaves as one flat vector."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])


# Programs are kept, since laws evaluate the same function on many small batches.
@functools.lru_cache(maxsize=512)
def flat(fn: Callable, quantity: str, float_arguments: tuple[int, ...]) -> Callable:
    """`fn`, or its gradient with respect to every float argument, as a function of one row to one flat vector.

    The gradient of a function with several outputs is its Jacobian, by reverse mode: what training computes.
    """
    if quantity == "value":
        return lambda *row: ravel(fn(*row))
    return lambda *row: ravel(jax.jacrev(fn, argnums=float_arguments)(*row))


@functools.lru_cache(maxsize=512)
def value_and_gradient(fn: Callable, float_arguments: tuple[int, ...]) -> Callable:
    """What both `flat` functions return, from one linearisation: the value is the one that training sees."""

    def with_value(*row):
        out = fn(*row)
        return out, out

    def both(*row):
        gradient, value = jax.jacrev(with_value, argnums=float_arguments, has_aux=True)(*row)
        return ravel(value), ravel(gradient)

    return both


@functools.lru_cache(maxsize=512)
def _exact(fn: Callable, dtype: str, wide: bool) -> Exact:
    return Exact(fn, dtype=dtype, batched=True, wide=wide)


@functools.lru_cache(maxsize=512)
def compiled(fn: Callable) -> Callable:
    """The program that is judged: `fn` on rows of inputs, under jit."""
    return jax.jit(jax.vmap(fn))


def _truth(fn: Callable, dtype: str, wide: bool, positions: tuple[int, ...], inputs, progress=None) -> Truth:
    """The exact value of `fn` in every row, and its limit where the row has an infinity."""
    infinite = _rows_with(inputs, positions, np.isinf) & ~_rows_with(inputs, positions, np.isnan)
    (truth,) = _exact(fn, dtype, wide).truth(*(_finite_rows(column, infinite) for column in inputs), progress=progress)
    if infinite.any():
        rows = tuple(column[infinite] for column in inputs)
        _put(truth, infinite, truth_at_infinity(fn, rows, positions, floats.format_of(dtype), wide=wide))
    return truth


class Column(NamedTuple):
    """An array that can be looked up by what it holds."""

    dtype: np.dtype
    shape: tuple[int, ...]
    content: bytes

    @classmethod
    def of(cls, column: np.ndarray) -> Column:
        return cls(column.dtype, column.shape, column.tobytes())

    @property
    def array(self) -> np.ndarray:
        return np.frombuffer(self.content, self.dtype).reshape(self.shape)


# The truth of a formula serves every function that is judged at the same inputs: ours, its peers, and faults.
@functools.lru_cache(maxsize=512)
def _known_truth(formula: Callable, dtype: str, positions: tuple[int, ...], columns: tuple[Column, ...]) -> Truth:
    return _truth(formula, dtype, True, positions, tuple(column.array for column in columns))


def draw_inputs(domain: Domain, samples: int, seed: int, *, subnormals: bool, exhaustive: bool = False):
    """The corners of a domain and `samples` random rows, or every float of it."""
    if exhaustive:
        return domain.exhaustive(subnormals=subnormals)
    parts = domain.corners(subnormals=subnormals), domain.sample(samples, seed, subnormals=subnormals)
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


@dataclasses.dataclass(frozen=True)
class Reference:
    """Inputs and the exact truth there, against which any number of functions can be judged."""

    quantity: str
    dtype: str
    inputs: tuple[np.ndarray, ...]
    float_arguments: tuple[int, ...]
    truth: Truth
    scale: np.ndarray | None

    @classmethod
    def of(
        cls,
        definition: Callable,
        domain: Domain,
        inputs: tuple[np.ndarray, ...],
        dtype,
        quantity: str = "value",
        *,
        conventions: tuple[Convention, ...] = (),
        scale: Callable | None = None,
        wide: bool = True,
        progress: Progress | None = None,
    ) -> Reference:
        """Evaluate the definition, or its derivative, exactly on `inputs`.

        Args:
          definition: the textbook formula.
          domain: which arguments are floats.
          inputs: one array an argument, with a leading axis of rows.
          dtype: the format that is judged.
          quantity: "value" or "gradient".
          conventions: what is right in rows where the formula has no limit, or a kink.
          scale: maps inputs (float64) to the size against which [n] errors are counted.
          wide: whether the definition is a formula (traced on float64) or a program at its own dtypes.
          progress: called with the number of rows done and the number of all.
        """
        if quantity not in QUANTITIES:
            raise ValueError(f"unknown quantity {quantity!r}; allowed: {', '.join(QUANTITIES)}")
        fmt = floats.format_of(dtype)
        positions = domain.float_arguments
        fn = flat(definition, quantity, positions)
        if wide and progress is None and len(inputs[0]) <= _FEW:
            known = _known_truth(fn, fmt.name, positions, tuple(Column.of(column) for column in inputs))
            truth = Truth(known.nearest.copy(), known.residual.copy(), known.proved.copy())
        else:
            truth = _truth(fn, fmt.name, wide, positions, inputs, progress)
        with np.errstate(all="ignore"):
            for convention in conventions:
                right, rows = convention.expected(quantity), np.asarray(convention.applies(*inputs))
                if right is not None and rows.any():
                    _put_stated(truth, rows, right(*(column[rows].astype(np.float64) for column in inputs)))
            sizes = None if scale is None else scale(*(column.astype(np.float64) for column in inputs))
        if sizes is not None:
            sizes = np.asarray(sizes).reshape(truth.nearest.shape)
        return cls(quantity, fmt.name, inputs, positions, truth, sizes)

    def evaluate(self, fn: Callable, device: jax.Device) -> np.ndarray:
        """`fn`, or its gradient, under jit on `device`, as an array of the shape of the truth."""
        program = compiled(flat(fn, self.quantity, self.float_arguments))
        rows = len(self.inputs[0])
        with wide_if_needed(self.dtype), jax.default_device(device):
            if not 0 < rows <= _FEW:
                return np.asarray(program(*self.inputs))
            padded = [c[np.minimum(np.arange(-(-rows // BLOCK) * BLOCK), rows - 1)] for c in self.inputs]
            blocks = [
                program(*(column[start : start + BLOCK] for column in padded)) for start in range(0, rows, BLOCK)
            ]
            return np.concatenate([np.asarray(block) for block in blocks])[:rows]

    def judge(self, fn: Callable, device: jax.Device | None = None) -> Accuracy:
        """Evaluate `fn` on `device` and compare it with the truth."""
        device = device or find_device()
        return self.compare(self.evaluate(fn, device), device)

    def compare(self, actual: np.ndarray, device: jax.Device) -> Accuracy:
        """How far results that were computed on `device` are from the truth."""
        if actual.shape != self.truth.nearest.shape:
            raise ValueError(
                f"the function returns {actual.shape[1]} numbers a row, its definition {self.truth.nearest.shape[1]}"
            )
        actual = actual.astype(self.truth.nearest.dtype)
        flush = flushes_subnormals(self.dtype, device)
        ulps = floats.ulp_error(actual, self.truth, flush=flush)
        known = self.truth.proved
        special = floats.wrong_special(actual, self.truth.nearest) & known
        regular = ulps[known & ~special]
        judged = ulps * self._share_of_scale()
        return Accuracy(
            quantity=self.quantity,
            dtype=self.dtype,
            count=int(known.sum()),
            unproved=int((~known).sum()),
            max_ulp=float(regular.max(initial=0.0)),
            mean_ulp=_mean(regular),
            p99_ulp=float(np.quantile(regular, 0.99)) if regular.size else 0.0,
            max_scaled_ulp=None if self.scale is None else float(judged[known & ~special].max(initial=0.0)),
            wrong_specials=int(special.sum()),
            flushed=int((floats.flushed(actual, self.truth.nearest) & known).sum()),
            worst=self._worst(actual, np.where(known, judged, -1.0), special),
            binades=self._binades(ulps, known & ~special),
        )

    def _share_of_scale(self) -> np.ndarray:
        """An ulp of each result as a part of an ulp of its scale, where that is larger."""
        sizes = (self.truth.nearest, np.zeros(1) if self.scale is None else self.scale)
        nearest, scale = (np.nan_to_num(np.abs(v.astype(np.float64)), posinf=0.0) for v in sizes)
        return floats.ulp(nearest, self.dtype) / floats.ulp(np.maximum(nearest, scale), self.dtype)

    def _worst(self, actual: np.ndarray, ulps: np.ndarray, special: np.ndarray) -> tuple[Case, ...]:
        """Some rows with a wrong special, then those with the largest errors; each at its worst output."""
        regular = np.where(special, -1.0, ulps)
        cases = [self._case(actual, ulps, row, special[row]) for row in np.flatnonzero(special.any(axis=1))[:_WORST]]
        by_row = regular.max(axis=1, initial=-1.0)
        largest = np.argsort(-by_row, kind="stable")[:_WORST]
        return (*cases, *(self._case(actual, regular, row, slice(None)) for row in largest if by_row[row] > 0))

    def _case(self, actual: np.ndarray, ulps: np.ndarray, row: int, among) -> Case:
        column = int(np.arange(ulps.shape[1])[among][np.argmax(ulps[row][among])])
        inputs = tuple(argument[row] for argument in self.inputs)
        expected = float(self.truth.nearest[row, column])
        return Case(inputs, column, float(actual[row, column]), expected, float(ulps[row, column]))

    def _binades(self, ulps: np.ndarray, counted: np.ndarray) -> dict[tuple[int, int], float]:
        if len(self.inputs) != 1 or self.inputs[0].ndim != 1:
            return {}
        x = self.inputs[0].astype(np.float64)
        usable = np.isfinite(x) & (x != 0) & counted.all(axis=1)
        keys = zip(np.sign(x[usable]).astype(int).tolist(), (np.frexp(x[usable])[1] - 1).tolist(), strict=True)
        worst: dict[tuple[int, int], float] = {}
        for key, error in zip(keys, ulps[usable].max(axis=1, initial=0.0).tolist(), strict=True):
            worst[key] = max(worst.get(key, 0.0), error)
        return dict(sorted(worst.items()))


def measure(
    fn: Callable,
    definition: Callable | None,
    domain: Domain | str,
    dtype="float32",
    device: jax.Device | str | None = None,
    *,
    quantity: str = "value",
    samples: int = 1000,
    seed: int = 0,
    conventions: tuple[Convention, ...] = (),
    scale: Callable | None = None,
    progress: Progress | None = None,
) -> Accuracy:
    """How accurate `fn` is, in value or gradient, against the exact value of its definition.

    Args:
      fn: a function of arrays; it is run under ``jit`` and ``vmap`` on rows of inputs.
      definition: the textbook formula it stands for. None: `fn` itself, so that only rounding counts as error and
        every approximation is taken as meant.
      domain: the arguments, as a `Domain` or its text; "float" in it stands for `dtype`.
      dtype: float dtype of the results.
      device: a device or its name, such as "gpu"; JAX's default device without one.
      quantity: "value" or "gradient" (the Jacobian with respect to every float argument, by reverse mode).
      samples: random rows to add to the corners of the domain.
      seed: of those rows; equal seeds give equal rows.
      conventions: what is right where the formula has no limit.
      scale: maps the inputs to the size against which scaled errors are counted.
      progress: called with the number of rows done and the number of all.

    Returns:
      An `Accuracy`.

    Raises:
      DomainError, ValueError: what was given, and what is allowed.
      UnsupportedPrimitive: the definition holds a primitive without an exact rule.

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import measure
      >>> naive = lambda x: jnp.log(1 + x)
      >>> measure(naive, naive, "x: float32 in [1e-9, 1e-8]", samples=50).max_ulp > 1e6
      True
    """
    fmt = floats.format_of(dtype)
    domain = (Domain.parse(domain) if isinstance(domain, str) else domain).with_dtype(fmt.dtype)
    device = find_device(device) if device is None or isinstance(device, str) else device
    inputs = draw_inputs(domain, samples, seed, subnormals=not flushes_subnormals(fmt.dtype, device))
    reference = Reference.of(
        definition or fn,
        domain,
        inputs,
        fmt.dtype,
        quantity,
        conventions=conventions,
        scale=scale,
        wide=definition is not None,
        progress=progress,
    )
    return reference.judge(fn, device)


def _mean(errors: np.ndarray) -> float:
    with np.errstate(over="ignore"):  # where a peer is off by more than a float64 can count
        return float(errors.mean()) if errors.size else 0.0


def _rows_with(inputs, positions, test) -> np.ndarray:
    flags = [test(inputs[i].astype(np.float64)).reshape(len(inputs[i]), -1).any(axis=1) for i in positions]
    return np.any(flags, axis=0) if flags else np.zeros(len(inputs[0]), bool)


def _finite_rows(column: np.ndarray, infinite: np.ndarray) -> np.ndarray:
    """Rows with an infinity are evaluated elsewhere; a row of ones stands in for them."""
    if not infinite.any():
        return column
    column = column.copy()
    column[infinite] = np.ones((), column.dtype)
    return column


def _put(truth: Truth, rows: np.ndarray, part: Truth) -> None:
    truth.nearest[rows], truth.residual[rows], truth.proved[rows] = part.nearest, part.residual, part.proved


def _put_stated(truth: Truth, rows: np.ndarray, stated: np.ndarray) -> None:
    part = truth[rows]
    keep = np.ma.getmaskarray(stated).reshape(part.nearest.shape)
    stated = np.ma.getdata(stated).reshape(part.nearest.shape).astype(part.nearest.dtype)
    nearest, residual = np.where(keep, part.nearest, stated), np.where(keep, part.residual, 0)
    _put(truth, rows, Truth(nearest, residual, part.proved | ~keep))
