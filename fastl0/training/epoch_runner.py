"""A pass over rows, some mini-batches at a time: reads on, draws gates, shares the work out."""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0.data.blocks import BlockReader
from fastl0.kernel_api.row_order import RowOrder, draw_keys
from fastl0.kernel_api.structs import StepParams
from fastl0.training.batches import ArrayBatches, BatchRange, BatchSource, BlockBatches
from fastl0.training.buffers import Buffers
from fastl0.training.config import TrainingData
from fastl0.training.kernels import train_batches
from fastl0.training.threads import ThreadTeam, ThreadTuner


class EpochRunner:
    """A pass over rows, in an order that is drawn.

    Parameters
    ----------
    buffers : Buffers
        Their addresses are taken by `refresh_pointers`, anew after every change of their size.
    data : TrainingData
    shuffle : bool
    rng : numpy Generator
        Of the order and the gates.
    team : ThreadTeam
        Whom to share mini-batches with; to be dismissed before the buffers change.
    tuner : ThreadTuner
        Into how many parts.
    """

    def __init__(
        self,
        buffers: Buffers,
        data: TrainingData,
        shuffle: bool,
        rng: np.random.Generator,
        team: ThreadTeam,
        tuner: ThreadTuner,
    ) -> None:
        self._buffers, self._rng, self._team, self._tuner = buffers, rng, team, tuner
        self._batches = _batches(data, buffers.batch_size, rng if shuffle else None)
        self._pointers: tuple[Any, ...] = ()

    def refresh_pointers(self) -> None:
        """Take the addresses of the buffers as they are now."""
        self._buffers.begin_epoch(self._batches.x)
        self._pointers = self._buffers.pointers()

    def run(self, params: StepParams, n_batches: int, loss_sum_: NDArray[np.float64]) -> bool:
        """Train on the next mini-batches, up to `DRAWS_AHEAD`; stop where the loss is not finite.

        Parameters
        ----------
        params : StepParams
            Present prices included.
        n_batches : int
        loss_sum_ : float64 array of shape (1,)
            The losses of the rows are added to it.

        Returns
        -------
        bool
            Whether all losses were finite.
        """
        while n_batches:
            if self._batches.needs_reading:
                self._team.stop_helpers()  # nobody holds rows then
                self._batches.read_next_blocks()
            batches = self._batches.next(n_batches)
            if not self._run_range(params, batches, loss_sum_):
                return False
            n_batches -= batches.n_batches
        return True

    def _run_range(
        self, params: StepParams, batches: BatchRange, loss_sum_: NDArray[np.float64]
    ) -> bool:
        """Train on rows that lie in memory."""
        buffers, team, tuner = self._buffers, self._team, self._tuner
        pointers = self._pointers
        sources: tuple[Any, ...] = batches.x.address, batches.y.address, batches.order

        def help_out(seat: int) -> None:
            train_batches(
                *pointers, params, *sources, 0, buffers.draws(0), loss_sum_, team.address, seat
            )

        first, end = batches.first, batches.first + batches.n_batches
        while first < end:
            n_threads, n = tuner.next(end - first)
            start = time.perf_counter()
            team.start_helpers(n_threads, help_out)
            uniforms = buffers.draws(n)
            self._rng.random(out=uniforms, dtype=np.float32)
            done = train_batches(
                *pointers, params, *sources, first, uniforms, loss_sum_, team.address, 0
            )
            tuner.note(n_threads, done, time.perf_counter() - start, team.was_late)
            if done < n:
                return False
            first += n
        return True


def _batches(data: TrainingData, batch_size: int, rng: np.random.Generator | None) -> BatchSource:
    """Return the mini-batches of an epoch, in the order of the rows where there is no generator."""
    if isinstance(data.x, BlockReader):
        return BlockBatches(data.x, data.y, data.rows, batch_size, rng, data.parts)
    keys = np.zeros(0, np.uint64) if rng is None else draw_keys(rng)
    return ArrayBatches(data.x, data.y, RowOrder(data.n_rows, data.rows, keys))
