"""Trainings too short for gates to learn which units matter, and the start of all others."""

import re
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor, l0_path
from fastl0.estimators.fit_warnings import _epochs_for
from fastl0.model.network import count_parameters
from fastl0.training.schedule import PhaseSchedule

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training stopped at max_iter", "ignore:Stochastic Optimizer"
)


def breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def generated():
    return make_classification(1000, random_state=0)


def parts(name, digits):
    X, y = digits if name == "digits" else {"bc": breast_cancer, "made": generated}[name]()
    return train_test_split(X, y, random_state=0, stratify=y)


def mean_score(make, X_train, X_test, y_train, y_test):
    return np.mean([make(seed).fit(X_train, y_train).score(X_test, y_test) for seed in range(3)])


def hard(max_iter=200, **settings):
    return lambda seed: HardL0MLPClassifier(max_iter=max_iter, random_state=seed, **settings)


# --- scores ------------------------------------------------------------------------------


@pytest.mark.parametrize("max_iter", [1, 5, 10, 20])
@pytest.mark.parametrize("name", ["digits", "bc", "made"])
def test_the_score_is_near_that_of_as_many_epochs_without_pruning(name, max_iter, digits):
    data = parts(name, digits)
    dense = mean_score(hard(max_iter, pruning="none"), *data)
    assert mean_score(hard(max_iter), *data) >= dense - 0.03


@pytest.mark.parametrize("hidden_layer_sizes", [(16, 8), (16,), 100])
def test_so_it_is_for_narrow_networks(hidden_layer_sizes, digits):
    data = parts("digits", digits)
    settings = {"hidden_layer_sizes": hidden_layer_sizes, "max_iter": 10}
    dense = mean_score(hard(**settings, pruning="none"), *data)
    assert mean_score(hard(**settings), *data) >= dense - 0.03


@pytest.mark.parametrize("n_rows", [8, 16, 32, 64])
@pytest.mark.parametrize("name", ["bc", "digits"])
def test_few_rows_are_learned_as_well_as_without_pruning(name, n_rows, digits):
    """Within what the draw of three seeds is worth on these rows."""
    X_train, X_test, y_train, y_test = parts(name, digits)
    data = X_train[:n_rows], X_test, y_train[:n_rows], y_test
    assert mean_score(hard(), *data) >= mean_score(hard(pruning="none"), *data) - 0.03


def test_few_rows_of_a_regression_are_learned():
    rng = np.random.default_rng(0)
    X, X_test, w = rng.normal(size=(8, 3)), rng.normal(size=(500, 3)), rng.normal(size=3)
    scores = [
        r2_score(X_test @ w, HardL0MLPRegressor(random_state=k).fit(X, X @ w).predict(X_test))
        for k in range(5)
    ]
    assert np.median(scores) > 0.8


def test_a_search_over_epochs_prefers_more_of_them(digits):
    X, y = digits
    grid = {"max_iter": [1, 30]}
    search = GridSearchCV(HardL0MLPClassifier(random_state=0), grid, cv=2).fit(X, y)
    assert search.best_params_ == {"max_iter": 30}
    assert search.cv_results_["mean_test_score"][0] > 0.3


# --- the start ---------------------------------------------------------------------------


def learned_by_row(model, n_rows=600):
    """Share of right predictions on the way, each made before its row is learned."""
    X, y = make_classification(n_rows, 8, n_informative=5, n_classes=3, random_state=0)
    model.partial_fit(X[:1], y[:1], classes=[0, 1, 2])
    right = 0
    for k in range(1, n_rows):
        right += model.predict(X[k : k + 1])[0] == y[k]
        model.partial_fit(X[k : k + 1], y[k : k + 1])
    return right / n_rows


def test_a_stream_learns_no_slower_than_that_of_scikit_learn():
    ours, theirs = (
        np.mean([learned_by_row(kind((16,), random_state=seed)) for seed in range(4)])
        for kind in (HardL0MLPClassifier, MLPClassifier)
    )
    assert ours >= theirs - 0.01


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_weights_and_biases_start_as_those_of_scikit_learn(activation):
    """Uniform within the bound of Glorot and Bengio 2010, biases too."""
    X, y = np.random.default_rng(0).normal(size=(20, 30)), np.arange(20) % 3
    settings = {"hidden_layer_sizes": (150, 140), "activation": activation, "max_iter": 1}
    settings |= {"random_state": 0, "learning_rate_init": 1e-12}
    ours = HardL0MLPClassifier(**settings, pruning="none").fit(X, y)
    theirs = MLPClassifier(**settings).fit(X, y)
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            assert one.shape == other.shape
            assert np.abs(one).max() == pytest.approx(np.abs(other).max(), rel=0.15)
    for one, other in zip(ours.coefs_[:2], theirs.coefs_[:2], strict=True):
        assert np.std(one) == pytest.approx(np.std(other), rel=0.1)
        assert abs(np.mean(one)) < 0.1 * np.std(one)


