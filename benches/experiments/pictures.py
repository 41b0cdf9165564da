"""Pictures of the experiments: plain numbers in, a Figure out; no global plotting state.

Needs matplotlib, so it is imported where a picture is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastl0.plotting.style import grid, tick_log_axis

_RUNS, _PUBLISHED = "#0072B2", "#B04A00"


class _Protocol(NamedTuple):
    marker: str
    filled: bool
    label: str


#: Which epoch's network a published error is of.
PROTOCOLS = {
    "last epoch": _Protocol("o", True, "published: last epoch"),
    "best on test": _Protocol("o", False, "published: best epoch, chosen on the test set"),
    "not stated": _Protocol("X", True, "published: epoch not stated"),
}


def kept_pixels(supports: Mapping[str, npt.ArrayLike], shape: tuple[int, int] = (28, 28)) -> Figure:
    """Draw for each kind of pruning how many of the seeds keep each pixel.

    Parameters
    ----------
    supports : mapping of str to array-like of shape (n_seeds, n_pixels)
        True where a run still reads the pixel.
    shape : tuple of int, default=(28, 28)
        Rows and columns of the picture; their product is ``n_pixels``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(4.4 * len(supports) + 1.0, 4.6), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(supports), squeeze=False)[0]
    for ax, (pruning, support) in zip(axes, supports.items(), strict=True):
        kept = np.asarray(support, dtype=bool)
        n_seeds, n_pixels = kept.shape
        # One colour for each possible count, so that the bar reads as a legend.
        image = ax.imshow(
            kept.sum(axis=0).reshape(shape),
            cmap=colormaps["cividis"].resampled(n_seeds + 1),
            vmin=-0.5,
            vmax=n_seeds + 0.5,
        )
        ax.set_title(f"{pruning}: {kept.sum() / n_seeds:.0f} of {n_pixels} pixels kept")
        ax.set_xlabel("pixel column")
        ax.set_ylabel("pixel row")
        bar = figure.colorbar(image, ax=ax, shrink=0.8)
        bar.set_label(f"runs that keep the pixel (of {n_seeds})")
        bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def frontier(
    runs: Mapping[str, npt.ArrayLike],
    published: Sequence[tuple[str, str, Sequence[tuple[float, float, float]]]],
    *,
    title: str = "",
) -> Figure:
    """Draw test error against the number of parameters, beside published results.

    Parameters
    ----------
    runs : mapping of str to array-like of shape (n_seeds, 2)
        For each target size the parameters and the test error in percent of its runs: a faint
        dot each, and their mean with bars of one standard deviation.
    published : sequence of (str, str, sequence of (float, float, float))
        For each method its name, its protocol (one of ``PROTOCOLS``), and the parameters, the
        error and the standard deviation of the error (0 where unknown) of each of its networks.
    title : str, default=""

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(9.2, 6.4), dpi=150, layout="constrained")
    figure.suptitle(title, fontsize=12)
    ax = figure.subplots()
    ax.set_xscale("log")
    taken = [_draw_runs(ax, np.asarray(points, dtype=float)) for points in runs.values()]
    taken += [_draw_published(ax, protocol, points) for _, protocol, points in published]
    ax.margins(0.08, 0.12)
    least, greatest = ax.dataLim.intervaly
    if least > 0 and greatest > 10 * least:
        ax.set_yscale("log")
        tick_log_axis(ax.yaxis)
    tick_log_axis(ax.xaxis)
    grid(ax)
    ax.set_xlabel("parameters")
    ax.set_ylabel("test error (%)")
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))  # each label once
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=2, frameon=False
    )
    # At the last network: where a method has several, that is the smallest one.
    anchors = [(name, points[-1][:2]) for name, _, points in published]
    _place_labels(figure, ax, anchors, np.concatenate(taken))
    return figure


def _draw_runs(ax: Axes, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Draw the runs of one target size; return points all along what was drawn, shape (n, 2)."""
    (size, error), n_seeds = points.mean(axis=0), len(points)
    sd = points.std(axis=0, ddof=1) if n_seeds > 1 else np.zeros(2)
    bars = {"xerr": sd[0], "yerr": sd[1]} if n_seeds > 1 else {}
    ax.errorbar(
        [size],
        [error],
        **bars,
        linestyle="none",
        marker="s",
        ms=5.5,
        color=_RUNS,
        elinewidth=1.2,
        capsize=3,
        zorder=4,
        label="fastl0: mean and SD over the seeds, last epoch",
    )
    sizes, errors = points.T
    ax.plot(sizes, errors, "o", color=_RUNS, alpha=0.35, ms=4, mew=0, zorder=3, label="fastl0: run")
    steps = np.linspace(-1, 1, 9)[:, None] * sd
    return np.concatenate([points, [size, error] + steps * [1, 0], [size, error] + steps * [0, 1]])


