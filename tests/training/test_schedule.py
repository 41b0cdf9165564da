"""The two phases of a training: their epochs, learning rates and averages."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastl0.checkpoint.state_reader import Fields, StateError
from fastl0.training.schedule import Course

SHARES = st.floats(0, 1, exclude_max=True)
EPOCHS = st.integers(1, 2000)


@pytest.mark.parametrize(
    ("max_iter", "share", "begin"),
    [(10, 0.3, 7), (200, 0.3, 140), (1, 0.3, 1), (1, 0.99, 1), (2, 0.99, 1), (50, 0.0, 50)],
)
def test_the_last_share_of_the_epochs_finishes(max_iter, share, begin):
    course = Course(max_iter, share)
    assert (course.begin, course.end) == (begin, max_iter)


@given(EPOCHS, SHARES)
def test_an_epoch_at_least_prunes_and_no_share_is_off_by_more_than_an_epoch(max_iter, share):
    course = Course(max_iter, share)
    assert 1 <= course.begin <= course.end == max_iter
    assert abs((course.end - course.begin) - share * max_iter) <= 1


@given(EPOCHS, SHARES, st.data())
def test_who_converges_early_finishes_for_a_time_in_proportion(max_iter, share, data):
    course = Course(max_iter, share)
    n_epochs = data.draw(st.integers(1, course.begin))
    course.finish_after(n_epochs)
    assert course.begin == n_epochs
    assert n_epochs <= course.end <= max_iter
    if course.end < max_iter:
        assert abs((course.end - course.begin) - share * course.end) <= 1


def test_without_a_share_an_early_end_is_an_end():
    course = Course(100, 0.0)
    course.finish_after(40)
    assert course.begin == course.end == 40


@given(EPOCHS, SHARES)
def test_progress_is_the_share_of_the_pruning_phase_that_is_over(max_iter, share):
    course = Course(max_iter, share)
    assert course.progress(0) == 0.0
    assert course.progress(course.begin / 2) == pytest.approx(0.5)
    assert course.progress(course.begin) == course.progress(course.end) == 1.0


@given(EPOCHS, SHARES)
def test_the_learning_rate_falls_along_half_a_cosine_in_the_last_phase_only(max_iter, share):
    course = Course(max_iter, share)
    rates = np.array([course.rate(epoch) for epoch in range(course.end)])
    np.testing.assert_array_equal(rates[: course.begin], 1.0)
    finishing = rates[course.begin :]
    if finishing.size:
        assert finishing[0] == 1.0
        assert np.all(np.diff(finishing) < 0)
        assert np.all(finishing > 0)
        # As much above one half as below, one epoch later.
        np.testing.assert_allclose(finishing[1:] + finishing[1:][::-1], 1.0, rtol=1e-12)


@pytest.mark.parametrize("n_finishing", [1, 5, 10, 30, 300])
def test_the_average_covers_the_last_tenth_of_the_last_phase(n_finishing):
    course = Course(2 * n_finishing, 0.5)
    assert course.begin == n_finishing
    weights = np.zeros(0)
    for epoch in range(course.begin, course.end):
        share = course.averaged(epoch)
        assert 0 < share <= 1
        weights = np.append(weights * (1 - share), share)
    np.testing.assert_allclose(weights.sum(), 1)
    assert np.all(np.diff(weights) >= 0)
    n_averaged = max(1, n_finishing // 10)
    assert course.averaged(course.begin) == 1.0
    assert weights[-1] == pytest.approx(1 / n_averaged)
    # The mean age of what is averaged, in epochs.
    assert weights @ np.arange(n_finishing)[::-1] <= n_averaged


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_cosine_all_along_falls_from_the_first_epoch_to_the_last(share):
    course = Course(50, share, all_along=True)
    rates = [course.rate(epoch) for epoch in range(50)]
    assert rates[0] == 1.0
    assert rates[25] == pytest.approx(0.5)
    assert all(b < a for a, b in itertools.pairwise(rates))
    assert 0 < rates[-1] < 0.01
    assert {course.gate_rate(epoch) for epoch in range(50)} == {1.0}


def test_gates_slow_down_to_a_tenth_in_the_course_of_the_pruning_phase():
    course = Course(50, 0.2, gates_as_well=True)
    rates = [course.gate_rate(epoch) for epoch in range(course.begin)]
    assert rates[0] == 1.0
    assert rates[20] == pytest.approx(0.5)
    assert all(b <= a for a, b in itertools.pairwise(rates))
    assert rates[-1] == 0.1
    assert course.rate(0) == course.rate(course.begin - 1) == 1.0


def test_a_restored_course_is_as_the_one_before():
    course, restored = Course(50, 0.2), Course(50, 0.2)
    course.finish_after(12)
    restored.restore(Fields(course.state()))
    assert vars(restored) == vars(course)


@pytest.mark.parametrize(
    "change", [{"begin": 0}, {"begin": 51}, {"end": 51}, {"end": 0}, {"end": 30}, {"more": 1}]
)
def test_an_unsound_course_is_refused(change):
    with pytest.raises(StateError):
        Course(50, 0.2).restore(Fields(Course(50, 0.2).state() | change))
