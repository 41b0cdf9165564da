"""Code, and whole modules of tests, run as on a processor that has some features only.

`python tests/subprocesses.py` runs the modules below as on each kind of processor whose vectors are
narrower than those of this one; arguments go on to pytest.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from llvmlite.binding import get_host_cpu_features

from fastl0._numba.matmul import LANES

#: Kinds of x86: floats in a vector, and features beyond those that each of them has.
KINDS = {"SSE2": (4, ""), "AVX2": (8, "+avx,+avx2,+fma")}

#: What goes by the width of vectors: the kernels, the memory they are lent, and who shares it.
MODULES = (
    "_numba", "model/test_count_parameters.py", "test_gather.py", "test_team.py",
    "training/test_buffers.py", "estimators/test_target_size.py",
)  # fmt: skip


def as_on(features, cache):
    """Environment in which kernels are compiled for these features, into a cache of their own."""
    return os.environ | {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(cache),
    }


def reason_against(features):
    """Why this processor cannot do as one with these features; None if it can."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return "its features are not those of x86"
    own = get_host_cpu_features()
    lacking = [name for name in features.split(",") if name and not own.get(name[1:], False)]
    return f"it lacks {', '.join(lacking)}" if lacking else None


def run_with_features(features, code, cache):
    """Run Python that may import modules of tests; skip the test if the processor cannot do it."""
    if reason := reason_against(features):
        pytest.skip(reason)
    command = [sys.executable, "-W", "error", "-c", code]
    env = as_on(features, cache)
    tests = Path(__file__).parent
    folders = [tests, *(path for path in tests.iterdir() if path.is_dir())]
    env["PYTHONPATH"] = os.pathsep.join([*map(str, folders), env.get("PYTHONPATH", "")])
    subprocess.run(command, env=env, cwd=tests, check=True)


def main(arguments):
    """Run the modules as on each narrower kind; return whether all went well."""
    modules = [str(Path(__file__).parent / name) for name in MODULES]
    # Tests that do as another machine by themselves need no second time.
    command = [sys.executable, "-m", "pytest", "-q", "-k", "not other_machines", *modules]
    status = 0
    for name, (lanes, features) in KINDS.items():
        reason = reason_against(features)
        if lanes >= LANES and reason is None:
            reason = "its own vectors are no wider, so that the test suite does that"
        if reason:
            print(f"Not run as on a processor with {name}: {reason}.", flush=True)
            continue
        print(f"As on a processor with {name}:", flush=True)
        with tempfile.TemporaryDirectory() as cache:
            env = as_on(features, cache)
            status |= subprocess.run([*command, *arguments], env=env, check=False).returncode
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
