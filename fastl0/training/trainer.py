"""The training loop: epochs, shuffling, going back, judging, history.

Owner of randomness (one NumPy generator per run) and of the decision to stop. May import
everything but the estimator, the data sets, the plots and the commands.
"""

import itertools
import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0._numba.structs import Rule
from fastl0._warnings import warn
from fastl0.checkpoint.state_reader import MAX_COUNT, StateError, StateReader
from fastl0.model import hard_concrete
from fastl0.model.network import Network, count_parameters, fold
from fastl0.training import criteria, rng_state
from fastl0.training.buffers import DRAWS_AHEAD, BufferLayout, Buffers
from fastl0.training.config import (
    DivergedError,
    EpochListener,
    SizeBudget,
    TrainingConfig,
    TrainingData,
)
from fastl0.training.divergence import STEP_DOWN, DivergenceGuard
from fastl0.training.early_stopping import EarlyStopping, LearningRateSchedule, effective_patience
from fastl0.training.epoch_runner import EpochRunner
from fastl0.training.history import HISTORY_KEYS, History
from fastl0.training.pruner import OPEN_LOG_ODDS, Pruner, min_gate_updates
from fastl0.training.schedule import PhaseSchedule
from fastl0.training.size_controller import SizeController
from fastl0.training.threads import ThreadTeam, ThreadTuner

#: A dynamic mini-batch has at most so many times as many rows as the first one ...
_MOST_GROWTH = 8
#: ... and leaves at least as many mini-batches to an epoch.
_FEWEST_BATCHES = 20
#: A stream holds its gates open for this share of its pruning phase, or where a price is given, and
#: it has none, for so many mini-batches.
_WARM_UP, _WARM_UP_BY_PRICE = 0.1, 1_000


@dataclass
class _Fit:
    """How far a fit has come."""

    phases: PhaseSchedule
    schedule: LearningRateSchedule
    number: int = 0  # of epochs that are over


