"""Matrix products in register tiles, written for the vectors of the machine at hand.

One compiled loop body serves all products of a mini-batch. It holds a tile of the result
in vector registers, adds one outer product after another to it and stores it once, so that
nothing is packed beforehand and rows of the right factor may be picked by an index list:
units whose gate is closed cost nothing. Every entry of the result is one sum, taken in the
order of its terms, however the product is cut into tiles: the same bits for any number of
threads.
"""

import ctypes
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from fastl0._numba.jit import ints, kernel


def _tile_of(triple: str, features: str) -> tuple[int, int, int]:
    """Lanes of a float32 vector, rows of a tile, vectors in a row of it.

    A tile, one row of the right factor and one number of the left have to fit into the
    vector registers: 32 of them with AVX-512 and on 64-bit ARM, else 16.
    """
    if "+avx512f" in features:
        return 16, 8, 3
    if triple.startswith(("aarch64", "arm64")):
        return 4, 8, 3
    return (8, 6, 2) if "+avx2" in features else (4, 6, 2)


_TRIPLE, _, _FEATURES = cpu_target.target_context.codegen().magic_tuple()
LANES, TILE_ROWS, _TILE_VECTORS = _tile_of(_TRIPLE, _FEATURES)
TILE_COLUMNS = LANES * _TILE_VECTORS

#: The most lanes, rows and columns of a tile on any machine. Buffers have room for as many on
#: all: the same network then takes the same bytes, and a budget the same mini-batches, everywhere.
MAX_LANES, MAX_TILE_ROWS, MAX_TILE_COLUMNS = 16, 8, 48

#: Entries by which a tile may read or write past the last column of a row, on any machine.
PADDING = MAX_LANES - 1


def padded(n_columns: int) -> int:
    """Length of a row with room for whole vectors of any machine."""
    return -(-n_columns // MAX_LANES) * MAX_LANES


# --- the tile ------------------------------------------------------------------------


def _tile(n_vectors: int, indexed: bool) -> Any:
    """Make the intrinsic for tiles of `n_vectors` vectors; addresses and strides in bytes."""
    real, int32, int64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
    vector = ir.VectorType(real, LANES)
    undefined, zeros = ir.Constant(vector, ir.Undefined), ir.Constant(vector, [0.0] * LANES)
    to_all = ir.Constant(ir.VectorType(int32, LANES), [0] * LANES)
    zero, one = ir.Constant(int64, 0), ir.Constant(int64, 1)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, a_row, a_step, n_rows, b, b_row, index, n_terms, out, out_row = arguments

        def at(address: Any, type_: Any) -> Any:
            return builder.inttoptr(address, type_.as_pointer())

        # Not `fma`: without such an instruction that would be a call of the C library.
        multiply_add = builder.module.declare_intrinsic(
            f"llvm.fmuladd.v{LANES}f32", (), ir.FunctionType(vector, [vector] * 3)
        )
        last = builder.sub(n_rows, one)
        lefts, targets = [], []
        for r in range(TILE_ROWS):
            # Rows that are not there repeat the last one.
            row = ir.Constant(int64, r)
            row = builder.select(builder.icmp_signed("<", row, last), row, last)
            lefts.append(builder.add(a, builder.mul(row, a_row)))
            targets.append(builder.add(out, builder.mul(row, out_row)))

        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("terms", "store"))
        builder.cbranch(builder.icmp_signed(">", n_terms, zero), loop, after)

        builder.position_at_end(loop)
        term, left_offset, right_offset = (builder.phi(int64) for _ in range(3))
        sums = [[builder.phi(vector) for _ in range(n_vectors)] for _ in range(TILE_ROWS)]
        if indexed:
            place = builder.add(index, builder.mul(term, ir.Constant(int64, 4)))
            number = builder.sext(builder.load(at(place, int32)), int64)
            right = builder.add(b, builder.mul(number, b_row))
        else:
            right = builder.add(b, right_offset)
        factors = [
            builder.load(at(builder.add(right, ir.Constant(int64, 4 * LANES * v)), vector), align=4)
            for v in range(n_vectors)
        ]
        new_sums = []
        for r in range(TILE_ROWS):
            number = builder.load(at(builder.add(lefts[r], left_offset), real), align=4)
            left = builder.insert_element(undefined, number, ir.Constant(int32, 0))
            left = builder.shuffle_vector(left, undefined, to_all)
            new_sums.append(
                [
                    builder.call(multiply_add, [left, f, s])
                    for f, s in zip(factors, sums[r], strict=True)
                ]
            )
        steps = ((term, one), (left_offset, a_step), (right_offset, b_row))
        for counter, step in steps:
            counter.add_incoming(zero, before)
            counter.add_incoming(builder.add(counter, step), loop)
        next_term = term.incomings[1][0]
        for row, new_row in zip(sums, new_sums, strict=True):
            for value, new_value in zip(row, new_row, strict=True):
                value.add_incoming(zeros, before)
                value.add_incoming(new_value, loop)
        builder.cbranch(builder.icmp_signed("<", next_term, n_terms), loop, after)

        builder.position_at_end(after)
        totals = []
        for new_row in new_sums:
            for new_value in new_row:
                total = builder.phi(vector)
                total.add_incoming(zeros, before)
                total.add_incoming(new_value, loop)
                totals.append(total)
        # In ascending order: what hangs over into the next row is then overwritten by it.
        for r in range(TILE_ROWS):
            for v in range(n_vectors):
                place = builder.add(targets[r], ir.Constant(int64, 4 * LANES * v))
                builder.store(totals[r * n_vectors + v], at(place, vector), align=4)
        return context.get_dummy_value()

    @intrinsic
    def tile(
        typing_context: Any, a: Any, a_row: Any, a_step: Any, n_rows: Any, b: Any, b_row: Any,
        index: Any, n_terms: Any, out: Any, out_row: Any,
    ) -> Any:  # fmt: skip
        return types.void(*[types.int64] * 10), generate

    return tile


