"""The order in which an epoch visits the rows: a random permutation that takes no memory.

A Feistel network maps positions to row numbers one by one. Where the number of rows is not
a power of two, positions that fall outside are mapped again until they fall inside
(Black and Rogaway 2002, "Ciphers with arbitrary finite domains", cycle walking).
"""

import numpy as np

from fastl0._numba.jit import kernel
from fastl0.kernel_api.row_order import N_ROUNDS

_LOW_32 = np.uint64(0xFFFFFFFF)
# Odd multipliers of large, patternless bits (the golden ratio, and xxHash's second prime).
_FIRST, _SECOND = np.uint64(0x9E3779B1), np.uint64(0x85EBCA77)


# Of a few bits the network makes some orders likelier than others.
_FEWEST_BITS = np.uint64(8)


@kernel
def _scramble(value, key):
    mixed = ((value + key) * _FIRST) & _LOW_32
    mixed ^= mixed >> np.uint64(15)
    mixed = (mixed * _SECOND) & _LOW_32
    return mixed ^ (mixed >> np.uint64(13))


@kernel
def fill_rows_(order, start, rows_):
    """Overwrite `rows_` with the numbers of the rows at places ``start, start + 1, ...``.

    Parameters
    ----------
    order : RowOrder
    start : int
    rows_ : int32 array of shape (n,)
        With ``start + n <= order.n_rows``.
    """
    n_rows = np.uint64(order.n_rows)
    n_bits = _FEWEST_BITS
    while np.uint64(1) << n_bits < n_rows:
        n_bits += np.uint64(1)
    half = n_bits >> np.uint64(1)
    low_mask = (np.uint64(1) << half) - np.uint64(1)
    high_mask = (np.uint64(1) << (n_bits - half)) - np.uint64(1)
    for k in range(len(rows_)):
        place = np.uint64(start + k)
        while len(order.keys) > 0:
            low, high = place & low_mask, place >> half
            for r in range(0, N_ROUNDS, 2):
                high ^= _scramble(low, order.keys[r]) & high_mask
                low ^= _scramble(high, order.keys[r + 1]) & low_mask
            place = (high << half) | low
            if place < n_rows:
                break
        rows_[k] = order.rows[place] if len(order.rows) > 0 else np.int32(place)
