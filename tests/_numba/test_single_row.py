"""Mini-batches of one row: products with a vector and steps of rank one, against float64."""

import naive
import numpy as np
import pytest

from fastl0._numba.single_row import adam_rank_one_, combine_rows_, dot_rows_
from fastl0.kernel_api.tiles import MAX_LANES

EPS = float(np.finfo(np.float32).eps)
COLUMNS = sorted({1, 2, 7, 53, 101} | {k * MAX_LANES + d for k in (1, 2, 3) for d in (-1, 0, 1)})
GUARD = 2 * MAX_LANES
UNTOUCHED = np.float32(-7.5)
STEP = (0.01, 0.9, 0.999, 1e-3)  # rate, both betas, epsilon


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def guarded(values):
    """A copy between guards, and the view of it that lies in the middle."""
    whole = np.full(len(values) + 2 * GUARD, UNTOUCHED)
    middle = whole[GUARD : GUARD + len(values)]
    middle[:] = values
    return whole, middle


def assert_guards_hold(*wholes):
    for whole in wholes:
        assert np.all(whole[:GUARD] == UNTOUCHED)
        assert np.all(whole[-GUARD:] == UNTOUCHED)


def picked_rows(n_terms):
    """Numbers of rows as lists of active units hold them: ascending, with gaps."""
    rows = np.random.default_rng(n_terms).permutation(2 * n_terms + 1)[:n_terms]
    return np.sort(rows).astype(np.int32)


# --- products with a vector --------------------------------------------------------------


def assert_product_agrees(kernel, n_rows, n_columns, n_in, n_out, multiply):
    """Compare ``kernel(left, block, ...)`` on picked rows with a product in float64."""
    block, left, rows = random((2 * n_rows + 1, n_columns)), random(n_in, 1), picked_rows(n_rows)
    whole, out = guarded(np.full(n_out, np.nan))
    addresses = (a.ctypes.data for a in (left, block, rows, out))
    left_at, block_at, rows_at, out_at = addresses
    kernel(left_at, block_at, n_columns, rows_at, n_rows, out_at)
    a, b = left.astype(float), block[rows].astype(float)
    slack = EPS * (1 + n_in) * multiply(np.abs(a), np.abs(b))
    assert np.all(np.abs(out - multiply(a, b)) <= slack)
    assert_guards_hold(whole)


@pytest.mark.parametrize("n_rows", [0, 1, 2, 7, 31])
@pytest.mark.parametrize("n", COLUMNS)
def test_products_with_a_vector_agree(n_rows, n):
    assert_product_agrees(combine_rows_, n_rows, n, n_rows, n, lambda a, b: a @ b)
    assert_product_agrees(dot_rows_, n_rows, n, n, n_rows, lambda a, b: b @ a)


# --- the step ------------------------------------------------------------------------


def step(theta, first, second, vector, factor, decay=0.0):
    """Take a step on copies; return them and the product."""
    copies = [guarded(a) for a in (theta, first, second, vector)]
    product = adam_rank_one_(
        *(middle.ctypes.data for _, middle in copies), len(theta),
        *map(np.float32, (factor, *STEP, decay)),
    )  # fmt: skip
    assert_guards_hold(*(whole for whole, _ in copies))
    np.testing.assert_array_equal(copies[3][1], vector)
    return *(middle for _, middle in copies[:3]), product


def assert_step_agrees(n, factor, decay):
    theta, first, vector = (random(n, seed) for seed in range(3))
    second = 0.1 + random(n, 3) ** 2
    expected = [a.astype(float) for a in (theta, first, second)]
    product = expected[0] @ vector.astype(float)
    size = np.abs(expected[0]) @ np.abs(vector.astype(float))
    naive.adam_step_(*expected, factor * vector.astype(float), *STEP, decay)
    *found, found_product = step(theta, first, second, vector, factor, decay)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert abs(found_product - product) <= EPS * (1 + n) * size


@pytest.mark.parametrize("n", [*range(MAX_LANES, 3 * MAX_LANES + 2), 101, 300])
@pytest.mark.parametrize("factor", [0.0, -0.7])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_steps_of_rank_one_agree(n, factor, decay):
    assert_step_agrees(n, factor, decay)


@pytest.mark.parametrize("n", range(MAX_LANES, 3 * MAX_LANES + 1))
def test_a_parameter_moves_the_same_bit_for_bit_wherever_it_lies_in_its_row(n):
    same = np.ones(n, np.float32)
    *moved, _ = step(0.3 * same, 0.01 * same, 0.02 * same, 0.7 * same, 1.1, 0.3)
    for values in moved:
        assert np.all(values == values[0])
    assert moved[0][0] != np.float32(0.3)


@pytest.mark.parametrize(
    "place", [0, MAX_LANES - 1, MAX_LANES, 2 * MAX_LANES - 1, 2 * MAX_LANES + 2]
)
def test_numbers_that_are_not_finite_stay_where_they_are(place):
    n = 2 * MAX_LANES + 3
    theta, first, vector = (random(n, seed) for seed in range(3))
    second = random(n, 3) ** 2
    expected = step(theta, first, second, vector, 1.1)
    vector[place] = np.nan
    found = step(theta, first, second, vector, 1.1)
    rest = np.arange(n) != place
    for a, b in zip(found[:3], expected[:3], strict=True):
        assert np.isnan(a[place])
        np.testing.assert_array_equal(a[rest], b[rest])
    assert np.isnan(found[3])


@pytest.mark.parametrize("place", [0, MAX_LANES, 2 * MAX_LANES + 2])
def test_a_second_moment_that_overflows_is_seen_in_its_parameter(place):
    n = 2 * MAX_LANES + 3
    vector = np.ones(n, np.float32)
    vector[place] = 2e36
    theta, first, second = np.zeros((3, n), np.float32)
    found = step(theta, first, second, vector, 1.0)
    np.testing.assert_array_equal(np.isfinite(found[0]), np.arange(n) != place)
