"""One row at a time: `partial_fit` beside scikit-learn's MLPs.

    python benches/stream.py [--rounds N]

Both train the same network with the same solver on the same float32 rows; the two take turns in
blocks. "shrunk" is the network that a stream with a price has come to. Writes
``results/stream.csv`` (microseconds of a call: the median of each block) and prints the ratios.
"""

import argparse
import csv
import statistics
import time
import warnings

import numpy as np
import workloads
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor

PATH = workloads.RESULTS / "stream.csv"
NAMES = ("kind", "widths", "state", "round", "fastl0", "scikit-learn")
SHAPES = ((20, (100,), 3), (64, (100,), 10), (64, (200, 100), 10), (784, (300, 100), 10))
N_CALLS = 100


def rows(n_inputs, n_classes, n_rows=4000):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, n_inputs), dtype=np.float32)
    # Few inputs matter, so that a stream with a price can shrink.
    score = X[:, :3] @ rng.standard_normal((3, n_classes))
    return X, score.argmax(axis=1) if n_classes > 1 else score[:, 0].astype(np.float32)


def block(model, X, y, start):
    """Median microseconds of some calls with one row each."""
    times = []
    for k in range(start, start + N_CALLS):
        before = time.perf_counter()
        model.partial_fit(X[k : k + 1], y[k : k + 1])
        times.append(time.perf_counter() - before)
    return 1e6 * statistics.median(times)


def models(kind, hidden):
    settings = {"hidden_layer_sizes": hidden, "random_state": 0}
    if kind == "classifier":
        return HardL0MLPClassifier(**settings), MLPClassifier(**settings)
    return HardL0MLPRegressor(**settings), MLPRegressor(**settings)


def compare(kind, n_inputs, hidden, n_classes, n_rounds):
    X, y = rows(n_inputs, n_classes if kind == "classifier" else 1)
    ours, theirs = models(kind, hidden)
    first = {"classes": np.arange(n_classes)} if kind == "classifier" else {}
    theirs.partial_fit(X[:200], y[:200], **first)
    for state in ("whole", "shrunk"):
        if state == "shrunk":
            ours = type(ours)(hidden, lam=0.3, random_state=0)
        ours.partial_fit(X[:200], y[:200], **first)
        for _ in range(150 if state == "shrunk" else 0):
            ours.partial_fit(X, y)
        for number in range(n_rounds):
            start = 200 + number * N_CALLS
            yield {
                "kind": kind,
                "widths": workloads.name_of((n_inputs, *hidden, theirs.n_outputs_)),
                "state": workloads.name_of(ours.n_units_),
                "round": number,
                "fastl0": f"{block(ours, X, y, start):.1f}",
                "scikit-learn": f"{block(theirs, X, y, start):.1f}",
            }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20, help="turns (default: %(default)s)")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with threadpool_limits(1), open(PATH, "w", newline="") as file:
        writer = csv.DictWriter(file, NAMES)
        writer.writeheader()
        print(f"{'':12}{'network':20}{'at':20}{'fastl0':>8}{'sklearn':>9}{'ratio':>14}  (us)")
        for kind in ("classifier", "regressor"):
            for shape in SHAPES:
                found = list(compare(kind, *shape, options.rounds))
                writer.writerows(found)
                file.flush()
                for state in dict.fromkeys(row["state"] for row in found):
                    show([row for row in found if row["state"] == state])


def show(found):
    ours, theirs = ([float(row[name]) for row in found] for name in NAMES[-2:])
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    low, high = ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]
    print(
        f"{found[0]['kind']:12}{found[0]['widths']:20}{found[0]['state']:20}"
        f"{statistics.median(ours):8.0f}{statistics.median(theirs):9.0f}"
        f"{statistics.median(ratios):6.3f} ({low:.3f}-{high:.3f})"
    )


if __name__ == "__main__":
    main()
