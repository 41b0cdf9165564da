"""Displays: what is drawn is what the estimator holds."""

import doctest
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import ShuffleSplit
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("matplotlib")

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

import fastl0.displays
from fastl0 import (
    FrontierDisplay,
    HardL0MLPClassifier,
    HardL0MLPClassifierCV,
    L0Path,
    PruningDisplay,
    SupportDisplay,
    l0_path,
)
from fastl0.style import LINES

QUICK = HardL0MLPClassifier((30,), max_iter=15, learning_rate_init=0.003, random_state=0)
SIZES = [0.5, 0.3, 0.1]


@pytest.fixture(autouse=True)
def no_figure_stays():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def clf(digits):
    """With early stopping: its history has validation scores."""
    names = [f"pixel {index}" for index in range(64)]
    model = HardL0MLPClassifier(
        **QUICK.get_params() | {"early_stopping": True, "target_size": 0.3, "max_iter": 30}
    )
    return model.fit(pd.DataFrame(digits[0], columns=names), digits[1])


@pytest.fixture(scope="module")
def plain(digits):
    """Neither gates nor validation scores nor feature names; done after some epochs."""
    model = HardL0MLPClassifier((30,), pruning="none", tol=10, n_iter_no_change=4, random_state=0)
    return model.fit(*digits)


@pytest.fixture(scope="module")
def path(digits):
    return l0_path(*digits, target_sizes=SIZES, estimator=QUICK)


@pytest.fixture(scope="module")
def search(digits):
    return HardL0MLPClassifierCV(QUICK, target_sizes=SIZES, cv=3, scoring="balanced_accuracy").fit(
        *digits
    )


class Fitted(BaseEstimator):
    """An estimator of no known class with the attributes given."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def fit(self, X, y):
        return self


def with_history(scores, loss=(2.0, 1.0)):
    n_epochs = len(loss)
    history = {"n_parameters": [50] * n_epochs, "buffer_nbytes": [900] * n_epochs}
    return Fitted(history_=history, loss_curve_=list(loss), validation_scores_=scores)


def drawn_labels(axis):
    """Tick labels inside the view, as drawn."""
    axis.axes.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    return [
        label
        for label, tick in zip(axis.get_ticklabels(), axis.get_majorticklocs(), strict=True)
        if low <= tick <= high and label.get_text()
    ]


def texts(axis):
    return [label.get_text() for label in drawn_labels(axis)]


# --- matplotlib --------------------------------------------------------------------------


def test_matplotlib_is_imported_only_where_something_is_drawn():
    code = """
