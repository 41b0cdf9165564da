"""One fit from end to end: check, encode, split, train, and return what is left."""

import copy
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import check_scoring

from fastl0._kernels import RowSource
from fastl0._warnings import warn
from fastl0.checkpoint import fingerprint
from fastl0.checkpoint.state_reader import StateReader
from fastl0.data.blocks import sort_if_blockwise
from fastl0.data.sample_weight import append_weights, check_sample_weight, rescale_weights
from fastl0.data.split import validation_split
from fastl0.data.targets import Targets
from fastl0.estimators import choice, fit_warnings, params
from fastl0.estimators.build_config import (
    architecture,
    build_config,
    check_architecture,
    initial_layout,
)
from fastl0.estimators.epoch_callbacks import EpochCallbacks
from fastl0.estimators.scoring import scorer_evaluator
from fastl0.estimators.validate import (
    ValidationData,
    check_validation_rows,
    check_X_y,
    restored_on_error,
)
from fastl0.model.encoding import Encoding
from fastl0.training.batches import row_source
from fastl0.training.buffer_layout import BufferLayout
from fastl0.training.checkpointing import CheckpointManager
from fastl0.training.config import TrainingConfig, TrainingData
from fastl0.training.evaluation import Evaluator, default_evaluator
from fastl0.training.listeners import EpochHook, EpochListener, HookListener
from fastl0.training.place_encoding import place_encoding
from fastl0.training.progress import Progress
from fastl0.training.trainer import Trainer


def fit_network(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    validation: ValidationData = ValidationData(),  # noqa: B008 (immutable)
    on_epoch: EpochHook | None = None,
    *,
    keep_interrupted: bool = False,
) -> None:
    """Train a network as an estimator says, and set the estimator's fitted attributes.

    Parameters
    ----------
    estimator : HardL0MLPClassifier or HardL0MLPRegressor
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), default=None
    validation : ValidationData
    on_epoch : callable, default=None
        See `listeners.EpochHook`.
    keep_interrupted : bool, default=False
        Whether Ctrl-C after the first epoch keeps the network trained so far.

    Raises
    ------
    ValueError
        If something breaks a rule, or the loss stops being finite. The estimator is then
        as it was before.
    """
    warm = _warm_state(estimator)
    params.check_validation_arguments(*validation)
    with ExitStack() as stack:  # holds the folder of the checkpoints until all is done
        with restored_on_error(estimator):
            rows = _check_rows(estimator, X, y, sample_weight, warm)
            checkpoints = stack.enter_context(
                CheckpointManager(
                    estimator.checkpoint_dir,
                    estimator.checkpoint_interval,
                    lambda: _fingerprint(estimator, rows, validation, warm),
                )
            )
            random_state = checkpoints.random_state(estimator.random_state)
            train, held_out = _split(estimator, rows, random_state, validation)
            settings = _choose(estimator, rows, train, random_state, warm)
            settled = choice.with_settings(estimator, settings)
            rows = _with_smoothing(rows, settings)
            trainer, data = _prepare(settled, rows, train, random_state, warm)
            evaluator = _evaluator(settled, rows, held_out, data, validation)
            data = replace(data, evaluator=evaluator)
            callbacks = EpochCallbacks(
                estimator, X, y, sample_weight, trainer.config.max_iter, rows.targets, settled
            )
            n_before, widths = trainer.history.n_epochs, trainer.buffers.widths
            checkpoints.resume(trainer)
            progress = Progress(estimator.verbose, trainer.config.max_iter, trainer.n_done)
            listeners: list[EpochListener] = [progress, callbacks]
            if on_epoch is not None:
                listeners.append(HookListener(on_epoch))
            listeners.append(checkpoints)
            with closing(progress):
                finished = _train(trainer, data, listeners, n_before if keep_interrupted else None)
            if finished:
                fit_warnings.warn_if_not_converged(trainer)
            trainer.enforce_size()
            if finished and trainer.pruner.prunes_once and trainer.buffers.widths != widths:
                n_run = trainer.history.n_epochs - n_before
                fit_warnings.warn_of_too_few_updates(trainer.config, n_run, data.n_rows)
            kept = None
            if estimator.warm_start:
                kept = _keep(trainer, architecture(settled)) | {"settings": settings}
            fitted = settled._fitted(trainer.best_network(), rows.targets, trainer.history)
        estimator._adopt(fitted, kept)
        if finished:
            checkpoints.delete()
    callbacks.end_fit(lambda: vars(fitted))


