import itertools
import math

import numpy as np
import pytest

from fastl0.checkpoint.state_reader import StateError, StateReader
from fastl0.training.early_stopping import EarlyStopping, effective_patience
from fastl0.training.schedule import LOWEST_RATE, LearningRateSchedule


def epochs_until_stop(patience, losses, shrunk=()):
    for epoch, loss in enumerate(losses):
        if patience.update_loss(loss, epoch in shrunk):
            return epoch
    return None


@pytest.mark.parametrize("n", [1, 2, 10])
def test_patience_ends_after_more_than_n_epochs_in_a_row_without_progress(n):
    assert epochs_until_stop(EarlyStopping(1e-4, n), itertools.repeat(1.0, 100)) == n + 1


def test_an_improvement_by_less_than_tol_is_no_progress():
    falling = (1 - 0.009 * k for k in range(100))
    # A best loss that creeps down is the new mark, as in scikit-learn.
    assert epochs_until_stop(EarlyStopping(0.01, 3), falling) == 4
    assert epochs_until_stop(EarlyStopping(0.008, 3), (1 - 0.009 * k for k in range(100))) is None


def test_progress_resets_the_count():
    losses = [5, 5, 5, 4, 4, 4, 3, 3, 3, 3]
    assert epochs_until_stop(EarlyStopping(0.1, 2), losses) == 9


def test_an_epoch_that_deleted_units_is_progress():
    losses = itertools.repeat(1.0, 20)
    assert epochs_until_stop(EarlyStopping(0.1, 2), losses, shrunk={2, 5, 8}) == 11


def test_a_rise_of_the_loss_does_not_lower_the_mark():
    assert epochs_until_stop(EarlyStopping(0.0, 2), [1, 9, 8, 7]) == 3


def test_a_loss_that_repeats_with_tol_zero_is_progress():
    assert epochs_until_stop(EarlyStopping(0.0, 2), [1.0] * 10) is None


@pytest.mark.parametrize("n", [1, 4, 10])
def test_smoothed_losses_are_judged_by_their_exponential_average(n):
    rng = np.random.default_rng(n)
    losses = np.concatenate([np.linspace(3, 1, 30), np.ones(60)]) + rng.normal(0, 0.1, 90)
    weight = 2 / (n + 1)
    best, waited, expected, patience = math.inf, 0, None, EarlyStopping(1e-3, n, smooth=True)
    for epoch in range(90):
        weights = weight * (1 - weight) ** np.arange(epoch, -1, -1)
        level = np.average(losses[: epoch + 1], weights=weights)
        waited = waited + 1 if level > best - 1e-3 else 0
        best = min(best, level)
        if waited > n:
            expected = epoch
            break
    assert expected is not None
    assert epochs_until_stop(patience, losses) == expected


def test_noise_alone_does_not_end_patience_while_the_mean_falls():
    rng = np.random.default_rng(0)
    losses = 10 - 0.05 * np.arange(150) + rng.normal(0, 0.3, 150)
    assert epochs_until_stop(EarlyStopping(1e-4, 5, smooth=False), losses) is not None
    assert epochs_until_stop(EarlyStopping(1e-4, 10, smooth=True), losses) is None


def test_scores_count_upwards_and_must_rise_by_tol():
    patience = EarlyStopping(0.01, 2)
    ended = [patience.update_score(score, False) for score in (0.5, 0.505, 0.6, 0.605, 0.6, 0.1)]
    assert ended == [False] * 5 + [True]
    assert patience.best_score == 0.605


def test_scores_of_an_epoch_that_deleted_units_are_progress():
    patience = EarlyStopping(0.01, 1)
    assert [
        patience.update_score(0.5, shrunk) for shrunk in (False, False, True, False, False)
    ] == [
        False,
        False,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize(
    ("n_batches", "expected"), [(1, 200), (7, 29), (19, 11), (20, 10), (21, 10), (469, 10)]
)
def test_an_epoch_of_few_draws_makes_for_more_epochs_to_wait(n_batches, expected):
    assert effective_patience(10, n_batches) == expected


# --- learning rates ------------------------------------------------------------------


def test_a_constant_rate_stays():
    schedule = LearningRateSchedule("constant", 0.1, 0.5)
    schedule.end_epoch(1000)
    assert schedule.rate == 0.1
    assert schedule.lower_or_stop()


def test_inverse_scaling_follows_the_rows_seen():
    schedule = LearningRateSchedule("invscaling", 0.1, 0.3)
    assert schedule.rate == 0.1
    for seen in (99, 12345):
        schedule.end_epoch(seen)
        assert schedule.rate == pytest.approx(0.1 / (seen + 1) ** 0.3)
    assert schedule.lower_or_stop()


def test_an_adaptive_rate_falls_to_a_fifth_instead_of_giving_up_until_it_is_tiny():
    schedule = LearningRateSchedule("adaptive", 0.1, 0.5)
    rates = [schedule.rate]
    while not schedule.lower_or_stop():
        schedule.end_epoch(1000)
        rates.append(schedule.rate)
    np.testing.assert_allclose(rates, [0.1 / 5**k for k in range(len(rates))])
    assert rates[-1] <= LOWEST_RATE == 1e-6 < rates[-2]


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_schedules_act_on_gradient_descent_only(learning_rate):
    from fastl0 import HardL0MLPClassifier
    from fastl0.training import trainer

    X = np.random.default_rng(0).normal(size=(40, 3))
    rates = {}
    for solver in ("adam", "sgd"):
        seen = rates[solver] = []
        original = trainer.Trainer.run_epoch

        def note(self, data, rate, *others, seen=seen, original=original):
            seen.append(rate)
            return original(self, data, rate, *others)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainer.Trainer, "run_epoch", note)
            HardL0MLPClassifier(
                (4,),
                solver=solver,
                learning_rate=learning_rate,
                max_iter=5,
                tol=10.0,
                n_iter_no_change=1,
                pruning="none",
                learning_rate_init=0.1,
            )._fit(X, X[:, 0] > 0)
    assert set(rates["adam"]) == {0.1}
    expected = {
        "constant": [0.1] * 3,
        "invscaling": [0.1, 0.1 / 41**0.5, 0.1 / 81**0.5],
        "adaptive": [0.1] * 3 + [0.02] * 2,
    }[learning_rate]
    np.testing.assert_allclose(rates["sgd"], expected)


def test_a_restored_patience_goes_on_as_the_one_before():
    losses = [3.0, 2.0, 2.5, 1.0, 1.2, 1.1, 1.3, 1.2]
    patience = EarlyStopping(1e-4, 3, smooth=True)
    for loss in losses[:4]:
        patience.update_loss(loss, False)
    restored = EarlyStopping.restored(StateReader(patience.state()))
    restored.tol, restored.patience, restored.smooth = 1e-4, 3, True
    assert restored == patience
    for loss in losses[4:]:
        assert restored.update_loss(loss, False) == patience.update_loss(loss, False)
    assert restored == patience


@pytest.mark.parametrize(
    "change",
    [{"n_waited": -1}, {"n_waited": 1.0}, {"weight": 2.0}, {"best_loss": math.nan}, {"a": 1}],
)
def test_an_unsound_patience_is_refused(change):
    with pytest.raises(StateError):
        EarlyStopping.restored(StateReader(EarlyStopping(1e-4, 3).state() | change))
