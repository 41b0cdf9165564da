"""scikit-learn's metadata routing: weights and validation rows through meta-estimators."""

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from fastl0 import (
    HardL0MLPClassifier,
    HardL0MLPClassifierCV,
    HardL0MLPRegressor,
    HardL0MLPRegressorCV,
)

SETTINGS = {"hidden_layer_sizes": (6,), "max_iter": 4, "input_price": 12.0, "random_state": 0}
CLASSIFIER, REGRESSOR = HardL0MLPClassifier(**SETTINGS), HardL0MLPRegressor(**SETTINGS)
OF_FIT = {"sample_weight": True, "X_val": True, "y_val": True, "sample_weight_val": True}

WEIGHTS = np.linspace(0.1, 2.0, 160)
#: Far from standardised, so that it shows whether validation rows are transformed.
CLASSES = make_classification(200, 8, random_state=0)
NUMBERS = make_regression(200, 8, noise=1.0, random_state=0)
KINDS = [(CLASSIFIER, CLASSES), (REGRESSOR, NUMBERS)]


@pytest.fixture(autouse=True)
def routing():
    with config_context(enable_metadata_routing=True):
        yield


def rows(data):
    """Rows to train on, and keywords of fit."""
    X, y = 100.0 * data[0] + 50.0, data[1]
    validation = {"X_val": X[160:], "y_val": y[160:], "sample_weight_val": WEIGHTS[:40]}
    return X[:160], y[:160], {"sample_weight": WEIGHTS, **validation}


def scaled():
    return StandardScaler().set_fit_request(sample_weight=False)


