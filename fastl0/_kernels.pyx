"""C core: moves bytes and changes shapes, and holds the kernels as machine code.

Owns the two jobs that must see raw memory of any kind:

* `RowSource` reads mini-batches out of the user's own array (any integer, bool or
  float32/float64 dtype, any strides, read-only, memory-mapped, or CSR) straight into
  a compact float32 block, so that X is never copied or converted as a whole;
* `pack_weights_` closes the gaps that deleted units leave in a flat weight buffer.

`train_batches` and `fill_rows_` run the kernels of ``_numba``, which are compiled for several
instruction sets when the package is built; `isa` is the one in use. What these kernels call is
here, too: the gather of rows, the meeting points of the threads of a `Team`, and a scoped switch
that flushes subnormal numbers to zero. Imports nothing of fastl0.
"""

import os

from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_STRIDES,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from libc.stdint cimport (
    int8_t,
    int16_t,
    int32_t,
    int64_t,
    uint8_t,
    uint16_t,
    uint32_t,
    uint64_t,
    uintptr_t,
)
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

cdef extern from "_team.h":
    const int TEAM_SEATS
    ctypedef struct team_state:
        int64_t closed
        int64_t wanted
        int64_t size
        int64_t late
        int64_t calling
    int64_t team_enlist(team_state *team, int64_t seat) noexcept nogil
    int64_t team_call(team_state *team) noexcept nogil
    void team_rest(team_state *team) noexcept nogil
    void team_meet(team_state *team, int64_t number, int64_t size) noexcept nogil
    int64_t team_get(int64_t *place) noexcept nogil
    void team_set(int64_t *place, int64_t value) noexcept nogil

cdef extern from "_platform.h":
    void fastl0_prefetch(const void *address) noexcept nogil
    int64_t begin_flush_to_zero() noexcept nogil
    void end_flush_to_zero(int64_t before) noexcept nogil

cdef extern from "_variants.h":
    ctypedef int32_t (*fastl0_kernel)(
        int64_t *result, void **unused, int64_t words, int64_t reals
    ) noexcept nogil
    ctypedef struct fastl0_variant:
        const char *name
        int lanes
        int rows
        int vectors
        void *matmul
        void *dot
        void *adam_rank_one
        fastl0_kernel train_batches
        fastl0_kernel fill_rows
    const fastl0_variant *fastl0_variants
    const int FASTL0_N_VARIANTS
    int fastl0_can_run(int k) noexcept nogil


ctypedef fused numeric:
    int8_t
    int16_t
    int32_t
    int64_t
    uint8_t
    uint16_t
    uint32_t
    uint64_t
    float
    double

ctypedef fused index_t:
    int32_t
    int64_t

cdef enum Dtype:
    I1, I2, I4, I8, U1, U2, U4, U8, F4, F8

DTYPES = {
    "i1": I1, "i2": I2, "i4": I4, "i8": I8,
    "u1": U1, "u2": U2, "u4": U4, "u8": U8,
    "b1": U1, "f4": F4, "f8": F8,
}

# Rows whose entries are fetched from memory before they are needed.
cdef enum:
    ROWS_AHEAD = 2
    CACHE_LINE = 64

cdef struct Part:           # as `model.encoding.PART`
    int32_t input
    int32_t is_missing      # 1 where x is NaN, else 0; the numbers below are of no account
    float start             # else (x - start) * slope, clipped; 0 where x is NaN
    float slope
    float low
    float high

cdef struct Source:
    Dtype dtype
    bint sparse
    bint wide_index         # CSR indices and indptr are int64, else int32
    bint unit_stride        # the columns of a row lie next to each other, aligned
    Py_ssize_t n_columns
    const char *data
    Py_ssize_t row_stride   # bytes
    Py_ssize_t column_stride
    const char *indices
    const char *indptr
    int32_t *position       # CSR: 1 + place of a column in the batch, 0 = not wanted;
    #                         one such map for each reader
    const Part *parts       # what columns are made of, or NULL: those of X
    double *line            # CSR with parts: a row in full, one for each reader


# --- reading rows --------------------------------------------------------------------

