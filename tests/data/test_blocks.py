"""X that is read by blocks: where blocks lie, what is checked, and what estimators make of it."""

import pickle
import tracemalloc

import dask.array as da
import numpy as np
import pandas as pd
import polars as pl
import pytest
import zarr
from block_arrays import Endless, Sliceable
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fastl0 import HardL0MLPClassifier, HardL0MLPClassifierCV, HardL0MLPRegressor, l0_path
from fastl0.data import blocks
from fastl0.data.blocks import BlockReader, is_blockwise, load_if_blockwise, sort_if_blockwise

ROW_NBYTES = 64 * 4  # of digits


@pytest.fixture
def small_blocks(monkeypatch):
    """600 rows of digits make many blocks, and more than one window."""
    monkeypatch.setattr(blocks, "AT_ONCE", 20 * ROW_NBYTES)
    monkeypatch.setattr(blocks, "MOST", 40 * ROW_NBYTES)
    monkeypatch.setattr("fastl0.training.batches.WINDOW_NBYTES", 110 * ROW_NBYTES)


def edges_of(X):
    found = BlockReader(X)
    return [found.places(number).start for number in range(len(found.sizes()))] + [X.shape[0]]


# --- which objects -------------------------------------------------------------------


def as_zarr(values, chunks):
    stored = zarr.create_array(
        store=zarr.storage.MemoryStore(), shape=values.shape, chunks=chunks, dtype=values.dtype
    )
    stored[:] = values
    return stored


def test_arrays_that_give_rows_by_slices_are_read_by_blocks():
    X = np.zeros((10, 3))
    for found in (Sliceable(X), da.from_array(X), as_zarr(X, (5, 3)), BlockReader(Sliceable(X))):
        assert is_blockwise(found)


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((3, 2)),
        np.float64(1.0),
        np.ma.zeros((3, 2)),
        [[0.0, 1.0]],
        csr_matrix((3, 2)),
        pd.DataFrame({"a": [1.0]}),
        pd.Series([1.0]),
        pl.DataFrame({"a": [1.0]}),
        pl.Series([1.0]),
        memoryview(bytearray(3)),
        None,
        "rows",
    ],
)
def test_what_is_in_memory_is_not(X):
    assert not is_blockwise(X)


def test_a_y_out_of_memory_is_read():
    y = np.arange(10)
    for given_y in (da.from_array(y, chunks=3), as_zarr(y, (3,))):
        found = load_if_blockwise(given_y)
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, y)
    assert load_if_blockwise(y) is y


# --- where blocks lie ----------------------------------------------------------------


def test_without_chunks_blocks_are_as_large_as_is_read_at_once(monkeypatch):
    monkeypatch.setattr(blocks, "AT_ONCE", 4 * 24)
    assert edges_of(Sliceable(np.zeros((10, 3)))) == [0, 4, 8, 10]


@pytest.mark.parametrize("regular", [True, False])
@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (1, [0, 4, 8, 12, 16, 20]),
        (3, [0, 3, 6, 9, 12, 15, 18, 20]),
        (7, [0, 7, 14, 20]),
        (9, [0, 4, 9, 13, 18, 20]),
        (20, [0, 6, 13, 20]),
    ],
)
def test_chunks_are_joined_or_parted(monkeypatch, step, expected, regular):
    monkeypatch.setattr(blocks, "AT_ONCE", 4 * 24)
    monkeypatch.setattr(blocks, "MOST", 7 * 24)
    rows = (step,) * (20 // step) + ((20 % step,) if 20 % step else ())
    chunks = (step, 3) if regular else (rows, (3,))
    assert edges_of(Sliceable(np.zeros((20, 3)), chunks)) == expected


@pytest.mark.parametrize(
    "chunks",
    [
        *[None, True, (), ((3, 4), (3,)), "auto", (0, 3), (-4, 3), (None, 3), ((), (3,))],
        *[((12, -2), (3,)), ((np.nan, np.nan), (3,)), ((4.0, 6.0), (3,))],
    ],
)
def test_chunks_that_tell_nothing_are_passed_over(monkeypatch, chunks):
    monkeypatch.setattr(blocks, "AT_ONCE", 4 * 24)
    assert edges_of(Sliceable(np.zeros((10, 3)), chunks)) == [0, 4, 8, 10]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 20))
