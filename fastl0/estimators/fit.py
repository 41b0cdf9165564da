"""One fit from end to end: check, split, train, keep what is left.

Stands between the estimators and the training loop; loaded by `fit` only. May import
everything but the estimators and the commands.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from fastl0._kernels import RowSource
from fastl0._warnings import warn
from fastl0.checkpoint import fingerprint
from fastl0.data import checks
from fastl0.data.blocks import (
    BlockReader,
    is_blockwise,
    load_if_blockwise,
    open_blocks,
    sort_if_blockwise,
)
from fastl0.data.rows import append_weights, check_sample_weight, rescale_weights, validation_split
from fastl0.data.targets import Targets
from fastl0.estimators import params
from fastl0.estimators.attributes import fitted_attributes
from fastl0.estimators.build_config import (
    architecture,
    build_config,
    check_architecture,
    initial_layout,
)
from fastl0.estimators.callbacks import EpochCallbacks
from fastl0.estimators.scoring import default_evaluator, scorer_evaluator
from fastl0.estimators.target_size import size_budget
from fastl0.training.buffers import BufferLayout
from fastl0.training.checkpointing import CheckpointManager
from fastl0.training.config import EpochHook, Evaluator, TrainingConfig, TrainingData
from fastl0.training.history import History
from fastl0.training.progress import Progress
from fastl0.training.pruner import min_gate_updates
from fastl0.training.schedule import PhaseSchedule
from fastl0.training.trainer import Trainer

#: Steps of float32 at the mean of the targets, in standard deviations, at most.
_MOST_COARSE = 0.1


@dataclass
class WarmState:
    """What a fit with ``warm_start=True`` leaves for the next one."""

    trainer: Trainer
    architecture: dict[str, Any]

    def clear_history(self) -> None:
        """Let the next fit tell of its own epochs only."""
        self.trainer.record = History()


class Validation(NamedTuple):
    """Validation rows as they are given to fit."""

    X: Any = None
    y: Any = None
    weights: Any = None


def fit_estimator(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any = None,
    validation: Validation = Validation(),  # noqa: B008 (immutable)
    on_epoch: EpochHook | None = None,
    *,
    keep_interrupted: bool = False,
) -> None:
    """Train `estimator` on X and y and set its fitted attributes.

    Parameters
    ----------
    estimator : HardL0MLPClassifier or HardL0MLPRegressor
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    sample_weight : array-like of shape (n_samples,), default=None
    validation : Validation
    on_epoch : callable, default=None
        See `plan.EpochHook`.
    keep_interrupted : bool, default=False
        Whether Ctrl-C after the first epoch keeps the network trained so far.

    Raises
    ------
    ValueError
        If something breaks a rule, or the loss stops being finite. The estimator is then
        as it was before.
    """
    warm = _earlier(estimator) if estimator.warm_start else None
    if estimator.warm_start and warm is None and hasattr(estimator, "coefs_"):
        warn(
            "warm_start=True starts afresh: the last fit kept no training state. Set "
            "warm_start=True before the first fit.",
            UserWarning,
        )
    params.check_validation_arguments(*validation)
    given = X, y, sample_weight
    finished = False
    with (
        restored_on_error(estimator, ("n_features_in_", "feature_names_in_")),
        ExitStack() as stack,
    ):
        X, y = checked(estimator, X, y, reset=warm is None)
        given_weights = check_sample_weight(sample_weight, X)
        weights = estimator._row_weights(y, given_weights)
        targets = estimator._encode(y, rescale_weights(weights), again=warm is not None)
        _warn_if_coarse(targets)
        checkpoints = stack.enter_context(
            CheckpointManager(
                estimator.checkpoint_dir,
                estimator.checkpoint_interval,
                lambda: _identity(estimator, X, targets, weights, validation, warm),
            )
        )
        random_state = checkpoints.random_state(estimator.random_state)
        rows, validation_rows = (
            sort_if_blockwise(X, some)
            for some in _split(estimator, targets, random_state, validation)
        )
        codes, total_weight = append_weights(targets.codes, weights, rows)
        n_rows = len(rows) or len(codes)
        batch_size = _batch_size(estimator, n_rows)
        layout = initial_layout(
            estimator,
            targets.n_outputs,
            codes.shape[1],
            batch_size=batch_size,
            warm=warm.trainer if warm else None,
            snapshot=True,
        )
        plan = build_config(
            estimator,
            targets,
            layout,
            before=warm.trainer.record.epochs if warm else (),
            judged=estimator.early_stopping or validation.X is not None,
        )
        trainer = _trainer(estimator, plan, layout, random_state, n_rows, warm)
        trainer.size_budget = size_budget(estimator, targets)
        x = X if isinstance(X, BlockReader) else RowSource(X, trainer.buffers.n_threads)
        data = TrainingData(
            x=x,
            y=RowSource(codes),
            n_rows=n_rows,
            rows=rows,
            total_weight=total_weight,
            mean_weight=total_weight / n_rows,
            null_loss=targets.null_loss(rescale_weights(weights)),
            judge=_judge(estimator, X, y, x, validation_rows, targets, given_weights, validation),
        )
        callbacks = EpochCallbacks(estimator, *given, plan.max_iter)
        n_before = trainer.record.n_epochs
        checkpoints.resume(trainer, plan)
        try:
            with _Watcher(
                estimator, plan, targets, trainer, callbacks, on_epoch, checkpoints
            ) as watcher:
                trainer.fit(plan, data, watcher)
        except KeyboardInterrupt:
            # Before its first epoch is over, a warm start has no gates to come to a new size by.
            has_trained = trainer.record.n_epochs > n_before
            if not (keep_interrupted and has_trained and trainer.buffers.is_usable()):
                raise
            warn("Training interrupted by user.", UserWarning)
        else:
            finished = True
            _warn_if_not_converged(trainer.record, plan)
        trainer.enforce_size(plan)
        if finished and trainer.pruner.prunes_once and trainer.buffers.widths != layout.widths:
            _warn_of_too_few_updates(plan, trainer.record.n_epochs - n_before, n_rows)
        trainer.size_budget = None  # holds what a pickle cannot, and the targets
        attributes = fitted_attributes(plan, targets, trainer)
        kept = WarmState(trainer, architecture(estimator)) if estimator.warm_start else None
        if finished:
            checkpoints.finish()
    with estimator._held():  # or another thread that looks at the stream would describe it here
        # One step, so that Ctrl-C cannot leave half of the attributes behind.
        vars(estimator).update(attributes | ({"_warm_state": kept} if kept else {}))
        if kept is None:
            vars(estimator).pop("_warm_state", None)
        vars(estimator).pop("_stream", None)
    callbacks.end_fit(lambda: attributes)


def _identity(
    estimator: Any,
    X: Any,
    targets: Targets,
    weights: NDArray[np.float64] | None,
    validation: Validation,
    warm: WarmState | None,
) -> dict[str, Any]:
    """Tell a fit from others, for its checkpoints."""
    meaning = targets.center, targets.scale
    return {
        **fingerprint.settings_of(estimator),
        "X": fingerprint.describe_rows(X),
        "y": fingerprint.digest_of(targets.codes, *meaning, weights),
        "X_val": fingerprint.describe_validation(*validation),
        "start": warm and fingerprint.describe_start(warm.trainer.persistent_state()),
    }


def _earlier(estimator: Any) -> WarmState | None:
    """Return what an earlier fit, or calls of partial_fit, have left to go on from."""
    stream = vars(estimator).get("_stream")
    if stream is not None:
        return WarmState(stream.trainer, stream.architecture)
    return vars(estimator).get("_warm_state")


def checked(estimator: Any, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
    """Check X and y; note the names and number of features in the estimator, or compare them."""
    y = load_if_blockwise(y)
    checks.check_no_mask("X", X)
    checks.check_no_mask("y", y)
    checks.check_no_missing("y", y)
    if is_blockwise(X):
        X = open_blocks(estimator, X, y, reset=reset)
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
        check_consistent_length(X, y)
        X.check()
        return X, y
    checks.check_numeric_columns(X)
    X, y = validate_data(estimator, X, y, accept_sparse="csr", multi_output=True, reset=reset)
    return checks.as_readable(X), y


def _split(
    estimator: Any,
    targets: Targets,
    random_state: np.random.RandomState,
    validation: Validation,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Row numbers to train on (none for all of them) and to judge by."""
    if not estimator.early_stopping or validation.X is not None:
        return np.zeros(0, np.int32), np.zeros(0, np.int32)
    return validation_split(
        len(targets.codes),
        estimator.validation_fraction,
        random_state,
        targets.strata,
        "give X_val and y_val, or set early_stopping=False",
    )


