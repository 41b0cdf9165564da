"""Who is told of the epochs of a fit."""

from collections.abc import Callable
from typing import Any

from fastl0.model.network import Network
from fastl0.training.history import HISTORY_KEYS

#: Called after every epoch with its number (from 0), a function that freezes the network
#: as it is, and the epoch's history entries; True stops the training.
EpochHook = Callable[[int, Callable[[], Network], dict[str, Any]], bool | None]


class EpochListener:
    """Is told of every epoch of a fit; a subclass overrides what it wants to hear of."""

    def begin_epoch(self) -> None:
        """An epoch begins."""

    def end_epoch(self, trainer: Any) -> bool:
        """An epoch is over and in the trainer's history; return whether to stop."""
        return False

    def between_epochs(self, n_epochs: int, state: Callable[[], dict[str, Any]]) -> None:
        """Training goes on after `n_epochs` epochs; `state()` is all that the rest depends on."""


class HookListener(EpochListener):
    """Calls a function after every epoch.

    Parameters
    ----------
    hook : callable
        See `EpochHook`.
    """

    def __init__(self, hook: EpochHook) -> None:
        self._hook = hook

    def end_epoch(self, trainer: Any) -> bool:
        """Call it; return whether to stop."""
        history = trainer.history
        entries = {name: history.epochs[-1][name] for name in HISTORY_KEYS}
        return bool(self._hook(history.n_epochs - 1, trainer.freeze, entries))
