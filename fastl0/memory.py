"""Owner of all memory that training takes: weights, moments, gates, mini-batch.

`Buffers` allocates every array, lends views to the kernels for one call, and after an
epoch deletes the rows and columns of units that were switched off: what is kept moves to
the front (`_kernels.pack_weights_`) and the array is cut in place. May import `_kernels`,
`epoch` (the layout it fills), `products` (how far rows are padded) and nothing else of
fastl0.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0 import _kernels
from fastl0._kernels import RowSource
from fastl0.epoch import JOB, PANEL, Batch, Gates, Weights
from fastl0.products import OVERHANG, TILE_COLUMNS, TILE_ROWS, padded

#: Mini-batches whose uniform numbers are drawn ahead in one go.
DRAWS_AHEAD = 32

#: Floats between the scratch of two threads, so that they share no cache line.
APART = 32

_FLAT = ("theta", "first", "second")
_PER_GATE = {
    "log_odds": np.float32,
    "gate_first": np.float32,
    "gate_second": np.float32,
    "price": np.float32,
    "gate_value": np.float32,
    "gate_slope": np.float32,
    "on_probability": np.float32,
    "gate_gradient": np.float32,
    "on_count": np.int64,
    "on_sum": np.float64,
}
_BATCH = {
    "columns": np.int32,
    "wanted": np.int32,
    "landmarks": np.int32,
    "lit": np.uint8,
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
}


def count_parameters(widths: Sequence[int]) -> int:
    """Number of weights and biases of a dense network.

    Parameters
    ----------
    widths : sequence of int
        Units of every layer, inputs first, outputs last.
    """
    return sum((i + 1) * o for i, o in zip(widths[:-1], widths[1:], strict=True))


class Buffers:
    """Every array of a training run, at the sizes of the network as it is now.

    Parameters
    ----------
    widths : sequence of int
        Units of every layer, inputs first, outputs last.
    batch_size : int
    n_targets : int
        Numbers per row of encoded targets.
    adam : bool
        Keep second moments of the weights.
    gated : sequence of bool of length ``len(widths) - 1``
        Whether the inputs and each hidden layer carry gates.
    n_threads : int, default=1
        Threads that may share a mini-batch.

    Attributes
    ----------
    widths : list of int
        Current widths.
    whole : bool
        False while a deletion is under way (and for good if it was interrupted).
    """

    def __init__(
        self,
        widths: Sequence[int],
        batch_size: int,
        n_targets: int,
        *,
        adam: bool,
        gated: Sequence[bool],
        n_threads: int = 1,
    ) -> None:
        self.widths = [int(width) for width in widths]
        self.batch_size = batch_size
        self.n_threads = n_threads
        self.whole = True
        self._n_targets = n_targets
        self._gated = list(gated)
        size = count_parameters(self.widths) + OVERHANG
        self._flat = {name: np.zeros(size, np.float32) for name in _FLAT}
        if not adam:
            self._flat["second"] = np.zeros(0, np.float32)
        n_gates = self._count_gates()
        self._gates = {name: np.zeros(n_gates, dtype) for name, dtype in _PER_GATE.items()}
        self._batch = {
            name: np.zeros(self._batch_shape(name), dtype) for name, dtype in _BATCH.items()
        }
        self._batch["columns"][:] = np.arange(self.widths[0])
        self._small: dict[str, NDArray[Any]] = {
            "target_columns": np.arange(n_targets, dtype=np.int32),
            "step": np.zeros(1, np.int64),
            "lit_pause": np.zeros(1, np.int64),
            "n_landmarks": np.zeros(1, np.int64),
            "n_active": np.zeros(len(self.widths), np.int64),
            "job": np.zeros(JOB, np.int64),
            "widths": np.zeros(len(self.widths), np.int64),
            "gate_start": np.zeros(len(self.widths) - 1, np.int64),
        }
        self._note_shape()

    def _note_shape(self) -> None:
        self._small["widths"][:] = self.widths
        self._small["gate_start"][:] = self.gate_starts()

    # --- sizes -----------------------------------------------------------------------

    def _count_gates(self) -> int:
        return sum(w for w, g in zip(self.widths, self._gated, strict=False) if g)

    def _batch_shape(self, name: str) -> tuple[int, ...]:
        widths, batch_size = self.widths, self.batch_size
        shapes: dict[str, tuple[int, ...]] = {
            "columns": (widths[0],),
            "wanted": (widths[0],),
            "landmarks": (widths[0],),
            "lit": (self.n_threads, widths[0]),
            "active": (sum(widths),),
            "active_gate": (sum(widths),),
            "active_bias": (sum(widths),),
            "values": (batch_size * sum(map(padded, widths)),),
            "deltas": (batch_size * sum(map(padded, widths[1:-1])),),
            "targets": (batch_size, self._n_targets),
            "losses": (batch_size,),
            "rows": (2, batch_size),
            "scratch": (self.n_threads, self._scratch_size()),
            "draws": (DRAWS_AHEAD * self._count_gates(),),
        }
        return shapes[name]

    def _scratch_size(self) -> int:
        """Floats that one thread needs beside the mini-batch."""
        # Rows of a gradient, and one row spread to full width ...
        widest = max(self.widths[1:])
        most = max(
            w * min(v, -(-PANEL // w)) for v, w in zip(self.widths, self.widths[1:], strict=False)
        )
        sizes = [max(TILE_ROWS * widest, most) + widest]
        # ... columns of weights whose units are scattered, going forward and back.
        sizes += [w * TILE_COLUMNS for w, g in zip(self.widths, self._gated[1:], strict=False) if g]
        sizes += [w * TILE_COLUMNS for w in self.widths[2:]]
        return max(sizes) + APART

    @property
    def nbytes(self) -> int:
        """Bytes that all arrays occupy: weights, moments, gates, mini-batch."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, not copied; not to be held across `shrink`."""
        return {**self._flat, **self._gates, **self._batch, **self._small}

    # --- lending ---------------------------------------------------------------------

    def gate_starts(self) -> NDArray[np.int64]:
        """First gate of each set of units, -1 for a set without gates."""
        starts, start = [], 0
        for width, gated in zip(self.widths[:-1], self._gated, strict=True):
            starts.append(start if gated else -1)
            start += width if gated else 0
        return np.array(starts, dtype=np.int64)

    def lend(self) -> tuple[Weights, Gates, Batch]:
        """Lend all buffers to the kernels, by address; good until the next change of size."""
        lent = {name: array.ctypes.data for name, array in self.arrays().items()}
        lent |= {
            "n_layers": len(self.widths) - 1,
            "n_gates": self._count_gates(),
            "n_targets": self._n_targets,
            "n_scratch": self._scratch_size(),
        }
        return (
            Weights(**{name: lent[name] for name in Weights._fields}),
            Gates(**{name: lent[name] for name in Gates._fields}),
            Batch(**{name: lent[name] for name in Batch._fields}),
        )

    def begin_epoch(self, prices: NDArray[np.floating], source: RowSource) -> None:
        """Set the price of each gate and start its tallies anew; look at where X lies."""
        self._small["n_landmarks"][0] = source.landmarks(self.columns, self._batch["landmarks"])
        self._gates["price"][:] = prices
        self._gates["on_count"][:] = 0
        self._gates["on_sum"][:] = 0.0

    def draws(self, n_batches: int) -> NDArray[np.float32]:
        """Lend room for the uniform numbers of `n_batches` <= `DRAWS_AHEAD` mini-batches."""
        n_gates = self._count_gates()
        return self._batch["draws"][: n_batches * n_gates].reshape(n_batches, n_gates)

    @property
    def columns(self) -> NDArray[np.int32]:
        """The columns of X that are still read, ascending; not to be held."""
        return self._batch["columns"]

    def layer(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Views of the weights (fan_in, fan_out) and biases (fan_out) of one layer."""
        start = count_parameters(self.widths[: index + 1])
        fan_in, fan_out = self.widths[index], self.widths[index + 1]
        theta = self._flat["theta"][start : start + (fan_in + 1) * fan_out]
        return theta[: fan_in * fan_out].reshape(fan_in, fan_out), theta[fan_in * fan_out :]

    def all_finite(self) -> bool:
        """Whether every weight, bias and log-odds is a finite number."""
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sum(self._flat["theta"]) + np.sum(self._gates["log_odds"])
        return bool(np.isfinite(total))

    def usable(self) -> bool:
        """Whether an interruption left the buffers whole, with finite numbers in them."""
        return self.whole and self.all_finite()

    def squared_norm(self) -> float:
        """Sum of the squared weights of all layers, biases left out."""
        weights = (self.layer(index)[0] for index in range(len(self.widths) - 1))
        # Not BLAS: its threads go on spinning for milliseconds, where helpers should run.
        return float(sum(np.einsum("ij,ij", w, w, dtype=np.float64) for w in weights))

    def by_set(self, name: str) -> list[NDArray[Any] | None]:
        """Split a per-gate array into views, one a set of units, None where ungated."""
        array = self._gates[name]
        return [
            None if start < 0 else array[start : start + width]
            for start, width in zip(self.gate_starts(), self.widths[:-1], strict=True)
        ]

    # --- shrinking -------------------------------------------------------------------

    def shrink(self, keep: Sequence[NDArray[np.bool_]]) -> None:
        """Delete units from every buffer.

        Parameters
        ----------
        keep : sequence of bool arrays
            For the inputs and each hidden layer, which units stay; at least one each.
        """
        self.whole = False
        before = np.array(self.widths, dtype=np.int64)
        before_size = count_parameters(self.widths)
        flags = np.concatenate([*keep, np.ones(self.widths[-1], dtype=bool)]).view(np.uint8)
        gated = [k for k, g in zip(keep, self._gated, strict=True) if g]
        gate_flags = np.concatenate(gated) if gated else np.zeros(0, dtype=bool)
        for name in self._flat:
            if self._flat[name].size:
                n_kept = _kernels.pack_weights_(self._flat[name][:before_size], before, flags)
                self._flat[name][n_kept : n_kept + OVERHANG] = 0.0
                _resize_(self._flat, name, n_kept + OVERHANG)
        for name in self._gates:
            _resize_(self._gates, name, _pack_vector_(self._gates[name], gate_flags))
        n_columns = _pack_vector_(self._batch["columns"], keep[0])
        _resize_(self._batch, "columns", n_columns)
        self.widths = [*(int(k.sum()) for k in keep), self.widths[-1]]
        self._fit_batch()
        self._note_shape()
        self._small["lit_pause"][0] = 0
        self._small["n_landmarks"][0] = 0
        self.whole = True

    def make_room(self, batch_size: int, n_threads: int) -> None:
        """Make room for mini-batches of `batch_size` rows and for `n_threads` threads."""
        self.whole = False
        self.batch_size = batch_size
        self.n_threads = n_threads
        self._fit_batch()
        self.whole = True

    def _fit_batch(self) -> None:
        for name in self._batch:
            _resize_(self._batch, name, self._batch_shape(name))


def _count_references(arrays: dict[str, NDArray[Any]], name: str) -> int:
    return sys.getrefcount(arrays[name])


#: References to an array that nobody but its dict holds, as counted here.
_UNSHARED = _count_references({"array": np.zeros(1)}, "array")


def _resize_(arrays: dict[str, NDArray[Any]], name: str, shape: int | tuple[int, ...]) -> None:
    """Resize an array in place; replace it if somebody holds it or a view of it.

    A sampling profiler does, through the frames it looks at; it keeps the old memory.
    NumPy's own check of references counts one too many under a profiler or debugger.
    """
    if _count_references(arrays, name) > _UNSHARED:
        fresh = np.zeros(shape, arrays[name].dtype)
        n_kept = min(fresh.size, arrays[name].size)
        fresh.reshape(-1)[:n_kept] = arrays[name].reshape(-1)[:n_kept]
        arrays[name] = fresh
    else:
        arrays[name].resize(shape, refcheck=False)


def _pack_vector_(array: NDArray[Any], keep: NDArray[np.bool_]) -> int:
    """Move the entries where `keep` holds to the front; return how many there are."""
    kept = array[keep]
    array[: len(kept)] = kept
    return len(kept)
