"""Data and stand-ins that many tests share."""

import fake_estimator
import numpy as np
import pandas as pd
import pytest
from display_data import QUICK, SIZES
from hypothesis import settings
from sklearn.datasets import load_digits

from fastl0 import HardL0MLPClassifier, HardL0MLPClassifierCV, l0_path
from fastl0.training import criteria, online  # noqa: F401 (before draws are patched)

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
    monkeypatch.setattr(
        "fastl0.estimators.classifier.HardL0MLPClassifier", fake_estimator.Classifier
    )
    monkeypatch.setattr(fake_estimator.Classifier, "seen", [])
    return fake_estimator.Classifier


@pytest.fixture
def decided_each_epoch(monkeypatch):
    """Let deletions be decided after every epoch, however few mini-batches it had."""
    monkeypatch.setattr(criteria, "MIN_DRAWS", 1)


# --- what displays draw ------------------------------------------------------------------


@pytest.fixture(scope="session")
def pruned(digits):
    """With early stopping: its history has validation scores."""
    names = [f"pixel {index}" for index in range(64)]
    model = HardL0MLPClassifier(
        **QUICK.get_params() | {"early_stopping": True, "target_size": 0.3, "max_iter": 30}
    )
    return model.fit(pd.DataFrame(digits[0], columns=names), digits[1])


@pytest.fixture(scope="session")
def unpruned(digits):
    """Neither gates nor validation scores nor feature names; done after some epochs."""
    model = HardL0MLPClassifier((30,), pruning="none", tol=10, n_iter_no_change=4, random_state=0)
    return model.fit(*digits)


@pytest.fixture(scope="session")
def digits_path(digits):
    return l0_path(*digits, target_sizes=SIZES, estimator=QUICK)


@pytest.fixture(scope="session")
def digits_search(digits):
    return HardL0MLPClassifierCV(QUICK, target_sizes=SIZES, cv=3, scoring="balanced_accuracy").fit(
        *digits
    )


@pytest.fixture
def no_figure_stays():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")
