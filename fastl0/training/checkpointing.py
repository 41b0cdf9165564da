"""Writes checkpoints of a fit, and resumes one that was killed."""

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Self

import numpy as np
from sklearn.utils import check_random_state

from fastl0._warnings import warn
from fastl0.checkpoint.state_reader import StateError, StateReader
from fastl0.checkpoint.store import CheckpointStore
from fastl0.training.listeners import EpochListener
from fastl0.training.trainer import Trainer


class CheckpointManager(EpochListener):
    """Keeps the state of one fit.

    Use as a context manager. Without a folder it does nothing.

    Parameters
    ----------
    folder : path-like or None
        The user's.
    interval : int
        Epochs from one checkpoint to the next.
    run : callable
        Returns what tells this fit from others (see `fingerprint`). Called only if there is a
        folder.

    Raises
    ------
    CheckpointError
        On entering, if the folder cannot be written to, or holds checkpoints of this fit of which
        none can be read.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None,
        interval: int,
        run: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._checkpoints = None if folder is None else CheckpointStore(folder, run())
        self._interval = interval
        self._found: Any = None
        self._seed: int | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self._checkpoints is not None:
            with ExitStack() as stack:
                stack.enter_context(self._checkpoints)
                self._found, damaged = self._checkpoints.load()
                for message in damaged:
                    warn(f"{message} Training goes on from the one before it.", RuntimeWarning)
                self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def random_state(self, random_state: Any) -> np.random.RandomState:
        """Return the generator of the fit: the one that it began with, where it goes on."""
        generator = check_random_state(random_state)
        if self._checkpoints is None or random_state is not None:
            return generator
        if self._found is None:
            self._seed = int(generator.randint(2**31))
        else:
            try:
                self._seed = StateReader(self._found).integer("seed", 0, 2**31)
            except StateError as error:
                raise self._checkpoints.unusable(str(error)) from error
        return np.random.RandomState(self._seed)

    def resume(self, trainer: Trainer) -> None:
        """Bring a new trainer to where the checkpoint was made, if there is one.

        Raises
        ------
        CheckpointError
            If the checkpoint is not sound.
        """
        if self._checkpoints is None or self._found is None:
            return
        try:
            fields = StateReader(self._found)
            if self._seed is None and not fields.is_none("seed"):
                raise StateError("`seed` must be none where there is a random_state")
            if self._seed is not None:
                fields.integer("seed", self._seed, self._seed)
            trainer.resume(fields.nested("trainer"))
            fields.end()
        except StateError as error:
            raise self._checkpoints.unusable(str(error)) from error
        self._found = None
        logging.getLogger("fastl0").warning(
            "fastl0 goes on after epoch %d of a fit that was interrupted, from %s.",
            trainer.history.n_epochs,
            self._checkpoints.folder,
        )

    def between_epochs(self, n_epochs: int, state: Callable[[], dict[str, Any]]) -> None:
        """Write a checkpoint, if it is time for one; warn if that cannot be done."""
        if self._checkpoints is None or n_epochs % self._interval:
            return
        try:
            self._checkpoints.save(n_epochs, {"seed": self._seed, "trainer": state()})
        except OSError as error:
            warn(
                f"The checkpoint of epoch {n_epochs} could not be written to "
                f"{str(self._checkpoints.folder)!r} ({error.strerror}). Training goes on, and the "
                "last one that was written stays; free some space.",
                RuntimeWarning,
            )

    def delete(self) -> None:
        """Delete the checkpoints: the fit is over, and the next one trains anew."""
        if self._checkpoints is not None:
            self._checkpoints.discard()