cdef void gather_dense(
    numeric *tag, const Source *source,         # IN
    const int32_t *rows, Py_ssize_t n_rows,     # IN
    const int32_t *columns, Py_ssize_t n_columns,  # IN, ascending
    const float *scale,                         # IN, n_columns or NULL
    float *out, Py_ssize_t out_row,             # OUT, (n_rows, n_columns), rows apart
) noexcept nogil:
    # memcpy of one element compiles to a plain load and makes unaligned data legal.
    cdef Py_ssize_t i, j
    cdef const char *row
    cdef const numeric *values
    cdef numeric value
    if source.unit_stride and n_columns == source.n_columns:
        for i in range(n_rows):
            values = <const numeric *> (source.data + rows[i] * source.row_stride)
            if scale == NULL:
                for j in range(n_columns):
                    out[j] = <float> values[j]
            else:
                for j in range(n_columns):
                    out[j] = <float> values[j] * scale[j]
            out += out_row
    elif source.unit_stride:
        for i in range(n_rows):
            values = <const numeric *> (source.data + rows[i] * source.row_stride)
            # Few entries of far-apart rows: waiting for memory is most of the cost.
            row = source.data + rows[min(i + ROWS_AHEAD, n_rows - 1)] * source.row_stride
            if scale == NULL:
                for j in range(n_columns):
                    fastl0_prefetch(<const numeric *> row + columns[j])
                    out[j] = <float> values[columns[j]]
            else:
                for j in range(n_columns):
                    fastl0_prefetch(<const numeric *> row + columns[j])
                    out[j] = <float> values[columns[j]] * scale[j]
            out += out_row
    else:
        for i in range(n_rows):
            row = source.data + rows[i] * source.row_stride
            for j in range(n_columns):
                memcpy(&value, row + columns[j] * source.column_stride, sizeof(numeric))
                out[j] = <float> value
                if scale != NULL:
                    out[j] *= scale[j]
            out += out_row


cdef void mark_dense(
    numeric *tag, const Source *source,
    const int32_t *rows, Py_ssize_t n_rows,
    const int32_t *columns, Py_ssize_t n_columns,
    uint8_t *nonzero,                               # OUT, n_columns
) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef const char *row
    cdef const numeric *values
    cdef numeric value
    for i in range(n_rows):
        row = source.data + rows[i] * source.row_stride
        if source.unit_stride:
            values = <const numeric *> row
            if n_columns == source.n_columns:
                for j in range(n_columns):
                    nonzero[j] |= values[j] != 0
            else:
                for j in range(n_columns):
                    nonzero[j] |= values[columns[j]] != 0
        else:
            for j in range(n_columns):
                memcpy(&value, row + columns[j] * source.column_stride, sizeof(numeric))
                nonzero[j] |= value != 0


cdef void visit_csr(
    numeric *tag, index_t *index_tag, const Source *source,
    const int32_t *rows, Py_ssize_t n_rows,
    const int32_t *position,
    const float *scale,
    float *out, Py_ssize_t out_row,             # ADDED TO, or NULL
    uint8_t *nonzero,                               # OUT, or NULL
) noexcept nogil:
    cdef const numeric *values = <const numeric *> source.data
    cdef const index_t *indices = <const index_t *> source.indices
    cdef const index_t *indptr = <const index_t *> source.indptr
    cdef Py_ssize_t i, k, place
    for i in range(n_rows):
        for k in range(indptr[rows[i]], indptr[rows[i] + 1]):
            place = <Py_ssize_t> position[indices[k]] - 1
            if place < 0:
                continue
            if nonzero != NULL:
                nonzero[place] |= values[k] != 0
            elif scale != NULL:
                out[i * out_row + place] += <float> values[k] * scale[place]
            else:
                out[i * out_row + place] += <float> values[k]


cdef float encode(const Part *part, float x) noexcept nogil:
    cdef double value
    if part.is_missing:
        return x != x
    if x != x:
        return 0.0
    value = (<double> x - part.start) * part.slope
    if value < part.low:
        value = part.low
    elif value > part.high:
        value = part.high
    return <float> value


cdef void gather_parts(
    numeric *tag, const Source *source,
    const int32_t *rows, Py_ssize_t n_rows,
    const int32_t *columns, Py_ssize_t n_columns,   # numbers of parts
    const float *scale, float *out, Py_ssize_t out_row,
) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef const char *row
    cdef const Part *part
    cdef numeric value
    for i in range(n_rows):
        row = source.data + rows[i] * source.row_stride
        for j in range(n_columns):
            part = &source.parts[columns[j]]
            memcpy(&value, row + part.input * source.column_stride, sizeof(numeric))
            out[j] = encode(part, <float> value)
            if scale != NULL:
                out[j] *= scale[j]
        out += out_row


cdef void gather_sparse_parts(
    numeric *tag, index_t *index_tag, const Source *source, double *line,
    const int32_t *rows, Py_ssize_t n_rows,
    const int32_t *columns, Py_ssize_t n_columns,
    const float *scale, float *out, Py_ssize_t out_row,
) noexcept nogil:
    cdef const numeric *values = <const numeric *> source.data
    cdef const index_t *indices = <const index_t *> source.indices
    cdef const index_t *indptr = <const index_t *> source.indptr
    cdef Py_ssize_t i, j, k
    cdef const Part *part
    for i in range(n_rows):
        for k in range(indptr[rows[i]], indptr[rows[i] + 1]):
            line[indices[k]] += <double> values[k]
        for j in range(n_columns):
            part = &source.parts[columns[j]]
            out[j] = encode(part, <float> line[part.input])
            if scale != NULL:
                out[j] *= scale[j]
        for k in range(indptr[rows[i]], indptr[rows[i] + 1]):
            line[indices[k]] = 0.0
        out += out_row


