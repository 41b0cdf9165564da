"""Tests of the encoding of labels."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from fastl0.data.class_targets import (
    ClassEncoder,
    ClassWeigher,
    encode_classes,
    encode_first_classes,
)


def test_labels_are_encoded_as_small_as_they_fit():
    two = encode_classes(np.array(["b", "a", "b"]))
    assert (two.n_outputs, two.out_activation, two.codes.dtype) == (1, "logistic", np.uint8)
    assert two.codes.tolist() == [[1], [0], [1]]
    three = encode_classes(np.array([7, 3, 5, 3]))
    assert (three.n_outputs, three.out_activation) == (3, "softmax")
    assert three.codes.tolist() == [[2], [0], [1], [0]]
    many = encode_classes(np.repeat(np.arange(257), 3))
    assert many.codes.dtype == np.int32


@pytest.mark.parametrize("label", [0, 7, True, 2.0, "no"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_class_is_one_output_whose_softmax_is_1(label, smoothing):
    one = encode_classes(np.full(5, label), smoothing)
    assert one.classes.tolist() == [label]
    assert (one.n_outputs, one.out_activation) == (1, "softmax")
    assert one.codes.tolist() == [[0]] * 5
    assert one.null_loss(None) == 0.0
    outputs = np.ones((5, 1), np.float32)
    assert one.mean_loss(outputs, None) == 0.0
    assert one.score(outputs, None) == 1.0


WORDS = np.array(["no", "yes", "no", "yes, but"])


@pytest.mark.parametrize(
    "given",
    [
        WORDS.astype(object),
        np.asarray(pd.Series(WORDS)),
        np.asarray(pd.Categorical(WORDS)),
        np.array([np.str_(word) for word in WORDS], dtype=object),
    ],
    ids=["objects", "series", "categories", "NumPy's own"],
)
def test_labels_that_are_objects_become_strings_of_numpy(given):
    found = encode_classes(given)
    assert found.classes.dtype == "<U8"
    assert found.classes.tolist() == ["no", "yes", "yes, but"]
    assert found.codes.tolist() == [[0], [1], [0], [2]]
    assert found.encode_like(given[::-1], "y").codes.tolist() == [[2], [0], [1], [0]]
    first = encode_first_classes(given[:1], given)
    assert first.classes.dtype == "<U8"
    first.check_classes([*WORDS[:3].tolist(), "yes, but"])


def test_labels_that_numpy_would_change_stay_objects():
    y = np.array(["a", "a\0", "a"], dtype=object)
    found = encode_classes(y)
    assert found.classes.tolist() == ["a", "a\0"]
    assert found.codes.tolist() == [[0], [1], [0]]


@pytest.mark.parametrize("container", [np.array, sp.csr_array])
def test_multilabel_indicators(container):
    found = encode_classes(container([[0, 1, 1], [1, 0, 0]]))
    assert found.codes.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert found.codes.dtype == np.uint8
    assert (found.n_outputs, found.multilabel) == (3, True)
    assert found.sparse == (container is sp.csr_array)


def test_multilabel_values_other_than_0_and_1_are_refused():
    for low, high in ((-1, 1), (1, 2), (0, 2)):
        Y = np.where([[0, 1], [1, 0], [1, 1]], high, low)
        with pytest.raises(ValueError, match=r"y must hold 0 and 1 only.*astype"):
            encode_classes(Y)


def test_a_sparse_column_holds_one_label_a_row():
    y = np.array([[0], [2], [1], [2]])
    assert encode_classes(sp.csr_array(y)).codes.tolist() == y.tolist()


@pytest.mark.parametrize("n_rows", [100, 70_000])
@pytest.mark.parametrize(
    ("usual", "odd", "kinds"),
    [([1, 2], "q", "int, str"), (["p", "q"], 1, "int, str"), ([1, 2], 2, "int")],
)
def test_labels_of_several_kinds_are_refused_however_many_there_are(n_rows, usual, odd, kinds):
    y = np.array(usual * (n_rows // 2), dtype=object)
    y[-1] = odd
    message = rf"y must hold labels of one kind.*objects of type {kinds}\. Convert it.*astype\(int"
    with pytest.raises(ValueError, match=message):
        encode_classes(y)


def test_many_labels_are_encoded_as_few_are():
    rng = np.random.default_rng(0)
    for y in (rng.integers(0, 300, 140_000), rng.choice(["b", "a"], 70_000)):
        found = encode_classes(y)
        classes, codes = np.unique(y, return_inverse=True)
        np.testing.assert_array_equal(found.classes, classes)
        np.testing.assert_array_equal(found.codes[:, 0], codes)
    with pytest.raises(ValueError, match="continuous"):
        encode_classes(rng.random(70_000))


def test_few_labels():
    first = encode_classes(np.array([3, 5, 9]))
    assert first.encode_trusted(np.array([9, 3])).tolist() == [[2.0, 1.0], [0.0, 1.0]]
    for y in ([9], np.array([4]), np.array([10]), np.array([9.0]), np.array([[9]])):
        assert first.encode_trusted(y) is None
    words = encode_classes(np.array(["no", "yes"]))
    assert words.encode_trusted(np.array(["yes", "no"])).tolist() == [[1.0, 1.0], [0.0, 1.0]]
    assert words.encode_trusted(np.array(["no"])) is None  # of another width


def test_weights_by_code():
    labels = encode_classes(np.array([3, 5, 3]))
    assert ClassEncoder(None, 0.0).weigher(labels) is None
    for class_weight, expected in [
        ({5: 2.0}, [1.0, 2.0, 1.0]),
        ({5: 2.0, 3: 0.0}, [0.0, 2.0, 0.0]),
    ]:
        assert ClassWeigher(labels, class_weight).weigh(labels.codes).tolist() == expected
    with pytest.raises(ValueError, match=r"`class_weight`=\{7: 2.0\} does not fit the classes"):
        ClassWeigher(labels, {7: 2.0})
    several = encode_classes(np.array([[0, 1], [1, 1]]))
    weigher = ClassWeigher(several, [{0: 2.0}, {1: 3.0}])
    assert weigher.weigh(several.codes).tolist() == [6.0, 3.0]


def test_balanced_classes_weigh_by_all_rows_so_far():
    labels = encode_classes(np.array([3, 5, 3, 3]))
    weigher = ClassEncoder("balanced", 0.0).weigher(labels)
    np.testing.assert_allclose(weigher.weigh(labels.codes), [2 / 3, 2.0, 2 / 3, 2 / 3])
    goes_on = ClassEncoder("balanced", 0.0).weigher(labels, weigher)
    np.testing.assert_allclose(goes_on.weigh(labels.codes[1:2]), [2.5 / 2])


@pytest.mark.parametrize("y", [np.zeros((4, 3)), np.zeros((4, 1, 1))])
def test_later_labels_come_in_one_column(y):
    targets = encode_classes(np.arange(4))
    with pytest.raises(ValueError, match=r"`y_val` must hold one label a row.*shape \(4,"):
        targets.encode_like(y, "y_val")