class _CheckedRows(NamedTuple):
    """Training rows, checked and encoded.

    Attributes
    ----------
    X : ndarray, CSR matrix or BlockReader
    y : ndarray or CSR matrix
    targets : Targets
    sample_weight : float64 array of shape (n_rows,), or None
        As given.
    weights : float64 array of shape (n_rows,), or None
        Times those of the classes.
    """

    X: Any
    y: Any
    targets: Targets
    sample_weight: NDArray[np.float64] | None
    weights: NDArray[np.float64] | None


def _keep(trainer: Trainer, architecture: dict[str, Any]) -> dict[str, Any]:
    """Return what the next fit goes on from: plain values and arrays, for any pickle."""
    return {
        "architecture": architecture,
        "encoding": trainer.encoding and tuple(trainer.encoding),
        "layout": asdict(trainer.first_layout),
        "state": copy.deepcopy(trainer.persistent_state()),
    }


def _warm_state(estimator: Any) -> dict[str, Any] | None:
    """Return what an earlier fit, or calls of partial_fit, have left to go on from."""
    if not estimator.warm_start:
        return None
    stream = vars(estimator).get("_stream")
    if stream is not None:
        return _keep(stream.trainer, stream.architecture) | {"settings": dict(stream.known)}
    found: dict[str, Any] | None = vars(estimator).get("_warm_state")
    if found is None and "coefs_" in vars(estimator):
        warn(
            "warm_start=True starts afresh: the last fit kept no training state. Set "
            "warm_start=True before the first fit.",
            UserWarning,
        )
    return found


def _check_rows(
    estimator: Any, X: Any, y: Any, sample_weight: Any, warm: dict[str, Any] | None
) -> _CheckedRows:
    X, y = check_X_y(estimator, X, y, reset=warm is None)
    given = check_sample_weight(sample_weight, X)
    encoder = estimator._target_encoder()
    weights = encoder.row_weights(y, given)
    if warm is None:
        targets = encoder.encode(y, rescale_weights(weights))
    else:
        before = estimator._fitted_targets()
        targets = encoder.encode_again(y, rescale_weights(weights), before)
    fit_warnings.warn_if_coarse(targets)
    return _CheckedRows(X, y, targets, given, weights)


def _fingerprint(
    estimator: Any, rows: _CheckedRows, validation: ValidationData, warm: dict[str, Any] | None
) -> dict[str, Any]:
    """Tell a fit from others, for its checkpoints."""
    targets = rows.targets
    params_ = estimator.get_params(deep=False)
    return {
        **fingerprint.describe_settings(type(estimator).__name__, params_),
        "X": fingerprint.describe_rows(rows.X),
        "y": fingerprint.digest_of(targets.codes, targets.center, targets.scale, rows.weights),
        "X_val": fingerprint.describe_validation(*validation),
        "start": warm and fingerprint.describe_start(warm["state"]),
    }


