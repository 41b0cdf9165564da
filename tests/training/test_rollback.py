"""A training that diverges goes back to its last good epoch and on from there by smaller steps."""

import copy
import pickle
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.estimators import build_config
from fastl0.training.divergence import MOST_RETURNS, STEP_DOWN, DivergedError
from fastl0.training.trainer import Trainer

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
eagerly = pytest.mark.usefixtures("decided_each_epoch")
going_back = pytest.mark.filterwarnings("ignore:.*training goes back:RuntimeWarning")


def model(**settings):
    defaults = {"hidden_layer_sizes": (30, 20), "max_iter": 10, "random_state": 0}
    return HardL0MLPClassifier(**defaults | settings)


def arrays_of(trainer):
    return {name: array.copy() for name, array in trainer.buffers.arrays().items()}


class Poison:
    """Spoils the network of some attempts at an epoch, and notes what each begins with.

    Parameters
    ----------
    attempts : set of int
        Their numbers among all attempts, from 0.
    loss : float
        What such an attempt costs in sum; a weight becomes NaN if this is finite and small.
    """

    def __init__(self, monkeypatch, attempts, loss=0.0):
        self.attempts, self.loss = attempts, loss
        self.begun, self.rates, self.trainer = [], [], None
        self._run = Trainer._run_batches
        monkeypatch.setattr(Trainer, "_run_batches", lambda *arguments: self.run(*arguments))

    def run(self, trainer, data, rate, team, tuner):
        self.trainer = trainer
        number = len(self.begun)
        self.begun.append(arrays_of(trainer))
        self.rates.append(rate)
        loss = self._run(trainer, data, rate, team, tuner)
        if number not in self.attempts:
            return loss
        if not self.loss:
            trainer.buffers.arrays()["theta"][3] = np.nan
        return loss + self.loss


# --- back and on -------------------------------------------------------------------------


@eagerly
@pytest.mark.parametrize("loss", [0.0, np.inf, 1e9])
@pytest.mark.parametrize("settings", [{}, {"lam": 0.3}, {"pruning": "none"}, {"solver": "sgd"}])
def test_training_goes_back_to_where_the_epoch_began(settings, loss, digits, monkeypatch):
    poison = Poison(monkeypatch, {4}, loss)
    with pytest.warns(RuntimeWarning, match="goes back to the end of the last good epoch") as all_:
        clf = model(**settings)._fit(*digits)
    (caught,) = (w for w in all_ if issubclass(w.category, RuntimeWarning))
    assert caught.filename == __file__
    assert "0.2 times the learning rate, that is learning_rate_init=0.0002" in str(caught.message)
    assert clf.n_iter_ == len(poison.begun) - 1 == 10
    before, after = poison.begun[4:6]
    for name in ("theta", "log_odds", "columns", "average"):
        np.testing.assert_array_equal(after[name], before[name], err_msg=name)
    for name in ("first", "second", "gate_first", "gate_second", "on_count", "on_sum", "step"):
        assert not after[name].any()
    rate = clf.learning_rate_init
    np.testing.assert_allclose(poison.rates[:5], rate)
    assert poison.rates[5] == pytest.approx(rate * STEP_DOWN)
    assert poison.rates[6] == pytest.approx(rate * STEP_DOWN)
    assert all(np.isfinite(coef).all() for coef in clf.coefs_)
    assert np.isfinite(clf.loss_curve_).all()


@eagerly
@pytest.mark.parametrize("settings", [{}, {"target_size": 0.05}])
@going_back
def test_going_back_where_units_were_deleted_keeps_them_deleted(settings, digits, monkeypatch):
    """The network it goes back to is the one that was trained, less what its gates had closed."""
    settings = {"gate_learning_rate_init": 0.2, "hidden_layer_sizes": (60, 40), **settings}
    whole = model(**settings)._fit(*digits).history_["n_units"]
    shrunk = next(k for k in range(1, 7) if whole[k] < whole[k - 1])
    poison = Poison(monkeypatch, {shrunk})
    clf = model(**settings)._fit(*digits)
    units = clf.history_["n_units"]
    assert units[: shrunk + 1] == whole[: shrunk + 1]
    assert all(b <= a for a, b in zip(units, units[1:], strict=False))
    before, after = poison.begun[shrunk : shrunk + 2]
    np.testing.assert_array_equal(after["widths"], units[shrunk])
    for name in ("theta", "log_odds", "columns"):
        np.testing.assert_array_equal(after[name], before[name])


