"""fastl0 beside everything else a user could pick: problems x libraries -> CSV.

    python benches/compare.py --data DIR [--only NAME ...] [--rounds N] [--threads N]
    python benches/report.py                        # table and pictures from the CSV files

Libraries take turns within a round, each in a process of its own (`libraries.py`), and
ratios are taken within the rounds, so that a machine that is busy for a while disturbs all
alike. PyTorch is an extra (`pip install torch==2.13.0`): without it its rows are left out.
Takes a quarter of an hour on two cores; nothing else should run.
"""

import argparse
import csv
import importlib.util
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import time
import warnings

import memory
import numpy as np
import workloads
from threadpoolctl import threadpool_limits

HERE = pathlib.Path(__file__).parent
RESULTS = workloads.RESULTS / "compare"
N_EPOCHS = 500

#: Libraries and threads that train at full width, at that of [LWK] and at that of VIBNet.
AT_FULL_WIDTH = (
    ("fastl0 none", 2), ("fastl0 none", 1), ("fastl0 soft", 2), ("fastl0 hard", 2),
    ("BLAS products", 2), ("BLAS products", 1), ("BLAS products, mini-batch split", 2),
    ("scikit-learn", 2), ("scikit-learn", 1), ("scikit-learn, float64", 2),
    ("PyTorch eager", 2), ("PyTorch eager", 1), ("PyTorch compiled", 2), ("PyTorch compiled", 1),
    ("PyTorch soft L0 eager", 2), ("PyTorch soft L0 compiled", 2),
)  # fmt: skip
AT_SMALL_WIDTH = (
    ("fastl0 none", 2), ("fastl0 none", 1), ("fastl0 hard", 2),
    ("BLAS products", 2), ("BLAS products", 1), ("BLAS products, mini-batch split", 2),
    ("scikit-learn", 2), ("scikit-learn", 1), ("PyTorch eager", 2), ("PyTorch eager", 1),
    ("PyTorch compiled", 2), ("PyTorch compiled", 1),
)  # fmt: skip
AT_WIDTHS = {
    workloads.WHOLE: AT_FULL_WIDTH,
    (219, 214, 100, 10): AT_SMALL_WIDTH,
    (97, 71, 33, 10): AT_SMALL_WIDTH,
}


def write(name, rows):
    rows = list(rows)
    RESULTS.mkdir(parents=True, exist_ok=True)
    with (RESULTS / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def say(*words):
    print(time.strftime("%H:%M:%S"), *words, flush=True)


# --- libraries that take turns -------------------------------------------------------


class Library:
    """A process that trains one epoch at a time."""

    def __init__(self, name, widths, n_threads, data):
        self.name, self.n_threads = name, n_threads
        command = [sys.executable, str(HERE / "libraries.py"), name, "--threads", str(n_threads)]
        command += ["--widths", ",".join(map(str, widths))]
        command += ["--data", data] if data else []
        environment = {**os.environ, "OMP_NUM_THREADS": str(n_threads)}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=environment
        )
        if self._process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{name} failed")

    def epoch(self):
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def has_torch():
    return importlib.util.find_spec("torch") is not None


def start(selection, widths, arguments):
    libraries = []
    for name, n_threads in selection:
        if name.startswith("PyTorch") and not has_torch():
            say(f"{name} left out: PyTorch is not installed")
        elif n_threads <= arguments.threads:
            libraries.append(Library(name, widths, n_threads, arguments.data))
    return libraries


def epochs(arguments):
    """Seconds of an epoch: one row a round, network and library."""
    for widths, selection in AT_WIDTHS.items():
        libraries = start(selection, widths, arguments)
        for number in range(arguments.rounds):
            for library in libraries:
                yield {
                    "network": workloads.name_of(widths),
                    "library": library.name,
                    "threads": library.n_threads,
                    "round": number,
                    "seconds": f"{library.epoch():.6f}",
                }
            say(f"epochs at {workloads.name_of(widths)}: round {number + 1}")
        for library in libraries:
            library.close()


# --- a whole training, and shrinking -------------------------------------------------


def estimator(**changes):
    from fastl0 import HardL0MLPClassifier

    common = {"batch_size": 128, "random_state": 0, "n_iter_no_change": 10_000}
    return HardL0MLPClassifier((300, 100), **common | workloads.PAPER | changes)


