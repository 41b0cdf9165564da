"""Importances of inputs: what they measure, their rules, and selectors that go by them."""

import inspect
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import (
    make_classification,
    make_multilabel_classification,
    make_regression,
)
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFE, RFECV, SelectFromModel
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastl0 import (
    HardL0MLPClassifier,
    HardL0MLPClassifierCV,
    HardL0MLPRegressor,
    HardL0MLPRegressorCV,
)
from fastl0.model.importances import input_importances
from fastl0.model.network import Network

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_FEATURES, N_INFORMATIVE = 12, 4
SETTINGS = {"hidden_layer_sizes": (10, 5), "max_iter": 10, "random_state": 0}
#: For networks that find the informative inputs, which come first.
ENOUGH = {
    "hidden_layer_sizes": (20,),
    "learning_rate_init": 0.01,
    "max_iter": 20,
    "random_state": 0,
}
CLASSES = make_classification(
    300, N_FEATURES, n_informative=4, n_redundant=0, class_sep=2.0, shuffle=False, random_state=0
)
LABELS = make_multilabel_classification(200, N_FEATURES, n_classes=3, random_state=0)
NUMBERS = make_regression(
    300, N_FEATURES, n_informative=4, n_targets=2, shuffle=False, random_state=0
)


def network(widths, activation, seed=0, support=None):
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(widths))
    return Network(
        [rng.normal(size=pair).astype(np.float32) for pair in pairs],
        [rng.normal(size=b).astype(np.float32) for _, b in pairs],
        np.ones(widths[0], bool) if support is None else support,
        activation,
        "identity",
    )


def streamed(model, data, **keywords):
    for _ in range(3):
        model.partial_fit(*data, **keywords)
    return model


# --- what is measured ----------------------------------------------------------------


def naive_strengths(model, output_scale):
    """Mean over all ways in which each hidden unit is either on or off."""
    coefs = [coef.astype(float) for coef in model.coefs]
    hidden = [coef.shape[1] for coef in coefs[:-1]]
    squares = []
    for pattern in itertools.product((0.0, 1.0), repeat=sum(hidden)):
        places = iter(pattern)
        derivatives = coefs[0]
        for width, coef in zip(hidden, coefs[1:], strict=True):
            derivatives = derivatives * [next(places) for _ in range(width)] @ coef
        squares.append((derivatives / output_scale) ** 2)
    return np.sqrt(np.mean(squares, axis=0).sum(axis=1))


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic"])
@pytest.mark.parametrize("widths", [(4, 3), (4, 1, 1), (5, 4, 2), (3, 5, 3, 2), (2, 2, 3, 2, 1)])
def test_strengths_are_mean_squares_over_all_ways_that_units_are_on(widths, activation):
    model, scale = network(widths, activation), np.arange(1.0, widths[-1] + 1)
    expected = naive_strengths(model, scale)
    found = input_importances(model, scale)
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5)
    assert found.dtype == np.float64


@pytest.mark.parametrize("widths", [(4, 3), (5, 4, 2), (3, 5, 3, 2)])
def test_of_identity_units_they_are_the_derivatives(widths):
    model = network(widths, "identity")
    moved = [model.outputs(row[None, :]) for row in np.eye(widths[0])]
    still = model.outputs(np.zeros((1, widths[0])))
    slopes = np.linalg.norm(np.concatenate(moved) - still, axis=1)
    np.testing.assert_allclose(input_importances(model), slopes / slopes.sum(), rtol=1e-5)


def test_inputs_that_are_not_read_have_none():
    support = np.array([True, False, True, True, False])
    model = network((3, 4, 2), "relu", support=np.ones(3, bool))
    whole = Network(model.coefs, model.intercepts, support, "relu", "identity")
    found = input_importances(whole)
    np.testing.assert_array_equal(found[support], input_importances(model))
    assert not found[~support].any()


@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_the_size_of_weights_is_of_no_account_and_none_overflows(factor):
    model = network((4, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 3), "relu")
    coefs = [(coef * np.float32(factor)).astype(np.float32) for coef in model.coefs]
    other = Network(coefs, model.intercepts, model.support, "relu", "identity")
    np.testing.assert_allclose(input_importances(other), input_importances(model), rtol=1e-4)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_where_no_input_moves_an_output_none_has_any(layer):
    model = network((4, 3, 3, 2), "relu")
    model.coefs[layer][:] = 0.0
    np.testing.assert_array_equal(input_importances(model), np.zeros(4))


