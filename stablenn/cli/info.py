"""`stablenn info`: what this machine computes with."""

from __future__ import annotations

import platform
from importlib import metadata

import click

from stablenn import floats
from stablenn.progress import console

_PACKAGES = ("stablenn", "jax", "jaxlib", "optax", "numpy", "ml_dtypes", "python-flint", "hypothesis", "pytest")


@click.command(short_help="Versions, devices, x64, flush-to-zero.")
def info() -> int:
    """Versions of what stablenn builds on, and what the devices here do with numbers."""
    import jax
    from rich.table import Table

    from stablenn.precision.devices import flushes_subnormals, platform_name

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_row("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for package in _PACKAGES:
        table.add_row(package, _version(package))
    table.add_row("x64", "on" if jax.config.read("jax_enable_x64") else "off (stablenn measures float64 all the same)")
    for device in jax.devices():
        flushing = [name for name in floats.NAMES if flushes_subnormals(name, device)]
        kept = [name for name in floats.NAMES if name not in flushing]
        default = "  (default)" if device == jax.numpy.zeros(()).devices().pop() else ""
        table.add_row(f"{device.platform}:{device.id}", f"{device.device_kind}, key {platform_name(device)}{default}")
        table.add_row("", f"subnormals flushed: {', '.join(flushing) or 'none'}; kept: {', '.join(kept) or 'none'}")
    console().print(table, highlight=False)
    return 0


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return 'not installed: pip install "stablenn[lab]"'
