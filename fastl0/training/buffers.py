"""All memory that training takes: weights, moments, gates, mini-batch.

`Buffers` allocates every array, gives the kernels addresses for one call, and between epochs
deletes the rows and columns of units that were switched off: what is kept moves to the front
(`_kernels.pack_weights_`) and the array is cut in place.
"""

import math
import operator
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0._kernels import RowSource, pack_weights_
from fastl0.checkpoint.state_reader import MAX_COUNT, StateError, StateReader
from fastl0.kernel_api.structs import BatchPointers, GatePointers, ParamPointers
from fastl0.kernel_api.tiles import PADDING
from fastl0.model.hard_concrete import LOG_ODDS_LIMIT
from fastl0.model.network import count_parameters
from fastl0.training.buffer_layout import LASTING, PER_BATCH, PER_GATE, BufferLayout

#: Parameters looked at in one go: a temporary array holds as many.
_AT_ONCE = 2**12

_LARGEST = float(np.finfo(np.float32).max)
_WIDEST = float(np.float32(LOG_ODDS_LIMIT))
#: What a state may hold.
_BOUNDS = {
    "theta": (-_LARGEST, _LARGEST),
    "first": (-math.inf, math.inf),
    "second": (0.0, math.inf),
    "average": (-_LARGEST, _LARGEST),
    "log_odds": (-_WIDEST, _WIDEST),
    "gate_first": (-math.inf, math.inf),
    "gate_second": (0.0, math.inf),
    "on_count": (0, MAX_COUNT),
    "on_sum": (0.0, MAX_COUNT),
}


