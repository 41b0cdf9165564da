"""Owner of threads: who helps with a mini-batch, and how many pay.

A `ThreadTeam` keeps the helper threads of one training run and hands them the kernel in which
they wait to be called (``_team.h``). A `ThreadTuner` times the mini-batches and settles on the
number of threads that is fastest for the network and the machine as they are now. Both
live as long as one training; nothing here is shared between trainings or processes.
"""

import math
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from fastl0._kernels import Team

#: Mini-batches between two looks at other numbers of threads, at least and at most.
_SHORTEST_TERM, _LONGEST_TERM = 96, 1536
#: Mini-batches for which another number of threads is tried.
N_TRIAL = 8
#: Seconds that a training lasts before other numbers of threads are tried.
_SETTLING = 0.02
#: Looking around may cost this share of the time.
_COST_OF_TRIALS = 0.02
#: A mini-batch that takes as much longer than the best of late calls for a look around.
_SLOWER = 1.5
#: Threads that are not faster than fewer of them by as much are not worth it.
_TIE = 1.03

_Task = tuple[Future[None], Callable[[int], object]] | None


def usable_threads() -> int:
    """Number of threads that a training may use, at most ``Team.most``.

    As in scikit-learn's own parallel loops: the environment variable OMP_NUM_THREADS or the
    limit of a `threadpoolctl` context around the fit, or else the physical cores that this
    process may run on. joblib's workers set OMP_NUM_THREADS to their share of the machine.
    """
    from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

    return max(1, min(_openmp_effective_n_threads(), Team.most))


