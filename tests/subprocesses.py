"""Code, and whole modules of tests, run with the kernels of other instruction sets.

`python tests/subprocesses.py` runs the modules below once for each instruction set that this
processor has beside the one in use; arguments go on to pytest.
"""

import os
import subprocess
import sys
from pathlib import Path

from fastl0 import _kernels

TESTS = Path(__file__).parent

#: What goes by the instruction set: the kernels, networks in all their kinds, and who shares work.
MODULES = (
    "_numba", "model", "training", "test_gather.py",
    "test_team.py", "test_isas.py", "estimators/test_target_size.py",
)  # fmt: skip

#: Other than that in use.
OTHER_ISAS = tuple(isa for isa in _kernels.isas if isa != _kernels.isa)


def run_with_isa(isa, code):
    """What Python code prints that may import modules of tests."""
    folders = [TESTS, *(path for path in TESTS.iterdir() if path.is_dir())]
    path = os.pathsep.join([*map(str, folders), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"FASTL0_ISA": isa, "PYTHONPATH": path}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=env, cwd=TESTS, check=True, stdout=subprocess.PIPE).stdout


def main(arguments):
    """Run the modules with every other instruction set; return whether all went well."""
    command = [sys.executable, "-m", "pytest", "-q", *(str(TESTS / name) for name in MODULES)]
    status = 0
    for isa in OTHER_ISAS:
        print(f"With the kernels for {isa}:", flush=True)
        env = os.environ | {"FASTL0_ISA": isa}
        status |= subprocess.run([*command, *arguments], env=env, check=False).returncode
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