class Buffers:
    """Every array of a training run, at the sizes of the network as it is now.

    Parameters
    ----------
    layout : BufferLayout

    Attributes
    ----------
    layout : BufferLayout
        As it is now.
    is_consistent : bool
        False while a change of size is under way (and for good if it was interrupted).
    """

    def __init__(self, layout: BufferLayout) -> None:
        self.layout = layout
        self.is_consistent = True
        self._flat = {name: np.zeros(size, np.float32) for name, size in layout.flat.items()}
        self._gates = {name: np.zeros(layout.n_gates, dtype) for name, dtype in PER_GATE.items()}
        self._batch = {
            name: np.zeros(shape, PER_BATCH[name]) for name, shape in layout.batch.items()
        }
        self._batch["columns"][:] = np.arange(layout.widths[0])
        self._small = {name: np.zeros(n, dtype) for name, (n, dtype) in layout.small.items()}
        self._small["target_columns"][:] = np.arange(layout.n_targets)
        self._note_shape()

    def _note_shape(self) -> None:
        self._small["widths"][:] = self.widths
        self._small["gate_start"][:] = self.gate_starts()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up what was pickled; arrays that cannot be resized or written to are copied.

        Those are views of the pickle, or mapped from a file.
        """
        vars(self).update(state)
        for arrays in (self._flat, self._gates, self._batch, self._small):
            for name, array in arrays.items():
                own = array.flags.owndata and array.flags.writeable and array.flags.aligned
                if type(array) is not np.ndarray or not own:
                    arrays[name] = np.array(array)
        if self.is_consistent:
            self._adopt(self.layout)  # another version may have laid out other sizes

    # --- sizes -----------------------------------------------------------------------

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of every layer as they are now."""
        return self.layout.widths

    @property
    def batch_size(self) -> int:
        """Rows of a mini-batch."""
        return self.layout.batch_size

    @property
    def n_threads(self) -> int:
        """Threads that may share a mini-batch."""
        return self.layout.n_threads

    @property
    def nbytes(self) -> int:
        """Bytes that all arrays occupy: weights, moments, gates, mini-batch."""
        return sum(array.nbytes for array in self.arrays().values())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name, not copied; not to be held across a change of size."""
        return {**self._flat, **self._gates, **self._batch, **self._small}

    # --- for the kernels ------------------------------------------------------------------

    def gate_starts(self) -> NDArray[np.int64]:
        """First gate of each set of units, -1 for a set without gates."""
        starts, start = [], 0
        for width, gated in zip(self.widths[:-1], self.layout.gated, strict=True):
            starts.append(start if gated else -1)
            start += width if gated else 0
        return np.array(starts, dtype=np.int64)

    def pointers(self) -> tuple[ParamPointers, GatePointers, BatchPointers]:
        """Return the addresses of all buffers; good until the next change of size."""
        found = {name: array.ctypes.data for name, array in self.arrays().items()}
        found |= {
            "n_layers": len(self.widths) - 1,
            "n_gates": self.layout.n_gates,
            "n_targets": self.layout.n_targets,
            "n_scratch": self.layout.n_scratch,
        }
        return (
            ParamPointers(**{name: found[name] for name in ParamPointers._fields}),
            GatePointers(**{name: found[name] for name in GatePointers._fields}),
            BatchPointers(**{name: found[name] for name in BatchPointers._fields}),
        )

    def begin_epoch(self, source: RowSource) -> None:
        """Look at where X lies."""
        self._small["n_prefetch_columns"][0] = source.landmarks(
            self.columns, self._batch["prefetch_columns"]
        )

    def reset_gate_counts(self) -> None:
        """Start to count anew how often each gate is open."""
        self._gates["on_count"][:] = 0
        self._gates["on_sum"][:] = 0.0

    def set_l0_gradient(self, prices: NDArray[np.floating]) -> None:
        """Set the price of each gate."""
        self._gates["l0_gradient"][:] = prices

    def draws(self, n_batches: int) -> NDArray[np.float32]:
        """Return room for the uniform numbers of `n_batches` <= `DRAWS_AHEAD` mini-batches."""
        n_gates = self.layout.n_gates
        return self._batch["draws"][: n_batches * n_gates].reshape(n_batches, n_gates)

    @property
    def columns(self) -> NDArray[np.int32]:
        """The columns of X that are still read, ascending; not to be held."""
        return self._batch["columns"]

    def layer(
        self, index: int, name: str = "theta"
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Views of the weights (fan_in, fan_out) and biases (fan_out) of one layer.

        `name` is "theta", "average" for their average, or that of their moments.
        """
        start = count_parameters(self.widths[: index + 1])
        fan_in, fan_out = self.widths[index], self.widths[index + 1]
        theta = self._flat[name][start : start + (fan_in + 1) * fan_out]
        return theta[: fan_in * fan_out].reshape(fan_in, fan_out), theta[fan_in * fan_out :]

    def best_layers(self) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Views of the weights and biases of all layers: their averages, where they are kept."""
        name = "average" if self._flat["average"].size else "theta"
        return [self.layer(index, name) for index in range(len(self.widths) - 1)]

    def all_finite(self) -> bool:
        """Whether every weight, bias, log-odds and second moment is a finite number.

        A parameter whose second moment has overflowed looks sound, but never moves again.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.sum(self._flat["theta"]) + np.sum(self._gates["log_odds"])
            # Not summed up: the sum of sound ones may overflow.
            for seconds in (self._flat["second"], self._gates["gate_second"]):
                total += np.float32(0.0) * np.max(seconds, initial=0.0)
        return bool(np.isfinite(total))

    def is_usable(self) -> bool:
        """Whether an interruption left the buffers whole, with finite numbers in them."""
        return self.is_consistent and self.all_finite()

    def squared_norm(self) -> float:
        """Sum of the squared weights of all layers, biases left out."""
        total = 0.0
        for index in range(len(self.widths) - 1):
            weights = self.layer(index)[0].reshape(-1)
            for start in range(0, len(weights), _AT_ONCE):
                part = weights[start : start + _AT_ONCE]
                # Not BLAS: its threads go on spinning for milliseconds, where helpers should
                # run. Not in float64 at once: NumPy would take memory to convert in.
                total += float(np.einsum("i,i", part, part))
        return total

    def per_layer(self, name: str) -> list[NDArray[Any] | None]:
        """Split a per-gate array into views, one a set of units, None where ungated."""
        array = self._gates[name]
        return [
            None if start < 0 else array[start : start + width]
            for start, width in zip(self.gate_starts(), self.widths[:-1], strict=True)
        ]

    # --- going back ----------------------------------------------------------------------

    def save_snapshot(self) -> None:
        """Copy weights and gates, to go back to until the next change of size."""
        if self.layout.snapshot:
            snapshot, n = self._batch["snapshot"], count_parameters(self.widths)
            snapshot[:n] = self._flat["theta"][:n]
            snapshot[n:] = self._gates["log_odds"]

    def restore_snapshot(self) -> None:
        """Bring weights and gates back to what was remembered; forget moments and tallies."""
        snapshot, n = self._batch["snapshot"], count_parameters(self.widths)
        self._flat["theta"][:n] = snapshot[:n]
        self._gates["log_odds"][:] = snapshot[n:]
        for name in ("first", "second"):
            self._flat[name][:] = 0.0
        for name in ("gate_first", "gate_second"):
            self._gates[name][:] = 0.0
        self._small["step"][0] = 0
        self.reset_gate_counts()

    # --- to a checkpoint and back --------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on: plain values and views, not to be held."""
        n = count_parameters(self.widths)
        return {
            "widths": np.array(self.widths, np.int64),
            "gated": np.array(self.layout.gated, bool),
            "batch_size": self.batch_size,
            "averaged": self.layout.averaged,
            "snapshot": self.layout.snapshot,
            "step": int(self._small["step"][0]),
            "nonzero_pause": int(self._small["nonzero_pause"][0]),
            "columns": self.columns,
            **{name: array[:n] for name, array in self._flat.items()},
            **{name: self._gates[name] for name in LASTING},
        }

    def restore(
        self, fields: StateReader, first: BufferLayout, batch_sizes: tuple[int, int]
    ) -> None:
        """Take up a state; all of it is checked before anything is changed.

        Parameters
        ----------
        fields : StateReader
            Of a state of buffers that began as these have.
        first : BufferLayout
            Of a network that nothing has been deleted from yet, with all of its gates.
        batch_sizes : tuple of two ints
            Rows of a mini-batch at least and at most.

        Raises
        ------
        StateError
            If the state is not sound.
        """
        before = self.layout
        n_sets = len(before.gated)
        widths = tuple(fields.array("widths", np.int64, (n_sets + 1,), 1).tolist())
        gated = tuple(fields.array("gated", np.bool_, (n_sets,)).tolist())
        if widths[-1] != before.widths[-1] or any(map(operator.gt, widths, before.widths)):
            raise StateError(f"`widths` must be within {before.widths}, got {widths}")
        if any(gated) and gated != first.gated:
            raise StateError(f"`gated` must be {first.gated} or all false, got {gated}")
        layout = replace(
            before,
            widths=widths,
            gated=gated,
            batch_size=fields.integer("batch_size", *batch_sizes),
            averaged=fields.flag("averaged"),
            snapshot=fields.flag("snapshot") and before.snapshot,
        )
        small = {
            "step": fields.integer("step", 0, MAX_COUNT),
            "nonzero_pause": fields.integer("nonzero_pause", 0, MAX_COUNT),
        }
        columns = fields.array("columns", np.int32, (widths[0],), 0, first.widths[0] - 1)
        if (np.diff(columns) <= 0).any():
            raise StateError("`columns` must ascend")
        flat = {
            name: fields.array(name, np.float32, (max(0, size - PADDING),), *_BOUNDS[name])
            for name, size in layout.flat.items()
        }
        of_gates = {
            name: fields.array(name, PER_GATE[name], (layout.n_gates,), *_BOUNDS[name])
            for name in LASTING
        }
        fields.end()
        self._adopt(layout)
        self._batch["columns"][:] = columns
        for name, array in flat.items():
            self._flat[name][: len(array)] = array
            self._flat[name][len(array) :] = 0.0
        for name, array in of_gates.items():
            self._gates[name][:] = array
        for name, value in small.items():
            self._small[name][0] = value

    # --- changes of size ---------------------------------------------------------------

    def shrink(self, keep: Sequence[NDArray[np.bool_]]) -> None:
        """Delete units from every buffer.

        Parameters
        ----------
        keep : sequence of bool arrays
            For the inputs and each hidden layer, which units stay; at least one each.
        """
        self.is_consistent = False
        before = np.array(self.widths, dtype=np.int64)
        before_size = count_parameters(self.widths)
        flags = np.concatenate([*keep, np.ones(self.widths[-1], dtype=bool)]).view(np.uint8)
        gated = [k for k, g in zip(keep, self.layout.gated, strict=True) if g]
        gate_flags = np.concatenate(gated) if gated else np.zeros(0, dtype=bool)
        for name in self._flat:
            if self._flat[name].size:
                n_kept = pack_weights_(self._flat[name][:before_size], before, flags)
                self._flat[name][n_kept : n_kept + PADDING] = 0.0
        for name in self._gates:
            _pack_vector_(self._gates[name], gate_flags)
        _pack_vector_(self._batch["columns"], keep[0])
        widths = (*(int(k.sum()) for k in keep), self.widths[-1])
        self._small["nonzero_pause"][0] = 0
        self._small["n_prefetch_columns"][0] = 0
        self._adopt(replace(self.layout, widths=widths))

    def resize_batch(self, batch_size: int, n_threads: int, n_targets: int | None = None) -> None:
        """Make room for mini-batches of `batch_size` rows and for `n_threads` threads.

        And for rows of `n_targets` encoded targets; None for as many as before.
        """
        n_targets = self.layout.n_targets if n_targets is None else n_targets
        if n_targets != self.layout.n_targets:
            self._small["target_columns"] = np.arange(n_targets, dtype=np.int32)
        self._adopt(
            replace(self.layout, batch_size=batch_size, n_threads=n_threads, n_targets=n_targets)
        )

    def fold_gates(self, gates: Sequence[NDArray[np.float32] | None]) -> None:
        """Multiply gates into the weights of the units that they belong to, and drop them.

        Adam goes on as if the weights had been such from the start: the gradient of
        ``w' = z * w`` is 1/z of that of w.

        Parameters
        ----------
        gates : sequence of float32 arrays, or None
            For the inputs and each hidden layer, the gate z > 0 of every unit.
        """
        self.is_consistent = False
        self._scale_outgoing(gates)
        self._adopt(replace(self.layout, gated=(False,) * len(self.layout.gated)))

    def _scale_outgoing(self, factors: Sequence[NDArray[np.float32] | None]) -> None:
        """Multiply the weights that leave each unit by its factor, as `fold_gates` does."""
        for index, factor in enumerate(factors):
            if factor is not None:
                column = factor[:, None]
                self.layer(index)[0][...] *= column
                for number, name in enumerate(("first", "second"), start=1):
                    if self._flat[name].size:
                        self.layer(index, name)[0][...] /= column**number

    def rescale_outputs(
        self,
        factor: NDArray[np.float64],
        shift: NDArray[np.float64],
        slope: NDArray[np.float64],
    ) -> None:
        """Change the units of the outputs: x, before its activation, becomes factor * x + shift.

        Where derivatives of the loss become smaller by that, Adam goes on as if they had been such
        from the start. Where they become larger its moments stay: derivatives to come are like
        those it knows, in units of their own, and second moments that are too large would hold a
        weight for thousands of steps, while too small ones make a few steps larger. A velocity,
        which is in units of the weights, goes along with them.

        Parameters
        ----------
        factor, shift : float64 arrays of shape (n_outputs,)
        slope : float64 array of shape (n_outputs,)
            What the derivative of the loss by an output is multiplied by.
        """
        last = len(self.widths) - 2
        weights, biases = self.layer(last)
        with np.errstate(over="ignore"):  # it is seen by `all_finite`
            weights *= factor.astype(np.float32)
            biases[...] = factor * biases + shift
        is_adam = self.layout.n_moments > 1
        own = np.minimum(slope, 1.0) if is_adam else factor
        before = np.float32(min(1.0, float((slope * factor).min())))  # of what comes before
        n_before = count_parameters(self.widths[:-1])
        for number, name in enumerate(("first", "second"), start=1):
            if self._flat[name].size:
                for part in self.layer(last, name):
                    part *= (own**number).astype(np.float32)
            if before < 1.0:
                self._gates[f"gate_{name}"] *= before**number
                if is_adam:
                    self._flat[name][:n_before] *= before**number

    def pull_outputs(self, share: NDArray[np.float64], step: NDArray[np.float64]) -> None:
        """Move the outputs, before their activation, to share * x + step."""
        self.is_consistent = False
        weights, biases = self.layer(len(self.widths) - 2)
        weights *= share.astype(np.float32)
        biases[...] = share * biases + step
        self.is_consistent = True

    def open_gates(self, gated: Sequence[bool], log_odds: float) -> None:
        """Give sets of units that have no gates new ones, all with the same log-odds."""
        self._adopt(replace(self.layout, gated=tuple(gated)))
        self._gates["log_odds"][:] = log_odds
        self._forget_gate_moments()
        self.reset_gate_counts()

    def release_gates(
        self, log_odds: NDArray[np.float32], factors: Sequence[NDArray[np.float32] | None]
    ) -> None:
        """Let gates that were held open go, from these log-odds on.

        Parameters
        ----------
        log_odds : float32 array of shape (n_gates,)
        factors : sequence of float32 arrays, or None
            For the inputs and each hidden layer: what the weights that leave a unit are
            multiplied by, to make up for the gate.
        """
        self.is_consistent = False
        self._gates["log_odds"][:] = log_odds
        self._scale_outgoing(factors)
        self._forget_gate_moments()
        self.is_consistent = True

    def _forget_gate_moments(self) -> None:
        for name in ("gate_first", "gate_second"):
            self._gates[name][:] = 0.0

    def average_weights(self, share: float) -> None:
        """Move the average of the weights by `share` towards them; the first time, set it."""
        if not self._flat["average"].size:
            self._adopt(replace(self.layout, averaged=True))
            share = 1.0
        theta, average = self._flat["theta"], self._flat["average"]
        for start in range(0, len(theta), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            average[part] += np.float32(share) * (theta[part] - average[part])

    def forget_average(self) -> None:
        """Give the memory of the average back."""
        self._adopt(replace(self.layout, averaged=False))

    def allow_snapshot(self, there: bool) -> None:
        """Make room for a copy to go back to, or give its memory back."""
        self._adopt(replace(self.layout, snapshot=there))

    def _adopt(self, layout: BufferLayout) -> None:
        """Bring every array to its size; what it holds stays at the front."""
        self.is_consistent = False
        self.layout = layout
        for name, size in layout.flat.items():
            _resize_(self._flat, name, size)
        for name in self._gates:
            _resize_(self._gates, name, layout.n_gates)
        for name, shape in layout.batch.items():
            _resize_(self._batch, name, shape)
        self._note_shape()
        self.is_consistent = True


def _count_references(arrays: dict[str, NDArray[Any]], name: str) -> int:
    return sys.getrefcount(arrays[name])


#: References to an array that nobody but its dict holds, as counted here.
_UNSHARED = _count_references({"array": np.zeros(1)}, "array")


def _resize_(arrays: dict[str, NDArray[Any]], name: str, shape: int | tuple[int, ...]) -> None:
    """Resize an array in place; replace it if somebody holds it or a view of it.

    A sampling profiler does, through the frames it looks at; it keeps the old memory.
    NumPy's own check of references counts one too many under a profiler or debugger.
    """
    if arrays[name].shape == (shape if isinstance(shape, tuple) else (shape,)):
        return
    if _count_references(arrays, name) > _UNSHARED:
        fresh = np.zeros(shape, arrays[name].dtype)
        n_kept = min(fresh.size, arrays[name].size)
        fresh.reshape(-1)[:n_kept] = arrays[name].reshape(-1)[:n_kept]
        arrays[name] = fresh
    else:
        arrays[name].resize(shape, refcheck=False)


def _pack_vector_(array: NDArray[Any], keep: NDArray[np.bool_]) -> None:
    """Move the entries where `keep` holds to the front."""
    kept = array[keep]
    array[: len(kept)] = kept
