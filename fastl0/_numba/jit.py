"""The one JIT policy, and the C entry points that compiled kernels may call.

Every Numba kernel of fastl0 is decorated with `kernel`.

* ``error_model="numpy"``: a division needs no zero check, so the loops vectorise.
* ``fastmath`` may fuse and reorder sums but keeps NaN and infinity: a diverging loss
  must be seen.
* ``cache=True``: compiled once per machine and version, where a folder can be written.
* ``nogil=True``: training in one thread never stops the others.
* ``no_cfunc_wrapper=True``: nothing but kernels and Python calls a kernel, and a wrapper for C
  takes a twelfth of the time of compiling.
"""

import ctypes
import functools
import hashlib
import logging
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding
from numba import config, njit, types
from numba.core import cgutils
from numba.core import event as events
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

from fastl0._fork_safety import wait_for
from fastl0._kernels import addresses

_POLICY: dict[str, Any] = {
    "nogil": True,
    "no_cfunc_wrapper": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz", "reassoc"},
}


def kernel(
    function: Callable[..., Any] | None = None,
    *,
    cache: bool = True,
    part: bool = False,
    exact: bool = False,
) -> Any:
    """Compile `function` under fastl0's policy when it is first called.

    Parameters
    ----------
    function : callable
    cache : bool, default=True
        Whether to keep the machine code on disk.
    part : bool, default=False
        Whether `function`, small or called in one place, shall be copied into each caller: it
        then costs no compilation of its own.
    exact : bool, default=False
        Whether sums shall be taken in the order in which they are written.
    """
    if function is None:
        return functools.partial(kernel, cache=cache, part=part, exact=exact)
    policy: dict[str, Any] = {**_POLICY, "inline": "always" if part else "never"}
    if exact:
        policy["fastmath"] = _POLICY["fastmath"] - {"reassoc"}
    try:
        compiled = njit(cache=cache and not part, **policy)(function)
    except RuntimeError as error:
        # No folder that can be written: compile anew in each process.
        if not cache or "cannot cache" not in str(error):
            raise
        compiled = njit(**policy)(function)
    if not config.DISABLE_JIT:
        _compile_once_for_all_numbers(compiled)
        _distrust_other_sources(compiled)
    return compiled


@functools.cache
def _digest() -> str:
    """Digest of all that kernels are made of."""
    folder = pathlib.Path(__file__).parent
    constants = folder.parent / "model" / "hard_concrete.py"
    sources = [constants, *sorted(folder.glob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _distrust_other_sources(compiled: Any) -> None:
    """Let code on disk count only if no kernel has changed since.

    Numba looks at the file of the kernel itself, not at those of the kernels it calls.
    """
    file = getattr(getattr(compiled, "_cache", None), "_cache_file", None)
    if file is not None and hasattr(file, "_source_stamp"):
        file._source_stamp = (file._source_stamp, _digest())


class _Announcement(events.Listener):
    """Says once that kernels are being compiled, when that is so: it takes a while."""

    def on_start(self, event: Any) -> None:
        module = event.data["dispatcher"].py_func.__module__
        if module.partition(".")[0] == "fastl0":
            events.unregister("numba:compile", self)
            logging.getLogger("fastl0").warning(
                "fastl0 compiles its kernels for this machine: ten to twenty seconds, the first "
                "time only."
            )

    def on_end(self, event: Any) -> None:
        """Nothing to say."""


def _compile_once_for_all_numbers(compiled: Any) -> None:
    """Keep Numba from compiling a kernel anew for each literal number in a call of it."""
    get_template = compiled.get_call_template

    def get_call_template(args: Any, kws: Any) -> Any:
        return get_template(
            tuple(types.unliteral(a) for a in args),
            {name: types.unliteral(a) for name, a in kws.items()},
        )

    compiled.get_call_template = get_call_template


def _view(dtype: Any, ndim: int = 1) -> Any:
    """Make ``view(address, *shape)``: numbers at an address, as an array that owns nothing.

    Kernels pass addresses to each other and view them where they compute. An array as an
    argument is seven values, and counts references up and down in an atomic operation, for
    which threads would queue.
    """
    itemsize = np.dtype(dtype).itemsize
    type_ = types.Array(from_dtype(np.dtype(dtype)), ndim, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, *shape = arguments
        array = context.make_array(type_)(context, builder)
        size = context.get_constant(types.intp, itemsize)
        strides = [size] if ndim == 1 else [builder.mul(shape[1], size), size]
        populate_array(
            array,
            data=builder.inttoptr(address, array.data.type),
            shape=cgutils.pack_array(builder, shape),
            strides=cgutils.pack_array(builder, strides),
            itemsize=size,
            meminfo=None,
        )
        return array._getvalue()

    @intrinsic
    def line(typing_context: Any, address: Any, n: Any) -> Any:
        return type_(*[types.int64] * 2), generate

    @intrinsic
    def table(typing_context: Any, address: Any, n_rows: Any, n_columns: Any) -> Any:
        return type_(*[types.int64] * 3), generate

    def without_jit(address: int, *shape: int) -> Any:
        size = math.prod(shape)
        if size <= 0:
            return np.zeros(shape, dtype)
        buffer = (ctypes.c_char * (size * itemsize)).from_address(int(address))
        return np.frombuffer(buffer, dtype).reshape(shape)

    if config.DISABLE_JIT:
        return without_jit
    return line if ndim == 1 else table


def _entry() -> Any:
    """Make ``entry(address, n)``: the address of entry `n` of float32 or int32 numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, n = arguments
        return builder.add(address, builder.mul(n, context.get_constant(types.int64, 4)))

    @intrinsic
    def entry(typing_context: Any, address: Any, n: Any) -> Any:
        return types.int64(types.int64, types.int64), generate

    return entry if not config.DISABLE_JIT else lambda address, n: int(address) + 4 * int(n)


entry = _entry()
floats, doubles, bytes_, ints, longs = map(_view, ("f4", "f8", "u1", "i4", "i8"))
matrix = _view("f4", ndim=2)


events.register("numba:compile", _Announcement())
wait_for(global_compiler_lock)


def _entry_point(name: str, result: str, n_arguments: int) -> Any:
    """Make the C function `name` callable from kernels (and from Python without a JIT)."""
    address = addresses()[name]
    if config.DISABLE_JIT:
        restype = ctypes.c_int64 if result == "int64" else None
        call = ctypes.CFUNCTYPE(restype, *[ctypes.c_int64] * n_arguments)(address)
        return lambda *arguments: call(*map(int, arguments))
    # A symbol, not a baked-in address: compiled kernels stay valid in the disk cache.
    symbol = f"fastl0_{name}"
    binding.add_symbol(symbol, address)
    signature = getattr(types, result)(*[types.int64] * n_arguments)
    return types.ExternalFunction(symbol, signature)


read_rows = _entry_point("read_rows", "void", 10)
prefetch_rows = _entry_point("prefetch_rows", "void", 5)
team_enlist = _entry_point("team_enlist", "int64", 2)
team_call = _entry_point("team_call", "int64", 1)
team_size = _entry_point("team_size", "int64", 1)
team_rest = _entry_point("team_rest", "void", 1)
team_meet = _entry_point("team_meet", "void", 3)
flush_begin = _entry_point("flush_begin", "int64", 0)
flush_end = _entry_point("flush_end", "void", 1)
