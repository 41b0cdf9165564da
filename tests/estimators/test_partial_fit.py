"""Training by `partial_fit`, as users meet it and as `streaming` does it."""

import copy
import io
import pickle
import sys
import threading
import types
import warnings
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.metrics import d2_tweedie_score, r2_score
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.estimators import base, partial_fit
from fastl0.training import epoch_runner, online, trainer
from fastl0.training.buffers import Buffers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: Small, on mini-batches of 8 rows: 800 rows make an epoch.
SMALL = {"hidden_layer_sizes": (30,), "batch_size": 8, "random_state": 0}
#: On the way to a target size for six epochs.
ON_THE_WAY = SMALL | {"max_iter": 8, "finetune_fraction": 0.25, "learning_rate_init": 0.01}


def linear(n_rows=400, n_features=6, seed=0):
    """Rows of which two features matter, a number and its sign."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    number = X[:, 0] - X[:, 1]
    return X, number, (number > 0).astype(int)


X, NUMBER, SIGN = linear()
THIRD = np.digitize(NUMBER, [-0.7, 0.7])
LABELS = np.column_stack([X[:, 0] > 0, X[:, 1] > 0, NUMBER > 0]).astype(int)

PROBLEMS = {
    "binary": (HardL0MLPClassifier, SIGN, {"classes": [0, 1]}),
    "strings": (HardL0MLPClassifier, np.array(["no", "yes"])[SIGN], {"classes": ["yes", "no"]}),
    "multiclass": (HardL0MLPClassifier, THIRD, {"classes": [0, 1, 2]}),
    "multilabel": (HardL0MLPClassifier, LABELS, {}),
    "regression": (HardL0MLPRegressor, NUMBER, {}),
    "outputs": (HardL0MLPRegressor, np.column_stack([NUMBER, X[:, 2]]), {}),
}
every_problem = pytest.mark.parametrize("problem", PROBLEMS)


def stream(problem, n_passes=1, n_rows=400, **settings):
    """An estimator that has learned `n_passes` times over the rows, in calls of `n_rows`."""
    kind, y, first = PROBLEMS[problem]
    model = kind(**SMALL | settings)
    for _ in range(n_passes):
        for start in range(0, len(X), n_rows):
            rows = slice(start, start + n_rows)
            model.partial_fit(X[rows], y[rows], **first)
            first = {}
    return model


def arrays_of(model):
    return [*model.coefs_, *model.intercepts_, model.support_]


def same_network(a, b):
    pairs = list(zip(arrays_of(a), arrays_of(b), strict=True))
    return all(x.shape == y.shape and np.array_equal(x, y) for x, y in pairs)


# --- learning ----------------------------------------------------------------------------


@every_problem
def test_it_learns_and_shrinks_to_its_size(problem):
    model = stream(problem, 16, n_rows=50, **ON_THE_WAY, target_size=0.4)
    history = model.history_
    assert (np.diff(history["n_units"], axis=0) <= 0).all()
    assert (np.diff(history["buffer_nbytes"]) <= 0).all()
    size = int(0.4 * history["n_parameters"][0])
    assert 0.5 * size < model.n_parameters_ <= size
    assert model.score(X, PROBLEMS[problem][1]) > 0.85


def test_a_size_is_reached_when_its_epochs_are_over():
    model = HardL0MLPRegressor(**ON_THE_WAY, target_size=60)
    for _ in range(12):  # 12 calls of 50 mini-batches are six epochs
        model.partial_fit(X, NUMBER)
    assert len(model.loss_curve_) == 6
    assert model.n_parameters_ <= 60 < model.history_["n_parameters"][0]
    units = model.n_units_
    for _ in range(8):
        model.partial_fit(X, NUMBER)
    assert model.n_units_ == units


@pytest.mark.parametrize("problem", ["multiclass", "regression"])
def test_a_size_in_bytes_is_that_of_weights_and_biases(problem):
    model = stream(problem, n_passes=16, **ON_THE_WAY, target_size="400 B")
    assert 0.8 * 400 < sum(array.nbytes for array in [*model.coefs_, *model.intercepts_]) <= 400


def test_with_a_price_units_go_as_long_as_it_runs():
    model = stream("regression", 60, lam=3.0, gate_learning_rate_init=0.05)
    sizes = model.history_["n_parameters"]
    assert sizes[0] == 30 * 8 + 1 > sizes[-1]
    assert model.support_[:2].all()
    assert not model.support_.all()
    assert model.score(X, NUMBER) > 0.9


def test_soft_gates_are_closed_but_nothing_is_deleted():
    model = stream(
        "regression", 60, lam=3.0, gate_learning_rate_init=0.05, pruning="soft", max_iter=20
    )
    assert set(model.history_["n_units"]) == {(6, 30, 1)}
    assert model.n_parameters_ < 30 * 8 + 1


@every_problem
def test_without_pruning_passes_are_the_epochs_of_fit(problem):
    kind, y, first = PROBLEMS[problem]
    settings = SMALL | {"pruning": "none", "shuffle": False, "tol": 0.0}
    fitted = kind(**settings, max_iter=5, n_iter_no_change=100).fit(X, y)
    streamed = kind(**settings)
    for _ in range(5):
        streamed.partial_fit(X, y, **first)
    assert same_network(fitted, streamed)
    assert streamed.t_ == fitted.t_ == 5 * len(X)
    np.testing.assert_array_equal(fitted.predict(X), streamed.predict(X))


def test_a_first_call_may_have_one_row():
    model = HardL0MLPRegressor(**SMALL).partial_fit(X[:1], NUMBER[:1])
    assert (model.center_, model.scale_) == (NUMBER[0], 1.0)
    for row in range(1, 400):
        model.partial_fit(X[row : row + 1], NUMBER[row : row + 1])
    assert model.score(X, NUMBER) > 0.5


def test_the_first_counts_may_be_zeros():
    counts = np.random.default_rng(0).poisson(np.exp(1 + X[:, 0]))
    model = HardL0MLPRegressor((30,), loss="poisson", pruning="none", random_state=0)
    model.partial_fit(X[:5], np.zeros(5))
    for _ in range(200):
        model.partial_fit(X, counts)
    np.testing.assert_allclose(model.predict(X).mean(), counts.mean(), rtol=0.1)


# --- calls of any length -----------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"target_size": 0.3}, {"lam": 3.0, "gate_learning_rate_init": 0.1}], ids=str
)
@pytest.mark.parametrize("problem", ["binary", "regression"])
def test_rows_may_come_in_calls_of_any_length(problem, settings, monkeypatch):
    """Where calls are whole mini-batches, and rows stay in order, it is the same network."""
    monkeypatch.setattr(trainer, "_WARM_UP_BY_PRICE", 100)
    settings = ON_THE_WAY | settings | {"shuffle": False, "max_iter": 5}
    kind, y, first = PROBLEMS[problem]
    long_X, long_y = np.tile(X, (12, 1)), np.tile(y, 12)
    models = []
    for n_rows in (8, 400, 4800):
        model = kind(**settings)
        # What a first call tells: the scale of numbers.
        model.partial_fit(X, y, **first)
        for start in range(0, len(long_X), n_rows):
            rows = slice(start, start + n_rows)
            model.partial_fit(long_X[rows], long_y[rows])
        models.append(model)
    a, b, c = models
    assert same_network(a, b)
    assert same_network(b, c)
    assert a.n_units_ != (6, 30, 1)
    assert a.t_ == b.t_ == c.t_ == 13 * len(X)
    for name in ("n_units", "n_parameters", "batch_size"):
        assert a.history_[name] == b.history_[name] == c.history_[name]
    np.testing.assert_allclose(a.loss_curve_, c.loss_curve_, rtol=1e-9)


def test_an_epoch_is_100_mini_batches_and_its_loss_is_that_of_a_row():
    model = stream("binary", 15, n_rows=400, lam=0.1)
    assert model.t_ == 15 * 400
    assert {len(entries) for entries in model.history_.values()} == {8}  # 7.5
    assert 0.4 < model.loss_curve_[0] < 1.0
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.loss_ == model.history_["loss"][-1]
    assert model.best_loss_ == min(model.loss_curve_)
    assert sum(model.history_["epoch_time"]) > 0.0


def as_rows(kind, rows):
    """The same rows in another kind of container."""
    return {
        "list": rows.tolist,
        "float32": lambda: rows.astype(np.float32),
        "Fortran": lambda: np.asfortranarray(rows),
        "backwards": lambda: rows[::-1].copy()[::-1],
        "strided": lambda: np.repeat(np.repeat(rows, 2, 0), 3, 1)[::2, ::3],
        "CSR": lambda: sp.csr_array(rows),
        "CSC": lambda: sp.csc_array(rows),
        "COO": lambda: sp.coo_array(rows),
    }[kind]()


@pytest.mark.parametrize("n_rows", [1, 20])
@pytest.mark.parametrize(
    "kind", ["list", "float32", "Fortran", "backwards", "strided", "CSR", "CSC", "COO"]
)
def test_equal_rows_give_the_same_network_whatever_holds_them(kind, n_rows):
    whole = np.round(X[:60] * 4)
    settings = SMALL | {"hidden_layer_sizes": (5,)}
    reference, other = HardL0MLPRegressor(**settings), HardL0MLPRegressor(**settings)
    for start in range(0, 60, n_rows):
        rows, y = whole[start : start + n_rows], NUMBER[start : start + n_rows]
        reference.partial_fit(rows, y)
        other.partial_fit(as_rows(kind, rows), y)
    assert same_network(reference, other)


@every_problem
def test_the_short_way_of_plain_rows_leads_to_the_same_network(problem):
    kind, y, first = PROBLEMS[problem]
    plain, checked = kind(**SMALL), kind(**SMALL)
    for row in range(150):
        rows = slice(row, row + 1 + row % 3)
        plain.partial_fit(X[rows], y[rows], **first)
        checked.partial_fit(X[rows].tolist(), y[rows].tolist(), **first)
        first = {}
    assert same_network(plain, checked)


# --- after fit, and before ---------------------------------------------------------------


@every_problem
@pytest.mark.parametrize("settings", [{}, {"lam": 0.5}, {"pruning": "soft"}, {"pruning": "none"}])
def test_after_fit_it_goes_on_from_what_is_left(problem, settings):
    kind, y, _ = PROBLEMS[problem]
    model = kind(**SMALL | settings, max_iter=20).fit(X, y)
    outputs = model.predict if problem in ("regression", "outputs") else model.predict_proba
    before, units = outputs(X), model.n_units_
    model.set_params(learning_rate_init=1e-30, gate_learning_rate_init=1e-30, alpha=0.0)
    model.partial_fit(X[:5], y[:5])
    assert model.n_units_ == units
    np.testing.assert_allclose(outputs(X), before, rtol=1e-3, atol=1e-5)
    assert model.n_iter_ == len(model.loss_curve_) == 1
    assert model.t_ == 5


def test_after_fit_it_learns_what_is_new():
    model = HardL0MLPRegressor(**SMALL | {"learning_rate_init": 0.01}, max_iter=30).fit(X, NUMBER)
    assert model.score(X, -NUMBER) < 0
    for _ in range(20):
        model.partial_fit(X, -NUMBER)
    assert model.score(X, -NUMBER) > 0.9


def test_after_fit_it_comes_to_a_smaller_size():
    model = HardL0MLPRegressor(**ON_THE_WAY, target_size=0.5).fit(X, NUMBER)
    before = model.n_parameters_
    model.set_params(target_size=0.2)
    for _ in range(12):
        model.partial_fit(X, NUMBER)
    assert model.n_parameters_ <= int(0.2 * (30 * 8 + 1)) < before
    assert model.score(X, NUMBER) > 0.9


@pytest.mark.parametrize("sizes", [(3, 3), (), (1,)])
def test_after_fit_the_layers_must_have_room_for_the_network(sizes):
    model = HardL0MLPRegressor(**SMALL, max_iter=3).fit(X, NUMBER)
    before = pickle.dumps(model)
    model.set_params(hidden_layer_sizes=sizes)
    with pytest.raises(ValueError, match="`hidden_layer_sizes` must not change between fit"):
        model.partial_fit(X, NUMBER)
    assert pickle.dumps(model.set_params(hidden_layer_sizes=(30,))) == before


def test_fit_begins_anew():
    fresh = HardL0MLPRegressor(**SMALL, max_iter=3).fit(X, NUMBER)
    used = HardL0MLPRegressor(**SMALL, max_iter=3).partial_fit(X, NUMBER).fit(X, NUMBER)
    assert same_network(fresh, used)
    assert "_stream" not in vars(used)
    assert used.history_["loss"] == fresh.history_["loss"]


@pytest.mark.parametrize("problem", ["binary", "multilabel", "outputs"])
def test_a_warm_start_goes_on_from_a_stream(problem):
    y = PROBLEMS[problem][1]
    model = stream(problem, 16, warm_start=True, lam=0.1, learning_rate_init=0.01, max_iter=1)
    n_epochs, n_rows = len(model.loss_curve_), model.t_
    model.fit(X, y)
    assert len(model.loss_curve_) == n_epochs + 1 > model.n_iter_ == 1
    assert model.t_ == n_rows + len(X)
    assert model.loss_ < 0.7 * clone(model).fit(X, y).loss_
    # ... and a stream from a warm start.
    model.partial_fit(X, y)
    assert "_warm_state" not in vars(model)
    assert model.t_ == len(X)
    assert model.score(X, y) > 0.8


# --- what may change between calls, and what may not -------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_layer_sizes": (31,)},
        {"solver": "sgd"},
        {"pruning": "none"},
        {"gate_inputs": False},
        {"activation": "tanh"},
        {"early_stopping": True},
    ],
    ids=str,
)
def test_what_shapes_the_network_stays(change):
    model = stream("regression")
    before = copy.deepcopy(model)
    (name,) = change
    with pytest.raises(ValueError, match=f"`{name}` must not change.*partial_fit.*got.*afresh"):
        model.set_params(**change).partial_fit(X, NUMBER)
    model.set_params(**before.get_params())
    assert same_network(model, before)
    assert same_network(model.partial_fit(X, NUMBER), before.partial_fit(X, NUMBER))


def test_another_learning_rate_counts_from_the_next_call_on():
    model = stream("regression", lam=0.1)
    before = model.predict(X)
    model.set_params(learning_rate_init=1e-30, gate_learning_rate_init=1e-30)
    np.testing.assert_allclose(model.partial_fit(X, NUMBER).predict(X), before, rtol=1e-4)
    model.set_params(learning_rate_init=0.01, gate_learning_rate_init=0.01)
    assert np.abs(model.partial_fit(X, NUMBER).predict(X) - before).max() > 0.1


def test_another_price_counts_from_the_next_call_on():
    cheap = stream("regression", 10, lam=0.0, gate_learning_rate_init=0.05, max_iter=20)
    dear = copy.deepcopy(cheap).set_params(lam=30.0)
    for _ in range(20):
        cheap.partial_fit(X, NUMBER)
        dear.partial_fit(X, NUMBER)
    assert dear.n_parameters_ < 0.5 * cheap.n_parameters_


def test_another_size_is_reached_from_where_the_network_is():
    model = stream("regression", 12, **ON_THE_WAY, target_size=0.6)
    assert model.n_parameters_ <= int(0.6 * 241)
    model.set_params(target_size=0.2)
    for _ in range(12):
        model.partial_fit(X, NUMBER)
    assert model.n_parameters_ <= int(0.2 * 241)
    assert model.score(X, NUMBER) > 0.9
    units = model.n_units_
    model.set_params(target_size=0.6)
    for _ in range(12):
        model.partial_fit(X, NUMBER)
    assert model.n_units_ == units


def test_a_size_may_take_the_place_of_a_price():
    model = stream("regression", 30, **ON_THE_WAY, lam=0.1)
    assert model.n_parameters_ > int(0.3 * 241)
    model.set_params(lam=None, target_size=0.3)
    for _ in range(6):
        model.partial_fit(X, NUMBER)
    assert model.n_parameters_ > int(0.3 * 241)  # there is time
    for _ in range(6):
        model.partial_fit(X, NUMBER)
    assert model.n_parameters_ <= int(0.3 * 241)
    assert model.score(X, NUMBER) > 0.9


@pytest.mark.parametrize("size", [0.3, 60, "240 B"])
def test_at_its_size_a_network_takes_other_settings(size):
    model = HardL0MLPRegressor(**ON_THE_WAY, target_size=size)
    for _ in range(14):
        model.partial_fit(X, NUMBER)
    units = model.n_units_
    assert units < (6, 30, 1)
    model.set_params(learning_rate_init=0.001, alpha=0.01, max_iter=100)
    assert model.partial_fit(X, NUMBER).n_units_ == units


def test_another_level_of_the_quantile_counts_from_the_next_call_on():
    rng = np.random.default_rng(0)
    y = NUMBER + rng.normal(size=len(X))
    model = HardL0MLPRegressor(
        **SMALL | {"learning_rate_init": 0.01}, loss="quantile", quantile=0.1, pruning="none"
    )
    for level in (0.1, 0.9):
        model.set_params(quantile=level)
        for _ in range(20):
            model.partial_fit(X, y)
        assert abs((y <= model.predict(X)).mean() - level) < 0.1


def test_label_smoothing_counts_from_the_next_call_on():
    model = stream("multiclass", 20, learning_rate_init=0.01, pruning="none")
    sharp = model.predict_proba(X).max(axis=1).mean()
    model.set_params(label_smoothing=0.6)
    for _ in range(20):
        model.partial_fit(X, THIRD)
    assert model.predict_proba(X).max(axis=1).mean() < 0.75 < sharp


def test_other_losses_may_follow_but_not_those_with_another_link():
    model = stream("regression")
    model.set_params(loss="huber").partial_fit(X, NUMBER)
    assert model._stream.trainer.config.loss == "huber"
    with pytest.raises(ValueError, match=r'`loss` must not change from or to "poisson".*afresh'):
        model.set_params(loss="poisson").partial_fit(X, np.abs(NUMBER))
    model = HardL0MLPRegressor(**SMALL, loss="poisson", max_iter=3, warm_start=True)
    model.fit(X, np.abs(NUMBER)).set_params(loss="absolute_error")
    for method in (model.fit, model.partial_fit):
        with pytest.raises(ValueError, match="`loss` must not change"):
            method(X, np.abs(NUMBER))


def test_another_batch_size_counts_from_the_next_call_on():
    model = stream("regression", lam=0.1).set_params(batch_size=40)
    model.partial_fit(X, NUMBER)
    assert model._stream.trainer.pruner.n_draws == 50 + 10
    assert model.history_["batch_size"] == [40]
    n_bytes = model.history_["buffer_nbytes"][-1]
    model.set_params(batch_size="auto").partial_fit(X, NUMBER)
    assert model.history_["batch_size"] == [8, 8]
    assert model.history_["buffer_nbytes"][-1] < n_bytes


def test_a_memory_budget_is_kept():
    model = HardL0MLPRegressor((50,), batch_size=200, memory_budget="22 kB", random_state=0)
    with pytest.warns(UserWarning, match=r'second moments.*solver="sgd"'):
        model.partial_fit(X, NUMBER)
    assert model.history_["buffer_nbytes"][0] <= 22_000
    assert model.history_["batch_size"][0] < 200
    with pytest.raises(ValueError, match="`memory_budget` must hold"):
        model.set_params(memory_budget="2 kB").partial_fit(X, NUMBER)
    model.set_params(memory_budget="30 kB").partial_fit(X, NUMBER)
    assert 22_000 < model.history_["buffer_nbytes"][-1] <= 30_000


def test_arrays_as_parameters_may_be_replaced_by_equal_ones():
    model = HardL0MLPRegressor(np.array([5, 4]), random_state=0).partial_fit(X, NUMBER)
    other = copy.deepcopy(model).set_params(hidden_layer_sizes=np.array([5, 4]))
    for _ in range(3):
        model.partial_fit(X[:1], NUMBER[:1])
        other.partial_fit(X[:1], NUMBER[:1])
    assert same_network(model, other)


# --- errors ------------------------------------------------------------------------------

BAD = np.full((1, 6), np.nan)
MISTAKES = {
    "NaN": ("X", lambda m: m.partial_fit(BAD, SIGN[:1])),
    "text": ("dtype|convert|string", lambda m: m.partial_fit([["a"] * 6], SIGN[:1])),
    "columns": ("X has 5 features", lambda m: m.partial_fit(X[:, :5], SIGN)),
    "one dimension": ("Expected 2D array", lambda m: m.partial_fit(X[0], SIGN[:1])),
    "fewer labels": ("inconsistent", lambda m: m.partial_fit(X[:2], SIGN[:1])),
    "no labels": ("0 sample", lambda m: m.partial_fit(X[:1], SIGN[:0])),
    "no rows": ("0 sample", lambda m: m.partial_fit(X[:0], SIGN[:0])),
    "label": (r"`y` must hold labels out of", lambda m: m.partial_fit(X[:1], [7])),
    "kind of label": (r"`y` must hold labels out of", lambda m: m.partial_fit(X[:1], ["a"])),
    "two labels": (r"one label a row", lambda m: m.partial_fit(X[:2], LABELS[:2])),
    "classes": ("`classes` must be those", lambda m: m.partial_fit(X, SIGN, classes=[0, 1, 2])),
    "other classes": ("`classes` must be those", lambda m: m.partial_fit(X, SIGN, classes=[1, 2])),
    "no list": ("`classes` must be a list", lambda m: m.partial_fit(X, SIGN, classes=5)),
    "weights": ("sample_weight", lambda m: m.partial_fit(X, SIGN, sample_weight=[1.0])),
    "huge weight": ("`sample_weight` must be at", lambda m: m.partial_fit(X, SIGN, None, 2e18)),
    "masked": ("`X` must have no missing", lambda m: m.partial_fit(np.ma.masked_less(X, 0), SIGN)),
    "negative weight": ("sample_weight", lambda m: m.partial_fit(X, SIGN, None, -np.ones(400))),
    "no y_val": ("`y_val`", lambda m: m.partial_fit(X, SIGN, X_val=X)),
    "no X_val": ("`X_val`", lambda m: m.partial_fit(X, SIGN, y_val=SIGN)),
    "weights alone": ("`X_val`", lambda m: m.partial_fit(X, SIGN, sample_weight_val=[1])),
    "X_val": ("features", lambda m: m.partial_fit(X, SIGN, X_val=X[:, :5], y_val=SIGN)),
    "y_val": ("`y_val`", lambda m: m.partial_fit(X, SIGN, X_val=X, y_val=SIGN + 5)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_changes_nothing(mistake):
    message, call = MISTAKES[mistake]
    model = stream("binary")
    untouched = copy.deepcopy(model)
    with pytest.raises(ValueError, match=message):
        call(model)
    assert same_network(model, untouched)
    model.partial_fit(X, SIGN)
    untouched.partial_fit(X, SIGN)
    assert same_network(model, untouched)
    assert model.loss_curve_ == untouched.loss_curve_


@pytest.mark.parametrize("mistake", sorted(set(MISTAKES) - {"columns", "two labels", "classes"}))
def test_a_mistake_in_the_first_call_leaves_nothing(mistake):
    model = HardL0MLPClassifier(**SMALL)
    with pytest.raises(ValueError, match=r".") as caught:
        MISTAKES[mistake][1](model)
    assert len(str(caught.value)) > 20
    assert vars(model) == vars(HardL0MLPClassifier(**SMALL))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (None, "`classes` must be passed on the first call.*got None. Give"),
        ([], r"`classes` must hold one label or more, got \[\]"),
        ([0, np.nan], r"`classes` must hold no missing label, got \[0, nan\]"),
        ([[0, 1], [1, 0]], "`classes` must be a list of labels"),
        ([0, "a", None], "`classes` must be a list of labels"),
        ([0, 2], r"`y` must hold labels out of array\(\[0, 2\]\) only, got array\(\[1\]\)"),
    ],
)
def test_the_first_call_names_the_classes(classes, message):
    with pytest.raises(ValueError, match=message):
        HardL0MLPClassifier(**SMALL).partial_fit(X, SIGN, classes=classes)


def test_a_stream_of_one_class_is_a_constant():
    model = HardL0MLPClassifier(**SMALL)
    for start in range(0, 400, 50):
        model.partial_fit(X[start : start + 50], np.ones(50, int), classes=[1])
    assert model.predict(X).tolist() == [1] * 400
    np.testing.assert_array_equal(model.predict_proba(X), np.tile([1.0, 0.0], (400, 1)))
    assert (model.t_, model.score(X[:9], [1] * 9)) == (400, 1.0)
    with pytest.raises(ValueError, match=r"`y` must hold labels out of array\(\[1\]\) only"):
        model.partial_fit(X, SIGN)
    model.set_params(warm_start=True, max_iter=2).fit(X, np.ones(400, int))
    assert model.predict_proba(X)[0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("seen", [0, 1])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_a_class_that_has_not_been_seen_yet_becomes_unlikely(seen, class_weight):
    settings = SMALL | {"learning_rate_init": 0.01, "lam": 0.1}
    model = HardL0MLPClassifier(**settings, class_weight=class_weight)
    for _ in range(5):
        model.partial_fit(X, np.full(400, seen), classes=[0, 1])
    assert model.classes_.tolist() == [0, 1]
    assert model.predict_proba(X)[:, seen].min() > 0.95
    model.partial_fit(X, SIGN)
    assert set(model.predict(X)) == {0, 1}


def test_labels_that_are_always_or_never_there_are_streamed():
    Y = np.column_stack([np.ones(400, int), np.zeros(400, int)])
    model = HardL0MLPClassifier(**SMALL | {"learning_rate_init": 0.01, "lam": 0.1})
    for _ in range(5):
        model.partial_fit(X, Y)
    found = model.predict_proba(X)
    assert found[:, 0].min() > 0.95
    assert found[:, 1].max() < 0.05


def test_mini_batches_of_a_stream_may_be_larger_than_a_call():
    model = HardL0MLPRegressor(**SMALL | {"batch_size": 50})
    model.partial_fit(X[:5], NUMBER[:5]).partial_fit(X[5:105], NUMBER[5:105])  # no warning
    assert model._stream.trainer.buffers.batch_size == 50
    assert model._stream.trainer.pruner.n_draws == 1 + 2


def test_a_call_is_one_iteration_as_in_mlpclassifier():
    ours = HardL0MLPClassifier(**SMALL, max_iter=3, lam=0.1, warm_start=True)
    theirs = MLPClassifier((30,), max_iter=3, warm_start=True)
    found = []
    for model in (ours, theirs):
        model.fit(X, SIGN).fit(X, SIGN)
        found.append([(model.n_iter_, model.t_, len(model.loss_curve_))])
        model.partial_fit(X, SIGN).partial_fit(X, SIGN)
        found[-1].append(model.n_iter_)
    assert found[0] == found[1] == [(3, 6 * 400, 6), 1]
    # The history of a stream is its own.
    assert (ours.t_, len(ours.loss_curve_)) == (800, 1)
    ours.fit(X, SIGN)
    assert (ours.n_iter_, ours.t_, len(ours.loss_curve_)) == (3, 5 * 400, 1 + 3)


def test_a_sparse_column_of_labels_is_as_a_dense_one():
    first = HardL0MLPClassifier(**SMALL).partial_fit(X, SIGN, classes=[0, 1, 2])
    other = HardL0MLPClassifier(**SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other.partial_fit(X, sp.csr_array(SIGN[:, None]), classes=[0, 1, 2])
    assert same_network(first, other)


def test_classes_may_be_named_again_and_in_any_order():
    model = HardL0MLPClassifier(**SMALL)
    for classes in ([2, 0, 1], [0, 1, 2], np.array([1, 2, 0, 0])):
        model.partial_fit(X, SIGN, classes=classes)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(X).shape == (400, 3)


def test_a_multilabel_indicator_stays_one():
    model = stream("multilabel")
    for bad in (SIGN, LABELS[:, :2], 2 * LABELS):
        with pytest.raises(ValueError, match="`y` must be a multilabel indicator of 3 columns"):
            model.partial_fit(X, bad)
    model.partial_fit(X, sp.csr_array(LABELS), classes=[0, 1, 2])
    assert model.predict(X).shape == LABELS.shape


def test_numbers_keep_their_columns():
    model = stream("outputs")
    with pytest.raises(ValueError, match="`y` must have 2 columns, as in the first fit, got 1"):
        model.partial_fit(X, NUMBER)


def test_the_row_that_cannot_be_learned_is_not_learned():
    model = stream("regression", 5)
    before = model.predict(X)
    with pytest.raises(ValueError, match=r"not finite.*StandardScaler"):
        model.partial_fit(np.full((1, 6), 1e30), NUMBER[:1])
    np.testing.assert_array_equal(model.predict(X), before)
    for _ in range(10):
        model.partial_fit(X, NUMBER)
    assert model.score(X, NUMBER) > 0.9


def test_parameters_that_are_not_finite_never_predict():
    settings = {"pruning": "none", "solver": "sgd", "learning_rate_init": 1e38}
    model = stream("regression", n_rows=5, **settings | {"learning_rate_init": 1e-3})
    model.set_params(learning_rate_init=1e38).partial_fit(1e4 * X[:8], NUMBER[:8])
    for call in (
        lambda: model.predict(X),
        lambda: model.coefs_,
        lambda: model.partial_fit(X, NUMBER),
        lambda: model.transform(X),
    ):
        with pytest.raises(ValueError, match="not finite"):
            call()
    assert model.n_iter_ == 1
    pickle.loads(pickle.dumps(model))
    assert clone(model).set_params(learning_rate_init=0.01).partial_fit(X, NUMBER).predict(
        X
    ).shape == (400,)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_an_overflow_of_moments_is_seen(n_rows):
    rng = np.random.default_rng(0)
    data, wide = 1e12 * rng.normal(size=(60, 8)), rng.normal(size=(60, 20))

    def learn():
        model = HardL0MLPRegressor((40,), pruning="none", random_state=0)
        for start in range(0, 60, n_rows):
            model.partial_fit(data[start : start + n_rows], wide[start : start + n_rows])
        model.predict(data)

    with pytest.raises(ValueError, match=r"not finite.*StandardScaler"):
        learn()


@pytest.mark.filterwarnings("ignore:The training loss is not finite:RuntimeWarning")
@pytest.mark.parametrize("n_rows", [1, 2])
def test_an_overflow_of_moments_ends_a_fit(n_rows):
    rng = np.random.default_rng(0)
    data, wide = 1e12 * rng.normal(size=(60, 8)), rng.normal(size=(60, 20))
    model = HardL0MLPRegressor((40,), pruning="none", batch_size=n_rows, max_iter=2)
    with pytest.raises(ValueError, match="not finite"):
        model.fit(data, wide)


def test_parameters_that_are_not_finite_are_not_judged():
    settings = SMALL | {"pruning": "none", "solver": "sgd", "learning_rate_init": 1e38}
    judged = []
    model = HardL0MLPRegressor(**settings, scoring=lambda *rows: judged.append(rows) or 0.0)
    with pytest.raises(ValueError, match=r"not finite.*StandardScaler"):
        model.partial_fit(1e4 * X[:8], NUMBER[:8], X_val=X, y_val=NUMBER)
    assert judged == []


def interrupting(function, after):
    """Stand in for a function: Ctrl-C comes in a later call of it."""
    calls = []

    def interrupted(*args, **keywords):
        calls.append(1)
        if len(calls) > after:
            raise KeyboardInterrupt
        return function(*args, **keywords)

    return interrupted


@pytest.mark.parametrize("n_rows", [8, 400])
def test_ctrl_c_leaves_a_stream_that_goes_on(monkeypatch, n_rows):
    model = stream("regression", 3)
    place = online if n_rows == 8 else epoch_runner
    with monkeypatch.context() as patch:
        patch.setattr(place, "train_batches", interrupting(place.train_batches, n_rows // 300))
        with pytest.raises(KeyboardInterrupt):
            model.partial_fit(X[:n_rows], NUMBER[:n_rows])
    assert model._stream.trainer.pruner.n_draws == 0
    assert model.score(X, NUMBER) < 0.9
    for _ in range(20):
        model.partial_fit(X, NUMBER)
    assert model.score(X, NUMBER) > 0.9


def test_half_a_network_is_refused(monkeypatch):
    model = stream("regression", 2, lam=30.0, gate_learning_rate_init=0.1, max_iter=20)
    buffers = model._stream.trainer.buffers
    with monkeypatch.context() as patch:
        patch.setattr(type(buffers), "_adopt", interrupting(type(buffers)._adopt, 0))
        with pytest.raises(KeyboardInterrupt):
            model.partial_fit(np.tile(X, (50, 1)), np.tile(NUMBER, 50))
    for call in (lambda: model.partial_fit(X, NUMBER), lambda: model.predict(X)):
        with pytest.raises(ValueError, match=r"interrupted while it deleted units.*afresh"):
            call()


# --- weights -----------------------------------------------------------------------------

PLAIN = {"pruning": "none", "solver": "sgd", "momentum": 0.0, "alpha": 0.0, "random_state": 0}


@pytest.mark.parametrize("loss", ["squared_error", "quantile"])
def test_weights_are_steps(loss):
    """In plain gradient descent a call of weight 2 moves as far as at twice the rate."""
    start = HardL0MLPRegressor((5,), loss=loss, **PLAIN).partial_fit(X, NUMBER)
    heavy, fast = copy.deepcopy(start), copy.deepcopy(start).set_params(learning_rate_init=0.002)
    heavy.partial_fit(X[:50], NUMBER[:50], sample_weight=np.full(50, 2.0))
    fast.partial_fit(X[:50], NUMBER[:50])
    for a, b in zip(arrays_of(heavy), arrays_of(fast), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)
    assert not same_network(heavy, start)


def test_rows_without_weight_teach_nothing():
    start = HardL0MLPRegressor((5,), **PLAIN).partial_fit(X, NUMBER)
    both, one = copy.deepcopy(start), copy.deepcopy(start)
    weights = np.repeat([2.0, 0.0], 25)
    both.partial_fit(X[:50], np.where(weights > 0, NUMBER[:50], 1e3), sample_weight=weights)
    one.partial_fit(X[:25], NUMBER[:25])
    for a, b in zip(arrays_of(both), arrays_of(one), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("n_rows", [1, 100])
@pytest.mark.parametrize(
    ("problem", "class_weight", "of_row"),
    [
        ("binary", {0: 3.0}, np.where(SIGN == 0, 3.0, 1.0)),
        ("strings", {"yes": 0.5, "no": 2.0}, np.where(SIGN, 0.5, 2.0)),
        ("multiclass", {0: 1.0, 1: 2.0, 2: 3.0}, 1.0 + THIRD),
        (
            "multilabel",
            [{1: 2.0}, {0: 3.0}, {0: 1.0, 1: 1.0}],
            np.where(LABELS[:, 0], 2.0, 1.0) * np.where(LABELS[:, 1], 1.0, 3.0),
        ),
    ],
)
def test_class_weights_are_weights_of_rows(problem, class_weight, of_row, n_rows):
    kind, y, first = PROBLEMS[problem]
    by_class = kind(**SMALL, class_weight=class_weight)
    by_row = kind(**SMALL)
    for start in range(0, 200, n_rows):
        rows = slice(start, start + n_rows)
        by_class.partial_fit(X[rows], y[rows], **first)
        by_row.partial_fit(X[rows], y[rows], **first, sample_weight=of_row[rows])
        first = {}
    assert same_network(by_class, by_row)


@pytest.mark.parametrize("as_rows", [np.asarray, list])
def test_rows_of_a_class_without_weight_teach_nothing(as_rows):
    start = HardL0MLPClassifier((5,), **PLAIN).partial_fit(X, SIGN, classes=[0, 1])
    model = copy.deepcopy(start).set_params(class_weight={0: 0.0, 1: 1.0})
    for row in np.flatnonzero(SIGN == 0)[:20]:
        model.partial_fit(as_rows(X[row : row + 1]), as_rows(SIGN[row : row + 1]))
    assert same_network(model, start)
    row = np.flatnonzero(SIGN == 1)[:1]
    assert not same_network(model.partial_fit(as_rows(X[row]), as_rows(SIGN[row])), start)


def test_class_weights_may_change_and_multiply_those_of_rows():
    a = stream("binary").set_params(class_weight={0: 2.0, 1: 0.5})
    b = stream("binary")
    weights = np.linspace(0.0, 1.0, 400)
    a.partial_fit(X, SIGN, sample_weight=weights)
    b.partial_fit(X, SIGN, sample_weight=weights * np.where(SIGN == 0, 2.0, 0.5))
    assert same_network(a, b)


@pytest.mark.parametrize("problem", ["binary", "multiclass", "multilabel"])
def test_balanced_weights_go_by_the_shares_in_all_rows_so_far(problem):
    y = PROBLEMS[problem][1]
    a = stream(problem, n_rows=100, class_weight="balanced")
    b, first = HardL0MLPClassifier(**SMALL), PROBLEMS[problem][2]
    for start in range(0, 400, 100):
        weights = compute_sample_weight("balanced", y[: start + 100])[start:]
        rows = slice(start, start + 100)
        b.partial_fit(X[rows], y[rows], **first, sample_weight=weights)
        first = {}
    assert same_network(a, b)
    one_by_one = copy.deepcopy(a)
    for k in range(3):
        one_by_one.partial_fit(X[k : k + 1], y[k : k + 1])
    assert not same_network(a, one_by_one)


def test_rows_of_a_call_that_is_refused_do_not_count_as_a_share():
    a, b = (stream("binary", n_rows=100, class_weight="balanced") for _ in range(2))
    with pytest.raises(ValueError, match="y_val"):
        a.partial_fit(X[:7], np.ones(7, int), X_val=X, y_val=SIGN + 5)
    for model in (a, b):
        model.partial_fit(X, SIGN)
    assert same_network(a, b)


def test_rows_that_fail_do_not_count_for_balanced_weights():
    model = stream("binary", class_weight="balanced")
    untouched = copy.deepcopy(model)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:9], SIGN[:9], X_val=X[:, :5], y_val=SIGN)
    for each in (model, untouched):
        each.partial_fit(X, SIGN)
    assert same_network(model, untouched)


def test_a_change_within_class_weights_is_seen():
    model = stream("binary", class_weight={0: 1.0, 1: 1.0})
    other = copy.deepcopy(model).set_params(class_weight={0: 1.0, 1: 9.0})
    model.class_weight[1] = 9.0
    for each in (model, other):
        each.partial_fit(X[:8], SIGN[:8])
    assert same_network(model, other)


@pytest.mark.parametrize(
    ("problem", "class_weight", "message"),
    [
        ("multilabel", {0: 1.0}, "`class_weight` must hold a dict for each of 3 labels"),
        ("multilabel", [{0: 1.0}], "`class_weight` must hold a dict for each of 3 labels"),
        ("binary", {"a": 1.0}, r"`class_weight`={'a': 1.0} does not fit the classes"),
        ("binary", {0: -1.0, 1: 1.0}, "`class_weight` must hold finite numbers >= 0"),
        ("binary", {0: 0.0, 1: 0.0}, "`class_weight` must hold finite numbers >= 0"),
        ("binary", {0: 1e300, 1: 1.0}, "`class_weight` must not give a row .* more than 1e.18"),
        ("multilabel", [{0: 1, 1: 1e7}] * 3, "`class_weight` must not give a row .* more than"),
    ],
)
def test_class_weights_that_no_stream_can_have(problem, class_weight, message):
    with pytest.raises(ValueError, match=message):
        stream(problem, class_weight=class_weight)


# --- judged by validation rows -----------------------------------------------------------


def test_validation_rows_tell_of_every_epoch():
    model = HardL0MLPRegressor(**SMALL, lam=0.1)
    for _ in range(4):  # of half an epoch
        model.partial_fit(X, NUMBER, X_val=X, y_val=NUMBER)
    scores = model.validation_scores_
    assert scores[-1] == pytest.approx(model.score(X, NUMBER))
    assert model.best_validation_score_ == max(scores)
    assert len(scores) == len(model.validation_loss_curve_) == len(model.loss_curve_) == 2
    assert model.validation_loss_curve_[0] > model.validation_loss_curve_[1]
    # Calls without them take nothing away.
    model.partial_fit(X, NUMBER)
    assert model.validation_scores_ == [*scores, None]
    assert stream("regression").validation_scores_ is None


def test_with_early_stopping_the_best_network_predicts():
    model = stream("regression", 20, early_stopping=True, lam=0.1)
    model.partial_fit(X, NUMBER, X_val=X, y_val=NUMBER)
    best, before = model.predict(X), model.score(X, NUMBER)
    for _ in range(5):
        model.partial_fit(X, -NUMBER, X_val=X, y_val=NUMBER)
    np.testing.assert_array_equal(model.predict(X), best)
    assert model.best_validation_score_ == pytest.approx(before)
    assert model.best_loss_ is None
    assert min(s for s in model.validation_scores_ if s is not None) < before


def test_with_early_stopping_the_best_network_is_within_its_size():
    model = HardL0MLPRegressor(**ON_THE_WAY, early_stopping=True, target_size=60)
    for _ in range(16):
        model.partial_fit(X, NUMBER, X_val=X, y_val=NUMBER)
    assert model.n_parameters_ <= 60
    assert model.best_validation_score_ == pytest.approx(model.score(X, NUMBER))
    # One that was kept for a larger size makes way for a new one.
    model.set_params(target_size=30)
    for _ in range(16):
        model.partial_fit(X, NUMBER, X_val=X, y_val=NUMBER)
    assert model.n_parameters_ <= 30
    assert model.best_validation_score_ == pytest.approx(model.score(X, NUMBER))


def test_a_scorer_sees_the_network_and_the_weights():
    seen = []

    def scorer(estimator, rows, y, sample_weight):
        assert not hasattr(estimator, "_stream")
        seen.append((estimator.predict(rows), rows.shape, sample_weight.sum()))
        return -1.5

    model = stream("regression").set_params(scoring=scorer)
    weights = np.linspace(0, 2, 50)
    model.partial_fit(X, NUMBER, X_val=X[:50], y_val=NUMBER[:50], sample_weight_val=weights)
    ((predicted, shape, total),) = seen
    np.testing.assert_allclose(predicted, model.predict(X[:50]), rtol=1e-6)
    assert (shape, total) == ((50, 6), weights.sum())
    assert model.best_validation_score_ == -1.5


def test_a_scorer_that_fails_leaves_the_rows_learned():
    def scorer(*_):
        raise ValueError("no score today")

    model, other = stream("regression"), stream("regression")
    assert model.n_units_  # described before the call
    with pytest.raises(ValueError, match="no score today"):
        model.set_params(scoring=scorer).partial_fit(X, NUMBER, X_val=X, y_val=NUMBER)
    assert same_network(model, other.partial_fit(X, NUMBER))


# --- names, kinds, copies ----------------------------------------------------------------


def test_feature_names_are_those_of_the_first_call():
    frame = pd.DataFrame(X, columns=list("abcdef"))
    model = HardL0MLPRegressor(**SMALL).partial_fit(frame, NUMBER)
    assert model.feature_names_in_.tolist() == list("abcdef")
    model.partial_fit(frame[:1], NUMBER[:1])
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(frame[list("fedcba")], NUMBER)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.partial_fit(X[:1], NUMBER[:1])
    names = np.array(list("abcdef"))
    np.testing.assert_array_equal(model.get_feature_names_out(), names[model.support_])


def test_it_selects_features():
    model = stream("regression", 60, lam=3.0, gate_learning_rate_init=0.05)
    kept = np.flatnonzero(model.get_support())
    assert {0, 1} <= set(kept) != set(range(6))
    np.testing.assert_array_equal(model.transform(X), X[:, kept])


def test_attributes_come_when_they_are_asked_for():
    model = HardL0MLPRegressor(**SMALL)
    assert not hasattr(model, "coefs_")
    assert not hasattr(model, "history_")
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.partial_fit(X, NUMBER)
    own = set(vars(model))
    assert not own & {"coefs_", "history_", "n_iter_"}
    assert not hasattr(model, "anything_else")
    assert model.n_iter_ == 1
    assert "coefs_" not in vars(model)
    assert not hasattr(model, "classes_")
    assert model.coefs_[0].shape == model.n_units_[:2]
    for name in ("center_", "scale_", "n_outputs_", "loss_curve_"):
        assert hasattr(model, name)
    model.partial_fit(X, NUMBER)
    assert set(vars(model)) == own


def test_one_row_is_predicted_without_a_look_at_the_history():
    model = stream("regression")
    model.predict(X[:1])
    assert True not in model._stream._attributes  # of the training
    assert model._stream._network is not None


def test_a_clone_has_learned_nothing_and_a_copy_all():
    model = stream("binary", 3)
    with pytest.raises(NotFittedError):
        clone(model).predict(X)
    expected = model.predict_proba(X)
    shallow, deep = copy.copy(model), copy.deepcopy(model)
    model.partial_fit(X, 1 - SIGN)
    for other in (shallow, deep):
        np.testing.assert_array_equal(other.predict_proba(X), expected)
    assert not np.array_equal(model.predict_proba(X), expected)
    assert deep.partial_fit(X, 1 - SIGN).history_["loss"] == model.history_["loss"]


def through_joblib(model, folder, mmap_mode):
    path = folder / f"{len(list(folder.iterdir()))}.joblib"  # what is mapped must not change
    joblib.dump(model, path)
    return joblib.load(path, mmap_mode=mmap_mode)


WAYS = {
    **{
        f"pickle {protocol}": lambda model, _, p=protocol: pickle.loads(pickle.dumps(model, p))
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
    "joblib": lambda model, folder: through_joblib(model, folder, None),
    "joblib, mapped": lambda model, folder: through_joblib(model, folder, "r"),
    "deepcopy": lambda model, _: copy.deepcopy(model),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("settings", [{"target_size": 0.3}, {"lam": 2.0}], ids=str)
def test_it_goes_on_bit_for_bit_from_where_it_was_stored(way, settings, tmp_path):
    kept = stream("regression", **ON_THE_WAY, **settings)
    for k in range(30):  # within an epoch, and after deletions
        other = WAYS[way](kept, tmp_path)
        for model in (kept, other):
            model.partial_fit(X, NUMBER)
            model.partial_fit(X[k : k + 1], NUMBER[k : k + 1])
        if k % 7 == 0:
            assert same_network(kept, other)
            np.testing.assert_array_equal(kept.predict(X), other.predict(X))
        kept = other
    assert kept.n_units_ < (6, 30, 1)


def test_a_pickle_tells_of_the_network_by_itself():
    model = stream("binary")
    file = io.BytesIO()
    pickle.dump(model, file)
    loaded = pickle.loads(file.getvalue())
    assert len(loaded.coefs_) == len(model.coefs_)
    assert loaded.history_ == model.history_
    assert vars(loaded)["_stream"].online._pointers is None


def test_the_history_does_not_grow_with_the_rows():
    sizes = []
    for batch_size in (1, 100):
        model = stream("regression", 25, batch_size=batch_size, pruning="none")
        assert model.t_ == 25 * 400
        sizes.append(len(model.history_["loss"]))
        assert sizes[-1] == 25 * 400 / batch_size / 100
    model = stream("regression", 5, n_rows=1, pruning="none")
    assert len(model.history_["loss"]) == 5 * 400 / 100


# --- one part of it ----------------------------------------------------------------------


def test_settings_with_arrays_are_compared_by_value():
    model = HardL0MLPRegressor(**SMALL).partial_fit(X, NUMBER)
    assert model._stream.has_settings_of(model)
    model.set_params(hidden_layer_sizes=np.array([8, 8]))
    assert not model._stream.has_settings_of(model)


@pytest.mark.parametrize("outputs", [1, 3])
def test_real_problems_are_learned_as_by_fit(outputs):
    rows, y = make_regression(600, 10, n_informative=5, n_targets=outputs, random_state=0)
    rows = StandardScaler().fit_transform(rows)
    model = HardL0MLPRegressor(
        (50,), batch_size=16, learning_rate_init=0.003, max_iter=20, random_state=0
    )
    for _ in range(80):
        model.partial_fit(rows, y)
    assert model.n_parameters_ <= 0.3 * (50 * (11 + outputs) + outputs)
    assert model.score(rows, y) > 0.9


def test_real_labels_are_learned_as_by_fit():
    rows, labels = make_multilabel_classification(400, 10, random_state=0)
    rows = StandardScaler().fit_transform(rows)
    model = HardL0MLPClassifier(
        (50,), batch_size=16, learning_rate_init=0.003, max_iter=20, random_state=0
    )
    for _ in range(80):
        model.partial_fit(rows, labels)
    assert (model.predict(rows) == labels).mean() > 0.8


# --- rows without weight -------------------------------------------------------------


@pytest.mark.parametrize("problem", ["multiclass", "multilabel", "outputs"])
def test_rows_without_weight_are_none(problem):
    kind, y, first = PROBLEMS[problem]
    model = kind(**SMALL).partial_fit(X, y, **first)
    before = pickle.dumps(model)
    model.partial_fit(X[:1], y[:1], sample_weight=[0.0])
    model.partial_fit(X, y, sample_weight=np.zeros(len(X)))
    other = pickle.loads(before)
    for each in (model, other):
        each.partial_fit(X[:40], y[:40])
    np.testing.assert_array_equal(model.coefs_[0], other.coefs_[0])
    assert model.t_ == other.t_


def test_rows_without_weight_are_checked_all_the_same():
    model = HardL0MLPClassifier(**SMALL).partial_fit(X, SIGN, classes=[0, 1])
    with pytest.raises(ValueError, match="`y` must hold labels out of"):
        model.partial_fit(X[:1], [7], sample_weight=[0.0])


def test_the_first_weights_count_for_the_scale_of_numbers():
    far = np.append(NUMBER, 1e6)
    model = HardL0MLPRegressor(**SMALL).partial_fit(
        np.vstack([X, X[:1]]), far, sample_weight=np.append(np.full(len(X), 1e-9), 0.0)
    )
    assert model.center_ == pytest.approx(NUMBER.mean())
    assert model.scale_ == pytest.approx(NUMBER.std())


def test_a_stream_may_begin_with_rows_without_weight():
    model = HardL0MLPRegressor(**SMALL).partial_fit(X[:3], NUMBER[:3], sample_weight=[0, 0, 0])
    assert np.isfinite(model.predict(X)).all()
    assert model.t_ == 0


# --- several threads -----------------------------------------------------------------


def in_a_thread(job):
    """Begin a job in a thread; the result comes with `result()`."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(job)
    pool.shutdown(wait=False)
    return future


