"""When a training has come off its way, whether it may go back, and how it goes on from there.

May import `fields`.
"""

import math
from dataclasses import dataclass
from typing import Any, Self

from fastl0.fields import Fields

#: An epoch's mean loss is an explosion where it exceeds that of a network without skill by so
#: many times as much. Deletions, gates that close and unlucky mini-batches stay far below.
EXPLOSION = 100.0

#: Factor on the learning rate of the weights each time that training goes back; that of
#: learning_rate="adaptive".
STEP_DOWN = 0.2

#: Times in a row that training goes back, with no epoch between that went well.
MOST_RETURNS = 3


def _most(*losses: float) -> float:
    """Mean loss above which all is lost, where these are losses without skill."""
    # Losses may be negative, or small by chance: those of counts are known up to a constant.
    return max(losses) + EXPLOSION * max(1.0, *map(abs, losses))


@dataclass
class Safeguard:
    """Watches the mean loss of the epochs of a fit.

    Attributes
    ----------
    factor : float
        On the learning rate of the weights, from now on.
    n_returns : int
        Times that training has gone back since the last epoch that went well.
    """

    factor: float = 1.0
    n_returns: int = 0
    _first_loss: float = math.inf
    _last_loss: float = -math.inf

    def has_exploded(self, loss: float, null_loss: float) -> bool:
        """Whether an epoch's mean loss is far above anything that training began with.

        Never so in the first epoch: unscaled inputs may cost a fresh network any loss, and yet
        it learns.

        Parameters
        ----------
        loss : float
            Mean loss of the epoch.
        null_loss : float
            That of the best prediction which looks at no input.
        """
        return loss > _most(null_loss, self._first_loss)

    def note(self, loss: float) -> None:
        """Take note of the mean loss of an epoch that went well."""
        if math.isinf(self._first_loss):
            self._first_loss = loss
        self._last_loss = loss
        self.n_returns = 0

    def go_back(self, null_loss: float) -> bool:
        """Lower the learning rate and say True, if there is a network worth going back to.

        That is the first one, or one that was better than an explosion after the last epoch.
        """
        if self.n_returns >= MOST_RETURNS or self._last_loss > _most(null_loss, null_loss):
            return False
        self.n_returns += 1
        self.factor *= STEP_DOWN
        return True

    # --- to a checkpoint and back --------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything in it after an epoch that went well."""
        return {
            "factor": self.factor,
            "first_loss": self._first_loss,
            "last_loss": self._last_loss,
        }

    @classmethod
    def restored(cls, fields: Fields) -> Self:
        """Return the safeguard of which this is the state.

        Raises
        ------
        StateError
            If the state is not sound.
        """
        safeguard = cls(
            factor=fields.number("factor", 0.0, 1.0),
            _first_loss=fields.number("first_loss"),
            _last_loss=fields.number("last_loss"),
        )
        fields.end()
        return safeguard
