"""Owns how pictures look: colours, number formats, ticks and grid.

Needs matplotlib (``pip install "fastl0[plot]"``), so it is imported where a picture is drawn.
"""

from __future__ import annotations

from typing import Any

from matplotlib import cbook
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import Formatter, FuncFormatter, LogLocator, MaxNLocator, NullLocator

#: Okabe and Ito's colours stay apart for colour-blind readers; the dashes do so in grey print.
LINES = (("#0072B2", "-"), ("#D55E00", "--"), ("#555555", ":"), ("#009E73", "-."))

#: What is gone, behind the colours of what is left.
DELETED = "#D9D9D9"

PLAIN_NUMBERS = FuncFormatter(lambda value, _: f"{value:,.10g}")


def cycle_lines(ax: Axes) -> None:
    """Give the lines to come the colours and dashes of `LINES`, one after the other."""
    colours, dashes = zip(*LINES, strict=True)
    ax.set_prop_cycle(color=colours, linestyle=dashes)


def grid(ax: Axes) -> None:
    """Draw a faint grid behind the data, and no frame at the top and on the right."""
    ax.grid(True, color="#DDDDDD", lw=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def tick_log_axis(axis: Axis, formatter: Formatter = PLAIN_NUMBERS) -> None:
    """Write plain numbers: a narrow range holds no power of ten, so it is cut evenly."""
    low, high = axis.get_view_interval()
    if high > 10 * low:
        # Over many decades one label in each is enough.
        subs = (1.0, 2.0, 5.0) if high < 2000 * low else (1.0,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    else:
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(formatter)
    axis.set_minor_locator(NullLocator())


def fit_labels(ax: Axes) -> None:
    """Make the tick labels of the vertical axis so small that they do not overlap."""
    labels = ax.get_yticklabels()
    points = ax.get_window_extent().height / ax.figure.dpi * 72
    most = 0.85 * points / max(len(labels), 1)
    ax.tick_params(axis="y", labelsize=min([most, *(label.get_fontsize() for label in labels)]))


def merge(
    defaults: dict[str, Any], given: dict[str, Any] | None, artist: type[Artist]
) -> dict[str, Any]:
    """Let the caller's keywords win, under whichever of their names (`lw`, `linewidth`).

    Raises
    ------
    TypeError
        If one is given under two names.
    """
    return cbook.normalize_kwargs(defaults, artist) | cbook.normalize_kwargs(given or {}, artist)