@pytest.mark.parametrize("use", [
    lambda model: model.predict(X), lambda model: model.coefs_, lambda model: model.history_,
    lambda model: model.partial_fit(X[:1], NUMBER[:1]), lambda model: model.partial_fit(X, NUMBER),
])  # fmt: skip
def test_who_uses_a_stream_waits_for_a_call_that_trains(use):
    model = HardL0MLPRegressor(**SMALL).partial_fit(X, NUMBER)
    with model._stream.lock:
        waiting = in_a_thread(lambda: use(model))
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
    assert waiting.result(60) is not None


def test_predictions_beside_training_are_of_one_network():
    """Of any but the network before or after a call they would have another shape, or fail."""
    model = HardL0MLPRegressor(**ON_THE_WAY, target_size=0.2).partial_fit(X, NUMBER)
    sizes, stop = set(), threading.Event()

    def predict():
        while not stop.is_set():
            assert model.predict(X).shape == NUMBER.shape
            sizes.add(model.n_parameters_)

    waiting = in_a_thread(predict)
    try:
        for _ in range(20):
            model.partial_fit(X, NUMBER)
    finally:
        stop.set()
    waiting.result(60)
    assert model.n_parameters_ == min(sizes)


def test_threads_that_are_the_first_to_use_a_copy_share_one_lock(monkeypatch):
    copied = copy.deepcopy(HardL0MLPRegressor(**SMALL).partial_fit(X, NUMBER)._stream)
    both_here, first_is_done, made = threading.Barrier(2), threading.Event(), []

    def make():
        lock = threading.RLock()
        if both_here.wait(60) == 1:  # one of the two
            assert first_is_done.wait(60)
        made.append(lock)
        return lock

    monkeypatch.setattr(partial_fit, "threading", types.SimpleNamespace(RLock=make))

    def take():
        lock = copied.lock
        first_is_done.set()
        return lock

    one, other = in_a_thread(take), in_a_thread(take)
    assert one.result(60) is other.result(60)
    assert len(made) == 2