def assert_same(a, b):
    assert a.validation_scores_ == b.validation_scores_
    for first, second in zip(a.coefs_, b.coefs_, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(("model", "data"), KINDS)
def test_a_pipeline_hands_on_all_and_transforms_validation_rows(model, data):
    X, y, extra = rows(data)
    pipeline = Pipeline(
        [("scaler", scaled()), ("network", clone(model).set_fit_request(**OF_FIT))],
        transform_input=["X_val"],
    ).fit(X, y, **extra)
    scaler = pipeline["scaler"]
    by_hand = clone(model).fit(
        scaler.transform(X), y, **extra | {"X_val": scaler.transform(extra["X_val"])}
    )
    assert_same(pipeline["network"], by_hand)


@pytest.mark.parametrize(("model", "data"), KINDS)
def test_it_selects_inputs_by_validation_rows_within_a_pipeline(model, data):
    X, y, extra = rows(data)
    selector = clone(model).set_fit_request(**OF_FIT).set_params(early_stopping=True)
    last = clone(model).set_fit_request(**OF_FIT)
    pipeline = Pipeline(
        [("scaler", scaled()), ("selector", selector), ("network", last)],
        transform_input=["X_val"],
    ).fit(X, y, **extra)
    n_kept = pipeline["selector"].n_units_[0]
    assert n_kept < 8
    assert pipeline["network"].n_features_in_ == n_kept
    assert len(pipeline["network"].validation_scores_) == 4


@pytest.mark.parametrize(("model", "data", "scoring"), [(*KINDS[0], "accuracy"), (*KINDS[1], "r2")])
def test_a_search_splits_weights_and_keeps_validation_rows(model, data, scoring):
    X, y, extra = rows(data)
    pipeline = Pipeline(
        [("scaler", scaled()), ("network", clone(model).set_fit_request(**OF_FIT))],
        transform_input=["X_val"],
    )
    scorer = get_scorer(scoring).set_score_request(sample_weight=True)
    search = GridSearchCV(pipeline, {"network__alpha": [0.1, 1.0]}, cv=2, scoring=scorer)
    search.fit(X, y, **extra)
    alone = clone(pipeline).set_params(**search.best_params_).fit(X, y, **extra)
    assert_same(search.best_estimator_["network"], alone["network"])


def test_cross_validation_weighs_scores():
    X, y, _ = rows(CLASSES)
    model = clone(CLASSIFIER).set_fit_request(sample_weight=True)
    results = [
        cross_validate(
            clone(model).set_score_request(sample_weight=requested),
            X,
            y,
            cv=2,
            params={"sample_weight": WEIGHTS},
        )["test_score"]
        for requested in (True, False)
    ]
    assert not np.array_equal(*results)


@pytest.mark.parametrize(("model", "data"), KINDS)
def test_score_takes_weights(model, data):
    X, y, extra = rows(data)
    network = clone(model).set_fit_request(**OF_FIT).set_score_request(sample_weight=True)
    pipeline = Pipeline([("scaler", scaled()), ("network", network)], transform_input=["X_val"])
    pipeline.fit(X, y, **extra)
    scaled_X = pipeline["scaler"].transform(X)
    expected = pipeline["network"].score(scaled_X, y, sample_weight=WEIGHTS)
    assert pipeline.score(X, y, sample_weight=WEIGHTS) == expected
    assert expected != pipeline["network"].score(scaled_X, y)


def test_partial_fit_takes_weights_and_classes():
    X, y = CLASSES
    model = clone(CLASSIFIER).set_partial_fit_request(classes=True, sample_weight=True)
    routed = MultiOutputClassifier(model).partial_fit(
        X[:160], y[:160, None], classes=[[0, 1]], sample_weight=WEIGHTS
    )
    alone = clone(CLASSIFIER).partial_fit(X[:160], y[:160], [0, 1], sample_weight=WEIGHTS)
    unweighted = clone(CLASSIFIER).partial_fit(X[:160], y[:160], [0, 1])
    np.testing.assert_array_equal(routed.estimators_[0].coefs_[0], alone.coefs_[0])
    assert not np.array_equal(alone.coefs_[0], unweighted.coefs_[0])


@pytest.mark.parametrize(("model", "data"), KINDS)
def test_what_is_not_requested_is_refused(model, data):
    X, y, extra = rows(data)
    pipeline = Pipeline([("network", clone(model))])
    for name in ("sample_weight", "X_val"):
        with pytest.raises(UnsetMetadataPassedError, match=name):
            pipeline.fit(X, y, **{name: extra[name]})


def test_all_can_be_requested_of_each_method():
    for model in (CLASSIFIER, REGRESSOR):
        of_stream = OF_FIT | ({"classes": True} if model is CLASSIFIER else {})
        asked = clone(model).set_fit_request(**OF_FIT).set_partial_fit_request(**of_stream)
        assert asked.get_metadata_routing().fit.requests == OF_FIT
        assert asked.get_metadata_routing().partial_fit.requests == of_stream
        assert clone(asked).get_metadata_routing().fit.requests == OF_FIT


@pytest.mark.parametrize(
    ("kind", "model", "data"),
    [(HardL0MLPClassifierCV, *KINDS[0]), (HardL0MLPRegressorCV, *KINDS[1])],
)
def test_searches_for_a_size_take_weights(kind, model, data):
    X, y, _ = rows(data)
    search = kind(model, target_sizes=[0.8, 0.5], cv=2).set_fit_request(sample_weight=True)
    pipeline = Pipeline([("scaler", scaled()), ("search", search)])
    pipeline.fit(X, y, sample_weight=WEIGHTS)
    alone = clone(search).fit(pipeline["scaler"].transform(X), y, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(pipeline["search"].scores_, alone.scores_)


def test_a_step_that_follows_gets_its_own_weights():
    X, y, extra = rows(CLASSES)
    pipeline = Pipeline(
        [
            ("selector", clone(CLASSIFIER).set_fit_request(sample_weight=False)),
            ("last", LogisticRegression().set_fit_request(sample_weight=True)),
        ]
    ).fit(X, y, sample_weight=extra["sample_weight"])
    selector = clone(CLASSIFIER).fit(X, y)
    np.testing.assert_array_equal(pipeline["selector"].support_, selector.support_)
