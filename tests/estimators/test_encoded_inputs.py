"""Estimators with `encoding="piecewise"`: inputs as parts, from the fit to the prediction."""

import pickle

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from fastl0 import (
    HardL0MLPClassifier,
    HardL0MLPClassifierCV,
    HardL0MLPRegressor,
    HardL0MLPRegressorCV,
    l0_path,
)
from fastl0.model.encoding import PART

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = {"encoding": "piecewise", "max_iter": 30, "random_state": 0, "learning_rate_init": 0.01}
CLASSIFIER = HardL0MLPClassifier((20,), **SETTINGS)
REGRESSOR = HardL0MLPRegressor((20,), **SETTINGS)


def rows(n_rows=300, seed=0):
    """X of four inputs, the last of noise and missing in places, and a step in each target."""
    rng = np.random.default_rng(seed)
    X = rng.normal(50.0, 10.0, (n_rows, 4))
    y = (np.abs(X[:, 0] - 50.0) < 5.0).astype(int) + 2 * (X[:, 1] > 57.0)
    X[rng.random(n_rows) < 0.1, 3] = np.nan
    return X, y


X, LABELS = rows()
NUMBERS = LABELS + 0.1 * np.nan_to_num(X[:, 2])
FITS = [(CLASSIFIER, LABELS), (REGRESSOR, NUMBERS)]


def same_network(a, b):
    pairs = zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True)
    return np.array_equal(a.parts_, b.parts_) and all(np.array_equal(x, y) for x, y in pairs)


def plain(X):
    return StandardScaler().fit_transform(np.nan_to_num(X, nan=50.0))


@pytest.mark.parametrize(("estimator", "y"), FITS)
def test_a_network_bends_at_thresholds(estimator, y):
    """Half a thousand parameters do what a network of plain inputs takes far longer to learn."""
    settings = {"target_size": 500, "max_iter": 100}
    encoded = clone(estimator).set_params(**settings).fit(X, y)
    line = clone(estimator).set_params(activation="identity", **settings)
    X_test, labels = rows(1000, seed=1)
    y_test = labels if y is LABELS else labels + 0.1 * np.nan_to_num(X_test[:, 2])
    straight = clone(line).set_params(encoding="none", target_size=None).fit(plain(X), y)
    assert encoded.n_parameters_ <= 500
    # Even one without a hidden nonlinearity bends with the parts that it reads.
    assert line.fit(X, y).score(X_test, y_test) > straight.score(plain(X_test), y_test) + 0.1
    assert encoded.score(X_test, y_test) > straight.score(plain(X_test), y_test) + 0.1


@pytest.mark.parametrize(("estimator", "y"), FITS)
def test_fitted_attributes_speak_of_inputs(estimator, y):
    model = clone(estimator).set_params(target_size=0.3).fit(X, y)
    parts = model.parts_
    assert parts.dtype == PART
    assert model.n_units_[0] == len(parts) == len(model.coefs_[0])
    assert model.support_.shape == (4,)
    assert np.array_equal(np.flatnonzero(model.support_), np.unique(parts["input"]))
    assert model.feature_importances_.shape == (4,)
    assert model.feature_importances_.sum() == pytest.approx(1.0)
    assert np.array_equal(model.feature_importances_ > 0, model.support_)
    assert model.transform(X).shape == (300, model.support_.sum())
    n_weights = sum(a.size for a in model.coefs_ + model.intercepts_)
    assert model.n_parameters_ == n_weights + 2 * len(parts)
    assert model.history_["n_parameters"][-1] == model.n_parameters_
    # Of a network of the inputs as they are.
    widths = (4, 20, model.n_outputs_)
    full = sum((i + 1) * o for i, o in zip(widths[:-1], widths[1:], strict=True))
    assert model.n_parameters_ <= 0.3 * full


def test_without_an_encoding_there_are_no_parts():
    assert HardL0MLPClassifier((5,), max_iter=2).fit(plain(X), LABELS).parts_ is None


@pytest.mark.parametrize(("estimator", "y"), FITS)
def test_every_form_of_x_gives_the_same_network(estimator, y):
    expected = clone(estimator).fit(X, y)
    forms = [np.asfortranarray(X), sp.csr_array(X), sp.csc_array(X), da.from_array(X, (300, 4))]
    for form in forms:
        found = clone(estimator).fit(form, y)
        assert same_network(found, expected)
        np.testing.assert_array_equal(found.predict(form), expected.predict(X))
        np.testing.assert_array_equal(found.predict(X), expected.predict(X))


