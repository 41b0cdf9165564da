"""The two phases of a training: pruning, then finishing the network that is left.

Imports nothing of fastl0.
"""

import math


class Course:
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

    Attributes
    ----------
    begin : int
        Number of the first epoch that finishes.
    end : int
        One past the last epoch.
    """

    def __init__(self, max_iter: int, share: float) -> None:
        self._share = share
        self.end = max_iter
        self.begin = max_iter - min(max_iter - 1, round(share * max_iter))

    def finish_after(self, n_epochs: int) -> None:
        """Begin to finish after `n_epochs`, for a time in proportion to these."""
        n_finishing = math.ceil(n_epochs * self._share / (1.0 - self._share))
        self.begin = n_epochs
        self.end = min(self.end, n_epochs + n_finishing)

    def progress(self, epoch: float) -> float:
        """Share of the pruning phase that is over when `epoch` epochs are."""
        return min(1.0, epoch / self.begin)

    def rate(self, epoch: int) -> float:
        """Factor on the learning rate in epoch number `epoch`."""
        if epoch < self.begin:
            return 1.0
        return 0.5 + 0.5 * math.cos(math.pi * (epoch - self.begin) / (self.end - self.begin))

    def averaged(self, epoch: int) -> float:
        """Weight of an epoch that finishes in the running average of the weights."""
        n_finished = epoch - self.begin + 1
        horizon = max(1.0, (self.end - self.begin) / 10.0)
        return max(1.0 / n_finished, 1.0 / horizon)