def _split(
    estimator: Any,
    rows: _CheckedRows,
    random_state: np.random.RandomState,
    validation: ValidationData,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Row numbers to train on (none for all of them) and to evaluate by."""
    if not estimator.early_stopping or validation.X is not None:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    train, held_out = validation_split(
        len(rows.targets.codes),
        estimator.validation_fraction,
        random_state,
        rows.targets.strata,
        "give X_val and y_val, or set early_stopping=False",
    )
    return sort_if_blockwise(rows.X, train), sort_if_blockwise(rows.X, held_out)


def _choose(
    estimator: Any,
    rows: _CheckedRows,
    train: NDArray[np.int32],
    random_state: np.random.RandomState,
    warm: dict[str, Any] | None,
) -> dict[str, Any]:
    """Settings for what is left open: as in the fit that is gone on with, or by trials."""
    if not choice.open_names(estimator):
        return {}
    if warm is not None:
        names = choice.open_names(estimator, with_size=True)
        found = choice.settings_of_a_fit(estimator) | warm.get("settings", {})
        return {name: found[name] for name in names if name in found}

    def prepare(settled: Any, targets: Targets, learn: Any, draws: Any) -> Any:
        return _prepare(settled, rows._replace(targets=targets), learn, draws, None)

    # Of an int nothing is drawn: the same settings, given, train the same network.
    seed = estimator.random_state
    if not isinstance(seed, Integral):
        seed = random_state.randint(2**31 - 1)
    return choice.Choice(estimator, rows, train, prepare).choose(int(seed))


def _with_smoothing(rows: _CheckedRows, settings: dict[str, Any]) -> _CheckedRows:
    if "label_smoothing" not in settings:
        return rows
    targets: Any = replace(rows.targets, parameter=settings["label_smoothing"])  # type: ignore[type-var]
    return rows._replace(targets=targets)


def _prepare(
    estimator: Any,
    rows: _CheckedRows,
    train: NDArray[np.int32],
    random_state: np.random.RandomState,
    warm: dict[str, Any] | None,
) -> tuple[Trainer, TrainingData]:
    """Make the trainer, or take up that of the last fit, and what it learns from."""
    codes, total_weight = append_weights(rows.targets.codes, rows.weights, train)
    n_rows = len(train) or len(codes)
    encoding = _encoding(estimator, rows, train, warm)
    layout = initial_layout(
        estimator,
        rows.targets.n_outputs,
        codes.shape[1],
        n_inputs=len(encoding.parts) if encoding else estimator.n_features_in_,
        batch_size=_batch_size(estimator, n_rows),
        before=_layout_of(warm) if warm else None,
        snapshot=True,
    )
    n_parts = len(encoding.parts) if encoding else 0
    config = build_config(estimator, rows.targets, layout, n_parts=n_parts)
    fit_warnings.warn_if_sgd_replaces_adam(estimator, config, again=warm is not None)
    if warm is None:
        n_batches = -(-n_rows // config.batch_size)
        trainer = new_trainer(config, layout, random_state, n_batches, encoding)
    else:
        check_architecture(estimator, warm["architecture"])
        trainer = _continue(warm, config, layout, encoding)
    parts = encoding.parts if encoding else None
    data = TrainingData(
        x=row_source(rows.X, trainer.buffers.n_threads, parts),
        y=RowSource(codes),
        n_rows=n_rows,
        rows=train,
        total_weight=total_weight,
        mean_weight=total_weight / n_rows,
        null_loss=rows.targets.null_loss(rescale_weights(rows.weights)),
        parts=parts,
    )
    return trainer, data


def _encoding(
    estimator: Any,
    rows: _CheckedRows,
    train: NDArray[np.int32],
    warm: dict[str, Any] | None,
) -> Encoding | None:
    """What inputs are made of, where they are made of parts: as in the fit that is gone on with."""
    if estimator.encoding == "none":
        return None
    if warm is not None and warm["encoding"] is not None:
        return Encoding(*warm["encoding"])
    return place_encoding(rows.X, rows.sample_weight, train)


def _batch_size(estimator: Any, n_rows: int) -> int:
    """Rows of a mini-batch; warn, as scikit-learn does, where there are fewer than wished for."""
    wished = estimator.batch_size
    if not isinstance(wished, str) and wished > n_rows:
        warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped.",
            UserWarning,
        )
    return params.resolve_batch_size(wished, n_rows, estimator.pruning != "none")


def new_trainer(
    config: TrainingConfig,
    layout: BufferLayout,
    random_state: np.random.RandomState,
    n_batches: int | None = None,
    encoding: Encoding | None = None,
) -> Trainer:
    """Make the trainer of a new network; `n_batches` and `encoding` as in `Trainer`."""
    seed = random_state.randint(0, 2**31, size=8)
    rng = np.random.default_rng([int(part) for part in seed])
    return Trainer(config, layout, rng, n_batches, encoding)


def _layout_of(warm: dict[str, Any]) -> BufferLayout:
    """Layout of the buffers that a fit has left."""
    widths = tuple(warm["state"]["buffers"]["widths"].tolist())
    return replace(BufferLayout(**warm["layout"]), widths=widths)


def _continue(
    warm: dict[str, Any], config: TrainingConfig, layout: BufferLayout, encoding: Encoding | None
) -> Trainer:
    """Return a trainer that goes on from where the last fit has stopped."""
    first, rng = BufferLayout(**warm["layout"]), np.random.default_rng(0)
    trainer = Trainer(config, first, rng, encoding=encoding)
    trainer.load(StateReader(warm["state"]))
    # First: the average was not counted when the mini-batch was chosen.
    trainer.buffers.forget_average()
    trainer.buffers.resize_batch(layout.batch_size, layout.n_threads, layout.n_targets)
    trainer.buffers.allow_snapshot(layout.snapshot)
    return trainer


def _evaluator(
    estimator: Any,
    rows: _CheckedRows,
    held_out: NDArray[np.int32],
    data: TrainingData,
    validation: ValidationData,
) -> Evaluator | None:
    """Make the evaluator by the rows set aside, or by those given; None for neither."""
    if validation.X is not None:
        return evaluator_of(estimator, rows.targets, validation, data.parts)
    if not estimator.early_stopping:
        return None
    targets = rows.targets.take(held_out)
    weights = None if rows.sample_weight is None else rows.sample_weight[held_out]
    weights = None if weights is None or not weights.any() else weights
    evaluator = default_evaluator(data.x, held_out, targets, rescale_weights(weights), data.parts)
    if estimator.scoring is None:
        targets.check_enough_to_score()
        return evaluator
    scorer = check_scoring(estimator, scoring=estimator.scoring)
    X, y = rows.X[held_out], rows.y[held_out]
    return scorer_evaluator(evaluator, scorer, estimator, X, y, targets, weights)


def evaluator_of(
    estimator: Any,
    targets: Targets,
    validation: ValidationData,
    parts: NDArray[Any] | None = None,
) -> Evaluator:
    """Make the evaluator by validation rows that are given.

    Parameters
    ----------
    estimator : estimator
        With the names and number of features that X_val has to have.
    targets : Targets
        Of the training rows.
    validation : ValidationData
    parts : ndarray of `model.encoding.PART`, default=None
        What inputs are made of.
    """
    X, y, weights = check_validation_rows(estimator, validation)
    targets = targets.encode_like(y, "y_val")
    rows = np.arange(X.shape[0], dtype=np.int32)
    x, of_rows = row_source(X, parts=parts), rescale_weights(weights)
    evaluator = default_evaluator(x, rows, targets, of_rows, parts)
    if estimator.scoring is None:
        targets.check_enough_to_score()
        return evaluator
    scorer = check_scoring(estimator, scoring=estimator.scoring)
    return scorer_evaluator(evaluator, scorer, estimator, X, y, targets, weights)


def _train(
    trainer: Trainer,
    data: TrainingData,
    listeners: Sequence[EpochListener],
    n_before: int | None,
) -> bool:
    """Run the epochs; say whether Ctrl-C has not ended them.

    After more than `n_before` epochs Ctrl-C keeps what has been trained, unless that is None.
    """
    try:
        trainer.fit(data, listeners)
    except KeyboardInterrupt:
        # Before its first epoch is over, a warm start has no gates to come to a new size by.
        has_trained = n_before is not None and trainer.history.n_epochs > n_before
        if not (has_trained and trainer.buffers.is_usable()):
            raise
        warn("Training interrupted by user.", UserWarning)
        return False
    return True
