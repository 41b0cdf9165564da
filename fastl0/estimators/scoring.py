"""Evaluates a network in training by a scikit-learn scorer."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0.data.targets import Targets
from fastl0.estimators import params
from fastl0.estimators.attributes import NOT_IN_MODEL
from fastl0.model.network import Network
from fastl0.training.evaluation import Evaluation, Evaluator


def scorer_evaluator(
    evaluator: Evaluator,
    scorer: Callable[..., Any],
    estimator: Any,
    X: Any,
    y: Any,
    targets: Targets,
    weights: NDArray[np.floating] | None,
) -> Evaluator:
    """Evaluate by a scikit-learn scorer; the loss is that of another evaluator.

    Parameters
    ----------
    evaluator : Evaluator
    scorer : callable
        ``scorer(estimator, X, y)`` or, where there are weights, with ``sample_weight``.
    estimator : estimator
        Whose class and settings the scorer sees; not changed.
    X, y : ndarray, CSR matrix or BlockReader, ndarray
        Validation rows.
    targets : Targets
    weights : ndarray of shape (n_rows,) or None

    Raises
    ------
    ValueError
        By the evaluator, if the scorer returns no finite number; what it raises itself gets a note
        that says so.
    """
    # Checked rows have no names.
    hidden = {"feature_names_in_", *NOT_IN_MODEL}
    # Not by `copy`: a stream would be described, all its epochs, at every call.
    stand_in = object.__new__(type(estimator))
    vars(stand_in).update(
        {name: value for name, value in vars(estimator).items() if name not in hidden}
    )
    extra = {} if weights is None else {"sample_weight": weights}

    def evaluate(network: Network) -> Evaluation:
        stand_in._set_network(network)
        stand_in._set_targets(targets)
        with params.name_scorer_in_errors(estimator.scoring):
            score = scorer(stand_in, X, y, **extra)
        if not isinstance(score, int | float | np.number) or not np.isfinite(score):
            raise ValueError(
                f"`scoring` must give a finite number, got {score!r} from {estimator.scoring!r}. "
                "Use another scorer, or validation rows that hold every class."
            )
        return Evaluation(float(score), evaluator(network).loss)

    return evaluate