cdef void read_typed(
    numeric *tag, const Source *source,
    const int32_t *rows, Py_ssize_t n_rows,
    const int32_t *columns, Py_ssize_t n_columns, const int32_t *position, double *line,
    const float *scale, float *out, Py_ssize_t out_row, uint8_t *nonzero,
) noexcept nogil:
    cdef int32_t *narrow = NULL
    cdef int64_t *wide = NULL
    if source.parts != NULL:
        if not source.sparse:
            gather_parts(tag, source, rows, n_rows, columns, n_columns, scale, out, out_row)
        elif source.wide_index:
            gather_sparse_parts(tag, wide, source, line, rows, n_rows, columns, n_columns,
                                scale, out, out_row)
        else:
            gather_sparse_parts(tag, narrow, source, line, rows, n_rows, columns, n_columns,
                                scale, out, out_row)
    elif source.sparse:
        if source.wide_index:
            visit_csr(tag, wide, source, rows, n_rows, position, scale, out, out_row, nonzero)
        else:
            visit_csr(tag, narrow, source, rows, n_rows, position, scale, out, out_row, nonzero)
    elif nonzero != NULL:
        mark_dense(tag, source, rows, n_rows, columns, n_columns, nonzero)
    else:
        gather_dense(tag, source, rows, n_rows, columns, n_columns, scale, out, out_row)


cdef void read_rows(
    const Source *source, Py_ssize_t reader,
    const int32_t *rows, Py_ssize_t n_rows,
    const int32_t *columns, Py_ssize_t n_columns,
    const float *scale,
    float *out, Py_ssize_t out_row,             # OUT (n_rows, n_columns), or NULL
    uint8_t *nonzero,                               # OUT (n_columns), or NULL
) noexcept nogil:
    """Gather rows into `out`, or mark in `nonzero` the columns that hold a non-zero.

    Threads that read at the same time need different numbers as `reader`.
    """
    cdef Py_ssize_t i, j
    cdef int32_t *position = NULL
    cdef double *line = NULL
    if nonzero != NULL:
        memset(nonzero, source.parts != NULL, n_columns)
        if source.parts != NULL:  # a part is rarely zero, and nearly never in a whole mini-batch
            return
    if source.parts != NULL and source.sparse:
        line = source.line + reader * source.n_columns
    elif source.sparse:
        position = source.position + reader * (source.n_columns + 1)
        if out != NULL:
            for i in range(n_rows):
                memset(out + i * out_row, 0, n_columns * sizeof(float))
        for j in range(n_columns):
            position[columns[j]] = <int32_t> (j + 1)
    if source.dtype == F4:
        read_typed(<float *> NULL, source, rows, n_rows, columns, n_columns, position,
                   line, scale, out, out_row, nonzero)
    elif source.dtype == F8:
        read_typed(<double *> NULL, source, rows, n_rows, columns, n_columns, position,
                   line, scale, out, out_row, nonzero)
    elif source.dtype == U1:
        read_typed(<uint8_t *> NULL, source, rows, n_rows, columns, n_columns, position,
                   line, scale, out, out_row, nonzero)
    elif source.dtype == U2:
        read_typed(<uint16_t *> NULL, source, rows, n_rows, columns, n_columns, position,
                   line, scale, out, out_row, nonzero)
    elif source.dtype == U4:
        read_typed(<uint32_t *> NULL, source, rows, n_rows, columns, n_columns, position,
                   line, scale, out, out_row, nonzero)
    elif source.dtype == U8:
        read_typed(<uint64_t *> NULL, source, rows, n_rows, columns, n_columns, position,
                   line, scale, out, out_row, nonzero)
    elif source.dtype == I1:
        read_typed(<int8_t *> NULL, source, rows, n_rows, columns, n_columns, position,
                   line, scale, out, out_row, nonzero)
    elif source.dtype == I2:
        read_typed(<int16_t *> NULL, source, rows, n_rows, columns, n_columns, position,
                   line, scale, out, out_row, nonzero)
    elif source.dtype == I4:
        read_typed(<int32_t *> NULL, source, rows, n_rows, columns, n_columns, position,
                   line, scale, out, out_row, nonzero)
    else:
        read_typed(<int64_t *> NULL, source, rows, n_rows, columns, n_columns, position,
                   line, scale, out, out_row, nonzero)
    if position != NULL:
        for j in range(n_columns):
            position[columns[j]] = 0


