"""The scikit-learn MLP that an estimator turns into predicts the same and is as one of its own."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import (
    make_classification,
    make_multilabel_classification,
    make_regression,
)
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastl0 import (
    HardL0MLPClassifier,
    HardL0MLPClassifierCV,
    HardL0MLPRegressor,
    HardL0MLPRegressorCV,
)
from fastl0.estimators import to_sklearn

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: With which every network deletes inputs, and few of them all but one.
SETTINGS = {
    "hidden_layer_sizes": (9, 6),
    "gate_learning_rate_init": 0.1,
    "input_price": 10.0,
    "max_iter": 10,
    "random_state": 0,
}
CLASSES = make_classification(200, 10, n_informative=6, n_classes=3, random_state=0)
TWO = make_classification(200, 10, random_state=0)
LABELS = make_multilabel_classification(200, 10, n_classes=3, random_state=0)
NUMBERS = make_regression(200, 10, n_targets=2, random_state=0)
NUMBER = NUMBERS[0], 1000.0 + NUMBERS[1][:, 0]
COUNTS = NUMBERS[0], np.floor(np.abs(NUMBERS[1]))
ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]
HAS_POISSON = "loss" in MLPRegressor().get_params()
needs_poisson = pytest.mark.skipif(not HAS_POISSON, reason="MLPRegressor has squared errors only")


def classifier(**settings):
    return HardL0MLPClassifier(**SETTINGS | settings)


def regressor(**settings):
    return HardL0MLPRegressor(**SETTINGS | settings)


def streamed(model, data, **keywords):
    for _ in range(3):
        model.partial_fit(*data, **keywords)
    return model


def named(data, dtype):
    return data[0], np.array(["fine", "worn", "broken"])[data[1]].astype(dtype)


#: Fitted estimators by what is special of them, and the rows they were fitted on.
MAKERS = {
    "binary": lambda **kw: (classifier(**kw).fit(*TWO), TWO),
    "classes": lambda **kw: (classifier(**kw).fit(*CLASSES), CLASSES),
    "multilabel": lambda **kw: (classifier(**kw).fit(*LABELS), LABELS),
    "number": lambda **kw: (regressor(**kw).fit(*NUMBER), NUMBER),
    "numbers": lambda **kw: (regressor(**kw).fit(*NUMBERS), NUMBERS),
    "counts": lambda **kw: (regressor(loss="poisson", **kw).fit(*COUNTS), COUNTS),
}
OTHERS = {
    "no hidden layer": lambda: (classifier(hidden_layer_sizes=()).fit(*CLASSES), CLASSES),
    "all inputs": lambda: (classifier(gate_inputs=False, target_size=0.9).fit(*TWO), TWO),
    "soft": lambda: (classifier(pruning="soft").fit(*TWO), TWO),
    "none": lambda: (classifier(pruning="none").fit(*TWO), TWO),
    "huber": lambda: (regressor(loss="huber").fit(*NUMBERS), NUMBERS),
    "quantile": lambda: (regressor(loss="quantile", quantile=0.9).fit(*NUMBER), NUMBER),
    "not normalised": lambda: (regressor(normalize_y=False).fit(*NUMBERS), NUMBERS),
    "weights": lambda: (
        classifier(class_weight="balanced", label_smoothing=0.1).fit(*CLASSES),
        CLASSES,
    ),
    "validation rows": lambda: (classifier().fit(*TWO, X_val=TWO[0], y_val=TWO[1]), TWO),
    "early stopping": lambda: (classifier(early_stopping=True).fit(*TWO), TWO),
    "scoring": lambda: (classifier(early_stopping=True, scoring="neg_log_loss").fit(*TWO), TWO),
    "warm start": lambda: (classifier(warm_start=True).fit(*TWO).fit(*TWO), TWO),
    "sgd": lambda: (
        classifier(solver="sgd", learning_rate="cosine", batch_size="dynamic").fit(*TWO),
        TWO,
    ),
    "random state": lambda: (classifier(random_state=np.random.RandomState(0)).fit(*TWO), TWO),
    "stream": lambda: (streamed(classifier(), TWO, classes=[0, 1]), TWO),
    "stream of labels": lambda: (streamed(classifier(), LABELS), LABELS),
    "stream of numbers": lambda: (streamed(regressor(), NUMBERS), NUMBERS),
    "stream with early stopping": lambda: (
        streamed(classifier(early_stopping=True), TWO, classes=[0, 1], X_val=TWO[0], y_val=TWO[1]),
        TWO,
    ),
    "stream that is not judged": lambda: (
        streamed(classifier(early_stopping=True), TWO, classes=[0, 1]),
        TWO,
    ),
    "stream after fit": lambda: (streamed(classifier().fit(*TWO), TWO), TWO),
    "search": lambda: (
        HardL0MLPClassifierCV(classifier(), target_sizes=[0.8, 0.5], cv=2).fit(*CLASSES),
        CLASSES,
    ),
    "search for numbers": lambda: (
        HardL0MLPRegressorCV(regressor(), target_sizes=[0.8, 0.5], cv=2).fit(*NUMBERS),
        NUMBERS,
    ),
}
if not HAS_POISSON:
    del MAKERS["counts"]
ALL = MAKERS | OTHERS


def network_of(model):
    return getattr(model, "best_estimator_", model)


def dense(y):
    return y.toarray() if sp.issparse(y) else y


def check_same(ours, theirs, X, atol=1e-6):
    """Predictions agree to 1e-6 of their size, labels and dtypes exactly."""
    a, b = ours.predict(X), theirs.predict(X)
    assert a.dtype == b.dtype
    assert type(a) is type(b)
    if not hasattr(ours, "predict_proba"):
        np.testing.assert_allclose(b, a, rtol=0, atol=atol * np.abs(a).max())
        return
    np.testing.assert_array_equal(dense(b), dense(a))
    a, b = ours.predict_proba(X), theirs.predict_proba(X)
    assert a.dtype == b.dtype
    np.testing.assert_allclose(b, a, rtol=0, atol=atol)


# --- predictions ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", MAKERS)
def test_predictions_are_the_same(name, activation, dtype):
    model, (X, y) = MAKERS[name](activation=activation)
    assert not model.support_.all()
    theirs = model.to_sklearn()
    assert type(theirs) is (MLPClassifier if hasattr(model, "classes_") else MLPRegressor)
    X = X.astype(dtype)
    check_same(model, theirs, X)
    check_same(model, theirs, sp.csr_matrix(X))
    assert theirs.score(X, y) == pytest.approx(model.score(X, y), abs=1e-6)


@pytest.mark.parametrize("name", OTHERS)
def test_whatever_it_was_trained_by(name):
    model, (X, y) = OTHERS[name]()
    theirs = model.to_sklearn()
    check_same(model, theirs, X)
    assert theirs.score(X, y) == pytest.approx(model.score(X, y), abs=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_deleted_inputs_have_rows_of_zeros(name):
    model, _ = ALL[name]()
    theirs = model.to_sklearn()
    whole = theirs.coefs_[0]
    assert whole.shape == (10, model.n_units_[1])
    assert not whole[~model.support_].any()
    np.testing.assert_array_equal(whole[model.support_], model.coefs_[0])
    assert {array.dtype for array in theirs.coefs_ + theirs.intercepts_} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "labels",
    [
        lambda y: y.astype(np.uint8),
        lambda y: (10 * y - 5).astype(np.int16),
        lambda y: y.astype(float),
        lambda y: np.array(["fine", "worn", "broken"])[y],
        lambda y: np.array(["fine", "worn", "broken"], dtype=object)[y],
        lambda y: y > 0,
        lambda y: np.array(["no", "yes"])[y % 2],
    ],
)
def test_labels_of_any_kind(labels):
    X, y = CLASSES[0], labels(CLASSES[1])
    model = classifier().fit(X, y)
    theirs = model.to_sklearn()
    check_same(model, theirs, X)
    assert theirs.classes_.dtype == model.classes_.dtype
    np.testing.assert_array_equal(theirs.classes_, model.classes_)


def test_many_classes_are_no_numbers():
    """scikit-learn warns where nearly all labels of y are different."""
    y = np.arange(200) % 60
    model = classifier(target_size=0.9).fit(CLASSES[0], y)
    check_same(model, model.to_sklearn(), CLASSES[0])


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array])
def test_sparse_labels_stay_sparse(container):
    X, y = LABELS
    model = classifier().fit(X, container(y))
    theirs = model.to_sklearn()
    assert sp.issparse(theirs.predict(X))
    np.testing.assert_array_equal(theirs.predict(X).toarray(), model.predict(X).toarray())
    np.testing.assert_allclose(theirs.predict_proba(X), model.predict_proba(X), atol=1e-6)


def test_names_of_features_are_known_and_checked():
    X = pd.DataFrame(TWO[0], columns=[f"sensor {k}" for k in range(10)])
    model = classifier().fit(X, TWO[1])
    theirs = model.to_sklearn()
    check_same(model, theirs, X)
    np.testing.assert_array_equal(theirs.feature_names_in_, model.feature_names_in_)
    with pytest.raises(ValueError, match="feature names"):
        theirs.predict(X[X.columns[::-1]])
    assert not hasattr(classifier().fit(*TWO).to_sklearn(), "feature_names_in_")


def test_a_network_that_reads_nothing():
    model, (X, _) = MAKERS["classes"]()
    model.coefs_[0][:] = 0.0
    check_same(model, model.to_sklearn(), X)
    model.coefs_[0], model.support_ = model.coefs_[0][:0], np.zeros(10, bool)
    theirs = model.to_sklearn()
    assert not theirs.coefs_[0].any()
    check_same(model, theirs, X)


# --- among scikit-learn's ------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_it_has_what_a_fitted_one_has(name):
    model, (X, y) = ALL[name]()
    theirs = model.to_sklearn()
    own = clone(theirs).fit(X, y)
    # What the solver makes anew, and what only early stopping goes back to.
    beside = {"_optimizer", "_random_state"}
    if not theirs.early_stopping:
        beside |= {"_best_coefs", "_best_intercepts"}
    assert set(vars(theirs)) >= set(vars(own)) - beside
    for key in set(vars(own)) - beside - {"feature_names_in_", "_label_binarizer"}:
        kinds = (float, np.floating) if isinstance(getattr(own, key), float) else ()
        assert isinstance(getattr(theirs, key), kinds or type(getattr(own, key))), key
    assert theirs.n_layers_ == len(theirs.coefs_) + 1 == own.n_layers_
    assert theirs.out_activation_ == own.out_activation_
    assert theirs.n_outputs_ == own.n_outputs_
    assert [c.shape for c in theirs.coefs_] == [c.shape for c in own.coefs_]
    assert (theirs.n_iter_, theirs.t_) == (network_of(model).n_iter_, network_of(model).t_)
    assert theirs.loss_curve_[-1] == theirs.loss_ == network_of(model).loss_


@pytest.mark.parametrize("name", ALL)
def test_it_is_kept_cloned_and_shown(name):
    model, (X, _) = ALL[name]()
    theirs = model.to_sklearn()
    loaded = pickle.loads(pickle.dumps(theirs))
    np.testing.assert_array_equal(loaded.predict(X), theirs.predict(X))
    assert f"hidden_layer_sizes={theirs.hidden_layer_sizes}" in repr(theirs)
    assert not hasattr(clone(theirs), "coefs_")
    theirs._validate_params()


def test_parameters_are_those_that_both_have():
    changed = {
        "activation": "tanh", "alpha": 0.01, "batch_size": 20, "beta_1": 0.8, "beta_2": 0.99,
        "epsilon": 1e-7, "learning_rate_init": 0.002, "max_iter": 7, "n_iter_no_change": 3,
        "solver": "sgd", "tol": 1e-3, "momentum": 0.5, "nesterovs_momentum": False,
        "power_t": 0.4, "shuffle": False, "validation_fraction": 0.2, "early_stopping": True,
        "warm_start": True, "learning_rate": "adaptive", "random_state": 1, "verbose": 0,
    }  # fmt: skip
    model = classifier(**changed).fit(*TWO)
    found = model.to_sklearn().get_params()
    assert {name: found[name] for name in changed} == changed
    assert found["hidden_layer_sizes"] == model.n_units_[1:-1] != (9, 6)


def test_schedules_that_it_lacks_become_its_defaults():
    theirs = OTHERS["sgd"]()[0].to_sklearn()
    assert (theirs.solver, theirs.batch_size, theirs.learning_rate) == ("sgd", "auto", "constant")


def test_parameters_set_since_the_fit_are_of_no_account_for_the_network():
    model, (X, _) = MAKERS["classes"]()
    before = model.predict_proba(X)
    model.set_params(hidden_layer_sizes=(500, 400, 300))
    np.testing.assert_allclose(model.to_sklearn().predict_proba(X), before, atol=1e-6)


@needs_poisson
def test_exponential_outputs_follow_the_network():
    model, (X, _) = MAKERS["counts"]()
    model.set_params(loss="squared_error")
    theirs = model.to_sklearn()
    assert theirs.loss == "poisson"
    check_same(model, theirs, X)
    assert MAKERS["numbers"]()[0].to_sklearn().loss == "squared_error"


def test_exponential_outputs_need_a_scikit_learn_that_has_them(monkeypatch):
    class Older(MLPRegressor):
        def get_params(self, deep=True):
            return {k: v for k, v in super().get_params(deep).items() if k != "loss"}

    monkeypatch.setattr(to_sklearn, "MLPRegressor", Older)
    model = regressor(loss="poisson").fit(*COUNTS)
    with pytest.raises(ValueError, match=r'loss="poisson" .* scikit-learn 1\.7 on, got \d'):
        model.to_sklearn()
    check_same(*(lambda m: (m, m.to_sklearn()))(regressor().fit(*NUMBERS)), NUMBERS[0])


@pytest.mark.parametrize(
    "kind",
    [HardL0MLPClassifier, HardL0MLPRegressor, HardL0MLPClassifierCV, HardL0MLPRegressorCV],
)
def test_an_unfitted_estimator_gives_none(kind):
    with pytest.raises(NotFittedError, match=f"This {kind.__name__} instance is not fitted yet"):
        kind().to_sklearn()


# --- training further ----------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_partial_fit_goes_on_and_leaves_the_original(name):
    model, (X, y) = ALL[name]()
    before = copy.deepcopy((dense(model.predict(X)), network_of(model).loss_curve_))
    theirs = model.to_sklearn().set_params(early_stopping=False, learning_rate_init=1e-9)
    n_seen, n_losses = theirs.t_, len(theirs.loss_curve_)
    theirs.best_loss_ = np.inf if theirs.best_loss_ is None else theirs.best_loss_
    theirs.partial_fit(X, y)
    if hasattr(theirs, "predict_proba"):
        np.testing.assert_allclose(theirs.predict_proba(X), model.predict_proba(X), atol=1e-4)
    else:
        np.testing.assert_allclose(
            theirs.predict(X), before[0], atol=1e-4 * np.abs(before[0]).max()
        )
    assert theirs.t_ == n_seen + len(X)
    assert len(theirs.loss_curve_) == n_losses + 1
    assert theirs.best_loss_ == theirs.loss_
    theirs.set_params(learning_rate_init=0.1, warm_start=True).fit(X, y)
    assert not np.array_equal(theirs.coefs_[-1], model.coefs_[-1])
    np.testing.assert_array_equal(dense(model.predict(X)), before[0])
    assert network_of(model).loss_curve_ == before[1]


@pytest.mark.parametrize("name", MAKERS)
def test_a_warm_start_trains_as_long_as_it_gets_better(name):
    """In its own loss, whatever the last one was in."""
    model, (X, y) = MAKERS[name](n_iter_no_change=2)
    theirs = model.to_sklearn().set_params(warm_start=True, max_iter=10, tol=0.0)
    n_before = len(theirs.loss_curve_)
    theirs.fit(X, y)
    losses = theirs.loss_curve_[n_before:]
    assert len(losses) == theirs.n_iter_ == 10
    assert losses[-1] < losses[0]
    assert theirs.best_loss_ == min(losses)


@pytest.mark.parametrize("make", [lambda: classifier(), lambda: regressor()])
def test_where_none_is_better_early_stopping_gives_it_back(make):
    data = TWO if hasattr(make(), "class_weight") else NUMBER
    model = make().set_params(early_stopping=True, warm_start=True).fit(*data)
    theirs = model.to_sklearn().set_params(learning_rate_init=0.5, tol=0.0, max_iter=5)
    assert theirs.best_validation_score_ == model.best_validation_score_
    assert theirs.validation_scores_ == model.validation_scores_
    theirs.best_validation_score_ = 2.0
    theirs.fit(*data)
    assert len(theirs.validation_scores_) > len(model.validation_scores_)
    check_same(model, theirs, data[0])


@pytest.mark.parametrize("name", ["scoring", "stream that is not judged"])
def test_scores_of_another_kind_are_not_compared(name):
    model, data = OTHERS[name]()
    theirs = model.to_sklearn().set_params(warm_start=True)
    assert theirs.best_validation_score_ == -np.inf
    theirs.fit(*data)
    assert 0.0 < theirs.best_validation_score_ <= 1.0


# --- predicting does not pay for it ----------------------------------------------------


def test_predicting_never_imports_what_only_this_takes(tmp_path):
    model, (X, _) = MAKERS["classes"]()
    (tmp_path / "model").write_bytes(pickle.dumps((model, X)))
    code = (
        "import pickle, sys; model, X = pickle.loads(open('model', 'rb').read()); "
        "model.predict(X); model.feature_importances_; "
        "needless = {'sklearn.neural_network', 'fastl0.estimators.to_sklearn', 'numba'}; "
        "assert not needless & set(sys.modules); "
        "model.to_sklearn().predict(X); assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
