"""Callbacks: every task that begins ends, and a callback can stop training.

`test_callback_shim` runs this file once more, without `sklearn.callback`.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import make_regression

from fastl0 import HardL0MLPClassifier, HardL0MLPClassifierCV, HardL0MLPRegressor, l0_path

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Recorder:
    """Notes what it is told, and asks to stop after a number of epochs."""

    def __init__(self, stop_after=None):
        self.events = []
        self.stop_after = stop_after

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        self.events.append(f"end {context.task_name}")
        if fitted_estimator is not None:
            assert fitted_estimator.predict(X[:3]).shape == (3,)
        return self.events.count("end epoch") == self.stop_after


def expected(n_epochs):
    epochs = ["begin epoch", "end epoch"] * n_epochs
    return ["setup", "begin fit", *epochs, "end fit", "teardown"]


@pytest.fixture
def problems(digits):
    """An unfitted estimator of each kind, and what it learns from."""
    return [
        (HardL0MLPClassifier((10,), max_iter=4, random_state=0), digits),
        (
            HardL0MLPRegressor((10,), max_iter=4, random_state=0),
            make_regression(100, 10, random_state=0),
        ),
    ]


def assert_no_trace(estimator):
    """Nothing of a fit's callbacks is left but themselves."""
    assert not [name for name in vars(estimator) if "callback" in name and name[:5] != "_skl_"]
    assert "_skl_callbacks_to_teardown" not in vars(estimator)


# --- what is told --------------------------------------------------------------------


def test_all_epochs_are_told_of(problems):
    for model, data in problems:
        recorder = Recorder()
        model.set_callbacks(recorder).fit(*data)
        assert recorder.events == expected(4)
        assert_no_trace(model)


def test_a_callback_stops_training(problems):
    for model, data in problems:
        recorder = Recorder(stop_after=3)
        model.set_params(max_iter=50).set_callbacks(Recorder(), recorder).fit(*data)
        assert model.n_iter_ == 3
        assert recorder.events == expected(3)


def test_no_epoch_is_left_open_when_patience_runs_out(digits):
    recorder = Recorder()
    clf = HardL0MLPClassifier(pruning="none", tol=10.0, n_iter_no_change=2)
    clf.set_callbacks(recorder).fit(*digits)
    assert recorder.events == expected(clf.n_iter_)


def test_no_epoch_is_left_open_after_ctrl_c(digits):
    recorder = Recorder()
    clf = HardL0MLPClassifier(max_iter=9).set_callbacks(recorder)

    def interrupt(epoch, *_):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="interrupted"):
        clf._fit(*digits, on_epoch=interrupt, keep_interrupted=True)
    assert recorder.events.count("begin epoch") == recorder.events.count("end epoch") == 3
    assert recorder.events[-2:] == ["end fit", "teardown"]


def test_a_fit_that_fails_is_torn_down(digits):
    class Failing(Recorder):
        def on_fit_task_begin(self, estimator, context):
            super().on_fit_task_begin(estimator, context)
            if context.task_name == "epoch":
                raise RuntimeError("as a callback may")

    failing, other = Failing(), Recorder()
    clf = HardL0MLPClassifier(max_iter=2).set_callbacks(other, failing)
    with pytest.raises(RuntimeError, match="as a callback may"):
        clf.fit(*digits)
    assert failing.events[-1] == other.events[-1] == "teardown"
    assert_no_trace(clf)
    assert not hasattr(clf, "coefs_")


def test_all_are_torn_down_although_one_cannot_be(digits):
    class Failing(Recorder):
        def teardown(self, estimator, context):
            raise RuntimeError("as a callback may")

    other = Recorder()
    clf = HardL0MLPClassifier(max_iter=2).set_callbacks(Failing(), other)
    with pytest.raises(RuntimeError, match="as a callback may"):
        clf.fit(*digits)
    assert other.events == expected(2)
    assert_no_trace(clf)


