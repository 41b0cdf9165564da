"""Arrays that give their rows by slices only, and tell which."""

import numpy as np


class Sliceable:
    """Rows of an array, as a file that is read by slices gives them."""

    def __init__(self, values, chunks=None):
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.chunks = chunks
        self.reads = []

    def __array__(self, *_, **__):
        raise AssertionError("read as a whole")

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        assert isinstance(rows, slice), rows
        assert type(rows.start) is type(rows.stop) is int
        assert rows.step is None
        self.reads.append((rows.start, rows.stop))
        return self._values[rows].copy()

    @property
    def largest_read(self):
        """Bytes of the largest slice that was read."""
        n_rows = max(stop - start for start, stop in self.reads)
        return n_rows * self._values[:1].nbytes


class Endless:
    """Rows that are made when they are asked for: there is no array of them."""

    def __init__(self, n_rows, n_columns, dtype=np.float64):
        self.shape, self.dtype = (n_rows, n_columns), np.dtype(dtype)
        rng = np.random.default_rng(0)
        self._block = rng.normal(size=(1000, n_columns)).astype(dtype)

    @property
    def nbytes(self):
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def labels(self):
        return np.resize(self._block[:, 0] > 0, self.shape[0])

    def __array__(self, *_, **__):
        raise AssertionError("read as a whole")

    def __getitem__(self, rows):
        numbers = np.arange(rows.start, rows.stop) % len(self._block)
        return self._block[numbers]
