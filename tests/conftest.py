"""Data and stand-ins that many tests share."""

import numpy as np
import pytest
import stand_in
from hypothesis import settings
from sklearn.datasets import load_digits

from fastl0 import pruning
from fastl0.commands import trial

# The same examples every time, however slow the machine is; nothing is kept on disk.
settings.register_profile("fastl0", deadline=None, derandomize=True, database=None)
settings.load_profile("fastl0")


@pytest.fixture(scope="session")
def digits():
    """600 rows of scikit-learn's digits as float32 in [0, 1], and their labels."""
    X, y = load_digits(return_X_y=True)
    return (X[:600] / 16).astype(np.float32), y[:600]


@pytest.fixture
def classifier(monkeypatch):
    """Swap the estimator that commands train for a stand-in."""
    monkeypatch.setattr("fastl0.HardL0MLPClassifier", stand_in.Classifier, raising=False)
    monkeypatch.setattr(stand_in.Classifier, "seen", [])
    trial.compile_kernels.cache_clear()
    yield stand_in.Classifier
    trial.compile_kernels.cache_clear()


@pytest.fixture
def decided_each_epoch(monkeypatch):
    """Let deletions be decided after every epoch, however few mini-batches it had."""
    monkeypatch.setattr(pruning, "FEWEST_DRAWS", 1)
