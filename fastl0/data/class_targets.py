"""y of a classifier: labels, checked, encoded as small integers, and weighed."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.special import xlogy
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from fastl0.data.targets import MAX_WEIGHT, SMALLEST
from fastl0.model.network import codes_of

#: Labels looked at in one go.
_BLOCK = 2**16


@dataclass(frozen=True)
class ClassTargets:
    """Encoded class labels; attributes as in `Targets`, and these.

    Attributes
    ----------
    codes : ndarray of shape (n_rows, n_codes)
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
        return float(np.average(self.row_losses(outputs), weights=weights))

    def row_losses(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Cross-entropy of the predicted probabilities of each row, without label smoothing."""
        if self.out_activation == "softmax":
            hit = np.take_along_axis(outputs, self.codes.astype(np.intp), axis=1)
        else:
            hit = np.where(self.codes, outputs, 1.0 - outputs)
        losses: NDArray[np.float64] = -np.log(np.maximum(hit, SMALLEST, dtype=np.float64))
        return losses.sum(axis=1)

    def score(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """Accuracy (of whole rows, for multilabel targets)."""
        codes = codes_of(outputs, self.out_activation)
        true = self.codes[:, 0] if codes.ndim == 1 else self.codes
        return float(accuracy_score(true, codes, sample_weight=weights))

    def check_enough_to_score(self) -> None:
        """Nothing: one row is enough."""

    def encode_like(self, y: Any, name: str) -> "ClassTargets":
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
            y = y.toarray() if issparse(y) else y
            if y.ndim != 2 or y.shape[1] != 1:
                raise ValueError(
                    f"`{name}` must hold one label a row, as at first, got an array of shape "
                    f"{y.shape}. Encode it in the same way."
                )
            y = column_or_1d(y, warn=True)
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

    def encode_trusted(self, y: Any) -> NDArray[np.float32] | None:
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


class ClassWeigher:
    """What the rows of a stream weigh by their classes.

    Parameters
    ----------
    targets : ClassTargets
        Of no rows.
    class_weight : dict, list of dict or "balanced"
    before : ClassWeigher, default=None
        Whose counts of the classes are to be gone on with.
    """

    def __init__(
        self, targets: ClassTargets, class_weight: Any, before: "ClassWeigher | None" = None
    ) -> None:
        self._weights = _weights_of_classes(targets, class_weight)
        parts = class_weight if isinstance(class_weight, list) else [class_weight]
        parts = parts * (len(self._weights) // len(parts))
        self._is_balanced = [isinstance(part, str) for part in parts]
        self._counts = [np.zeros(len(of_code)) for of_code in self._weights]
        if before is not None:
            self._counts = before._counts

    def weigh(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Return what rows weigh; those whose classes are to be balanced are counted first."""
        weights = np.ones(len(codes))
        for column, of_code in enumerate(self._weights):
            values = codes[:, column].astype(np.intp)
            if self._is_balanced[column]:
                of_code = self._balance(self._counts[column], values)
            weights *= of_code[values]
        return weights

    def _balance(
        self, counts: NDArray[np.float64], values: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Weights that balance the classes in all rows so far, these included.

        As scikit-learn's "balanced": their number over that of the classes there have been, and
        over that of the class.
        """
        counts += np.bincount(values, minlength=len(counts))
        mean = counts.sum() / np.count_nonzero(counts)
        return mean / np.maximum(counts, 1.0)


@dataclass(frozen=True)
class ClassEncoder:
    """Encodes labels with the parameters of a classifier; see `targets.TargetEncoder`.

    Attributes
    ----------
    class_weight : dict, list of dict, "balanced" or None
    label_smoothing : float in [0, 1)
    """

    class_weight: Any
    label_smoothing: float

    def encode(self, y: Any, weights: NDArray[np.float64] | None) -> ClassTargets:
        """Encode the labels of a new fit."""
        return encode_classes(y, self.label_smoothing)

    def encode_again(
        self, y: Any, weights: NDArray[np.float64] | None, before: ClassTargets
    ) -> ClassTargets:
        """Encode labels that have to be of the same classes."""
        targets = self.encode(y, weights)
        check_same_classes(targets, before.classes, before.multilabel)
        return targets

    def encode_first(
        self, y: Any, weights: NDArray[np.float64] | None, classes: Any
    ) -> ClassTargets:
        """Encode the first labels of a stream."""
        return encode_first_classes(y, classes, self.label_smoothing)

    def update(self, before: ClassTargets) -> ClassTargets:
        """Return targets of no rows and of the same classes."""
        codes = np.zeros((0, before.n_outputs if before.multilabel else 1), np.uint8)
        return replace(before, codes=codes, parameter=self.label_smoothing)

    def row_weights(
        self, y: Any, sample_weight: NDArray[np.float64] | None
    ) -> NDArray[np.float64] | None:
        """Multiply the weights of rows by those of their classes."""
        return with_class_weights(y, self.class_weight, sample_weight)

    def weigher(
        self, targets: ClassTargets, before: ClassWeigher | None = None
    ) -> ClassWeigher | None:
        """Return what weighs the rows of a stream; None where classes have no weights."""
        if self.class_weight is None:
            return None
        return ClassWeigher(targets, self.class_weight, before)


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
        If y is not a classification target.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y.toarray().ravel() if issparse(y) else column_or_1d(y, warn=True)
    _check_one_kind(y)
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
    classes = _different(y)
    return _of_classes(_codes(y, classes), _as_words(classes), smoothing)


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
    if not len(labels):
        raise ValueError(
            f"`classes` must hold one label or more, got {classes!r}. Name all there will be."
        )
    codes = np.zeros((0, 1), np.uint8 if len(labels) <= 256 else np.int32)
    return _of_classes(codes, labels, smoothing).encode_like(y, "y")


def _named(classes: Any) -> NDArray[Any]:
    """Return the labels named by a user, sorted."""
    try:
        labels = _as_words(np.unique(column_or_1d(classes)))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`classes` must be a list of labels that can be sorted, got {classes!r} ({error}). "
            "Write for instance np.unique(y)."
        ) from error
    if (labels != labels).any():  # NaN, of whatever dtype
        raise ValueError(f"`classes` must hold no missing label, got {classes!r}. Leave it out.")
    return labels


def _check_one_kind(y: Any) -> None:
    """Check that labels that are objects are strings: others cannot be told to be labels."""
    if issparse(y) or y.dtype.kind != "O":
        return
    kinds = set(map(type, y.ravel().tolist()))
    if not all(issubclass(kind, str | bytes) for kind in kinds):  # of bytes scikit-learn tells
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            "Unknown label type: y must hold labels of one kind, strings or numbers, got an array "
            f"of objects of type {names}. Convert it, for instance with y.astype(int) or "
            "y.astype(str)."
        )


def _as_words(classes: NDArray[Any]) -> NDArray[Any]:
    """Return labels that are objects as strings of NumPy, as scikit-learn has them."""
    if classes.dtype.kind != "O":
        return classes
    words = np.array(classes.tolist())
    # Not where that would change them: NumPy takes zeros off the end.
    return words if words.dtype.kind == "U" and (words == classes).all() else classes


def _of_classes(
    codes: NDArray[np.integer], classes: NDArray[Any], smoothing: float
) -> ClassTargets:
    n_classes = len(classes)
    return ClassTargets(
        codes=codes,
        classes=classes,
        n_outputs=1 if n_classes <= 2 else n_classes,
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
    # Each thrice: labels of which no two are the same would look like a regression target.
    check_classification_targets(np.tile(np.unique(y[:_BLOCK]), 3))
    return np.tile(_different(y), 3)


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


def _weights_of_classes(targets: ClassTargets, class_weight: Any) -> NDArray[np.float64]:
    """Return what codes weigh before classes are balanced.

    Parameters
    ----------
    targets : ClassTargets
    class_weight : dict, list of dict or "balanced"

    Returns
    -------
    float64 array of shape (n_codes, n_values)
        By the column of `codes` and the code in it.

    Raises
    ------
    ValueError
        If the weights are negative, too large or of other labels.
    """
    values = np.array([0, 1]) if targets.multilabel else targets.classes
    if class_weight == "balanced":
        return np.ones((targets.codes.shape[1], len(values)))
    parts = class_weight if targets.multilabel else [class_weight]
    remedy = "Give a dict from label to weight."
    if targets.multilabel:
        remedy = "Give a list of dicts from 0 and 1 to weights."
    if not isinstance(parts, list) or len(parts) != targets.codes.shape[1]:
        raise ValueError(
            f"`class_weight` must hold a dict for each of {targets.codes.shape[1]} labels, got "
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
    if largest > MAX_WEIGHT:
        raise ValueError(
            f"`class_weight` must not give a row of a stream more than {MAX_WEIGHT:.0e}, "
            f"got {class_weight!r}. Divide the weights by a constant."
        )
    return found


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
