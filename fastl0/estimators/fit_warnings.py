"""Warnings that a fit may end with, or begin with."""

import math
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastl0._warnings import warn
from fastl0.data.targets import Targets
from fastl0.training.config import TrainingConfig
from fastl0.training.pruner import min_gate_updates
from fastl0.training.schedule import PhaseSchedule
from fastl0.training.trainer import Trainer

#: Steps of float32 at the mean of the targets, in standard deviations, at most.
_MAX_STEP = 0.1


def warn_if_sgd_replaces_adam(
    estimator: Any, config: TrainingConfig, *, again: bool = False
) -> None:
    """Warn if a memory budget has turned Adam into gradient descent, now or in an earlier fit."""
    if estimator.solver != config.solver:
        warn(
            (
                "The first fit kept no second moments of Adam, for want of memory"
                if again
                else f"memory_budget={estimator.memory_budget!r} leaves no room for the second "
                "moments of Adam"
            )
            + ': training uses solver="sgd" with '
            f"learning_rate_init={config.learning_rate_init:g}.",
            UserWarning,
        )


def warn_if_coarse(targets: Targets) -> None:
    """Warn of numbers so far from zero that float32, as `intercepts_` are, loses their spread."""
    if targets.center is None or targets.scale is None:
        return
    step = np.spacing(np.abs(targets.center).astype(np.float32))
    is_coarse = (step > _MAX_STEP * targets.scale) & (targets.scale != 1.0)  # 1 if constant
    if is_coarse.any():
        column = int(np.argmax(is_coarse))
        warn(
            f"y lies around {targets.center[column]:.6g} with a standard deviation of "
            f"{targets.scale[column]:.3g}, where float32, in which networks are kept, has steps of "
            f"{step[column]:.3g}. Subtract a constant from y.",
            UserWarning,
        )


def warn_if_not_converged(trainer: Trainer) -> None:
    """Warn if training has ended while the objective was still improving."""
    if not trainer.history.converged:
        warn(
            f"Training stopped at max_iter={trainer.config.max_iter} epochs while the objective "
            "was still improving. Raise max_iter to train on.",
            ConvergenceWarning,
        )


def warn_of_too_few_updates(config: TrainingConfig, n_run: int, n_rows: int) -> None:
    """Warn that units were deleted before gates could learn which of them matter."""
    n_batches = -(-n_rows // config.batch_size)
    needed, rate, share = (
        min_gate_updates(config), config.gate_learning_rate_init, config.finetune_fraction
    )  # fmt: skip
    warn(
        f"{n_run} epochs of {n_batches} mini-batches are too few for the gates to learn which "
        f"units matter ({needed} mini-batches at gate_learning_rate_init={rate:g}, beside the last "
        f"{share:.0%} of the epochs): units were deleted all at once. Set "
        f"max_iter={_epochs_for(needed, n_batches, share)} or more, or a smaller batch_size or "
        "finetune_fraction, or a larger gate_learning_rate_init; or keep all units with "
        'pruning="none".',
        ConvergenceWarning,
    )


def _epochs_for(n_updates: int, n_batches: int, finetune_fraction: float) -> int:
    """Fewest `max_iter` with so many mini-batches in its pruning phase."""
    n_pruning = -(-n_updates // n_batches)
    if n_pruning == 1:
        return 1
    # The last phase is rounded to whole epochs: to within a few epochs this is the number.
    n_epochs = max(1, math.floor((n_pruning - 0.5) / (1.0 - finetune_fraction)) - 1)
    while PhaseSchedule(n_epochs, finetune_fraction).finetune_start < n_pruning:
        n_epochs += 1
    return n_epochs
