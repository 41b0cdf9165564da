"""Matrix products in register tiles against float64, and what lies around their results."""

import numpy as np
import pytest

from fastl0 import _kernels
from fastl0._numba.matmul import LANES, TILE_COLUMNS, TILE_ROWS, matmul_
from fastl0.kernel_api.tiles import (
    MAX_LANES,
    MAX_TILE_COLUMNS,
    MAX_TILE_ROWS,
    PADDING,
    TILE_SHAPES,
    padded,
)

EPS = float(np.finfo(np.float32).eps)
ROWS = [1, 2, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, 2 * TILE_ROWS + 3]
TERMS = [0, 1, 2, 7, 31]
COLUMNS = sorted(
    {1, 2, 7, 53, 101}
    | {n + d for n in (LANES, 2 * LANES, TILE_COLUMNS, 2 * TILE_COLUMNS) for d in (-1, 0, 1)}
)
GUARD = 100
UNTOUCHED = np.float32(-7.5)


class Factors:
    """Random factors in matrices with gaps of NaN, and room for their product among guards."""

    def __init__(self, n_rows, n_terms, n_columns, *, indexed=False, transposed=False, gap=0):
        rng = np.random.default_rng([n_rows, n_terms, n_columns])
        self.shape = n_rows, n_terms, n_columns
        self.a = rng.normal(size=(n_rows, n_terms)).astype(np.float32)
        n_b = 2 * n_terms + 1 if indexed else n_terms
        self.b = rng.normal(size=(n_b, n_columns)).astype(np.float32)
        self.index = rng.permutation(n_b)[:n_terms].astype(np.int32) if indexed else None
        stored = np.full((n_terms, n_rows + 3) if transposed else (n_rows, n_terms + 3), np.nan)
        self._a = stored.astype(np.float32)
        (self._a.T if transposed else self._a)[:n_rows, :n_terms] = self.a
        self._a_strides = (1, n_rows + 3) if transposed else (n_terms + 3, 1)
        self._b_row = n_columns + gap
        self._b = np.full(n_b * self._b_row + PADDING, np.nan, np.float32)
        self._b[: n_b * self._b_row].reshape(n_b, self._b_row)[:, :n_columns] = self.b

    def into(self, out, out_row, rows=(0, None), columns=(0, None)):
        """Multiply some rows and columns into a flat `out`, past its guard."""
        n_rows, n_terms, n_columns = self.shape
        low, left = rows[0], columns[0]
        n_rows = (n_rows if rows[1] is None else rows[1]) - low
        n_columns = (n_columns if columns[1] is None else columns[1]) - left
        matmul_(
            self._a.ctypes.data + 4 * low * self._a_strides[0],
            *self._a_strides,
            n_rows,
            self._b.ctypes.data + 4 * left,
            self._b_row,
            0 if self.index is None else self.index.ctypes.data,
            n_terms,
            out.ctypes.data + 4 * (GUARD + low * out_row + left),
            out_row,
            n_columns,
        )

    def room(self, out_row):
        return np.full(GUARD + self.shape[0] * out_row + GUARD, UNTOUCHED)

    def product(self, out_row=None):
        out_row = self.shape[2] if out_row is None else out_row
        out = self.room(out_row)
        self.into(out, out_row)
        return self.within(out, out_row)

    def within(self, out, out_row):
        n_rows, _, n_columns = self.shape
        return out[GUARD : GUARD + n_rows * out_row].reshape(n_rows, out_row)[:, :n_columns]

    def assert_agrees(self, found):
        b = (self.b if self.index is None else self.b[self.index]).astype(float)
        a, slack = self.a.astype(float), EPS * (1 + self.shape[1])
        np.testing.assert_array_less(np.abs(found - a @ b), slack * (np.abs(a) @ np.abs(b)) + 1e-30)


KINDS = [
    {},
    {"indexed": True},
    {"transposed": True},
    {"gap": 5},
    {"indexed": True, "transposed": True, "gap": 1},
]


def assert_products_agree(rows, terms, columns):
    for kind in KINDS:
        for n_rows in rows:
            for n_terms in terms:
                for n_columns in columns:
                    factors = Factors(n_rows, n_terms, n_columns, **kind)
                    factors.assert_agrees(factors.product())


def assert_cuts_change_nothing(factors, out_row, seed=0):
    """Compare with products of some rows, and of some columns, at a time."""
    rng = np.random.default_rng(seed)
    n_rows, _, n_columns = factors.shape
    whole = factors.product(out_row)
    for size in (1, 2, TILE_ROWS, TILE_ROWS + 1):
        out = factors.room(out_row)
        for low in range(0, n_rows, size):
            factors.into(out, out_row, rows=(low, min(low + size, n_rows)))
        np.testing.assert_array_equal(factors.within(out, out_row), whole)
    cuts = np.unique([0, n_columns, *rng.integers(0, n_columns, 3)])
    out = factors.room(out_row)
    for left, right in reversed(list(zip(cuts[:-1], cuts[1:], strict=True))):
        alone = factors.room(out_row)
        factors.into(alone, out_row, columns=(left, right))
        factors.within(out, out_row)[:, left:right] = factors.within(alone, out_row)[:, left:right]
    np.testing.assert_array_equal(factors.within(out, out_row), whole)


