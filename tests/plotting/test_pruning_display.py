"""The curves are the history of the estimator."""

import numpy as np
import pytest
from doctests import n_failed

pytest.importorskip("matplotlib")

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from display_data import Fitted, texts

from fastl0 import PruningDisplay
from fastl0.plotting.style import LINES

pytestmark = pytest.mark.usefixtures("no_figure_stays")


def with_history(scores, loss=(2.0, 1.0)):
    n_epochs = len(loss)
    history = {"n_parameters": [50] * n_epochs, "buffer_nbytes": [900] * n_epochs}
    return Fitted(history_=history, loss_curve_=list(loss), validation_scores_=scores)


def test_curves_are_the_history_of_the_estimator(pruned):
    display = PruningDisplay.from_estimator(pruned)
    assert isinstance(display, PruningDisplay)
    expected = [
        pruned.history_["n_parameters"],
        pruned.history_["buffer_nbytes"],
        pruned.loss_curve_,
        [1 - score for score in pruned.validation_scores_],
    ]
    assert expected[0][-1] < 0.5 * expected[0][0]  # something was pruned
    for line, ax, values in zip(display.lines_, display.axes_, expected, strict=True):
        assert line.axes is ax
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, pruned.n_iter_ + 1))
        np.testing.assert_allclose(line.get_ydata(), values, rtol=1e-12)
    assert [ax.get_ylabel() for ax in display.axes_] == [
        "parameters",
        "training buffers (bytes)",
        "training loss",
        "1 \N{MINUS SIGN} validation score",
    ]
    assert [ax.get_xlabel() for ax in display.axes_] == ["", "", "", "epoch"]
    assert display.figure_ is display.axes_[0].figure


def test_without_validation_scores_there_are_three_panels(unpruned):
    display = PruningDisplay.from_estimator(unpruned)
    assert display.validation_error is None
    assert len(display.axes_) == len(display.lines_) == 3
    assert display.axes_[0].get_legend() is None


def test_any_estimator_with_a_history_is_drawn():
    r2 = [-0.5, 0.25]
    display = PruningDisplay.from_estimator(with_history(r2))
    np.testing.assert_allclose(display.lines_[-1].get_ydata(), [1.5, 0.75])


def test_sizes_are_logarithmic_with_their_unit_at_the_ticks(pruned):
    display = PruningDisplay.from_estimator(pruned)
    parameters, buffers = display.axes_[:2]
    assert parameters.get_yscale() == buffers.get_yscale() == "log"
    assert len(texts(parameters.yaxis)) >= 2
    assert len(texts(buffers.yaxis)) >= 2
    assert all(text.endswith("B") for text in texts(buffers.yaxis))


@pytest.mark.parametrize(
    ("scores", "scale"),
    [([0.2, 0.99], "log"), ([0.2, 0.9], "linear"), ([0.2, 1.0], "linear")],
)
def test_errors_are_logarithmic_where_they_span_a_decade_and_none_is_zero(scores, scale):
    display = PruningDisplay.from_estimator(with_history(scores), quantities="validation_error")
    assert display.axes_[0].get_yscale() == scale


def test_a_second_curve_may_bring_a_zero():
    wide, zero = with_history([0.2, 0.99]), with_history([0.2, 1.0])
    axes = PruningDisplay.from_estimator(wide).axes_
    axes = PruningDisplay.from_estimator(zero, ax=axes).axes_
    assert axes[-1].get_yscale() == "linear"


def test_quantities_are_drawn_in_the_order_asked_for(pruned):
    display = PruningDisplay.from_estimator(pruned, quantities=["loss", "n_parameters"])
    assert [ax.get_ylabel() for ax in display.axes_] == ["training loss", "parameters"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), pruned.loss_curve_)


@pytest.mark.parametrize("quantities", ["accuracy", [], ["loss", "time"], "validation_error"])
def test_quantities_that_are_not_there_are_errors(unpruned, quantities):
    with pytest.raises(ValueError, match=r"`quantities` must be some of n_parameters, .*got"):
        PruningDisplay.from_estimator(unpruned, quantities=quantities)
    assert not plt.get_fignums()


def test_given_axes_are_drawn_on(pruned):
    figure, axes = plt.subplots(2, 2)
    display = PruningDisplay.from_estimator(pruned, ax=axes)
    assert list(display.axes_) == list(axes.ravel())
    assert display.figure_ is figure
    assert [len(ax.lines) for ax in axes.ravel()] == [1] * 4
    assert {ax.get_xlabel() for ax in axes.ravel()} == {"epoch"}
    _, ax = plt.subplots()
    display = PruningDisplay.from_estimator(pruned, quantities="loss", ax=ax)
    assert display.axes_.tolist() == [ax]
    assert len(plt.get_fignums()) == 2


def test_another_number_of_axes_is_an_error(pruned):
    figure, axes = plt.subplots(3)
    with pytest.raises(ValueError, match=r"`ax` must hold one .*, got 3\. .*subplots\(4"):
        PruningDisplay.from_estimator(pruned, ax=axes)
    with pytest.raises(ValueError, match=r"got 1\."):
        PruningDisplay.from_estimator(pruned, ax=axes[0])
    assert not any(ax.lines for ax in figure.axes)


def test_networks_are_compared_on_the_same_axes(pruned, unpruned):
    sizes = ["n_parameters", "buffer_nbytes"]
    first = PruningDisplay.from_estimator(pruned, quantities=sizes, name="hard")
    second = PruningDisplay.from_estimator(unpruned, quantities=sizes, name="none", ax=first.axes_)
    ax = first.axes_[0]
    assert second.figure_ is first.figure_
    assert ax.lines[:] == [first.lines_[0], second.lines_[0]]
    assert [(line.get_color(), line.get_linestyle()) for line in ax.lines] == list(LINES[:2])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["hard", "none"]
    assert [panel.get_xlabel() for panel in first.axes_] == ["", "epoch"]


def test_a_lone_epoch_is_visible():
    display = PruningDisplay.from_estimator(with_history([0.5], loss=[1.0]))
    assert {line.get_marker() for line in display.lines_} == {"o"}


def test_plot_may_be_called_again_with_a_style(pruned):
    display = PruningDisplay.from_estimator(pruned)
    before = display.axes_
    assert display.plot(name="again", line_kw={"linewidth": 4, "c": "black"}) is display
    assert not set(display.axes_) & set(before)
    assert {line.get_linewidth() for line in display.lines_} == {4}
    assert {line.get_color() for line in display.lines_} == {"black"}
    assert {line.get_label() for line in display.lines_} == {"again"}


def test_examples():
    assert n_failed(PruningDisplay) == 0
