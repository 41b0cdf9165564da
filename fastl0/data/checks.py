"""Checks of X, whatever it comes in, and of arrays that may hide values.

The front door, as `estimators.params` is for the parameters, with errors of the same form.
"""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite

_FLOAT32_MAX = float(np.finfo(np.float32).max)
#: Few numbers up to here have squares whose sum stays below that.
_MODERATE = 1e9
#: Entries up to which looking at an array costs less than scikit-learn's checks.
_FEW = 2**14
#: Names of the types of what stands for a missing value, among them pandas' own; types with NaN.
_MISSING = ("NoneType", "NAType", "NaTType")
_WITH_NAN = (float, np.floating, np.datetime64, np.timedelta64)
_READABLE = {np.dtype(code) for code in "bhilqBHILQ?fd"}


def as_readable(X: Any) -> Any:
    """Return X in a dtype and range that rows can be gathered from, copying if it must.

    Bool, integer, float32 and float64 arrays in native byte order come back as they are.

    Raises
    ------
    ValueError
        If X does not hold numbers, a value is too large for float32, or a CSR matrix has
        indices out of bounds.
    """
    if X.dtype.kind not in "biuf":
        raise ValueError(f"X must hold numbers, got dtype {X.dtype}. Convert it to float.")
    if X.dtype not in _READABLE or not X.dtype.isnative:
        wanted = np.float64 if X.dtype.itemsize > 4 else np.float32
        with np.errstate(over="ignore"):  # of longdouble: an error below
            X = X.astype(wanted)
    if issparse(X):
        X = _readable_csr(X)
    values = X.data if issparse(X) else X
    if X.dtype == np.float64 and values.size:
        # Whatever is missing: NaN is for others to judge.
        highest, lowest = (f.reduce(values, axis=None) for f in (np.fmax, np.fmin))
        largest = max(float(highest), -float(lowest))
        if largest > _FLOAT32_MAX:
            raise ValueError(
                f"X must hold values within the float32 range (up to {_FLOAT32_MAX:.3g}), got "
                f"{largest:.3g}. Scale the inputs, for instance with StandardScaler."
            )
    return X


def check_shape(shape: Sequence[Any]) -> None:
    """Check the shape of an X that is read by blocks.

    Raises
    ------
    ValueError
        If it has not two dimensions, is empty or not known.
    """
    if len(shape) != 2:
        raise ValueError(
            f"X must have 2 dimensions, got shape {tuple(shape)}. Reshape it to (n_samples, "
            "n_features)."
        )
    if not all(isinstance(n, Integral) for n in shape):
        raise ValueError(
            f"X must know its shape, got {tuple(shape)}. Call `compute_chunk_sizes()` on a dask "
            "array first."
        )
    if not all(n > 0 for n in shape):
        raise ValueError(
            f"X must hold one row and one feature or more, got shape {tuple(shape)}. Give more."
        )


def check_block(
    block: Any,
    start: int,
    shape: tuple[int, int],
    dtype: np.dtype[Any],
    *,
    allow_nan: bool = False,
) -> np.ndarray[Any, Any]:
    """Check some rows of an X that is read by blocks; return them as a readable array.

    Parameters
    ----------
    block : array-like
        What a slice of X is.
    start : int
        Number of its first row.
    shape : tuple of two ints
        That it should have.
    dtype : dtype
        That X says it has.
    allow_nan : bool, default=False
        Whether values may be missing.

    Raises
    ------
    ValueError
        If it is of another shape or kind, or has values that are missing, not finite or too
        large for float32.
    """
    where = f"rows {start} to {start + shape[0] - 1} of X"
    if issparse(block):
        raise ValueError(
            f"X must give dense rows when it is sliced, got a sparse {type(block).__name__} for "
            f"{where}. Convert its blocks, or pass them to partial_fit one by one."
        )
    if np.ma.is_masked(block):
        raise ValueError(f"X must have no missing values, got some in {where}. Fill them.")
    values = np.asarray(block)
    if values.shape != shape:
        raise ValueError(
            f"X must give the rows that its shape promises, got an array of shape {values.shape} "
            f"for {where}. Open it anew, or mend what makes it."
        )
    are_floats = values.dtype.kind == dtype.kind == "f"
    if not (are_floats or np.can_cast(values.dtype, dtype)):
        raise ValueError(
            f"X must give rows of its dtype {dtype}, got {values.dtype} for {where}. Convert it "
            "with astype."
        )
    with np.errstate(over="ignore"):
        values = values.astype(dtype, copy=False)
    try:
        assert_all_finite(values, input_name="X", allow_nan=allow_nan)
        return as_readable(values)
    except ValueError as error:
        raise ValueError(f"{error} This is in {where}.") from error