def test_blocks_smaller_than_x_place_the_same_bins():
    found = clone(CLASSIFIER).set_params(shuffle=False).fit(da.from_array(X, (37, 4)), LABELS)
    assert same_network(found, clone(CLASSIFIER).set_params(shuffle=False).fit(X, LABELS))
    assert found.score(da.from_array(X, (37, 4)), LABELS) == found.score(X, LABELS)


def test_float32_rows_and_single_rows_predict_as_many_do():
    model = clone(CLASSIFIER).fit(X, LABELS)
    whole = model.predict_proba(X)
    for k in (0, 17, int(np.flatnonzero(np.isnan(X[:, 3]))[0])):
        np.testing.assert_allclose(model.predict_proba(X[k : k + 1])[0], whole[k], rtol=1e-6)
    single = model.predict_proba(X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, whole, atol=1e-4)


def test_missing_values_are_learned_from():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(400, 2))
    missing = rng.random(400) < 0.4
    Z[missing, 0] = np.nan
    model = clone(CLASSIFIER).fit(Z, missing)
    assert model.score(Z, missing) == 1.0
    assert model.parts_["is_missing"].any()


def test_what_is_missing_for_the_first_time_counts_as_the_mean():
    Z = np.where(np.isnan(X), 50.0, X)
    model = clone(REGRESSOR).set_params(pruning="none", activation="identity").fit(Z, NUMBERS)
    missing, typical = Z[:1].copy(), Z.copy()
    missing[0, 0] = np.nan
    typical[:, 1:] = Z[0, 1:]
    # Of a sum of parts the mean over all rows is what it is where each part has its mean.
    np.testing.assert_allclose(model.predict(missing), model.predict(typical).mean(), rtol=1e-4)


def test_nan_without_an_encoding_and_infinity_with_one_are_errors():
    with pytest.raises(ValueError, match="NaN"):
        HardL0MLPClassifier(max_iter=1).fit(X, LABELS)
    bad = X.copy()
    bad[3, 1] = np.inf
    for form in (bad, da.from_array(bad, (50, 4))):
        with pytest.raises(ValueError, match="infinity"):
            clone(CLASSIFIER).fit(form, LABELS)
    with pytest.raises(ValueError, match="float32 range"):
        clone(CLASSIFIER).fit(np.where(np.isnan(X), X, 1e300), LABELS)


def test_a_value_that_is_none_of_the_encodings_is_refused():
    with pytest.raises(ValueError, match="encoding"):
        HardL0MLPClassifier(encoding="bins").fit(X, LABELS)


def test_rows_without_a_weight_place_no_bins():
    Z = np.vstack([X, 1000.0 + X])
    weights = np.repeat([1.0, 0.0], 300)
    found = clone(CLASSIFIER).fit(Z, np.tile(LABELS, 2), sample_weight=weights)
    assert found.parts_["start"].max() < 200.0


def test_validation_rows_place_no_bins():
    settings = {"early_stopping": True, "validation_fraction": 0.5}
    Z = X.copy()
    model = clone(CLASSIFIER).set_params(**settings).fit(Z, LABELS, X_val=1000.0 + X, y_val=LABELS)
    assert model.parts_["start"].max() < 200.0
    assert np.isfinite(model.validation_loss_curve_).all()
    by_blocks = clone(CLASSIFIER).set_params(**settings)
    by_blocks.fit(da.from_array(Z, (60, 4)), LABELS)
    assert by_blocks.best_validation_score_ > 0.5


def test_a_scorer_sees_inputs():
    seen = []

    def scorer(estimator, X_val, y_val):
        seen.append(estimator.support_.shape)
        return estimator.score(X_val, y_val)

    model = clone(CLASSIFIER).set_params(early_stopping=True, scoring=scorer, max_iter=5)
    model.fit(X, LABELS)
    assert set(seen) == {(4,)}


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_change_nothing(n_threads, monkeypatch):
    big = rows(2000)
    monkeypatch.setattr("fastl0.estimators.build_config.usable_threads", lambda: n_threads)
    for form in (big[0], sp.csr_array(big[0])):
        found = clone(CLASSIFIER).set_params(hidden_layer_sizes=(50, 20)).fit(form, big[1])
        monkeypatch.setattr("fastl0.estimators.build_config.usable_threads", lambda: 1)
        alone = clone(CLASSIFIER).set_params(hidden_layer_sizes=(50, 20)).fit(big[0], big[1])
        assert same_network(found, alone)


# --- going on ----------------------------------------------------------------------------


