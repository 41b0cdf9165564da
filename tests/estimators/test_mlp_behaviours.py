"""What scikit-learn's own tests ask of MLPClassifier and MLPRegressor, asked of the two here.

The table in docs/evidence/sklearn_behaviours.rst says behaviour by behaviour which test this is,
and where the two differ on purpose.
"""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.training.schedule import LOWEST_RATE

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

both = pytest.mark.parametrize("kind", [HardL0MLPClassifier, HardL0MLPRegressor])
either_pruning = pytest.mark.parametrize("pruning", ["hard", "none"])
ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]

X_IRIS, Y_IRIS = load_iris(return_X_y=True)
X_IRIS = StandardScaler().fit_transform(X_IRIS)


def digits(n_class, n_rows=300):
    X, y = load_digits(n_class=n_class, return_X_y=True)
    return X[:n_rows] / 16, y[:n_rows]


def numbers(n_targets=1, n_rows=250):
    X, y = make_regression(n_rows, 8, n_informative=4, n_targets=n_targets, noise=5, random_state=3)
    return X, y / y.std(axis=0)


def same_network(a, b):
    pairs = zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True)
    return np.array_equal(a.support_, b.support_) and all(np.array_equal(x, y) for x, y in pairs)


# --- learning ----------------------------------------------------------------------------


@both
@either_pruning
def test_weight_decay_makes_weights_smaller(kind, pruning):
    X, y = digits(2)
    sizes = []
    for alpha in (0.0, 1.0, 30.0):
        model = kind((10,), alpha=alpha, pruning=pruning, max_iter=100, random_state=1).fit(X, y)
        sizes.append([np.abs(coef).sum() for coef in model.coefs_])
    for less, more in zip(sizes[1:], sizes[:-1], strict=True):
        assert all(a < b for a, b in zip(less, more, strict=True))


