"""scikit-learn's callbacks: every task that begins ends, and a callback can stop training."""

import numpy as np
import pytest

from fastl0 import HardL0MLPClassifier

pytest.importorskip("sklearn.callback", reason="scikit-learn below 1.9 has no callbacks")

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


def test_all_epochs_are_told_of(digits):
    recorder = Recorder()
    HardL0MLPClassifier(max_iter=4).set_callbacks(recorder).fit(*digits)
    assert recorder.events == expected(4)


def test_a_callback_stops_training(digits):
    recorder = Recorder(stop_after=3)
    clf = HardL0MLPClassifier(max_iter=50).set_callbacks(recorder).fit(*digits)
    assert clf.n_iter_ == 3
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
    assert recorder.events[-1] == "end fit"


def test_callbacks_change_nothing(digits):
    plain = HardL0MLPClassifier(max_iter=4, random_state=0).fit(*digits)
    told = HardL0MLPClassifier(max_iter=4, random_state=0).set_callbacks(Recorder()).fit(*digits)
    for a, b in zip(plain.coefs_, told.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)
    assert "_callback_fit_ctx" not in vars(told)
