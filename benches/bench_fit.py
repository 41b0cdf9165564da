"""`fit` and one-row `predict_proba` beside scikit-learn's MLPClassifier.

Same data, epochs, batch size and tol; the data are float32 for both. fastl0 trains with as
many threads as it finds useful; scikit-learn gets one, and all. Fits are in wall-clock time,
predictions in the thread's own.
"""

import time

import numpy as np
import pytest
import workloads
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from fastl0 import HardL0MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PRUNINGS = ["hard", "soft", "none"]


def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y, {"hidden_layer_sizes": (100,), "max_iter": 50}


def mnist_subset():
    X, y = workloads.load_images()
    settings = {"hidden_layer_sizes": (300, 100), "max_iter": 3}
    return workloads.scaled(X[:10_000]), y[:10_000], settings


PROBLEMS = {"digits": digits, f"10,000 rows of {workloads.data_name()}": mnist_subset}


@pytest.fixture(params=PROBLEMS)
def problem(request):
    X, y, settings = PROBLEMS[request.param]()
    common = {"batch_size": 128, "tol": 0.0, "n_iter_no_change": 1000, "random_state": 0}
    return request.param, X, y, {**common, **settings}


@pytest.mark.parametrize("pruning", PRUNINGS)
def bench_fit(benchmark, problem, pruning):
    name, X, y, settings = problem
    benchmark.group = f"fit: {name}, {settings['max_iter']} epochs"
    classifier = HardL0MLPClassifier(pruning=pruning, **settings, **workloads.PAPER)
    benchmark.pedantic(classifier.fit, (X, y), rounds=3, warmup_rounds=1)
    assert classifier.n_iter_ == settings["max_iter"]


@pytest.mark.parametrize("n_threads", [1, None], ids=["1-thread", "all-threads"])
def bench_fit_sklearn(benchmark, problem, n_threads):
    name, X, y, settings = problem
    benchmark.group = f"fit: {name}, {settings['max_iter']} epochs"
    classifier = MLPClassifier(**settings)
    with threadpool_limits(limits=n_threads, user_api="blas"):
        benchmark.pedantic(classifier.fit, (X, y), rounds=3)
    assert classifier.n_iter_ == settings["max_iter"]


@pytest.mark.benchmark(timer=time.thread_time)
@pytest.mark.parametrize("library", ["fastl0", "sklearn"])
def bench_predict_one_row(benchmark, problem, library):
    name, X, y, settings = problem
    benchmark.group = f"predict_proba of one row: {name}"
    if library == "fastl0":
        classifier = HardL0MLPClassifier(**settings, **workloads.PAPER).fit(X, y)
    else:
        classifier = MLPClassifier(**settings).fit(X, y)
    benchmark(classifier.predict_proba, X[:1])
