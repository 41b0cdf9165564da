"""Training by `partial_fit`: rows come a few at a time, and there is no last epoch.

Stands between the estimators and the training loop, as `fitting` does; loaded by
`partial_fit` only. May import everything but the estimators and the commands.
"""

import copy
import math
import os
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from fastl0._kernels import RowSource
from fastl0._numba.permutation import Order
from fastl0._numba.train_loop import train_batches
from fastl0.data import checks
from fastl0.data.blocks import BlockReader
from fastl0.data.regression_targets import RegressionTargets
from fastl0.data.rows import check_sample_weight, rescale_weights
from fastl0.data.running_moments import Following
from fastl0.data.targets import MAX_WEIGHT, Targets
from fastl0.estimators import attributes, params
from fastl0.estimators.attribute_names import FITTED_ATTRIBUTES, TRAINING_ATTRIBUTES
from fastl0.estimators.build_config import (
    architecture,
    build_config,
    check_architecture,
    check_widths,
    initial_layout,
)
from fastl0.estimators.fit import (
    Validation,
    checked,
    make_evaluator,
    restored_on_error,
    warn_if_sgd_replaces_adam,
)
from fastl0.model.network import Network
from fastl0.training import criteria, progress
from fastl0.training.buffers import DRAWS_AHEAD, BufferLayout
from fastl0.training.config import Evaluation, TrainingConfig, TrainingData
from fastl0.training.threads import ThreadTeam, ThreadTuner
from fastl0.training.trainer import Trainer

#: Mini-batches that make an epoch of a stream.
EPOCH = criteria.MIN_DRAWS

#: Epochs that the history of a stream holds: it has no end, and a record takes half a KiB.
MAX_EPOCHS = 10_000

#: Rows that a stream counts for at least where `lam` is divided by their number: at its start
#: there are none.
_FEWEST_ROWS = 10_000

#: Mini-batches in one call from which on threads may share them.
_MANY = 32

#: Share of an output that is moved in one mini-batch, at most, where it follows the targets.
_LARGEST_PACE = 0.5

_NO_ROWS, _NO_KEYS = np.zeros(0, np.int32), np.zeros(0, np.uint64)


@dataclass
class Numbers:
    """Targets of a call as they are given, for the centre and scale to follow.

    Attributes
    ----------
    following : Following
    y : ndarray of shape (n_rows, n_outputs)
    weights : float64 array of shape (n_rows,), or None
    n_noted : int
        Mini-batches that `following` has been told of.
    """

    following: Following
    y: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    n_noted: int = 0