class Trainer:
    """A network in training: its buffers, its random numbers and its record.

    Parameters
    ----------
    plan : TrainingConfig
    layout : BufferLayout
        Of the buffers to begin with.
    rng : numpy Generator
        Source of all random numbers: initial weights, shuffling, gates.
    n_batches : int, default=None
        Mini-batches of an epoch; None for a stream.
    """

    def __init__(
        self,
        plan: TrainingConfig,
        layout: BufferLayout,
        rng: np.random.Generator,
        n_batches: int | None = None,
    ) -> None:
        self.record = History()
        self._rng = rng
        self._n_features = layout.widths[0]
        # Mini-batches grow into what deletions leave, whether or not there is a snapshot.
        self._first = replace(layout, n_threads=1, snapshot=False)
        self._gate_factor = 1.0  # on the learning rate of the gates
        self._divergence = DivergenceGuard()
        self._n_forgotten = 0  # updates before training last went back
        self._fit: _Fit | None = None  # under way
        #: What the target is, given the epochs run and how many are to come, where that
        #: decides how much room there is for parameters.
        self.size_budget: SizeBudget | None = None
        self.buffers = Buffers(layout)
        self.pruner = Pruner(plan, self.buffers)
        has_gates = layout.n_gates > 0
        self.pruner.gates_held_open = has_gates and (
            n_batches is None or self._is_too_short(plan, n_batches)
        )
        self._initialise(plan, drawn_from_start=has_gates and not self.pruner.gates_held_open)

    def _initialise(self, plan: TrainingConfig, *, drawn_from_start: bool) -> None:
        """Draw the weights, and the log-odds of gates that are drawn at once; open the others.

        For Adam, whose steps are as long whatever the weights, these and the biases are uniform
        within ``sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010, eq. 16). Gradient descent
        learns faster from larger ones, and gates take half of them away at first: normal of
        variance ``2 / fan_in`` for "relu" (He et al. 2015, eq. 10) and ``1 / fan_in`` else, biases
        of 0.
        """
        gain = 2.0 if plan.activation == "relu" else 1.0
        for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(self.buffers.widths)):
            weights, biases = self.buffers.layer(layer)
            if drawn_from_start or plan.solver != "adam":
                self._rng.standard_normal(out=weights, dtype=np.float32)
                weights *= np.float32(math.sqrt(gain / fan_in))
                continue
            bound = np.float32(math.sqrt(6.0 / (fan_in + fan_out)))
            for part in (weights, biases):
                self._rng.random(out=part, dtype=np.float32)
                part -= np.float32(0.5)
                part *= np.float32(2.0) * bound
        for layer, log_odds in enumerate(self.buffers.per_layer("log_odds")):
            if log_odds is not None:
                droprate = plan.droprate_init[min(layer, 1)]
                log_odds[:] = (
                    hard_concrete.initial_log_odds(droprate, len(log_odds), self._rng)
                    if drawn_from_start
                    else OPEN_LOG_ODDS
                )

    def copy_generator(self) -> None:
        """In a forked child, go on without the generator's lock: a thread may have drawn there."""
        self._rng = rng_state.copy_generator(self._rng)

    def run_epoch(
        self,
        plan: TrainingConfig,
        data: TrainingData,
        rate: float,
        crew: ThreadTeam,
        pace: ThreadTuner,
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
        shrunk = pruner.prune_closed(plan)
        n_draws = pruner.n_draws
        pruner.n_draws = 0  # an interrupted epoch leaves tallies that nothing may judge by
        if plan.dynamic_batch_size:
            self._enlarge_batch(plan, data.n_rows)
        self.buffers.save_snapshot()
        before = pruner.save_snapshot()
        while True:
            n_before = self._n_updates
            try:
                return self._attempt(plan, data, rate, n_draws, crew, pace), shrunk
            except DivergedError as error:
                # Where not even one update was possible, smaller ones are no help.
                can_go_back = self.buffers.layout.snapshot and self._n_updates > n_before
                if not (can_go_back and self._divergence.retry()):
                    raise
                self._note_return(plan, error)
            self._n_forgotten = self._n_updates
            self.buffers.restore_snapshot()
            pruner.restore_snapshot(before)
            n_draws = 0

    def _note_return(self, plan: TrainingConfig, error: DivergedError) -> None:
        rate = plan.learning_rate_init * self._divergence.factor
        warn(
            f"{error.what}: training goes back to the end of the last good epoch and on from there "
            f"with {STEP_DOWN:g} times the learning rate, that is learning_rate_init={rate:g}. "
            "Standardise the inputs, or set learning_rate_init lower, to spare the detour.",
            RuntimeWarning,
        )

    def _attempt(
        self,
        plan: TrainingConfig,
        data: TrainingData,
        rate: float,
        n_draws: int,
        crew: ThreadTeam,
        pace: ThreadTuner,
    ) -> float:
        """Train on all rows once; return the objective."""
        n_rows, batch_size = data.n_rows, self.buffers.batch_size
        n_batches = -(-n_rows // batch_size)
        growth = batch_size / plan.batch_size
        rate *= math.sqrt(growth) if plan.solver == "adam" else growth
        rate *= self._divergence.factor
        loss = self._run_batches(plan, data, rate, crew, pace)
        self.pruner.n_draws = n_draws + n_batches
        self.pruner.has_collapsed = loss > n_rows * data.null_loss
        decay = 0.5 * plan.alpha * self.buffers.squared_norm() * n_batches / data.total_weight
        penalty = self.pruner.penalty(plan)
        objective = loss / n_rows + penalty / data.total_weight + decay
        # No mini-batch has seen what the last update did.
        if not (math.isfinite(objective) and self.buffers.all_finite()):
            raise self.diverged(plan)
        mean, can_go_back = loss / n_rows, self.buffers.layout.snapshot
        if can_go_back and self._divergence.has_exploded(mean, data.null_loss):
            raise self.diverged(plan, f"has risen to {mean:.3g}")
        self._divergence.reset()
        return objective

    @property
    def n_done(self) -> int:
        """Epochs of the fit under way that are over."""
        return self._fit.number if self._fit else 0

    @property
    def _n_updates(self) -> int:
        """Updates of the weights so far."""
        return self._n_forgotten + int(self.buffers.arrays()["step"][0])

    def diverged(self, plan: TrainingConfig, what: str = "is not finite") -> DivergedError:
        """Make the error for a loss or parameters that have come off their way."""
        price = f"lam={plan.lam:g}, " if plan.lam else ""  # none was given where a size was
        are_as_given = (
            plan.center is not None and not any(plan.center) and set(plan.scale or ()) == {1.0}
        )
        targets = " and the targets (normalize_y=True)" if are_as_given else ""
        remedy = (
            f"Standardise the inputs (sklearn.preprocessing.StandardScaler){targets} or lower "
            f"learning_rate_init, now {plan.learning_rate_init:g} (or {price}alpha={plan.alpha:g})."
        )
        if self._divergence.n_returns:
            remedy = f"Smaller steps from the last good epoch have not helped. {remedy}"
        return DivergedError(f"The training loss {what} after {self._n_updates} updates", remedy)

    def _run_batches(
        self,
        plan: TrainingConfig,
        data: TrainingData,
        rate: float,
        crew: ThreadTeam,
        pace: ThreadTuner,
    ) -> float:
        """Train on all mini-batches; return the sum of the losses of the rows."""
        batch_size, pruner = self.buffers.batch_size, self.pruner
        rows = self.new_runner(plan, data, crew, pace)
        rows.borrow()
        n_batches = -(-data.n_rows // batch_size)
        # One sum, in the order of the rows, however they are called for.
        tally, before, recent = np.zeros(1), 0.0, None
        try:
            for first in range(0, n_batches, DRAWS_AHEAD):
                has_collapsed = pruner.has_collapsed if recent is None else recent > data.null_loss
                pruner.update_l0(plan, first / n_batches, has_collapsed)
                n = min(DRAWS_AHEAD, n_batches - first)
                if not self._divergence.has_reference:
                    self.run_batches(rows, plan, data, rate, 1, tally)
                    self._divergence.set_reference(float(tally[0]) / min(batch_size, data.n_rows))
                    n -= 1
                self.run_batches(rows, plan, data, rate, n, tally)
                recent = (tally[0] - before) / (DRAWS_AHEAD * batch_size)
                before = tally[0]
        finally:
            crew.dismiss()
        return float(tally[0])

    def new_runner(
        self, plan: TrainingConfig, data: TrainingData, crew: ThreadTeam, pace: ThreadTuner
    ) -> EpochRunner:
        """Begin a pass over the rows, in an order that is drawn."""
        return EpochRunner(self.buffers, data, plan.shuffle, self._rng, crew, pace)

    def run_batches(
        self,
        rows: EpochRunner,
        plan: TrainingConfig,
        data: TrainingData,
        rate: float,
        n_batches: int,
        tally_: NDArray[np.float64],
    ) -> None:
        """Train on the next mini-batches of a pass, at the present prices; see `EpochRunner.run`.

        Raises
        ------
        DivergedError
            If the loss is not finite.
        """
        rule = self.rule(plan, rate, data.total_weight, data.mean_weight)
        if not rows.run(rule, n_batches, tally_):
            raise self.diverged(plan)

    def draw(self, uniforms: NDArray[np.float32]) -> None:
        """Fill with uniform numbers in [0, 1)."""
        self._rng.random(out=uniforms, dtype=np.float32)

    def rule(
        self, plan: TrainingConfig, rate: float, total_weight: float, mean_weight: float = 1.0
    ) -> Rule:
        """Settings of the next mini-batches, present prices included."""
        batch_size = self.buffers.batch_size
        growth = math.sqrt(batch_size / plan.batch_size)  # gates follow Adam
        gate_rate = plan.gate_learning_rate_init * self._gate_factor * growth
        lam = self.pruner.strength_of_mean_loss(total_weight)
        gates_held_open = self.pruner.gates_held_open
        return plan.rule(batch_size, rate, gate_rate, lam, mean_weight, gates_held_open)

    def update_l0_at(self, plan: TrainingConfig, progress: float) -> None:
        """Price the units of a stream, when `progress` of its pruning phase is over.

        Gates that were held open are let go once it has warmed up.
        """
        if not plan.target or progress >= _WARM_UP:
            self._release_gates(plan)
        self.pruner.update_l0_at(plan, progress)

    def _release_gates(self, plan: TrainingConfig) -> None:
        """Let gates go that were held open, but for those that wait for the price to count."""
        is_warm = plan.target > 0 or self._n_updates >= _WARM_UP_BY_PRICE
        if self.pruner.gates_held_open and is_warm:
            self.pruner.release_gates(plan, self._rng)

    def enforce_size(self, plan: TrainingConfig, n_more: int = 0) -> bool:
        """Bring a network with gates to its target size; say whether units had to go.

        Parameters
        ----------
        plan : TrainingConfig
        n_more : int, default=0
            Epochs to come.
        """
        if not plan.target:
            return False
        if self.size_budget is not None and self.record.epochs:
            left = self.size_budget(self.record.epochs, n_more)
            self._limit_size(max(left, self.pruner.min_parameters))
        return self.pruner.prune_to_size(plan)

    def _finish_gates(self, plan: TrainingConfig, n_more: int) -> bool:
        """Come to the target size and fold the gates; say whether units were deleted."""
        shrunk = self.enforce_size(plan, n_more)
        return self.pruner.fold_gates(plan) or shrunk

    def _limit_size(self, most: int) -> None:
        """Keep to so many parameters from now on; forget a best network that is larger."""
        self.pruner.max_parameters = most
        self.record.forget_best_above(most)

    def _enlarge_batch(self, plan: TrainingConfig, n_rows: int) -> None:
        """Let mini-batches grow into the memory that deleted units have left."""
        layout = self.buffers.layout
        limit = plan.memory_limit or self._first.nbytes
        most = min(_MOST_GROWTH * plan.batch_size, n_rows // _FEWEST_BATCHES)
        size = layout.batch_size
        # Counted for one thread, as the number of threads shall change no result.
        alone = replace(layout, n_threads=1, averaged=True, snapshot=False)
        while (
            size + plan.batch_size <= most
            and replace(alone, batch_size=size + plan.batch_size).nbytes <= limit
        ):
            size += plan.batch_size
        if size > layout.batch_size:
            # The snapshot, on which no result depends, makes way.
            grown = replace(layout, batch_size=size, averaged=True)
            if 0 < plan.memory_limit < grown.nbytes:
                self.buffers.allow_snapshot(False)
            self.buffers.resize_batch(size, layout.n_threads)

    def freeze(self, plan: TrainingConfig) -> Network:
        """Fold the deterministic gates in; return what is left as a plain network."""
        buffers = self.buffers
        coefs, intercepts, kept = fold(buffers.best_layers(), buffers.per_layer("log_odds"))
        support = np.zeros(self._n_features, dtype=bool)
        support[buffers.columns[kept]] = True
        network = Network(coefs, intercepts, support, plan.activation, plan.out_activation)
        return network.in_units_of(plan.center, plan.scale)

    def fit(self, plan: TrainingConfig, data: TrainingData, watcher: EpochListener) -> None:
        """Run up to ``plan.max_iter`` epochs; the record tells what happened.

        Raises
        ------
        DivergedError
            If the loss or a parameter stops being finite.
        """
        record = self.record
        record.converged = False
        patience = record.patience = self._patience(plan, data.n_rows)
        fit = self._fit = self._fit or self._begin(plan, -(-data.n_rows // plan.batch_size))
        phases, schedule = fit.phases, fit.schedule
        n_threads = self.buffers.n_threads
        pace = ThreadTuner(n_threads)
        try:
            with ThreadTeam(n_threads) as crew:
                while fit.number < phases.end:
                    number = fit.number
                    watcher.begin_epoch()
                    start = time.perf_counter()
                    folded = self._start_epoch(plan, phases, number)
                    rate = schedule.rate * phases.rate_factor(number)
                    loss, shrunk = self.run_epoch(plan, data, rate, crew, pace)
                    self._average(plan, phases, number)
                    entries = self.entries(loss, time.perf_counter() - start, data.n_rows)
                    stalled = self._judge(plan, data, patience, entries, shrunk or folded)
                    record.epochs.append(entries)
                    record.n_epochs_in_fit = number + 1
                    schedule.end_epoch(record.samples_seen)
                    stop = watcher.end_epoch(
                        record.n_epochs - 1,
                        lambda: self.freeze(plan),
                        {name: entries[name] for name in HISTORY_KEYS},
                    )
                    number = fit.number = number + 1
                    if stop:
                        record.converged = True
                        break
                    if stalled and number < phases.finetune_start and not plan.target:
                        if schedule.lower_or_stop():
                            record.converged = True
                            phases.finetune_after(number)
                        patience.waited = 0
                    if number < phases.end:
                        watcher.keep(record.n_epochs, self.state)
        finally:
            self._fit = None
            if self.buffers.is_consistent:
                self.buffers.allow_snapshot(False)
        record.converged |= plan.target > 0

    # --- streams ---------------------------------------------------------------------

    def load_network(self, plan: TrainingConfig, network: Network) -> None:
        """Start from a frozen network; where it shall shrink further its gates open anew."""
        buffers = self.buffers
        keep = [np.zeros(width, bool) for width in buffers.widths]
        for flags, width in zip(keep, network.n_units, strict=True):
            flags[:width] = True
        keep[0] = network.support
        buffers.shrink(keep[:-1])
        network = network.out_of_units_of(plan.center, plan.scale)
        for index, (coef, intercept) in enumerate(
            zip(network.coefs, network.intercepts, strict=True)
        ):
            weights, biases = buffers.layer(index)
            weights[...], biases[...] = coef, intercept
        for log_odds in buffers.per_layer("log_odds"):
            if log_odds is not None:
                log_odds[:] = OPEN_LOG_ODDS
        self.pruner.gates_held_open = False
        if plan.target and network.n_parameters <= plan.target:
            self._finish_gates(plan, 0)

    def begin_stream(self, plan: TrainingConfig) -> None:
        """Prepare for rows that come a few at a time, or for another price or size.

        A network that is finished, and has to become smaller than it is, has its gates opened
        anew.
        """
        self._limit_size(plan.target)
        self.pruner.start(plan, if_small=False)

    def end_stream_epoch(self, plan: TrainingConfig, is_last: bool) -> None:
        """Delete what has stayed off; after the last epoch that prunes, come to the target.

        Raises
        ------
        DivergedError
            If a parameter is not finite.
        """
        if not self.buffers.all_finite():
            raise self.diverged(plan)
        if not self.buffers.layout.n_gates:
            self.pruner.n_draws = 0
            return
        if plan.pruning == "hard":
            self.pruner.prune(plan)
        self.pruner.reset_counts()
        if plan.target and is_last:
            self._finish_gates(plan, 0)

    # --- fits ------------------------------------------------------------------------

    def _is_too_short(self, plan: TrainingConfig, n_batches: int) -> bool:
        """Whether a fit with epochs of so many mini-batches leaves gates no time to learn."""
        n_updates = self._fit_to_come(plan).phases.finetune_start * n_batches
        is_pruned = plan.target > 0 and any(self.pruner.gated)
        return is_pruned and n_updates < min_gate_updates(plan)

    def _begin(self, plan: TrainingConfig, n_batches: int) -> _Fit:
        """Prepare a fit: what an earlier one has finished goes on with open gates."""
        self._limit_size(plan.target)
        fit = self._fit_to_come(plan)
        prunes_once = self._is_too_short(plan, n_batches)
        self.pruner.start(plan, if_small=True, prunes_once=prunes_once)
        if self.pruner.prunes_once:
            # A network that is new loses nothing by a cut before its first epoch.
            fit.phases.finetune_from_halfway(is_new=self._n_updates == 0)
        self._divergence = DivergenceGuard()
        fit.schedule.end_epoch(self.record.samples_seen)
        return fit

    def _fit_to_come(self, plan: TrainingConfig) -> _Fit:
        return _Fit(
            PhaseSchedule(
                plan.max_iter,
                plan.finetune_fraction if any(self.pruner.gated) else 0.0,
                all_along=plan.learning_rate == "cosine",
                gates_as_well=plan.gate_learning_rate == "cosine",
            ),
            LearningRateSchedule(
                plan.learning_rate if plan.solver == "sgd" else "constant",
                plan.learning_rate_init,
                plan.power_t,
            ),
        )

    # --- to a checkpoint and back --------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that the epochs to come of a fit depend on, between two epochs.

        Plain values and views of arrays, which are not to be held.
        """
        fit, pruner = self._fit, self.pruner
        assert fit is not None, "no fit is under way"
        return {
            **self.persistent_state(),
            "phases": fit.phases.state(),
            "divergence": self._divergence.state(),
            "size_controller": pruner.size_controller.state() if pruner.size_controller else None,
            "rate": fit.schedule.rate,
            "number": fit.number,
            "most": pruner.max_parameters,
            "has_collapsed": pruner.has_collapsed,
            "prunes_once": pruner.prunes_once,
        }

    def persistent_state(self) -> dict[str, Any]:
        """The part of a state that outlasts a fit, for a warm start."""
        return {
            "buffers": self.buffers.state(),
            "record": self.record.state(),
            "random": rng_state.state_of(self._rng),
            "n_draws": self.pruner.n_draws,
            "gates_held_open": self.pruner.gates_held_open,
            "n_dropped": self._n_forgotten,
        }

    def resume(self, plan: TrainingConfig, fields: StateReader) -> None:
        """Take up the state of a fit with the same plan: `fit` then goes on from there.

        Parameters
        ----------
        plan : TrainingConfig
        fields : StateReader
            Of what `state` has returned, of a trainer that began as this one has.

        Raises
        ------
        StateError
            If the state is not sound. The trainer is then of no further use.
        """
        widths = self._first.widths
        record = History.restored(
            fields.fields("record"), widths, plan.activation, plan.out_activation
        )
        fit = self._fit_to_come(plan)
        fit.phases.restore(fields.fields("phases"))
        fit.schedule.rate = fields.number("rate", 0.0, plan.learning_rate_init)
        fit.number = fields.integer("number", 1, min(fit.phases.end - 1, record.n_epochs))
        if fields.is_none("size_controller") != (plan.target == 0):
            raise StateError(
                "`size_controller` must be there where there is a target, and only there"
            )
        size_controller = None
        if plan.target:
            most = count_parameters(widths)
            size_controller = SizeController.restored(fields.fields("size_controller"), most)
        divergence = DivergenceGuard.restored(fields.fields("divergence"))
        random = rng_state.read_state(fields.fields("random"))
        most = fields.integer("most", 0, MAX_COUNT)
        n_draws = fields.integer("n_draws", 0, MAX_COUNT)
        n_dropped = fields.integer("n_dropped", 0, MAX_COUNT)
        has_collapsed = fields.flag("has_collapsed")
        gates_held_open, prunes_once = fields.flag("gates_held_open"), fields.flag("prunes_once")
        buffers = fields.fields("buffers")
        fields.end()
        growth = _MOST_GROWTH if plan.dynamic_batch_size else 1
        self.buffers.restore(buffers, self._first, growth * plan.batch_size)
        self._rng.bit_generator.state = random
        self.record, self._fit, self._divergence = record, fit, divergence
        self._n_forgotten, pruner = n_dropped, self.pruner
        pruner.size_controller, pruner.max_parameters, pruner.l0_strength = (
            size_controller,
            most,
            plan.lam,
        )
        pruner.n_draws, pruner.has_collapsed = n_draws, has_collapsed
        pruner.gates_held_open, pruner.prunes_once = gates_held_open, prunes_once

    def _start_epoch(self, plan: TrainingConfig, phases: PhaseSchedule, number: int) -> bool:
        """Prepare an epoch: note how far pruning is, or end it; say whether units went."""
        pruner = self.pruner
        pruner.start_epoch(phases.progress(number), phases.progress(1))
        self._gate_factor = phases.gate_rate_factor(number)
        if not pruner.prunes_once:  # a stream, or a shorter fit, may have left them so
            self._release_gates(plan)
        if number != phases.finetune_start:
            return False
        if pruner.n_draws >= criteria.MIN_DRAWS:
            pruner.prune(plan)
        pruner.n_draws = 0
        return self._finish_gates(plan, phases.end - number)

    def _average(self, plan: TrainingConfig, phases: PhaseSchedule, number: int) -> None:
        """Take an epoch that finishes into the average of the weights, where that has room."""
        layout = replace(self.buffers.layout, averaged=True)
        if number >= phases.finetune_start and not 0 < plan.memory_limit < layout.nbytes:
            self.buffers.average_weights(phases.averaging_weight(number))

    def _patience(self, plan: TrainingConfig, n_rows: int) -> EarlyStopping:
        n_epochs, noisy = plan.n_iter_no_change, plan.pruning != "none"
        if noisy and not plan.early_stopping:
            n_epochs = effective_patience(n_epochs, -(-n_rows // plan.batch_size))
        patience = self.record.patience or EarlyStopping(plan.tol, n_epochs)
        patience.tol, patience.n_epochs, patience.smooth = plan.tol, n_epochs, noisy
        return patience

    def entries(self, loss: float, seconds: float, n_rows: int) -> dict[str, Any]:
        """Return what is noted of an epoch with so many rows."""
        widths = self.buffers.widths
        before = self.record.epochs[-1]["n_units"] if self.record.epochs else None
        return {
            "loss": loss,
            # One object for equal widths: pickle writes it once.
            "n_units": before if before == widths else widths,
            "n_parameters": count_parameters(widths),
            "buffer_nbytes": self.buffers.nbytes,
            "batch_size": self.buffers.batch_size,
            "epoch_time": seconds,
            "score": None,
            "validation_loss": None,
            "samples_seen": self.record.samples_seen + n_rows,
        }

    def _judge(
        self,
        plan: TrainingConfig,
        data: TrainingData,
        patience: EarlyStopping,
        entries: dict[str, Any],
        shrunk: bool,
    ) -> bool:
        """Have the network judged if there is a judge; say whether patience has run out."""
        if data.judge is None:
            return patience.update_loss(entries["loss"], shrunk)
        network = self.freeze(plan)
        score, entries["validation_loss"] = data.judge(network)
        entries["score"] = score
        if not plan.early_stopping:
            return patience.update_loss(entries["loss"], shrunk)
        # Of equal scores the later network is the smaller one.
        too_large = network.n_parameters > self.pruner.max_parameters
        if plan.target and (self.buffers.layout.n_gates or too_large):
            return False  # on the way down it is too large, or by chance too small
        if score >= patience.best_score:
            self.record.best = network
        return patience.update_score(score, shrunk)