cdef void prefetch_rows(
    const Source *source,
    const int32_t *rows, Py_ssize_t n_rows,
    const int32_t *columns, Py_ssize_t n_columns,
) noexcept nogil:
    """Fetch entries of rows into the cache; of a sparse X nothing."""
    cdef Py_ssize_t i, j
    cdef const char *row
    if source.sparse:
        return
    for i in range(n_rows):
        row = source.data + rows[i] * source.row_stride
        for j in range(n_columns):
            fastl0_prefetch(row + columns[j] * source.column_stride)


def check_csr(
    const index_t[::1] indptr, const index_t[::1] indices,
    Py_ssize_t n_stored, Py_ssize_t n_rows, Py_ssize_t n_columns,
):
    """Refuse a CSR matrix whose indices would be read out of bounds.

    Raises
    ------
    ValueError
        If `indptr` does not ascend from 0 within the stored entries, or an index is
        outside ``[0, n_columns)``.
    """
    cdef Py_ssize_t i, last
    cdef bint sound = indptr.shape[0] == n_rows + 1 and indptr[0] == 0
    if sound:
        with nogil:
            for i in range(n_rows):
                sound = sound and indptr[i] <= indptr[i + 1]
            last = indptr[n_rows]
            sound = sound and last <= indices.shape[0] and last <= n_stored
            if sound:
                for i in range(last):
                    sound = sound and indices[i] >= 0 and indices[i] < n_columns
    if not sound:
        raise ValueError(
            "X is not a sound CSR matrix: indptr must ascend from 0 to the number of stored "
            f"entries and indices lie in [0, {n_columns}). Rebuild it."
        )


