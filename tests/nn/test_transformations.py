"""Every function of the kit and its gradient under JAX's transformations, exported, and sharded."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from stablenn import exact, losses, nn

LABELS = np.float32([0.5, 0.25, 0.25])
FUNCTIONS = {
    "softmax": nn.softmax,
    "log_softmax": nn.log_softmax,
    "logsumexp": nn.logsumexp,
    "logsumexp with factors": lambda x: nn.logsumexp(x, b=LABELS),
    "sigmoid": nn.sigmoid,
    "log_sigmoid": nn.log_sigmoid,
    "clipped_log": lambda x: nn.clipped_log(x, 0.5),
    "softmax_cross_entropy": lambda x: losses.softmax_cross_entropy(x, LABELS),
    "sigmoid_binary_cross_entropy": lambda x: losses.sigmoid_binary_cross_entropy(x, LABELS),
    "softplus": nn.softplus,
    "logit": lambda x: nn.logit(x / 2),
    "log1mexp": nn.log1mexp,
    "logaddexp": lambda x: nn.logaddexp(x, LABELS),
    "xlogy": lambda x: nn.xlogy(x, x),
    "xlog1py": lambda x: nn.xlog1py(LABELS, x),
    "norm": nn.norm,
    "safe_sqrt": nn.safe_sqrt,
    "safe_divide": lambda x: nn.safe_divide(LABELS, x),
    "integer_labels": lambda x: losses.softmax_cross_entropy_with_integer_labels(x, 1),
    "kl_divergence": lambda x: losses.kl_divergence(-x, LABELS),
    "kl_divergence_with_log_targets": lambda x: losses.kl_divergence_with_log_targets(-LABELS, -x),
}
TEXTBOOK = {
    "softmax": lambda x: jnp.exp(x) / jnp.sum(jnp.exp(x)),
    "log_softmax": lambda x: x - jnp.log(jnp.sum(jnp.exp(x))),
    "logsumexp": lambda x: jnp.log(jnp.sum(jnp.exp(x))),
    "logsumexp with factors": lambda x: jnp.log(jnp.sum(LABELS * jnp.exp(x))),
    "sigmoid": lambda x: 1 / (1 + jnp.exp(-x)),
    "log_sigmoid": lambda x: -jnp.log(1 + jnp.exp(-x)),
    "clipped_log": lambda x: jnp.log(jnp.maximum(x, 0.5)),
    "softmax_cross_entropy": lambda x: jnp.sum(LABELS * (jnp.log(jnp.sum(jnp.exp(x))) - x)),
    "sigmoid_binary_cross_entropy": lambda x: (
        LABELS * jnp.log(1 + jnp.exp(-x)) + (1 - LABELS) * jnp.log(1 + jnp.exp(x))
    ),
    "softplus": lambda x: jnp.log(1 + jnp.exp(x)),
    "logit": lambda x: jnp.log(x / 2) - jnp.log(1 - x / 2),
    "log1mexp": lambda x: jnp.log(1 - jnp.exp(-x)),
    "logaddexp": lambda x: jnp.log(jnp.exp(x) + jnp.exp(LABELS)),
    "xlogy": lambda x: x * jnp.log(x),
    "xlog1py": lambda x: LABELS * jnp.log(1 + x),
    "norm": lambda x: jnp.sqrt(jnp.sum(x * x)),
    "safe_sqrt": jnp.sqrt,
    "safe_divide": lambda x: LABELS / x,
    "integer_labels": lambda x: jnp.log(jnp.sum(jnp.exp(x))) - x[1],
    "kl_divergence": lambda x: jnp.sum(LABELS * (jnp.log(LABELS) + x)),
    "kl_divergence_with_log_targets": lambda x: jnp.sum(jnp.exp(-x) * (LABELS - x)),
}
# Those that close over an array in float32.
WITH_LABELS = {
    *("logsumexp with factors", "softmax_cross_entropy", "sigmoid_binary_cross_entropy", "logaddexp", "xlog1py"),
    *("safe_divide", "kl_divergence", "kl_divergence_with_log_targets"),
}
EVERY = pytest.mark.parametrize("name", FUNCTIONS)
X = np.float32([0.25, 1.5, 0.75])


def summed(fn):
    return lambda x: (jnp.float32([1, 2, 4])[: fn(x).size] * fn(x)).sum()


@EVERY
def test_forward_and_reverse_agree_with_the_exact_jacobian(name):
    expected = exact(jax.jacfwd(TEXTBOOK[name]), wide=True, dtype="float32")(X)
    for jacobian in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(jacobian(FUNCTIONS[name])(X), expected, rtol=2e-6, atol=2e-7)


@EVERY
def test_the_hessian_is_exact(name):
    expected = exact(jax.jacfwd(jax.jacfwd(summed(TEXTBOOK[name]))), wide=True, dtype="float32")(X)
    for second in (jax.hessian, lambda f: jax.jacrev(jax.grad(f))):
        np.testing.assert_allclose(second(summed(FUNCTIONS[name]))(X), expected, rtol=1e-5, atol=1e-6)


@EVERY
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_strict_promotion_is_no_obstacle(name, dtype):
    x = jnp.asarray(X, dtype)
    if name not in WITH_LABELS:
        with jax.numpy_dtype_promotion("strict"):
            assert FUNCTIONS[name](x).dtype == x.dtype
            assert jax.grad(lambda v: FUNCTIONS[name](v).sum())(x).dtype == x.dtype
    elif dtype == "float32":
        with jax.numpy_dtype_promotion("strict"):
            assert FUNCTIONS[name](x).dtype == x.dtype


@EVERY
def test_vmap_is_the_loop_over_any_axis(name):
    fn, rows = FUNCTIONS[name], np.stack([X, X + 1])
    expected = np.stack([fn(row) for row in rows])
    np.testing.assert_allclose(jax.vmap(fn)(rows), expected, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(fn, in_axes=1)(rows.T), expected, rtol=1e-6)


def test_vmap_over_some_arguments():
    rows, labels = np.stack([X, X + 1]), np.stack([LABELS, LABELS[::-1]])
    loss = losses.softmax_cross_entropy
    np.testing.assert_allclose(jax.vmap(loss, (0, None))(rows, LABELS), loss(rows, LABELS), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(loss, (None, 0))(X, labels), loss(X[None], labels), rtol=1e-6)
    masks = np.array([[True, False, True], [False, False, False]])
    masked = jax.vmap(lambda mask: nn.softmax(X, where=mask))(masks)
    np.testing.assert_allclose(masked, nn.softmax(np.stack([X, X]), where=masks), rtol=1e-6)


@EVERY
def test_scan_checkpoint_and_linearize_change_nothing(name):
    fn = FUNCTIONS[name]
    slope = jax.grad(summed(fn))(X)
    _, scanned = jax.lax.scan(lambda carry, x: (carry, jax.grad(summed(fn))(x)), 0, X[None])
    np.testing.assert_allclose(scanned[0], slope, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(jax.grad(jax.checkpoint(summed(fn)))(X), slope, rtol=1e-6, atol=1e-7)
    _, linear = jax.linearize(summed(fn), X)
    np.testing.assert_allclose([linear(e) for e in np.eye(3, dtype=np.float32)], slope, rtol=1e-6, atol=1e-7)


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_value_and_gradient_are_exported_to_every_platform(name, dtype):
    argument = jax.ShapeDtypeStruct((3,), jnp.dtype(dtype))
    for fn in (FUNCTIONS[name], jax.grad(lambda x: FUNCTIONS[name](x).sum())):
        exported = export.export(jax.jit(fn), platforms=["cpu", "cuda", "tpu"])(argument)
        assert exported.platforms == ("cpu", "cuda", "tpu")
        x = jnp.asarray(X, dtype)
        np.testing.assert_allclose(
            np.float32(exported.call(x)), np.float32(fn(x)), rtol=2e-2 if dtype == "bfloat16" else 1e-6, atol=1e-6
        )


SHARDED = """
    import jax, jax.numpy as jnp, numpy as np
    from jax.sharding import NamedSharding, PartitionSpec as P
    from stablenn import losses, nn

    assert jax.device_count() == 4
    mesh = jax.sharding.Mesh(np.array(jax.devices()).reshape(2, 2), ("rows", "classes"))
    x = np.sin(np.arange(32, dtype=np.float32)).reshape(4, 8) * 5
    y = np.float32(np.eye(4, 8))
    functions = [
        lambda x, y: nn.softmax(x),
        lambda x, y: nn.log_softmax(x),
        lambda x, y: nn.logsumexp(x, axis=1),
        lambda x, y: nn.logsumexp(x, axis=1, b=1 + y),
        lambda x, y: nn.sigmoid(x),
        lambda x, y: nn.log_sigmoid(x),
        lambda x, y: nn.clipped_log(x, 0.5),
        losses.softmax_cross_entropy,
        losses.sigmoid_binary_cross_entropy,
    ]
    placed = [jax.device_put(v, NamedSharding(mesh, P("rows", "classes"))) for v in (x, y)]
    for fn in functions:
        grad = jax.grad(lambda x, y: fn(x, y)[:, ...].sum() if fn(x, y).ndim == 1 else (fn(x, y) * y).sum())
        for f in (fn, grad):
            np.testing.assert_allclose(jax.jit(f)(*placed), f(x, y), rtol=1e-5, atol=1e-6)
    print("agreed", len(functions))
"""


def test_sharded_arrays_give_the_same_results():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SHARDED)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.split() == ["agreed", "9"], result.stderr