def test_no_inputs_at_all_have_none():
    model = network((0, 3, 2), "relu", support=np.zeros(4, bool))
    np.testing.assert_array_equal(input_importances(model), np.zeros(4))


# --- of estimators -------------------------------------------------------------------

#: Fitted estimators by what is special of them.
MAKERS = {
    "binary": lambda: HardL0MLPClassifier(**SETTINGS).fit(*CLASSES),
    "multilabel": lambda: HardL0MLPClassifier(**SETTINGS).fit(*LABELS),
    "numbers": lambda: HardL0MLPRegressor(**SETTINGS).fit(*NUMBERS),
    "one number": lambda: HardL0MLPRegressor(**SETTINGS).fit(NUMBERS[0], NUMBERS[1][:, 0]),
    "counts": lambda: HardL0MLPRegressor(**SETTINGS, loss="poisson").fit(
        NUMBERS[0], np.abs(NUMBERS[1])
    ),
    "without hidden layers": lambda: HardL0MLPClassifier((), max_iter=10, random_state=0).fit(
        *CLASSES
    ),
    "without pruning": lambda: HardL0MLPClassifier(**SETTINGS, pruning="none").fit(*CLASSES),
    "soft": lambda: HardL0MLPClassifier(**SETTINGS, pruning="soft").fit(*CLASSES),
    "early stopping": lambda: HardL0MLPClassifier(**SETTINGS, early_stopping=True).fit(*CLASSES),
    "warm start": lambda: (
        HardL0MLPClassifier(**SETTINGS, warm_start=True).fit(*CLASSES).fit(*CLASSES)
    ),
    "stream": lambda: streamed(HardL0MLPClassifier(**SETTINGS), CLASSES, classes=[0, 1]),
    "stream of numbers": lambda: streamed(HardL0MLPRegressor(**SETTINGS), NUMBERS),
    "stream after fit": lambda: streamed(HardL0MLPClassifier(**SETTINGS).fit(*CLASSES), CLASSES),
    "search": lambda: HardL0MLPClassifierCV(
        HardL0MLPClassifier(**SETTINGS), target_sizes=[0.8, 0.5], cv=2
    ).fit(*CLASSES),
    "search for numbers": lambda: HardL0MLPRegressorCV(
        HardL0MLPRegressor(**SETTINGS), target_sizes=[0.8, 0.5], cv=2
    ).fit(*NUMBERS),
}


@pytest.mark.parametrize("name", MAKERS)
def test_the_rules(name):
    model = MAKERS[name]()
    found = model.feature_importances_
    assert found.shape == (N_FEATURES,)
    assert found.dtype == np.float64
    assert (found >= 0.0).all()
    assert found.sum() == pytest.approx(1.0)
    assert not found[~model.support_].any()
    assert "feature_importances_" in dir(model)
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.feature_importances_, found)


def test_they_are_of_the_network_that_predicts():
    """Also amid a stream, whose network is another one after every call."""
    model = HardL0MLPClassifier(**SETTINGS)
    seen = []
    for _ in range(3):
        model.partial_fit(*CLASSES, classes=[0, 1])
        found = model.feature_importances_
        np.testing.assert_array_equal(found, input_importances(model._network()))
        seen.append(found)
    assert not np.array_equal(seen[0], seen[-1])
    model.fit(*CLASSES)
    np.testing.assert_array_equal(
        model.feature_importances_,
        HardL0MLPClassifier(**SETTINGS).fit(*CLASSES).feature_importances_,
    )


def test_the_unit_of_a_number_is_of_no_account():
    X, y = NUMBERS
    model = HardL0MLPRegressor(**SETTINGS)
    before = model.fit(X, y).feature_importances_
    np.testing.assert_allclose(model.fit(X, y * [1.0, 1024.0]).feature_importances_, before, 1e-5)


def test_a_search_has_those_of_its_network():
    search = MAKERS["search"]()
    np.testing.assert_array_equal(
        search.feature_importances_, search.best_estimator_.feature_importances_
    )


def test_a_pickle_does_not_hold_them():
    model = MAKERS["binary"]()
    before = len(pickle.dumps(model))
    assert model.feature_importances_.any()
    assert "feature_importances_" not in vars(model)
    assert len(pickle.dumps(model)) == before


