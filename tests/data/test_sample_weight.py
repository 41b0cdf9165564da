"""What rows weigh."""

import numpy as np
import pytest

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.data import sample_weight
from fastl0.data.split import validation_split

# --- weights -----------------------------------------------------------------------------

X = np.zeros((3, 2))


def test_weights_come_as_float64_copies():
    assert sample_weight.check_sample_weight(None, X) is None
    given = np.array([1, 0, 2])
    found = sample_weight.check_sample_weight(given, X)
    assert found.dtype == np.float64
    assert found.tolist() == given.tolist()
    weights = np.array([1.0, 0.0, 2.0])
    assert not np.shares_memory(sample_weight.check_sample_weight(weights, X), weights)
    assert sample_weight.check_sample_weight(2.5, X).tolist() == [2.5] * 3  # as in scikit-learn


@pytest.mark.parametrize(
    "weights",
    [
        [1.0, 2.0],
        [[1.0], [2.0], [3.0]],
        [1.0, -1.0, 1.0],
        [1.0, np.nan, 1.0],
        [1.0, np.inf, 1.0],
        [0.0, 0.0, 0.0],
        [1e308, 1e308, 1e308],
        ["a", "b", "c"],
        [1.0, None, {}],
        len,
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["sample_weight", "sample_weight_val"])
def test_bad_weights_are_refused_by_name(weights, name):
    with pytest.raises(ValueError, match=f"{name}"):
        sample_weight.check_sample_weight(weights, X, name)


def test_equal_weights_are_none():
    assert sample_weight.drop_equal_weights(None) == (None, 1.0)
    assert sample_weight.drop_equal_weights(np.full(3, 2.5)) == (None, 2.5)
    weights = np.array([1.0, 2.0])
    assert sample_weight.drop_equal_weights(weights)[0] is weights


# --- beside the targets ------------------------------------------------------------------

CODES = np.array([[0], [1], [2], [1]], np.uint8)
NO_ROWS = np.zeros(0, np.int32)


def test_without_weights_targets_stay_as_they_are():
    found, total = sample_weight.append_weights(CODES, None, NO_ROWS)
    assert found is CODES
    assert total == 4
    found, total = sample_weight.append_weights(CODES, np.full(4, 2.5), np.array([0, 2], np.int32))
    assert found is CODES
    assert total == 5


def test_weights_are_divided_by_their_mean():
    found, total = sample_weight.append_weights(CODES, np.array([1.0, 0.0, 2.0, 5.0]), NO_ROWS)
    assert total == 8
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 0.5], [1, 0], [2, 1], [1, 2.5]]


def test_the_mean_is_that_of_the_rows_that_train():
    train = np.array([0, 1], np.int32)
    found, total = sample_weight.append_weights(CODES, np.array([1.0, 3.0, 9.0, 9.0]), train)
    assert total == 4
    assert found[train, 1].tolist() == [0.5, 1.5]


def test_rows_that_train_must_weigh_something():
    with pytest.raises(ValueError, match=r"`sample_weight` must be above 0.*got 0 for all"):
        sample_weight.append_weights(
            CODES, np.array([0.0, 0.0, 1.0, 2.0]), np.array([0, 1], np.int32)
        )


@pytest.mark.parametrize("weights", [[1e-300] * 4, [5e-324, 0.0, 0.0, 0.0], [1e-21, 0, 0, 0]])
def test_weights_must_not_vanish(weights):
    with pytest.raises(ValueError, match=r"`sample_weight`.*mean of 1e-20 or more.*Multiply"):
        sample_weight.append_weights(CODES, np.array(weights), NO_ROWS)
    sample_weight.append_weights(CODES, 2.0**70 * np.ones(4), NO_ROWS)


@pytest.mark.parametrize("largest", [1e300, 1.0, 0.3, 1e-300, 5e-324])
def test_relative_weights_keep_their_ratios_to_the_bit(largest):
    weights = np.array([largest, largest / 4, 0.0])
    found = sample_weight.rescale_weights(weights)
    assert 0.5 <= found.max() < 1.0
    assert found[1] / found[0] == weights[1] / weights[0]
    assert sample_weight.rescale_weights(None) is None


