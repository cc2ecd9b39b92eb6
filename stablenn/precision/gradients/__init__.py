"""Gradient checks: what jax.grad computes, beside differences and the derivative of the exact value."""
