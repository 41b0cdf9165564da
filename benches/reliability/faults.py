"""Planted faults: each one must be reported by the tool under which it runs.

    python benches/reliability/faults.py NAME

Without such a tool, or where it is blind, the process ends well; see `sanitizers.py`. Faults in
the kernels are those of the instruction set in use.
"""

import ctypes
import pathlib
import sys
import threading

import numpy as np

from fastl0 import _kernels
from fastl0._kernels import RowSource, addresses
from fastl0.kernel_api.row_order import RowOrder, draw_keys
from fastl0.model.network import count_parameters

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tests"))
import naive
import problems

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


def product():
    """A kernel that is written in C multiplies one number more than an array holds."""
    array = np.zeros(N, np.float32)
    kind = ctypes.CFUNCTYPE(ctypes.c_float, *[ctypes.c_int64] * 3)
    kind(addresses()[f"dot_{_kernels.isa}"])(array.ctypes.data, array.ctypes.data, N + 1)


def order():
    """A kernel lists N of N - 1 rows."""
    rows = np.zeros(N, np.int32)
    keys = draw_keys(np.random.default_rng(0))
    _kernels.fill_rows_(RowOrder(N, np.arange(N - 1, dtype=np.int32), keys), 0, rows)


def training():
    """A kernel moves the second moment of the last bias, which its buffer has no room for."""
    settings = naive.Settings()
    problem = problems.problem((23, 37, 5))
    buffers = problems.buffers_of(problem, settings)
    weights, *others = buffers.pointers()
    second = np.zeros(count_parameters(problem.widths) - 1, np.float32)
    weights = weights._replace(second=second.ctypes.data)
    buffers.pointers = lambda: (weights, *others)
    problems.run(buffers, problem, settings)


def race():
    """Two threads train the same network at the same time, without a team."""
    settings = naive.Settings()
    problem = problems.problem((23, 37, 5), n_rows=20_000)
    buffers = problems.buffers_of(problem, settings)
    threads = [
        threading.Thread(target=problems.run, args=(buffers, problem, settings)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def meetings():
    """Two threads train a network; a fault where the kernels are built without their meetings."""
    import fits

    with fits.always_invite(2):
        fits.fit("none", 0)


FAULTS = (outside, unaligned, product, order, training, race, meetings)

if __name__ == "__main__":
    {fault.__name__: fault for fault in FAULTS}[sys.argv[1]]()
