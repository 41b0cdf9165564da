import io
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from experiments import pictures
from experiments.published import PUBLISHED


def draw(figure):
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def test_kept_pixels_counts_the_seeds():
    hard = np.zeros((3, 784), dtype=bool)
    hard[:, 28] = True  # first pixel of the second row
    hard[0, 5] = True
    figure = pictures.kept_pixels({"hard": hard, "soft": np.ones((3, 784))})
    drawn = [ax for ax in figure.axes if ax.images]
    assert len(drawn) == 2
    assert len(figure.axes) == 4  # each with its colour bar
    counts = drawn[0].images[0].get_array()
    assert counts.shape == (28, 28)
    assert counts[1, 0] == 3
    assert counts[0, 5] == 1
    assert counts.sum() == 4
    assert drawn[0].get_title() == "hard: 1 of 784 pixels kept"
    assert drawn[1].get_title() == "soft: 784 of 784 pixels kept"
    assert draw(figure).startswith(b"\x89PNG")


# --- test error against size -----------------------------------------------------------

SIZES = {
    "2000": [[2_000, 2.0], [1_900, 2.4], [1_800, 1.6]],
    "500": [[500, 3.0], [490, 3.2], [495, 3.4]],
}
METHODS = [
    ("dense", "not stated", [(10_000, 1.5, 0)]),
    ("chosen", "best on test", [(600, 1.9, 0)]),
    ("steady", "last epoch", [(3_000, 1.8, 0.1), (1_000, 2.4, 0.2)]),
]


def names_on(figure):
    """The names of published methods, and where they are in pixels once drawn."""
    draw(figure)
    texts = [text for text in figure.axes[0].texts if text.get_text()]
    return {text.get_text(): text.get_window_extent() for text in texts}


def test_runs_are_dots_and_means_have_bars():
    figure = pictures.frontier(SIZES, [])
    ax = figure.axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    dots = [line for line in ax.lines if line.get_label() == "fastl0: run"]
    np.testing.assert_allclose([line.get_xydata() for line in dots], list(SIZES.values()))
    assert all(line.get_alpha() < 0.5 for line in dots)
    for container, mean, sd in zip(
        ax.containers, ([1_900, 2.0], [495, 3.2]), ([100, 0.4], [5, 0.2]), strict=True
    ):
        point, _, bars = container.lines
        np.testing.assert_allclose(point.get_xydata(), [mean])
        for bar, axis in zip(bars, (0, 1), strict=True):
            (ends,) = bar.get_segments()
            np.testing.assert_allclose(
                ends[:, axis], [mean[axis] - sd[axis], mean[axis] + sd[axis]]
            )


def test_a_single_run_has_no_bars():
    figure = pictures.frontier({"500": [[500, 3.0]]}, METHODS[:1])
    assert not figure.axes[0].containers[0].lines[2]


def test_protocols_differ_in_their_markers():
    figure = pictures.frontier(SIZES, METHODS)
    drawn = {item.get_label(): item.lines[0] for item in figure.axes[0].containers}
    last, best, unknown = (
        drawn[pictures.PROTOCOLS[name].label]
        for name in ("last epoch", "best on test", "not stated")
    )
    assert last.get_markerfacecolor() == last.get_color()
    assert best.get_markerfacecolor() == "none"
    assert unknown.get_marker() != last.get_marker() == best.get_marker()
    np.testing.assert_allclose(last.get_xydata(), [[3_000, 1.8], [1_000, 2.4]])


def test_each_kind_of_point_is_in_the_legend_once():
    figure = pictures.frontier(SIZES, [*METHODS, *METHODS], title="Heading")
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert len(texts) == len(set(texts)) == 2 + len(pictures.PROTOCOLS)
    ax = figure.axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("parameters", "test error (%)")
    assert figure.get_suptitle() == "Heading"
    assert draw(figure).startswith(b"\x89PNG")


# Where runs fall among the published networks is not known beforehand.
@pytest.mark.parametrize("errors", [(1.5, 1.6, 2.0, 2.3), (1.4, 1.8, 1.6, 1.9), (3, 12, 20, 80)])
def test_no_name_covers_anything(errors):
    sizes = (70_000, 27_000, 9_700, 6_800)
    steps = np.linspace(-1, 1, 5)
    runs = {
        str(size): np.column_stack([size * (1 + 0.01 * steps), error * (1 + 0.03 * steps)])
        for size, error in zip(sizes, errors, strict=True)
    }
    figure = pictures.frontier(runs, PUBLISHED)
    ax = figure.axes[0]
    boxes = names_on(figure)
    assert set(boxes) == {method.name for method in PUBLISHED}
    frame = ax.get_window_extent()
    drawn = [np.array(points) for points in runs.values()]
    drawn += [np.array(method.points)[:, :2] for method in PUBLISHED]
    points = ax.transData.transform(np.concatenate(drawn))
    for name, box in boxes.items():
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert frame.y0 <= box.y0 < box.y1 <= frame.y1
        assert not [other for other in boxes if other != name and box.overlaps(boxes[other])]
        assert not box.padded(4).count_contains(points)


def test_no_global_plotting_state():
    code = "import sys, experiments.pictures; sys.exit('matplotlib.pyplot' in sys.modules)"
    path = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=path, check=False).returncode == 0
