"""Reading rows of any X, and packing weight buffers: the C core against NumPy."""

import ctypes
import gc
import threading
import tracemalloc
import weakref

import naive
import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix

from fastl0._kernels import RowSource, addresses, pack_weights_

DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]
N_ROWS, N_COLUMNS = 23, 17
SUBSETS = {
    "all": np.arange(N_COLUMNS),
    "some": np.array([0, 3, 4, 11, 16]),
    "one": np.array([5]),
    "none": np.array([], int),
}


def values(dtype, n_rows=N_ROWS, n_columns=N_COLUMNS, seed=0):
    """Numbers over the dtype's range, a third of them 0, whole columns too."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    shape = (n_rows, n_columns)
    if dtype.kind == "f":
        X = rng.normal(0, 100, shape)
    elif dtype.kind == "b":
        X = rng.random(shape) < 0.5
    else:
        info = np.iinfo(dtype)
        X = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    X = X.astype(dtype)
    X[rng.random(shape) < 0.3] = 0
    X[:, rng.random(n_columns) < 0.2] = 0
    return X


def int32(array):
    return np.asarray(array, dtype=np.int32)


def gather(X, rows, columns, scale=None):
    source = RowSource(X)
    out = np.full((len(rows), len(columns)), np.nan, np.float32)
    source.gather(int32(rows), int32(columns), out, scale)
    return out


def nonzero(X, rows, columns):
    out = np.full(len(columns), 7, np.uint8)
    RowSource(X).nonzero(int32(rows), int32(columns), out)
    return out


def assert_reads(X, dense=None):
    """Compare with NumPy: all rows and repeated ones, all columns and subsets, scaled or not."""
    dense = np.asarray(X) if dense is None else dense
    rng = np.random.default_rng(1)
    n_rows, n_columns = dense.shape
    for rows in (np.arange(n_rows), rng.integers(n_rows, size=2 * n_rows), [n_rows - 1], []):
        for columns in SUBSETS.values():
            columns = columns[columns < n_columns]
            rows = int32(rows)
            np.testing.assert_array_equal(
                gather(X, rows, columns), naive.gather(dense, rows, columns)
            )
            scale = rng.normal(size=len(columns)).astype(np.float32)
            np.testing.assert_array_equal(
                gather(X, rows, columns, scale), naive.gather(dense, rows, columns, scale)
            )
            expected = (dense[rows][:, columns] != 0).any(axis=0)
            np.testing.assert_array_equal(nonzero(X, rows, columns), expected)


# --- dense ---------------------------------------------------------------------------


def in_a_record(X):
    """A field of a packed record: no entry is aligned."""
    records = np.zeros(X.shape, dtype=np.dtype([("pad", "u1"), ("x", X.dtype)]))
    records["x"] = X
    return records["x"]


def unaligned(X):
    """Rows of adjacent entries that begin at an odd address."""
    raw = np.zeros(X.nbytes + 1, np.uint8)[1:]
    moved = raw.view(X.dtype).reshape(X.shape)
    moved[:] = X
    return moved


def padded(X):
    """Rows of adjacent entries, a number of bytes apart that is not a multiple of theirs."""
    rows = np.zeros(len(X), dtype=np.dtype([("x", X.dtype, X.shape[1:]), ("pad", "u1")]))
    rows["x"] = X
    return rows["x"]


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "transposed": lambda X: np.ascontiguousarray(X.T).T,
    "every_other_row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "every_other_column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "steps_backwards": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::-3],
    "upside_down": lambda X: X[::-1],
    "mirrored": lambda X: X[:, ::-1],
    "one_row_repeated": lambda X: np.broadcast_to(X[3], X.shape),
    "one_column_repeated": lambda X: np.broadcast_to(X[:, 3:4], X.shape),
    "one_number_repeated": lambda X: np.broadcast_to(X[2, 2], X.shape),
    "read_only": read_only,
    "in_a_record": in_a_record,
    "unaligned": unaligned,
    "padded": padded,
    "one_column": lambda X: X[:, 4:5],
    "one_row": lambda X: X[4:5],
    "window": lambda X: np.lib.stride_tricks.sliding_window_view(X[:, 0], N_COLUMNS),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_rows_of_any_dtype_and_layout_read_as_numpy_reads_them(dtype, layout):
    assert_reads(LAYOUTS[layout](values(dtype)))


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_memory_mapped_file_reads_as_numpy_reads_it(tmp_path, dtype, order):
    np.save(tmp_path / "X.npy", values(dtype).copy(order))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert isinstance(X, np.memmap)
    assert_reads(X)


def test_infinite_numbers_nan_and_negative_zero_read_as_they_are():
    X = np.array([[np.inf, -np.inf, np.nan, -0.0, 1e-45]])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(gather(X, [0], range(5)), X.astype(np.float32))
    np.testing.assert_array_equal(nonzero(X, [0], range(5)), [1, 1, 1, 0, 1])


# --- CSR -----------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [csr_array, csr_matrix])
def test_csr_rows_of_any_dtype_read_as_dense_ones(dtype, index, kind):
    dense = values(dtype)
    dense[[0, 7, 22]] = 0
    X = kind(dense)
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    assert_reads(X, dense)


@pytest.mark.parametrize("index", ["i4", "i8"])
def test_csr_entries_may_be_unsorted_repeated_and_zero(index):
    data = np.array([1.0, 2, 4, 8, 16, 0, 32])
    indices = np.array([4, 1, 4, 0, 4, 2, 3], index)
    indptr = np.array([0, 3, 3, 6, 7], index)
    X = csr_array((data, indices, indptr), shape=(4, 6))
    dense = np.array(
        [[0, 2, 0, 0, 5, 0], [0, 0, 0, 0, 0, 0], [8, 0, 0, 0, 16, 0], [0, 0, 0, 32, 0, 0]]
    )
    assert_reads(X, dense)


def test_an_empty_csr_matrix_reads_as_zeros():
    assert_reads(csr_array((4, 6)), np.zeros((4, 6)))


def test_read_only_csr_parts_are_fine():
    X = csr_array(values("f4"))
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    assert_reads(X, X.toarray())


def test_columns_wanted_earlier_do_not_linger():
    dense = values("f4")
    source = RowSource(csr_array(dense))
    rows = np.arange(N_ROWS, dtype=np.int32)
    for columns in (np.arange(N_COLUMNS), np.array([3, 9]), np.array([4])):
        out = np.empty((N_ROWS, len(columns)), np.float32)
        source.gather(rows, int32(columns), out)
        np.testing.assert_array_equal(out, dense[:, columns])


# --- threads ---------------------------------------------------------------------------


def read_rows(source, reader, rows, columns, out):
    """Call the entry point of the kernels; Python's other threads run meanwhile."""
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 10)(addresses()["read_rows"])
    call(
        *(source.address, reader, rows.ctypes.data, len(rows), columns.ctypes.data, len(columns)),
        *(0, out.ctypes.data, out.shape[1], 0),
    )


