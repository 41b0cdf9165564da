"""Feature selection by the inputs that a network has kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import TransformerMixin
from sklearn.utils import _safe_indexing
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_array,
    check_is_fitted,
    validate_data,
)

from fastl0.data import checks
from fastl0.data.blocks import is_blockwise
from fastl0.estimators.validate import check_X, may_miss


class InputSelectorMixin(TransformerMixin):
    """scikit-learn's interface of a feature selector, for an estimator with `support_`.

    That of `sklearn.feature_selection`, whose import would take as long as predicting.
    """

    support_: NDArray[np.bool_]

    def get_support(self, indices: bool = False) -> NDArray[Any]:
        """Tell which input features the network reads.

        Parameters
        ----------
        indices : bool, default=False
            Whether to return their numbers instead of a mask.

        Returns
        -------
        ndarray of shape (n_features_in_,), bool, or of shape (n_kept,), int
        """
        check_is_fitted(self)
        return np.flatnonzero(self.support_) if indices else self.support_.copy()

    def transform(self, X: Any) -> Any:
        """Reduce X to the features that the network reads.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As in `predict`, and arrays of other dtypes.

        Returns
        -------
        {ndarray, sparse matrix} of shape (n_samples, n_kept)
            Of the dtype of X; sparse where X is. With `set_output`, the frame that it asks for,
            whose columns keep their dtypes where X is of the same kind.
        """
        check_is_fitted(self)
        if is_blockwise(X):
            return self._transform_by_blocks(X)
        checks.check_no_mask("X", X)
        kept = np.flatnonzero(self.support_)
        checked = validate_data(
            self,
            X,
            dtype=None,
            accept_sparse=("csr", "csc"),
            reset=False,
            ensure_all_finite="allow-nan" if may_miss(self) else True,
        )
        wanted = _get_output_config("transform", self)["dense"]
        if type(X).__module__.partition(".")[0] == wanted:
            return _safe_indexing(X, kept, axis=1)  # as an array its columns have one dtype
        return checked[:, kept]

    def _transform_by_blocks(self, X: Any) -> NDArray[Any]:
        blocks = check_X(self, X)
        kept = np.flatnonzero(self.support_)
        out = np.empty((blocks.shape[0], len(kept)), blocks.dtype)
        for places, values in blocks:
            out[places] = values[:, kept]
        return out

    def inverse_transform(self, X: Any) -> Any:
        """Put zeros where `transform` has left features out.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_kept)

        Returns
        -------
        {ndarray, sparse matrix} of shape (n_samples, n_features_in_)
            Of the dtype of X; in CSC format where X is sparse.

        Raises
        ------
        ValueError
            If X has not the features that `transform` keeps.
        """
        check_is_fitted(self)
        X = check_array(X, dtype=None, accept_sparse="csc")
        n_kept = int(self.support_.sum())
        if X.shape[1] != n_kept:
            raise ValueError(
                f"X must have the {n_kept} features that `transform` keeps, got {X.shape[1]}. Give "
                "what `transform` has returned."
            )
        if issparse(X):
            counts = np.zeros(len(self.support_), dtype=X.indptr.dtype)
            counts[self.support_] = np.diff(X.indptr)
            indptr = np.concatenate([[0], np.cumsum(counts)])
            return type(X)((X.data, X.indices, indptr), shape=(X.shape[0], len(counts)))
        whole = np.zeros((X.shape[0], len(self.support_)), dtype=X.dtype)
        whole[:, self.support_] = X
        return whole

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[Any]:
        """Name the features that `transform` keeps.

        Parameters
        ----------
        input_features : array-like of shape (n_features_in_,), default=None
            Names of all features; None for `feature_names_in_` or, where there are none,
            "x0", "x1" and so on.

        Returns
        -------
        ndarray of shape (n_kept,), str
        """
        check_is_fitted(self)
        return _check_feature_names_in(self, input_features)[self.support_]
