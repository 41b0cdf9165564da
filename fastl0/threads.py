"""Owner of BLAS threads: while any training runs in this process, products use one thread.

The mini-batch products of shrinking networks are too small for BLAS to split well, and
two waiting BLAS threads stall for milliseconds when another process is busy. Imports
nothing of fastl0.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_lock = threading.Lock()
#: One token per training under way, and each library's threads before the first of them.
_trainings: set[object] = set()
_before: list[int] = []


def _forget_trainings() -> None:
    """In a forked child no thread of the parent trains, and none holds the lock."""
    global _lock
    _lock = threading.Lock()
    if _trainings:
        _trainings.clear()
        _restore()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_trainings)


@cache
def _libraries() -> list[Any]:
    # threadpoolctl sees only libraries that are loaded: load SciPy's BLAS before it looks.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _set_threads(numbers: list[int]) -> None:
    """Give each BLAS library its number of threads, from whichever thread this is."""
    for library, number in zip(_libraries(), numbers, strict=True):
        # threadpoolctl 3.8 lets one Python thread set OpenBLAS's number and makes the rest
        # do nothing, silently. Here all of them go through one lock and may.
        release = getattr(library, "clear_controlling_thread", lambda force: None)
        release(force=True)
        library.set_num_threads(number)
        release(force=True)


def _restore() -> None:
    _set_threads(_before)
    _before.clear()


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS at one thread while any thread of this process is inside.

    The setting is process-wide, so it is counted: the first one in sets it, the last one
    out restores what was there. Nested and concurrent use is fine.
    """
    token = object()
    try:
        with _lock:
            # Not empty if Ctrl-C kept the last training from restoring it.
            if not _before:
                _before.extend([library.get_num_threads() for library in _libraries()])
            _trainings.add(token)
            _set_threads([1] * len(_before))
        yield
    finally:
        with _lock:
            _trainings.discard(token)
            if _before and not _trainings:
                _restore()