@pytest.mark.parametrize("make", [np.asarray, csr_array], ids=["dense", "csr"])
def test_rows_may_be_read_apart(make):
    dense, rows, columns = values("f4"), int32([4, 0, 4]), int32([3, 4, 11])
    out = np.full((3, 7), np.nan, np.float32)
    read_rows(RowSource(make(dense)), 0, rows, columns, out)
    np.testing.assert_array_equal(out[:, :3], naive.gather(dense, rows, columns))
    assert np.isnan(out[:, 3:]).all()


@pytest.mark.parametrize("make", [np.asarray, csr_array], ids=["dense", "csr"])
def test_several_threads_read_different_columns_at_the_same_time(make):
    dense = values("f4", 2000, 50)
    source, rows = RowSource(make(dense), 4), int32(np.arange(2000))
    wrong = []

    def read(reader):
        columns = int32(np.arange(reader, 50, reader + 1))
        expected, out = dense[:, columns], np.empty((2000, len(columns)), np.float32)
        for _ in range(50):
            out[:] = np.nan
            read_rows(source, reader, rows, columns, out)
            wrong.append(not np.array_equal(out, expected))

    readers = [threading.Thread(target=read, args=[reader]) for reader in range(4)]
    for thread in readers:
        thread.start()
    for thread in readers:
        thread.join(60)
    assert len(wrong) == 200
    assert not any(wrong)