class Interrupted(HardL0MLPRegressor):
    """Another thread calls `partial_fit` between two looks at the network, when it is told to."""

    def __getattribute__(self, name):
        if name == "intercepts_" and vars(self).pop("waits", False):
            in_a_thread(lambda: self.partial_fit(X, NUMBER)).result(60)
        return super().__getattribute__(name)


def test_predictions_beside_the_first_call_after_fit_are_of_one_network():
    model = Interrupted(**SMALL, max_iter=2).fit(X, NUMBER)
    before = model.predict(X)
    model.waits = True
    found = model.predict(X)
    model.waits = False
    assert np.array_equal(found, before) or np.array_equal(found, model.predict(X))


# --- the centre and scale of numbers -----------------------------------------------------

#: One row at a time, quickly.
FAST = {"hidden_layer_sizes": (30,), "learning_rate_init": 0.01, "pruning": "none"}
LONG_X, LONG, _ = linear(3000, seed=1)
AT = np.arange(3000)
#: Streams of numbers, and from which row on they have been learned.
COURSES = {
    "from the first row": (500.0 + 100.0 * LONG, 500),
    "small": (3.0 + 1e-3 * LONG, 500),
    "constant at first": (np.where(AT < 20, 500.0, 500.0 + 100.0 * LONG), 500),
    "long constant": (np.where(AT < 1000, 0.0, 500.0 + 100.0 * LONG), 1700),
    "first one off": (np.where(AT == 0, 1e6, LONG), 1000),
    "rising": (np.where(AT < 1000, LONG, 1000.0 * LONG), 1500),
    "falling": (np.where(AT < 1000, 1000.0 * LONG, LONG), 2300),
    "another mean": (np.where(AT < 1000, LONG, 100.0 + LONG), 2300),
    "drifting mean": (LONG + AT / 30.0, 1000),
}