cdef class RowSource:
    """A view of the user's data from which rows are gathered as float32.

    Holds the buffers of `X` for as long as it lives; copies nothing.

    Parameters
    ----------
    X : ndarray of shape (n_rows, n_columns) or CSR matrix or array
        Integer, bool, float32 or float64, native byte order; any strides. For CSR the
        indices are int32 or int64 and each row's indices are below `n_columns`.
    n_readers : int, default=1
        Threads that may read at the same time.
    parts : ndarray of `model.encoding.PART`, default=None
        What is read in place of the columns of X, see `model.encoding`; `columns` are then numbers
        of parts. None is never zero for `nonzero`.

    Attributes
    ----------
    n_rows : int
    n_columns : int
        Columns that can be read: those of X, or the parts.
    address : int
        Address of the C struct, for kernels that call `read_rows`.

    Raises
    ------
    TypeError
        If the dtype is none of the above.
    ValueError
        If `X` has not two dimensions, or more than 2**31 - 1 rows or columns, or a part is one of
        a column that is not there.
    """

    cdef Source source
    cdef Py_buffer buffers[4]
    cdef int n_buffers
    cdef readonly Py_ssize_t n_rows
    cdef readonly Py_ssize_t n_columns

    def __cinit__(self, X, Py_ssize_t n_readers=1, parts=None):
        self.n_buffers = 0
        self.source.position = NULL
        self.source.parts = NULL
        self.source.line = NULL
        code = DTYPES.get(X.dtype.str[1:])
        if code is None or not X.dtype.isnative:
            raise TypeError(
                f"X must be bool, integer, float32 or float64 in native byte order, got "
                f"{X.dtype.str}. Convert it with X.astype('float32')."
            )
        if X.ndim != 2:
            raise ValueError(f"X must have 2 dimensions, got {X.ndim}. Reshape it.")
        self.n_rows, self.n_columns = X.shape
        if max(self.n_rows, self.n_columns) > 0x7FFFFFFE:
            raise ValueError(
                f"X must have fewer than 2**31 - 1 rows and columns, got {X.shape}."
            )
        self.source.dtype = code
        self.source.n_columns = self.n_columns
        self.source.sparse = getattr(X, "format", None) == "csr"
        if hasattr(X, "indptr") and not self.source.sparse:
            raise TypeError(f"X must be an array or CSR, got {type(X)}. Use X.tocsr().")
        if self.source.sparse:
            self._hold_csr(X, n_readers)
        else:
            self._hold_dense(X)
        if parts is not None:
            self._hold_parts(parts, n_readers)

    cdef Py_buffer *_hold(self, array) except NULL:
        cdef Py_buffer *buffer = &self.buffers[self.n_buffers]
        PyObject_GetBuffer(array, buffer, PyBUF_STRIDES | PyBUF_FORMAT)
        self.n_buffers += 1
        return buffer

    cdef int _hold_dense(self, X) except -1:
        cdef Py_buffer *buffer = self._hold(X)
        self.source.data = <const char *> buffer.buf
        self.source.row_stride = buffer.strides[0]
        self.source.column_stride = buffer.strides[1]
        self.source.unit_stride = (
            (buffer.strides[1] == buffer.itemsize or self.n_columns == 1)
            and (<uintptr_t> buffer.buf) % buffer.itemsize == 0
            and buffer.strides[0] % buffer.itemsize == 0
        )
        return 0

    cdef int _hold_csr(self, X, Py_ssize_t n_readers) except -1:
        if X.indices.dtype != X.indptr.dtype or X.indices.dtype.str[1:] not in ("i4", "i8"):
            raise TypeError(
                f"CSR indices and indptr must both be int32 or both int64, got "
                f"{X.indices.dtype} and {X.indptr.dtype}. Rebuild the matrix."
            )
        for part in (X.data, X.indices, X.indptr):
            if not (part.flags.c_contiguous and part.flags.aligned):
                raise TypeError("CSR parts must be contiguous and aligned. Use X.copy().")
        check_csr(X.indptr, X.indices, X.data.shape[0], self.n_rows, self.n_columns)
        self.source.data = <const char *> self._hold(X.data).buf
        self.source.indices = <const char *> self._hold(X.indices).buf
        self.source.indptr = <const char *> self._hold(X.indptr).buf
        self.source.wide_index = X.indices.dtype.itemsize == 8
        self.source.position = <int32_t *> calloc(
            n_readers * (self.n_columns + 1), sizeof(int32_t)
        )
        if self.source.position == NULL:
            raise MemoryError(f"no memory for a map of {self.n_columns} columns")
        return 0

    cdef int _hold_parts(self, parts, Py_ssize_t n_readers) except -1:
        if parts.dtype.itemsize != sizeof(Part) or parts.ndim != 1 or len(parts) == 0:
            raise ValueError("parts must be a one-dimensional array of `model.encoding.PART`")
        if parts["input"].min() < 0 or parts["input"].max() >= self.source.n_columns:
            raise ValueError(
                f"inputs of parts must lie in [0, {self.source.n_columns}), got "
                f"{parts['input'].min()} to {parts['input'].max()}"
            )
        self.source.parts = <const Part *> self._hold(parts.copy()).buf
        if self.source.sparse:
            self.source.line = <double *> calloc(
                n_readers * self.source.n_columns, sizeof(double)
            )
            if self.source.line == NULL:
                raise MemoryError(f"no memory for a row of {self.source.n_columns} columns")
        self.n_columns = len(parts)
        return 0

    def __dealloc__(self):
        cdef int k
        for k in range(self.n_buffers):
            PyBuffer_Release(&self.buffers[k])
        free(self.source.position)
        free(self.source.line)

    @property
    def address(self):
        return <uintptr_t> &self.source

    def gather(self, rows, columns, float[:, ::1] out, scale=None):
        """Write ``X[rows][:, columns] * scale`` as float32 into `out`.

        Parameters
        ----------
        rows : int32 array of shape (n,)
            Row numbers in ``[0, n_rows)``, any order.
        columns : int32 array of shape (k,)
            Column numbers in ``[0, n_columns)``, strictly ascending.
        out : float32 array of shape (n, k)
            Overwritten.
        scale : float32 array of shape (k,), default=None
            Factor of each column.

        Raises
        ------
        IndexError
            If a row or column number is out of range or columns do not ascend.
        ValueError
            If the shapes do not agree.
        """
        cdef const int32_t[::1] r = rows
        cdef const int32_t[::1] c = columns
        cdef const float[::1] s = None
        cdef const float *factors = NULL
        self._check(r, c)
        if out.shape[0] != r.shape[0] or out.shape[1] != c.shape[0]:
            raise ValueError(
                f"out must have shape {(r.shape[0], c.shape[0])}, "
                f"got {(out.shape[0], out.shape[1])}"
            )
        if scale is not None:
            s = scale
            if s.shape[0] != c.shape[0]:
                raise ValueError(f"scale must have {c.shape[0]} entries, got {s.shape[0]}")
        if r.shape[0] == 0 or c.shape[0] == 0:
            return
        if s is not None:
            factors = &s[0]
        with nogil:
            read_rows(&self.source, 0, &r[0], r.shape[0], &c[0], c.shape[0], factors,
                      &out[0, 0], c.shape[0], NULL)

    def nonzero(self, rows, columns, uint8_t[::1] out):
        """Mark in `out` which of `columns` hold a non-zero in any of `rows`.

        Parameters and errors as in `gather`; `out` is a uint8 array of shape (k,),
        overwritten with 0 and 1.
        """
        cdef const int32_t[::1] r = rows
        cdef const int32_t[::1] c = columns
        self._check(r, c)
        if out.shape[0] != c.shape[0]:
            raise ValueError(f"out must have {c.shape[0]} entries, got {out.shape[0]}")
        if c.shape[0] == 0:
            return
        if r.shape[0] == 0:
            out[:] = 0
            return
        with nogil:
            read_rows(&self.source, 0, &r[0], r.shape[0], &c[0], c.shape[0], NULL, NULL, 0,
                      &out[0])

    def landmarks(self, columns, int32_t[::1] out):
        """Write some of `columns` into `out`, one from each cache line that they touch.

        Of parts the columns of X that they are made of.

        Parameters
        ----------
        columns : int32 array of shape (k,)
            Column numbers in ``[0, n_columns)``, strictly ascending.
        out : int32 array of shape (k,)
            Overwritten.

        Returns
        -------
        int
            How many.

        Raises
        ------
        IndexError, ValueError
            As in `nonzero`.
        """
        cdef const int32_t[::1] c = columns
        cdef Py_ssize_t j, n = 0, line, last = -1
        cdef int32_t column
        self._check(c[:0], c)
        if out.shape[0] != c.shape[0]:
            raise ValueError(f"out must have {c.shape[0]} entries, got {out.shape[0]}")
        if self.source.sparse:
            return 0
        for j in range(c.shape[0]):
            column = c[j] if self.source.parts == NULL else self.source.parts[c[j]].input
            # Of rows that begin anywhere in a line this may miss a line in some of them.
            line = abs(column * self.source.column_stride) // CACHE_LINE
            if line != last:
                out[n] = column
                n += 1
            last = line
        return n

    cdef int _check(self, const int32_t[::1] rows, const int32_t[::1] columns) except -1:
        cdef Py_ssize_t i
        cdef int32_t before = -1
        for i in range(rows.shape[0]):
            if rows[i] < 0 or rows[i] >= self.n_rows:
                raise IndexError(f"row {rows[i]} is not in [0, {self.n_rows})")
        for i in range(columns.shape[0]):
            if columns[i] <= before or columns[i] >= self.n_columns:
                raise IndexError(
                    f"columns must ascend strictly within [0, {self.n_columns}), "
                    f"got {columns[i]} after {before}"
                )
            before = columns[i]
        return 0


