import io

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from fastl0.cli.curves import PANELS, training_curves

RUNS = {
    "hard": {
        "test_error": [[8.0, 4.0, 2.0], [10.0, 4.0, 1.0]],
        "n_parameters_folded": [[266_610, 100_000, 40_000], [200_000, 90_000, 30_000]],
    },
    "none": {
        "test_error": [[7.0, 3.0, 1.5], [7.0, 3.0, 1.7]],
        "n_parameters_folded": [[266_610] * 3, [266_610] * 3],
    },
}


def draw(figure):
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def test_lines_are_means_and_bands_are_ranges():
    figure = training_curves(RUNS, ["test_error", "n_parameters_folded"])
    error, size = figure.axes
    hard, none = error.lines
    assert [line.get_label() for line in error.lines] == ["hard", "none"]
    np.testing.assert_array_equal(hard.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(hard.get_ydata(), [9, 4, 1.5])
    np.testing.assert_allclose(none.get_ydata(), [7, 3, 1.6])
    band = error.collections[0].get_paths()[0].vertices
    for epoch, low, high in ((1, 8, 10), (2, 4, 4), (3, 1, 2)):
        heights = band[band[:, 0] == epoch, 1]
        assert (heights.min(), heights.max()) == (low, high)
    np.testing.assert_allclose(size.lines[0].get_ydata(), [233_305, 95_000, 35_000])


def test_kinds_differ_in_colour_and_in_dashes():
    figure = training_curves(
        {kind: {"test_error": [[2.0, 1.0]]} for kind in ("hard", "soft", "none")}, ["test_error"]
    )
    lines = figure.axes[0].lines
    assert len({line.get_color() for line in lines}) == 3
    assert len({line.get_linestyle() for line in lines}) == 3


def test_a_single_seed_has_no_band():
    figure = training_curves({"soft": {"accuracy": [[90.0, 95.0]]}}, ["accuracy"])
    assert not figure.axes[0].collections
    assert figure.axes[0].get_yscale() == "linear"


def test_a_single_epoch_is_visible():
    figure = training_curves({"soft": {"accuracy": [[90.0]]}}, ["accuracy"])
    assert figure.axes[0].lines[0].get_marker() == "o"


@pytest.mark.parametrize("column", list(PANELS))
def test_every_panel_is_titled_and_labelled(column):
    figure = training_curves({"hard": {column: [[2.0, 1.0]]}}, [column], title="Heading")
    ax = figure.axes[0]
    assert ax.get_title() == PANELS[column].title
    assert ax.get_ylabel() == PANELS[column].label
    assert ax.get_xlabel() == "epoch"
    assert figure.get_suptitle() == "Heading"
    assert draw(figure).startswith(b"\x89PNG")


def test_bytes_are_drawn_as_megabytes():
    figure = training_curves({"hard": {"buffer_nbytes": [[4e6, 2e6]]}}, ["buffer_nbytes"])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [4, 2])


@pytest.mark.parametrize("values", [[1.9, 1.7, 1.6], [266_610, 5_000, 40], [5.0, 5.0, 5.0]])
def test_log_axis_keeps_readable_ticks(values):
    figure = training_curves({"hard": {"test_error": [values]}}, ["test_error"])
    draw(figure)
    ax = figure.axes[0]
    low, high = ax.get_ylim()
    shown = [label.get_text() for label in ax.get_yticklabels()]
    inside = [
        text for text, tick in zip(shown, ax.get_yticks(), strict=True) if low <= tick <= high
    ]
    assert ax.get_yscale() == "log"
    assert len([text for text in inside if text]) >= 2
    assert not any("10^" in text for text in inside)


@pytest.mark.parametrize(("least", "scale"), [(2_000, "linear"), (200, "log")])
def test_amounts_start_at_zero_unless_they_span_decades(least, scale):
    figure = training_curves(
        {"hard": {"n_parameters_folded": [[10_000, least]]}}, ["n_parameters_folded"]
    )
    ax = figure.axes[0]
    assert ax.get_yscale() == scale
    assert (ax.get_ylim()[0] == 0) == (scale == "linear")
