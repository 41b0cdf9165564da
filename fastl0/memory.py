"""Owner of all memory that training takes: weights, moments, gates, mini-batch.

`Buffers` allocates every array, lends views to the kernels for one call, and after an
epoch deletes the rows and columns of units that were switched off: what is kept moves to
the front (`_kernels.pack_weights_`) and the array is cut in place. May import
`_kernels`, `epoch` (the layout it fills) and nothing else of fastl0.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0 import _kernels
from fastl0.epoch import Batch, Gates, Weights

#: Mini-batches whose uniform numbers are drawn ahead in one go.
DRAWS_AHEAD = 32

_FLAT = ("theta", "first", "second", "work")
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
_SCRATCH = {
    "columns": np.int32,
    "wanted": np.int32,
    "lit": np.uint8,
    "active": np.int32,
    "active_gate": np.float32,
    "bias": np.float32,
    "row": np.float32,
    "values": np.float32,
    "upstream": np.float32,
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
    ) -> None:
        self.widths = [int(width) for width in widths]
        self.batch_size = batch_size
        self.whole = True
        self._gated = list(gated)
        size = count_parameters(self.widths)
        self._flat = {name: np.zeros(size, np.float32) for name in _FLAT}
        if not adam:
            self._flat["second"] = np.zeros(0, np.float32)
        n_gates = self._count_gates()
        self._gates = {name: np.zeros(n_gates, dtype) for name, dtype in _PER_GATE.items()}
        self._scratch = {
            name: np.zeros(self._scratch_size(name), dtype) for name, dtype in _SCRATCH.items()
        }
        self._scratch["columns"][:] = np.arange(self.widths[0])
        self._small: dict[str, NDArray[Any]] = {
            "targets": np.zeros((batch_size, n_targets), np.float32),
            "step": np.zeros(1, np.int64),
            "lit_pause": np.zeros(1, np.int64),
        }

    # --- sizes -----------------------------------------------------------------------

    def _count_gates(self) -> int:
        return sum(w for w, g in zip(self.widths, self._gated, strict=False) if g)

    def _scratch_size(self, name: str) -> int:
        widths = self.widths
        hidden = max(widths[1:-1], default=0)
        return {
            "columns": widths[0],
            "wanted": widths[0],
            "lit": widths[0],
            "active": sum(widths),
            "active_gate": sum(widths),
            "bias": max(widths[1:]),
            "row": max(widths[1:]),
            "values": self.batch_size * sum(widths),
            "upstream": self.batch_size * hidden,
            "draws": DRAWS_AHEAD * self._count_gates(),
        }[name]

    @property
    def nbytes(self) -> int:
        """Bytes that all arrays occupy: weights, moments, gradients, gates, mini-batch."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, not copied; not to be held across `shrink`."""
        return {**self._flat, **self._gates, **self._scratch, **self._small}

    # --- lending ---------------------------------------------------------------------

    def gate_starts(self) -> NDArray[np.int64]:
        """First gate of each set of units, -1 for a set without gates."""
        starts, start = [], 0
        for width, gated in zip(self.widths[:-1], self._gated, strict=True):
            starts.append(start if gated else -1)
            start += width if gated else 0
        return np.array(starts, dtype=np.int64)

    def weights(self) -> Weights:
        """Lend the flat weight buffers."""
        return Weights(
            **self._flat, widths=np.array(self.widths, dtype=np.int64), step=self._small["step"]
        )

    def gates(self) -> Gates:
        """Lend the gate buffers."""
        g = self._gates
        return Gates(
            log_odds=g["log_odds"],
            first=g["gate_first"],
            second=g["gate_second"],
            price=g["price"],
            value=g["gate_value"],
            slope=g["gate_slope"],
            on_probability=g["on_probability"],
            gradient=g["gate_gradient"],
            on_count=g["on_count"],
            on_sum=g["on_sum"],
            start=self.gate_starts(),
        )

    def batch(self) -> Batch:
        """Lend the mini-batch and its activations."""
        lent = {name: array for name, array in self._scratch.items() if name != "draws"}
        small = self._small
        return Batch(**lent, lit_pause=small["lit_pause"], targets=small["targets"])

    def draws(self, n_batches: int) -> NDArray[np.float32]:
        """Lend room for the uniform numbers of `n_batches` <= `DRAWS_AHEAD` mini-batches."""
        n_gates = self._count_gates()
        return self._scratch["draws"][: n_batches * n_gates].reshape(n_batches, n_gates)

    @property
    def columns(self) -> NDArray[np.int32]:
        """The columns of X that are still read, ascending; not to be held."""
        return self._scratch["columns"]

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
        return float(sum(np.vdot(w, w) for w in weights))

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
        flags = np.concatenate([*keep, np.ones(self.widths[-1], dtype=bool)]).view(np.uint8)
        gated = [k for k, g in zip(keep, self._gated, strict=True) if g]
        gate_flags = np.concatenate(gated) if gated else np.zeros(0, dtype=bool)
        for name in self._flat:
            if self._flat[name].size:
                n_kept = _kernels.pack_weights_(self._flat[name], before, flags)
                _resize_(self._flat, name, n_kept)
        for name in self._gates:
            _resize_(self._gates, name, _pack_vector_(self._gates[name], gate_flags))
        n_columns = _pack_vector_(self._scratch["columns"], keep[0])
        _resize_(self._scratch, "columns", n_columns)
        self.widths = [*(int(k.sum()) for k in keep), self.widths[-1]]
        self._fit_scratch()
        self._small["lit_pause"][0] = 0
        self.whole = True

    def set_batch_size(self, batch_size: int) -> None:
        """Give the mini-batch and its activations room for `batch_size` rows."""
        self.whole = False
        self.batch_size = batch_size
        shape = (batch_size, self._small["targets"].shape[1])
        _resize_(self._small, "targets", shape)
        self._fit_scratch()
        self.whole = True

    def _fit_scratch(self) -> None:
        for name in self._scratch:
            _resize_(self._scratch, name, self._scratch_size(name))


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