def test_eight_rows_of_a_linear_function_are_learned_like_by_scikit_learn():
    def median(make):
        scores = []
        for seed in range(9):
            rng = np.random.default_rng(seed)
            X, X_test, w = rng.normal(size=(8, 3)), rng.normal(size=(500, 3)), rng.normal(size=3)
            scores.append(r2_score(X_test @ w, make(seed).fit(X, X @ w).predict(X_test)))
        return np.median(scores)

    ours = median(lambda seed: HardL0MLPRegressor((100,), pruning="none", random_state=seed))
    theirs = median(lambda seed: MLPRegressor(hidden_layer_sizes=(100,), random_state=seed))
    assert ours >= theirs - 0.1


# --- what is deleted, and when -------------------------------------------------------------


def test_layers_shrink_in_proportion(digits):
    model = hard(5)(0).fit(*digits)
    n_inputs, first, second, _ = model.n_units_
    assert n_inputs > 55
    assert first / 200 == pytest.approx(second / 100, abs=0.02)
    assert model.n_parameters_ <= 0.3 * count_parameters((64, 200, 100, 10))


def test_a_wide_sparse_X_keeps_hidden_units():
    rng = np.random.default_rng(0)
    X = (rng.random((200, 5000)) < 0.01) * rng.normal(size=(200, 5000))
    model = HardL0MLPClassifier(max_iter=20, random_state=0).fit(X, np.arange(200) % 2)
    assert model.n_units_[1] > 40
    assert model.n_units_[2] > 20


def test_units_go_once_in_the_middle(digits):
    widths = hard(6)(0).fit(*digits).history_["n_units"]
    assert widths[0] == widths[1] == widths[2] == (64, 200, 100, 10)
    assert widths[3] == widths[4] == widths[5] != widths[0]


def test_the_learning_rate_does_not_fall(digits, monkeypatch):
    from fastl0.training.trainer import Trainer

    rates, original = [], Trainer.run_epoch

    def note(self, data, rate, *rest):
        rates.append(rate)
        return original(self, data, rate, *rest)

    monkeypatch.setattr(Trainer, "run_epoch", note)
    hard(6)(0).fit(*digits)
    assert rates == [0.001] * 6


def test_a_constant_input_goes(digits):
    X = np.c_[digits[0], np.zeros(600), np.zeros(600)]
    assert not hard(5)(0).fit(X, digits[1]).support_[-2:].any()


# --- the warning -----------------------------------------------------------------------------


def test_a_warning_says_what_to_set(digits):
    """600 rows are 50 mini-batches of 12; 1,200 of them before the last 30 % take 34 epochs."""
    with pytest.warns(ConvergenceWarning, match=r"50 mini-batches .* max_iter=34 or more"):
        hard(5)(0).fit(*digits)


@pytest.mark.parametrize("batch_size", [2, 3, 4])
def test_what_the_warning_asks_for_is_enough_and_no_more(batch_size, digits):
    X, y = digits[0][:90], digits[1][:90]
    model = HardL0MLPClassifier((6, 4), max_iter=2, batch_size=batch_size, random_state=0)
    with pytest.warns(ConvergenceWarning, match="too few") as caught:
        model.fit(X, y)
    message = next(str(w.message) for w in caught if "too few" in str(w.message))
    n_epochs = int(re.search(r"Set max_iter=(\d+)", message)[1])
    with pytest.warns(ConvergenceWarning, match="too few"):
        model.set_params(max_iter=n_epochs - 1).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.set_params(max_iter=n_epochs).fit(X, y)


def test_a_single_epoch_gives_up_no_input_blindly():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 40))
    y = X[:, -1] + X[:, -2] > 0
    model = HardL0MLPClassifier((50, 20), max_iter=1, target_size=0.1, random_state=0)
    with pytest.warns(ConvergenceWarning, match="all at once"):
        model.fit(X, y)
    assert model.support_.all()
    assert model.n_parameters_ <= 0.1 * count_parameters((40, 50, 20, 1))


@pytest.mark.parametrize("settings", [{}, {"target_size": 1.0}, {"pruning": "none"}], ids=str)
def test_a_network_without_gates_has_none_to_wait_for(settings, digits):
    model = HardL0MLPClassifier((), gate_inputs=False, max_iter=4, **settings).fit(*digits)
    assert model.n_units_ == (64, 10)


@pytest.mark.parametrize("max_iter", [3, 5])
def test_a_path_of_short_fits_keeps_what_it_has_learned(max_iter, digits):
    estimator = HardL0MLPClassifier((50, 20), max_iter=max_iter, random_state=0)
    path = l0_path(*digits, estimator=estimator, target_sizes=[0.3, 0.15])
    assert path.scores[-1] > 0.35


@pytest.mark.parametrize(
    "settings",
    [
        {"max_iter": 34},
        {"max_iter": 12, "gate_learning_rate_init": 0.05},
        {"max_iter": 2, "pruning": "none"},
        {"max_iter": 2, "pruning": "soft"},
        {"max_iter": 2, "lam": 0.1},
        {"max_iter": 2, "target_size": 1.0},
    ],
)
@pytest.mark.filterwarnings("default:.* too few:sklearn.exceptions.ConvergenceWarning")
def test_there_is_none_where_there_is_time_or_nothing_to_delete(settings, digits, recwarn):
    HardL0MLPClassifier(**settings, random_state=0).fit(*digits)
    assert not [w for w in recwarn if "too few" in str(w.message)]


