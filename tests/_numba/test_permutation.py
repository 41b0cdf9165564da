"""The order of the rows: a permutation of exactly them, and each as likely as any other."""

import numpy as np
import pytest
from scipy.stats import chi2

from fastl0._numba.permutation import fill_rows_
from fastl0.kernel_api.row_order import N_ROUNDS, RowOrder, draw_keys

SIZES = sorted({1, 2, 3, *(2**k + d for k in range(2, 13) for d in (-1, 0, 1)), 1009, 5000})
NO_ROWS, NO_KEYS = np.zeros(0, np.int32), np.zeros(0, np.uint64)


def keys(seed=0):
    return draw_keys(np.random.default_rng(seed))


def listed(order, start=0, stop=None):
    rows = np.full((order.n_rows if stop is None else stop) - start, -1, np.int32)
    fill_rows_(order, start, rows)
    return rows


def test_keys_are_drawn_from_the_generator():
    found = keys(1)
    assert (found.shape, found.dtype) == ((N_ROUNDS,), np.uint64)
    assert found.max() < 2**32
    np.testing.assert_array_equal(found, keys(1))
    assert np.all(found != keys(2))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_rows", SIZES)
def test_every_row_comes_once(n_rows, seed):
    rows = listed(RowOrder(n_rows, NO_ROWS, keys(seed)))
    np.testing.assert_array_equal(np.sort(rows), np.arange(n_rows))


@pytest.mark.parametrize("n_rows", [1, 2, 3, 17, 1000])
def test_every_row_of_a_subset_comes_once(n_rows):
    rng = np.random.default_rng(0)
    some = rng.choice(5000, n_rows, replace=False).astype(np.int32)
    rows = listed(RowOrder(n_rows, some, keys()))
    np.testing.assert_array_equal(np.sort(rows), np.sort(some))
    np.testing.assert_array_equal(rows, some[listed(RowOrder(n_rows, NO_ROWS, keys()))])


@pytest.mark.parametrize("n_rows", [1, 2, 3, 17, 1000])
def test_without_keys_rows_come_as_they_are(n_rows):
    some = np.arange(n_rows, dtype=np.int32)[::-1] * 3
    np.testing.assert_array_equal(listed(RowOrder(n_rows, NO_ROWS, NO_KEYS)), np.arange(n_rows))
    np.testing.assert_array_equal(listed(RowOrder(n_rows, some, NO_KEYS)), some)


@pytest.mark.parametrize("with_keys", [True, False])
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("n_rows", [1, 2, 63, 64, 65, 1009])
def test_chunks_agree_with_the_whole(n_rows, size, with_keys):
    order = RowOrder(n_rows, NO_ROWS, keys() if with_keys else NO_KEYS)
    chunks = [listed(order, k, min(k + size, n_rows)) for k in range(0, n_rows, size)]
    np.testing.assert_array_equal(np.concatenate(chunks), listed(order))


def test_no_rows_are_asked_for():
    for start in (0, 5):
        assert listed(RowOrder(5, NO_ROWS, keys()), start, start).size == 0


def test_rows_that_were_not_asked_for_are_left_alone():
    room = np.full(9, -1, np.int32)
    fill_rows_(RowOrder(5, NO_ROWS, NO_KEYS), 2, room[3:6])
    np.testing.assert_array_equal(room, [-1, -1, -1, 2, 3, 4, -1, -1, -1])


def test_the_same_keys_give_the_same_order_and_other_keys_another():
    orders = [listed(RowOrder(1000, NO_ROWS, keys(seed))) for seed in (0, 0, 1, 2)]
    np.testing.assert_array_equal(orders[0], orders[1])
    # Two random permutations agree at one place on average.
    for a, b in ((0, 2), (0, 3), (2, 3)):
        assert np.sum(orders[a] == orders[b]) < 10


@pytest.mark.parametrize("place", range(N_ROUNDS))
def test_every_key_counts(place):
    one, other = keys(), keys()
    other[place] ^= np.uint64(1)
    first, second = (listed(RowOrder(1000, NO_ROWS, k)) for k in (one, other))
    assert np.sum(first == second) < 600


def test_the_largest_number_of_rows_fits_into_int32():
    n_rows = 2**31 - 2
    for keys_ in (keys(), NO_KEYS):
        order = RowOrder(n_rows, NO_ROWS, keys_)
        rows = np.concatenate([listed(order, start, start + 500) for start in (0, n_rows - 500)])
        assert rows.min() >= 0
        assert rows.max() < n_rows
        assert len(set(rows.tolist())) == 1000


# --- chance ----------------------------------------------------------------------------


def orders(n_rows, n_orders, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([listed(RowOrder(n_rows, NO_ROWS, draw_keys(rng))) for _ in range(n_orders)])


def assert_uniform(counts, n_free):
    """Counts of equally likely events, against chi-square with that many degrees of freedom."""
    expected = counts.mean()
    assert expected > 20
    found = np.sum((counts - expected) ** 2) / expected
    assert 1e-3 < chi2.sf(found, n_free) < 1 - 1e-3


@pytest.mark.parametrize("n_rows", [2, 3, 5, 8, 16, 17, 31, 33])
def test_every_row_is_as_likely_at_every_place(n_rows):
    found = orders(n_rows, 30 * n_rows * n_rows)
    counts = np.array([np.bincount(column, minlength=n_rows) for column in found.T])
    assert_uniform(counts, (n_rows - 1) ** 2)


@pytest.mark.parametrize("places", [(0, 1), (0, 9), (5, 15)])
def test_every_pair_of_rows_is_as_likely_at_two_places(places):
    for n_rows in (16, 17):
        found = orders(n_rows, 30 * n_rows * n_rows, seed=1)[:, list(places)]
        pairs = np.bincount(found[:, 0] * n_rows + found[:, 1], minlength=n_rows**2)
        pairs = pairs.reshape(n_rows, n_rows)
        assert not pairs.diagonal().any()
        counts = pairs[~np.eye(n_rows, dtype=bool)]
        assert_uniform(counts, len(counts) - 1)


def test_neighbours_are_no_neighbours_afterwards():
    steps = np.diff(orders(1000, 30, seed=2).astype(int), axis=1)
    # Of 999 steps of a random permutation about two are up or down by one.
    assert 1 < np.mean(np.sum(np.abs(steps) == 1, axis=1)) < 3
    # Rows of a place and of the next one are uncorrelated: 1 / sqrt(30000) is chance.
    all_rows = orders(1000, 30, seed=3).astype(float)
    correlation = np.corrcoef(all_rows[:, :-1].ravel(), all_rows[:, 1:].ravel())[0, 1]
    assert abs(correlation) < 0.02


@pytest.mark.parametrize("n_rows", [3, 4])
def test_all_permutations_of_few_rows_are_as_likely(n_rows):
    found = orders(n_rows, 4000, seed=4)
    codes = found @ n_rows ** np.arange(n_rows)
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == {3: 6, 4: 24}[n_rows]
    assert_uniform(counts, len(counts) - 1)
