"""Helper threads: who comes, who goes home, and how many are called."""

import ctypes
import os
import queue
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import pytest
from joblib import Parallel, cpu_count, delayed
from team_state import AWAY, PATIENCE, READY, helpers_alive, state_of, wait_for
from threadpoolctl import threadpool_limits

from fastl0._kernels import Team, addresses
from fastl0.training import threads
from fastl0.training.threads import ThreadTeam, ThreadTuner, usable_threads


def entry_point(name, n_arguments):
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * n_arguments)
    return kind(addresses()[f"team_{name}"])


enlist, call, meet, rest = (
    entry_point(name, n) for name, n in (("enlist", 2), ("call", 1), ("meet", 3), ("rest", 1))
)


@pytest.fixture(autouse=True)
def _no_helper_is_left():
    before = helpers_alive()
    yield
    assert helpers_alive() == before


def until_dismissed(crew, notes):
    """A job that notes its seat, and again when the crew is dismissed."""

    def job(seat):
        notes.append(seat)
        wait_for(lambda: state_of(crew).closed)
        notes.append(seat)

    return job


# --- crews -------------------------------------------------------------------------------


def test_helpers_start_when_they_are_first_wanted():
    with ThreadTeam(4) as crew:
        assert len(helpers_alive()) == 0
        for n_wanted, n_helpers in ((1, 0), (2, 1), (2, 1), (4, 3), (1, 3), (99, 3)):
            crew.start_helpers(n_wanted, until_dismissed(crew, []))
            assert len(helpers_alive()) == n_helpers
            assert state_of(crew).wanted == min(n_wanted, 4)
    assert helpers_alive() == []


def test_dismissed_helpers_are_home_and_come_again():
    notes, helpers = [], []
    with ThreadTeam(3) as crew:
        for round_ in range(1, 4):
            crew.start_helpers(3, until_dismissed(crew, notes))
            wait_for(lambda n=4 * round_ - 2: len(notes) >= n)
            crew.stop_helpers()
            assert sorted(notes) == 2 * round_ * [1] + 2 * round_ * [2]
            helpers.append(helpers_alive())
    assert helpers[0] == helpers[1] == helpers[2]


def test_a_helper_at_work_gets_no_second_job():
    notes = []
    with ThreadTeam(2) as crew:
        for _ in range(5):
            crew.start_helpers(2, until_dismissed(crew, notes))
            wait_for(lambda: notes)
        crew.stop_helpers()
        assert notes == [1, 1]


def test_a_job_that_has_not_begun_when_the_crew_is_dismissed_never_does():
    notes, may_go = [], threading.Event()
    with ThreadTeam(2) as crew:
        crew.start_helpers(2, lambda seat: may_go.wait(PATIENCE))
        helper = crew._helpers[0]
        wait_for(helper._last.running)
        late = Future()
        helper._jobs.put((late, notes.append))
        assert late.cancel()
        may_go.set()
    assert notes == []


def test_dismissing_nobody_is_fine():
    with ThreadTeam(3) as crew:
        crew.stop_helpers()
        crew.stop_helpers()


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_an_error_in_the_leader_sends_all_helpers_home(error):
    notes = []

    def lead():
        with ThreadTeam(3) as crew:
            crew.start_helpers(3, until_dismissed(crew, notes))
            wait_for(lambda: len(notes) == 2)
            raise error

    with pytest.raises(error):
        lead()
    assert helpers_alive() == []
    assert sorted(notes) == [1, 1, 2, 2]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_helper_that_fails_is_not_waited_for():
    failed = []

    def fail(seat):
        failed.append(seat)
        raise MemoryError

    with ThreadTeam(3) as crew:
        crew.start_helpers(3, fail)
        wait_for(lambda: len(failed) == 2)
        crew.stop_helpers()
        wait_for(lambda: not helpers_alive())
        crew.start_helpers(3, fail)
        crew.stop_helpers()
        crew.start_helpers(3, until_dismissed(crew, []))
        crew.stop_helpers()


def test_threads_that_cannot_be_started_leave_a_smaller_team(monkeypatch):
    start, attempts = threading.Thread.start, []

    def start_one(thread):
        attempts.append(thread)
        if len(attempts) > 1:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    notes = []
    with ThreadTeam(5) as crew:
        for _ in range(3):
            crew.start_helpers(5, until_dismissed(crew, notes))
            wait_for(lambda: notes)
            assert len(helpers_alive()) == 1
            assert state_of(crew).wanted == 2
    assert len(attempts) == 2
    assert notes == [1, 1]


