"""A multilayer perceptron in Equinox that reads scikit-learn's handwritten digits.

It takes its functions from stablenn. The same program on JAX and optax has other imports, and no other difference::

    -from jax import nn
    -from optax import losses
    +from stablenn import losses, nn

``pip install equinox scikit-learn``, then ``python examples/digits_equinox.py``: some seconds on a CPU.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from stablenn import losses, nn

BATCH = 32


def mean_loss(model: eqx.nn.MLP, images: jax.Array, labels: jax.Array) -> jax.Array:
    """The loss per image."""
    return losses.softmax_cross_entropy_with_integer_labels(jax.vmap(model)(images), labels).mean()


@eqx.filter_jit
def step(
    model: eqx.nn.MLP,
    optimizer: optax.GradientTransformation,
    state: optax.OptState,
    images: jax.Array,
    labels: jax.Array,
) -> tuple[eqx.nn.MLP, optax.OptState, jax.Array]:
    """Takes one step of the optimizer; returns the loss before it too."""
    loss, gradients = eqx.filter_value_and_grad(mean_loss)(model, images, labels)
    updates, state = optimizer.update(gradients, state)
    return eqx.apply_updates(model, updates), state, loss


@eqx.filter_jit
def accuracy(model: eqx.nn.MLP, images: jax.Array, labels: jax.Array) -> jax.Array:
    """The share of images that are read rightly."""
    return jnp.mean(jax.vmap(model)(images).argmax(-1) == labels)


def train(epochs: int = 15) -> list[tuple[float, float]]:
    """Trains a new network; prints and returns the mean loss and the accuracy on unseen digits of every epoch."""
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32) / 16
    images, unseen_images, labels, unseen_labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    model = eqx.nn.MLP(in_size=64, out_size=10, width_size=128, depth=2, activation=nn.silu, key=jax.random.key(0))
    batches = len(images) // BATCH
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, epochs * batches))
    state = optimizer.init(eqx.filter(model, eqx.is_array))
    order, history = np.random.default_rng(0), []
    for epoch in range(1, epochs + 1):
        shuffled = order.permutation(len(images))[: batches * BATCH]
        steps = []
        for rows in shuffled.reshape(batches, BATCH):
            model, state, loss = step(model, optimizer, state, images[rows], labels[rows])
            steps.append(loss)
        mean, share = float(np.mean(steps)), float(accuracy(model, unseen_images, unseen_labels))
        print(f"epoch {epoch:2}   loss {mean:.4f}   accuracy {share:.1%}")
        history.append((mean, share))
    return history


if __name__ == "__main__":
    train()
