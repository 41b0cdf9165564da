"""The main job on real data, where FASTL0_DATA names a folder that holds MNIST."""

import os

import numpy as np
import pytest
from experiments.mnist import load_mnist

from fastl0 import HardL0MLPClassifier

pytestmark = [
    pytest.mark.skipif(not os.environ.get("FASTL0_DATA"), reason="FASTL0_DATA is not set"),
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def test_mnist_is_learned_while_the_network_shrinks():
    mnist = load_mnist(os.environ["FASTL0_DATA"])
    X_train, X_test = (X / np.float32(255) for X in (mnist.X_train, mnist.X_test))
    settings = {"lam": 0.1, "penalty": "fan_out", "finetune_fraction": 0.0}
    clf = HardL0MLPClassifier((100,), batch_size=128, max_iter=4, random_state=0, **settings)
    clf.fit(X_train, mnist.y_train)
    assert clf.score(X_test, mnist.y_test) > 0.95
    history = clf.history_
    assert history["n_units"][0] == (784, 100, 10)
    assert clf.n_parameters_ < 0.8 * history["n_parameters"][0]
    assert history["buffer_nbytes"][-1] < 0.8 * history["buffer_nbytes"][0]
    # Pixels that are black in every image cannot matter.
    assert not clf.support_[mnist.X_train.max(axis=0) == 0].any()
