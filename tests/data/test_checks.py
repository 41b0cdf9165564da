"""Kinds of X in memory or in a mapped file: what is refused; none is made dense or copied whole."""

import datetime as dt
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from frames import FRAMES, NAMED
from scipy.io import loadmat
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor, l0_path
from fastl0.data import checks

SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 2, "random_state": 0, "target_size": 0.5}


def classifier(**changes):
    return HardL0MLPClassifier(**{**SETTINGS, **changes})


def assert_same(found, expected):
    assert found.loss_curve_ == expected.loss_curve_
    for a, b in zip(found.coefs_, expected.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def sparse(n_rows, n_columns, density, rng):
    # By place: SciPy 1.15 gave the generator another name.
    return sp.csr_array(sp.random(n_rows, n_columns, density, "csr", np.float32, rng))


def peak_of(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@threadpool_limits.wrap(limits=1)  # each thread takes memory of its own
def peaks(X, y, clf):
    """Bytes that each method takes at most beyond what is there already."""
    fitted = clone(clf).fit(X, y)
    return {
        "fit": peak_of(lambda: clone(clf).fit(X, y)),
        "X_val": peak_of(lambda: clone(clf).fit(X[:100], y[:100], X_val=X, y_val=y)),
        "partial_fit": peak_of(lambda: clone(clf).partial_fit(X, y, classes=np.unique(y))),
        "predict": peak_of(lambda: fitted.predict(X)),
        "score": peak_of(lambda: fitted.score(X, y)),
        "transform": peak_of(lambda: fitted.transform(X[:100])),
    }


# --- as it is, or converted -------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
def test_readable_dtypes_come_back_as_they_are(dtype):
    X = np.ones((3, 2), dtype)
    assert checks.as_readable(X) is X
    S = sp.csr_array(X)
    assert checks.as_readable(S) is S


@pytest.mark.parametrize(
    ("dtype", "becomes"), [("f2", "f4"), (">f4", "f4"), (">f8", "f8"), (">i8", "f8"), ("g", "f8")]
)
def test_other_dtypes_are_converted(dtype, becomes):
    X = np.arange(6).reshape(3, 2).astype(dtype)
    found = checks.as_readable(X)
    assert found.dtype == np.dtype(becomes)
    np.testing.assert_array_equal(found, X)


@pytest.mark.parametrize("value", [1e39, -1e39])
def test_values_beyond_float32_are_refused(value):
    for X in (np.array([[value]]), sp.csr_array(np.array([[value]]))):
        with pytest.raises(ValueError, match="X must hold values within the float32 range"):
            checks.as_readable(X)
    checks.as_readable(np.array([[np.finfo(np.float32).max]], np.float64))


def test_csr_with_gaps_or_mixed_indices_is_rebuilt():
    X = sp.csr_array(np.array([[0.0, 2, 0], [1, 0, 3]]))
    gaps = sp.csr_array(X)
    gaps.indices = np.repeat(X.indices, 2)[::2]
    mixed = sp.csr_array(X)
    mixed.indptr = X.indptr.astype(np.int64)
    for odd in (gaps, mixed):
        found = checks.as_readable(odd)
        assert found.indices.dtype == found.indptr.dtype
        assert found.indices.flags.c_contiguous
        np.testing.assert_array_equal(found.toarray(), X.toarray())


@pytest.mark.parametrize("kind", ["M8[s]", "m8[s]"])
def test_dates_are_no_numbers(kind):
    with pytest.raises(ValueError, match="X must hold numbers, got dtype"):
        checks.as_readable(np.zeros((2, 2), kind))


@pytest.mark.parametrize("place", ["indices", "indptr"])
@pytest.mark.parametrize("value", [-1, 3, 10**6])
def test_unsound_csr_matrices_are_refused(place, value):
    X = sp.csr_array(np.eye(3))
    getattr(X, place)[1] = value
    if (place, value) == ("indptr", 3):
        X.indptr[2] = 2
    with pytest.raises(ValueError, match="not a sound CSR matrix"):
        checks.as_readable(X)


# --- sparse --------------------------------------------------------------------------

FORMATS = ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"]


@pytest.fixture(scope="module")
def counts():
    """Word counts that tell two kinds of texts apart."""
    rng = np.random.default_rng(0)
    X = sparse(400, 300, 0.02, rng)
    X = sp.csr_matrix(X)
    return X, (np.asarray(X @ rng.normal(size=300)) > 0).astype(int)


@pytest.mark.filterwarnings("ignore:Constructing a DIA matrix")
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array])
def test_every_sparse_format_makes_the_network_of_the_dense_array(counts, form, kind):
    X, y = counts
    dense = X.toarray()
    given = kind(X).asformat(form)
    before = given.copy()
    expected = classifier().fit(dense, y)
    found = classifier().fit(given, y, X_val=given, y_val=y)
    assert_same(found, expected)
    assert_same(
        classifier().partial_fit(given, y, classes=[0, 1]),
        classifier().partial_fit(dense, y, classes=[0, 1]),
    )
    np.testing.assert_array_equal(found.predict(given), expected.predict(dense))
    np.testing.assert_allclose(
        found.predict_proba(given), expected.predict_proba(dense), rtol=1e-5, atol=1e-7
    )
    kept = found.transform(given)
    assert sp.issparse(kept)
    np.testing.assert_array_equal(kept.toarray(), dense[:, found.support_])
    regressor = HardL0MLPRegressor(**SETTINGS)
    assert_same(clone(regressor).fit(given, y), clone(regressor).fit(dense, y))
    assert (given != before).nnz == 0
    assert given.format == form