def test_callbacks_change_nothing(problems):
    for model, data in problems:
        plain = clone(model).fit(*data)
        told = model.set_callbacks(Recorder()).fit(*data)
        for a, b in zip(plain.coefs_, told.coefs_, strict=True):
            np.testing.assert_array_equal(a, b)


# --- what is given -------------------------------------------------------------------


class Inspector(Recorder):
    """Keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.given = []

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.given.append((context, X, y, metadata, fitted_estimator))


def test_tasks_are_told_apart(digits):
    inspector = Inspector()
    HardL0MLPClassifier(max_iter=3).set_callbacks(inspector).fit(*digits)
    *epochs, fit = [context for context, *_ in inspector.given]
    assert fit.task_name == "fit"
    assert fit.max_subtasks == 3
    assert fit.parent is None
    assert fit.estimator_name == "HardL0MLPClassifier"
    assert [epoch.task_id for epoch in epochs] == [0, 1, 2]
    assert {epoch.task_name for epoch in epochs} == {"epoch"}
    assert {epoch.max_subtasks for epoch in epochs} == {0}
    assert {epoch.root_uuid for epoch in epochs} == {fit.root_uuid}
    assert all(epoch.parent is fit for epoch in epochs)


def test_rows_are_given_as_fit_got_them(digits):
    """With their names, so that the fitted estimator can predict them without a warning."""
    X = pd.DataFrame(digits[0], columns=[f"pixel{k}" for k in range(64)])
    weights = np.linspace(0.5, 1.5, len(X))
    inspector = Inspector()
    clf = HardL0MLPClassifier(max_iter=2, random_state=0).set_callbacks(inspector)
    clf.fit(X, digits[1], sample_weight=weights)
    assert len(inspector.given) == 3
    for _, given_X, given_y, metadata, fitted in inspector.given:
        assert given_X is X
        assert given_y is digits[1]
        assert metadata["sample_weight"] is weights
        assert fitted is not clf
        fitted.predict(given_X)
    np.testing.assert_array_equal(fitted.coefs_[0], clf.coefs_[0])


def test_without_weights_there_is_no_metadata(digits):
    inspector = Inspector()
    HardL0MLPClassifier(max_iter=1).set_callbacks(inspector).fit(*digits)
    assert [metadata for _, _, _, metadata, _ in inspector.given] == [None, None]


def test_the_network_is_that_of_the_epoch(digits):
    inspector = Inspector()
    clf = HardL0MLPClassifier((20,), max_iter=6, target_size=0.2, random_state=0)
    clf.set_callbacks(inspector).fit(*digits)
    fitted = [given[-1] for given in inspector.given]
    assert [model.n_iter_ for model in fitted] == [1, 2, 3, 4, 5, 6, 6]
    assert fitted[0].n_parameters_ > fitted[-1].n_parameters_ == clf.n_parameters_


# --- setting them --------------------------------------------------------------------


def test_none_takes_them_away(digits):
    recorder = Recorder()
    clf = HardL0MLPClassifier(max_iter=1).set_callbacks(recorder)
    assert clf.set_callbacks() is clf
    clf.fit(*digits)
    assert recorder.events == []


@pytest.mark.parametrize("wrong", [Recorder, print, None, object()])
def test_what_is_no_callback_is_refused(wrong):
    with pytest.raises(TypeError, match=r"callbacks.* must be instances"):
        HardL0MLPClassifier().set_callbacks(Recorder(), wrong)


def test_a_clone_has_the_same_callbacks(problems):
    for model, data in problems:
        recorder = Recorder()
        clone(model.set_callbacks(recorder)).fit(*data)
        assert recorder.events == expected(4)


def test_a_size_in_bytes_does_not_count_callbacks(digits):
    class Unpicklable(Recorder):
        def __init__(self):
            super().__init__()
            self.cannot_be_pickled = lambda: None

    alone = HardL0MLPClassifier((20,), max_iter=6, target_size="4kB", random_state=0)
    told = clone(alone).set_callbacks(Unpicklable())
    assert alone.fit(*digits).n_parameters_ == told.fit(*digits).n_parameters_


# --- paths and searches --------------------------------------------------------------


def test_each_fit_of_a_path_is_told_of(problems):
    for model, data in problems:
        recorder = Recorder()
        path = l0_path(*data, target_sizes=[0.8, 0.4], estimator=model.set_callbacks(recorder))
        n_epochs = [member.n_iter_ for member in path.estimators]
        assert recorder.events == expected(n_epochs[0]) + expected(n_epochs[1])
        for member in path.estimators:
            assert_no_trace(member)


def test_each_fit_of_a_search_is_told_of(digits):
    recorder = Recorder()
    clf = HardL0MLPClassifier((10,), max_iter=2, random_state=0).set_callbacks(recorder)
    search = HardL0MLPClassifierCV(clf, target_sizes=[0.8], cv=2).fit(*digits)
    assert recorder.events == 3 * expected(2)
    assert_no_trace(search.best_estimator_)


# --- those of scikit-learn -----------------------------------------------------------


@pytest.fixture
def nested():
    """A pipeline, and a search over it with two candidates in two folds."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pytest.importorskip("sklearn.callback", reason="scikit-learn below 1.9 has no callbacks")
    clf = HardL0MLPClassifier((10,), max_iter=3, random_state=0)
    pipeline = make_pipeline(StandardScaler(), clf)
    return pipeline, GridSearchCV(pipeline, {"hardl0mlpclassifier__alpha": [0.1, 1.0]}, cv=2)