@eagerly
@going_back
@pytest.mark.parametrize("number", [0, 7, 8, 9])
def test_going_back_to_the_start_and_in_the_last_phase(number, digits, monkeypatch):
    """The last phase begins with gates folded, and averages the epochs that went well."""
    poison = Poison(monkeypatch, {number, number + 1})
    clf = model()._fit(*digits)
    assert clf.n_iter_ == 10
    before, after = poison.begun[number], poison.begun[number + 2]
    for name in ("theta", "average", "log_odds"):
        np.testing.assert_array_equal(after[name], before[name])
    assert (before["log_odds"].size == 0) == (number >= 7)
    assert clf.n_parameters_ <= 0.3 * (65 * 30 + 31 * 20 + 21 * 10)


@going_back
def test_the_way_down_to_a_size_is_that_of_a_training_that_never_left_it(digits, monkeypatch):
    poison = Poison(monkeypatch, {3, 4})
    steerings = []
    attempt = Trainer._attempt

    def note(trainer, *arguments):
        steerings.append(copy.copy(trainer.pruner.size_controller))
        return attempt(trainer, *arguments)

    monkeypatch.setattr(Trainer, "_attempt", note)
    clf = model(target_size=0.1, gate_learning_rate_init=0.1)._fit(*digits)
    assert steerings[3] == steerings[4] == steerings[5] != steerings[6]
    assert clf.n_parameters_ <= 0.1 * (65 * 30 + 31 * 20 + 21 * 10)
    assert len(poison.begun) == 12


def test_steps_grow_no_more_and_returns_are_counted_in_a_row(digits, monkeypatch):
    poison = Poison(monkeypatch, {1, 2, 3, 5, 6, 7})
    with pytest.warns(RuntimeWarning, match="goes back") as caught:
        clf = model()._fit(*digits)
    assert sum(issubclass(w.category, RuntimeWarning) for w in caught) == 6
    assert clf.n_iter_ == 10
    assert poison.rates[8] == pytest.approx(0.001 * STEP_DOWN**6)


def test_a_real_explosion_is_overcome():
    X, y = load_diabetes(return_X_y=True)
    reg = HardL0MLPRegressor(
        (50, 30), loss="poisson", pruning="none", learning_rate_init=0.1, max_iter=20,
        random_state=2,
    )  # fmt: skip
    with pytest.warns(RuntimeWarning, match=r"has risen to .*goes back"):
        reg.fit(50 * X, y)
    assert reg.score(50 * X, y) > 0.4


