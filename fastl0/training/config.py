"""What a training is told: its settings and its rows."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0._kernels import RowSource
from fastl0.data.blocks import BlockReader
from fastl0.kernel_api.codes import ACTIVATIONS, LOSSES, SOLVERS
from fastl0.kernel_api.structs import StepParams
from fastl0.training.evaluation import Evaluator


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
    input_cost: int  # numbers that an input takes beside its weights
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
    center: tuple[float, ...] | None = None  # of the targets, see `Network.denormalize_outputs`
    scale: tuple[float, ...] | None = None

    def step_params(
        self,
        batch_size: int,
        rate: float,
        gate_rate: float,
        lam: float,
        mean_weight: float,
        held_open: bool,
    ) -> StepParams:
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
        held_open : bool
            Whether all gates are held open.
        """
        return StepParams(
            batch_size=batch_size,
            activation=ACTIVATIONS[self.activation],
            loss=LOSSES[self.loss],
            parameter=float(self.loss_parameter),
            solver=SOLVERS[self.solver],
            rate=float(rate),
            gate_rate=float(gate_rate),
            momentum=float(self.momentum),
            nesterov=int(self.nesterovs_momentum),
            beta_1=float(self.beta_1),
            beta_2=float(self.beta_2),
            epsilon=float(self.epsilon),
            alpha=float(self.alpha) / mean_weight,
            lam=float(lam),
            held_open=int(held_open),
        )


@dataclass(frozen=True)
class TrainingData:
    """Rows to learn from, and how to evaluate what has been learned. Borrows the user's X.

    `y` holds encoded targets and, where rows have weights, these divided by their mean.
    `rows` are the numbers of the rows to learn from; empty for all `n_rows` of them. Where X is
    read by blocks they ascend.
    `total_weight` is what all rows weigh, and `mean_weight` what one does, before they were
    divided by it.
    `null_loss` is the mean loss of the best prediction that looks at no input: a network that
    does worse has collapsed. `evaluator` scores a network by validation rows.
    `parts` is what is made of blocks of X (see `model.encoding`); a RowSource knows by itself.
    """

    x: RowSource | BlockReader
    y: RowSource
    n_rows: int
    rows: NDArray[np.int32]
    total_weight: float
    mean_weight: float = 1.0
    null_loss: float = math.inf
    evaluator: Evaluator | None = None
    parts: NDArray[Any] | None = None
