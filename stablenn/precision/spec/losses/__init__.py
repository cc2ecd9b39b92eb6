"""The Specs of `stablenn.losses`."""

from stablenn.precision.spec.kinds import Spec
from stablenn.precision.spec.losses.contrastive import CONTRASTIVE
from stablenn.precision.spec.losses.cross_entropies import CROSS_ENTROPIES
from stablenn.precision.spec.losses.divergences import DIVERGENCES
from stablenn.precision.spec.losses.likelihoods import LIKELIHOODS
from stablenn.precision.spec.losses.margins import MARGINS
from stablenn.precision.spec.losses.regression import REGRESSION
from stablenn.precision.spec.losses.segmentation import SEGMENTATION
from stablenn.precision.spec.losses.sequences import SEQUENCES

LOSSES: tuple[Spec, ...] = (
    *CROSS_ENTROPIES,
    *DIVERGENCES,
    *LIKELIHOODS,
    *MARGINS,
    *REGRESSION,
    *CONTRASTIVE,
    *SEGMENTATION,
    *SEQUENCES,
)
