"""stablenn: numerically stable neural-network primitives for JAX, and the means to find out whether yours are.

The kit (`stablenn.nn`, `stablenn.losses`, `stablenn.optim`) needs jax, optax and numpy. The laboratory (`exact`,
`measure`, `stablenn.testing`, the command line) needs ``pip install "stablenn[lab]"``. Everything is loaded on first
use: ``import stablenn`` itself loads nothing, not even jax.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from stablenn import losses as losses
    from stablenn import nn as nn
    from stablenn import optim as optim
    from stablenn import testing as testing
    from stablenn.floats import ulp as ulp
    from stablenn.floats import ulp_error as ulp_error
    from stablenn.interpret.balls.evaluation import exact as exact
    from stablenn.precision.accuracy import measure as measure
    from stablenn.precision.domain import Domain as Domain
    from stablenn.precision.gradients.checking import check_grads as check_grads
    from stablenn.precision.gradients.checking import grad_report as grad_report
    from stablenn.precision.gradients.report import GradReport as GradReport
    from stablenn.precision.record import Accuracy as Accuracy
    from stablenn.precision.spec import SPECS as SPECS
    from stablenn.precision.spec import Spec as Spec
    from stablenn.trial import patched as patched

_HOMES = {
    "nn": "stablenn.nn",
    "losses": "stablenn.losses",
    "optim": "stablenn.optim",
    "testing": "stablenn.testing",
    "ulp": "stablenn.floats",
    "ulp_error": "stablenn.floats",
    "exact": "stablenn.interpret.balls.evaluation",
    "Accuracy": "stablenn.precision.record",
    "measure": "stablenn.precision.accuracy",
    "Domain": "stablenn.precision.domain",
    "check_grads": "stablenn.precision.gradients.checking",
    "grad_report": "stablenn.precision.gradients.checking",
    "GradReport": "stablenn.precision.gradients.report",
    "SPECS": "stablenn.precision.spec",
    "Spec": "stablenn.precision.spec",
    "patched": "stablenn.trial",
}
_LAB = ("flint", "hypothesis", "pytest", "click", "rich", "matplotlib")

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stablenn' has no attribute {name!r}")
    try:
        module = importlib.import_module(_HOMES[name])
    except ModuleNotFoundError as error:
        if error.name not in _LAB:
            raise
        raise ModuleNotFoundError(
            f'stablenn.{name} needs {error.name}: install it with  pip install "stablenn[lab]"', name=error.name
        ) from error
    return module if _HOMES[name] == f"stablenn.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
