"""On batches that are split over devices, losses and their gradients need no gathering of the batch."""

import os
import socket
import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec
    from stablenn.precision.spec import SPECS

    BATCH = 64
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.KIND,))
    jax.set_mesh(mesh)
    split = NamedSharding(mesh, PartitionSpec("batch"))

    def shape_of(spec, argument):
        batched = spec.signature.startswith("(b")  # whose first axis is the batch already
        return (BATCH, *argument.shape[1:]) if batched else (BATCH, *argument.shape)

    gathered, tried = [], []
    for spec in SPECS:
        # a batch of embeddings is compared with itself, and a parameter of a function is no batch
        if not spec.name.startswith("losses.") or "m" in spec.signature or spec.name == "losses.smooth_labels":
            continue
        given = [
            jax.ShapeDtypeStruct(shape_of(spec, a), np.float32 if a.is_float else a.dtype, sharding=split)
            for a in spec.domain.arguments
        ]
        floats = tuple(i for i, a in enumerate(spec.domain.arguments) if a.is_float)
        if spec.name == "losses.smoothed_cross_entropy":
            given[2], floats = jax.ShapeDtypeStruct((8,), np.float32), (0,)
        fn = spec.fn
        total = lambda *args: sum(jnp.sum(leaf) for leaf in jax.tree.leaves(fn(*args)))
        program = jax.jit(jax.value_and_grad(total, floats), out_shardings=(None, (split,) * len(floats)))
        lowered = program.lower(*given)
        tried.append(spec.name)
        # on an explicit mesh to gather is no choice of the compiler: what does not fit raises
        if "KIND" == "Auto" and "all-gather" in lowered.compile().as_text():
            gathered.append(spec.name)
    # what is planted must be seen
    planted = jax.jit(jnp.exp, out_shardings=NamedSharding(mesh, PartitionSpec()))
    planted = planted.lower(jax.ShapeDtypeStruct((BATCH,), np.float32, sharding=split))
    print("all-gather" in planted.compile().as_text(), len(tried), *gathered)
"""

VOCABULARY = r"""
    # Two reductions in all: of the maximum, then of the sums and of the label's logit.
    import jax, jax.numpy as jnp, numpy as np, re
    from jax.sharding import AxisType, NamedSharding, PartitionSpec
    from stablenn.losses import softmax_cross_entropy_with_integer_labels as loss

    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((16, 1024), np.float32), rng.integers(0, 1024, 16)
    program = jax.jit(jax.value_and_grad(lambda x, y: loss(x, y).sum()))
    expected = program(logits, labels)
    for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = jax.make_mesh((8,), ("vocabulary",), axis_types=(kind,))
        with jax.set_mesh(mesh):
            x = jax.device_put(logits, NamedSharding(mesh, PartitionSpec(None, "vocabulary")))
            y = jax.device_put(labels, NamedSharding(mesh, PartitionSpec()))
            compiled = program.lower(x, y).compile()
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-9), compiled(x, y), expected)
        text = compiled.as_text()
        print(text.count("all-gather"), len(re.findall(r" all-reduce(?:-start)?\(", text)))