@pytest.mark.parametrize("activation", ["logistic", "tanh"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_is_that_of_the_formulas(activation, momentum):
    """From weights set by hand; the first step of gradient descent knows no momentum."""
    rng = np.random.default_rng(0)
    x, rate, alpha = rng.normal(size=(1, 3)), 0.1, 0.3
    W = [rng.normal(size=(3, 2)).astype("f4"), rng.normal(size=(2, 1)).astype("f4")]
    b = [rng.normal(size=2).astype("f4"), rng.normal(size=1).astype("f4")]
    clf = HardL0MLPClassifier(
        (2,),
        activation=activation,
        solver="sgd",
        momentum=momentum,
        nesterovs_momentum=False,
        learning_rate_init=rate,
        alpha=alpha,
        pruning="none",
        max_iter=1,
    ).fit(rng.normal(size=(4, 3)), [0, 1, 0, 1])
    clf.coefs_, clf.intercepts_ = [w.copy() for w in W], [c.copy() for c in b]
    clf.partial_fit(x, [0])

    hidden = x @ W[0] + b[0]
    hidden = np.tanh(hidden) if activation == "tanh" else 1 / (1 + np.exp(-hidden))
    slope = 1 - hidden**2 if activation == "tanh" else hidden * (1 - hidden)
    wrong = 1 / (1 + np.exp(-(hidden @ W[1] + b[1]))) - 0  # the label is the first class
    back = wrong * W[1].T * slope
    expected = [
        W[0] - rate * (x.T @ back + alpha * W[0]),
        W[1] - rate * (hidden.T @ wrong + alpha * W[1]),
        b[0] - rate * back[0],
        b[1] - rate * wrong[0],
    ]
    for found, wanted in zip(clf.coefs_ + clf.intercepts_, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_class", [2, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@either_pruning
def test_digits_are_told_apart(n_class, activation, pruning):
    X, y = digits(n_class)
    clf = HardL0MLPClassifier(
        (50,), activation=activation, learning_rate_init=0.01, pruning=pruning, random_state=1
    ).fit(X[:200], y[:200])
    assert clf.score(X[:200], y[:200]) > 0.95
    assert clf.score(X[200:], y[200:]) > 0.95
    predicted = clf.predict(X[200:])
    assert (predicted.shape, predicted.dtype) == ((len(X) - 200,), y.dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@either_pruning
def test_numbers_are_predicted(activation, pruning):
    X, y = numbers()
    reg = HardL0MLPRegressor(
        (50,), activation=activation, learning_rate_init=0.01, pruning=pruning, random_state=1
    ).fit(X, y)
    assert reg.score(X, y) > 0.95


@either_pruning
def test_several_outputs_are_predicted(pruning):
    X, y = numbers(5)
    reg = HardL0MLPRegressor((50,), learning_rate_init=0.01, pruning=pruning, random_state=1)
    assert reg.fit(X, y).score(X, y) > 0.9
    assert reg.predict(X).shape == y.shape


def several_labels():
    X, Y = make_multilabel_classification(60, 15, random_state=0)
    return StandardScaler().fit_transform(X), Y


def test_several_labels_are_learned_by_fit_and_by_partial_fit():
    X, Y = several_labels()
    settings = {"learning_rate_init": 0.01, "activation": "tanh", "random_state": 0}
    clf = HardL0MLPClassifier((50,), pruning="none", **settings).fit(X, Y)
    assert clf.score(X, Y) > 0.97
    clf = HardL0MLPClassifier((50,), **settings, target_size=0.8, max_iter=30)
    for _ in range(300):
        clf.partial_fit(X, Y, classes=[0, 1, 2, 3, 4])
    assert clf.score(X, Y) > 0.9
    clf = HardL0MLPClassifier((50,), early_stopping=True, max_iter=5).fit(X, Y)
    assert clf.predict(X).shape == Y.shape


@pytest.mark.parametrize("loss", ["poisson", "squared_error"])
def test_without_hidden_units_counts_are_a_linear_model(loss):
    """No hidden layer, which scikit-learn's has not: the same predictions as its GLM."""
    rng = np.random.default_rng(0)
    X = np.linspace(0, 1, 100)[:, None]
    y = rng.poisson(np.exp(1 + X[:, 0]))
    glm = PoissonRegressor(alpha=0.0, tol=1e-8).fit(X, y)
    reg = HardL0MLPRegressor(
        (), loss=loss, pruning="none", alpha=0.0, max_iter=2000, learning_rate="cosine",
        learning_rate_init=0.02, tol=0.0, n_iter_no_change=np.inf, random_state=0,
    ).fit(X, y)  # fmt: skip
    gap = np.abs(reg.predict(X) / glm.predict(X) - 1).max()
    if loss == "poisson":
        assert gap < 1e-3
    else:
        assert gap > 1e-2  # without a logarithm it is another model


# --- partial_fit -------------------------------------------------------------------------


def test_other_classes_in_a_later_call_are_an_error():
    clf = HardL0MLPClassifier((3,)).partial_fit([[3, 2]], [0], classes=[0, 1])
    with pytest.raises(ValueError, match="`classes` must be those of the first call"):
        clf.partial_fit([[3, 2]], [0], classes=[1, 2])


def test_labels_that_are_not_among_the_classes_are_an_error():
    X, y = [[3, 2], [1, 6]], [1, 0]
    for classes in ([2], [2, 3], None):
        with pytest.raises(ValueError, match=r"`classes`|`y` must hold labels out of"):
            HardL0MLPClassifier((3,), solver="sgd").partial_fit(X, y, classes=classes)


def test_classes_may_come_later_than_they_are_named():
    X, y = np.array([[1.0], [2], [3], [4]]), np.array(["a", "b", "c", "d"])
    clf = HardL0MLPClassifier((5,), random_state=0)
    clf.partial_fit(X[:3], y[:3], classes=list("dcba"))
    clf.partial_fit(X[3:], y[3:])
    assert clf.predict_proba(X).shape == (4, 4)
    assert set(clf.predict(X)) <= set(y)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@both
def test_calls_over_all_rows_are_epochs_of_fit(kind, solver, momentum):
    """Promised without gates and shuffling: it is the same network, bit for bit."""
    X, y = numbers() if kind is HardL0MLPRegressor else digits(3)
    settings = {
        "hidden_layer_sizes": (20,), "solver": solver, "momentum": momentum, "pruning": "none",
        "learning_rate_init": 0.02, "shuffle": False, "random_state": 1,
    }  # fmt: skip
    fitted = kind(**settings, max_iter=40, tol=0.0, n_iter_no_change=np.inf).fit(X, y)
    streamed = kind(**settings)
    classes = {"classes": np.unique(y)} if kind is HardL0MLPClassifier else {}
    for _ in range(40):
        streamed.partial_fit(X, y, **classes)
    assert same_network(fitted, streamed)
    np.testing.assert_array_equal(fitted.predict(X), streamed.predict(X))
    assert streamed.score(X, y) > 0.65


@both
def test_early_stopping_does_not_keep_partial_fit_from_going_on(kind):
    """scikit-learn refuses; here the best network by X_val is kept."""
    model = kind((5,), early_stopping=True, max_iter=3, random_state=0).fit(X_IRIS, Y_IRIS)
    model.partial_fit(X_IRIS, Y_IRIS, X_val=X_IRIS, y_val=Y_IRIS)
    assert model.best_validation_score_ == pytest.approx(model.score(X_IRIS, Y_IRIS))


def test_a_loaded_model_learns_something_new(tmp_path):
    reg = HardL0MLPRegressor((42,), learning_rate_init=0.01, random_state=42).fit([[2.0]], [4.0])
    np.testing.assert_allclose(reg.predict([[2.0]]), 4.0, rtol=0.05)
    joblib.dump(reg, tmp_path / "model")
    loaded = joblib.load(tmp_path / "model")
    for _ in range(500):
        loaded.partial_fit([[2.0]], [1.0])
    np.testing.assert_allclose(loaded.predict([[2.0]]), 1.0, rtol=1e-3)


# --- numbers that are too large ----------------------------------------------------------


@both
def test_rows_that_are_too_large_are_an_error(kind):
    rng = np.random.default_rng(0)
    X, y = np.finfo(float).max * rng.uniform(size=(10, 2)), np.arange(10) % 2
    with pytest.raises(ValueError, match=r"X must hold values within the float32 range.*Scale"):
        kind((3,)).fit(X, y)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_loss_that_diverges_is_an_error_and_leaves_nothing(early_stopping):
    """scikit-learn goes on with scores that are NaN under early stopping."""
    X = 1e3 * np.random.default_rng(0).normal(size=(100, 4))
    reg = HardL0MLPRegressor(
        (50,), activation="identity", solver="sgd", learning_rate_init=10.0, pruning="none",
        early_stopping=early_stopping, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(ValueError, match=r"not finite.*StandardScaler"):
            reg.fit(X, X[:, 0])
    assert not hasattr(reg, "coefs_")


# --- probabilities -----------------------------------------------------------------------


@pytest.mark.parametrize("n_class", [2, 4])
@either_pruning
def test_probabilities_of_classes(n_class, pruning):
    X, y = digits(n_class, 120)
    clf = HardL0MLPClassifier((20,), learning_rate_init=0.01, pruning=pruning, random_state=1).fit(
        X, y
    )
    proba, logarithm = clf.predict_proba(X), clf.predict_log_proba(X)
    assert proba.shape == (len(X), n_class)
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(logarithm, np.log(proba), rtol=1e-6)
    np.testing.assert_array_equal(proba.argmax(axis=1), logarithm.argmax(axis=1))
    np.testing.assert_array_equal(clf.classes_[proba.argmax(axis=1)], clf.predict(X))
    if n_class == 2:
        assert roc_auc_score(y, proba[:, 1]) == 1.0


def test_probabilities_of_labels_do_not_sum_to_one():
    X, Y = several_labels()
    clf = HardL0MLPClassifier((50,), pruning="none", learning_rate_init=0.01, random_state=0)
    proba = clf.fit(X, Y).predict_proba(X)
    assert proba.shape == Y.shape
    np.testing.assert_array_equal(proba > 0.5, clf.predict(X))
    np.testing.assert_array_equal(proba > 0.5, Y)
    assert np.abs(proba.sum(axis=1) - 1).max() > 0.5
    np.testing.assert_allclose(clf.predict_log_proba(X), np.log(proba), rtol=1e-6)


# --- rows: order, kind, type -------------------------------------------------------------


@both
def test_shuffling_changes_the_network_and_the_seed_repeats_it(kind):
    X, y = digits(2, 50)

    def fitted(shuffle):
        return kind((3,), max_iter=1, batch_size=1, shuffle=shuffle, random_state=0).fit(X, y)

    for shuffle in (True, False):
        assert same_network(fitted(shuffle), fitted(shuffle))
    assert not same_network(fitted(True), fitted(False))


@both
@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array])
def test_sparse_rows_give_the_same_predictions(kind, container):
    X, y = digits(2, 80)
    dense = kind((15,), max_iter=20, random_state=1).fit(X, y)
    sparse = kind((15,), max_iter=20, random_state=1).fit(container(X), y)
    np.testing.assert_allclose(dense.predict(X), sparse.predict(X))
    np.testing.assert_allclose(dense.predict(X), dense.predict(container(X)), rtol=1e-6)


@both
def test_a_column_of_targets_warns(kind):
    X, y = digits(2, 40)
    flat = kind((3,), max_iter=2, random_state=0).fit(X, y)
    with pytest.warns(DataConversionWarning):
        column = kind((3,), max_iter=2, random_state=0).fit(X, y[:, None])
    assert same_network(flat, column)
    assert column.predict(X).shape == (40,)


@both
def test_rows_of_single_and_double_precision_give_the_same_network(kind):
    X, y = digits(2)
    single = kind((5, 3), max_iter=30, random_state=1).fit(X.astype(np.float32), y)
    double = kind((5, 3), max_iter=30, random_state=1).fit(X, y)
    assert same_network(single, double)  # these are sixteenths
    np.testing.assert_allclose(single.predict(X.astype(np.float32)), double.predict(X), rtol=1e-4)


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_have_the_precision_of_the_rows_and_weights_are_single(kind, dtype):
    """scikit-learn's weights have the precision of the rows."""
    X, y = digits(2)
    model = kind((5, 3), max_iter=3, random_state=1).fit(X.astype(dtype), y)
    assert {a.dtype for a in model.coefs_ + model.intercepts_} == {np.dtype(np.float32)}
    outputs = model.predict if kind is HardL0MLPRegressor else model.predict_proba
    assert outputs(X.astype(dtype)).dtype == dtype


@both
@pytest.mark.parametrize("early_stopping", [False, True])
def test_names_of_features_cause_no_warning(kind, early_stopping):
    frame = pd.DataFrame(X_IRIS, columns=list("abcd"))
    model = kind((5,), early_stopping=early_stopping, max_iter=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(frame, pd.Series(Y_IRIS, name="y")).predict(frame)
        model.partial_fit(frame, Y_IRIS)
    assert model.feature_names_in_.tolist() == list("abcd")


# --- when to stop ------------------------------------------------------------------------


@both
def test_it_stops_once_the_loss_falls_by_less_than_the_tolerance(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = kind((5,), tol=0.5, random_state=0, max_iter=3000, solver="sgd", lam=0.0)
        model.fit([[3, 2], [1, 6]], [1, 0])
    assert model.n_iter_ < 3000


@both
@pytest.mark.parametrize("patience", [2, 5, 30])
def test_it_waits_for_as_many_epochs_as_told(kind, patience):
    X, y = digits(2, 100)
    model = kind(
        (5,), tol=10.0, random_state=0, n_iter_no_change=patience, solver="sgd", pruning="none"
    ).fit(X, y)
    assert model.n_iter_ == patience + 2  # one to compare with; the last is one too many


@both
@pytest.mark.parametrize("never", [np.inf, float("inf")])
def test_it_never_stops_where_patience_is_infinite(kind, never):
    X, y = digits(2, 100)
    for settings in ({"pruning": "none"}, {"lam": 0.1}, {"early_stopping": True, "lam": 0.1}):
        model = kind((5,), tol=1e9, n_iter_no_change=never, max_iter=50, **settings)
        with pytest.warns(ConvergenceWarning, match="max_iter=50"):
            model.fit(X, y)
        assert model.n_iter_ == 50
    with pytest.raises(ValueError, match="n_iter_no_change"):
        kind(n_iter_no_change=2.5).fit(X, y)


@both
@either_pruning
def test_early_stopping_tells_of_its_scores(kind, pruning):
    X, y = digits(2, 200)
    settings = {"tol": 0.2, "max_iter": 3000, "solver": "sgd", "pruning": pruning}
    settings |= {} if pruning == "none" else {"lam": 0.01}
    model = kind((20,), early_stopping=True, **settings).fit(X, y)
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) < 3000
    assert isinstance(scores, list)
    assert model.best_validation_score_ == max(scores)
    assert model.best_validation_score_ + 0.2 > max(scores[-2:])
    assert model.best_loss_ is None
    model = kind((20,), early_stopping=False, **settings).fit(X, y)
    assert model.validation_scores_ is None
    assert model.best_validation_score_ is None
    assert model.best_loss_ == min(model.loss_curve_)


def test_early_stopping_keeps_shares_of_classes_and_says_where_it_cannot():
    with pytest.raises(ValueError, match=r"`validation_fraction`=0.1 cannot set aside.*member"):
        HardL0MLPClassifier(early_stopping=True).fit([[1, 2], [2, 3], [3, 4], [4, 5]], [0, 0, 0, 1])
    with pytest.raises(ValueError, match=r"`validation_fraction`=0.1 cannot set aside.* 1 rows"):
        HardL0MLPRegressor(early_stopping=True).fit([[1, 2]], [0])
    with pytest.raises(ValueError, match=r"`validation_fraction` sets aside, must be at least 2"):
        HardL0MLPRegressor(early_stopping=True).fit([[1, 2], [3, 4]], [0, 1])


def test_labels_may_be_words_under_early_stopping():
    words = np.array(["setosa", "versicolor", "virginica"], dtype=object)[Y_IRIS]
    clf = HardL0MLPClassifier((20,), early_stopping=True, max_iter=50, random_state=42)
    clf.fit(X_IRIS, words)
    assert len(clf.validation_scores_) == clf.n_iter_
    assert np.isfinite(clf.validation_scores_).all()
    assert set(clf.predict(X_IRIS)) <= set(words)


@both
def test_weights_of_one_change_nothing_under_early_stopping(kind):
    model = kind((10,), early_stopping=True, max_iter=15, random_state=42)
    without = pickle.loads(pickle.dumps(model.fit(X_IRIS, Y_IRIS)))
    weighted = model.fit(X_IRIS, Y_IRIS, sample_weight=np.ones(len(X_IRIS)))
    assert same_network(without, weighted)
    assert without.validation_scores_ == weighted.validation_scores_


@both
def test_an_adaptive_rate_falls_to_its_floor_before_it_stops(kind):
    settings = {
        "tol": 10.0, "n_iter_no_change": 3, "max_iter": 3000, "solver": "sgd", "pruning": "none",
        "learning_rate_init": 0.001, "random_state": 0,
    }  # fmt: skip
    X, y = [[3, 2], [1, 6]], [1, 0]
    constant = kind((5,), **settings).fit(X, y)
    adaptive = kind((5,), **settings, learning_rate="adaptive").fit(X, y)
    n_falls = int(np.ceil(np.log(0.001 / LOWEST_RATE) / np.log(5)))
    assert constant.n_iter_ == 3 + 2
    assert adaptive.n_iter_ == constant.n_iter_ + n_falls * (3 + 1)


def test_every_epoch_is_told_of_in_fit_and_in_partial_fit(caplog, capsys):
    """scikit-learn prints lines on standard output; here a logger, or a bar, tells."""
    caplog.set_level("INFO", logger="fastl0")
    X, y = [[3, 2], [1, 6]], [1, 0]
    clf = HardL0MLPClassifier((2,), solver="sgd", max_iter=2, verbose=10, batch_size=1).fit(X, y)
    assert [record.args[0] for record in caplog.records] == ["1 of at most 2", "2 of at most 2"]
    caplog.clear()
    clf.partial_fit(np.tile(X, (100, 1)), np.tile(y, 100))
    assert "loss" in caplog.text
    assert capsys.readouterr().out == ""


# --- warm starts -------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["constant", "invscaling"])
@both
def test_a_warm_start_goes_on_with_the_learning_rate(kind, schedule):
    settings = {
        "hidden_layer_sizes": (4,), "solver": "sgd", "learning_rate": schedule, "power_t": 0.25,
        "pruning": "none", "random_state": 0,
    }  # fmt: skip
    X, y = [[3, 2], [1, 6], [5, 6], [-2, -4]], [1, 1, 1, 0]
    once = kind(**settings, max_iter=6).fit(X, y)
    often = kind(**settings, max_iter=1, warm_start=True)
    for _ in range(6):
        often.fit(X, y)
    assert same_network(once, often)


def test_a_warm_start_needs_the_same_classes():
    clf = HardL0MLPClassifier((2,), warm_start=True, max_iter=2, random_state=42)
    clf.fit(X_IRIS, Y_IRIS)
    clf.fit(X_IRIS, Y_IRIS)
    clf.fit(X_IRIS, np.repeat([0, 1, 2], [40, 40, 70]))
    for other in ([0, 1], [0, 1, 3], [0, 1, 2, 3], [0, 1, 2, 3, 4]):
        y = np.resize(other, len(X_IRIS))
        with pytest.raises(ValueError, match=r"With warm_start=True y must hold the classes"):
            clf.fit(X_IRIS, y)


@both
def test_every_warm_start_runs_its_epochs(kind):
    model = kind((2,), solver="sgd", warm_start=True, max_iter=3, n_iter_no_change=np.inf, lam=0.0)
    for n_iter in (3, 6):
        with pytest.warns(ConvergenceWarning, match="max_iter=3"):
            model.fit(X_IRIS, Y_IRIS)
        assert model.n_iter_ == 3
        assert len(model.loss_curve_) == n_iter
        assert model.t_ == n_iter * len(X_IRIS)
    model.set_params(max_iter=20)
    with pytest.warns(ConvergenceWarning, match="max_iter=20"):
        model.fit(X_IRIS, Y_IRIS)
    assert model.n_iter_ == 20
    assert len(model.loss_curve_) == 26


@both
def test_a_warm_start_under_early_stopping_adds_its_scores(kind):
    model = kind((10,), max_iter=5, warm_start=True, early_stopping=True, random_state=0)
    n_scores = len(model.fit(X_IRIS, Y_IRIS).validation_scores_)
    model.set_params(max_iter=8).fit(X_IRIS, Y_IRIS)
    assert len(model.validation_scores_) == n_scores + 8
