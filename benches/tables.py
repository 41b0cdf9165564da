"""Tables to learn from, split in two: what `defaults.py` runs on.

Those of `LISTED` are the sets that the defaults are meant for, those of `OTHERS` nobody has
chosen a default by. A loader takes the folder of the data and a seed, and returns a `Table`;
sets that come with a split keep it, so that the seed changes the network alone.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from experiments.mnist import load_mnist
from sklearn import datasets
from sklearn.model_selection import train_test_split

#: Metrics, by the names that scikit-learn's `get_scorer` knows: for even and for uneven classes.
EVEN, UNEVEN = "accuracy", "balanced_accuracy"


class Table(NamedTuple):
    X_train: np.ndarray | pd.DataFrame
    X_test: np.ndarray | pd.DataFrame
    y_train: np.ndarray
    y_test: np.ndarray


def split(X, y, seed, **sizes):
    sizes = sizes or {"test_size": 0.3}
    return Table(*train_test_split(X, y, stratify=y, random_state=seed, **sizes))


def read(path, **options):
    """A text file without a header as an array."""
    return pd.read_csv(path, header=None, **options).to_numpy()


# --- listed --------------------------------------------------------------------------


def mnist(folder, seed):
    images = load_mnist(folder)
    X_train, X_test = (X.astype(np.float32) / 255 for X in (images.X_train, images.X_test))
    return Table(X_train, X_test, images.y_train, images.y_test)


def letter(folder, seed):
    rows = pd.read_csv(folder / "letter" / "letter-recognition.data.gz", header=None)
    y, X = rows.pop(0).to_numpy(dtype=str), rows.to_numpy()
    return Table(X[:-4000], X[-4000:], y[:-4000], y[-4000:])


def ai4i(folder, seed):
    rows = pd.read_csv(folder / "ai4i2020" / "ai4i2020.csv.gz", encoding="utf-8-sig")
    y = rows.pop("Machine failure").to_numpy()
    modes = ["TWF", "HDF", "PWF", "OSF", "RNF"]  # the target is whether there is any of them
    return split(rows.drop(columns=["UDI", "Product ID", *modes]), y, seed)


def madelon(folder, seed):
    X_train, X_test, y_train, y_test = (
        read(folder / "madelon" / f"madelon_{part}", sep=r"\s+")
        for part in ("train.data.gz", "valid.data.gz", "train.labels", "valid.labels")
    )
    return Table(X_train, X_test, y_train.ravel(), y_test.ravel())


def steel(folder, seed):
    rows = read(folder / "steel-plates-faults" / "Faults.NNA.gz", sep=r"\s+")
    return split(rows[:, :27], rows[:, 27:].argmax(axis=1), seed)


def digits(folder, seed):
    return split(*datasets.load_digits(return_X_y=True), seed)


# --- others --------------------------------------------------------------------------


def breast_cancer(folder, seed):
    return split(*datasets.load_breast_cancer(return_X_y=True), seed)


def wine(folder, seed):
    return split(*datasets.load_wine(return_X_y=True), seed)


def iris(folder, seed):
    return split(*datasets.load_iris(return_X_y=True), seed)


def made(folder, seed):
    """Another problem for each seed: 8 informative inputs and 42 of noise."""
    X, y = datasets.make_classification(5000, 50, n_informative=8, n_redundant=0, random_state=seed)
    return split(X, y, seed)


def few_digits(folder, seed):
    """100 rows to learn from; all others are test rows, for a score that is less noisy."""
    return split(*datasets.load_digits(return_X_y=True), seed, train_size=100)


def turbofan(folder, seed):
    """Whether an engine fails within 30 cycles, by settings and sensors of one cycle."""
    rows = read(folder / "cmapss" / "train_FD001.txt.gz", sep=r"\s+")
    unit, cycle, X = rows[:, 0].astype(int), rows[:, 1], rows[:, 2:]
    last = np.zeros(unit.max() + 1)
    np.maximum.at(last, unit, cycle)
    y = last[unit] - cycle < 30
    test = unit > 80
    return Table(X[~test], X[test], y[~test], y[test])


LISTED = {
    "MNIST": (mnist, EVEN),
    "letter": (letter, EVEN),
    "AI4I 2020": (ai4i, UNEVEN),
    "madelon": (madelon, EVEN),
    "steel-plates-faults": (steel, UNEVEN),
    "digits": (digits, EVEN),
}
OTHERS = {
    "breast_cancer": (breast_cancer, UNEVEN),
    "wine": (wine, EVEN),
    "iris": (iris, EVEN),
    "make_classification": (made, EVEN),
    "digits, 100 rows": (few_digits, EVEN),
    "CMAPSS FD001": (turbofan, UNEVEN),
}
TABLES = LISTED | OTHERS


def group_of(name):
    return "listed" if name in LISTED else "others"


def metric_of(name):
    return TABLES[name][1]


@lru_cache(maxsize=1)  # the same table is wanted with and without pruning
def load(name, folder, seed):
    return TABLES[name][0](folder, seed)
