"""Callbacks with a scikit-learn below 1.9, which has no `sklearn.callback`."""

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
import pytest
import sklearn.base, sklearn.model_selection, sklearn.pipeline, sklearn.preprocessing

# As if it were not there: what scikit-learn itself needs of it is loaded by now.
sys.modules["sklearn.callback"] = None
status = pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1]])
import fastl0.estimators.callbacks
mixin = fastl0.estimators.callbacks.CallbackSupportMixin
assert mixin.__module__ == "fastl0.estimators.callbacks_compat"
sys.exit(status)
"""


def test_the_tests_of_callbacks_pass_without_those_of_scikit_learn():
    tests = Path(__file__).with_name("test_callbacks.py")
    run = subprocess.run(
        [sys.executable, "-c", CODE, str(tests)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
