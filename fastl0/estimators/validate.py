"""Checks X and y of a call: names and number of features, form and values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import validate_data

from fastl0.data import checks
from fastl0.data.blocks import BlockReader, is_blockwise, load_if_blockwise
from fastl0.data.sample_weight import check_sample_weight


class ValidationData(NamedTuple):
    """Validation rows as they are given to fit."""

    X: Any = None
    y: Any = None
    weights: Any = None


def check_X_y(estimator: Any, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
    """Check rows to learn from.

    Parameters
    ----------
    estimator : estimator
        Where names and number of the features are noted, or found to compare with.
    X, y : array-like
    reset : bool
        Whether to note them.

    Returns
    -------
    X : ndarray, CSR matrix or BlockReader
    y : ndarray or CSR matrix

    Raises
    ------
    TypeError, ValueError
        If something breaks a rule.
    """
    y = load_if_blockwise(y)
    checks.check_no_mask("X", X)
    checks.check_no_mask("y", y)
    checks.check_no_missing("y", y)
    if is_blockwise(X):
        X = _open_blocks(estimator, X, y, reset=reset, allow_nan=may_be_missing(estimator))
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
        check_consistent_length(X, y)
        X.check()
        return X, y
    checks.check_numeric_columns(X)
    X, y = validate_data(
        estimator,
        X,
        y,
        accept_sparse="csr",
        multi_output=True,
        reset=reset,
        ensure_all_finite="allow-nan" if may_be_missing(estimator) else True,
    )
    return checks.as_readable(X), y


def check_X(estimator: Any, X: Any) -> Any:
    """Check rows to predict for; return an ndarray, CSR matrix or BlockReader."""
    if is_blockwise(X):
        return _open_blocks(estimator, X, reset=False, allow_nan=may_miss(estimator))
    checks.check_no_mask("X", X)
    checks.check_numeric_columns(X)
    X = validate_data(
        estimator,
        X,
        accept_sparse="csr",
        reset=False,
        ensure_all_finite="allow-nan" if may_miss(estimator) else True,
    )
    return checks.as_readable(X)


def check_validation_rows(estimator: Any, validation: ValidationData) -> ValidationData:
    """Check validation rows; errors say that it is these.

    Parameters
    ----------
    estimator : estimator
        With the names and number of features that X_val has to have.
    validation : ValidationData

    Raises
    ------
    TypeError, ValueError
        If something breaks a rule.
    """
    try:
        X, y = check_X_y(estimator, validation.X, validation.y, reset=False)
    except (TypeError, ValueError) as error:
        # Not of its own type: what a reader of blocks raises may take other arguments.
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"`X_val` or `y_val`: {error}") from error
    return ValidationData(X, y, check_sample_weight(validation.weights, X, "sample_weight_val"))


def may_be_missing(estimator: Any) -> bool:
    """Whether values of X may be NaN in a fit."""
    return bool(getattr(estimator, "encoding", "none") != "none")


def may_miss(estimator: Any) -> bool:
    """Whether values of X may be NaN for a fitted estimator or search."""
    model = vars(estimator).get("best_estimator_", estimator)
    if "encoding_" in vars(model):
        return bool(vars(model)["encoding_"] != "none")
    return may_be_missing(model)


def _open_blocks(
    estimator: Any, X: Any, y: Any = "no_validation", *, reset: bool, allow_nan: bool
) -> BlockReader:
    """Make blocks of X, of which nothing is read yet."""
    blocks = X
    if not isinstance(X, BlockReader):
        blocks = BlockReader(X, allow_nan=allow_nan)
    validate_data(estimator, blocks, y, reset=reset, skip_check_array=True)
    return blocks


@contextmanager
def restored_on_error(estimator: Any) -> Iterator[None]:
    """Give names and number of the features back their values if the block fails."""
    names = ("n_features_in_", "feature_names_in_")
    # By name: another thread that predicts may add others meanwhile.
    before = {name: vars(estimator)[name] for name in names if name in vars(estimator)}
    try:
        yield
    except BaseException:
        vars(estimator).update(before)
        for name in set(names) - set(before):
            vars(estimator).pop(name, None)
        raise