def one_by_one(model, rows, y):
    """Predict every row before it is learned."""
    predicted = np.zeros_like(y)
    for row in range(len(rows)):
        some = slice(row, row + 1)
        predicted[row] = model.predict(rows[some])[0] if row else 0.0
        model.partial_fit(rows[some], y[some])
    return predicted


@pytest.mark.parametrize("phases", COURSES)
def test_numbers_of_any_course_are_learned_one_by_one(phases):
    y, start = COURSES[phases]
    model = HardL0MLPRegressor(**FAST, random_state=0)
    predicted = one_by_one(model, LONG_X, y)
    assert r2_score(y[start:], predicted[start:]) > 0.9
    recent = y[-400:]
    assert model.scale_ == pytest.approx(recent.std(), rel=0.5)
    assert model.center_ == pytest.approx(recent.mean(), abs=0.5 * recent.std())


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "huber", "quantile"])
@pytest.mark.parametrize("columns", [1, 2])
def test_a_change_of_scale_is_learned_with_any_loss(loss, columns):
    y = np.column_stack([1000.0 * LONG + 5000.0, LONG_X[:, 2]])[:, :columns].squeeze()
    model = HardL0MLPRegressor(**FAST, loss=loss, random_state=0)
    for row in range(1200):
        model.partial_fit(LONG_X[row : row + 1], y[row : row + 1])
    assert model.score(LONG_X[1200:], y[1200:]) > 0.9
    assert model.scale_ == pytest.approx(y[:1200].std(axis=0), rel=0.35)


