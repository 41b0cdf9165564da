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
_state: dict[str, Any] = {"trainings": 0, "limiter": None}


@cache
def _controller() -> Any:
    # threadpoolctl sees only libraries that are loaded: load SciPy's BLAS before it looks.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS at one thread while any thread of this process is inside.

    The setting is process-wide, so it is counted: the first one in sets it, the last one
    out restores what was there. Nested and concurrent use is fine.
    """
    with _lock:
        if _state["trainings"] == 0:
            _state["limiter"] = _controller().limit(limits=1)
        _state["trainings"] += 1
    try:
        yield
    finally:
        with _lock:
            _state["trainings"] -= 1
            if _state["trainings"] == 0:
                _state["limiter"].restore_original_limits()
                _state["limiter"] = None
