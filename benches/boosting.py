"""Networks with nothing tuned beside boosting and a forest: tables x seeds x models -> CSV.

    python benches/boosting.py --data DIR [--seeds 3] [--jobs 2] [--only NAME ...]

Each table of `tables.BESIDE_BOOSTING` is learned with the defaults of every model. A row is
appended to `results/boosting.csv` as a run ends, and runs that are there are not repeated: stop it
when you like, call it again to go on. Inputs are standardised for networks, text is one-hot encoded
for them and numbered for trees. Seconds are CPU time of `fit`, on one thread; bytes those of a
pickle of what predicts, and for fastl0 four for each parameter. Prints how often each is ahead.
"""

import argparse
import csv
import os
import pathlib
import pickle
import time
import warnings
from collections import defaultdict

import defaults
import numpy as np
import tables
from joblib import Parallel, delayed
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.metrics import average_precision_score, get_scorer, log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor

RESULTS = pathlib.Path(__file__).parent / "results" / "boosting.csv"
OPEN = {"alpha": "auto", "encoding": "auto"}
#: By name: classifier, regressor and settings.
MODELS = {
    "fastl0, chosen": (HardL0MLPClassifier, HardL0MLPRegressor, OPEN),
    "fastl0": (HardL0MLPClassifier, HardL0MLPRegressor, {}),
    "fastl0, dense": (HardL0MLPClassifier, HardL0MLPRegressor, {"pruning": "none"}),
    "MLP": (MLPClassifier, MLPRegressor, {"early_stopping": True}),
    "boosting": (HistGradientBoostingClassifier, HistGradientBoostingRegressor, {}),
    "forest": (RandomForestClassifier, RandomForestRegressor, {}),
}
COLUMNS = (
    "data", "seed", "model", "metric", "score", "log_loss", "average_precision", "bytes", "seconds",
    "chosen",
)  # fmt: skip
#: Points that count as a tie, and a share of the rows below which a class is rare.
TIE, RARE = 0.5, 0.1


def make(name, metric, X, seed):
    classifier, regressor, settings = MODELS[name]
    kind = regressor if metric == tables.NUMBERS else classifier
    if name == "fastl0, chosen" and kind is classifier:
        settings = settings | {"label_smoothing": "auto"}
    model = kind(random_state=seed, **settings)
    if name not in ("boosting", "forest"):
        return defaults.pipeline(X, model)
    if not hasattr(X, "columns"):
        return make_pipeline(model)
    text = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    numbers = make_column_transformer(
        (text, make_column_selector(dtype_exclude="number")), remainder="passthrough"
    )
    return make_pipeline(numbers, model)


def run(folder, data, seed, name):
    """Fit, score and time one model: a row of the CSV."""
    table, metric = tables.load(data, folder, seed), tables.metric_of(data)
    model = make(name, metric, table.X_train, seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        model.fit(table.X_train, table.y_train)
        seconds = time.process_time() - start
        score = get_scorer(metric)(model, table.X_test, table.y_test)
        own = model[-1]
        row = {"data": data, "seed": seed, "model": name, "metric": metric}
        row |= {"score": f"{100 * score:.3f}", "seconds": f"{seconds:.3f}"}
        is_ours = name.startswith("fastl0")
        row["bytes"] = 4 * own.n_parameters_ if is_ours else len(pickle.dumps(own))
        if metric != tables.NUMBERS:
            P = model.predict_proba(table.X_test)
            row["log_loss"] = f"{log_loss(table.y_test, P, labels=own.classes_):.4f}"
            shares = [np.mean(table.y_train == label) for label in own.classes_]
            if len(shares) == 2 and min(shares) < RARE:
                rare = int(np.argmin(shares))
                found = average_precision_score(table.y_test == own.classes_[rare], P[:, rare])
                row["average_precision"] = f"{found:.4f}"
        if name == "fastl0, chosen":
            row["chosen"] = f"{own.encoding_} {own.alpha_:g}"
    return row


def read():
    if not RESULTS.exists():
        return {}
    with RESULTS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {(row["data"], int(row["seed"]), row["model"]): row for row in rows}


def append(row):
    with RESULTS.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def means(rows, column):
    """Mean over the seeds, by table and model."""
    groups = defaultdict(list)
    for row in rows:
        if row[column]:
            groups[row["data"], row["model"]].append(float(row[column]))
    return {key: float(np.mean(values)) for key, values in groups.items()}


def summarise(rows):
    """Print, for each model, how it stands to the better of boosting and forest."""
    scores, losses, nbytes = (means(rows, name) for name in ("score", "log_loss", "bytes"))
    names = sorted({data for data, _ in scores})
    for model in MODELS:
        behind, worse, smaller = [], [], []
        for data in names:
            if any((data, other) not in scores for other in (model, "boosting", "forest")):
                continue
            best = max(scores[data, "boosting"], scores[data, "forest"])
            behind.append(scores[data, model] - best)
            smaller.append(nbytes[data, "boosting"] / nbytes[data, model])
            if (data, model) in losses:
                trees = min(losses[data, "boosting"], losses[data, "forest"])
                worse.append(losses[data, model] > trees)
        if behind:
            print(
                f"{model}: {len(behind)} tables, within {TIE} or ahead on "
                f"{np.mean(np.array(behind) >= -TIE):.0%}, worst {min(behind):.1f}, log loss no "
                f"worse on {1 - np.mean(worse or [0]):.0%}, {np.median(smaller):.1f} times smaller "
                "than boosting"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("FASTL0_DATA"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=list(tables.BESIDE_BOOSTING))
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    arguments = parser.parse_args()
    wanted = [
        (data, seed, model)
        for data in arguments.only
        for seed in range(arguments.seeds)
        for model in arguments.models
    ]
    known = read()
    missing = [key for key in wanted if key not in known]
    parallel = Parallel(arguments.jobs, batch_size=1, return_as="generator_unordered")
    folder = pathlib.Path(arguments.data)
    for number, row in enumerate(parallel(delayed(run)(folder, *key) for key in missing), 1):
        append(row)
        print(f"{number}/{len(missing)}", *(row[name] for name in COLUMNS[:5]), flush=True)
    summarise(read().values())


if __name__ == "__main__":
    main()
