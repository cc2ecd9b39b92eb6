"""log(1 + x), more accurate than XLA's, alone and as a summand."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def log1p(x: jax.Array) -> jax.Array:
    """log(1 + x) for x >= -1."""
    high, low = _log1p_parts(x)
    return high + low


def add_log1p(y: jax.Array, x: jax.Array) -> jax.Array:
    """y + log(1 + x), where the two may cancel: what is lost in their sum is added again."""
    high, low = _log1p_parts(x)
    total = y + high
    # TwoSum (Knuth): y + high == total + error, exactly
    back = total - y
    error = (y - (total - back)) + (high - back)
    return total + jnp.where(jnp.isfinite(total), error + low, 0)


def _log1p_parts(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """log(1 + x) as an unevaluated sum: where XLA's log1p forgets what 1 + x rounds away, that is the second part."""
    # The barrier keeps XLA from simplifying (1 + x) - 1 to x.
    total = jax.lax.optimization_barrier(1 + x)
    lost = jnp.where(x < 1, x - (total - 1), 1 - (total - x))
    small = jnp.abs(x) < 0.3
    low = jnp.where(~small & jnp.isfinite(total) & (total != 0), lost / total, 0)
    return jnp.where(small, jnp.log1p(x), jnp.log(total)), low
