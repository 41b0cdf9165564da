"""y of a regressor: numbers, checked and brought to a common scale."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d

from fastl0.data.targets import SMALLEST

#: Targets and predictions shall stay within the range of float32.
_LARGEST = 1e30

#: Numbers up to which Python takes less time than NumPy.
_VERY_FEW = 8


@dataclass(frozen=True)
class RegressionTargets:
    """Encoded numbers, ``(y - center) / scale``; attributes as in `Targets`, and this.

    Attributes
    ----------
    codes : float32 array of shape (n_rows, n_outputs)
    one_column : bool
        Whether y came with one dimension.
    follows : bool
        Whether `center` and `scale` are to follow the rows to come.
    """

    codes: NDArray[np.float32]
    loss: str
    parameter: float
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    one_column: bool
    follows: bool = False

    @property
    def n_outputs(self) -> int:
        """Columns of y."""
        return self.codes.shape[1]

    @property
    def out_activation(self) -> str:
        """The inverse of the link."""
        return _inverse_link(self.loss)

    @property
    def strata(self) -> None:
        """Nothing: rows are split at random."""
        return None

    def null_loss(self, weights: NDArray[np.floating] | None) -> float:
        """Mean loss of about the best constant prediction."""
        y = self.codes.astype(np.float64)
        if self.loss in ("squared_error", "poisson"):
            constant = np.average(y, axis=0, weights=weights)
        else:
            share = self.parameter if self.loss == "quantile" else 0.5
            constant = np.quantile(y, share, axis=0)
        raw = np.log(np.maximum(constant, SMALLEST)) if self.loss == "poisson" else constant
        return float(np.average(self._losses(raw[None, :]), weights=weights))

    def slope_factor(self, factor: NDArray[np.float64]) -> NDArray[np.float64]:
        """What derivatives of the loss by outputs become, where ``y - center`` does by `factor`.

        Those of the linear losses, and of the linear part of Huber's, do not depend on it.
        """
        return factor if self.loss in ("squared_error", "poisson") else np.ones_like(factor)

    def error_of(self, loss: float) -> float:
        """About the root mean square of the errors of which this is the mean loss, in scales.

        For "poisson" about the mean prediction, where this is too large.
        """
        if self.loss == "poisson":
            return max(0.0, loss)
        if self.loss == "absolute_error":
            return loss
        if self.loss == "quantile":  # at the quantile, either side makes up a half of the loss
            return loss / (2.0 * self.parameter * (1.0 - self.parameter))
        if self.loss == "huber" and loss > 0.5 * self.parameter**2:
            return loss / self.parameter + 0.5 * self.parameter
        return math.sqrt(2.0 * loss)

    def take(self, rows: NDArray[np.integer]) -> "RegressionTargets":
        """Return the targets of some rows."""
        return replace(self, codes=self.codes[rows])

    def mean_loss(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """Mean loss of predictions in units of y, as training counts it."""
        return float(np.average(self.row_losses(outputs), weights=weights))

    def row_losses(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Loss of each row for predictions in units of y."""
        predictions = np.asarray(outputs, np.float64)
        if self.loss == "poisson":
            raw = np.log(np.maximum(predictions, SMALLEST * self.scale) / self.scale)
        else:
            raw = (predictions - self.center) / self.scale
        return self._losses(raw)

    def score(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """R^2 of predictions in units of y, uniform average over the outputs; NaN of one row."""
        if len(self.codes) < 2:
            return math.nan
        # In units of the scale: R^2 is the same, and squares do not overflow.
        predictions = (np.asarray(outputs, np.float64) - self.center) / self.scale
        return float(r2_score(self.codes, predictions, sample_weight=weights))

    def check_enough_to_score(self) -> None:
        """Check that these rows are enough for R^2.

        Raises
        ------
        ValueError
            If they are not.
        """
        if len(self.codes) < 2:
            raise ValueError(
                "`X_val`, or the rows that `validation_fraction` sets aside, must be at least 2 "
                f"for R^2, got {len(self.codes)}. Give more rows, or another `scoring`."
            )

    def encode_like(self, y: Any, name: str) -> "RegressionTargets":
        """Check and encode numbers of other rows in the same way.

        Raises
        ------
        ValueError
            If y breaks a rule or has another number of columns.
        """
        before, follows = (self.center, self.scale, self.one_column), self.follows
        return encode_targets(
            y,
            self.loss,
            self.parameter,
            normalize=False,
            before=before,
            name=name,
            follows=follows,
        )

    def scaled(self, y: NDArray[Any]) -> NDArray[np.float64]:
        """Return checked numbers in units of the scale, cut off where float32 has none."""
        with np.errstate(over="ignore"):
            return np.clip((y - self.center) / self.scale, -_LARGEST, _LARGEST)

    def encode_trusted(self, y: Any) -> NDArray[np.float32] | None:
        """Encode numbers of a few rows, with weights of 1; None where they need to be checked."""
        if type(y) is not np.ndarray or y.ndim != 1 or not len(y) or y.dtype.char not in "fd":
            return None
        if not self.one_column:
            return None
        if len(y) > _VERY_FEW:
            return self._encode_some(y)
        center, scale = self.center.item(), self.scale.item()
        codes = []
        for value in y.tolist():
            scaled = (value - center) / scale
            if not (abs(value) <= _LARGEST and abs(scaled) <= _LARGEST):
                return None
            if self.loss == "poisson" and value < 0.0:
                return None
            codes.append((scaled, 1.0))
        return np.array(codes, np.float32)

    def _encode_some(self, y: NDArray[np.floating]) -> NDArray[np.float32] | None:
        if not bool(np.abs(y).max() <= _LARGEST):
            return None
        if self.loss == "poisson" and y.min() < 0.0:
            return None
        with np.errstate(over="ignore"):
            scaled = (y - self.center[0]) / self.scale[0]
        if not bool(np.abs(scaled).max() <= _LARGEST):
            return None
        codes = np.ones((len(y), 2), np.float32)
        codes[:, 0] = scaled
        return codes

    def check_classes(self, classes: Any) -> None:
        """Nothing: numbers have no classes."""

    def _losses(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Loss of every row for outputs before scale and activation; see `_numba.losses`."""
        y = self.codes.astype(np.float64)
        residual = raw - y
        size = np.abs(residual)
        if self.loss == "squared_error":
            losses = 0.5 * residual**2
        elif self.loss == "absolute_error":
            losses = size
        elif self.loss == "huber":
            delta = self.parameter
            losses = np.where(size <= delta, 0.5 * residual**2, delta * (size - 0.5 * delta))
        elif self.loss == "quantile":
            losses = np.where(residual < 0, self.parameter, 1.0 - self.parameter) * size
        else:
            losses = np.exp(raw) - y * raw
        return losses.sum(axis=1)


@dataclass(frozen=True)
class RegressionEncoder:
    """Encodes numbers with the parameters of a regressor; see `targets.TargetEncoder`.

    Attributes
    ----------
    loss : {"squared_error", "absolute_error", "huber", "quantile", "poisson"}
    parameter : float
        Threshold of "huber" or level of "quantile".
    normalize : bool
    """

    loss: str
    parameter: float
    normalize: bool

    def encode(self, y: Any, weights: NDArray[np.float64] | None) -> RegressionTargets:
        """Encode the numbers of a new fit."""
        return encode_targets(
            y, self.loss, self.parameter, normalize=self.normalize, weights=weights
        )

    def encode_again(
        self, y: Any, weights: NDArray[np.float64] | None, before: RegressionTargets
    ) -> RegressionTargets:
        """Encode numbers with the centre and scale of an earlier fit."""
        check_same_activation(self.loss, before.out_activation)
        return encode_targets(
            y,
            self.loss,
            self.parameter,
            normalize=self.normalize,
            weights=weights,
            before=(before.center, before.scale, before.one_column),
        )

    def encode_first(
        self, y: Any, weights: NDArray[np.float64] | None, classes: Any
    ) -> RegressionTargets:
        """Encode the first numbers of a stream."""
        return encode_targets(
            y,
            self.loss,
            self.parameter,
            normalize=self.normalize,
            weights=weights,
            few=True,
            follows=self.normalize,
        )

    def update(self, before: RegressionTargets) -> RegressionTargets:
        """Return targets of no rows and of the same centre and scale."""
        check_same_activation(self.loss, before.out_activation)
        return RegressionTargets(
            np.zeros((0, before.n_outputs), np.float32),
            self.loss,
            self.parameter,
            before.center,
            before.scale,
            before.one_column,
            follows=self.normalize,
        )

    def row_weights(
        self, y: Any, sample_weight: NDArray[np.float64] | None
    ) -> NDArray[np.float64] | None:
        """Return the weights of rows as they are given."""
        return sample_weight

    def weigher(self, targets: RegressionTargets, before: Any = None) -> None:
        """Return nothing: numbers have no classes."""
        return


def _inverse_link(loss: str) -> str:
    return "exp" if loss == "poisson" else "identity"


def check_same_activation(loss: str, out_activation: str) -> None:
    """Check that a network has outputs that mean the same with the loss as it is now.

    Raises
    ------
    ValueError
        If it has not.
    """
    if _inverse_link(loss) != out_activation:
        raise ValueError(
            f'`loss` must not change from or to "poisson", as its outputs are logarithms, got '
            f"{loss!r} for a fitted network. Start afresh: clone the estimator."
        )


def encode_targets(
    y: Any,
    loss: str,
    parameter: float,
    *,
    normalize: bool,
    weights: NDArray[np.floating] | None = None,
    before: tuple[NDArray[np.float64], NDArray[np.float64], bool] | None = None,
    name: str = "y",
    few: bool = False,
    follows: bool = False,
) -> RegressionTargets:
    """Check the targets of a regression and bring them to a common scale.

    Parameters
    ----------
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
    loss : {"squared_error", "absolute_error", "huber", "quantile", "poisson"}
    parameter : float
        Threshold of "huber" or level of "quantile".
    normalize : bool
        Whether to scale each column to a mean of 0 and a standard deviation of 1 ("poisson":
        to a mean of 1).
    weights : ndarray of shape (n_rows,), default=None
        Of the rows in these means.
    before : (center, scale, one_column), default=None
        Those of an earlier fit, to be used again.
    name : str, default="y"
        What errors call it.
    few : bool, default=False
        Whether there may be more to come, so that zeros alone are no error for "poisson".
    follows : bool, default=False
        Whether centre and scale are to follow the rows to come, so that numbers too far from
        them are no error.

    Raises
    ------
    ValueError
        If y does not hold finite numbers within the float32 range, "poisson" gets a negative
        one or nothing else than 0, or its columns are not those of an earlier fit.
    """
    if issparse(y):
        raise ValueError(
            f"`{name}` must be a dense array of numbers, got a sparse matrix. Use y.toarray()."
        )
    one_column = y.ndim == 1 or y.shape[1] == 1
    if y.ndim == 2 and one_column:
        y = column_or_1d(y, warn=True)
    if y.dtype.kind in "mM":
        raise ValueError(
            f"`{name}` must hold numbers, got dtype {y.dtype}. Convert it, for instance to days: "
            "y / np.timedelta64(1, 'D') for durations."
        )
    if y.dtype.kind not in "biuf":
        try:
            y = y.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`{name}` must hold numbers, got dtype {y.dtype} ({error}). Convert it, or use "
                "HardL0MLPClassifier for labels."
            ) from error
    with np.errstate(over="ignore"):  # of longdouble
        y = np.asarray(y, np.float64).reshape(len(y), -1)
    largest = float(np.abs(y).max())
    if not largest <= _LARGEST:
        raise ValueError(
            f"`{name}` must hold finite values up to {_LARGEST:.0e}, which float32 can compute "
            f"with, got {largest:.3g}. Divide the targets by a constant."
        )
    few = few or before is not None
    if loss == "poisson" and (y.min() < 0.0 or not (few or y.any(axis=0).all())):
        raise ValueError(
            f'`{name}` must be >= 0, and in each column somewhere > 0, with loss="poisson", got '
            f'values from {y.min():.3g} to {y.max():.3g}. Use loss="squared_error".'
        )
    if before is not None:
        center, scale, one_column = before
        if y.shape[1] != len(scale):
            raise ValueError(
                f"`{name}` must have {len(scale)} columns, as in the first fit, got {y.shape[1]}. "
                "Start afresh with a new estimator."
            )
    else:
        center, scale = _measure(y, loss, weights) if normalize else _as_it_is(y)
    with np.errstate(over="ignore"):
        scaled = (y - center) / scale
    largest = float(np.abs(scaled).max())
    if follows:  # what is in use may change before such rows are learned
        scaled = np.clip(scaled, -_LARGEST, _LARGEST)
    elif not largest <= _LARGEST:
        raise ValueError(
            f"`{name}` must lie within {_LARGEST:.0e} standard deviations (at first, or of the "
            f"rows with weight) of the mean, got {largest:.3g}. Leave such rows out, or set "
            "normalize_y=False."
        )
    codes = np.ascontiguousarray(scaled, dtype=np.float32)
    return RegressionTargets(codes, loss, float(parameter), center, scale, one_column, follows)


def _as_it_is(y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.zeros(y.shape[1]), np.ones(y.shape[1])


def _measure(
    y: NDArray[np.float64], loss: str, weights: NDArray[np.floating] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the center and the scale of every column."""
    mean = np.average(y, axis=0, weights=weights)
    if loss == "poisson":
        return np.zeros(y.shape[1]), np.where(mean > 0.0, mean, 1.0)
    # Divided first: squares of large numbers would overflow.
    unit = np.maximum(np.abs(y - mean).max(axis=0), np.finfo(float).tiny)
    spread = unit * np.sqrt(np.average(((y - mean) / unit) ** 2, axis=0, weights=weights))
    # A column that is constant, up to rounding, has no scale.
    is_flat = spread <= 10.0 * np.finfo(float).eps * np.abs(mean)
    spread[is_flat | ~(spread > 0.0)] = 1.0
    return mean, spread