# --- landmarks -------------------------------------------------------------------------


def landmarks(X, columns):
    out = np.full(len(columns), -1, np.int32)
    n = RowSource(X).landmarks(int32(columns), out)
    return out[:n].tolist()


@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
@pytest.mark.parametrize("step", [1, 3, -1])
def test_landmarks_are_the_first_column_in_each_cache_line(dtype, step):
    X = np.zeros((2, 500), dtype)[:, ::step]
    columns = np.flatnonzero(np.random.default_rng(0).random(X.shape[1]) < 0.3)
    lines = abs(columns * X.strides[1]) // 64
    firsts = columns[np.unique(lines, return_index=True)[1]]
    assert landmarks(X, columns) == firsts.tolist()


def test_no_columns_and_sparse_data_have_no_landmarks():
    assert landmarks(values("f4"), []) == []
    assert landmarks(csr_array(values("f4")), [0, 3]) == []


def test_landmarks_refuse_columns_out_of_range_and_other_lengths():
    source = RowSource(values("f4"))
    with pytest.raises(IndexError, match="ascend"):
        source.landmarks(int32([0, N_COLUMNS]), np.zeros(2, np.int32))
    with pytest.raises(ValueError, match="out must have 2 entries, got 1"):
        source.landmarks(int32([0, 1]), np.zeros(1, np.int32))


# --- refusals ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["f2", "g", "c8", "c16", "O", "S3", "U3", "M8[s]", "m8[s]", ">f4", ">i8", "f4,i4"]
)
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="X must be bool, integer, float32 or float64"):
        RowSource(np.zeros((2, 2), dtype))


@pytest.mark.parametrize("shape", [(), (4,), (2, 2, 2)])
def test_other_than_two_dimensions_are_refused(shape):
    with pytest.raises(ValueError, match="2 dimensions"):
        RowSource(np.zeros(shape))


@pytest.mark.parametrize("shape", [(2**31 - 1, 1), (1, 2**31 - 1)])
def test_more_rows_or_columns_than_int32_numbers_are_refused(shape):
    with pytest.raises(ValueError, match="fewer than"):
        RowSource(np.broadcast_to(np.float32(0), shape))


BAD_CSR = {
    "index_too_high": ([1.0, 2], [0, 3], [0, 1, 2]),
    "index_negative": ([1.0, 2], [0, -1], [0, 1, 2]),
    "indptr_falls": ([1.0, 2], [0, 1], [0, 2, 1]),
    "indptr_falls_between": ([1.0, 2], [0, 1], [0, 900, 2]),
    "indptr_starts_late": ([1.0, 2], [0, 1], [1, 1, 2]),
    "indptr_negative": ([1.0, 2], [0, 1], [-1, 1, 2]),
    "indptr_dips_below_its_start": ([1.0, 2], [0, 1], [0, -1, 2]),
    "indptr_too_long": ([1.0, 2], [0, 1], [0, 1, 2, 2]),
    "indptr_too_short": ([1.0, 2], [0, 1], [0, 2]),
    "indptr_empty": ([1.0, 2], [0, 1], []),
    "more_promised_than_indices": ([1.0, 2, 3], [0, 1], [0, 1, 3]),
    "more_promised_than_data": ([1.0], [0, 1], [0, 1, 2]),
}


