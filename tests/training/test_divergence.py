"""When a training has come off its way: what is an explosion, and how often it may go back."""

import math

import pytest

from fastl0.checkpoint.state_reader import StateError, StateReader
from fastl0.training.divergence import MOST_RETURNS, STEP_DOWN, DivergenceGuard


def begun_with(loss):
    divergence = DivergenceGuard()
    assert not divergence.has_reference
    divergence.set_reference(loss)
    assert divergence.has_reference
    return divergence


@pytest.mark.parametrize(
    ("loss", "null_loss", "start", "exploded"),
    [
        (2.5, 2.3, 2.0, False),
        (230.0, 2.3, 2.0, False),
        (240.0, 2.3, 2.0, True),
        (4000.0, 2.3, 50.0, False),  # unscaled inputs begin high
        (6000.0, 2.3, 50.0, True),
        (50.0, 0.001, 0.01, False),  # losses that are small by chance
        (150.0, 0.001, 0.01, True),
        (-5000.0, -5908.0, -4000.0, False),  # those of counts may be negative
        (500_000.0, -5908.0, -4000.0, False),
        (600_000.0, -5908.0, -4000.0, True),
        (1e300, math.inf, 2.0, False),
    ],
)
def test_an_explosion_is_far_above_the_start_and_no_skill(loss, null_loss, start, exploded):
    divergence = begun_with(start)
    assert divergence.has_exploded(loss, null_loss) == exploded


def test_training_goes_back_a_few_times_in_a_row_by_ever_smaller_steps():
    divergence = begun_with(2.0)
    for k in range(1, MOST_RETURNS + 1):
        assert divergence.retry()
        assert divergence.factor == pytest.approx(STEP_DOWN**k)
    assert not divergence.retry()
    assert divergence.factor == pytest.approx(STEP_DOWN**MOST_RETURNS)
    divergence.reset()
    assert divergence.retry()
    assert divergence.factor == pytest.approx(STEP_DOWN ** (MOST_RETURNS + 1))


def test_what_smaller_steps_make_no_better_is_none_of_their_fault():
    divergence = begun_with(2.0)
    divergence.retry()
    divergence.reset()
    assert divergence.has_exploded(9000.0, 2.3)
    assert divergence.retry()
    assert divergence.factor == pytest.approx(STEP_DOWN**2)
    assert not divergence.has_exploded(8000.0, 2.3)
    assert divergence.factor == pytest.approx(STEP_DOWN)
    divergence.reset()
    # From now on it is no news.
    assert not divergence.has_exploded(9000.0, 2.3)
    assert divergence.has_exploded(1e6, 2.3)


def test_what_smaller_steps_make_better_goes_on_with_them():
    divergence = begun_with(2.0)
    for loss in (1e30, 1e12, 1e5):
        assert divergence.has_exploded(loss, 2.3)
        assert divergence.retry()
    assert not divergence.has_exploded(3.0, 2.3)
    assert divergence.factor == pytest.approx(STEP_DOWN**3)


def test_steps_that_are_still_too_large_after_some_times_are_the_end():
    divergence = begun_with(2.0)
    for loss in (1e30, 1e20, 1e10):
        assert divergence.has_exploded(loss, 2.3)
        assert divergence.retry()
    assert divergence.has_exploded(1e5, 2.3)
    assert not divergence.retry()


def test_after_an_attempt_that_was_not_finite_any_loss_is_a_relief():
    divergence = begun_with(2.0)
    assert divergence.retry()
    assert divergence.has_exploded(1e30, 2.3)


def test_a_restored_safeguard_is_as_the_one_before():
    divergence = begun_with(2.0)
    divergence.retry()
    divergence.reset()
    assert DivergenceGuard.restored(StateReader(divergence.state())) == divergence


@pytest.mark.parametrize(
    "change", [{"factor": 1.5}, {"factor": -0.1}, {"reference": math.nan}, {"more": 1.0}]
)
def test_an_unsound_state_is_refused(change):
    with pytest.raises(StateError):
        DivergenceGuard.restored(StateReader(begun_with(2.0).state() | change))