def test_counts_follow_their_mean():
    rng = np.random.default_rng(0)
    rates = np.where(AT < 500, 1.0, 1000.0) * np.exp(0.5 * LONG_X[:, 0])
    counts = rng.poisson(rates).astype(float)
    model = HardL0MLPRegressor(**FAST, loss="poisson", random_state=0)
    predicted = one_by_one(model, LONG_X, counts)
    assert d2_tweedie_score(counts[1500:], predicted[1500:], power=1) > 0.9
    assert model.scale_ == pytest.approx(counts[-400:].mean(), rel=0.3)
    assert model.center_ == 0.0


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "squared_error"},
        {"loss": "huber"},
        {"loss": "poisson"},
        {"solver": "sgd"},
        {"pruning": "none"},
        {"early_stopping": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("columns", [1, 2])
def test_predictions_do_not_jump_where_the_scale_changes(settings, columns):
    """Without a learning rate, nothing but centre and scale changes."""
    still = SMALL | {"learning_rate_init": 1e-30, "gate_learning_rate_init": 1e-30, "alpha": 0.0}
    y = np.column_stack([COURSES["rising"][0], 7.0 - 3.0 * LONG])[:, :columns].squeeze()
    y = np.abs(y) if settings.get("loss") == "poisson" else y
    model = HardL0MLPRegressor(**still, **settings).partial_fit(X[:1], y[:1])
    expected, in_use = model.predict(X), set()
    for start in range(1, 3000, 13):
        rows = slice(start, start + 13)
        model.partial_fit(LONG_X[rows], y[rows])
        in_use.add((*model.center_, *model.scale_))
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-4)
    assert len(in_use) > 5


