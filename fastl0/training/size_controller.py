"""Sets the price of a parameter on the way to a target size."""

import math
from dataclasses import dataclass
from typing import Any, Self

from fastl0.checkpoint.state_reader import StateReader

#: Shares of the pruning phase after which the size begins to fall, and has to be reached.
_BEGIN, _END = 0.05, 0.9

#: The latter for a network that was finished before: what it loses it has to learn anew.
_END_AGAIN = 0.6

#: How fast the price follows: factors of e over the whole phase for a size too large by
#: a factor of e, and at once.
_GAIN, _AT_ONCE = 60.0, 10.0

#: The price to begin with, and its bounds, in units of the loss of one training row.
_FIRST, _LOWEST, _HIGHEST = 0.01, 1e-6, 1e3

#: A size that is smaller than it need be by as much (a logarithm) costs nothing more.
_SLACK = 0.3


def size_at(progress: float, full: float, target: float, end: float = _END) -> float:
    """Size that a network may have at a point of the pruning phase.

    Parameters
    ----------
    progress : float in [0, 1]
        Share of the phase that is over.
    full, target : float
        Parameters at its start and to end with.
    end : float in (0, 1]
        Share of the phase after which the target has to be reached.

    Returns
    -------
    float
        Falls by the same factor in equal times, from `full` to `target`.
    """
    share = min(1.0, max(0.0, (progress - _BEGIN) / (end - _BEGIN)))
    return full * (target / full) ** share


@dataclass
class SizeController:
    """Sets the price of one parameter so that the network becomes as small as it shall be.

    The logarithm of the price moves in proportion to that of the size over the size wanted
    (an integral controller, as the multiplier of a constraint: Gallego-Posada et al. 2022,
    arXiv 2208.04425, section 4), plus a part that acts at once. Both are limited in rate, so
    that no single measurement closes all gates.

    Parameters
    ----------
    full : int
        Parameters at the start.
    target : int
        Parameters to end with.
    again : bool, default=False
        Whether the network was finished before.
    """

    full: int
    target: int
    again: bool = False
    _log_price: float = math.log(_FIRST)
    _progress: float = 0.0

    def setpoint(self, progress: float) -> float:
        """Parameters that the network may have when `progress` of the phase is over."""
        end = _END_AGAIN if self.again else _END
        return size_at(progress, self.full, self.target, end)

    def update(self, progress: float, size: float) -> float:
        """Price of one parameter, in units of the loss of one training row.

        Parameters
        ----------
        progress : float in [0, 1]
            Share of the pruning phase that is over; never falls.
        size : float
            Parameters of the units whose gates are more often open than not.
        """
        excess = min(1.0, max(-1.0, math.log(size / self.setpoint(progress))))
        self._log_price += _GAIN * excess * (progress - self._progress)
        self._log_price = min(max(self._log_price, math.log(_LOWEST)), math.log(_HIGHEST))
        self._progress = progress
        return math.exp(self._log_price + _AT_ONCE * excess) if excess > -_SLACK else 0.0

    def hold(self, progress: float) -> float:
        """Price while the network has unlearned what it knew: nothing, whatever its size.

        Parameters
        ----------
        progress : float in [0, 1]
        """
        self._progress = progress
        return 0.0

    def state(self) -> dict[str, Any]:
        """Everything in it, as plain values."""
        return {
            "full": self.full,
            "target": self.target,
            "again": self.again,
            "log_price": self._log_price,
            "progress": self._progress,
        }

    @classmethod
    def restored(cls, fields: StateReader, full: int) -> Self:
        """Return the controller of this state, for a network of `full` parameters at most.

        Raises
        ------
        StateError
            If the state is not sound.
        """
        size_controller = cls(
            full=fields.integer("full", 1, full),
            target=fields.integer("target", 1, full),
            again=fields.flag("again"),
            _log_price=fields.number("log_price", math.log(_LOWEST), math.log(_HIGHEST)),
            _progress=fields.number("progress", 0.0, 1.0),
        )
        fields.end()
        return size_controller
