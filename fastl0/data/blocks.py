"""X that is not in memory: dask and zarr arrays, HDF5 data sets and the like, read by blocks.

Owns which objects are read so, where blocks begin and end, and that each is checked whenever
it is read. A process that predicts needs it, so it does not load the C core.
"""

import copy
from collections.abc import Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fastl0.data import checks

#: Bytes of small chunks, next to each other, that are read at once; those of a block at most.
AT_ONCE, MOST = 2**20, 2**22


def is_blockwise(X: Any) -> bool:
    """Whether X is no array, sparse matrix or data frame, but gives rows when it is sliced.

    Nothing is read.
    """
    if isinstance(X, BlockReader):
        return True
    if isinstance(X, np.ndarray | np.generic) or issparse(X) or hasattr(X, "iloc"):
        return False
    if not (hasattr(X, "__getitem__") and isinstance(getattr(X, "shape", None), tuple)):
        return False
    dtype = getattr(X, "dtype", None)
    try:
        return dtype is not None and np.dtype(dtype) is not None
    except TypeError:  # an array of another kind, with types of its own
        return False


def load_if_blockwise(y: Any) -> Any:
    """Return y as an array if it is read by blocks, or else as it is."""
    return np.asarray(y[:]) if is_blockwise(y) else y


def sort_if_blockwise(X: Any, rows: NDArray[Any]) -> NDArray[Any]:
    """Return numbers of rows of X, ascending where it is read by blocks."""
    return np.sort(rows) if isinstance(X, BlockReader) else rows


class BlockReader:
    """Rows that are read a block at a time.

    A block is one chunk of X, several neighbouring ones where they are small, or a part of
    one that is large.

    Parameters
    ----------
    X : object with `shape`, `dtype` and slices of rows
        Its `chunks`, if it has such, are as dask, zarr or h5py have them.
    allow_nan : bool, default=False
        Whether values may be missing.

    Attributes
    ----------
    shape : tuple of two ints
    dtype : dtype
        That X says it has.
    read_dtype : dtype
        That blocks have: the same, or a wider one that `_kernels.RowSource` can read.

    Raises
    ------
    ValueError
        If X has not two dimensions, holds no numbers, is empty or of unknown size.
    """

    def __init__(self, X: Any, *, allow_nan: bool = False) -> None:
        checks.check_shape(X.shape)
        self._X, self._allow_nan = X, allow_nan
        self.shape: tuple[int, int] = (int(X.shape[0]), int(X.shape[1]))
        self.dtype = np.dtype(X.dtype)
        self.read_dtype = checks.as_readable(np.empty((0, 1), self.dtype)).dtype
        row_nbytes = self.shape[1] * self.dtype.itemsize
        self._edges = _edges(_chunk_ends(X), self.shape[0], row_nbytes)
        self._rows: NDArray[np.integer[Any]] | None = None  # all of them
        self._starts = self._edges

    def sizes(self) -> NDArray[np.int64]:
        """Numbers of rows that are in each block."""
        return np.diff(self._starts)

    def places(self, number: int) -> slice:
        """Places of the rows of a block among all rows."""
        return slice(int(self._starts[number]), int(self._starts[number + 1]))

    def __getitem__(self, rows: NDArray[np.integer[Any]]) -> "BlockReader":
        """Blocks of some rows only, whose numbers ascend. Nothing is read."""
        some = copy.copy(self)
        some._rows = rows if self._rows is None else self._rows[rows]
        some._starts = np.searchsorted(some._rows, self._edges).astype(np.int64)
        some.shape = (len(rows), self.shape[1])
        return some

    def read(self, number: int) -> NDArray[Any]:
        """Read and check a block.

        Returns
        -------
        ndarray of shape (n_rows, n_features)
            Readable by `_kernels.RowSource`.

        Raises
        ------
        ValueError
            If it does not hold as many rows of finite numbers within the range of float32.
        """
        start, stop = (int(edge) for edge in self._edges[number : number + 2])
        shape = (stop - start, self.shape[1])
        values = checks.check_block(
            self._X[start:stop], start, shape, self.dtype, allow_nan=self._allow_nan
        )
        return values if self._rows is None else values[self._rows[self.places(number)] - start]

    def __iter__(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Blocks that have rows, in their order: the places of the rows, and the rows."""
        for number in map(int, np.flatnonzero(self.sizes())):
            yield self.places(number), self.read(number)

    def check(self) -> None:
        """Read all rows once; raise as `read` does."""
        for _ in self:
            pass

    def whole(self) -> NDArray[Any]:
        """Read all rows into one array; only for few."""
        out = np.empty(self.shape, self.read_dtype)
        for places, values in self:
            out[places] = values
        return out


def _chunk_ends(X: Any) -> Sequence[int]:
    """Where the chunks of X end, counted in rows; nothing where it has none that make sense."""
    n_rows, chunks = int(X.shape[0]), getattr(X, "chunks", None)
    if not isinstance(chunks, tuple) or not chunks:
        return ()
    if not isinstance(chunks[0], tuple):
        size = chunks[0]
        is_size = isinstance(size, Integral) and int(size) > 0
        return [*range(int(size), n_rows, int(size)), n_rows] if is_size else ()
    if not all(isinstance(size, Integral) and int(size) >= 0 for size in chunks[0]):
        return ()
    ends = [int(end) for end in np.cumsum(chunks[0])]
    return ends if ends and ends[-1] == n_rows else ()


def _edges(ends: Sequence[int], n_rows: int, row_nbytes: int) -> NDArray[np.int64]:
    """Where blocks begin, and the end of the last."""
    few, most = max(1, AT_ONCE // row_nbytes), max(1, MOST // row_nbytes)
    if not ends:
        return np.array([*range(0, n_rows, few), n_rows], dtype=np.int64)
    edges = [0]
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        if following is not None and following - edges[-1] <= few:
            continue  # there is room for the next one as well
        start = edges[-1]
        n_parts = -(-(end - start) // most)
        edges += [start + (end - start) * part // n_parts for part in range(1, n_parts + 1)]
    return np.array(edges, dtype=np.int64)
