"""The record of a training: its columns, and that it comes back from its state as it was."""

import numpy as np
import pytest

from fastl0.checkpoint.state_reader import StateError, StateReader
from fastl0.model.network import Network
from fastl0.training.early_stopping import EarlyStopping
from fastl0.training.history import History

WIDTHS = (5, 4, 3)


def entries(k, n_units, **changes):
    return {
        "loss": 1.0 / (k + 3),
        "n_units": n_units,
        "n_parameters": 100 - k,
        "buffer_nbytes": 5000 - k,
        "batch_size": 20,
        "epoch_time": 0.1 * k,
        "score": None,
        "validation_loss": None,
        "samples_seen": 60 * (k + 1),
    } | changes


def network(n_inputs=2, n_hidden=3):
    rng = np.random.default_rng(0)
    return Network(
        [rng.normal(size=(n_inputs, n_hidden)).astype("f4"), np.ones((n_hidden, 3), "f4")],
        [np.zeros(n_hidden, "f4"), np.ones(3, "f4")],
        np.arange(5) < n_inputs,
        "relu",
        "softmax",
    )


def a_record(**changes):
    same = (4, 4, 3)
    epochs = [entries(0, WIDTHS), entries(1, same), entries(2, same), entries(3, (4, 2, 3))]
    return History([epoch | changes for epoch in epochs], EarlyStopping(0.0, 0, best_loss=0.5))


def restored(state):
    return History.restored(StateReader(state), WIDTHS, "relu", "softmax")


@pytest.mark.parametrize("score", [None, 0.5])
def test_a_restored_record_is_as_the_one_before(score):
    record = a_record(score=score)
    found = restored(record.state())
    assert found == record
    for epoch in found.epochs:
        for name, value in epoch.items():
            assert type(value) in (int, float, tuple, type(None)), name
    # Pickle writes an object once: a file of a size in bytes depends on who is whom.
    assert found.epochs[1]["n_units"] is found.epochs[2]["n_units"]


def test_scores_may_be_there_from_some_epoch_on():
    record = a_record()
    record.epochs[-1] |= {"score": 0.25, "validation_loss": float("inf")}
    assert restored(record.state()).column("score") == [None, None, None, 0.25]
    assert restored(record.state()) == record


def test_patience_and_the_best_network_come_back():
    record = a_record()
    record.stopper = EarlyStopping(0.0, 0, best_score=0.5, n_waited=3)
    record.best_network = network()
    found = restored(record.state())
    assert found.stopper == record.stopper
    assert found.best_network.n_units == (2, 3, 3)
    best = found.best_network
    for a, b in zip(best.coefs + best.intercepts, network().coefs, strict=False):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(found.best_network.support, network().support)
    assert (found.best_network.activation, found.best_network.out_activation) == ("relu", "softmax")


def epochs_with(name, value):
    def change(state):
        state["epochs"][name] = value

    return change


def best_with(**changes):
    def change(state):
        state["best_network"] |= changes

    return change


UNSOUND = {
    "no epochs": lambda state: state.update(epochs=History().state()["epochs"]),
    "too wide": epochs_with("n_units", np.full((4, 3), 5)),
    "no units": epochs_with("n_units", np.zeros((4, 3), int)),
    "another layer": epochs_with("n_units", np.ones((4, 4), int)),
    "fewer losses": epochs_with("loss", np.ones(3)),
    "a loss that is none": epochs_with("loss", np.array([1.0, 1.0, np.nan, 1.0])),
    "an infinite loss": epochs_with("loss", np.array([1.0, 1.0, np.inf, 1.0])),
    "single losses": epochs_with("loss", np.ones(4, np.float32)),
    "no rows": epochs_with("batch_size", np.zeros(4, int)),
    "no flags": epochs_with("has_score", np.zeros(4)),
    "patience": lambda state: state.update(early_stopping=3),
    "no patience": lambda state: state.update(early_stopping=None),
    "no such network": best_with(support=np.ones(5, bool)),
    "a support of six": best_with(support=np.ones(6, bool)),
    "other outputs": best_with(coef_1=np.ones((3, 2), "f4")),
    "weights that do not chain": best_with(coef_1=np.ones((2, 3), "f4")),
    "long biases": best_with(intercept_0=np.ones(4, "f4")),
    "wider than it began": best_with(coef_0=np.ones((2, 5), "f4")),
    "an empty layer": best_with(coef_0=np.ones((2, 0), "f4")),
    "weights that are none": best_with(coef_0=np.full((2, 3), np.nan, "f4")),
    "more layers": best_with(coef_2=np.ones((3, 3), "f4")),
    "more": lambda state: state.update(more=1),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_an_unsound_record_is_refused(name):
    record = a_record()
    record.best_network = network()
    state = record.state()
    UNSOUND[name](state)
    with pytest.raises(StateError):
        restored(state)


def test_a_record_that_keeps_the_last_epochs_counts_all():
    record = a_record()
    record.keep_last(10)
    assert record == a_record()
    record.keep_last(3)
    record.keep_last(2)
    assert record.n_epochs == 4
    assert record.epochs == a_record().epochs[2:]
    assert record.samples_seen == a_record().samples_seen
    assert restored(record.state()) == record
