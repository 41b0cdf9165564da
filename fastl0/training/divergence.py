"""When a training has diverged, whether it may go back, and how it goes on from there."""

import math
from dataclasses import dataclass
from typing import Any, Self

from fastl0.checkpoint.state_reader import StateReader

#: The mean loss of an epoch has exploded where it exceeds what the fit began with, or a constant
#: prediction, by so many times as much. Deletions, gates that close and unlucky mini-batches stay
#: far below.
EXPLOSION = 100.0

#: Factor on the learning rate of the weights each time that training goes back; that of
#: learning_rate="adaptive".
STEP_DOWN = 0.2

#: Times in a row that training goes back, with no epoch between that went well.
MOST_RETURNS = 3

#: Smaller steps make an exploded loss smaller than this share of it, if steps were to blame.
_RELIEF = 0.5


@dataclass
class DivergenceGuard:
    """Watches the loss of a fit.

    Attributes
    ----------
    factor : float
        On the learning rate of the weights, from now on.
    n_returns : int
        Times that training has gone back since the last epoch that went well.
    """

    factor: float = 1.0
    n_returns: int = 0
    _reference: float = -math.inf  # mean loss that training may have, whatever its steps
    _failed: float = math.inf  # mean loss of the last attempt at this epoch

    @property
    def has_reference(self) -> bool:
        """Whether `set_reference` has been called."""
        return self._reference > -math.inf

    def set_reference(self, loss: float) -> None:
        """Take note of the mean loss of the fit's first mini-batch.

        Unscaled inputs may cost a fresh network any loss, and yet it learns.
        """
        self._reference = loss

    def has_exploded(self, loss: float, null_loss: float) -> bool:
        """Whether an epoch shows by its mean loss that training has come off its way.

        Not where going back has brought no relief: then no step was to blame, but for instance
        few rows of huge values.

        Parameters
        ----------
        loss : float
        null_loss : float
            That of the best prediction which looks at no input.
        """
        # Losses may be negative, or small by chance: those of counts are known up to a constant.
        largest = max(1.0, abs(null_loss), abs(self._reference))
        if loss <= max(null_loss, self._reference) + EXPLOSION * largest:
            return False
        if loss <= _RELIEF * self._failed:
            self._failed = loss
            return True
        self._reference = loss
        self.factor /= STEP_DOWN**self.n_returns
        return False

    def reset(self) -> None:
        """Take note of an epoch that training goes on from."""
        self.n_returns, self._failed = 0, math.inf

    def retry(self) -> bool:
        """Lower the learning rate and say True, unless that has been of no help before."""
        if self.n_returns >= MOST_RETURNS:
            return False
        self.n_returns += 1
        self.factor *= STEP_DOWN
        return True

    # --- to a checkpoint and back --------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything in it after an epoch that went well."""
        return {"factor": self.factor, "reference": self._reference}

    @classmethod
    def restored(cls, fields: StateReader) -> Self:
        """Return the divergence of which this is the state.

        Raises
        ------
        StateError
            If the state is not sound.
        """
        factor, reference = fields.number("factor", 0.0, 1.0), fields.number("reference")
        fields.end()
        return cls(factor, _reference=reference)


class DivergedError(ValueError):
    """The training loss, or a parameter, has stopped being finite or has exploded.

    Parameters
    ----------
    what : str
        A clause that says what has happened.
    remedy : str
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)  # both, so that it can be pickled
        self.what, self.remedy = what, remedy

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}"
