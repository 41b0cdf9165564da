"""The training loop of `partial_fit`: rows come a few at a time, and there is no last epoch."""

import copy
import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0._kernels import RowSource
from fastl0.data.blocks import BlockReader
from fastl0.data.online_scaler import OnlineScaler
from fastl0.data.regression_targets import RegressionTargets
from fastl0.data.targets import Targets
from fastl0.kernel_api.row_order import RowOrder
from fastl0.model.network import Network
from fastl0.training import criteria, progress
from fastl0.training.batches import row_source
from fastl0.training.buffer_layout import DRAWS_AHEAD, BufferLayout
from fastl0.training.config import TrainingConfig, TrainingData
from fastl0.training.divergence import DivergedError
from fastl0.training.evaluation import Evaluation
from fastl0.training.history import History
from fastl0.training.initialization import OPEN_LOG_ODDS
from fastl0.training.kernels import train_batches
from fastl0.training.threads import ThreadTeam, ThreadTuner
from fastl0.training.trainer import Trainer

#: Mini-batches that make an epoch of a stream.
EPOCH = criteria.MIN_DRAWS

#: Epochs that the history of a stream holds: it has no end, and an epoch takes half a KiB.
MAX_EPOCHS = 10_000

#: Rows that a stream counts for at least where `lam` is divided by their number: at its start
#: there are none.
_MIN_ROWS = 10_000

#: Share of its pruning phase for which a stream with a target size holds its gates open.
_WARM_UP = 0.1

#: Mini-batches in one call from which on threads may share them.
_MANY = 32

#: Share of an output that is moved in one mini-batch, at most, where it follows the targets.
_MAX_STEP = 0.5

_NO_ROWS, _NO_KEYS = np.zeros(0, np.int32), np.zeros(0, np.uint64)


@dataclass
class UnscaledTargets:
    """Targets of a call as they are given, for the scaler to learn from.

    Attributes
    ----------
    y : ndarray of shape (n_rows, n_outputs)
    weights : float64 array of shape (n_rows,), or None
    n_noted : int
        Mini-batches that the scaler has been told of.
    """

    y: NDArray[Any]
    weights: NDArray[np.float64] | None = None
    n_noted: int = 0


