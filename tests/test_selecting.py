"""Feature selection by the inputs that a network has kept."""

import copy

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor


@pytest.fixture(scope="module")
def selector():
    """A regressor that has kept two of five inputs, and its rows."""
    X = np.random.default_rng(0).normal(size=(300, 5))
    reg = HardL0MLPRegressor((20,), target_size=0.3, learning_rate_init=0.01, random_state=0)
    reg.fit(X, X[:, 1] - X[:, 3])
    assert reg.support_.tolist() == [False, True, False, True, False]
    return reg, X


def test_support_as_a_mask_and_as_numbers(selector):
    reg, _ = selector
    mask = reg.get_support()
    assert mask.tolist() == [False, True, False, True, False]
    assert reg.get_support(indices=True).tolist() == [1, 3]
    mask[:] = True
    assert not reg.support_.all()


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "?", "O"])
def test_arrays_keep_their_dtype(selector, dtype):
    reg, X = selector
    some = (10 * X[:7]).astype(np.int64).astype(dtype)
    found = reg.transform(some)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, some[:, [1, 3]])
    whole = reg.inverse_transform(found)
    assert whole.dtype == dtype
    assert whole.shape == (7, 5)
    np.testing.assert_array_equal(whole[:, [1, 3]], found)
    assert not whole[:, [0, 2, 4]].any()


@pytest.mark.parametrize("container", [sp.csr_array, sp.csc_matrix, sp.coo_array])
def test_sparse_rows_stay_sparse(selector, container):
    reg, X = selector
    some = np.where(np.abs(X[:20]) > 1, X[:20], 0.0)
    found = reg.transform(container(some))
    assert sp.issparse(found)
    np.testing.assert_array_equal(found.toarray(), some[:, [1, 3]])
    whole = reg.inverse_transform(found)
    assert sp.issparse(whole)
    expected = np.zeros((20, 5))
    expected[:, [1, 3]] = some[:, [1, 3]]
    np.testing.assert_array_equal(whole.toarray(), expected)
    np.testing.assert_array_equal(reg.transform(whole).toarray(), found.toarray())


def test_names_of_the_features_that_stay(selector):
    reg, X = selector
    assert reg.get_feature_names_out().tolist() == ["x1", "x3"]
    assert reg.get_feature_names_out(list("abcde")).tolist() == ["b", "d"]
    with pytest.raises(ValueError, match="input_features"):
        reg.get_feature_names_out(list("abc"))
    named = copy.deepcopy(reg)
    named.feature_names_in_ = np.array(list("pqrst"), dtype=object)
    assert named.get_feature_names_out().tolist() == ["q", "s"]
    named.set_output(transform="pandas")
    frame = named.transform(pd.DataFrame(X, columns=list("pqrst")))
    assert frame.columns.tolist() == ["q", "s"]


def test_errors(selector):
    reg, X = selector
    with pytest.raises(ValueError, match="X has 4 features"):
        reg.transform(X[:, :4])
    with pytest.raises(
        ValueError, match="X must have the 2 features that `transform` keeps, got 5"
    ):
        reg.inverse_transform(X)
    for call in ("get_support", "get_feature_names_out"):
        with pytest.raises(NotFittedError):
            getattr(HardL0MLPRegressor(), call)()
    for call in ("transform", "inverse_transform"):
        with pytest.raises(NotFittedError):
            getattr(HardL0MLPRegressor(), call)(X)


def test_a_pipeline_selects_and_learns_from_what_stays():
    X = np.random.default_rng(0).normal(size=(300, 8))
    y = (X[:, 2] > 0).astype(int)
    selector = HardL0MLPClassifier((20,), target_size=0.2, random_state=0)
    model = make_pipeline(selector, LogisticRegression()).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model[-1].coef_.shape[1] == model[0].support_.sum() < 8
