"""Visits to rows: each row once, with its target, in mini-batches that are full."""

import numpy as np
import pytest
from block_arrays import Sliceable
from hypothesis import given
from hypothesis import strategies as st

from fastl0._kernels import RowSource
from fastl0.data import blocks
from fastl0.data.blocks import BlockReader
from fastl0.kernel_api.row_order import RowOrder, draw_keys
from fastl0.training import batches
from fastl0.training.batches import ArrayBatches, BlockBatches
from fastl0.training.kernels import fill_rows_

NO_ROWS, NO_KEYS = np.zeros(0, np.int32), np.zeros(0, np.uint64)
N_COLUMNS = 3
ROW_NBYTES = 4 * N_COLUMNS


def rows_from(n_rows):
    """X and y in which every row says its number."""
    X = np.arange(n_rows, dtype=np.float32)[:, None] + np.float32([0, 0.25, 0.5])
    return X, np.arange(n_rows, dtype=np.int32)[:, None]


def gather(source, rows):
    out = np.empty((len(rows), source.n_columns), np.float32)
    source.gather(rows, np.arange(source.n_columns, dtype=np.int32), out)
    return out


def batches_of(visit, n_rows, batch_size, at_once=4):
    """Numbers of the rows of every mini-batch of an epoch, as training would visit them."""
    found, left = [], -(-n_rows // batch_size)
    while left:
        if visit.needs_reading:
            visit.read_next_blocks()
        stretch = visit.next(min(at_once, left))
        assert 1 <= stretch.n_batches <= at_once
        assert stretch.x is visit.x
        for number in range(stretch.first, stretch.first + stretch.n_batches):
            start = number * batch_size
            rows = np.empty(min(batch_size, stretch.order.n_rows - start), np.int32)
            fill_rows_(stretch.order, start, rows)
            X, y = gather(stretch.x, rows), gather(stretch.y, rows)
            np.testing.assert_array_equal(X, y[:, :1] + np.float32([0, 0.25, 0.5]))
            found.append(y[:, 0].astype(int))
        left -= stretch.n_batches
    return found


@pytest.fixture
def sizes(monkeypatch):
    """Set the rows of blocks and window."""

    def set_sizes(block, window):
        monkeypatch.setattr(blocks, "AT_ONCE", block * ROW_NBYTES)
        monkeypatch.setattr(batches, "WINDOW_NBYTES", window * ROW_NBYTES)

    return set_sizes


def visit_of(n_rows, batch_size, rows=(), seed=0):
    X, y = rows_from(n_rows)
    rng = None if seed is None else np.random.default_rng(seed)
    rows = np.array(rows, np.int32)
    return BlockBatches(BlockReader(Sliceable(X)), RowSource(y), rows, batch_size, rng)


def test_an_array_is_visited_in_one_stretch():
    X, y = rows_from(50)
    order = RowOrder(50, NO_ROWS, draw_keys(np.random.default_rng(0)))
    visit = ArrayBatches(RowSource(X), RowSource(y), order)
    found = batches_of(visit, 50, 8, at_once=3)
    rows = np.empty(50, np.int32)
    fill_rows_(order, 0, rows)
    np.testing.assert_array_equal(np.concatenate(found), rows)


@given(
    n_rows=st.integers(1, 200),
    batch_size=st.integers(1, 40),
    block=st.integers(1, 50),
    window=st.integers(1, 120),
    share=st.sampled_from([1.0, 0.5, 0.05]),
    seed=st.sampled_from([None, 0, 1]),
)
def test_every_row_comes_once_in_full_mini_batches(n_rows, batch_size, block, window, share, seed):
    rng = np.random.default_rng(7)
    rows = np.flatnonzero(rng.random(n_rows) < share) if share < 1 else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "AT_ONCE", block * ROW_NBYTES)
        patch.setattr(batches, "WINDOW_NBYTES", window * ROW_NBYTES)
        visit = visit_of(n_rows, batch_size, rows, seed)
        wanted = np.arange(n_rows) if len(rows) == 0 else rows
        found = batches_of(visit, len(wanted), batch_size)
    assert [len(batch) for batch in found[:-1]] == [batch_size] * (len(found) - 1)
    visited = np.concatenate(found)
    np.testing.assert_array_equal(np.sort(visited), wanted)
    if seed is None:
        np.testing.assert_array_equal(visited, wanted)
    assert visit.x.n_rows <= max(window, batch_size - 1 + block)


def test_rows_that_find_room_at_once_come_in_the_order_of_an_array(sizes):
    sizes(7, 100)
    found = np.concatenate(batches_of(visit_of(100, 8), 100, 8))
    rows = np.empty(100, np.int32)
    fill_rows_(RowOrder(100, NO_ROWS, draw_keys(np.random.default_rng(0))), 0, rows)
    np.testing.assert_array_equal(found, rows)


def test_orders_differ_from_draw_to_draw_and_repeat_with_the_seed(sizes):
    sizes(10, 40)
    first, second, again = (
        np.concatenate(batches_of(visit_of(200, 8, seed=seed), 200, 8)) for seed in (0, 1, 0)
    )
    assert (first != second).mean() > 0.9
    np.testing.assert_array_equal(first, again)


def test_mini_batches_mix_blocks_from_all_over(sizes):
    sizes(10, 100)
    found = batches_of(visit_of(1000, 20), 1000, 20)
    blocks_in = [len({row // 10 for row in batch}) for batch in found]
    assert np.mean(blocks_in) > 6  # of ten in the window
    # Blocks are drawn from all of X: a window of neighbours would span 100 rows.
    assert np.mean([np.ptp(batch) for batch in found]) > 600


def test_with_blocks_of_one_window_each_pair_of_blocks_may_meet(sizes):
    sizes(1, 4)
    meetings = np.zeros((12, 12))
    for seed in range(300):
        for batch in batches_of(visit_of(12, 4, seed=seed), 12, 4):
            meetings[np.ix_(batch, batch)] += 1
    apart = meetings[~np.eye(12, dtype=bool)]
    expected = 300 * 3 / 11
    assert abs(apart - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize(("dtype", "held"), [("u1", "u1"), ("?", "?"), ("i8", "f4"), ("f8", "f4")])
def test_the_window_is_no_wider_than_float32(dtype, held):
    X, y = rows_from(20)
    X = X.astype(dtype)
    visit = BlockBatches(BlockReader(Sliceable(X)), RowSource(y), NO_ROWS, 5, None)
    visit.read_next_blocks()
    assert visit._x_rows.dtype == np.dtype(held)
    np.testing.assert_array_equal(gather(visit.x, np.arange(20, dtype=np.int32)), X)


def test_values_are_rounded_as_those_of_an_array():
    values = np.concatenate([np.linspace(-1e30, 1e30, 99), [2**53 + 1, 1 / 3, 1e-42]])[:, None]
    for X in (values, (values[:99] / 1e12).astype(np.int64)):
        y, every = np.zeros((len(X), 1), np.uint8), np.arange(len(X), dtype=np.int32)
        visit = BlockBatches(BlockReader(Sliceable(X)), RowSource(y), NO_ROWS, 5, None)
        visit.read_next_blocks()
        np.testing.assert_array_equal(gather(visit.x, every), gather(RowSource(X), every))
