"""The laws, stated once for all Specs."""

from stablenn.testing.laws.accuracy import ACCURACY as ACCURACY
from stablenn.testing.laws.accuracy import LENGTHS, SPECIALS
from stablenn.testing.laws.curvature import CURVATURE
from stablenn.testing.laws.differences import DIFFERENCES
from stablenn.testing.laws.masking import MASKING
from stablenn.testing.laws.order import BOUNDS, CONVEXITY, MONOTONICITY, NORMALISATION
from stablenn.testing.laws.relations import IDENTITIES, RELATIONS
from stablenn.testing.laws.running import Law as Law
from stablenn.testing.laws.running import LawViolation as LawViolation
from stablenn.testing.laws.transformations import TRANSFORMATIONS
from stablenn.testing.laws.types import TYPES

LAWS: tuple[Law, ...] = (
    ACCURACY,
    SPECIALS,
    LENGTHS,
    DIFFERENCES,
    CURVATURE,
    TRANSFORMATIONS,
    RELATIONS,
    IDENTITIES,
    BOUNDS,
    MONOTONICITY,
    CONVEXITY,
    NORMALISATION,
    MASKING,
    TYPES,
)