@pytest.mark.parametrize("form", ["csr", "csc"])
def test_sparse_matrices_are_never_made_dense(form):
    rng = np.random.default_rng(0)
    X = sparse(2000, 20_000, 0.001, rng)
    y = rng.integers(0, 2, 2000)
    for method, peak in peaks(X.asformat(form), y, classifier()).items():
        assert peak < 4 * X.shape[0] * X.shape[1] / 8, method


def basehock():
    file = Path(os.environ.get("FASTL0_DATA", ""), "basehock", "BASEHOCK.mat")
    if not file.is_file():
        pytest.skip("FASTL0_DATA names no folder with basehock/BASEHOCK.mat")
    saved = loadmat(file)
    return sp.csr_matrix(saved["X"].astype(np.float32)), saved["Y"].ravel()


@pytest.mark.parametrize("form", ["csr", "csc"])
def test_texts_of_thousands_of_words_are_never_made_dense(form):
    X, y = basehock()
    assert X.shape[1] > 4000
    dense_nbytes = 4 * X.shape[0] * X.shape[1]
    clf = classifier(hidden_layer_sizes=(16,), max_iter=60, target_size=0.1)
    rows = np.random.default_rng(0).permutation(len(y))
    X, y = X[rows].asformat(form), y[rows]
    learnt = clone(clf).fit(X[:1500], y[:1500])
    assert learnt.score(X[1500:], y[1500:]) > 0.9
    assert learnt.support_.sum() < 0.5 * X.shape[1]
    for method, peak in peaks(X, y, clf.set_params(max_iter=2)).items():
        assert peak < dense_nbytes / 4, method


# --- mapped files --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f8", "f4", "i2", "u1", "?"])
def test_mapped_files_are_read_in_mini_batches(tmp_path, dtype):
    rng = np.random.default_rng(0)
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", dtype, (48_000, 400))
    for start in range(0, len(X), 4000):
        X[start : start + 4000] = rng.integers(0, 2, (4000, 400))
    X.flush()
    y = X[:, 0] != X[:, 1]
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    most = 15 * 2**20
    assert X.nbytes > most
    for method, peak in peaks(X, y, classifier(max_iter=1)).items():
        assert peak < most, method


# --- data frames ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(0)
    n = 300
    found = {
        "speed": rng.normal(size=n).astype(np.float32),
        "count": rng.integers(0, 9, n),
        "on": rng.random(n) < 0.5,
        "heat": rng.normal(size=n),
    }
    y = ((found["speed"] > 0) ^ found["on"]).astype(int)
    return found, y, np.column_stack(list(found.values()))


