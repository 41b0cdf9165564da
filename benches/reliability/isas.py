"""Whether all instruction sets, and the JIT, train the same network.

    python benches/reliability/isas.py
    python benches/reliability/isas.py --networks

Digests of `digests.py` in a process for each instruction set of this processor, one in which Numba
compiles the kernels (FASTL0_JIT=1), and one in which NumPy uses none of its own vectors and
OpenBLAS those of an older processor. Then ten seeds of a default fit to the digits of
scikit-learn, with each set: which units are kept, the loss, and the accuracy. Writes
results/reliability/isas.csv: a line for each kernel, how many digests are those of the widest set,
and of how many seeds the digest, the kept units and the accuracy are.

With ``--networks``: digests of the networks of `tests/test_isas.py`, by the kernels in use (see
FASTL0_ISA), into results/reliability/networks.csv, beside those of other machines that are there.
"""

import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import fits
from numpy._core._multiarray_umath import __cpu_dispatch__

from fastl0 import _kernels

FOLDER = pathlib.Path(__file__).parent
RESULTS = fits.RESULTS / "isas.csv"
N_SEEDS = 10

SEEDS = f"""
import hashlib, json, warnings
import numpy as np
from sklearn.datasets import load_digits
from fastl0 import HardL0MLPClassifier
warnings.simplefilter("ignore")
X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
found = []
for seed in range({N_SEEDS}):
    model = HardL0MLPClassifier(random_state=seed).fit(X[:1200], y[:1200])
    digest = hashlib.sha256(b"".join(a.tobytes() for a in model.coefs_)).hexdigest()
    found.append([digest, model.n_units_, np.flatnonzero(model.support_).tolist(),
                  model.score(X[1200:], y[1200:]), model.loss_])
print(json.dumps(found))
"""


def measure(environment):
    """Digests by name, and what came of every seed."""
    # One thread: that of others would be late or not, which changes no bit but takes time.
    env = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "digests.json")
        command = [sys.executable, str(FOLDER / "digests.py"), str(path)]
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
        digests = json.loads(path.read_text())
    command = [sys.executable, "-c", SEEDS]
    seeds = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout
    return digests, json.loads(seeds)


def note_networks():
    """Write digests, units and losses of the networks that the tests train."""
    from test_isas import NETWORKS

    code = "import warnings; warnings.simplefilter('ignore')\n" + NETWORKS
    printed = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    rows = [
        {"network": name, "kernels": _kernels.isa, "digest": digest, "n_units": units, "loss": loss}
        for name, (digest, units, loss) in json.loads(printed.stdout).items()
    ]
    path = fits.RESULTS / "networks.csv"
    if path.exists():
        with path.open(newline="") as file:
            before = [row for row in csv.DictReader(file) if row["kernels"] != _kernels.isa]
        rows = sorted(before + rows, key=lambda row: (row["network"], row["kernels"]))
    write(path, rows)


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main():
    if sys.argv[1:] == ["--networks"]:
        return note_networks()
    found = {isa: measure({"FASTL0_ISA": isa}) for isa in _kernels.isas}
    found[f"{_kernels.isa}, just in time"] = measure({"FASTL0_JIT": "1"})
    found[f"{_kernels.isa}, NumPy without its own"] = measure(
        {
            "NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__),
            "OPENBLAS_CORETYPE": "Haswell",
        }
    )
    digests, seeds = found[_kernels.isa]
    rows = []
    for kernels, (own_digests, own_seeds) in found.items():
        pairs = list(zip(own_seeds, seeds, strict=True))
        row = {
            "kernels": kernels,
            "digests": len(digests),
            "same_digests": sum(own_digests[name] == digests[name] for name in digests),
            "seeds": N_SEEDS,
            "same_networks": sum(a[0] == b[0] for a, b in pairs),
            "same_units": sum(a[1:3] == b[1:3] for a, b in pairs),
            "same_accuracy": sum(a[3] == b[3] for a, b in pairs),
            "largest_difference_of_loss": f"{max(abs(a[4] - b[4]) for a, b in pairs):.2g}",
        }
        print(*(f"{key} {value}" for key, value in row.items()), sep=", ", flush=True)
        rows.append(row)
    return write(RESULTS, rows)


if __name__ == "__main__":
    main()
