import math

import naive
import numpy as np
import pytest
import small

from fastl0 import HardL0MLPClassifier, fitting, training
from fastl0.pruning import decide, prices

pytestmark = pytest.mark.filterwarnings("ignore:Training stopped at max_iter")


def counts(*numbers):
    return np.array(numbers, dtype=np.int64)


def sums(*numbers):
    return np.array(numbers, dtype=float)


# --- prices --------------------------------------------------------------------------


def test_a_unit_costs_the_weights_that_leave_it():
    found = prices([3, 2, 5, 4], [True, True, True])
    np.testing.assert_array_equal(found, [2, 2, 2, 5, 5, 4, 4, 4, 4, 4])
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    ("gated", "expected"),
    [((False, True), [4, 4]), ((True, False), [2, 2, 2]), ((False, False), [])],
)
def test_only_gated_units_have_a_price(gated, expected):
    found = prices([3, 2, 4], gated)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


def test_prices_are_derivatives_of_the_expected_number_of_weights():
    problem = small.problem((7, 5, 3, 2))
    network, step, found = problem.network, 1e-5, []
    for layer, a in enumerate(network.log_odds):
        for j in range(len(a)):
            sides = []
            for sign in (-1, 1):
                moved = [x.copy() for x in network.log_odds]
                moved[layer][j] += sign * step
                arrays = network.arrays()[: 2 * len(network.weights)] + moved
                sides.append(naive.penalty(network.like(arrays)))
            pi = naive.sigmoid(a[j] + naive.C)
            found.append((sides[1] - sides[0]) / (2 * step) / (pi * (1 - pi)))
    np.testing.assert_allclose(prices(problem.widths, problem.gated), found, rtol=1e-6)


# --- decisions -----------------------------------------------------------------------


def test_a_unit_goes_that_was_on_too_seldom_by_count_and_by_expectation():
    on_count, on_sum = counts(4, 4, 6, 6), sums(4.0, 6.0, 4.0, 6.0)
    np.testing.assert_array_equal(decide(on_count, on_sum, 10, 0.5), [False, True, True, True])


def test_a_unit_that_is_on_just_as_often_as_the_threshold_stays():
    keep = decide(counts(5, 4), sums(5.0, math.nextafter(5, 0)), 10, 0.5)
    np.testing.assert_array_equal(keep, [True, False])


@pytest.mark.parametrize("on_sum", [(0.1, 0.3, 0.2), (0.0, 0.0, 0.0)])
def test_a_layer_keeps_its_best_unit(on_sum):
    keep = decide(counts(1, 0, 0), sums(*on_sum), 10, 0.5)
    assert keep.sum() == 1
    assert keep[np.argmax(on_sum)]


@pytest.mark.parametrize("n_units", [1, 2, 31])
def test_threshold_zero_keeps_all_units(n_units):
    zeros = np.zeros(n_units)
    assert decide(zeros.astype(np.int64), zeros, 10, 0.0).all()


def test_threshold_one_keeps_the_units_that_were_always_on():
    np.testing.assert_array_equal(
        decide(counts(10, 9, 0), sums(9.9, 9.9, 9.9), 10, 1.0), [True, False, False]
    )


def test_decisions_leave_the_tallies_alone():
    on_count, on_sum = counts(1, 9), sums(1.0, 9.0)
    decide(on_count, on_sum, 10, 0.5)
    np.testing.assert_array_equal(on_count, [1, 9])
    np.testing.assert_array_equal(on_sum, [1.0, 9.0])


# --- in training ---------------------------------------------------------------------


def classifier(**changes):
    settings = {
        "hidden_layer_sizes": (30, 20),
        "batch_size": 10,
        "max_iter": 12,
        "n_iter_no_change": 12,
        "random_state": 0,
        "gate_learning_rate_init": 0.1,
        "lam": 1.0,
        "tol": 0.0,
    }
    return HardL0MLPClassifier(**{**settings, **changes})


@pytest.fixture(scope="module")
def X_y():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 20)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


def test_units_only_ever_go_and_no_layer_empties(X_y):
    widths = np.array(classifier(lam=100.0)._fit(*X_y).history_["n_units"])
    assert np.all(np.diff(widths, axis=0) <= 0)
    np.testing.assert_array_equal(widths[0], [20, 30, 20, 1])
    np.testing.assert_array_equal(widths[-1], [1, 1, 1, 1])


@pytest.mark.parametrize("pruning", ["soft", "none"])
def test_without_hard_pruning_nothing_goes_while_training(X_y, pruning):
    history = classifier(pruning=pruning)._fit(*X_y).history_
    assert set(history["n_units"]) == {(20, 30, 20, 1)}
    assert len(set(history["buffer_nbytes"])) == 1


def test_without_input_gates_every_input_stays(X_y):
    model = classifier(gate_inputs=False, lam=100.0)._fit(*X_y)
    assert model.n_units_[0] == 20
    assert model.history_["n_units"][-1] == (20, 1, 1, 1)


def test_a_deletion_acts_from_the_next_epoch_on(X_y):
    """What is decided on epoch k's tallies is what epoch k + 1 is trained with."""
    seen = []
    original = training.Trainer._prune

    def note(self, plan):
        seen.append([int(k.sum()) for k in self._decide(plan.prune_threshold)])
        return original(self, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Trainer, "_prune", note)
        history = classifier()._fit(*X_y).history_
    trained = [list(widths[:-1]) for widths in history["n_units"]]
    assert trained[0] == [20, 30, 20]
    assert trained[1:] == seen
    assert trained[-1] != trained[0]


def test_an_interrupted_epoch_leaves_no_tallies_to_prune_by(X_y, monkeypatch):
    model = classifier(max_iter=3, batch_size=1, gate_learning_rate_init=1e-6, warm_start=True)
    original, calls = training.train_batches, []
    monkeypatch.setattr(fitting, "usable_threads", lambda: 1)

    def interrupted(*arguments):
        calls.append(None)
        if len(calls) == 9:  # of 7 calls an epoch
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "train_batches", interrupted)
        with pytest.warns(UserWarning, match="interrupted"):
            model.fit(*X_y)
    assert model.n_iter_ == 1
    model._fit(*X_y)
    assert set(model.history_["n_units"]) == {(20, 30, 20, 1)}
