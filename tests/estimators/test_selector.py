"""Feature selection: what `support_` keeps, by scikit-learn's interface of a selector."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from frames import FRAMES, NAMED
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor

N_FEATURES = 12
NAMES = [f"sensor {k}" for k in range(N_FEATURES)]
SETTINGS = {
    "hidden_layer_sizes": (10,),
    "max_iter": 30,
    "target_size": 40,
    "input_price": 20.0,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def data():
    """The first four inputs matter, the others are noise."""
    return make_classification(
        400, N_FEATURES, n_informative=4, n_redundant=0, shuffle=False, random_state=0
    )


def unfitted(**settings):
    return HardL0MLPClassifier(**SETTINGS | settings)


@pytest.fixture(scope="module")
def fitted(data):
    return unfitted().fit(*data)


@pytest.fixture(scope="module")
def fitted_regressor():
    X, y = make_regression(300, N_FEATURES, n_informative=3, random_state=0)
    return HardL0MLPRegressor(**SETTINGS).fit(X, y)


# --- which inputs --------------------------------------------------------------------


def test_some_inputs_are_kept_and_some_are_not(fitted, fitted_regressor):
    for model in (fitted, fitted_regressor):
        assert 0 < model.support_.sum() < N_FEATURES


def test_support_as_a_mask_and_as_numbers(fitted, fitted_regressor):
    for model in (fitted, fitted_regressor):
        mask = model.get_support()
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, model.support_)
        np.testing.assert_array_equal(model.get_support(indices=True), np.flatnonzero(mask))
        assert mask.sum() == model.n_units_[0]


def test_the_mask_is_a_copy(fitted):
    before = fitted.support_.copy()
    fitted.get_support()[:] = False
    np.testing.assert_array_equal(fitted.support_, before)


def test_noise_is_left_out():
    X, y = make_classification(
        1000, 20, n_informative=4, n_redundant=0, class_sep=2.0, shuffle=False, random_state=1
    )
    clf = HardL0MLPClassifier((20,), target_size=90, input_price=30.0, random_state=0).fit(X, y)
    assert set(clf.get_support(indices=True)) <= {0, 1, 2, 3}


def test_without_gates_on_inputs_all_are_kept(data):
    clf = unfitted(gate_inputs=False, target_size=0.5, max_iter=2).fit(*data)
    assert clf.get_support().all()
    np.testing.assert_array_equal(clf.transform(data[0]), data[0])


def test_selection_follows_partial_fit(data):
    clf = unfitted(max_iter=2, finetune_fraction=0.0)
    for _ in range(6):
        clf.partial_fit(*data, classes=[0, 1])
        assert clf.transform(data[0]).shape[1] == clf.get_support().sum() == clf.n_units_[0]
    assert clf.n_units_[0] < N_FEATURES


# --- transform -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint8, bool])
@pytest.mark.parametrize(
    "container",
    [
        np.asarray,
        np.asfortranarray,
        sp.csr_matrix,
        sp.csr_array,
        sp.csc_matrix,
        sp.csc_array,
        sp.coo_array,
    ],
)
def test_values_and_dtype_are_kept(fitted, data, container, dtype):
    whole = np.abs(10 * data[0][:20]).astype(dtype)
    found = fitted.transform(container(whole))
    assert found.dtype == dtype
    assert sp.issparse(found) == sp.issparse(container(whole))
    dense = found.toarray() if sp.issparse(found) else found
    np.testing.assert_array_equal(dense, whole[:, fitted.support_])


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_sparse_formats_are_kept(fitted, data, kind):
    assert fitted.transform(sp.csr_array(data[0]).asformat(kind)).format == kind


def test_transform_gives_a_copy(fitted, data):
    X = data[0].copy()
    fitted.transform(X)[:] = 0.0
    np.testing.assert_array_equal(X, data[0])


def test_fit_transform_is_fit_and_transform(fitted, data):
    found = unfitted().fit_transform(*data)
    np.testing.assert_array_equal(found, fitted.transform(data[0]))


def test_what_transform_keeps_predicts_the_same(fitted, data):
    X = data[0].copy()
    X[:, ~fitted.support_] = 1e6
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(data[0]))


@pytest.mark.parametrize("width", [N_FEATURES - 1, N_FEATURES + 1])
def test_other_numbers_of_features_are_refused(fitted, width):
    with pytest.raises(ValueError, match=f"{width} features, but .* expecting {N_FEATURES}"):
        fitted.transform(np.zeros((2, width)))


def test_values_that_are_not_finite_are_refused(fitted, data):
    X = data[0][:3].copy()
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fitted.transform(X)


# --- inverse_transform ---------------------------------------------------------------


@pytest.mark.parametrize(
    "container", [np.asarray, sp.csr_matrix, sp.csr_array, sp.csc_matrix, sp.csc_array]
)
def test_zeros_stand_for_what_was_left_out(fitted, data, container):
    X = data[0][:15].astype(np.float32)
    found = fitted.inverse_transform(fitted.transform(container(X)))
    assert found.dtype == np.float32
    assert sp.issparse(found) == sp.issparse(container(X))
    assert isinstance(found, sp.spmatrix) == isinstance(container(X), sp.spmatrix)
    dense = found.toarray() if sp.issparse(found) else found
    np.testing.assert_array_equal(dense, np.where(fitted.support_, X, 0))


def test_inverse_transform_refuses_what_transform_does_not_return(fitted, data):
    with pytest.raises(ValueError, match=r"X must have the \d+ features that `transform` keeps"):
        fitted.inverse_transform(data[0])


# --- names and frames ----------------------------------------------------------------


@pytest.fixture(scope="module")
def frames(data):
    """X with columns of several dtypes, in both kinds of frames."""
    frame = pd.DataFrame(data[0], columns=NAMES)
    for name in NAMES[::3]:
        frame[name] = (10 * frame[name]).astype(np.int16)
    for name in NAMES[1::3]:
        frame[name] = frame[name].astype(np.float32)
    return {"pandas": frame, "polars": pl.DataFrame(frame.to_dict("list")).cast(_polars(frame))}


def _polars(frame):
    kinds = {"int16": pl.Int16, "float32": pl.Float32, "float64": pl.Float64}
    return {name: kinds[str(dtype)] for name, dtype in frame.dtypes.items()}


def test_names_of_unnamed_features(fitted):
    names = [f"x{k}" for k in fitted.get_support(indices=True)]
    assert fitted.get_feature_names_out().tolist() == names


def test_names_that_are_given(fitted):
    kept = [name for name, stays in zip(NAMES, fitted.support_, strict=True) if stays]
    assert fitted.get_feature_names_out(NAMES).tolist() == kept


@pytest.mark.parametrize("given", NAMED)
def test_names_of_named_features(frames, data, given):
    clf = unfitted().fit(frames[given], data[1])
    names = clf.get_feature_names_out()
    assert names.tolist() == list(np.array(NAMES)[clf.support_])
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        clf.get_feature_names_out(NAMES[::-1])


def test_a_wrong_number_of_names_is_refused(fitted):
    with pytest.raises(ValueError, match="input_features should have length"):
        fitted.get_feature_names_out(NAMES[1:])


@pytest.mark.parametrize("given", ["pandas", "polars"])
def test_frames_give_arrays_unless_told_otherwise(frames, data, given):
    X = frames[given]
    found = unfitted().fit(X, data[1]).transform(X)
    assert isinstance(found, np.ndarray)


@pytest.mark.parametrize("wanted", ["pandas", "polars"])
@pytest.mark.parametrize("given", [*NAMED, "array"])
def test_set_output(frames, data, given, wanted):
    X = frames.get(given, data[0])
    clf = unfitted().set_output(transform=wanted)
    found = clf.fit_transform(X, data[1])
    assert type(found) is FRAMES[wanted]
    assert list(found.columns) == clf.get_feature_names_out().tolist()
    np.testing.assert_allclose(np.asarray(found), np.asarray(X)[:, clf.support_])
    if given == wanted:
        assert [found[name].dtype for name in found.columns] == [
            X[name].dtype for name in found.columns
        ]
    if given == wanted == "pandas":
        assert found.index.equals(X.index)


def test_frames_are_still_checked_with_set_output(frames, data):
    X = frames["pandas"]
    clf = unfitted().set_output(transform="pandas").fit(X, data[1])
    with pytest.raises(ValueError, match="feature names"):
        clf.transform(X[NAMES[::-1]])
    with pytest.raises(ValueError, match="NaN"):
        clf.transform(X.astype(float).where(X > 0.0))


# --- among others --------------------------------------------------------------------


def test_it_selects_for_another_classifier(data):
    X, y = data
    pipeline = make_pipeline(StandardScaler(), unfitted(), KNeighborsClassifier())
    pipeline.fit(X[:300], y[:300])
    assert pipeline[-1].n_features_in_ == pipeline[1].get_support().sum() < N_FEATURES
    alone = make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(X[:300], y[:300])
    assert pipeline.score(X[300:], y[300:]) > alone.score(X[300:], y[300:])


def test_names_go_through_a_pipeline(frames, data):
    pipeline = make_pipeline(StandardScaler(), unfitted()).set_output(transform="pandas")
    found = pipeline.fit_transform(frames["pandas"], data[1])
    assert list(found.columns) == pipeline.get_feature_names_out().tolist()
    assert set(found.columns) < set(NAMES)


def test_it_selects_among_some_columns(frames, data):
    transformer = ColumnTransformer(
        [("first", unfitted(target_size=0.6), NAMES[:6]), ("rest", "passthrough", NAMES[6:])]
    ).set_output(transform="pandas")
    found = transformer.fit_transform(frames["pandas"], data[1])
    kept = transformer.named_transformers_["first"].get_feature_names_out()
    assert list(found.columns) == [f"first__{n}" for n in kept] + [f"rest__{n}" for n in NAMES[6:]]


def test_it_stands_beside_other_transformers(data):
    union = FeatureUnion([("all", StandardScaler()), ("kept", unfitted())]).fit(*data)
    assert union.transform(data[0]).shape[1] == N_FEATURES + union["kept"].n_units_[0]
    both = make_column_transformer((unfitted(), slice(0, 6)), (unfitted(), slice(6, N_FEATURES)))
    assert both.fit_transform(*data).shape[1] <= N_FEATURES


def test_a_clone_selects_the_same(fitted, data):
    other = clone(fitted)
    with pytest.raises(NotFittedError):
        other.get_support()
    np.testing.assert_array_equal(other.fit(*data).support_, fitted.support_)


@pytest.mark.parametrize(
    "call",
    [
        lambda model: model.get_support(),
        lambda model: model.transform(np.zeros((2, 3))),
        lambda model: model.inverse_transform(np.zeros((2, 3))),
        lambda model: model.get_feature_names_out(),
    ],
)
@pytest.mark.parametrize("kind", [HardL0MLPClassifier, HardL0MLPRegressor])
def test_an_unfitted_estimator_selects_nothing(kind, call):
    with pytest.raises(NotFittedError):
        call(kind())
