"""Planted faults: each one must be reported by the tool under which it runs.

    python benches/reliability/faults.py NAME

Without such a tool, or where it is blind, the process ends well; see `sanitizers.py`.
"""

import ctypes
import sys

import numpy as np

from fastl0._kernels import RowSource, addresses

N = 1000


def read_row(rows):
    """Gather one row as kernels do: by addresses, which nobody checks."""
    columns, out = np.arange(N, dtype=np.int32), np.zeros(N, np.float32)
    source = RowSource(np.zeros((1, N), np.float32))
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 10)
    kind(addresses()["read_rows"])(
        *(source.address, 0, rows.ctypes.data, 1, columns.ctypes.data, N, 0),
        *(out.ctypes.data, N, 0),
    )


def outside():
    """The core reads one row behind the last one of X."""
    read_row(np.ones(1, np.int32))


def unaligned():
    """The core reads a 32-bit row number at an odd address: undefined in C."""
    read_row(np.zeros(5, np.uint8)[1:].view(np.int32))


def compiled():
    """A compiled kernel adds up one number more than an array holds."""
    from fastl0._numba.jit import floats, kernel

    @kernel
    def add_up(address, n):
        total = 0.0
        for number in floats(address, n):
            total += number
        return total

    array = np.zeros(N, np.float32)
    add_up(array.ctypes.data, N + 1)


if __name__ == "__main__":
    {fault.__name__: fault for fault in (outside, unaligned, compiled)}[sys.argv[1]]()
