"""Mini-batches of one row: products with a vector, and Adam on a gradient of rank one.

A stream learns one row at a time, and then nearly all time goes into memory: every weight is
read on the way forward, and read and written with its moments when it is moved. So rows of
weights are read in the order in which they lie, nothing is packed, no gradient is stored, and
units that are off are moved in the same run.
"""

import numpy as np

from fastl0._numba import jit
from fastl0._numba.jit import dot, entry, floats, ints, kernel, multiply_add

_ZERO = np.float32(0.0)


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
            out[c] = multiply_add(factor, row[c], out[c])


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
    numbers, out = ints(rows, n_rows), floats(out_, n_rows)
    for k in range(n_rows):
        out[k] = dot(entry(block, np.int64(numbers[k]) * n_columns), vector, n_columns)


@kernel(part=True)
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
        At least `tiles.MAX_LANES`.
    factor, rate, beta_1, beta_2, epsilon, decay : float32

    Returns
    -------
    float32
        Dot product of `vector` and of the parameters before the step.
    """
    return jit.adam_rank_one_(
        theta_, first_, second_, vector, n, factor, rate, beta_1, beta_2, epsilon, decay
    )