# --- changing shapes -----------------------------------------------------------------

def pack_weights_(float[::1] flat, const int64_t[::1] widths, const uint8_t[::1] keep):
    """Move what is kept of a flat weight buffer to its front, in place.

    Parameters
    ----------
    flat : float32 array
        For each layer in turn its weights (fan_in, fan_out) in C order, then its biases
        (fan_out). Overwritten: the first entries hold the same sequence for the kept
        units, the rest is left over.
    widths : int64 array of shape (n_layers + 1,)
        Widths before packing, inputs first.
    keep : uint8 array of shape (sum(widths),)
        Non-zero where a unit stays, inputs first.

    Returns
    -------
    int
        Number of entries kept; the caller cuts the buffer to it.

    Raises
    ------
    ValueError
        If the lengths do not agree.
    """
    cdef Py_ssize_t n_layers = widths.shape[0] - 1
    cdef Py_ssize_t layer, i, j, start, stop, fan_in, fan_out, total = 0, units = 0
    cdef Py_ssize_t read = 0, write = 0
    cdef const uint8_t *keep_in
    cdef const uint8_t *keep_out
    for layer in range(n_layers):
        total += (widths[layer] + 1) * widths[layer + 1]
    for layer in range(n_layers + 1):
        units += widths[layer]
    if flat.shape[0] != total or keep.shape[0] != units:
        raise ValueError(
            f"widths ask for {total} weights and {units} units, "
            f"got {flat.shape[0]} and {keep.shape[0]}"
        )
    if total == 0:
        return 0
    with nogil:
        keep_in = &keep[0]
        for layer in range(n_layers):
            fan_in, fan_out = widths[layer], widths[layer + 1]
            keep_out = keep_in + fan_in
            for i in range(fan_in + 1):
                # The last turn moves the biases, which have no input unit of their own.
                if i < fan_in and not keep_in[i]:
                    read += fan_out
                    continue
                j = 0
                while j < fan_out:
                    start = j
                    while j < fan_out and keep_out[j]:
                        j += 1
                    stop = j
                    if stop > start:
                        if write != read + start:
                            memmove(&flat[write], &flat[read + start],
                                    (stop - start) * sizeof(float))
                        write += stop - start
                    while j < fan_out and not keep_out[j]:
                        j += 1
                read += fan_out
            keep_in = keep_out
    return write


# --- threads --------------------------------------------------------------------------

