"""Steps that are not finite are left out."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

_ON_LIMIT = ("hold", "reset_state", "accept")


class SkipNonfiniteState(NamedTuple):
    """State of :func:`skip_nonfinite`.

    Attributes:
      inner_state: the state of the wrapped transformation, after its last finite step.
      total_nonfinite: how many steps were not finite so far.
      consecutive_nonfinite: how many of them in a row, up to now.
      last_finite: whether the last step was finite.
    """

    inner_state: optax.OptState
    total_nonfinite: jax.Array
    consecutive_nonfinite: jax.Array
    last_finite: jax.Array


def skip_nonfinite(
    inner: optax.GradientTransformation,
    max_consecutive: int | None = None,
    on_limit: Literal["hold", "reset_state", "accept"] = "hold",
    axis_name: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Leave out every step that is not finite.

    A step counts as not finite if a gradient, an update of `inner`, an entry of its new state, or the extra argument
    ``value`` (the loss), where it is given, is infinite or NaN; infinities that the state held before do not count.
    Then the updates are -0.0, which `optax.apply_updates` adds without changing any parameter, and the state of
    `inner` stays as it was: the next steps are those that would have followed without this one.

    Unlike `optax.apply_if_finite` it looks at what comes out of `inner` and at the loss too, and does not write NaN
    after a limit unless it is told to.

    Args:
      inner: the transformation to guard, as a rule the whole optimizer.
      max_consecutive: how many steps in a row may be left out before `on_limit` applies; None for any number.
      on_limit: what to do beyond it: "hold" goes on leaving them out, "reset_state" begins again with a new state of
        `inner` (and leaves the step out), "accept" lets them through as they are.
      axis_name: a mapped axis (or several) over which the verdict is shared, so that all devices decide alike.

    Returns:
      An `optax.GradientTransformationExtraArgs` with a `SkipNonfiniteState`.

    Raises:
      TypeError: if `inner` is no gradient transformation, or `max_consecutive` neither an int nor None.
      ValueError: if `max_consecutive` is negative, or `on_limit` unknown; from `update` if `on_limit` is "reset_state"
        and it is given no `params`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from stablenn import optim
      >>> optimizer = optim.skip_nonfinite(optax.adam(0.1))
      >>> params = jnp.array([1.0, 2.0])
      >>> state = optimizer.init(params)
      >>> updates, state = optimizer.update(jnp.array([jnp.nan, 1.0]), state, params)
      >>> print(optax.apply_updates(params, updates), state.total_nonfinite)
      [1. 2.] 1
    """
    if not (hasattr(inner, "init") and hasattr(inner, "update")):
        raise TypeError(f"skip_nonfinite: inner must be a gradient transformation, got {type(inner).__name__}")
    if max_consecutive is not None:
        if isinstance(max_consecutive, bool) or not isinstance(max_consecutive, int | np.integer):
            raise TypeError(f"skip_nonfinite: max_consecutive must be an int or None, got {max_consecutive!r}")
        if max_consecutive < 0:
            raise ValueError(f"skip_nonfinite: max_consecutive must not be negative, got {max_consecutive}")
    if on_limit not in _ON_LIMIT:
        raise ValueError(f"skip_nonfinite: on_limit must be one of {', '.join(_ON_LIMIT)}; got {on_limit!r}")
    inner = optax.with_extra_args_support(inner)

    def init(params):
        zero = jnp.zeros((), jnp.int32)
        return SkipNonfiniteState(inner.init(params), zero, zero, jnp.array(True))

    def update(updates, state, params=None, **extra_args):
        proposed, inner_state = inner.update(updates, state.inner_state, params, **extra_args)
        # an infinity that was there before (a best loss so far) is no sign of a bad step
        fresh = jax.tree.map(_without_old_infinities, inner_state, state.inner_state)
        finite = _all_finite((updates, proposed, fresh, extra_args.get("value")))
        if axis_name is not None:
            finite = jax.lax.pmin(finite.astype(jnp.int32), axis_name) == 1
        consecutive = jnp.where(finite, 0, optax.safe_increment(state.consecutive_nonfinite))
        total = jnp.where(finite, state.total_nonfinite, optax.safe_increment(state.total_nonfinite))
        beyond = False if max_consecutive is None else consecutive > max_consecutive
        accepted = finite | beyond if on_limit == "accept" else finite
        kept = state.inner_state
        if on_limit == "reset_state" and max_consecutive is not None:
            if params is None:
                raise ValueError("skip_nonfinite: params must be given to update where on_limit is 'reset_state'")
            kept = _select(beyond, inner.init(params), kept)
        nothing = jax.tree.map(_minus_zero, proposed)
        return _select(accepted, proposed, nothing), SkipNonfiniteState(
            _select(accepted, inner_state, kept), total, consecutive, finite
        )

    return optax.GradientTransformationExtraArgs(init, update)


def _all_finite(tree) -> jax.Array:
    inexact = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(jax.dtypes.result_type(leaf), jnp.inexact)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(leaf)) for leaf in inexact], bool))


def _without_old_infinities(new, old):
    if not jnp.issubdtype(jax.dtypes.result_type(new), jnp.inexact):
        return new
    return jnp.where(jnp.isinf(new) & (new == old), 0, new)


def _select(condition, tree, other):
    """`tree` where the condition holds, else `other`; leaves without values (float0) as they are."""

    def select(one, two):
        return two if jax.dtypes.result_type(one) == jax.dtypes.float0 else jnp.where(condition, one, two)

    return jax.tree.map(select, tree, other)


def _minus_zero(leaf):
    """What can be added to any number, zeros of either sign included, without changing it."""
    dtype = jax.dtypes.result_type(leaf)
    if dtype == jax.dtypes.float0:
        return leaf
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return jnp.full_like(leaf, complex(-0.0, -0.0))
    return jnp.full_like(leaf, -0.0 if jnp.issubdtype(dtype, jnp.floating) else 0)
