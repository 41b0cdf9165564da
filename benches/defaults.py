"""Whether `HardL0MLPClassifier()` works without tuning: data sets x seeds -> CSV and a table.

    python benches/defaults.py --data DIR [--seeds 5] [--jobs 2] [--only NAME ...]

Each data set (`tables.py`) is learned with the defaults and with the defaults but
``pruning="none"``. A row is appended to `results/defaults.csv` as a run ends, and runs that are
there are not repeated: stop it when you like, call it again to go on. `--fresh` repeats them.

    python benches/defaults.py --data DIR --changes '{"lam": 0.2}' --out /tmp/lam.csv

tries other parameters for the pruned network. Runs without pruning are then taken from
`results/defaults.csv`, where they are there. Seconds are CPU time of `fit`, on one thread.
"""

import argparse
import csv
import json
import os
import pathlib
import time
import warnings

import numpy as np
import tables
from joblib import Parallel, delayed
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from fastl0 import HardL0MLPClassifier

RESULTS = pathlib.Path(__file__).parent / "results" / "defaults.csv"
COLUMNS = (
    "group", "data", "seed", "pruning", "changes",
    "metric", "score", "n_parameters", "n_units", "seconds", "n_iter",
)  # fmt: skip
#: What counts as working: points lost at most, times smaller at least.
MOST_LOST, LEAST_SMALLER = 0.5, 3


# --- one run -------------------------------------------------------------------------


def pipeline(X, classifier):
    """Standardise numbers, encode text, and hand on float32."""
    scaler = StandardScaler()
    if hasattr(X, "columns"):
        text = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        scaler = make_column_transformer(
            (text, make_column_selector(dtype_exclude="number")), remainder=scaler
        )
    to_float32 = FunctionTransformer(np.asarray, kw_args={"dtype": np.float32})
    return make_pipeline(scaler, to_float32, classifier)


def estimator(seed, pruning, changes):
    if pruning == "none":
        return HardL0MLPClassifier(pruning="none", random_state=seed)
    return HardL0MLPClassifier(**json.loads(changes or "{}"), random_state=seed)


def warm_up(pruning):
    """Import what a fit needs: no part of its time."""
    X = np.eye(20, dtype=np.float32)
    HardL0MLPClassifier(pruning=pruning, max_iter=1).fit(X, np.arange(20) % 2)


def run(folder, name, seed, pruning, changes):
    """Fit, score and time one estimator: a row of the CSV."""
    table = tables.load(name, folder, seed)
    model = pipeline(table.X_train, estimator(seed, pruning, changes))
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # n_iter tells
        warm_up(pruning)
        start = time.process_time()
        model.fit(table.X_train, table.y_train)
        seconds = time.process_time() - start
        score = get_scorer(tables.metric_of(name))(model, table.X_test, table.y_test)
    network = model[-1]
    return {
        "group": tables.group_of(name),
        "data": name,
        "seed": seed,
        "pruning": pruning,
        "changes": changes,
        "metric": tables.metric_of(name),
        "score": f"{100 * score:.3f}",
        "n_parameters": network.n_parameters_,
        "n_units": "-".join(map(str, network.n_units_)),
        "seconds": f"{seconds:.3f}",
        "n_iter": network.n_iter_,
    }


# --- the file of results -------------------------------------------------------------


def key_of(row):
    """What a run is: one with the same key is not run anew."""
    return row["data"], int(row["seed"]), row["pruning"], row["changes"]


def read(path):
    """Rows by their keys."""
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {key_of(row): row for row in csv.DictReader(file)}


