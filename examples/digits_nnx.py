"""A small convolutional network in Flax NNX that reads scikit-learn's handwritten digits.

It takes its functions from stablenn. The same program on JAX and optax has other imports, and no other difference::

    -from jax import nn
    -from optax import losses
    +from stablenn import losses, nn

``pip install flax scikit-learn``, then ``python examples/digits_nnx.py``: some seconds on a CPU.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from stablenn import losses, nn

BATCH = 32


class Classifier(nnx.Module):
    """Two convolutions over an image of 8 x 8, then the logits of ten digits."""

    def __init__(self, rngs: nnx.Rngs):
        self.edges = nnx.Conv(1, 16, kernel_size=(3, 3), rngs=rngs)
        self.strokes = nnx.Conv(16, 32, kernel_size=(3, 3), strides=2, rngs=rngs)
        self.digits = nnx.Linear(4 * 4 * 32, 10, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        x = nn.gelu(self.edges(images[..., None]))
        x = nn.gelu(self.strokes(x))
        return self.digits(x.reshape(len(x), -1))


@nnx.jit
def step(model: Classifier, optimizer: nnx.Optimizer, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Takes one step of the optimizer and returns the loss before it."""

    def loss_of(model: Classifier) -> jax.Array:
        return losses.softmax_cross_entropy_with_integer_labels(model(images), labels).mean()

    loss, gradients = nnx.value_and_grad(loss_of)(model)
    optimizer.update(model, gradients)
    return loss


@nnx.jit
def accuracy(model: Classifier, images: jax.Array, labels: jax.Array) -> jax.Array:
    """The share of images that are read rightly."""
    return jnp.mean(model(images).argmax(-1) == labels)


def train(epochs: int = 15) -> list[tuple[float, float]]:
    """Trains a new network; prints and returns the mean loss and the accuracy on unseen digits of every epoch."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8).astype(np.float32) / 16
    images, unseen_images, labels, unseen_labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    model = Classifier(nnx.Rngs(0))
    batches = len(images) // BATCH
    optimizer = nnx.Optimizer(model, optax.adam(optax.cosine_decay_schedule(3e-3, epochs * batches)), wrt=nnx.Param)
    order, history = np.random.default_rng(0), []
    for epoch in range(1, epochs + 1):
        shuffled = order.permutation(len(images))[: batches * BATCH]
        steps = [step(model, optimizer, images[rows], labels[rows]) for rows in shuffled.reshape(batches, BATCH)]
        mean, share = float(np.mean(steps)), float(accuracy(model, unseen_images, unseen_labels))
        print(f"epoch {epoch:2}   loss {mean:.4f}   accuracy {share:.1%}")
        history.append((mean, share))
    return history


if __name__ == "__main__":
    train()
