"""Fit the polynomials of stablenn.nn._elementary.normal_tail and print them: python -m benchmarks.normal_tail

Remez' algorithm on a grid, in 400 bits. The errors that are printed are those of the rounded coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import click
import mpmath as mp
import numpy as np

BITS = 400
BORDER, SHIFT = 2, 5  # where the second polynomial begins, and its variable v = 1 / (z^2 + SHIFT)
DEGREES = {"float32": 9, "float64": 20}
_DIGITS_OF_REST = 64  # far out, by how much the error of what is left of the limit may be larger than that of the tail


class Target(NamedTuple):
    """What a polynomial in t, from -1 to 1, approximates, and by what its error counts."""

    value: mp.mpf
    weight: mp.mpf


def scaled_tail(z: mp.mpf) -> mp.mpf:
    """exp(z^2/2) times the upper tail of the normal distribution."""
    if z < 60:
        return mp.erfc(z / mp.sqrt(2)) * mp.exp(z * z / 2) / 2
    total, term, n = mp.mpf(0), 1 / z, 0  # the asymptotic series
    while abs(term) > mp.mpf(2) ** -BITS * abs(total):
        total, n = total + term, n + 1
        term = -term * (2 * n - 1) / z**2
    return total / mp.sqrt(2 * mp.pi)


def middle() -> mp.mpf:
    """The scaled tail in the middle of the first interval."""
    return scaled_tail(mp.mpf(BORDER) / 2)


def limit() -> mp.mpf:
    """Of z times the scaled tail."""
    return 1 / mp.sqrt(2 * mp.pi)


def near(t: mp.mpf) -> Target:
    """P of scaled_tail(z) = middle + t P(t), where t = z - 1."""
    if not t:
        return Target(mp.mpf(0), mp.mpf(0))
    value = scaled_tail(mp.mpf(BORDER) / 2 + t)
    return Target((value - middle()) / t, abs(t) / value)


def far(t: mp.mpf) -> Target:
    """P of z scaled_tail(z) = limit - v P(t), where t = 18 v - 1."""
    v = (t + 1) / (2 * (BORDER**2 + SHIFT))
    if not v:
        return Target(limit(), 1 / (_DIGITS_OF_REST * limit()))
    z = mp.sqrt(1 / v - SHIFT)
    value = z * scaled_tail(z)
    rest = (limit() - value) / v
    return Target(rest, max(v / value, 1 / (_DIGITS_OF_REST * rest)))


def polynomial(coefficients: Sequence, t: mp.mpf) -> mp.mpf:
    """The value of a polynomial, lowest coefficient first."""
    value = mp.mpf(0)
    for coefficient in reversed(coefficients):
        value = value * t + coefficient
    return value


def nodes(count: int) -> list[mp.mpf]:
    """Points from -1 to 1 that lie closer together at the ends."""
    return [-mp.cos(mp.pi * i / (count - 1)) for i in range(count)]


def largest_error(coefficients: Sequence, target: Callable[[mp.mpf], Target], points: int = 1001) -> float:
    """The largest weighted error on a grid."""
    return float(
        max(abs(polynomial(coefficients, t) - value) * weight for t in nodes(points) for value, weight in [target(t)])
    )


def remez(target: Callable[[mp.mpf], Target], degree: int) -> list[mp.mpf]:
    """The coefficients of the polynomial whose largest weighted error is smallest."""
    grid = [(t, wanted) for t in nodes(60 * degree) if (wanted := target(t)).weight]
    reference = [grid[round(i * (len(grid) - 1) / (degree + 1))] for i in range(degree + 2)]
    for _ in range(30):
        rows = [[*(t**k for k in range(degree + 1)), (-1) ** i / w.weight] for i, (t, w) in enumerate(reference)]
        *coefficients, level = mp.lu_solve(mp.matrix(rows), mp.matrix([w.value for _, w in reference]))
        errors = [(polynomial(coefficients, t) - w.value) * w.weight for t, w in grid]
        if max(map(abs, errors)) < abs(level) * mp.mpf("1.001"):
            break
        reference = [grid[i] for i in _alternating(errors, degree + 2)]
    return coefficients


def _alternating(errors: Sequence[mp.mpf], count: int) -> list[int]:
    """The places of the extrema of a function that swings; too many are left out at the ends, smallest first."""
    extrema = [0]
    for i, error in enumerate(errors):
        if (error > 0) != (errors[extrema[-1]] > 0):
            extrema.append(i)
        elif abs(error) > abs(errors[extrema[-1]]):
            extrema[-1] = i
    while len(extrema) > count:
        extrema.pop(0 if abs(errors[extrema[0]]) < abs(errors[extrema[-1]]) else -1)
    return extrema


def rounded(coefficients: Sequence[mp.mpf], dtype: str) -> list[float]:
    """The coefficients in `dtype`, and last what rounding took from the first of them."""
    cast = np.dtype(dtype).type
    nearest = [cast(mp.nstr(c, 40)) for c in coefficients]
    return [*nearest, cast(mp.nstr(coefficients[0] - mp.mpf(float(nearest[0])), 40))]


@click.command()
def main() -> None:
    with mp.workprec(BITS):
        click.echo(f"middle = {mp.nstr(middle(), 50)}\nlimit = {mp.nstr(limit(), 50)}")
        for dtype, degree in DEGREES.items():
            for target in (near, far):
                *words, low = rounded(remez(target, degree), dtype)
                error = largest_error([mp.mpf(float(words[0])) + float(low), *map(float, words[1:])], target)
                click.echo(f"# {dtype}, {target.__name__}: 2^{np.log2(error):.1f}")
                click.echo(f"Polynomial(({', '.join(map(str, words))}), {low})")


if __name__ == "__main__":
    main()
