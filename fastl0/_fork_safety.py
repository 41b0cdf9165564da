"""What a fork waits for: work of other threads that a forked child could not go on without.

Only the thread that forks lives on in the child. A lock that another one holds at that moment
stays locked there, and the first fit of a process holds some for seconds: Python's, of the
modules that it imports, and Numba's, while kernels are compiled. A fit in the child would wait
for them for ever.
"""

import os
import threading
from typing import Protocol


class Lock(Protocol):
    """A lock that a thread may take several times over."""

    def acquire(self) -> object:
        """Take it."""

    def release(self) -> None:
        """Give it back."""


#: To be held while modules are imported of which a fit in a child may have need.
importing = threading.RLock()

#: In the order in which they are taken.
_locks: list[Lock] = [importing]
_held: list[Lock] = []


def wait_for(lock: Lock) -> None:
    """Let forks wait until nobody else holds `lock`, for the rest of the process.

    To be called with `importing` held, or never while another thread may fork.
    """
    _locks.append(lock)


def _hold_all() -> None:
    for lock in _locks:
        lock.acquire()
        _held.append(lock)


def _release_all() -> None:
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):  # where a process can fork
    os.register_at_fork(before=_hold_all, after_in_parent=_release_all, after_in_child=_release_all)
