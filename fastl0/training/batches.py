"""The mini-batches of an epoch, one after the other, of rows that lie in memory.

Rows of an X in memory stay where they are. Those of an X that is read by blocks pass through
a window, some blocks at a time. Owns that window.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastl0._kernels import RowSource
from fastl0.data.blocks import BlockReader
from fastl0.kernel_api.row_order import RowOrder, draw_keys
from fastl0.training.kernels import fill_rows_

#: Bytes of the window, unless a mini-batch and a block need more.
WINDOW_NBYTES = 2**23

#: What rows are gathered from.
Rows = RowSource | BlockReader

_NO_ROWS, _NO_KEYS = np.zeros(0, np.int32), np.zeros(0, np.uint64)


def row_source(X: Any, n_threads: int = 1, parts: NDArray[Any] | None = None) -> Rows:
    """Return what rows of X are gathered from, by so many threads at a time.

    Parameters
    ----------
    X : ndarray, CSR matrix or BlockReader
        As `checks.as_readable` returns it.
    n_threads : int, default=1
    parts : ndarray of `model.encoding.PART`, default=None
        What is read in place of columns; of blocks, whoever reads them sees to it.
    """
    return X if isinstance(X, BlockReader) else RowSource(X, n_threads, parts)


class BatchRange(NamedTuple):
    """Mini-batches that can be trained on without anything being read in between.

    Attributes
    ----------
    x, y : RowSource
    order : RowOrder
        Of rows of both.
    first : int
        Number of the first mini-batch within that order.
    n_batches : int
    """

    x: RowSource
    y: RowSource
    order: RowOrder
    first: int
    n_batches: int


class BatchSource(Protocol):
    """Goes through the rows of an epoch once."""

    @property
    def x(self) -> RowSource:
        """Where rows lie; the same all along."""

    @property
    def needs_reading(self) -> bool:
        """Whether `read_next_blocks` must be called before `next`, with no thread at work."""

    def read_next_blocks(self) -> None:
        """Overwrite the rows in memory with those that come next."""

    def next(self, n_batches: int) -> BatchRange:
        """Return the next mini-batches: one at least, and at most `n_batches`."""


class ArrayBatches:
    """Rows that are in memory.

    Parameters
    ----------
    x, y : RowSource
    order : RowOrder
    """

    needs_reading = False

    def __init__(self, x: RowSource, y: RowSource, order: RowOrder) -> None:
        self.x, self._y, self._order = x, y, order
        self._done = 0

    def read_next_blocks(self) -> None:
        """Nothing to do."""

    def next(self, n_batches: int) -> BatchRange:
        """As many as are asked for."""
        first, self._done = self._done, self._done + n_batches
        return BatchRange(self.x, self._y, self._order, first, n_batches)


class BlockBatches:
    """Rows that are read by blocks.

    Blocks are taken in random order. As many as the window has room for are mixed; what they
    leave after the last full mini-batch is mixed with the blocks that follow. If all rows find
    room at once, their order is that of `ArrayBatches`.

    Parameters
    ----------
    blocks : BlockReader
    y : RowSource
        Of the rows of the blocks.
    rows : int32 array
        Numbers of the rows to take, ascending; empty for all.
    batch_size : int
    rng : numpy Generator or None
        Draws the order; None for the order of X.
    parts : ndarray of `model.encoding.PART`, default=None
        What is read in place of columns.
    """

    def __init__(
        self,
        blocks: BlockReader,
        y: RowSource,
        rows: NDArray[np.int32],
        batch_size: int,
        rng: np.random.Generator | None,
        parts: NDArray[Any] | None = None,
    ) -> None:
        self._y, self._rows, self._batch_size, self._rng = y, rows, batch_size, rng
        self._blocks = blocks = blocks[rows] if len(rows) else blocks
        n_rows, n_columns = blocks.shape
        self._sizes = blocks.sizes()
        small = blocks.read_dtype.itemsize <= np.dtype(np.float32).itemsize
        dtype = blocks.read_dtype if small else np.dtype(np.float32)
        n_fit = WINDOW_NBYTES // (n_columns * dtype.itemsize)
        n_places = min(n_rows, max(n_fit, batch_size - 1 + int(self._sizes.max())))
        self._x_rows = np.empty((n_places, n_columns), dtype)
        self._y_rows = np.empty((n_places, y.n_columns), np.float32)
        self._y_columns = np.arange(y.n_columns, dtype=np.int32)
        self.x = RowSource(self._x_rows, parts=parts)
        self._y_window = RowSource(self._y_rows)
        self._to_read = self._block_order(n_places)
        self._order = RowOrder(0, _NO_ROWS, _NO_KEYS)
        self._done = self._n_batches = 0  # of what the window holds

    def _block_order(self, n_places: int) -> list[int]:
        """Numbers of the blocks that have rows, the last one to be read first."""
        numbers = np.flatnonzero(self._sizes)
        if self._rng is not None and n_places < self._blocks.shape[0]:
            numbers = self._rng.permutation(numbers)
        return [int(number) for number in numbers[::-1]]

    @property
    def needs_reading(self) -> bool:
        """Whether all full mini-batches of the window are over."""
        return self._done == self._n_batches

    def read_next_blocks(self) -> None:
        """Keep the rows that are left over, and read blocks while there is room."""
        n_rows = self._keep_rest()
        while self._to_read and n_rows + self._sizes[self._to_read[-1]] <= len(self._x_rows):
            n_rows = self._read_block(self._to_read.pop(), n_rows)
        keys = _NO_KEYS if self._rng is None else draw_keys(self._rng)
        self._order = RowOrder(n_rows, _NO_ROWS, keys)
        self._done, self._n_batches = 0, n_rows // self._batch_size
        if not self._to_read:
            self._n_batches = -(-n_rows // self._batch_size)

    def _keep_rest(self) -> int:
        """Move the rows that no mini-batch has had to the front; say how many there are."""
        start = self._n_batches * self._batch_size
        rest = np.empty(max(0, self._order.n_rows - start), np.int32)
        fill_rows_(self._order, start, rest)
        for rows in (self._x_rows, self._y_rows):
            rows[: len(rest)] = rows[rest]
        return len(rest)

    def _read_block(self, number: int, start: int) -> int:
        """Read a block to where `start` is; return where it ends."""
        stop = start + int(self._sizes[number])
        self._x_rows[start:stop] = self._blocks.read(number)
        places = self._blocks.places(number)
        if len(self._rows):
            rows = self._rows[places]
        else:
            rows = np.arange(places.start, places.stop, dtype=np.int32)
        self._y.gather(rows, self._y_columns, self._y_rows[start:stop])
        return stop

    def next(self, n_batches: int) -> BatchRange:
        """As many as the window has left."""
        first = self._done
        n_batches = min(n_batches, self._n_batches - first)
        self._done += n_batches
        return BatchRange(self.x, self._y_window, self._order, first, n_batches)
