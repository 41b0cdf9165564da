"""`l0_path`: networks of many sizes from one run."""

import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from doctests import n_failed
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification, make_regression
from sklearn.metrics import log_loss, make_scorer, median_absolute_error

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor, L0Path, l0_path

FULL, FULL_OF_ONE = 7510, 6601
QUICK = HardL0MLPClassifier((100,), max_iter=30, learning_rate_init=0.003, random_state=0)
SIZES = [0.5, 0.2, 0.05]


@pytest.fixture(scope="module")
def path(digits):
    return l0_path(*digits, target_sizes=SIZES, estimator=QUICK)


def with_settings(**settings):
    return clone(QUICK).set_params(**settings)


# --- what comes back ---------------------------------------------------------------------


def test_arrays_and_estimators_agree(path):
    assert isinstance(path, L0Path)
    assert path.n_parameters.tolist() == [clf.n_parameters_ for clf in path.estimators]
    assert path.n_bytes.tolist() == [4 * clf.n_parameters_ for clf in path.estimators]
    assert path.n_parameters.shape == path.n_bytes.shape == path.scores.shape == (3,)
    assert path.scores.dtype == float


def test_sizes_are_met_large_to_small(path):
    limits = FULL * np.array(SIZES)
    assert (path.n_parameters <= limits).all()
    assert (path.n_parameters > 0.85 * limits).all()
    assert (np.diff(path.n_bytes) < 0).all()


def test_early_stopping_on_few_epochs_keeps_the_sizes(digits):
    X, y = (part[:400] for part in digits)
    model = HardL0MLPClassifier((20, 10), random_state=0, max_iter=10, early_stopping=True)
    sizes = np.array([810, 486, 162])
    path = l0_path(X, y, target_sizes=sizes.tolist(), estimator=model)
    assert (path.n_parameters <= sizes).all()
    assert (path.n_parameters >= 0.9 * sizes).all()


def test_networks_of_a_path_are_good(path):
    assert path.scores[0] > 0.9
    assert path.scores[-1] > 0.7


def test_each_estimator_predicts_by_itself_and_holds_no_training_state(path, digits):
    for clf in path.estimators:
        alone = pickle.loads(pickle.dumps(clf))
        np.testing.assert_array_equal(alone.predict(digits[0]), clf.predict(digits[0]))
        assert not hasattr(clf, "_warm_state")
        assert len(pickle.dumps(clf)) < 4 * clf.n_parameters_ + 3000
    coefs = [clf.coefs_[0] for clf in path.estimators]
    assert not any(np.shares_memory(a, b) for a in coefs for b in coefs if a is not b)


def test_inputs_and_units_only_go(path):
    widths = np.array([clf.n_units_ for clf in path.estimators])
    assert (np.diff(widths, axis=0) <= 0).all()
    for before, after in zip(path.estimators, path.estimators[1:], strict=False):
        assert not (after.support_ & ~before.support_).any()


def test_estimators_have_the_settings_that_fit_their_size_anew(path):
    settings = [clf.get_params() for clf in path.estimators]
    assert [s.pop("target_size") for s in settings] == SIZES
    wanted = QUICK.get_params()
    wanted.pop("target_size")
    assert all(s == wanted for s in settings)


def test_histories_are_those_of_their_own_epochs(path):
    n_epochs = [clf.n_iter_ for clf in path.estimators]
    assert n_epochs[0] == 30
    assert all(1 <= n < 30 for n in n_epochs[1:])
    for clf in path.estimators:
        assert {len(entries) for entries in clf.history_.values()} == {clf.n_iter_}
        assert clf.t_ == 540 * clf.n_iter_


def test_the_first_network_is_that_of_a_fit(digits):
    X, y = digits
    first = l0_path(X, y, target_sizes=[0.3], estimator=QUICK, X_val=X, y_val=y).estimators[0]
    alone = with_settings(target_size=0.3).fit(X, y)
    assert all(np.array_equal(a, b) for a, b in zip(first.coefs_, alone.coefs_, strict=True))


