"""Crews whose helpers are sure to take part, and a look at the C struct by which they meet."""

import ctypes
import itertools
import threading
import time
from contextlib import contextmanager

from fastl0._kernels import Team
from fastl0.estimators import build_config
from fastl0.training.threads import ThreadTeam, ThreadTuner

#: No test waits longer for a thread.
PATIENCE = 60.0
AWAY, READY, RESERVED, CALLED = range(4)


class Seat(ctypes.Structure):
    _fields_ = (
        *(("state", ctypes.c_int64), ("number", ctypes.c_int64)),
        ("apart", ctypes.c_char * 48),
    )


class State(ctypes.Structure):
    """``team_state`` of ``_team.h``."""

    _fields_ = (
        *(
            (name, ctypes.c_int64)
            for name in ("closed", "wanted", "size", "late", "calling", "begun")
        ),
        ("apart_1", ctypes.c_char * 16),
        *(("n_arrived", ctypes.c_int64), ("apart_2", ctypes.c_char * 56)),
        *(("generation", ctypes.c_int64), ("apart_3", ctypes.c_char * 56)),
        ("seats", Seat * (Team.most - 1)),
    )


def state_of(crew):
    """The state of a team, in place; good as long as the crew is."""
    return State.from_address(crew.address)


def wait_for(condition):
    """Wait until `condition` holds; fail after a minute."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "nobody came"
        time.sleep(0)


def helpers_alive():
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastl0-")]


class Shared:
    """What teams did in all trainings of a test.

    Attributes
    ----------
    sizes : set of int
        Members of the last team of every call of the kernel.
    n_batches : int
        Mini-batches that several members shared.
    """

    def __init__(self):
        self.sizes = set()
        self.n_batches = 0


@contextmanager
def shared_by(patch, n_threads, n_at_a_time=(1, 2, 5)):
    """Let `n_threads` share the first mini-batch of every call of the kernel, and more if they can.

    Parameters
    ----------
    patch : pytest.MonkeyPatch
    n_threads : int
    n_at_a_time : sequence of int
        Mini-batches that one call of the kernel does, in turn.
    """
    seen, lengths = Shared(), itertools.cycle(n_at_a_time)
    start_helpers, leave, lock = ThreadTeam.start_helpers, ThreadTeam.__exit__, threading.Lock()

    def recruit_and_wait(crew, n_threads, job):
        team = state_of(crew)
        note(team)
        team.calling = 1  # nobody goes home for want of calls

        def all_ready():
            # Again and again: whoever is on the way home does not hear it.
            start_helpers(crew, n_threads, job)
            return all(seat.state == READY for seat in team.seats[: team.wanted - 1])

        wait_for(all_ready)

    def note(team):
        with lock:
            if team.size:
                seen.sizes.add(team.size)

    def leave_and_count(crew, *error):
        note(state_of(crew))
        n_meetings = state_of(crew).generation
        leave(crew, *error)
        with lock:
            seen.n_batches += n_meetings // 2

    with patch.context() as patched:
        patched.setattr(build_config, "usable_threads", lambda: n_threads)
        patched.setattr(ThreadTuner, "next", lambda self, n: (n_threads, min(n, next(lengths))))
        patched.setattr(ThreadTuner, "note", lambda *_: None)
        if n_threads > 1:
            patched.setattr(ThreadTeam, "start_helpers", recruit_and_wait)
            patched.setattr(ThreadTeam, "__exit__", leave_and_count)
        yield seen
