"""What a fitted estimator tells of its network and its training."""

import numpy as np
import pytest

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.data import class_targets, regression_targets
from fastl0.estimators.attributes import fitted_names
from fastl0.model.network import Network
from fastl0.training.early_stopping import EarlyStopping
from fastl0.training.history import History


def entries(number, score=None):
    return {
        "loss": 5.0 - number,
        "n_units": (3, 2, 1),
        "n_parameters": 11,
        "buffer_nbytes": 1000,
        "batch_size": 8,
        "epoch_time": 0.5,
        "score": score,
        "validation_loss": None if score is None else -score,
        "samples_seen": 40 * (number + 1),
    }


NETWORK = Network(
    [np.ones((2, 3), np.float32), np.ones((3, 1), np.float32)],
    [np.ones(3, np.float32), np.ones(1, np.float32)],
    np.array([True, False, True]),
    "relu",
    "identity",
)
TARGETS = class_targets.encode_classes(np.array([0, 1]))


def of_history(history, early_stopping):
    return vars(
        HardL0MLPClassifier(early_stopping=early_stopping)._fitted(NETWORK, TARGETS, history)
    )


def test_a_record_without_validation_rows():
    record = History([entries(0), entries(1), entries(2)], n_epochs_in_fit=2)
    found = of_history(record, False)
    assert found["n_iter_"] == 2  # the first one was that of an earlier fit
    assert found["t_"] == 120
    assert found["loss_curve_"] == [5.0, 4.0, 3.0]
    assert (found["loss_"], found["best_loss_"]) == (3.0, 3.0)
    assert found["validation_scores_"] is None
    assert found["validation_loss_curve_"] is None
    assert found["best_validation_score_"] is None
    assert found["history_"]["batch_size"] == [8, 8, 8]


def test_epochs_of_a_stream_may_have_been_judged_or_not():
    record = History([entries(0), entries(1, 0.7), entries(2, 0.6), entries(3)])
    found = of_history(record, False)
    assert found["validation_scores_"] == [None, 0.7, 0.6, None]
    assert found["validation_loss_curve_"] == [None, -0.7, -0.6, None]
    assert found["best_validation_score_"] == 0.7


def test_with_early_stopping_the_best_score_is_that_of_the_network_kept():
    record = History([entries(0, 0.9), entries(1, 0.7)])
    assert of_history(record, True)["best_validation_score_"] == 0.9
    record.best_network = NETWORK
    record.stopper = EarlyStopping(tol=0.0, patience=1, best_score=0.7)
    found = of_history(record, True)
    assert found["best_validation_score_"] == 0.7  # the larger score was of too large a network
    assert found["best_loss_"] is None


def test_a_network_tells_its_size():
    encoded = regression_targets.encode_targets(np.array([1.0, 3.0]), "huber", 1.0, normalize=True)
    found = vars(HardL0MLPRegressor()._fitted(NETWORK, encoded, None))
    assert (found["n_units_"], found["n_parameters_"], found["n_layers_"]) == ((2, 3, 1), 13, 3)
    assert (found["center_"], found["scale_"], found["n_outputs_"]) == (2.0, 1.0, 1)
    assert found["out_activation_"] == "identity"


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", [HardL0MLPClassifier, HardL0MLPRegressor])
@pytest.mark.parametrize("by", ["fit", "partial_fit"])
def test_every_attribute_is_named(kind, by):
    """Names that are missing would be left over when a stream goes on."""
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    model = kind(max_iter=2)
    assert not any(hasattr(model, name) for name in fitted_names(kind))
    before = set(vars(model))
    classes = {"classes": [0, 1]} if kind is HardL0MLPClassifier else {}
    if by == "fit":
        model.fit(X, y)
        assert set(vars(model)) - before - {"n_features_in_"} == set(fitted_names(kind))
        model.partial_fit(X, y, **classes)
    model.partial_fit(X, y, **classes)
    assert set(vars(model)) - before == {"_stream", "n_features_in_"}
    assert all(hasattr(model, name) for name in fitted_names(kind))
