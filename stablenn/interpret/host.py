"""The CPU, where there is one: float64 is what it says there, and small steps cost least."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax

from stablenn.interpret.jaxprs import enable_x64


def on_cpu() -> contextlib.AbstractContextManager:
    """A local default device."""
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:
        return contextlib.nullcontext()


@contextlib.contextmanager
def wide_on_cpu() -> Iterator[None]:
    """`on_cpu`, with a local x64 setting, and none of the user's settings that forbid or debug."""
    with enable_x64(True), on_cpu(), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