cdef class Team:
    """Where the threads of one training meet; see ``_team.h``.

    Attributes
    ----------
    address : int
        Address of the C struct, for the functions ``fastl0_team_...`` that kernels call.
    wanted : int
        Members a team may have, the leader included; 1 to begin with.
    closed : bool
        Whether helpers shall go home as soon as no mini-batch needs them.
    calling : bool
        Whether helpers shall wait for the leader, who will call them. `team_rest` ends it.
    late : bool
        Whether the leader has waited long for a helper and goes on alone. To be reset.
    """

    #: Members a team can have, the leader included.
    most = TEAM_SEATS + 1

    cdef team_state *state

    def __cinit__(self):
        self.state = <team_state *> calloc(1, sizeof(team_state))
        if self.state == NULL:
            raise MemoryError("no memory for a team of threads")
        self.state.wanted = 1

    def __dealloc__(self):
        free(self.state)

    @property
    def address(self):
        return <uintptr_t> self.state

    @property
    def wanted(self):
        return self.state.wanted

    @wanted.setter
    def wanted(self, int64_t value):
        team_set(&self.state.wanted, value)

    @property
    def closed(self):
        return team_get(&self.state.closed) != 0

    @closed.setter
    def closed(self, bint value):
        team_set(&self.state.closed, value)

    @property
    def calling(self):
        return team_get(&self.state.calling) != 0

    @calling.setter
    def calling(self, bint value):
        team_set(&self.state.calling, value)

    @property
    def late(self):
        return self.state.late != 0

    @late.setter
    def late(self, bint value):
        self.state.late = value


# --- what kernels call ----------------------------------------------------------------

cdef public void fastl0_read_rows(
    int64_t source, int64_t reader, int64_t rows, int64_t n_rows, int64_t columns,
    int64_t n_columns, int64_t scale, int64_t out, int64_t out_row, int64_t nonzero,
) noexcept nogil:
    read_rows(<const Source *> <uintptr_t> source, reader, <const int32_t *> <uintptr_t> rows,
              n_rows, <const int32_t *> <uintptr_t> columns, n_columns,
              <const float *> <uintptr_t> scale, <float *> <uintptr_t> out, out_row,
              <uint8_t *> <uintptr_t> nonzero)


cdef public void fastl0_prefetch_rows(
    int64_t source, int64_t rows, int64_t n_rows, int64_t columns, int64_t n_columns,
) noexcept nogil:
    prefetch_rows(<const Source *> <uintptr_t> source, <const int32_t *> <uintptr_t> rows, n_rows,
                  <const int32_t *> <uintptr_t> columns, n_columns)


cdef public int64_t fastl0_team_enlist(int64_t team, int64_t seat) noexcept nogil:
    return team_enlist(<team_state *> <uintptr_t> team, seat)


cdef public int64_t fastl0_team_call(int64_t team) noexcept nogil:
    return team_call(<team_state *> <uintptr_t> team)


cdef public int64_t fastl0_team_size(int64_t team) noexcept nogil:
    return (<team_state *> <uintptr_t> team).size


cdef public void fastl0_team_rest(int64_t team) noexcept nogil:
    team_rest(<team_state *> <uintptr_t> team)


cdef public void fastl0_team_meet(int64_t team, int64_t number, int64_t size) noexcept nogil:
    team_meet(<team_state *> <uintptr_t> team, number, size)


cdef public int64_t fastl0_flush_begin() noexcept nogil:
    return begin_flush_to_zero()


cdef public void fastl0_flush_end(int64_t before) noexcept nogil:
    end_flush_to_zero(before)


def addresses():
    """Return the addresses of the C functions that kernels call, those of `isa`.

    Returns
    -------
    dict of str to int
        As ``_numba.jit`` declares them, by name less ``fastl0_``. All arguments are int64 but for
        the numbers of ``adam_rank_one``; pointers are passed as addresses, 0 for none.
    """
    return {
        "read_rows": <uintptr_t> &fastl0_read_rows,
        "prefetch_rows": <uintptr_t> &fastl0_prefetch_rows,
        "team_enlist": <uintptr_t> &fastl0_team_enlist,
        "team_call": <uintptr_t> &fastl0_team_call,
        "team_size": <uintptr_t> &fastl0_team_size,
        "team_rest": <uintptr_t> &fastl0_team_rest,
        "team_meet": <uintptr_t> &fastl0_team_meet,
        "flush_begin": <uintptr_t> &fastl0_flush_begin,
        "flush_end": <uintptr_t> &fastl0_flush_end,
        f"matmul_{isa}": <uintptr_t> variant.matmul,
        f"dot_{isa}": <uintptr_t> variant.dot,
        f"adam_rank_one_{isa}": <uintptr_t> variant.adam_rank_one,
    }


# --- the kernels ----------------------------------------------------------------------