def test_the_estimator_is_left_as_it_was(digits):
    clf = with_settings(target_size=0.9, max_iter=2)
    before = pickle.dumps(clf)
    l0_path(*digits, target_sizes=[0.5], estimator=clf)
    assert pickle.dumps(clf) == before


@pytest.mark.parametrize("random_state", [3, np.random.RandomState(3)])
def test_the_same_seed_gives_the_same_path(digits, random_state):
    def run():
        state = random_state if random_state == 3 else np.random.RandomState(3)
        clf = with_settings(max_iter=3, random_state=state, early_stopping=True)
        return l0_path(*digits, target_sizes=[0.5, 0.3], estimator=clf)

    first, second = run(), run()
    np.testing.assert_array_equal(first.scores, second.scores)
    for a, b in zip(first.estimators, second.estimators, strict=True):
        assert isinstance(a.random_state, int)
        np.testing.assert_array_equal(a.coefs_[0], b.coefs_[0])


# --- sizes -------------------------------------------------------------------------------


def test_default_sizes_fall_from_a_half_to_a_hundredth(digits):
    path = l0_path(*digits, estimator=with_settings(max_iter=3))
    shares = [clf.target_size for clf in path.estimators]
    assert shares[0] == 0.5
    assert shares[-1] == 0.01
    assert len(shares) == 10
    assert (np.diff(path.n_parameters) < 0).all()
    assert (path.n_parameters <= FULL * np.array(shares)).all()


def test_default_sizes_too_small_for_the_network_are_dropped(digits):
    X = digits[0][:, :2] + digits[0][:, 30:32]
    y = digits[1] % 2
    shares = [
        clf.target_size
        for clf in l0_path(
            X, y, estimator=with_settings(hidden_layer_sizes=(5,), max_iter=2)
        ).estimators
    ]
    assert shares[0] == 0.5
    assert min(shares) * 21 >= 4
    (only,) = l0_path(X, y, estimator=with_settings(hidden_layer_sizes=(1,), max_iter=2)).estimators
    assert only.n_parameters_ == only.target_size == 4


def test_sizes_of_all_kinds_are_sorted(digits):
    sizes = np.array([300, 0.3, "15 kB"], dtype=object)
    path = l0_path(*digits, target_sizes=sizes, estimator=with_settings(max_iter=4))
    assert [clf.target_size for clf in path.estimators] == ["15 kB", 0.3, 300]
    assert path.n_bytes[0] <= 15_000
    assert path.n_parameters[-1] <= 300


def test_sizes_in_bytes_are_not_exceeded(digits):
    names = [f"the grey level of pixel {k}" for k in range(64)]
    X = pd.DataFrame(digits[0], columns=names)
    sizes = ["24kB", "12kB", "8kB"]
    clf = with_settings(early_stopping=True, batch_size="dynamic")
    path = l0_path(X, digits[1], target_sizes=sizes, estimator=clf)
    assert (path.n_bytes <= [24_000, 12_000, 8_000]).all()
    assert (path.n_bytes >= [22_000, 10_000, 6_000]).all()


def test_sizes_that_lie_close_are_met(digits):
    sizes = list(range(700, 650, -10))
    path = l0_path(*digits, target_sizes=sizes, estimator=with_settings(max_iter=3))
    assert (path.n_parameters <= sizes).all()


# --- rows to score on --------------------------------------------------------------------


def test_rows_set_aside_are_not_trained_on(digits):
    clf = with_settings(max_iter=1)
    path = l0_path(*digits, target_sizes=[0.5], estimator=clf, validation_fraction=0.3)
    assert path.estimators[0].t_ == 420
    assert path.scores[0] * 180 == pytest.approx(round(path.scores[0] * 180))


