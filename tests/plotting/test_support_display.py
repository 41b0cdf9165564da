"""The bars and the pixels are the inputs that the estimator reads."""

import numpy as np
import pytest
from doctests import n_failed

pytest.importorskip("matplotlib")

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from display_data import drawn_labels, texts

from fastl0 import SupportDisplay

pytestmark = pytest.mark.usefixtures("no_figure_stays")


def test_bars_are_the_strengths_of_the_kept_inputs(pruned):
    display = SupportDisplay.from_estimator(pruned, max_features=None)
    strengths = pruned.feature_importances_
    assert 0 < pruned.support_.sum() < 64
    np.testing.assert_array_equal(display.strengths, strengths)
    widths = [bar.get_width() for bar in display.bars_]
    assert len(widths) == pruned.support_.sum()
    assert widths == sorted(widths, reverse=True)
    by_name = dict(zip(pruned.feature_names_in_, strengths, strict=True))
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    np.testing.assert_allclose(widths, [by_name[name] for name in labels])
    low, high = display.ax_.get_ylim()
    assert low > high  # the first on top
    assert display.image_ is display.colorbar_ is None
    assert display.ax_.get_title() == f"{len(widths)} of 64 inputs kept"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == (
        "strength (share of all inputs)",
        "input",
    )
    assert display.figure_ is display.ax_.figure


def test_a_search_is_drawn_as_its_network(digits_search):
    display = SupportDisplay.from_estimator(digits_search)
    np.testing.assert_array_equal(
        display.strengths, digits_search.best_estimator_.feature_importances_
    )


def test_of_many_inputs_the_strongest_are_drawn(unpruned):
    display = SupportDisplay.from_estimator(unpruned)
    widths = [bar.get_width() for bar in display.bars_]
    np.testing.assert_allclose(widths, np.sort(unpruned.feature_importances_)[::-1][:30])
    assert display.ax_.get_title() == "64 of 64 inputs kept; the 30 strongest"
    strongest = int(np.argmax(display.strengths))
    assert display.ax_.get_yticklabels()[0].get_text() == f"x{strongest}"
    assert len(SupportDisplay.from_estimator(unpruned, max_features=7).bars_) == 7


@pytest.mark.parametrize("figsize", [None, (5, 2.5)])
def test_names_do_not_overlap(unpruned, figsize):
    ax = None if figsize is None else plt.subplots(figsize=figsize, layout="constrained")[1]
    display = SupportDisplay.from_estimator(unpruned, ax=ax)
    labels = drawn_labels(display.ax_.yaxis)
    assert len(labels) == 30
    boxes = [label.get_window_extent() for label in labels]
    assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))


def test_names_may_be_given_and_need_not_differ(unpruned):
    display = SupportDisplay.from_estimator(
        unpruned, feature_names=["a", "b"] * 32, max_features=None
    )
    order = np.argsort(-display.strengths)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert labels == ["ab"[index % 2] for index in order]
    assert len(display.bars_) == 64


def test_a_network_without_inputs_is_drawn():
    display = SupportDisplay(support=np.zeros(4, bool), strengths=np.zeros(4)).plot()
    display.figure_.canvas.draw()
    assert display.ax_.get_title() == "0 of 4 inputs kept"
    assert len(display.bars_) == 0


def test_an_image_shows_strengths_and_masks_deleted_pixels(pruned):
    display = SupportDisplay.from_estimator(pruned, image_shape=(8, 8))
    pixels = display.image_.get_array()
    assert pixels.shape == (8, 8)
    np.testing.assert_array_equal(pixels.mask.ravel(), ~pruned.support_)
    np.testing.assert_allclose(pixels.compressed(), pruned.feature_importances_[pruned.support_])
    assert display.bars_ is None
    assert display.colorbar_.ax.get_ylabel() == "strength (share of all inputs)"
    assert display.image_.get_clim()[0] == 0
    n_kept = pruned.support_.sum()
    assert display.ax_.get_title() == f"{n_kept} of 64 inputs kept (grey: deleted)"
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("column", "row")


def test_a_table_of_one_row_has_whole_ticks(pruned):
    display = SupportDisplay.from_estimator(
        pruned, image_shape=(1, 64), image_kw={"aspect": "auto"}
    )
    assert texts(display.ax_.yaxis) == ["0"]
    assert all(float(text).is_integer() for text in texts(display.ax_.xaxis))
    assert display.ax_.get_aspect() == "auto"


def test_the_colour_bar_may_be_left_out(pruned):
    _, ax = plt.subplots()
    display = SupportDisplay.from_estimator(pruned, image_shape=(8, 8), ax=ax, colorbar=False)
    assert display.colorbar_ is None
    assert display.ax_ is ax
    assert ax.figure.axes == [ax]


def test_bars_after_an_image(pruned):
    display = SupportDisplay.from_estimator(pruned, image_shape=(8, 8))
    _, ax = plt.subplots()
    assert display.plot(ax, bar_kw={"fc": "black"}) is display
    assert display.ax_ is ax
    assert display.image_ is display.colorbar_ is None
    assert {bar.get_facecolor() for bar in display.bars_} == {(0, 0, 0, 1)}


@pytest.mark.parametrize("shape", [(8, 7), (64,), (4, 4, 4), (-8, -8), (8.0, 8.0), 64, "8x"])
def test_a_wrong_image_shape_is_an_error(pruned, shape):
    with pytest.raises(ValueError, match=r"`image_shape` must be two ints .* 64, got"):
        SupportDisplay.from_estimator(pruned, image_shape=shape)
    assert not plt.get_fignums()


@pytest.mark.parametrize("number", [0, -1, 2.5, "all"])
def test_a_wrong_number_of_features_is_an_error(pruned, number):
    with pytest.raises(ValueError, match="`max_features` must be an int >= 1 or None, got"):
        SupportDisplay.from_estimator(pruned, max_features=number)
    assert not plt.get_fignums()


def test_too_few_names_are_an_error(pruned):
    with pytest.raises(ValueError, match=r"`feature_names` .* 64 inputs, .* shape \(2,\)"):
        SupportDisplay.from_estimator(pruned, feature_names=["a", "b"])


def test_examples():
    assert n_failed(SupportDisplay) == 0
