"""A convention that several Specs share: rows with several infinite logits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stablenn.precision.spec.kinds import Convention


def several_infinities(x, *_):
    """Rows of vectors with more than one entry of +inf."""
    return np.sum(x == np.inf, -1) > 1


def several_of_any_sign(x, *_):
    """Rows of vectors with more than one infinite entry."""
    return np.sum(np.isinf(x), -1) > 1


def no_shares(*, values: Callable[[int], int] | None, gradients: Callable[[int], int]) -> Convention:
    """NaN for the rows; `values` and `gradients` count their outputs from the number of logits."""

    def nan(count):
        return lambda x, *_: np.full((len(x), count(x.shape[-1])), np.nan)

    return Convention(
        "several infinite logits have no limit: the whole row is NaN, although parts of it would have one",
        applies=several_infinities,
        value=None if values is None else nan(values),
        gradient=nan(gradients),
    )
