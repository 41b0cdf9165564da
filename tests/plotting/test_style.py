"""How pictures look."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fastl0.plotting import style


def plotted(values, scale="log"):
    figure = Figure()
    ax = figure.subplots()
    ax.plot(values)
    ax.set_yscale(scale)
    return ax


def labels_in_view(ax):
    ax.figure.draw_without_rendering()
    low, high = ax.get_ylim()
    return [
        label.get_text()
        for label, tick in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)
        if low <= tick <= high
    ]


@pytest.mark.parametrize(
    ("values", "some", "others"),
    [
        ([25, 60], ["30", "40", "60"], ["25"]),  # evenly
        ([300, 17_000], ["500", "1,000", "2,000", "10,000"], ["3,000"]),
        ([2, 3e5], ["10", "1,000", "100,000"], ["20", "50"]),  # powers of ten
    ],
)
def test_log_ticks_are_plain_numbers_and_few(values, some, others):
    ax = plotted(values)
    style.tick_log_axis(ax.yaxis)
    shown = labels_in_view(ax)
    assert set(some) <= set(shown)
    assert not set(others) & set(shown)
    assert 3 <= len(shown) <= 8


def test_lines_differ_in_colour_and_in_dashes():
    ax = Figure().subplots()
    style.cycle_lines(ax)
    lines = [ax.plot([0, 1])[0] for _ in style.LINES]
    assert [(line.get_color(), line.get_linestyle()) for line in lines] == list(style.LINES)
    assert len(set(style.LINES)) == len(dict(style.LINES)) == len(style.LINES)


def test_keywords_win_under_any_of_their_names():
    defaults = {"lw": 1, "color": "red"}
    assert style.merge(defaults, {"linewidth": 3}, Line2D) == {"linewidth": 3, "color": "red"}
    assert style.merge(defaults, {"c": "blue"}, Line2D) == {"linewidth": 1, "color": "blue"}
    assert style.merge(defaults, None, Line2D) == {"linewidth": 1, "color": "red"}
    assert defaults == {"lw": 1, "color": "red"}
    with pytest.raises(TypeError, match="linewidth"):
        style.merge(defaults, {"lw": 2, "linewidth": 3}, Line2D)


@pytest.mark.parametrize("height", [2.0, 4.0])
def test_many_labels_shrink_until_they_do_not_overlap(height):
    ax = Figure(figsize=(4, height)).subplots()
    ax.set_yticks(np.arange(30), [f"input {index}" for index in range(30)])
    style.fit_labels(ax)
    ax.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))


def test_few_labels_keep_their_size():
    ax = Figure().subplots()
    ax.set_yticks([0, 1], ["a", "b"])
    before = ax.get_yticklabels()[0].get_fontsize()
    style.fit_labels(ax)
    assert ax.get_yticklabels()[0].get_fontsize() == before
