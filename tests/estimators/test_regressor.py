"""`HardL0MLPRegressor` as its users meet it: losses, scales, outputs, attributes, errors."""

import copy
import pickle
import re
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from doctests import n_failed
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_regression
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastl0 import HardL0MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: Learns small problems within seconds.
QUICK = {
    "hidden_layer_sizes": (40,),
    "batch_size": 20,
    "learning_rate_init": 0.005,
    "max_iter": 200,
    "random_state": 0,
}
LOSSES = ["squared_error", "absolute_error", "huber", "quantile", "poisson"]
every_loss = pytest.mark.parametrize("loss", LOSSES)


def same_network(a, b):
    pairs = zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True)
    return np.array_equal(a.support_, b.support_) and all(np.array_equal(x, y) for x, y in pairs)


def waves(n_rows=600, n_noise=4, seed=0):
    """Rows of which two features matter, and a smooth positive function of these."""
    X = np.random.default_rng(seed).uniform(-2, 2, size=(n_rows, 2 + n_noise))
    return X, 3.0 + np.sin(2 * X[:, 0]) + X[:, 1]


X, Y = waves()


@parametrize_with_checks(
    [
        HardL0MLPRegressor(),
        HardL0MLPRegressor(pruning="none", loss="huber"),
        HardL0MLPRegressor(pruning="soft", normalize_y=False),
        HardL0MLPRegressor(encoding="piecewise"),
    ]
)
def test_scikit_learn_checks(estimator, check):
    if "sample_weight_equivalence" in str(check):
        # scikit-learn's own settings for MLPRegressor: all rows are one mini-batch. Few steps:
        # the rounding of float32 adds up to the bound, which is meant for float64.
        estimator = clone(estimator).set_params(
            pruning="none", solver="sgd", tol=1e-2, max_iter=3, random_state=42
        )
    check(estimator)


# --- learning ----------------------------------------------------------------------------


@every_loss
def test_every_loss_learns_and_selects_the_features_that_matter(loss):
    reg = HardL0MLPRegressor(**QUICK, loss=loss, target_size=0.3).fit(X, Y)
    assert reg.score(X, Y) > 0.95
    assert reg.support_[:2].all()
    assert reg.support_.sum() < 6
    assert reg.n_parameters_ <= 0.3 * (40 * 8 + 1)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_every_activation_and_solver_learns(activation, solver):
    rate = {"adam": 0.005, "sgd": 0.05}[solver]
    settings = QUICK | {"learning_rate_init": rate, "pruning": "none"}
    reg = HardL0MLPRegressor(activation=activation, solver=solver, **settings).fit(X, Y)
    assert reg.score(X, Y) > (0.6 if activation == "identity" else 0.9)


