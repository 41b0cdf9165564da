"""When a training has come off its way: what is an explosion, and how often it may go back."""

import math

import pytest

from fastl0.fields import Fields, StateError
from fastl0.safeguard import MOST_RETURNS, STEP_DOWN, Safeguard


def after(*losses):
    safeguard = Safeguard()
    for loss in losses:
        safeguard.note(loss)
    return safeguard


@pytest.mark.parametrize("loss", [0.1, 5.0, 1e9, 1e300])
def test_the_first_epoch_is_never_an_explosion(loss):
    assert not Safeguard().has_exploded(loss, null_loss=2.3)


@pytest.mark.parametrize(
    ("loss", "null_loss", "first", "exploded"),
    [
        (2.5, 2.3, 2.0, False),
        (200.0, 2.3, 2.0, False),
        (240.0, 2.3, 2.0, True),
        (240.0, 2.3, 50.0, False),  # unscaled inputs begin high
        (6000.0, 2.3, 50.0, True),
        (50.0, 0.001, 0.01, False),  # losses that are small by chance
        (150.0, 0.001, 0.01, True),
        (-5000.0, -5908.0, -4000.0, False),  # those of counts may be negative
        (500_000.0, -5908.0, -4000.0, False),
        (600_000.0, -5908.0, -4000.0, True),
        (1e300, math.inf, 2.0, False),
    ],
)
def test_an_explosion_is_far_above_a_network_without_skill(loss, null_loss, first, exploded):
    assert after(first, 0.01).has_exploded(loss, null_loss) == exploded


def test_training_goes_back_a_few_times_in_a_row_by_ever_smaller_steps():
    safeguard = after(2.0)
    for k in range(1, MOST_RETURNS + 1):
        assert safeguard.go_back(2.3)
        assert safeguard.factor == pytest.approx(STEP_DOWN**k)
    assert not safeguard.go_back(2.3)
    assert safeguard.factor == pytest.approx(STEP_DOWN**MOST_RETURNS)
    safeguard.note(2.0)
    assert safeguard.go_back(2.3)
    assert safeguard.factor == pytest.approx(STEP_DOWN ** (MOST_RETURNS + 1))


def test_there_is_a_way_back_to_the_first_network_and_to_one_that_was_not_lost():
    assert Safeguard().go_back(2.3)
    assert after(200.0).go_back(2.3)
    assert not after(2.0, 240.0).go_back(2.3)
    assert after(-4000.0).go_back(-5908.0)


def test_a_restored_safeguard_is_as_the_one_before():
    safeguard = after(2.0, 1.0)
    safeguard.go_back(2.3)
    safeguard.note(1.5)
    assert Safeguard.restored(Fields(safeguard.state())) == safeguard


@pytest.mark.parametrize(
    "change", [{"factor": 1.5}, {"factor": -0.1}, {"last_loss": math.nan}, {"more": 1.0}]
)
def test_an_unsound_state_is_refused(change):
    with pytest.raises(StateError):
        Safeguard.restored(Fields(after(2.0).state() | change))