@pytest.mark.parametrize("batch_size", [1, 8, 40])
@pytest.mark.parametrize("phases", ["constant at first", "first one off", "falling", "rising"])
def test_the_scale_follows_alike_however_the_rows_are_split(phases, batch_size):
    settings = ON_THE_WAY | {"shuffle": False, "max_iter": 30, "batch_size": batch_size}
    y = np.column_stack([COURSES[phases][0], LONG])[:1601]
    weights = np.random.default_rng(0).uniform(0.1, 3.0, 1601)
    models = []
    for n_rows in (batch_size, 400, 1600):
        model = HardL0MLPRegressor(**settings).partial_fit(
            LONG_X[:1], y[:1], sample_weight=weights[:1]
        )
        for start in range(1, 1601, n_rows):
            rows = slice(start, start + n_rows)
            model.partial_fit(LONG_X[rows], y[rows], sample_weight=weights[rows])
        models.append(model)
    for other in models[1:]:
        assert same_network(models[0], other)
        np.testing.assert_array_equal(models[0].scale_, other.scale_)
        np.testing.assert_array_equal(models[0].center_, other.center_)
    assert models[0].scale_[0] != 1.0


@pytest.mark.parametrize("way", WAYS)
def test_where_the_scale_changes_it_goes_on_bit_for_bit(way, tmp_path):
    y = COURSES["rising"][0]
    whole = HardL0MLPRegressor(**ON_THE_WAY).partial_fit(LONG_X[:300], y[:300])
    stored = copy.deepcopy(whole)
    for start in range(900, 1300):
        rows = slice(start, start + 1)
        whole.partial_fit(LONG_X[rows], y[rows])
        if start % 7 == 0 and start < 1050:
            stored = WAYS[way](stored, tmp_path)
        stored.partial_fit(LONG_X[rows], y[rows])
    assert same_network(whole, stored)
    assert whole.scale_ == stored.scale_ > 100.0


