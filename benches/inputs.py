"""Memory and time of fit and predict_proba by kind of X: in memory, mapped, sparse, by blocks.

    python benches/inputs.py --data DIR [--rounds 3]

Each kind has a process of its own, watched as in `memory.py`: what is there before, X itself
included where it is in memory, does not count. Seconds are CPU time of all threads, as other
processes disturb that less; those of an epoch include their share of what comes before the
first. MNIST as uint8, in chunks of 1,000 images for zarr and dask; BASEHOCK (word counts, 1.4 %
of them not zero) as float32, its dense array beside the sparse ones. No pruning: all kinds train
the same network throughout. DIR holds the folders `mnist` and `basehock`.
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
import time
import warnings

import numpy as np
import scipy.sparse as sp
from memory import RESULTS, is_supported, read_anonymous
from scipy.io import loadmat

KINDS = {
    "MNIST": ("array", "mapped", "zarr", "dask"),
    "BASEHOCK": ("array", "CSR", "CSC", "COO"),
}
SETTINGS = {
    "MNIST": {"hidden_layer_sizes": (300, 100), "batch_size": 128},
    "BASEHOCK": {"hidden_layer_sizes": (50, 20), "batch_size": 40},
}
N_EPOCHS = 3


# --- the measuring process -----------------------------------------------------------


def write(folder, data):
    """Write both sets as the kinds need them."""
    import zarr
    from experiments.mnist import load_mnist

    mnist = load_mnist(data)
    rows = mnist.X_train
    np.save(folder / "MNIST.npy", rows)
    np.save(folder / "MNIST-y.npy", mnist.y_train)
    stored = zarr.create_array(
        folder / "MNIST.zarr", shape=rows.shape, chunks=(1000, rows.shape[1]), dtype=rows.dtype
    )
    stored[:] = rows
    saved = loadmat(pathlib.Path(data, "basehock", "BASEHOCK.mat"))
    counts = saved["X"].astype(np.float32)
    np.save(folder / "BASEHOCK.npy", counts)
    np.save(folder / "BASEHOCK-y.npy", saved["Y"].ravel())
    sp.save_npz(folder / "BASEHOCK.npz", sp.csr_matrix(counts))


def measure(folder, name, kind):
    """Fit and predict in a new process; return MiB of growth, and seconds, of both."""
    command = [sys.executable, __file__, "--measure", str(folder), name, kind]
    pipe = subprocess.PIPE
    found = {}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        for step in ("fit", "predict"):
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(process.communicate()[1])
            before = peak = read_anonymous(process.pid)
            process.stdin.write("go\n")
            process.stdin.flush()
            while not select.select([process.stdout], [], [], 0.001)[0]:
                peak = max(peak, read_anonymous(process.pid))
            answer = process.stdout.readline()
            if not answer:
                raise RuntimeError(process.communicate()[1])
            found[f"{step}_mib"] = peak - before
            found[f"{step}_s"] = float(answer)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("FASTL0_DATA"), required=False)
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    options = parser.parse_args()
    if not options.data:
        parser.error("--data, or the environment variable FASTL0_DATA, must name a folder")
    if not is_supported():
        sys.exit("This needs /proc with RssAnon, which Linux has.")
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write(folder, options.data)
        for data, kinds in KINDS.items():
            for kind in kinds:
                rounds = [measure(folder, data, kind) for _ in range(options.rounds)]
                medians = {key: np.median([found[key] for found in rounds]) for key in rounds[0]}
                line = {"data": data, "X": kind, "dense_float32_mib": dense_mib(folder, data)}
                line |= {"fit_mib": medians["fit_mib"], "epoch_s": medians["fit_s"] / N_EPOCHS}
                line |= {key: medians[key] for key in ("predict_mib", "predict_s")}
                lines.append({k: v if isinstance(v, str) else f"{v:.3g}" for k, v in line.items()})
                print(*(f"{key} {value}" for key, value in lines[-1].items()), sep=", ", flush=True)
    with (RESULTS / "inputs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, lines[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def dense_mib(folder, name):
    return np.load(folder / f"{name}.npy", mmap_mode="r").size * 4 / 2**20


# --- the process that trains ---------------------------------------------------------


def open_blocks(folder, name, kind):
    """X of a kind; the rows of `folder` as they were written."""
    if kind in ("zarr", "dask"):
        import dask.array
        import zarr

        rows = zarr.open_array(folder / f"{name}.zarr", mode="r")
        return rows if kind == "zarr" else dask.array.from_zarr(rows)
    if kind in ("CSR", "CSC", "COO"):
        return sp.load_npz(folder / f"{name}.npz").asformat(kind.lower())
    rows = np.load(folder / f"{name}.npy", mmap_mode="r")
    return rows if kind == "mapped" else np.array(rows)


def answer(call):
    """Wait for the word, do it, and say how long it took."""
    gc.collect()
    # Memory that is free but not given back would hide the same amount of growth.
    give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if give_back is not None:
        give_back(0)
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.process_time()
    call()
    print(time.process_time() - start, flush=True)


def train(folder, name, kind):
    from fastl0 import HardL0MLPClassifier

    warnings.simplefilter("ignore")
    X, y = open_blocks(folder, name, kind), np.load(folder / f"{name}-y.npy")
    clf = HardL0MLPClassifier(**SETTINGS[name], max_iter=N_EPOCHS, random_state=0, pruning="none")
    # Once before, on a few rows: what is imported is none of its memory.
    few = {"zarr": lambda: open_blocks(folder, name, "dask")[:256], "COO": lambda: X.tocsr()[:256]}
    some = few.get(kind, lambda: X[:256])()
    clf.fit(some, np.resize([*np.unique(y)], 256)).predict_proba(some)
    answer(lambda: clf.fit(X, y))
    answer(lambda: clf.predict_proba(X))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        train(pathlib.Path(sys.argv[2]), *sys.argv[3:])
    else:
        main()
