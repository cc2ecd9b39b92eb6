"""One function: is it fit to be checked, and what is found in each mode and order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import jax
import numpy as np

from stablenn.precision.gradients import forward, probes, reverse
from stablenn.precision.gradients.exactly import ExactDerivatives
from stablenn.precision.gradients.findings import Findings
from stablenn.precision.gradients.listing import listed
from stablenn.precision.gradients.program import NoSuchMode, Program
from stablenn.precision.gradients.report import GradReport, merged
from stablenn.precision.gradients.untraced import program_of
from stablenn.precision.gradients.witness import Witness
from stablenn.progress import Progress

NOT_CHECKED = "not checked"
# Scalar operations in an evaluation up to which the exact one takes seconds.
_AFFORDABLE = 100_000
_UNEQUAL = (-2.0, -1.5, -1.25, -1.0, -0.75, -0.5, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
# Random directions through all elements.
_DIRECTIONS = 2
# Elements along which forward mode is checked, besides the random directions.
_FORWARD_ELEMENTS = 4


class NotDeterministic(ValueError):
    """A function that gives two answers for one input has no derivative to check."""


@dataclasses.dataclass(frozen=True)
class Options:
    """How a function is checked; see `grad_report`."""

    order: int
    modes: tuple[str, ...]
    coordinates: int | str
    seed: int
    exact: bool | None
    progress: Progress

    @property
    def everything(self) -> bool:
        return self.coordinates == "all"


def inspect(fn: Callable, args: tuple, options: Options, label: str = "") -> GradReport:
    """The report of one function, and of its derivatives where the order is above 1."""
    with jax.debug_nans(False), jax.debug_infs(False), np.errstate(all="ignore"):
        return _inspect(fn, args, options, label)


def _inspect(fn: Callable, args: tuple, options: Options, label: str) -> GradReport:
    program = program_of(fn, args)
    _require_something_to_differentiate(program)
    if not program.arguments.size or not program.outputs.size:
        return GradReport((), {}, ("there are no elements to check",))
    _require_determinism(program)
    reports = [_first_order(program, options, label)]
    if options.order > 1:
        rest = dataclasses.replace(options, order=options.order - 1)
        for mode in options.modes:
            if (derivative := _derivative(program, mode, options.seed)) is not None:
                reports.append(inspect(derivative, tuple(program.inputs), rest, f"{label}{mode} of "))
    return merged(reports)


def _derivative(program: Program, mode: str, seed: int) -> Callable | None:
    """The derivative that `mode` makes, along fixed weights, as a function of the inexact arguments."""
    generator = np.random.default_rng(seed)
    side = program.outputs if mode == "rev" else program.arguments
    weights = side.from_host(_weights(side.size, generator)[0])
    try:
        program.computed(mode, np.ones(side.size))
    except NoSuchMode:
        return None
    return lambda *inputs: program.derivative(mode, list(inputs), weights)[1]


def _weights(size: int, generator: np.random.Generator) -> list[np.ndarray]:
    """1 for a single number; for more of them random signs, and weights without any symmetry, exact in every dtype."""
    if size == 1:
        return [np.ones(1)]
    return [generator.choice((-1.0, 1.0), size), generator.choice(_UNEQUAL, size)]


def _first_order(program: Program, options: Options, label: str) -> GradReport:
    generator = np.random.default_rng(options.seed)
    exact = ExactDerivatives(program, {None: _AFFORDABLE, True: np.inf, False: 0}[options.exact])
    witness = Witness(program, exact, generator)
    finite = np.isfinite(program.computed_value)
    weights = [np.where(finite, drawn, 0.0) for drawn in _weights(program.outputs.size, generator)]
    positions = probes.elements(program.arguments, program.at, options.coordinates, generator)
    lines = [probes.direction(program.arguments, program.at, generator) for _ in range(_DIRECTIONS)]
    some = positions[:: max(1, len(positions) // _FORWARD_ELEMENTS)][:_FORWARD_ELEMENTS]
    findings: list[Findings] = []
    missing: list[NoSuchMode] = []
    for mode in sorted(options.modes, key=("rev", "fwd", "lin").index):
        try:
            if mode == "rev":
                findings += reverse.gradients(witness, weights, positions, lines, options.everything, options.progress)
            else:
                signs = [np.sign(line) for line in lines]
                findings += forward.tangents(witness, mode, signs, some, options.progress)
        except NoSuchMode as error:
            missing.append(error)
    if missing and not findings:
        raise missing[0]
    derivatives, counts = listed(witness, findings, label)
    absent = (f"{NOT_CHECKED}, since there is no such derivative: {error}" for error in missing)
    return GradReport(tuple(derivatives), counts, (*absent, *_notes(program, exact), *witness.notes))


def _notes(program: Program, exact: ExactDerivatives) -> Iterator[str]:
    """How the check was done, and what of the program to bear in mind."""
    for i in np.flatnonzero(~np.isfinite(program.computed_value))[:1]:
        yield f"{program.outputs.name(int(i))} is {program.computed_value[i]}: left out of the check"
    if exact.why_not:
        yield f"float64 differences alone, no exact derivatives: {exact.why_not}"
    if "stop_gradient" in program.met:
        yield "stop_gradient in the program: the derivative of its value ignores it"
    if "while" in program.met:
        yield "a while loop in the program: its value is where the loop stops, not the limit that it goes to"
    if program.kept:
        yield f"evaluated at their own dtypes instead of float64: {', '.join(sorted(program.kept))}"


def _require_something_to_differentiate(program: Program) -> None:
    if not program.arguments.leaves:
        raise ValueError("args hold no floats or complex numbers to differentiate with respect to")
    if not program.outputs.leaves:
        raise ValueError("fn returns no floats or complex numbers to differentiate")


def _require_determinism(program: Program) -> None:
    first, second = (program.outputs.to_host(program.function(*program.inputs)) for _ in range(2))
    if not np.array_equal(first, second, equal_nan=True):
        i = int(np.flatnonzero(~((first == second) | (np.isnan(first) & np.isnan(second))))[0])
        raise NotDeterministic(
            f"fn gives two answers for one input: {program.outputs.name(i)} is {first[i]!r}, then {second[i]!r}. "
            "Pass a fixed jax.random key, switch dropout and augmentation off, keep no state outside of the "
            "arguments; on a GPU, set XLA_FLAGS=--xla_gpu_deterministic_ops=true"
        )
