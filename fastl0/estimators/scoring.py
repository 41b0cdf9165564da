"""Scores a network in training by validation rows.

May import `names`, `network`, `targets`, `fitted`, `validation` and `plan` (the forms a judgement
takes), and `_kernels` and `blocks` (the readers of rows).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0._kernels import RowSource
from fastl0.data.blocks import BlockReader
from fastl0.data.targets import Targets
from fastl0.estimators import attributes, params
from fastl0.estimators.attribute_names import NOT_IN_MODEL
from fastl0.model.network import Network
from fastl0.training.config import Evaluation, Evaluator

#: Validation rows gathered and put through the network at a time, and bytes that they may take.
_BLOCK, _BLOCK_NBYTES = 1024, 2**22


def default_evaluator(
    x: RowSource | BlockReader,
    rows: NDArray[np.int32],
    targets: Targets,
    weights: NDArray[np.floating] | None,
) -> Evaluator:
    """Judge by accuracy or R^2.

    Parameters
    ----------
    x : RowSource or BlockReader
    rows : int32 array of shape (n_rows,)
        Which rows of it to judge by; ascending for blocks.
    targets : Targets
        Of these rows.
    weights : ndarray of shape (n_rows,) or None
        Of these rows.
    """

    def judge(network: Network) -> Evaluation:
        outputs = _outputs(network, x, rows)
        return Evaluation(targets.score(outputs, weights), targets.mean_loss(outputs, weights))

    return judge


def scorer_evaluator(
    judge: Evaluator,
    scorer: Callable[..., Any],
    estimator: Any,
    X: Any,
    y: Any,
    targets: Targets,
    weights: NDArray[np.floating] | None,
) -> Evaluator:
    """Judge by a scikit-learn scorer; the loss is that of another judge.

    Parameters
    ----------
    judge : Evaluator
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
        By the judge, if the scorer returns no finite number; what it raises itself gets a note
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

    def judge_by_scorer(network: Network) -> Evaluation:
        vars(stand_in).update(attributes.of_network(network, targets))
        with params.name_scorer_in_errors(estimator.scoring):
            score = scorer(stand_in, X, y, **extra)
        if not isinstance(score, int | float | np.number) or not np.isfinite(score):
            raise ValueError(
                f"`scoring` must give a finite number, got {score!r} from {estimator.scoring!r}. "
                "Use another scorer, or validation rows that hold every class."
            )
        return Evaluation(float(score), judge(network).loss)

    return judge_by_scorer


def _outputs(
    network: Network, x: RowSource | BlockReader, rows: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Outputs of a network for some rows."""
    if not isinstance(x, BlockReader):
        return _outputs_in_memory(network, x, rows)
    outputs = np.empty((len(rows), network.n_units[-1]), dtype=np.float32)
    for places, values in x[rows]:
        some = np.arange(len(values), dtype=np.int32)
        outputs[places] = _outputs_in_memory(network, RowSource(values), some)
    return outputs


def _outputs_in_memory(
    network: Network, x: RowSource, rows: NDArray[np.int32]
) -> NDArray[np.float32]:
    """As `_outputs`; reads no more columns than it needs."""
    columns = np.flatnonzero(network.support).astype(np.int32)
    reader = replace(network, support=np.ones(len(columns), dtype=bool))
    outputs = np.empty((len(rows), network.n_units[-1]), dtype=np.float32)
    n_rows = max(1, min(_BLOCK, len(rows), _BLOCK_NBYTES // (4 * len(columns))))
    room = np.empty((n_rows, len(columns)), dtype=np.float32)
    for start in range(0, len(rows), n_rows):
        some = rows[start : start + n_rows]
        block = room[: len(some)]
        x.gather(some, columns, block)
        outputs[start : start + len(some)] = reader.outputs(block)
    return outputs
