"""How a network shrinks: what its units cost, which of them go, and its way to a target size.

Borrows the buffers of the training. The formulas are those of `criteria` and `size_controller`.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0.checkpoint.state_reader import MAX_COUNT, StateError, StateReader
from fastl0.model import hard_concrete
from fastl0.model.network import count_parameters
from fastl0.training import criteria
from fastl0.training.buffers import Buffers
from fastl0.training.config import TrainingConfig
from fastl0.training.initialization import OPEN_LOG_ODDS
from fastl0.training.size_controller import SizeController

#: Deterministic gate of a unit that stays although its gate has closed.
_MIN_FOLDED_GATE = 0.1
#: Derivative of the penalty by an on-probability, at most. Adam squares it in float32, and
#: takes no larger steps for a larger one.
_STEEPEST = 1e15
#: Gate that weights make up for when gates are let go, at least.
_LEAST_GATE = 0.25
#: How far log-odds must be able to move in a pruning phase for gates to tell units apart: 1,200
#: mini-batches at a learning rate of 0.01. (They start at 0 or 1.4 and close at -1.6.)
_GATE_TRAVEL = 12.0
#: Mini-batches that this takes at least, however fast gates move, and at most as far as anybody
#: counts, however slowly.
_FEWEST_UPDATES, _MOST_UPDATES = 300, 1e12


def min_gate_updates(config: TrainingConfig) -> int:
    """Mini-batches that a pruning phase needs for gates to learn which units matter."""
    needed = min(_MOST_UPDATES, _GATE_TRAVEL / config.gate_learning_rate_init)
    return max(_FEWEST_UPDATES, math.ceil(needed))


class Pruner:
    """What becomes of the units of a network in training.

    A training calls `start`, then for every epoch `start_epoch`, `prune_closed` and, as it goes,
    `update_l0`; it counts mini-batches in `n_draws`. In the end it calls `fold_gates`, or
    `prune_to_size` if it stops before. A stream calls `update_l0_at`, `prune` and `reset_counts`
    instead.

    Parameters
    ----------
    config : TrainingConfig
    buffers : Buffers

    Attributes
    ----------
    l0_strength : float
        Of one parameter, in units of the loss of one training row.
    max_parameters : int
        Parameters to end with, as far as is known by now; 0 for any number.
    n_draws : int
        Gate draws that the counts cover.
    has_collapsed : bool
        Whether the network has unlearned, in the last epoch, what it knew: it shall find that
        again before it loses units as well.
    gated : tuple of bool
        Whether the inputs and each hidden layer carry gates before these are folded.
    size_controller : SizeController or None
        None without a target, where the price is `config.lam`.
    gates_held_open : bool
        Whether all gates are 1: at the start of a stream, which is asked for predictions from its
        first row on, or for good where they have no time to learn.
    prunes_once : bool
        Whether that is so: units are deleted once, by the gradients of their gates.
    """

    def __init__(self, config: TrainingConfig, buffers: Buffers) -> None:
        self.config = config
        self.l0_strength = config.lam
        self.max_parameters = config.target
        self.n_draws = 0
        self.has_collapsed = False
        self.gated = buffers.layout.gated
        self.size_controller: SizeController | None = None
        self.gates_held_open = False
        self.prunes_once = False
        self._buffers = buffers
        self._progress, self._epoch_share = 0.0, 1.0  # of the pruning phase
        self._dearest = 1.0  # unit, in parameters

    def start(
        self,
        *,
        if_small: bool,
        prunes_once: bool = False,
    ) -> None:
        """Begin the way to `config.target`, or at the price `config.lam`.

        What was finished before, its gates folded, has them opened anew.

        Parameters
        ----------
        if_small : bool
            Whether also a network that is within the target size is to have its gates opened.
        prunes_once : bool, default=False
            Whether gates have no time to learn; of no account for those that are let go already.
        """
        buffers = self._buffers
        self.size_controller, self.l0_strength, self.has_collapsed = None, self.config.lam, False
        size = self._count(buffers.widths)
        again = buffers.layout.gated != self.gated
        if again and (if_small or size > self.config.target):
            buffers.open_gates(self.gated, OPEN_LOG_ODDS)
            self.n_draws = 0
            self.gates_held_open = prunes_once
        self.prunes_once = prunes_once and self.gates_held_open
        if self.config.target:
            self.size_controller = SizeController(size, self.config.target, again)

    def start_epoch(self, progress: float, epoch_share: float) -> None:
        """Begin an epoch.

        Parameters
        ----------
        progress : float in [0, 1]
            Share of the pruning phase that is over.
        epoch_share : float
            That this epoch takes.
        """
        self._progress, self._epoch_share = progress, epoch_share

    # --- prices ----------------------------------------------------------------------

    def update_l0_at(self, progress: float) -> None:
        """Set what units and parameters cost when `progress` of the pruning phase is over."""
        self.start_epoch(progress, 0.0)
        self.update_l0(0.0, False)

    def release_gates(self, rng: np.random.Generator) -> None:
        """Let gates go that were held open.

        Weights are divided by the gate that they get, as at the start of Gallego-Posada et al.
        2022, arXiv 2208.04425: outputs are as before but for the noise.
        """
        layout = self._buffers.layout
        log_odds: list[NDArray[np.float32]] = []
        factors: list[NDArray[np.float32] | None] = []
        for layer, (width, gated) in enumerate(zip(layout.widths, layout.gated, strict=False)):
            if not gated:
                factors.append(None)
                continue
            start = hard_concrete.initial_log_odds(
                self.config.droprate_init[min(layer, 1)], width, rng
            )
            gate = np.maximum(hard_concrete.deterministic_gate(start), _LEAST_GATE)
            log_odds.append(start)
            factors.append((1.0 / gate).astype(np.float32))
        # First: should Ctrl-C come between, no weight is divided twice.
        self.gates_held_open = False
        self._buffers.release_gates(np.concatenate(log_odds), factors)

    def update_l0(self, part: float, has_collapsed: bool) -> None:
        """Set what units and parameters cost when `part` of an epoch is over."""
        buffers = self._buffers
        if self.gates_held_open or not buffers.layout.n_gates:
            return
        if self.size_controller is not None:
            progress = self._progress + part * self._epoch_share
            if has_collapsed:
                self.l0_strength = self.size_controller.hold(progress)
            else:
                size = self._open_size(self.config.prune_threshold)
                self.l0_strength = self.size_controller.update(progress, size)
        if part == 0.0 or self.config.penalty == "size":
            units = self._expected_units()
            gated = buffers.layout.gated
            gradient = criteria.l0_gradient(
                self.config.penalty,
                units,
                buffers.widths,
                gated,
                self.config.input_price,
                self.config.input_cost,
            )
            buffers.set_l0_gradient(gradient)
            self._dearest = max(1.0, float(gradient.max()))

    def strength_of_mean_loss(self, total_weight: float) -> float:
        """Price of a parameter in units of the mean loss of rows that weigh so much in all."""
        if self.gates_held_open:
            return 0.0
        return min(self.l0_strength / total_weight, _STEEPEST / self._dearest)

    def penalty(self) -> float:
        """Return the expected L0 term, summed over the rows; 0 where there is a target.

        The price of the way to a target is no setting: with it no two epochs would compare.
        """
        layout = self._buffers.layout
        if self.size_controller or not layout.n_gates:
            return 0.0
        return self.l0_strength * criteria.expected_penalty(
            self.config.penalty,
            self._expected_units(),
            layout.widths,
            layout.gated,
            self.config.input_price,
            self.config.input_cost,
        )

    def _expected_units(self) -> list[float]:
        """Expected number of open units of every layer."""
        buffers = self._buffers
        return [
            float(width) if a is None else float(hard_concrete.on_probability(a).sum())
            for a, width in zip(buffers.per_layer("log_odds"), buffers.widths, strict=False)
        ] + [float(buffers.widths[-1])]

    def _open_size(self, threshold: float) -> int:
        """Parameters between units whose on-probability is above the threshold."""
        buffers = self._buffers
        least = hard_concrete.log_odds_of(threshold)
        counts = [
            width if a is None else max(1, int(np.count_nonzero(a >= least)))
            for a, width in zip(buffers.per_layer("log_odds"), buffers.widths, strict=False)
        ]
        return self._count([*counts, buffers.widths[-1]])

    def _count(self, widths: Sequence[int]) -> int:
        """Parameters of a network of these widths."""
        return count_parameters(widths, self.config.input_cost)

    # --- deletions -------------------------------------------------------------------

    def reset_counts(self) -> None:
        """Begin to count anew how often each gate is open."""
        self.n_draws = 0
        self._buffers.reset_gate_counts()

    def prune_closed(self) -> bool:
        """Before an epoch, delete what the last epochs switched off; say whether units went.

        Counts that have decided, or that an interrupted epoch has left, are forgotten.
        """
        shrunk = False
        may_prune = self.config.pruning == "hard" and self._buffers.layout.n_gates > 0
        may_prune &= not (self.config.target and self.has_collapsed)
        if may_prune and self.n_draws >= criteria.MIN_DRAWS:
            shrunk = self.prune()
            self.n_draws = 0
        if self.n_draws == 0:
            self._buffers.reset_gate_counts()
        return shrunk

    def prune(self) -> bool:
        """Delete the units that were on too seldom; say whether there were any."""
        return self._shrink(self._select_units())

    def prune_to_size(self) -> bool:
        """Bring a network with gates to its target size; say whether units had to go."""
        buffers = self._buffers
        if not buffers.layout.n_gates or self._count(buffers.widths) <= self.max_parameters:
            return False
        if self.gates_held_open:
            # The mean square of dL/dz: what the loss changes by where a unit goes, to first
            # order (Molchanov et al. 2019, arXiv 1906.10771, eq. 8).
            evidence = buffers.per_layer("gate_second")
            surcharge = self.config.input_price if self.config.penalty == "size" else 1.0
            keep = criteria.select_by_sensitivity(
                evidence, buffers.widths, self.max_parameters, surcharge, self.config.input_cost
            )
            evidence.clear()
            return self._shrink(keep)
        log_odds = buffers.per_layer("log_odds")
        return self._shrink(
            criteria.select_by_size(
                log_odds, buffers.widths, self.max_parameters, input_cost=self.config.input_cost
            )
        )

    def fold_gates(self) -> bool:
        """Multiply the deterministic gates into the weights; delete units whose gate is 0.

        Those that a target has room for stay. Returns whether units were deleted.
        """
        buffers = self._buffers
        shrunk = False
        values = [
            None if a is None else hard_concrete.deterministic_gate(a).astype(np.float32)
            for a in buffers.per_layer("log_odds")
        ]
        if self.config.target:
            values = [
                None if z is None else np.maximum(z, np.float32(_MIN_FOLDED_GATE)) for z in values
            ]
        else:
            keep = []
            log_odds = buffers.per_layer("log_odds")
            for z, a, width in zip(values, log_odds, buffers.widths, strict=False):
                if z is not None and a is not None and not z.any():
                    z[np.argmax(a)] = _MIN_FOLDED_GATE
                keep.append(np.ones(width, bool) if z is None else z > 0)
            log_odds.clear()
            del a
            shrunk = self._shrink(keep)
            values = [None if z is None else z[z > 0] for z in values]
        buffers.fold_gates(values)
        return shrunk

    def _shrink(self, keep: list[NDArray[np.bool_]]) -> bool:
        """Delete units, if there are any to delete; say whether there were."""
        if all(stays.all() for stays in keep):
            return False
        self._buffers.shrink(keep)
        return True

    def _select_units(self) -> list[NDArray[np.bool_]]:
        """Say which units stay, by the counts; as many as the way to a target allows."""
        buffers = self._buffers
        counts, sums = buffers.per_layer("on_count"), buffers.per_layer("on_sum")
        keep = [
            np.ones(width, dtype=bool)
            if count is None or total is None
            else criteria.select_units(count, total, self.n_draws, self.config.prune_threshold)
            for count, total, width in zip(counts, sums, buffers.widths[:-1], strict=True)
        ]
        if self.size_controller is None:
            return keep
        # What closes too soon is not deleted: its gates may open again.
        size = int(self.size_controller.setpoint(self._progress))
        log_odds = buffers.per_layer("log_odds")
        least = criteria.select_by_size(
            log_odds, buffers.widths, size, exchange=False, input_cost=self.config.input_cost
        )
        return [flags | needed for flags, needed in zip(keep, least, strict=True)]

    # --- back to the last good epoch -------------------------------------------------

    def save_snapshot(self) -> tuple[SizeController | None, bool, bool]:
        """Return what `restore_snapshot` takes."""
        return copy.copy(self.size_controller), self.has_collapsed, self.gates_held_open

    def restore_snapshot(self, before: tuple[SizeController | None, bool, bool]) -> None:
        """Be where `save_snapshot` was called, with no draws counted."""
        size_controller, self.has_collapsed, self.gates_held_open = before
        self.size_controller = copy.copy(size_controller)
        self.n_draws = 0

    # --- to a checkpoint and back ----------------------------------------------------

    def state(self) -> dict[str, Any]:
        """What outlasts a fit, as plain values."""
        return {"n_draws": self.n_draws, "held_open": self.gates_held_open}

    def fit_state(self) -> dict[str, Any]:
        """The rest of what the epochs to come of a fit depend on."""
        controller = self.size_controller
        return {
            "size_controller": controller.state() if controller else None,
            "max_parameters": self.max_parameters,
            "has_collapsed": self.has_collapsed,
            "prunes_once": self.prunes_once,
        }

    def load(self, state: StateReader) -> None:
        """Take up what outlasts a fit.

        Raises
        ------
        StateError
            If it is not sound.
        """
        self.n_draws = state.integer("n_draws", 0, MAX_COUNT)
        self.gates_held_open = state.flag("held_open")
        state.end()

    def resume(self, state: StateReader, widths: Sequence[int]) -> None:
        """Take up the rest, of a fit under way.

        Parameters
        ----------
        state : StateReader
        widths : sequence of int
            Units of every layer before anything was deleted.

        Raises
        ------
        StateError
            If it is not sound.
        """
        has_target = self.config.target > 0
        if state.is_none("size_controller") == has_target:
            raise StateError(
                "`size_controller` must be there where there is a target, and only there"
            )
        self.l0_strength, self.size_controller = self.config.lam, None
        if has_target:
            full = self._count(widths)
            self.size_controller = SizeController.restored(state.nested("size_controller"), full)
        self.max_parameters = state.integer("max_parameters", 0, MAX_COUNT)
        self.has_collapsed = state.flag("has_collapsed")
        self.prunes_once = state.flag("prunes_once")
        state.end()