@pytest.mark.parametrize("index", ["i4", "i8"])
@pytest.mark.parametrize("fault", BAD_CSR)
def test_unsound_csr_matrices_are_refused(fault, index):
    X = csr_array((2, 3))
    data, indices, indptr = BAD_CSR[fault]
    X.data = np.array(data)
    X.indices, X.indptr = np.array(indices, index), np.array(indptr, index)
    with pytest.raises(ValueError, match="not a sound CSR matrix"):
        RowSource(X)


@pytest.mark.parametrize(
    ("indices", "indptr"), [("i4", "i8"), ("i8", "i4"), ("i2", "i2"), ("u4", "u4"), ("f8", "f8")]
)
def test_other_index_dtypes_are_refused(indices, indptr):
    X = csr_array(values("f4"))
    X.indices, X.indptr = X.indices.astype(indices), X.indptr.astype(indptr)
    with pytest.raises(TypeError, match="int32 or both int64"):
        RowSource(X)


def test_csr_parts_with_gaps_are_refused():
    X = csr_array(values("f4"))
    X.data = np.repeat(X.data, 2)[::2]
    with pytest.raises(TypeError, match="contiguous"):
        RowSource(X)


@pytest.mark.parametrize("make", [np.asarray, csr_array], ids=["dense", "csr"])
@pytest.mark.parametrize(
    ("rows", "columns"),
    [
        ([-1], [0]),
        ([N_ROWS], [0]),
        ([0, 2**31 - 1], [0]),
        ([0], [-1]),
        ([0], [N_COLUMNS]),
        ([0], [1, 1]),
        ([0], [2, 1]),
        ([0], [0, -5]),
    ],
)
def test_rows_and_columns_out_of_range_or_order_are_refused(make, rows, columns):
    X = make(values("f4"))
    with pytest.raises(IndexError):
        gather(X, rows, columns)
    with pytest.raises(IndexError):
        nonzero(X, rows, columns)


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (3, 1), (0, 0), (6,)])
def test_out_of_another_shape_is_refused(shape):
    source = RowSource(values("f4"))
    with pytest.raises(ValueError, match=r"out must|dimensions"):
        source.gather(int32([0, 1, 2]), int32([0, 1]), np.empty(shape, np.float32))
    with pytest.raises(ValueError, match="out must"):
        source.nonzero(int32([0, 1, 2]), int32([0, 1]), np.empty(3, np.uint8))


def test_scale_of_another_length_is_refused():
    with pytest.raises(ValueError, match="scale must have 2 entries, got 3"):
        gather(values("f4"), [0], [0, 1], np.ones(3, np.float32))


@pytest.mark.parametrize("number", range(4))
def test_arguments_of_other_dtypes_are_refused(number):
    arguments = [int32([0]), int32([0]), np.empty((1, 1), np.float32), np.ones(1, np.float32)]
    arguments[number] = arguments[number].astype(float)
    with pytest.raises(ValueError, match="dtype mismatch"):
        RowSource(values("f4")).gather(*arguments)


def test_a_read_only_out_is_refused():
    out = read_only(np.empty((1, 1), np.float32))
    with pytest.raises(ValueError, match="read-only"):
        RowSource(values("f4")).gather(int32([0]), int32([0]), out)


# --- memory --------------------------------------------------------------------------


class Array(np.ndarray):
    """An ndarray that can be watched through a weak reference wherever it is held."""


def test_a_source_keeps_dense_data_alive_and_lets_go_of_it():
    X = values("f4").view(Array)
    alive = weakref.ref(X)
    source, expected = RowSource(X), np.array(X)
    del X
    gc.collect()
    assert alive() is not None
    out = np.empty(expected.shape, np.float32)
    source.gather(np.arange(N_ROWS, dtype=np.int32), np.arange(N_COLUMNS, dtype=np.int32), out)
    np.testing.assert_array_equal(out, expected)
    del source
    gc.collect()
    assert alive() is None


