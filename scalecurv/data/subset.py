"""Which samples are taken where not all are wanted."""

import numpy as np

from scalecurv.data.stored import Rows
from scalecurv.linalg.probes import generator


def chosen(available: int, wanted: int | None, seed: int) -> Rows:
    """Ascending numbers of `wanted` samples drawn without replacement, None for all where no fewer are wanted.

    Every sample has a random 64-bit key and those with the least keys are taken: whoever wants more keeps the ones
    that he had. The keys are the raw output of the generator, which is the same in every version of NumPy.
    """
    if wanted is None or wanted >= available:
        return None
    keys = generator(seed, "samples", 0).bit_generator.random_raw(available)
    return np.sort(np.argpartition(keys, wanted)[:wanted])
