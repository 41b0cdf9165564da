"""The training loop: epochs, shuffling, deletion at an epoch's end, history.

Owner of randomness (one NumPy generator per run) and of the decision to stop. May import
everything but the estimator, the data sets, the plots and the commands.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastl0 import gates, pruning
from fastl0._kernels import RowSource
from fastl0.epoch import Rule, train_batches
from fastl0.kernels import ACTIVATIONS, LOGISTIC_LOSS, SOFTMAX_LOSS, SOLVERS
from fastl0.memory import DRAWS_AHEAD, Buffers, count_parameters
from fastl0.network import Network, codes_of, fold
from fastl0.ordering import Order, draw_keys
from fastl0.stopping import Patience, RateSchedule, epochs_to_wait
from fastl0.threads import Crew, Pace

#: What `history_` holds of every epoch.
HISTORY = ("loss", "n_units", "n_parameters", "buffer_nbytes", "batch_size", "epoch_time")

#: Validation rows gathered and judged at a time.
_VALIDATION_BLOCK = 1024

#: Called after every epoch with its number (from 0), a function that freezes the network
#: as it is, and the epoch's history entries; True stops the training.
EpochHook = Callable[[int, Callable[[], Network], dict[str, Any]], bool | None]


class Watcher(Protocol):
    """Who is told of every epoch."""

    def begin_epoch(self) -> None:
        """An epoch begins."""

    def end_epoch(self, epoch: int, freeze: Callable[[], Network], entries: dict[str, Any]) -> bool:
        """An epoch is over (arguments as in `EpochHook`); say whether to stop."""


@dataclass(frozen=True)
class Plan:
    """Checked settings of one training run; see `HardL0MLPClassifier` for their meaning."""

    activation: str
    solver: str
    alpha: float
    batch_size: int
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    tol: float
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: int
    lam: float
    pruning: str
    gate_inputs: bool
    prune_threshold: float
    gate_learning_rate_init: float
    droprate_init: tuple[float, float]
    out_activation: str

    def rule(self, n_samples: int, rate: float) -> Rule:
        """Settings of one epoch as the kernels take them."""
        return Rule(
            batch_size=self.batch_size,
            activation=ACTIVATIONS[self.activation],
            loss=SOFTMAX_LOSS if self.out_activation == "softmax" else LOGISTIC_LOSS,
            solver=SOLVERS[self.solver],
            rate=float(rate),
            gate_rate=float(self.gate_learning_rate_init),
            momentum=float(self.momentum),
            nesterov=bool(self.nesterovs_momentum),
            beta_1=float(self.beta_1),
            beta_2=float(self.beta_2),
            epsilon=float(self.epsilon),
            alpha=float(self.alpha),
            lam=float(self.lam) / n_samples,
        )


@dataclass(frozen=True)
class Data:
    """Rows to learn from and rows to judge by. Borrows the user's X.

    `rows` are the numbers of the rows to learn from; empty for all `n_rows` of them.
    """

    x: RowSource
    y: RowSource
    n_rows: int
    rows: NDArray[np.int32]
    validation_rows: NDArray[np.int32]
    validation_codes: NDArray[np.integer]


@dataclass
class Record:
    """What has happened so far, across warm starts.

    `epochs` grows by one finished entry at a time: an interruption leaves no uneven lists.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    patience: Patience | None = None
    best: Network | None = None
    converged: bool = False

    @property
    def n_epochs(self) -> int:
        """Epochs finished."""
        return len(self.epochs)

    def column(self, name: str) -> list[Any]:
        """One entry of every epoch: those of `HISTORY`, "score" and "samples_seen"."""
        return [entries[name] for entries in self.epochs]

    @property
    def samples_seen(self) -> int:
        """Training rows visited, all epochs added up."""
        return int(self.epochs[-1]["samples_seen"]) if self.epochs else 0


class DivergedError(ValueError):
    """The training loss stopped being finite."""


