"""A process forked while another thread imports what training needs."""

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from fastl0 import HardL0MLPRegressor, _fork_safety

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

#: No test waits longer for a child, in seconds.
PATIENCE = 60


def exit_code_of_child(job):
    """Fork a child that does `job`; a signal ends it if it hangs."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(PATIENCE)
            job()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def append_weights(lock, job):
    """What `job` returns that begins while another thread holds `lock` for a while."""
    held = threading.Event()

    def hold():
        with lock:
            held.set()
            threading.Event().wait(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    try:
        return job()
    finally:
        thread.join()


def take_and_give_back():
    thread = threading.Thread(
        target=lambda: (_fork_safety.importing.acquire(), _fork_safety.importing.release())
    )
    thread.start()
    thread.join()


def test_a_fork_leaves_no_lock_behind_in_either_process():
    child = append_weights(_fork_safety.importing, lambda: exit_code_of_child(take_and_give_back))
    assert child == 0
    take_and_give_back()


def test_a_thread_that_holds_the_lock_can_fork():
    with _fork_safety.importing:
        assert exit_code_of_child(lambda: None) == 0
    append_weights(_fork_safety.importing, lambda: None)


FIRST_FIT = """
import importlib.abc, os, signal, sys, threading
import numpy as np
from fastl0 import HardL0MLPClassifier, l0_path

begun = threading.Event()

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name == "{module}":
            begun.set()
            threading.Event().wait(0.5)

def fit():
    X = np.random.default_rng(0).normal(size=(40, 3))
    {call}

sys.meta_path.insert(0, Slow())
thread = threading.Thread(target=fit)
thread.start()
begun.wait()
child = os.fork()
if child == 0:
    signal.alarm({patience})
    fit()
    os._exit(0)
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0)
"""
CALLS = {
    "fit": "HardL0MLPClassifier((3,), max_iter=2).fit(X, X[:, 0] > 0)",
    "partial_fit": "HardL0MLPClassifier((3,)).partial_fit(X, X[:, 0] > 0, classes=[False, True])",
    "l0_path": "l0_path(X, X[:, 0] > 0, target_sizes=[0.5], "
    "estimator=HardL0MLPClassifier((3,), max_iter=2))",
}


@pytest.mark.parametrize(
    ("call", "module"),
    [
        ("fit", "fastl0.estimators.fit"),
        ("partial_fit", "fastl0.estimators.partial_fit"),
        ("l0_path", "fastl0.estimators.fit"),
    ],
)
def test_a_child_fits_that_was_forked_during_the_first_fit_of_its_parent(call, module):
    code = FIRST_FIT.format(module=module, call=CALLS[call], patience=PATIENCE)
    command = [sys.executable, "-W", "ignore", "-c", code]
    subprocess.run(command, timeout=3 * PATIENCE, check=True)


def test_a_child_uses_a_stream_that_another_thread_was_training():
    X = np.random.default_rng(0).normal(size=(30, 3))
    model = HardL0MLPRegressor((5,), random_state=0).partial_fit(X, X[:, 0])

    def use():
        model.partial_fit(X, X[:, 0])
        model.predict(X)

    assert append_weights(model._stream.lock, lambda: exit_code_of_child(use)) == 0


def test_a_child_goes_on_with_a_stream_that_was_drawing_random_numbers():
    X = np.random.default_rng(0).normal(size=(8, 3))
    model, other = (HardL0MLPRegressor((5,), random_state=0) for _ in range(2))
    for each in (model, other):
        each.partial_fit(X, X[:, 0])
    other.partial_fit(X, X[:, 0])

    def use():
        model.partial_fit(X, X[:, 0])
        np.testing.assert_array_equal(model.predict(X), other.predict(X))

    # NumPy holds it while another thread draws.
    drawing = model._stream.trainer._rng.bit_generator.lock
    assert append_weights(drawing, lambda: exit_code_of_child(use)) == 0


LOADS = """
import importlib.abc, sys
import numpy as np
import fastl0
from fastl0 import _fork_safety

model, loaded, loose = fastl0.{model}((3,), max_iter=2), set(), set()

class Look(importlib.abc.MetaPathFinder):
    def find_spec(self, name, *_):
        if name.startswith("fastl0."):
            loaded.add(name)
            if not _fork_safety.importing._is_owned():
                loose.add(name)

sys.meta_path.insert(0, Look())
X = np.random.default_rng(0).normal(size=(40, 3))
model.{call}
assert "fastl0.training.trainer" in loaded
assert not loose, loose
"""


@pytest.mark.parametrize("call", ["fit(X, {y})", "partial_fit(X, {y}{classes})"])
@pytest.mark.parametrize("model", ["HardL0MLPClassifier", "HardL0MLPRegressor"])
def test_the_first_fit_loads_no_module_that_a_fork_would_not_wait_for(model, call):
    is_classifier = model == "HardL0MLPClassifier"
    y = "X[:, 0] > 0" if is_classifier else "X[:, 0]"
    call = call.format(y=y, classes=", classes=[False, True]" if is_classifier else "")
    code = LOADS.format(model=model, call=call)
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=PATIENCE, check=True)
