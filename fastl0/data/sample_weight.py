"""What rows weigh: checks, scaling, and their place beside the encoded targets."""

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from fastl0.data import checks
from fastl0.data.blocks import load_if_blockwise

#: Least mean weight of the rows that train: `alpha`, divided by it, has to stay in float32.
_LEAST_MEAN = 1e-20


def check_sample_weight(
    sample_weight: Any, X: Any, name: str = "sample_weight", *, may_be_zero: bool = False
) -> NDArray[np.float64] | None:
    """Check the weights of rows; None for none.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,), float or None
        A float is the weight of every row.
    X : array of shape (n_rows, n_features)
    name : str, default="sample_weight"
        What errors call them.
    may_be_zero : bool, default=False
        Whether all may be 0.

    Raises
    ------
    ValueError
        If they are not one finite number >= 0 a row, or all are 0 and may not.
    """
    if sample_weight is None:
        return None
    checks.check_no_mask(name, sample_weight)
    n_rows = X.shape[0]
    given = load_if_blockwise(sample_weight)
    try:
        if isinstance(given, Real):
            given = np.full(n_rows, float(given))
        weights = np.asarray(
            check_array(given, ensure_2d=False, dtype=np.float64, copy=True, input_name=name)
        )
    except (TypeError, ValueError, OverflowError) as error:  # an int may exceed any float
        raise ValueError(f"`{name}`: {error}") from error
    if weights.shape != (n_rows,):
        raise ValueError(
            f"`{name}` must hold one weight for each of {n_rows} rows, got an array of shape "
            f"{weights.shape}. Give one number a row, or None."
        )
    if weights.min() < 0.0:
        raise ValueError(
            f"`{name}` must not be negative, got {weights.min():g}. Leave such rows out, or give "
            "them a weight of 0."
        )
    if not (may_be_zero or weights.any()):
        raise ValueError(
            f"`{name}` must not be zero in every row, got zeros only. Give some row a weight, or "
            "None to give all the same."
        )
    with np.errstate(over="ignore"):
        total = float(weights.sum())
    if total == np.inf:
        raise ValueError(
            f"`{name}` must have a sum that is finite, got weights up to {weights.max():.3g}. "
            "Divide them by a constant."
        )
    return weights


def rescale_weights(weights: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Return weights divided by a power of two, so that weighted sums do not overflow."""
    if weights is None:
        return None
    _, exponent = np.frexp(weights.max())
    return np.ldexp(weights, -exponent)


def drop_equal_weights(
    weights: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64] | None, float]:
    """Return weights, or None if all are the same, and what each row then weighs."""
    if weights is None:
        return None, 1.0
    if weights.min() == weights.max():
        return None, float(weights[0])
    return weights, 1.0


def append_weights(
    codes: NDArray[Any], weights: NDArray[np.float64] | None, rows: NDArray[np.int32]
) -> tuple[NDArray[Any], float]:
    """Put weights, divided by their mean, into one array with encoded targets.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_codes)
    weights : float64 array of shape (n_rows,) or None
    rows : int32 array
        The rows that the mean is taken of; empty for all.

    Returns
    -------
    codes : ndarray of shape (n_rows, n_codes) or, as float32, (n_rows, n_codes + 1)
    total : float
        Sum of the weights of these rows.

    Raises
    ------
    ValueError
        If all of them are 0, or all but.
    """
    used = len(rows) or len(codes)
    weights, each = drop_equal_weights(weights)
    if weights is None:
        _check_mean(each)
        return codes, each * used
    total = float(weights[rows].sum() if len(rows) else weights.sum())
    if total <= 0.0:
        raise ValueError(
            "`sample_weight` must be above 0 for some of the rows that `early_stopping`=True does "
            "not set aside, got 0 for all of them. Give more rows a weight, or X_val and y_val."
        )
    _check_mean(total / used)
    both = np.empty((len(codes), codes.shape[1] + 1), np.float32)
    both[:, :-1] = codes
    both[:, -1] = weights * (used / total)
    return both, total


def _check_mean(mean: float) -> None:
    if mean < _LEAST_MEAN:
        raise ValueError(
            f"`sample_weight` (times `class_weight`) must have a mean of {_LEAST_MEAN:.0e} or more "
            f"over the rows that train, got {mean:.3g}. Multiply the weights by a constant."
        )
