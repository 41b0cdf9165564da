"""How centre and scale follow the targets of a stream."""

import numpy as np
import pytest

from fastl0.data.online_scaler import OnlineScaler


def begun(center=0.0, scale=1.0, *, logarithmic=False):
    return OnlineScaler(np.array([center]), np.array([scale]), logarithmic=logarithmic)


def follow(following, y, *, loss=0.0, pace=0.1):
    """Go through rows one by one, with a network that errs as told; return the changes and pulls.

    `loss` is the root mean square error that is told, in scales.
    """
    changes, pulls = [], []
    for value in y:
        following.note(np.array([[value]]), None)
        if not following.is_up_to_date():
            change = following.change()
            if change is not None:
                changes.append(change)
                following.adopt(change)
            pulls.append(following.pull(pace))
        following.update_loss(following.loss + loss, 1, 1, None, float)
    return changes, pulls


def in_use(following):
    (column,) = following._columns
    return column.center, column.scale


def normal(n, mean=0.0, deviation=1.0, seed=0):
    return np.random.default_rng(seed).normal(mean, deviation, n)


# --- moments -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "first"),
    # Blocks of 1, 2, 4, ... 256, 256 rows: the last whole one counts, and what has come since.
    [(1, 0), (2, 0), (3, 1), (6, 1), (7, 3), (511, 255), (600, 255), (767, 511), (1000, 511)],
)
def test_moments_are_those_of_the_last_one_to_two_blocks(n, first):
    y = normal(n, 5.0, 3.0)
    following = begun(5.0, 3.0)
    for value in y:
        following.note(np.array([[value]]), None)
    (column,) = following._columns
    mean, spread = column.moments()
    assert mean == pytest.approx(y[first:].mean())
    if n - first >= 16:
        assert spread == pytest.approx(y[first:].std())


@pytest.mark.parametrize("n_rows", [1, 7, 32, 33, 200])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_those_of_the_rows_whatever_the_mini_batches(n_rows, weighted):
    y = np.column_stack([normal(200, 5.0, 3.0), normal(200, -1e6, 10.0, seed=1)])
    weights = np.random.default_rng(2).integers(0, 4, 200).astype(float) if weighted else None
    following = OnlineScaler(np.array([5.0, -1e6]), np.array([3.0, 10.0]), logarithmic=False)
    following.start_from_known_scale(1e-12)
    for start in range(0, 200, n_rows):
        rows = slice(start, start + n_rows)
        following.note(y[rows], None if weights is None else weights[rows])
    for column, values in zip(following._columns, y.T, strict=True):
        mean = np.average(values, weights=weights)
        expected = mean, np.sqrt(np.average((values - mean) ** 2, weights=weights))
        np.testing.assert_allclose(column.moments(), expected, rtol=1e-6)


def test_weights_of_any_size_count_as_they_are_to_each_other():
    for factor in (1e-300, 1.0, 1e18):
        following = begun()
        following.note(np.array([[0.0], [10.0], [99.0]]), factor * np.array([3.0, 1.0, 0.0]))
        (column,) = following._columns
        assert column.latest.n + column.earlier.n == 2
        assert column.moments()[0] == pytest.approx(2.5)


@pytest.mark.parametrize("value", [0.0, 0.1, -3.7, 1e12 + 0.1, 1e30])
def test_a_constant_has_a_center_and_leaves_the_scale(value):
    following = begun(value, 2.0)
    assert follow(following, np.full(700, value)) == ([], [])
    assert in_use(following) == (value, 2.0)


def test_small_deviations_from_a_large_mean_are_seen():
    following = begun(1e12, 1.0)
    follow(following, 1e12 + normal(700, 0.0, 5.0))
    center, scale = in_use(following)
    assert center == pytest.approx(1e12, abs=1.0)
    assert scale == pytest.approx(5.0, rel=0.25)


