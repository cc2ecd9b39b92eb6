"""A trial of the kit inside a program written with jax.nn and optax: `patched` swaps, restores and reports."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import sys
import threading
import types
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np
import optax.losses

from stablenn import losses, nn
from stablenn.floats import format_of, is_float, ulp_error

_PAIRED = ((nn, jax.nn), (nn, jax.scipy.special), (losses, optax.losses))
# Modules of these packages keep what they were written with, except for those from which programs take functions.
_INTERNAL = ("jax", "jaxlib", "optax", "stablenn")
_OPEN = ("jax.nn", "jax.scipy.special", "optax", "optax.losses")

_active = threading.Lock()
# has `inside` while the thread is in a replacement: what a peer calls there is the original
_thread = threading.local()


@dataclasses.dataclass(frozen=True)
class Change:
    """How one result of a function differs from the peer's, over all evaluations of a trial.

    Attributes:
      function: the peer, as ``jax.nn.log_softmax``.
      quantity: "value" ("value[0]", "value[1]", … of several), or "d/dx", the derivative by the argument x of the sum
        of all values, those weighted by 1 and 2 in turn (the plain sum of a softmax depends on nothing).
      calls: how often the program called the function; inside jit, how often it was traced.
      evaluations: how often it ran. A batch under vmap is one evaluation.
      entries: how many numbers were compared.
      max_ulp: the largest difference in units in the last place of ours (subnormal numbers count as 0, which CPUs
        make of them); inf where only one of both is NaN.
      dtype: the dtype of ours.
      peer, ours: the two numbers of the largest difference.
      peer_nan, peer_inf, peer_zero: how many entries were NaN, infinite or zero with the peer and not with us.
      our_nan: how many entries were NaN with us and not with the peer, as for labels that name no class.
    """

    function: str
    quantity: str
    calls: int = 0
    evaluations: int = 0
    entries: int = 0
    max_ulp: float = 0.0
    dtype: str = "float64"
    peer: float = 0.0
    ours: float = 0.0
    peer_nan: int = 0
    peer_inf: int = 0
    peer_zero: int = 0
    our_nan: int = 0


class Trial:
    """What `patched` saw; it prints as a table.

    Attributes:
      functions: the names of the functions that were replaced.
      remarks: which calls were not compared, since the peer raised an error or returned something of another shape.
    """

    def __init__(self) -> None:
        self.is_open = True
        self.functions: list[str] = []
        self.remarks: list[str] = []
        self._lock = threading.Lock()  # callbacks come from the runtime's threads
        self._calls: Counter[str] = Counter()
        self._evaluations: Counter[str] = Counter()
        self._changes: dict[tuple[str, str], Change] = {}

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every value and gradient of every function that was called, the largest difference first."""
        with self._lock:
            uncompared = self._calls.keys() - {change.function for change in self._changes.values()}
            found = [*self._changes.values(), *(Change(name, "value") for name in sorted(uncompared))]
            calls, runs = self._calls.copy(), self._evaluations.copy()
        found.sort(key=lambda change: -change.max_ulp)
        return tuple(dataclasses.replace(c, calls=calls[c.function], evaluations=runs[c.function]) for c in found)

    def __str__(self) -> str:
        nothing = f"None of the {len(self.functions)} replaced functions was called."
        return "\n".join([_table(self.changes), *dict.fromkeys(self.remarks)]) if self._calls else nothing

    def _evaluated(self, name: str, quantities: tuple[str, ...], *arrays: Any) -> None:
        changes = [_compared(name, *row) for row in zip(quantities, arrays[::2], arrays[1::2], strict=True)]
        with self._lock:
            self._evaluations[name] += 1
            for new in changes:
                old = self._changes.get((name, new.quantity), Change(name, new.quantity))
                worse = new if not old.entries or new.max_ulp > old.max_ulp else old
                counts = ("entries", "peer_nan", "peer_inf", "peer_zero", "our_nan")
                sums = {count: getattr(old, count) + getattr(new, count) for count in counts}
                self._changes[name, new.quantity] = dataclasses.replace(worse, **sums)