def test_blocks_keep_to_chunks_and_limits(chunks, few):
    if not sum(chunks):
        return
    most = 3 * few
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "AT_ONCE", few)
        patch.setattr(blocks, "MOST", most)
        X = Sliceable(np.zeros((sum(chunks), 1), np.uint8), (tuple(chunks), (1,)))
        edges = edges_of(X)
    assert edges[0] == 0
    assert edges[-1] == sum(chunks)
    sizes = np.diff(edges)
    assert sizes.min() > 0
    assert sizes.max() <= most
    ends = np.cumsum(chunks)
    for size, start, stop in zip(sizes, edges[:-1], edges[1:], strict=True):
        inside = ends[(ends > start) & (ends < stop)]
        assert len(inside) == 0 or size <= few  # several chunks in one block
    # Chunks that are not too large are in one block each.
    for n, end in zip(chunks, ends, strict=True):
        if 0 < n <= most:
            assert not any(end - n < edge < end for edge in edges)


# --- what is read --------------------------------------------------------------------


@pytest.fixture
def rows_of_three(monkeypatch):
    monkeypatch.setattr(blocks, "AT_ONCE", 3 * 8)
    X = np.arange(20, dtype=np.int32).reshape(10, 2)
    return X, Sliceable(X)


def test_blocks_hold_all_rows(rows_of_three):
    X, source = rows_of_three
    found = BlockReader(source)
    assert (found.shape, found.dtype) == (X.shape, X.dtype)
    for places, values in found:
        np.testing.assert_array_equal(values, X[places])
    np.testing.assert_array_equal(found.whole(), X)
    assert source.reads == 2 * [(0, 3), (3, 6), (6, 9), (9, 10)]