def write(path, rows, mode):
    with path.open(mode, newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if file.tell() == 0:
            writer.writeheader()
        writer.writerows(rows)


def complete(arguments, wanted):
    """Run what is missing, append it to the file, and return the rows of all wanted runs."""
    path = arguments.out
    path.parent.mkdir(parents=True, exist_ok=True)
    known = read(path)
    if arguments.fresh:
        known = {key: row for key, row in known.items() if key not in wanted}
        write(path, known.values(), "w")
    if arguments.changes:
        unpruned = {key: row for key, row in read(RESULTS).items() if key[2] == "none"}
        known = unpruned | known
    missing = [key for key in wanted if key not in known]
    parallel = Parallel(arguments.jobs, batch_size=1, return_as="generator_unordered")
    tasks = (delayed(run)(arguments.data, *key) for key in missing)
    for number, row in enumerate(parallel(tasks), 1):
        write(path, [row], "a")
        known[key_of(row)] = row
        words = (row["data"], "seed", row["seed"], row["pruning"], row["score"], row["n_units"])
        print(time.strftime("%H:%M:%S"), f"{number}/{len(missing)}", *words, flush=True)
    return [known[key] for key in wanted]


# --- the table -----------------------------------------------------------------------


def summary(name, rows):
    """One line of the table: a data set, its seeds averaged, and whether it counts as met."""

    def of(pruning, column):
        values = {int(row["seed"]): float(row[column]) for row in rows if row["pruning"] == pruning}
        return np.array([values[seed] for seed in sorted(values)])

    none, hard = (of(pruning, "score") for pruning in ("none", "hard"))
    difference = hard - none
    smaller = of("none", "n_parameters").mean() / of("hard", "n_parameters").mean()
    spread = f" ± {difference.std(ddof=1):.2f}" if len(difference) > 1 else ""
    met = bool(difference.mean() >= -MOST_LOST and smaller >= LEAST_SMALLER)
    return met, (
        tables.group_of(name),
        name,
        tables.metric_of(name).replace("_", " "),
        f"{none.mean():.2f}",
        f"{hard.mean():.2f}",
        f"{difference.mean():+.2f}{spread}",
        f"{smaller:.1f}",
        f"{of('none', 'seconds').mean():.1f}",
        f"{of('hard', 'seconds').mean():.1f}",
        "yes" if met else "no",
    )


def report(names, rows):
    """Print the table in Markdown."""
    header = ("", "data set", "metric", "none, %", "hard, %", "difference, points")
    header += ("times smaller", "none, s", "hard, s", "met")
    print("\n| " + " | ".join(header) + " |\n" + "|---" * len(header) + "|")
    count = {}
    for name in names:
        met, line = summary(name, [row for row in rows if row["data"] == name])
        count.setdefault(tables.group_of(name), []).append(met)
        print("| " + " | ".join(line) + " |")
    counts = ", ".join(f"{group} {sum(met)} of {len(met)}" for group, met in count.items())
    print(f"\nLoses <= {MOST_LOST} points and at least {LEAST_SMALLER} times smaller: {counts}.")


# --- the command line ----------------------------------------------------------------


def parameters(text):
    """Read `--changes`: valid parameters of the estimator, as JSON with sorted names."""
    try:
        changes = json.loads(text)
        if not isinstance(changes, dict) or {"pruning", "random_state"} & changes.keys():
            raise ValueError("must be a JSON object without pruning and random_state")
        HardL0MLPClassifier().set_params(**changes)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, got {text}") from None
    return json.dumps(changes, sort_keys=True) if changes else ""


def positive(text):
    if not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"must be an int >= 1, got {text}")
    return int(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=pathlib.Path,
        default=os.environ.get("FASTL0_DATA"),
        help="folder of the data sets (default: FASTL0_DATA)",
    )
    parser.add_argument("--seeds", type=positive, default=5, help="default: %(default)s")
    parser.add_argument("--jobs", type=positive, default=2, help="default: %(default)s")
    parser.add_argument(
        "--only", nargs="+", choices=tables.TABLES, default=list(tables.TABLES), metavar="NAME",
        help=f"any of: {'; '.join(tables.TABLES)}",
    )  # fmt: skip
    parser.add_argument("--fresh", action="store_true", help="run anew what is there")
    parser.add_argument(
        "--changes", type=parameters, default="{}", help="parameters of the pruned network, as JSON"
    )
    parser.add_argument("--out", type=pathlib.Path, help="CSV to go on with (default: results/)")
    arguments = parser.parse_args()
    if arguments.data is None or not arguments.data.is_dir():
        parser.error(f"--data must name a folder, got {arguments.data}")
    if arguments.changes and arguments.out is None:
        parser.error("--changes needs --out: results/defaults.csv is for the defaults")
    arguments.out = arguments.out or RESULTS
    names = [name for name in tables.TABLES if name in arguments.only]
    wanted = [
        (name, seed, pruning, "" if pruning == "none" else arguments.changes)
        for seed in range(arguments.seeds)
        for name in names
        for pruning in ("none", "hard")
    ]
    report(names, complete(arguments, wanted))


if __name__ == "__main__":
    main()
