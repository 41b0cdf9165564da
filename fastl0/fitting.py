"""One fit from end to end: check, split, train, keep what is left.

Stands between the estimator and the training loop; loaded by `fit` only. May import
everything but the estimator and the commands.
"""

import copy
import pickle
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data
from tqdm import tqdm

from fastl0 import gates, validation
from fastl0._kernels import RowSource
from fastl0.callbacks import EpochCallbacks
from fastl0.memory import Layout, fit_into
from fastl0.network import Network
from fastl0.sizes import count_parameters
from fastl0.threads import usable_threads
from fastl0.training import HISTORY, Data, EpochHook, Plan, Record, Trainer
from fastl0.validation import Targets

#: Parameters that shape a network; a warm start cannot change them.
_SHAPING = (
    "hidden_layer_sizes",
    "solver",
    "pruning",
    "gate_inputs",
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

#: Bytes from which on pickle writes several frames, each with a head of nine bytes.
_FRAME = 2**16

#: Labels counted in one go.
_BLOCK = 2**16

#: Packages whose frames a warning passes over.
_INSIDE = ("fastl0", "sklearn")


@dataclass
class WarmState:
    """What a fit with ``warm_start=True`` leaves for the next one."""

    trainer: Trainer
    shaping: dict[str, Any]

    def forget_record(self) -> None:
        """Let the next fit tell of its own epochs only."""
        self.trainer.record = Record()


def fit_classifier(
    estimator: Any, X: Any, y: Any, on_epoch: EpochHook | None, *, keep_interrupted: bool
) -> None:
    """Train `estimator` on X and y and set its fitted attributes.

    Parameters
    ----------
    estimator : HardL0MLPClassifier
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_labels)
    on_epoch : callable or None
        See `training.EpochHook`.
    keep_interrupted : bool
        Whether Ctrl-C after the first epoch keeps the network trained so far.

    Raises
    ------
    ValueError
        If something breaks a rule, or the loss stops being finite. The estimator is then
        as it was before.
    """
    warm = getattr(estimator, "_warm_state", None) if estimator.warm_start else None
    if estimator.warm_start and warm is None and hasattr(estimator, "coefs_"):
        _warn(
            "warm_start=True starts afresh: the last fit kept no training state. Set "
            "warm_start=True before the first fit.",
            UserWarning,
        )
    with _undone_on_error(estimator, ("n_features_in_", "feature_names_in_")):
        X, y = validate_data(
            estimator, X, y, accept_sparse="csr", multi_output=True, reset=warm is None
        )
        x_values = validation.readable(X)
        targets = validation.encode_targets(y)
        if warm is not None:
            validation.check_same_targets(targets, estimator.classes_, estimator._multilabel)
        random_state = check_random_state(estimator.random_state)
        rows, validation_rows = _split(estimator, targets, random_state)
        n_rows = len(rows) or len(targets.codes)
        layout = _layout(estimator, targets, n_rows, X.shape[1], warm)
        plan = _plan(estimator, targets, layout, warm)
        trainer = _trainer(estimator, plan, layout, random_state, warm)
        if isinstance(estimator.target_size, str):
            n_bytes = validation.n_bytes("target_size", estimator.target_size)
            trainer.size_left = lambda epochs, n_more: (
                (n_bytes - _overhead(estimator, targets, epochs, n_more)) // 4
            )
        data = Data(
            x=RowSource(x_values, trainer.buffers.n_threads),
            y=RowSource(targets.codes),
            n_rows=n_rows,
            rows=rows,
            validation_rows=validation_rows,
            validation_codes=_as_codes(targets.codes[validation_rows]),
            null_loss=_null_loss(targets),
        )
        callbacks = EpochCallbacks(estimator, X, y, plan.max_iter)
        n_before = trainer.record.n_epochs
        try:
            with _Watcher(estimator, plan, targets, trainer, callbacks, on_epoch) as watcher:
                trainer.fit(plan, data, watcher)
        except KeyboardInterrupt:
            # Before its first epoch is over, a warm start has no gates to come to a new size by.
            has_trained = trainer.record.n_epochs > n_before
            if not (keep_interrupted and has_trained and trainer.buffers.usable()):
                raise
            _warn("Training interrupted by user.", UserWarning)
        else:
            _warn_if_not_converged(trainer.record, plan)
        trainer.settle(plan)
        trainer.size_left = None  # holds what a pickle cannot, and the targets
        attributes = _attributes(plan, targets, trainer)
        kept = WarmState(trainer, _shaping(estimator)) if estimator.warm_start else None
    # One step, so that Ctrl-C cannot leave half of the attributes behind.
    vars(estimator).update(attributes | ({"_warm_state": kept} if kept else {}))
    if kept is None:
        vars(estimator).pop("_warm_state", None)
    callbacks.end_fit(lambda: attributes)


@contextmanager
def _undone_on_error(estimator: Any, names: tuple[str, ...]) -> Iterator[None]:
    """Give the named attributes back their values if the block fails."""
    before = {name: value for name, value in vars(estimator).items() if name in names}
    try:
        yield
    except BaseException:
        vars(estimator).update(before)
        for name in set(names) - set(before):
            vars(estimator).pop(name, None)
        raise


def _as_codes(codes: NDArray[np.integer]) -> NDArray[np.integer]:
    return codes[:, 0] if codes.shape[1] == 1 else codes


def _null_loss(targets: Targets) -> float:
    """Mean loss of the shares of the classes as prediction for every row."""
    if targets.out_activation == "softmax":
        codes, counts = targets.codes[:, 0], np.zeros(targets.n_outputs)
        for start in range(0, len(codes), _BLOCK):  # bincount takes eight bytes a row
            counts += np.bincount(codes[start : start + _BLOCK], minlength=targets.n_outputs)
        shares = [counts / len(codes)]
    else:
        ones = targets.codes.mean(axis=0)
        shares = [np.array([share, 1.0 - share]) for share in ones]
    return float(sum(-np.sum(p[p > 0] * np.log(p[p > 0])) for p in shares))


def _split(
    estimator: Any, targets: Targets, random_state: np.random.RandomState
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Row numbers to train on (none for all of them) and to judge by."""
    if not estimator.early_stopping:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    rows = np.arange(len(targets.codes), dtype=np.int32)
    try:
        train, judge = train_test_split(
            rows,
            test_size=estimator.validation_fraction,
            random_state=random_state,
            stratify=None if targets.multilabel else targets.codes[:, 0],
        )
    except ValueError as error:
        raise ValueError(
            f"`early_stopping`=True cannot set aside a share of `validation_fraction`="
            f"{estimator.validation_fraction!r} of {len(rows)} rows with every class on both "
            f"sides ({error}). Give more rows or another share, or set early_stopping=False."
        ) from error
    return np.ascontiguousarray(train), np.ascontiguousarray(judge)


def _layout(
    estimator: Any, targets: Targets, n_rows: int, n_features: int, warm: WarmState | None
) -> Layout:
    """Lay out the buffers to begin with, within the memory budget."""
    gated = estimator.pruning != "none"
    widths = (n_features, *_shaping(estimator)["hidden_layer_sizes"], targets.n_outputs)
    layout = Layout(
        widths=widths if warm is None else warm.trainer.buffers.widths,
        batch_size=validation.batch_size(estimator.batch_size, n_rows, gated),
        n_targets=targets.codes.shape[1],
        n_moments=2 if estimator.solver == "adam" else 1,
        gated=tuple(gated and (k > 0 or estimator.gate_inputs) for k in range(len(widths) - 1)),
        n_threads=usable_threads(),
    )
    if warm is not None:  # a budget may have cost an earlier fit its second moments
        layout = replace(layout, n_moments=warm.trainer.buffers.layout.n_moments)
    if estimator.memory_budget is None:
        return layout
    if estimator.batch_size == "dynamic":
        # Mini-batches grow up to the budget: with more threads they could not grow as far.
        layout = replace(layout, n_threads=1)
    budget = validation.n_bytes("memory_budget", estimator.memory_budget)
    fewest = min(_FEWEST_ROWS, layout.batch_size)
    fewest_moments = 1 if warm is None else layout.n_moments
    found = fit_into(layout, budget, fewest, fewest_moments)
    if found is None:
        smallest = replace(layout, batch_size=fewest, n_moments=fewest_moments, n_threads=1)
        raise validation.budget_too_small(estimator.memory_budget, smallest.nbytes)
    if estimator.pruning == "hard" and estimator.finetune_fraction:
        # Threads leave room for the average of the weights: whether there is one must not
        # depend on them.
        while found.n_threads > 1 and replace(found, averaged=True).nbytes > budget:
            found = replace(found, n_threads=found.n_threads - 1)
    return found


def _plan(estimator: Any, targets: Targets, layout: Layout, warm: WarmState | None) -> Plan:
    plain: dict[Any, Any] = {float: float, int: int, bool: bool}
    settings: dict[str, Any] = {}
    for field in fields(Plan):
        value = getattr(estimator, field.name, None)
        if field.name in ("batch_size", "droprate_init") or value is None:
            continue
        if field.type is float:
            validation.check_float32(field.name, value)
        # NumPy's scalars would give the loss, and new compilations, their own types.
        settings[field.name] = plain.get(field.type, lambda value: value)(value)
    lam, target_size = validation.price_or_target(
        estimator.lam, estimator.target_size, estimator.pruning, DEFAULT_SHARE
    )
    if target_size is not None:
        limits = gates.on_probability([-gates.LOG_ODDS_LIMIT, gates.LOG_ODDS_LIMIT])
        validation.check_threshold(estimator.prune_threshold, *map(float, limits))
    budget = estimator.memory_budget
    settings |= {
        "batch_size": layout.batch_size,
        "dynamic_batch_size": estimator.batch_size == "dynamic",
        "droprate_init": validation.droprates(estimator.droprate_init),
        "out_activation": targets.out_activation,
        "lam": lam,
        "target": _target(estimator, targets, target_size, layout, warm),
        "memory_limit": 0 if budget is None else validation.n_bytes("memory_budget", budget),
    }
    if estimator.pruning != "hard" or (estimator.warm_start and target_size is None):
        settings["finetune_fraction"] = 0.0
    if estimator.solver == "adam" and layout.n_moments < 2:
        settings["solver"] = "sgd"
        if estimator.learning_rate != "cosine":
            settings["learning_rate"] = "constant"  # the others have no effect on Adam
        settings["learning_rate_init"] *= _RATE_WITHOUT_ADAM
    return Plan(**settings)


def _target(
    estimator: Any, targets: Targets, target_size: Any, layout: Layout, warm: WarmState | None
) -> int:
    """Parameters to end with; 0 for as many as there will be."""
    if target_size is None:
        return 0
    # Of the whole network, whatever an earlier fit has deleted of it.
    hidden = _shaping(estimator)["hidden_layer_sizes"]
    widths = (estimator.n_features_in_, *hidden, targets.n_outputs)
    smallest, full = _bounds(widths, layout.gated)
    if estimator.target_size is None:
        return max(smallest, int(target_size * full))
    before = warm.trainer.record.epochs if warm else []

    def overhead(size: str) -> int:
        epochs = [*before, *_foreseen(estimator, layout)]
        return _overhead(_with_size(estimator, size), targets, epochs, 0)

    return validation.n_parameters(target_size, full, smallest, overhead)


def _with_size(estimator: Any, target_size: str) -> Any:
    model = copy.copy(estimator)
    model.target_size = target_size
    return model


def _bounds(widths: Sequence[int], gated: Sequence[bool]) -> tuple[int, int]:
    """Parameters of the smallest network that pruning can leave, and of the one to begin with."""
    ones = [1 if has_gates else w for w, has_gates in zip(widths, gated, strict=False)]
    return count_parameters([*ones, widths[-1]]), count_parameters(widths)


def resolve_sizes(
    estimator: Any,
    targets: Targets,
    target_sizes: Sequence[Any] | None,
    shares: Sequence[float] = (),
) -> list[tuple[Any, int]]:
    """Say how many parameters target sizes are in a network that is fitted anew.

    Parameters
    ----------
    estimator : HardL0MLPClassifier
        Its `n_features_in_` is set.
    targets : Targets
    target_sizes : sequence of int, float and str, or None
        As `HardL0MLPClassifier` takes them; None for `shares`. Bytes leave room for the
        longest history that there may be.
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
    layout = _layout(estimator, targets, len(targets.codes), estimator.n_features_in_, None)
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
            epochs = _foreseen(estimator, layout, at_most=True)
            return _overhead(_with_size(estimator, size), targets, epochs, 0)

        sizes = [
            (size, validation.n_parameters(size, full, smallest, overhead)) for size in target_sizes
        ]
        validation.check_different(sizes)
    return sorted(sizes, key=lambda size: -size[1])


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
    rest = [
        coming | {name: float(k) for name in ("loss", "epoch_time", "score")} for k in range(n_more)
    ]
    record = Record([*epochs, *rest])
    n_layers = len(last["n_units"]) - 1
    network = Network(
        [np.ones((1, 1), np.float32) for _ in range(n_layers)],
        [np.ones(1, np.float32) for _ in range(n_layers)],
        np.ones(estimator.n_features_in_, bool),
        estimator.activation,
        targets.out_activation,
    )
    model = copy.copy(estimator)
    vars(model).update(_describe(network, targets, record, bool(estimator.early_stopping)))
    vars(model).pop("_warm_state", None)
    # Lengths of arrays may take three bytes more than here: shapes, and those of the numbers.
    most_more = 3 * (3 * n_layers + 2 * n_layers + 8)
    if validation.n_bytes("target_size", estimator.target_size) > _FRAME:
        most_more += 9 * (2 * n_layers + 1)  # large arrays stand between frames
    # Neither of the protocols is the shorter one of arrays and of names.
    most = max(len(pickle.dumps(model, protocol)) for protocol in (4, pickle.HIGHEST_PROTOCOL))
    return most - 8 * n_layers + most_more


def _foreseen(estimator: Any, layout: Layout, *, at_most: bool = False) -> list[dict[str, Any]]:
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
                "score": float(number),
                "n_units": (*layout.widths,) if is_new else epochs[-1]["n_units"],
                "n_parameters": count_parameters(layout.widths) // (1 if at_most else 2),
                "buffer_nbytes": layout.nbytes,
                "batch_size": layout.batch_size,
                "samples_seen": 2**30,
            }
        )
    return epochs


