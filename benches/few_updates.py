"""Trainings of few epochs or few rows, at the default size: score beside that without pruning.

    python benches/few_updates.py [--seeds 10]

scikit-learn's MLPClassifier, fastl0 with ``pruning="none"`` and with its defaults learn the same
rows for as many epochs; test rows are a quarter of the data, another one for each seed. Writes
``results/few_updates.csv``, a row a fit, and prints means in percent.
"""

import argparse
import csv
import statistics
import warnings

import workloads
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from fastl0 import HardL0MLPClassifier

PATH = workloads.RESULTS / "few_updates.csv"
NAMES = ("data", "rows", "epochs", "hidden", "seed", "network", "accuracy", "n_parameters")
DATA = {
    "digits": lambda seed: load_digits(return_X_y=True),
    "breast_cancer": lambda seed: load_breast_cancer(return_X_y=True),
    "wine": lambda seed: load_wine(return_X_y=True),
    "make_classification": lambda seed: make_classification(1000, random_state=seed),
}
WIDE, NARROW = (200, 100), (16, 8)
#: TrainingData, rows to learn from (None for all), epochs, and hidden units.
CASES = [
    *((name, None, n, WIDE) for name in DATA if name != "wine" for n in (1, 5, 10, 20, 40)),
    *(("digits", None, n, NARROW) for n in (5, 10, 20)),
    *((name, n, 200, WIDE) for name in DATA for n in (8, 16, 32, 64)),
]


def rows(name, n_rows, seed):
    """Standardised, and of two classes at least."""
    X, y = DATA[name](seed)
    parts = train_test_split(X, y, random_state=seed, stratify=y)
    X_train, X_test, y_train, y_test = parts
    if n_rows is not None:
        X_train, _, y_train, _ = train_test_split(
            X_train,
            y_train,
            train_size=max(n_rows, len(set(y))),
            random_state=seed,
            stratify=y_train,
        )
    scaler = StandardScaler().fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test


def networks(hidden, max_iter, seed):
    settings = {"hidden_layer_sizes": hidden, "max_iter": max_iter, "random_state": seed}
    return {
        "scikit-learn": MLPClassifier(**settings),
        "none": HardL0MLPClassifier(**settings, pruning="none"),
        "hard": HardL0MLPClassifier(**settings),
    }


def fits(name, n_rows, max_iter, hidden, seed):
    X_train, X_test, y_train, y_test = rows(name, n_rows, seed)
    for network, model in networks(hidden, max_iter, seed).items():
        model.fit(X_train, y_train)
        size = sum(a.size for a in [*model.coefs_, *model.intercepts_])
        score = model.score(X_test, y_test)
        hidden_units = "-".join(map(str, hidden))
        yield (name, len(y_train), max_iter, hidden_units, seed, network, f"{score:.4f}", size)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    n_seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore", ConvergenceWarning)  # that is what this is about
    with PATH.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(NAMES)
        print("| data | rows | epochs | hidden | scikit-learn | none | hard | hard - none (SE) |")
        print("|---|---|---|---|---|---|---|---|")
        for name, n_rows, max_iter, hidden in CASES:
            found = [
                fit for seed in range(n_seeds) for fit in fits(name, n_rows, max_iter, hidden, seed)
            ]
            writer.writerows(found)
            scores = [[100 * float(fit[6]) for fit in found[k::3]] for k in range(3)]
            gains = [hard - none for none, hard in zip(scores[1], scores[2], strict=True)]
            error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
            means = " | ".join(f"{statistics.mean(values):.1f}" for values in scores)
            print(
                f"| {name} | {found[0][1]} | {max_iter} | {found[0][3]} | {means} | "
                f"{statistics.mean(gains):+.1f} ({error:.1f}) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