# --- numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_terms", TERMS)
@pytest.mark.parametrize("n_rows", ROWS)
def test_products_agree(n_rows, n_terms):
    assert_products_agree([n_rows], [n_terms], COLUMNS)


def test_products_of_many_terms_agree():
    assert_products_agree([11], [1009], [13, 257])


def test_products_without_terms_are_zero():
    assert not Factors(5, 0, 7).product().any()
    assert not Factors(5, 0, 7, indexed=True).product().any()


def test_rows_of_the_right_factor_may_repeat_and_come_in_any_order():
    factors = Factors(3, 4, 5, indexed=True)
    for index in ([0, 1, 2, 3], [8, 2, 2, 2], [7, 5, 3, 1]):
        factors.index[:] = index
        factors.assert_agrees(factors.product())


def test_strides_may_be_zero_or_negative():
    a, b = np.arange(12, dtype=np.float32).reshape(4, 3), np.ones((3, 2 + PADDING), np.float32)
    out, last = np.zeros((4, padded(2)), np.float32), a.ctypes.data + 4 * 9
    matmul_(last, -3, 1, 4, b.ctypes.data, b.shape[1], 0, 3, out.ctypes.data, padded(2), 2)
    np.testing.assert_array_equal(out[:, 0], a.sum(axis=1)[::-1])
    matmul_(last, 0, 1, 4, b.ctypes.data, 0, 0, 3, out.ctypes.data, padded(2), 2)
    np.testing.assert_array_equal(out[:, 1], 4 * [a[3].sum()])


def test_numbers_that_are_not_finite_stay_in_their_row_and_column():
    factors = Factors(TILE_ROWS + 2, 3, LANES + 2)
    expected = factors.product().copy()
    factors._a[4, 1] = np.nan
    factors._b[factors._b_row + 2] = np.inf
    found = factors.product()
    assert np.isnan(found[4]).all()
    assert not np.isfinite(found[:, 2]).any()
    rest = np.ones(found.shape, bool)
    rest[4] = rest[:, 2] = False
    np.testing.assert_array_equal(found[rest], expected[rest])


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("n_columns", [1, LANES + 1, TILE_COLUMNS, 2 * TILE_COLUMNS + 5])
def test_products_are_the_same_bit_for_bit_however_they_are_cut(n_columns, kind):
    for n_rows in (3, TILE_ROWS, 3 * TILE_ROWS + 5):
        factors = Factors(n_rows, 37, n_columns, **kind)
        for out_row in (n_columns, padded(n_columns), n_columns + 3):
            assert_cuts_change_nothing(factors, out_row)


# --- places ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_columns", COLUMNS)
@pytest.mark.parametrize("n_rows", ROWS)
def test_nothing_is_written_past_the_overhang(n_rows, n_columns):
    for n_terms in (0, 3):
        for gap in (0, 1, PADDING + 9):
            factors, out_row = Factors(n_rows, n_terms, n_columns), n_columns + gap
            out = factors.room(out_row)
            factors.into(out, out_row)
            factors.assert_agrees(factors.within(out, out_row))
            may = np.zeros(out.shape, bool)
            for row in range(n_rows):
                start = GUARD + row * out_row
                may[start : start + LANES * -(-n_columns // LANES)] = True
            assert np.all(out[~may] == UNTOUCHED)


def test_no_rows_or_no_columns_write_nothing():
    factors = Factors(5, 3, 7)
    for rows, columns in (((2, 2), (0, None)), ((0, None), (3, 3))):
        out = factors.room(7)
        factors.into(out, 7, rows, columns)
        assert np.all(out == UNTOUCHED)


def test_factors_are_left_alone():
    factors = Factors(5, 3, 7, indexed=True)
    before = [x.copy() for x in (factors._a, factors._b, factors.index)]
    factors.product()
    for found, expected in zip((factors._a, factors._b, factors.index), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_rows_are_padded_to_whole_vectors_of_any_machine():
    found = [padded(n) for n in range(49)]
    assert found == [0, *16 * [16], *16 * [32], *16 * [48]]
    assert max(after - before for before, after in enumerate(found)) == PADDING


@pytest.mark.parametrize("isa", TILE_SHAPES)
def test_buffers_have_room_for_the_tile_of_any_machine(isa):
    shape = TILE_SHAPES[isa]
    assert MAX_LANES % shape.lanes == 0
    assert shape.rows <= MAX_TILE_ROWS
    assert shape.lanes * shape.vectors <= MAX_TILE_COLUMNS


def test_python_and_c_know_the_same_tiles():
    assert _kernels.isas == {isa: tuple(TILE_SHAPES[isa]) for isa in _kernels.isas}
