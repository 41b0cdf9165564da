"""Small kernels: exp, log, sums, picking entries."""

import naive
import numpy as np
import pytest
from kernel_checks import EPS, EXTREMES, KERNELS, LENGTHS, SHAPES, assert_same, random

from fastl0._numba import jit
from fastl0._numba.elementwise import exp, log, log1p, power, sum_rows, tanh


@pytest.mark.parametrize("length", LENGTHS)
def test_exponentials_and_logarithms_agree(length):
    powers = np.random.default_rng(2).uniform(-80, 80, length).astype(np.float32)
    for x in -abs(powers):
        np.testing.assert_allclose(exp(x), np.exp(np.float64(x)), rtol=4 * EPS)
    for x in np.exp(powers):
        expected = np.log(np.float64(x))
        np.testing.assert_allclose(log(x), expected, rtol=2 * EPS, atol=2 * EPS)


def test_exponentials_end_at_one_and_near_zero_and_keep_nan():
    found = [exp(np.float32(x)) for x in (0.0, -0.0, -87.0, -1e4, -np.inf, np.nan)]
    lowest = np.exp(np.float32(-87))
    np.testing.assert_allclose(found, [1, 1, lowest, lowest, lowest, np.nan], rtol=4 * EPS)


def test_tanh_and_log1p_agree():
    x = np.concatenate([np.linspace(-12, 12, 4001), np.logspace(-9, 0, 500)]).astype(np.float32)
    found = [tanh(each) for each in x]
    np.testing.assert_allclose(found, np.tanh(x.astype(float)), rtol=4 * EPS)
    shares = np.abs(x[np.abs(x) <= 1])
    found = [log1p(each) for each in shares]
    np.testing.assert_allclose(found, np.log1p(shares.astype(float)), rtol=4 * EPS)


def test_tanh_ends_at_one_and_keeps_nan():
    found = [tanh(np.float32(x)) for x in (0.0, 100.0, -100.0, np.inf, -np.inf, np.nan)]
    np.testing.assert_array_equal(found, [0.0, 1, -1, 1, -1, np.nan])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 1023, 1024, 123_456])
def test_powers_agree(n):
    for x in (0.9, 0.999, 0.9999):
        np.testing.assert_allclose(power(x, n), x**n, rtol=1e-11)


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


@jit.kernel
def dot(a, b, n):
    return jit.dot(a, b, n)


@pytest.mark.parametrize("length", [*LENGTHS, 15, 16, 17, 48])
def test_dot_products_agree(length):
    a, b = random(length), random(length, seed=1)
    found, expected = dot(a.ctypes.data, b.ctypes.data, length), a.astype(float) @ b.astype(float)
    np.testing.assert_allclose(found, expected, rtol=0, atol=EPS * (1 + length))


def test_dot_products_have_one_order():
    a, b = random(37), random(37, seed=1)
    lanes = np.zeros(16, np.float32)
    for start in range(0, 37, 16):
        part = a[start : start + 16] * b[start : start + 16]
        lanes[: len(part)] += part
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    # Products are rounded here, and may not be there.
    np.testing.assert_allclose(dot(a.ctypes.data, b.ctypes.data, 37), lanes[0], rtol=0, atol=1e-5)
