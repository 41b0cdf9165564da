"""Kill fits at random moments, repeat them until they are over, and compare with quiet ones.

    python benches/reliability/kills.py [--runs 200] [--seed 0] [--out FILE.csv]

Each run fits an estimator to the digits of scikit-learn in a process that gets SIGKILL at a
random moment, up to four times; each time the same fit is repeated in a new process, the last
time to its end. Its network and its history (without times) have to be those of a fit that
nobody disturbed and that kept no checkpoints, bit for bit; every fit has to go on from the last
checkpoint that an earlier one had reported as written, or from a later one, unless that one was
over and had begun to delete them; and in the end nothing may be left in the folder. Processes are
forked from one in which all code is imported, so that they spend their time on training and
writing.
"""

import argparse
import csv
import hashlib
import os
import pathlib
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_digits

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.checkpoint import store
from fastl0.training import trainer

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "reliability"
MOST_KILLS = 4
#: Name of the folder of checkpoints: part of a model that has a size in bytes.
FOLDER = "checkpoints"

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
CASES = {
    "target size": {},
    "small target size": {"target_size": 0.03, "gate_learning_rate_init": 0.03},
    "bytes": {"target_size": "16KiB"},
    "price": {"lam": 0.3, "gate_learning_rate_init": 0.03},
    "price, converges": {"lam": 0.3, "tol": 0.1, "n_iter_no_change": 2},
    "early stopping": {"early_stopping": True},
    "early stopping, price": {"early_stopping": True, "lam": 0.1, "n_iter_no_change": 3},
    "no seed": {"random_state": None, "early_stopping": True},
    "dynamic": {"batch_size": "dynamic", "target_size": 0.05, "gate_learning_rate_init": 0.03},
    "sgd": {"solver": "sgd", "learning_rate_init": 0.05},
    "sgd, adaptive": {
        "solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.05, "lam": 0.1,
        "tol": 0.1, "n_iter_no_change": 1,
    },
    "sgd, goes back": {"solver": "sgd", "learning_rate_init": 10.0, "pruning": "none"},
    "sparse": {"form": "sparse"},
    "memory-mapped": {"form": "mapped"},
    "soft": {"pruning": "soft"},
    "no gates": {"pruning": "none"},
    "budget": {"memory_budget": "150KiB"},
    "multilabel": {"form": "multilabel"},
    "regressor": {"form": "regressor", "early_stopping": True},
    "every third epoch": {"checkpoint_interval": 3},
}  # fmt: skip


def make(case, seed, folder):
    """Estimator, X and y of a run."""
    settings = {
        "hidden_layer_sizes": (60, 30), "max_iter": 25, "random_state": seed, **CASES[case],
    }  # fmt: skip
    form = settings.pop("form", "")
    data, y, kind = X[:800], Y[:800], HardL0MLPClassifier
    if form == "sparse":
        data = sp.csr_matrix(data)
    elif form == "mapped":
        data = np.load(MAPPED, mmap_mode="r")
    elif form == "multilabel":
        y = (y[:, None] >= [3, 5, 7]).astype(int)
    elif form == "regressor":
        kind = HardL0MLPRegressor
    return kind(**settings, checkpoint_dir=folder), data, y


