"""Shapes, dtypes and weak types of results are those that JAX's functions have."""

from __future__ import annotations

import math
from collections.abc import Iterator

import jax
import numpy as np
from hypothesis import strategies as st

from stablenn.interpret.jaxprs import enable_x64
from stablenn.precision.devices import wide_if_needed
from stablenn.testing.laws.running import Law, Subject
from stablenn.testing.laws.verdict import GOOD, Verdict

_BATCHES = ((), (3,), (2, 0), (2, 3))
_PAIRS = {"any": ((3, 1), (4,)), "pairs": ((3, 4), (4,)), "equal": ((3, 4), (3, 4))}
_KINDS = tuple(_PAIRS)


def _shape_of(fn, shapes, arguments):
    """The shape of the result, None where such shapes are refused."""
    given = [jax.ShapeDtypeStruct(shape, a.dtype) for shape, a in zip(shapes, arguments, strict=True)]
    try:
        return jax.eval_shape(fn, *given).shape
    except ValueError:
        return None


def _complaints(subject: Subject) -> Iterator[str]:
    fn, arguments = subject.spec.fn, subject.domain.arguments
    elementwise = not any(argument.shape for argument in arguments)
    batches = _BATCHES if elementwise else _BATCHES[:1]
    for batch in batches:
        given = [jax.ShapeDtypeStruct((*batch, *a.shape), a.dtype) for a in arguments]
        out = jax.eval_shape(fn, *given)
        expected = jax.eval_shape(subject.spec.definition, *given).shape
        if isinstance(out, tuple):
            expected = expected[1:]  # the definition stacks what the function returns one by one
        outputs = {(leaf.shape, leaf.dtype.name, leaf.weak_type) for leaf in jax.tree.leaves(out)}
        if outputs != {(expected, subject.dtype, False)}:
            yield f"{given} gives {out}, expected shape {expected} and dtype {subject.dtype}"
    numbers = [0.5 if argument.is_float else 1 for argument in arguments]
    if elementwise and len(arguments) > 1:
        for kind, shapes in _PAIRS.items():
            shape = _shape_of(fn, [*shapes, *((),) * len(arguments[2:])], arguments)
            expected = (
                np.broadcast_shapes(*shapes) if _KINDS.index(kind) >= _KINDS.index(subject.spec.shapes) else None
            )
            if shape != expected:
                yield f"shapes {shapes} give {shape or 'no result'}, expected {expected or 'a ValueError'}"
        if subject.spec.shapes != "equal":
            row = jax.ShapeDtypeStruct((3, 1), arguments[0].dtype)
            scalar = jax.eval_shape(lambda x: fn(x, *numbers[1:]), row)
            if scalar.dtype != subject.dtype or scalar.weak_type:
                yield f"{subject.dtype} beside a Python number gives {scalar}"
    if elementwise:
        weak = jax.eval_shape(lambda: fn(*numbers))
        if not weak.weak_type:
            yield f"Python numbers give {weak}, expected a weak type"
        with enable_x64(True):
            out = jax.eval_shape(fn, *(jax.ShapeDtypeStruct((), a.dtype) for a in arguments))
        if out.dtype != subject.dtype:
            yield f"with x64 the dtype {subject.dtype} becomes {out.dtype}"


def _check(subject: Subject, _) -> Verdict:
    try:
        with wide_if_needed(subject.dtype):
            complaint = next(_complaints(subject), None)
    except Exception as error:  # whatever it raises, a function of JAX would have taken these arguments
        complaint = f"raises {type(error).__name__}: {error}"
    return GOOD if complaint is None else Verdict(math.inf, 0.0, note=complaint)


TYPES = Law(
    name="types",
    statement="shape, dtype and weak type follow from those of the arguments",
    aspects=lambda spec: ("types",),
    examples=lambda subject: st.none(),
    check=_check,
    count=1,
)