@pytest.mark.parametrize("library", NAMED)
def test_frames_of_mixed_dtypes_are_the_array_of_their_columns(columns, library):
    found, y, X = columns
    frame = FRAMES[library](found)
    clf = classifier().fit(frame, y, X_val=frame, y_val=y)
    assert_same(clf, classifier().fit(X, y))
    np.testing.assert_array_equal(clf.predict_proba(frame), classifier().fit(X, y).predict_proba(X))
    assert clf.feature_names_in_.tolist() == list(found)
    assert clf.get_feature_names_out().tolist() == [
        name for name, kept in zip(found, clf.support_, strict=True) if kept
    ]
    stream = classifier().partial_fit(frame, y, classes=[0, 1])
    assert_same(stream, classifier().partial_fit(X, y, classes=[0, 1]))
    assert stream.feature_names_in_.tolist() == list(found)


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("output", FRAMES)
def test_transform_returns_frames_where_it_is_told_to(columns, library, output):
    found, y, X = columns
    frame = FRAMES[library](found)
    clf = classifier().set_output(transform=output).fit(frame, y)
    kept = clf.transform(frame)
    assert isinstance(kept, FRAMES[output])
    assert list(kept.columns) == clf.get_feature_names_out().tolist()
    np.testing.assert_array_equal(kept.to_numpy(), X[:, clf.support_])


@pytest.mark.parametrize("library", NAMED)
def test_columns_in_another_order_or_of_other_names_are_refused(columns, library):
    found, y, _ = columns
    frame = FRAMES[library](found)
    clf = classifier().fit(frame, y)
    with pytest.raises(ValueError, match="same order"):
        clf.predict(frame[list(found)[::-1]])
    with pytest.raises(ValueError, match="seen at fit time"):
        clf.predict(frame[list(found)[:3]])


def test_nullable_dtypes_count_as_numbers_until_something_is_missing(columns):
    found, y, X = columns
    frame = pd.DataFrame(found)
    nullable = frame.astype(
        {"speed": "Float32", "count": "Int64", "on": "boolean", "heat": "Float64"}
    )
    clf = classifier().fit(nullable, y)
    assert_same(clf, classifier().fit(X, y))
    np.testing.assert_array_equal(clf.predict(nullable), clf.predict(frame))
    nullable.loc[7, "count"] = pd.NA
    for call in (lambda: clf.fit(nullable, y), lambda: clf.predict(nullable)):
        with pytest.raises(ValueError, match="contains NaN"):
            call()


def test_nulls_of_polars_are_missing_values(columns):
    found, y, _ = columns
    frame = pl.DataFrame(found).with_columns(count=pl.Series([None] + [1] * (len(y) - 1)))
    with pytest.raises(ValueError, match="contains NaN"):
        classifier().fit(frame, y)


def test_sparse_columns_stay_sparse():
    rng = np.random.default_rng(0)
    X = sparse(1000, 2000, 0.002, rng)
    y = rng.integers(0, 2, 1000)
    frame = pd.DataFrame.sparse.from_spmatrix(X)
    frame.columns = [f"word{k}" for k in range(2000)]
    clf = classifier()
    assert peak_of(lambda: clf.fit(frame, y)) < 8 * X.shape[0] * X.shape[1] / 2
    assert_same(clf, classifier().fit(X, y))


DAY = dt.date(2020, 1, 1)
OTHER_COLUMNS = {
    "pandas": {
        "category": pd.Categorical(["red", "blue", "red"]),
        "category of numbers": pd.Categorical([3, 1, 2]),
        "strings": ["1.5", "x", "2"],
        "objects": np.array(["x", 1, 2.5], dtype=object),
        "dates": pd.to_datetime(["2020-01-01"] * 3),
        "dates with zone": pd.to_datetime(["2020-01-01"] * 3, utc=True),
        "spans": pd.to_timedelta([1, 2, 3]),
        "complex": [1j, 2, 3],
    },
    "polars": {
        "category": pl.Series(["red", "blue", "red"], dtype=pl.Categorical),
        "enum": pl.Series(["a", "b", "a"], dtype=pl.Enum(["a", "b"])),
        "strings": ["1.5", "x", "2"],
        "dates": [DAY] * 3,
        "spans": [dt.timedelta(1)] * 3,
        "nothing": [None] * 3,
        "lists": [[1], [2], [3]],
    },
}


@pytest.mark.parametrize(
    ("library", "name"), [(lib, name) for lib, found in OTHER_COLUMNS.items() for name in found]
)
def test_columns_without_numbers_are_named(library, name):
    y = [0, 1, 0]
    numbers = {"a": [1.0, 2.0, 3.0], "b": [True, False, True]}
    frame = FRAMES[library]({**numbers, "what": OTHER_COLUMNS[library][name]})
    message = r"^X must hold numbers in every column, got 'what' \(.*\)\. Encode them"
    with pytest.raises(ValueError, match=message):
        classifier().fit(frame, y)
    with pytest.raises(ValueError, match=message):
        classifier().partial_fit(frame, y, classes=[0, 1])
    with pytest.raises(ValueError, match=message):
        classifier().fit(np.eye(3), y).predict(frame)