def digest(model):
    """Of everything that a fit has set, but for the times and bytes of its epochs."""
    names = set(vars(model)) - set(model.get_params())
    told = {name: getattr(model, name) for name in names - {"history_"}}
    told["history"] = {n: h for n, h in model.history_.items() if n != "epoch_time"}
    del told["history"]["buffer_nbytes"]  # threads come and go
    parts = [f"{name} {plain(told[name])!r}" for name in sorted(told)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def plain(value):
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return {n: plain(v) for n, v in value.items()} if isinstance(value, dict) else value


# --- the process that is killed ------------------------------------------------------


def tell_of_checkpoints(log):
    """Have every checkpoint told that is written or gone on from, and the end of a fit."""
    save, resume = store.CheckpointStore.save, trainer.Trainer.resume
    discard = store.CheckpointStore.discard

    def saving(self, epoch, state):
        save(self, epoch, state)
        os.write(log, f"s {epoch}\n".encode())

    def resuming(self, *arguments):
        resume(self, *arguments)
        os.write(log, f"r {self.history.n_epochs}\n".encode())

    def discarding(self):
        os.write(log, b"o 0\n")
        discard(self)

    store.CheckpointStore.save = saving
    store.CheckpointStore.discard = discarding
    trainer.Trainer.resume = resuming


def fork(case, seed, workplace, folder):
    """Fit in a new process; return its number. Its results are in `workplace`."""
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        os.chdir(workplace)
        log = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        tell_of_checkpoints(log)
        os.dup2(os.open("errors", os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
        # What random_state=None draws from; another number where there is something to go on from.
        begins = not any(pathlib.Path(FOLDER).glob("*/epoch-*.checkpoint"))
        np.random.seed(seed if begins else seed + 1)  # noqa: NPY002
        model, data, y = make(case, seed, folder)
        model.fit(data, y)
        os.write(log, f"d {digest(model)}\n".encode())
        code = 0
    except BaseException as error:
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


def read_log(workplace):
    path = workplace / "log"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def last_saved(log):
    """Epoch of the last checkpoint of a fit that is not over; 0 for none."""
    saved = 0
    for kind, epoch in log:
        saved = max(saved, int(epoch)) if kind == "s" else 0 if kind == "o" else saved
    return saved


# --- the one that kills --------------------------------------------------------------


def quiet_run(case, seed, workplace):
    """Digest of a fit that nobody disturbs, and the seconds it takes."""
    workplace.mkdir()
    start = time.perf_counter()
    # A size in bytes has to hold the name of the folder, and seeds are drawn otherwise with it.
    number = fork(case, seed, workplace, FOLDER if case in ("bytes", "no seed") else None)
    _, status = os.waitpid(number, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{case}: the quiet fit failed: {(workplace / 'errors').read_text()}")
    return read_log(workplace)[-1][1], seconds


def run(case, seed, workplace, rng):
    """Kill and repeat a fit; return a row of the table."""
    expected, seconds = quiet_run(case, seed, workplace / "quiet")
    place = workplace / "killed"
    place.mkdir()
    row = {"case": case, "seed": seed, "kills": 0, "fits": 0, "resumed_after": [], "lost": 0}
    for left in reversed(range(rng.randint(1, MOST_KILLS) + 1)):
        saved = last_saved(read_log(place))
        n_lines = len(read_log(place))
        number = fork(case, seed, place, FOLDER)
        row["fits"] += 1
        if left:
            time.sleep(rng.uniform(0.0, seconds))
            os.kill(number, signal.SIGKILL)
        _, status = os.waitpid(number, 0)
        told = read_log(place)[n_lines:]
        resumed = [int(e) for kind, e in told if kind == "r"]
        row["resumed_after"] += resumed
        began = bool(resumed) or any(kind in "sod" for kind, _ in told)
        if began and (resumed[0] if resumed else 0) < saved:
            row["lost"] += 1
        if not os.WIFSIGNALED(status):
            break
        row["kills"] += 1
    log = read_log(place)
    found = log[-1][1] if log and log[-1][0] == "d" else "none"
    errors = (place / "errors").read_text().strip() if (place / "errors").exists() else ""
    errors = [line for line in errors.splitlines() if "Error" in line]
    row["checkpoints"] = sum(kind == "s" for kind, _ in log)
    row["identical"] = found == expected
    row["left_over"] = sum(1 for _ in (place / FOLDER).rglob("*"))
    row["error"] = "; ".join(errors)
    row["resumed_after"] = " ".join(map(str, row["resumed_after"]))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS / "kills.csv")
    options = parser.parse_args()
    global MAPPED
    rng, rows, start = random.Random(options.seed), [], time.perf_counter()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        MAPPED = os.path.join(folder, "X.npy")
        np.save(MAPPED, X[:800])
        for case in CASES:  # imports all that they need
            model, data, y = make(case, 0, None)
            model.set_params(max_iter=2).fit(data, y)
        pickle.dumps(model)
        for number in range(options.runs):
            case = list(CASES)[number % len(CASES)]
            place = pathlib.Path(folder, str(number))
            place.mkdir()
            rows.append({"run": number} | run(case, number, place, rng))
            shutil.rmtree(place)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    n_bad = sum(not row["identical"] or row["lost"] or row["left_over"] for row in rows)
    print(
        f"{len(rows)} runs, {sum(row['kills'] for row in rows)} kills, "
        f"{sum(row['checkpoints'] for row in rows)} checkpoints written, "
        f"{sum(len(row['resumed_after'].split()) for row in rows)} times gone on, "
        f"{sum(row['lost'] for row in rows)} checkpoints lost, "
        f"{sum(row['identical'] for row in rows)} identical "
        f"({time.perf_counter() - start:.0f} s)"
    )
    for row in rows:
        if not row["identical"] or row["lost"] or row["left_over"]:
            print(row)
    sys.exit(n_bad > 0)


if __name__ == "__main__":
    main()