# --- gates that are held open at first -------------------------------------------------------


def test_letting_go_leaves_the_outputs_as_they_were(digits):
    """Weights make up for the gates that units then have."""
    X, y = digits
    model = HardL0MLPClassifier((30, 20), random_state=0, batch_size=1)
    model.partial_fit(X[:50], y[:50], classes=range(10))
    trainer = model._stream.trainer
    assert trainer.pruner.gates_held_open
    before = trainer.freeze().outputs(X)
    trainer.release_gates_when_warm()
    trainer.pruner.update_l0_at(0.5)
    assert not trainer.pruner.gates_held_open
    assert trainer.buffers.arrays()["log_odds"].max() < 1.5
    np.testing.assert_allclose(trainer.freeze().outputs(X), before, rtol=1e-4, atol=1e-6)


# --- extremes, and what goes on from short trainings ----------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"gate_learning_rate_init": 1e-7},
        {"gate_learning_rate_init": 1e-30},
        {"gate_learning_rate_init": 1e-310},
        {"finetune_fraction": 0.99999},
        {"finetune_fraction": 0.0},
    ],
    ids=str,
)
def test_the_warning_is_worked_out_at_once_however_far_the_way(settings):
    X = np.random.default_rng(0).normal(size=(100, 5))
    with pytest.warns(ConvergenceWarning, match=r"max_iter=\d+ or more"):
        HardL0MLPClassifier((8,), max_iter=3, random_state=0, **settings).fit(X, X[:, 0] > 0)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.9, 0.999, 0.99999])
@pytest.mark.parametrize("n_batches", [1, 9, 45, 58, 5000])
@pytest.mark.parametrize("needed", [300, 1200, 1201, 120_000])
def test_the_fewest_epochs_are_found(needed, n_batches, share):
    n_epochs = _epochs_for(needed, n_batches, share)
    assert PhaseSchedule(n_epochs, share).finetune_start * n_batches >= needed
    assert n_epochs == 1 or PhaseSchedule(n_epochs - 1, share).finetune_start * n_batches < needed


def test_a_single_epoch_of_a_trained_network_cuts_by_evidence(digits):
    """After its epoch: the units that stay are not simply the first ones."""
    X, y = digits
    model = HardL0MLPClassifier(
        (40, 20), target_size=0.9, max_iter=60, warm_start=True, random_state=0
    ).fit(X, y)
    before = model.support_
    model.set_params(target_size=0.2, max_iter=1, input_price=30.0).fit(X, y)
    kept = np.flatnonzero(model.support_[before])
    assert model.n_parameters_ <= 0.2 * count_parameters((64, 40, 20, 10))
    assert 0 < len(kept) < before.sum()
    assert kept.max() >= len(kept)


def test_short_fits_after_a_stream_have_their_price(digits):
    X, y = digits[0][:40], digits[1][:40]
    model = HardL0MLPClassifier(
        (10, 5), lam=50.0, warm_start=True, max_iter=1, batch_size=8, random_state=0
    )
    model.partial_fit(X, y, classes=range(10))
    for _ in range(350):
        model.fit(X, y)
    assert model.n_parameters_ < 0.5 * count_parameters((64, 10, 5, 10))


@pytest.mark.parametrize("max_iter", [20, 2000])
def test_with_a_price_a_stream_warms_up_for_a_thousand_mini_batches(max_iter, digits):
    X, y = digits[0][:100], digits[1][:100]
    model = HardL0MLPClassifier((6,), lam=0.1, max_iter=max_iter, batch_size=1, random_state=0)
    held = []
    for _ in range(12):
        model.partial_fit(X, y, classes=range(10))
        held.append(model._stream.trainer.pruner.gates_held_open)
    assert held == [True] * 10 + [False] * 2


def test_gates_that_are_let_go_are_not_held_by_a_short_fit(digits, recwarn):
    """They prune as they do else, and no warning says that all units went at once."""
    X, y = digits
    settings = {"hidden_layer_sizes": (20, 10), "warm_start": True, "random_state": 0}
    model = HardL0MLPClassifier(**settings, max_iter=60)

    def interrupt(epoch, *_):
        if epoch == 10:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        model._fit(X, y, interrupt, keep_interrupted=True)
    assert not model._warm_state["state"]["gates"]["held_open"]
    model.set_params(max_iter=4).fit(X, y)
    assert not model._warm_state["state"]["gates"]["held_open"]


def test_a_stop_before_the_cut_is_told_as_well(digits):
    with pytest.warns(ConvergenceWarning, match=r"^1 epochs of .* all at once"):
        HardL0MLPClassifier(max_iter=10, random_state=0)._fit(*digits, lambda *_: True)
