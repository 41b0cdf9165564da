"""The front door on its own: what is taken as it is, what is converted, what is refused."""

import numpy as np
import pytest
import scipy.sparse as sp

from fastl0 import validation


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_readable_dtypes_come_back_as_they_are(dtype):
    X = np.ones((3, 2), dtype)
    assert validation.readable(X) is X
    S = sp.csr_array(X)
    assert validation.readable(S) is S


@pytest.mark.parametrize(
    ("dtype", "becomes"), [("f2", "f4"), (">f4", "f4"), (">f8", "f8"), (">i8", "f8"), ("g", "f8")]
)
def test_other_dtypes_are_converted(dtype, becomes):
    X = np.arange(6).reshape(3, 2).astype(dtype)
    found = validation.readable(X)
    assert found.dtype == np.dtype(becomes)
    np.testing.assert_array_equal(found, X)


@pytest.mark.parametrize("value", [1e39, -1e39])
def test_values_beyond_float32_are_refused(value):
    for X in (np.array([[value]]), sp.csr_array(np.array([[value]]))):
        with pytest.raises(ValueError, match="X must hold values within the float32 range"):
            validation.readable(X)
    validation.readable(np.array([[np.finfo(np.float32).max]], np.float64))


def test_csr_with_gaps_or_mixed_indices_is_rebuilt():
    X = sp.csr_array(np.array([[0.0, 2, 0], [1, 0, 3]]))
    gaps = sp.csr_array(X)
    gaps.indices = np.repeat(X.indices, 2)[::2]
    mixed = sp.csr_array(X)
    mixed.indptr = X.indptr.astype(np.int64)
    for odd in (gaps, mixed):
        found = validation.readable(odd)
        assert found.indices.dtype == found.indptr.dtype
        assert found.indices.flags.c_contiguous
        np.testing.assert_array_equal(found.toarray(), X.toarray())


def test_targets_are_encoded_as_small_as_they_fit():
    two = validation.encode_targets(np.array(["b", "a", "b"]))
    assert (two.n_outputs, two.out_activation, two.codes.dtype) == (1, "logistic", np.uint8)
    assert two.codes.tolist() == [[1], [0], [1]]
    three = validation.encode_targets(np.array([7, 3, 5, 3]))
    assert (three.n_outputs, three.out_activation) == (3, "softmax")
    assert three.codes.tolist() == [[2], [0], [1], [0]]
    many = validation.encode_targets(np.repeat(np.arange(257), 3))
    assert many.codes.dtype == np.int32


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_multilabel_indicators(container):
    targets = validation.encode_targets(container([[0, 1, 1], [1, 0, 0]]))
    assert targets.codes.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert targets.codes.dtype == np.uint8
    assert (targets.n_outputs, targets.multilabel) == (3, True)
    assert targets.sparse == (container is sp.csr_array)


@pytest.mark.parametrize(
    ("sizes", "expected"), [(5, [5]), ((5, 3), [5, 3]), (np.array([4, 2]), [4, 2]), ([], [])]
)
def test_hidden_widths(sizes, expected):
    assert validation.hidden_widths(sizes) == expected


@pytest.mark.parametrize("sizes", [0, -1, (3, 0), (2.0,), (True,), "ab", None])
def test_bad_hidden_widths_are_refused(sizes):
    with pytest.raises(ValueError, match="`hidden_layer_sizes` must hold ints >= 1"):
        validation.hidden_widths(sizes)


def test_droprates():
    assert validation.droprates(0.3) == (0.3, 0.3)
    assert validation.droprates([0.1, 0.6]) == (0.1, 0.6)
    for bad in (0, 1, (0.5,), (0.5, 2), "ab", None, np.nan):
        with pytest.raises(ValueError, match="`droprate_init` must be a number in"):
            validation.droprates(bad)


def test_batch_sizes():
    assert validation.batch_size("auto", 50) == 50
    assert validation.batch_size("auto", 5000) == 200
    assert validation.batch_size(np.int64(7), 7) == 7
    with pytest.raises(ValueError, match="at most the 7 training rows, got 8"):
        validation.batch_size(8, 7)


@pytest.mark.parametrize("kind", ["M8[s]", "m8[s]"])
def test_dates_are_no_numbers(kind):
    with pytest.raises(ValueError, match="X must hold numbers, got dtype"):
        validation.readable(np.zeros((2, 2), kind))


@pytest.mark.parametrize("place", ["indices", "indptr"])
@pytest.mark.parametrize("value", [-1, 3, 10**6])
def test_unsound_csr_matrices_are_refused(place, value):
    X = sp.csr_array(np.eye(3))
    getattr(X, place)[1] = value
    if (place, value) == ("indptr", 3):
        X.indptr[2] = 2
    with pytest.raises(ValueError, match="not a sound CSR matrix"):
        validation.readable(X)


def test_multilabel_values_other_than_0_and_1_are_refused():
    for low, high in ((-1, 1), (1, 2), (0, 2)):
        Y = np.where([[0, 1], [1, 0], [1, 1]], high, low)
        with pytest.raises(ValueError, match=r"y must hold 0 and 1 only.*astype"):
            validation.encode_targets(Y)


def test_a_sparse_column_holds_one_label_a_row():
    y = np.array([[0], [2], [1], [2]])
    assert validation.encode_targets(sp.csr_array(y)).codes.tolist() == y.tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [("lam", 1e39), ("alpha", 10**400), ("beta_1", 1 - 1e-9), ("epsilon", 1e-50)],
)
def test_settings_that_float32_cannot_hold_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        validation.check_float32(name, value)


def test_settings_that_float32_can_hold_pass():
    for name, value in (("lam", 1e30), ("tol", np.inf), ("beta_2", 0.9999), ("epsilon", 1e-30)):
        validation.check_float32(name, value)


@pytest.mark.parametrize("n_rows", [100, 70_000])
@pytest.mark.parametrize("odd", ["q", None])
def test_labels_of_several_kinds_are_refused_however_many_there_are(n_rows, odd):
    y = np.array([1, 2] * (n_rows // 2), dtype=object)
    y[-1] = odd
    with pytest.raises(ValueError, match=r"[Ll]abel"):
        validation.encode_targets(y)


def test_many_labels_are_encoded_as_few_are():
    rng = np.random.default_rng(0)
    for y in (rng.integers(0, 300, 140_000), rng.choice(["b", "a"], 70_000)):
        found = validation.encode_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        np.testing.assert_array_equal(found.classes, classes)
        np.testing.assert_array_equal(found.codes[:, 0], codes)
    with pytest.raises(ValueError, match="continuous"):
        validation.encode_targets(rng.random(70_000))