def test_objects_that_are_numbers_are_converted():
    frame = pd.DataFrame({"a": np.array([1, 2.5, True], dtype=object), "b": [1.0, 2.0, 3.0]})
    X = np.array([[1.0, 1.0], [2.5, 2.0], [1.0, 3.0]])
    assert_same(classifier().fit(frame, [0, 1, 0]), classifier().fit(X, [0, 1, 0]))


def test_of_many_columns_without_numbers_some_are_named():
    frame = pd.DataFrame({f"c{k}": ["x", "y"] for k in range(7)})
    with pytest.raises(ValueError, match=r"'c0' \(.*'c4' \([^']*\) and 2 more\. Encode"):
        classifier().fit(frame, [0, 1])


# --- masks -------------------------------------------------------------------------------


def test_values_that_a_mask_hides_are_missing():
    X = np.ma.masked_array(np.eye(6), mask=False)
    y = np.ma.masked_array(np.arange(6) % 2, mask=False)
    model = HardL0MLPClassifier((3,), max_iter=2, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(np.eye(6)))
    X[0, 3], hidden = np.ma.masked, np.ma.masked_equal(y, 1)
    message = "`X` must have no missing values, got 1 that are masked"
    for call in (model.predict, model.transform, lambda X: model.fit(X, y)):
        with pytest.raises(ValueError, match=message):
            call(X)
    with pytest.raises(ValueError, match="`y` must have no missing values, got 3 that are masked"):
        model.fit(np.eye(6), hidden)


# --- values that are missing -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array(["a", None, "b", None], object), r"None in row 1 \(2 in all\)"),
        (["a", "b", None], r"None in row 2 \(1 in all\)"),
        (("a", float("nan")), r"nan in row 1 \(1 in all\)"),  # NumPy would make "nan" of it
        ([["a", "b"], ["c", None]], r"None in row 1 \(1 in all\)"),
        (np.array([[1, 2], [3, 4], [None, None]], object), r"None in row 2 \(2 in all\)"),
        (pd.Series(["a", None]), r"(None|nan) in row 1 \(1 in all\)"),
        (pd.Series(["a", pd.NA], dtype=object), r"<NA> in row 1 \(1 in all\)"),
        (pd.Series(["a", pd.NA], dtype="string"), r"<NA> in row 1 \(1 in all\)"),
        (pd.Series([pd.NaT, "a"], dtype=object), r"NaT in row 0 \(1 in all\)"),
        (pd.Categorical(["a", None]), r"nan in row 1 \(1 in all\)"),
    ],
)
def test_missing_values_among_objects_are_told_by_row(values, message):
    remedy = r"\. Leave such rows out, or fill them\."
    with pytest.raises(
        ValueError, match=rf"^`y` must have no missing values, got {message}{remedy}"
    ):
        checks.check_no_missing("y", values)


@pytest.mark.parametrize(
    "values",
    [
        None,
        "abc",
        [],
        ["a", "b"],
        [1, 2.5, np.float32(3)],
        np.array(["a", "b"], object),
        np.array([[1], [None]], object)[:1],
        pd.Series(["a", "b"], dtype="category"),
        sp.csr_array([[0, 1]]),
        np.array([1.0, np.nan]),  # scikit-learn's checks tell
    ],
)
def test_values_that_are_all_there_are_let_pass(values):
    checks.check_no_missing("y", values)


@pytest.mark.parametrize("kind", [HardL0MLPClassifier, HardL0MLPRegressor])
def test_a_missing_target_is_told_wherever_it_is_given(kind):
    X, good = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
    bad = good.astype(object)
    bad[3] = None
    model = kind((3,), max_iter=2)
    more = {"classes": [0, 1]} if kind is HardL0MLPClassifier else {}
    message = r"`y` must have no missing values, got None in row 3 \(1 in all\)"
    for call in (
        lambda: model.fit(X, bad),
        lambda: model.partial_fit(X, bad, **more),
        lambda: l0_path(X, bad, estimator=model),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            call()
    for method in (model.fit, lambda *data, **val: model.partial_fit(*data, **more, **val)):
        with pytest.raises(ValueError, match=f"^`X_val` or `y_val`: {message}"):
            method(X, good, X_val=X, y_val=bad)
    assert vars(model) == vars(kind((3,), max_iter=2))