def test_given_rows_score_by_a_given_metric(digits):
    X, y = digits
    path = l0_path(
        X[:500],
        y[:500],
        target_sizes=[0.5, 0.1],
        estimator=with_settings(max_iter=4),
        X_val=sp.csr_matrix(X[500:]),
        y_val=y[500:],
        scoring="neg_log_loss",
    )
    for clf, score in zip(path.estimators, path.scores, strict=True):
        assert score == pytest.approx(-log_loss(y[500:], clf.predict_proba(X[500:])))
        assert clf.t_ == 500 * clf.n_iter_


def test_scoring_may_be_a_callable(digits):
    path = l0_path(
        *digits,
        target_sizes=[0.5],
        estimator=with_settings(max_iter=1),
        scoring=lambda clf, X, y: clf.n_parameters_ + len(X),
    )
    assert path.scores[0] == path.n_parameters[0] + 60


def test_feature_names_are_kept(digits):
    X = pd.DataFrame(digits[0], columns=[f"pixel{k}" for k in range(64)])
    settings = {"target_sizes": [0.5, 0.2], "estimator": with_settings(max_iter=2)}
    for rows in ({}, {"X_val": X, "y_val": digits[1]}):
        for clf in l0_path(X, digits[1], **settings, **rows).estimators:
            assert list(clf.feature_names_in_) == list(X.columns)
            clf.predict(X)
    with pytest.raises(ValueError, match="feature names"):
        l0_path(X, digits[1], **settings, X_val=X[X.columns[::-1]], y_val=digits[1])


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_multilabel_targets(container):
    X, Y = make_multilabel_classification(n_samples=200, n_features=10, random_state=0)
    path = l0_path(X, container(Y), target_sizes=[0.5, 0.1], estimator=with_settings(max_iter=3))
    assert path.estimators[1].predict(X).shape == Y.shape
    assert sp.issparse(path.estimators[1].predict(X)) == (container is sp.csr_matrix)


def test_a_column_of_labels_is_taken_with_a_warning(digits):
    from sklearn.exceptions import DataConversionWarning

    with pytest.warns(DataConversionWarning) as caught:
        l0_path(
            digits[0],
            digits[1][:, None],
            target_sizes=[0.5, 0.2],
            estimator=with_settings(max_iter=1),
        )
    assert sum(issubclass(w.category, DataConversionWarning) for w in caught) == 1


def test_early_stopping_keeps_to_the_size(digits):
    clf = with_settings(early_stopping=True, max_iter=10)
    path = l0_path(*digits, target_sizes=[0.5, 0.05], estimator=clf)
    assert (path.n_parameters <= [FULL * 0.5, FULL * 0.05]).all()


def test_a_warm_start_to_a_smaller_size_forgets_the_best_network_so_far(digits):
    clf = with_settings(early_stopping=True, warm_start=True, target_size=0.5).fit(*digits)
    clf.set_params(target_size=300).fit(*digits)
    assert clf.n_parameters_ <= 300