def _can_run():
    """Names of the instruction sets that this processor has, and their tiles."""
    return {
        fastl0_variants[k].name.decode(): (
            fastl0_variants[k].lanes, fastl0_variants[k].rows, fastl0_variants[k].vectors
        )
        for k in range(FASTL0_N_VARIANTS) if fastl0_can_run(k)
    }


cdef const fastl0_variant *variant = NULL

#: Instruction sets that the kernels are built for and this processor has, from the plainest to the
#: widest, and of each the lanes, rows and vectors of its tiles.
isas = _can_run()


def _chosen():
    """Take the widest instruction set, or that of the environment variable FASTL0_ISA."""
    global variant
    name = os.environ.get("FASTL0_ISA") or next(reversed(isas))
    if name not in isas:
        raise ValueError(
            f"FASTL0_ISA must be one of {', '.join(isas)} on this processor, got {name!r}. "
            "Unset it to take the last one."
        )
    for k in range(FASTL0_N_VARIANTS):
        if fastl0_variants[k].name.decode() == name:
            variant = &fastl0_variants[k]
    return name


#: The instruction set in use.
isa = _chosen()

cdef enum:
    # Room for the arguments of a kernel; they are some fifty.
    MAX_WORDS = 96
    MAX_REALS = 16
    # As in `kernel_api.structs`.
    N_STEP_INTS = 6


cdef struct Arguments:
    int n_words
    int n_reals
    int64_t words[MAX_WORDS]
    double reals[MAX_REALS]


cdef int add_word(Arguments *arguments, int64_t value) except -1:
    if arguments.n_words == MAX_WORDS:
        raise ValueError("a kernel has too many arguments")
    arguments.words[arguments.n_words] = value
    arguments.n_words += 1
    return 0


cdef int add_words(Arguments *arguments, values) except -1:
    for value in values:
        add_word(arguments, value)
    return 0


cdef int add_step(Arguments *arguments, params) except -1:
    add_words(arguments, params[:N_STEP_INTS])
    for value in params[N_STEP_INTS:]:
        if arguments.n_reals == MAX_REALS:
            raise ValueError("a kernel has too many arguments")
        arguments.reals[arguments.n_reals] = value
        arguments.n_reals += 1
    return 0


cdef int add_order(
    Arguments *arguments, order, const int32_t[::1] rows, const uint64_t[::1] keys
) except -1:
    add_word(arguments, order.n_rows)
    add_word(arguments, <int64_t> <uintptr_t> &rows[0] if rows.shape[0] else 0)
    add_word(arguments, rows.shape[0])
    add_word(arguments, <int64_t> <uintptr_t> &keys[0] if keys.shape[0] else 0)
    add_word(arguments, keys.shape[0])
    return 0


cdef int64_t call(fastl0_kernel kernel, Arguments *arguments) noexcept nogil:
    cdef int64_t result = 0
    cdef void *unused = NULL
    kernel(&result, &unused, <int64_t> <uintptr_t> arguments.words,
           <int64_t> <uintptr_t> arguments.reals)
    return result


def train_batches(
    weights_, gates_, batch_, params, x_source, y_source, order, first,
    const float[:, ::1] uniforms, double[::1] tally_, team, seat,
):
    """Run `_numba.train_loop.train_batches` as machine code; arguments as there.

    Their types are those of `kernel_api.structs` and `kernel_api.row_order`.
    """
    cdef Arguments arguments
    cdef int64_t done
    arguments.n_words = arguments.n_reals = 0
    add_words(&arguments, weights_)
    add_words(&arguments, gates_)
    add_words(&arguments, batch_)
    add_step(&arguments, params)
    add_order(&arguments, order, order.rows, order.keys)
    add_word(&arguments, x_source)
    add_word(&arguments, y_source)
    add_word(&arguments, first)
    add_word(&arguments, uniforms.shape[0])
    add_word(&arguments, uniforms.shape[1])
    add_word(&arguments, <int64_t> <uintptr_t> &uniforms[0, 0] if uniforms.size else 0)
    add_word(&arguments, <int64_t> <uintptr_t> &tally_[0])
    add_word(&arguments, team)
    add_word(&arguments, seat)
    with nogil:
        done = call(variant.train_batches, &arguments)
    return done


def fill_rows_(order, start, int32_t[::1] rows_):
    """Run `_numba.permutation.fill_rows_` as machine code; arguments as there."""
    cdef Arguments arguments
    arguments.n_words = arguments.n_reals = 0
    add_order(&arguments, order, order.rows, order.keys)
    add_word(&arguments, start)
    add_word(&arguments, <int64_t> <uintptr_t> &rows_[0] if rows_.shape[0] else 0)
    add_word(&arguments, rows_.shape[0])
    with nogil:
        call(variant.fill_rows, &arguments)
