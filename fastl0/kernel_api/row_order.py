"""The order in which an epoch visits the rows, as `_numba.permutation` takes it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Rounds of the network that makes a permutation. With fewer, or a cheaper scrambling, orders of a
#: few rows are not equally likely.
N_ROUNDS = 8


class RowOrder(NamedTuple):
    """Which rows an epoch visits, and in which order.

    Attributes
    ----------
    n_rows : int
        Rows to visit.
    rows : int32 array of shape (n_rows,), or empty
        Their numbers; empty for 0, 1, ..., n_rows - 1.
    keys : uint64 array of shape (N_ROUNDS,), or empty
        Numbers below 2**32 that pick the permutation; empty to visit them as they come.
    """

    n_rows: int
    rows: NDArray[np.int32]
    keys: NDArray[np.uint64]


def draw_keys(rng: np.random.Generator) -> NDArray[np.uint64]:
    """Pick one of the permutations."""
    return rng.integers(0, 2**32, size=N_ROUNDS, dtype=np.uint64)