def test_numbers_at_the_end_of_float32_do_not_overflow():
    following = begun(1e30, 1.0)
    with np.errstate(all="raise"):
        follow(following, np.tile([-1e30, 1e30], 50))
    assert in_use(following) == pytest.approx((0.0, 1e30), rel=0.25, abs=1e29)


# --- what is in use ----------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "deviation"), [(5000.0, 1000.0), (0.0, 1e-4), (-3.0, 0.5)])
@pytest.mark.parametrize("n_constant", [1, 20, 1000])
def test_after_constants_they_are_those_of_what_comes(mean, deviation, n_constant):
    following = begun(7.0, 1.0)
    follow(following, np.append(np.full(n_constant, 7.0), normal(600, mean, deviation)))
    center, scale = in_use(following)
    assert scale == pytest.approx(deviation, rel=0.3)
    assert center == pytest.approx(mean, abs=0.35 * deviation)


def test_they_stay_where_the_targets_stay():
    following = begun()
    following.note(normal(1000)[:, None], None)
    assert follow(following, normal(20_000, seed=1)) == ([], [])


@pytest.mark.parametrize(
    ("mean", "deviation", "n_rows"),
    [(0.0, 1000.0, 40), (100.0, 1.0, 512), (0.0, 0.001, 512), (1e6, 1e3, 512)],
)
def test_they_follow_a_drift_within_two_blocks(mean, deviation, n_rows):
    following = begun()
    follow(following, np.append(normal(2000), normal(n_rows, mean, deviation, seed=1)), loss=1e-6)
    center, scale = in_use(following)
    assert scale == pytest.approx(deviation, rel=1.0 if n_rows < 100 else 0.3)
    assert center == pytest.approx(mean, abs=deviation)


def test_a_first_row_that_is_off_is_soon_forgotten():
    following = begun(1e6, 1.0)
    follow(following, np.append(1e6, normal(60)))
    assert in_use(following) == pytest.approx((0.0, 1.0), abs=0.5)


def test_a_few_stray_rows_change_nothing_and_many_do():
    following = begun()
    y = normal(5000)
    y[100::100] = 1e4
    assert follow(following, y)[0] == follow(begun(), np.delete(y, np.s_[100::100]))[0]
    follow(following, np.full(16, 1e4))
    assert in_use(following)[1] > 1e3


def test_stray_rows_of_a_large_mini_batch_change_nothing_and_many_do():
    y = normal(400)
    for n_stray, changes in ((7, False), (8, True)):
        following = begun()
        following.note(normal(300, seed=1)[:, None], None)
        y[:n_stray] = 1e4
        following.note(y[:, None], None)
        assert following.is_up_to_date() is not changes


def test_columns_follow_by_themselves():
    following = OnlineScaler(np.zeros(2), np.ones(2), logarithmic=False)
    y = np.column_stack([normal(300), normal(300, 50.0, 10.0, seed=1)])
    for row in y:
        following.note(row[None, :], None)
        if not following.is_up_to_date():
            change = following.change()
            if change is not None:
                following.adopt(change)
    assert [c.scale for c in following._columns] == pytest.approx([1.0, 10.0], rel=0.3)
    assert [c.center for c in following._columns] == pytest.approx([0.0, 50.0], abs=3.0)


@pytest.mark.parametrize("weight", [1.0, 1e-9])
def test_what_is_in_use_counts_as_a_block_of_rows(weight):
    following = begun(3.0, 2.0)
    following.start_from_known_scale(weight)
    following.note(np.full((256, 1), 9.0), np.full(256, weight))
    (column,) = following._columns
    assert column.moments() == pytest.approx((9.0, 2.0))  # the block before is over
    following.note(np.full((128, 1), 3.0), np.full(128, weight))
    assert column.moments() == pytest.approx((7.0, np.sqrt(8.0)))


