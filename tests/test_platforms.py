"""Every Spec lowers for other platforms, and batches sharded over devices are not gathered."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from stablenn.precision.spec import SPECS

every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


def total(fn):
    return lambda *args: sum(map(jnp.sum, jax.tree.leaves(fn(*args))))


@every_spec
def test_functions_and_gradients_lower_for_other_platforms(spec):
    row = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in spec.domain.with_dtype("float32").arguments]
    both = jax.jit(lambda *args: (spec.fn(*args), jax.grad(total(spec.fn))(*args)))
    exported = jax.export.export(both, platforms=["cpu", "cuda", "rocm", "tpu"])(*row)
    assert set(exported.platforms) == {"cpu", "cuda", "rocm", "tpu"}


SHARDED = """
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec as P
from stablenn.precision.spec import SPECS
mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
for spec in SPECS:
    if spec.name.startswith("losses.") and "m" not in spec.signature and spec.name != "losses.smooth_labels":
        continue  # tests/losses/test_sharding.py tries them without vmap
    given = [
        jax.ShapeDtypeStruct((8, *a.shape), a.dtype, sharding=NamedSharding(mesh, P("batch")))
        for a in spec.domain.with_dtype("float32").arguments
    ]
    fn = jax.jit(jax.value_and_grad(lambda *a: sum(map(jnp.sum, jax.tree.leaves(jax.vmap(spec.fn)(*a))))))
    assert "all-gather" not in fn.lower(*given).compile().as_text(), spec.name
print("ok", len(jax.devices()))
"""


def test_batches_sharded_over_devices_are_not_gathered(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=4")
    result = subprocess.run([sys.executable, "-c", SHARDED], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("ok 4", 0), result.stderr[-2000:]
