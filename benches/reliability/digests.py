"""Digests of networks of all kinds, to see whether a change of the code changes a bit.

    python benches/reliability/digests.py before.json
    python benches/reliability/digests.py after.json

Two seeds of every case of `fits.CASES`, streams of labels and numbers, fits that are killed and
resumed, a path and a search. The same machine and the same versions give the same digests.
"""

import argparse
import hashlib
import json
import pathlib
import pickle
import tempfile

import fits
import numpy as np

from fastl0 import HardL0MLPClassifier, HardL0MLPClassifierCV, HardL0MLPRegressor, l0_path

WIDTHS = {"hidden_layer_sizes": (30, 20), "max_iter": 24, "batch_size": 6, "random_state": 5}


class Killed(Exception):
    """Ends a fit."""


def of_cases():
    return {f"{case} {seed}": fits.digest_of(case, seed) for case in fits.CASES for seed in (0, 1)}


def of_a_stream_of_numbers():
    X, y = fits.data("numbers")
    model = HardL0MLPRegressor((20,), random_state=3, batch_size=8)
    for row in range(300):
        model.partial_fit(X[row : row + 1], y[row : row + 1])
    for start in range(300, 600, 60):
        model.partial_fit(X[start : start + 60], y[start : start + 60])
    for _ in range(10):
        model.partial_fit(X, 3 * y + 1000)
    return fits.digest(model)


def of_a_stream_after_a_fit():
    X, y = fits.data("float32")
    settings = {"max_iter": 15, "random_state": 3, "batch_size": 8, "class_weight": "balanced"}
    model = HardL0MLPClassifier((20,), **settings).fit(X, y)
    for _ in range(20):
        model.partial_fit(X[:200], y[:200])
    model = pickle.loads(pickle.dumps(model)).set_params(target_size=0.1)
    weights, rows = np.linspace(1, 2, 400), {"X_val": X[:100], "y_val": y[:100]}
    for _ in range(20):
        model.partial_fit(X[200:], y[200:], sample_weight=weights, **rows)
    return fits.digest(model)


def of_a_resumed_fit(**settings):
    """Of a fit that is killed in its eleventh epoch and then repeated."""
    n_calls = 0

    def score(estimator, X, y):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 11:
            raise Killed
        return estimator.score(X, y)

    X, y = fits.data("float32")
    with tempfile.TemporaryDirectory() as folder:
        model = HardL0MLPClassifier(
            **WIDTHS | settings, checkpoint_dir=folder, scoring=score, early_stopping=True
        )
        try:
            model.fit(X, y)
        except Killed:
            return fits.digest(model.fit(X, y))
    raise AssertionError("The fit was not killed.")


def of_a_path_and_a_search():
    X, y = fits.data("float32")
    model = HardL0MLPClassifier(**WIDTHS)
    path = l0_path(X, y, estimator=model, target_sizes=[0.5, 0.2, 0.05])
    found = {f"path {size}": fits.digest(one) for size, one in enumerate(path.estimators)}
    search = HardL0MLPClassifierCV(model, target_sizes=[0.5, 0.1], cv=2).fit(X, y)
    return found | {"search": fits.digest(search.best_estimator_)}


def of_short_and_warm_fits():
    X, y = fits.data("float32")
    short = HardL0MLPClassifier((40,), max_iter=10, random_state=1)
    short.fit(X, y, sample_weight=np.linspace(0, 1, 600), X_val=X[:100], y_val=y[:100])
    settings = {"max_iter": 10, "random_state": 1, "loss": "quantile", "quantile": 0.9}
    warm = HardL0MLPRegressor((40,), **settings, warm_start=True)
    warm.fit(X, X[:, 1]).fit(X, X[:, 2])
    predicted = hashlib.sha256(warm.predict(X).tobytes()).hexdigest()
    return {"short": fits.digest(short), "warm": fits.digest(warm), "predictions": predicted}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=pathlib.Path, help="JSON file to write")
    out = parser.parse_args().out
    found = of_cases() | of_a_path_and_a_search() | of_short_and_warm_fits()
    found["stream of numbers"] = of_a_stream_of_numbers()
    found["stream after a fit"] = of_a_stream_after_a_fit()
    found["resumed"] = of_a_resumed_fit()
    found["resumed, at a price"] = of_a_resumed_fit(lam=0.05, gate_learning_rate_init=0.1)
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found)} digests in {out}")


if __name__ == "__main__":
    main()