def test_the_scale_of_logarithms_is_the_mean():
    following = begun(0.0, 1.0, logarithmic=True)
    counts = np.append(np.zeros(50), np.random.default_rng(0).poisson(400.0, 600))
    changes, pulls = follow(following, counts, loss=0.1)
    center, scale = in_use(following)
    assert (center, scale) == (0.0, pytest.approx(400.0, rel=0.25))
    for change in changes:
        assert change.center == 0.0
        assert change.factor == 1.0
    # Outputs are lowered by as much as predictions are scaled up, and get it back.
    total = sum(float(change.shift[0]) for change in changes)
    assert total == pytest.approx(-np.log(scale))
    assert sum(float(p.step[0]) for p in pulls if p is not None) == pytest.approx(-total)
    assert all(p is None or p.share == 1.0 for p in pulls)


# --- what a change means for outputs -------------------------------------------------------


def test_a_change_leaves_predictions_as_they_are():
    following = begun(7.0, 1.0)
    outputs, before = np.linspace(-3, 3, 9), (7.0, 1.0)
    changes, _ = follow(following, np.append(np.full(9, 7.0), normal(300, 500.0, 100.0)))
    assert len(changes) > 1
    for change in changes:
        after = float(change.center[0]), float(change.scale[0])
        others = change.factor * outputs + change.shift
        np.testing.assert_allclose(
            after[0] + after[1] * others, before[0] + before[1] * outputs, rtol=1e-12
        )
        outputs, before = others, after


def test_the_scale_falls_no_faster_than_the_errors():
    y = np.append(normal(1000), 1e-3 * normal(1000, seed=1))
    scales = []
    for error in (1.0, 0.5, 0.0):
        following = begun()
        following.note(y[:1000, None], None)
        follow(following, y[1000:1600], loss=error)
        scales.append(in_use(following)[1])
    # An error told as a half of the scale lets it fall by a half every 16 rows.
    assert scales[0] == pytest.approx(1.0, rel=0.25)
    assert scales[1:] == pytest.approx([1e-3, 1e-3], rel=0.3)
    following = begun()
    following.note(y[:1000, None], None)
    changes, pulls = follow(following, y[1000:1600], loss=0.5)
    ratios = [float(change.factor[0]) for change in changes]
    assert max(ratios) <= 2.0 + 1e-9
    assert any(pull is not None and pull.share == 0.9 for pull in pulls)


def test_after_a_change_of_the_center_as_much_is_paid_back_at_the_pace():
    following = begun()
    following.note(normal(300)[:, None], None)
    y = normal(1000, 3.0, seed=1)
    changes, pulls = follow(following, y, pace=0.05)
    steps = [float(pull.step[0]) for pull in pulls if pull is not None]
    assert max(abs(step) for step in steps) <= 0.05
    assert all(pull is None or pull.share == 1.0 for pull in pulls)
    # In units of y all of it: the last centre less the first one.
    scale, moved, number = 1.0, 0.0, 0
    replay = begun()
    replay.note(normal(300)[:, None], None)
    center = in_use(replay)[0]
    for value in y:
        replay.note(np.array([[value]]), None)
        if not replay.is_up_to_date():
            change = replay.change()
            if change is not None:
                scale = float(change.scale[0])
                replay.adopt(change)
            pull = replay.pull(0.05)
            moved += scale * float(pull.step[0]) if pull is not None else 0.0
            number += 1
        replay.update_loss(replay.loss, 1, 1, None, float)
    assert number == len(pulls)
    assert len(changes) > 1
    assert moved == pytest.approx(in_use(replay)[0] - center, rel=1e-9)


def test_errors_are_measured_by_the_loss_of_sixteen_mini_batches():
    following = OnlineScaler(np.zeros(2), np.ones(2), logarithmic=False)
    assert following.n_until_measured == 16
    following.update_loss(3.0, 10, 20, None, float)
    assert (following.loss, following.n_until_measured) == (3.0, 6)
    told = []
    following.update_loss(8.0, 6, 12, np.full(12, 2.5), lambda loss: told.append(loss) or 0.5)
    assert told == [8.0 / (20 + 30) / 2]
    assert (following.loss, following.n_until_measured) == (0.0, 16)
    assert following._error == 0.5
