"""The two phases of a training: their epochs, learning rates and averages."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastl0.checkpoint.state_reader import StateError, StateReader
from fastl0.training.schedule import PhaseSchedule

SHARES = st.floats(0, 1, exclude_max=True)
EPOCHS = st.integers(1, 2000)


@pytest.mark.parametrize(
    ("max_iter", "share", "begin"),
    [(10, 0.3, 7), (200, 0.3, 140), (1, 0.3, 1), (1, 0.99, 1), (2, 0.99, 1), (50, 0.0, 50)],
)
def test_the_last_share_of_the_epochs_finishes(max_iter, share, begin):
    phases = PhaseSchedule(max_iter, share)
    assert (phases.finetune_start, phases.end) == (begin, max_iter)


@given(EPOCHS, SHARES)
def test_an_epoch_at_least_prunes_and_no_share_is_off_by_more_than_an_epoch(max_iter, share):
    phases = PhaseSchedule(max_iter, share)
    assert 1 <= phases.finetune_start <= phases.end == max_iter
    assert abs((phases.end - phases.finetune_start) - share * max_iter) <= 1


@given(EPOCHS, SHARES, st.data())
def test_who_converges_early_finishes_for_a_time_in_proportion(max_iter, share, data):
    phases = PhaseSchedule(max_iter, share)
    n_epochs = data.draw(st.integers(1, phases.finetune_start))
    phases.finetune_after(n_epochs)
    assert phases.finetune_start == n_epochs
    assert n_epochs <= phases.end <= max_iter
    if phases.end < max_iter:
        assert abs((phases.end - phases.finetune_start) - share * phases.end) <= 1


def test_without_a_share_an_early_end_is_an_end():
    phases = PhaseSchedule(100, 0.0)
    phases.finetune_after(40)
    assert phases.finetune_start == phases.end == 40


@given(EPOCHS, SHARES)
def test_progress_is_the_share_of_the_pruning_phase_that_is_over(max_iter, share):
    phases = PhaseSchedule(max_iter, share)
    assert phases.progress(0) == 0.0
    assert phases.progress(phases.finetune_start / 2) == pytest.approx(0.5)
    assert phases.progress(phases.finetune_start) == phases.progress(phases.end) == 1.0


@given(EPOCHS, SHARES)
def test_the_learning_rate_falls_along_half_a_cosine_in_the_last_phase_only(max_iter, share):
    phases = PhaseSchedule(max_iter, share)
    rates = np.array([phases.rate_factor(epoch) for epoch in range(phases.end)])
    np.testing.assert_array_equal(rates[: phases.finetune_start], 1.0)
    finishing = rates[phases.finetune_start :]
    if finishing.size:
        assert finishing[0] == 1.0
        assert np.all(np.diff(finishing) < 0)
        assert np.all(finishing > 0)
        # As much above one half as below, one epoch later.
        np.testing.assert_allclose(finishing[1:] + finishing[1:][::-1], 1.0, rtol=1e-12)


@pytest.mark.parametrize("n_finishing", [1, 5, 10, 30, 300])
def test_the_average_covers_the_last_tenth_of_the_last_phase(n_finishing):
    phases = PhaseSchedule(2 * n_finishing, 0.5)
    assert phases.finetune_start == n_finishing
    weights = np.zeros(0)
    for epoch in range(phases.finetune_start, phases.end):
        share = phases.averaging_weight(epoch)
        assert 0 < share <= 1
        weights = np.append(weights * (1 - share), share)
    np.testing.assert_allclose(weights.sum(), 1)
    assert np.all(np.diff(weights) >= 0)
    n_averaged = max(1, n_finishing // 10)
    assert phases.averaging_weight(phases.finetune_start) == 1.0
    assert weights[-1] == pytest.approx(1 / n_averaged)
    # The mean age of what is averaged, in epochs.
    assert weights @ np.arange(n_finishing)[::-1] <= n_averaged


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_cosine_all_along_falls_from_the_first_epoch_to_the_last(share):
    phases = PhaseSchedule(50, share, whole_fit=True)
    rates = [phases.rate_factor(epoch) for epoch in range(50)]
    assert rates[0] == 1.0
    assert rates[25] == pytest.approx(0.5)
    assert all(b < a for a, b in itertools.pairwise(rates))
    assert 0 < rates[-1] < 0.01
    assert {phases.gate_rate_factor(epoch) for epoch in range(50)} == {1.0}


def test_gates_slow_down_to_a_tenth_in_the_course_of_the_pruning_phase():
    phases = PhaseSchedule(50, 0.2, gates_too=True)
    rates = [phases.gate_rate_factor(epoch) for epoch in range(phases.finetune_start)]
    assert rates[0] == 1.0
    assert rates[20] == pytest.approx(0.5)
    assert all(b <= a for a, b in itertools.pairwise(rates))
    assert rates[-1] == 0.1
    assert phases.rate_factor(0) == phases.rate_factor(phases.finetune_start - 1) == 1.0


def test_a_restored_course_is_as_the_one_before():
    phases, restored = PhaseSchedule(50, 0.2), PhaseSchedule(50, 0.2)
    phases.finetune_after(12)
    restored.restore(StateReader(phases.state()))
    assert vars(restored) == vars(phases)


@pytest.mark.parametrize(
    "change", [{"begin": 0}, {"begin": 51}, {"end": 51}, {"end": 0}, {"end": 30}, {"more": 1}]
)
def test_an_unsound_course_is_refused(change):
    with pytest.raises(StateError):
        PhaseSchedule(50, 0.2).restore(StateReader(PhaseSchedule(50, 0.2).state() | change))
