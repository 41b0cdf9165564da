"""How kernels are compiled, what they see memory through, and the C functions that they call.

Every kernel is decorated with `kernel`. The package is built from the machine code of the two in
`entry_points`; with ``FASTL0_JIT=1`` the same source is compiled as it is called. The arithmetic
is that which is written: no sum is reordered, and a product is fused with a sum only by
`multiply_add`, so that all machines that multiply and add in one step get the same bits.
"""

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

#: The instruction set that is being built for; "" where kernels are compiled as they are called.
BUILD_ISA = os.environ.get("FASTL0_BUILD_ISA", "")


def _addresses() -> dict[str, int]:
    if BUILD_ISA:
        return {}
    from fastl0 import _kernels

    return _kernels.addresses()


_ADDRESSES = _addresses()


def _instruction_set() -> str:
    if BUILD_ISA:
        return BUILD_ISA
    from fastl0 import _kernels

    return _kernels.isa


#: The instruction set that kernels are compiled for.
ISA = _instruction_set()

# ``error_model="numpy"``: a division needs no zero check, so that loops vectorise.
# ``nogil=True``: training in one thread never stops the others.
# ``_nrt=False``: kernels own no memory, and count no references to it.
_POLICY: dict[str, Any] = {
    "nogil": True,
    "no_cfunc_wrapper": True,
    "error_model": "numpy",
    "_nrt": False,
}


def kernel(function: Callable[..., Any] | None = None, *, part: bool = False) -> Any:
    """Make a kernel of `function`: compiled by `ahead_of_time`, or when it is first called.

    Parameters
    ----------
    function : callable
    part : bool, default=False
        Whether `function`, small or called in one place, shall be copied into each caller: it
        then costs no compilation of its own.
    """
    if function is None:
        return functools.partial(kernel, part=part)
    compiled = njit(inline="always" if part else "never", **_POLICY)(function)
    _compile_once_for_all_numbers(compiled)
    return compiled


def _compile_once_for_all_numbers(compiled: Any) -> None:
    """Keep Numba from compiling a kernel anew for each literal number in a call of it."""
    get_template = compiled.get_call_template

    def get_call_template(args: Any, kws: Any) -> Any:
        return get_template(
            tuple(types.unliteral(a) for a in args),
            {name: types.unliteral(a) for name, a in kws.items()},
        )

    compiled.get_call_template = get_call_template


# --- memory ----------------------------------------------------------------------------


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

    return line if ndim == 1 else table


floats, doubles, bytes_, ints, longs = map(_view, ("f4", "f8", "u1", "i4", "i8"))
unsigned_longs = _view("u8")
matrix = _view("f4", ndim=2)


@intrinsic
def entry(typing_context: Any, address: Any, n: Any) -> Any:
    """Address of entry `n` of float32 or int32 numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, n = arguments
        return builder.add(address, builder.mul(n, context.get_constant(types.int64, 4)))

    return types.int64(types.int64, types.int64), generate


def fields(n: int, type_: Any) -> Any:
    """Make ``read(address)``: a tuple of the `n` int64 or float64 numbers at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], context.get_value_type(type_).as_pointer())
        numbers = [
            builder.load(builder.gep(pointer, [ir.Constant(ir.IntType(64), k)])) for k in range(n)
        ]
        return context.make_tuple(builder, signature.return_type, numbers)

    @intrinsic
    def read(typing_context: Any, address: Any) -> Any:
        return types.UniTuple(type_, n)(types.int64), generate

    return read


@intrinsic
def multiply_add(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c`` of float32 numbers, rounded once where the processor can."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # Not `fma`: without such an instruction that would be a call of the C library.
        function = builder.module.declare_intrinsic(
            "llvm.fmuladd", (ir.FloatType(),), ir.FunctionType(ir.FloatType(), [ir.FloatType()] * 3)
        )
        return builder.call(function, arguments)

    return types.float32(*[types.float32] * 3), generate


# --- C functions -----------------------------------------------------------------------


def _c_function(name: str, result: str, *arguments: str) -> Any:
    """Let kernels call the C function ``fastl0_<name>``; those of a variant end in its name."""
    symbol = f"fastl0_{name}"
    # Numba links what it compiles; what it builds is never called, and links to no real place.
    binding.add_symbol(symbol, 1 if BUILD_ISA else _ADDRESSES[name])
    signature = getattr(types, result)(*[getattr(types, argument) for argument in arguments])
    return types.ExternalFunction(symbol, signature)


_INT = "int64"

read_rows = _c_function("read_rows", "void", *[_INT] * 10)
prefetch_rows = _c_function("prefetch_rows", "void", *[_INT] * 5)
team_enlist = _c_function("team_enlist", _INT, *[_INT] * 2)
team_call = _c_function("team_call", _INT, _INT)
team_size = _c_function("team_size", _INT, _INT)
team_rest = _c_function("team_rest", "void", _INT)
team_meet = _c_function("team_meet", "void", *[_INT] * 3)
flush_begin = _c_function("flush_begin", _INT)
flush_end = _c_function("flush_end", "void", _INT)

matmul_ = _c_function(f"matmul_{ISA}", "void", *[_INT] * 11)
dot = _c_function(f"dot_{ISA}", "float32", *[_INT] * 3)
adam_rank_one_ = _c_function(f"adam_rank_one_{ISA}", "float32", *[_INT] * 5, *["float32"] * 6)
