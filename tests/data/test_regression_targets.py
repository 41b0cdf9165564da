"""Tests of the encoding of numbers."""

import numpy as np
import pytest
from sklearn.metrics import mean_poisson_deviance

from fastl0.data import regression_targets


def test_numbers_are_brought_to_a_mean_of_0_and_a_spread_of_1():
    y = np.array([[1.0, 1e6], [3.0, 3e6], [5.0, 2e6]])
    found = regression_targets.encode_targets(y, "squared_error", 0.0, normalize=True)
    np.testing.assert_allclose(found.center, y.mean(axis=0))
    np.testing.assert_allclose(found.scale, y.std(axis=0))
    np.testing.assert_allclose(found.codes * found.scale + found.center, y, rtol=1e-6)
    assert found.codes.dtype == np.float32
    assert not found.one_column


def test_means_are_weighted():
    y = np.array([0.0, 10.0, 99.0])
    found = regression_targets.encode_targets(
        y, "squared_error", 0.0, normalize=True, weights=np.array([3.0, 1.0, 0.0])
    )
    np.testing.assert_allclose(found.center, [2.5])
    np.testing.assert_allclose(found.scale, [np.sqrt((3 * 2.5**2 + 7.5**2) / 4)])


@pytest.mark.parametrize("factor", [1e-290, 1e-30, 1.0, 1e29])
def test_the_scale_of_numbers_neither_overflows_nor_vanishes(factor):
    y = factor * np.random.default_rng(0).normal(size=1000)
    found = regression_targets.encode_targets(y, "huber", 1.0, normalize=True)
    np.testing.assert_allclose(found.codes.std(), 1.0, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 3.7, -1e20, 0.1])
def test_a_constant_has_a_scale_of_1(value):
    found = regression_targets.encode_targets(
        np.full(7, value), "squared_error", 0.0, normalize=True
    )
    assert (found.scale, found.center) == (1.0, pytest.approx(value))
    np.testing.assert_allclose(found.codes, 0.0, atol=1e-4 * abs(value))


def test_counts_are_divided_by_their_mean():
    y = np.array([[0.0, 4.0], [2.0, 0.0]])
    found = regression_targets.encode_targets(y, "poisson", 0.0, normalize=True)
    assert (found.center.tolist(), found.scale.tolist()) == ([0.0, 0.0], [1.0, 2.0])
    assert found.out_activation == "exp"
    zeros = regression_targets.encode_targets(np.zeros(3), "poisson", 0.0, normalize=True, few=True)
    assert zeros.scale == 1.0


def test_numbers_as_they_are():
    y = np.array([5.0, 7.0])
    found = regression_targets.encode_targets(y, "squared_error", 0.0, normalize=False)
    assert (found.center, found.scale) == (0.0, 1.0)
    assert found.codes.tolist() == [[5.0], [7.0]]


@pytest.mark.parametrize(
    ("y", "loss", "message"),
    [
        (np.array(["a", "b"]), "huber", "`y` must hold numbers, got dtype <U1.*Classifier"),
        (np.array([1, "a"], object), "huber", "`y` must hold numbers, got dtype object"),
        (np.array([1.0, np.nan]), "huber", "`y` must hold finite values up to 1e.30.*got nan"),
        (np.array([1.0, -1e31]), "huber", "`y` must hold finite values up to 1e.30.*got 1e.31"),
        (np.array(["2020-01-01"], "M8[D]"), "huber", "`y` must hold numbers, got dtype datetime"),
        (np.array([1, 2], "m8[s]"), "huber", "`y` must hold numbers, got dtype timedelta"),
        (np.array([1e300], np.longdouble) ** 2, "huber", "`y` must hold finite values.*got inf"),
        (np.array([1.0, -1.0]), "poisson", "`y` must be >= 0.*got values from -1 to 1.*squared"),
        (np.array([[1.0, 0.0]]), "poisson", "`y` must be >= 0, and in each column somewhere > 0"),
    ],
)
def test_bad_numbers_are_refused(y, loss, message):
    with pytest.raises(ValueError, match=message):
        regression_targets.encode_targets(y, loss, 0.5, normalize=True)


