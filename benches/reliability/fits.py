"""What the scripts of this folder fit, and how they tell whether two networks are the same.

Small networks on scikit-learn's digits, with settings that between them go through every part
of the training.
"""

import csv
import functools
import hashlib
import pathlib
import sys
import warnings
from contextlib import contextmanager
from unittest import mock

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.estimators import build_config
from fastl0.training.threads import ThreadTeam, ThreadTuner

FOLDER = pathlib.Path(__file__).resolve().parent
RESULTS = FOLDER.parent / "results" / "reliability"
sys.path.append(str(FOLDER.parents[1] / "tests"))
from team_state import state_of  # noqa: E402 (the tests' view of a team of threads)

# For the whole process: Python's `catch_warnings` is not safe among threads.
warnings.simplefilter("ignore", ConvergenceWarning)
warnings.filterwarnings("ignore", "The training loss is not finite", RuntimeWarning)

N_ROWS = 600
COMMON = {"hidden_layer_sizes": (30, 20), "max_iter": 20, "learning_rate_init": 0.01}
#: With this, units go within a few epochs.
PRICED = {"lam": 0.05, "gate_learning_rate_init": 0.1, "batch_size": 6}
#: By name: settings, and the format of X.
CASES = {
    "hard, to a size": ({}, "float32"),
    "hard, at a price": (PRICED, "float64"),
    "hard, CSR": (PRICED, "csr"),
    "hard, two fits by warm start": (PRICED | {"warm_start": True}, "float32"),
    "hard, early stopping": (PRICED | {"early_stopping": True}, "uint8"),
    "to a size, early stopping": ({"early_stopping": True}, "csr"),
    "dynamic mini-batches": ({"batch_size": "dynamic"}, "Fortran"),
    "memory budget": ({"memory_budget": "100kB", "batch_size": 50}, "float32"),
    "SGD": ({"solver": "sgd", "learning_rate_init": 0.1, "batch_size": 50}, "float32"),
    "several labels": ({"activation": "tanh"}, "labels"),
    "regression": (PRICED | {"lam": 1e-3}, "numbers"),
    "rows that come a few at a time": (PRICED, "stream"),
    "soft": (PRICED | {"pruning": "soft"}, "float32"),
    "soft, CSR": (PRICED | {"pruning": "soft", "activation": "tanh"}, "csr"),
    "none": ({"pruning": "none", "batch_size": 50}, "float32"),
    "none, early stopping": ({"pruning": "none", "early_stopping": True}, "csr"),
    "the defaults, 8 epochs": ({"hidden_layer_sizes": (200, 100), "max_iter": 8}, "float32"),
}


@functools.cache
def data(format_):
    """X in a format, and y."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:N_ROWS], y[:N_ROWS]
    if format_ == "uint8":
        return X.astype(np.uint8), y
    X = X / 16 if format_ == "float64" else (X / 16).astype(np.float32)
    if format_ == "labels":
        return X, np.eye(10, dtype=int)[y]
    if format_ == "numbers":
        return X, X[:, ::7] @ np.arange(10) + y
    return {"csr": sp.csr_array, "Fortran": np.asfortranarray}.get(format_, np.asarray)(X), y


def fit(case, seed):
    """Fit a case of `CASES`."""
    settings, format_ = CASES[case]
    estimator = HardL0MLPRegressor if format_ == "numbers" else HardL0MLPClassifier
    model = estimator(**COMMON | settings, random_state=seed)
    X, y = data(format_)
    if format_ == "stream":
        for start in [*range(0, N_ROWS, 50)] * 5:
            part = slice(start, start + 50)
            model.partial_fit(X[part], y[part], classes=np.arange(10))
        return model
    model.fit(X, y)
    return model.fit(X, y) if model.warm_start else model


def digest(model):
    """SHA-256 of all that a fit leaves and no clock and no number of threads changes."""
    history = {k: v for k, v in model.history_.items() if k not in ("epoch_time", "buffer_nbytes")}
    plain = (model.n_units_, model.n_iter_, model.t_, model.loss_curve_, model.validation_scores_)
    found = hashlib.sha256(repr((plain, sorted(history.items()))).encode())
    for array in (*model.coefs_, *model.intercepts_, model.support_):
        found.update(repr((array.dtype.str, array.shape)).encode() + array.tobytes())
    return found.hexdigest()


def digest_of(case, seed):
    """Fit a case, predict, and return the digest: a task for any worker."""
    model = fit(case, seed)
    model.predict(data(CASES[case][1])[0][:100])
    return digest(model)


class Shared:
    """Mini-batches that several threads shared."""

    n_batches = 0


@contextmanager
def count_shared():
    """Count the mini-batches that are shared by threads meanwhile."""
    shared, leave = Shared(), ThreadTeam.__exit__

    def leave_and_count(crew, *error):
        # A shared mini-batch takes two meetings at least.
        shared.n_batches += state_of(crew).generation // 2
        leave(crew, *error)

    with mock.patch.object(ThreadTeam, "__exit__", leave_and_count):
        yield shared


@contextmanager
def always_invite(n_threads):
    """Invite `n_threads` threads to every mini-batch, whether that is faster or not; count."""

    def usable():  # a Mock would keep a list of all calls
        return n_threads

    with (
        mock.patch.object(build_config, "usable_threads", usable),
        mock.patch.object(ThreadTuner, "next", lambda self, n: (n_threads, n)),
        count_shared() as shared,
    ):
        yield shared


def save(name, rows):
    """Print rows (dicts with the same keys) and write them to ``results/reliability/NAME.csv``."""
    for row in rows:
        print(*(f"{key} {value}" for key, value in row.items()), sep=", ")
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
