"""Where a function is measured: named arguments with dtypes, shapes and ranges, and the inputs drawn from them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from stablenn import floats
from stablenn.precision.domain.arguments import Argument as Argument
from stablenn.precision.domain.arguments import DomainError as DomainError
from stablenn.precision.domain.arguments import ends_of, without_subnormals
from stablenn.precision.domain.corners import corner_rows, harsh_rows
from stablenn.precision.domain.grammar import GRAMMAR, parse_argument
from stablenn.precision.domain.sampling import draw

# How many combinations of harsh values are tried; exact evaluation has its price.
_MOST_PAIRS = 4000


@dataclasses.dataclass(frozen=True)
class Domain:
    """The arguments of a function, and the inputs on which it is measured.

    Inputs are tuples of NumPy arrays, one an argument, each with a leading axis of rows.
    """

    arguments: tuple[Argument, ...]

    @classmethod
    def parse(cls, text: str) -> Domain:
        """Read a domain from its text.

        Args:
          text: arguments separated by ``;``, each ``name: dtype[shape] in [low, high]``. The shape may be left out
            for scalars, the range for everything (NaN included); ``(`` and ``)`` leave an end out; ``simplex`` means
            probabilities along the last axis; dtype ``float`` is whatever dtype is being measured, and ``tiny`` and
            ``max`` are the ends of its normal range.

        Raises:
          DomainError: what cannot be read, and what is allowed.

        Example:
          >>> from stablenn import Domain
          >>> print(Domain.parse("x: float32[8] in [-100, 100]; y: int32 in [0, 10)"))
          x: float32[8] in [-100, 100]; y: int32 in [0, 10)
        """
        parts = [part for part in text.split(";") if part.strip()]
        if not parts:
            raise DomainError(f"domain {text!r} names no argument; expected {GRAMMAR}")
        domain = cls(tuple(parse_argument(part) for part in parts))
        names = [argument.name for argument in domain.arguments]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DomainError(f"domain {text!r} names the argument {twice!r} twice; each may stand only once")
        return domain

    def __str__(self) -> str:
        return "; ".join(map(str, self.arguments))

    def with_dtype(self, dtype) -> Domain:
        """The same domain with every "float" argument in `dtype`."""
        name = floats.format_of(dtype).name
        given = (dataclasses.replace(a, dtype=name) if a.dtype == "float" else a for a in self.arguments)
        return Domain(tuple(given))

    @property
    def float_arguments(self) -> tuple[int, ...]:
        """The positions of the arguments that have derivatives."""
        return tuple(i for i, argument in enumerate(self.arguments) if argument.is_float)

    @property
    def is_univariate(self) -> bool:
        """Whether there is one scalar float argument: a function to sweep and to draw."""
        return len(self.arguments) == 1 and self.arguments[0].is_float and self.arguments[0].shape == ()

    def corners(self, *, subnormals: bool = True) -> tuple[np.ndarray, ...]:
        """Rows at which arithmetic changes its character: specials, limits of the format, thresholds.

        Every pair of the harshest values of two arguments occurs (of many arguments, a random part), and every corner
        of each argument next to ordinary values of the others.
        """
        self.require_dtypes()
        rng = np.random.default_rng(0)
        columns = [corner_rows(argument) for argument in self.arguments]
        rows = []
        for i, column in enumerate(columns):
            others = [draw(argument, len(column), rng) for argument in self.arguments]
            rows.append([column if j == i else other for j, other in enumerate(others)])
        if len(columns) > 1:
            harsh = [harsh_rows(argument) for argument in self.arguments]
            index = np.indices([len(column) for column in harsh]).reshape(len(harsh), -1)
            if index.shape[1] > _MOST_PAIRS:
                index = index[:, rng.choice(index.shape[1], _MOST_PAIRS, replace=False)]
            rows.append([column[i] for column, i in zip(harsh, index, strict=True)])
        return self._finish([np.concatenate(parts) for parts in zip(*rows, strict=True)], subnormals)

    def sample(self, count: int, seed: int = 0, *, subnormals: bool = True) -> tuple[np.ndarray, ...]:
        """`count` random rows: uniform in ulps along the whole range, and around one; vectors with structure."""
        self.require_dtypes()
        rng = np.random.default_rng(seed)
        return self._finish([draw(argument, count, rng) for argument in self.arguments], subnormals)

    def exhaustive(self, *, subnormals: bool = True) -> tuple[np.ndarray, ...]:
        """Every float of a 16-bit univariate domain (one NaN stands for all of them)."""
        self.require_dtypes()
        if not self.is_univariate or floats.format_of(self.arguments[0].dtype).bits > 16:
            raise DomainError(
                f"domain '{self}' cannot be swept; allowed: one scalar argument in bfloat16 or float16, of 16 bits"
            )
        (argument,) = self.arguments
        low, high = ends_of(argument)
        first, last = int(floats.to_ordinal(low)), int(floats.to_ordinal(high))
        values = floats.from_ordinal(np.arange(first, last + 1), argument.dtype)
        specials = [-0.0] if low <= 0 <= high else []
        specials += [math.nan] if argument.low is None else []
        return self._finish([np.concatenate([values, np.array(specials).astype(values.dtype)])], subnormals)

    def require_dtypes(self) -> None:
        """A DomainError if "float" stands for no dtype yet."""
        if any(argument.dtype == "float" for argument in self.arguments):
            raise DomainError(f"domain '{self}' has no dtype for float yet; call with_dtype first")

    def _finish(self, columns: list[np.ndarray], subnormals: bool) -> tuple[np.ndarray, ...]:
        if subnormals:
            return tuple(columns)
        pairs = zip(columns, self.arguments, strict=True)
        return tuple(without_subnormals(c, a) if a.is_float else c for c, a in pairs)
