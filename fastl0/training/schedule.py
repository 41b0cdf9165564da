"""The two phases of a training, pruning and fine-tuning, and the learning rate in each epoch."""

import math
from dataclasses import dataclass
from typing import Any

from fastl0.checkpoint.state_reader import StateReader

#: With learning_rate="adaptive" the rate is not lowered below this (as in scikit-learn).
LOWEST_RATE = 1e-6

#: Factor on the learning rate of the gates below which it does not fall: they have to move.
_LEAST_GATE_RATE = 0.1


def _half_cosine(share: float) -> float:
    """1 at 0, 0 at 1."""
    return 0.5 + 0.5 * math.cos(math.pi * share)


class PhaseSchedule:
    """Which epochs prune and which fine-tune, and what share of the learning rate each gets.

    In the last phase gates are folded into the weights and nothing is random any more; the
    learning rate falls along half a cosine (Loshchilov and Hutter 2017, arXiv 1608.03983,
    eq. 5).

    Parameters
    ----------
    max_iter : int
        Epochs at most, >= 1.
    share : float
        Share of them that fine-tune, in [0, 1).
    whole_fit : bool, default=False
        Whether the learning rate falls along half a cosine over all epochs instead.
    gates_too : bool, default=False
        Whether that of the gates falls so over the pruning phase, to `_LEAST_GATE_RATE`.

    Attributes
    ----------
    finetune_start : int
        Number of the first epoch that fine-tunes.
    end : int
        One past the last epoch.
    """

    def __init__(
        self, max_iter: int, share: float, whole_fit: bool = False, gates_too: bool = False
    ) -> None:
        self._share = share
        self._whole_fit = whole_fit
        self._gates_too = gates_too
        self._decays = True
        self.end = max_iter
        self.finetune_start = max_iter - min(max_iter - 1, round(share * max_iter))

    def finetune_after(self, n_epochs: int) -> None:
        """Begin to fine-tune after `n_epochs`, for a time in proportion to these."""
        n_finetuning = math.ceil(n_epochs * self._share / (1.0 - self._share))
        self.finetune_start = n_epochs
        self.end = min(self.end, n_epochs + n_finetuning)

    def finetune_from_halfway(self, *, is_new: bool) -> None:
        """Fine-tune from the middle of the epochs on, with the learning rate as it was.

        For trainings so short that what a falling rate takes away is missed. A single epoch comes
        after the cut where the network `is_new`, else before it.
        """
        self.finetune_start = self.end // 2 if is_new else max(1, self.end // 2)
        self._decays = False

    def state(self) -> dict[str, Any]:
        """What `finetune_after` and `finetune_from_halfway` may have changed."""
        return {"finetune_start": self.finetune_start, "end": self.end, "decays": self._decays}

    def restore(self, fields: StateReader) -> None:
        """Take up a state.

        Raises
        ------
        StateError
            If the state is not sound.
        """
        end = fields.integer("end", 1, self.end)
        self._decays = fields.flag("decays")
        self.finetune_start, self.end = (
            fields.integer("finetune_start", 1 if self._decays else 0, end),
            end,
        )
        fields.end()

    def progress(self, epoch: float) -> float:
        """Share of the pruning phase that is over when `epoch` epochs are."""
        return min(1.0, epoch / self.finetune_start) if self.finetune_start else 1.0

    def rate_factor(self, epoch: int) -> float:
        """Factor on the learning rate in epoch number `epoch`."""
        if self._whole_fit:
            return _half_cosine(epoch / self.end)
        if epoch < self.finetune_start or not self._decays:
            return 1.0
        return _half_cosine((epoch - self.finetune_start) / (self.end - self.finetune_start))

    def gate_rate_factor(self, epoch: int) -> float:
        """Factor on the learning rate of the gates in epoch number `epoch`."""
        if not self._gates_too:
            return 1.0
        return max(_LEAST_GATE_RATE, _half_cosine(self.progress(epoch)))

    def averaging_weight(self, epoch: int) -> float:
        """Weight of an epoch of the last phase in the running average of the weights."""
        n_averaged = epoch - self.finetune_start + 1
        horizon = max(1.0, (self.end - self.finetune_start) / 10.0)
        return max(1.0 / n_averaged, 1.0 / horizon)


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
        """Say whether to stop where there is no progress; "adaptive" lowers the rate first."""
        if self.kind != "adaptive" or self.rate <= LOWEST_RATE:
            return True
        self.rate /= 5.0
        return False
