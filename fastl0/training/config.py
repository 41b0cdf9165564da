"""The words in which a training run is spoken of: its settings, its rows, and who is told of it.

May import `_kernels`, `blocks`, `kernels`, `lent` and `network`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastl0._kernels import RowSource
from fastl0._numba.kernels import ACTIVATIONS, LOSSES, SOLVERS
from fastl0._numba.structs import Rule
from fastl0.data.blocks import BlockReader
from fastl0.model.network import Network

#: Called after every epoch with its number (from 0), a function that freezes the network
#: as it is, and the epoch's history entries; True stops the training.
EpochHook = Callable[[int, Callable[[], Network], dict[str, Any]], bool | None]

#: Called with the entries of the epochs run and the number of epochs to come; returns a size.
SizeBudget = Callable[[list[dict[str, Any]], int], int]


class Evaluation(NamedTuple):
    """What validation rows say of a network: a score, larger is better, and the mean loss."""

    score: float
    loss: float


#: Judges a network by validation rows.
Evaluator = Callable[[Network], Evaluation]


class EpochListener(Protocol):
    """Who is told of every epoch."""

    def begin_epoch(self) -> None:
        """An epoch begins."""

    def end_epoch(self, epoch: int, freeze: Callable[[], Network], entries: dict[str, Any]) -> bool:
        """An epoch is over (arguments as in `EpochHook`); say whether to stop."""

    def keep(self, epoch: int, state: Callable[[], dict[str, Any]]) -> None:
        """`state()` is all that the epochs to come depend on; not called after the last one."""


@dataclass(frozen=True)
class TrainingConfig:
    """Checked settings of one training run; see `HardL0MLPClassifier` for their meaning."""

    activation: str
    solver: str
    alpha: float
    batch_size: int  # to begin with
    dynamic_batch_size: bool
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    tol: float
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: int
    lam: float  # of no account with a target
    target: int  # parameters to end with; 0 for none
    memory_limit: int  # bytes of the buffers at most; 0 for none
    penalty: str
    input_price: float
    finetune_fraction: float
    pruning: str
    prune_threshold: float
    gate_learning_rate: str
    gate_learning_rate_init: float
    droprate_init: tuple[float, float]
    loss: str
    loss_parameter: float
    out_activation: str
    center: tuple[float, ...] | None = None  # of the targets, see `Network.in_units_of`
    scale: tuple[float, ...] | None = None

    def rule(
        self,
        batch_size: int,
        rate: float,
        gate_rate: float,
        lam: float,
        mean_weight: float,
        gates_held_open: bool,
    ) -> Rule:
        """Settings of some mini-batches as the kernels take them.

        Parameters
        ----------
        batch_size : int
        rate, gate_rate : float
            Learning rates of the weights and of the gates.
        lam : float
            Price of a parameter, in units of the mean loss of the rows.
        mean_weight : float
            What a row weighs.
        gates_held_open : bool
            Whether all gates are held open.
        """
        return Rule(
            batch_size=batch_size,
            activation=ACTIVATIONS[self.activation],
            loss=LOSSES[self.loss],
            parameter=float(self.loss_parameter),
            solver=SOLVERS[self.solver],
            rate=float(rate),
            gate_rate=float(gate_rate),
            momentum=float(self.momentum),
            nesterov=bool(self.nesterovs_momentum),
            beta_1=float(self.beta_1),
            beta_2=float(self.beta_2),
            epsilon=float(self.epsilon),
            alpha=float(self.alpha) / mean_weight,
            lam=float(lam),
            held_open=gates_held_open,
        )


@dataclass(frozen=True)
class TrainingData:
    """Rows to learn from and rows to judge by. Borrows the user's X.

    `y` holds encoded targets and, where rows have weights, these divided by their mean.
    `rows` are the numbers of the rows to learn from; empty for all `n_rows` of them. Where X is
    read by blocks they ascend.
    `total_weight` is what all rows weigh, and `mean_weight` what one does, before they were
    divided by it.
    `null_loss` is the mean loss of the best prediction that looks at no input: a network that
    does worse has collapsed. `judge` scores a network.
    """

    x: RowSource | BlockReader
    y: RowSource
    n_rows: int
    rows: NDArray[np.int32]
    total_weight: float
    mean_weight: float = 1.0
    null_loss: float = math.inf
    judge: Evaluator | None = None


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
