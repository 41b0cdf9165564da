"""What each choice behind `target_size` brings: test error on MNIST with one of them changed.

    python benches/choices.py --data DIR [--only NAME ...] [--targets N ...] [--seeds N]
        [--epochs N] [--jobs N]

Every variant differs in one setting from `make frontier`'s. Rows are appended to
``results/choices.csv`` as they finish; those that are there are not run anew. Errors are those
of the network after the last epoch; the training set's last 10,000 rows are held out and the
test set is not looked at, so that the settings are not chosen by it.
"""

import argparse
import csv
import os
import statistics
import time
import warnings
from collections import defaultdict

import numpy as np
import workloads
from experiments.frontier import ESTIMATOR, by_size
from joblib import Parallel, delayed

PATH = workloads.RESULTS / "choices.csv"
NAMES = ("variant", "epochs", "target", "seed", "error", "n_parameters", "n_units", "seconds")
N_HELD_OUT = 10_000

VARIANTS = {
    "as it is": {},
    "penalty of the fan-out": {"penalty": "fan_out"},
    "inputs priced once": {"input_price": 1.0},
    "inputs priced four times": {"input_price": 4.0},
    "inputs priced ten times": {"input_price": 10.0},
    "no last phase": {"finetune_fraction": 0.0},
    "last phase of 0.2": {"finetune_fraction": 0.2},
    "last phase of 0.6": {"finetune_fraction": 0.6},
    "labels not smoothed": {"label_smoothing": 0.0},
    "weight decay of 0.0001": {"alpha": 0.0001},
    "weight decay of 0.2": {"alpha": 0.2},
    "learning rate of 0.001": {"learning_rate_init": 0.001},
    "learning rate of 0.002": {"learning_rate_init": 0.002},
    "learning rate of 0.004": {"learning_rate_init": 0.004},
    "a cosine from the first epoch": {"learning_rate": "cosine"},
    "gates that slow down": {"gate_learning_rate": "cosine"},
    "slower gates": {"gate_learning_rate_init": 0.005},
    "faster gates": {"gate_learning_rate_init": 0.02},
    "mini-batches of 32": {"batch_size": 32},
    "growing mini-batches": {"batch_size": "dynamic"},
}


def run(variant, epochs, target, seed):
    from fastl0 import HardL0MLPClassifier

    warnings.simplefilter("ignore")
    X, y = workloads.load_images()
    X = workloads.scaled(X)
    settings = ESTIMATOR | by_size(target) | VARIANTS[variant]
    start = time.process_time()
    model = HardL0MLPClassifier(
        **settings, target_size=target, max_iter=epochs, random_state=seed
    ).fit(X[:-N_HELD_OUT], y[:-N_HELD_OUT])
    wrong = model.predict(X[-N_HELD_OUT:]) != y[-N_HELD_OUT:]
    return {
        "variant": variant,
        "epochs": epochs,
        "target": target,
        "seed": seed,
        "error": f"{100 * np.mean(wrong):.2f}",
        "n_parameters": model.n_parameters_,
        "n_units": "-".join(map(str, model.n_units_)),
        "seconds": f"{time.process_time() - start:.0f}",
    }


def key(row):
    return tuple(str(row[name]) for name in NAMES[:4])


def read():
    if not PATH.exists():
        return []
    with PATH.open(newline="") as file:
        return list(csv.DictReader(file))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("FASTL0_DATA"))
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--targets", nargs="+", type=int, default=[27_000, 9_700])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.data:
        os.environ["FASTL0_DATA"] = arguments.data
    os.environ["OMP_NUM_THREADS"] = "1"
    done = {key(row) for row in read()}
    wanted = [
        (variant, arguments.epochs, target, seed)
        for seed in range(arguments.seeds)
        for target in arguments.targets
        for variant in arguments.only
        if (variant, str(arguments.epochs), str(target), str(seed)) not in done
    ]
    rows = Parallel(n_jobs=arguments.jobs, return_as="generator_unordered")(
        delayed(run)(*each) for each in wanted
    )
    is_new = not PATH.exists()
    with PATH.open("a", newline="") as file:
        writer = csv.DictWriter(file, NAMES, lineterminator="\n")
        if is_new:
            writer.writeheader()
        for row in rows:
            writer.writerow(row)
            file.flush()
            print(*row.values(), flush=True)
    errors = defaultdict(list)
    for row in read():
        errors[row["epochs"], row["target"], row["variant"]].append(float(row["error"]))
    print("\n| epochs | target | variant | held-out error, % | seeds |\n|---|---|---|---|---|")
    for (epochs, target, variant), found in sorted(errors.items()):
        cells = epochs, target, variant, f"{statistics.mean(found):.2f}", str(len(found))
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