# --- no way back -------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [0.0, np.inf])
@going_back
def test_where_it_does_not_help_it_is_an_error(loss, digits, monkeypatch):
    X, y = digits
    clf = model()._fit(X, y)
    before, attributes = copy.deepcopy(clf), set(vars(clf))
    n_failed = MOST_RETURNS + 1
    poison = Poison(monkeypatch, set(range(3, 3 + n_failed)), loss)
    with pytest.raises(
        DivergedError,
        match=r"not finite after .*have not helped.*StandardScaler.*learning_rate_init, now 0.001",
    ):
        clf.fit(X, y)
    assert len(poison.begun) == 3 + n_failed
    assert set(vars(clf)) == attributes
    for a, b in zip(clf.coefs_, before.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_error_comes_out_of_another_process_as_it_is():
    error = DivergedError("The loss is not finite", "Lower it.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(error) == "The loss is not finite. Lower it."


def test_a_high_loss_that_smaller_steps_make_no_lower_is_put_up_with(digits, monkeypatch):
    """Once it has gone back to see; the learning rate is as before."""
    poison = Poison(monkeypatch, set(range(3, 30)), loss=1e6)
    with pytest.warns(RuntimeWarning, match="goes back") as caught:
        clf = model()._fit(*digits)
    assert sum(issubclass(w.category, RuntimeWarning) for w in caught) == 1
    assert clf.n_iter_ == 10
    assert poison.rates[4] == pytest.approx(0.001 * STEP_DOWN)
    assert poison.rates[5] == pytest.approx(0.001)


def test_a_first_mini_batch_that_fails_is_an_error_at_once(digits):
    X, y = digits
    clf = model(hidden_layer_sizes=(500, 500), batch_size=600)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DivergedError, match="not finite after 0 updates"):
            clf.fit(np.full((len(X), 2000), 3e38, np.float32), y)


# --- the budget --------------------------------------------------------------------------


def room(digits, n_bytes, **settings):
    """Whether a budget leaves room for a copy to go back to, and the bytes it takes."""
    clf = model(memory_budget=n_bytes, max_iter=2, **settings)._fit(*digits)
    estimator = copy.copy(clf)
    n_codes, batch_size = 1, clf.history_["batch_size"][0]
    layout = build_config.initial_layout(
        estimator, 10, n_codes, n_inputs=64, batch_size=batch_size, snapshot=True
    )
    return layout.snapshot, clf.history_["buffer_nbytes"][0]


@pytest.mark.filterwarnings("ignore:.*the second moments of Adam")
@pytest.mark.parametrize("settings", [{}, {"pruning": "none"}, {"solver": "sgd"}])
def test_a_budget_is_kept_with_a_copy_and_without_one(settings, digits, monkeypatch):
    monkeypatch.setattr(build_config, "usable_threads", lambda: 3)
    with_copy = set()
    full = model(max_iter=2, **settings)._fit(*digits).history_["buffer_nbytes"][0]
    for share in np.linspace(0.8, 1.1, 31):
        there, n_bytes = room(digits, int(share * full), **settings)
        assert n_bytes <= share * full
        with_copy.add((there, share < 1.0))
    assert {(False, True), (True, False)} <= with_copy


def test_without_room_for_a_copy_it_is_an_error_at_once(digits, monkeypatch):
    n_bytes = 80_000
    assert not room(digits, n_bytes)[0]
    Poison(monkeypatch, {3})
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(DivergedError, match="not finite"):
            model(memory_budget=n_bytes)._fit(*digits)


@pytest.mark.parametrize("settings", [{}, {"batch_size": "dynamic"}, {"target_size": 0.05}])
def test_a_copy_changes_no_bit_of_a_network(settings, digits, monkeypatch):
    with_copy = model(**settings)._fit(*digits)
    original = build_config.initial_layout

    def without(*arguments, **keywords):
        return original(*arguments, **keywords | {"snapshot": False})

    monkeypatch.setattr("fastl0.estimators.fit.initial_layout", without)
    plain = model(**settings)._fit(*digits)
    assert plain.loss_curve_ == with_copy.loss_curve_
    assert plain.history_["batch_size"] == with_copy.history_["batch_size"]
    assert plain.history_["buffer_nbytes"][0] < with_copy.history_["buffer_nbytes"][0]


def test_a_dynamic_mini_batch_takes_the_room_of_the_copy(digits):
    X, y = (np.repeat(part, 20, axis=0) for part in digits)
    settings = {"batch_size": "dynamic", "target_size": 0.02, "gate_learning_rate_init": 0.1}
    first = model(max_iter=2, **settings)._fit(X, y).history_["buffer_nbytes"][0]
    budget = int(1.2 * first)
    clf = model(memory_budget=budget, **settings)._fit(X, y)
    assert max(clf.history_["buffer_nbytes"]) <= budget
    assert clf.history_["batch_size"][-1] > clf.history_["batch_size"][0]


@going_back
def test_no_copy_is_kept_once_training_is_over(digits):
    clf = model(warm_start=True)._fit(*digits)
    for _ in range(2):
        assert clf._warm_state["state"]["buffers"]["snapshot"] is False
        clf._fit(*digits)