def _shaping(estimator: Any) -> dict[str, Any]:
    settings = {name: getattr(estimator, name) for name in _SHAPING}
    settings["hidden_layer_sizes"] = validation.hidden_widths(estimator.hidden_layer_sizes)
    return settings


def _trainer(
    estimator: Any,
    plan: Plan,
    layout: Layout,
    random_state: np.random.RandomState,
    warm: WarmState | None,
) -> Trainer:
    """Build a network to train, or take up the one of the last fit."""
    shaping = _shaping(estimator)
    if estimator.solver != plan.solver:
        _warn(
            (
                f"memory_budget={estimator.memory_budget!r} leaves no room for the second moments "
                "of Adam"
                if warm is None
                else "The first fit kept no second moments of Adam, for want of memory"
            )
            + f': training uses solver="sgd" with learning_rate_init={plan.learning_rate_init:g}.',
            UserWarning,
        )
    if warm is None:
        seed = random_state.randint(0, 2**31, size=8)
        return Trainer(plan, layout, np.random.default_rng([int(part) for part in seed]))
    for name, value in shaping.items():
        if value != warm.shaping[name]:
            raise ValueError(
                f"`{name}` must not change between fits with warm_start=True, got {value!r} "
                f"after {warm.shaping[name]!r}. Set warm_start=False to start afresh."
            )
    # A copy: a fit that fails leaves the last one's state as it was.
    trainer = copy.deepcopy(warm.trainer)
    # First: the average was not counted when the mini-batch was chosen.
    trainer.buffers.forget_average()
    trainer.buffers.make_room(layout.batch_size, layout.n_threads)
    return trainer


