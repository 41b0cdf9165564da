"""What tells one training from another."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import accuracy_score, make_scorer

from fastl0 import HardL0MLPClassifier
from fastl0.checkpoint import fingerprint
from fastl0.data.blocks import BlockReader


def settings(**changes):
    params = HardL0MLPClassifier(**changes).get_params(deep=False)
    return fingerprint.describe_settings("HardL0MLPClassifier", params)


def test_every_parameter_that_a_result_depends_on_is_told_apart():
    names = set(HardL0MLPClassifier().get_params())
    told = set(settings())
    assert told - names == {"fastl0", "estimator"}
    assert names - told == {"verbose", "checkpoint_dir", "checkpoint_interval"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((200, 100), [200, 100]),
        ((200, 100), np.array([200, 100])),
        (200, np.int16(200)),
        ({1: 2.0, 0: 1.0}, {0: np.float64(1.0), 1: 2.0}),
        (np.random.RandomState(3), np.random.RandomState(3)),
        (accuracy_score, accuracy_score),
        (make_scorer(accuracy_score), make_scorer(accuracy_score)),
        (np.str_("adam"), "adam"),
    ],
)
def test_the_same_value_in_another_guise_is_the_same(one, other):
    assert fingerprint._plain(one) == fingerprint._plain(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((200, 100), (100, 200)),
        (0.1, np.float32(0.1)),
        ({0: 1.0}, {1: 1.0}),
        (np.random.RandomState(3), np.random.RandomState(4)),
        (accuracy_score, make_scorer),
        (None, "None"),
    ],
)
def test_other_values_are_others(one, other):
    assert fingerprint._plain(one) != fingerprint._plain(other)


def test_a_random_state_that_has_been_drawn_from_is_another():
    drawn = np.random.RandomState(3)
    drawn.randint(5)
    assert fingerprint._plain(drawn) != fingerprint._plain(np.random.RandomState(3))


X = np.arange(60.0).reshape(12, 5)


@pytest.mark.parametrize(
    "changed",
    [
        X[:, :4],
        X[:11],
        X.astype(np.float32),
        X[::-1],
        X + (np.arange(60) == 33).reshape(12, 5),
        sp.csr_matrix(X),
    ],
)
def test_rows_that_differ_are_told_apart(changed):
    assert fingerprint.describe_rows(changed) != fingerprint.describe_rows(X)


@pytest.mark.parametrize("form", [np.asfortranarray, lambda X: X.copy(), lambda X: X[::1]])
def test_how_rows_lie_in_memory_makes_no_difference(form):
    assert fingerprint.describe_rows(form(X)) == fingerprint.describe_rows(X)


def test_sparse_rows_are_told_apart_by_what_they_hold():
    one = sp.csr_matrix(X)
    other = one.copy()
    other.data[7] += 1
    assert fingerprint.describe_rows(one) == fingerprint.describe_rows(one.copy())
    assert fingerprint.describe_rows(one) != fingerprint.describe_rows(other)


def test_few_rows_of_a_large_file_are_read(tmp_path):
    """A sparse file: what is not read takes no memory, and reading all of it would take long."""
    X = np.memmap(tmp_path / "X", np.float32, "w+", shape=(1_000_000, 1000))
    shown = fingerprint.describe_rows(X)
    assert shown.startswith("array (1000000, 1000) float32")
    X[-1, -1] = 1
    assert fingerprint.describe_rows(X) != shown


class Lazy:
    """An array that is in no memory, and notes which rows it is asked for."""

    def __init__(self, X, chunks=None):
        self.X, self.shape, self.dtype, self.read = X, X.shape, X.dtype, []
        if chunks:
            self.chunks = (chunks, X.shape[1])

    def __getitem__(self, rows):
        self.read.append(rows)
        return self.X[rows]


def test_of_an_x_that_is_read_by_blocks_two_blocks_are_read():
    values = np.random.default_rng(0).normal(size=(2_000_000, 2)).astype(np.float32)
    lazy = Lazy(values)
    shown = fingerprint.describe_rows(BlockReader(lazy))
    assert [(rows.start, rows.stop) for rows in lazy.read] == [(0, 131072), (1966080, 2000000)]
    assert shown == fingerprint.describe_rows(BlockReader(Lazy(values)))
    # Where blocks end decides about the order of the rows.
    assert shown != fingerprint.describe_rows(BlockReader(Lazy(values, chunks=300_000)))
    values[-1] += 1
    assert shown != fingerprint.describe_rows(BlockReader(Lazy(values)))


def test_validation_rows_are_told_apart_as_they_are_given():
    X, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    describe = fingerprint.describe_validation
    assert describe(None, None, None) is None
    assert describe(X, y, None) == describe(X.copy(), y.copy(), None)
    shown = {describe(*given) for given in ((X, y, None), (X, y, y), (-X, y, None), (Lazy(X), y))}
    assert len(shown) == 4
    assert describe(Lazy(X), y) == describe(Lazy(X.copy()), y)


def test_a_digest_is_of_dtype_and_shape_as_well():
    zeros = np.zeros(4, np.int32)
    digests = {
        fingerprint.digest_of(a)
        for a in (zeros, zeros.reshape(2, 2), zeros.astype("f4"), zeros[:3], np.ones(4, np.int32))
    }
    assert len(digests) == 5
    assert fingerprint.digest_of(zeros, None) != fingerprint.digest_of(zeros, zeros)