def noisy(n_rows=3000, seed=0):
    """One feature, and targets with skewed noise whose spread grows with it."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 2, size=(n_rows, 1))
    return x, 2 * x[:, 0] + (0.5 + x[:, 0]) * rng.exponential(size=n_rows)


@pytest.mark.parametrize("level", [0.05, 0.25, 0.5, 0.9])
def test_a_share_of_the_targets_lies_below_their_quantile(level):
    x, y = noisy()
    reg = HardL0MLPRegressor(**QUICK, loss="quantile", quantile=level, target_size=0.5)
    reg.fit(x, y)
    below = y <= reg.predict(x)
    assert abs(below.mean() - level) < 0.03
    for half in (x[:, 0] < 1, x[:, 0] >= 1):
        assert abs(below[half].mean() - level) < 0.06
    # The quantile of exponential noise is known.
    truth = 2 * x[:, 0] - (0.5 + x[:, 0]) * np.log(1 - level)
    assert np.abs(reg.predict(x) - truth).mean() < 0.25


def test_absolute_errors_find_the_median_and_squared_ones_the_mean():
    x, y = noisy()
    found = {
        loss: HardL0MLPRegressor(**QUICK, loss=loss).fit(x, y).predict(x)
        for loss in ("absolute_error", "squared_error")
    }
    for loss, factor in (("absolute_error", np.log(2)), ("squared_error", 1.0)):
        truth = 2 * x[:, 0] + (0.5 + x[:, 0]) * factor
        assert np.abs(found[loss] - truth).mean() < 0.15


def test_half_the_quantile_is_the_absolute_error():
    settings = QUICK | {"max_iter": 5, "alpha": 0.0, "pruning": "none", "solver": "sgd"}
    half = HardL0MLPRegressor(**settings, loss="quantile").fit(X, Y)
    settings["learning_rate_init"] /= 2
    whole = HardL0MLPRegressor(**settings, loss="absolute_error").fit(X, Y)
    np.testing.assert_allclose(half.predict(X), whole.predict(X), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(2 * np.array(half.loss_curve_), whole.loss_curve_, rtol=1e-3)


def test_counts_have_their_means():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(3000, 3))
    means = np.exp(1 + x[:, 0])
    y = rng.poisson(means)
    reg = HardL0MLPRegressor(**QUICK, loss="poisson", target_size=0.3).fit(x, y)
    predicted = reg.predict(x)
    assert (predicted > 0).all()
    np.testing.assert_allclose(predicted.mean(), y.mean(), rtol=0.03)
    np.testing.assert_allclose(predicted, means, rtol=0.25)
    assert np.abs(np.log(predicted / means)).mean() < 0.06


def test_some_losses_do_not_mind_outliers():
    rng = np.random.default_rng(0)
    spoilt = np.where(rng.random(len(Y)) < 0.1, 40.0, Y)
    errors = {}
    for loss in ("huber", "absolute_error", "squared_error"):
        reg = HardL0MLPRegressor(
            **QUICK, loss=loss, delta=0.03, pruning="none", learning_rate="cosine"
        ).fit(X, spoilt)
        errors[loss] = np.abs(reg.predict(X) - Y).mean()
    assert errors["huber"] < 0.5
    assert errors["absolute_error"] < 0.5
    assert errors["squared_error"] > 4.0


def test_a_wide_huber_is_the_squared_error():
    settings = QUICK | {"max_iter": 8}
    wide = HardL0MLPRegressor(**settings, loss="huber", delta=1e6).fit(X, Y)
    squared = HardL0MLPRegressor(**settings, loss="squared_error").fit(X, Y)
    assert same_network(wide, squared)


# --- targets of any scale ----------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("factor", [1e-30, 1e-6, 1e6, 1e28])
def test_the_unit_of_the_targets_does_not_matter(loss, factor):
    settings = QUICK | {"max_iter": 10}
    plain = HardL0MLPRegressor(**settings, loss=loss).fit(X, Y)
    other = HardL0MLPRegressor(**settings, loss=loss).fit(X, factor * Y)
    np.testing.assert_allclose(other.predict(X) / factor, plain.predict(X), rtol=0.02, atol=0.02)
    assert other.score(X, factor * Y) == pytest.approx(plain.score(X, Y), abs=0.01)
    np.testing.assert_allclose(other.loss_curve_, plain.loss_curve_, rtol=0.02)
    assert other.n_units_ == plain.n_units_


@pytest.mark.parametrize("offset", [-1e4, 1e3])
def test_targets_far_from_zero(offset):
    reg = HardL0MLPRegressor(**QUICK).fit(X, Y + offset)
    assert reg.score(X, Y + offset) > 0.95


@pytest.mark.parametrize("several", [False, True])
def test_a_spread_that_float32_loses_is_warned_of(several):
    far = Y + 1e8
    y = np.column_stack([Y, far]) if several else far
    with pytest.warns(UserWarning, match=r"y lies around 1e\+08 .* steps of 8\. Subtract a const"):
        reg = HardL0MLPRegressor(**QUICK | {"max_iter": 2}).fit(X, y)
    predicted = np.ravel(reg.predict(X.astype(np.float32))[..., -1])
    assert set((predicted.astype(float) - 1e8) % 8) == {0.0}


def test_columns_of_other_units_count_the_same():
    both = np.column_stack([1e-4 * Y, 1e5 * X[:, 1], np.full(len(X), 7.0)])
    reg = HardL0MLPRegressor(**QUICK, target_size=0.5).fit(X, both)
    predicted = reg.predict(X)
    assert predicted.shape == both.shape
    assert reg.n_outputs_ == reg.n_units_[-1] == 3
    for column in (0, 1):
        error = np.mean((predicted - both)[:, column] ** 2)
        assert error < 0.1 * both[:, column].var()
    np.testing.assert_allclose(predicted[:, 2], 7.0, atol=0.5)
    np.testing.assert_allclose(reg.center_, both.mean(axis=0))
    np.testing.assert_allclose(reg.scale_, [*both[:, :2].std(axis=0), 1.0])


@every_loss
@pytest.mark.parametrize("value", [0.0, 7.0, 1e9])
def test_constant_targets_are_predicted(loss, value):
    if loss == "poisson" and value == 0.0:
        with pytest.raises(ValueError, match="in each column somewhere > 0"):
            HardL0MLPRegressor(loss=loss).fit(X, np.zeros(len(X)))
        return
    reg = HardL0MLPRegressor(**QUICK, loss=loss).fit(X, np.full(len(X), value))
    np.testing.assert_allclose(reg.predict(X), value, rtol=0.1, atol=0.3)


def test_targets_may_be_taken_as_they_are():
    reg = HardL0MLPRegressor(**QUICK, normalize_y=False).fit(X, Y)
    assert (reg.center_, reg.scale_) == (0.0, 1.0)
    assert reg.score(X, Y) > 0.95
    scaled = HardL0MLPRegressor(**QUICK, normalize_y=True).fit(X, scale(Y))
    other = HardL0MLPRegressor(**QUICK, normalize_y=False).fit(X, scale(Y))
    np.testing.assert_allclose(scaled.predict(X), other.predict(X), atol=0.05)


def test_targets_too_large_as_they_are_have_their_remedy():
    X = np.random.default_rng(0).normal(size=(40, 2))
    settings = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}
    with pytest.raises(ValueError, match=r"and the targets .normalize_y=True. or lower"):
        HardL0MLPRegressor(**settings, normalize_y=False).fit(X, 1e29 * X[:, 0])
    with pytest.raises(ValueError, match=r"StandardScaler. or lower"):
        HardL0MLPRegressor(**settings).fit(1e38 * np.sign(X), X[:, 0])


def test_the_loss_is_in_units_of_the_spread():
    reg = HardL0MLPRegressor(**QUICK, pruning="none").fit(X, 1000 * Y)
    residuals = (1000 * Y - reg.predict(X)) / (1000 * Y).std()
    np.testing.assert_allclose(reg.loss_, np.mean(residuals**2) / 2, rtol=0.5)
    assert reg.loss_curve_[0] < 3.0


# --- attributes and outputs --------------------------------------------------------------


def test_shared_parameters_have_the_defaults_of_mlpregressor():
    ours, theirs = HardL0MLPRegressor().get_params(), MLPRegressor().get_params()
    shared = set(ours) & set(theirs) - {"hidden_layer_sizes"}
    assert len(shared - {"loss"}) >= 21  # `loss` came with scikit-learn 1.7
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


def test_attributes_agree_with_each_other():
    reg = HardL0MLPRegressor(**QUICK | {"hidden_layer_sizes": (20, 10)}).fit(X, Y)
    inputs, *hidden, outputs = reg.n_units_
    assert [c.shape for c in reg.coefs_] == list(
        zip((inputs, *hidden), (*hidden, outputs), strict=True)
    )
    assert reg.n_parameters_ == sum(a.size for a in reg.coefs_ + reg.intercepts_)
    assert all(a.dtype == np.float32 for a in reg.coefs_ + reg.intercepts_)
    assert (reg.n_outputs_, reg.n_layers_, reg.out_activation_) == (1, 4, "identity")
    assert not hasattr(reg, "classes_")
    assert reg.history_["loss"] == reg.loss_curve_
    assert reg.history_["n_parameters"][-1] == reg.n_parameters_


@pytest.mark.parametrize(
    ("y", "shape"),
    [(Y, (600,)), (np.column_stack([Y, -Y]), (600, 2)), (Y.astype(np.float16), (600,))],
)
def test_predictions_have_the_shape_of_the_targets(y, shape):
    reg = HardL0MLPRegressor(max_iter=2).fit(X, y)
    assert reg.predict(X).shape == shape
    assert reg.predict(X).dtype == np.float64
    assert reg.predict(X.astype(np.float32)).dtype == np.float32
    assert reg.predict(X.astype(np.int8)).dtype == np.float32


def test_a_column_of_targets_is_taken_with_a_warning():
    flat = HardL0MLPRegressor(max_iter=2, random_state=0).fit(X, Y)
    column = HardL0MLPRegressor(max_iter=2, random_state=0)
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        column.fit(X, Y[:, None])
    assert same_network(flat, column)
    assert column.predict(X).shape == (600,)


@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", "?", "f2", ">f8", "O"])
def test_targets_of_any_number_type(dtype):
    counts = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 50, 600)
    settings = {"max_iter": 3, "random_state": 0}
    a = HardL0MLPRegressor(**settings).fit(X, counts)
    b = HardL0MLPRegressor(**settings).fit(X, counts.astype(dtype))
    c = HardL0MLPRegressor(**settings).fit(X, counts.tolist())
    assert same_network(a, b)
    assert same_network(a, c)


def test_several_outputs_score_as_the_mean_of_their_scores():
    both = np.column_stack([Y, X[:, 1]])
    reg = HardL0MLPRegressor(**QUICK).fit(X, both)
    each = [
        1 - np.sum((both[:, k] - reg.predict(X)[:, k]) ** 2) / (len(X) * both[:, k].var())
        for k in range(2)
    ]
    assert reg.score(X, both) == pytest.approx(np.mean(each))
    assert min(each) > 0.9


# --- weights -----------------------------------------------------------------------------


@every_loss
def test_rows_without_weight_teach_nothing(loss):
    garbage = np.concatenate([Y, 100 + 50 * np.sin(np.arange(900))])
    rows = np.concatenate([X, np.random.default_rng(1).normal(size=(900, 6))])
    weights = np.repeat([2.0, 0.0], [600, 900])
    reg = HardL0MLPRegressor(**QUICK, loss=loss).fit(rows, garbage, weights)
    assert reg.score(X, Y) > 0.9
    assert HardL0MLPRegressor(**QUICK, loss=loss).fit(rows, garbage).score(X, Y) < 0.9
    expected = 0.0 if loss == "poisson" else Y.mean()
    assert reg.center_[0] == pytest.approx(expected)


def test_weights_that_are_all_the_same_are_as_none():
    none = HardL0MLPRegressor(**QUICK | {"max_iter": 5}, alpha=0.0, lam=0.0).fit(X, Y)
    same = clone(none).fit(X, Y, sample_weight=np.full(600, 3.5))
    assert same_network(none, same)


# --- what fit leaves behind --------------------------------------------------------------


@every_loss
def test_a_pickled_regressor_predicts_the_same(loss):
    reg = HardL0MLPRegressor(**QUICK | {"max_iter": 5}, loss=loss).fit(X, Y)
    other = pickle.loads(pickle.dumps(reg))
    np.testing.assert_array_equal(reg.predict(X), other.predict(X))
    assert len(pickle.dumps(reg)) < 4 * reg.n_parameters_ + 4000


@pytest.mark.parametrize("y", [Y, np.column_stack([Y, 1e3 * Y])], ids=["one", "two"])
def test_warm_start_goes_on_bit_for_bit(y):
    settings = QUICK | {"lam": 0.3, "finetune_fraction": 0.0}
    whole = HardL0MLPRegressor(**settings | {"max_iter": 12}).fit(X, y)
    parts = HardL0MLPRegressor(**settings | {"max_iter": 6}, warm_start=True)
    parts = pickle.loads(pickle.dumps(parts.fit(X, y), 5)).fit(X, y)
    assert (parts.n_iter_, len(parts.loss_curve_)) == (6, 12)
    assert parts.history_["loss"] == whole.history_["loss"]
    assert same_network(parts, whole)


def test_warm_start_keeps_the_scale_of_the_first_fit():
    reg = HardL0MLPRegressor(**QUICK, warm_start=True).fit(X, Y)
    reg.fit(X, 10 * Y)
    assert reg.center_[0] == pytest.approx(Y.mean())
    assert reg.scale_[0] == pytest.approx(Y.std())
    assert reg.score(X, 10 * Y) > 0.9
    with pytest.raises(ValueError, match="`y` must have 1 columns, as in the first fit, got 2"):
        reg.fit(X, np.column_stack([Y, Y]))


def test_early_stopping_keeps_the_best_network():
    reg = HardL0MLPRegressor(**QUICK, early_stopping=True, lam=0.01).fit(X, Y)
    assert len(reg.validation_scores_) == reg.n_iter_
    assert reg.best_validation_score_ == max(reg.validation_scores_) > 0.9
    assert reg.best_loss_ is None
    assert reg.t_ == reg.n_iter_ * 540


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_a_size_in_bytes_is_that_of_weights_and_biases(loss):
    reg = HardL0MLPRegressor(**QUICK | {"hidden_layer_sizes": (300,)}, loss=loss, target_size="3kB")
    reg.fit(X, np.column_stack([Y, Y]))
    assert 0.9 * 3000 < 4 * reg.n_parameters_ <= 3000


# --- inputs ------------------------------------------------------------------------------


def test_every_layout_of_the_same_numbers_gives_the_same_model():
    rows = np.round(4 * X).astype(np.float32)
    wide = np.zeros((1200, 12))
    wide[::2, ::2] = rows
    frozen = rows.astype(np.int32)
    frozen.setflags(write=False)
    reference = HardL0MLPRegressor(**QUICK | {"max_iter": 6}).fit(rows, Y)
    for other in (
        np.asfortranarray(rows),
        wide[::2, ::2],
        frozen,
        rows[::-1].copy()[::-1],
        sp.csr_array(rows),
        sp.csc_matrix(rows),
        sp.coo_array(rows),
        pd.DataFrame(rows),
        rows.tolist(),
    ):
        reg = clone(reference).fit(other, Y)
        assert same_network(reg, reference)
        np.testing.assert_allclose(reg.predict(other), reference.predict(rows), rtol=1e-4)


def test_it_works_in_pipelines_searches_and_around_a_transformed_target():
    rows, y = load_diabetes(return_X_y=True)
    model = make_pipeline(StandardScaler(), HardL0MLPRegressor(**QUICK, target_size=0.3))
    assert cross_val_score(model, rows, y, cv=3).mean() > 0.25
    search = GridSearchCV(
        model, {"hardl0mlpregressor__alpha": [0.001, 1e5]}, cv=2, error_score="raise"
    )
    assert search.fit(rows, y).best_params_ == {"hardl0mlpregressor__alpha": 0.001}
    logarithmic = TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp)
    assert logarithmic.fit(rows, y).score(rows, y) > 0.3


def test_the_defaults_learn():
    rows, y = make_regression(500, 20, n_informative=5, noise=5.0, random_state=0)
    reg = HardL0MLPRegressor(random_state=0).fit(rows[:400], y[:400])
    assert reg.score(rows[400:], y[400:]) > 0.9
    assert reg.n_parameters_ <= 0.3 * (21 * 200 + 201 * 100 + 101)


@pytest.mark.parametrize(
    ("loss", "settings"),
    [("quantile", {"quantile": Fraction(3, 4)}), ("huber", {"delta": Fraction(3, 2)})],
)
def test_parameters_of_losses_may_be_fractions(loss, settings):
    found, wanted = (
        HardL0MLPRegressor(
            **QUICK | {"max_iter": 3}, loss=loss, **{k: as_real(v) for k, v in settings.items()}
        ).fit(X, Y)
        for as_real in (Fraction, float)
    )
    assert same_network(found, wanted)


# --- errors ------------------------------------------------------------------------------

X4, Y4 = np.arange(12.0).reshape(4, 3), np.array([0.5, 1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "l2"}, "'loss'.*'poisson'.*Got 'l2'"),
        ({"loss": "quantile", "quantile": 1.0}, r"'quantile'.*\(0.0, 1.0\).*Got 1.0"),
        ({"delta": 0.0}, "'delta'"),
        ({"normalize_y": "yes"}, "'normalize_y'"),
        ({"target_size": 10**6}, "`target_size` must leave the network no larger than it is"),
    ],
)
def test_bad_parameters_name_the_rule_and_the_value(settings, message):
    with pytest.raises(ValueError, match=message):
        HardL0MLPRegressor(**settings).fit(X4, Y4)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("huber", np.array([1, 2, np.nan, 4]), "NaN"),
        ("huber", np.array([1, 2, np.inf, 4]), "infinity"),
        ("huber", np.array([1, 2, 1e31, 4]), r"`y` must hold finite values.*1e\+31.*Divide"),
        ("huber", np.array(["a", "b", "c", "d"]), "`y` must hold numbers.*HardL0MLPClassifier"),
        ("huber", Y4 + 1j, "[Cc]omplex"),
        ("huber", Y4[:3], "inconsistent"),
        ("huber", np.zeros((4, 2, 2)), "dim"),
        ("huber", sp.csr_array(Y4[:, None]), "`y` must be a dense array"),
        ("huber", sp.csr_array(np.ones((4, 2))), "`y` must be a dense array"),
        ("poisson", -Y4, '`y` must be >= 0.*"poisson".*squared_error'),
        ("poisson", np.zeros(4), "`y` must be >= 0, and in each column somewhere > 0"),
    ],
)
def test_bad_targets_get_a_clear_error_and_leave_nothing(loss, y, message):
    reg = HardL0MLPRegressor(loss=loss, max_iter=2)
    with pytest.raises((ValueError, TypeError), match=message):
        reg.fit(X4, y)
    assert vars(reg) == vars(HardL0MLPRegressor(loss=loss, max_iter=2))


def test_a_failed_fit_leaves_the_last_model_as_it_was():
    reg = HardL0MLPRegressor(max_iter=2, random_state=0).fit(X, Y)
    before = pickle.dumps(reg)
    for rows, y in ((X[:, :3], -Y[:5]), (X * 1e30, Y)):
        with pytest.raises(ValueError, match=r"inconsistent|not finite"):
            reg.fit(rows, y)
        assert pickle.dumps(reg) == before


def test_predict_refuses_other_features_and_an_unfitted_model():
    with pytest.raises(NotFittedError):
        HardL0MLPRegressor().predict(X)
    reg = HardL0MLPRegressor(max_iter=2).fit(X, Y)
    with pytest.raises(ValueError, match=re.escape("X has 7 features")):
        reg.predict(np.ones((2, 7)))
    with pytest.raises(ValueError, match="NaN"):
        reg.predict(np.full((1, 6), np.nan))


def test_a_copy_is_independent():
    reg = HardL0MLPRegressor(max_iter=2, random_state=0).fit(X, Y)
    other, expected = copy.deepcopy(reg), reg.predict(X)
    reg.fit(X, -Y)
    np.testing.assert_array_equal(other.predict(X), expected)


def test_the_docstring_example_is_true():
    assert n_failed(HardL0MLPRegressor) == 0