_single, _double, _triple = (_tile(n, indexed=False) for n in (1, 2, 3))
_single_at, _double_at, _triple_at = (_tile(n, indexed=True) for n in (1, 2, 3))


# --- products ------------------------------------------------------------------------


@kernel
def matmul_(a, a_row, a_step, n_rows, b, b_row, index, n_terms, out_, out_row, n_columns):
    """Overwrite ``out[r, c]`` by the sum over k of ``a[r, k] * b[index[k], c]``.

    All matrices are given by the address of their first entry, float32, and by strides
    counted in entries; columns of b and out are adjacent. The factor b is read, and out
    written, to the end of the vector that holds the last column of each row, at most `PADDING`
    entries past it: what follows a row of out is overwritten with anything, unless it is the
    next row.

    Parameters
    ----------
    a, a_row, a_step : int
        Left factor: address, stride from row to row and from term to term.
    n_rows : int
    b, b_row : int
        Right factor: address, stride from term to term.
    index : int
        Address of the int32 numbers of b's rows, in the order of the terms; 0 for all.
    n_terms : int
    out_, out_row : int
        Result: address, stride from row to row.
    n_columns : int
    """
    a_row, a_step, b_row, out_row = 4 * a_row, 4 * a_step, 4 * b_row, 4 * out_row
    # From the last columns to the first: their overhang into the next row is overwritten.
    low = (n_columns - 1) // TILE_COLUMNS * TILE_COLUMNS
    while low >= 0:
        n_vectors = min((n_columns - low + LANES - 1) // LANES, TILE_COLUMNS // LANES)
        right = b + 4 * low
        for r in range(0, n_rows, TILE_ROWS):
            left, out = a + r * a_row, out_ + r * out_row + 4 * low
            n = min(TILE_ROWS, n_rows - r)
            if index == 0:
                if n_vectors == 1:
                    _single(left, a_row, a_step, n, right, b_row, index, n_terms, out, out_row)
                elif n_vectors == 2:
                    _double(left, a_row, a_step, n, right, b_row, index, n_terms, out, out_row)
                else:
                    _triple(left, a_row, a_step, n, right, b_row, index, n_terms, out, out_row)
            elif n_vectors == 1:
                _single_at(left, a_row, a_step, n, right, b_row, index, n_terms, out, out_row)
            elif n_vectors == 2:
                _double_at(left, a_row, a_step, n, right, b_row, index, n_terms, out, out_row)
            else:
                _triple_at(left, a_row, a_step, n, right, b_row, index, n_terms, out, out_row)
        low -= TILE_COLUMNS


def _matmul_without_jit(
    a: int, a_row: int, a_step: int, n_rows: int, b: int, b_row: int, index: int, n_terms: int,
    out_: int, out_row: int, n_columns: int,
) -> None:  # fmt: skip
    """Do as `matmul_` does, but write nothing past the last column."""

    def at(address: int, row: int, step: int, shape: tuple[int, int]) -> Any:
        buffer: Any = (ctypes.c_char * 4).from_address(int(address))
        entry = np.frombuffer(buffer, np.float32)
        return np.lib.stride_tricks.as_strided(entry, shape, (4 * row, 4 * step))

    if n_rows < 1 or n_columns < 1:
        return
    out = at(out_, out_row, 1, (n_rows, n_columns))
    if n_terms < 1:
        out[:] = 0.0
        return
    rows = ints(index, n_terms) if index else np.arange(n_terms)
    right = at(b, b_row, 1, (int(rows.max()) + 1, n_columns))[rows]
    out[:] = at(a, a_row, a_step, (n_rows, n_terms)) @ right


if config.DISABLE_JIT:
    matmul_ = _matmul_without_jit
