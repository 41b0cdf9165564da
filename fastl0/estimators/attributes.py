"""What a fitted estimator tells of its network and its training: attributes with an underscore.

May import `network`, `plan`, `record`, `targets` and `training`.
"""

from typing import Any

from fastl0.data.targets import Targets
from fastl0.model.network import Network
from fastl0.training.config import TrainingConfig
from fastl0.training.history import HISTORY_KEYS, History
from fastl0.training.trainer import Trainer


def fitted_attributes(plan: TrainingConfig, targets: Targets, trainer: Trainer) -> dict[str, Any]:
    """Fitted attributes for the network as it is, or the best one under early stopping."""
    record = trainer.record
    network: Network = record.best if plan.early_stopping and record.best else (
        trainer.freeze(plan)
    )  # fmt: skip
    return of_network(network, targets) | of_record(record, plan.early_stopping)


def of_network(network: Network, targets: Targets) -> dict[str, Any]:
    """Fitted attributes that predicting takes, and those that describe the network."""
    return {
        "coefs_": network.coefs,
        "intercepts_": network.intercepts,
        "support_": network.support,
        "n_units_": network.n_units,
        "n_parameters_": network.n_parameters,
        "n_layers_": len(network.n_units),
        "out_activation_": network.out_activation,
        **targets.attributes,
    }


def of_record(record: History, early_stopping: bool) -> dict[str, Any]:
    """Fitted attributes that tell of the training."""
    history = {name: record.column(name) for name in HISTORY_KEYS}
    scores: list[float | None] | None = record.column("score")
    # Epochs of a stream may have had none.
    if all(score is None for score in scores or ()):
        scores = None
    best_score = max((s for s in scores if s is not None), default=None) if scores else None
    # Of networks within the target size:
    if scores and early_stopping and record.best and record.patience:
        best_score = record.patience.best_score
    return {
        "n_iter_": record.n_epochs_in_fit,
        "loss_": history["loss"][-1],
        "best_loss_": None if early_stopping else min(history["loss"]),
        "loss_curve_": history["loss"],
        "validation_scores_": scores,
        "validation_loss_curve_": record.column("validation_loss") if scores else None,
        "best_validation_score_": best_score,
        "t_": record.samples_seen,
        "history_": history,
    }