def test_numbers_of_later_rows_are_encoded_as_the_first():
    first = regression_targets.encode_targets(
        np.array([1.0, 3.0]), "squared_error", 0.0, normalize=True
    )
    again = first.encode_like(np.array([5.0, 2.0]), "y")
    assert again.codes[:, 0].tolist() == [3.0, 0.0]
    few = first.encode_trusted(np.array([5.0, 2.0]))
    assert few.tolist() == [[3.0, 1.0], [0.0, 1.0]]
    with pytest.raises(ValueError, match="`y_val` must have 1 columns, as in the first fit, got 2"):
        first.encode_like(np.ones((2, 2)), "y_val")


@pytest.mark.parametrize("factor", [1e-300, 1e-5])
def test_numbers_too_far_from_the_first_are_refused(factor):
    y = factor * np.array([1.0, 3.0])
    first = regression_targets.encode_targets(y, "squared_error", 0.0, normalize=True)
    with pytest.raises(ValueError, match=r"`y_val` must lie within 1e.30 standard deviations"):
        first.encode_like(np.array([1e28]), "y_val")
    assert first.encode_trusted(np.array([1e28])) is None
    assert first.encode_trusted(y) is not None


@pytest.mark.parametrize(
    "y", [[1.0], np.array([1]), np.zeros(0), np.ones((2, 1)), np.array([np.nan]), np.array([1e31])]
)
def test_few_numbers_that_need_a_check(y):
    first = regression_targets.encode_targets(
        np.array([1.0, 3.0]), "squared_error", 0.0, normalize=True
    )
    assert first.encode_trusted(y) is None


def test_links():
    regression_targets.check_same_activation("huber", "identity")
    regression_targets.check_same_activation("poisson", "exp")
    for loss, out_activation in (("poisson", "identity"), ("huber", "exp")):
        with pytest.raises(ValueError, match=f"`loss` must not change.*got '{loss}'.*afresh"):
            regression_targets.check_same_activation(loss, out_activation)


# --- losses of validation rows -----------------------------------------------------------

PARAMETERS = {"squared_error": 0.0, "absolute_error": 0.0, "huber": 0.7, "quantile": 0.3}


