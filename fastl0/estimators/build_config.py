"""Turns the parameters of an estimator into a training configuration and a buffer layout."""

import math
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from fastl0.data.targets import Targets
from fastl0.estimators import byte_sizes, params
from fastl0.estimators.target_size import parameters_of
from fastl0.model import hard_concrete
from fastl0.model.encoding import NUMBERS_OF_A_PART
from fastl0.training.buffer_layout import BufferLayout, fit_into
from fastl0.training.config import TrainingConfig
from fastl0.training.threads import usable_threads

#: Parameters that shape a network; a warm start cannot change them.
_ARCHITECTURE = (
    "hidden_layer_sizes",
    "solver",
    "pruning",
    "gate_inputs",
    "encoding",
    "activation",
    "early_stopping",
)

#: Share of its parameters that a network keeps where neither a price nor a size is given.
DEFAULT_SHARE = 0.3

#: Rows of a mini-batch that a memory budget leaves, at least.
_FEWEST_ROWS = 8

#: Factor on the learning rate where a memory budget turns Adam into gradient descent: its steps
#: are not normalised.
_RATE_WITHOUT_ADAM = 30.0

#: Settings that have the name of a parameter, but not its value.
_RESOLVED = ("batch_size", "droprate_init", "loss")


def initial_layout(
    estimator: Any,
    n_outputs: int,
    n_codes: int,
    *,
    n_inputs: int,
    batch_size: int,
    before: BufferLayout | None = None,
    snapshot: bool = False,
) -> BufferLayout:
    """Lay out the buffers to begin with, within the memory budget.

    Parameters
    ----------
    estimator : estimator
    n_outputs : int
    n_codes : int
        Numbers a row in the encoded targets, the weight of the row included.
    n_inputs : int
        Columns of X, or the parts that are made of them.
    batch_size : int
        Where the budget has room for it.
    before : BufferLayout, default=None
        Of the buffers that an earlier fit has left, to go on with.
    snapshot : bool, default=False
        Whether a copy to go back to is wished for, where the budget has room for it.

    Raises
    ------
    ValueError
        If nothing fits into the budget, or a parameter breaks a rule.
    """
    gated = estimator.pruning != "none"
    widths = (n_inputs, *params.hidden_widths(estimator.hidden_layer_sizes), n_outputs)
    layout = BufferLayout(
        widths=widths if before is None else before.widths,
        batch_size=batch_size,
        n_targets=n_codes,
        n_moments=2 if estimator.solver == "adam" else 1,
        gated=tuple(gated and (k > 0 or estimator.gate_inputs) for k in range(len(widths) - 1)),
        n_threads=usable_threads(),
    )
    if before is not None:  # a budget may have cost an earlier fit its second moments
        layout = replace(layout, n_moments=before.n_moments)
    if estimator.memory_budget is None:
        return replace(layout, snapshot=snapshot)
    if estimator.batch_size == "dynamic":
        # Mini-batches grow up to the budget: with more threads they could not grow as far.
        layout = replace(layout, n_threads=1)
    budget = byte_sizes.parse_bytes("memory_budget", estimator.memory_budget)
    fewest = min(_FEWEST_ROWS, layout.batch_size)
    fewest_moments = 1 if before is None else layout.n_moments
    found = fit_into(layout, budget, fewest, fewest_moments)
    if found is None:
        smallest = replace(layout, batch_size=fewest, n_moments=fewest_moments, n_threads=1)
        raise params.budget_too_small(estimator.memory_budget, smallest.nbytes)
    # Threads leave room for the average of the weights and for a copy to go back to: whether
    # there are these must not depend on them.
    most = replace(found, averaged=estimator.pruning == "hard" and estimator.finetune_fraction > 0)
    snapshot = snapshot and replace(most, n_threads=1, snapshot=True).nbytes <= budget
    most = replace(most, snapshot=snapshot)
    while most.n_threads > 1 and most.nbytes > budget:
        most = replace(most, n_threads=most.n_threads - 1)
    return replace(most, averaged=False)