def test_a_scoring_monitor_sees_every_epoch(nested, digits):
    from sklearn.callback import ScoringMonitor

    X = pd.DataFrame(digits[0], columns=[f"pixel{k}" for k in range(64)])
    pipeline, search = nested
    for model, n_fits in ((pipeline, 1), (search, 5)):
        monitor = ScoringMonitor(scoring="accuracy")
        pipeline[-1].set_callbacks(monitor)
        model.fit(X, digits[1])
        rows = monitor.get_logs().data
        epochs = [row for row in rows if row["task_name"] == "epoch"]
        assert len(epochs) == 3 * n_fits
        assert len(rows) == 4 * n_fits
        assert all(0.0 < row["accuracy"] <= 1.0 for row in rows)


def test_a_scoring_monitor_is_given_weights(digits):
    callback = pytest.importorskip("sklearn.callback")
    X, y = digits
    weights = np.where(y == 0, 1.0, 0.01)
    monitor = callback.ScoringMonitor(scoring="accuracy")
    clf = HardL0MLPClassifier((10,), max_iter=3, random_state=0).set_callbacks(monitor)
    clf.fit(X, y, sample_weight=weights)
    (row,) = [row for row in monitor.get_logs().data if row["task_name"] == "fit"]
    assert row["accuracy"] == pytest.approx(clf.score(X, y, weights))
    assert row["accuracy"] != pytest.approx(clf.score(X, y))


def test_a_progress_bar_shows_epochs(nested, digits, capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    for model in nested:
        model.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(*digits)
        shown = capsys.readouterr().out
        assert "HardL0MLPClassifier - fit #1" in shown
        assert "100%" in shown
        model.set_callbacks()
    HardL0MLPClassifier((10,), max_iter=2).set_callbacks(ProgressBar()).fit(*digits)
    assert "HardL0MLPClassifier - fit" in capsys.readouterr().out


def test_a_callback_within_a_search_stops_training(nested, digits):
    pipeline, search = nested
    pipeline[-1].set_callbacks(StopAtOnce())
    search.fit(*digits)
    assert search.best_estimator_[-1].n_iter_ == 1


class StopAtOnce(Recorder):
    def on_fit_task_end(self, estimator, context):
        return context.task_name == "epoch"
