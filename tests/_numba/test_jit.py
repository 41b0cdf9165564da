"""How kernels are compiled, and what they see memory through."""

import numpy as np
from numba import types

from fastl0._numba import jit


def test_an_entry_is_found_by_its_number():
    @jit.kernel
    def at(address, n):
        return jit.floats(jit.entry(address, n), 1)[0]

    values = np.arange(7, dtype=np.float32)
    assert [at(values.ctypes.data, np.int32(n)) for n in range(7)] == values.tolist()
    assert at(values[5:].ctypes.data, -2) == 3


def test_literal_numbers_do_not_multiply_compilations():
    @jit.kernel
    def inner(n):
        return n + 1

    @jit.kernel
    def outer(n):
        return inner(1) + inner(2) + inner(n)

    assert outer(3) == 9
    assert len(inner.signatures) == 1


def test_views_are_the_memory_at_an_address():
    @jit.kernel
    def double(address, n):
        values = jit.floats(address, n)
        for k in range(n):
            values[k] *= np.float32(2)

    array = np.arange(5, dtype=np.float32)
    double(array[1:].ctypes.data, 3)
    np.testing.assert_array_equal(array, [0, 2, 4, 6, 4])


def test_fields_are_the_numbers_at_an_address():
    words, reals = jit.fields(3, types.int64), jit.fields(2, types.float64)

    @jit.kernel
    def read(integers, numbers):
        return words(integers), reals(numbers)

    integers, numbers = np.arange(7), np.array([0.5, 1.5, 2.5])
    assert read(integers[2:].ctypes.data, numbers.ctypes.data) == ((2, 3, 4), (0.5, 1.5))


def test_sums_keep_their_order():
    @jit.kernel
    def total(values):
        result = np.float32(0)
        for value in values:
            result += value
        return result

    values = np.random.default_rng(0).normal(size=1001).astype(np.float32)
    assert total(values) == np.add.accumulate(values)[-1]
