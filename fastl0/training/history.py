"""What has happened in a training so far: its epochs, and its best network."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastl0.checkpoint.state_reader import MAX_COUNT, StateError, StateReader
from fastl0.model.network import Network
from fastl0.training.early_stopping import EarlyStopping

#: What `history_` holds of every epoch.
HISTORY_KEYS = ("loss", "n_units", "n_parameters", "buffer_nbytes", "batch_size", "epoch_time")

#: Entries of an epoch that are whole numbers, that are floats, and that are floats or None.
_WHOLE = ("n_parameters", "buffer_nbytes", "batch_size", "samples_seen")
_FLOATS = ("loss", "epoch_time")
_PERHAPS = ("score", "validation_loss")

_FINITE = (-sys.float_info.max, sys.float_info.max)


@dataclass
class History:
    """What has happened so far, across warm starts.

    `epochs` grows by one finished entry at a time: an interruption leaves no uneven lists.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    stopper: EarlyStopping | None = None
    best_network: Network | None = None
    converged: bool = False
    n_dropped: int = 0  # epochs before those in `epochs`
    n_epochs_in_fit: int = 1  # epochs of the last fit; a call of `partial_fit` is one

    @property
    def n_epochs(self) -> int:
        """Epochs finished."""
        return self.n_dropped + len(self.epochs)

    def keep_last(self, most: int) -> None:
        """Forget all but the last `most` epochs, apart from their number."""
        n_more = max(0, len(self.epochs) - most)
        del self.epochs[:n_more]
        self.n_dropped += n_more

    def column(self, name: str) -> list[Any]:
        """One entry of every epoch: those of `HISTORY_KEYS`, and "score", "validation_loss"
        and "samples_seen".
        """
        return [entries[name] for entries in self.epochs]

    def columns(self) -> dict[str, list[Any]]:
        """What `history_` holds."""
        return {name: self.column(name) for name in HISTORY_KEYS}

    @property
    def samples_seen(self) -> int:
        """Training rows visited, all epochs added up."""
        return int(self.epochs[-1]["samples_seen"]) if self.epochs else 0

    def drop_best_above(self, most: int) -> None:
        """Forget a best network of more than so many parameters; 0 stands for any number."""
        if self.best_network is not None and 0 < most < self.best_network.n_parameters:
            self.best_network = None
            if self.stopper is not None:
                self.stopper.best_score = -math.inf

    # --- to a checkpoint and back ------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """All of it but `converged`, which belongs to a fit that is over, as plain values."""
        epochs: dict[str, Any] = {"n_units": np.array(self.column("n_units"), np.int64)}
        for name in _WHOLE:
            epochs[name] = np.array(self.column(name), np.int64)
        for name in (*_FLOATS, *_PERHAPS):
            epochs[name] = np.array(self.column(name), np.float64)  # None becomes NaN
        for name in _PERHAPS:
            known = [value is not None for value in self.column(name)]
            epochs[f"has_{name}"] = np.array(known, bool)
        return {
            "epochs": epochs,
            "n_dropped": self.n_dropped,
            "early_stopping": self.stopper.state() if self.stopper else None,
            "best_network": _state_of_network(self.best_network) if self.best_network else None,
        }

    @classmethod
    def restored(
        cls,
        fields: StateReader,
        widths: Sequence[int],
        activation: str,
        out_activation: str,
        *,
        of_fit: bool = True,
    ) -> Self:
        """Return the history of which this is the state.

        Parameters
        ----------
        fields : StateReader
        widths : sequence of int
            Units of every layer to begin with, which no network exceeds.
        activation, out_activation : str
            Of the networks.
        of_fit : bool, default=True
            Whether it is that of a fit, which has an `EarlyStopping`; a stream has none.

        Raises
        ------
        StateError
            If the state is not sound.
        """
        history = cls(_epochs(fields.nested("epochs"), widths))
        history.n_dropped = fields.integer("n_dropped", 0, MAX_COUNT)
        if of_fit or not fields.is_none("early_stopping"):
            history.stopper = EarlyStopping.restored(fields.nested("early_stopping"))
        if not fields.is_none("best_network"):
            arrays = _network_arrays(fields.nested("best_network"), widths)
            history.best_network = Network(*arrays, activation, out_activation)
        fields.end()
        return history


def _epochs(fields: StateReader, widths: Sequence[int]) -> list[dict[str, Any]]:
    n_units = fields.array("n_units", np.int64, (None, len(widths)), 1)
    n_epochs = len(n_units)
    if not n_epochs or (n_units > np.array(widths)).any():
        raise StateError(f"`n_units` must tell of networks within {tuple(widths)}")
    columns: dict[str, list[Any]] = {}
    for name in _WHOLE:
        columns[name] = fields.array(name, np.int64, (n_epochs,), 1).tolist()
    for name in _FLOATS:
        columns[name] = fields.array(name, np.float64, (n_epochs,), *_FINITE).tolist()
    for name in _PERHAPS:
        values = fields.array(name, np.float64, (n_epochs,), may_be_nan=True)
        known = fields.array(f"has_{name}", np.bool_, (n_epochs,))
        columns[name] = [
            value if there else None
            for value, there in zip(values.tolist(), known.tolist(), strict=True)
        ]
    fields.end()
    epochs: list[dict[str, Any]] = []
    for k, units in enumerate(map(tuple, n_units.tolist())):
        # One object for equal widths, as in training: pickle writes it once.
        before = epochs[-1]["n_units"] if epochs else None
        entries = {name: column[k] for name, column in columns.items()}
        epochs.append({"n_units": before if before == units else units, **entries})
    return epochs


def _state_of_network(network: Network) -> dict[str, Any]:
    layers = enumerate(zip(network.coefs, network.intercepts, strict=True))
    state: dict[str, Any] = {"support": network.support}
    for k, (coef, intercept) in layers:
        state |= {f"coef_{k}": coef, f"intercept_{k}": intercept}
    return state


def _network_arrays(
    fields: StateReader, widths: Sequence[int]
) -> tuple[list[NDArray[Any]], list[NDArray[Any]], NDArray[np.bool_]]:
    """Weights, biases and support of a network within `widths`."""
    support = fields.array("support", np.bool_, (widths[0],))
    coefs: list[NDArray[Any]] = []
    intercepts: list[NDArray[Any]] = []
    fan_in = int(np.count_nonzero(support))
    for k, most in enumerate(widths[1:]):
        is_last = k == len(widths) - 2
        coef = fields.array(f"coef_{k}", np.float32, (fan_in, most if is_last else None), *_FINITE)
        fan_in = coef.shape[1]
        if not 1 <= fan_in <= most:
            raise StateError(f"a network must have 1 to {most} units in layer {k + 1}")
        coefs.append(coef)
        intercepts.append(fields.array(f"intercept_{k}", np.float32, (fan_in,), *_FINITE))
    fields.end()
    return coefs, intercepts, support
