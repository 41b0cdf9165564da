"""Chooses the parts that inputs are made of, by some of the training rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0._kernels import RowSource
from fastl0.data.blocks import BlockReader
from fastl0.model.encoding import Encoding, place_parts

#: Rows that are looked at: as many as fit into so many bytes, but within bounds.
_NBYTES, _FEWEST_ROWS, _MOST_ROWS = 2**23, 1_000, 20_000


def place_encoding(
    X: Any, weights: NDArray[np.float64] | None, rows: NDArray[np.int32]
) -> Encoding:
    """Say what parts inputs are made of.

    Parameters
    ----------
    X : ndarray, CSR matrix or BlockReader of shape (n_rows, n_features)
    weights : float64 array of shape (n_rows,), or None
        Of the rows, those of validation included.
    rows : int32 array
        Numbers of the rows to learn from, ascending for blocks; empty for all.
    """
    n_features = X.shape[1]
    numbers = rows if len(rows) else np.arange(X.shape[0], dtype=np.int32)
    if weights is not None:
        numbers = numbers[weights[numbers] > 0.0]
    most = min(_MOST_ROWS, max(_FEWEST_ROWS, _NBYTES // (4 * n_features)))
    if len(numbers) > most:  # evenly spread
        numbers = numbers[np.arange(most) * len(numbers) // most]
    values = _gather(X, numbers)
    return Encoding(place_parts(values, None if weights is None else weights[numbers]), n_features)


def _gather(X: Any, numbers: NDArray[np.int32]) -> NDArray[np.float32]:
    values = np.empty((len(numbers), X.shape[1]), np.float32)
    columns = np.arange(X.shape[1], dtype=np.int32)
    if isinstance(X, BlockReader):
        for places, block in X[np.sort(numbers)]:
            some = np.arange(len(block), dtype=np.int32)
            RowSource(block).gather(some, columns, values[places])
    else:
        RowSource(X).gather(numbers, columns, values)
    return values
