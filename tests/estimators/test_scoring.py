"""Networks in training are scored by validation rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import f1_score, log_loss, make_scorer, roc_auc_score

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.estimators.partial_fit import Stream
from fastl0.model.network import Network

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def network(n_outputs, out_activation, support=(True, False, True), seed=0):
    """A random network with one hidden layer, which reads some of three columns."""
    rng = np.random.default_rng(seed)
    widths = [sum(support), 4, n_outputs]
    pairs = list(zip(widths[:-1], widths[1:], strict=True))
    return Network(
        [rng.normal(size=pair).astype(np.float32) for pair in pairs],
        [rng.normal(size=width).astype(np.float32) for width in widths[1:]],
        np.array(support),
        "tanh",
        out_activation,
    )


def rows(n_rows=3000, seed=1):
    return np.random.default_rng(seed).normal(size=(n_rows, 3))


# --- by scorers --------------------------------------------------------------------------


def problem():
    X = rows(300)
    return X, (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)


SETTINGS = {
    "hidden_layer_sizes": (8,),
    "max_iter": 12,
    "learning_rate_init": 0.01,
    "lam": 0.1,
    "random_state": 0,
}


def test_a_named_scorer_scores_validation_rows():
    X, y = problem()
    clf = HardL0MLPClassifier(**SETTINGS, scoring="roc_auc")
    clf.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert len(clf.validation_scores_) == len(clf.validation_loss_curve_) == clf.n_iter_
    proba = clf.predict_proba(X[200:])[:, 1]
    assert clf.validation_scores_[-1] == pytest.approx(roc_auc_score(y[200:], proba))
    assert clf.validation_loss_curve_[-1] == pytest.approx(log_loss(y[200:], proba), rel=1e-4)


def test_a_scorer_decides_which_network_is_kept():
    X, y = problem()
    negative = make_scorer(lambda y, p: -np.mean(y == p))
    settings = SETTINGS | {"early_stopping": True}
    best = HardL0MLPClassifier(**settings).fit(X, y, X_val=X, y_val=y)
    worst = HardL0MLPClassifier(**settings, scoring=negative).fit(X, y, X_val=X, y_val=y)
    assert worst.score(X, y) < 0.9 < best.score(X, y)
    assert worst.best_validation_score_ == pytest.approx(-worst.score(X, y))
    assert worst.score(X, y) == pytest.approx(-max(worst.validation_scores_))


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_rows_set_aside_are_given_to_the_scorer(container):
    X, y = problem()
    seen = []

    def scorer(estimator, some, labels):
        seen.append((some.shape, labels.shape, estimator.predict(some).shape))
        assert not hasattr(estimator, "feature_names_in_")
        return 0.5

    HardL0MLPClassifier(
        **SETTINGS, scoring=scorer, early_stopping=True, validation_fraction=0.2
    ).fit(container(X), y)
    assert set(seen) == {((60, 3), (60,), (60,))}


def test_a_scorer_of_weighted_rows_gets_the_weights():
    X, y = problem()
    seen = []

    def scorer(estimator, some, labels, sample_weight):
        seen.append(sample_weight.copy())
        return 0.5

    weights = np.linspace(0, 1, 100)
    clf = HardL0MLPClassifier(**SETTINGS, scoring=scorer)
    clf.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:], sample_weight_val=weights)
    np.testing.assert_array_equal(seen[0], weights)


def test_a_stream_is_not_described_for_a_scorer(monkeypatch):
    """That takes the longer, the more epochs there have been."""
    X, y = problem()
    clf = HardL0MLPClassifier(**SETTINGS, scoring="f1")
    clf.partial_fit(X, y, [0, 1], X_val=X, y_val=y)
    with monkeypatch.context() as patch:
        patch.setattr(Stream, "attributes", lambda *_, of_training: pytest.fail("described"))
        clf.partial_fit(X, y, X_val=X, y_val=y)
    assert clf.validation_scores_[-1] == pytest.approx(f1_score(y, clf.predict(X)))


def test_weights_of_classes_do_not_weigh_rows_that_are_set_aside():
    X, y = problem()
    settings = SETTINGS | {"early_stopping": True, "validation_fraction": 0.2, "max_iter": 3}
    seen = []

    def scorer(estimator, some, labels):  # takes no weights
        seen.append(estimator.score(some, labels))
        return seen[-1]

    weighted = {"class_weight": {0: 1.0, 1: 50.0}}
    by_scorer = HardL0MLPClassifier(**settings, **weighted, scoring=scorer).fit(X, y)
    by_accuracy = HardL0MLPClassifier(**settings, **weighted).fit(X, y)
    assert by_scorer.validation_scores_ == seen
    np.testing.assert_allclose(by_accuracy.validation_scores_, seen)


@pytest.mark.parametrize("bad", [np.nan, np.inf, "good", None, [1.0]], ids=str)
def test_a_scorer_must_give_a_finite_number(bad):
    X, y = problem()
    clf = HardL0MLPClassifier(**SETTINGS, scoring=lambda *_: bad)
    with pytest.raises(ValueError, match="`scoring` must give a finite number, got"):
        clf.fit(X, y, X_val=X, y_val=y)
    assert not hasattr(clf, "coefs_")


def test_an_unknown_scorer_is_refused_by_name():
    X, y = problem()
    with pytest.raises(ValueError, match=r"'r3' is not a valid scoring value"):
        HardL0MLPRegressor(**SETTINGS, scoring="r3").fit(X, y, X_val=X, y_val=y)


def test_the_estimator_that_a_scorer_sees_is_not_the_one_that_is_fitted():
    X, y = problem()

    def scorer(estimator, some, labels):
        estimator.coefs_ = None
        estimator.scored = True
        return 0.0

    reg = HardL0MLPRegressor(**SETTINGS, scoring=scorer).fit(X, y, X_val=X, y_val=y)
    assert not hasattr(reg, "scored")
    assert reg.predict(X).shape == (300,)


# --- validation rows that are given ------------------------------------------------------


def test_given_rows_take_the_place_of_those_set_aside():
    X, y = problem()
    settings = SETTINGS | {"early_stopping": True}
    given = HardL0MLPClassifier(**settings).fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert given.t_ == 200 * given.n_iter_
    assert given.best_validation_score_ == pytest.approx(given.score(X[200:], y[200:]))
    without = HardL0MLPClassifier(**SETTINGS).fit(X[:200], y[:200])
    judged = HardL0MLPClassifier(**SETTINGS).fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert judged.loss_curve_ == without.loss_curve_  # to be judged changes nothing
    assert without.validation_scores_ is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"X_val": np.zeros((2, 3))}, "`X_val` and `y_val` must be given together.*Give `y_val`"),
        ({"y_val": [0, 1]}, "`X_val` and `y_val` must be given together.*Give `X_val`"),
        ({"sample_weight_val": [1.0]}, "`sample_weight_val` must be given together .* no `X_val`"),
        ({"X_val": np.zeros((2, 4)), "y_val": [0, 1]}, "X has 4 features"),
        ({"X_val": np.full((2, 3), np.nan), "y_val": [0, 1]}, "NaN"),
        ({"X_val": np.zeros((2, 3)), "y_val": [0, 7]}, "`y_val` must hold labels out of"),
        ({"X_val": np.zeros((2, 3)), "y_val": [0]}, "inconsistent"),
        (
            {"X_val": np.zeros((2, 3)), "y_val": [0, 1], "sample_weight_val": [1, -1]},
            "sample_weight_val",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_validation_rows_are_refused_and_leave_nothing(given, message):
    X, y = problem()
    clf = HardL0MLPClassifier(**SETTINGS)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y, **given)
    assert vars(clf) == vars(HardL0MLPClassifier(**SETTINGS))


def test_r2_needs_two_rows_and_other_scores_do_not():
    X, _ = problem()
    one = {"X_val": X[:1], "y_val": X[:1, 0]}
    reg = HardL0MLPRegressor(**SETTINGS)
    for method in (reg.fit, reg.partial_fit):
        with pytest.raises(ValueError, match=r"`X_val`.* must be at least 2 for R\^2, got 1. Give"):
            method(X, X[:, 0], **one)
    reg.set_params(scoring="neg_mean_squared_error").fit(X, X[:, 0], **one)
    assert np.isfinite(reg.validation_scores_).all()
    clf = HardL0MLPClassifier(**SETTINGS).fit(X, X[:, 0] > 0, X_val=X[:1], y_val=X[:1, 0] > 0)
    assert set(clf.validation_scores_) <= {0.0, 1.0}


def test_what_a_scorer_raises_says_that_it_was_the_scorer():
    X, y = problem()

    def scorer(estimator, X, y):
        raise RuntimeError("out of paper")

    clf = HardL0MLPClassifier(**SETTINGS, scoring=scorer)
    with pytest.raises(RuntimeError, match="out of paper") as caught:
        clf.fit(X, y, X_val=X, y_val=y)
    assert "`scoring`=<function" in caught.value.__notes__[0]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_errors_about_validation_rows_name_them(method):
    X, y = problem()
    spoilt = X.copy()
    spoilt[0, 0] = np.nan
    reg = HardL0MLPRegressor(**SETTINGS)
    with pytest.raises(ValueError, match=r"`X_val` or `y_val`: Input X contains NaN"):
        getattr(reg, method)(X, y.astype(float), X_val=spoilt, y_val=y.astype(float))


def test_errors_of_a_reader_of_validation_rows_may_take_other_arguments():
    X, y = problem()

    class Torn:
        shape, dtype = X.shape, np.dtype(float)

        def __getitem__(self, rows):
            return b"\xff".decode()

    clf = HardL0MLPClassifier(**SETTINGS)
    with pytest.raises(ValueError, match=r"`X_val` or `y_val`: .*invalid start byte"):
        clf.fit(X, y, X_val=Torn(), y_val=y)
