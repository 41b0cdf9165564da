"""Matrix products in register tiles: how kernels call those of ``_vectors.h``."""

from fastl0._numba import jit
from fastl0._numba.jit import kernel
from fastl0.kernel_api.tiles import TILE_SHAPES

LANES, TILE_ROWS, _TILE_VECTORS = TILE_SHAPES[jit.ISA]
TILE_COLUMNS = LANES * _TILE_VECTORS


@kernel(part=True)
def matmul_(a, a_row, a_step, n_rows, b, b_row, index, n_terms, out_, out_row, n_columns):
    """Overwrite ``out[r, c]`` by the sum over k of ``a[r, k] * b[index[k], c]``.

    All matrices are given by the address of their first entry, float32, and by strides
    counted in entries; columns of b and out are adjacent. The factor b is read, and out
    written, to the end of the vector that holds the last column of each row, at most
    `tiles.PADDING` entries past it: what follows a row of out is overwritten with anything,
    unless it is the next row.

    Every entry of the result is one sum, taken in the order of its terms, however the product is
    cut into tiles: the same bits for any number of threads.

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
    jit.matmul_(a, a_row, a_step, n_rows, b, b_row, index, n_terms, out_, out_row, n_columns)
