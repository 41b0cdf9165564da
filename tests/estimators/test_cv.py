"""`HardL0MLPClassifierCV` and `HardL0MLPRegressorCV`: the size by cross-validation."""

import pickle
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from doctests import n_failed
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification, make_regression
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, KFold, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastl0 import (
    HardL0MLPClassifier,
    HardL0MLPClassifierCV,
    HardL0MLPRegressor,
    HardL0MLPRegressorCV,
)
from fastl0.estimators.cv import _smallest_of_the_best

QUICK = HardL0MLPClassifier((100,), max_iter=10, learning_rate_init=0.003, random_state=0)
SIZES = [0.02, 0.5, 0.2]


@parametrize_with_checks(
    [
        HardL0MLPClassifierCV(
            HardL0MLPClassifier((20,), max_iter=40, learning_rate_init=0.01, random_state=0),
            target_sizes=[0.9, 0.6],
            cv=3,
        ),
        HardL0MLPRegressorCV(
            HardL0MLPRegressor((20,), max_iter=40, learning_rate_init=0.01, random_state=0),
            target_sizes=[0.9, 0.6],
            cv=3,
        ),
    ],
    expected_failed_checks=lambda _: dict.fromkeys(
        (
            "check_sample_weight_equivalence_on_dense_data",
            "check_sample_weight_equivalence_on_sparse_data",
        ),
        "folds, and mini-batches, are made of rows, whatever these weigh",
    ),
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


# --- weights -------------------------------------------------------------------------


def test_rows_are_trained_and_scored_by_their_weights(digits):
    X, y = digits
    weights = np.where(y < 5, 1.0, 0.01)
    seen = []

    def scorer(clf, X, y, sample_weight):
        seen.append((y, sample_weight))
        return clf.score(X, y, sample_weight)

    search = HardL0MLPClassifierCV(QUICK, target_sizes=[0.5], cv=2, scoring=scorer)
    search.fit(X, y, sample_weight=weights)
    assert len(seen) == 2
    for labels, taken in seen:
        np.testing.assert_array_equal(taken, np.where(labels < 5, 1.0, 0.01))
    alone = clone(QUICK).set_params(target_size=0.5).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(search.coefs_[0], alone.coefs_[0])


def test_weights_choose_another_size(digits):
    """Rows without a weight are as if they were not there."""
    X, y = digits
    weights = (np.arange(600) < 400).astype(float)
    folds = [(np.arange(200), np.arange(200, 600))]
    settings = {"target_sizes": [0.5, 0.1], "cv": folds}
    weighted = HardL0MLPClassifierCV(QUICK, **settings).fit(X, y, sample_weight=weights)
    folds = [(np.arange(200), np.arange(200, 400))]
    without = HardL0MLPClassifierCV(QUICK, **settings | {"cv": folds}).fit(X, y)
    np.testing.assert_allclose(weighted.scores_, without.scores_)


# --- numbers -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def numbers():
    return make_regression(300, 10, n_informative=4, noise=5.0, random_state=0)


def test_the_size_of_a_regressor_is_chosen(numbers):
    X, y = numbers
    reg = HardL0MLPRegressor((30,), max_iter=30, learning_rate_init=0.01, random_state=0)
    search = HardL0MLPRegressorCV(reg, target_sizes=[0.6, 0.3, 0.02], cv=3).fit(X, y)
    assert search.scores_.shape == (3, 3)
    assert search.target_size_ in (0.6, 0.3)
    assert search.n_parameters_ <= search.target_size_ * 361
    assert isinstance(search.best_estimator_, HardL0MLPRegressor)
    alone = clone(reg).set_params(target_size=search.target_size_).fit(X, y)
    np.testing.assert_array_equal(search.predict(X), alone.predict(X))
    assert search.score(X, y) == alone.score(X, y) > 0.9
    np.testing.assert_array_equal(search.center_, alone.center_)
    assert not hasattr(search, "classes_")


@pytest.mark.parametrize("columns", [1, 2])
def test_predictions_have_the_shape_of_the_targets(numbers, columns):
    X, y = numbers
    Y = y if columns == 1 else np.column_stack([y, -y])
    reg = HardL0MLPRegressor((10,), max_iter=3, random_state=0)
    search = HardL0MLPRegressorCV(reg, target_sizes=[0.6], cv=2).fit(sp.csr_array(X), Y)
    assert search.predict(X).shape == Y.shape


@pytest.mark.parametrize(
    ("search", "other"),
    [
        (HardL0MLPClassifierCV, HardL0MLPRegressor()),
        (HardL0MLPRegressorCV, HardL0MLPClassifier()),
    ],
)
def test_a_search_is_for_its_own_kind_of_network(search, other, digits):
    with pytest.raises(ValueError, match=r"'estimator' parameter of HardL0MLP.*CV must be"):
        search(other).fit(*digits)


# --- the rest ------------------------------------------------------------------------


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
        {"scoring": lambda clf, X, y: "good"},
    ):
        search = HardL0MLPClassifierCV(**{"estimator": QUICK} | settings)
        with pytest.raises(ValueError, match=r"must|should|cannot"):
            search.fit(*digits)
        assert set(vars(search)) == set(HardL0MLPClassifierCV().get_params())


