"""How large the arrays of a training are, without allocating any."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastl0.kernel_api.structs import JOB, PANEL
from fastl0.kernel_api.tiles import MAX_TILE_COLUMNS, MAX_TILE_ROWS, PADDING, padded
from fastl0.model.network import count_parameters

#: Mini-batches whose uniform numbers are drawn ahead in one go.
DRAWS_AHEAD = 32

#: Floats between the scratch of two threads, so that they share no cache line.
APART = 32

#: Arrays of one float32 a parameter.
PER_PARAMETER = ("theta", "first", "second", "average")
#: Arrays of one entry a gate.
PER_GATE = {
    "log_odds": np.float32,
    "gate_first": np.float32,
    "gate_second": np.float32,
    "l0_gradient": np.float32,
    "gate_value": np.float32,
    "gate_slope": np.float32,
    "on_probability": np.float32,
    "gate_gradient": np.float32,
    "on_count": np.int64,
    "on_sum": np.float64,
}
#: Those of a gate that outlast an epoch.
LASTING = ("log_odds", "gate_first", "gate_second", "on_count", "on_sum")
#: Arrays that go with the mini-batch.
PER_BATCH = {
    "columns": np.int32,
    "read_columns": np.int32,
    "prefetch_columns": np.int32,
    "nonzero": np.uint8,
    "active": np.int32,
    "active_gate": np.float32,
    "active_bias": np.float32,
    "values": np.float32,
    "deltas": np.float32,
    "targets": np.float32,
    "losses": np.float64,
    "rows": np.int32,
    "scratch": np.float32,
    "draws": np.float32,
    "snapshot": np.float32,
}


@dataclass(frozen=True)
class BufferLayout:
    """What the buffers of a training have to hold; tells their sizes without allocating any.

    Attributes
    ----------
    widths : tuple of int
        Units of every layer, inputs first, outputs last.
    batch_size : int
    n_targets : int
        Numbers per row of encoded targets.
    n_moments : {0, 1, 2}
        Moments of the weights that the solver keeps.
    gated : tuple of bool of length ``len(widths) - 1``
        Whether the inputs and each hidden layer carry gates.
    n_threads : int
        Threads that may share a mini-batch.
    averaged : bool
        Whether an average of the weights is kept.
    snapshot : bool
        Whether there is room for a copy of weights and gates to go back to.
    """

    widths: tuple[int, ...]
    batch_size: int
    n_targets: int
    n_moments: int
    gated: tuple[bool, ...]
    n_threads: int = 1
    averaged: bool = False
    snapshot: bool = False

    @property
    def n_gates(self) -> int:
        """Gates of all sets of units."""
        return sum(w for w, g in zip(self.widths, self.gated, strict=False) if g)

    @property
    def flat(self) -> dict[str, int]:
        """Entries of the arrays that hold one number a parameter; float32."""
        size = count_parameters(self.widths) + PADDING
        is_there = (True, self.n_moments > 0, self.n_moments > 1, self.averaged)
        return {
            name: size if there else 0 for name, there in zip(PER_PARAMETER, is_there, strict=True)
        }

    @property
    def batch(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays that go with the mini-batch."""
        widths, batch_size = self.widths, self.batch_size
        return {
            "columns": (widths[0],),
            "read_columns": (widths[0],),
            "prefetch_columns": (widths[0],),
            "nonzero": (self.n_threads, widths[0]),
            "active": (sum(widths),),
            "active_gate": (sum(widths),),
            "active_bias": (sum(widths),),
            "values": (batch_size * sum(map(padded, widths)),),
            "deltas": (batch_size * sum(map(padded, widths[1:-1])),),
            "targets": (batch_size, self.n_targets),
            "losses": (batch_size,),
            "rows": (2, batch_size),
            "scratch": (self.n_threads, self.n_scratch),
            "draws": (DRAWS_AHEAD * self.n_gates,),
            "snapshot": ((count_parameters(widths) + self.n_gates) * self.snapshot,),
        }

    @property
    def small(self) -> dict[str, tuple[int, Any]]:
        """Entries and dtypes of the arrays that no deletion changes."""
        n_layers = len(self.widths) - 1
        return {
            "target_columns": (self.n_targets, np.int32),
            "step": (1, np.int64),
            "nonzero_pause": (1, np.int64),
            "n_prefetch_columns": (1, np.int64),
            "n_active": (n_layers + 1, np.int64),
            "job": (JOB, np.int64),
            "widths": (n_layers + 1, np.int64),
            "gate_start": (n_layers, np.int64),
        }

    @property
    def n_scratch(self) -> int:
        """Floats that one thread needs beside the mini-batch."""
        widths = self.widths
        # Rows of a gradient, and one row of full width, which a single row of data needs too ...
        widest = max(widths[1:])
        most = max(w * min(v, -(-PANEL // w)) for v, w in zip(widths, widths[1:], strict=False))
        sizes = [max(MAX_TILE_ROWS * widest, most) + widest]
        # ... columns of weights whose units are scattered, going forward and back.
        panels = [(v, w) for v, w, g in zip(widths, widths[1:], self.gated[1:], strict=False) if g]
        panels += zip(widths[2:], widths[1:], strict=False)
        sizes += [n_rows * min(MAX_TILE_COLUMNS, padded(width)) for n_rows, width in panels]
        return max(sizes) + APART

    @property
    def nbytes(self) -> int:
        """Bytes that all arrays occupy: weights, moments, gates, mini-batch."""
        return (
            4 * sum(self.flat.values())
            + sum(self.n_gates * np.dtype(dtype).itemsize for dtype in PER_GATE.values())
            + sum(math.prod(s) * np.dtype(PER_BATCH[n]).itemsize for n, s in self.batch.items())
            + sum(n * np.dtype(dtype).itemsize for n, dtype in self.small.values())
        )


def fit_into(
    layout: BufferLayout, budget: int, fewest_rows: int, fewest_moments: int = 1
) -> BufferLayout | None:
    """Find buffers for a network that fit into a budget.

    Gives up, in this order, threads, rows of the mini-batch down to `fewest_rows`, and the
    second moments: how many threads there are changes nothing else.

    Parameters
    ----------
    layout : BufferLayout
        What is wished for.
    budget : int
        Bytes.
    fewest_rows : int
    fewest_moments : int, default=1
        As many as `layout` has where buffers with those moments are there already.

    Returns
    -------
    BufferLayout or None
        None if nothing fits.
    """
    for n_moments in range(layout.n_moments, fewest_moments - 1, -1):
        found = replace(layout, n_moments=n_moments, batch_size=0, n_threads=1)
        a_row = replace(found, batch_size=1).nbytes - found.nbytes
        n_rows = min(layout.batch_size, (budget - found.nbytes) // a_row)
        if n_rows >= fewest_rows:
            found = replace(found, batch_size=n_rows)
            a_thread = replace(found, n_threads=2).nbytes - found.nbytes
            n_threads = 1 + (budget - found.nbytes) // a_thread
            return replace(found, n_threads=min(layout.n_threads, n_threads))
    return None
