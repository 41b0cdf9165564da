"""Decides when training has converged.

The rules are those of scikit-learn's MLPClassifier, with two additions for gated networks:
an epoch that deleted units counts as progress, and the loss is smoothed, because random
gates make it jump most where data are few.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

from fastl0.checkpoint.state_reader import StateReader

#: "Never": more epochs than this are not n_waited for.
MAX_EPOCHS = 10**9

#: Draws of the gates that make an epoch's loss worth as much as one without gates.
MIN_DRAWS = 20


@dataclass
class EarlyStopping:
    """Counts the epochs in a row that brought no progress.

    Parameters
    ----------
    tol : float
        Least improvement of the loss or the score that counts.
    patience : int
        Epochs in a row without progress that do not stop the training.
    smooth : bool
        Watch an exponential average of the loss over about `patience` epochs.
    """

    tol: float
    patience: int
    smooth: bool = False
    best_loss: float = math.inf
    best_score: float = -math.inf
    n_waited: int = 0
    _average: float = 0.0
    _weight: float = 0.0

    def update_loss(self, loss: float, shrunk: bool) -> bool:
        """Take in an epoch's loss; say whether to stop."""
        level = self._average_with(loss) if self.smooth else loss
        stalled = level > self.best_loss - self.tol
        self.best_loss = min(self.best_loss, level)
        return self._note(stalled and not shrunk)

    def update_score(self, score: float, shrunk: bool) -> bool:
        """Take in an epoch's validation score; say whether to stop."""
        stalled = score < self.best_score + self.tol
        self.best_score = max(self.best_score, score)
        return self._note(stalled and not shrunk)

    def state(self) -> dict[str, Any]:
        """What it has seen so far; its settings are those of the fit."""
        return {
            "best_loss": self.best_loss,
            "best_score": self.best_score,
            "n_waited": self.n_waited,
            "average": self._average,
            "weight": self._weight,
        }

    @classmethod
    def restored(cls, fields: StateReader) -> Self:
        """Return one that has seen what this state says, without settings.

        Raises
        ------
        StateError
            If the state is not sound.
        """
        stopper = cls(
            tol=0.0,
            patience=0,
            best_loss=fields.number("best_loss"),
            best_score=fields.number("best_score"),
            n_waited=fields.integer("n_waited", 0, MAX_EPOCHS),
            _average=fields.number("average"),
            _weight=fields.number("weight", 0.0, 1.1),  # 1 but for rounding
        )
        fields.end()
        return stopper

    def _average_with(self, loss: float) -> float:
        decay = 1.0 - 2.0 / (self.patience + 1.0)
        self._average = decay * self._average + (1.0 - decay) * loss
        self._weight = decay * self._weight + (1.0 - decay)
        return self._average / self._weight

    def _note(self, stalled: bool) -> bool:
        self.n_waited = self.n_waited + 1 if stalled else 0
        return self.n_waited > self.patience


def effective_patience(n_iter_no_change: int, n_batches: int) -> int:
    """Epochs without progress to put up with where gates make the loss noisy.

    Each mini-batch draws the gates once; an epoch of a few mini-batches says little about
    the loss. So an epoch counts for `MIN_DRAWS` draws at least.

    Parameters
    ----------
    n_iter_no_change : int
    n_batches : int
        Mini-batches per epoch.
    """
    return math.ceil(min(n_iter_no_change, MAX_EPOCHS) * max(1.0, MIN_DRAWS / n_batches))