def test_crews_have_nothing_to_do_with_each_other():
    notes = [], []
    with ThreadTeam(2) as one, ThreadTeam(2) as other:
        assert one.address != other.address
        for crew, noted in zip((one, other), notes, strict=True):
            crew.start_helpers(2, until_dismissed(crew, noted))
        wait_for(lambda: all(notes))  # what has not begun when a crew is dismissed never does
        one.stop_helpers()
        assert notes[0] == [1, 1]
        assert not state_of(other).closed
    assert notes[1] == [1, 1]


class InterruptedQueue:
    """A queue of jobs; Ctrl-C arrives just before the first one is in it."""

    simple = queue.SimpleQueue

    def __init__(self):
        self._queue, self._is_first = self.simple(), True
        self.get = self._queue.get

    def put(self, job):
        if self._is_first:
            self._is_first = False
            raise KeyboardInterrupt
        self._queue.put(job)


def test_ctrl_c_while_a_helper_gets_its_job_leaves_nobody_to_wait_for(monkeypatch):
    monkeypatch.setattr(threads.queue, "SimpleQueue", InterruptedQueue)
    with ThreadTeam(2) as crew:
        with pytest.raises(KeyboardInterrupt):
            crew.start_helpers(2, print)
        waiting = threading.Thread(target=crew.stop_helpers, daemon=True)
        waiting.start()
        waiting.join(3)
        is_waiting = waiting.is_alive()
    waiting.join(PATIENCE)
    assert not is_waiting


def test_ctrl_c_while_a_helper_starts_leaves_no_thread(monkeypatch):
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    def lead():
        with ThreadTeam(2) as crew:
            crew.start_helpers(2, print)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lead()
    left = helpers_alive()
    for helper in left:  # lets go of it
        helper._target.__self__.close()
    assert left == []


# --- teams -------------------------------------------------------------------------------


def ready(crew, n_threads, job):
    """Recruit, and wait until all helpers are ready to be called."""
    state_of(crew).calling = 1  # nobody goes home for want of calls
    crew.start_helpers(n_threads, job)
    wait_for(lambda: all(seat.state == READY for seat in state_of(crew).seats[: n_threads - 1]))


def test_the_struct_is_as_these_tests_see_it():
    team = Team()
    crew = type("ThreadTeam", (), {"address": team.address})
    assert state_of(crew).wanted == 1
    team.wanted, team.late, team.closed = 3, True, True
    state = state_of(crew)
    assert (state.wanted, state.late, state.closed) == (3, 1, 1)
    assert (state.size, state.calling, state.n_arrived, state.generation) == (0, 0, 0, 0)
    assert [seat.state for seat in state.seats] == [AWAY] * (Team.most - 1)


def test_a_team_is_the_leader_alone_at_first():
    with ThreadTeam(4) as crew:
        assert call(crew.address) == 1
        meet(crew.address, 0, 1)
        assert state_of(crew).generation == 0


@pytest.mark.parametrize("n_threads", [2, 3, Team.most])
def test_all_members_meet(n_threads):
    seen = []

    def job(seat):
        while number := enlist(crew.address, seat):
            size = state_of(crew).size
            for round_ in range(20):
                seen.append((round_, number))
                meet(crew.address, number, size)

    with ThreadTeam(n_threads) as crew:
        ready(crew, n_threads, job)
        size = call(crew.address)
        assert size == n_threads
        for round_ in range(20):
            seen.append((round_, 0))
            meet(crew.address, 0, size)
        rest(crew.address)
        crew.stop_helpers()
        assert state_of(crew).generation == 20
    # Nobody was a round ahead of anybody.
    assert [round_ for round_, _ in seen] == sorted(round_ for round_, _ in seen)
    assert sorted(seen) == [(r, k) for r in range(20) for k in range(n_threads)]


def test_no_more_members_are_called_than_wanted():
    called = []

    def job(seat):
        while number := enlist(crew.address, seat):
            called.append((seat, number))
            meet(crew.address, number, 2)

    with ThreadTeam(4) as crew:
        ready(crew, 4, job)
        crew.start_helpers(2, job)
        assert call(crew.address) == 2
        meet(crew.address, 0, 2)
        rest(crew.address)
        crew.stop_helpers()
    assert called == [(1, 1)]


