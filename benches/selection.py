"""Which inputs a network keeps: madelon, where 20 inputs of 500 matter -> CSV and tables.

    python benches/selection.py --data DIR [--seeds 5]

First, settings are chosen: every pair of `target_size` and `input_price` out of `GRID` is trained
on three quarters of the training rows, and the network's own accuracy on the rest, mean over
the seeds, decides. Neither the rows of the test nor the identity of the inputs plays a part.
Then fastl0 with these settings, fastl0's defaults and scikit-learn's SelectFromModel with
extremely randomised trees select inputs on all training rows, once a seed; classifiers are
trained on what they keep, and scored on madelon's validation rows, which nothing has seen. All
runs go to `results/selection.csv`.
"""

import argparse
import csv
import os
import pathlib
import statistics
import warnings
from collections import defaultdict

import numpy as np
import tables
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from fastl0 import HardL0MLPClassifier

RESULTS = pathlib.Path(__file__).parent / "results" / "selection.csv"
GRID = [(size, price) for size in (0.04, 0.06, 0.08, 0.1, 0.12) for price in (10, 30, 100, 200)]
CLASSIFIERS = ("nearest_neighbours", "forest", "boosting")
COLUMNS = (
    "stage", "selector", "target_size", "input_price", "seed",
    "n_inputs", "n_relevant", "network", *CLASSIFIERS,
)  # fmt: skip

#: Share of the variance of a relevant input, and of another, that all others explain.
MUCH, LITTLE = 0.95, 0.5


def relevant_inputs(X):
    """Numbers of the 20 inputs that matter, by their covariance alone.

    madelon has five informative inputs, fifteen linear combinations of them and 480 of
    independent noise, all in random order (Guyon 2003, Design of experiments of the NIPS 2003
    variable selection benchmark). So each of the twenty is nearly a linear function of the
    others, and no other input is: the shares of explained variance fall into two groups.
    """
    precision = np.linalg.inv(np.corrcoef(X, rowvar=False))
    explained = 1.0 - 1.0 / np.diag(precision)
    relevant = np.flatnonzero(explained > MUCH)
    rest = np.delete(explained, relevant)
    if len(relevant) != 20 or rest.max() > LITTLE:
        raise ValueError(f"no 20 inputs stand out, got shares of {np.sort(explained)[::-1][:25]}")
    print(
        f"relevant: {', '.join(map(str, relevant))}; explained by the others: "
        f"{explained[relevant].min():.3f} and more, the rest {rest.max():.3f} and less"
    )
    values = np.linalg.eigvalsh(np.corrcoef(X[:, relevant], rowvar=False))
    print(f"eigenvalues of their correlations: {np.array2string(values[::-1], precision=3)}")
    return relevant


# --- selecting -----------------------------------------------------------------------


def network(seed, size=None, price=None):
    changes = {} if size is None else {"target_size": size, "input_price": price}
    return HardL0MLPClassifier(**changes, random_state=seed)


def trees(seed):
    return ExtraTreesClassifier(500, random_state=seed)


def forest_selection(X, y, seed, **limits):
    return SelectFromModel(trees(seed), **limits).fit(X, y).get_support(indices=True)


def scores(X, y, X_test, y_test, inputs, seed):
    """Accuracy, in percent, of classifiers that are trained on some inputs."""
    found = {
        "nearest_neighbours": KNeighborsClassifier(),
        "forest": RandomForestClassifier(500, random_state=seed),
        "boosting": HistGradientBoostingClassifier(random_state=seed),
    }
    return {
        name: f"{100 * model.fit(X[:, inputs], y).score(X_test[:, inputs], y_test):.2f}"
        for name, model in found.items()
    }


