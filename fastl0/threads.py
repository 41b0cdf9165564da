"""Owner of BLAS threads: while any training runs in this process, products use one thread.

The mini-batch products of shrinking networks are too small for BLAS to split well, and
two waiting BLAS threads stall for milliseconds when another process is busy. Imports
nothing of fastl0.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_lock = threading.Lock()
_state: dict[str, Any] = {"trainings": 0, "before": []}


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


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS at one thread while any thread of this process is inside.

    The setting is process-wide, so it is counted: the first one in sets it, the last one
    out restores what was there. Nested and concurrent use is fine.
    """
    with _lock:
        if _state["trainings"] == 0:
            _state["before"] = [library.get_num_threads() for library in _libraries()]
            _set_threads([1] * len(_state["before"]))
        _state["trainings"] += 1
    try:
        yield
    finally:
        with _lock:
            _state["trainings"] -= 1
            if _state["trainings"] == 0:
                _set_threads(_state["before"])