def test_numbers_as_they_are_stay_so():
    model = HardL0MLPRegressor(**SMALL, normalize_y=False)
    for start in range(0, 3000, 50):
        model.partial_fit(LONG_X[start : start + 50], COURSES["rising"][0][start : start + 50])
    assert (model.center_, model.scale_) == (0.0, 1.0)


def test_whether_the_scale_follows_may_change_between_calls():
    model = HardL0MLPRegressor(**SMALL).partial_fit(X, NUMBER)
    before = float(model.center_[0]), float(model.scale_[0])
    model.set_params(normalize_y=False)
    model.partial_fit(LONG_X, 1000.0 * LONG)
    assert (model.center_, model.scale_) == before
    model.set_params(normalize_y=True)
    model.partial_fit(LONG_X[:100], 1000.0 * LONG[:100])
    assert model.scale_ > 100.0


def test_after_fit_its_scale_counts_as_some_rows():
    model = HardL0MLPRegressor(**SMALL, max_iter=50).fit(X, NUMBER)
    before = float(model.center_[0]), float(model.scale_[0])
    model.partial_fit(X[:5], NUMBER[:5] + 2.0)
    assert (model.center_, model.scale_) == before
    model.partial_fit(LONG_X[:600], 100.0 + LONG[:600])
    assert model.center_ == pytest.approx(100.0, abs=5.0)
    for _ in range(5):
        model.partial_fit(LONG_X, 100.0 + LONG)
    assert model.score(LONG_X, 100.0 + LONG) > 0.9


def test_a_warm_start_goes_on_with_the_scale_of_the_stream():
    y = 1000.0 * LONG + 5000.0
    model = HardL0MLPRegressor(**FAST, warm_start=True, max_iter=1, random_state=0)
    one_by_one(model, LONG_X[:1000], y[:1000])
    scale, score = float(model.scale_[0]), model.score(LONG_X, y)
    model.fit(LONG_X, y)
    assert model.scale_ == scale
    assert model.score(LONG_X, y) > score > 0.9
    model.partial_fit(LONG_X[:1], y[:1])
    assert model.scale_ == scale
    assert model.score(LONG_X, y) > 0.9


def test_the_best_network_predicts_in_units_of_the_targets():
    model = HardL0MLPRegressor(**FAST, early_stopping=True, random_state=0)
    for _ in range(5):
        model.partial_fit(LONG_X, 1000.0 * LONG, X_val=X, y_val=1000.0 * NUMBER)
    for start in range(0, 3000, 10):
        rows = slice(start, start + 10)
        model.partial_fit(LONG_X[rows], LONG[rows] - 7.0, X_val=X, y_val=1000.0 * NUMBER)
    assert model.scale_ < 300.0
    score = r2_score(1000.0 * NUMBER, model.predict(X))
    assert score == pytest.approx(model.best_validation_score_)
    assert score > 0.8


def test_validation_scores_are_those_of_the_network_in_its_new_units():
    model = HardL0MLPRegressor(**FAST, random_state=0).partial_fit(LONG_X[:1], LONG[:1])
    y = 1000.0 * LONG + 5000.0
    model.partial_fit(LONG_X, y, X_val=X, y_val=1000.0 * NUMBER + 5000.0)
    assert model.validation_scores_[-1] == pytest.approx(model.score(X, 1000.0 * NUMBER + 5000.0))


def test_rows_without_weight_do_not_count_for_the_scale():
    y = np.where(AT % 2 == 0, LONG, 1e6)
    weights = (AT % 2 == 0).astype(float)
    model = HardL0MLPRegressor(**FAST, random_state=0)
    for start in range(0, 3000, 10):
        rows = slice(start, start + 10)
        model.partial_fit(LONG_X[rows], y[rows], sample_weight=weights[rows])
    assert model.scale_ == pytest.approx(LONG[::2].std(), rel=0.3)


def test_stray_rows_do_not_unlearn_the_others():
    y = np.where(AT == 1500, 1e4, LONG)
    model = HardL0MLPRegressor(**FAST, random_state=0)
    predicted = one_by_one(model, LONG_X, y)
    assert model.scale_ == pytest.approx(LONG.std(), rel=0.3)
    assert r2_score(y[2000:], predicted[2000:]) > 0.9


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_largest_numbers_may_come_at_any_time(loss, sign):
    y = np.where(AT < 100, 1e-3 * LONG, np.where(AT % 2 == 0, 1e30, sign * 0.5e30))
    y = np.abs(y) if loss == "poisson" else y
    model, n_refused = HardL0MLPRegressor(**FAST, loss=loss, random_state=0), 0
    for row in range(300):
        try:
            model.partial_fit(LONG_X[row : row + 1], y[row : row + 1])
        except ValueError as error:  # rows that are stray as far as is known
            assert "not finite" in str(error)  # noqa: PT017
            n_refused += 1
    assert n_refused <= 8
    assert np.isfinite(model.predict(X)).all()
    assert model.scale_ > 1e28


def test_half_a_change_of_scale_is_refused(monkeypatch):
    model = HardL0MLPRegressor(**SMALL).partial_fit(LONG_X[:1], LONG[:1])
    with monkeypatch.context() as patch:
        patch.setattr(Buffers, "rescale_outputs", interrupting(Buffers.rescale_outputs, 1))
        with pytest.raises(KeyboardInterrupt):
            model.partial_fit(LONG_X[1:], 1000.0 * LONG[1:])
    for call in (lambda: model.partial_fit(X, NUMBER), lambda: model.predict(X)):
        with pytest.raises(ValueError, match=r"interrupted while it .*changed their scale.*afresh"):
            call()


def test_predictions_beside_a_change_of_scale_are_of_one_moment():
    still = SMALL | {"learning_rate_init": 1e-30, "gate_learning_rate_init": 1e-30, "alpha": 0.0}
    model = HardL0MLPRegressor(**still).partial_fit(LONG_X[:1], LONG[:1])
    expected, stop = model.predict(X), threading.Event()

    def predict():
        while not stop.is_set():
            np.testing.assert_allclose(model.predict(X), expected, rtol=1e-4, atol=1e-4)

    waiting = in_a_thread(predict)
    try:
        for row in range(1, 400):
            y = LONG[row : row + 1] * 2.0 ** (row % 5)
            model.partial_fit(LONG_X[row : row + 1], y)
    finally:
        stop.set()
    waiting.result(60)
    assert model.scale_ != 1.0


# --- without an end ------------------------------------------------------------------