def test_a_helper_that_is_away_is_left_out():
    def job(seat):
        while number := enlist(crew.address, seat) if seat == 2 else 0:
            meet(crew.address, number, state_of(crew).size)

    with ThreadTeam(3) as crew:
        state_of(crew).calling = 1
        crew.start_helpers(3, job)
        wait_for(lambda: state_of(crew).seats[1].state == READY)
        assert call(crew.address) == 2
        assert state_of(crew).seats[1].number == 1
        meet(crew.address, 0, 2)
        rest(crew.address)


def test_a_leader_who_has_waited_long_goes_on_alone_until_the_next_recruiting():
    def job(seat):
        while number := enlist(crew.address, seat):
            time.sleep(0.05)
            meet(crew.address, number, 2)

    with ThreadTeam(2) as crew:
        ready(crew, 2, job)
        assert not crew.was_late
        assert call(crew.address) == 2
        meet(crew.address, 0, 2)
        assert crew.was_late
        assert call(crew.address) == 1
        crew.stop_helpers()
        ready(crew, 2, job)
        assert not crew.was_late
        assert call(crew.address) == 2
        meet(crew.address, 0, 2)


def test_a_helper_goes_home_when_nobody_calls():
    homes = []
    with ThreadTeam(2) as crew:
        crew.start_helpers(2, lambda seat: homes.append(enlist(crew.address, seat)))
        rest(crew.address)
        wait_for(lambda: homes)
        assert homes == [0]
        assert state_of(crew).seats[0].state == AWAY
        assert call(crew.address) == 1


def test_a_helper_stays_while_the_leader_is_at_work():
    homes = []
    with ThreadTeam(2) as crew:
        ready(crew, 2, lambda seat: homes.append(enlist(crew.address, seat)))
        time.sleep(0.05)
        assert homes == []
        rest(crew.address)
        wait_for(lambda: homes)


# --- pace --------------------------------------------------------------------------------


class Training:
    """Mini-batches that take as long as `seconds` says, by a clock of their own."""

    def __init__(self, n_threads, seconds):
        self.now = 0.0
        self.seconds = seconds
        self.pace = ThreadTuner(n_threads, lambda: self.now)
        self.calls = []  # of every call: threads, mini-batches

    def run(self, n_batches, at_a_time=32, *, was_late=lambda n: False, also=0.0):
        """Do mini-batches; return the threads that most of them got."""
        counts, left = {}, n_batches
        while left > 0:
            room = min(at_a_time, left)
            n_threads, n = self.pace.next(room)
            assert 1 <= n <= room
            taken = self.seconds[n_threads] * n + also
            also = 0.0
            self.now += taken
            self.pace.note(n_threads, n, taken, was_late(n_threads))
            self.calls.append((n_threads, n))
            counts[n_threads] = counts.get(n_threads, 0) + n
            left -= n
        return max(counts, key=counts.get)

    @property
    def shares(self):
        """Share of the mini-batches, by number of threads."""
        total = sum(n for _, n in self.calls)
        return {
            k: sum(n for threads, n in self.calls if threads == k) / total for k in self.seconds
        }


def ideal(*numbers):
    return {n: 1.0 / n for n in numbers}


def test_one_thread_needs_no_trials():
    pace = ThreadTuner(1)
    for n in (1, 32, 7):
        assert pace.next(n) == (1, n)
        pace.note(1, n, 1.0, False)


COSTS = {
    "faster": (ideal(1, 2), 2),
    "slower": ({1: 1.0, 2: 2.0}, 1),
    "three": (ideal(1, 2, 3), 3),
    "six": (ideal(1, 2, 3, 4, 6), 6),
    "eight": (ideal(1, 2, 4, 8), 8),
    "four_of_eight": ({1: 1.0, 2: 0.6, 4: 0.4, 8: 0.5}, 4),
    "two_of_eight": ({1: 1.0, 2: 0.9, 4: 1.1, 8: 3.0}, 2),
    "tie": ({1: 1.0, 2: 0.99}, 1),
    "tie_of_four_and_two": ({1: 1.0, 2: 0.5, 4: 0.495}, 2),
}


@pytest.mark.parametrize("at_a_time", [1, 7, 32])
@pytest.mark.parametrize("cost", COSTS)
def test_a_training_settles_on_the_fastest_and_on_fewer_in_a_tie(cost, at_a_time):
    seconds, best = COSTS[cost]
    training = Training(max(seconds), seconds)
    training.run(2000, at_a_time)
    assert training.run(2000, at_a_time) == best


