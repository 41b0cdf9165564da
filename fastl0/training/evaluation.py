"""Evaluates a network in training by validation rows."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastl0._kernels import RowSource
from fastl0.data.blocks import BlockReader
from fastl0.data.targets import Targets
from fastl0.model.network import Network

#: Validation rows gathered and put through the network at a time, and bytes that they may take.
_BLOCK, _BLOCK_NBYTES = 1024, 2**22


class Evaluation(NamedTuple):
    """What validation rows say of a network: a score, larger is better, and the mean loss."""

    score: float
    loss: float


#: Evaluates a network by validation rows.
Evaluator = Callable[[Network], Evaluation]


def default_evaluator(
    x: RowSource | BlockReader,
    rows: NDArray[np.int32],
    targets: Targets,
    weights: NDArray[np.floating] | None,
    parts: NDArray[Any] | None = None,
) -> Evaluator:
    """Evaluate by accuracy or R^2.

    Parameters
    ----------
    x : RowSource or BlockReader
    rows : int32 array of shape (n_rows,)
        Which rows of it to evaluate by; ascending for blocks.
    targets : Targets
        Of these rows.
    weights : ndarray of shape (n_rows,) or None
        Of these rows.
    parts : ndarray of `encoding.PART`, default=None
        What is made of blocks; a RowSource knows by itself.
    """

    def evaluate(network: Network) -> Evaluation:
        outputs = _outputs(network, x, rows, parts)
        return Evaluation(targets.score(outputs, weights), targets.mean_loss(outputs, weights))

    return evaluate


def row_losses(
    network: Network,
    x: RowSource | BlockReader,
    rows: NDArray[np.int32],
    targets: Targets,
    parts: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """Loss of each of some rows; parameters as those of `default_evaluator`."""
    return targets.row_losses(_outputs(network, x, rows, parts))


def _outputs(
    network: Network,
    x: RowSource | BlockReader,
    rows: NDArray[np.int32],
    parts: NDArray[Any] | None,
) -> NDArray[np.float32]:
    """Outputs of a network for some rows."""
    if not isinstance(x, BlockReader):
        return _outputs_in_memory(network, x, rows)
    outputs = np.empty((len(rows), network.n_units[-1]), dtype=np.float32)
    for places, values in x[rows]:
        some = np.arange(len(values), dtype=np.int32)
        outputs[places] = _outputs_in_memory(network, RowSource(values, 1, parts), some)
    return outputs


def _outputs_in_memory(
    network: Network, x: RowSource, rows: NDArray[np.int32]
) -> NDArray[np.float32]:
    """As `_outputs`; reads no more columns than it needs."""
    columns = np.flatnonzero(network.support).astype(np.int32)
    # What is read are the parts already, where there are such.
    reader = replace(network, support=np.ones(len(columns), dtype=bool), encoding=None)
    outputs = np.empty((len(rows), network.n_units[-1]), dtype=np.float32)
    n_rows = max(1, min(_BLOCK, len(rows), _BLOCK_NBYTES // (4 * len(columns))))
    room = np.empty((n_rows, len(columns)), dtype=np.float32)
    for start in range(0, len(rows), n_rows):
        some = rows[start : start + n_rows]
        block = room[: len(some)]
        x.gather(some, columns, block)
        outputs[start : start + len(some)] = reader.outputs(block)
    return outputs