def test_a_source_keeps_the_parts_of_csr_data_alive_and_lets_go_of_them():
    X = csr_array(values("f4"))
    expected = X.toarray()
    parts = [weakref.ref(part) for part in (X.data, X.indices, X.indptr)]
    source = RowSource(X)
    del X
    gc.collect()
    assert all(part() is not None for part in parts)
    out = np.empty(expected.shape, np.float32)
    source.gather(np.arange(N_ROWS, dtype=np.int32), np.arange(N_COLUMNS, dtype=np.int32), out)
    np.testing.assert_array_equal(out, expected)
    del source
    gc.collect()
    assert all(part() is None for part in parts)


def test_a_refused_matrix_is_let_go_of():
    X = csr_array(values("f4"))
    X.indices[0] = 99
    data = weakref.ref(X.data)
    with pytest.raises(ValueError, match="sound"):
        RowSource(X)
    del X
    gc.collect()
    assert data() is None


BIG = (12_500, 1000)


@pytest.mark.parametrize(
    "make",
    [lambda: np.ones(BIG, np.float32), lambda: np.ones(BIG[::-1], np.int32).T],
    ids=["rows", "columns"],
)
def test_reading_copies_nothing(make):
    X = make()
    assert X.nbytes == 50_000_000
    rows, columns = np.arange(0, 12_500, 100, dtype=np.int32), np.arange(1000, dtype=np.int32)
    out, marks = np.empty((len(rows), 1000), np.float32), np.empty(1000, np.uint8)
    tracemalloc.start()
    try:
        source = RowSource(X)
        source.gather(rows, columns, out)
        source.nonzero(rows, columns, marks)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000


# --- packing -------------------------------------------------------------------------


WIDTHS = [(1, 1), (7, 1), (1, 5), (5, 3, 2), (13, 1, 7), (31, 17, 11, 5), (4, 3, 3, 2, 2)]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_packing_keeps_what_boolean_indexing_keeps(widths, seed):
    rng = np.random.default_rng(seed)
    keep = [rng.random(width) < rng.random() for width in widths]
    flat = rng.normal(size=sum((a + 1) * b for a, b in zip(widths, widths[1:], strict=False)))
    flat = flat.astype(np.float32)
    expected = naive.pack_weights(flat, widths, keep)
    n_kept = pack_weights_(flat, np.array(widths), np.concatenate(keep).view(np.uint8))
    np.testing.assert_array_equal(flat[:n_kept], expected)


@pytest.mark.parametrize("kept", [True, False])
def test_packing_everything_or_nothing(kept):
    flat = np.arange(4 * 3 + 4 * 2, dtype=np.float32)
    n_kept = pack_weights_(flat, np.array([3, 3, 2]), np.full(8, kept, np.uint8))
    assert n_kept == (20 if kept else 0)
    np.testing.assert_array_equal(flat, np.arange(20))


def test_packing_takes_any_number_but_zero_for_keep():
    flat = np.arange(4, dtype=np.float32)
    assert pack_weights_(flat, np.array([1, 2]), np.array([255, 0, 2], np.uint8)) == 2
    np.testing.assert_array_equal(flat[:2], [1, 3])


def test_packing_an_empty_buffer_keeps_nothing():
    assert pack_weights_(np.zeros(0, np.float32), np.array([5]), np.ones(5, np.uint8)) == 0


@pytest.mark.parametrize(("n_flat", "n_keep"), [(19, 8), (21, 8), (20, 7), (20, 9), (0, 0)])
def test_packing_refuses_lengths_that_disagree(n_flat, n_keep):
    flat, keep = np.zeros(n_flat, np.float32), np.ones(n_keep, np.uint8)
    with pytest.raises(ValueError, match="widths ask for 20 weights and 8 units"):
        pack_weights_(flat, np.array([3, 3, 2]), keep)
