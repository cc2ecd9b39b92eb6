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
    "softplus_inverse": nn.softplus_inverse,
    "tanh": nn.tanh,
    "log_cosh": nn.log_cosh,
    "softcap": lambda x: nn.softcap(x, 2),
    "silu": nn.silu,
    "mish": nn.mish,
    "glu": lambda x: nn.glu(jnp.concatenate([x, -x])),
    "elu": lambda x: nn.elu(-x),
    "celu": lambda x: nn.celu(-x, 2),
    "selu": lambda x: nn.selu(-x),
    "squareplus": nn.squareplus,
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
    "softplus_inverse": lambda x: jnp.log(jnp.exp(x) - 1),
    "tanh": lambda x: (jnp.exp(x) - jnp.exp(-x)) / (jnp.exp(x) + jnp.exp(-x)),
    "log_cosh": lambda x: jnp.log((jnp.exp(x) + jnp.exp(-x)) / 2),
    "softcap": lambda x: 2 * jnp.tanh(x / 2),
    "silu": lambda x: x / (1 + jnp.exp(-x)),
    "mish": lambda x: x * jnp.tanh(jnp.log(1 + jnp.exp(x))),
    "glu": lambda x: x / (1 + jnp.exp(x)),
    "elu": lambda x: jnp.exp(-x) - 1,
    "celu": lambda x: 2 * (jnp.exp(-x / 2) - 1),
    "selu": lambda x: 1.7580993408473768 * (jnp.exp(-x) - 1),
    "squareplus": lambda x: (x + jnp.sqrt(x * x + 4)) / 2,
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
    for jacobian in jax.jit(lambda x: [ways(FUNCTIONS[name])(x) for ways in (jax.jacfwd, jax.jacrev)])(X):
        np.testing.assert_allclose(jacobian, expected, rtol=2e-6, atol=2e-7)


@EVERY
def test_the_hessian_is_exact(name):
    expected = exact(jax.jacfwd(jax.jacfwd(summed(TEXTBOOK[name]))), wide=True, dtype="float32")(X)
    fn = summed(FUNCTIONS[name])
    for hessian in jax.jit(lambda x: [jax.hessian(fn)(x), jax.jacrev(jax.grad(fn))(x)])(X):
        np.testing.assert_allclose(hessian, expected, rtol=1e-5, atol=1e-6)


@EVERY
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_strict_promotion_is_no_obstacle(name, dtype):
    x = jax.ShapeDtypeStruct(X.shape, jnp.dtype(dtype))
    if name not in WITH_LABELS:
        with jax.numpy_dtype_promotion("strict"):
            assert jax.eval_shape(FUNCTIONS[name], x).dtype == x.dtype
            assert jax.eval_shape(jax.grad(lambda v: FUNCTIONS[name](v).sum()), x).dtype == x.dtype
    elif dtype == "float32":
        with jax.numpy_dtype_promotion("strict"):
            assert jax.eval_shape(FUNCTIONS[name], x).dtype == x.dtype


@EVERY
def test_vmap_is_the_loop_over_any_axis(name):
    fn, rows = jax.jit(FUNCTIONS[name]), np.stack([X, X + 1])
    expected = np.stack([fn(row) for row in rows])
    for found in jax.jit(lambda rows: [jax.vmap(fn)(rows), jax.vmap(fn, in_axes=1)(rows.T)])(rows):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


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
    fn = summed(FUNCTIONS[name])

    @jax.jit
    def slopes(x):
        _, scanned = jax.lax.scan(lambda carry, row: (carry, jax.grad(fn)(row)), 0, x[None])
        _, linear = jax.linearize(fn, x)
        return scanned[0], jax.grad(jax.checkpoint(fn))(x), jax.vmap(linear)(jnp.eye(3, dtype=x.dtype))

    slope = jax.jit(jax.grad(fn))(X)
    for other in slopes(X):
        np.testing.assert_allclose(other, slope, rtol=1e-6, atol=1e-7)


@EVERY
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_value_and_gradient_are_exported_to_every_platform(name, dtype):
    argument = jax.ShapeDtypeStruct((3,), jnp.dtype(dtype))
    both = jax.jit(lambda x: (FUNCTIONS[name](x), jax.grad(lambda x: FUNCTIONS[name](x).sum())(x)))
    exported = export.export(both, platforms=["cpu", "cuda", "tpu"])(argument)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    x = jnp.asarray(X, dtype)
    for there, here in zip(exported.call(x), both(x), strict=True):
        np.testing.assert_allclose(
            np.float32(there), np.float32(here), rtol=2e-2 if dtype == "bfloat16" else 1e-6, atol=1e-6
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
        both = jax.jit(lambda x, y: (fn(x, y), grad(x, y)))
        for there, here in zip(both(*placed), both(x, y)):
            np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-6)
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
