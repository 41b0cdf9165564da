"""Tables to learn from, split in two: what `defaults.py` and `boosting.py` run on.

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
#: For numbers.
NUMBERS = "r2"


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


# --- tables that one would give to boosting -------------------------------------------


def from_file(name, is_number=False):
    """One of the files of ``tables/``; a quarter of the rows are test rows."""

    def load(folder, seed):
        rows = pd.read_csv(folder / "tables" / f"{name}.tsv.gz", sep="\t")
        y = rows.pop("target").to_numpy()
        strata = None if is_number else y
        return Table(
            *train_test_split(
                rows.to_numpy(np.float32), y, stratify=strata, random_state=seed, test_size=0.25
            )
        )

    return load


def gas_turbine(target):
    """Emissions by sensors: the last two years are test rows."""

    def load(folder, seed):
        years = []
        for year in range(2011, 2016):
            rows = pd.read_csv(folder / "gas-turbine" / f"gt_{year}.csv.gz")
            years.append(rows.rename(columns=str.strip))
        train, test = pd.concat(years[:3]), pd.concat(years[3:])
        X_train, X_test = (part.drop(columns=["CO", "NOX"]).to_numpy() for part in (train, test))
        return Table(X_train, X_test, train[target].to_numpy(), test[target].to_numpy())

    return load


def remaining_life(folder, seed):
    """Cycles that an engine has left, cut off at 125; the last twenty engines are test rows."""
    rows = read(folder / "cmapss" / "train_FD001.txt.gz", sep=r"\s+")
    unit, cycle, X = rows[:, 0].astype(int), rows[:, 1], rows[:, 2:]
    last = np.zeros(unit.max() + 1)
    np.maximum.at(last, unit, cycle)
    y = np.minimum(last[unit] - cycle, 125.0)
    test = unit > 80
    return Table(X[~test], X[test], y[~test], y[test])


def diabetes(folder, seed):
    X, y = datasets.load_diabetes(return_X_y=True)
    return Table(*train_test_split(X, y, random_state=seed, test_size=0.3))


def friedman(folder, seed):
    """Another problem for each seed."""
    X, y = datasets.make_friedman1(3000, 10, noise=1.0, random_state=seed)
    return Table(*train_test_split(X, y, random_state=seed, test_size=0.3))


_CLASSES = (
    "churn", "connect_4", "dna", "german", "page_blocks", "phoneme", "satimage", "spambase",
    "waveform_40",
)  # fmt: skip
BESIDE_BOOSTING = (
    {name: (from_file(name), EVEN) for name in _CLASSES}
    | {name: (from_file(name, True), NUMBERS) for name in ("227_cpu_small", "503_wind")}
    | {f"gas turbine, {target}": (gas_turbine(target), NUMBERS) for target in ("CO", "NOX")}
    | {
        "CMAPSS FD001, life": (remaining_life, NUMBERS),
        "diabetes": (diabetes, NUMBERS),
        "friedman": (friedman, NUMBERS),
    }
    | {name: TABLES[name] for name in TABLES if name != "MNIST"}
)


def group_of(name):
    return "listed" if name in LISTED else "others"


def metric_of(name):
    return (TABLES | BESIDE_BOOSTING)[name][1]


@lru_cache(maxsize=1)  # the same table is wanted with and without pruning
def load(name, folder, seed):
    return (TABLES | BESIDE_BOOSTING)[name][0](folder, seed)