"""

SHARD_MAP = r"""
    import jax, jax.numpy as jnp, numpy as np, re
    from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
    from stablenn.losses import softmax_cross_entropy_with_integer_labels as loss

    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((16, 1024), np.float32), rng.integers(0, 1024, 16)
    weights, padded = rng.random(1024, np.float32), np.where(np.arange(16) % 3, labels, -1)
    mesh = jax.make_mesh((2, 4), ("a", "b"), axis_types=(AxisType.Auto, AxisType.Auto))

    def compare(a, b):
        np.testing.assert_allclose(a, b, rtol=3e-6, atol=3e-9)

    def check(names, options, specs, labels=labels):
        def fn(x, y, options):
            return loss(x, y, axis_name=names, **options).sum()

        specs = (P(None, names), P(), specs)
        whole = jax.jit(jax.value_and_grad(lambda x, y: loss(x, y, **options).sum()))(logits, labels)
        for checked in (True, False):
            outside = jax.jit(jax.value_and_grad(
                jax.shard_map(fn, mesh=mesh, in_specs=specs, out_specs=P(), check_vma=checked)))
            jax.tree.map(compare, outside(logits, labels, options), whole)
        inside = jax.jit(jax.shard_map(
            jax.value_and_grad(fn), mesh=mesh, in_specs=specs, out_specs=(P(), P(None, names))))
        split = jax.device_put(logits, NamedSharding(mesh, P(None, names)))
        jax.tree.map(compare, inside(split, labels, options), whole)
        forward = jax.shard_map(lambda x, t: jax.jvp(lambda x: fn(x, labels, options), (x,), (t,))[1],
            mesh=mesh, in_specs=(P(None, names),) * 2, out_specs=P())
        if not options:
            compare(forward(logits, logits), np.vdot(whole[1], logits))
            text = inside.lower(split, labels, options).compile().as_text()
            print(text.count("all-gather"), len(re.findall(r" all-reduce(?:-start)?\(", text)))

    both = "a", "b"
    check("b", {}, {})
    check(both, {}, {})
    check("b", {"label_smoothing": 0.1, "class_weights": weights}, {"label_smoothing": P(), "class_weights": P("b")})
    check(both, {"class_weights": weights}, {"class_weights": P(both)})
    check("b", {"where": padded >= 0}, {"where": P()}, padded)
    check(both, {"where": np.arange(16384).reshape(16, 1024) % 5 > 0}, {"where": P(None, both)})

    def fn(x, y):
        return loss(x, y, axis_name="b")

    def split(fn, specs):
        return jax.jit(jax.shard_map(fn, mesh=mesh, in_specs=specs, out_specs=P()))

    wrong = labels.copy()
    wrong[3] = 1024
    traced = split(fn, (P(None, "b"), P()))
    print(*np.flatnonzero(np.isnan(traced(logits, wrong))))
    slopes = jax.grad(lambda x: traced(x, wrong).sum())(logits)
    print(*np.flatnonzero(np.isnan(slopes).all(-1)), *np.flatnonzero(np.isnan(slopes).any(-1)))
    try:
        split(lambda x: fn(x, wrong), P(None, "b"))(logits)
    except ValueError as error:
        print(error)
    parts = logits.reshape(16, 8, 128).swapaxes(0, 1)
    compare(jax.vmap(lambda x: loss(x, labels, axis_name="v"), axis_name="v")(parts)[0], loss(logits, labels))
"""


PROCESS = """
    import sys
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec
    from stablenn.losses import softmax_cross_entropy_with_integer_labels as loss

    address, process = sys.argv[1], int(sys.argv[2])
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, num_processes=2, process_id=process)
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((16, 1024), np.float32), rng.integers(0, 1024, 16)
    mesh = jax.make_mesh((8,), ("vocabulary",), axis_types=(jax.sharding.AxisType.Auto,))
    split, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((None, "vocabulary"), ()))
    x = jax.make_array_from_callback(logits.shape, split, lambda index: logits[index])
    y = jax.make_array_from_callback(labels.shape, whole, lambda index: labels[index])
    program = jax.jit(jax.value_and_grad(lambda x, y: loss(x, y).sum()), out_shardings=(whole, split))
    value, slope = program(x, y)
    wide = np.float64(logits)
    shares = np.exp(wide) / np.exp(wide).sum(-1, keepdims=True)
    expected = -np.log(shares[np.arange(16), labels]).sum()
    np.testing.assert_allclose(value.addressable_data(0), expected, rtol=1e-6)
    for shard in slope.addressable_shards:
        right = (shares - (np.arange(1024) == labels[:, None]))[shard.index]
        np.testing.assert_allclose(shard.data, right, rtol=1e-5, atol=1e-9)
    print(len(jax.devices()), len(slope.addressable_shards))
"""


def run(program):
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


@pytest.mark.parametrize("kind", ["Auto", "Explicit"])
def test_no_loss_gathers_the_batch(kind):
    planted, count, *gathered = run(PROGRAM.replace("KIND", kind))
    assert planted == "True"
    assert int(count) > 25
    assert gathered == []


def test_a_vocabulary_that_is_split_is_reduced_and_not_gathered():
    assert run(VOCABULARY) == ["0", "2"] * 2  # on automatic and on explicit meshes


def test_a_vocabulary_may_be_split_by_shard_map():
    out = run(SHARD_MAP)
    assert out[:4] == ["0", "2"] * 2  # over one axis of the mesh and over two
    assert out[4:7] == ["3"] * 3  # the label that names no class of all devices
    assert " ".join(out[7:]).endswith(
        "labels must lie between 0 and 1023, got 1024 at index (3,); padding labels? pass where=labels >= 0"
    )


def test_a_vocabulary_may_be_split_over_processes():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROCESS), address, str(process)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for process in range(2)
    ]
    for process in processes:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        assert out.split()[-2:] == ["8", "4"]
