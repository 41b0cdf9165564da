"""A random generator that is taken up goes on with the numbers it would have drawn."""

import numpy as np
import pytest

from fastl0.checkpoint.state_reader import StateError, StateReader
from fastl0.training import rng_state


@pytest.mark.parametrize("n_before", [0, 1, 2, 7])
def test_a_generator_that_is_taken_up_goes_on_as_before(n_before):
    one, other = np.random.default_rng(3), np.random.default_rng(4)
    one.random(n_before, np.float32)  # an odd number leaves half a draw
    other.bit_generator.state = rng_state.read_state(StateReader(rng_state.state_of(one)))
    for draw in (
        lambda g: g.random(5, np.float32),
        lambda g: g.integers(0, 2**32, 5, np.uint64),
        lambda g: g.normal(size=3),
    ):
        np.testing.assert_array_equal(draw(one), draw(other))


@pytest.mark.parametrize(
    "change",
    [
        {"state": 2**128},
        {"state": -1},
        {"state": 1.0},
        {"inc": 2},
        {"has_uint32": 2},
        {"uinteger": 2**32},
        {"more": 1},
    ],
)
def test_an_unsound_state_is_refused(change):
    with pytest.raises(StateError):
        rng_state.read_state(StateReader(rng_state.state_of(np.random.default_rng(3)) | change))