def _compared(function: str, quantity: str, peer: Any, ours: Any) -> Change:
    peer, ours = np.broadcast_arrays(np.asarray(peer), np.asarray(ours))  # under vmap, one may lack the batch
    if not ours.size:
        return Change(function, quantity, dtype=ours.dtype.name)
    with np.errstate(all="ignore"):
        peer = peer.astype(ours.dtype)
        error = ulp_error(peer, ours, flush=True)
        p, o = peer.astype(np.float64), ours.astype(np.float64)
    worst = np.unravel_index(np.argmax(error), error.shape)
    return Change(
        function,
        quantity,
        entries=ours.size,
        max_ulp=float(error[worst]),
        dtype=ours.dtype.name,
        peer=float(p[worst]),
        ours=float(o[worst]),
        peer_nan=int(np.sum(np.isnan(p) & ~np.isnan(o))),
        peer_inf=int(np.sum(np.isinf(p) & np.isfinite(o))),
        peer_zero=int(np.sum((p == 0) & (np.abs(o) >= format_of(ours.dtype).tiny))),
        our_nan=int(np.sum(np.isnan(o) & ~np.isnan(p))),
    )


def _table(changes: tuple[Change, ...]) -> str:
    counted = ("calls", "runs", "entries", "max ULP", "peer: NaN", "inf", "0", "ours: NaN")
    rows: list[list[str]] = [["function", "of", *counted, "peer", "ours"]]
    for c in changes:
        number = format_of(c.dtype).dtype.type  # prints as many digits as the format has
        example = [str(number(value)) if c.max_ulp else "" for value in (c.peer, c.ours)]
        sizes = (c.calls, c.evaluations, c.entries, f"{c.max_ulp:.3g}")
        counts = (c.peer_nan, c.peer_inf, c.peer_zero, c.our_nan)
        rows.append([c.function, c.quantity, *map(str, sizes + counts), *example])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    layout = "  ".join(f"{{:{'<' if i < 2 else '>'}{width}}}" for i, width in enumerate(widths))
    return "\n".join(layout.format(*row).rstrip() for row in rows)


def _replacement(trial: Trial, name: str, peer: Callable, ours: Callable) -> Callable:
    signature, own = inspect.signature(peer), inspect.signature(ours).parameters
    # The axis of jax.scipy's softmax is None where that of jax.nn's, and ours, is -1.
    defaults = {n: p.default for n, p in signature.parameters.items() if n in own and p.default != own[n].default}

    def call_peer(arguments: dict) -> Any:
        bound = inspect.BoundArguments(signature, arguments)
        return peer(*bound.args, **bound.kwargs)

    @functools.wraps(peer, updated=())
    def replacement(*args, **kwargs):
        if hasattr(_thread, "inside") or not trial.is_open:  # a partial may have kept this function for longer
            return peer(*args, **kwargs)
        arguments = signature.bind(*args, **kwargs).arguments
        added = {n: value for n, value in defaults.items() if n not in arguments}
        with trial._lock:
            trial._calls[name] += 1
        _thread.inside = True
        try:
            result = ours(*args, **added, **kwargs)
            _compare(trial, name, call_peer, lambda arguments: ours(**arguments), arguments | added, result)
        finally:
            del _thread.inside
        return result

    return replacement


def _compare(trial: Trial, name: str, peer: Callable, ours: Callable, arguments: dict, result: Any) -> None:
    """Compute the peer's values and both gradients beside the program, whose own derivatives do not see them."""
    stop = lambda leaf: jax.lax.stop_gradient(leaf) if isinstance(leaf, jax.Array) else leaf
    arguments, result = jax.tree.map(stop, (arguments, result))
    found: dict[str, tuple] = {}
    try:
        theirs, mine = _floats(peer(arguments)), _floats(result)
    except Exception as error:  # whatever it is, the program goes on with ours
        trial.remarks.append(f"{name}: the peer raised {type(error).__name__}: {str(error).partition(chr(10))[0]}")
    else:
        if (before := [x.shape for x in theirs]) != (after := [x.shape for x in mine]):
            trial.remarks.append(f"{name}: the shapes {before} became {after}")
        else:
            labels = ["value"] if len(mine) == 1 else [f"value[{i}]" for i in range(len(mine))]
            found = dict(zip(labels, zip(theirs, mine, strict=True), strict=True))
            found |= _gradients(peer, ours, arguments)

    @jax.custom_batching.custom_vmap
    def report(*arrays):
        jax.debug.callback(functools.partial(trial._evaluated, name, tuple(found)), *arrays)

    @report.def_vmap
    def _(size, batched, *arrays):  # the callback's own rule would run it for every example
        return report(*arrays), None

    report(*(array for both in found.values() for array in both))


