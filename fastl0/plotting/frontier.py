"""Owns `FrontierDisplay`: score against size, of a path or of a search.

Goes by fitted attributes, not by classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastl0.plotting.common import (
    MINUS,
    PLUS_MINUS,
    SIZES,
    Keywords,
    check_fitted,
    check_size,
    draw_legend,
    pyplot,
    tick_sizes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.lines import Line2D

__all__ = ["FrontierDisplay"]


class FrontierDisplay:
    """Score against size: how small a network may be and what that costs.

    `from_path` makes one from what `l0_path` returns, `from_estimator` from a fitted
    `HardL0MLPClassifierCV`. All parameters are stored as attributes.

    Parameters
    ----------
    sizes : array-like of shape (n_sizes,), int or float
        Size of each network, or its mean over the folds.
    scores : array-like of shape (n_sizes,), float
        Score on rows that it was not trained on, or its mean over the folds.
    standard_errors : array-like of shape (n_sizes,), float, default=None
        Standard error of each mean; None draws no band.
    chosen : int, default=None
        Index of the size that was chosen; None where none was.
    size : {"n_parameters", "n_bytes"}, default="n_parameters"
        What the sizes are: parameters, or bytes of weights and biases.
    score_name : str, default=None
        What the scores are, for the axis; None is "validation score".
    name : str, default=None
        Name in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure of the axes.
    line_ : matplotlib Line2D
        The curve, large to small as given.
    fill_between_ : matplotlib PolyCollection or None
        The band of one standard error to either side.
    chosen_point_ : matplotlib Line2D or None
        A ring around the size that was chosen.
    threshold_line_ : matplotlib Line2D or None
        The score that the chosen size had to reach: the best mean less its standard error.

    See Also
    --------
    l0_path : Networks of many sizes from one run.
    HardL0MLPClassifierCV : The size by cross-validation.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastl0 import FrontierDisplay, HardL0MLPClassifier, l0_path
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = HardL0MLPClassifier(max_iter=50, random_state=0)
    >>> path = l0_path(X / 16, y, target_sizes=[0.3, 0.1, 0.03], estimator=clf)
    >>> display = FrontierDisplay.from_path(path, score_name="accuracy")
    >>> display.ax_.get_xlabel(), display.ax_.get_ylabel()
    ('parameters', 'accuracy')
    """

    __module__ = "fastl0"  # pickles name the class so, wherever it lives

    def __init__(
        self,
        *,
        sizes: ArrayLike,
        scores: ArrayLike,
        standard_errors: ArrayLike | None = None,
        chosen: int | None = None,
        size: str = "n_parameters",
        score_name: str | None = None,
        name: str | None = None,
    ) -> None:
        self.sizes = sizes
        self.scores = scores
        self.standard_errors = standard_errors
        self.chosen = chosen
        self.size = size
        self.score_name = score_name
        self.name = name

    @classmethod
    def from_path(
        cls,
        path: Any,
        *,
        size: str = "n_parameters",
        score_name: str | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        line_kw: Keywords = None,
    ) -> Self:
        """Draw the networks of a path.

        Parameters
        ----------
        path : L0Path
            What `l0_path` returns.
        size : {"n_parameters", "n_bytes"}, default="n_parameters"
            Which size to draw: parameters, or bytes of weights and biases.
        score_name : str, default=None
            What the scores are, for the axis; None is "validation score".
        ax, name, line_kw
            As in `plot`.

        Returns
        -------
        FrontierDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        TypeError
            If `path` is something else.
        ValueError
            If `size` is unknown.
        """
        pyplot(f"{cls.__name__}.from_path")
        if not all(hasattr(path, name) for name in (*SIZES, "scores")):
            raise TypeError(
                f"`path` must be an L0Path, got {type(path).__name__}. Give what l0_path returns; "
                "a fitted HardL0MLPClassifierCV is drawn by from_estimator."
            )
        check_size(size)
        display = cls(
            sizes=getattr(path, size),
            scores=path.scores,
            size=size,
            score_name=score_name,
            name=name,
        )
        return display.plot(ax, line_kw=line_kw)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        score_name: str | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        line_kw: Keywords = None,
        fill_between_kw: Keywords = None,
        chosen_kw: Keywords = None,
    ) -> Self:
        """Draw the sizes that a search compared, and the one that it chose.

        Means over the folds, and with two folds or more a band of one standard error to either
        side.

        Parameters
        ----------
        estimator : HardL0MLPClassifierCV
            Or another fitted search with `scores_`, `n_parameters_path_`, `target_sizes_` and
            `target_size_`.
        score_name : str, default=None
            What the scores are, for the axis; None is the `scoring` of the search, where that
            is a name.
        ax, name, line_kw, fill_between_kw, chosen_kw
            As in `plot`.

        Returns
        -------
        FrontierDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        NotFittedError
            If the search is not fitted.
        TypeError
            If the estimator compared no sizes.
        """
        pyplot(f"{cls.__name__}.from_estimator")
        check_fitted(
            estimator,
            "scores_",
            "n_parameters_path_",
            "target_sizes_",
            "target_size_",
            remedy="Give a fitted HardL0MLPClassifierCV or HardL0MLPRegressorCV; an L0Path is "
            "drawn by from_path.",
        )
        scores = np.asarray(estimator.scores_)
        n_folds = scores.shape[1]
        scoring = getattr(estimator, "scoring", None)
        if score_name is None and isinstance(scoring, str):
            score_name = f"validation {scoring.replace('_', ' ')}"
        display = cls(
            sizes=np.mean(estimator.n_parameters_path_, axis=1),
            scores=scores.mean(axis=1),
            standard_errors=scores.std(axis=1, ddof=1) / np.sqrt(n_folds) if n_folds > 1 else None,
            chosen=list(estimator.target_sizes_).index(estimator.target_size_),
            score_name=score_name,
            name=name,
        )
        return display.plot(
            ax, line_kw=line_kw, fill_between_kw=fill_between_kw, chosen_kw=chosen_kw
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        line_kw: Keywords = None,
        fill_between_kw: Keywords = None,
        chosen_kw: Keywords = None,
    ) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            That of another display, `ax_`, adds a curve to it. None makes a figure.
        name : str, default=None
            Name in the legend; None is the display's own.
        line_kw : dict, default=None
            Keywords for ``Axes.plot``, for the curve.
        fill_between_kw : dict, default=None
            Keywords for ``Axes.fill_between``, for the band.
        chosen_kw : dict, default=None
            Keywords for ``Axes.plot``, for the ring around the chosen size.

        Returns
        -------
        FrontierDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If `size` is unknown.
        """
        plt = pyplot(f"{type(self).__name__}.plot")
        from matplotlib.lines import Line2D

        from fastl0.plotting import style

        check_size(self.size)
        sizes, scores = np.asarray(self.sizes), np.asarray(self.scores)
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
            style.cycle_lines(ax)
        name = self.name if name is None else name
        keywords = {"lw": 1.6, "marker": "o", "ms": 5, "label": name}
        self.line_: Line2D
        (self.line_,) = ax.plot(sizes, scores, **style.merge(keywords, line_kw, Line2D))
        colour = self.line_.get_color()
        self.fill_between_: PolyCollection | None = None
        self.threshold_line_: Line2D | None = None
        self.chosen_point_: Line2D | None = None
        if self.standard_errors is not None:
            errors = np.asarray(self.standard_errors)
            self.fill_between_ = _draw_band(ax, sizes, scores, errors, colour, fill_between_kw)
            if self.chosen is not None:
                best = np.argmax(scores)
                self.threshold_line_ = _draw_threshold(ax, scores[best] - errors[best], colour)
        if self.chosen is not None:
            unit = "bytes" if self.size == "n_bytes" else "parameters"
            label = f"chosen: {sizes[self.chosen]:,.0f} {unit}"
            self.chosen_point_ = _draw_ring(
                ax, sizes[self.chosen], scores[self.chosen], label, colour, chosen_kw
            )
        quantity = SIZES[self.size]
        ax.set_xscale("log")
        tick_sizes(ax.xaxis, quantity)
        style.grid(ax)
        ax.set_xlabel(quantity.label)
        ax.set_ylabel("validation score" if self.score_name is None else self.score_name)
        draw_legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _draw_band(
    ax: Axes,
    sizes: NDArray[Any],
    scores: NDArray[Any],
    errors: NDArray[Any],
    colour: Any,
    fill_between_kw: Keywords,
) -> PolyCollection:
    from matplotlib.collections import PolyCollection

    from fastl0.plotting import style

    keywords = {"color": colour, "alpha": 0.2, "lw": 0, "label": f"{PLUS_MINUS} 1 standard error"}
    return ax.fill_between(
        sizes,
        scores - errors,
        scores + errors,
        **style.merge(keywords, fill_between_kw, PolyCollection),
    )


def _draw_threshold(ax: Axes, score: float, colour: Any) -> Line2D:
    label = f"best mean {MINUS} 1 standard error"
    return ax.axhline(score, color=colour, linestyle=":", lw=1, label=label)


def _draw_ring(
    ax: Axes, size: float, score: float, label: str, colour: Any, chosen_kw: Keywords
) -> Line2D:
    from matplotlib.lines import Line2D

    from fastl0.plotting import style

    keywords = {
        "linestyle": "none",
        "marker": "o",
        "ms": 13,
        "mew": 1.8,
        "mfc": "none",
        "color": colour,
        "label": label,
    }
    (ring,) = ax.plot(size, score, **style.merge(keywords, chosen_kw, Line2D))
    return ring