@dataclass
class Stream:
    """A network that learns from a stream.

    Attributes
    ----------
    trainer : Trainer
    plan : TrainingConfig
    targets : Targets
        How y is encoded; its codes are those of the last call.
    settings : tuple
        Parameters of the estimator that the plan was made from.
    architecture : dict
        Those that cannot change.
    class_weights : float64 array of shape (n_codes, n_values), or None
        What a row weighs by each of its codes, before classes are balanced.
    balanced : bool array of shape (n_codes,)
        Which of the codes have classes to be balanced.
    following : Following or None
        How the centre and scale of the targets follow the rows, where they do.
    verbose : bool or int
        Whether to log every epoch.
    """

    trainer: Trainer
    plan: TrainingConfig
    targets: Targets
    settings: tuple[Any, ...]
    architecture: dict[str, Any]
    class_weights: NDArray[np.float64] | None
    balanced: NDArray[np.bool_]
    following: Following | None = None
    verbose: bool | int = False
    counts: list[NDArray[np.float64]] = field(default_factory=list)  # of codes to be balanced
    n_rows: int = 0
    loss: float = 0.0  # of the epoch under way, summed up
    rows_since: int = 0
    seconds: float = 0.0
    judgement: Evaluation | None = None
    best_score: float = -math.inf
    _n_before: int = 0  # epochs before the way to the present target size began
    _since_priced: int = 0
    _clock: float = 0.0  # when seconds were last counted
    _lent: Any = field(default=None, repr=False)
    _lent_as: BufferLayout | None = field(default=None, repr=False)  # layout of what is lent
    _locks: dict[int, Any] = field(default_factory=dict, repr=False)  # of this process

    def __getstate__(self) -> dict[str, Any]:
        # Without addresses, and what belongs to a process.
        return {**vars(self), "_lent": None, "_lent_as": None, "_locks": {}}

    @property
    def lock(self) -> Any:
        """Held while the network changes or is described: other threads may predict meanwhile."""
        process = os.getpid()  # in a forked child nobody could give back that of the parent
        found = self._locks.get(process)
        if found is None:
            if self._locks:
                self.trainer.copy_generator()
            # In one step: two threads may be the first ones.
            found = self._locks.setdefault(process, threading.RLock())
        return found

    def snapshot(self) -> "Stream":
        """Return a copy that stays as it is; to be called with the lock held."""
        record = self.trainer.record
        # What is never changed is not copied, nor is the long history as slowly as the rest.
        memo: dict[int, Any] = {id(x): x for x in (self.plan, self.targets, self.settings)}
        memo[id(record)] = replace(
            record,
            epochs=[dict(entries) for entries in record.epochs],
            patience=copy.copy(record.patience),
        )
        return copy.deepcopy(self, memo)

    # --- learning --------------------------------------------------------------------

    def learn(self, X: Any, codes: NDArray[Any], numbers: Numbers | None = None) -> None:
        """Train on some rows once.

        Parameters
        ----------
        X : ndarray, CSR matrix or BlockReader of shape (n_rows, n_features)
            Readable.
        codes : ndarray of shape (n_rows, n_codes)
            Encoded targets and weights; overwritten where their centre and scale change.
        numbers : Numbers, default=None
            The same, for these to follow.

        Raises
        ------
        DivergedError
            If the loss or a parameter is not finite.
        """
        self._check_whole()
        n_rows = len(codes)
        self.n_rows += n_rows
        self._clock = time.perf_counter()
        try:
            if n_rows <= self.trainer.buffers.batch_size:
                self._learn_one_batch(X, codes, numbers)
            else:
                self._learn_many(X, codes, numbers)
        except BaseException:
            # The gates of the mini-batch that failed are counted already.
            if self.trainer.buffers.is_consistent:
                self.trainer.pruner.reset_counts()
                self._since_priced = 0
            raise
        self._count_seconds()

    def _check_whole(self) -> None:
        if not self.trainer.buffers.is_consistent:
            raise ValueError(
                "X cannot be learned from: an earlier call was interrupted while it deleted units, "
                "or changed their scale, and half a network is left. Start afresh: clone the "
                "estimator."
            )

    def _learn_one_batch(self, X: Any, codes: NDArray[Any], numbers: Numbers | None) -> None:
        """As `_learn_many`, for what costs less than its preparations."""
        trainer = self.trainer
        if numbers is not None:
            self._follow(codes, numbers, 0, 1)
        if self._since_priced == 0:
            self._set_prices()
        # By what the buffers are, not by what has been done to them: a deletion that is over
        # may have been interrupted before anything else could be noted.
        layout = trainer.buffers.layout
        if self._lent is None or self._lent_as is not layout:
            self._lent, self._lent_as = None, layout
            self._lent = trainer.buffers.pointers()
        x, y = RowSource(X.whole() if isinstance(X, BlockReader) else X), RowSource(codes)
        uniforms = trainer.buffers.draws(1)
        trainer.draw(uniforms)
        tally = np.zeros(1)
        rule = trainer.rule(self.plan, self.plan.learning_rate_init, self._total_weight)
        sources = x.address, y.address, Order(len(codes), _NO_ROWS, _NO_KEYS)
        if not train_batches(*self._lent, rule, *sources, 0, uniforms, tally, 0, 0):
            raise trainer.diverged(self.plan)
        loss = float(tally[0])
        if numbers is not None:
            self._note_loss(numbers, numbers.following.loss + loss, 1, slice(0, len(codes)))
        self._count(1, len(codes), loss)

    def _learn_many(self, X: Any, codes: NDArray[Any], numbers: Numbers | None) -> None:
        trainer = self.trainer
        n_batches = -(-len(codes) // trainer.buffers.batch_size)
        n_threads = trainer.buffers.n_threads if n_batches >= _MANY else 1
        x = X if isinstance(X, BlockReader) else RowSource(X, n_threads)
        data = TrainingData(x, RowSource(codes), len(codes), _NO_ROWS, self._total_weight)
        rate = self.plan.learning_rate_init
        pace = ThreadTuner(n_threads)
        first, batch_size = 0, trainer.buffers.batch_size
        with ThreadTeam(n_threads) as crew:
            rows = trainer.new_runner(self.plan, data, crew, pace)
            while first < n_batches:
                rows.borrow()
                if self._since_priced == 0:
                    self._set_prices()
                # Prices are set, and units deleted, after as many mini-batches as in short calls.
                n = min(DRAWS_AHEAD - self._since_priced, EPOCH - trainer.pruner.n_draws)
                n = min(n, n_batches - first)
                if numbers is not None:
                    n = self._follow(codes, numbers, first, n)
                before = 0.0 if numbers is None else numbers.following.loss
                tally = np.array([before])
                try:
                    trainer.run_batches(rows, self.plan, data, rate, n, tally)
                finally:
                    crew.dismiss()  # before buffers change
                some = slice(first * batch_size, min(len(codes), (first + n) * batch_size))
                first += n
                loss = float(tally[0])
                if numbers is not None:
                    self._note_loss(numbers, loss, n, some)
                self._count(n, some.stop - some.start, loss - before)

    # --- the centre and scale of numbers ---------------------------------------------

    def _follow(self, codes: NDArray[Any], numbers: Numbers, first: int, n: int) -> int:
        """Let centre and scale follow the next mini-batches; return how many may be learned.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_codes)
            Overwritten where they change.
        numbers : Numbers
        first : int
            Number of the first of them within the call.
        n : int
            How many at most.
        """
        following, batch_size = numbers.following, self.trainer.buffers.batch_size
        if not following.has_rows:  # those of a first call have set centre and scale together
            following.note(numbers.y, numbers.weights)
            numbers.n_noted = len(codes)
        n = min(n, following.n_until_measured)
        for k in range(first, first + n):
            if k >= numbers.n_noted:
                rows = slice(k * batch_size, (k + 1) * batch_size)
                weights = None if numbers.weights is None else numbers.weights[rows]
                following.note(numbers.y[rows], weights)
                numbers.n_noted += 1
            if not following.is_up_to_date():
                if k > first:
                    return k - first
                self._change_scale(codes, numbers)
        return n

    def _change_scale(self, codes: NDArray[Any], numbers: Numbers) -> None:
        """Bring centre and scale, and the output layer, to where the targets have gone."""
        following, targets, buffers = numbers.following, self.targets, self.trainer.buffers
        assert isinstance(targets, RegressionTargets)
        change = following.change()
        if change is not None:
            slope = targets.slope_factor(targets.scale / change.scale)
            buffers.is_consistent = False  # until all of it belongs together again
            buffers.rescale_outputs(change.factor, change.shift, slope)
            center, scale = change.center, change.scale
            self.targets = targets = replace(targets, center=center, scale=scale)
            in_use = {"center": tuple(center.tolist()), "scale": tuple(scale.tolist())}
            self.plan = replace(self.plan, **in_use)
            following.adopt(change)
            buffers.is_consistent = True
            codes[:, :-1] = targets.scaled(numbers.y)
        # As far as Adam moves an output in one step by the units before it, if each is about 1.
        pace = self.plan.learning_rate_init * (1 + buffers.widths[-2])
        pull = following.pull(min(pace, _LARGEST_PACE))
        if pull is not None:
            buffers.pull_outputs(*pull)

    def _note_loss(self, numbers: Numbers, loss: float, n_batches: int, rows: slice) -> None:
        """Let errors tell how far the scale may fall; see `Following.update_loss`."""
        assert isinstance(self.targets, RegressionTargets)
        weights = None if numbers.weights is None else numbers.weights[rows]
        n_rows = rows.stop - rows.start
        numbers.following.update_loss(loss, n_batches, n_rows, weights, self.targets.error_of)

    # --- the phases of epochs --------------------------------------------------------

    @property
    def _total_weight(self) -> float:
        # Weights are taken as they are, as what they are relative to is not known; `lam` is the
        # price by the loss of one row, of as many as there have been.
        return float(max(self.n_rows, _FEWEST_ROWS))

    def _set_prices(self) -> None:
        """Price units by the network as it is, at the point the stream has come to."""
        self.trainer.update_l0_at(self.plan, self._progress)

    @property
    def _n_epochs(self) -> int:
        """Epochs since the way to the present target size began."""
        return self.trainer.record.n_epochs - self._n_before

    @property
    def _progress(self) -> float:
        """Share of the way to a target size that is over."""
        return min(1.0, (self._n_epochs + self.trainer.pruner.n_draws / EPOCH) / self._n_pruning)

    @property
    def _n_pruning(self) -> int:
        """Epochs of a stream that prune on the way to a target size."""
        return max(1, round((1.0 - self.plan.finetune_fraction) * self.plan.max_iter))

    def _count(self, n_batches: int, n_rows: int, loss: float) -> None:
        self.loss += loss
        self.rows_since += n_rows
        self._since_priced = (self._since_priced + n_batches) % DRAWS_AHEAD
        self.trainer.pruner.n_draws += n_batches
        if self.trainer.pruner.n_draws >= EPOCH:
            self.end_epoch()

    def _count_seconds(self) -> None:
        before, self._clock = self._clock, time.perf_counter()
        self.seconds += self._clock - before

    def end_epoch(self) -> None:
        """Delete what has stayed off, and note the epoch."""
        self._count_seconds()
        self.trainer.record.epochs.append(self.entries())
        self.trainer.record.keep_last(MAX_EPOCHS)
        if self.verbose:
            progress.log(str(self.trainer.record.n_epochs), self.trainer.record.epochs[-1])
        self.loss, self.rows_since, self.seconds, self.judgement = 0.0, 0, 0.0, None
        done = self._n_epochs >= self._n_pruning
        self.trainer.end_stream_epoch(self.plan, done)
        self._since_priced = 0

    def entries(self) -> dict[str, Any]:
        """Return what there is to note of the epoch under way."""
        loss = self.loss / max(1, self.rows_since)
        entries = self.trainer.entries(loss, self.seconds, self.rows_since)
        if self.judgement is not None:
            entries["score"], entries["validation_loss"] = self.judgement
        return entries

    # --- describing ------------------------------------------------------------------

    def describe(self, name: str) -> dict[str, Any]:
        """Return the fitted attributes of the estimator that go with the one of this name.

        Those that tell of the training take the longer, the more epochs there have been:
        predicting does not ask for them.

        Raises
        ------
        ValueError
            If training has come to a parameter that is not finite, or was interrupted within a
            deletion.
        """
        return self._of_training() if name in TRAINING_ATTRIBUTES else self._of_network()

    def freeze(self) -> Network:
        """Return the network as it is.

        Raises
        ------
        ValueError
            As in `describe`.
        """
        self._check_whole()
        if not self.trainer.buffers.all_finite():
            raise self.trainer.diverged(self.plan)
        return self.trainer.freeze(self.plan)

    def _of_network(self) -> dict[str, Any]:
        network = self.freeze()
        if self.plan.early_stopping and self.trainer.record.best is not None:
            network = self.trainer.record.best
        return attributes.of_network(network, self.targets)

    def _of_training(self) -> dict[str, Any]:
        record = self.trainer.record
        whole = replace(record, epochs=[*record.epochs])
        if self.rows_since or not record.epochs:
            whole.epochs.append(self.entries())
        found = attributes.of_record(whole, self.plan.early_stopping)
        if record.best is not None:
            found["best_validation_score_"] = self.best_score
        return found

    def note(self, judgement: Evaluation, network: Network) -> None:
        """Note what validation rows say; keep the network if it is the best so far."""
        record = self.trainer.record
        if self.rows_since or not record.epochs:
            self.judgement = judgement
        else:  # the call has ended an epoch
            record.epochs[-1]["score"], record.epochs[-1]["validation_loss"] = judgement
        if not self.plan.early_stopping or not self._may_be_best(network):
            return
        if record.best is None or judgement.score >= self.best_score:
            self.best_score = judgement.score
            record.best = network

    def _may_be_best(self, network: Network) -> bool:
        """Whether a network has come to the target size, if there is one."""
        target, n_gates = self.plan.target, self.trainer.buffers.layout.n_gates
        return not target or (not n_gates and network.n_parameters <= target)

    # --- from the estimator ----------------------------------------------------------

    def change_plan(self, estimator: Any, n_rows: int) -> None:
        """Go on with other parameters.

        Parameters
        ----------
        estimator : estimator
        n_rows : int
            Of the next call.

        Raises
        ------
        ValueError
            If one of them shapes the network or breaks a rule; nothing has changed then.
        """
        check_architecture(estimator, self.architecture)
        trainer, before = self.trainer, dict(zip(estimator._names(), self.settings, strict=True))
        targets = estimator._encoding()
        class_weights = estimator._class_weights(targets)
        layout = trainer.buffers.layout
        if is_changed(estimator, before, "batch_size", "memory_budget"):
            layout = _layout(estimator, targets, n_rows, trainer)
        # Bytes of a model would be another number of parameters by now.
        target = None if is_changed(estimator, before, "target_size", "lam") else self.plan.target
        gated = replace(layout, gated=trainer.pruner.gated)
        plan = build_config(estimator, targets, gated, target=target)
        if layout != trainer.buffers.layout:
            trainer.buffers.resize_batch(layout.batch_size, layout.n_threads)
        is_new_way = (plan.target, plan.lam) != (self.plan.target, self.plan.lam)
        self.plan, self.targets, self.class_weights = plan, targets, class_weights
        self.balanced = estimator._balanced(targets)
        self.settings, self.verbose = _to_keep(settings_of(estimator)), estimator.verbose
        if not (isinstance(targets, RegressionTargets) and targets.follows and self.following):
            self.following = _following(targets, None, is_known=True)
        if is_new_way:
            trainer.begin_stream(plan)
            self._n_before, self._since_priced = trainer.record.n_epochs, 0

    def take_few(self, estimator: Any, X: Any, y: Any) -> bool:
        """Learn from rows so plain that they need no preparation; say whether they were.

        scikit-learn's checks of one row take longer than to learn from it.
        """
        with self.lock:
            if vars(estimator).get("_stream") is not self:
                return False  # fit has ended it meanwhile
            if not same_settings(settings_of(estimator), self.settings):
                return False
            if not checks.is_trusted_small(X, estimator):
                return False
            codes = self.targets.encode_trusted(y)
            if codes is None or len(codes) != len(X):
                return False
            if self.class_weights is not None:
                codes[:, -1] = self._row_weights(codes)
            following = self.following
            numbers = None if following is None else Numbers(following, y[:, None])
            try:
                self.learn(X, codes, numbers)
            finally:
                _forget_attributes(estimator)
            return True

    def encode(self, y: Any, sample_weight: NDArray[np.float64] | None) -> NDArray[np.float32]:
        """Check y, and put it and the weights of rows into one array."""
        if sample_weight is not None and sample_weight.max() > MAX_WEIGHT:
            raise ValueError(
                f"`sample_weight` must be at most {MAX_WEIGHT:.0e} in partial_fit, which "
                f"takes it as it is, got {sample_weight.max():.3g}. Divide the weights of all "
                "calls by a constant."
            )
        codes = self.targets.encode_like(y, "y").codes
        both = np.ones((len(codes), codes.shape[1] + 1), np.float32)
        both[:, :-1] = codes
        if self.class_weights is not None:
            both[:, -1] = self._row_weights(codes)
        if sample_weight is not None:
            both[:, -1] *= sample_weight
        return both

    def numbers(self, y: Any, sample_weight: NDArray[np.float64] | None) -> Numbers | None:
        """Return the targets, which `encode` has found in order, for the scale to follow."""
        if self.following is None:
            return None
        values = np.asarray(y).astype(np.float64).reshape(len(y), -1)
        return Numbers(self.following, values, sample_weight)

    def _row_weights(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """What rows weigh by their classes."""
        assert self.class_weights is not None
        weights = np.ones(len(codes))
        for column, of_code in enumerate(self.class_weights):
            values = codes[:, column].astype(np.intp)
            if self.balanced[column]:
                of_code = self._balance(column, values)
            weights *= of_code[values]
        return weights

    def _balance(self, column: int, values: NDArray[np.intp]) -> NDArray[np.float64]:
        """Weights that balance the classes in all rows so far, these included.

        As scikit-learn's "balanced": their number over that of the classes there have been, and
        over that of the class.
        """
        assert self.class_weights is not None
        if not self.counts:
            self.counts = [np.zeros(len(of_code)) for of_code in self.class_weights]
        counts = self.counts[column]
        counts += np.bincount(values, minlength=len(counts))
        mean = counts.sum() / np.count_nonzero(counts)
        return mean / np.maximum(counts, 1.0)


def partial_fit(
    estimator: Any,
    X: Any,
    y: Any,
    classes: Any,
    sample_weight: Any,
    validation: Validation,
) -> None:
    """Train `estimator` on some rows once; see `HardL0MLPClassifier.partial_fit`.

    What `Stream.take_few` takes need not come here.

    Where it fails, the rows from the mini-batch that has failed on are not learned; after a
    failed first call the estimator is as it was.
    """
    own = vars(estimator)
    estimator._validate_params()
    params.check_validation_arguments(*validation)
    stream = own.get("_stream")
    is_first = stream is None and "coefs_" not in own
    with restored_on_error(estimator, ("n_features_in_", "feature_names_in_")):
        X, y = checked(estimator, X, y, reset=is_first)
        weights = check_sample_weight(sample_weight, X, may_be_zero=True)
        if stream is None:
            stream = _begin(estimator, X, y, classes, weights)
        with stream.lock:
            _go_on(estimator, stream, X, y, classes, weights, validation)
    own.pop("_warm_state", None)  # of the time before


def _go_on(
    estimator: Any,
    stream: Stream,
    X: Any,
    y: Any,
    classes: Any,
    weights: NDArray[np.float64] | None,
    validation: Validation,
) -> None:
    """Check what is left to check, and learn from the rows."""
    if not same_settings(settings_of(estimator), stream.settings):
        stream.change_plan(estimator, X.shape[0])
        _forget_attributes(estimator)
    if classes is not None:
        stream.targets.check_classes(classes)
    judge = None if validation.X is None else make_evaluator(estimator, stream.targets, validation)
    if weights is not None and not weights.any():
        stream.targets.encode_like(y, "y")
        codes = None  # such rows are none
    else:
        codes = stream.encode(y, weights)  # last: it counts the rows of each class
    try:
        if codes is not None:
            stream.learn(X, codes, stream.numbers(y, weights))
        if judge is not None:
            network = stream.freeze()
            stream.note(judge(network), network)
        vars(estimator)["_stream"] = stream
    finally:
        _forget_attributes(estimator)


def _forget_attributes(estimator: Any) -> None:
    """Take away what tells of a stream as it was; it comes anew when it is asked for."""
    own = vars(estimator)
    if "_stream" in own and ("coefs_" in own or "n_iter_" in own):
        own.pop("coefs_", None)  # first: where it is, the others are as well
        for name in FITTED_ATTRIBUTES:
            own.pop(name, None)


def _begin(
    estimator: Any, X: Any, y: Any, classes: Any, weights: NDArray[np.float64] | None
) -> Stream:
    """Prepare a stream by its first rows, or by the network that a fit has left."""
    network = _network(estimator)
    if network is None:
        known = weights if weights is not None and weights.any() else None
        targets = estimator._encode(y, rescale_weights(known), classes=classes, stream=True)
    else:
        targets = estimator._encoding()
    targets = targets.take(_NO_ROWS)
    class_weights = estimator._class_weights(targets)
    layout = _layout(estimator, targets, X.shape[0])
    if network is not None:
        check_widths(estimator, network.n_units)
    plan = build_config(estimator, targets, layout)
    warn_if_sgd_replaces_adam(estimator, plan)
    seed = check_random_state(estimator.random_state).randint(0, 2**31, size=8)
    trainer = Trainer(plan, layout, np.random.default_rng([int(part) for part in seed]))
    if network is not None:
        trainer.load_network(plan, network)
    trainer.begin_stream(plan)
    return Stream(
        trainer,
        plan,
        targets,
        _to_keep(settings_of(estimator)),
        architecture(estimator),
        class_weights,
        estimator._balanced(targets),
        _following(targets, weights, is_known=network is not None),
        verbose=estimator.verbose,
    )


def _following(
    targets: Targets, weights: NDArray[np.float64] | None, *, is_known: bool
) -> Following | None:
    """Let centre and scale follow, where they are to.

    Those that are known already count as much as a block of rows that weigh as these do.
    """
    if not (isinstance(targets, RegressionTargets) and targets.follows):
        return None
    is_log = targets.out_activation == "exp"
    following = Following(targets.center, targets.scale, logarithmic=is_log)
    if is_known:
        has_weight = weights is not None and weights.any()
        following.start_from_known_scale(
            float(weights[weights > 0.0].mean()) if has_weight else 1.0
        )
    return following


def _layout(
    estimator: Any, targets: Targets, n_rows: int, trainer: Trainer | None = None
) -> BufferLayout:
    """Lay out the buffers, with room for weights of rows, which may come later."""
    batch_size = params.resolve_stream_batch_size(
        estimator.batch_size, n_rows, estimator.pruning != "none"
    )
    n_codes = targets.codes.shape[1] + 1
    return initial_layout(
        estimator, targets.n_outputs, n_codes, batch_size=batch_size, warm=trainer
    )


def _network(estimator: Any) -> Network | None:
    """Return the network of a fitted estimator, or None."""
    if "coefs_" not in vars(estimator):
        return None
    return Network(
        estimator.coefs_,
        estimator.intercepts_,
        estimator.support_,
        estimator.activation,
        estimator.out_activation_,
    )


def settings_of(estimator: Any) -> tuple[Any, ...]:
    """Parameters of an estimator, to see whether they have changed."""
    own = vars(estimator)
    return tuple([own[name] for name in estimator._names()])


def _to_keep(settings: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copy dicts and lists among parameters, so that a change within one is seen."""
    return tuple(
        copy.deepcopy(value) if isinstance(value, dict | list) else value for value in settings
    )


def same_settings(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Whether parameters are the same; arrays among them are never taken to be."""
    try:
        return some == others
    except ValueError:  # an array has no truth value
        return False


def is_changed(estimator: Any, before: dict[str, Any], *names: str) -> bool:
    """Whether one of the named parameters, which are numbers or text, is another one."""
    return any(getattr(estimator, name) != before[name] for name in names)
