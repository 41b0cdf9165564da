"""Owns `PruningDisplay`: how a network shrank and learnt, epoch by epoch.

Goes by fitted attributes, not by classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastl0.plotting.common import (
    MINUS,
    SIZES,
    Keywords,
    Quantity,
    check_fitted,
    draw_legend,
    pyplot,
    tick_sizes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PruningDisplay"]

_BY_EPOCH = {
    "n_parameters": SIZES["n_parameters"],
    "buffer_nbytes": Quantity("training buffers (bytes)", is_size=True, unit="B"),
    "loss": Quantity("training loss"),
    "validation_error": Quantity(f"1 {MINUS} validation score"),
}


class PruningDisplay:
    """How a network shrank and learnt, epoch by epoch.

    One panel a quantity, on a shared axis of epochs. Sizes are drawn on logarithmic axes, losses
    and errors where they fall by more than a factor of ten.

    `from_estimator` makes one from a fitted estimator. All parameters are stored as attributes.

    Parameters
    ----------
    n_parameters : array-like of shape (n_epochs,), int
        Weights and biases of the network that was trained in each epoch.
    buffer_nbytes : array-like of shape (n_epochs,), int
        Bytes that the training buffers occupied.
    loss : array-like of shape (n_epochs,), float
        Training objective.
    validation_error : array-like of shape (n_epochs,), float, default=None
        1 minus the score on the rows set aside: the error rate of a classifier, the share of
        the variance that a regressor leaves unexplained. None where no rows were set aside.
    name : str, default=None
        Name in the legend; None draws no legend.

    Attributes
    ----------
    axes_ : ndarray of shape (n_quantities,) of matplotlib Axes
        One for each quantity.
    figure_ : matplotlib Figure
        The figure of the first of them.
    lines_ : list of matplotlib Line2D
        The curve of each quantity.

    See Also
    --------
    SupportDisplay : Which inputs are left.
    FrontierDisplay : Score against size.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastl0 import HardL0MLPClassifier, PruningDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = HardL0MLPClassifier(max_iter=50, early_stopping=True, random_state=0).fit(X / 16, y)
    >>> display = PruningDisplay.from_estimator(clf)
    >>> [ax.get_ylabel() for ax in display.axes_[:3]]
    ['parameters', 'training buffers (bytes)', 'training loss']

    Two networks on the same axes:

    >>> small = HardL0MLPClassifier(target_size=0.1, max_iter=50, random_state=0).fit(X / 16, y)
    >>> sizes = ["n_parameters", "buffer_nbytes"]
    >>> axes = PruningDisplay.from_estimator(clf, quantities=sizes, name="30 %").axes_
    >>> display = PruningDisplay.from_estimator(small, quantities=sizes, name="10 %", ax=axes)
    """

    __module__ = "fastl0"  # pickles name the class so, wherever it lives

    def __init__(
        self,
        *,
        n_parameters: ArrayLike,
        buffer_nbytes: ArrayLike,
        loss: ArrayLike,
        validation_error: ArrayLike | None = None,
        name: str | None = None,
    ) -> None:
        self.n_parameters = n_parameters
        self.buffer_nbytes = buffer_nbytes
        self.loss = loss
        self.validation_error = validation_error
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        quantities: str | Sequence[str] | None = None,
        ax: Axes | Sequence[Axes] | NDArray[np.object_] | None = None,
        name: str | None = None,
        line_kw: Keywords = None,
    ) -> Self:
        """Draw the history of a fitted estimator.

        Parameters
        ----------
        estimator : HardL0MLPClassifier
            Or another fitted estimator with `history_`, `loss_curve_` and
            `validation_scores_`.
        quantities, ax, name, line_kw
            As in `plot`.

        Returns
        -------
        PruningDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it has no history.
        ValueError
            As in `plot`.
        """
        pyplot(f"{cls.__name__}.from_estimator")
        check_fitted(estimator, "history_", "loss_curve_", "validation_scores_")
        history, scores = estimator.history_, estimator.validation_scores_
        display = cls(
            n_parameters=np.asarray(history["n_parameters"]),
            buffer_nbytes=np.asarray(history["buffer_nbytes"]),
            loss=np.asarray(estimator.loss_curve_),
            validation_error=None if scores is None else 1 - np.asarray(scores),
            name=name,
        )
        return display.plot(ax, quantities=quantities, line_kw=line_kw)

    def plot(
        self,
        ax: Axes | Sequence[Axes] | NDArray[np.object_] | None = None,
        *,
        quantities: str | Sequence[str] | None = None,
        name: str | None = None,
        line_kw: Keywords = None,
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of them, default=None
            One for each quantity; those of another display, `axes_`, add a curve to its
            panels. None makes a figure of one panel below the other.
        quantities : str or sequence of str, default=None
            Which of "n_parameters", "buffer_nbytes", "loss" and "validation_error" to draw;
            None is all that there are.
        name : str, default=None
            Name in the legend; None is the display's own.
        line_kw : dict, default=None
            Keywords for ``Axes.plot``.

        Returns
        -------
        PruningDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If a quantity is unknown or there is none of it, or the number of axes is another
            than that of the quantities.
        """
        plt = pyplot(f"{type(self).__name__}.plot")
        from matplotlib.lines import Line2D

        from fastl0.plotting import style

        curves = self._curves(quantities)
        axes = _stack(plt, len(curves)) if ax is None else np.ravel(np.array(ax, dtype=object))
        if len(axes) != len(curves):
            raise ValueError(
                f"`ax` must hold one axes for each of {', '.join(curves)}, got {len(axes)}. Make "
                f"them with plt.subplots({len(curves)}, sharex=True), or choose `quantities`."
            )
        name = self.name if name is None else name
        self.lines_ = []
        for panel, (quantity, values) in zip(axes, curves.items(), strict=True):
            # A lone epoch makes no line, so it gets a dot.
            defaults = {"lw": 1.6, "marker": "o" if len(values) == 1 else "", "label": name}
            keywords = style.merge(defaults, line_kw, Line2D)
            self.lines_ += panel.plot(np.arange(1, len(values) + 1), values, **keywords)
            _label_by_epoch(panel, _BY_EPOCH[quantity])
        draw_legend(axes[0])
        self.axes_, self.figure_ = axes, axes[0].figure
        return self

    def _curves(self, quantities: str | Sequence[str] | None) -> dict[str, NDArray[Any]]:
        """Values by epoch of the quantities asked for."""
        there = {
            name: np.asarray(getattr(self, name))
            for name in _BY_EPOCH
            if getattr(self, name) is not None
        }
        if quantities is None:
            return there
        wanted = [quantities] if isinstance(quantities, str) else list(quantities)
        if not wanted or not set(wanted) <= set(there):
            raise ValueError(
                f"`quantities` must be some of {', '.join(there)}, got {quantities!r}. Validation "
                "errors come with early_stopping=True."
            )
        return {name: there[name] for name in wanted}


