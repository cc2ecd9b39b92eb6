"""Measure many Specs and their peers over the same inputs: what the benchmark runs."""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import jax
import jaxlib
import numpy as np

import stablenn
from stablenn import floats
from stablenn.precision.accuracy import Reference, draw_inputs
from stablenn.precision.devices import flushes_subnormals, platform_name
from stablenn.precision.record import QUANTITIES, Record
from stablenn.precision.spec import Spec
from stablenn.precision.tolerances import find_tolerance

# Outputs to evaluate exactly in all, at some 20 microseconds each: under a minute, whatever the number of Specs.
_BUDGET = 1_000_000
_FULL = 20
_MIN_ROWS, _MAX_ROWS = 100, 20_000

Progress = Callable[[str, float, float], None]


def provenance(device: jax.Device, dtypes: Sequence[str], seed: int, specs: Sequence[Spec]) -> dict[str, Any]:
    """Where a run comes from: versions, device, settings."""
    here = jax.__version__, platform_name(device)
    found = [find_tolerance(spec.name, q, dtype, *here) for spec in specs for q in QUANTITIES for dtype in dtypes]
    return {
        "stablenn": stablenn.__version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "platform": platform_name(device),
        "device_kind": device.device_kind,
        "device_count": len(jax.devices(device.platform)),
        "x64": bool(jax.config.read("jax_enable_x64")),
        "flushes_subnormals": {dtype: flushes_subnormals(dtype, device) for dtype in dtypes},
        "tolerances": "measured here" if all(t and t.measured for t in found) else "the bars (none measured here)",
        "seed": seed,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["stablenn", *sys.argv[1:]]),
    }


def survey(
    specs: Sequence[Spec],
    dtypes: Sequence[str],
    device: jax.Device,
    *,
    seed: int = 0,
    full: bool = False,
    progress: Progress | None = None,
) -> Iterator[Record]:
    """Yield a record for ours and for each peer, by Spec, dtype and quantity.

    Args:
      specs: what to measure.
      dtypes: names of float formats.
      device: where to evaluate.
      seed: of the random rows.
      full: twenty times the rows, and every float for univariate functions in 16-bit formats.
      progress: called with what is being measured, the work done and the work in all.
    """
    cells = [(spec, dtype, quantity) for spec in specs for dtype in dtypes for quantity in QUANTITIES]
    budget = _BUDGET * (_FULL if full else 1) / max(len(cells), 1)
    most = _MAX_ROWS * (_FULL if full else 1)
    for done, (spec, dtype, quantity) in enumerate(cells):
        domain = spec.domain.with_dtype(dtype)
        exhaustive = full and domain.is_univariate and floats.format_of(dtype).bits == 16
        rows = round(min(max(budget / _outputs(spec, quantity), _MIN_ROWS), most))
        inputs = draw_inputs(
            domain, rows, seed, subnormals=not flushes_subnormals(dtype, device), exhaustive=exhaustive
        )
        label = f"{spec.name} {quantity} {dtype}"

        def advanced(part: int, whole: int, done: int = done, label: str = label) -> None:
            if progress is not None:
                progress(label, done + part / whole, len(cells))

        reference = Reference.of(
            spec.definition,
            domain,
            inputs,
            dtype,
            quantity,
            conventions=(*spec.conventions, *spec.kinks),
            scale=spec.scale(quantity),
            progress=advanced,
        )
        tolerance = find_tolerance(spec.name, quantity, dtype, jax.__version__, platform_name(device))
        bound = None if tolerance is None else tolerance.max_ulp
        yield Record(spec.name, spec.implementation, reference.judge(spec.fn, device), bound)
        for peer in spec.peers:
            try:
                accuracy = reference.judge(spec.load(peer), device)
            except TypeError:  # some peers refuse narrow formats
                continue
            yield Record(spec.name, peer, accuracy)
        advanced(1, 1)


def _outputs(spec: Spec, quantity: str) -> int:
    """Outputs in one row: what its exact evaluation costs."""
    row = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in spec.domain.with_dtype("float32").arguments]
    outputs = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(jax.eval_shape(spec.fn, *row)))
    if quantity == "value":
        return outputs
    return outputs * sum(math.prod(row[i].shape) for i in spec.domain.float_arguments)
