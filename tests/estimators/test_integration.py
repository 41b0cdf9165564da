"""Both estimators within what scikit-learn offers for any classifier and regressor."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    learning_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor

SETTINGS = {
    "hidden_layer_sizes": (8,),
    "max_iter": 20,
    "learning_rate_init": 0.02,
    "target_size": 0.8,
    "random_state": 0,
}
CLASSIFIER = HardL0MLPClassifier(**SETTINGS)
REGRESSOR = HardL0MLPRegressor(**SETTINGS)

CLASSES = make_classification(160, 6, class_sep=1.5, random_state=0)
THREE = make_classification(
    160, 6, n_informative=4, n_classes=3, n_clusters_per_class=1, class_sep=2.0, random_state=0
)
FEW_KNOWN = CLASSES[0], np.where(np.arange(160) % 8 == 0, -1, CLASSES[1])
NUMBERS = make_regression(160, 6, random_state=0)


def both(y):
    """Two targets that a network can learn."""
    return np.column_stack([y, y[::-1]]) if y.dtype.kind == "i" else np.column_stack([y, -2.0 * y])


# --- meta-estimators -----------------------------------------------------------------

#: What is made of the classifier, and what it learns from.
CLASSIFIERS = {
    "pipeline": (make_pipeline(StandardScaler(), CLASSIFIER), CLASSES),
    "calibration": (CalibratedClassifierCV(CLASSIFIER, cv=2), CLASSES),
    "soft vote": (
        VotingClassifier([("net", CLASSIFIER), ("line", LogisticRegression())], voting="soft"),
        CLASSES,
    ),
    "stack": (StackingClassifier([("net", CLASSIFIER)], cv=2), CLASSES),
    "bagging": (BaggingClassifier(CLASSIFIER, 2, random_state=0), CLASSES),
    "boosting": (AdaBoostClassifier(CLASSIFIER, n_estimators=2, random_state=0), CLASSES),
    "one against the rest": (OneVsRestClassifier(CLASSIFIER), THREE),
    "one against one": (OneVsOneClassifier(CLASSIFIER), THREE),
    "codes": (OutputCodeClassifier(CLASSIFIER, random_state=0), THREE),
    "threshold": (TunedThresholdClassifierCV(CLASSIFIER, cv=2), CLASSES),
    "self-training": (SelfTrainingClassifier(CLASSIFIER, max_iter=1), FEW_KNOWN),
    "grid": (GridSearchCV(CLASSIFIER, {"target_size": [0.9, 0.6]}, cv=2), CLASSES),
    "random search": (
        RandomizedSearchCV(
            CLASSIFIER, {"input_price": [1.0, 3.0, 9.0]}, n_iter=2, cv=2, random_state=0
        ),
        CLASSES,
    ),
}
REGRESSORS = {
    "pipeline": make_pipeline(StandardScaler(), REGRESSOR),
    "transformed target": TransformedTargetRegressor(REGRESSOR, transformer=StandardScaler()),
    "vote": VotingRegressor([("net", REGRESSOR), ("line", Ridge())]),
    "stack": StackingRegressor([("net", REGRESSOR)], cv=2),
    "bagging": BaggingRegressor(REGRESSOR, 2, random_state=0),
    "boosting": AdaBoostRegressor(REGRESSOR, n_estimators=2, random_state=0),
    "grid": GridSearchCV(REGRESSOR, {"target_size": [0.9, 0.6]}, cv=2),
    "random search": RandomizedSearchCV(
        REGRESSOR, {"loss": ["squared_error", "huber"]}, n_iter=2, cv=2, random_state=0
    ),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_is_part_of(name):
    model, (X, y) = CLASSIFIERS[name]
    assert clone(model).fit(X, y).score(X, y) > 0.75


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_is_part_of(name):
    X, y = NUMBERS
    assert clone(REGRESSORS[name]).fit(X, y).score(X, y) > 0.8


@pytest.mark.parametrize("kind", [MultiOutputClassifier, ClassifierChain])
def test_many_labels_by_many_networks(kind):
    X, y = CLASSES
    found = kind(CLASSIFIER).fit(X, both(y)).predict(X)
    assert found.shape == (160, 2)
    assert (found[:, 0] == y).mean() > 0.8


@pytest.mark.parametrize("kind", [MultiOutputRegressor, RegressorChain])
def test_many_numbers_by_many_networks(kind):
    X, y = NUMBERS
    assert kind(REGRESSOR).fit(X, both(y)).score(X, both(y)) > 0.4


# --- few classes and few rows -----------------------------------------------------------

#: Rows sorted by class, of which the first one has three quarters.
SORTED = CLASSES[0], np.repeat([0, 1], [120, 40])


@pytest.mark.parametrize("words", [[0, 1], ["no", "yes"]])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_over_sorted_folds(words, method):
    X, y = SORTED[0], np.array(words)[SORTED[1]]
    model = CalibratedClassifierCV(CLASSIFIER, method=method, cv=KFold(4)).fit(X, y)
    # Three networks are calibrated by 40 rows of the first class, the one which knows no other
    # by 40 of the second one: whatever they say, their probabilities are those of Platt's
    # targets, 1 / 42 and 41 / 42, or 0 and 1.
    share = (3 * 1 / 42 + 41 / 42) / 4 if method == "sigmoid" else 1 / 4
    np.testing.assert_allclose(model.predict_proba(X)[:, 1], share, rtol=1e-3)
    assert model.predict(X).tolist() == [words[0]] * 160
    constant = model.calibrated_classifiers_[-1].estimator
    assert constant.classes_.tolist() == [words[0]]
    np.testing.assert_array_equal(constant.predict_proba(X), np.tile([1.0, 0.0], (160, 1)))


def test_calibration_over_sorted_folds_of_which_one_has_one_of_three_classes():
    y = np.repeat([0, 1, 2], [80, 40, 40])
    model = CalibratedClassifierCV(CLASSIFIER, cv=KFold(2)).fit(SORTED[0], y)
    assert [m.estimator.classes_.tolist() for m in model.calibrated_classifiers_] == [[1, 2], [0]]
    np.testing.assert_allclose(model.predict_proba(SORTED[0]).sum(axis=1), 1.0, rtol=1e-6)


def with_constants(y):
    """Three labels, of which the second is always there and the third never."""
    return np.column_stack([y, np.ones_like(y), np.zeros_like(y)])


@pytest.mark.parametrize("kind", [MultiOutputClassifier, ClassifierChain])
def test_labels_that_are_always_or_never_there(kind):
    X, y = CLASSES
    model = kind(CLASSIFIER).fit(X, with_constants(y))
    found = model.predict(X)
    assert (found[:, 0] == y).mean() > 0.8
    assert found[:, 1:].tolist() == [[1, 0]] * 160
    if kind is MultiOutputClassifier:
        _, *constants = model.predict_proba(X)
        for each in constants:
            np.testing.assert_array_equal(each, np.tile([1.0, 0.0], (160, 1)))
    else:
        np.testing.assert_array_equal(model.predict_proba(X)[:, 1], 1.0)
        assert kind(CLASSIFIER, cv=2).fit(X, with_constants(y)).predict(X).shape == (160, 3)


@pytest.mark.filterwarnings("ignore:Label .* is present in all:UserWarning")
def test_labels_that_are_always_or_never_there_one_against_the_rest():
    X, y = CLASSES
    found = OneVsRestClassifier(CLASSIFIER).fit(X, with_constants(y)).predict_proba(X)
    assert found[:, 1:].tolist() == [[1.0, 0.0]] * 160
    model = OneVsRestClassifier(clone(CLASSIFIER).set_params(max_iter=3))
    for some in (slice(0, 80), slice(80, 160)):  # of all classes, each network sees one or two
        model.partial_fit(X[some], np.repeat([0, 1], [80, 80])[some], classes=[0, 1, 2])
    assert model.predict_proba(X).shape == (160, 3)


def test_scores_over_folds_of_one_class():
    X, y = CLASSES[0], np.repeat([0, 1], 80)
    assert cross_val_score(CLASSIFIER, X, y, cv=KFold(2)).tolist() == [0.0, 0.0]
    same = cross_val_score(CLASSIFIER, X, np.ones(160), cv=KFold(2), scoring="f1")
    assert same.tolist() == [1.0, 1.0]


def test_bags_of_which_some_have_rows_of_one_class():
    X, y = CLASSES
    # A pipeline is given the rows themselves; a network all rows, most of them without weight.
    for network in (make_pipeline(CLASSIFIER), CLASSIFIER):
        model = BaggingClassifier(network, 8, max_samples=2, random_state=0).fit(X, y)
        found = model.predict_proba(X)
        np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-6)
        drawn = [set(y[rows]) for rows in model.estimators_samples_]
        assert {len(classes) for classes in drawn} == {1, 2}
        if network is not CLASSIFIER:
            for classes, member in zip(drawn, model.estimators_, strict=True):
                assert set(member.classes_) == classes


CLIPPED = pytest.mark.filterwarnings("ignore:Got `batch_size`:UserWarning")
IN_BATCHES = clone(CLASSIFIER).set_params(batch_size=50)


def test_a_learning_curve_clips_mini_batches():
    X, y = CLASSES
    with pytest.warns(UserWarning, match="^Got `batch_size` .* larger than sample size"):
        sizes, _, scores = learning_curve(
            IN_BATCHES, X, y, cv=2, train_sizes=[10, 80], error_score="raise"
        )
    assert sizes.tolist() == [10, 80]
    assert np.isfinite(scores).all()
    assert scores[-1].min() > 0.5


@CLIPPED
def test_halving_begins_with_few_rows():
    X, y = CLASSES
    search = HalvingGridSearchCV(
        IN_BATCHES,
        {"target_size": [0.9, 0.6]},
        resource="n_samples",
        min_resources=20,
        factor=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert search.n_resources_ == [20, 40]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert set(search.best_estimator_.history_["batch_size"]) == {50}


@CLIPPED
@pytest.mark.parametrize(
    ("bag", "network", "data"),
    [
        (BaggingClassifier, CLASSIFIER, CLASSES),
        (BaggingRegressor, REGRESSOR, NUMBERS),
    ],
)
def test_bags_clip_mini_batches(bag, network, data):
    # In a pipeline, which takes no weights, a network is given no more than the rows drawn.
    network = make_pipeline(clone(network).set_params(batch_size=50))
    model = bag(network, 3, max_samples=0.1, random_state=0).fit(*data)
    for member in model.estimators_:
        assert set(member[-1].history_["batch_size"]) == {16}


# --- one model among tools ------------------------------------------------------------


@pytest.fixture(scope="module", params=["classifier", "regressor"])
def fitted(request):
    """A fitted estimator, and what it has learnt from."""
    model, data = {
        "classifier": (CLASSIFIER, CLASSES),
        "regressor": (REGRESSOR, NUMBERS),
    }[request.param]
    return clone(model).fit(*data), data


def test_tags_say_what_it_is(fitted):
    model, _ = fitted
    assert is_classifier(model) == isinstance(model, HardL0MLPClassifier)
    assert is_regressor(model) == isinstance(model, HardL0MLPRegressor)


def test_inputs_left_out_have_no_importance(fitted):
    model, (X, y) = fitted
    found = permutation_importance(model, X, y, n_repeats=2, random_state=0)
    assert found.importances_mean.max() > 0.05
    X = np.column_stack([X, np.random.default_rng(0).normal(size=(len(X), 3))])
    small = clone(model).set_params(target_size=30, input_price=30.0, max_iter=60).fit(X, y)
    found = permutation_importance(small, X, y, n_repeats=2, random_state=0)
    assert not small.support_.all()
    assert not found.importances_mean[~small.support_].any()


def test_partial_dependence(fitted):
    model, (X, _) = fitted
    assert partial_dependence(model, X, [0], grid_resolution=4)["average"].shape == (1, 4)


def test_cross_validation(fitted):
    model, (X, y) = fitted
    assert cross_val_score(model, X, y, cv=2).min() > 0.5
    assert cross_val_predict(model, X, y, cv=2).shape == y.shape
    assert len(learning_curve(model, X, y, cv=2, train_sizes=[0.5, 1.0])) == 3


def test_frozen_it_is_not_trained_again(fitted):
    model, (X, y) = fitted
    frozen = FrozenEstimator(model)
    before = [coef.copy() for coef in model.coefs_]
    np.testing.assert_array_equal(frozen.fit(X[:9], y[:9]).predict(X), model.predict(X))
    np.testing.assert_array_equal(clone(frozen).predict(X), model.predict(X))
    np.testing.assert_array_equal(make_pipeline(frozen).transform(X), model.transform(X))
    for a, b in zip(before, model.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
    if is_classifier(model):
        calibrated = CalibratedClassifierCV(frozen).fit(X, y)
        assert calibrated.score(X, y) > 0.8


def test_parameters_are_set_and_read_through_a_pipeline(fitted):
    model, _ = fitted
    pipeline = make_pipeline(StandardScaler(), clone(model))
    name = pipeline.steps[-1][0]
    changed = {"hidden_layer_sizes": (5,), "lam": 0.5, "target_size": None, "max_iter": 3}
    pipeline.set_params(**{f"{name}__{key}": value for key, value in changed.items()})
    params = pipeline.get_params()
    assert {key: params[f"{name}__{key}"] for key in changed} == changed
    with pytest.raises(ValueError, match="Invalid parameter 'widths'"):
        model.set_params(widths=(3,))


def test_frames_come_out_of_a_pipeline_that_is_told_to(fitted):
    model, (X, y) = fitted
    X = pd.DataFrame(X, columns=list("abcdef"))
    pipeline = make_pipeline(StandardScaler(), clone(model)).set_output(transform="pandas")
    found = pipeline.fit(X, y).transform(X)
    assert isinstance(found, pd.DataFrame)
    assert list(found.columns) == list(X.columns[pipeline[-1].support_])
    assert list(pipeline[-1].feature_names_in_) == list("abcdef")