def _stack(plt: Any, n_panels: int) -> NDArray[np.object_]:
    """Make a figure of panels that share the horizontal axis."""
    from fastl0.plotting import style

    figure, axes = plt.subplots(
        n_panels,
        sharex=True,
        squeeze=False,
        figsize=(6.4, 0.8 + 1.9 * n_panels),
        layout="constrained",
    )
    figure.align_ylabels()
    for ax in axes[:, 0]:
        style.cycle_lines(ax)
    return axes[:, 0]


def _label_by_epoch(ax: Axes, quantity: Quantity) -> None:
    """Choose scale, ticks and labels of a panel once its curve is drawn."""
    from matplotlib.ticker import MaxNLocator

    from fastl0.plotting import style

    least, greatest = ax.dataLim.intervaly
    if quantity.is_size:
        ax.set_yscale("log")
        tick_sizes(ax.yaxis, quantity)
    elif least > 0 and greatest > 10 * least:
        ax.set_yscale("log")
        style.tick_log_axis(ax.yaxis)
    else:  # a curve drawn before may have had no zero
        ax.set_yscale("linear")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    style.grid(ax)
    ax.set_ylabel(quantity.label)
    # Panels above others that share their epochs write none.
    if ax.xaxis.get_tick_params().get("labelbottom", True):
        ax.set_xlabel("epoch")
