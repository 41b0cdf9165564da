import io
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from fastl0 import plots

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
    figure = plots.training_curves(RUNS, ["test_error", "n_parameters_folded"])
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
    figure = plots.training_curves(
        {kind: {"loss": [[2.0, 1.0]]} for kind in ("hard", "soft", "none")}, ["loss"]
    )
    lines = figure.axes[0].lines
    assert len({line.get_color() for line in lines}) == 3
    assert len({line.get_linestyle() for line in lines}) == 3


def test_a_single_seed_has_no_band():
    figure = plots.training_curves({"soft": {"accuracy": [[90.0, 95.0]]}}, ["accuracy"])
    assert not figure.axes[0].collections
    assert figure.axes[0].get_yscale() == "linear"


def test_a_single_epoch_is_visible():
    figure = plots.training_curves({"soft": {"accuracy": [[90.0]]}}, ["accuracy"])
    assert figure.axes[0].lines[0].get_marker() == "o"


@pytest.mark.parametrize("column", list(plots.PANELS))
def test_every_panel_is_titled_and_labelled(column):
    figure = plots.training_curves({"hard": {column: [[2.0, 1.0]]}}, [column], title="Heading")
    ax = figure.axes[0]
    assert ax.get_title() == plots.PANELS[column].title
    assert ax.get_ylabel() == plots.PANELS[column].label
    assert ax.get_xlabel() == "epoch"
    assert figure.get_suptitle() == "Heading"
    assert draw(figure).startswith(b"\x89PNG")


def test_bytes_are_drawn_as_megabytes():
    figure = plots.training_curves({"hard": {"buffer_nbytes": [[4e6, 2e6]]}}, ["buffer_nbytes"])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [4, 2])


@pytest.mark.parametrize("values", [[1.9, 1.7, 1.6], [266_610, 5_000, 40], [5.0, 5.0, 5.0]])
def test_log_axis_keeps_readable_ticks(values):
    figure = plots.training_curves({"hard": {"loss": [values]}}, ["loss"])
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
    figure = plots.training_curves(
        {"hard": {"n_parameters_folded": [[10_000, least]]}}, ["n_parameters_folded"]
    )
    ax = figure.axes[0]
    assert ax.get_yscale() == scale
    assert (ax.get_ylim()[0] == 0) == (scale == "linear")


def test_kept_pixels_counts_the_seeds():
    hard = np.zeros((3, 784), dtype=bool)
    hard[:, 28] = True  # first pixel of the second row
    hard[0, 5] = True
    figure = plots.kept_pixels({"hard": hard, "soft": np.ones((3, 784))})
    pictures = [ax for ax in figure.axes if ax.images]
    assert len(pictures) == 2
    assert len(figure.axes) == 4  # each with its colour bar
    counts = pictures[0].images[0].get_array()
    assert counts.shape == (28, 28)
    assert counts[1, 0] == 3
    assert counts[0, 5] == 1
    assert counts.sum() == 4
    assert pictures[0].get_title() == "hard: 1 of 784 pixels kept"
    assert pictures[1].get_title() == "soft: 784 of 784 pixels kept"
    assert draw(figure).startswith(b"\x89PNG")


def test_no_global_plotting_state():
    code = "import sys, fastl0.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    path = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=path, check=False).returncode == 0