class ThreadTeam:
    """The helper threads of one training run.

    Use as a context manager: on leaving it no helper is left.

    Parameters
    ----------
    n_threads : int
        Members of a team at most, the leader (whoever calls) included.
    """

    def __init__(self, n_threads: int) -> None:
        self._n_threads = min(n_threads, Team.most)
        self._team = Team()
        self._helpers: list[_Helper] = []
        self._process = os.getpid()

    @property
    def address(self) -> int:
        """What kernels know the team by."""
        return int(self._team.address)

    def __enter__(self) -> "ThreadTeam":
        return self

    def __exit__(self, *_: object) -> None:
        self._forget_if_forked()
        self._team.closed = True
        # First the word to all: should Ctrl-C end the waiting, they end by themselves.
        for helper in self._helpers:
            helper.send_home()
        for helper in self._helpers:
            helper.close()
        self._helpers.clear()

    def start_helpers(self, n_threads: int, job: Callable[[int], object]) -> None:
        """Let up to `n_threads` members share the next mini-batches.

        Parameters
        ----------
        n_threads : int
        job : callable
            Called with the number of a seat in each helper that is not at work yet; returns
            when the team is dismissed, or when nobody has called for a while.
        """
        self._forget_if_forked()
        self._team.late = False
        self._team.closed = False
        self._team.wanted = min(n_threads, self._n_threads)
        self._team.calling = self._team.wanted > 1
        while len(self._helpers) < self._team.wanted - 1:
            # Known before it runs: Ctrl-C may come while it starts.
            self._helpers.append(_Helper(len(self._helpers) + 1))
            try:
                self._helpers[-1].begin()
            except RuntimeError:  # the system allows no more threads
                self._helpers.pop()
                self._n_threads = self._team.wanted = len(self._helpers) + 1
        for helper in self._helpers[: self._team.wanted - 1]:
            helper.start(job)

    @property
    def was_late(self) -> bool:
        """Whether the leader has had to wait long for a helper since the last `start_helpers`."""
        return bool(self._team.late)

    def stop_helpers(self) -> None:
        """Send all helpers home and wait until they are: nobody holds a buffer then."""
        self._forget_if_forked()
        self._team.closed = True
        for helper in self._helpers:
            helper.wait()

    def _forget_if_forked(self) -> None:
        """In a child forked by a signal handler no helper of the parent lives on."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._team = Team()
            self._helpers.clear()


class _Helper:
    """A thread that does one job after another.

    Whatever Ctrl-C interrupts here, `wait` and `close` find an orderly state.
    """

    def __init__(self, seat: int) -> None:
        self._seat = seat
        self._jobs: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._last: Future[None] = Future()
        self._last.cancel()
        self._thread = threading.Thread(target=self._run, name=f"fastl0-{seat}", daemon=True)

    def begin(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while (task := self._jobs.get()) is not None:
            future, job = task
            if future.set_running_or_notify_cancel():
                try:
                    job(self._seat)
                finally:
                    del job, task
                    future.set_result(None)

    def start(self, job: Callable[[int], object]) -> None:
        if self._last.done() and self._thread.is_alive():
            # In this order: a future that is never put can still be cancelled.
            self._last = Future()
            self._jobs.put((self._last, job))

    def wait(self) -> None:
        if not self._last.cancel():
            self._last.result()

    def send_home(self) -> None:
        self._jobs.put(None)

    def close(self) -> None:
        self.wait()
        with suppress(RuntimeError):  # it has never started
            self._thread.join()


class ThreadTuner:
    """How many threads the next mini-batches get.

    Times the mini-batches and from time to time, rarer and rarer while nothing changes,
    tries half and twice as many threads for a few of them.

    Parameters
    ----------
    n_threads : int
        The most.
    clock : callable, default=time.perf_counter
        Seconds.
    """

    def __init__(self, n_threads: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._most = n_threads
        self._clock = clock
        self._best = 1
        self._seconds: dict[int, float] = {}  # of a mini-batch, by number of threads
        self._to_try: list[int] = []
        self._term = _SHORTEST_TERM
        self._left = 0  # mini-batches until the next look around
        self._not_before = -math.inf
        self._is_cold = True  # the first call finds nothing in the caches
        self._fewest = 1  # mini-batches of a call that is long enough to be timed

    def next(self, n_batches: int) -> tuple[int, int]:
        """Number of threads, and of mini-batches to do with them; at most `n_batches`."""
        if self._most == 1:
            return 1, n_batches
        self._fewest = max(self._fewest, min(n_batches, N_TRIAL))
        if self._to_try:
            return self._to_try[0], min(n_batches, N_TRIAL)
        if self._is_cold or self._best not in self._seconds:
            return self._best, min(n_batches, N_TRIAL)
        return self._best, n_batches

    def note(self, n_threads: int, n_batches: int, seconds: float, was_late: bool) -> None:
        """Take note of how long `n_batches` mini-batches took on `n_threads` threads.

        The few that are left over at the end of an epoch count for nothing: one of them may
        hold a single row.
        """
        if self._most == 1 or n_batches < self._fewest:
            return
        if self._is_cold:
            self._is_cold = False
            self._not_before = self._clock() + _SETTLING
            return
        each = seconds / n_batches
        if self._to_try:
            self._note_trial(each)
            return
        before = self._seconds.get(n_threads, each)
        self._seconds[n_threads] = min(each, 0.75 * before + 0.25 * each)
        self._left -= n_batches
        disturbed = n_threads > 1 and (was_late or each > _SLOWER * before)
        if disturbed:
            self._seconds[n_threads] = each
            self._term = _SHORTEST_TERM
        if (disturbed or self._left <= 0) and self._clock() >= self._not_before:
            near = {max(1, self._best // 2), self._best, min(self._most, 2 * self._best)}
            # One disturbed measurement shall not decide: then the best is tried anew, too.
            self._to_try = sorted(near if disturbed else near - {self._best})

    def _note_trial(self, each: float) -> None:
        self._seconds[self._to_try.pop(0)] = each
        if self._to_try:
            return
        fastest = min(self._seconds, key=lambda n: self._seconds[n])
        # A tie goes to fewer threads: they leave room for others.
        best = min(n for n, s in self._seconds.items() if s <= _TIE * self._seconds[fastest])
        if best != self._best:
            # Go on in the direction that was right.
            self._term, self._left = _SHORTEST_TERM, 0
        else:
            self._term = min(2 * self._term, _LONGEST_TERM)
            self._left = self._term
            lost = sum(s - self._seconds[best] for s in self._seconds.values())
            self._not_before = self._clock() + N_TRIAL * lost / _COST_OF_TRIALS
        self._seconds = {best: self._seconds[best]}
        self._best = best
