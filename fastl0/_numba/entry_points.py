"""The kernels that are called from outside, as C functions see them.

Numbers come in two arrays, int64 `words` (addresses included) and float64 `reals`, in the order in
which they are read here; ``_kernels.pyx`` writes them.
"""

from numba import types

from fastl0._numba.jit import doubles, fields, ints, kernel, matrix, unsigned_longs
from fastl0._numba.permutation import fill_rows_
from fastl0._numba.train_loop import train_batches
from fastl0.kernel_api.row_order import RowOrder
from fastl0.kernel_api.structs import (
    N_STEP_INTS,
    BatchPointers,
    GatePointers,
    ParamPointers,
    StepParams,
)

_N_WEIGHTS = len(ParamPointers._fields)
_N_GATES = len(GatePointers._fields)
_N_BATCH = len(BatchPointers._fields)

_weight_words, _gate_words, _batch_words, _step_words, _order_words, _call_words = (
    fields(n, types.int64) for n in (_N_WEIGHTS, _N_GATES, _N_BATCH, N_STEP_INTS, 5, 9)
)
_step_reals = fields(len(StepParams._fields) - N_STEP_INTS, types.float64)


@kernel(part=True)
def _order_at(address):
    """The order of rows: how many, and the address and length of their numbers and of the keys."""
    n_rows, rows, n_numbers, keys, n_keys = _order_words(address)
    return RowOrder(n_rows, ints(rows, n_numbers), unsigned_longs(keys, n_keys))


@kernel
def train_batches_at(words, reals):
    """`train_loop.train_batches`, of arguments in memory."""
    gates, batch = words + 8 * _N_WEIGHTS, words + 8 * (_N_WEIGHTS + _N_GATES)
    step = batch + 8 * _N_BATCH
    order = step + 8 * N_STEP_INTS
    x_source, y_source, first, n_batches, n_draws, draws, loss_sum, team, seat = _call_words(
        order + 8 * 5
    )
    return train_batches(
        ParamPointers(*_weight_words(words)),
        GatePointers(*_gate_words(gates)),
        BatchPointers(*_batch_words(batch)),
        StepParams(*_step_words(step), *_step_reals(reals)),
        x_source,
        y_source,
        _order_at(order),
        first,
        matrix(draws, n_batches, n_draws),
        doubles(loss_sum, 1),
        team,
        seat,
    )


@kernel
def fill_rows_at(words, reals):
    """`permutation.fill_rows_`, of arguments in memory: an order, start, rows and their number."""
    start, rows_, n = _fill_words(words + 8 * 5)
    fill_rows_(_order_at(words), start, ints(rows_, n))
    return 0


_fill_words = fields(3, types.int64)

#: By the name of the C function, less ``fastl0_`` and the instruction set.
ENTRY_POINTS = {"train_batches": train_batches_at, "fill_rows": fill_rows_at}
