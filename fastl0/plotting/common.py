"""Owns what the displays of estimators and paths share: checks of arguments, axes, legends.

The displays follow scikit-learn's. They need matplotlib (``pip install "fastl0[plot]"``), which
is imported only when a picture is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

PLUS_MINUS, MINUS = "\N{PLUS-MINUS SIGN}", "\N{MINUS SIGN}"

#: What a caller passes on to matplotlib.
Keywords = dict[str, Any] | None


class Quantity(NamedTuple):
    """What an axis shows; sizes are drawn on a logarithmic one, with their unit at each tick."""

    label: str
    is_size: bool = False
    unit: str = ""


#: What the size of a finished network is measured in.
SIZES = {
    "n_parameters": Quantity("parameters", is_size=True),
    "n_bytes": Quantity("weights and biases (bytes)", is_size=True, unit="B"),
}


def pyplot(caller: str) -> Any:
    """Import pyplot, or say what to install for the method that asked."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which cannot be imported ({error}). Run: "
            'pip install "fastl0[plot]"'
        ) from error
    return plt


def check_fitted(
    estimator: Any,
    *attributes: str,
    remedy: str = "Give the network itself, such as pipeline[-1], search.best_estimator_ or "
    "path.estimators[0].",
) -> None:
    """Raise NotFittedError or TypeError unless the estimator is fitted and has the attributes."""
    if hasattr(estimator, "fit"):
        check_is_fitted(estimator)
    missing = [name for name in attributes if not hasattr(estimator, name)]
    if missing:
        raise TypeError(
            f"`estimator` must have the fitted attributes {', '.join(attributes)}, got "
            f"{type(estimator).__name__} without {', '.join(missing)}. {remedy}"
        )


def check_size(size: Any) -> None:
    """Raise ValueError unless `size` is a key of `SIZES`."""
    if size not in SIZES:
        raise ValueError(f"`size` must be one of {', '.join(SIZES)}, got {size!r}.")


def tick_sizes(axis: Axis, quantity: Quantity) -> None:
    """Write 200 k or 200 kB."""
    from matplotlib.ticker import EngFormatter

    from fastl0.plotting import style

    style.tick_log_axis(axis, EngFormatter(unit=quantity.unit))


def draw_legend(ax: Axes) -> None:
    """Draw a legend of everything that has a label, each label once."""
    entries: dict[str, Any] = {}
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        entries.setdefault(label, handle)
    if entries:
        ax.legend(entries.values(), entries.keys())