class OnlineTrainer:
    """Trains a network on rows that come a few at a time.

    Parameters
    ----------
    trainer : Trainer
        Made without a number of mini-batches.
    targets : Targets
        How y is encoded.
    scaler : OnlineScaler or None
        Follows the centre and scale of the targets, where these may change.
    network : Network, default=None
        To start from, in place of a network that is drawn.

    Attributes
    ----------
    trainer : Trainer
    targets : Targets
    scaler : OnlineScaler or None
    verbose : bool or int
        Whether to log every epoch.
    """

    def __init__(
        self,
        trainer: Trainer,
        targets: Targets,
        scaler: OnlineScaler | None,
        network: Network | None = None,
        *,
        verbose: bool | int = False,
    ) -> None:
        self.trainer, self.targets, self.scaler, self.verbose = trainer, targets, scaler, verbose
        self._n_rows = 0
        self._loss = 0.0  # of the epoch under way, summed up
        self._rows_since = 0
        self._seconds = 0.0
        self._evaluation: Evaluation | None = None
        self._best_score = -math.inf
        self._n_before = 0  # epochs before the way to the present target size began
        self._since_l0_update = 0
        self._clock = 0.0  # when seconds were last counted
        self._pointers: Any = None
        self._pointers_of: BufferLayout | None = None
        if network is not None:
            self._load(network)
        self._start()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_pointers": None, "_pointers_of": None}

    def snapshot(self) -> "OnlineTrainer":
        """Return a copy that stays as it is."""
        history = self.trainer.history
        # What is never changed is not copied, nor is the long history as slowly as the rest.
        memo: dict[int, Any] = {id(x): x for x in (self.trainer.config, self.targets)}
        memo[id(history)] = replace(
            history,
            epochs=[dict(entries) for entries in history.epochs],
            stopper=copy.copy(history.stopper),
        )
        return copy.deepcopy(self, memo)

    def _load(self, network: Network) -> None:
        """Start from a frozen network; where it shall shrink further its gates open anew."""
        trainer, config, buffers = self.trainer, self.trainer.config, self.trainer.buffers
        keep = [np.zeros(width, bool) for width in buffers.widths]
        for flags, width in zip(keep, network.n_units, strict=True):
            flags[:width] = True
        keep[0] = network.support
        buffers.shrink(keep[:-1])
        network = network.normalize_outputs(config.center, config.scale)
        layers = zip(network.coefs, network.intercepts, strict=True)
        for index, (coef, intercept) in enumerate(layers):
            weights, biases = buffers.layer(index)
            weights[...], biases[...] = coef, intercept
        for log_odds in buffers.per_layer("log_odds"):
            if log_odds is not None:
                log_odds[:] = OPEN_LOG_ODDS
        trainer.pruner.gates_held_open = False
        if config.target and network.n_parameters <= config.target:
            trainer.finish_gates()

    def _start(self) -> None:
        """Set out for a price or size.

        A network that is finished, and has to become smaller than it is, has its gates opened
        anew.
        """
        self.trainer.limit_size(self.trainer.config.target)
        self.trainer.pruner.start(if_small=False)

    def reconfigure(self, config: TrainingConfig, targets: Targets, verbose: bool | int) -> None:
        """Go on with other settings; the way to another price or size begins anew."""
        before = self.trainer.config
        self.trainer.reconfigure(config)
        self.targets, self.verbose = targets, verbose
        if (config.target, config.lam) != (before.target, before.lam):
            self._start()
            self._n_before, self._since_l0_update = self.trainer.history.n_epochs, 0

    # --- learning --------------------------------------------------------------------

    def learn(self, X: Any, codes: NDArray[Any], unscaled: UnscaledTargets | None = None) -> None:
        """Train on some rows once.

        Parameters
        ----------
        X : ndarray, CSR matrix or BlockReader of shape (n_rows, n_features)
            As `checks.as_readable` returns it.
        codes : ndarray of shape (n_rows, n_codes)
            Encoded targets and weights; overwritten where their centre and scale change.
        unscaled : UnscaledTargets, default=None
            The same targets; needed where there is a scaler.

        Raises
        ------
        DivergedError
            If the loss or a parameter is not finite.
        """
        self._check_consistent()
        n_rows = len(codes)
        self._n_rows += n_rows
        self._clock = time.perf_counter()
        try:
            if n_rows <= self.trainer.buffers.batch_size:
                self._learn_one_batch(X, codes, unscaled)
            else:
                self._learn_many(X, codes, unscaled)
        except BaseException:
            # The gates of the mini-batch that failed are counted already.
            if self.trainer.buffers.is_consistent:
                self.trainer.pruner.reset_counts()
                self._since_l0_update = 0
            raise
        self._count_seconds()

    def _check_consistent(self) -> None:
        if not self.trainer.buffers.is_consistent:
            raise ValueError(
                "X cannot be learned from: an earlier call was interrupted while it deleted units, "
                "changed their scale or the size of mini-batches, and half a network is left. "
                "Start afresh: clone the estimator."
            )

    def _learn_one_batch(
        self, X: Any, codes: NDArray[Any], unscaled: UnscaledTargets | None
    ) -> None:
        """As `_learn_many`, for what costs less than its preparations."""
        trainer = self.trainer
        if unscaled is not None:
            self._follow(codes, unscaled, 0, 1)
        if self._since_l0_update == 0:
            self._update_l0()
        # By what the buffers are, not by what has been done to them: a deletion that is over
        # may have been interrupted before anything else could be noted.
        layout = trainer.buffers.layout
        if self._pointers is None or self._pointers_of is not layout:
            self._pointers, self._pointers_of = None, layout
            self._pointers = trainer.buffers.pointers()
        parts = trainer.encoding.parts if trainer.encoding else None
        x = RowSource(X.whole() if isinstance(X, BlockReader) else X, 1, parts)
        y = RowSource(codes)
        uniforms = trainer.buffers.draws(1)
        trainer.draw(uniforms)
        loss_sum = np.zeros(1)
        step = trainer.step_params(trainer.config.learning_rate_init, self._total_weight)
        sources = x.address, y.address, RowOrder(len(codes), _NO_ROWS, _NO_KEYS)
        if not train_batches(*self._pointers, step, *sources, 0, uniforms, loss_sum, 0, 0):
            raise trainer.diverged()
        loss = float(loss_sum[0])
        if unscaled is not None:
            assert self.scaler is not None
            self._update_scaler(unscaled, self.scaler.loss + loss, 1, slice(0, len(codes)))
        self._count(1, len(codes), loss)

    def _learn_many(self, X: Any, codes: NDArray[Any], unscaled: UnscaledTargets | None) -> None:
        trainer, scaler = self.trainer, self.scaler
        n_batches = -(-len(codes) // trainer.buffers.batch_size)
        n_threads = trainer.buffers.n_threads if n_batches >= _MANY else 1
        parts = trainer.encoding.parts if trainer.encoding else None
        x = row_source(X, n_threads, parts)
        data = TrainingData(
            x, RowSource(codes), len(codes), _NO_ROWS, self._total_weight, parts=parts
        )
        rate = trainer.config.learning_rate_init
        tuner = ThreadTuner(n_threads)
        first, batch_size = 0, trainer.buffers.batch_size
        with ThreadTeam(n_threads) as team:
            runner = trainer.new_runner(data, team, tuner)
            while first < n_batches:
                runner.refresh_pointers()
                if self._since_l0_update == 0:
                    self._update_l0()
                # Prices are set, and units deleted, after as many mini-batches as in short calls.
                n = min(DRAWS_AHEAD - self._since_l0_update, EPOCH - trainer.pruner.n_draws)
                n = min(n, n_batches - first)
                before = 0.0
                if unscaled is not None:
                    assert scaler is not None
                    n = self._follow(codes, unscaled, first, n)
                    before = scaler.loss
                loss_sum = np.array([before])
                try:
                    trainer.run_batches(runner, data, rate, n, loss_sum)
                finally:
                    team.stop_helpers()  # before buffers change
                rows = slice(first * batch_size, min(len(codes), (first + n) * batch_size))
                first += n
                loss = float(loss_sum[0])
                if unscaled is not None:
                    self._update_scaler(unscaled, loss, n, rows)
                self._count(n, rows.stop - rows.start, loss - before)

    # --- the centre and scale of the targets -----------------------------------------

    def _follow(self, codes: NDArray[Any], unscaled: UnscaledTargets, first: int, n: int) -> int:
        """Let centre and scale follow the next mini-batches; return how many may be learned.

        Parameters
        ----------
        codes : ndarray of shape (n_rows, n_codes)
            Overwritten where they change.
        unscaled : UnscaledTargets
        first : int
            Number of the first of them within the call.
        n : int
            How many at most.
        """
        scaler, batch_size = self.scaler, self.trainer.buffers.batch_size
        assert scaler is not None
        if not scaler.has_rows:  # those of a first call have set centre and scale together
            scaler.note(unscaled.y, unscaled.weights)
            unscaled.n_noted = len(codes)
        n = min(n, scaler.n_until_measured)
        for k in range(first, first + n):
            if k >= unscaled.n_noted:
                rows = slice(k * batch_size, (k + 1) * batch_size)
                weights = None if unscaled.weights is None else unscaled.weights[rows]
                scaler.note(unscaled.y[rows], weights)
                unscaled.n_noted += 1
            if not scaler.is_up_to_date():
                if k > first:
                    return k - first
                self._rescale(codes, unscaled)
        return n

    def _rescale(self, codes: NDArray[Any], unscaled: UnscaledTargets) -> None:
        """Bring centre and scale, and the output layer, to where the targets have gone."""
        scaler, targets, buffers = self.scaler, self.targets, self.trainer.buffers
        assert scaler is not None
        assert isinstance(targets, RegressionTargets)
        change = scaler.change()
        if change is not None:
            slope = targets.slope_factor(targets.scale / change.scale)
            buffers.is_consistent = False  # until all of it belongs together again
            buffers.rescale_outputs(change.factor, change.shift, slope)
            center, scale = change.center, change.scale
            self.targets = targets = replace(targets, center=center, scale=scale)
            in_use = {"center": tuple(center.tolist()), "scale": tuple(scale.tolist())}
            self.trainer.reconfigure(replace(self.trainer.config, **in_use))
            scaler.adopt(change)
            buffers.is_consistent = True
            codes[:, :-1] = targets.scaled(unscaled.y)
        # As far as Adam moves an output in one step by the units before it, if each is about 1.
        step = self.trainer.config.learning_rate_init * (1 + buffers.widths[-2])
        pull = scaler.pull(min(step, _MAX_STEP))
        if pull is not None:
            buffers.pull_outputs(*pull)

    def _update_scaler(
        self, unscaled: UnscaledTargets, loss: float, n_batches: int, rows: slice
    ) -> None:
        """Let errors tell how far the scale may fall; see `OnlineScaler.update_loss`."""
        assert self.scaler is not None
        assert isinstance(self.targets, RegressionTargets)
        weights = None if unscaled.weights is None else unscaled.weights[rows]
        n_rows = rows.stop - rows.start
        self.scaler.update_loss(loss, n_batches, n_rows, weights, self.targets.error_of)

    # --- epochs ----------------------------------------------------------------------

    @property
    def _total_weight(self) -> float:
        # Weights are taken as they are, as what they are relative to is not known; `lam` is the
        # price by the loss of one row, of as many as there have been.
        return float(max(self._n_rows, _MIN_ROWS))

    def _update_l0(self) -> None:
        """Price units by the network as it is, at the point the stream has come to.

        Gates that were held open are let go once the stream has warmed up.
        """
        share = self._progress
        if not self.trainer.config.target or share >= _WARM_UP:
            self.trainer.release_gates_when_warm()
        self.trainer.pruner.update_l0_at(share)

    @property
    def _n_epochs(self) -> int:
        """Epochs since the way to the present target size began."""
        return self.trainer.history.n_epochs - self._n_before

    @property
    def _progress(self) -> float:
        """Share of the way to a target size that is over."""
        return min(1.0, (self._n_epochs + self.trainer.pruner.n_draws / EPOCH) / self._n_pruning)

    @property
    def _n_pruning(self) -> int:
        """Epochs of a stream that prune on the way to a target size."""
        config = self.trainer.config
        return max(1, round((1.0 - config.finetune_fraction) * config.max_iter))

    def _count(self, n_batches: int, n_rows: int, loss: float) -> None:
        self._loss += loss
        self._rows_since += n_rows
        self._since_l0_update = (self._since_l0_update + n_batches) % DRAWS_AHEAD
        self.trainer.pruner.n_draws += n_batches
        if self.trainer.pruner.n_draws >= EPOCH:
            self._end_epoch()

    def _count_seconds(self) -> None:
        before, self._clock = self._clock, time.perf_counter()
        self._seconds += self._clock - before

    def _end_epoch(self) -> None:
        """Note the epoch, delete what has stayed off, and after the last come to the target."""
        trainer = self.trainer
        self._count_seconds()
        trainer.history.epochs.append(self._epoch_entries())
        trainer.history.keep_last(MAX_EPOCHS)
        if self.verbose:
            progress.log(str(trainer.history.n_epochs), trainer.history.epochs[-1])
        self._loss, self._rows_since, self._seconds, self._evaluation = 0.0, 0, 0.0, None
        is_last = self._n_epochs >= self._n_pruning
        if not trainer.buffers.all_finite():
            raise trainer.diverged()
        if trainer.buffers.layout.n_gates:
            if trainer.config.pruning == "hard":
                trainer.pruner.prune()
            trainer.pruner.reset_counts()
            if trainer.config.target and is_last:
                trainer.finish_gates()
        else:
            trainer.pruner.n_draws = 0
        self._since_l0_update = 0

    def _epoch_entries(self) -> dict[str, Any]:
        """Return what there is to note of the epoch under way."""
        loss = self._loss / max(1, self._rows_since)
        entries = self.trainer.epoch_entries(loss, self._seconds, self._rows_since)
        if self._evaluation is not None:
            entries["score"], entries["validation_loss"] = self._evaluation
        return entries

    # --- what has come of it ---------------------------------------------------------

    def check_network(self) -> None:
        """Check that there is a network.

        Raises
        ------
        ValueError
            If training has come to a parameter that is not finite, or was interrupted within a
            deletion.
        """
        self._check_consistent()
        if not self.trainer.buffers.all_finite():
            error = self.trainer.diverged()
            remedy = f"Clone the estimator and start afresh. {error.remedy}"
            raise DivergedError(error.what, remedy)

    def freeze(self) -> Network:
        """Return the network as it is.

        Raises
        ------
        ValueError
            As in `check_network`.
        """
        self.check_network()
        return self.trainer.freeze()

    def network(self) -> Network:
        """Return the network that predicts: as it is, or with early stopping the best one.

        Raises
        ------
        ValueError
            As in `freeze`.
        """
        network = self.freeze()
        best = self.trainer.history.best_network
        return best if self.trainer.config.early_stopping and best is not None else network

    def history(self) -> History:
        """Return the history with the epoch under way."""
        history = self.trainer.history
        whole = replace(history, epochs=[*history.epochs])
        if self._rows_since or not history.epochs:
            whole.epochs.append(self._epoch_entries())
        return whole

    @property
    def best_score(self) -> float | None:
        """Validation score of the best network; None where there is none."""
        return None if self.trainer.history.best_network is None else self._best_score

    def note_evaluation(self, evaluation: Evaluation, network: Network) -> None:
        """Note what validation rows say; keep the network if it is the best so far."""
        history = self.trainer.history
        if self._rows_since or not history.epochs:
            self._evaluation = evaluation
        else:  # the call has ended an epoch
            history.epochs[-1]["score"], history.epochs[-1]["validation_loss"] = evaluation
        if not self.trainer.config.early_stopping or not self._may_be_best(network):
            return
        if history.best_network is None or evaluation.score >= self._best_score:
            self._best_score = evaluation.score
            history.best_network = network

    def _may_be_best(self, network: Network) -> bool:
        """Whether a network has come to the target size, if there is one."""
        target = self.trainer.config.target
        n_gates = self.trainer.buffers.layout.n_gates
        return not target or (not n_gates and network.n_parameters <= target)
