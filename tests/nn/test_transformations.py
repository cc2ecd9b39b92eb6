"""What the laws of transformations and of second derivatives leave out."""

import os
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stablenn import losses, nn
from stablenn.precision.spec import SPECS

every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
LABELS = np.float32([0.5, 0.25, 0.25])
X = np.float32([0.25, 1.5, 0.75])


def row_of(spec, dtype):
    return [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in spec.domain.with_dtype(dtype).arguments]


def total(spec):
    return lambda *args: sum(map(jnp.sum, jax.tree.leaves(spec.fn(*args))))


@every_spec
def test_strict_promotion_is_no_obstacle(spec):
    with jax.numpy_dtype_promotion("strict"):
        for leaf in jax.tree.leaves(jax.eval_shape(jax.value_and_grad(total(spec)), *row_of(spec, "bfloat16"))):
            assert leaf.dtype == jnp.bfloat16


@every_spec
def test_gradients_can_be_differentiated_in_reverse(spec):
    row = row_of(spec, "float32")
    hessian = jax.eval_shape(jax.jacrev(jax.grad(total(spec))), *row)
    assert hessian.shape == row[0].shape * 2


def test_vmap_over_some_arguments():
    rows, labels = np.stack([X, X + 1]), np.stack([LABELS, LABELS[::-1]])
    loss = losses.softmax_cross_entropy
    np.testing.assert_allclose(jax.vmap(loss, (0, None))(rows, LABELS), loss(rows, LABELS), rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(loss, (None, 0))(X, labels), loss(X[None], labels), rtol=1e-6)
    masks = np.array([[True, False, True], [False, False, False]])
    masked = jax.vmap(lambda mask: nn.softmax(X, where=mask))(masks)
    np.testing.assert_allclose(masked, nn.softmax(np.stack([X, X]), where=masks), rtol=1e-6)


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


# Reverse mode of lax.scan, up to jax 0.10.2, evaluates the body in part, which inlines every custom rule.
@pytest.mark.parametrize(
    "fn",
    [
        pytest.param(lambda x: nn.tanh(x).sum(), id="tanh"),
        pytest.param(lambda x: nn.softplus(x).sum(), id="softplus"),
        pytest.param(lambda x: nn.logit(x / 2).sum(), id="logit"),
        pytest.param(lambda x: nn.entr(x).sum(), id="entr"),
        pytest.param(lambda x: nn.rel_entr(x, x[::-1]).sum(), id="rel_entr"),
        pytest.param(lambda x: nn.logaddexp(x, x[::-1] ** 2).sum(), id="logaddexp"),
        pytest.param(lambda x: nn.logsubexp(x + 1, x**2).sum(), id="logsubexp"),
        pytest.param(nn.logsumexp, id="logsumexp"),
        pytest.param(lambda x: nn.logsumexp(x, b=LABELS), id="logsumexp_with_factors"),
        pytest.param(nn.logmeanexp, id="logmeanexp"),
        pytest.param(lambda x: nn.logcumsumexp(x) @ LABELS, id="logcumsumexp"),
        pytest.param(lambda x: nn.softmax(x) @ LABELS, id="softmax"),
        pytest.param(lambda x: nn.log_softmax(x) @ LABELS, id="log_softmax"),
        pytest.param(
            lambda x: (nn.attention_weights(x.reshape(1, 1, 3), jnp.stack([x, x**2])[:, None]) @ LABELS[:2]).sum(),
            id="attention_weights",
        ),
        pytest.param(lambda x: losses.softmax_cross_entropy(x, LABELS), id="cross_entropy"),
        pytest.param(lambda x: losses.softmax_cross_entropy_with_integer_labels(x, 1), id="integer_labels"),
        pytest.param(lambda x: losses.softmax_focal_loss(x, 1), id="focal_loss"),
    ],
)
def test_second_derivatives_in_a_scan_are_those_of_its_steps(fn):
    def step(carry, x):
        return fn(X * (1 + carry * x)), None

    def scanned(x):
        return jax.lax.scan(step, x, jnp.array([0.5, -0.25]))[0]

    def unrolled(x):
        return step(step(x, 0.5)[0], -0.25)[0]

    with jax.enable_x64(False):
        for second in (jax.grad(jax.grad(scanned)), jax.jacfwd(jax.grad(scanned))):
            np.testing.assert_allclose(jax.jit(second)(0.3), jax.jacfwd(jax.grad(unrolled))(0.3), rtol=1e-4, atol=1e-6)
