"""The device under test: its name in the tables, and whether it flushes subnormals."""

from __future__ import annotations

import contextlib
import functools
import platform

import jax
import jax.numpy as jnp
import numpy as np

from stablenn import floats
from stablenn.interpret.jaxprs import enable_x64


class DeviceError(ValueError):
    """A device that is not here."""


def find_device(name: str | None = None) -> jax.Device:
    """The device called `name`, such as "cpu", "gpu" or "cuda:1"; JAX's default device without a name."""
    if name is None:
        return jnp.zeros(()).devices().pop()
    backend, _, index = name.partition(":")
    try:
        devices = jax.devices(backend)
        return devices[int(index or 0)]
    except (RuntimeError, ValueError, IndexError):
        here = ", ".join(sorted({f"{d.platform}:{d.id}" for d in jax.devices()} | {"cpu:0"}))
        raise DeviceError(f"no device {name!r}; here: {here}") from None


def platform_name(device: jax.Device) -> str:
    """The key of a device in the tables: "cpu-x86_64", "cuda:NVIDIA H100", "tpu:TPU v5 lite"."""
    if device.platform == "cpu":
        return f"cpu-{platform.machine().lower().replace('amd64', 'x86_64').replace('arm64', 'aarch64')}"
    kind = {"gpu": "cuda"}.get(device.platform, device.platform)
    return f"{kind}:{device.device_kind}"


def wide_if_needed(dtype) -> contextlib.AbstractContextManager:
    """A local x64 setting for float64; the user's own setting for everything else."""
    wide = floats.format_of(dtype).bits == 64
    return enable_x64(True) if wide else contextlib.nullcontext()


def flushes_subnormals(dtype, device: jax.Device) -> bool:
    """Whether arithmetic on `device` turns subnormals of `dtype` into zeros, on the way in or out."""
    return _flushes(floats.format_of(dtype), device)


@functools.cache
def _flushes(fmt: floats.Format, device: jax.Device) -> bool:
    with wide_if_needed(fmt.dtype), jax.default_device(device):
        halve = jax.jit(lambda x, y: x * y)
        out = halve(np.asarray(fmt.tiny).astype(fmt.dtype), np.asarray(0.5).astype(fmt.dtype))
        back = halve(np.asarray(fmt.tiny / 2).astype(fmt.dtype), np.asarray(2.0).astype(fmt.dtype))
        return bool(np.asarray(out, np.float64) == 0 or np.asarray(back, np.float64) == 0)
