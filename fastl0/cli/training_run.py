"""One training run of a command: fit, and measure the test set after every epoch.

The test set only ever measures; no choice is made by it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

#: Kinds of pruning, as the estimator takes them.
PRUNINGS = ("hard", "soft", "none")

HISTORY = (
    "loss",
    "test_error",
    "n_parameters",
    "n_units",
    "buffer_nbytes",
    "epoch_time",
    "n_parameters_folded",
)


class TrainingRun(NamedTuple):
    """What one run leaves behind.

    Attributes
    ----------
    history : dict of str to list
        One entry an epoch under each name in ``HISTORY``; ``test_error`` is in percent,
        ``n_units`` a list of widths and ``epoch_time`` in seconds, measuring left out.
        ``n_parameters`` counts the network in training, which soft pruning leaves whole, and
        ``n_parameters_folded`` what would be left if the training ended there.
    n_units : list of int
        The widths of the trained network, inputs first, outputs last.
    support : list of int
        The inputs that the trained network still reads, in ascending order.
    test_error : float
        In percent, of the trained network; where that is an average over the last epochs, it is
        none of those in the history.
    n_parameters : int
        Of the trained network.
    """

    history: dict[str, list[Any]]
    n_units: list[int]
    support: list[int]
    test_error: float
    n_parameters: int


def train(
    parameters: Mapping[str, Any],
    X_train: npt.NDArray[np.float32],
    y_train: npt.NDArray[Any],
    X_test: npt.NDArray[np.float32],
    y_test: npt.NDArray[Any],
    on_epoch: Callable[[], object] | None = None,
) -> TrainingRun:
    """Train one classifier through all its epochs and measure each of them.

    Parameters
    ----------
    parameters : mapping of str to object
        Arguments of :class:`fastl0.HardL0MLPClassifier`; ``max_iter`` is the number of epochs.
    X_train, X_test : ndarray of float32, shape (n_samples, n_features)
    y_train, y_test : ndarray, shape (n_samples,)
    on_epoch : callable, optional
        Called without arguments after every epoch.

    Returns
    -------
    TrainingRun

    Raises
    ------
    KeyboardInterrupt
        If the training ended before its last epoch: an unfinished run must not pass for a whole.
    """
    from sklearn.exceptions import ConvergenceWarning

    from fastl0 import HardL0MLPClassifier

    n_epochs = parameters["max_iter"]
    classifier = HardL0MLPClassifier(**{"n_iter_no_change": n_epochs, **parameters})
    classes = np.unique(y_train)
    history: dict[str, list[Any]] = {name: [] for name in HISTORY}

    def measure(_: int, snapshot: Callable[[], Any], record: Mapping[str, Any]) -> None:
        network = snapshot()
        guesses = classes[network.predict_codes(X_test)]
        history["loss"].append(float(record["loss"]))
        history["test_error"].append(float(100 * np.mean(guesses != y_test)))
        history["n_parameters"].append(int(record["n_parameters"]))
        history["n_units"].append([int(width) for width in record["n_units"]])
        history["n_parameters_folded"].append(int(network.n_parameters))
        history["buffer_nbytes"].append(int(record["buffer_nbytes"]))
        history["epoch_time"].append(float(record["epoch_time"]))
        if on_epoch is not None:
            on_epoch()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier._fit(X_train, y_train, on_epoch=measure)
    if len(history["loss"]) < n_epochs:
        raise KeyboardInterrupt
    return TrainingRun(
        history=history,
        n_units=[int(width) for width in classifier.n_units_],
        support=[int(i) for i in np.flatnonzero(classifier.support_)],
        test_error=float(100 * np.mean(classifier.predict(X_test) != y_test)),
        n_parameters=int(classifier.n_parameters_),
    )