def check_no_mask(name: str, values: Any) -> None:
    """Check that an array hides no values, which NumPy would show when it converts it.

    Raises
    ------
    ValueError
        If it does.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        n_masked = np.count_nonzero(np.ma.getmaskarray(values))
        raise ValueError(
            f"`{name}` must have no missing values, got {n_masked} that are masked. Fill them, or "
            "leave these rows out."
        )


def check_no_missing(name: str, values: Any) -> None:
    """Check that objects, as labels may be, are all there.

    NaN in arrays of numbers is left to scikit-learn's checks.

    Raises
    ------
    ValueError
        If one is None, or what stands for a missing one in pandas.
    """
    if issparse(values):
        return
    is_list = isinstance(values, list | tuple)  # of which NumPy may make strings, as "nan"
    array = np.array(values, dtype=object) if is_list else np.asarray(values)
    if array.dtype.kind != "O" or array.ndim == 0:
        return
    found = array.ravel().tolist()
    kinds = {kind for kind in set(map(type, found)) if _may_be_missing(kind)}
    places = [place for place, value in enumerate(found) if type(value) in kinds]
    places = [place for place in places if _is_missing(found[place])]
    if places:
        row = places[0] * len(array) // array.size
        raise ValueError(
            f"`{name}` must have no missing values, got {found[places[0]]!r} in row {row} "
            f"({len(places)} in all). Leave such rows out, or fill them."
        )


def _may_be_missing(kind: type) -> bool:
    return kind.__name__ in _MISSING or issubclass(kind, _WITH_NAN)


def _is_missing(value: Any) -> bool:
    return type(value).__name__ in _MISSING or bool(value != value)


def check_numeric_columns(X: Any) -> None:
    """Check that the columns of a data frame of pandas or polars hold numbers.

    Raises
    ------
    ValueError
        If one is of categories, strings, dates or the like.
    """
    if hasattr(X, "iloc") and hasattr(X, "dtypes") and hasattr(X, "columns"):
        found = [
            (X.columns[place], dtype)
            for place, dtype in enumerate(X.dtypes)
            if not _holds_numbers(X, place, dtype)
        ]
    elif hasattr(X, "to_numpy") and isinstance(getattr(X, "schema", None), Mapping):
        found = [
            (name, dtype)
            for name, dtype in X.schema.items()
            if not (dtype.is_numeric() or str(dtype) == "Boolean")
        ]
    else:
        return
    if found:
        named = ", ".join(f"{name!r} ({dtype})" for name, dtype in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise ValueError(
            f"X must hold numbers in every column, got {named}{more}. Encode them, for instance "
            "with OneHotEncoder in a ColumnTransformer, or leave them out."
        )


def _holds_numbers(X: Any, place: int, dtype: Any) -> bool:
    """Whether a column of a pandas data frame holds numbers; objects are looked at."""
    if dtype.kind != "O" or not isinstance(dtype, np.dtype):
        return dtype.kind in "biuf"
    try:
        np.asarray(X.iloc[:, place], dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return True


def is_trusted_small(X: Any, n_features: int) -> bool:
    """Whether a few rows are so plain that a network of so many inputs can take them as they are.

    scikit-learn's checks and `as_readable` would return the very same array; for one row they take
    longer than the network does.
    """
    return (
        type(X) is np.ndarray
        and X.ndim == 2
        and 0 < X.size <= _FEW
        and X.dtype.char in "fd"
        and X.dtype.isnative
        and X.shape[1] == n_features
        # A bound of the largest that takes one call; False for NaN and infinity, too.
        and bool(np.vdot(X, X) <= _MODERATE**2)
    )


def _check_csr(X: Any) -> None:
    """Refuse a CSR matrix that SciPy would read out of bounds."""
    indptr, indices, n_stored = X.indptr, X.indices, len(X.data)
    sound = len(indptr) == X.shape[0] + 1 and indptr[0] == 0
    sound = sound and bool((indptr[1:] >= indptr[:-1]).all())
    sound = sound and indptr[-1] <= min(n_stored, len(indices))
    if sound and indptr[-1] > 0:
        used = indices[: indptr[-1]]
        sound = used.min() >= 0 and used.max() < X.shape[1]
    if not sound:
        raise ValueError(
            "X is not a sound CSR matrix: indptr must ascend from 0 to the number of stored "
            f"entries and indices lie in [0, {X.shape[1]}). Rebuild it."
        )


def _readable_csr(X: Any) -> Any:
    """Return a sound CSR matrix of contiguous parts with one type of index."""
    _check_csr(X)
    parts = (X.data, X.indices, X.indptr)
    sound = all(part.flags.c_contiguous and part.flags.aligned for part in parts)
    if sound and X.indices.dtype == X.indptr.dtype:
        return X
    index = np.result_type(X.indices, X.indptr)
    copies = (np.array(X.data), np.array(X.indices, index), np.array(X.indptr, index))
    return type(X)(copies, shape=X.shape, copy=False)
