"""What there is to learn: y, checked and encoded, and what it means for a network's outputs.

`ClassTargets` and `RealTargets` hold all that training a classifier and training a regressor
differ in. May import `network`.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.special import xlogy
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from fastl0.network import codes_of

#: Labels looked at in one go.
_BLOCK = 2**16

#: Targets and predictions shall stay within the range of float32.
_LARGEST = 1e30

#: Most that a row of a stream may weigh: its weight is taken as it is, and squared in float32.
LARGEST_WEIGHT = 1e18

#: What a probability counts as, at least, in the loss of validation rows.
_LEAST = float(np.finfo(np.float32).eps)


class Targets(Protocol):
    """Encoded targets of some rows.

    Attributes
    ----------
    codes : ndarray of shape (n_rows, n_codes)
        What the kernels learn from: uint8, int32 or float32.
    n_outputs : int
        Units of the output layer.
    loss : str
        Name of the loss, see `kernels.LOSSES`.
    parameter : float
        Of the loss, where it has one.
    out_activation : {"softmax", "logistic", "identity", "exp"}
    center, scale : float64 arrays of shape (n_outputs,), or None
        What an output means: ``center + scale * output`` before its activation.
    """

    codes: NDArray[Any]
    n_outputs: int
    loss: str
    parameter: float
    out_activation: str
    center: NDArray[np.float64] | None
    scale: NDArray[np.float64] | None

    @property
    def strata(self) -> NDArray[Any] | None:
        """What a split of the rows shall keep the shares of."""

    @property
    def attributes(self) -> dict[str, Any]:
        """Fitted attributes of the estimator that tell of the targets."""

    def null_loss(self, weights: NDArray[np.floating] | None) -> float:
        """Mean loss of the best prediction that is the same for every row."""

    def take(self, rows: NDArray[np.integer]) -> Self:
        """Return the targets of some rows."""

    def mean_loss(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """Mean loss of a network's outputs."""

    def score(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """Score of a network's outputs: accuracy, or R^2."""

    def check_scored(self) -> None:
        """Check that these rows are enough for a score."""

    def alike(self, y: Any, name: str) -> Self:
        """Check and encode y of other rows in the same way; `name` is what errors call it."""

    def encode_few(self, y: Any) -> NDArray[np.float32] | None:
        """Encode y of a few rows, with weights of 1; None where it needs to be checked."""

    def check_classes(self, classes: Any) -> None:
        """Check that the classes named in a later call are the same."""


# --- classes -------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassTargets:
    """Encoded class labels; attributes as in `Targets`, and these.

    Attributes
    ----------
    codes : ndarray of shape (n_rows, n_targets)
        Class codes, or 0 and 1 for binary and multilabel targets; uint8 where they fit,
        else int32.
    classes : ndarray
        The labels the codes stand for, sorted.
    multilabel : bool
    sparse : bool
        Whether y came as a sparse matrix.
    """

    codes: NDArray[np.integer]
    classes: NDArray[Any]
    n_outputs: int
    out_activation: str
    multilabel: bool
    sparse: bool
    parameter: float = 0.0  # label smoothing
    center: NDArray[np.float64] | None = field(default=None, init=False)
    scale: NDArray[np.float64] | None = field(default=None, init=False)

    @property
    def loss(self) -> str:
        """Cross-entropy of the output activation."""
        return self.out_activation

    @property
    def strata(self) -> NDArray[Any] | None:
        """Class codes of the rows; None for multilabel targets."""
        return None if self.multilabel else self.codes[:, 0]

    @property
    def attributes(self) -> dict[str, Any]:
        """Fitted attributes of the estimator that tell of the targets."""
        return {
            "classes_": self.classes,
            "n_outputs_": self.n_outputs,
            "_multilabel": self.multilabel,
            "_sparse_labels": self.sparse,
        }

    def null_loss(self, weights: NDArray[np.floating] | None) -> float:
        """Mean loss of the shares of the classes as prediction for every row.

        Labels are smoothed: a share `parameter` of each is spread over all classes.
        """
        smooth = self.parameter
        if self.out_activation == "softmax":
            counts = np.zeros(self.n_outputs)
            for start in range(0, len(self.codes), _BLOCK):  # bincount takes eight bytes a row
                rows = slice(start, start + _BLOCK)
                counts += np.bincount(
                    self.codes[rows, 0],
                    weights=None if weights is None else weights[rows],
                    minlength=self.n_outputs,
                )
            shares = (1.0 - smooth) * counts / counts.sum() + smooth / self.n_outputs
            return float(-xlogy(shares, shares).sum())
        ones = (1.0 - smooth) * np.average(self.codes, axis=0, weights=weights) + 0.5 * smooth
        return float(-(xlogy(ones, ones) + xlogy(1.0 - ones, 1.0 - ones)).sum())

    def take(self, rows: NDArray[np.integer]) -> "ClassTargets":
        """Return the targets of some rows."""
        return replace(self, codes=self.codes[rows])

    def mean_loss(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """Mean cross-entropy of predicted probabilities, without label smoothing."""
        if self.out_activation == "softmax":
            hit = np.take_along_axis(outputs, self.codes.astype(np.intp), axis=1)
        else:
            hit = np.where(self.codes, outputs, 1.0 - outputs)
        losses = -np.log(np.maximum(hit, _LEAST, dtype=np.float64)).sum(axis=1)
        return float(np.average(losses, weights=weights))

    def score(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """Accuracy (of whole rows, for multilabel targets)."""
        codes = codes_of(outputs, self.out_activation)
        true = self.codes[:, 0] if codes.ndim == 1 else self.codes
        return float(accuracy_score(true, codes, sample_weight=weights))

    def check_scored(self) -> None:
        """Nothing: one row is enough."""

    def alike(self, y: Any, name: str) -> "ClassTargets":
        """Check and encode labels of other rows in the same way.

        Raises
        ------
        ValueError
            If y is of another kind or holds labels that are not among the classes.
        """
        if self.multilabel:
            dense = y.toarray() if issparse(y) else y
            wanted = self.n_outputs
            if dense.ndim != 2 or dense.shape[1] != wanted or not np.isin(dense, (0, 1)).all():
                raise ValueError(
                    f"`{name}` must be a multilabel indicator of {wanted} columns of 0 and 1, "
                    f"as at first, got an array of shape {dense.shape}. Encode it in the same way."
                )
            return replace(self, codes=np.ascontiguousarray(dense, dtype=np.uint8))
        if y.ndim != 1:
            y = column_or_1d(y.toarray() if issparse(y) else y, warn=True)
        try:
            unseen = np.setdiff1d(y, self.classes)
        except TypeError:  # labels that cannot be compared
            unseen = y
        if len(unseen):
            raise ValueError(
                f"`{name}` must hold labels out of {self.classes!r} only, got {unseen!r} as well. "
                "Leave these rows out, or start afresh with all classes."
            )
        return replace(self, codes=_codes(y, self.classes))

    def encode_few(self, y: Any) -> NDArray[np.float32] | None:
        """Encode labels of a few rows, with weights of 1; None where they need to be checked."""
        if self.multilabel or type(y) is not np.ndarray or y.ndim != 1:
            return None
        if y.dtype != self.classes.dtype or y.dtype.kind not in "biuU":
            return None
        places = np.searchsorted(self.classes, y)
        codes = np.ones((len(y), 2), np.float32)
        codes[:, 0] = places
        places[places == len(self.classes)] = 0
        return codes if (self.classes[places] == y).all() else None

    def class_weights(self, class_weight: Any) -> NDArray[np.float64] | None:
        """Return what codes weigh before classes are balanced; None for all the same.

        Parameters
        ----------
        class_weight : dict, list of dict, "balanced" or None

        Returns
        -------
        ndarray of shape (n_codes, n_values) or None
            By the column of `codes` and the code in it.

        Raises
        ------
        ValueError
            If the weights are negative, too large or of other labels.
        """
        if class_weight is None:
            return None
        if class_weight == "balanced":
            return np.ones((self.codes.shape[1], len(self._values)))
        values = self._values
        parts = class_weight if self.multilabel else [class_weight]
        remedy = "Give a dict from label to weight."
        if self.multilabel:
            remedy = "Give a list of dicts from 0 and 1 to weights."
        if not isinstance(parts, list) or len(parts) != self.codes.shape[1]:
            raise ValueError(
                f"`class_weight` must hold a dict for each of {self.codes.shape[1]} labels, got "
                f"{class_weight!r}. {remedy}"
            )
        if any(part != "balanced" and isinstance(part, str) for part in parts):
            raise _bad_class_weight(class_weight)
        try:
            found = np.array(
                [compute_class_weight(part, classes=values, y=values) for part in parts], float
            )
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(
                f"`class_weight`={class_weight!r} does not fit the classes {values!r} ({error}). "
                f"{remedy}"
            ) from error
        if not (np.isfinite(found).all() and found.min() >= 0.0 and found.any()):
            raise _bad_class_weight(class_weight)
        with np.errstate(over="ignore"):
            largest = float(found.max(axis=1).prod())
        if largest > LARGEST_WEIGHT:
            raise ValueError(
                f"`class_weight` must not give a row of a stream more than {LARGEST_WEIGHT:.0e}, "
                f"got {class_weight!r}. Divide the weights by a constant."
            )
        return found

    def balanced(self, class_weight: Any) -> NDArray[np.bool_]:
        """Tell which columns of the codes have classes to be balanced."""
        n_columns = self.codes.shape[1]
        parts = class_weight if isinstance(class_weight, list) else [class_weight] * n_columns
        return np.array([isinstance(part, str) for part in parts])

    @property
    def _values(self) -> NDArray[Any]:
        """What each column of the codes stands for."""
        return np.array([0, 1]) if self.multilabel else self.classes

    def check_classes(self, classes: Any) -> None:
        """Check that the classes named in a later call are the same.

        Raises
        ------
        ValueError
            If they are not.
        """
        if not np.array_equal(_named(classes), self.classes):
            raise ValueError(
                f"`classes` must be those of the first call, {self.classes!r}, got {classes!r}. "
                "Leave it out, or start afresh."
            )


def encode_classes(y: Any, smoothing: float = 0.0) -> ClassTargets:
    """Check class labels and encode them as small integers.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
        Class labels, or a multilabel indicator (dense or sparse).
    smoothing : float, default=0.0
        Share of each label that is spread over all classes, in [0, 1).

    Raises
    ------
    ValueError
        If y is not a classification target or holds one class only.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y.toarray().ravel() if issparse(y) else column_or_1d(y, warn=True)
    sample = _sample(y) if not issparse(y) and y.ndim == 1 and len(y) > _BLOCK else y
    check_classification_targets(sample)
    kind = type_of_target(sample, input_name="y")
    if kind == "multilabel-indicator":
        return _encode_labels(y, smoothing)
    if kind == "multiclass-multioutput":
        raise ValueError(
            "y must hold one label a row or be a multilabel indicator of 0 and 1, got "
            "several multiclass columns. Fit one classifier a column, for instance with "
            "sklearn.multioutput.MultiOutputClassifier."
        )
    try:
        classes = _different(y)
    except TypeError as error:
        raise ValueError(
            f"y must hold labels that can be sorted, got labels of several kinds ({error}). "
            "Convert them, for instance with y.astype(str)."
        ) from error
    if len(classes) < 2:
        raise ValueError(
            f"y must hold at least 2 classes, got 1 class: {classes[0]!r}. Add rows of "
            "another class."
        )
    return _of_classes(_codes(y, classes), classes, smoothing)


def encode_first_classes(y: Any, classes: Any, smoothing: float = 0.0) -> ClassTargets:
    """Check and encode the first labels of a stream.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or (n_rows, n_labels)
    classes : array-like of shape (n_classes,) or None
        All labels there will be; None for a multilabel indicator.
    smoothing : float, default=0.0

    Raises
    ------
    ValueError
        If y or `classes` breaks a rule.
    """
    if y.ndim == 2 and y.shape[1] > 1:
        encoded = encode_classes(y, smoothing)
        if classes is not None:
            encoded.check_classes(classes)
        return encoded
    if classes is None:
        raise ValueError(
            "`classes` must be passed on the first call to partial_fit, as later rows may hold "
            "other labels than the first, got None. Give all labels there will be."
        )
    labels = _named(classes)
    if len(labels) < 2:
        raise ValueError(
            f"`classes` must hold at least 2 labels, got {classes!r}. Name all there will be."
        )
    codes = np.zeros((0, 1), np.uint8 if len(labels) <= 256 else np.int32)
    return _of_classes(codes, labels, smoothing).alike(y, "y")


def _named(classes: Any) -> NDArray[Any]:
    """Return the labels named by a user, sorted."""
    try:
        return np.unique(column_or_1d(classes))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`classes` must be a list of labels that can be sorted, got {classes!r} ({error}). "
            "Write for instance np.unique(y)."
        ) from error


def _of_classes(
    codes: NDArray[np.integer], classes: NDArray[Any], smoothing: float
) -> ClassTargets:
    n_classes = len(classes)
    return ClassTargets(
        codes=codes,
        classes=classes,
        n_outputs=1 if n_classes == 2 else n_classes,
        out_activation="logistic" if n_classes == 2 else "softmax",
        multilabel=False,
        sparse=False,
        parameter=smoothing,
    )


def _encode_labels(y: Any, smoothing: float) -> ClassTargets:
    """Encode a multilabel indicator."""
    dense: NDArray[Any] = y.toarray() if issparse(y) else y
    if not np.isin(dense, (0, 1)).all():
        raise ValueError(
            "y must hold 0 and 1 only as a multilabel indicator, got the values "
            f"{np.unique(dense)!r}. Use (y > 0).astype(int) if positive means yes."
        )
    n_labels = dense.shape[1]
    return ClassTargets(
        codes=np.ascontiguousarray(dense, dtype=np.uint8),
        classes=np.arange(n_labels),
        n_outputs=n_labels,
        out_activation="logistic",
        multilabel=True,
        sparse=issparse(y),
        parameter=smoothing,
    )


def _sample(y: NDArray[Any]) -> NDArray[Any]:
    """Return fewer labels that tell as much about the kind of target as all of y."""
    try:
        # Each thrice: labels of which no two are the same would look like a regression target.
        check_classification_targets(np.tile(np.unique(y[:_BLOCK]), 3))
        return np.tile(_different(y), 3)
    except TypeError:  # labels that cannot be compared
        return y


def _different(y: NDArray[Any]) -> NDArray[Any]:
    """Return the sorted labels, without a copy of y as a whole unless most of them differ."""
    classes = np.unique(y[:_BLOCK])
    found: list[NDArray[Any]] = []
    for start in range(_BLOCK, len(y), _BLOCK):
        found.append(np.unique(y[start : start + _BLOCK]))
        if sum(map(len, found)) >= max(len(classes), _BLOCK):
            classes = np.unique(np.concatenate([classes, *found]))
            found = []
    return np.unique(np.concatenate([classes, *found]))


def _codes(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.integer]:
    """Encode labels as their places among `classes`, as a column."""
    codes = np.empty((len(y), 1), np.uint8 if len(classes) <= 256 else np.int32)
    for start in range(0, len(y), _BLOCK):
        rows = slice(start, start + _BLOCK)
        codes[rows, 0] = np.searchsorted(classes, y[rows])
    return codes


def check_same_classes(targets: ClassTargets, classes: NDArray[Any], multilabel: bool) -> None:
    """Check that a warm start sees targets of the kind and classes of the first fit.

    Raises
    ------
    ValueError
        If it does not.
    """
    kinds = {True: "a multilabel indicator", False: "one label a row"}
    if targets.multilabel != multilabel:
        raise ValueError(
            f"With warm_start=True y must hold {kinds[multilabel]}, as in the first fit, got "
            f"{kinds[targets.multilabel]}. Set warm_start=False to start afresh."
        )
    if not np.array_equal(targets.classes, classes):
        unseen = np.setdiff1d(targets.classes, classes)
        what = f"labels unseen at the first fit: {unseen!r}" if len(unseen) else targets.classes
        raise ValueError(
            f"With warm_start=True y must hold the classes {classes!r} of the first fit, got "
            f"{what}. Set warm_start=False to start afresh."
        )


def with_class_weights(
    y: Any, class_weight: Any, weights: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    """Multiply the weights of rows by those of their classes.

    Parameters
    ----------
    y : ndarray or sparse matrix of shape (n_rows,) or (n_rows, n_labels)
    class_weight : dict, list of dict, "balanced" or None
    weights : float64 array of shape (n_rows,) or None

    Raises
    ------
    ValueError
        If weights are negative or of labels that are not there, or every row has none, in
        one of the two or in both together.
    """
    if class_weight is None:
        return weights
    dense = y.toarray() if issparse(y) else y
    try:
        found = compute_sample_weight(class_weight, dense)
    except (IndexError, TypeError, ValueError) as error:
        raise ValueError(f"`class_weight`={class_weight!r} does not fit y: {error}") from error
    if not (np.isfinite(found).all() and found.min() >= 0.0 and found.any()):
        raise _bad_class_weight(class_weight)
    with np.errstate(over="ignore"):
        both = found if weights is None else weights * found
        total = float(both.sum())
    if not 0.0 < total < math.inf:
        times = "" if weights is None else ", times `sample_weight`,"
        raise ValueError(
            f"`class_weight`{times} must give the rows weights with a finite sum above 0, got "
            f'{total!r} from {class_weight!r}. Use numbers near 1, "balanced" or None.'
        )
    return both


def _bad_class_weight(class_weight: Any) -> ValueError:
    return ValueError(
        "`class_weight` must hold finite numbers >= 0, and one above 0 for some label of y, "
        f'got {class_weight!r}. Use "balanced" or None.'
    )


# --- numbers -------------------------------------------------------------------------


@dataclass(frozen=True)
class RealTargets:
    """Encoded numbers, ``(y - center) / scale``; attributes as in `Targets`, and this.

    Attributes
    ----------
    codes : float32 array of shape (n_rows, n_outputs)
    one_column : bool
        Whether y came with one dimension.
    """

    codes: NDArray[np.float32]
    loss: str
    parameter: float
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    one_column: bool

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

    @property
    def attributes(self) -> dict[str, Any]:
        """Fitted attributes of the estimator that tell of the targets."""
        return {
            "n_outputs_": self.n_outputs,
            "_one_column": self.one_column,
            "center_": self.center,
            "scale_": self.scale,
        }

    def null_loss(self, weights: NDArray[np.floating] | None) -> float:
        """Mean loss of about the best constant prediction."""
        y = self.codes.astype(np.float64)
        if self.loss in ("squared_error", "poisson"):
            constant = np.average(y, axis=0, weights=weights)
        else:
            share = self.parameter if self.loss == "quantile" else 0.5
            constant = np.quantile(y, share, axis=0)
        raw = np.log(np.maximum(constant, _LEAST)) if self.loss == "poisson" else constant
        return float(np.average(self._losses(raw[None, :]), weights=weights))

    def take(self, rows: NDArray[np.integer]) -> "RealTargets":
        """Return the targets of some rows."""
        return replace(self, codes=self.codes[rows])

    def mean_loss(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """Mean loss of predictions in units of y, as training counts it."""
        predictions = np.asarray(outputs, np.float64)
        if self.loss == "poisson":
            raw = np.log(np.maximum(predictions, _LEAST * self.scale) / self.scale)
        else:
            raw = (predictions - self.center) / self.scale
        return float(np.average(self._losses(raw), weights=weights))

    def score(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """R^2 of predictions in units of y, uniform average over the outputs; NaN of one row."""
        if len(self.codes) < 2:
            return math.nan
        # In units of the scale: R^2 is the same, and squares do not overflow.
        predictions = (np.asarray(outputs, np.float64) - self.center) / self.scale
        return float(r2_score(self.codes, predictions, sample_weight=weights))

    def check_scored(self) -> None:
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

    def alike(self, y: Any, name: str) -> "RealTargets":
        """Check and encode numbers of other rows in the same way.

        Raises
        ------
        ValueError
            If y breaks a rule or has another number of columns.
        """
        before = (self.center, self.scale, self.one_column)
        return encode_numbers(
            y, self.loss, self.parameter, normalize=False, before=before, name=name
        )

    def encode_few(self, y: Any) -> NDArray[np.float32] | None:
        """Encode numbers of a few rows, with weights of 1; None where they need to be checked."""
        if type(y) is not np.ndarray or y.ndim != 1 or not len(y) or y.dtype.char not in "fd":
            return None
        if not self.one_column or not bool(np.abs(y).max() <= _LARGEST):
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
        """Loss of every row for outputs before scale and activation; see `kernels`."""
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


def _inverse_link(loss: str) -> str:
    return "exp" if loss == "poisson" else "identity"


def check_same_link(loss: str, out_activation: str) -> None:
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


def encode_numbers(
    y: Any,
    loss: str,
    parameter: float,
    *,
    normalize: bool,
    weights: NDArray[np.floating] | None = None,
    before: tuple[NDArray[np.float64], NDArray[np.float64], bool] | None = None,
    name: str = "y",
    few: bool = False,
) -> RealTargets:
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
    if not largest <= _LARGEST:
        raise ValueError(
            f"`{name}` must lie within {_LARGEST:.0e} standard deviations (at first, or of the "
            f"rows with weight) of the mean, got {largest:.3g}. Leave such rows out, or set "
            "normalize_y=False."
        )
    codes = np.ascontiguousarray(scaled, dtype=np.float32)
    return RealTargets(codes, loss, float(parameter), center, scale, one_column)


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
