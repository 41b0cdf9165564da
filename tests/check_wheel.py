"""Use fastl0 as installed from a wheel: with every instruction set, and without Numba.

    python tests/check_wheel.py

Needs nothing but the installed package; `make wheels` and .ci/run call it from elsewhere.
"""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import fastl0
from fastl0 import _kernels

FIT = """
import time
from sklearn.datasets import load_digits
start = time.perf_counter()
from fastl0 import HardL0MLPClassifier, _kernels
X, y = load_digits(return_X_y=True)
model = HardL0MLPClassifier((32,), random_state=0).fit(X[:1200] / 16, y[:1200])
seconds, accuracy = time.perf_counter() - start, model.score(X[1200:] / 16, y[1200:])
print(f"{_kernels.isa}: {model.n_units_}, accuracy {accuracy:.3f}, {seconds:.1f} s")
assert accuracy > 0.85, "the installed package does not learn"
"""


def main():
    place = Path(fastl0.__file__).resolve()
    if Path(sys.prefix).resolve() not in place.parents:
        sys.exit(f"imported {place}, not the installed package")
    if fastl0.__version__ != importlib.metadata.version("fastl0"):
        sys.exit("fastl0.__version__ is not the version of the wheel")
    if importlib.util.find_spec("numba"):
        sys.exit("Numba is installed here: install the wheel into an environment of its own")
    files = importlib.metadata.files("fastl0")
    nbytes = sum(path.locate().stat().st_size for path in files if path.locate().exists())
    print(
        f"fastl0 {fastl0.__version__}, {nbytes / 2**20:.1f} MiB on disk, {', '.join(_kernels.isas)}"
    )
    for isa in _kernels.isas:
        env = os.environ | {"FASTL0_ISA": isa}
        subprocess.run([sys.executable, "-W", "error", "-c", FIT], env=env, check=True)


if __name__ == "__main__":
    start = time.perf_counter()
    main()
    print(f"all of it in {time.perf_counter() - start:.1f} s")