def test_ctrl_c_ends_the_path(digits, monkeypatch):
    from fastl0.training.trainer import Trainer

    run_epoch, n_epochs = Trainer.run_epoch, []

    def interrupted(*args):
        n_epochs.append(1)
        if len(n_epochs) > 3:
            raise KeyboardInterrupt
        return run_epoch(*args)

    monkeypatch.setattr(Trainer, "run_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        l0_path(*digits, target_sizes=[0.5, 0.2], estimator=with_settings(max_iter=5))
    assert len(n_epochs) == 4


# --- weights -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights(digits):
    """Rows of the upper five digits count little."""
    return np.where(digits[1] < 5, 1.0, 0.01)


def test_rows_are_trained_by_their_weights(digits, weights):
    X, y = digits
    settings = {"target_sizes": [0.3, 0.1], "X_val": X, "y_val": y, "estimator": QUICK}
    weighted = l0_path(X, y, sample_weight=weights, **settings)
    alone = with_settings(target_size=0.3).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(weighted.estimators[0].coefs_[0], alone.coefs_[0])
    plain = l0_path(X, y, **settings)
    for low, high in zip(weighted.estimators, plain.estimators, strict=True):
        assert low.score(X[y >= 5], y[y >= 5]) < high.score(X[y >= 5], y[y >= 5])


def test_given_rows_are_scored_by_their_weights(digits, weights):
    X, y = digits
    path = l0_path(
        X[:500],
        y[:500],
        target_sizes=[0.3, 0.1],
        estimator=QUICK,
        sample_weight=weights[:500],
        X_val=X[500:],
        y_val=y[500:],
        sample_weight_val=weights[500:],
    )
    for clf, score in zip(path.estimators, path.scores, strict=True):
        assert score == clf.score(X[500:], y[500:], weights[500:])


def test_rows_set_aside_are_scored_by_their_weights(digits, weights):
    scored = []

    def scorer(clf, X, y, sample_weight=None):
        scored.append((y, sample_weight))
        return clf.score(X, y, sample_weight)

    settings = {"target_sizes": [0.3], "estimator": with_settings(max_iter=2), "scoring": scorer}
    l0_path(*digits, sample_weight=weights, **settings)
    l0_path(*digits, **settings)
    (labels, taken), (_, without) = scored
    np.testing.assert_array_equal(taken, np.where(labels < 5, 1.0, 0.01))
    assert without is None


def test_rows_set_aside_may_all_weigh_nothing():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.arange(60) % 2
    clf = HardL0MLPClassifier((4,), max_iter=2, random_state=0)
    from fastl0.data.split import validation_split

    _, judge = validation_split(60, 0.1, 0, y, "")
    weights = np.ones(60)
    weights[judge] = 0.0
    path = l0_path(X, y, target_sizes=[0.8], estimator=clf, sample_weight=weights)
    assert path.scores[0] == path.estimators[0].score(X[judge], y[judge])


# --- numbers -----------------------------------------------------------------------------


REGRESSOR = HardL0MLPRegressor((30,), max_iter=40, learning_rate_init=0.01, random_state=0)


@pytest.fixture(scope="module")
def numbers():
    return make_regression(400, 10, n_informative=4, noise=5.0, random_state=0)


def test_a_regressor_goes_down_a_path(numbers):
    X, y = numbers
    path = l0_path(X, y, target_sizes=[0.6, 0.2, 0.08], estimator=REGRESSOR)
    assert (path.n_parameters <= 361 * np.array([0.6, 0.2, 0.08])).all()
    assert (path.scores[:2] > 0.9).all()
    for reg in path.estimators:
        assert isinstance(reg, HardL0MLPRegressor)
        alone = pickle.loads(pickle.dumps(reg))
        np.testing.assert_array_equal(alone.predict(X), reg.predict(X))
    first = clone(REGRESSOR).set_params(target_size=0.6)
    given = l0_path(X, y, target_sizes=[0.6], estimator=REGRESSOR, X_val=X, y_val=y)
    np.testing.assert_array_equal(first.fit(X, y).coefs_[0], given.estimators[0].coefs_[0])


def test_many_numbers_and_losses_go_down_a_path(numbers):
    X, y = numbers
    model = clone(REGRESSOR).set_params(loss="absolute_error", max_iter=10)
    scorer = make_scorer(median_absolute_error, greater_is_better=False)
    path = l0_path(
        sp.csr_array(X),
        np.column_stack([y, 3.0 - y]),
        target_sizes=[0.6, 0.3],
        estimator=model,
        scoring=scorer,
    )
    assert path.estimators[1].predict(X).shape == (400, 2)
    assert (path.scores < 0.0).all()


def test_a_regressor_is_trained_and_scaled_by_weights(numbers):
    X, y = numbers
    weights = np.linspace(0.0, 2.0, 400)
    path = l0_path(
        X, y, target_sizes=[0.5], estimator=REGRESSOR, sample_weight=weights, X_val=X, y_val=y
    )
    alone = clone(REGRESSOR).set_params(target_size=0.5).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(path.estimators[0].coefs_[0], alone.coefs_[0])
    assert path.estimators[0].center_ == pytest.approx(np.average(y, weights=weights))


# --- few rows, few classes, other numbers ------------------------------------------------


def test_a_path_of_a_constant(digits):
    y = np.full(len(digits[1]), "a")
    path = l0_path(digits[0], y, target_sizes=SIZES, estimator=with_settings(max_iter=5))
    assert path.scores.tolist() == [1.0] * 3
    assert (path.n_parameters <= FULL_OF_ONE * np.array(SIZES)).all()
    for clf in path.estimators:
        assert clf.predict_proba(digits[0][:2]).tolist() == [[1.0, 0.0]] * 2


def test_a_mini_batch_is_clipped_to_the_rows_of_a_path(digits):
    clipped, whole = (with_settings(max_iter=3, batch_size=size) for size in (10**6, 540))
    with pytest.warns(UserWarning, match="^Got `batch_size` .* larger than sample size"):
        found = l0_path(*digits, target_sizes=[0.5, 0.3], estimator=clipped)
    wanted = l0_path(*digits, target_sizes=[0.5, 0.3], estimator=whole)
    for a, b in zip(found.estimators, wanted.estimators, strict=True):
        assert set(a.history_["batch_size"]) == {540}
        assert a.loss_curve_ == b.loss_curve_
        assert a.batch_size == 10**6


def test_settings_and_sizes_may_be_fractions(digits):
    found, wanted = (
        l0_path(
            *digits,
            target_sizes=[as_real(Fraction(1, 2)), as_real(Fraction(1, 4))],
            estimator=with_settings(max_iter=3, alpha=as_real(Fraction(1, 1024))),
            validation_fraction=as_real(Fraction(1, 8)),
        )
        for as_real in (Fraction, float)
    )
    np.testing.assert_array_equal(found.scores, wanted.scores)
    np.testing.assert_array_equal(found.n_parameters, wanted.n_parameters)
    assert [clf.target_size for clf in found.estimators] == [Fraction(1, 2), Fraction(1, 4)]


# --- errors ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_sizes": []}, r"`target_sizes` must.*got \[\].*None"),
        ({"target_sizes": 0.3}, r"`target_sizes` must be a list.*got 0.3"),
        ({"target_sizes": "64KiB"}, r"`target_sizes` must be a list.*got '64KiB'"),
        ({"target_sizes": [0.5, 3755]}, r"`target_sizes` must differ.*0.5 and 3755.*3755 param"),
        ({"target_sizes": [0.5, 1e-6]}, r"at least one unit in each layer, got 1e-06"),
        (
            {"target_sizes": [9000]},
            r"^`target_sizes`.*got 9000\. Give 22 to 7510 parameters.* In a search .* give shares",
        ),
        ({"target_sizes": [Decimal("0.5")]}, r"`target_sizes` must be.*got Decimal\('0.5'\)"),
        ({"validation_fraction": Decimal("0.5")}, r"`validation_fraction`.*Decimal\('0.5'\)"),
        ({"target_sizes": [0.5, None]}, "got None"),
        ({"estimator": HardL0MLPClassifier(lam=0.3)}, r"`estimator` must.*lam=0.3.*lam=None"),
        ({"estimator": HardL0MLPClassifier(pruning="soft")}, r"`estimator` must.*pruning=\"soft\""),
        ({"estimator": HardL0MLPClassifier(alpha=-1)}, "'alpha'"),
        ({"validation_fraction": 1.0}, r"`validation_fraction` must.*\(0, 1\), got 1.0"),
        ({"validation_fraction": 5}, r"`validation_fraction` must.*got 5"),
        ({"validation_fraction": 0.001}, r"`validation_fraction`=0.001.*600 rows.*X_val"),
        ({"X_val": np.zeros((3, 64))}, r"`X_val` and `y_val`.*Give `y_val`"),
        ({"y_val": np.zeros(3)}, r"`X_val` and `y_val`.*Give `X_val`"),
        ({"X_val": np.zeros((3, 63)), "y_val": np.zeros(3)}, "`X_val` or `y_val`: .*63 features"),
        ({"X_val": np.zeros((3, 64)), "y_val": np.zeros(4)}, "`X_val` or `y_val`: .*inconsistent"),
        ({"X_val": np.zeros((3, 64)), "y_val": np.full(3, 12)}, r"`y_val` must hold labels out of"),
        ({"scoring": "brilliance"}, "brilliance"),
        ({"sample_weight": np.ones(3)}, r"sample_weight.*600"),
        (
            {"sample_weight": np.full(600, -1.0)},
            "`sample_weight` must not be negative, got -1",
        ),
        ({"sample_weight": np.zeros(600)}, "`sample_weight` must not be zero in every row"),
        ({"sample_weight_val": np.ones(3)}, "`sample_weight_val` must be given together.*`X_val`"),
        (
            {"X_val": np.ones((3, 64)), "y_val": np.ones(3), "sample_weight_val": np.ones(2)},
            "sample_weight_val",
        ),
        ({"scoring": lambda clf, X, y: "good"}, "`scoring` must give one number.*'good'.*lambda"),
        ({"scoring": lambda clf, X, y: {"a": 1.0}}, r"`scoring` must give one number.*\{'a': 1.0"),
        ({"scoring": lambda clf, X, y: np.ones(2)}, "`scoring` must give one number.*array"),
        ({"scoring": lambda clf, X, y: None}, "`scoring` must give one number.*None"),
    ],
)
def test_errors_name_the_rule_the_value_and_the_remedy(digits, settings, message):
    settings = {"estimator": with_settings(max_iter=1)} | settings
    with pytest.raises(ValueError, match=message):
        l0_path(*digits, **settings)