@pytest.mark.parametrize(
    "kind",
    [HardL0MLPClassifier, HardL0MLPRegressor, HardL0MLPClassifierCV, HardL0MLPRegressorCV],
)
def test_an_unfitted_estimator_has_none(kind):
    assert not hasattr(kind(), "feature_importances_")
    with pytest.raises(NotFittedError, match=f"This {kind.__name__} instance is not fitted yet"):
        _ = kind().feature_importances_


@pytest.mark.parametrize("pruning", ["hard", "none"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_informative_inputs_come_first(pruning, n_classes):
    X, y = make_classification(
        800, 30, n_informative=5, n_redundant=0, n_classes=n_classes, class_sep=2.0,
        shuffle=False, random_state=0,
    )  # fmt: skip
    model = HardL0MLPClassifier((40,), max_iter=40, pruning=pruning, random_state=0)
    found = model.fit(StandardScaler().fit_transform(X), y).feature_importances_
    assert found[:5].mean() > 1.5 * found[5:].mean()
    assert np.argmax(found) < 5


def test_a_stream_that_has_diverged_says_so_and_is_still_shown():
    X, y = NUMBERS
    model = HardL0MLPRegressor((8,), pruning="none", solver="sgd", random_state=0)
    model.partial_fit(X[:8], y[:8]).set_params(learning_rate_init=1e38)
    model.partial_fit(1e4 * X[:8], y[:8])
    with pytest.raises(ValueError, match="not finite"):
        _ = model.feature_importances_
    with pytest.raises(ValueError, match="not finite"):
        model.to_sklearn()
    assert "feature_importances_" not in dict(inspect.getmembers(model))
    assert "HardL0MLPRegressor" in model._repr_html_()


# --- selectors in their default settings ----------------------------------------------


def models(settings):
    return {
        "classifier": (HardL0MLPClassifier(**settings), *CLASSES),
        "regressor": (HardL0MLPRegressor(**settings), NUMBERS[0], NUMBERS[1][:, 0]),
        "labels": (HardL0MLPClassifier(**settings), *LABELS),
        "numbers": (HardL0MLPRegressor(**settings), *NUMBERS),
        "search": (
            HardL0MLPClassifierCV(HardL0MLPClassifier(**settings), target_sizes=[0.5], cv=2),
            *CLASSES,
        ),
    }


#: With the least number of informative inputs, and the most of others, that they may keep.
SELECTORS = {
    "SelectFromModel": (SelectFromModel, 2, 0),
    "RFE": (lambda model: RFE(model, step=3), 3, 3),
    "RFECV": (lambda model: RFECV(model, step=5, cv=2), 1, N_FEATURES),
}


@pytest.mark.parametrize("in_pipeline", [False, True])
@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize("name", SELECTORS)
def test_selectors_go_by_them(name, kind, as_frame, in_pipeline):
    model, X, y = models(ENOUGH)[kind]
    names = np.array([f"sensor {k}" for k in range(N_FEATURES)])
    X = pd.DataFrame(X, columns=names) if as_frame else X
    make, n_informative, n_others = SELECTORS[name]
    step = make(model)
    whole = make_pipeline(StandardScaler(), step) if in_pipeline else step
    whole.set_output(transform="pandas" if as_frame else "default")
    found = whole.fit(X, y).transform(X)
    kept = step.get_support()
    assert kept[:N_INFORMATIVE].sum() >= n_informative
    assert kept[N_INFORMATIVE:].sum() <= n_others
    assert found.shape == (len(X), kept.sum())
    if as_frame:
        assert list(found.columns) == list(names[kept])


@pytest.mark.parametrize("kind", ["labels", "numbers", "search"])
@pytest.mark.parametrize("name", SELECTORS)
def test_selectors_take_many_outputs_and_searches(name, kind):
    model, X, y = models(SETTINGS)[kind]
    kept = SELECTORS[name][0](model).fit(X, y).get_support()
    assert kept.shape == (N_FEATURES,)
    assert kept.any()


def test_select_from_model_keeps_what_is_above_the_mean():
    selector = SelectFromModel(HardL0MLPClassifier(**SETTINGS)).fit(*CLASSES)
    found = selector.estimator_.feature_importances_
    np.testing.assert_array_equal(selector.get_support(), found >= found.mean())


def test_select_from_model_follows_a_stream():
    selector = SelectFromModel(HardL0MLPClassifier(**SETTINGS))
    for _ in range(3):
        selector.partial_fit(*CLASSES, classes=[0, 1])
        found = selector.estimator_.feature_importances_
        np.testing.assert_array_equal(selector.get_support(), found >= found.mean())
