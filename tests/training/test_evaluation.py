"""Evaluating a network by validation rows."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.metrics import log_loss

from fastl0._kernels import RowSource
from fastl0.data import class_targets, regression_targets
from fastl0.model.network import Network
from fastl0.training import evaluation

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def network(n_outputs, out_activation, support=(True, False, True), seed=0):
    """A random network with one hidden layer, which reads some of three columns."""
    rng = np.random.default_rng(seed)
    widths = [sum(support), 4, n_outputs]
    pairs = list(zip(widths[:-1], widths[1:], strict=True))
    return Network(
        [rng.normal(size=pair).astype(np.float32) for pair in pairs],
        [rng.normal(size=width).astype(np.float32) for width in widths[1:]],
        np.array(support),
        "tanh",
        out_activation,
    )


def rows(n_rows=3000, seed=1):
    return np.random.default_rng(seed).normal(size=(n_rows, 3))


@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sp.csr_array])
@pytest.mark.parametrize("weighted", [False, True])
def test_judged_by_accuracy_and_cross_entropy(container, weighted):
    X = rows()
    y = np.random.default_rng(2).integers(0, 3, len(X))
    weights = np.random.default_rng(3).random(len(X)) if weighted else None
    net = network(3, "softmax")
    proba = net.outputs(X)
    judge = evaluation.default_evaluator(
        RowSource(container(X)),
        np.arange(len(X), dtype=np.int32),
        class_targets.encode_classes(y),
        weights,
    )
    score, loss = judge(net)
    np.testing.assert_allclose(
        score, np.average(proba.argmax(axis=1) == y, weights=weights), rtol=1e-6
    )
    np.testing.assert_allclose(loss, log_loss(y, proba, sample_weight=weights), rtol=1e-5)


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_judged_by_r2_in_units_of_y(n_outputs):
    X = rows(500)
    net = network(n_outputs, "identity")
    y = 1e6 * (net.outputs(X) + rows(500)[:, :n_outputs])
    encoded = regression_targets.encode_targets(
        y if n_outputs > 1 else y[:, 0], "squared_error", 0.0, normalize=True
    )
    judge = evaluation.default_evaluator(
        RowSource(X), np.arange(500, dtype=np.int32), encoded, None
    )
    score, loss = judge(net.denormalize_outputs(0.0 * encoded.center, np.full(n_outputs, 1e6)))
    residuals = 1e6 * net.outputs(X) - y
    shares = (residuals**2).mean(axis=0) / y.var(axis=0)
    np.testing.assert_allclose(score, 1 - shares.mean(), rtol=1e-4)
    np.testing.assert_allclose(loss, shares.sum() / 2, rtol=1e-4)


def test_only_the_rows_that_are_named_judge():
    X = rows(50)
    y = (network(1, "logistic").outputs(X)[:, 0] > 0.5).astype(int)
    y[10:] = 1 - y[10:]  # only the first ten agree
    encoded = class_targets.encode_classes(y)
    for some, expected in ((np.arange(10), 1.0), (np.arange(10, 50), 0.0), ([3, 40], 0.5)):
        some = np.array(some, np.int32)
        judge = evaluation.default_evaluator(RowSource(X), some, encoded.take(some), None)
        assert judge(network(1, "logistic")).score == expected


def test_labels_are_not_smoothed_when_they_judge():
    X = rows(100)
    y = (X[:, 0] > 0).astype(int)
    losses = []
    for smoothing in (0.0, 0.5):
        encoded = class_targets.encode_classes(y, smoothing)
        judge = evaluation.default_evaluator(
            RowSource(X), np.arange(100, dtype=np.int32), encoded, None
        )
        losses.append(judge(network(1, "logistic")).loss)
    assert losses[0] == losses[1]
