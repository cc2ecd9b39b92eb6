"""grad_report() and check_grads(): jax.grad against differences and against the derivative of the exact value."""

from __future__ import annotations

import contextlib
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stablenn.precision.gradients.inspection import NOT_CHECKED, Options, inspect
from stablenn.precision.gradients.program import MODES
from stablenn.precision.gradients.report import GradReport
from stablenn.precision.gradients.starting_point import first_rows, warmed_up, with_data
from stablenn.progress import Progress, progress_bar

# Seconds before a progress bar is worth its while.
_PATIENCE = 2.0


class WrongGradient(AssertionError):
    """A derivative fails; `report` says which."""

    def __init__(self, report: GradReport) -> None:
        super().__init__(str(report))
        self.report = report


def grad_report(
    fn: Callable,
    args: Sequence,
    order: int = 1,
    modes: Sequence[str] = ("fwd", "rev"),
    *,
    coordinates: int | str = 3,
    seed: int = 0,
    exact: bool | None = None,
    data: Any = None,
    datapoints: int = 3,
    terms: Mapping[str, Callable] | None = None,
    warmup: int = 0,
    optimizer: Any = None,
    progress: Progress | None = None,
) -> GradReport:
    r"""What is right and wrong with the gradients of a function.

    Each derivative that JAX computes, in the dtypes of the arguments, is compared with the derivative of the *value*:

    .. math:: \frac{|a - n|}{\max(|a|, |n|)}

    in float64 for all elements at once, exactly where the program is small enough, and by centered differences for
    some elements of every leaf, along random directions, and for each element that looks wrong. Custom rules and
    `stop_gradient` have no part in the derivative of the value, so that a wrong rule cannot agree with itself.

    The grades are those of gradient checking since long: above 1e-2 a derivative is ``wrong``, above 1e-4
    ``suspicious``, below 1e-7 ``right``. They grade the *rule*, with the rounding of the arguments' dtype taken out;
    what rounding alone has done is graded apart (``inaccurate``), and fails where it leaves exactly nothing
    (``vanished``) or no number (``invented``). At a kink any value between the derivatives on both sides is right.

    Args:
      fn: a function of arrays (pytrees of them) with arrays as output. Integer leaves, None and random keys among its
        arguments are constants; complex leaves count as two real numbers.
      args: its arguments, of any float dtype.
      order: up to which order derivatives are checked; 2 checks the derivatives of the derivatives as well.
      modes: some of "fwd" (jvp), "rev" (vjp) and "lin" (linearize). A mode that the function does not have, such as
        "fwd" for a custom_vjp, is noted, unless there is no other.
      coordinates: how many elements of each leaf are differenced one by one, or "all".
      seed: for the choice of elements, directions and weights. The same seed gives the same report.
      exact: whether to evaluate exactly: None where that takes seconds, True at any price, False never.
      data: further arguments with a leading axis of rows, which are not differentiated: an array, or a tuple of
        arrays that `fn` takes after `args`.
      datapoints: how many rows of `data` the check takes. Few are as good as many, and cross fewer kinks.
      terms: functions of the same arguments to be checked by themselves, by name, such as the data loss and the
        regularization of a total: the larger can hide the other.
      warmup: how many steps `optimizer` takes on all of `data` before the check. At initialisation, a wrong gradient
        can look right.
      optimizer: an optax optimizer; Adam with a learning rate of 1e-3 by default.
      progress: called with what is being done, how much of it is done, and of how much; by default a progress bar
        appears on a terminal when the check takes longer than a moment.

    Returns:
      A `GradReport`: ``.ok``, ``.failures``, and for each element that fails or was looked at by itself the analytic,
      numeric and exact derivative, relative error, error in ULP, verdict, and which side is wrong. ``print`` it.

    Raises:
      NotDeterministic: `fn` gives two answers for one input, such as dropout without a fixed key.
      TypeError: the function has none of the `modes`; or an argument is of the wrong type.
      ValueError: nothing to differentiate; an option out of its range.

    Accuracy:
      Float64 differences are good to about 1e-9 of the derivative, and their error is estimated and counted; exact
      derivatives are enclosed and proved. Where a primitive has no exact rule, or a program is too large, the notes of
      the report say so.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from stablenn import grad_report
      >>> report = grad_report(jax.nn.sigmoid, (20.0,), modes=("rev",))
      >>> report.ok, [(d.name, d.verdict, d.wrong_side) for d in report.failures]
      (False, [('args[0]', 'vanished', 'rounding')])
      >>> grad_report(jnp.square, (1e6,)).ok
      True

    References:
      Stanford CS231n, `Gradient checks <https://cs231n.github.io/neural-networks-3/#gradcheck>`_.

      Griewank, Walther, `Evaluating Derivatives <https://doi.org/10.1137/1.9780898717761>`_, 2008.

      Parker, *Monte Carlo arithmetic: exploiting randomness in floating-point arithmetic*, 1997 (how rounding noise
      is measured).
    """
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    order, seed, datapoints, warmup = (
        _integer(*option)
        for option in (("order", order, 1), ("seed", seed, 0), ("datapoints", datapoints, 1), ("warmup", warmup, 0))
    )
    _validate(fn, args, modes, coordinates, terms)
    args = tuple(args)
    notes = []
    if warmup:
        args, note = warmed_up(fn, args, data, warmup, optimizer)
        notes.append(note)
    few = () if data is None else first_rows(data, datapoints)
    with progress_bar(_PATIENCE) if progress is None else contextlib.nullcontext(progress) as show:
        options = Options(order, modes, coordinates, seed, exact, show)
        report = inspect(with_data(fn, few), args, options)
        found = {name: inspect(with_data(term, few), args, options) for name, term in (terms or {}).items()}
    return GradReport(report.derivatives, report.counts, (*notes, *report.notes), found)


