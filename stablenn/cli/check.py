"""`stablenn check`: measure a function of the user's own."""

from __future__ import annotations

import math

import click

from stablenn.cli.arguments import device_named, function_at
from stablenn.progress import console, progress_bar


@click.command(short_help="Measure a function of your own.")
@click.argument("function", metavar="MODULE:FUNCTION")
@click.option("--domain", "domain_text", required=True, metavar="TEXT", help="'x: float32[8] in [-100, 100]; …'")
@click.option("--definition", metavar="MODULE:FUNCTION", help="The textbook formula; without it only rounding counts.")
@click.option("--device", metavar="NAME", help="Where to evaluate, such as cpu or gpu:1; JAX's default device.")
@click.option("--samples", default=1000, show_default=True, type=click.IntRange(min=0), help="Random rows.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Of the random rows.")
@click.option("--max-ulp", type=float, help="Exit with code 1 beyond this error.")
def check(function, domain_text, definition, device, samples, seed, max_ulp) -> int:
    """Measure a function, in value and gradient, against its exact meaning or its textbook definition.

    The current directory can be imported from. Exit code 1 if an output is NaN where a number is right (or the
    reverse), if every digit is wrong somewhere, or if an error exceeds --max-ulp.
    """
    from stablenn.precision.domain import Domain, DomainError

    try:
        domain = Domain.parse(domain_text)
    except DomainError as error:
        raise click.ClickException(f"--domain: {error}") from None
    fn = function_at(function, "MODULE:FUNCTION")
    formula = None if definition is None else function_at(definition, "--definition")
    where = device_named(device)
    with progress_bar() as progress:
        results = _measure(function, fn, formula, domain, where, samples, seed, progress)
    _print(results, definition is not None)
    return 1 if any(_finding(accuracy, max_ulp) for accuracy in results) else 0


def _measure(path, fn, formula, domain, device, samples, seed, progress):
    import jax

    from stablenn.interpret.balls.elements import Undecided
    from stablenn.interpret.balls.meaning import UnsupportedPrimitive
    from stablenn.precision.accuracy import measure
    from stablenn.precision.domain import DomainError
    from stablenn.precision.record import QUANTITIES

    dtype = _output_dtype(path, fn, domain)
    if formula is not None:
        _output_dtype("--definition", formula, domain)
    quantities = QUANTITIES if domain.float_arguments else QUANTITIES[:1]
    results = []
    for done, quantity in enumerate(quantities):
        try:
            results.append(
                measure(
                    fn,
                    formula,
                    domain,
                    dtype,
                    device,
                    quantity=quantity,
                    samples=samples,
                    seed=seed,
                    progress=lambda part, rows, done=done, what=quantity: progress(
                        what, done + part / rows, len(quantities)
                    ),
                )
            )
        except (UnsupportedPrimitive, Undecided, DomainError, ValueError, TypeError) as error:
            if isinstance(error, jax.errors.JAXTypeError):
                error = str(error).splitlines()[0]
            raise click.ClickException(f"{path}: {error}") from None
    return results


def _output_dtype(path, fn, domain) -> str:
    """The dtype of what `fn` returns; an error in one line where it cannot be traced."""
    import jax

    from stablenn import floats
    from stablenn.interpret.jaxprs import enable_x64

    wide = any(argument.dtype in ("float64", "int64", "uint64") for argument in domain.arguments)
    arguments = domain.with_dtype("float32").arguments
    with enable_x64(wide or bool(jax.config.read("jax_enable_x64"))):
        row = [
            jax.ShapeDtypeStruct(a.shape, floats.format_of(a.dtype).dtype if a.is_float else a.dtype)
            for a in arguments
        ]
        try:
            leaves = jax.tree.leaves(jax.eval_shape(fn, *row))
        except Exception as error:  # whatever the user's function raises while it is traced
            first = str(error).strip().splitlines()[0] if str(error).strip() else ""
            raise click.ClickException(
                f"{path} cannot be traced on '{domain}': {type(error).__name__}: {first}"
            ) from None
    kinds = {leaf.dtype.name for leaf in leaves}
    if len(kinds) != 1 or not floats.is_float(leaves[0].dtype):
        raise click.ClickException(
            f"{path} returns {', '.join(sorted(kinds)) or 'nothing'}; it must return floats of one dtype"
        )
    return leaves[0].dtype.name


def _finding(accuracy, max_ulp: float | None) -> bool:
    from stablenn import floats

    lost = 2.0 ** (floats.format_of(accuracy.dtype).precision - 1)
    return accuracy.wrong_specials > 0 or accuracy.max_ulp > min(lost, math.inf if max_ulp is None else max_ulp)


def _print(results, against_definition: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from stablenn.precision.report import spell_input, spell_ulp

    out = console()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "max ulp", "p99", "mean", "wrong nan", "flushed", "worst input", "computed", "right"):
        table.add_column(name, no_wrap=True)
    for accuracy in results:
        case = accuracy.worst[0] if accuracy.worst else None
        cells = (
            f"{accuracy.quantity} {accuracy.dtype}",
            spell_ulp(accuracy),
            f"{accuracy.p99_ulp:.3g}",
            f"{accuracy.mean_ulp:.3g}",
            str(accuracy.wrong_specials),
            str(accuracy.flushed),
            spell_input(case),
            "" if case is None else f"{case.actual:.6g}",
            "" if case is None else f"{case.expected:.6g}",
        )
        table.add_row(*map(Text, cells))  # as text: brackets are no markup
    out.print(table, highlight=False)
    meaning = "the definition" if against_definition else "its own exact value (approximations count as meant)"
    worst = max(accuracy.max_ulp for accuracy in results)
    wrong = sum(accuracy.wrong_specials for accuracy in results)
    out.print(
        f"Against {meaning}: at most {worst:.3g} ULP off, {wrong} wrong NaN.",
        style="bold",
        highlight=False,
    )
