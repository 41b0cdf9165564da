"""Tests of the encoding of y."""

import numpy as np
import pytest
import scipy.sparse as sp

from fastl0 import targets


def test_targets_are_encoded_as_small_as_they_fit():
    two = targets.encode_classes(np.array(["b", "a", "b"]))
    assert (two.n_outputs, two.out_activation, two.codes.dtype) == (1, "logistic", np.uint8)
    assert two.codes.tolist() == [[1], [0], [1]]
    three = targets.encode_classes(np.array([7, 3, 5, 3]))
    assert (three.n_outputs, three.out_activation) == (3, "softmax")
    assert three.codes.tolist() == [[2], [0], [1], [0]]
    many = targets.encode_classes(np.repeat(np.arange(257), 3))
    assert many.codes.dtype == np.int32


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_multilabel_indicators(container):
    found = targets.encode_classes(container([[0, 1, 1], [1, 0, 0]]))
    assert found.codes.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert found.codes.dtype == np.uint8
    assert (found.n_outputs, found.multilabel) == (3, True)
    assert found.sparse == (container is sp.csr_array)


def test_multilabel_values_other_than_0_and_1_are_refused():
    for low, high in ((-1, 1), (1, 2), (0, 2)):
        Y = np.where([[0, 1], [1, 0], [1, 1]], high, low)
        with pytest.raises(ValueError, match=r"y must hold 0 and 1 only.*astype"):
            targets.encode_classes(Y)


def test_a_sparse_column_holds_one_label_a_row():
    y = np.array([[0], [2], [1], [2]])
    assert targets.encode_classes(sp.csr_array(y)).codes.tolist() == y.tolist()


@pytest.mark.parametrize("n_rows", [100, 70_000])
@pytest.mark.parametrize("odd", ["q", None])
def test_labels_of_several_kinds_are_refused_however_many_there_are(n_rows, odd):
    y = np.array([1, 2] * (n_rows // 2), dtype=object)
    y[-1] = odd
    with pytest.raises(ValueError, match=r"[Ll]abel"):
        targets.encode_classes(y)


def test_many_labels_are_encoded_as_few_are():
    rng = np.random.default_rng(0)
    for y in (rng.integers(0, 300, 140_000), rng.choice(["b", "a"], 70_000)):
        found = targets.encode_classes(y)
        classes, codes = np.unique(y, return_inverse=True)
        np.testing.assert_array_equal(found.classes, classes)
        np.testing.assert_array_equal(found.codes[:, 0], codes)
    with pytest.raises(ValueError, match="continuous"):
        targets.encode_classes(rng.random(70_000))
