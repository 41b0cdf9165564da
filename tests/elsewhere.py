"""Code run as on a processor that has some features only."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from llvmlite.binding import get_host_cpu_features


def run_with_features(features, code, cache):
    """Run Python from the folder of the tests; skip the test if the processor cannot do it."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("features of x86")
    own = get_host_cpu_features()
    if not all(own.get(name[1:], False) for name in features.split(",") if name):
        pytest.skip(f"the processor lacks one of {features}")
    env = os.environ | {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(cache),
    }
    command = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(command, env=env, cwd=Path(__file__).parent, check=True)
