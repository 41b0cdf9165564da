"""What a target size comes to: parameters, for shares of them and for bytes of a saved model.

May import `fitted`, `memory` (the layout), `names`, `network`, `plan`, `record`, `sizes`, `targets`
and `validation`.
"""

import copy
import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastl0.data.targets import Targets
from fastl0.estimators import attributes, params
from fastl0.estimators.attribute_names import NOT_IN_MODEL
from fastl0.model.network import Network, count_parameters
from fastl0.training.buffers import BufferLayout
from fastl0.training.config import SizeBudget
from fastl0.training.history import History

#: Bytes from which on pickle writes several frames, each with a head of nine bytes.
_FRAME = 2**16

#: Entries of an epoch that are floats, where they are there.
_FLOATS = ("loss", "epoch_time", "score", "validation_loss")


def wanted(
    estimator: Any,
    targets: Targets,
    layout: BufferLayout,
    target_size: Any,
    hidden: Sequence[int],
    before: Sequence[dict[str, Any]],
    *,
    judged: bool,
) -> int:
    """Parameters to end with; 0 for as many as there will be.

    Parameters
    ----------
    estimator : estimator
        Its `n_features_in_` is set.
    targets : Targets
    layout : BufferLayout
        To begin with.
    target_size : int, float, str or None
        In place of that of the estimator where this is None.
    hidden : sequence of int
        Checked `hidden_layer_sizes`.
    before : sequence of dict
        Entries of the epochs of earlier fits.
    judged : bool
        Whether there are validation rows.
    """
    if target_size is None:
        return 0
    # Of the whole network, whatever an earlier fit has deleted of it.
    widths = (estimator.n_features_in_, *hidden, targets.n_outputs)
    smallest, full = _bounds(widths, layout.gated)
    if estimator.target_size is None:
        return max(smallest, int(target_size * full))

    def overhead(size: str) -> int:
        epochs = [*before, *_foreseen(estimator, layout, judged)]
        return _overhead(_with_size(estimator, size), targets, epochs, 0)

    return params.resolve_target_size(target_size, full, smallest, overhead)


def size_budget(estimator: Any, targets: Targets) -> SizeBudget | None:
    """Say how to tell the parameters there is room for; None for a size that is no bytes."""
    if not isinstance(estimator.target_size, str):
        return None
    n_bytes = params.parse_bytes("target_size", estimator.target_size)
    return lambda epochs, n_more: (n_bytes - _overhead(estimator, targets, epochs, n_more)) // 4


def resolve_sizes(
    estimator: Any,
    targets: Targets,
    layout: BufferLayout,
    target_sizes: Sequence[Any] | None,
    shares: Sequence[float] = (),
) -> list[tuple[Any, int]]:
    """Say how many parameters target sizes are in a network that is fitted anew.

    Parameters
    ----------
    estimator : estimator
        Its `n_features_in_` is set.
    targets : Targets
    layout : BufferLayout
        To begin with.
    target_sizes : sequence of int, float and str, or None
        As the estimator takes them; None for `shares`. Bytes leave room for the longest
        history that there may be.
    shares : sequence of float, default=()
        Those too small for the network are left out; where none is left it is the smallest
        network.

    Returns
    -------
    list of (size, n_parameters)
        Large to small.

    Raises
    ------
    ValueError
        If a size breaks a rule, or two are the same.
    """
    smallest, full = _bounds(layout.widths, layout.gated)
    if target_sizes is None:
        # Of shares that are the same number of parameters, the largest.
        found: dict[int, Any] = {}
        for share in shares:
            if int(share * full) >= smallest:
                found.setdefault(int(share * full), share)
        sizes = [(share, n) for n, share in found.items()] or [(smallest, smallest)]
    else:

        def overhead(size: str) -> int:
            judged = bool(estimator.early_stopping)
            epochs = _foreseen(estimator, layout, judged, at_most=True)
            return _overhead(_with_size(estimator, size), targets, epochs, 0)

        name = "target_sizes"
        sizes = [
            (size, params.resolve_target_size(size, full, smallest, overhead, name))
            for size in target_sizes
        ]
        params.check_different(sizes)
    return sorted(sizes, key=lambda size: -size[1])


def _with_size(estimator: Any, target_size: str) -> Any:
    model = copy.copy(estimator)
    model.target_size = target_size
    return model


def _bounds(widths: Sequence[int], gated: Sequence[bool]) -> tuple[int, int]:
    """Parameters of the smallest network that pruning can leave, and of the one to begin with."""
    ones = [1 if has_gates else w for w, has_gates in zip(widths, gated, strict=False)]
    return count_parameters([*ones, widths[-1]]), count_parameters(widths)


def _overhead(
    estimator: Any, targets: Targets, epochs: Sequence[dict[str, Any]], n_more: int
) -> int:
    """Bytes of the pickled estimator beside the numbers of its network.

    Parameters
    ----------
    epochs : sequence of dict
        Entries of the epochs run.
    n_more : int
        Epochs to come, alike the last one.
    """
    # A number of bytes takes more bytes from 2**16 on, which may depend on the number of threads.
    epochs = [entries | {"buffer_nbytes": 2**30} for entries in epochs]
    last = epochs[-1]
    coming = last | {"n_units": (*last["n_units"],)}  # widths change once more
    # Floats of their own: pickle writes an object once.
    names = [name for name in _FLOATS if last[name] is not None]
    rest = [coming | {name: float(k) for name in names} for k in range(n_more)]
    record = History([*epochs, *rest])
    n_layers = len(last["n_units"]) - 1
    network = Network(
        [np.ones((1, 1), np.float32) for _ in range(n_layers)],
        [np.ones(1, np.float32) for _ in range(n_layers)],
        np.ones(estimator.n_features_in_, bool),
        estimator.activation,
        targets.out_activation,
    )
    model = copy.copy(estimator)
    vars(model).update(attributes.of_network(network, targets))
    vars(model).update(attributes.of_record(record, bool(estimator.early_stopping)))
    for name in NOT_IN_MODEL:
        vars(model).pop(name, None)
    # Lengths of arrays may take three bytes more than here: shapes, and those of the numbers.
    most_more = 3 * (3 * n_layers + 2 * n_layers + 8)
    if params.parse_bytes("target_size", estimator.target_size) > _FRAME:
        most_more += 9 * (2 * n_layers + 1)  # large arrays stand between frames
    # Neither of the protocols is the shorter one of arrays and of names.
    most = max(len(pickle.dumps(model, protocol)) for protocol in (4, pickle.HIGHEST_PROTOCOL))
    return most - 8 * n_layers + most_more


def _foreseen(
    estimator: Any, layout: BufferLayout, judged: bool, *, at_most: bool = False
) -> list[dict[str, Any]]:
    """Entries of all epochs as they will be, before any is run; roughly, or at most."""
    pruning = estimator.max_iter * (1.0 - estimator.finetune_fraction)
    epochs: list[dict[str, Any]] = []
    for number in range(estimator.max_iter):
        # In every other epoch of the pruning phase units are deleted.
        is_new = number == 0 or (number < pruning and number % 2 == 0) or at_most
        epochs.append(
            {
                "loss": float(number),
                "epoch_time": float(number),
                "score": float(number) if judged else None,
                "validation_loss": float(number) if judged else None,
                "n_units": (*layout.widths,) if is_new else epochs[-1]["n_units"],
                "n_parameters": count_parameters(layout.widths) // (1 if at_most else 2),
                "buffer_nbytes": layout.nbytes,
                "batch_size": layout.batch_size,
                "samples_seen": 2**30,
            }
        )
    return epochs
