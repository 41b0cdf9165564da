"""Tells a person how a training goes: a progress bar, or records of the logger `fastl0`."""

import logging
import sys
from typing import Any

from tqdm import tqdm

from fastl0.training.listeners import EpochListener

_LOGGER = logging.getLogger("fastl0")


class Progress(EpochListener):
    """Shows the epochs of one fit.

    Parameters
    ----------
    verbose : bool or int
        0 shows nothing; 1 a bar on standard error, or a record an epoch where a bar would be of
        no use, as in a file; 2 and more a record an epoch in any case.
    n_epochs : int
        Most epochs there can be.
    n_done : int, default=0
        Epochs that an earlier process has done of them.
    """

    def __init__(self, verbose: bool | int, n_epochs: int, n_done: int = 0) -> None:
        self._n_epochs = n_epochs
        self._n_done = n_done
        self._bar = None
        if verbose == 1 and _has_bars():
            self._bar = tqdm(total=n_epochs, initial=n_done, unit="epoch")
        self._logs = self._bar is None and bool(verbose)

    def end_epoch(self, trainer: Any) -> bool:
        """Show the epoch that is over."""
        entries = trainer.history.epochs[-1]
        self._n_done += 1
        if self._logs:
            log(f"{self._n_done} of at most {self._n_epochs}", entries)
        if self._bar is not None:
            score = {} if entries["score"] is None else {"score": f"{entries['score']:.4f}"}
            self._bar.set_postfix(
                loss=f"{entries['loss']:.4f}", units=_units(entries), **score, refresh=False
            )
            self._bar.update()
        return False

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()


def log(which: str, entries: dict[str, Any]) -> None:
    """Log one epoch with the level INFO; to standard error if nobody has set up logging.

    Parameters
    ----------
    which : str
        Its number.
    entries : dict
        Those of the epoch in the history of the training.
    """
    score = "" if entries["score"] is None else f", validation score {entries['score']:.4f}"
    _inform(
        "epoch %s: loss %.4g, units %s, %d parameters%s",
        which, entries["loss"], _units(entries), entries["n_parameters"], score,
    )  # fmt: skip


def _inform(text: str, *values: Any) -> None:
    """Log with the level INFO; where nobody has set up logging, to standard error.

    There Python shows what has the level WARNING only, but who sets `verbose` wants to see it.
    """
    if _LOGGER.hasHandlers() or logging.lastResort is None or _is_silenced():
        _LOGGER.info(text, *values)
        return
    record = _LOGGER.makeRecord(_LOGGER.name, logging.INFO, "", 0, text, values, None)
    if _LOGGER.filter(record):
        logging.lastResort.handle(record)


def _is_silenced() -> bool:
    """Whether somebody wants no records of the level INFO."""
    is_off = _LOGGER.disabled or _LOGGER.manager.disable >= logging.INFO
    return is_off or _LOGGER.level > logging.INFO


def _units(entries: dict[str, Any]) -> str:
    return "-".join(map(str, entries["n_units"]))


def _has_bars() -> bool:
    """Whether standard error can show a bar: a terminal, or a notebook."""
    error = sys.stderr
    return error is not None and (
        error.isatty() or type(error).__module__.partition(".")[0] == "ipykernel"
    )