def build_config(
    estimator: Any,
    targets: Targets,
    layout: BufferLayout,
    *,
    n_parts: int = 0,
    target: int | None = None,
) -> TrainingConfig:
    """Turn the parameters of an estimator into a checked configuration.

    Parameters
    ----------
    estimator : estimator
        Its `n_features_in_` is set.
    targets : Targets
    layout : BufferLayout
        To begin with.
    n_parts : int, default=0
        Parts that inputs are made of; 0 for none.
    target : int, default=None
        Parameters to end with, where this is settled.

    Raises
    ------
    ValueError
        If parameters break a rule.
    """
    plain: dict[Any, Any] = {float: float, int: _whole, bool: bool}
    settings: dict[str, Any] = {}
    for field in fields(TrainingConfig):
        value = getattr(estimator, field.name, None)
        if field.name in _RESOLVED or value is None:
            continue
        if field.type is float:
            params.check_float32(field.name, value)
        # NumPy's scalars would give the loss their own type, and kernels take Python's only.
        settings[field.name] = plain.get(field.type, lambda value: value)(value)
    lam, target_size = params.resolve_strength(
        estimator.lam, estimator.target_size, estimator.pruning, DEFAULT_SHARE
    )
    if target_size is not None:
        limits = hard_concrete.on_probability(
            [-hard_concrete.LOG_ODDS_LIMIT, hard_concrete.LOG_ODDS_LIMIT]
        )
        params.check_threshold(estimator.prune_threshold, *map(float, limits))
    if target is None:
        hidden = params.hidden_widths(estimator.hidden_layer_sizes)
        # Of the whole network, whatever an earlier fit has deleted of it.
        widths = (estimator.n_features_in_, *hidden, targets.n_outputs)
        is_default = estimator.target_size is None
        target = parameters_of(
            target_size, widths, layout.gated, is_default=is_default, n_parts=n_parts
        )
    budget = estimator.memory_budget
    settings |= {
        "batch_size": layout.batch_size,
        "dynamic_batch_size": estimator.batch_size == "dynamic",
        "droprate_init": params.check_droprates(estimator.droprate_init),
        "loss": targets.loss,
        "loss_parameter": targets.parameter,
        "out_activation": targets.out_activation,
        "center": None if targets.center is None else tuple(map(float, targets.center)),
        "scale": None if targets.scale is None else tuple(map(float, targets.scale)),
        "lam": lam,
        "target": target,
        "input_cost": NUMBERS_OF_A_PART if n_parts else 0,
        "memory_limit": 0 if budget is None else byte_sizes.parse_bytes("memory_budget", budget),
    }
    if estimator.pruning != "hard" or (estimator.warm_start and target_size is None):
        settings["finetune_fraction"] = 0.0
    if estimator.solver == "adam" and layout.n_moments < 2:
        settings["solver"] = "sgd"
        if estimator.learning_rate != "cosine":
            settings["learning_rate"] = "constant"  # the others have no effect on Adam
        settings["learning_rate_init"] *= _RATE_WITHOUT_ADAM
    return TrainingConfig(**settings)


def _whole(value: Any) -> int:
    """Return an int; for infinity one that is as good."""
    return sys.maxsize if value == math.inf else int(value)


def architecture(estimator: Any) -> dict[str, Any]:
    """Return the parameters that a warm start cannot change."""
    settings = {name: getattr(estimator, name) for name in _ARCHITECTURE}
    settings["hidden_layer_sizes"] = params.hidden_widths(estimator.hidden_layer_sizes)
    return settings


def check_widths(estimator: Any, n_units: Sequence[int]) -> None:
    """Check that a network that was fitted has room in the layers of an estimator.

    Parameters
    ----------
    estimator : estimator
    n_units : sequence of int
        Units of every layer that a fit has left, inputs and outputs included.

    Raises
    ------
    ValueError
        If it has not, as the parameters are those of another one.
    """
    hidden, found = params.hidden_widths(estimator.hidden_layer_sizes), n_units[1:-1]
    if len(hidden) != len(found) or any(n > most for n, most in zip(found, hidden, strict=True)):
        raise ValueError(
            "`hidden_layer_sizes` must not change between fit and partial_fit, got "
            f"{estimator.hidden_layer_sizes!r} for a network with {tuple(found)!r} hidden units. "
            "Start afresh: clone the estimator."
        )


def check_architecture(estimator: Any, before: dict[str, Any]) -> None:
    """Check that the parameters that shape the network are those of the first fit.

    Raises
    ------
    ValueError
        If one is not.
    """
    for name, value in architecture(estimator).items():
        if value != before[name]:
            raise ValueError(
                f"`{name}` must not change between fits with warm_start=True or calls of "
                f"partial_fit, got {value!r} after {before[name]!r}. Start afresh: set "
                "warm_start=False, or clone the estimator."
            )
