"""Small kernels: exp, log, sums, picking entries."""

import naive
import numpy as np
import pytest
from kernel_checks import EPS, EXTREMES, KERNELS, LENGTHS, SHAPES, assert_same, both, random

from fastl0._numba.elementwise import exp, log, sum_rows


@pytest.mark.parametrize("length", LENGTHS)
def test_exponentials_and_logarithms_agree(length):
    powers = np.random.default_rng(2).uniform(-80, 80, length).astype(np.float32)
    for x in -abs(powers):
        np.testing.assert_allclose(exp(x), np.exp(np.float64(x)), rtol=4 * EPS)
    for x in np.exp(powers):
        expected = np.log(np.float64(x))
        np.testing.assert_allclose(log(x), expected, rtol=2 * EPS, atol=2 * EPS)


# Without the JIT NumPy warns where a NaN becomes an integer.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_exponentials_end_at_one_and_near_zero_and_keep_nan():
    found = [exp(np.float32(x)) for x in (0.0, -0.0, -87.0, -1e4, -np.inf, np.nan)]
    lowest = np.exp(np.float32(-87))
    np.testing.assert_allclose(found, [1, 1, lowest, lowest, lowest, np.nan], rtol=4 * EPS)


@pytest.mark.parametrize("x", EXTREMES)
def test_the_logistic_function_agrees_and_does_not_overflow(x):
    assert_same("sigmoid", x, rtol=1e-5, atol=1e-37)


def widened(values, n_more=3):
    """The same numbers with columns of NaN behind them, and a view without those."""
    wide = np.full((values.shape[0], values.shape[1] + n_more), np.nan, np.float32)
    wide[:, : values.shape[1]] = values
    return wide, wide[:, : values.shape[1]]


def test_sums_leave_padding_out():
    wide, own = widened(random((13, 5)))
    out = np.full(5, np.nan, np.float32)
    sum_rows(wide, out)
    np.testing.assert_allclose(out, own.sum(axis=0, dtype=float), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 5), *SHAPES])
def test_sums_over_rows_agree(shape):
    values = random(shape)
    out = np.full(shape[1], np.nan, np.float32)
    assert_same("sum_rows", values, out, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["gather_", "scatter_"])
@pytest.mark.parametrize("length", LENGTHS)
def test_picked_and_spread_rows_agree(name, length):
    places = np.flatnonzero(np.arange(2 * length + 1) % 3 == 0).astype(np.int32)
    values, out = random(2 * length + 1), np.full(len(places), np.nan, np.float32)
    if name == "scatter_":
        values, out = out, values
        values[:] = random(len(places), seed=1)
    expected = out.copy()
    KERNELS[name](values, places, out)
    getattr(naive, name)(values, places, expected)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("length", LENGTHS)
def test_dot_products_agree(length):
    found, expected = both("dot", random(length), random(length, seed=1))
    np.testing.assert_allclose(found[-1], expected[-1], rtol=0, atol=EPS * (1 + length))
