"""The training loop of `fit`: epochs, going back after divergence, evaluating, history.

Owns the random numbers (one NumPy generator) and the decision to stop.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0._warnings import warn
from fastl0.checkpoint.state_reader import MAX_COUNT, StateReader
from fastl0.kernel_api.structs import StepParams
from fastl0.model.encoding import Encoding
from fastl0.model.network import Network, count_parameters, fold_gates
from fastl0.training import criteria, rng_state
from fastl0.training.buffer_layout import DRAWS_AHEAD, BufferLayout
from fastl0.training.buffers import Buffers
from fastl0.training.config import TrainingConfig, TrainingData
from fastl0.training.divergence import STEP_DOWN, DivergedError, DivergenceGuard
from fastl0.training.early_stopping import EarlyStopping, effective_patience
from fastl0.training.epoch_runner import EpochRunner
from fastl0.training.history import History
from fastl0.training.initialization import initialize
from fastl0.training.listeners import EpochListener
from fastl0.training.pruner import Pruner, min_gate_updates
from fastl0.training.schedule import LearningRateSchedule, PhaseSchedule
from fastl0.training.threads import ThreadTeam, ThreadTuner

#: A dynamic mini-batch has at most so many times as many rows as the first one ...
_MOST_GROWTH = 8
#: ... and leaves at least as many mini-batches to an epoch.
_FEWEST_BATCHES = 20
#: Updates after which a stream at a given price lets go of gates that were held open.
_WARM_UP_BY_PRICE = 1_000


@dataclass
class _FitProgress:
    """How far a fit has come."""

    phases: PhaseSchedule
    schedule: LearningRateSchedule
    number: int = 0  # of epochs that are over


class Trainer:
    """A network in training: its settings, buffers, random numbers and history.

    Parameters
    ----------
    config : TrainingConfig
    layout : BufferLayout
        Of the buffers to begin with.
    rng : numpy Generator
        Source of all random numbers: initial weights, shuffling, gates.
    n_batches : int, default=None
        Mini-batches of an epoch; None for a stream, which has no last epoch.
    encoding : Encoding, default=None
        What the network reads, where it is not the columns of X.

    Attributes
    ----------
    config : TrainingConfig
        Changed by `reconfigure` only.
    first_layout : BufferLayout
        Of the buffers to begin with, for one thread.
    history : History
    buffers : Buffers
    pruner : Pruner
    """

    def __init__(
        self,
        config: TrainingConfig,
        layout: BufferLayout,
        rng: np.random.Generator,
        n_batches: int | None = None,
        encoding: Encoding | None = None,
    ) -> None:
        self.config = config
        self.encoding = encoding
        self.history = History()
        self._rng = rng
        self._n_features = layout.widths[0]
        # Mini-batches grow into what deletions leave, whether or not there is a snapshot.
        self.first_layout = replace(layout, n_threads=1, snapshot=False)
        self._gate_factor = 1.0  # on the learning rate of the gates
        self._divergence = DivergenceGuard()
        self._n_updates_undone = 0  # before training last went back
        self._fit: _FitProgress | None = None  # under way
        self.buffers = Buffers(layout)
        self.pruner = Pruner(config, self.buffers)
        has_gates = layout.n_gates > 0
        self.pruner.gates_held_open = has_gates and (
            n_batches is None or self._is_too_short(n_batches)
        )
        gates_drawn = has_gates and not self.pruner.gates_held_open
        initialize(self.buffers, config, rng, gates_drawn=gates_drawn)

    def reconfigure(self, config: TrainingConfig) -> None:
        """Go on with other settings."""
        self.config = self.pruner.config = config

    def renew_generator(self) -> None:
        """In a forked child, go on without the generator's lock: a thread may have drawn there."""
        self._rng = rng_state.copy_generator(self._rng)

    def run_epoch(
        self,
        data: TrainingData,
        rate: float,
        team: ThreadTeam,
        tuner: ThreadTuner,
    ) -> tuple[float, bool]:
        """Delete what the last epochs switched off, then train on all rows once.

        The mask acts from the next epoch on: a network that training leaves behind has
        been trained for an epoch at least since its last deletion.

        Returns
        -------
        loss : float
            The objective: mean loss, and at the epoch's end L2 term and, unless there is a
            target, expected L0.
        shrunk : bool
            Whether units were deleted.

        Raises
        ------
        DivergedError
            If the loss or a parameter is not finite, or the loss has exploded, and going back
            has not helped; what is not finite, also if there is nothing to go back to.
        """
        pruner = self.pruner
        shrunk = pruner.prune_closed()
        n_draws = pruner.n_draws
        pruner.n_draws = 0  # an interrupted epoch leaves counts that decide nothing
        if self.config.dynamic_batch_size:
            self._enlarge_batch(data.n_rows)
        self.buffers.save_snapshot()
        before = pruner.save_snapshot()
        while True:
            n_before = self._n_updates
            try:
                return self._attempt(data, rate, n_draws, team, tuner), shrunk
            except DivergedError as error:
                # Where not even one update was possible, smaller ones are no help.
                can_go_back = self.buffers.layout.snapshot and self._n_updates > n_before
                if not (can_go_back and self._divergence.retry()):
                    raise
                self._note_return(error)
            self._n_updates_undone = self._n_updates
            self.buffers.restore_snapshot()
            pruner.restore_snapshot(before)
            n_draws = 0

    def _note_return(self, error: DivergedError) -> None:
        rate = self.config.learning_rate_init * self._divergence.factor
        warn(
            f"{error.what}: training goes back to the end of the last good epoch and on from there "
            f"with {STEP_DOWN:g} times the learning rate, that is learning_rate_init={rate:g}. "
            "Standardise the inputs, or set learning_rate_init lower, to spare the detour.",
            RuntimeWarning,
        )

    def _attempt(
        self,
        data: TrainingData,
        rate: float,
        n_draws: int,
        team: ThreadTeam,
        tuner: ThreadTuner,
    ) -> float:
        """Train on all rows once; return the objective."""
        n_rows, batch_size = data.n_rows, self.buffers.batch_size
        n_batches = -(-n_rows // batch_size)
        growth = batch_size / self.config.batch_size
        rate *= math.sqrt(growth) if self.config.solver == "adam" else growth
        rate *= self._divergence.factor
        loss = self._run_batches(data, rate, team, tuner)
        self.pruner.n_draws = n_draws + n_batches
        self.pruner.has_collapsed = loss > n_rows * data.null_loss
        decay = (
            0.5 * self.config.alpha * self.buffers.squared_norm() * n_batches / data.total_weight
        )
        penalty = self.pruner.penalty()
        objective = loss / n_rows + penalty / data.total_weight + decay
        # No mini-batch has seen what the last update did.
        if not (math.isfinite(objective) and self.buffers.all_finite()):
            raise self.diverged()
        mean, can_go_back = loss / n_rows, self.buffers.layout.snapshot
        if can_go_back and self._divergence.has_exploded(mean, data.null_loss):
            raise self.diverged(f"has risen to {mean:.3g}")
        self._divergence.reset()
        return objective

    @property
    def n_done(self) -> int:
        """Epochs of the fit under way that are over."""
        return self._fit.number if self._fit else 0

    @property
    def _n_updates(self) -> int:
        """Updates of the weights so far."""
        return self._n_updates_undone + int(self.buffers.arrays()["step"][0])

    def diverged(self, what: str = "is not finite") -> DivergedError:
        """Make the error for a loss or parameters that have come off their way."""
        config, center, scale = self.config, self.config.center, self.config.scale
        price = f"lam={config.lam:g}, " if config.lam else ""  # none was given where a size was
        are_as_given = center is not None and not any(center) and set(scale or ()) == {1.0}
        targets = " and the targets (normalize_y=True)" if are_as_given else ""
        remedy = (
            f"Standardise the inputs (sklearn.preprocessing.StandardScaler){targets} or lower "
            f"learning_rate_init, now {config.learning_rate_init:g} "
            f"(or {price}alpha={config.alpha:g})."
        )
        if self._divergence.n_returns:
            remedy = f"Smaller steps from the last good epoch have not helped. {remedy}"
        return DivergedError(f"The training loss {what} after {self._n_updates} updates", remedy)

    def _run_batches(
        self,
        data: TrainingData,
        rate: float,
        team: ThreadTeam,
        tuner: ThreadTuner,
    ) -> float:
        """Train on all mini-batches; return the sum of the losses of the rows."""
        batch_size, pruner = self.buffers.batch_size, self.pruner
        runner = self.new_runner(data, team, tuner)
        runner.refresh_pointers()
        n_batches = -(-data.n_rows // batch_size)
        # One sum, in the order of the rows, however they are called for.
        loss_sum, before, recent = np.zeros(1), 0.0, None
        try:
            for first in range(0, n_batches, DRAWS_AHEAD):
                has_collapsed = pruner.has_collapsed if recent is None else recent > data.null_loss
                pruner.update_l0(first / n_batches, has_collapsed)
                n = min(DRAWS_AHEAD, n_batches - first)
                if not self._divergence.has_reference:
                    self.run_batches(runner, data, rate, 1, loss_sum)
                    loss = float(loss_sum[0]) / min(batch_size, data.n_rows)
                    self._divergence.set_reference(loss)
                    n -= 1
                self.run_batches(runner, data, rate, n, loss_sum)
                recent = (loss_sum[0] - before) / (DRAWS_AHEAD * batch_size)
                before = loss_sum[0]
        finally:
            team.stop_helpers()
        return float(loss_sum[0])

    def new_runner(self, data: TrainingData, team: ThreadTeam, tuner: ThreadTuner) -> EpochRunner:
        """Begin a pass over the rows, in an order that is drawn."""
        return EpochRunner(self.buffers, data, self.config.shuffle, self._rng, team, tuner)

    def run_batches(
        self,
        runner: EpochRunner,
        data: TrainingData,
        rate: float,
        n_batches: int,
        loss_sum_: NDArray[np.float64],
    ) -> None:
        """Train on the next mini-batches of a pass, at the present prices; see `EpochRunner.run`.

        Raises
        ------
        DivergedError
            If the loss is not finite.
        """
        step = self.step_params(rate, data.total_weight, data.mean_weight)
        if not runner.run(step, n_batches, loss_sum_):
            raise self.diverged()

    def draw(self, uniforms: NDArray[np.float32]) -> None:
        """Fill with uniform numbers in [0, 1)."""
        self._rng.random(out=uniforms, dtype=np.float32)

    def step_params(self, rate: float, total_weight: float, mean_weight: float = 1.0) -> StepParams:
        """Settings of the next mini-batches, present prices included."""
        batch_size = self.buffers.batch_size
        growth = math.sqrt(batch_size / self.config.batch_size)  # gates follow Adam
        gate_rate = self.config.gate_learning_rate_init * self._gate_factor * growth
        lam = self.pruner.strength_of_mean_loss(total_weight)
        gates_held_open = self.pruner.gates_held_open
        return self.config.step_params(
            batch_size, rate, gate_rate, lam, mean_weight, gates_held_open
        )

    def release_gates_when_warm(self) -> None:
        """Let gates go that were held open; at a given price after enough updates only."""
        is_warm = self.config.target > 0 or self._n_updates >= _WARM_UP_BY_PRICE
        if self.pruner.gates_held_open and is_warm:
            self.pruner.release_gates(self._rng)

    def enforce_size(self) -> bool:
        """Bring a network with gates to its target size; say whether units had to go."""
        return self.config.target > 0 and self.pruner.prune_to_size()

    def finish_gates(self) -> bool:
        """Come to the target size and fold the gates; say whether units were deleted."""
        shrunk = self.enforce_size()
        return self.pruner.fold_gates() or shrunk

    def limit_size(self, most: int) -> None:
        """Keep to so many parameters from now on; forget a best network that is larger."""
        self.pruner.max_parameters = most
        self.history.drop_best_above(most)

    def _enlarge_batch(self, n_rows: int) -> None:
        """Let mini-batches grow into the memory that deleted units have left."""
        layout = self.buffers.layout
        limit = self.config.memory_limit or self.first_layout.nbytes
        most = min(_MOST_GROWTH * self.config.batch_size, n_rows // _FEWEST_BATCHES)
        size = layout.batch_size
        # Counted for one thread, as the number of threads shall change no result.
        alone = replace(layout, n_threads=1, averaged=True, snapshot=False)
        while (
            size + self.config.batch_size <= most
            and replace(alone, batch_size=size + self.config.batch_size).nbytes <= limit
        ):
            size += self.config.batch_size
        if size > layout.batch_size:
            # The snapshot, on which no result depends, makes way.
            grown = replace(layout, batch_size=size, averaged=True)
            if 0 < self.config.memory_limit < grown.nbytes:
                self.buffers.allow_snapshot(False)
            self.buffers.resize_batch(size, layout.n_threads)

    def freeze(self) -> Network:
        """Fold the deterministic gates in; return what is left as a plain network."""
        buffers = self.buffers
        coefs, intercepts, kept = fold_gates(buffers.best_layers(), buffers.per_layer("log_odds"))
        support = np.zeros(self._n_features, dtype=bool)
        support[buffers.columns[kept]] = True
        activation, out_activation = self.config.activation, self.config.out_activation
        network = Network(coefs, intercepts, support, activation, out_activation, self.encoding)
        return network.denormalize_outputs(self.config.center, self.config.scale)

    def best_network(self) -> Network:
        """Return the network as it is, or with early stopping the best one."""
        best = self.history.best_network
        if not self.config.early_stopping or best is None:
            return self.freeze()
        return replace(best, encoding=self.encoding)  # one from a checkpoint has none

    def fit(self, data: TrainingData, listeners: Sequence[EpochListener] = ()) -> None:
        """Run up to ``config.max_iter`` epochs; the history tells what happened.

        Parameters
        ----------
        data : TrainingData
        listeners : sequence of EpochListener, default=()
            Told of every epoch, in this order; each may stop the training.

        Raises
        ------
        DivergedError
            If the loss or a parameter stops being finite.
        """
        self.history.converged = False
        stopper = self.history.stopper = self._early_stopping(data.n_rows)
        fit = self._fit = self._fit or self._begin(-(-data.n_rows // self.config.batch_size))
        n_threads = self.buffers.n_threads
        tuner = ThreadTuner(n_threads)
        try:
            with ThreadTeam(n_threads) as team:
                while fit.number < fit.phases.end:
                    for listener in listeners:
                        listener.begin_epoch()
                    stalled = self._fit_epoch(fit, data, stopper, team, tuner)
                    # All are told, whoever wants to stop.
                    stops = [listener.end_epoch(self) for listener in listeners]
                    if any(stops):
                        self.history.converged = True
                        break
                    if stalled:
                        self._end_early(fit, stopper)
                    if fit.number < fit.phases.end:
                        for listener in listeners:
                            listener.between_epochs(self.history.n_epochs, self.state)
        finally:
            self._fit = None
            if self.buffers.is_consistent:
                self.buffers.allow_snapshot(False)
        self.history.converged |= self.config.target > 0

    def _fit_epoch(
        self,
        fit: _FitProgress,
        data: TrainingData,
        stopper: EarlyStopping,
        team: ThreadTeam,
        tuner: ThreadTuner,
    ) -> bool:
        """Run the next epoch and note it; say whether there has been no progress for too long."""
        number, phases = fit.number, fit.phases
        start = time.perf_counter()
        folded = self._start_epoch(phases, number)
        rate = fit.schedule.rate * phases.rate_factor(number)
        loss, shrunk = self.run_epoch(data, rate, team, tuner)
        self._average(phases, number)
        entries = self.epoch_entries(loss, time.perf_counter() - start, data.n_rows)
        stalled = self._evaluate(data, stopper, entries, shrunk or folded)
        self.history.epochs.append(entries)
        self.history.n_epochs_in_fit = fit.number = number + 1
        fit.schedule.end_epoch(self.history.samples_seen)
        return stalled

    def _end_early(self, fit: _FitProgress, stopper: EarlyStopping) -> None:
        """Lower the learning rate, or go on to the last phase, where there is no progress."""
        if fit.number >= fit.phases.finetune_start or self.config.target:
            return
        if fit.schedule.lower_or_stop():
            self.history.converged = True
            fit.phases.finetune_after(fit.number)
        stopper.n_waited = 0

    # --- fits ------------------------------------------------------------------------

    def _is_too_short(self, n_batches: int) -> bool:
        """Whether a fit with epochs of so many mini-batches leaves gates no time to learn."""
        n_updates = self._fit_to_come().phases.finetune_start * n_batches
        is_pruned = self.config.target > 0 and any(self.pruner.gated)
        return is_pruned and n_updates < min_gate_updates(self.config)

    def _begin(self, n_batches: int) -> _FitProgress:
        """Prepare a fit: what an earlier one has finished goes on with open gates."""
        self.limit_size(self.config.target)
        fit = self._fit_to_come()
        prunes_once = self._is_too_short(n_batches)
        self.pruner.start(if_small=True, prunes_once=prunes_once)
        if self.pruner.prunes_once:
            # A network that is new loses nothing by a cut before its first epoch.
            fit.phases.finetune_from_halfway(is_new=self._n_updates == 0)
        self._divergence = DivergenceGuard()
        fit.schedule.end_epoch(self.history.samples_seen)
        return fit

    def _fit_to_come(self) -> _FitProgress:
        return _FitProgress(
            PhaseSchedule(
                self.config.max_iter,
                self.config.finetune_fraction if any(self.pruner.gated) else 0.0,
                whole_fit=self.config.learning_rate == "cosine",
                gates_too=self.config.gate_learning_rate == "cosine",
            ),
            LearningRateSchedule(
                self.config.learning_rate if self.config.solver == "sgd" else "constant",
                self.config.learning_rate_init,
                self.config.power_t,
            ),
        )

    # --- to a checkpoint and back --------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that the epochs to come of a fit depend on, between two epochs.

        Plain values and views of arrays, which are not to be held.
        """
        fit = self._fit
        assert fit is not None, "no fit is under way"
        return {
            **self.persistent_state(),
            "phases": fit.phases.state(),
            "divergence": self._divergence.state(),
            "pruning": self.pruner.fit_state(),
            "rate": fit.schedule.rate,
            "number": fit.number,
        }

    def persistent_state(self) -> dict[str, Any]:
        """The part of a state that outlasts a fit, for a warm start: see `load`."""
        return {
            "buffers": self.buffers.state(),
            "history": self.history.state() if self.history.epochs else None,
            "random": rng_state.state_of(self._rng),
            "gates": self.pruner.state(),
            "n_updates_undone": self._n_updates_undone,
        }

    def load(self, state: StateReader) -> None:
        """Take up what outlasts a fit, of a trainer that began with the same layout.

        Raises
        ------
        StateError
            If the state is not sound. The trainer is then of no further use.
        """
        config, widths = self.config, self.first_layout.widths
        self.history = History()
        if not state.is_none("history"):
            history, own = state.nested("history"), (config.activation, config.out_activation)
            self.history = History.restored(history, widths, *own, of_fit=False)
        self._rng.bit_generator.state = rng_state.read_state(state.nested("random"))
        self._n_updates_undone = state.integer("n_updates_undone", 0, MAX_COUNT)
        self.pruner.load(state.nested("gates"))
        self.buffers.restore(state.nested("buffers"), self.first_layout, (1, MAX_COUNT))
        state.end()

    def resume(self, fields: StateReader) -> None:
        """Take up the state of a fit with the same settings: `fit` then goes on from there.

        Parameters
        ----------
        fields : StateReader
            Of what `state` has returned, of a trainer that began as this one has.

        Raises
        ------
        StateError
            If the state is not sound. The trainer is then of no further use.
        """
        widths = self.first_layout.widths
        history = History.restored(
            fields.nested("history"), widths, self.config.activation, self.config.out_activation
        )
        fit = self._fit_to_come()
        fit.phases.restore(fields.nested("phases"))
        fit.schedule.rate = fields.number("rate", 0.0, self.config.learning_rate_init)
        fit.number = fields.integer("number", 1, min(fit.phases.end - 1, history.n_epochs))
        divergence = DivergenceGuard.restored(fields.nested("divergence"))
        random = rng_state.read_state(fields.nested("random"))
        n_updates_undone = fields.integer("n_updates_undone", 0, MAX_COUNT)
        self.pruner.load(fields.nested("gates"))
        self.pruner.resume(fields.nested("pruning"), widths)
        buffers = fields.nested("buffers")
        fields.end()
        growth = _MOST_GROWTH if self.config.dynamic_batch_size else 1
        sizes = self.buffers.batch_size, growth * self.config.batch_size
        self.buffers.restore(buffers, self.first_layout, sizes)
        self._rng.bit_generator.state = random
        self.history, self._fit, self._divergence = history, fit, divergence
        self._n_updates_undone = n_updates_undone

    def _start_epoch(self, phases: PhaseSchedule, number: int) -> bool:
        """Prepare an epoch: note how far pruning is, or end it; say whether units went."""
        pruner = self.pruner
        pruner.start_epoch(phases.progress(number), phases.progress(1))
        self._gate_factor = phases.gate_rate_factor(number)
        if not pruner.prunes_once:  # a stream, or a shorter fit, may have left them so
            self.release_gates_when_warm()
        if number != phases.finetune_start:
            return False
        if pruner.n_draws >= criteria.MIN_DRAWS:
            pruner.prune()
        pruner.n_draws = 0
        return self.finish_gates()

    def _average(self, phases: PhaseSchedule, number: int) -> None:
        """Take an epoch that finishes into the average of the weights, where that has room."""
        layout = replace(self.buffers.layout, averaged=True)
        if number >= phases.finetune_start and not 0 < self.config.memory_limit < layout.nbytes:
            self.buffers.average_weights(phases.averaging_weight(number))

    def _early_stopping(self, n_rows: int) -> EarlyStopping:
        n_epochs, noisy = self.config.n_iter_no_change, self.config.pruning != "none"
        if noisy and not self.config.early_stopping:
            n_epochs = effective_patience(n_epochs, -(-n_rows // self.config.batch_size))
        stopper = self.history.stopper or EarlyStopping(self.config.tol, n_epochs)
        stopper.tol, stopper.patience, stopper.smooth = self.config.tol, n_epochs, noisy
        return stopper

    def epoch_entries(self, loss: float, seconds: float, n_rows: int) -> dict[str, Any]:
        """Return what is noted of an epoch with so many rows."""
        widths = self.buffers.widths
        before = self.history.epochs[-1]["n_units"] if self.history.epochs else None
        return {
            "loss": loss,
            # One object for equal widths: pickle writes it once.
            "n_units": before if before == widths else widths,
            "n_parameters": count_parameters(widths, self.config.input_cost),
            "buffer_nbytes": self.buffers.nbytes,
            "batch_size": self.buffers.batch_size,
            "epoch_time": seconds,
            "score": None,
            "validation_loss": None,
            "samples_seen": self.history.samples_seen + n_rows,
        }

    def _evaluate(
        self, data: TrainingData, stopper: EarlyStopping, entries: dict[str, Any], shrunk: bool
    ) -> bool:
        """Evaluate the network, where there are validation rows; say whether it has stalled."""
        if data.evaluator is None:
            return stopper.update_loss(entries["loss"], shrunk)
        network = self.freeze()
        score, entries["validation_loss"] = data.evaluator(network)
        entries["score"] = score
        if not self.config.early_stopping:
            return stopper.update_loss(entries["loss"], shrunk)
        # Of equal scores the later network is the smaller one.
        too_large = network.n_parameters > self.pruner.max_parameters
        if self.config.target and (self.buffers.layout.n_gates or too_large):
            return False  # on the way down it is too large, or by chance too small
        if score >= stopper.best_score:
            self.history.best_network = network
        return stopper.update_score(score, shrunk)
