"""What is known of each function: the table that laws, benchmark, command line and report all read."""

from stablenn.precision.spec.kinds import Convention as Convention
from stablenn.precision.spec.kinds import Spec as Spec
from stablenn.precision.spec.kinds import load as load
from stablenn.precision.spec.losses import LOSSES
from stablenn.precision.spec.primitives import PRIMITIVES

SPECS: tuple[Spec, ...] = (*PRIMITIVES, *LOSSES)
