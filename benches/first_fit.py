"""What the first fit on a machine costs, from `pip install` to the fitted model.

    python benches/first_fit.py [--rows time,memory,...] [--rounds 5] [--data DIR]

Every figure is that of a fresh process, or of a fresh environment, and those of two libraries are
taken in turn. Writes results/first_fit.csv, one line a figure; rows that are not asked for stay as
they are.

* ``time``: seconds of a whole process that imports a classifier and fits it to the digits of
  scikit-learn; as many epochs, rows in a mini-batch and hidden units in both.
* ``memory``: MiB of anonymous memory (RssAnon) at the end of that process, less what importing
  scikit-learn's MLPClassifier alone takes.
* ``peak``: highest RssAnon, MiB, of a whole process that fits 784-300-100-10 to a memory-mapped
  uint8 file of MNIST's images; scikit-learn and PyTorch beside it, as users would write them.
* ``limit``: whether that process ends if it is killed as soon as it holds more than 128 MiB.
* ``predict``: microseconds of `predict_proba` of one float32 row, beside scikit-learn's MLP.
* ``disk``: MiB that `pip install fastl0` adds to an environment with scikit-learn in it.
* ``build``: seconds of building a wheel from the sdist, downloads of what the build needs included.
"""

import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import venv

import memory
import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results" / "first_fit.csv"
ROOT = pathlib.Path(__file__).parents[1]
LIMIT_MIB = 128
N_EPOCHS = 200

_DIGITS = """
import warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_digits
{load}
X, y = load_digits(return_X_y=True)
model.fit(X / 16, y)
with open("/proc/self/status") as file:
    print(next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024)
"""
_SETTINGS = f"max_iter={N_EPOCHS}, batch_size=200, tol=0.0, n_iter_no_change=999, random_state=0"
_MODELS = {
    "fastl0": "from fastl0 import HardL0MLPClassifier\n"
    f"model = HardL0MLPClassifier((100,), {_SETTINGS})",
    "fastl0 none": "from fastl0 import HardL0MLPClassifier\n"
    f"model = HardL0MLPClassifier((100,), pruning='none', {_SETTINGS})",
    "scikit-learn": "from sklearn.neural_network import MLPClassifier\n"
    f"model = MLPClassifier((100,), {_SETTINGS})",
}
_IMPORT = """
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
with open("/proc/self/status") as file:
    print(next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024)
"""

_MNIST = {
    "fastl0 hard": """
from fastl0 import HardL0MLPClassifier
HardL0MLPClassifier((300, 100), batch_size=128, max_iter=2, random_state=0, lam=0.1).fit(X, y)
""",
    "scikit-learn": """
from sklearn.neural_network import MLPClassifier
MLPClassifier((300, 100), batch_size=128, max_iter=2, random_state=0).fit(X, y)
""",
    # Rows are converted a block at a time: as little memory as its `partial_fit` can do with.
    "scikit-learn, in blocks": """
from sklearn.neural_network import MLPClassifier
model = MLPClassifier((300, 100), batch_size=128, random_state=0)
for epoch in range(2):
    for start in range(0, len(X), 1280):
        block = slice(start, start + 1280)
        model.partial_fit(X[block].astype("f4") / 255, y[block], classes=range(10))
""",
    "PyTorch": """
import torch
torch.manual_seed(0)
layers = [torch.nn.Linear(784, 300), torch.nn.ReLU(), torch.nn.Linear(300, 100), torch.nn.ReLU()]
model = torch.nn.Sequential(*layers, torch.nn.Linear(100, 10))
optimiser = torch.optim.Adam(model.parameters())
for epoch in range(2):
    for batch in np.array_split(np.random.permutation(len(X)), len(X) // 128):
        rows, labels = torch.from_numpy(X[batch] / np.float32(255)), torch.from_numpy(y[batch])
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(rows), labels.long()).backward()
        optimiser.step()
""",
}
_LOAD = """
import sys, warnings
import numpy as np
warnings.simplefilter("ignore")
X = np.load(sys.argv[1] + "/images.npy", mmap_mode="r")
y = np.load(sys.argv[1] + "/labels.npy", mmap_mode="r")
"""

_PREDICT = """
import json, sys, time, warnings
import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from fastl0 import HardL0MLPClassifier
warnings.simplefilter("ignore")
{load}
models = {{
    "fastl0 dense": HardL0MLPClassifier({hidden}, pruning="none", max_iter=2),
    "fastl0 pruned": HardL0MLPClassifier({hidden}, target_size=0.1, max_iter=30),
    "scikit-learn": MLPClassifier({hidden}, max_iter=2),
}}
for model in models.values():
    model.fit(X, y)
row, seconds = X[:1], {{name: [] for name in models}}
for _ in range(60):
    for name, model in models.items():
        start = time.perf_counter()
        for _ in range(100):
            model.predict_proba(row)
        seconds[name].append((time.perf_counter() - start) / 100)
print(json.dumps({{name: float(np.median(each)) * 1e6 for name, each in seconds.items()}}))
"""
#: Rows by shape of network: MNIST's images, a quarter of which is not black, and the digits.
_PREDICTED = {
    "784-300-100": (
        "X = (np.load(sys.argv[1] + '/images.npy', mmap_mode='r')[:3000] / 255).astype('f4')\n"
        "y = np.load(sys.argv[1] + '/labels.npy')[:3000]",
        (300, 100),
    ),
    "64-100": ("X, y = load_digits(return_X_y=True)\nX = (X / 16).astype('f4')", (100,)),
}