@pytest.mark.parametrize("rows", [[0, 1, 2, 7], [4], [3, 9], list(range(10))])
def test_blocks_without_wanted_rows_are_not_read(rows_of_three, rows):
    X, source = rows_of_three
    some = BlockReader(source)[np.array(rows)]
    assert source.reads == []
    np.testing.assert_array_equal(some.whole(), X[rows])
    assert sorted({start // 3 for start, _ in source.reads}) == sorted({r // 3 for r in rows})
    np.testing.assert_array_equal(some[np.array([0])].whole(), X[rows[:1]])


def test_rows_ascend_for_blocks_only(rows_of_three):
    X, source = rows_of_three
    rows = np.array([3, 1, 2])
    np.testing.assert_array_equal(sort_if_blockwise(BlockReader(source), rows), [1, 2, 3])
    assert sort_if_blockwise(X, rows) is rows


@pytest.mark.parametrize(
    ("dtype", "read"),
    [("?", "?"), ("u1", "u1"), ("i8", "i8"), ("f2", "f4"), (">f4", "f4"), ("f8", "f8")],
)
def test_blocks_come_in_a_dtype_that_can_be_read(dtype, read):
    X = (np.arange(12).reshape(6, 2) % 2).astype(dtype)
    found = BlockReader(Sliceable(X))
    assert found.dtype == X.dtype
    assert found.read_dtype == found.read(0).dtype == np.dtype(read)
    np.testing.assert_array_equal(found.whole(), X)


class Answering(Sliceable):
    """Gives whatever it is told to give."""

    def __init__(self, values, answer):
        super().__init__(values)
        self._answer = answer

    def __getitem__(self, rows):
        return self._answer(super().__getitem__(rows))


def test_floats_may_come_wider_or_narrower():
    X = np.linspace(0, 1, 12).reshape(6, 2)
    for dtype, given_dtype in [("f8", "f4"), ("f4", "f8"), ("f8", "i4")]:
        source = Answering(X.astype(dtype), lambda rows, to=given_dtype: rows.astype(to))
        assert BlockReader(source).whole().dtype == dtype


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda rows: rows[1:], r"promises, got an array of shape \(5, 2\) for rows 0 to 5"),
        (lambda rows: rows[:, :1], r"promises, got an array of shape \(6, 1\)"),
        (lambda rows: rows.astype(float), "of its dtype int32, got float64 for rows 0 to 5"),
        (lambda rows: rows.astype(np.int64), "of its dtype int32, got int64"),
        (lambda rows: rows.astype(str), "of its dtype int32, got <U11"),
        (lambda rows: np.ma.masked_equal(rows, 3), "no missing values, got some in rows 0 to 5"),
        (csr_matrix, "dense rows when it is sliced, got a sparse csr_matrix"),
    ],
)
def test_a_block_is_what_was_promised(answer, message):
    source = Answering(np.arange(12, dtype=np.int32).reshape(6, 2), answer)
    with pytest.raises(ValueError, match=message):
        BlockReader(source).check()


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (np.nan, "f4", "NaN"),
        (-np.inf, "f8", "infinity"),
        (1e300, "f8", "float32 range"),
    ],
)
def test_numbers_are_finite_and_small_enough(monkeypatch, value, dtype, message):
    monkeypatch.setattr(blocks, "AT_ONCE", 4 * 2 * np.dtype(dtype).itemsize)
    X = np.zeros((10, 2), dtype)
    X[6, 1] = value
    with pytest.raises(ValueError, match=rf"{message}[^$]* This is in rows 4 to 7 of X\."):
        BlockReader(Sliceable(X)).check()


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(5), r"2 dimensions, got shape \(5,\)"),
        (np.zeros((5, 2, 2)), "2 dimensions, got shape"),
        (np.zeros((0, 2)), "one row and one feature or more"),
        (np.zeros((2, 0)), "one row and one feature or more"),
        (np.zeros((5, 2), "U3"), "must hold numbers, got dtype <U3"),
        (np.zeros((5, 2), object), "must hold numbers, got dtype object"),
        (np.zeros((5, 2), complex), "must hold numbers, got dtype complex128"),
    ],
)
def test_the_form_is_checked_before_anything_is_read(X, message):
    source = Sliceable(X)
    for call in (
        lambda: HardL0MLPClassifier().fit(source, np.arange(len(X)) % 2),
        lambda: HardL0MLPClassifier().partial_fit(source, np.arange(len(X)) % 2, classes=[0, 1]),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert source.reads == []


@pytest.mark.parametrize("shape", [(-5, 2), (5, -2)])
def test_a_negative_shape_is_no_shape(shape):
    source = Sliceable(np.zeros((5, 2)))
    source.shape = shape
    with pytest.raises(ValueError, match="one row and one feature or more, got shape"):
        BlockReader(source)


def test_an_unknown_number_of_rows_has_its_remedy():
    X = da.from_array(np.arange(20.0).reshape(10, 2), chunks=(5, 2))
    X = X[X[:, 0] > 3]
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        HardL0MLPClassifier().fit(X, np.arange(8) % 2)
    assert BlockReader(X.compute_chunk_sizes()).shape == (8, 2)


# --- in the estimators ---------------------------------------------------------------

SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0, "target_size": 0.5}


def classifier(**changes):
    return HardL0MLPClassifier(**{**SETTINGS, **changes})


