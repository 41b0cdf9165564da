"""Pictures of quantities by epoch: plain numbers in, a Figure out; no global plotting state.

Needs matplotlib (``pip install "fastl0[plot]"``), so it is imported where a picture is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastl0.cli.training_run import PRUNINGS
from fastl0.plotting.style import LINES, PLAIN_NUMBERS, grid, tick_log_axis

_LINES = dict(zip(PRUNINGS, LINES, strict=False))


class Panel(NamedTuple):
    """How one quantity is drawn: its title, its axis label with unit, its factor and its scale.

    The scale is linear, logarithmic, or for an amount: linear from zero, so that heights compare,
    unless the values span more than a factor of ten.
    """

    title: str
    label: str
    scale: Literal["linear", "log", "amount"]
    factor: float = 1.0


PANELS = {
    "accuracy": Panel("Test accuracy", "accuracy (%)", "linear"),
    "test_error": Panel("Test error", "error (%)", "log"),
    "n_parameters_folded": Panel("Network size, gates folded in", "parameters", "amount"),
    "buffer_nbytes": Panel("Training memory", "buffers (MB)", "amount", factor=1e-6),
    "epoch_time": Panel("Time of one epoch", "time (s)", "amount"),
}


def training_curves(
    runs: Mapping[str, Mapping[str, npt.ArrayLike]], columns: Sequence[str], *, title: str = ""
) -> Figure:
    """Draw quantities by epoch, one panel a quantity and one line a kind of pruning.

    Parameters
    ----------
    runs : mapping of str to mapping of str to array-like of shape (n_seeds, n_epochs)
        For each kind of pruning the values of each column; with more than one seed the line is
        the mean and the band reaches from the least to the greatest.
    columns : sequence of str
        The panels from left to right, keys of ``PANELS``.
    title : str, default=""
        Heading above all panels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(4.6 * len(columns), 4.2), dpi=150, layout="constrained")
    figure.suptitle(title, fontsize=12)
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    for ax, column in zip(axes, columns, strict=True):
        panel = PANELS[column]
        for pruning, values in runs.items():
            _draw_line(ax, pruning, np.asarray(values[column], dtype=float) * panel.factor)
        _label(ax, panel)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _draw_line(ax: Axes, pruning: str, values: npt.NDArray[np.float64]) -> None:
    colour, dashes = _LINES[pruning]
    epochs = np.arange(1, values.shape[1] + 1)
    # A lone epoch makes no line, so it gets a dot.
    marker = "o" if len(epochs) == 1 else ""
    mean = values.mean(axis=0)
    ax.plot(epochs, mean, color=colour, linestyle=dashes, marker=marker, lw=1.4, label=pruning)
    if len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        ax.fill_between(epochs, low, high, color=colour, alpha=0.2, lw=0)


def _label(ax: Axes, panel: Panel) -> None:
    ax.set_title(panel.title)
    ax.set_xlabel("epoch")
    ax.set_ylabel(panel.label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    least, greatest = ax.dataLim.intervaly
    if panel.scale == "log" or (panel.scale == "amount" and greatest > 10 * least):
        ax.set_yscale("log")
        tick_log_axis(ax.yaxis)
    else:
        ax.yaxis.set_major_formatter(PLAIN_NUMBERS)
        if panel.scale == "amount":
            ax.set_ylim(0, 1.05 * greatest)
    grid(ax)