def choose(X, y, seeds, relevant):
    """Try all pairs of the grid on held-out rows; return the rows of the CSV and the best pair."""
    rows, accuracies = [], defaultdict(list)
    X, X_held, y, y_held = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    for size, price in [(None, None), *GRID]:
        for seed in seeds:
            model = network(seed, size, price).fit(X, y)
            accuracy = 100 * model.score(X_held, y_held)
            if size is not None:
                accuracies[size, price].append(accuracy)
            rows.append(
                {
                    "stage": "choice",
                    "selector": "fastl0",
                    "target_size": size,
                    "input_price": price,
                    "seed": seed,
                    "n_inputs": int(model.support_.sum()),
                    "n_relevant": int(model.support_[relevant].sum()),
                    "network": f"{accuracy:.2f}",
                }
            )
    return rows, max(accuracies, key=lambda pair: statistics.mean(accuracies[pair]))


def compare(X, y, X_test, y_test, seeds, relevant, pair):
    """Select by every method and seed; return the rows of the CSV."""
    rows = []
    for seed in seeds:
        plain, chosen = network(seed).fit(X, y), network(seed, *pair).fit(X, y)
        n = int(chosen.support_.sum())
        by_trees = {
            "extra trees": {},
            "extra trees, as many as fastl0": {"max_features": n, "threshold": -np.inf},
            "extra trees, 20": {"max_features": 20, "threshold": -np.inf},
        }
        kept = {
            "all inputs": (np.arange(X.shape[1]), None),
            "the 20 relevant inputs": (relevant, None),
            "fastl0, defaults": (plain.get_support(indices=True), plain),
            "fastl0, chosen settings": (chosen.get_support(indices=True), chosen),
            **{
                name: (forest_selection(X, y, seed, **limits), None)
                for name, limits in by_trees.items()
            },
        }
        for name, (inputs, model) in kept.items():
            rows.append(
                {
                    "stage": "test",
                    "selector": name,
                    "target_size": model and model.target_size,
                    "input_price": model and model.input_price,
                    "seed": seed,
                    "n_inputs": len(inputs),
                    "n_relevant": len(np.intersect1d(inputs, relevant)),
                    "network": model and f"{100 * model.score(X_test, y_test):.2f}",
                    **scores(X, y, X_test, y_test, inputs, seed),
                }
            )
    return rows


# --- the tables ----------------------------------------------------------------------


def spread(rows, name, digits=1):
    values = [float(row[name]) for row in rows if row.get(name) not in (None, "")]
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def report(rows):
    """Print both tables in Markdown."""
    columns = ("n_inputs", "n_relevant", "network", *CLASSIFIERS)
    for stage, keys in (("choice", ("target_size", "input_price")), ("test", ("selector",))):
        groups = defaultdict(list)
        for row in rows:
            if row["stage"] == stage:
                groups[tuple(row[key] for key in keys)].append(row)
        shown = columns[:3] if stage == "choice" else columns
        print(f"\n| {' | '.join([*keys, *shown])} |")
        print("|---" * (len(keys) + len(shown)) + "|")
        for key, some in groups.items():
            cells = ["default" if part is None else str(part) for part in key]
            print(f"| {' | '.join(cells + [spread(some, name) for name in shown])} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        default=os.environ.get("FASTL0_DATA"),
        help="folder of the data sets (default: FASTL0_DATA)",
    )
    parser.add_argument("--seeds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS, help="default: results/")
    arguments = parser.parse_args()
    if arguments.data is None or not arguments.data.is_dir():
        parser.error(f"--data must name a folder, got {arguments.data}")
    warnings.simplefilter("ignore", ConvergenceWarning)
    table = tables.load("madelon", arguments.data, 0)
    relevant = relevant_inputs(np.vstack([table.X_train, table.X_test]))
    scaler = StandardScaler().fit(table.X_train)
    X, X_test = (
        scaler.transform(part).astype(np.float32) for part in (table.X_train, table.X_test)
    )
    y, y_test = table.y_train, table.y_test
    seeds = range(arguments.seeds)
    with threadpool_limits(1):
        rows, pair = choose(X, y, seeds, relevant)
        print(f"chosen: target_size={pair[0]}, input_price={pair[1]}")
        rows += compare(X, y, X_test, y_test, seeds, relevant, pair)
    with arguments.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    report(rows)


if __name__ == "__main__":
    main()