def _draw_published(
    ax: Axes, protocol: str, points: Sequence[tuple[float, float, float]]
) -> npt.NDArray[np.float64]:
    """Draw one method's networks; return points all along what was drawn, shape (n, 2)."""
    marker, filled, label = PROTOCOLS[protocol]
    sizes, errors, sds = np.array(points, dtype=float).T
    ax.errorbar(
        sizes,
        errors,
        yerr=sds if sds.any() else None,
        color=_PUBLISHED,
        linestyle="-" if len(points) > 1 else "none",
        lw=0.8,
        elinewidth=0.9,
        capsize=2.5,
        marker=marker,
        ms=6,
        mfc=_PUBLISHED if filled else "none",
        zorder=5,
        label=label,
    )
    bars = [
        np.column_stack([np.full(9, size), np.linspace(error - sd, error + sd, 9)])
        for size, error, sd in points
    ]
    steps, networks = np.linspace(0, len(points) - 1, 25 * len(points)), np.arange(len(points))
    # Lines are straight where the axis is logarithmic.
    line = np.exp(np.interp(steps, networks, np.log(sizes)))
    return np.concatenate([*bars, np.column_stack([line, np.interp(steps, networks, errors)])])


def _place_labels(
    figure: Figure,
    ax: Axes,
    anchors: Sequence[tuple[str, tuple[float, float]]],
    taken: npt.NDArray[np.float64],
) -> None:
    """Write each name near its point, where it covers neither another name nor what is drawn.

    Tries places around the point, near ones first, and takes the one with the least in its way.
    """
    figure.draw_without_rendering()  # only now does the axes have its final size
    pixels = figure.dpi / 72  # of a point
    to_pixels = ax.transData.transform
    frame = np.asarray(ax.get_window_extent().extents)
    obstacles = to_pixels(taken)
    boxes = np.empty((0, 4))
    directions = [(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 24, endpoint=False)]
    places = [(gap, np.array(d)) for gap in (6, 10, 15, 21, 28, 36, 46, 60) for d in directions]
    for name, anchor in anchors:
        text = ax.annotate(
            name,
            anchor,
            (0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            zorder=6,
        )
        extent, start = text.get_window_extent(), to_pixels(anchor)
        half = np.array([extent.width, extent.height]) / 2
        least = np.inf
        for gap, direction in places:
            centre = start + direction * (half + gap * pixels)
            edge = np.clip(start, centre - half, centre + half)
            box = np.concatenate([centre - half, centre + half])
            leader = edge + np.linspace(0, 1, 15)[:, None] * (start - edge)
            cost = gap + _hindrance(box, leader, frame, boxes, obstacles, pixels)
            if cost < least:
                least, best = cost, (gap, centre, edge, box, leader)
        gap, centre, edge, box, leader = best
        text.set_position(tuple((centre - start) / pixels))
        if gap > places[0][0]:
            ax.annotate(
                "",
                anchor,
                tuple((edge - start) / pixels),
                textcoords="offset points",
                arrowprops={
                    "arrowstyle": "-",
                    "lw": 0.6,
                    "color": "#666666",
                    "shrinkA": 0,
                    "shrinkB": 3,
                },
            )
        boxes = np.vstack([boxes, box])
        obstacles = np.concatenate([obstacles, leader])


def _hindrance(
    box: npt.NDArray[np.float64],
    leader: npt.NDArray[np.float64],
    frame: npt.NDArray[np.float64],
    boxes: npt.NDArray[np.float64],
    obstacles: npt.NDArray[np.float64],
    pixels: float,
) -> float:
    """Weigh what stands in the way of a name in `box`, and of the line from it to its point."""
    low, high = box[:2] - 2 * pixels, box[2:] + 2 * pixels
    outside = (box[:2] < frame[:2]).any() or (box[2:] > frame[2:]).any()
    overlaps = ((boxes[:, :2] < high) & (boxes[:, 2:] > low)).all(axis=1).sum()
    crossed = ((leader[:, None] > boxes[:, :2]) & (leader[:, None] < boxes[:, 2:])).all(axis=2)
    margin = 4 * pixels  # markers are as wide
    covered = ((obstacles > box[:2] - margin) & (obstacles < box[2:] + margin)).all(axis=1).sum()
    start = leader[-1]
    others = obstacles[np.hypot(*(obstacles - start).T) > margin]
    distances = np.hypot(*(leader[:, None] - others).transpose(2, 0, 1))
    touched = (distances < 3 * pixels).any(axis=1).sum()
    return float(1000 * (outside + overlaps) + 100 * (crossed.sum() + covered) + 5 * touched)