def test_masked_weights_are_missing():
    weights = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    with pytest.raises(ValueError, match=r"`sample_weight` must have no missing.*got 1 that"):
        sample_weight.check_sample_weight(weights, np.zeros((2, 1)))


# --- by way of the estimators ------------------------------------------------------------

PLAIN = {
    "hidden_layer_sizes": (4,),
    "pruning": "none",
    "solver": "sgd",
    "learning_rate_init": 0.1,
    "alpha": 0.1,
    "shuffle": False,
    "max_iter": 20,
    "random_state": 0,
}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def problem(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3))
    y = X[:, 0] + rng.normal(size=30)
    return X, (y > 0).astype(int) if kind is HardL0MLPClassifier else y


@pytest.mark.parametrize("kind", [HardL0MLPClassifier, HardL0MLPRegressor])
def test_a_row_of_weight_2_counts_like_two_rows(kind):
    X, y = problem(kind)
    counts = np.random.default_rng(1).integers(0, 4, 30)
    weighted = kind(**PLAIN).fit(X, y, sample_weight=counts)
    repeated = kind(**PLAIN).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    for a, b in zip(weighted.coefs_, repeated.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-4)
    unweighted = kind(**PLAIN).fit(X, y)
    assert not np.allclose(weighted.coefs_[0], unweighted.coefs_[0], atol=1e-2)


@pytest.mark.parametrize("kind", [HardL0MLPClassifier, HardL0MLPRegressor])
def test_in_the_price_of_a_parameter_rows_count_by_their_weights(kind):
    X, y = problem(kind)
    settings = PLAIN | {"pruning": "soft", "lam": 1.0, "max_iter": 5, "alpha": 0.0}
    heavy = kind(**settings).fit(X, y, sample_weight=np.full(30, 4.0))
    light = kind(**settings | {"lam": 0.25}).fit(X, y)
    np.testing.assert_allclose(heavy.loss_curve_, light.loss_curve_, rtol=1e-5)
    for a, b in zip(heavy.coefs_, light.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("class_weight", [{0: 5.0}, "balanced"], ids=str)
def test_class_weights_are_weights_of_rows(class_weight):
    X, y = problem(HardL0MLPClassifier)
    of_row = np.where(y == 0, 5.0, 1.0) if class_weight != "balanced" else 15 / np.bincount(y)[y]
    a = HardL0MLPClassifier(**PLAIN, class_weight=class_weight).fit(X, y)
    b = HardL0MLPClassifier(**PLAIN).fit(X, y, sample_weight=of_row)
    np.testing.assert_array_equal(a.coefs_[0], b.coefs_[0])
    both = HardL0MLPClassifier(**PLAIN, class_weight=class_weight).fit(X, y, sample_weight=of_row)
    squared = HardL0MLPClassifier(**PLAIN).fit(X, y, sample_weight=of_row**2)
    if class_weight != "balanced":
        np.testing.assert_array_equal(both.coefs_[0], squared.coefs_[0])


@pytest.mark.parametrize("class_weight", [{0: -1.0, 1: 1.0}, {0: np.nan}, {5: 1.0}, [1.0], "even"])
def test_bad_class_weights_are_refused_by_name(class_weight):
    X, y = problem(HardL0MLPClassifier)
    with pytest.raises(ValueError, match="class_weight"):
        HardL0MLPClassifier(**PLAIN, class_weight=class_weight).fit(X, y)


@pytest.mark.parametrize(
    ("class_weight", "weights", "message"),
    [
        ({0: 1e308, 1: 1e308}, None, "`class_weight` must give.*finite sum.*got inf"),
        ({0: 1e300, 1: 1.0}, [1e300, 1e300], "`class_weight`, times `sample_weight`,.*got inf"),
        ({0: 1e-300, 1: 1.0}, [1e-300, 0.0], "`class_weight`, times `sample_weight`,.*got 0"),
    ],
)
def test_products_of_weights_have_a_sum(class_weight, weights, message):
    y = np.arange(40) % 2
    weights = None if weights is None else np.array(weights)[y]
    model = HardL0MLPClassifier((3,), class_weight=class_weight, max_iter=1)
    with pytest.raises(ValueError, match=message):
        model.fit(np.ones((40, 2)), y, sample_weight=weights)
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("kind", [HardL0MLPClassifier, HardL0MLPRegressor])
def test_only_ratios_of_huge_weights_count_beside_no_penalty(kind):
    rng = np.random.default_rng(0)
    X, weights = rng.normal(size=(40, 2)), rng.random(40)
    y = np.arange(40) % 2 * (1e20 if kind is HardL0MLPRegressor else 1)
    settings = PLAIN | {"alpha": 0.0, "max_iter": 3, "random_state": 0}
    one, other = (
        kind(**settings).fit(X, y, factor * weights, X_val=X, y_val=y, sample_weight_val=weights)
        for factor in (1.0, 2.0**990)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one.coefs_, other.coefs_, strict=True))
    assert one.validation_scores_ == other.validation_scores_


