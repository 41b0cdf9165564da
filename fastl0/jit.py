"""The one JIT policy, and the C entry points that compiled kernels may call.

Every Numba kernel of fastl0 is decorated with `kernel`. May import only `_kernels`.

* ``error_model="numpy"``: a division needs no zero check, so the loops vectorise.
* ``fastmath`` may fuse and reorder sums but keeps NaN and infinity: a diverging loss
  must be seen.
* ``cache=True``: compiled once per machine and version, where a folder can be written.
* ``nogil=True``: training in one thread never stops the others.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

from llvmlite import binding
from numba import config, njit, types

from fastl0 import _kernels

_POLICY = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz", "reassoc"},
}


def kernel(function: Callable[..., Any] | None = None, *, cache: bool = True) -> Any:
    """Compile `function` under fastl0's policy when it is first called."""
    if function is None:
        return functools.partial(kernel, cache=cache)
    try:
        return njit(cache=cache, **_POLICY)(function)
    except RuntimeError as error:
        # No folder that can be written: compile anew in each process.
        if not cache or "cannot cache" not in str(error):
            raise
        return njit(**_POLICY)(function)


def _entry_point(name: str, result: str, n_arguments: int) -> Any:
    """Make the C function `name` callable from kernels (and from Python without a JIT)."""
    address = _kernels.addresses()[name]
    if config.DISABLE_JIT:
        restype = ctypes.c_int64 if result == "int64" else None
        return ctypes.CFUNCTYPE(restype, *[ctypes.c_int64] * n_arguments)(address)
    # A symbol, not a baked-in address: compiled kernels stay valid in the disk cache.
    symbol = f"fastl0_{name}"
    binding.add_symbol(symbol, address)
    signature = getattr(types, result)(*[types.int64] * n_arguments)
    return types.ExternalFunction(symbol, signature)


read_rows = _entry_point("read_rows", "void", 8)
gemm = _entry_point("gemm", "void", 11)
flush_begin = _entry_point("flush_begin", "int64", 0)
flush_end = _entry_point("flush_end", "void", 1)