def _warn_if_not_converged(record: Record, plan: Plan) -> None:
    if not record.converged:
        _warn(
            f"Training stopped at max_iter={plan.max_iter} epochs while the objective was "
            "still improving. Raise max_iter to train on.",
            ConvergenceWarning,
        )


def _warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called into fastl0, past scikit-learn's wrappers of `fit`."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def _attributes(plan: Plan, targets: Targets, trainer: Trainer) -> dict[str, Any]:
    """Fitted attributes for the network as it is, or the best one under early stopping."""
    record = trainer.record
    network: Network = record.best if plan.early_stopping and record.best else (
        trainer.freeze(plan)
    )  # fmt: skip
    return _describe(network, targets, record, plan.early_stopping)


def _describe(
    network: Network, targets: Targets, record: Record, early_stopping: bool
) -> dict[str, Any]:
    """Fitted attributes of a network."""
    history = {name: record.column(name) for name in HISTORY}
    scores = record.column("score") if early_stopping else None
    best_score = max(scores) if scores else None
    if scores and record.best and record.patience:  # of networks within the target size
        best_score = record.patience.best_score
    return {
        "coefs_": network.coefs,
        "intercepts_": network.intercepts,
        "support_": network.support,
        "n_units_": network.n_units,
        "n_parameters_": network.n_parameters,
        "classes_": targets.classes,
        "n_iter_": record.n_epochs,
        "n_layers_": len(network.n_units),
        "n_outputs_": targets.n_outputs,
        "out_activation_": network.out_activation,
        "loss_": history["loss"][-1],
        "best_loss_": None if scores else min(history["loss"]),
        "loss_curve_": history["loss"],
        "validation_scores_": scores,
        "best_validation_score_": best_score,
        "t_": record.samples_seen,
        "history_": history,
        "_multilabel": targets.multilabel,
        "_sparse_labels": targets.sparse,
    }


class _Watcher:
    """What happens around every epoch: the progress bar, callbacks, the caller's hook."""

    def __init__(
        self,
        estimator: Any,
        plan: Plan,
        targets: Targets,
        trainer: Trainer,
        callbacks: EpochCallbacks,
        on_epoch: EpochHook | None,
    ) -> None:
        self._plan = plan
        self._targets = targets
        self._trainer = trainer
        self._callbacks = callbacks
        self._on_epoch = on_epoch
        self._bar = tqdm(total=plan.max_iter, unit="epoch") if estimator.verbose else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin_epoch(self) -> None:
        self._callbacks.begin_epoch()

    def end_epoch(self, epoch: int, freeze: Any, entries: dict[str, Any]) -> bool:
        if self._bar is not None:
            units = "-".join(map(str, entries["n_units"]))
            self._bar.set_postfix(loss=f"{entries['loss']:.4f}", units=units, refresh=False)
            self._bar.update()
        stop = self._callbacks.end_epoch(
            lambda: _attributes(self._plan, self._targets, self._trainer)
        )
        if self._on_epoch is not None:
            stop = bool(self._on_epoch(epoch, freeze, entries)) or stop
        return stop