def _batch_size(estimator: Any, n_rows: int) -> int:
    """Rows of a mini-batch; warn, as scikit-learn does, where there are fewer than wished for."""
    wished = estimator.batch_size
    if not isinstance(wished, str) and wished > n_rows:
        warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped.",
            UserWarning,
        )
    return params.resolve_batch_size(wished, n_rows, estimator.pruning != "none")


def _judge(
    estimator: Any,
    X: Any,
    y: Any,
    x: RowSource | BlockReader,
    rows: NDArray[np.int32],
    targets: Targets,
    weights: NDArray[np.float64] | None,
    validation: Validation,
) -> Evaluator | None:
    """Make the judge by the rows set aside, or by those given; None for neither."""
    if validation.X is not None:
        return make_evaluator(estimator, targets, validation)
    if not estimator.early_stopping:
        return None
    judged = targets.take(rows)
    weights = None if weights is None or not weights[rows].any() else weights[rows]
    judge = default_evaluator(x, rows, judged, rescale_weights(weights))
    if estimator.scoring is None:
        judged.check_enough_to_score()
        return judge
    scorer = check_scoring(estimator, scoring=estimator.scoring)
    return scorer_evaluator(judge, scorer, estimator, X[rows], y[rows], judged, weights)


def make_evaluator(estimator: Any, targets: Targets, validation: Validation) -> Evaluator:
    """Make the judge by validation rows that are given.

    Parameters
    ----------
    estimator : estimator
        With the names and number of features that X_val has to have.
    targets : Targets
        Of the training rows.
    validation : Validation
    """
    X, y, weights = check_validation_rows(estimator, validation)
    judged = targets.encode_like(y, "y_val")
    x = X if isinstance(X, BlockReader) else RowSource(X)
    judge = default_evaluator(
        x, np.arange(X.shape[0], dtype=np.int32), judged, rescale_weights(weights)
    )
    if estimator.scoring is None:
        judged.check_enough_to_score()
        return judge
    scorer = check_scoring(estimator, scoring=estimator.scoring)
    return scorer_evaluator(judge, scorer, estimator, X, y, judged, weights)