@pytest.mark.parametrize("loss", [*PARAMETERS, "poisson"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_best_constant_loses_no_more_than_others(loss, weighted):
    rng = np.random.default_rng(0)
    y = rng.gamma(2.0, size=(50, 2))
    weights = rng.random(50) if weighted else None
    encoded = regression_targets.encode_targets(
        y, loss, PARAMETERS.get(loss, 0.0), normalize=True, weights=weights
    )
    best = encoded.null_loss(weights)
    tried = [
        encoded.mean_loss(np.tile(np.quantile(y, q, axis=0), (50, 1)), weights)
        for q in np.linspace(0.02, 0.98, 49)
    ]
    # Where rows weigh, a quantile is near enough.
    assert best < min(tried) * (1.1 if weighted else 1.02) + 0.02


@pytest.mark.parametrize("loss", PARAMETERS)
def test_losses_are_those_of_the_formulas(loss):
    rng = np.random.default_rng(1)
    y, outputs = rng.normal(3, 2, (20, 2)), rng.normal(3, 2, (20, 2))
    encoded = regression_targets.encode_targets(y, loss, PARAMETERS[loss], normalize=True)
    r = (outputs - y) / encoded.scale
    expected = {
        "squared_error": r**2 / 2,
        "absolute_error": abs(r),
        "huber": np.where(abs(r) <= 0.7, r**2 / 2, 0.7 * abs(r) - 0.7**2 / 2),
        "quantile": np.maximum(0.3 * -r, 0.7 * r),
    }[loss]
    found = encoded.mean_loss(outputs, None)
    np.testing.assert_allclose(found, expected.sum(axis=1).mean(), rtol=1e-5)


def test_the_loss_of_counts_is_half_the_deviance_up_to_a_constant():
    rng = np.random.default_rng(1)
    y, means = rng.poisson(3.0, 40).astype(float), rng.gamma(3.0, size=(2, 40, 1))
    encoded = regression_targets.encode_targets(y, "poisson", 0.0, normalize=True)
    a, b = (encoded.mean_loss(mean, None) for mean in means)
    deviances = [mean_poisson_deviance(y, mean[:, 0]) for mean in means]
    np.testing.assert_allclose(
        (a - b) * encoded.scale, (deviances[0] - deviances[1]) / 2, rtol=1e-5
    )


@pytest.mark.parametrize("loss", [*PARAMETERS, "poisson"])
def test_slopes_in_other_units(loss):
    """By differences of the mean loss of one row, in units of a half and of a third of y."""
    derivatives = []
    for unit in (0.5, 1 / 3):
        encoded = regression_targets.RegressionTargets(
            np.array([[4.0 / unit]], np.float32),
            loss,
            PARAMETERS.get(loss, 0.0),
            np.zeros(1),
            np.array([unit]),
            True,
        )
        # Far enough for Huber's loss to be linear.
        means = [np.array([[6.0 + step * unit]]) for step in (0.0, 1e-3)]
        if loss == "poisson":  # outputs are logarithms
            means = [np.array([[8.0 * np.exp(step)]]) for step in (0.0, 1e-3)]
        derivatives.append(encoded.mean_loss(means[1], None) - encoded.mean_loss(means[0], None))
    factor = encoded.slope_factor(np.array([0.5 / (1 / 3)]))
    assert derivatives[1] == pytest.approx(factor[0] * derivatives[0], rel=0.02)


@pytest.mark.parametrize("loss", PARAMETERS)
@pytest.mark.parametrize("size", [1e-3, 0.5, 3.0])
def test_the_error_of_a_loss_is_that_of_the_residuals(loss, size):
    share = PARAMETERS["quantile"] if loss == "quantile" else 0.5
    below = np.arange(100) < 100 * share
    y = np.where(below, -size, size)
    encoded = regression_targets.encode_targets(y, loss, PARAMETERS[loss], normalize=False)
    assert encoded.error_of(encoded.mean_loss(np.zeros((100, 1)), None)) == pytest.approx(size)


def test_the_error_of_counts_is_how_much_too_large_they_are_predicted():
    counts = np.random.default_rng(0).poisson(3.0, 400).astype(float)
    encoded = regression_targets.encode_targets(counts, "poisson", 0.0, normalize=True)
    losses = [encoded.mean_loss(np.full((400, 1), 3.0 * f), None) for f in (1.0, 100.0)]
    assert [encoded.error_of(loss) for loss in losses] == pytest.approx([1.0, 100.0], rel=0.1)
    assert encoded.error_of(-0.5) == 0.0


def test_numbers_too_far_from_what_follows_are_cut_off():
    first = regression_targets.encode_targets(
        np.array([1e-30, 3e-30]), "squared_error", 0.0, normalize=True, follows=True
    )
    assert first.follows
    far = first.encode_like(np.array([1e28, -1e30, 3e-30]), "y").codes[:, 0]
    np.testing.assert_array_equal(far, np.array([1e30, -1e30, 1.0], np.float32))
    np.testing.assert_array_equal(first.scaled(np.array([[1e300], [2e-30]])), [[1e30], [0.0]])
    with pytest.raises(ValueError, match=r"`y` must hold finite values up to 1e.30"):
        first.encode_like(np.array([1e31]), "y")


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_few_numbers_are_encoded_as_many_are(loss, dtype):
    rng = np.random.default_rng(0)
    y = np.abs(rng.normal(3e3, 1e3, 40)).astype(dtype)
    targets = regression_targets.encode_targets(y, loss, 0.0, normalize=True)
    expected = targets.encode_like(y, "y").codes
    for n in (1, 7, 8, 9, 40):
        found = targets.encode_trusted(y[:n])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[:, :1], expected[:n])
        np.testing.assert_array_equal(found[:, 1], 1.0)


@pytest.mark.parametrize("n", [1, 8, 9])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e31, -1.0])
def test_few_numbers_that_need_a_check_are_left_to_it(n, bad):
    targets = regression_targets.encode_targets(np.arange(1.0, 9.0), "poisson", 0.0, normalize=True)
    y = np.ones(n)
    assert targets.encode_trusted(y) is not None
    y[-1] = bad
    assert targets.encode_trusted(y) is None
    small = regression_targets.encode_targets(
        np.arange(1.0, 9.0) * 1e-20, "squared_error", 0.0, normalize=True
    )
    y[-1] = 1e20
    assert small.encode_trusted(y) is None
