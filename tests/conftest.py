"""Data that many tests share."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fastl0 import pruning


@pytest.fixture(scope="session")
def digits():
    """600 rows of scikit-learn's digits as float32 in [0, 1], and their labels."""
    X, y = load_digits(return_X_y=True)
    return (X[:600] / 16).astype(np.float32), y[:600]


@pytest.fixture
def decided_each_epoch(monkeypatch):
    """Let deletions be decided after every epoch, however few mini-batches it had."""
    monkeypatch.setattr(pruning, "FEWEST_DRAWS", 1)
