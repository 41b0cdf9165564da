"""What `verbose` shows: a bar where it can be seen, else records of the logger; never print."""

import io
import logging
from contextlib import redirect_stderr
from types import SimpleNamespace

import pytest
from sklearn.datasets import make_regression

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.training.progress import Progress


class Terminal(io.StringIO):
    """Stand-in for a standard error that is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def problems(digits):
    """An unfitted estimator of each kind, and what it learns from."""
    settings = {"hidden_layer_sizes": (10,), "max_iter": 3, "random_state": 0}
    return [
        (HardL0MLPClassifier(**settings), digits),
        (HardL0MLPRegressor(**settings), make_regression(100, 10, random_state=0)),
    ]


def messages(caplog):
    assert {record.name for record in caplog.records} <= {"fastl0"}
    assert {record.levelno for record in caplog.records} <= {logging.INFO}
    return [record.getMessage() for record in caplog.records]


def test_a_terminal_shows_a_bar(problems, caplog, capsys):
    caplog.set_level(logging.INFO)
    for model, data in problems:
        with redirect_stderr(Terminal()) as terminal:
            model.set_params(verbose=True).fit(*data)
        assert "3/3" in terminal.getvalue()
        assert "loss=" in terminal.getvalue()
        assert "units=" in terminal.getvalue()
        assert "score=" not in terminal.getvalue()
    assert capsys.readouterr().out == ""
    assert messages(caplog) == []


def test_a_bar_tells_of_the_validation_score(digits):
    with redirect_stderr(Terminal()) as terminal:
        HardL0MLPClassifier((5,), max_iter=2, verbose=1, early_stopping=True).fit(*digits)
    assert "score=" in terminal.getvalue()


def test_a_notebook_shows_a_bar(problems):
    class OutStream(io.StringIO):
        """As a kernel of Jupyter puts in the place of standard error."""

    OutStream.__module__ = "ipykernel.iostream"
    (model, data), _ = problems
    with redirect_stderr(OutStream()) as stream:
        model.set_params(verbose=True).fit(*data)
    assert "3/3" in stream.getvalue()


def test_elsewhere_each_epoch_is_logged(problems, caplog, capsys):
    caplog.set_level(logging.INFO)
    for model, data in problems:
        model.set_params(verbose=True).fit(*data)
        found = messages(caplog)
        assert len(found) == 3
        for number, message in enumerate(found):
            loss = model.loss_curve_[number]
            units = "-".join(map(str, model.history_["n_units"][number]))
            n_parameters = model.history_["n_parameters"][number]
            assert message == (
                f"epoch {number + 1} of at most 3: loss {loss:.4g}, units {units}, "
                f"{n_parameters} parameters"
            )
        caplog.clear()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "epoch/s" not in captured.err


def test_records_tell_of_the_validation_score(digits, caplog):
    caplog.set_level(logging.INFO)
    clf = HardL0MLPClassifier((5,), max_iter=2, verbose=2, random_state=0)
    clf.fit(*digits, X_val=digits[0][:50], y_val=digits[1][:50])
    for message, score in zip(messages(caplog), clf.validation_scores_, strict=True):
        assert message.endswith(f", validation score {score:.4f}")


def test_two_logs_on_a_terminal_as_well(problems, caplog):
    caplog.set_level(logging.INFO)
    with redirect_stderr(Terminal()) as terminal:
        for model, data in problems:
            model.set_params(verbose=2).fit(*data)
    assert len(messages(caplog)) == 6
    assert "3/3" not in terminal.getvalue()


def test_without_standard_error_each_epoch_is_logged(problems, caplog):
    caplog.set_level(logging.INFO)
    (model, data), _ = problems
    with redirect_stderr(None):
        model.set_params(verbose=True).fit(*data)
    assert len(messages(caplog)) == 3


def test_silence_is_the_default(problems, caplog, capsys):
    caplog.set_level(logging.INFO)
    with redirect_stderr(Terminal()) as terminal:
        for model, data in problems:
            model.fit(*data)
    assert messages(caplog) == []
    assert terminal.getvalue() == capsys.readouterr().out == ""


def test_partial_fit_logs_its_epochs(digits, caplog):
    """An epoch of a stream is 100 mini-batches."""
    caplog.set_level(logging.INFO)
    X, y = digits
    clf = HardL0MLPClassifier((10,), batch_size=2, verbose=True, random_state=0)
    with redirect_stderr(Terminal()) as terminal:
        clf.partial_fit(X[:250], y[:250], classes=range(10))
        assert [message[:8] for message in messages(caplog)] == ["epoch 1:"]
        clf.partial_fit(X[250:450], y[250:450])
        assert [message[:8] for message in messages(caplog)] == ["epoch 1:", "epoch 2:"]
        clf.set_params(verbose=False).partial_fit(X[:200], y[:200])
        assert len(messages(caplog)) == 2
        clf.set_params(verbose=2).partial_fit(X[:200], y[:200])
        assert messages(caplog)[2].startswith("epoch 4: loss ")
    assert terminal.getvalue() == ""


def test_a_bar_is_closed_when_training_fails(digits):
    def fail(*_):
        raise RuntimeError("as a hook may")

    with redirect_stderr(Terminal()) as terminal:
        with pytest.raises(RuntimeError, match="as a hook may") as caught:
            HardL0MLPClassifier((5,), max_iter=3, verbose=True)._fit(*digits, on_epoch=fail)
        assert terminal.getvalue().endswith("\n")
    del caught  # the bar was alive until here, so that it was not its end that closed it


def test_epochs_that_an_earlier_process_has_done_count():
    entries = {"loss": 0.5, "score": None, "n_units": (3, 2), "n_parameters": 8}
    with redirect_stderr(Terminal()) as terminal:
        progress = Progress(1, 10, 4)
        assert "4/10" in terminal.getvalue()
        progress.end_epoch(SimpleNamespace(history=SimpleNamespace(epochs=[entries])))
        progress.close()
    assert "5/10" in terminal.getvalue()


def test_who_has_not_set_up_logging_sees_epochs_all_the_same(problems, caplog, capsys, monkeypatch):
    logger = logging.getLogger("fastl0")
    monkeypatch.setattr(logger, "propagate", False)  # to the handlers of pytest
    (model, data), _ = problems
    model.set_params(verbose=True).fit(*data)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert [line[:18] for line in shown.err.splitlines()] == [
        f"epoch {number} of at most" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("silence", [
    lambda logger, patch: patch.setattr(logger, "level", logging.ERROR),
    lambda logger, patch: patch.setattr(logger, "disabled", True),
    lambda logger, patch: patch.setattr(logger, "filters", [lambda record: False]),
    lambda logger, patch: patch.setattr(logger.manager, "disable", logging.INFO),
], ids=["level", "disabled", "filter", "logging.disable"])  # fmt: skip
def test_a_logger_that_is_told_to_be_silent_is(problems, capsys, monkeypatch, silence):
    logger = logging.getLogger("fastl0")
    monkeypatch.setattr(logger, "propagate", False)
    silence(logger, monkeypatch)
    logger.manager._clear_cache()
    (model, data), _ = problems
    model.set_params(verbose=True).fit(*data)
    assert capsys.readouterr().err == ""
    monkeypatch.undo()
    logger.manager._clear_cache()
