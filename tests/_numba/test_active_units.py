"""Which units are listed as active."""

import numpy as np

from fastl0._numba.active_units import list_active_

GATES = np.array([0.0, 0.5, 0.0, 1.0, 0.2], np.float32)
NONZERO = np.array([1, 1, 1, 0, 1], np.uint8)


def listed(gates=GATES, gated=True, use_nonzero=False, limit=1.0, nonzero=NONZERO):
    active = np.full(len(gates), -1, np.int32)
    n = list_active_(
        active, len(gates), gates, gated, nonzero, use_nonzero, np.float32(limit)
    )  # fmt: skip
    return active[:n].tolist()


def test_units_with_an_open_gate_are_active():
    assert listed() == [1, 3, 4]


def test_units_without_gates_are_active():
    assert listed(gated=False) == [0, 1, 2, 3, 4]


def test_columns_of_zeros_are_not():
    assert listed(use_nonzero=True) == [1, 4]
    assert listed(gated=False, use_nonzero=True) == [0, 1, 2, 4]


def test_above_the_limit_all_are_listed():
    assert listed(limit=0.6) == [1, 3, 4]
    assert listed(limit=0.5) == [0, 1, 2, 3, 4]


def test_one_is_listed_where_none_is_active():
    assert listed(gates=np.zeros(5, np.float32)) == [0]
