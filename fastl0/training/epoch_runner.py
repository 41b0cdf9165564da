"""A pass over rows, some mini-batches at a time: reads on, draws gates, shares the work out.

May import `blocks`, `epoch`, `lent`, `memory`, `ordering`, `plan`, `threads` and `visits`.
"""

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastl0._numba.permutation import Order, draw_keys
from fastl0._numba.structs import Rule
from fastl0._numba.train_loop import train_batches
from fastl0.data.blocks import BlockReader
from fastl0.training.batches import ArrayBatches, BatchRange, BatchSource, BlockBatches
from fastl0.training.buffers import Buffers
from fastl0.training.config import TrainingData
from fastl0.training.threads import ThreadTeam, ThreadTuner


class EpochRunner:
    """A pass over rows, in an order that is drawn.

    Parameters
    ----------
    buffers : Buffers
        Borrowed by `borrow`, at first and anew after every change of their size.
    data : TrainingData
    shuffle : bool
    rng : numpy Generator
        Of the order and the gates.
    crew : ThreadTeam
        Whom to share mini-batches with; to be dismissed before the buffers change.
    pace : ThreadTuner
        Into how many parts.
    """

    def __init__(
        self,
        buffers: Buffers,
        data: TrainingData,
        shuffle: bool,
        rng: np.random.Generator,
        crew: ThreadTeam,
        pace: ThreadTuner,
    ) -> None:
        self._buffers, self._rng, self._crew, self._pace = buffers, rng, crew, pace
        self._visit = _visit(data, buffers.batch_size, rng if shuffle else None)
        self._lent: tuple[Any, ...] = ()

    def borrow(self) -> None:
        """Borrow the buffers as they are now."""
        self._buffers.begin_epoch(self._visit.x)
        self._lent = self._buffers.pointers()

    def run(self, rule: Rule, n_batches: int, tally_: NDArray[np.float64]) -> bool:
        """Train on the next mini-batches, up to `DRAWS_AHEAD`; stop where the loss is not finite.

        Parameters
        ----------
        rule : Rule
            Present prices included.
        n_batches : int
        tally_ : float64 array of shape (1,)
            The losses of the rows are added to it.

        Returns
        -------
        bool
            Whether all losses were finite.
        """
        while n_batches:
            if self._visit.needs_reading:
                self._crew.dismiss()  # nobody holds rows then
                self._visit.read_next_blocks()
            stretch = self._visit.next(n_batches)
            if not self._run_stretch(rule, stretch, tally_):
                return False
            n_batches -= stretch.n_batches
        return True

    def _run_stretch(self, rule: Rule, stretch: BatchRange, tally_: NDArray[np.float64]) -> bool:
        """Train on rows that lie in memory."""
        buffers, crew, pace, lent = self._buffers, self._crew, self._pace, self._lent
        sources: tuple[Any, ...] = stretch.x.address, stretch.y.address, stretch.order

        def help_out(seat: int) -> None:
            train_batches(*lent, rule, *sources, 0, buffers.draws(0), tally_, crew.address, seat)

        first, end = stretch.first, stretch.first + stretch.n_batches
        while first < end:
            n_threads, n = pace.next(end - first)
            start = time.perf_counter()
            crew.recruit(n_threads, help_out)
            uniforms = buffers.draws(n)
            self._rng.random(out=uniforms, dtype=np.float32)
            done = train_batches(*lent, rule, *sources, first, uniforms, tally_, crew.address, 0)
            pace.note(n_threads, done, time.perf_counter() - start, crew.was_late)
            if done < n:
                return False
            first += n
        return True


def _visit(data: TrainingData, batch_size: int, rng: np.random.Generator | None) -> BatchSource:
    """Begin to visit the rows, as they come where there is no generator."""
    if isinstance(data.x, BlockReader):
        return BlockBatches(data.x, data.y, data.rows, batch_size, rng)
    keys = np.zeros(0, np.uint64) if rng is None else draw_keys(rng)
    return ArrayBatches(data.x, data.y, Order(data.n_rows, data.rows, keys))
