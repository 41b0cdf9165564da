"""`HardL0MLPClassifierCV`: the size by cross-validation."""

import doctest
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastl0.selection
from fastl0 import HardL0MLPClassifier, HardL0MLPClassifierCV
from fastl0.selection import _smallest_of_the_best

QUICK = HardL0MLPClassifier((100,), max_iter=10, learning_rate_init=0.003, random_state=0)
SIZES = [0.02, 0.5, 0.2]


@parametrize_with_checks(
    [
        HardL0MLPClassifierCV(
            HardL0MLPClassifier((20,), max_iter=40, learning_rate_init=0.01, random_state=0),
            target_sizes=[0.9, 0.6],
            cv=3,
        )
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def search(digits):
    return HardL0MLPClassifierCV(QUICK, target_sizes=SIZES, cv=3).fit(*digits)


def test_attributes_agree_with_each_other(search, digits):
    assert search.target_sizes_ == [0.5, 0.2, 0.02]
    assert search.scores_.shape == search.n_parameters_path_.shape == (3, 3)
    assert (np.diff(search.n_parameters_path_, axis=0) < 0).all()
    assert search.target_size_ in search.target_sizes_
    best = search.best_estimator_
    assert best.target_size == search.target_size_
    assert search.n_parameters_ == best.n_parameters_ <= search.target_size_ * 7510
    assert search.coefs_ is best.coefs_
    assert search.support_ is best.support_
    assert search.n_features_in_ == 64
    np.testing.assert_array_equal(search.classes_, np.arange(10))


def test_the_best_estimator_is_a_fit_on_all_rows(search, digits):
    alone = clone(QUICK).set_params(target_size=search.target_size_).fit(*digits)
    np.testing.assert_array_equal(alone.coefs_[0], search.coefs_[0])


def test_it_predicts_as_its_best_estimator(search, digits):
    X, y = digits
    best = search.best_estimator_
    np.testing.assert_array_equal(search.predict(X), best.predict(X))
    np.testing.assert_array_equal(search.predict_proba(X), best.predict_proba(X))
    np.testing.assert_array_equal(search.predict_log_proba(X), best.predict_log_proba(X))
    assert search.score(X, y) == best.score(X, y) > 0.8


def test_the_smallest_within_one_standard_error_is_chosen():
    scores = np.array([[0.90, 0.94, 0.92], [0.91, 0.95, 0.93], [0.90, 0.94, 0.93], [0.8, 0.9, 0.9]])
    assert _smallest_of_the_best(scores) == 2  # the error of the best is 0.0115
    assert _smallest_of_the_best(scores[:, :1]) == 1
    assert _smallest_of_the_best(np.ones((4, 3))) == 3
    with pytest.raises(ValueError, match=r"`scoring` must give finite scores.*nan"):
        _smallest_of_the_best(np.array([[0.5, np.nan]]))


def test_folds_in_two_processes_give_the_same(search, digits):
    other = HardL0MLPClassifierCV(QUICK, target_sizes=SIZES, cv=3, n_jobs=2).fit(*digits)
    np.testing.assert_array_equal(other.scores_, search.scores_)
    np.testing.assert_array_equal(other.coefs_[0], search.coefs_[0])


def test_folds_and_scorers_are_those_of_scikit_learn(digits):
    search = HardL0MLPClassifierCV(
        QUICK,
        target_sizes=[0.5, 0.1],
        cv=ShuffleSplit(1, test_size=0.2, random_state=0),
        scoring="neg_log_loss",
    ).fit(*digits)
    assert search.scores_.shape == (2, 1)
    assert (search.scores_ < 0).all()


def test_folds_that_lack_a_class(digits):
    X, y = digits
    order = np.argsort(y, kind="stable")
    search = HardL0MLPClassifierCV(QUICK, target_sizes=[7510, 22], cv=KFold(5))
    search.fit(X[order], y[order])
    assert (search.n_parameters_path_[0] < 7510).all()
    assert len(search.classes_) == 10


def test_feature_names_are_kept_and_checked(digits):
    X = pd.DataFrame(digits[0], columns=[f"pixel{k}" for k in range(64)])
    search = HardL0MLPClassifierCV(QUICK, target_sizes=[0.3], cv=2).fit(X, digits[1])
    assert list(search.feature_names_in_) == list(X.columns)
    search.predict(X)
    with pytest.raises(ValueError, match="feature names"):
        search.predict(X[X.columns[::-1]])
    search.fit(digits[0], digits[1])
    assert not hasattr(search, "feature_names_in_")


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_multilabel_targets_and_sparse_rows(container):
    X, Y = make_multilabel_classification(n_samples=200, n_features=10, random_state=0)
    search = HardL0MLPClassifierCV(QUICK, target_sizes=[0.5, 0.1], cv=2)
    search.fit(sp.csr_matrix(X), container(Y))
    assert search.predict(X).shape == Y.shape


def test_it_is_a_step_of_a_pipeline(digits):
    search = HardL0MLPClassifierCV(QUICK, target_sizes=[0.4], cv=2)
    assert make_pipeline(StandardScaler(), search).fit(*digits).score(*digits) > 0.8


def test_predicting_never_imports_numba_or_the_core(search, tmp_path):
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(search))
    code = (
        "import pickle, sys, numpy as np\n"
        f"clf = pickle.loads(open({str(path)!r}, 'rb').read())\n"
        "clf.predict_proba(np.zeros((1, 64), np.float32))\n"
        "assert not {'numba', 'llvmlite', 'fastl0._kernels', 'tqdm'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_bad_settings_leave_nothing(digits):
    for settings in (
        {"target_sizes": []},
        {"estimator": HardL0MLPClassifier(lam=0.1)},
        {"scoring": "brilliance"},
        {"cv": 1},
        {"cv": []},
        {"target_sizes": [0.5, 3755]},
    ):
        search = HardL0MLPClassifierCV(**{"estimator": QUICK} | settings)
        with pytest.raises(ValueError, match=r"must|should|cannot"):
            search.fit(*digits)
        assert set(vars(search)) == set(HardL0MLPClassifierCV().get_params())


def test_predict_refuses_an_unfitted_search(digits):
    with pytest.raises(NotFittedError):
        HardL0MLPClassifierCV().predict(digits[0])


def test_the_docstring_example_is_true():
    assert doctest.testmod(fastl0.selection).failed == 0