import sys
import fastl0
from fastl0 import FrontierDisplay, PruningDisplay, SupportDisplay
PruningDisplay(n_parameters=[3], buffer_nbytes=[4], loss=[1.0])
SupportDisplay(support=[True], strengths=[1.0])
FrontierDisplay(sizes=[3], scores=[1.0])
sys.exit(any(name.split(".")[0] == "matplotlib" for name in sys.modules))
"""
    path = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=path, check=False).returncode == 0


def test_the_names_are_public():
    assert {"FrontierDisplay", "PruningDisplay", "SupportDisplay"} <= set(dir(fastl0))


@pytest.mark.parametrize(
    ("draw", "caller"),
    [
        (lambda: PruningDisplay.from_estimator(None), "PruningDisplay.from_estimator"),
        (lambda: SupportDisplay.from_estimator(None), "SupportDisplay.from_estimator"),
        (lambda: FrontierDisplay.from_estimator(None), "FrontierDisplay.from_estimator"),
        (lambda: FrontierDisplay.from_path(None), "FrontierDisplay.from_path"),
        (
            lambda: PruningDisplay(n_parameters=[3], buffer_nbytes=[4], loss=[1.0]).plot(),
            "PruningDisplay.plot",
        ),
        (lambda: SupportDisplay(support=[True], strengths=[1.0]).plot(), "SupportDisplay.plot"),
        (lambda: FrontierDisplay(sizes=[3], scores=[1.0]).plot(), "FrontierDisplay.plot"),
    ],
)
def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, draw, caller):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=rf'{caller} needs.*pip install "fastl0\[plot\]"'):
        draw()


# --- what can be drawn -------------------------------------------------------------------


@pytest.mark.parametrize("display", [PruningDisplay, SupportDisplay])
def test_an_unfitted_estimator_is_an_error(display):
    with pytest.raises(NotFittedError):
        display.from_estimator(HardL0MLPClassifier())
    with pytest.raises(NotFittedError):
        display.from_estimator(make_pipeline(StandardScaler(), HardL0MLPClassifier()))
    with pytest.raises(TypeError, match="is a class"):
        display.from_estimator(HardL0MLPClassifier)
    assert not plt.get_fignums()


def test_an_unfitted_search_is_an_error():
    with pytest.raises(NotFittedError):
        FrontierDisplay.from_estimator(HardL0MLPClassifierCV())


def test_a_pipeline_is_told_to_give_its_network(digits):
    pipeline = make_pipeline(StandardScaler(), QUICK).fit(*digits)
    for display in (PruningDisplay, SupportDisplay):
        with pytest.raises(TypeError, match=r"got Pipeline without .*pipeline\[-1\]"):
            display.from_estimator(pipeline)
        display.from_estimator(pipeline[-1])


def test_estimators_without_the_attributes_are_errors(digits, search, path, clf):
    with pytest.raises(TypeError, match=r"got HardL0MLPClassifierCV .*search\.best_estimator_"):
        PruningDisplay.from_estimator(search)
    PruningDisplay.from_estimator(search.best_estimator_)
    with pytest.raises(TypeError, match=r"got L0Path without .*path\.estimators\[0\]"):
        PruningDisplay.from_estimator(path)
    with pytest.raises(TypeError, match=r"got L0Path without .* drawn by from_path"):
        FrontierDisplay.from_estimator(path)
    with pytest.raises(TypeError, match="got HardL0MLPClassifier without scores_"):
        FrontierDisplay.from_estimator(clf)
    with pytest.raises(TypeError, match=r"got HardL0MLPClassifierCV.* drawn by from_estimator"):
        FrontierDisplay.from_path(search)
    other = MLPClassifier((3,), max_iter=300, tol=0.1).fit(digits[0][:50], digits[1][:50])
    with pytest.raises(TypeError, match="got MLPClassifier without support_"):
        SupportDisplay.from_estimator(other)
    assert len(plt.get_fignums()) == 1


# --- by epoch ----------------------------------------------------------------------------


def test_curves_are_the_history_of_the_estimator(clf):
    display = PruningDisplay.from_estimator(clf)
    assert isinstance(display, PruningDisplay)
    expected = [
        clf.history_["n_parameters"],
        clf.history_["buffer_nbytes"],
        clf.loss_curve_,
        [1 - score for score in clf.validation_scores_],
    ]
    assert expected[0][-1] < 0.5 * expected[0][0]  # something was pruned
    for line, ax, values in zip(display.lines_, display.axes_, expected, strict=True):
        assert line.axes is ax
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, clf.n_iter_ + 1))
        np.testing.assert_allclose(line.get_ydata(), values, rtol=1e-12)
    assert [ax.get_ylabel() for ax in display.axes_] == [
        "parameters",
        "training buffers (bytes)",
        "training loss",
        "1 \N{MINUS SIGN} validation score",
    ]
    assert [ax.get_xlabel() for ax in display.axes_] == ["", "", "", "epoch"]
    assert display.figure_ is display.axes_[0].figure


def test_without_validation_scores_there_are_three_panels(plain):
    display = PruningDisplay.from_estimator(plain)
    assert display.validation_error is None
    assert len(display.axes_) == len(display.lines_) == 3
    assert display.axes_[0].get_legend() is None


def test_any_estimator_with_a_history_is_drawn():
    r2 = [-0.5, 0.25]
    display = PruningDisplay.from_estimator(with_history(r2))
    np.testing.assert_allclose(display.lines_[-1].get_ydata(), [1.5, 0.75])


def test_sizes_are_logarithmic_with_their_unit_at_the_ticks(clf):
    display = PruningDisplay.from_estimator(clf)
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


def test_quantities_are_drawn_in_the_order_asked_for(clf):
    display = PruningDisplay.from_estimator(clf, quantities=["loss", "n_parameters"])
    assert [ax.get_ylabel() for ax in display.axes_] == ["training loss", "parameters"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), clf.loss_curve_)


@pytest.mark.parametrize("quantities", ["accuracy", [], ["loss", "time"], "validation_error"])
def test_quantities_that_are_not_there_are_errors(plain, quantities):
    with pytest.raises(ValueError, match=r"`quantities` must be some of n_parameters, .*got"):
        PruningDisplay.from_estimator(plain, quantities=quantities)
    assert not plt.get_fignums()


def test_given_axes_are_drawn_on(clf):
    figure, axes = plt.subplots(2, 2)
    display = PruningDisplay.from_estimator(clf, ax=axes)
    assert list(display.axes_) == list(axes.ravel())
    assert display.figure_ is figure
    assert [len(ax.lines) for ax in axes.ravel()] == [1] * 4
    assert {ax.get_xlabel() for ax in axes.ravel()} == {"epoch"}
    _, ax = plt.subplots()
    display = PruningDisplay.from_estimator(clf, quantities="loss", ax=ax)
    assert display.axes_.tolist() == [ax]
    assert len(plt.get_fignums()) == 2


def test_another_number_of_axes_is_an_error(clf):
    figure, axes = plt.subplots(3)
    with pytest.raises(ValueError, match=r"`ax` must hold one .*, got 3\. .*subplots\(4"):
        PruningDisplay.from_estimator(clf, ax=axes)
    with pytest.raises(ValueError, match=r"got 1\."):
        PruningDisplay.from_estimator(clf, ax=axes[0])
    assert not any(ax.lines for ax in figure.axes)


def test_networks_are_compared_on_the_same_axes(clf, plain):
    sizes = ["n_parameters", "buffer_nbytes"]
    first = PruningDisplay.from_estimator(clf, quantities=sizes, name="hard")
    second = PruningDisplay.from_estimator(plain, quantities=sizes, name="none", ax=first.axes_)
    ax = first.axes_[0]
    assert second.figure_ is first.figure_
    assert ax.lines[:] == [first.lines_[0], second.lines_[0]]
    assert [(line.get_color(), line.get_linestyle()) for line in ax.lines] == list(LINES[:2])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["hard", "none"]
    assert [panel.get_xlabel() for panel in first.axes_] == ["", "epoch"]


def test_a_lone_epoch_is_visible():
    display = PruningDisplay.from_estimator(with_history([0.5], loss=[1.0]))
    assert {line.get_marker() for line in display.lines_} == {"o"}


def test_plot_may_be_called_again_with_a_style(clf):
    display = PruningDisplay.from_estimator(clf)
    before = display.axes_
    assert display.plot(name="again", line_kw={"linewidth": 4, "c": "black"}) is display
    assert not set(display.axes_) & set(before)
    assert {line.get_linewidth() for line in display.lines_} == {4}
    assert {line.get_color() for line in display.lines_} == {"black"}
    assert {line.get_label() for line in display.lines_} == {"again"}


# --- inputs ------------------------------------------------------------------------------


def naive_strengths(clf):
    rows = iter(clf.coefs_[0])
    return [
        math.sqrt(sum(float(weight) ** 2 for weight in next(rows))) if kept else 0
        for kept in clf.support_
    ]


def test_bars_are_the_strengths_of_the_kept_inputs(clf):
    display = SupportDisplay.from_estimator(clf, max_features=None)
    strengths = naive_strengths(clf)
    assert 0 < clf.support_.sum() < 64
    np.testing.assert_allclose(display.strengths, strengths, rtol=1e-5)
    widths = [bar.get_width() for bar in display.bars_]
    assert len(widths) == clf.support_.sum()
    assert widths == sorted(widths, reverse=True)
    by_name = dict(zip(clf.feature_names_in_, strengths, strict=True))
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    np.testing.assert_allclose(widths, [by_name[name] for name in labels], rtol=1e-5)
    low, high = display.ax_.get_ylim()
    assert low > high  # the first on top
    assert display.image_ is display.colorbar_ is None
    assert display.ax_.get_title() == f"{len(widths)} of 64 inputs kept"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == (
        "strength (norm of its weights)",
        "input",
    )
    assert display.figure_ is display.ax_.figure


def test_a_search_is_drawn_as_its_network(search):
    display = SupportDisplay.from_estimator(search)
    np.testing.assert_allclose(display.strengths, naive_strengths(search.best_estimator_), 1e-5)


def test_of_many_inputs_the_strongest_are_drawn(plain):
    display = SupportDisplay.from_estimator(plain)
    widths = [bar.get_width() for bar in display.bars_]
    np.testing.assert_allclose(widths, sorted(naive_strengths(plain))[::-1][:30], rtol=1e-5)
    assert display.ax_.get_title() == "64 of 64 inputs kept; the 30 strongest"
    strongest = int(np.argmax(display.strengths))
    assert display.ax_.get_yticklabels()[0].get_text() == f"x{strongest}"
    assert len(SupportDisplay.from_estimator(plain, max_features=7).bars_) == 7


@pytest.mark.parametrize("figsize", [None, (5, 2.5)])
def test_names_do_not_overlap(plain, figsize):
    ax = None if figsize is None else plt.subplots(figsize=figsize, layout="constrained")[1]
    display = SupportDisplay.from_estimator(plain, ax=ax)
    labels = drawn_labels(display.ax_.yaxis)
    assert len(labels) == 30
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))


def test_names_may_be_given_and_need_not_differ(plain):
    display = SupportDisplay.from_estimator(plain, feature_names=["a", "b"] * 32, max_features=None)
    order = np.argsort(-display.strengths)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["ab"[index % 2] for index in order]
    assert len(display.bars_) == 64


def test_a_network_without_inputs_is_drawn():
    display = SupportDisplay(support=np.zeros(4, bool), strengths=np.zeros(4)).plot()
    display.figure_.canvas.draw()
    assert display.ax_.get_title() == "0 of 4 inputs kept"
    assert len(display.bars_) == 0


def test_an_image_shows_strengths_and_masks_deleted_pixels(clf):
    display = SupportDisplay.from_estimator(clf, image_shape=(8, 8))
    pixels = display.image_.get_array()
    assert pixels.shape == (8, 8)
    np.testing.assert_array_equal(pixels.mask.ravel(), ~clf.support_)
    np.testing.assert_allclose(
        pixels.compressed(), np.array(naive_strengths(clf))[clf.support_], rtol=1e-5
    )
    assert display.bars_ is None
    assert display.colorbar_.ax.get_ylabel() == "strength (norm of its weights)"
    assert display.image_.get_clim()[0] == 0
    n_kept = clf.support_.sum()
    assert display.ax_.get_title() == f"{n_kept} of 64 inputs kept (grey: deleted)"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("column", "row")


def test_a_table_of_one_row_has_whole_ticks(clf):
    display = SupportDisplay.from_estimator(clf, image_shape=(1, 64), image_kw={"aspect": "auto"})
    assert texts(display.ax_.yaxis) == ["0"]
    assert all(float(text).is_integer() for text in texts(display.ax_.xaxis))
    assert display.ax_.get_aspect() == "auto"


def test_the_colour_bar_may_be_left_out(clf):
    _, ax = plt.subplots()
    display = SupportDisplay.from_estimator(clf, image_shape=(8, 8), ax=ax, colorbar=False)
    assert display.colorbar_ is None
    assert display.ax_ is ax
    assert ax.figure.axes == [ax]


def test_bars_after_an_image(clf):
    display = SupportDisplay.from_estimator(clf, image_shape=(8, 8))
    _, ax = plt.subplots()
    assert display.plot(ax, bar_kw={"fc": "black"}) is display
    assert display.ax_ is ax
    assert display.image_ is display.colorbar_ is None
    assert {bar.get_facecolor() for bar in display.bars_} == {(0, 0, 0, 1)}


@pytest.mark.parametrize("shape", [(8, 7), (64,), (4, 4, 4), (-8, -8), (8.0, 8.0), 64, "8x"])
def test_a_wrong_image_shape_is_an_error(clf, shape):
    with pytest.raises(ValueError, match=r"`image_shape` must be two ints .* 64, got"):
        SupportDisplay.from_estimator(clf, image_shape=shape)
    assert not plt.get_fignums()


@pytest.mark.parametrize("number", [0, -1, 2.5, "all"])
def test_a_wrong_number_of_features_is_an_error(clf, number):
    with pytest.raises(ValueError, match="`max_features` must be an int >= 1 or None, got"):
        SupportDisplay.from_estimator(clf, max_features=number)
    assert not plt.get_fignums()


def test_too_few_names_are_an_error(clf):
    with pytest.raises(ValueError, match=r"`feature_names` .* 64 inputs, .* shape \(2,\)"):
        SupportDisplay.from_estimator(clf, feature_names=["a", "b"])


# --- size and score ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "label"), [("n_parameters", "parameters"), ("n_bytes", "pickled model (bytes)")]
)
def test_a_path_is_drawn_as_it_is(path, size, label):
    display = FrontierDisplay.from_path(path, size=size, score_name="accuracy")
    np.testing.assert_array_equal(display.line_.get_xdata(), getattr(path, size))
    np.testing.assert_array_equal(display.line_.get_ydata(), path.scores)
    ax = display.ax_
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == (label, "accuracy")
    assert len(texts(ax.xaxis)) >= 2
    assert all(text.endswith("B") == (size == "n_bytes") for text in texts(ax.xaxis))
    assert display.fill_between_ is display.chosen_point_ is display.threshold_line_ is None
    assert ax.get_legend() is None
    assert display.figure_ is ax.figure


def test_an_unknown_size_is_an_error(path):
    with pytest.raises(ValueError, match="`size` must be one of n_parameters, n_bytes, got 'kB'"):
        FrontierDisplay.from_path(path, size="kB")
    with pytest.raises(ValueError, match="`size` must be"):
        FrontierDisplay(sizes=[1], scores=[1], size="estimators").plot()
    assert not plt.get_fignums()


def test_a_search_is_drawn_with_its_errors_and_its_choice(search):
    display = FrontierDisplay.from_estimator(search)
    means, sizes = search.scores_.mean(axis=1), search.n_parameters_path_.mean(axis=1)
    errors = [np.std(scores, ddof=1) / math.sqrt(3) for scores in search.scores_]
    np.testing.assert_allclose(display.line_.get_xydata(), np.column_stack([sizes, means]))
    band = display.fill_between_.get_paths()[0].vertices
    for size, mean, error in zip(sizes, means, errors, strict=True):
        heights = band[np.isclose(band[:, 0], size), 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [mean - error, mean + error])
    chosen = search.target_sizes_.index(search.target_size_)
    np.testing.assert_allclose(display.chosen_point_.get_xydata(), [[sizes[chosen], means[chosen]]])
    best = int(np.argmax(means))
    np.testing.assert_allclose(display.threshold_line_.get_ydata(), means[best] - errors[best])
    # The rule by which the search chose can be read off the picture.
    reached = means >= display.threshold_line_.get_ydata()[0]
    assert sizes[chosen] == sizes[reached].min()
    assert display.ax_.get_ylabel() == "validation balanced accuracy"
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend[-1] == f"chosen: {sizes[chosen]:,.0f} parameters"
    assert len(legend) == 3


def test_one_fold_has_no_errors(digits):
    cv = ShuffleSplit(1, random_state=0)
    search = HardL0MLPClassifierCV(QUICK, target_sizes=SIZES, cv=cv).fit(*digits)
    display = FrontierDisplay.from_estimator(search)
    assert display.fill_between_ is display.threshold_line_ is None
    np.testing.assert_allclose(display.line_.get_ydata(), search.scores_[:, 0])
    assert display.chosen_point_.get_xdata() == display.sizes[display.chosen]
    assert display.ax_.get_ylabel() == "validation score"


def test_a_score_name_wins_over_that_of_the_scorer(search):
    display = FrontierDisplay.from_estimator(search, score_name="recall")
    assert display.ax_.get_ylabel() == "recall"


def test_curves_share_axes(path, search):
    first = FrontierDisplay.from_estimator(search, name="search")
    second = FrontierDisplay.from_path(path, name="path", ax=first.ax_)
    assert second.ax_ is first.ax_
    third = FrontierDisplay.from_estimator(search, name="again", ax=first.ax_)
    lines = [display.line_ for display in (first, second, third)]
    assert [(line.get_color(), line.get_linestyle()) for line in lines] == list(LINES[:3])
    legend = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert {"search", "path", "again"} <= set(legend)
    assert len(legend) == len(set(legend))


def test_each_part_has_its_style(search):
    display = FrontierDisplay.from_estimator(
        search,
        line_kw={"c": "black", "ls": "--"},
        fill_between_kw={"alpha": 0.5, "color": "red"},
        chosen_kw={"markersize": 20},
    )
    assert (display.line_.get_color(), display.line_.get_linestyle()) == ("black", "--")
    np.testing.assert_allclose(display.fill_between_.get_facecolor(), [[1, 0, 0, 0.5]])
    assert display.chosen_point_.get_markersize() == 20
    assert display.chosen_point_.get_color() == "black"


def test_a_path_of_another_class_is_drawn(path):
    other = Fitted(n_parameters=path.n_parameters, n_bytes=path.n_bytes, scores=path.scores)
    assert not isinstance(other, L0Path)
    display = FrontierDisplay.from_path(other)
    np.testing.assert_array_equal(display.line_.get_ydata(), path.scores)


# --- the documentation -------------------------------------------------------------------


def test_examples():
    assert doctest.testmod(fastl0.displays).failed == 0


def test_pictures_can_be_saved(clf, search, tmp_path):
    displays = [
        PruningDisplay.from_estimator(clf, name="digits"),
        SupportDisplay.from_estimator(clf),
        SupportDisplay.from_estimator(clf, image_shape=(8, 8)),
        FrontierDisplay.from_estimator(search),
    ]
    for number, display in enumerate(displays):
        file = tmp_path / f"{number}.png"
        display.figure_.savefig(file)
        assert file.read_bytes().startswith(b"\x89PNG")
