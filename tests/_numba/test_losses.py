"""Losses and their derivatives."""

import numpy as np
import pytest
from kernel_checks import EPS, PARAMETERS, SHAPES, both, random

from fastl0._numba.losses import output_loss_
from fastl0.kernel_api.codes import LOSSES


def targets_of(loss, n_rows, n_outputs):
    rng = np.random.default_rng(2)
    if loss == "softmax":
        return rng.integers(n_outputs, size=(n_rows, 1)).astype(np.float32)
    if loss == "logistic":
        return rng.integers(2, size=(n_rows, n_outputs)).astype(np.float32)
    if loss == "poisson":
        return rng.poisson(2.0, size=(n_rows, n_outputs)).astype(np.float32)
    return rng.normal(size=(n_rows, n_outputs)).astype(np.float32)


def output_losses(loss, values, bias, targets, scale=None, parameter=None):
    """Derivatives and losses of the kernel and of the reference."""
    scale, blank = 1 / len(values) if scale is None else scale, np.full(len(values), np.nan)
    parameter = PARAMETERS[loss][-1] if parameter is None else parameter
    pair = both("output_loss_", loss, parameter, values, bias, targets, scale, blank)
    assert all(result is None for *_, result in pair)
    return [(arrays[0], arrays[3]) for arrays in pair]


def with_weights(targets):
    """Targets with a column of weights, some of them 0."""
    weights = np.random.default_rng(9).integers(0, 4, size=(len(targets), 1))
    return np.hstack([targets, 0.7 * weights]).astype(np.float32)


@pytest.mark.parametrize("scale", [None, 1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("loss", "parameter"), [(loss, c) for loss, options in PARAMETERS.items() for c in options]
)
def test_losses_and_their_derivatives_agree(loss, parameter, weighted, shape, scale):
    targets = targets_of(loss, *shape)
    targets = with_weights(targets) if weighted else targets
    spread = 3.0 if loss != "poisson" else 1.0
    found, expected = output_losses(
        loss, random(shape, spread), random(shape[1], seed=1), targets, scale, parameter
    )
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=3e-6)
    np.testing.assert_allclose(found[1].sum(), expected[1].sum(), rtol=1e-5, atol=3e-6)
    np.testing.assert_allclose(
        found[0], expected[0], rtol=3e-6, atol=3e-6 * (scale or 1 / shape[0])
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_a_row_of_no_weight_is_none_whatever_its_loss(loss):
    values, losses = random((3, 5)), np.full(3, np.nan)
    values[1] = np.inf
    targets = np.hstack([targets_of(loss, 3, 5), [[1], [0], [1]]]).astype(np.float32)
    output_loss_(
        LOSSES[loss], np.float32(0.5), values, np.zeros(5, np.float32), targets,
        np.float32(1), losses,
    )  # fmt: skip
    assert losses[1] == 0
    assert not values[1].any()
    assert np.isfinite(losses).all()
    assert values[0].any()


@pytest.mark.parametrize("scale", [20.0, 100.0, 1e4])
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_losses_of_huge_outputs_are_finite_and_agree(loss, scale):
    values = random((11, 5), scale)
    values[:2] = (scale,)
    values[2:4] = -scale
    found, expected = output_losses(loss, values, np.zeros(5, np.float32), targets_of(loss, 11, 5))
    np.testing.assert_allclose(found[1].sum(), expected[1].sum(), rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_of_outputs_that_are_not_finite_is_seen(loss, bad):
    values, losses = random((3, 5)), np.zeros(3)
    values[1, 2] = bad
    targets = np.zeros((3, 1 if loss == "softmax" else 5), np.float32)
    none = np.zeros(5, np.float32)
    with np.errstate(invalid="ignore"):  # heard where the JIT is off
        output_loss_(LOSSES[loss], np.float32(0), values, none, targets, np.float32(1), losses)
    np.testing.assert_array_equal(np.isfinite(losses), [True, False, True])


def test_a_perfect_prediction_costs_nothing():
    values = np.array([[50.0, -50.0]], np.float32)
    none = np.zeros(2, np.float32)
    for loss, targets in (("softmax", [[0]]), ("logistic", [[1, 0]])):
        own, losses = values.copy(), np.full(1, np.nan)
        targets = np.array(targets, np.float32)
        output_loss_(LOSSES[loss], np.float32(0), own, none, targets, np.float32(1), losses)
        assert 0 <= losses[0] < 1e-20
        np.testing.assert_allclose(own, 0, atol=1e-20)


def widened(values, n_more=3):
    """The same numbers with columns of NaN behind them, and a view without those."""
    wide = np.full((values.shape[0], values.shape[1] + n_more), np.nan, np.float32)
    wide[:, : values.shape[1]] = values
    return wide, wide[:, : values.shape[1]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_leave_padding_alone(loss, shape):
    targets, bias = targets_of(loss, *shape), random(shape[1], seed=1)
    values, losses = random(shape), np.zeros((2, shape[0]))
    wide, own = widened(values)
    for k, matrix in enumerate((values, wide)):
        output_loss_(LOSSES[loss], np.float32(0), matrix, bias, targets, np.float32(0.5), losses[k])
    np.testing.assert_allclose(own, values, rtol=4 * EPS, atol=EPS)
    np.testing.assert_allclose(losses[1], losses[0], rtol=4 * EPS)
    assert np.isnan(wide[:, shape[1] :]).all()
