"""Inputs as parts, in NumPy and in the C core."""

import numpy as np
import pytest
import scipy.sparse as sp

from fastl0._kernels import RowSource
from fastl0.model.encoding import N_BINS, PART, encode, place_parts

DTYPES = ["i1", "u1", "i2", "i4", "u8", "f4", "f8", "?"]


def table(n_rows=200, seed=0):
    """A number, one of many ties, a flag, a constant, and one that is missing here and there."""
    rng = np.random.default_rng(seed)
    X = np.column_stack(
        [
            rng.normal(3.0, 2.0, n_rows),
            rng.exponential(size=n_rows) * (rng.random(n_rows) < 0.4),
            rng.random(n_rows) < 0.3,
            np.full(n_rows, 7.0),
            rng.normal(size=n_rows),
        ]
    )
    X[rng.random(n_rows) < 0.2, 4] = np.nan
    return X


def encoded(X, parts, dtype=np.float64):
    return encode(X, parts, parts["input"].astype(np.intp), dtype)


def gathered(X, parts, columns=None, scale=None, n_readers=1):
    source = RowSource(X, n_readers, parts)
    rows = np.arange(X.shape[0], dtype=np.int32)
    columns = np.arange(len(parts), dtype=np.int32) if columns is None else columns
    out = np.full((len(rows), len(columns)), np.nan, np.float32)
    source.gather(rows, columns, out, scale)
    return out


# --- which parts -------------------------------------------------------------------------


def test_an_input_becomes_itself_its_bins_and_whether_it_is_missing():
    parts = place_parts(table())
    n_parts = np.bincount(parts["input"])
    assert n_parts[0] == 1 + N_BINS
    assert 2 < n_parts[1] < 1 + N_BINS  # more than half of its quantiles are 0
    assert n_parts[2] == n_parts[3] == 1
    assert n_parts[4] == 1 + N_BINS + 1
    assert np.flatnonzero(parts["is_missing"]).tolist() == [len(parts) - 1]
    assert np.all(np.diff(parts["input"]) >= 0)


def test_parts_are_standardised():
    X = table()
    found = encoded(X, place_parts(X))[:, :-1]
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-7)
    # A constant has no spread, and values that are missing lie in the middle.
    spread = found.std(axis=0)
    constant = place_parts(X)["input"][:-1] == 3
    assert spread[constant] == 0
    there = ~np.isnan(X[:, 4])
    of_last = place_parts(X)["input"][:-1] == 4
    np.testing.assert_allclose(spread[~constant & ~of_last], 1, rtol=1e-6)
    np.testing.assert_allclose(found[there][:, of_last].std(axis=0), 1, rtol=1e-6)


def test_a_sum_of_parts_is_any_function_that_is_linear_in_each_bin():
    x = np.sort(np.random.default_rng(0).normal(size=500))
    parts = place_parts(x[:, None])
    edges = np.quantile(x, np.linspace(0, 1, N_BINS + 1), method="inverted_cdf")
    wanted = np.interp(x, edges, np.random.default_rng(1).normal(size=N_BINS + 1))
    columns = np.column_stack([np.ones(500), encoded(x[:, None], parts)])
    weights, *_ = np.linalg.lstsq(columns, wanted, rcond=None)
    np.testing.assert_allclose(columns @ weights, wanted, atol=1e-6)


def test_few_different_values_are_edges_however_rare():
    x = np.repeat([0.0, 1.0, 2.0, 5.0], [997, 1, 1, 1])[:, None]
    parts = place_parts(x)
    assert len(parts) == 1 + 3
    assert len(np.unique(encoded(x, parts), axis=0)) == 4


def test_a_weight_is_a_row_that_is_there_so_many_times():
    X, weights = table(), np.random.default_rng(1).integers(0, 4, 200)
    found = place_parts(X, weights.astype(float))
    expected = place_parts(np.repeat(X, weights, axis=0))
    for name in PART.names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("scale", [1e-44, 1e-38, 1e-30, 1e30, 3e37])
def test_parts_of_inputs_of_any_scale_are_finite(scale):
    X = (scale * np.random.default_rng(0).normal(size=(50, 1))).astype(np.float32)
    parts = place_parts(X)
    for name in ("start", "slope"):
        assert np.isfinite(parts[name]).all()
    found = encoded(X, parts)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(gathered(X, parts), found.astype(np.float32))


def test_an_input_that_is_always_missing_reads_as_zero_and_as_missing():
    X = np.full((5, 1), np.nan)
    parts = place_parts(X)
    np.testing.assert_array_equal(encoded(X, parts), [[0.0, 1.0]] * 5)
    np.testing.assert_array_equal(encoded(np.array([[3.0]]), parts), [[0.0, 0.0]])


# --- the C core --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_core_computes_the_same_parts_of_every_dtype(dtype):
    X = np.nan_to_num(table()) if dtype[0] not in "f" else table()
    X = (X * 10 if dtype != "?" else X > 0.5).astype(dtype)
    parts = place_parts(X.astype(float))
    wide = np.zeros((X.shape[0], 2 * X.shape[1] + 1), dtype)
    wide[:, 1::2] = X
    for some in (X, np.asfortranarray(X), wide[:, 1::2], X[::-1]):
        expected = encoded(some, parts, np.float32)
        np.testing.assert_array_equal(gathered(some, parts), expected)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_the_core_computes_the_same_parts_of_sparse_rows(index):
    X = table()
    sparse = sp.csr_array(X)
    sparse.indices, sparse.indptr = sparse.indices.astype(index), sparse.indptr.astype(index)
    parts = place_parts(X)
    for _ in range(2):  # nothing of a row is left behind
        np.testing.assert_array_equal(gathered(sparse, parts), encoded(X, parts, np.float32))


def test_some_parts_can_be_read_and_scaled():
    X = table()
    parts = place_parts(X)
    columns = np.array([0, 3, 4, 12, len(parts) - 1], np.int32)
    scale = np.linspace(0.5, 1.5, 5).astype(np.float32)
    expected = encoded(X, parts, np.float32)[:, columns] * scale
    for some in (X, sp.csr_array(X)):
        np.testing.assert_array_equal(gathered(some, parts, columns, scale), expected)


def test_no_part_passes_for_a_column_of_zeros():
    X = np.zeros((4, 3), np.float32)
    parts = place_parts(table()[:, :3])
    columns, marks = np.arange(len(parts), dtype=np.int32), np.zeros(len(parts), np.uint8)
    for some in (X, sp.csr_array(X)):
        marks[:] = 0
        RowSource(some, 1, parts).nonzero(np.arange(4, dtype=np.int32), columns, marks)
        assert marks.all()


def test_landmarks_are_columns_of_x():
    X = table()
    parts = place_parts(X)
    source, out = RowSource(X, 1, parts), np.zeros(len(parts), np.int32)
    n = source.landmarks(np.arange(len(parts), dtype=np.int32), out)
    assert out[:n].tolist() == [0]  # five numbers of eight bytes share a cache line


def test_parts_of_columns_that_are_not_there_are_refused():
    X = table()
    parts = place_parts(X)
    with pytest.raises(ValueError, match=r"\[0, 4\)"):
        RowSource(X[:, :4], 1, parts)
    with pytest.raises(ValueError, match="PART"):
        RowSource(X, 1, np.zeros(3))
    with pytest.raises(IndexError):
        gathered(X, parts, np.array([len(parts)], np.int32))
