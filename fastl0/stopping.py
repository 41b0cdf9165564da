"""Decides when training has converged and what the next learning rate is.

The rules are those of scikit-learn's MLPClassifier, with one addition: an epoch that
deleted units counts as progress. Imports nothing of fastl0.
"""

import math
from dataclasses import dataclass

#: With learning_rate="adaptive" the rate is not lowered below this (as in scikit-learn).
LOWEST_RATE = 1e-6


@dataclass
class Patience:
    """Counts the epochs in a row that brought no progress.

    Parameters
    ----------
    tol : float
        Least improvement of the loss or the score that counts.
    n_iter_no_change : int
        Epochs without progress that are put up with.
    """

    tol: float
    n_iter_no_change: int
    best_loss: float = math.inf
    best_score: float = -math.inf
    waited: int = 0

    def note_loss(self, loss: float, shrunk: bool) -> bool:
        """Take in an epoch's loss; say whether patience has run out."""
        stalled = loss > self.best_loss - self.tol
        self.best_loss = min(self.best_loss, loss)
        return self._note(stalled and not shrunk)

    def note_score(self, score: float, shrunk: bool) -> bool:
        """Take in an epoch's validation score; say whether patience has run out."""
        stalled = score < self.best_score + self.tol
        self.best_score = max(self.best_score, score)
        return self._note(stalled and not shrunk)

    def _note(self, stalled: bool) -> bool:
        self.waited = self.waited + 1 if stalled else 0
        return self.waited > self.n_iter_no_change


@dataclass
class RateSchedule:
    """Learning rate of each epoch; schedules other than "constant" act on SGD only.

    Parameters
    ----------
    kind : {"constant", "invscaling", "adaptive"}
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
            self.rate = self.initial / (samples_seen + 1) ** self.power_t

    def give_up(self) -> bool:
        """Say whether to stop, now that patience has run out; "adaptive" lowers the rate."""
        if self.kind != "adaptive" or self.rate <= LOWEST_RATE:
            return True
        self.rate /= 5.0
        return False
