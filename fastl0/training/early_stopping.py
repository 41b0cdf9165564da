"""Decides when training has converged and what the next learning rate is.

The rules are those of scikit-learn's MLPClassifier, with two additions for gated networks:
an epoch that deleted units counts as progress, and the loss is smoothed, because random
gates make it jump most where data are few. May import `fields`.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

from fastl0.checkpoint.state_reader import StateReader

#: With learning_rate="adaptive" the rate is not lowered below this (as in scikit-learn).
LOWEST_RATE = 1e-6

#: "Never": more epochs than this are not waited for.
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
    n_epochs : int
        Epochs without progress that are put up with.
    smooth : bool
        Judge an exponential average of the loss over about `n_epochs` epochs.
    """

    tol: float
    n_epochs: int
    smooth: bool = False
    best_loss: float = math.inf
    best_score: float = -math.inf
    waited: int = 0
    _average: float = 0.0
    _weight: float = 0.0

    def update_loss(self, loss: float, shrunk: bool) -> bool:
        """Take in an epoch's loss; say whether patience has run out."""
        level = self._average_with(loss) if self.smooth else loss
        stalled = level > self.best_loss - self.tol
        self.best_loss = min(self.best_loss, level)
        return self._note(stalled and not shrunk)

    def update_score(self, score: float, shrunk: bool) -> bool:
        """Take in an epoch's validation score; say whether patience has run out."""
        stalled = score < self.best_score + self.tol
        self.best_score = max(self.best_score, score)
        return self._note(stalled and not shrunk)

    def state(self) -> dict[str, Any]:
        """What it has seen so far; its settings are those of the fit."""
        return {
            "best_loss": self.best_loss,
            "best_score": self.best_score,
            "waited": self.waited,
            "average": self._average,
            "weight": self._weight,
        }

    @classmethod
    def restored(cls, fields: StateReader) -> Self:
        """Return a patience that has seen what this state says, without settings.

        Raises
        ------
        StateError
            If the state is not sound.
        """
        patience = cls(
            tol=0.0,
            n_epochs=0,
            best_loss=fields.number("best_loss"),
            best_score=fields.number("best_score"),
            waited=fields.integer("waited", 0, MAX_EPOCHS),
            _average=fields.number("average"),
            _weight=fields.number("weight", 0.0, 1.1),  # 1 but for rounding
        )
        fields.end()
        return patience

    def _average_with(self, loss: float) -> float:
        decay = 1.0 - 2.0 / (self.n_epochs + 1.0)
        self._average = decay * self._average + (1.0 - decay) * loss
        self._weight = decay * self._weight + (1.0 - decay)
        return self._average / self._weight

    def _note(self, stalled: bool) -> bool:
        self.waited = self.waited + 1 if stalled else 0
        return self.waited > self.n_epochs


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


@dataclass
class LearningRateSchedule:
    """Learning rate of each epoch; schedules other than "constant" act on SGD only.

    Parameters
    ----------
    kind : {"constant", "invscaling", "adaptive"}
        Any other is as "constant".
    initial : float
    power_t : float
        Exponent of "invscaling": ``initial / (samples_seen + 1) ** power_t``.
    """

    kind: str
    initial: float
    power_t: float

    def __post_init__(self) -> None:
        self.rate = self.initial

    def end_epoch(self, samples_seen: int) -> None:
        """Set the rate of the next epoch."""
        if self.kind == "invscaling":
            self.rate = self.initial * math.exp(-self.power_t * math.log(samples_seen + 1))

    def lower_or_stop(self) -> bool:
        """Say whether to stop, now that patience has run out; "adaptive" lowers the rate."""
        if self.kind != "adaptive" or self.rate <= LOWEST_RATE:
            return True
        self.rate /= 5.0
        return False
