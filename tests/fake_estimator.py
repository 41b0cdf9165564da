"""Stand-ins for what is slow or far away: an estimator, a run of paper or frontier, and MNIST.

Every image carries its label in its first pixel, so that a stand-in network can be wrong about
as many rows as a test wants.
"""

import gzip
import itertools
import time

import numpy as np
from experiments import run_store
from experiments.mnist import MNIST

from fastl0.cli.training_run import PRUNINGS

N_TRAIN, N_TEST = 130, 20
FIRST = ((0, "hard"), (0, 70_000))  # runs
N_UNITS = {
    "hard": [(500, 60, 40, 10), (200, 50, 30, 10), (100, 40, 20, 10)],
    "soft": [(784, 300, 100, 10)] * 3,
    "none": [(784, 300, 100, 10)] * 3,
    70_000: [(784, 300, 100, 10), (500, 100, 90, 10), (200, 150, 80, 10)],
    0.25: [(784, 300, 100, 10), (300, 150, 40, 10), (150, 100, 50, 10)],
    "64KiB": [(784, 300, 100, 10), (200, 50, 30, 10), (100, 40, 20, 10)],
}


def mnist(seed=0):
    rng = np.random.default_rng(seed)
    arrays = []
    for n_rows in (N_TRAIN, N_TEST):
        X = rng.integers(0, 256, (n_rows, 784), dtype=np.uint8)
        y = (np.arange(n_rows) % 10).astype(np.uint8)
        X[:, 0] = y
        arrays += [X, y]
    return MNIST(*arrays)


def idx(array, *, magic=None, dimensions=None):
    """Pack bytes as an IDX file would."""
    magic = 2048 + array.ndim if magic is None else magic
    fields = [magic, *(array.shape if dimensions is None else dimensions)]
    return b"".join(field.to_bytes(4, "big") for field in fields) + array.tobytes()


def write_mnist(folder, data, *, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, X, y in (("train", data[0], data[1]), ("t10k", data[2], data[3])):
        for name, array in (
            (f"{prefix}-images-idx3-ubyte", X.reshape(-1, 28, 28)),
            (f"{prefix}-labels-idx1-ubyte", y),
        ):
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array), compresslevel=1))
            else:
                (folder / name).write_bytes(idx(array))


def n_parameters(widths):
    return sum((a + 1) * b for a, b in itertools.pairwise(widths))


class Network:
    """Wrong about the first `n_wrong` rows, right about the others."""

    def __init__(self, n_wrong, widths):
        self.n_wrong = n_wrong
        self.n_parameters = n_parameters(widths)

    def predict_codes(self, X):
        codes = np.rint(X[:, 0] * 255).astype(int)
        codes[: self.n_wrong] += 1
        return codes % 10


class Classifier:
    """Learns nothing, in no time: the first epoch errs on 5 + seed rows, each later on one less.

    With a target size one gets an average of the epochs, which errs on one row less than the last.
    """

    seen: list = []  # noqa: RUF012

    def __init__(self, **parameters):
        self.parameters = parameters

    def fit(self, X, y):
        return self

    def _fit(self, X, y, on_epoch):
        self.seen.append((self.parameters, X, y))
        kind = self.parameters.get("target_size", self.parameters.get("pruning"))
        for epoch in range(self.parameters["max_iter"]):
            widths = N_UNITS[kind][min(epoch, 2)]
            widths = (X.shape[1], *widths[1:]) if X.shape[1] < widths[0] else widths
            record = {
                "loss": 1 / (epoch + 1),
                "n_units": widths,
                "n_parameters": n_parameters(widths),
                "buffer_nbytes": 16 * n_parameters(widths),
                "batch_size": 128,
                "epoch_time": 0.25 * (epoch + 1),
            }
            network = Network(5 + self.parameters["random_state"] - epoch, widths)
            if on_epoch(epoch, lambda network=network: network, record):
                break
        self.classes_ = np.unique(y)
        self.n_units_ = widths
        self.n_parameters_ = network.n_parameters
        self.support_ = np.arange(X.shape[1]) < widths[0]
        self.network = Network(network.n_wrong - ("target_size" in self.parameters), widths)
        return self

    def predict(self, X):
        return self.classes_[self.network.predict_codes(X)]


def run(plan, data, seed, kind, on_epoch=None):
    """Stand in for one run of an experiment; with several jobs the first finishes after another."""
    deadline = time.monotonic() + 60
    while plan.jobs > 1 and (seed, kind) in FIRST and time.monotonic() < deadline:
        if any((plan.out / "runs").glob("*.json")):
            break
        time.sleep(0.01)
    widths = [list(N_UNITS[kind][min(epoch, 2)]) for epoch in range(plan.epochs)]
    sizes = [n_parameters(w) for w in widths]
    history = {
        "loss": [1 / (epoch + 1) for epoch in range(plan.epochs)],
        "test_error": [2.5 + seed - epoch / 100 for epoch in range(plan.epochs)],
        "n_parameters": sizes,
        "n_units": widths,
        "buffer_nbytes": [16 * size for size in sizes],
        "epoch_time": [0.5] * plan.epochs,
        "n_parameters_folded": sizes,
    }
    average = 0 if kind in PRUNINGS else 0.25
    return run_store.Run(
        seed,
        kind,
        history,
        n_units=widths[-1],
        support=list(range(widths[-1][0])),
        test_error=history["test_error"][-1] - average,
        n_parameters=sizes[-1],
    )