@pytest.mark.parametrize("at_a_time", [1, 32])
@pytest.mark.parametrize("cost", COSTS)
def test_trials_take_a_small_share_of_mini_batches_and_of_time(cost, at_a_time):
    seconds, best = COSTS[cost]
    training = Training(max(seconds), seconds)
    training.run(10_000, at_a_time)
    training.calls.clear()
    start = training.now
    training.run(30_000, at_a_time)
    assert training.shares[best] > 0.98
    assert training.now - start < 1.03 * 30_000 * seconds[best]


@pytest.mark.parametrize("scale", [1e-5, 1e-3, 1.0])
def test_trials_of_something_much_slower_are_rare(scale):
    training = Training(2, {1: scale, 2: 50 * scale})
    training.run(30_000)
    assert training.now < 1.05 * 30_000 * scale


def test_a_smaller_network_gets_fewer_threads_soon_and_a_larger_one_more():
    training = Training(4, ideal(1, 2, 4))
    assert training.run(5000) == 4
    training.seconds = {1: 0.01, 2: 0.02, 4: 0.04}
    training.run(4000)
    assert training.run(100) == 1
    training.seconds = ideal(1, 2, 4)
    training.run(8000)
    assert training.run(2000) == 4


@pytest.mark.parametrize("was_late", [True, False])
def test_a_processor_that_somebody_else_takes_is_noticed_at_once_and_so_is_its_return(was_late):
    training = Training(2, ideal(1, 2))
    assert training.run(5000) == 2
    training.seconds = {1: 1.0, 2: 1.2 if was_late else 5.0}
    training.run(64, was_late=lambda n: was_late and n > 1)
    assert training.run(100, was_late=lambda n: was_late and n > 1) == 1
    training.seconds = ideal(1, 2)
    training.run(8000)
    assert training.run(2000) == 2


@pytest.mark.parametrize(
    ("seconds", "best"), [({1: 1e-3, 2: 2e-3}, 1), ({n: 1e-3 / n for n in (1, 2, 4, 8)}, 8)]
)
def test_a_slow_first_call_is_soon_forgotten(seconds, best):
    """It finds nothing in the caches."""
    training = Training(max(seconds), seconds)
    training.run(32, also=10.0)
    training.run(2000)
    assert training.run(2000) == best


def test_nothing_done_is_nothing_to_note():
    pace = ThreadTuner(2)
    pace.note(1, 0, 1.0, False)
    assert pace.next(32)[0] == 1


# --- usable threads -------------------------------------------------------------------------


def usable_elsewhere(before="", **env):
    code = f"{before}\nfrom fastl0.training.threads import usable_threads\nprint(usable_threads())"
    env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"} | env
    return int(subprocess.check_output([sys.executable, "-c", code], env=env))


@pytest.mark.parametrize(("given", "expected"), [("1", 1), ("3", 3), ("99", Team.most)])
def test_the_environment_says_how_many_threads_are_usable(given, expected):
    assert usable_elsewhere(OMP_NUM_THREADS=given) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a choice of processors")
def test_a_process_that_may_run_on_one_processor_uses_one_thread():
    one = min(os.sched_getaffinity(0))
    assert usable_elsewhere(f"import os; os.sched_setaffinity(0, {{{one}}})") == 1


def test_a_limit_on_threads_counts_while_it_lasts():
    before = usable_threads()
    assert 1 <= before <= Team.most
    with threadpool_limits(1):
        assert usable_threads() == 1
    assert usable_threads() == before


def test_workers_of_joblib_share_the_processors(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # joblib heeds what the user has set
    found = Parallel(n_jobs=2)(delayed(usable_threads)() for _ in range(2))
    assert found == 2 * [max(1, min(cpu_count() // 2, Team.most))]


def test_ctrl_c_while_helpers_are_sent_home_leaves_none_behind(monkeypatch):
    join = threading.Thread.join

    def interrupted(thread, timeout=None):
        monkeypatch.setattr(threading.Thread, "join", join)
        raise KeyboardInterrupt

    def lead():
        with ThreadTeam(4) as crew:
            crew.start_helpers(4, until_dismissed(crew, []))
            monkeypatch.setattr(threading.Thread, "join", interrupted)

    with pytest.raises(KeyboardInterrupt):
        lead()
    wait_for(lambda: not helpers_alive())


def test_few_mini_batches_are_not_judged_by():
    pace = ThreadTuner(2)
    for n_batches, seconds in ((8, 1.0), (8, 0.8), (32, 3.2), (1, 1e-6), (32, 3.2)):
        n_threads, _ = pace.next(32)
        assert n_threads == 1
        pace.note(1, n_batches, seconds, False)
    assert pace._seconds == pytest.approx({1: 0.1})