class Trainer:
    """A network in training: its buffers, its random numbers and its record.

    Parameters
    ----------
    plan : Plan
    widths : list of int
        Units of every layer at the start, inputs first, outputs last.
    n_targets : int
        Numbers per row of encoded targets.
    rng : numpy Generator
        Source of all random numbers: initial weights, shuffling, gates.
    n_threads : int, default=1
        Threads that may share a mini-batch. Their number changes no result.
    """

    def __init__(
        self,
        plan: Plan,
        widths: list[int],
        n_targets: int,
        rng: np.random.Generator,
        n_threads: int = 1,
    ) -> None:
        self.record = Record()
        self._rng = rng
        self._n_features = widths[0]
        self._n_draws = 0  # gate draws that the last epoch's tallies cover
        self._gated = [
            plan.pruning != "none" and (layer > 0 or plan.gate_inputs)
            for layer in range(len(widths) - 1)
        ]
        self.buffers = Buffers(
            widths,
            plan.batch_size,
            n_targets,
            adam=plan.solver == "adam",
            gated=self._gated,
            n_threads=n_threads,
        )
        self._initialise(plan)

    def _initialise(self, plan: Plan) -> None:
        gain = 2.0 if plan.activation == "relu" else 1.0
        for layer, fan_in in enumerate(self.buffers.widths[:-1]):
            weights, _ = self.buffers.layer(layer)
            self._rng.standard_normal(out=weights, dtype=np.float32)
            weights *= np.float32(math.sqrt(gain / fan_in))
        for layer, log_odds in enumerate(self.buffers.by_set("log_odds")):
            if log_odds is not None:
                droprate = plan.droprate_init[min(layer, 1)]
                log_odds[:] = gates.initial_log_odds(droprate, len(log_odds), self._rng)

    def run_epoch(
        self, plan: Plan, data: Data, rate: float, crew: Crew, pace: Pace
    ) -> tuple[float, bool]:
        """Delete what the last epoch switched off, then train on all rows once.

        The mask acts from the next epoch on: a network that training leaves behind has
        been trained for an epoch at least since its last deletion.

        Returns
        -------
        loss : float
            The objective: mean loss, L2 term of the weights at the epoch's end, expected L0.
        shrunk : bool
            Whether units were deleted.

        Raises
        ------
        DivergedError
            If the loss or a parameter is not finite.
        """
        n_rows = data.n_rows
        n_batches = -(-n_rows // plan.batch_size)
        shrunk = plan.pruning == "hard" and self._n_draws > 0 and self._prune(plan)
        self._n_draws = 0  # an interrupted epoch leaves tallies that nothing may judge by
        loss, penalty = self._run_batches(plan, data, rate, crew, pace)
        self._n_draws = n_batches
        decay = 0.5 * plan.alpha * self.buffers.squared_norm() * n_batches / n_rows
        objective = (loss + plan.lam / n_rows * penalty) / n_rows + decay
        # No mini-batch has seen what the last update did.
        if not (math.isfinite(objective) and self.buffers.all_finite()):
            raise self._diverged(plan)
        return objective, shrunk

    def _diverged(self, plan: Plan) -> DivergedError:
        n_updates = int(self.buffers.arrays()["step"][0])
        return DivergedError(
            f"The training loss is not finite after {n_updates} updates. Standardise the "
            "inputs (sklearn.preprocessing.StandardScaler) or lower learning_rate_init, now "
            f"{plan.learning_rate_init:g} (or lam={plan.lam:g}, alpha={plan.alpha:g})."
        )

    def _run_batches(
        self, plan: Plan, data: Data, rate: float, crew: Crew, pace: Pace
    ) -> tuple[float, float]:
        buffers = self.buffers
        buffers.begin_epoch(pruning.prices(buffers.widths, self._gated), data.x)
        no_keys = np.zeros(0, np.uint64)
        order = Order(data.n_rows, data.rows, draw_keys(self._rng) if plan.shuffle else no_keys)
        tally = np.zeros(2)
        rule = plan.rule(data.n_rows, rate)
        lent = (*buffers.lend(), rule, data.x.address, data.y.address, order)

        def help_out(seat: int) -> None:
            train_batches(*lent, 0, buffers.draws(0), tally, crew.address, seat)

        n_batches = -(-data.n_rows // plan.batch_size)
        first = 0
        try:
            while first < n_batches:
                n_threads, n = pace.next(min(DRAWS_AHEAD, n_batches - first))
                start = time.perf_counter()
                crew.recruit(n_threads, help_out)
                uniforms = buffers.draws(n)
                self._rng.random(out=uniforms, dtype=np.float32)
                done = train_batches(*lent, first, uniforms, tally, crew.address, 0)
                pace.note(n_threads, done, time.perf_counter() - start, crew.was_late)
                if done < n:
                    raise self._diverged(plan)
                first += n
        finally:
            crew.dismiss()
        return float(tally[0]), float(tally[1])

    def _prune(self, plan: Plan) -> bool:
        keep = self._decide(plan.prune_threshold)
        if all(stays.all() for stays in keep):
            return False
        self.buffers.shrink(keep)
        return True

    def _decide(self, threshold: float) -> list[NDArray[np.bool_]]:
        counts, sums = self.buffers.by_set("on_count"), self.buffers.by_set("on_sum")
        return [
            np.ones(width, dtype=bool)
            if count is None or total is None
            else pruning.decide(count, total, self._n_draws, threshold)
            for count, total, width in zip(
                counts, sums, self.buffers.widths[:-1], strict=True
            )
        ]  # fmt: skip

    def freeze(self, plan: Plan) -> Network:
        """Fold the deterministic gates in; return what is left as a plain network."""
        buffers = self.buffers
        layers = [buffers.layer(index) for index in range(len(buffers.widths) - 1)]
        coefs, intercepts, kept = fold(layers, buffers.by_set("log_odds"))
        support = np.zeros(self._n_features, dtype=bool)
        support[buffers.columns[kept]] = True
        return Network(coefs, intercepts, support, plan.activation, plan.out_activation)

    def fit(self, plan: Plan, data: Data, watcher: Watcher) -> None:
        """Run up to ``plan.max_iter`` epochs; the record tells what happened.

        Raises
        ------
        DivergedError
            If the loss or a parameter stops being finite.
        """
        record = self.record
        record.converged = False
        patience = record.patience = self._patience(plan, data.n_rows)
        schedule = RateSchedule(
            plan.learning_rate if plan.solver == "sgd" else "constant",
            plan.learning_rate_init,
            plan.power_t,
        )
        schedule.end_epoch(record.samples_seen)
        n_threads = self.buffers.n_threads
        pace = Pace(n_threads)
        with Crew(n_threads) as crew:
            for _ in range(plan.max_iter):
                watcher.begin_epoch()
                start = time.perf_counter()
                loss, shrunk = self.run_epoch(plan, data, schedule.rate, crew, pace)
                entries = self._entries(plan, loss, time.perf_counter() - start, data.n_rows)
                out_of_patience = self._judge(plan, data, patience, entries, shrunk)
                record.epochs.append(entries)
                schedule.end_epoch(record.samples_seen)
                stop = watcher.end_epoch(
                    record.n_epochs - 1,
                    lambda: self.freeze(plan),
                    {name: entries[name] for name in HISTORY},
                )
                if stop or (out_of_patience and schedule.give_up()):
                    record.converged = True
                    break
                if out_of_patience:
                    patience.waited = 0

    def _patience(self, plan: Plan, n_rows: int) -> Patience:
        n_epochs, noisy = plan.n_iter_no_change, plan.pruning != "none"
        if noisy and not plan.early_stopping:
            n_epochs = epochs_to_wait(n_epochs, -(-n_rows // plan.batch_size))
        patience = self.record.patience or Patience(plan.tol, n_epochs)
        patience.tol, patience.n_epochs, patience.smooth = plan.tol, n_epochs, noisy
        return patience

    def _entries(self, plan: Plan, loss: float, seconds: float, n_rows: int) -> dict[str, Any]:
        widths = tuple(self.buffers.widths)
        before = self.record.epochs[-1]["n_units"] if self.record.epochs else None
        return {
            "loss": loss,
            # One object for equal widths: pickle writes it once.
            "n_units": before if before == widths else widths,
            "n_parameters": count_parameters(widths),
            "buffer_nbytes": self.buffers.nbytes,
            "batch_size": plan.batch_size,
            "epoch_time": seconds,
            "score": None,
            "samples_seen": self.record.samples_seen + n_rows,
        }

    def _judge(
        self, plan: Plan, data: Data, patience: Patience, entries: dict[str, Any], shrunk: bool
    ) -> bool:  # fmt: skip
        """Score the network if it shall be scored; say whether patience has run out."""
        if not plan.early_stopping:
            return patience.note_loss(entries["loss"], shrunk)
        network = self.freeze(plan)
        score = entries["score"] = self._score(network, data)
        # Of equal scores the later network is the smaller one.
        if score >= patience.best_score:
            self.record.best = network
        return patience.note_score(score, shrunk)

    def _score(self, network: Network, data: Data) -> float:
        """Accuracy on the validation rows (of whole rows, for multilabel targets)."""
        columns = np.flatnonzero(network.support).astype(np.int32)
        n_rows = len(data.validation_rows)
        reader = Network(
            network.coefs,
            network.intercepts,
            np.ones(len(columns), dtype=bool),
            network.activation,
            network.out_activation,
        )
        right = 0
        for start in range(0, n_rows, _VALIDATION_BLOCK):
            rows = data.validation_rows[start : start + _VALIDATION_BLOCK]
            block = np.empty((len(rows), len(columns)), dtype=np.float32)
            data.x.gather(rows, columns, block)
            codes = codes_of(reader.outputs(block), network.out_activation)
            same = codes == data.validation_codes[start : start + len(rows)]
            right += int(np.count_nonzero(same if same.ndim == 1 else same.all(axis=1)))
        return right / n_rows