def check_validation_rows(estimator: Any, validation: Validation) -> Validation:
    """Check validation rows; errors say that it is these.

    Parameters
    ----------
    estimator : estimator
        With the names and number of features that X_val has to have.
    validation : Validation

    Raises
    ------
    TypeError, ValueError
        If something breaks a rule.
    """
    try:
        X, y = checked(estimator, validation.X, validation.y, reset=False)
    except (TypeError, ValueError) as error:
        # Not of its own type: what a reader of blocks raises may take other arguments.
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"`X_val` or `y_val`: {error}") from error
    return Validation(X, y, check_sample_weight(validation.weights, X, "sample_weight_val"))


@contextmanager
def restored_on_error(estimator: Any, names: tuple[str, ...]) -> Iterator[None]:
    """Give the named attributes back their values if the block fails."""
    own = vars(estimator)
    # By name: another thread that predicts may add others meanwhile.
    before = {name: own[name] for name in names if name in own}
    try:
        yield
    except BaseException:
        vars(estimator).update(before)
        for name in set(names) - set(before):
            vars(estimator).pop(name, None)
        raise


def _trainer(
    estimator: Any,
    plan: TrainingConfig,
    layout: BufferLayout,
    random_state: np.random.RandomState,
    n_rows: int,
    warm: WarmState | None,
) -> Trainer:
    """Build a network to train, or take up the one of the last fit."""
    warn_if_sgd_replaces_adam(estimator, plan, again=warm is not None)
    if warm is None:
        seed = random_state.randint(0, 2**31, size=8)
        rng = np.random.default_rng([int(part) for part in seed])
        return Trainer(plan, layout, rng, -(-n_rows // plan.batch_size))
    check_architecture(estimator, warm.architecture)
    # A copy: a fit that fails leaves the last one's state as it was.
    trainer = copy.deepcopy(warm.trainer)
    # First: the average was not counted when the mini-batch was chosen.
    trainer.buffers.forget_average()
    trainer.buffers.resize_batch(layout.batch_size, layout.n_threads, layout.n_targets)
    trainer.buffers.allow_snapshot(layout.snapshot)
    return trainer


def warn_if_sgd_replaces_adam(estimator: Any, plan: TrainingConfig, *, again: bool = False) -> None:
    """Warn if a memory budget has turned Adam into gradient descent, now or in an earlier fit."""
    if estimator.solver != plan.solver:
        warn(
            (
                "The first fit kept no second moments of Adam, for want of memory"
                if again
                else f"memory_budget={estimator.memory_budget!r} leaves no room for the second "
                "moments of Adam"
            )
            + f': training uses solver="sgd" with learning_rate_init={plan.learning_rate_init:g}.',
            UserWarning,
        )


def _warn_if_coarse(targets: Targets) -> None:
    """Warn of numbers so far from zero that float32, as `intercepts_` are, loses their spread."""
    if targets.center is None or targets.scale is None:
        return
    step = np.spacing(np.abs(targets.center).astype(np.float32))
    is_coarse = (step > _MOST_COARSE * targets.scale) & (targets.scale != 1.0)  # 1 if constant
    if is_coarse.any():
        column = int(np.argmax(is_coarse))
        warn(
            f"y lies around {targets.center[column]:.6g} with a standard deviation of "
            f"{targets.scale[column]:.3g}, where float32, in which networks are kept, has steps of "
            f"{step[column]:.3g}. Subtract a constant from y.",
            UserWarning,
        )


def _warn_if_not_converged(record: History, plan: TrainingConfig) -> None:
    if not record.converged:
        warn(
            f"Training stopped at max_iter={plan.max_iter} epochs while the objective was "
            "still improving. Raise max_iter to train on.",
            ConvergenceWarning,
        )


def _warn_of_too_few_updates(plan: TrainingConfig, n_run: int, n_rows: int) -> None:
    """Warn that units were deleted before gates could learn which of them matter."""
    n_batches = -(-n_rows // plan.batch_size)
    needed, rate, share = (
        min_gate_updates(plan), plan.gate_learning_rate_init, plan.finetune_fraction
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


class _Watcher:
    """What happens around every epoch: what is shown of it, callbacks, the caller's hook."""

    def __init__(
        self,
        estimator: Any,
        plan: TrainingConfig,
        targets: Targets,
        trainer: Trainer,
        callbacks: EpochCallbacks,
        on_epoch: EpochHook | None,
        checkpoints: CheckpointManager,
    ) -> None:
        self._plan = plan
        self._targets = targets
        self._trainer = trainer
        self._callbacks = callbacks
        self._on_epoch = on_epoch
        self.keep = checkpoints.keep
        self._progress = Progress(estimator.verbose, plan.max_iter, trainer.n_done)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.close()

    def begin_epoch(self) -> None:
        self._callbacks.begin_epoch()

    def end_epoch(self, epoch: int, freeze: Any, entries: dict[str, Any]) -> bool:
        self._progress.note(self._trainer.record.epochs[-1])
        stop = self._callbacks.end_epoch(
            lambda: fitted_attributes(self._plan, self._targets, self._trainer)
        )
        if self._on_epoch is not None:
            stop = bool(self._on_epoch(epoch, freeze, entries)) or stop
        return stop
