"""Pictures of fitted estimators and of paths, in the manner of scikit-learn's displays.

Goes by fitted attributes, not by classes. Needs matplotlib (``pip install "fastl0[plot]"``),
which is imported only when a picture is drawn. May import `style`, then.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.collections import PolyCollection
    from matplotlib.colorbar import Colorbar
    from matplotlib.container import BarContainer
    from matplotlib.image import AxesImage
    from matplotlib.lines import Line2D

__all__ = ["FrontierDisplay", "PruningDisplay", "SupportDisplay"]

_PLUS_MINUS, _MINUS = "\N{PLUS-MINUS SIGN}", "\N{MINUS SIGN}"
_STRENGTH = "strength (norm of its weights)"

_Keywords = dict[str, Any] | None


class _Quantity(NamedTuple):
    """What an axis shows; sizes are drawn on a logarithmic one, with their unit at each tick."""

    label: str
    is_size: bool = False
    unit: str = ""


_SIZES = {
    "n_parameters": _Quantity("parameters", is_size=True),
    "n_bytes": _Quantity("pickled model (bytes)", is_size=True, unit="B"),
}
_BY_EPOCH = {
    "n_parameters": _Quantity("parameters", is_size=True),
    "buffer_nbytes": _Quantity("training buffers (bytes)", is_size=True, unit="B"),
    "loss": _Quantity("training loss"),
    "validation_error": _Quantity(f"1 {_MINUS} validation score"),
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
        line_kw: _Keywords = None,
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
        _pyplot(f"{cls.__name__}.from_estimator")
        _check_fitted(estimator, "history_", "loss_curve_", "validation_scores_")
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
        line_kw: _Keywords = None,
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
        plt = _pyplot(f"{type(self).__name__}.plot")
        from matplotlib.lines import Line2D

        from fastl0 import style

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
        _legend(axes[0])
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


class SupportDisplay:
    """Which inputs a network reads, and how strongly.

    As bars, the strongest on top, or as an image where the inputs are its pixels. The strength
    of an input is the Euclidean norm of its weights into the first hidden layer; strengths
    compare where the inputs are of the same scale.

    `from_estimator` makes one from a fitted estimator. All parameters are stored as attributes.

    Parameters
    ----------
    support : array-like of shape (n_features,), bool
        Which inputs are read.
    strengths : array-like of shape (n_features,), float
        Strength of each input, >= 0; that of a deleted one is of no account.
    feature_names : array-like of shape (n_features,), str, default=None
        None is x0, x1 and so on.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the bars or the image.
    figure_ : matplotlib Figure
        Figure of the axes.
    bars_ : matplotlib BarContainer or None
        The bars, the strongest input first.
    image_ : matplotlib AxesImage or None
        The image; deleted pixels are masked.
    colorbar_ : matplotlib Colorbar or None
        The colour bar of the image.

    See Also
    --------
    PruningDisplay : Size, memory and error by epoch.
    FrontierDisplay : Score against size.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastl0 import HardL0MLPClassifier, SupportDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = HardL0MLPClassifier(max_iter=50, random_state=0).fit(X / 16, y)
    >>> display = SupportDisplay.from_estimator(clf, image_shape=(8, 8))
    >>> display.image_.get_array().shape
    (8, 8)
    """

    def __init__(
        self,
        *,
        support: ArrayLike,
        strengths: ArrayLike,
        feature_names: ArrayLike | None = None,
    ) -> None:
        self.support = support
        self.strengths = strengths
        self.feature_names = feature_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        feature_names: ArrayLike | None = None,
        image_shape: tuple[int, int] | None = None,
        max_features: int | None = 30,
        ax: Axes | None = None,
        bar_kw: _Keywords = None,
        image_kw: _Keywords = None,
        colorbar: bool = True,
    ) -> Self:
        """Draw the inputs that a fitted estimator reads.

        Parameters
        ----------
        estimator : HardL0MLPClassifier or HardL0MLPClassifierCV
            Or another fitted estimator with `support_` and the weights of the inputs that are
            read in `coefs_`.
        feature_names : array-like of shape (n_features,), str, default=None
            None is the estimator's `feature_names_in_`, where it has them.
        image_shape, max_features, ax, bar_kw, image_kw, colorbar
            As in `plot`.

        Returns
        -------
        SupportDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it has no support.
        ValueError
            As in `plot`.
        """
        _pyplot(f"{cls.__name__}.from_estimator")
        _check_fitted(estimator, "support_", "coefs_")
        strengths = np.zeros(len(estimator.support_))
        strengths[estimator.support_] = np.linalg.norm(estimator.coefs_[0], axis=1)
        if feature_names is None:
            feature_names = getattr(estimator, "feature_names_in_", None)
        display = cls(support=estimator.support_, strengths=strengths, feature_names=feature_names)
        return display.plot(
            ax,
            image_shape=image_shape,
            max_features=max_features,
            bar_kw=bar_kw,
            image_kw=image_kw,
            colorbar=colorbar,
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        image_shape: tuple[int, int] | None = None,
        max_features: int | None = 30,
        bar_kw: _Keywords = None,
        image_kw: _Keywords = None,
        colorbar: bool = True,
    ) -> Self:
        """Draw the inputs.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.
        image_shape : pair of int, default=None
            Rows and columns of the image that a row of X is, such as (28, 28), or of any other
            table, such as time steps and sensors; their product is the number of inputs. None
            draws bars.
        max_features : int or None, default=30
            Draw bars of at most so many inputs, >= 1, the strongest ones; None is all.
        bar_kw : dict, default=None
            Keywords for ``Axes.barh``.
        image_kw : dict, default=None
            Keywords for ``Axes.imshow``.
        colorbar : bool, default=True
            Whether the image gets a colour bar.

        Returns
        -------
        SupportDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If `image_shape`, `max_features` or the feature names break a rule.
        """
        plt = _pyplot(f"{type(self).__name__}.plot")
        support = np.asarray(self.support, dtype=bool)
        strengths = np.asarray(self.strengths)
        self.bars_: BarContainer | None = None
        self.image_: AxesImage | None = None
        self.colorbar_: Colorbar | None = None
        if image_shape is None:
            _check_max_features(max_features)
            names = _names(self.feature_names, len(support))
            kept = np.flatnonzero(support)
            shown = kept[np.argsort(-strengths[kept], kind="stable")][:max_features]
            if ax is None:
                height = 1.2 + 0.24 * max(len(shown), 3)
                _, ax = plt.subplots(figsize=(6.4, height), layout="constrained")
            self.bars_ = _draw_bars(ax, names[shown], strengths[shown], bar_kw)
            note = f"; the {len(shown)} strongest" if len(shown) < len(kept) else ""
        else:
            _check_image_shape(image_shape, len(support))
            if ax is None:
                _, ax = plt.subplots(layout="constrained")
            pixels = np.ma.masked_array(strengths, ~support).reshape(image_shape)
            self.image_ = _draw_image(ax, pixels, image_kw)
            if colorbar:
                self.colorbar_ = ax.figure.colorbar(self.image_, ax=ax, label=_STRENGTH)
            note = "" if support.all() else " (grey: deleted)"
        ax.set_title(f"{support.sum():,} of {len(support):,} inputs kept{note}")
        self.ax_, self.figure_ = ax, ax.figure
        return self


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
        What the sizes are: weights and biases, or bytes of the pickled estimators.
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
        line_kw: _Keywords = None,
    ) -> Self:
        """Draw the networks of a path.

        Parameters
        ----------
        path : L0Path
            What `l0_path` returns.
        size : {"n_parameters", "n_bytes"}, default="n_parameters"
            Which size to draw: weights and biases, or bytes of the pickled estimators.
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
        _pyplot(f"{cls.__name__}.from_path")
        if not all(hasattr(path, name) for name in (*_SIZES, "scores")):
            raise TypeError(
                f"`path` must be an L0Path, got {type(path).__name__}. Give what l0_path returns; "
                "a fitted HardL0MLPClassifierCV is drawn by from_estimator."
            )
        _check_size(size)
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
        line_kw: _Keywords = None,
        fill_between_kw: _Keywords = None,
        chosen_kw: _Keywords = None,
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
        _pyplot(f"{cls.__name__}.from_estimator")
        _check_fitted(
            estimator,
            "scores_",
            "n_parameters_path_",
            "target_sizes_",
            "target_size_",
            remedy="Give a fitted HardL0MLPClassifierCV; an L0Path is drawn by from_path.",
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
            ax,
            line_kw=line_kw,
            fill_between_kw=fill_between_kw,
            chosen_kw=chosen_kw,
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        line_kw: _Keywords = None,
        fill_between_kw: _Keywords = None,
        chosen_kw: _Keywords = None,
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
        plt = _pyplot(f"{type(self).__name__}.plot")
        from matplotlib.lines import Line2D

        from fastl0 import style

        _check_size(self.size)
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
        quantity = _SIZES[self.size]
        ax.set_xscale("log")
        _tick_sizes(ax.xaxis, quantity)
        style.grid(ax)
        ax.set_xlabel(quantity.label)
        ax.set_ylabel("validation score" if self.score_name is None else self.score_name)
        _legend(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _pyplot(caller: str) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which cannot be imported ({error}). Run: "
            'pip install "fastl0[plot]"'
        ) from error
    return plt


# --- the front door -------------------------------------------------------------------------


def _check_fitted(
    estimator: Any,
    *attributes: str,
    remedy: str = "Give the network itself, such as pipeline[-1], search.best_estimator_ or "
    "path.estimators[0].",
) -> None:
    if hasattr(estimator, "fit"):
        check_is_fitted(estimator)
    missing = [name for name in attributes if not hasattr(estimator, name)]
    if missing:
        raise TypeError(
            f"`estimator` must have the fitted attributes {', '.join(attributes)}, got "
            f"{type(estimator).__name__} without {', '.join(missing)}. {remedy}"
        )


def _check_size(size: Any) -> None:
    if size not in _SIZES:
        raise ValueError(f"`size` must be one of {', '.join(_SIZES)}, got {size!r}.")


def _check_max_features(max_features: Any) -> None:
    if max_features is None:
        return
    if not isinstance(max_features, Integral) or max_features < 1:
        raise ValueError(
            f"`max_features` must be an int >= 1 or None, got {max_features!r}. None draws all."
        )


def _check_image_shape(shape: Any, n_features: int) -> None:
    pair = np.shape(shape) == (2,) and all(isinstance(side, Integral) for side in shape)
    if not pair or min(shape) < 1 or shape[0] * shape[1] != n_features:
        raise ValueError(
            f"`image_shape` must be two ints >= 1, rows and columns, whose product is the number "
            f"of inputs, {n_features}, got {shape!r}. None draws bars."
        )


def _names(feature_names: Any, n_features: int) -> NDArray[Any]:
    if feature_names is None:
        return np.array([f"x{index}" for index in range(n_features)])
    names = np.asarray(feature_names)
    if names.shape != (n_features,):
        raise ValueError(
            f"`feature_names` must be one name for each of {n_features} inputs, got an array of "
            f"shape {names.shape}. Name deleted inputs as well."
        )
    return names


# --- drawing --------------------------------------------------------------------------------


def _stack(plt: Any, n_panels: int) -> NDArray[np.object_]:
    """Make a figure of panels that share the horizontal axis."""
    from fastl0 import style

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


def _tick_sizes(axis: Axis, quantity: _Quantity) -> None:
    """Write 200 k or 200 kB."""
    from matplotlib.ticker import EngFormatter

    from fastl0 import style

    style.tick_log_axis(axis, EngFormatter(unit=quantity.unit))


def _legend(ax: Axes) -> None:
    """Draw a legend of everything that has a label, each label once."""
    entries: dict[str, Any] = {}
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        entries.setdefault(label, handle)
    if entries:
        ax.legend(entries.values(), entries.keys())


def _label_by_epoch(ax: Axes, quantity: _Quantity) -> None:
    """Choose scale, ticks and labels of a panel once its curve is drawn."""
    from matplotlib.ticker import MaxNLocator

    from fastl0 import style

    least, greatest = ax.dataLim.intervaly
    if quantity.is_size:
        ax.set_yscale("log")
        _tick_sizes(ax.yaxis, quantity)
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


def _draw_bars(
    ax: Axes, names: NDArray[Any], strengths: NDArray[Any], bar_kw: _Keywords
) -> BarContainer:
    from matplotlib.patches import Patch

    from fastl0 import style

    # By place, not by name: two inputs may have the same.
    places = np.arange(len(names))
    keywords = style.merge({"color": style.LINES[0][0]}, bar_kw, Patch)
    bars = ax.barh(places, strengths, **keywords)
    ax.set_yticks(places, names)
    ax.set_ylim(max(len(names), 1) - 0.4, -0.6)  # the first on top
    style.grid(ax)
    ax.grid(False, axis="y")
    ax.set_xlabel(_STRENGTH)
    ax.set_ylabel("input")
    style.fit_labels(ax)
    return bars


def _draw_image(ax: Axes, pixels: NDArray[Any], image_kw: _Keywords) -> AxesImage:
    from matplotlib.ticker import MaxNLocator

    from fastl0 import style

    # The background shows through where a pixel is masked.
    ax.set_facecolor(style.DELETED)
    keywords: dict[str, Any] = {"cmap": "viridis", "vmin": 0}
    image = ax.imshow(pixels, **keywords | (image_kw or {}))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    ax.set_xlabel("column")
    ax.set_ylabel("row")
    return image


def _draw_band(
    ax: Axes,
    sizes: NDArray[Any],
    scores: NDArray[Any],
    errors: NDArray[Any],
    colour: Any,
    fill_between_kw: _Keywords,
) -> PolyCollection:
    from matplotlib.collections import PolyCollection

    from fastl0 import style

    keywords = {"color": colour, "alpha": 0.2, "lw": 0, "label": f"{_PLUS_MINUS} 1 standard error"}
    return ax.fill_between(
        sizes,
        scores - errors,
        scores + errors,
        **style.merge(keywords, fill_between_kw, PolyCollection),
    )


def _draw_threshold(ax: Axes, score: float, colour: Any) -> Line2D:
    label = f"best mean {_MINUS} 1 standard error"
    return ax.axhline(score, color=colour, linestyle=":", lw=1, label=label)


def _draw_ring(
    ax: Axes, size: float, score: float, label: str, colour: Any, chosen_kw: _Keywords
) -> Line2D:
    from matplotlib.lines import Line2D

    from fastl0 import style

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
