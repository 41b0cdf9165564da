"""`l0_path` beside a separate fit for each size: cost, and score on a test set.

    python benches/paths.py --data DIR [--seeds N] [--jobs N] [--only NAME ...]

Appends a row for each data set, seed and size to ``results/paths.csv`` and prints a table. Costs
are CPU seconds on one thread.
"""

import argparse
import csv
import pathlib
import statistics
import time
import warnings
from collections import defaultdict

import numpy as np
import tables
import workloads
from defaults import pipeline
from joblib import Parallel, delayed
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from fastl0 import HardL0MLPClassifier, l0_path

PATH = workloads.RESULTS / "paths.csv"
NAMES = ("data", "seed", "target_size", "way", "score", "n_parameters", "seconds_in_all")
NAMES_OF_DATA = ("digits", "steel-plates-faults", "letter")


def clocked(function):
    start = time.process_time()
    return function(), time.process_time() - start


def run(data, name, seed):
    """Fit a path, and each of its sizes by itself: rows of the CSV."""
    warnings.simplefilter("ignore")
    X, X_test, y, y_test = tables.load(name, pathlib.Path(data), seed)
    with threadpool_limits(1):
        steps = pipeline(X, "passthrough").fit(X, y)
        X, X_test = steps.transform(X), steps.transform(X_test)
        estimator = HardL0MLPClassifier(random_state=seed)
        clone(estimator).set_params(max_iter=1).fit(X, y)  # loads the kernels
        path, seconds = clocked(
            lambda: l0_path(X, y, estimator=estimator, X_val=X_test, y_val=y_test)
        )
        sizes = [model.target_size for model in path.estimators]
        models, separate = clocked(
            lambda: [clone(estimator).set_params(target_size=size).fit(X, y) for size in sizes]
        )
    rows = []
    for way, found, cost in (("path", path.estimators, seconds), ("separate", models, separate)):
        for size, model in zip(sizes, found, strict=True):
            score = model.score(X_test, y_test)
            values = (
                name,
                seed,
                size,
                way,
                f"{100 * score:.2f}",
                model.n_parameters_,
                f"{cost:.1f}",
            )
            rows.append(dict(zip(NAMES, values, strict=True)))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=NAMES_OF_DATA, default=NAMES_OF_DATA)
    arguments = parser.parse_args()
    runs = [(name, seed) for name in arguments.only for seed in range(arguments.seeds)]
    found = Parallel(n_jobs=arguments.jobs)(delayed(run)(arguments.data, *key) for key in runs)
    rows = [row for part in found for row in part]
    with PATH.open("w", newline="") as file:
        writer = csv.DictWriter(file, NAMES, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    scores, costs = defaultdict(list), defaultdict(dict)
    for row in rows:
        scores[row["data"], row["target_size"], row["way"]].append(float(row["score"]))
        costs[row["data"], row["seed"]][row["way"]] = float(row["seconds_in_all"])
    print("\n| data | size | path, % | separate fits, % |\n|---|---|---|---|")
    for name, size, way in scores:
        if way == "path":
            pair = (statistics.mean(scores[name, size, w]) for w in ("path", "separate"))
            print(f"| {name} | {size} | " + " | ".join(f"{score:.2f}" for score in pair) + " |")
    print("\n| data | cost of the path over that of separate fits |\n|---|---|")
    for name in arguments.only:
        ratios = [c["path"] / c["separate"] for key, c in costs.items() if key[0] == name]
        print(f"| {name} | {np.median(ratios):.3f} |")


if __name__ == "__main__":
    main()
