"""Activations and their derivatives."""

import naive
import numpy as np
import pytest
from kernel_checks import EPS, EXTREMES, SHAPES, assert_same, random

from fastl0._numba.activations import activate_, differentiate_
from fastl0.kernel_api.codes import ACTIVATIONS, RELU


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_agree(activation, shape):
    gates = np.linspace(0, 1, shape[1], dtype=np.float32)
    values, bias = random(shape, 3.0), random(shape[1], seed=1)
    assert_same("activate_", activation, values, bias, gates, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_agree_at_extreme_values(activation):
    values = np.array([EXTREMES], np.float32)
    none, ones = np.zeros(values.shape[1], np.float32), np.ones(values.shape[1], np.float32)
    assert_same("activate_", activation, values, none, ones, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("gate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_pre_activation_that_is_not_finite_is_seen_in_the_activation(activation, bad, gate):
    values = random((3, 17))
    values[1, 2] = bad
    bias, gates = random(17, seed=1), np.full(17, gate, np.float32)
    with np.errstate(invalid="ignore"):  # heard where the JIT is off
        activate_(ACTIVATIONS[activation], values, bias, gates)
    assert np.argwhere(~np.isfinite(values)).tolist() == [[1, 2]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_of_gated_activations_agree(activation, shape):
    before = random(shape, 2.0).astype(float)
    gates = np.linspace(0, 1, shape[1]).astype(np.float32)
    gates[-1:] = 0.3
    upstream = random(shape, seed=1)
    values = (gates * naive.FUNCTIONS[activation](before)).astype(np.float32)
    expected = upstream * gates.astype(float) * naive.DERIVATIVES[activation](before)
    untouched = values.copy()
    differentiate_(ACTIVATIONS[activation], values, upstream, gates)
    np.testing.assert_allclose(upstream, expected, rtol=0, atol=2e-6)
    assert not upstream[:, gates == 0].any()
    np.testing.assert_array_equal(values, untouched)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_of_saturated_and_of_closed_units_are_finite(activation):
    before = np.array([EXTREMES] * 2)
    gates = np.where(np.arange(len(EXTREMES)) % 2, 1.0, 0.0).astype(np.float32)
    values = (gates * naive.FUNCTIONS[activation](before)).astype(np.float32)
    upstream = np.ones_like(values)
    differentiate_(ACTIVATIONS[activation], values, upstream, gates)
    expected = gates * naive.DERIVATIVES[activation](before)
    np.testing.assert_allclose(upstream, expected, rtol=0, atol=1e-6)


def test_relu_has_slope_zero_at_zero():
    upstream = np.ones((1, 3), np.float32)
    zeros, ones = np.zeros((1, 3), np.float32), np.ones(3, np.float32)
    differentiate_(RELU, zeros, upstream, ones)
    assert not upstream.any()


def widened(values, n_more=3):
    """The same numbers with columns of NaN behind them, and a view without those."""
    wide = np.full((values.shape[0], values.shape[1] + n_more), np.nan, np.float32)
    wide[:, : values.shape[1]] = values
    return wide, wide[:, : values.shape[1]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", ACTIVATIONS.values())
def test_activations_and_their_derivatives_leave_padding_alone(activation, shape):
    bias, gates = random(shape[1], seed=1), np.linspace(0.1, 1, shape[1], dtype=np.float32)
    values, upstream = random(shape), random(shape, seed=2)
    wide_values, own_values = widened(values)
    wide_upstream, own_upstream = widened(upstream)
    for pair in ((values, upstream), (wide_values, wide_upstream)):
        activate_(activation, pair[0], bias, gates)
        differentiate_(activation, *pair, gates)
    for own, wide, expected in (
        (own_values, wide_values, values),
        (own_upstream, wide_upstream, upstream),
    ):
        np.testing.assert_allclose(own, expected, rtol=4 * EPS, atol=EPS)
        assert np.isnan(wide[:, shape[1] :]).all()
