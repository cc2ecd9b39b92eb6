"""What is known of each function: the table that laws, benchmark, command line and report all read."""

from stablenn.precision.spec.attention import ATTENTION
from stablenn.precision.spec.cumulative import CUMULATIVE
from stablenn.precision.spec.directions import DIRECTIONS
from stablenn.precision.spec.entropies import ENTROPIES
from stablenn.precision.spec.exponentials import EXPONENTIALS
from stablenn.precision.spec.gates import GATES
from stablenn.precision.spec.gaussian import GAUSSIAN
from stablenn.precision.spec.hyperbolic import HYPERBOLIC
from stablenn.precision.spec.inverses import INVERSES
from stablenn.precision.spec.kinds import Convention as Convention
from stablenn.precision.spec.kinds import Spec as Spec
from stablenn.precision.spec.kinds import Variant as Variant
from stablenn.precision.spec.kinds import load as load
from stablenn.precision.spec.linear_units import LINEAR_UNITS
from stablenn.precision.spec.log_pairs import LOG_PAIRS
from stablenn.precision.spec.log_sums import LOG_SUMS
from stablenn.precision.spec.logarithms import LOGARITHMS
from stablenn.precision.spec.logistic import LOGISTIC
from stablenn.precision.spec.losses import LOSSES
from stablenn.precision.spec.normalisation import NORMALISATION
from stablenn.precision.spec.norms import NORMS
from stablenn.precision.spec.piecewise import PIECEWISE
from stablenn.precision.spec.zeros import ZEROS

SPECS: tuple[Spec, ...] = (
    *LOGISTIC,
    *INVERSES,
    *HYPERBOLIC,
    *GATES,
    *LINEAR_UNITS,
    *LOGARITHMS,
    *ZEROS,
    *LOG_SUMS,
    *LOG_PAIRS,
    *CUMULATIVE,
    *EXPONENTIALS,
    *GAUSSIAN,
    *ATTENTION,
    *NORMS,
    *ENTROPIES,
    *PIECEWISE,
    *DIRECTIONS,
    *NORMALISATION,
    *LOSSES,
)