def test_multilabel_rows_weigh_by_all_their_labels():
    X, _ = problem(HardL0MLPRegressor)
    Y = (X[:, :2] > 0).astype(int)
    weights = [{0: 1.0, 1: 3.0}, {0: 2.0, 1: 1.0}]
    of_row = np.where(Y[:, 0], 3.0, 1.0) * np.where(Y[:, 1], 1.0, 2.0)
    a = HardL0MLPClassifier(**PLAIN, class_weight=weights).fit(X, Y)
    b = HardL0MLPClassifier(**PLAIN).fit(X, Y, sample_weight=of_row)
    np.testing.assert_array_equal(a.coefs_[0], b.coefs_[0])


def test_weights_of_rows_that_are_set_aside_judge():
    X, y = problem(HardL0MLPRegressor)
    settings = PLAIN | {"early_stopping": True, "max_iter": 3, "validation_fraction": 0.5}
    weights = np.random.default_rng(0).random(30)
    reg = HardL0MLPRegressor(**settings).fit(X, y, sample_weight=weights)
    _, judge = validation_split(30, 0.5, np.random.RandomState(0), None, "")
    best = max(range(3), key=lambda k: (reg.validation_scores_[k], k))
    expected = reg.score(X[judge], y[judge], sample_weight=weights[judge])
    assert reg.validation_scores_[best] == pytest.approx(expected, abs=1e-5)


def test_one_weight_may_stand_for_all():
    assert sample_weight.check_sample_weight(2, np.zeros((3, 1))).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("weights", "rule"),
    [
        ([1.0, 2.0], r"one weight for each of 3 rows, got .* \(2,\)"),
        ([[1.0], [2.0], [3.0]], r"one weight for each of 3 rows, got .* \(3, 1\)"),
        ([1.0, -0.5, 3.0], "not be negative, got -0.5"),
        ([0.0, 0.0, 0.0], "not be zero in every row, got zeros only"),
        ([1e308, 1e308, 1e308], r"a sum that is finite, got weights up to 1e\+308"),
    ],
)
def test_bad_weights_are_named(weights, rule):
    with pytest.raises(ValueError, match=f"`sample_weight_val` must .*{rule}"):
        sample_weight.check_sample_weight(weights, np.zeros((3, 1)), "sample_weight_val")
    with pytest.raises(ValueError, match="Input sample_weight contains NaN"):
        sample_weight.check_sample_weight([1.0, np.nan, 1.0], np.zeros((3, 1)))


@pytest.mark.parametrize("weights", [10**400, [10**400] * 3], ids=["one", "each"])
def test_weights_beyond_any_float_are_named(weights):
    with pytest.raises(ValueError, match="`sample_weight`: int too large"):
        sample_weight.check_sample_weight(weights, np.zeros((3, 1)))


def test_all_weights_are_zero_where_they_may_be():
    assert not sample_weight.check_sample_weight(
        [0.0, 0.0], np.zeros((2, 1)), may_be_zero=True
    ).any()
