"""Sizes and gradients of rows, from columns of arguments: what conventions and scales are stated in."""

from __future__ import annotations

import math

import numpy as np


def largest_of(*columns):
    """The largest finite magnitude of each row."""
    flat = (c.reshape(len(c), math.prod(c.shape[1:])) for c in columns)
    return np.max([np.where(np.isfinite(c), np.abs(c), 0).max(-1, initial=0) for c in flat], 0)


def by_argument(*columns):
    """The gradient of a function of several numbers."""
    return np.stack(columns, -1)
