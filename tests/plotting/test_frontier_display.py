"""The curves are the sizes and scores of a path or of a search."""

import math

import numpy as np
import pytest
from doctests import n_failed
from sklearn.model_selection import ShuffleSplit

pytest.importorskip("matplotlib")

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from display_data import QUICK, SIZES, Fitted, texts

from fastl0 import FrontierDisplay, HardL0MLPClassifierCV, L0Path
from fastl0.plotting.style import LINES

pytestmark = pytest.mark.usefixtures("no_figure_stays")


@pytest.mark.parametrize(
    ("size", "label"), [("n_parameters", "parameters"), ("n_bytes", "weights and biases (bytes)")]
)
def test_a_path_is_drawn_as_it_is(digits_path, size, label):
    display = FrontierDisplay.from_path(digits_path, size=size, score_name="accuracy")
    np.testing.assert_array_equal(display.line_.get_xdata(), getattr(digits_path, size))
    np.testing.assert_array_equal(display.line_.get_ydata(), digits_path.scores)
    ax = display.ax_
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == (label, "accuracy")
    assert len(texts(ax.xaxis)) >= 2
    assert all(text.endswith("B") == (size == "n_bytes") for text in texts(ax.xaxis))
    assert display.fill_between_ is display.chosen_point_ is display.threshold_line_ is None
    assert ax.get_legend() is None
    assert display.figure_ is ax.figure


def test_an_unknown_size_is_an_error(digits_path):
    with pytest.raises(ValueError, match="`size` must be one of n_parameters, n_bytes, got 'kB'"):
        FrontierDisplay.from_path(digits_path, size="kB")
    with pytest.raises(ValueError, match="`size` must be"):
        FrontierDisplay(sizes=[1], scores=[1], size="estimators").plot()
    assert not plt.get_fignums()


def test_a_search_is_drawn_with_its_errors_and_its_choice(digits_search):
    display = FrontierDisplay.from_estimator(digits_search)
    means, sizes = digits_search.scores_.mean(axis=1), digits_search.n_parameters_path_.mean(axis=1)
    errors = [np.std(scores, ddof=1) / math.sqrt(3) for scores in digits_search.scores_]
    np.testing.assert_allclose(display.line_.get_xydata(), np.column_stack([sizes, means]))
    band = display.fill_between_.get_paths()[0].vertices
    for size, mean, error in zip(sizes, means, errors, strict=True):
        heights = band[np.isclose(band[:, 0], size), 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [mean - error, mean + error])
    chosen = digits_search.target_sizes_.index(digits_search.target_size_)
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


def test_a_score_name_wins_over_that_of_the_scorer(digits_search):
    display = FrontierDisplay.from_estimator(digits_search, score_name="recall")
    assert display.ax_.get_ylabel() == "recall"


def test_curves_share_axes(digits_path, digits_search):
    first = FrontierDisplay.from_estimator(digits_search, name="search")
    second = FrontierDisplay.from_path(digits_path, name="path", ax=first.ax_)
    assert second.ax_ is first.ax_
    third = FrontierDisplay.from_estimator(digits_search, name="again", ax=first.ax_)
    lines = [display.line_ for display in (first, second, third)]
    assert [(line.get_color(), line.get_linestyle()) for line in lines] == list(LINES[:3])
    legend = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert {"search", "path", "again"} <= set(legend)
    assert len(legend) == len(set(legend))


def test_each_part_has_its_style(digits_search):
    display = FrontierDisplay.from_estimator(
        digits_search,
        line_kw={"c": "black", "ls": "--"},
        fill_between_kw={"alpha": 0.5, "color": "red"},
        chosen_kw={"markersize": 20},
    )
    assert (display.line_.get_color(), display.line_.get_linestyle()) == ("black", "--")
    np.testing.assert_allclose(display.fill_between_.get_facecolor(), [[1, 0, 0, 0.5]])
    assert display.chosen_point_.get_markersize() == 20
    assert display.chosen_point_.get_color() == "black"


def test_a_path_of_another_class_is_drawn(digits_path):
    other = Fitted(
        n_parameters=digits_path.n_parameters,
        n_bytes=digits_path.n_bytes,
        scores=digits_path.scores,
    )
    assert not isinstance(other, L0Path)
    display = FrontierDisplay.from_path(other)
    np.testing.assert_array_equal(display.line_.get_ydata(), digits_path.scores)


def test_examples():
    assert n_failed(FrontierDisplay) == 0
