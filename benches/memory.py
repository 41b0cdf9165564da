"""Peak memory of training from a memory-mapped uint8 file, beside scikit-learn's.

    python benches/memory.py [--data DIR]

Each library trains in a process of its own. That process first trains on a few rows of the
same types, so that all code is imported and loaded, gives what it has freed back
to the system, and waits. From then on this process reads its RssAnon from /proc every
millisecond: memory that is not a page of a file, so that the mapped images do not count.
"""

import argparse
import csv
import ctypes
import gc
import os
import pathlib
import select
import subprocess
import sys
import tempfile
import warnings
from typing import NamedTuple

import numpy as np

WIDTHS = (784, 300, 100, 10)
N_ROWS = 60_000
SETTINGS = {
    "hidden_layer_sizes": WIDTHS[1:-1],
    "batch_size": 128,
    "max_iter": 2,
    "random_state": 0,
}
#: Of fastl0 alone: the price of `make paper`, and no last phase without gates.
OWN_SETTINGS = {"lam": 0.1, "penalty": "fan_out", "finetune_fraction": 0.0}
KINDS = ("fastl0 hard", "fastl0 soft", "fastl0 none", "sklearn")
RESULTS = pathlib.Path(__file__).parent / "results"


class Memory(NamedTuple):
    """MiB of RssAnon in one training process.

    `start`: a bare interpreter with NumPy. `loaded`: imports and kernels on top,
    nothing else in use. `peak`: the highest while training on all rows.
    """

    start: float
    loaded: float
    peak: float

    @property
    def growth(self):
        return self.peak - self.loaded


def is_supported():
    """Whether this platform tells how much anonymous memory a process has."""
    try:
        return read_anonymous("self") > 0
    except OSError:
        return False


def read_anonymous(pid):
    """RssAnon of a process in MiB."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    raise OSError(f"/proc/{pid}/status has no RssAnon")


# --- the measuring process -----------------------------------------------------------


def measure(kind, folder):
    """Train on ``images.npy`` and ``labels.npy`` in `folder` in a new process; watch its memory.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    folder : path-like

    Returns
    -------
    Memory
    """
    command = [sys.executable, __file__, "--train", kind, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        start = process.stdout.readline()
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(process.communicate()[1])
        loaded = peak = read_anonymous(process.pid)
        process.stdin.write("go\n")
        process.stdin.flush()
        while not select.select([process.stdout], [], [], 0.001)[0]:
            peak = max(peak, read_anonymous(process.pid))
        if process.stdout.readline() != "done\n":
            raise RuntimeError(process.communicate()[1])
    return Memory(float(start), loaded, peak)


def write_random(folder, n_rows=N_ROWS, seed=0):
    """Write random bytes of MNIST's shape."""
    rng = np.random.default_rng(seed)
    X = np.lib.format.open_memmap(
        pathlib.Path(folder, "images.npy"), "w+", np.uint8, (n_rows, WIDTHS[0])
    )
    for start in range(0, n_rows, 1000):
        X[start : start + 1000] = rng.integers(0, 256, X[start : start + 1000].shape, np.uint8)
    X.flush()
    np.save(pathlib.Path(folder, "labels.npy"), rng.integers(0, 10, n_rows, np.uint8))


def write_mnist(folder, data):
    from experiments.mnist import load_mnist

    mnist = load_mnist(data)
    np.save(pathlib.Path(folder, "images.npy"), mnist.X_train)
    np.save(pathlib.Path(folder, "labels.npy"), mnist.y_train)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        default=os.environ.get("FASTL0_DATA"),
        help="folder of the MNIST files; the environment variable FASTL0_DATA sets the default, "
        "and without either the images are random",
    )
    data = parser.parse_args().data
    if not is_supported():
        sys.exit("This needs /proc with RssAnon, which Linux has.")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(folder, data) if data else write_random(folder)
        print(f"{'-'.join(map(str, WIDTHS))}, {SETTINGS['max_iter']} epochs, MiB of RssAnon")
        for kind in KINDS:
            memory = measure(kind, folder)
            figures = {"start": memory.start, "loaded": memory.loaded, "peak": memory.peak}
            figures["growth"] = memory.growth
            row = {"kind": kind, "data": "MNIST" if data else "random"}
            row |= {f"{name}_mib": f"{value:.1f}" for name, value in figures.items()}
            print(*(f"{key} {value}" for key, value in row.items()), sep=", ", flush=True)
            rows.append(row)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / "memory.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


# --- the training process ------------------------------------------------------------


def train(kind, folder):
    """Train on a few rows, wait for the word, train on all."""
    print(read_anonymous("self"), flush=True)
    X = np.load(pathlib.Path(folder, "images.npy"), mmap_mode="r")
    y = np.load(pathlib.Path(folder, "labels.npy"), mmap_mode="r")
    warnings.simplefilter("ignore")
    few = pathlib.Path(folder, "few.npy")
    np.save(few, X[:64])
    X_few, y_few = np.load(few, mmap_mode="r"), np.resize(np.arange(10, dtype=y.dtype), 64)
    make(kind, hidden_layer_sizes=(3, 2), batch_size=16, max_iter=3).fit(X_few, y_few)
    gc.collect()
    # Memory that is free but not given back would hide the same amount of growth.
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if give_back is not None:
        give_back(0)
    print("ready", flush=True)
    sys.stdin.readline()
    make(kind).fit(X, y)
    print("done", flush=True)


def make(kind, **changes):
    library, _, pruning = kind.partition(" ")
    if library == "sklearn":
        from sklearn.neural_network import MLPClassifier

        return MLPClassifier(**{**SETTINGS, **changes})
    from fastl0 import HardL0MLPClassifier

    return HardL0MLPClassifier(pruning=pruning, **{**SETTINGS, **OWN_SETTINGS, **changes})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--train"]:
        train(*sys.argv[2:])
    else:
        main()