def test_the_history_of_a_stream_has_room_for_its_last_epochs(monkeypatch):
    whole = stream("regression", 9, n_rows=80)
    monkeypatch.setattr(online, "MAX_EPOCHS", 2)
    model = stream("regression", 9, n_rows=80)
    assert len(whole.history_["loss"]) == 5
    for name in ("loss", "n_units", "n_parameters"):
        assert model.history_[name] == whole.history_[name][-3:]  # two, and the one under way
    assert model.t_ == whole.t_ == 9 * 400
    np.testing.assert_array_equal(model.coefs_[0], whole.coefs_[0])
    model.set_params(warm_start=True, max_iter=2).fit(X, NUMBER)
    assert model.n_iter_ == 2
    assert len(model.history_["loss"]) == 2 + 2  # the last ones that were over, and its own


# --- completion ----------------------------------------------------------------------


@pytest.mark.parametrize("problem", ["multiclass", "regression"])
def test_what_a_stream_tells_can_be_completed_in_a_notebook(problem):
    model = stream(problem)
    found = {name for name in dir(model) if name.endswith("_") and not name.startswith("_")}
    assert {"coefs_", "n_units_", "history_", "loss_curve_"} <= found
    assert ("classes_" in found) == (problem == "multiclass")
    assert all(hasattr(model, name) for name in found)


@pytest.mark.parametrize("way", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy])
def test_copies_made_beside_training_are_of_one_moment(way):
    model = HardL0MLPRegressor(**ON_THE_WAY, target_size=0.2).partial_fit(X, NUMBER)
    stop = threading.Event()

    def train():
        while not stop.is_set():
            model.partial_fit(X[:40], NUMBER[:40])

    trainer = in_a_thread(train)
    try:
        copies = [way(model) for _ in range(50)]
    finally:
        stop.set()
    trainer.result(60)
    for one in copies:
        told, told_of = one.coefs_, one.t_
        one.partial_fit(X[:1], NUMBER[:1], sample_weight=[0.0])  # learns nothing, forgets all
        np.testing.assert_array_equal(one.coefs_[0], told[0])
        assert one.t_ == told_of


def test_a_shallow_copy_learns_by_itself():
    model = stream("regression", 3)
    other, expected = copy.copy(model), model.predict(X)
    other.partial_fit(X, -NUMBER)
    assert model.t_ == other.t_ - len(X)
    model.partial_fit(X[:1], NUMBER[:1], sample_weight=[0.0])
    np.testing.assert_array_equal(model.predict(X), expected)


def test_who_describes_a_stream_that_a_fit_has_ended_finds_the_fit():
    """A thread that has waited for the lock must not put the stream's attributes over the fit's."""
    model = HardL0MLPRegressor(**SMALL).partial_fit(X, NUMBER)
    ended = model._stream
    with ended.lock:
        waiting = in_a_thread(lambda: model.n_units_)
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        model.fit(X, NUMBER)
    fitted = HardL0MLPRegressor(**SMALL).fit(X, NUMBER)
    assert waiting.result(60) == fitted.n_units_
    assert model.n_iter_ == fitted.n_iter_
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))


def test_an_interruption_right_after_a_deletion_leaves_no_old_addresses(monkeypatch):
    model = HardL0MLPRegressor(**ON_THE_WAY, target_size=0.2).partial_fit(X[:1], NUMBER[:1])
    buffers, delete = model._stream.trainer.buffers, Buffers.shrink

    def interrupted(self, keep):
        delete(self, keep)
        raise KeyboardInterrupt

    def learn():
        for _ in range(2000):
            model.partial_fit(X[:1], NUMBER[:1])

    monkeypatch.setattr(Buffers, "shrink", interrupted)
    with pytest.raises(KeyboardInterrupt):
        learn()
    monkeypatch.undo()
    lent = []
    monkeypatch.setattr(online, "train_batches", lambda *args: lent.append(args[:3]) or True)
    model.partial_fit(X[:1], NUMBER[:1])
    assert buffers.is_usable()
    assert lent == [buffers.pointers()]


def interrupt_line(number, functions, job):
    """Do a job, but interrupt it at that line of the functions; say whether it got there."""
    lines = 0

    def trace(frame, event, _):
        nonlocal lines
        if frame.f_code.co_name not in functions:
            return None
        if event == "line":
            lines += 1
            if lines == number:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        job()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize(("first", "second"), [
    (HardL0MLPRegressor.fit, HardL0MLPRegressor.partial_fit),
    (HardL0MLPRegressor.partial_fit, HardL0MLPRegressor.fit),
])  # fmt: skip
@pytest.mark.parametrize("number", range(1, 5))
def test_an_interruption_between_two_networks_leaves_one(first, second, number):
    model = HardL0MLPRegressor(**SMALL, max_iter=2, warm_start=True)
    first(model, X, NUMBER)
    interrupt_line(number, ("_adopt", "_adopt_stream"), lambda: second(model, X, NUMBER))
    own = vars(model)
    assert ("_stream" in own) != ("coefs_" in own)
    assert ("coefs_" in own) == ("n_iter_" in own) == ("_warm_state" in own)
    assert model.predict(X).shape == NUMBER.shape


def test_taking_over_a_network_has_a_line_to_interrupt():
    """So that the test above does not hold for want of a line."""
    model = HardL0MLPRegressor(**SMALL, max_iter=2)
    names = "_adopt", "_adopt_stream"
    assert interrupt_line(2, names, lambda: model.fit(X, NUMBER))
    assert interrupt_line(2, names, lambda: model.partial_fit(X, NUMBER))


def test_a_pickle_that_waits_for_a_stream_that_a_fit_ends_is_of_the_fit():
    model = HardL0MLPRegressor(**SMALL, max_iter=2).partial_fit(X, NUMBER)
    with model._stream.lock:
        waiting = in_a_thread(lambda: pickle.loads(pickle.dumps(model)))
        with pytest.raises(TimeoutError):
            waiting.result(0.1)
        model.fit(X, NUMBER)
    loaded = waiting.result(60)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    loaded.partial_fit(X, NUMBER)
    assert np.any(loaded.predict(X) != model.predict(X))


def test_the_state_is_a_copy():
    model = HardL0MLPRegressor(**SMALL)
    model.__getstate__()["alpha"] = 99
    assert model.alpha != 99


def test_a_fit_that_ends_while_another_thread_asks_for_the_network(monkeypatch):
    """That one has seen an estimator that is not fitted."""
    model = HardL0MLPRegressor(**SMALL, max_iter=2)
    check = base.check_is_fitted

    def fit_first(estimator):
        monkeypatch.undo()
        estimator.partial_fit(X, NUMBER)
        check(estimator)

    monkeypatch.setattr(base, "check_is_fitted", fit_first)
    assert model.predict(X).shape == NUMBER.shape


def test_widths_that_change_in_place_are_seen():
    widths = np.array([8, 8])
    model = HardL0MLPRegressor(**SMALL | {"hidden_layer_sizes": widths}).partial_fit(X, NUMBER)
    assert model._stream.has_settings_of(model)
    widths[1] = 9
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        model.partial_fit(X[:1], NUMBER[:1])


# --- attributes that are set ---------------------------------------------------------


def test_setting_an_attribute_ends_the_stream():
    model = HardL0MLPRegressor(**SMALL).partial_fit(X, NUMBER)
    intercepts, n_iter = model.intercepts_, model.n_iter_
    model.coefs_ = [coef.round(1) for coef in model.coefs_]
    assert set(vars(model)) == set(vars(HardL0MLPRegressor(**SMALL, max_iter=1).fit(X, NUMBER)))
    assert model.n_iter_ == n_iter
    assert model.intercepts_ is intercepts
    expected = X.astype(np.float32)[:, model.support_]
    for coef, intercept in zip(model.coefs_[:-1], intercepts, strict=False):
        expected = np.maximum(expected @ coef + intercept, 0)
    expected = (expected @ model.coefs_[-1] + intercepts[-1]).ravel()
    np.testing.assert_allclose(model.predict(X.astype(np.float32)), expected, rtol=1e-4, atol=1e-4)
    before = model.predict(X)
    model.partial_fit(X[:1], NUMBER[:1], sample_weight=[0.0])
    np.testing.assert_allclose(model.predict(X), before, rtol=1e-4, atol=1e-4)
    model.partial_fit(X, NUMBER)
    assert np.any(model.predict(X) != before)


def test_deleting_an_attribute_ends_the_stream():
    model = HardL0MLPRegressor(**SMALL).partial_fit(X, NUMBER)
    before = model.predict(X)
    del model.history_
    assert not hasattr(model, "history_")
    np.testing.assert_array_equal(model.predict(X), before)
    with pytest.raises(AttributeError, match="history_"):
        del model.history_


def test_the_scikit_learn_model_has_the_activation_of_the_training():
    model = HardL0MLPRegressor(**SMALL).partial_fit(X, NUMBER).set_params(activation="tanh")
    expected = model.predict(X)
    np.testing.assert_allclose(model.to_sklearn().predict(X), expected, rtol=1e-5, atol=1e-5)


def test_a_diverged_stream_names_the_rate_that_it_had():
    model = HardL0MLPRegressor(**SMALL).partial_fit(X, NUMBER)
    model.set_params(learning_rate_init=3e38)
    with pytest.raises(ValueError, match="learning_rate_init, now 3e"):
        model.partial_fit(X, NUMBER)
    model.set_params(learning_rate_init=1e-3)
    for call in (lambda: model.partial_fit(X, NUMBER), lambda: model.predict(X)):
        with pytest.raises(ValueError, match=r"start afresh.*now 3e\+38"):
            call()