def test_what_a_scorer_raises_says_that_it_was_the_scorer(digits):
    settings = {"estimator": with_settings(max_iter=1), "target_sizes": [0.5]}
    weights = np.ones(len(digits[1]))
    with pytest.raises(TypeError, match="unexpected keyword argument 'sample_weight'") as caught:
        l0_path(*digits, **settings, sample_weight=weights, scoring="neg_max_error")
    assert "`scoring`=make_scorer(max_error" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    "size",
    [
        1e-6,
        1.5,
        0,
        0.0,
        -3,
        10**9,
        True,
        None,
        np.nan,
        [0.5],
        "64 MB",
        "1 B",
        "huge",
        "64 XB",
        b"1",
    ],
)
def test_errors_about_sizes_name_the_parameter(digits, size):
    """Not the `target_size` of the estimator that is fitted in the end."""
    for model in (QUICK, REGRESSOR):
        with pytest.raises(ValueError, match=r"^`target_sizes`"):
            l0_path(*digits, target_sizes=[0.5, size], estimator=model)


def test_scores_may_be_any_kind_of_number(digits):
    for number in (np.float32(0.5), 1, np.int64(2), True):
        path = l0_path(
            *digits,
            target_sizes=[0.5],
            estimator=with_settings(max_iter=1),
            scoring=lambda clf, X, y, number=number: number,
        )
        assert path.scores.tolist() == [float(number)]


def test_only_the_estimators_themselves_go_down_a_path(digits):
    from sklearn.linear_model import LogisticRegression

    kinds = "a HardL0MLPClassifier or a HardL0MLPRegressor"
    with pytest.raises(TypeError, match=f"`estimator` must be {kinds}, got LogisticRegression"):
        l0_path(*digits, estimator=LogisticRegression())


def test_the_docstring_example_is_true():
    assert n_failed(l0_path) == 0