def _gradients(peer: Callable, ours: Callable, arguments: dict) -> dict[str, tuple]:
    """Both derivatives by every float argument; none where they cannot be computed."""
    arrays = tuple(n for n, value in arguments.items() if is_float(getattr(value, "dtype", None)))
    scalars = tuple(n for n, value in arguments.items() if isinstance(value, float) and n not in arrays)
    for names in dict.fromkeys((arrays + scalars, arrays)):  # a scalar may be static
        with contextlib.suppress(Exception):
            theirs, mine = _gradient(peer, arguments, names), _gradient(ours, arguments, names)
            return {f"d/d{n}": (theirs[n], mine[n]) for n in names}
    return {}


def _gradient(function: Callable, arguments: dict, names: tuple[str, ...]) -> dict[str, jax.Array]:
    values, pull = jax.vjp(lambda chosen: _floats(function(arguments | chosen)), {n: arguments[n] for n in names})
    weights = [1 + sum(jnp.indices(x.shape, sparse=True)) % 2 for x in values]  # in turn along every axis
    (gradient,) = pull([jnp.full(x.shape, w, x.dtype) for w, x in zip(weights, values, strict=True)])
    return gradient


def _floats(tree: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if is_float(getattr(leaf, "dtype", None))]


@contextlib.contextmanager
def patched() -> Iterator[Trial]:
    """Run a program that is written with jax.nn and optax on this library, and report what that changes.

    Within the block, every function of `jax.nn`, `jax.scipy.special` and `optax.losses` of which the library has its
    own version is replaced by it: in these modules, in `optax`, and in the globals of every other module (flax's,
    equinox's, yours) that took it by ``from jax.nn import gelu``; not in those of jax, optax and this library (but an
    optax function that is not replaced finds ours where it looks up ``jax.nn.log_softmax`` when it runs). What a
    program keeps elsewhere (default arguments, fields of classes, dictionaries, closures, compiled programs) stays.

    The program's values and derivatives are then ours. Beside them every call computes the peer's values and both
    gradients, under jit, grad, vmap, scan and remat too (which runs a call twice), and sends them to the host, which
    compares a few million numbers a second: a trial of some steps is enough. On entry and on exit `jax.clear_caches`
    makes every jitted function be traced and compiled anew. The swap holds for the whole process, for all its threads.

    Returns:
      A context manager that gives the `Trial`; after the block, print it or read its `changes`.

    Raises:
      RuntimeError: if another trial is going on.
      Exception: what ours raise and the peers do not, as ValueError for a label that names no class.

    Example:
      >>> import jax, jax.numpy as jnp, stablenn
      >>> loss = jax.jit(lambda logits: -jax.nn.log_softmax(logits)[0])
      >>> with stablenn.patched() as trial:
      ...     print(f"{loss(jnp.array([40.0, 0.0])):.3g}")
      4.25e-18
      >>> print(trial.changes[0].function, trial.changes[0].quantity, trial.changes[0].peer)
      jax.nn.log_softmax value 0.0
    """
    if not _active.acquire(blocking=False):
        raise RuntimeError("patched: another trial is going on; trials must follow one another")
    trial = Trial()
    with contextlib.ExitStack() as after:
        after.callback(_active.release)
        swaps = _swaps(trial)
        after.callback(jax.clear_caches)
        # Everywhere: modules imported meanwhile have taken ours.
        after.callback(_rebind, {id(new): peer for peer, new in swaps}, everywhere=True)
        after.callback(setattr, trial, "is_open", False)
        after.callback(jax.effects_barrier)
        _rebind({id(peer): new for peer, new in swaps}, everywhere=False)
        jax.clear_caches()
        yield trial


def _swaps(trial: Trial) -> list[tuple[Callable, Callable]]:
    """Every peer and its replacement; what the kit only re-exports has none."""
    found: dict[int, tuple[Callable, Callable]] = {}
    for kit, peers in _PAIRED:
        for name, ours in vars(kit).items():
            peer, path = vars(peers).get(name), f"{peers.__name__}.{name}"
            public = not name.startswith("_") and callable(ours) and callable(peer)
            if public and ours is not peer and id(peer) not in found:
                found[id(peer)] = peer, _replacement(trial, path, peer, ours)
                trial.functions.append(path)
    return list(found.values())


def _rebind(values: dict[int, Callable], *, everywhere: bool) -> None:
    for name, module in list(sys.modules.items()):
        is_program = name in _OPEN or name.partition(".")[0] not in _INTERNAL
        if (everywhere or is_program) and isinstance(module, types.ModuleType):
            variables = object.__getattribute__(module, "__dict__")  # does not make a lazy module load
            for key, value in list(variables.items()):
                if id(value) in values:
                    variables[key] = values[id(value)]
