"""The two phases of a training: pruning, then finishing the network that is left.

May import `fields`.
"""

import math
from typing import Any

from fastl0.checkpoint.state_reader import StateReader

#: Factor on the learning rate of the gates below which it does not fall: they have to move.
_LEAST_GATE_RATE = 0.1


def _half_cosine(share: float) -> float:
    """1 at 0, 0 at 1."""
    return 0.5 + 0.5 * math.cos(math.pi * share)


class PhaseSchedule:
    """Which epochs prune and which finish, and what share of the learning rate each gets.

    In the last phase gates are folded into the weights and nothing is random any more; the
    learning rate falls along half a cosine (Loshchilov and Hutter 2017, arXiv 1608.03983,
    eq. 5).

    Parameters
    ----------
    max_iter : int
        Epochs at most, >= 1.
    share : float
        Share of them that finish, in [0, 1).
    all_along : bool, default=False
        Whether the learning rate falls along half a cosine over all epochs instead.
    gates_as_well : bool, default=False
        Whether that of the gates falls so over the pruning phase, to `_LEAST_GATE_RATE`.

    Attributes
    ----------
    finetune_start : int
        Number of the first epoch that finishes.
    end : int
        One past the last epoch.
    """

    def __init__(
        self, max_iter: int, share: float, all_along: bool = False, gates_as_well: bool = False
    ) -> None:
        self._share = share
        self._all_along = all_along
        self._gates_as_well = gates_as_well
        self._decays = True
        self.end = max_iter
        self.finetune_start = max_iter - min(max_iter - 1, round(share * max_iter))

    def finetune_after(self, n_epochs: int) -> None:
        """Begin to finish after `n_epochs`, for a time in proportion to these."""
        n_finishing = math.ceil(n_epochs * self._share / (1.0 - self._share))
        self.finetune_start = n_epochs
        self.end = min(self.end, n_epochs + n_finishing)

    def finetune_from_halfway(self, *, is_new: bool) -> None:
        """Finish from the middle of the epochs on, with the learning rate as it was.

        For trainings so short that what a falling rate takes away is missed. A single epoch comes
        after the cut where the network `is_new`, else before it.
        """
        self.finetune_start = self.end // 2 if is_new else max(1, self.end // 2)
        self._decays = False

    def state(self) -> dict[str, Any]:
        """What `finetune_after` and `finetune_from_halfway` may have changed."""
        return {"begin": self.finetune_start, "end": self.end, "falls": self._decays}

    def restore(self, fields: StateReader) -> None:
        """Take up a state.

        Raises
        ------
        StateError
            If the state is not sound.
        """
        end = fields.integer("end", 1, self.end)
        self._decays = fields.flag("falls")
        self.finetune_start, self.end = fields.integer("begin", 1 if self._decays else 0, end), end
        fields.end()

    def progress(self, epoch: float) -> float:
        """Share of the pruning phase that is over when `epoch` epochs are."""
        return min(1.0, epoch / self.finetune_start) if self.finetune_start else 1.0

    def rate_factor(self, epoch: int) -> float:
        """Factor on the learning rate in epoch number `epoch`."""
        if self._all_along:
            return _half_cosine(epoch / self.end)
        if epoch < self.finetune_start or not self._decays:
            return 1.0
        return _half_cosine((epoch - self.finetune_start) / (self.end - self.finetune_start))

    def gate_rate_factor(self, epoch: int) -> float:
        """Factor on the learning rate of the gates in epoch number `epoch`."""
        if not self._gates_as_well:
            return 1.0
        return max(_LEAST_GATE_RATE, _half_cosine(self.progress(epoch)))

    def averaging_weight(self, epoch: int) -> float:
        """Weight of an epoch that finishes in the running average of the weights."""
        n_finished = epoch - self.finetune_start + 1
        horizon = max(1.0, (self.end - self.finetune_start) / 10.0)
        return max(1.0 / n_finished, 1.0 / horizon)
