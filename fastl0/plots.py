"""Owns every picture: plain numbers in, a matplotlib Figure out; no global plotting state.

Needs matplotlib (``pip install "fastl0[plot]"``), so it is imported where a picture is drawn.
May import NumPy and matplotlib, and nothing of fastl0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

# Okabe and Ito's colours stay apart for colour-blind readers; the dashes do so in grey print.
_LINES = {"hard": ("#0072B2", "-"), "soft": ("#D55E00", "--"), "none": ("#555555", ":")}
_SPARE_LINE = ("#009E73", "-.")
_PLAIN_NUMBERS = FuncFormatter(lambda value, _: f"{value:,.10g}")


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
    "loss": Panel("Training loss", "loss", "log"),
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


def _draw_line(ax: Axes, pruning: str, values: npt.NDArray[np.float64]) -> None:
    colour, dashes = _LINES.get(pruning, _SPARE_LINE)
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
        _tick_log_axis(ax)
    else:
        ax.yaxis.set_major_formatter(_PLAIN_NUMBERS)
        if panel.scale == "amount":
            ax.set_ylim(0, 1.05 * greatest)
    ax.grid(True, color="#DDDDDD", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _tick_log_axis(ax: Axes) -> None:
    """Write plain numbers: a narrow range holds no power of ten, so it is cut evenly."""
    low, high = ax.get_ylim()
    if high > 10 * low:
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    else:
        ax.yaxis.set_major_locator(MaxNLocator(nbins=6))
    ax.yaxis.set_major_formatter(_PLAIN_NUMBERS)
    ax.yaxis.set_minor_locator(NullLocator())