@pytest.mark.parametrize("sizes", [[], 0.3, "64KiB", [2.0], [1e-6], [0.5, 0.5], ["64 XB"]])
def test_errors_about_sizes_name_the_parameter(digits, sizes):
    for kind in (HardL0MLPClassifierCV, HardL0MLPRegressorCV):
        with pytest.raises(ValueError, match=r"^(`target_sizes`|The 'target_sizes' parameter)"):
            kind(target_sizes=sizes).fit(*digits)


@pytest.mark.filterwarnings("ignore:One or more of the test scores:UserWarning")
def test_a_size_that_not_every_network_has_room_for_says_what_to_do(digits):
    search = HardL0MLPClassifierCV(QUICK, target_sizes=[0.5, 9000], cv=2)
    with pytest.raises(ValueError, match=r"^`target_sizes`.*got 9000.* In a search .* give shares"):
        search.fit(*digits)
    sizes = {"hidden_layer_sizes": [(5,), (100,)], "target_size": [1000]}
    told = r"(?s)`target_size`.*got 1000.* In a search over several widths give shares, as 0.1"
    with pytest.warns(FitFailedWarning, match=told):
        GridSearchCV(QUICK, sizes, cv=2).fit(*digits)
    GridSearchCV(QUICK, sizes | {"target_size": [0.1]}, cv=2).fit(*digits)  # no warning


# --- few rows, few classes, other numbers ------------------------------------------------


def test_a_constant_has_the_smallest_size(digits):
    y = np.full(len(digits[1]), 3)
    search = HardL0MLPClassifierCV(QUICK, target_sizes=SIZES, cv=3).fit(digits[0], y)
    assert (search.scores_ == 1.0).all()
    assert search.target_size_ == 0.02
    assert (search.classes_.tolist(), search.n_outputs_) == ([3], 1)
    assert search.predict(digits[0][:2]).tolist() == [3, 3]
    assert search.predict_proba(digits[0][:2]).tolist() == [[1.0, 0.0]] * 2


def test_a_fold_may_have_one_class_only(digits):
    rows = np.argsort(digits[1] > 4, kind="stable")
    X, y = digits[0][rows], (digits[1] > 4)[rows]
    folds = [(np.arange(200), np.arange(200, 600)), (np.arange(200, 600), np.arange(200))]
    search = HardL0MLPClassifierCV(QUICK, target_sizes=[0.5, 0.2], cv=folds).fit(X, y)
    assert search.scores_[:, 0].tolist() == [np.mean(~y[200:])] * 2
    assert search.score(X, y) > 0.7


def test_a_mini_batch_is_clipped_to_the_rows_of_a_fold(digits):
    model = clone(QUICK).set_params(batch_size=500)
    with pytest.warns(UserWarning, match="^Got `batch_size` .* larger than sample size"):
        search = HardL0MLPClassifierCV(model, target_sizes=[0.5], cv=2).fit(*digits)
    assert set(search.best_estimator_.history_["batch_size"]) == {500}  # of all 600 rows


def test_settings_and_sizes_may_be_fractions(digits):
    found, wanted = (
        HardL0MLPClassifierCV(
            clone(QUICK).set_params(alpha=as_real(Fraction(1, 1024))),
            target_sizes=[as_real(Fraction(1, 2)), as_real(Fraction(1, 4))],
            cv=2,
        ).fit(*digits)
        for as_real in (Fraction, float)
    )
    np.testing.assert_array_equal(found.scores_, wanted.scores_)
    assert found.target_sizes_ == [Fraction(1, 2), Fraction(1, 4)]


def test_a_scorer_that_gives_no_number_is_named(digits):
    search = HardL0MLPClassifierCV(QUICK, target_sizes=[0.5], cv=2, scoring=lambda *_: [1.0])
    with pytest.raises(ValueError, match=r"`scoring` must give one number.*\[1.0\].*lambda"):
        search.fit(*digits)


def test_predict_refuses_an_unfitted_search(digits):
    with pytest.raises(NotFittedError):
        HardL0MLPClassifierCV().predict(digits[0])


def test_the_docstring_example_is_true():
    assert n_failed(HardL0MLPClassifierCV, HardL0MLPRegressorCV) == 0


# --- scores --------------------------------------------------------------------------


def test_a_search_scores_by_its_scoring(search, digits):
    X, y = digits
    assert search.score(X, y) == search.best_estimator_.score(X, y)
    by_loss = HardL0MLPClassifierCV(QUICK, target_sizes=[0.5], cv=2, scoring="neg_log_loss")
    weights = np.arange(len(y)) % 3
    found = by_loss.fit(X, y).score(X, y, sample_weight=weights)
    probabilities = by_loss.predict_proba(X)
    assert found == pytest.approx(-log_loss(y, probabilities, sample_weight=weights))


def test_an_unfitted_search_has_no_score(digits):
    with pytest.raises(NotFittedError):
        HardL0MLPClassifierCV(QUICK).score(*digits)
