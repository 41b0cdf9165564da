"""How parameters are counted, whole ones and expected ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastl0.model.network import count_parameters


def test_parameters_are_counted_with_biases():
    assert count_parameters([784, 300, 100, 10]) == 266_610
    assert count_parameters((3, 1)) == 4


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6))
def test_the_count_is_that_of_all_entries_of_weights_and_biases(widths):
    pairs = list(zip(widths[:-1], widths[1:], strict=True))
    arrays = [np.empty(pair) for pair in pairs] + [np.empty(fan_out) for _, fan_out in pairs]
    found = count_parameters(widths)
    assert found == sum(a.size for a in arrays)
    assert type(found) is int


def test_widths_may_be_expected_ones():
    assert count_parameters([2.5, 1.5, 2.0]) == pytest.approx(3.5 * 1.5 + 2.5 * 2.0)
