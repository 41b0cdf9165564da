"""Mini-batches of one row: products with a vector, and Adam on a gradient of rank one.

A stream learns one row at a time, and then nearly all time goes into memory: every weight is
read on the way forward, and read and written with its moments when it is moved. So rows of
weights are read in the order in which they lie, nothing is packed, no gradient is stored, and
units that are off are moved in the same run.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from fastl0._numba.elementwise import dot
from fastl0._numba.jit import entry, floats, ints, kernel
from fastl0._numba.matmul import LANES
from fastl0._numba.optimizers import adam_step_

_ZERO = np.float32(0.0)
_ONE = np.float32(1.0)


@kernel
def combine_rows_(factors, block, n_columns, rows, n_terms, out_):
    """Overwrite `out_` by the sum over k of ``factors[k] * block[rows[k]]``.

    Parameters
    ----------
    factors : int
        Address of n_terms float32 numbers.
    block : int
        Address of a float32 matrix of `n_columns` columns, in C order.
    n_columns : int
    rows : int
        Address of the int32 numbers of its rows.
    n_terms : int
    out_ : int
        Address of n_columns float32 numbers.
    """
    left, numbers, out = floats(factors, n_terms), ints(rows, n_terms), floats(out_, n_columns)
    for c in range(n_columns):
        out[c] = _ZERO
    for k in range(n_terms):
        factor, row = left[k], floats(entry(block, np.int64(numbers[k]) * n_columns), n_columns)
        for c in range(n_columns):
            out[c] += factor * row[c]


@kernel
def dot_rows_(vector, block, n_columns, rows, n_rows, out_):
    """Overwrite ``out[k]`` by the dot product of a vector and of ``block[rows[k]]``.

    Parameters
    ----------
    vector : int
        Address of n_columns float32 numbers.
    block, n_columns, rows : int
        As in `combine_rows_`.
    n_rows : int
    out_ : int
        Address of n_rows float32 numbers.
    """
    right, numbers, out = floats(vector, n_columns), ints(rows, n_rows), floats(out_, n_rows)
    for k in range(n_rows):
        out[k] = dot(floats(entry(block, np.int64(numbers[k]) * n_columns), n_columns), right)


def _adam_on_vectors() -> Any:
    """Make the intrinsic behind `adam_rank_one_`.

    A loop that Numba's compiler makes of a row takes the last entries one by one.
    Here the last vector of a row ends with the row, and overlaps the one before it. It is read
    first and written last, so that no parameter moves twice.
    """
    real, int32, int64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)
    vector, numbers = ir.VectorType(real, LANES), ir.VectorType(int32, LANES)
    zeros, to_all = ir.Constant(vector, [0.0] * LANES), ir.Constant(numbers, [0] * LANES)
    zero, one = ir.Constant(int64, 0), ir.Constant(int64, 1)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        addresses, n, scalars = arguments[:4], arguments[4], arguments[5:]
        module = builder.module
        multiply_add = module.declare_intrinsic(
            f"llvm.fmuladd.v{LANES}f32", (), ir.FunctionType(vector, [vector] * 3)
        )
        root = module.declare_intrinsic(
            f"llvm.sqrt.v{LANES}f32", (), ir.FunctionType(vector, [vector])
        )

        def spread(number: Any, type_: Any) -> Any:
            undefined = ir.Constant(type_, ir.Undefined)
            first = builder.insert_element(undefined, number, ir.Constant(int32, 0))
            return builder.shuffle_vector(first, undefined, to_all)

        factor, rate, beta_1, beta_2, epsilon, decay = (spread(s, vector) for s in scalars)
        ones = ir.Constant(vector, [1.0] * LANES)
        keep_1, keep_2 = builder.fsub(ones, beta_1), builder.fsub(ones, beta_2)
        infinite, unknown = (ir.Constant(vector, [x] * LANES) for x in (math.inf, math.nan))

        def places(start: Any) -> list[Any]:
            offset = builder.mul(start, ir.Constant(int64, 4))
            return [
                builder.inttoptr(builder.add(a, offset), vector.as_pointer()) for a in addresses
            ]

        def step(start: Any) -> tuple[Any, ...]:
            """New parameters and moments from entry `start` on, and terms of the product."""
            theta, first, second, right = (builder.load(p, align=4) for p in places(start))
            gradient = builder.call(multiply_add, [decay, theta, builder.fmul(factor, right)])
            first = builder.call(multiply_add, [beta_1, first, builder.fmul(keep_1, gradient)])
            square = builder.fmul(builder.fmul(keep_2, gradient), gradient)
            second = builder.call(multiply_add, [beta_2, second, square])
            size = builder.fadd(builder.call(root, [second]), epsilon)
            move = builder.fdiv(builder.fmul(rate, first), size)
            # A parameter whose moment has overflowed can never move again: that must be seen.
            is_sound = builder.fcmp_ordered("<", second, infinite)
            move = builder.select(is_sound, move, unknown)
            return builder.fsub(theta, move), first, second, theta, right

        def store(start: Any, new: tuple[Any, ...]) -> None:
            for value, place in zip(new[:3], places(start)[:3], strict=True):
                builder.store(value, place, align=4)

        length = ir.Constant(int64, LANES)
        n_before = builder.mul(builder.sdiv(builder.sub(n, one), length), length)
        start_of_last = builder.sub(n, length)
        last = step(start_of_last)
        n_shared = builder.trunc(builder.sub(n_before, start_of_last), int32)
        is_own = builder.icmp_signed(
            ">=", ir.Constant(numbers, list(range(LANES))), spread(n_shared, numbers)
        )
        product_of_last = builder.select(is_own, builder.fmul(last[3], last[4]), zeros)

        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("vectors", "last"))
        builder.cbranch(builder.icmp_signed(">", n_before, zero), loop, after)

        builder.position_at_end(loop)
        start, product = builder.phi(int64), builder.phi(vector)
        new = step(start)
        store(start, new)
        next_product = builder.call(multiply_add, [new[3], new[4], product])
        next_start = builder.add(start, length)
        for value, at_first, then in (
            (start, zero, next_start), (product, product_of_last, next_product),
        ):  # fmt: skip
            value.add_incoming(at_first, before)
            value.add_incoming(then, loop)
        builder.cbranch(builder.icmp_signed("<", next_start, n_before), loop, after)

        builder.position_at_end(after)
        total = builder.phi(vector)
        total.add_incoming(product_of_last, before)
        total.add_incoming(next_product, loop)
        store(start_of_last, last)
        n_left = LANES
        while n_left > 1:
            n_left //= 2
            upper = ir.Constant(numbers, [(lane + n_left) % LANES for lane in range(LANES)])
            total = builder.fadd(total, builder.shuffle_vector(total, total, upper))
        return builder.extract_element(total, ir.Constant(int32, 0))

    @intrinsic
    def adam_on_vectors(
        typing_context: Any, theta: Any, first: Any, second: Any, vector: Any, n: Any,
        factor: Any, rate: Any, beta_1: Any, beta_2: Any, epsilon: Any, decay: Any,
    ) -> Any:  # fmt: skip
        return types.float32(*[types.int64] * 5, *[types.float32] * 6), generate

    return adam_on_vectors


_adam_on_vectors_ = _adam_on_vectors()


@kernel
def adam_rank_one_(
    theta_, first_, second_, vector, n, factor, rate, beta_1, beta_2, epsilon, decay
):  # fmt: skip
    """One step of `optimizers.adam_step_` with the gradient ``factor * vector``.

    Where a second moment overflows, its parameter becomes NaN; so it does where `vector` is not
    finite, even with a factor of 0.

    Parameters
    ----------
    theta_, first_, second_ : int
        Addresses of n float32 numbers, parameters and moments; overwritten.
    vector : int
        Address of n float32 numbers.
    n : int
        At least `LANES`.
    factor, rate, beta_1, beta_2, epsilon, decay : float32

    Returns
    -------
    float32
        Dot product of `vector` and of the parameters before the step.
    """
    return _adam_on_vectors_(
        theta_, first_, second_, vector, n, factor, rate, beta_1, beta_2, epsilon, decay
    )


def _adam_without_jit(
    theta_: int, first_: int, second_: int, vector: int, n: int, factor: Any, rate: Any,
    beta_1: Any, beta_2: Any, epsilon: Any, decay: Any,
) -> Any:  # fmt: skip
    """Do as `adam_rank_one_` does."""
    theta, second, right = floats(theta_, n), floats(second_, n), floats(vector, n)
    product = dot(theta, right)
    adam_step_(
        theta, floats(first_, n), second, factor * right, rate, beta_1, beta_2, epsilon, decay
    )
    theta[~np.isfinite(second)] = np.nan
    return product


if config.DISABLE_JIT:
    adam_rank_one_ = _adam_without_jit
