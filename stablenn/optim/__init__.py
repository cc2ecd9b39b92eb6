"""Guards for optimizers: gradient transformations in optax's idiom."""

from stablenn.optim.clipping import clip_by_global_norm as clip_by_global_norm
from stablenn.optim.clipping import global_norm as global_norm
from stablenn.optim.finiteness import SkipNonfiniteState as SkipNonfiniteState
from stablenn.optim.finiteness import skip_nonfinite as skip_nonfinite