def assert_same(found, expected):
    assert found.loss_curve_ == expected.loss_curve_
    for a, b in zip(found.coefs_, expected.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


KINDS = {
    "slices": lambda X: Sliceable(X),
    "chunks": lambda X: Sliceable(X, (7, 64)),
    "one chunk": lambda X: Sliceable(X, X.shape),
    "dask": lambda X: da.from_array(X, chunks=(50, 20)),
    "zarr": lambda X: as_zarr(X, (32, 64)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_finds_room_at_once_is_trained_on_as_an_array_is(digits, kind):
    X, y = digits
    for settings in ({}, {"batch_size": 32, "solver": "sgd"}, {"shuffle": False}):
        assert_same(classifier(**settings).fit(KINDS[kind](X), y), classifier(**settings).fit(X, y))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_size", [7, 100, "dynamic"])
def test_rows_in_their_own_order_make_the_same_network_whatever_the_blocks(
    digits, kind, batch_size
):
    X, y = digits
    settings = {"shuffle": False, "batch_size": batch_size}
    assert_same(classifier(**settings).fit(KINDS[kind](X), y), classifier(**settings).fit(X, y))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", KINDS)
def test_shuffled_blocks_train_as_well_and_repeat_themselves(digits, kind):
    X, y = digits
    clf = classifier().fit(KINDS[kind](X), y)
    assert_same(clone(clf).fit(KINDS[kind](X), y), clf)
    other = classifier(random_state=1).fit(KINDS[kind](X), y)
    assert other.loss_ != clf.loss_ != classifier().fit(X, y).loss_


@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_one_class_each_are_learnt_from(digits):
    X, y = digits
    rows = np.argsort(y, kind="stable")
    settings = {"max_iter": 60, "hidden_layer_sizes": (40,)}
    clf = classifier(**settings).fit(Sliceable(X[rows]), y[rows])
    assert clf.score(X, y) > 0.95


@pytest.mark.usefixtures("small_blocks")
def test_threads_change_nothing(digits, monkeypatch):
    X, y = digits
    alone = classifier().fit(Sliceable(X), y)
    monkeypatch.setattr("fastl0.estimators.build_config.usable_threads", lambda: 3)
    assert_same(classifier().fit(Sliceable(X), y), alone)


@pytest.mark.usefixtures("small_blocks")
def test_only_small_slices_are_ever_read(digits):
    X, y = digits
    X, other = Sliceable(X), Sliceable(X[:300])
    clf = classifier(early_stopping=True, scoring="balanced_accuracy").fit(X, y)
    clf.fit(X, y, X_val=other, y_val=y[:300])
    clf.partial_fit(X, y, X_val=other, y_val=y[:300])
    clf.predict(X), clf.predict_proba(X), clf.predict_log_proba(X), clf.score(X, y)
    clf.transform(X)
    HardL0MLPRegressor(**SETTINGS).fit(X, y).predict(X)
    for source in (X, other):
        assert source.largest_read <= blocks.MOST


@pytest.mark.usefixtures("small_blocks")
def test_an_epoch_reads_each_block_once_in_another_order(digits):
    X, y = digits
    source = Sliceable(X)
    orders = []

    def note(*_):
        orders.append(source.reads.copy())
        source.reads.clear()

    classifier()._fit(source, y, on_epoch=note)
    n_blocks = 600 // 20
    checked, orders[0] = orders[0][:n_blocks], orders[0][n_blocks:]
    assert checked == sorted(checked)
    for order in orders:
        assert sorted(order) == checked
        assert order != checked
    assert len({tuple(order) for order in orders}) == len(orders)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("kind", KINDS)
def test_predictions_are_those_of_the_array(digits, kind):
    X, y = digits
    clf = classifier().fit(X, y)
    source = KINDS[kind](X)
    np.testing.assert_allclose(clf.predict_proba(source), clf.predict_proba(X), rtol=1e-5)
    np.testing.assert_array_equal(clf.predict(source), clf.predict(X))
    kept = clf.transform(source)
    assert type(kept) is np.ndarray
    assert kept.dtype == X.dtype
    np.testing.assert_array_equal(kept, X[:, clf.support_])
    assert clf.score(source, y) == clf.score(X, y)


@pytest.mark.parametrize("dtype", ["f8", "f4", "u1", "f2"])
def test_probabilities_have_the_dtype_that_those_of_an_array_have(digits, dtype):
    X, y = digits
    X = (16 * X).astype(dtype)
    clf = classifier().fit(X, y)
    assert clf.predict_proba(Sliceable(X)).dtype == clf.predict_proba(X).dtype
    assert clf.transform(Sliceable(X)).dtype == X.dtype


def test_labels_and_weights_may_be_out_of_memory_as_well(digits):
    X, y = digits
    weights = np.linspace(0, 2, len(y))
    expected = classifier().fit(X, y, sample_weight=weights, X_val=X, y_val=y)
    X, y, weights = (da.from_array(part, chunks=100) for part in (X, y, weights))
    found = classifier().fit(X, y, sample_weight=weights, X_val=X, y_val=y)
    assert_same(found, expected)
    assert found.validation_scores_ == expected.validation_scores_
    assert found.score(X, y) == found.score(X, y.compute())
    stream = classifier().partial_fit(X, as_zarr(y.compute(), (50,)), classes=np.arange(10))
    assert_same(stream, classifier().partial_fit(X.compute(), y.compute(), classes=np.arange(10)))


@pytest.mark.usefixtures("small_blocks")
def test_early_stopping_judges_by_rows_that_do_not_train(digits):
    X, y = digits
    for scoring in (None, "neg_log_loss"):
        clf = classifier(early_stopping=True, scoring=scoring, max_iter=8).fit(Sliceable(X), y)
        assert clf.t_ == 8 * 540
        assert len(clf.validation_scores_) == 8
    like_array = classifier(early_stopping=True, validation_fraction=0.5).fit(X, y)
    by_blocks = classifier(early_stopping=True, validation_fraction=0.5).fit(Sliceable(X), y)
    assert abs(like_array.validation_scores_[-1] - by_blocks.validation_scores_[-1]) < 0.2


@pytest.mark.usefixtures("small_blocks")
def test_given_validation_rows_give_the_same_scores(digits):
    X, y = digits
    found = classifier(shuffle=False).fit(X, y, X_val=Sliceable(X[:450]), y_val=y[:450])
    expected = classifier(shuffle=False).fit(X, y, X_val=X[:450], y_val=y[:450])
    assert found.validation_scores_ == expected.validation_scores_
    np.testing.assert_allclose(
        found.validation_loss_curve_, expected.validation_loss_curve_, rtol=1e-5
    )


@pytest.mark.usefixtures("small_blocks")
def test_warm_starts_and_streams_go_on(digits):
    X, y = digits
    warm = classifier(warm_start=True, shuffle=False)
    by_blocks, in_one = clone(warm), clone(warm)
    for _ in range(2):
        by_blocks.fit(Sliceable(X), y)
        in_one.fit(X, y)
    assert_same(by_blocks, in_one)
    settings = {"shuffle": False, "batch_size": 9}
    by_blocks, in_one = classifier(**settings), classifier(**settings)
    for start in (0, 5, 17, 150, 600):
        rows, labels = X[start : start + 150], y[start : start + 150]
        if len(labels):
            by_blocks.partial_fit(Sliceable(rows), labels, classes=np.arange(10))
            in_one.partial_fit(rows, labels, classes=np.arange(10))
    assert_same(by_blocks, in_one)
    few = X[:4], y[:4]
    assert_same(by_blocks.partial_fit(Sliceable(few[0]), few[1]), in_one.partial_fit(*few))


def test_a_regressor_with_several_targets(digits):
    X, _ = digits
    y = X[:, 10:12] + 1
    settings = {**SETTINGS, "hidden_layer_sizes": (16,)}
    found = HardL0MLPRegressor(**settings).fit(Sliceable(X), da.from_array(y, chunks=(100, 1)))
    assert_same(found, HardL0MLPRegressor(**settings).fit(X, y))


@pytest.mark.usefixtures("small_blocks")
def test_in_a_pipeline_and_a_cross_validation(digits):
    X, y = digits
    scaled = make_pipeline(FunctionTransformer(lambda X: X / 2 + 1), classifier(shuffle=False))
    lazy = da.from_array(X, chunks=(50, 64))
    found = clone(scaled).fit(lazy, y)
    assert_same(found[-1], scaled.fit(X, y)[-1])
    np.testing.assert_array_equal(found.predict(lazy), scaled.predict(X))
    scores = cross_val_score(classifier(shuffle=False), lazy, y, cv=2)
    np.testing.assert_array_equal(scores, cross_val_score(classifier(shuffle=False), X, y, cv=2))


@pytest.mark.usefixtures("small_blocks")
def test_paths_take_no_copy(digits):
    X, y = digits
    source = Sliceable(X)
    model = classifier(hidden_layer_sizes=(30,), max_iter=20)
    path = l0_path(source, y, estimator=model, target_sizes=[0.5, 0.2])
    assert path.scores[0] > 0.7
    path = l0_path(source, y, estimator=model, target_sizes=[0.5], X_val=source, y_val=y)
    assert path.scores[0] == path.estimators[0].score(X, y)
    search = HardL0MLPClassifierCV(model, target_sizes=[0.5, 0.2], cv=2).fit(source, y)
    assert search.scores_.shape == (2, 2)
    assert source.largest_read <= blocks.MOST


def test_what_is_wrong_with_x_leaves_the_estimator_as_it_was(digits):
    X, y = digits
    clf = classifier().fit(X, y)
    before = pickle.dumps(clf)
    bad = X.copy()
    bad[500, 3] = np.nan
    for call in (
        lambda: clf.fit(Sliceable(bad), y),
        lambda: clf.fit(Sliceable(X[:, :9]), y[:50]),
        lambda: clf.fit(Sliceable(X), None),
        lambda: clf.fit(X, y, X_val=Sliceable(bad), y_val=y),
        lambda: clf.partial_fit(Sliceable(bad), y),
        lambda: clf.predict(Sliceable(bad)),
        lambda: clf.predict(Sliceable(X[:, :9])),
        lambda: clf.transform(Sliceable(X[:, :9])),
    ):
        with pytest.raises(ValueError, match=r"NaN|inconsistent|y to be passed|expecting 64"):
            call()
    assert pickle.dumps(clf) == before


def test_names_of_features_are_missed(digits):
    X, y = digits
    frame = pd.DataFrame(X).add_prefix("pixel_")
    clf = classifier().fit(frame, y)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        clf.predict(Sliceable(X))


# --- memory --------------------------------------------------------------------------

MOST_GROWTH = 20 * 2**20


def peak_of(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def endless():
    X = Endless(100_000, 200)
    assert X.nbytes > 7 * MOST_GROWTH
    return X, X.labels


def test_a_fit_takes_little_memory(endless):
    clf = classifier(max_iter=1)
    assert peak_of(lambda: clone(clf).fit(*endless)) < MOST_GROWTH
    assert peak_of(lambda: clone(clf).partial_fit(*endless, classes=[False, True])) < MOST_GROWTH


def test_validation_rows_take_little_memory(endless):
    X, y = endless
    few = np.asarray(X[0:1000]), y[:1000]
    clf = classifier(max_iter=1)
    assert peak_of(lambda: clone(clf).fit(*few, X_val=X, y_val=y)) < MOST_GROWTH
    clf.set_params(early_stopping=True, scoring="accuracy")
    assert peak_of(lambda: clone(clf).fit(X, y)) < MOST_GROWTH


def test_predicting_takes_little_memory(endless):
    X, y = endless
    clf = classifier().fit(np.asarray(X[0:1000]), y[:1000])
    assert peak_of(lambda: clf.predict(X)) < MOST_GROWTH
    assert peak_of(lambda: clf.transform(X)) < MOST_GROWTH + X.nbytes * clf.support_.mean()


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_arrays_on_disk_take_little_memory(tmp_path, kind):
    n_rows, n_columns = 40_000, 200
    rng = np.random.default_rng(0)
    X = zarr.create_array(
        tmp_path / "X.zarr", shape=(n_rows, n_columns), chunks=(1000, n_columns), dtype="f8"
    )
    for start in range(0, n_rows, 5000):
        X[start : start + 5000] = rng.normal(size=(5000, n_columns))
    y = rng.integers(0, 2, n_rows)
    rows = da.from_zarr(X) / 2 if kind == "dask" else X
    clf = classifier(max_iter=1)
    assert peak_of(lambda: clone(clf).fit(rows, y).predict(rows)) < MOST_GROWTH
    assert X.nbytes > 2 * MOST_GROWTH
