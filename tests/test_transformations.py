"""The kit under JAX's transformations: vmap, scan, checkpoint, linearize, export, and sharded inputs."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn.precision.spec import SPECS

every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


def rows_of(spec, count=5):
    return tuple(np.asarray(column) for column in spec.domain.with_dtype("float32").sample(count, 11))


def total(fn):
    return lambda *args: jnp.sum(fn(*args))


@every_spec
def test_vmap_is_row_by_row(spec):
    rows = rows_of(spec)
    each = np.stack([np.asarray(spec.fn(*(column[i] for column in rows))) for i in range(5)])
    np.testing.assert_allclose(jax.vmap(spec.fn)(*rows), each, rtol=1e-6)
    last = jax.vmap(spec.fn, in_axes=-1)(*(np.moveaxis(column, 0, -1) for column in rows))
    np.testing.assert_allclose(last, each, rtol=1e-6)


@every_spec
def test_scan_checkpoint_and_linearize_give_the_same_gradient(spec):
    row = tuple(column[0] for column in rows_of(spec))
    expected = jax.grad(total(spec.fn))(*row)

    def scanned(*args):
        return jax.lax.scan(lambda c, _: (c + total(spec.fn)(*args), None), 0.0, None, length=1)[0]

    for fn in (scanned, jax.checkpoint(total(spec.fn)), jax.jit(total(spec.fn))):
        np.testing.assert_allclose(jax.grad(fn)(*row), expected, rtol=1e-5)
    _, linear = jax.linearize(lambda x: total(spec.fn)(x, *row[1:]), row[0])
    tangent = np.ones_like(row[0])
    np.testing.assert_allclose(linear(tangent), np.sum(expected * tangent), rtol=1e-4, atol=1e-5)


@every_spec
def test_functions_and_gradients_lower_for_other_platforms(spec):
    row = [jax.ShapeDtypeStruct(column.shape[1:], column.dtype) for column in rows_of(spec)]
    for fn in (spec.fn, jax.grad(total(spec.fn))):
        exported = jax.export.export(jax.jit(fn), platforms=["cpu", "cuda", "rocm", "tpu"])(*row)
        assert set(exported.platforms) == {"cpu", "cuda", "rocm", "tpu"}


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from stablenn.precision.spec import SPECS
mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
for spec in SPECS:
    rows = spec.domain.with_dtype("float32").sample(8, 3)
    placed = [jax.device_put(c, NamedSharding(mesh, P("batch"))) for c in rows]
    fn = jax.jit(jax.value_and_grad(lambda *a: jnp.sum(jnp.nan_to_num(jax.vmap(spec.fn)(*a), posinf=0, neginf=0))))
    text = fn.lower(*placed).compile().as_text()
    assert "all-gather" not in text, spec.name
    for here, there in zip(jax.tree.leaves(fn(*rows)), jax.tree.leaves(fn(*placed)), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-5)
print("ok", len(jax.devices()))
"""


def test_batches_sharded_over_devices_are_not_gathered(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    result = subprocess.run([sys.executable, "-c", SHARDED], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("ok 4", 0), result.stderr[-2000:]
