"""The training loop: epochs, shuffling, deletion at an epoch's end, history.

Owner of randomness (one NumPy generator per run) and of the decision to stop. May import
everything but the estimator, the data sets, the plots and the commands.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastl0 import gates, generator, pruning
from fastl0._kernels import RowSource
from fastl0.blocks import Blocks
from fastl0.epoch import Rule, train_batches
from fastl0.fields import Fields, StateError
from fastl0.kernels import ACTIVATIONS, LOSSES, SOLVERS
from fastl0.memory import DRAWS_AHEAD, VERY_MANY, Buffers, Layout
from fastl0.network import Network, fold
from fastl0.notices import warn
from fastl0.ordering import Order, draw_keys
from fastl0.phases import Course
from fastl0.record import HISTORY, Record
from fastl0.safeguard import STEP_DOWN, Safeguard
from fastl0.sizes import count_parameters
from fastl0.steering import Steering
from fastl0.stopping import Patience, RateSchedule, epochs_to_wait
from fastl0.threads import Crew, Pace
from fastl0.visits import ArrayVisit, BlockVisit, Stretch, Visit

#: Log-odds of gates that are opened anew: the lowest whose deterministic gate is 1.
_OPEN = 2.4
#: Deterministic gate of a unit that stays although its gate has closed.
_AJAR = 0.1
#: A dynamic mini-batch has at most so many times as many rows as the first one ...
_MOST_GROWTH = 8
#: ... and leaves at least as many mini-batches to an epoch.
_FEWEST_BATCHES = 20

#: Called after every epoch with its number (from 0), a function that freezes the network
#: as it is, and the epoch's history entries; True stops the training.
EpochHook = Callable[[int, Callable[[], Network], dict[str, Any]], bool | None]


#: Called with the entries of the epochs run and the number of epochs to come; returns a size.
SizeLeft = Callable[[list[dict[str, Any]], int], int]


class Judgement(NamedTuple):
    """What validation rows say of a network: a score, larger is better, and the mean loss."""

    score: float
    loss: float


#: Judges a network by validation rows.
Judge = Callable[[Network], Judgement]


class Watcher(Protocol):
    """Who is told of every epoch."""

    def begin_epoch(self) -> None:
        """An epoch begins."""

    def end_epoch(self, epoch: int, freeze: Callable[[], Network], entries: dict[str, Any]) -> bool:
        """An epoch is over (arguments as in `EpochHook`); say whether to stop."""

    def keep(self, epoch: int, state: Callable[[], dict[str, Any]]) -> None:
        """`state()` is all that the epochs to come depend on; not called after the last one."""


@dataclass(frozen=True)
class Plan:
    """Checked settings of one training run; see `HardL0MLPClassifier` for their meaning."""

    activation: str
    solver: str
    alpha: float
    batch_size: int  # to begin with
    dynamic_batch_size: bool
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
    lam: float  # of no account with a target
    target: int  # parameters to end with; 0 for none
    memory_limit: int  # bytes of the buffers at most; 0 for none
    penalty: str
    input_price: float
    finetune_fraction: float
    pruning: str
    prune_threshold: float
    gate_learning_rate: str
    gate_learning_rate_init: float
    droprate_init: tuple[float, float]
    loss: str
    loss_parameter: float
    out_activation: str
    center: tuple[float, ...] | None = None  # of the targets, see `Network.in_units_of`
    scale: tuple[float, ...] | None = None

    def rule(self, batch_size: int, data: "Data", rate: float) -> Rule:
        """Settings of one epoch as the kernels take them."""
        return Rule(
            batch_size=batch_size,
            activation=ACTIVATIONS[self.activation],
            loss=LOSSES[self.loss],
            parameter=float(self.loss_parameter),
            solver=SOLVERS[self.solver],
            rate=float(rate),
            gate_rate=float(self.gate_learning_rate_init),
            momentum=float(self.momentum),
            nesterov=bool(self.nesterovs_momentum),
            beta_1=float(self.beta_1),
            beta_2=float(self.beta_2),
            epsilon=float(self.epsilon),
            alpha=float(self.alpha) / data.mean_weight,
            lam=float(self.lam) / data.total_weight,
        )


@dataclass(frozen=True)
class Data:
    """Rows to learn from and rows to judge by. Borrows the user's X.

    `y` holds encoded targets and, where rows have weights, these divided by their mean.
    `rows` are the numbers of the rows to learn from; empty for all `n_rows` of them. Where X is
    read by blocks they ascend.
    `total_weight` is what all rows weigh, and `mean_weight` what one does, before they were
    divided by it.
    `null_loss` is the mean loss of the best prediction that looks at no input: a network that
    does worse has collapsed. `judge` scores a network.
    """

    x: RowSource | Blocks
    y: RowSource
    n_rows: int
    rows: NDArray[np.int32]
    total_weight: float
    mean_weight: float = 1.0
    null_loss: float = math.inf
    judge: "Judge | None" = None


@dataclass
class _Fit:
    """How far a fit has come."""

    course: Course
    schedule: RateSchedule
    number: int = 0  # of epochs that are over


class DivergedError(ValueError):
    """The training loss, or a parameter, has stopped being finite or has exploded.

    Parameters
    ----------
    what : str
        A clause that says what has happened.
    remedy : str
    """

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)  # both, so that it can be pickled
        self.what, self.remedy = what, remedy

    def __str__(self) -> str:
        return f"{self.what}. {self.remedy}"


class Trainer:
    """A network in training: its buffers, its random numbers and its record.

    Parameters
    ----------
    plan : Plan
    layout : Layout
        Of the buffers to begin with.
    rng : numpy Generator
        Source of all random numbers: initial weights, shuffling, gates.
    """

    def __init__(self, plan: Plan, layout: Layout, rng: np.random.Generator) -> None:
        self.record = Record()
        self._rng = rng
        self._n_features = layout.widths[0]
        # Mini-batches grow into what deletions leave, whether or not there is a fallback.
        self._first = replace(layout, n_threads=1, fallback=False)
        self.n_draws = 0  # gate draws that the tallies cover
        self._gated = layout.gated
        self._steering: Steering | None = None
        self._most = plan.target  # parameters, as far as is known by now; 0 for any number
        self._progress, self._epoch_share = 0.0, 1.0  # of the pruning phase
        self._has_collapsed = False  # in the last epoch
        self._gate_factor = 1.0  # on the learning rate of the gates
        self._price = plan.lam
        self._safeguard = Safeguard()
        self._n_forgotten = 0  # updates before training last went back
        self._fit: _Fit | None = None  # under way
        #: What the target is, given the epochs run and how many are to come, where that
        #: decides how much room there is for parameters.
        self.size_left: SizeLeft | None = None
        self.buffers = Buffers(layout)
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
        n_rows = data.n_rows
        n_draws = self.n_draws
        shrunk = False
        may_prune = plan.pruning == "hard" and self.buffers.layout.n_gates > 0
        # A network that has lost a class shall find it again before it loses units as well.
        may_prune &= not (plan.target and self._has_collapsed)
        if may_prune and n_draws >= pruning.FEWEST_DRAWS:
            shrunk, n_draws = self._shrink(self._decide(plan)), 0
        if n_draws == 0:
            self.buffers.forget_tallies()
        self.n_draws = 0  # an interrupted epoch leaves tallies that nothing may judge by
        if plan.dynamic_batch_size:
            self._enlarge_batch(plan, n_rows)
        self.buffers.remember()
        before = copy.copy(self._steering), self._has_collapsed
        while True:
            n_before = self._n_updates
            try:
                return self._attempt(plan, data, rate, n_draws, crew, pace), shrunk
            except DivergedError as error:
                # Where not even one update was possible, smaller ones are no help.
                can_go_back = self.buffers.layout.fallback and self._n_updates > n_before
                if not (can_go_back and self._safeguard.go_back()):
                    raise
                self._note_return(plan, error)
            self._n_forgotten = self._n_updates
            self.buffers.go_back()
            self._steering, self._has_collapsed = copy.copy(before[0]), before[1]
            self.n_draws = n_draws = 0

    def _note_return(self, plan: Plan, error: DivergedError) -> None:
        rate = plan.learning_rate_init * self._safeguard.factor
        warn(
            f"{error.what}: training goes back to the end of the last good epoch and on from there "
            f"with {STEP_DOWN:g} times the learning rate, that is learning_rate_init={rate:g}. "
            "Standardise the inputs, or set learning_rate_init lower, to spare the detour.",
            RuntimeWarning,
        )

    def _attempt(
        self, plan: Plan, data: Data, rate: float, n_draws: int, crew: Crew, pace: Pace
    ) -> float:
        """Train on all rows once; return the objective."""
        n_rows, batch_size = data.n_rows, self.buffers.batch_size
        n_batches = -(-n_rows // batch_size)
        growth = batch_size / plan.batch_size
        rate *= math.sqrt(growth) if plan.solver == "adam" else growth
        rate *= self._safeguard.factor
        loss = self._run_batches(plan, data, rate, crew, pace)
        self.n_draws = n_draws + n_batches
        self._has_collapsed = loss > n_rows * data.null_loss
        decay = 0.5 * plan.alpha * self.buffers.squared_norm() * n_batches / data.total_weight
        # The price of the way to a target is no setting: with it no two epochs would compare.
        penalty = 0.0 if self._steering else self._price * self._expected_penalty(plan)
        objective = loss / n_rows + penalty / data.total_weight + decay
        # No mini-batch has seen what the last update did.
        if not (math.isfinite(objective) and self.buffers.all_finite()):
            raise self.diverged(plan)
        mean, can_go_back = loss / n_rows, self.buffers.layout.fallback
        if can_go_back and self._safeguard.has_exploded(mean, data.null_loss):
            raise self.diverged(plan, f"has risen to {mean:.3g}")
        self._safeguard.note_success()
        return objective

    @property
    def n_done(self) -> int:
        """Epochs of the fit under way that are over."""
        return self._fit.number if self._fit else 0

    @property
    def _n_updates(self) -> int:
        """Updates of the weights so far."""
        return self._n_forgotten + int(self.buffers.arrays()["step"][0])

    def diverged(self, plan: Plan, what: str = "is not finite") -> DivergedError:
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
        if self._safeguard.n_returns:
            remedy = f"Smaller steps from the last good epoch have not helped. {remedy}"
        return DivergedError(f"The training loss {what} after {self._n_updates} updates", remedy)

    def _run_batches(self, plan: Plan, data: Data, rate: float, crew: Crew, pace: Pace) -> float:
        """Train on all mini-batches; return the sum of the losses of the rows."""
        buffers = self.buffers
        visit, lent = self.visit(plan, data), buffers.lend()
        buffers.begin_epoch(visit.x)
        n_batches = -(-data.n_rows // buffers.batch_size)
        # One sum, in the order of the rows, however they are called for.
        tally, before, recent = np.zeros(1), 0.0, None
        shared = plan, data, rate, visit, lent, crew, pace, tally
        try:
            for first in range(0, n_batches, DRAWS_AHEAD):
                has_collapsed = self._has_collapsed if recent is None else recent > data.null_loss
                self._set_prices(plan, first / n_batches, has_collapsed)
                n = min(DRAWS_AHEAD, n_batches - first)
                if not self._safeguard.knows_start:
                    self.run_some(*shared, 1)
                    self._safeguard.note_start(
                        float(tally[0]) / min(buffers.batch_size, data.n_rows)
                    )
                    n -= 1
                self.run_some(*shared, n)
                recent = (tally[0] - before) / (DRAWS_AHEAD * buffers.batch_size)
                before = tally[0]
        finally:
            crew.dismiss()
        return float(tally[0])

    def visit(self, plan: Plan, data: Data) -> Visit:
        """Begin to visit the rows, in an order that is drawn."""
        rng = self._rng if plan.shuffle else None
        if isinstance(data.x, Blocks):
            return BlockVisit(data.x, data.y, data.rows, self.buffers.batch_size, rng)
        keys = np.zeros(0, np.uint64) if rng is None else draw_keys(rng)
        return ArrayVisit(data.x, data.y, Order(data.n_rows, data.rows, keys))

    def run_some(
        self,
        plan: Plan,
        data: Data,
        rate: float,
        visit: Visit,
        lent: tuple[Any, ...],
        crew: Crew,
        pace: Pace,
        tally_: NDArray[np.float64],
        n_batches: int,
    ) -> None:
        """Train on the next mini-batches, up to `DRAWS_AHEAD`, at the present prices.

        Adds the losses of the rows to `tally_`, of shape (1,).

        Raises
        ------
        DivergedError
            If the loss is not finite.
        """
        rule = self.rule(plan, data, rate)
        while n_batches:
            if visit.is_used_up:
                crew.dismiss()  # nobody holds rows then
                visit.read_on()
            stretch = visit.next(n_batches)
            self._run_stretch(plan, rule, stretch, lent, crew, pace, tally_)
            n_batches -= stretch.n_batches

    def _run_stretch(
        self,
        plan: Plan,
        rule: Rule,
        stretch: Stretch,
        lent: tuple[Any, ...],
        crew: Crew,
        pace: Pace,
        tally_: NDArray[np.float64],
    ) -> None:
        """Train on rows that lie in memory; add the losses to `tally_`."""
        buffers = self.buffers
        sources = stretch.x.address, stretch.y.address, stretch.order

        def help_out(seat: int) -> None:
            train_batches(*lent, rule, *sources, 0, buffers.draws(0), tally_, crew.address, seat)

        first, end = stretch.first, stretch.first + stretch.n_batches
        while first < end:
            n_threads, n = pace.next(end - first)
            start = time.perf_counter()
            crew.recruit(n_threads, help_out)
            uniforms = buffers.draws(n)
            self.draw(uniforms)
            done = train_batches(*lent, rule, *sources, first, uniforms, tally_, crew.address, 0)
            pace.note(n_threads, done, time.perf_counter() - start, crew.was_late)
            if done < n:
                raise self.diverged(plan)
            first += n

    def draw(self, uniforms: NDArray[np.float32]) -> None:
        """Fill with uniform numbers in [0, 1)."""
        self._rng.random(out=uniforms, dtype=np.float32)

    def rule(self, plan: Plan, data: Data, rate: float) -> Rule:
        """Settings of the next mini-batches, present prices included."""
        rule = plan.rule(self.buffers.batch_size, data, rate)
        growth = self.buffers.batch_size / plan.batch_size
        # Gates follow Adam.
        gate_rate = rule.gate_rate * self._gate_factor * math.sqrt(growth)
        return rule._replace(gate_rate=gate_rate, lam=self._price / data.total_weight)

    # --- prices and sizes ------------------------------------------------------------

    def _set_prices(self, plan: Plan, part: float, has_collapsed: bool) -> None:
        """Set what units and parameters cost when `part` of an epoch is over."""
        buffers = self.buffers
        if not buffers.layout.n_gates:
            return
        if self._steering is not None:
            progress = self._progress + part * self._epoch_share
            if has_collapsed:
                self._price = self._steering.pardon(progress)
            else:
                size = self._open_size(plan.prune_threshold)
                self._price = self._steering.price(progress, size)
        if part == 0.0 or plan.penalty == "size":
            units = self._expected_units()
            gated = buffers.layout.gated
            buffers.set_prices(
                pruning.prices(plan.penalty, units, buffers.widths, gated, plan.input_price)
            )

    def _expected_units(self) -> list[float]:
        """Expected number of open units of every layer."""
        buffers = self.buffers
        return [
            float(width) if a is None else float(gates.on_probability(a).sum())
            for a, width in zip(buffers.by_set("log_odds"), buffers.widths, strict=False)
        ] + [float(buffers.widths[-1])]

    def _expected_penalty(self, plan: Plan) -> float:
        """Return the expected L0 term, before its price."""
        layout = self.buffers.layout
        if not layout.n_gates:
            return 0.0
        return pruning.expected_penalty(
            plan.penalty, self._expected_units(), layout.widths, layout.gated, plan.input_price
        )

    def _open_size(self, threshold: float) -> int:
        """Parameters between units whose on-probability is above the threshold."""
        buffers = self.buffers
        least = gates.log_odds_of(threshold)
        counts = [
            width if a is None else max(1, int(np.count_nonzero(a >= least)))
            for a, width in zip(buffers.by_set("log_odds"), buffers.widths, strict=False)
        ]
        return count_parameters([*counts, buffers.widths[-1]])

    # --- deletions -------------------------------------------------------------------

    def _shrink(self, keep: list[NDArray[np.bool_]]) -> bool:
        """Delete units, if there are any to delete; say whether there were."""
        if all(stays.all() for stays in keep):
            return False
        self.buffers.shrink(keep)
        return True

    def _decide(self, plan: Plan) -> list[NDArray[np.bool_]]:
        """Say which units stay, by the tallies; as many as the way to a target allows."""
        buffers = self.buffers
        counts, sums = buffers.by_set("on_count"), buffers.by_set("on_sum")
        keep = [
            np.ones(width, dtype=bool)
            if count is None or total is None
            else pruning.decide(count, total, self.n_draws, plan.prune_threshold)
            for count, total, width in zip(counts, sums, buffers.widths[:-1], strict=True)
        ]
        if self._steering is None:
            return keep
        # What closes too soon is not deleted: its gates may open again.
        size = int(self._steering.wanted(self._progress))
        log_odds = buffers.by_set("log_odds")
        least = pruning.cut_to_size(log_odds, buffers.widths, size, exchange=False)
        return [flags | needed for flags, needed in zip(keep, least, strict=True)]

    def settle(self, plan: Plan, n_more: int = 0) -> bool:
        """Bring a network with gates to its target size; say whether units had to go.

        Parameters
        ----------
        plan : Plan
        n_more : int, default=0
            Epochs to come.
        """
        buffers = self.buffers
        if not plan.target:
            return False
        if self.size_left is not None and self.record.epochs:
            left = self.size_left(self.record.epochs, n_more)
            self._limit_size(max(left, self._smallest()))
        if not buffers.layout.n_gates or count_parameters(buffers.widths) <= self._most:
            return False
        log_odds = buffers.by_set("log_odds")
        return self._shrink(pruning.cut_to_size(log_odds, buffers.widths, self._most))

    def _limit_size(self, most: int) -> None:
        """Keep to so many parameters from now on; forget a best network that is larger."""
        self._most = most
        if self.record.best is not None and 0 < most < self.record.best.n_parameters:
            self.record.best = None
            if self.record.patience is not None:
                self.record.patience.best_score = -math.inf

    def _smallest(self) -> int:
        """Parameters with one unit in each set that has gates before they are folded."""
        widths = self.buffers.widths
        ones = [1 if gated else w for w, gated in zip(widths, self._gated, strict=False)]
        return count_parameters([*ones, widths[-1]])

    def _fold_gates(self, plan: Plan, n_more: int) -> bool:
        """Multiply the deterministic gates into the weights; delete units whose gate is 0.

        Those that a target has room for stay. Returns whether units were deleted.
        """
        buffers = self.buffers
        shrunk = self.settle(plan, n_more)
        values = [
            None if a is None else gates.deterministic_gate(a).astype(np.float32)
            for a in buffers.by_set("log_odds")
        ]
        if plan.target:
            values = [None if z is None else np.maximum(z, np.float32(_AJAR)) for z in values]
        else:
            keep = []
            log_odds = buffers.by_set("log_odds")
            for z, a, width in zip(values, log_odds, buffers.widths, strict=False):
                if z is not None and a is not None and not z.any():
                    z[np.argmax(a)] = _AJAR
                keep.append(np.ones(width, bool) if z is None else z > 0)
            log_odds.clear()
            del a
            shrunk = self._shrink(keep) or shrunk
            values = [None if z is None else z[z > 0] for z in values]
        buffers.fold_gates(values)
        return shrunk

    def _enlarge_batch(self, plan: Plan, n_rows: int) -> None:
        """Let mini-batches grow into the memory that deleted units have left."""
        layout = self.buffers.layout
        limit = plan.memory_limit or self._first.nbytes
        most = min(_MOST_GROWTH * plan.batch_size, n_rows // _FEWEST_BATCHES)
        size = layout.batch_size
        # Counted for one thread, as the number of threads shall change no result.
        alone = replace(layout, n_threads=1, averaged=True, fallback=False)
        while (
            size + plan.batch_size <= most
            and replace(alone, batch_size=size + plan.batch_size).nbytes <= limit
        ):
            size += plan.batch_size
        if size > layout.batch_size:
            # The fallback, on which no result depends, makes way.
            grown = replace(layout, batch_size=size, averaged=True)
            if 0 < plan.memory_limit < grown.nbytes:
                self.buffers.have_fallback(False)
            self.buffers.make_room(size, layout.n_threads)

    def freeze(self, plan: Plan) -> Network:
        """Fold the deterministic gates in; return what is left as a plain network."""
        buffers = self.buffers
        coefs, intercepts, kept = fold(buffers.best_layers(), buffers.by_set("log_odds"))
        support = np.zeros(self._n_features, dtype=bool)
        support[buffers.columns[kept]] = True
        network = Network(coefs, intercepts, support, plan.activation, plan.out_activation)
        return network.in_units_of(plan.center, plan.scale)

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
        fit = self._fit = self._fit or self._begin(plan)
        course, schedule = fit.course, fit.schedule
        n_threads = self.buffers.n_threads
        pace = Pace(n_threads)
        try:
            with Crew(n_threads) as crew:
                while fit.number < course.end:
                    number = fit.number
                    watcher.begin_epoch()
                    start = time.perf_counter()
                    folded = self._enter(plan, course, number)
                    rate = schedule.rate * course.rate(number)
                    loss, shrunk = self.run_epoch(plan, data, rate, crew, pace)
                    self._average(plan, course, number)
                    entries = self.entries(loss, time.perf_counter() - start, data.n_rows)
                    stalled = self._judge(plan, data, patience, entries, shrunk or folded)
                    record.epochs.append(entries)
                    schedule.end_epoch(record.samples_seen)
                    stop = watcher.end_epoch(
                        record.n_epochs - 1,
                        lambda: self.freeze(plan),
                        {name: entries[name] for name in HISTORY},
                    )
                    number = fit.number = number + 1
                    if stop:
                        record.converged = True
                        break
                    if stalled and number < course.begin and not plan.target:
                        if schedule.give_up():
                            record.converged = True
                            course.finish_after(number)
                        patience.waited = 0
                    if number < course.end:
                        watcher.keep(record.n_epochs, self.state)
        finally:
            self._fit = None
            if self.buffers.whole:
                self.buffers.have_fallback(False)
        record.converged |= plan.target > 0

    # --- streams ---------------------------------------------------------------------

    @property
    def gated(self) -> tuple[bool, ...]:
        """Whether the inputs and each hidden layer carry gates before these are folded."""
        return self._gated

    def forget_draws(self) -> None:
        """Begin to count anew how often each gate is open."""
        self.n_draws = 0
        self.buffers.forget_tallies()

    def take_up(self, plan: Plan, network: Network) -> None:
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
        for log_odds in buffers.by_set("log_odds"):
            if log_odds is not None:
                log_odds[:] = _OPEN
        if plan.target and network.n_parameters <= plan.target:
            self._fold_gates(plan, 0)

    def begin_stream(self, plan: Plan) -> None:
        """Prepare for rows that come a few at a time, or for another price or size.

        A network that is finished, and has to become smaller than it is, has its gates opened
        anew.
        """
        buffers = self.buffers
        self._limit_size(plan.target)
        self._steering, self._price = None, plan.lam
        size = count_parameters(buffers.widths)
        again = buffers.layout.gated != self._gated
        if again and not size <= plan.target:
            buffers.open_gates(self._gated, _OPEN)
            self.n_draws = 0
        if plan.target and buffers.layout.n_gates:
            self._steering = Steering(size, plan.target, again)

    def price_stream(self, plan: Plan, progress: float) -> None:
        """Set the prices at a point of the way to a target size."""
        self._progress, self._epoch_share = progress, 0.0
        self._set_prices(plan, 0.0, False)

    def end_stream_epoch(self, plan: Plan, is_last: bool) -> bool:
        """Delete what has stayed off; after the last epoch that prunes, come to the target.

        Returns whether units were deleted or gates folded.

        Raises
        ------
        DivergedError
            If a parameter is not finite.
        """
        if not self.buffers.all_finite():
            raise self.diverged(plan)
        if not self.buffers.layout.n_gates:
            self.n_draws = 0
            return False
        changed = plan.pruning == "hard" and self._shrink(self._decide(plan))
        self.forget_draws()
        if plan.target and is_last:
            self._fold_gates(plan, 0)
            changed = True
        return changed

    # --- fits ------------------------------------------------------------------------

    def _begin(self, plan: Plan) -> _Fit:
        """Prepare a fit: what an earlier one has finished goes on with open gates."""
        buffers = self.buffers
        self._limit_size(plan.target)
        again = buffers.layout.gated != self._gated
        if again:
            buffers.open_gates(self._gated, _OPEN)
            self.n_draws = 0
        self._steering, self._price = None, plan.lam
        self._has_collapsed = False
        self._safeguard = Safeguard()
        if plan.target:
            self._steering = Steering(count_parameters(buffers.widths), plan.target, again)
        fit = self._fit_to_come(plan)
        fit.schedule.end_epoch(self.record.samples_seen)
        return fit

    def _fit_to_come(self, plan: Plan) -> _Fit:
        return _Fit(
            Course(
                plan.max_iter,
                plan.finetune_fraction if any(self._gated) else 0.0,
                all_along=plan.learning_rate == "cosine",
                gates_as_well=plan.gate_learning_rate == "cosine",
            ),
            RateSchedule(
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
        fit = self._fit
        assert fit is not None, "no fit is under way"
        return {
            **self.lasting_state(),
            "course": fit.course.state(),
            "safeguard": self._safeguard.state(),
            "steering": self._steering.state() if self._steering else None,
            "rate": fit.schedule.rate,
            "number": fit.number,
            "most": self._most,
            "has_collapsed": self._has_collapsed,
        }

    def lasting_state(self) -> dict[str, Any]:
        """The part of a state that outlasts a fit, for a warm start."""
        return {
            "buffers": self.buffers.state(),
            "record": self.record.state(),
            "random": generator.state_of(self._rng),
            "n_draws": self.n_draws,
            "n_forgotten": self._n_forgotten,
        }

    def resume(self, plan: Plan, fields: Fields) -> None:
        """Take up the state of a fit with the same plan: `fit` then goes on from there.

        Parameters
        ----------
        plan : Plan
        fields : Fields
            Of what `state` has returned, of a trainer that began as this one has.

        Raises
        ------
        StateError
            If the state is not sound. The trainer is then of no further use.
        """
        widths = self._first.widths
        record = Record.restored(
            fields.fields("record"), widths, plan.activation, plan.out_activation
        )
        fit = self._fit_to_come(plan)
        fit.course.restore(fields.fields("course"))
        fit.schedule.rate = fields.number("rate", 0.0, plan.learning_rate_init)
        fit.number = fields.integer("number", 1, min(fit.course.end - 1, record.n_epochs))
        if fields.is_none("steering") != (plan.target == 0):
            raise StateError("`steering` must be there where there is a target, and only there")
        steering = None
        if plan.target:
            most = count_parameters(widths)
            steering = Steering.restored(fields.fields("steering"), most)
        safeguard = Safeguard.restored(fields.fields("safeguard"))
        random = generator.checked(fields.fields("random"))
        most = fields.integer("most", 0, VERY_MANY)
        n_draws = fields.integer("n_draws", 0, VERY_MANY)
        n_forgotten = fields.integer("n_forgotten", 0, VERY_MANY)
        has_collapsed = fields.flag("has_collapsed")
        buffers = fields.fields("buffers")
        fields.end()
        growth = _MOST_GROWTH if plan.dynamic_batch_size else 1
        self.buffers.restore(buffers, self._first, growth * plan.batch_size)
        self._rng.bit_generator.state = random
        self.record, self._fit, self._steering, self._safeguard = record, fit, steering, safeguard
        self._most, self.n_draws, self._n_forgotten = most, n_draws, n_forgotten
        self._has_collapsed, self._price = has_collapsed, plan.lam

    def _enter(self, plan: Plan, course: Course, number: int) -> bool:
        """Prepare an epoch: note how far pruning is, or end it; say whether units went."""
        self._progress, self._epoch_share = course.progress(number), 1.0 / course.begin
        self._gate_factor = course.gate_rate(number)
        if number != course.begin:
            return False
        if self.n_draws >= pruning.FEWEST_DRAWS:
            self._shrink(self._decide(plan))
        self.n_draws = 0
        return self._fold_gates(plan, course.end - number)

    def _average(self, plan: Plan, course: Course, number: int) -> None:
        """Take an epoch that finishes into the average of the weights, where that has room."""
        layout = replace(self.buffers.layout, averaged=True)
        if number >= course.begin and not 0 < plan.memory_limit < layout.nbytes:
            self.buffers.average_weights(course.averaged(number))

    def _patience(self, plan: Plan, n_rows: int) -> Patience:
        n_epochs, noisy = plan.n_iter_no_change, plan.pruning != "none"
        if noisy and not plan.early_stopping:
            n_epochs = epochs_to_wait(n_epochs, -(-n_rows // plan.batch_size))
        patience = self.record.patience or Patience(plan.tol, n_epochs)
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
        self, plan: Plan, data: Data, patience: Patience, entries: dict[str, Any], shrunk: bool
    ) -> bool:  # fmt: skip
        """Have the network judged if there is a judge; say whether patience has run out."""
        if data.judge is None:
            return patience.note_loss(entries["loss"], shrunk)
        network = self.freeze(plan)
        score, entries["validation_loss"] = data.judge(network)
        entries["score"] = score
        if not plan.early_stopping:
            return patience.note_loss(entries["loss"], shrunk)
        # Of equal scores the later network is the smaller one.
        if plan.target and (self.buffers.layout.n_gates or network.n_parameters > self._most):
            return False  # on the way down it is too large, or by chance too small
        if score >= patience.best_score:
            self.record.best = network
        return patience.note_score(score, shrunk)
