"""Owns `SupportDisplay`: which inputs a network reads, and how strongly.

Goes by fitted attributes, not by classes.
"""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastl0.plotting.common import Keywords, check_fitted, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.container import BarContainer
    from matplotlib.image import AxesImage

__all__ = ["SupportDisplay"]

_STRENGTH = "strength (share of all inputs)"


class SupportDisplay:
    """Which inputs a network reads, and how strongly.

    As bars, the strongest on top, or as an image where the inputs are its pixels.

    `from_estimator` makes one from a fitted estimator; the strengths are its
    `feature_importances_`, which compare where the inputs are of the same scale. All parameters
    are stored as attributes.

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

    __module__ = "fastl0"  # pickles name the class so, wherever it lives

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
        bar_kw: Keywords = None,
        image_kw: Keywords = None,
        colorbar: bool = True,
    ) -> Self:
        """Draw the inputs that a fitted estimator reads.

        Parameters
        ----------
        estimator : HardL0MLPClassifier or HardL0MLPClassifierCV
            Or another fitted estimator with `support_` and `feature_importances_`.
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
        pyplot(f"{cls.__name__}.from_estimator")
        check_fitted(estimator, "support_", "feature_importances_")
        if feature_names is None:
            feature_names = getattr(estimator, "feature_names_in_", None)
        display = cls(
            support=estimator.support_,
            strengths=estimator.feature_importances_,
            feature_names=feature_names,
        )
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
        bar_kw: Keywords = None,
        image_kw: Keywords = None,
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
        plt = pyplot(f"{type(self).__name__}.plot")
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


def _draw_bars(
    ax: Axes, names: NDArray[Any], strengths: NDArray[Any], bar_kw: Keywords
) -> BarContainer:
    from matplotlib.patches import Patch

    from fastl0.plotting import style

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


def _draw_image(ax: Axes, pixels: NDArray[Any], image_kw: Keywords) -> AxesImage:
    from matplotlib.ticker import MaxNLocator

    from fastl0.plotting import style

    # The background shows through where a pixel is masked.
    ax.set_facecolor(style.DELETED)
    keywords: dict[str, Any] = {"cmap": "viridis", "vmin": 0}
    image = ax.imshow(pixels, **keywords | (image_kw or {}))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    ax.set_xlabel("column")
    ax.set_ylabel("row")
    return image