def test_a_warm_start_keeps_its_bins():
    model = clone(CLASSIFIER).set_params(warm_start=True).fit(X, LABELS)
    before = model.parts_
    model = pickle.loads(pickle.dumps(model)).fit(X + 5.0, LABELS)
    assert set(model.parts_.tolist()) <= set(before.tolist())


def test_a_warm_start_cannot_change_the_encoding():
    model = clone(CLASSIFIER).set_params(warm_start=True).fit(X, LABELS)
    with pytest.raises(ValueError, match="encoding"):
        model.set_params(encoding="none").fit(plain(X), LABELS)


class Killed(Exception):
    """Ends a fit."""


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_fit_that_was_killed_ends_as_if_nothing_had_happened(tmp_path, early_stopping):
    model = clone(CLASSIFIER).set_params(early_stopping=early_stopping)
    expected = clone(model).fit(X, LABELS)

    def kill(epoch, *_):
        if epoch == 12:
            raise Killed

    again = model.set_params(checkpoint_dir=tmp_path)
    with pytest.raises(Killed):
        clone(again)._fit(X, LABELS, on_epoch=kill)
    assert same_network(clone(again).fit(X, LABELS), expected)


@pytest.mark.parametrize(("estimator", "y"), FITS)
def test_a_stream_takes_its_bins_from_the_first_rows_or_from_a_fit(estimator, y):
    classes = {"classes": np.unique(y)} if y is LABELS else {}
    stream = clone(estimator).partial_fit(X[:100], y[:100], **classes)
    bins = set(stream.parts_.tolist())
    for k in range(100, 300):
        stream.partial_fit(X[k : k + 1], y[k : k + 1])
    stream.partial_fit(X, y).partial_fit(sp.csr_array(X), y)
    assert set(stream.parts_.tolist()) <= bins
    assert pickle.loads(pickle.dumps(stream)).score(X, y) == stream.score(X, y)
    fitted = clone(estimator).fit(X, y)
    bins = set(fitted.parts_.tolist())
    fitted.partial_fit(X[:1], y[:1])
    assert set(fitted.parts_.tolist()) <= bins


def test_a_stream_needs_some_rows_for_its_bins():
    model = clone(REGRESSOR)
    with pytest.raises(ValueError, match=r"at least 10, got 3.*call fit"):
        model.partial_fit(X[:3], NUMBERS[:3])
    assert not hasattr(model, "n_features_in_")


# --- the rest of scikit-learn ------------------------------------------------------------


def test_a_path_and_a_search_over_sizes():
    path = l0_path(X, LABELS, target_sizes=[0.8, 0.3], estimator=CLASSIFIER)
    assert path.n_parameters[0] > path.n_parameters[1]
    search = HardL0MLPClassifierCV(CLASSIFIER, target_sizes=[0.8, 0.3], cv=2).fit(X, LABELS)
    assert search.support_.shape == (4,)
    assert np.isfinite(search.predict_proba(X)).all()
    search = HardL0MLPRegressorCV(REGRESSOR, target_sizes=[0.8, 0.3], cv=2).fit(X, NUMBERS)
    assert np.isfinite(search.predict(X)).all()


def test_a_grid_search_over_encodings():
    grid = {"net__encoding": ["none", "piecewise"]}
    filled = np.nan_to_num(X, nan=50.0)
    pipe = Pipeline([("scale", StandardScaler()), ("net", CLASSIFIER)])
    search = GridSearchCV(pipe, grid, cv=2).fit(filled, LABELS)
    assert search.best_params_["net__encoding"] in grid["net__encoding"]


def test_inputs_that_may_not_go_keep_all_of_their_parts():
    model = clone(CLASSIFIER).set_params(gate_inputs=False, target_size=0.5).fit(X, LABELS)
    assert model.support_.all()
    assert model.n_units_[0] == len(
        clone(model).set_params(pruning="none", target_size=None).fit(X, LABELS).parts_
    )


@pytest.mark.parametrize("pruning", ["hard", "soft", "none"])
@pytest.mark.parametrize("batch_size", [1, 37, "dynamic"])
def test_every_pruning_and_mini_batch_learns(pruning, batch_size):
    settings = {"pruning": pruning, "batch_size": batch_size, "max_iter": 12}
    assert clone(CLASSIFIER).set_params(**settings).fit(X, LABELS).score(X, LABELS) > 0.6


def test_scikit_learns_own_mlp_has_no_parts():
    with pytest.raises(ValueError, match=r"`encoding` must be 'none' for to_sklearn"):
        clone(CLASSIFIER).fit(X, LABELS).to_sklearn()
