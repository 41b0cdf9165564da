"""The price that brings a network to its size, tried on networks of gates and nothing else."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastl0.checkpoint.state_reader import StateError, StateReader
from fastl0.training.size_controller import SizeController, size_at

FULL, TARGET = 100_000, 10_000


# --- the way down --------------------------------------------------------------------


@given(st.floats(0, 1), st.integers(1, 10**7), st.floats(0.001, 1))
def test_the_size_wanted_lies_between_the_first_and_the_last(progress, full, share):
    wanted = size_at(progress, full, share * full)
    assert share * full * (1 - 1e-12) <= wanted <= full * (1 + 1e-12)


def test_the_size_wanted_falls_by_equal_factors_in_equal_times():
    sizes = np.array([size_at(k / 1000, FULL, TARGET) for k in range(1001)])
    assert sizes[0] == FULL
    assert sizes[-1] == pytest.approx(TARGET)
    falls = np.diff(np.log(sizes))
    assert np.all(falls <= 1e-12)
    begins, ends = np.flatnonzero(falls < -1e-9)[[0, -1]]
    # Time to learn first, and to settle at last.
    assert 10 <= begins <= 200
    assert 800 <= ends <= 990
    np.testing.assert_allclose(falls[begins + 1 : ends], falls[begins + 1])


def test_a_network_that_goes_on_has_longer_to_settle():
    first, again = SizeController(FULL, TARGET), SizeController(FULL, TARGET, again=True)
    prices = [size_controller.update(0.0, FULL) for size_controller in (first, again)]
    assert prices[0] == prices[1]
    assert again.update(0.5, 0.3 * FULL) > first.update(0.5, 0.3 * FULL)


# --- the price -----------------------------------------------------------------------


def prices_at(factor, size_controller=None, progress=range(50)):
    """Prices in hundredths of the phase, if the size is always `factor` times that wanted."""
    size_controller = size_controller or SizeController(FULL, TARGET)
    return [
        size_controller.update(k / 100, factor * size_at(k / 100, FULL, TARGET)) for k in progress
    ]


def test_what_is_too_large_gets_dearer_and_what_is_too_small_cheaper():
    dear, fair, cheap = (prices_at(factor) for factor in (1.2, 1.0, 0.9))
    assert all(b > a for a, b in itertools.pairwise(dear))
    assert len(set(fair)) == 1
    assert all(b < a for a, b in itertools.pairwise(cheap))
    assert dear[0] > fair[0] > cheap[0] > 0


@given(st.floats(0, 1), st.floats(1e-9, 0.5))
def test_a_network_far_below_its_size_pays_nothing(progress, share):
    size_controller = SizeController(FULL, TARGET)
    assert size_controller.update(progress, share * size_at(progress, FULL, TARGET)) == 0.0


@given(st.floats(0, 1), st.floats(3, 1e12))
def test_a_single_measurement_does_no_more_than_one_of_three_times_the_size(progress, factor):
    wanted = size_at(progress, FULL, TARGET)
    found = SizeController(FULL, TARGET).update(progress, factor * wanted)
    assert found == pytest.approx(SizeController(FULL, TARGET).update(progress, 3 * wanted))


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=100))
def test_whatever_is_measured_the_price_is_finite_and_changes_in_steps(factors):
    size_controller, before = SizeController(FULL, TARGET), None
    for k, factor in enumerate(factors):
        progress = k / len(factors)
        found = size_controller.update(progress, factor * size_at(progress, FULL, TARGET))
        assert 0 <= found < math.inf
        if before is not None and factor == factors[k - 1] and 0 < before < found:
            # What builds up within one hundredth of the phase; what acts at once is the same.
            assert found / before <= math.exp(100 / len(factors)) * (1 + 1e-9)
        before = found


def test_after_a_long_time_above_the_price_comes_down_again_in_time():
    """The part that builds up is bounded: it winds up no more than the price may rise."""
    size_controller = SizeController(FULL, TARGET)
    prices_at(100, size_controller, range(50))
    prices = prices_at(0.8, size_controller, range(50, 100))
    assert min(prices) < 0.01 * prices[0]


# --- a network of gates --------------------------------------------------------------


class Gates:
    """Units of one layer that lead from 100 inputs to 10 outputs, and what each is worth.

    A gate moves towards open while its unit is worth more than it costs, else towards closed, as
    far at a time as Adam moves it.
    """

    def __init__(self, n_units, worth, spread, seed=0):
        rng = np.random.default_rng(seed)
        self.each = 111
        self.worths = worth * np.exp(rng.normal(0, spread, n_units))
        self.log_odds = np.full(n_units, 1.0)
        self.kept = np.ones(n_units, bool)

    def size(self):
        return max(1, np.count_nonzero(self.kept & (self.log_odds > -1.6))) * self.each + 10

    def step(self, price, rate):
        gain = self.worths - price * self.each
        self.log_odds += rate * gain / (np.abs(gain) + 0.1 * self.worths)
        np.clip(self.log_odds, -4.6, 4.6, out=self.log_odds)


def run(plant, target, n_steps, rate):
    size_controller = SizeController(plant.size(), target)
    sizes = []
    for k in range(n_steps):
        if k % 32 == 0:
            price = size_controller.update(k / n_steps, plant.size())
        plant.step(price, rate)
        sizes.append(plant.size())
    return np.array(sizes)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("worth", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("spread", [1.0, 1.5])
@pytest.mark.parametrize("n_steps", [3_000, 10_000])
def test_gates_come_to_the_size_wanted(n_steps, spread, worth, share):
    plant = Gates(500, worth, spread)
    target = int(share * plant.size())
    sizes = run(plant, target, n_steps, rate=0.01)
    assert 0.8 * target <= sizes[-1] <= 1.2 * target
    # Down it goes all the time, not at once.
    assert sizes[n_steps // 2] >= 1.05 * target


def test_a_collapsed_network_pays_nothing_and_its_price_stays():
    size_controller, other = SizeController(FULL, TARGET), SizeController(FULL, TARGET)
    assert size_controller.hold(0.5) == 0.0
    wanted = size_at(0.5, FULL, TARGET)
    assert size_controller.update(0.5, 2 * wanted) == other.update(0.0, 2 * FULL)


def test_a_restored_steering_goes_on_as_the_one_before():
    size_controller = SizeController(FULL, TARGET, again=True)
    for k in range(5):
        size_controller.update(k / 20, 0.9**k * FULL)
    restored = SizeController.restored(StateReader(size_controller.state()), FULL)
    assert restored == size_controller
    assert restored.update(0.5, FULL) == size_controller.update(0.5, FULL)


@pytest.mark.parametrize(
    "change",
    [
        {"full": FULL + 1},
        {"target": 0},
        {"again": 0},
        {"log_price": 800.0},
        {"log_price": math.nan},
        {"progress": 1.5},
        {"more": 1},
    ],
)
def test_an_unsound_steering_is_refused(change):
    with pytest.raises(StateError):
        SizeController.restored(StateReader(SizeController(FULL, TARGET).state() | change), FULL)