def run(code, *arguments, env=None):
    """Seconds of a fresh process, and what it prints."""
    start = time.perf_counter()
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, check=True, env=env, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - start, done.stdout


def fits(rounds):
    """Time and memory come from the same processes."""
    for number in range(rounds):
        imported = float(run(_IMPORT)[1])
        for name, load in _MODELS.items():
            seconds, held = run(_DIGITS.format(load=load))
            yield "time", name, number, "s", seconds
            yield "memory", name, number, "MiB", float(held) - imported
        print(f"time and memory: round {number + 1}", flush=True)


# --- peak and limit ----------------------------------------------------------------------


def watch(code, folder, limit=np.inf):
    """Highest RssAnon of a process, and whether it came to its end within `limit` MiB."""
    command = [sys.executable, "-c", _LOAD + code, str(folder)]
    peak = 0.0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            try:
                peak = max(peak, memory.read_anonymous(process.pid))
            except (OSError, ValueError):
                break  # it is ending
            if peak > limit:
                process.kill()
            time.sleep(0.0005)
    return peak, process.returncode == 0


def peaks(rounds, folder):
    for number in range(rounds):
        for name, code in _MNIST.items():
            peak, _ = watch(code, folder)
            yield "peak", name, number, "MiB", peak
        print(f"peak: round {number + 1}", flush=True)


def limits(rounds, folder):
    del rounds  # an answer, no measurement
    for name, code in _MNIST.items():
        yield "limit", name, 0, "trains", float(watch(code, folder, LIMIT_MIB)[1])
    print("limit done", flush=True)


# --- the rest ----------------------------------------------------------------------------


def predictions(rounds, folder):
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for number in range(rounds):
        for shape, (load, hidden) in _PREDICTED.items():
            printed = run(_PREDICT.format(load=load, hidden=hidden), folder, env=env)[1]
            for name, microseconds in json.loads(printed).items():
                yield f"predict {shape}", name, number, "us", microseconds
        print(f"predict: round {number + 1}", flush=True)


def nbytes_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def installations(rounds):
    """Build from the sdist, then install the wheel beside scikit-learn."""
    del rounds
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory() as parent:
        folder = pathlib.Path(parent)
        venv.create(folder / "env", with_pip=True)
        python = str(folder / "env" / "bin" / "python")

        def call(*command):
            subprocess.run([python, *command], check=True, cwd=folder, stdout=subprocess.DEVNULL)

        call(*pip, "install", "build")
        call("-m", "build", "--sdist", "--outdir", str(folder), str(ROOT))
        sdist = next(folder.glob("*.tar.gz"))
        start = time.perf_counter()
        call(*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(sdist))
        yield "build", "fastl0", 0, "s", time.perf_counter() - start
        venv.create(folder / "user", with_pip=True)
        python = str(folder / "user" / "bin" / "python")
        call(*pip, "install", "scikit-learn")
        before = nbytes_of(folder / "user")
        call(*pip, "install", str(next(folder.glob("*.whl"))))
        yield "disk", "fastl0", 0, "MiB", (nbytes_of(folder / "user") - before) / 2**20


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="time,memory,peak,limit,predict,disk,build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", default=os.environ.get("FASTL0_DATA"))
    arguments = parser.parse_args()
    wanted = set(arguments.rows.split(","))
    found = []
    if wanted & {"time", "memory"}:
        found += fits(arguments.rounds)
    if wanted & {"peak", "limit", "predict"}:
        with tempfile.TemporaryDirectory() as folder:
            if arguments.data:
                memory.write_mnist(folder, arguments.data)
            else:
                memory.write_random(folder)
            if "peak" in wanted:
                found += peaks(max(1, arguments.rounds // 2), folder)
            if "limit" in wanted:
                found += limits(1, folder)
            if "predict" in wanted:
                found += predictions(max(1, arguments.rounds // 2), folder)
    if wanted & {"disk", "build"}:
        found += installations(1)
    save(found)


def save(found):
    """Write the rows; those of other measures that are there already stay."""
    names = ("measure", "library", "round", "unit", "value")
    rows = [dict(zip(names, row, strict=True)) for row in found]
    measured = {row["measure"] for row in rows}
    kept = []
    if RESULTS.exists():
        with RESULTS.open(newline="") as file:
            kept = [row for row in csv.DictReader(file) if row["measure"] not in measured]
    for row in rows:
        row["value"] = f"{row['value']:.4g}"
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept + rows)


if __name__ == "__main__":
    main()