def check_grads(
    fn: Callable,
    args: Sequence,
    order: int = 1,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: Any = None,
    rtol: Any = None,
    eps: Any = None,
    **options,
) -> None:
    """Raise an AssertionError if a gradient of a function is wrong: `grad_report` with the signature of JAX.

    Changing the import from ``jax.test_util`` is the whole migration.

    Args:
      fn: a function of arrays (pytrees of them) with arrays as output.
      args: its arguments.
      order: up to which order derivatives are checked.
      modes: some of "fwd", "rev" and "lin".
      atol: not used, with a warning that says why.
      rtol: likewise.
      eps: likewise.
      options: as `grad_report` has them.

    Returns:
      None.

    Raises:
      AssertionError: a derivative fails. Its attribute ``report`` is the `GradReport`, its text the report's.
      NotDeterministic, TypeError, ValueError: as `grad_report` does.

    Warns:
      UserWarning: one of the modes does not exist; or no derivative could be told right from wrong.

    Example:
      >>> import jax.numpy as jnp
      >>> from stablenn import check_grads
      >>> check_grads(jnp.square, (1e6,))
      >>> try:
      ...     check_grads(lambda x: jnp.sqrt(x**2), (0.0,), modes=("rev",))
      ... except AssertionError as error:
      ...     print(error.report.failures[0].verdict)
      invented
    """
    for name, value in (("atol", atol), ("rtol", rtol), ("eps", eps)):
        if value is not None:
            warnings.warn(f"{name}={value!r} is not used: {_UNUSED[name]}", UserWarning, stacklevel=2)
    report = grad_report(fn, args, order, modes, **options)
    if not report.ok:
        raise WrongGradient(report)
    unchecked = [note for note in report.notes if note.startswith(NOT_CHECKED)]
    for said in unchecked if report.told else [str(report)]:
        warnings.warn(said, UserWarning, stacklevel=2)


_UNUSED = {
    "atol": "zeros are told from rounding noise by measuring the noise",
    "rtol": "a derivative is compared with the exact one, and graded",
    "eps": "steps are chosen for each element",
}


# --- what is asked ---------------------------------------------------------------------------------------------------


def _integer(name: str, value, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def _validate(fn, args, modes, coordinates, terms) -> None:
    if not callable(fn):
        raise TypeError(f"fn must be a function, got {type(fn).__name__}")
    if not isinstance(args, (tuple, list)):
        raise TypeError(f"args must be a tuple of arguments such as (x,), got {type(args).__name__}")
    if not modes or any(mode not in MODES for mode in modes):
        raise ValueError(f"modes must be some of {', '.join(map(repr, MODES))}, got {modes!r}")
    if coordinates != "all":
        _integer("coordinates, if not 'all',", coordinates, 1)
    for name, term in (terms or {}).items():
        if not callable(term):
            raise TypeError(f"terms[{name!r}] must be a function, got {type(term).__name__}")