def fit_history(model, X, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = model.fit(X, y).history_
    return zip(history["n_parameters"], history["epoch_time"], strict=True)


def training(arguments):
    """All 500 hard epochs of `make paper`, and epochs of the others before and after."""
    X, y = workloads.load_images()
    X = workloads.scaled(X)
    fit_history(estimator(max_iter=1), X, y)
    selection = (("PyTorch soft L0 eager", 2), ("PyTorch soft L0 compiled", 2))
    libraries = start(
        (*selection, ("scikit-learn", 2), ("scikit-learn", 1)), workloads.WHOLE, arguments
    )

    def others(part):
        for number in range(3):
            for library in libraries:
                yield {
                    "library": library.name, "threads": library.n_threads,
                    "epoch": f"{part} {number}", "n_parameters": 266610,
                    "seconds": f"{library.epoch():.6f}",
                }  # fmt: skip

    yield from others("before")
    model = estimator(max_iter=N_EPOCHS, gate_learning_rate_init=0.001)
    for number, (n_parameters, seconds) in enumerate(fit_history(model, X, y), start=1):
        yield {
            "library": "fastl0 hard", "threads": arguments.threads, "epoch": number,
            "n_parameters": n_parameters, "seconds": f"{seconds:.6f}",
        }  # fmt: skip
    say("500 hard epochs done")
    yield from others("after")
    for library in libraries:
        library.close()


def shrinking(arguments):
    """Epoch times while a network shrinks to less than a tenth of its parameters."""
    X, y = workloads.load_images()
    X = workloads.scaled(X)
    settings = {"lam": 1.0, "gate_learning_rate_init": 0.03, "max_iter": 60}
    fit_history(estimator(max_iter=1), X, y)
    for number in range(max(3, arguments.rounds // 2)):
        model = estimator(random_state=number, **settings)
        for epoch, (n_parameters, seconds) in enumerate(fit_history(model, X, y), start=1):
            yield {
                "round": number,
                "epoch": epoch,
                "n_parameters": n_parameters,
                "seconds": f"{seconds:.6f}",
            }
        say(f"shrinking: round {number + 1}, {n_parameters} parameters left")


# --- predicting, starting ------------------------------------------------------------


def predicting(arguments):
    """Microseconds of predict_proba of one row."""
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")
    X, y = workloads.load_images()
    X, y = workloads.scaled(X[:5000]), y[:5000]
    models = {
        "scikit-learn": MLPClassifier((300, 100), max_iter=2).fit(X, y),
        "fastl0 none": estimator(pruning="none", max_iter=2).fit(X, y),
        "fastl0 hard": estimator(lam=0.03, gate_learning_rate_init=0.03, max_iter=60).fit(X, y),
    }
    for dtype in (np.float32, np.float64):
        row = X[:1].astype(dtype)
        for number in range(5 * arguments.rounds):
            for library, model in models.items():
                n_calls = 200
                begin = time.perf_counter()
                for _ in range(n_calls):
                    model.predict_proba(row)
                seconds = (time.perf_counter() - begin) / n_calls
                yield {
                    "library": library,
                    "n_parameters": sum(a.size for a in [*model.coefs_, *model.intercepts_]),
                    "dtype": np.dtype(dtype).name,
                    "round": number,
                    "microseconds": f"{seconds * 1e6:.2f}",
                }
    say("predicting done")


_LOAD = """
import pickle
with open({model!r}, "rb") as file:
    model, row = pickle.load(file)
model.predict_proba(row)
"""


def starting(arguments):
    """Seconds of fresh processes, from their start to their end."""

    def seconds(code):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return f"{time.perf_counter() - begin:.4f}"

    with tempfile.TemporaryDirectory() as folder:
        X, y = workloads.load_images()
        X = workloads.scaled(X[:1000])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = estimator(max_iter=1).fit(X, y[:1000])
        path = pathlib.Path(folder, "model.pickle")
        path.write_bytes(pickle.dumps((model, X[:1])))
        codes = {
            "load a model and predict": _LOAD.format(model=str(path)),
            "import MLPClassifier": "from sklearn.neural_network import MLPClassifier",
        }
        for number in range(-1, arguments.rounds):
            for what, code in codes.items():
                row = {"what": what, "round": number, "seconds": seconds(code)}
                if number >= 0:  # the first time reads files from disk
                    yield row
    say("starting done")


# --- many rows -----------------------------------------------------------------------


def write_rows(folder, n_rows, n_columns=100):
    """Random float32 rows of 10 classes, as files to be mapped."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, n_rows, np.uint8)
    np.save(pathlib.Path(folder, "labels.npy"), labels)
    path = pathlib.Path(folder, "images.npy")
    X = np.lib.format.open_memmap(path, "w+", np.float32, (n_rows, n_columns))
    for low in range(0, n_rows, 10_000):
        block = X[low : low + 10_000]
        rng.standard_normal(out=block, dtype=np.float32)
        block[:, :10] += np.eye(10, dtype=np.float32)[labels[low : low + 10_000]]
    X.flush()


def rows(arguments):
    """Epoch time and peak memory over the number of rows of a memory-mapped X."""
    from fastl0 import HardL0MLPClassifier

    sizes = (20_000, 200_000, 2_000_000)
    with tempfile.TemporaryDirectory() as parent:
        mapped = {}
        for n_rows in sizes:
            folder = pathlib.Path(parent, str(n_rows))
            folder.mkdir()
            write_rows(folder, n_rows)
            names = ("images.npy", "labels.npy")
            mapped[n_rows] = folder, *(np.load(folder / name, mmap_mode="r") for name in names)
        for number in range(max(3, arguments.rounds // 2)):
            for n_rows, (folder, X, y) in mapped.items():
                growth = memory.measure("fastl0 hard", folder).growth if number == 0 else None
                n_epochs = 2 + max(1, 200_000 // n_rows)
                model = HardL0MLPClassifier(
                    (300, 100), batch_size=128, pruning="none", max_iter=n_epochs, random_state=0
                )
                seconds = [s for _, s in fit_history(model, X, y)]
                yield {
                    "n_rows": n_rows,
                    "round": number,
                    # The first epoch settles the number of threads.
                    "seconds": f"{np.median(seconds[1:]):.6f}",
                    "growth_mib": f"{growth:.2f}" if growth is not None else "",
                }
            say(f"rows: round {number + 1}")


MEASURES = {
    "epochs": epochs,
    "training": training,
    "shrinking": shrinking,
    "predicting": predicting,
    "starting": starting,
    "rows": rows,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        default=os.environ.get("FASTL0_DATA"),
        help="folder of the MNIST files (default: FASTL0_DATA; without either, random images)",
    )
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--rounds", type=int, default=9, help="turns (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="most threads (default: 2)")
    arguments = parser.parse_args()
    if arguments.data:
        os.environ["FASTL0_DATA"] = arguments.data
    # The variable for processes to come; libraries of this one have read it already.
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    threadpool_limits(arguments.threads)
    for name in arguments.only:
        write(name, MEASURES[name](arguments))


if __name__ == "__main__":
    main()
