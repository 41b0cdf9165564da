"""The size of a network by cross-validation: `HardL0MLPClassifierCV`, `HardL0MLPRegressorCV`."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    RegressorMixin,
    _fit_context,
    clone,
    is_classifier,
)
from sklearn.metrics import check_scoring, get_scorer_names
from sklearn.model_selection import check_cv
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from fastl0.estimators import params
from fastl0.estimators.base import BaseHardL0MLP
from fastl0.estimators.classifier import HardL0MLPClassifier
from fastl0.estimators.regressor import HardL0MLPRegressor

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    from fastl0.estimators.path import LabelledRows

#: Fitted attributes of the network that are attributes of the search, too, where it has them.
_SHARED = (
    "classes_",
    "center_",
    "scale_",
    "coefs_",
    "intercepts_",
    "support_",
    "n_units_",
    "n_parameters_",
    "n_layers_",
    "n_outputs_",
    "n_iter_",
    "out_activation_",
)


class BaseSizeCV(metaclass=ABCMeta):
    """Cross-validation of the size; see the two public classes.

    To the left of scikit-learn's mixins, whose `score` knows nothing of `scoring`.
    """

    best_estimator_: Any

    #: The kind of network.
    _kind: ClassVar[type[BaseHardL0MLP]]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "target_sizes": [None, "array-like"],
        "cv": ["cv_object"],
        "scoring": [None, StrOptions(set(get_scorer_names())), callable],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def __init__(
        self,
        estimator: Any = None,
        *,
        target_sizes: Sequence[int | float | str] | None = None,
        cv: Any = None,
        scoring: str | Callable[..., float] | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.target_sizes = target_sizes
        self.cv = cv
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]  # of BaseEstimator
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = getattr(self.estimator, "encoding", "none") != "none"
        return tags

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose the size by cross-validation and train a network of that size on all rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows; each fold takes a copy of its own, unless X is read by blocks (see
            `HardL0MLPClassifier.fit`).
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            What to predict, as the estimator takes it.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0, in training and in scores.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If a parameter, X or y breaks a rule, or a score is not finite.
        """
        from fastl0.estimators.path import check_path_input, clone_for_path

        model = clone_for_path(self.estimator, (self._kind,))
        scorer = check_scoring(model, scoring=self.scoring)
        rows, _, sizes = check_path_input(model, X, y, sample_weight, self.target_sizes)
        splitter = check_cv(self.cv, rows.y, classifier=is_classifier(self))
        folds = list(splitter.split(rows.X, rows.y))
        if not folds:
            raise ValueError(
                f"`cv` must give one fold or more, got none from {self.cv!r}. An iterator can be "
                "used once only; a list of folds, or a number of them, can be used again."
            )
        paths = Parallel(n_jobs=self.n_jobs, verbose=self.verbose)(
            delayed(_score_fold)(model, rows, sizes, *fold, scorer) for fold in folds
        )
        scores, n_parameters = (np.stack(parts, axis=1) for parts in zip(*paths, strict=True))
        chosen = _smallest_of_the_best(scores)
        best = clone(model).set_params(target_size=sizes[chosen][0])
        # Not `fit`, which would take Ctrl-C for the end of the training.
        best._fit(rows.X, rows.y, sample_weight=rows.weights)
        names = {name: value for name, value in vars(model).items() if name.endswith("_in_")}
        vars(best).update(names)
        # One step, so that Ctrl-C cannot leave half of the attributes behind.
        self.__dict__.pop("feature_names_in_", None)
        self.__dict__.update(
            {name: getattr(best, name) for name in _SHARED if hasattr(best, name)}
            | names
            | {
                "best_estimator_": best,
                "target_size_": sizes[chosen][0],
                "target_sizes_": [size for size, _ in sizes],
                "scores_": scores,
                "n_parameters_path_": n_parameters,
            }
        )
        return self

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Score `best_estimator_` by `scoring`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            Larger is better; with ``scoring=None`` as the network scores itself: the accuracy,
            or R^2.
        """
        check_is_fitted(self)
        extra = {} if sample_weight is None else {"sample_weight": sample_weight}
        scorer = check_scoring(self.best_estimator_, scoring=self.scoring)
        with params.name_scorer_in_errors(self.scoring):
            found = scorer(self.best_estimator_, X, y, **extra)
        return params.check_score(found, scorer)

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Share of each input in how strongly the outputs depend on the inputs."""
        check_is_fitted(self)
        return self.best_estimator_.feature_importances_

    def to_sklearn(self) -> MLPClassifier | MLPRegressor:
        """Return scikit-learn's own MLP with the predictions of `best_estimator_`.

        Returns
        -------
        MLPClassifier or MLPRegressor
            See `HardL0MLPClassifier.to_sklearn`.

        Raises
        ------
        NotFittedError
            If the search is not fitted.
        ValueError
            If ``loss="poisson"`` needs a newer scikit-learn (1.7).
        """
        check_is_fitted(self)
        return self.best_estimator_.to_sklearn()


class HardL0MLPClassifierCV(BaseSizeCV, ClassifierMixin, BaseEstimator):
    """Multilayer perceptron classifier whose size is chosen by cross-validation.

    Every fold goes down one `l0_path`. Of all sizes the smallest is taken whose mean score is
    within one standard error of the best mean ([BFOS]_ section 3.4.3), and a network of that
    size is trained on all rows.

    Parameters
    ----------
    estimator : HardL0MLPClassifier, default=None
        Settings of the networks, with ``pruning="hard"`` and ``lam=None``; None is
        ``HardL0MLPClassifier()``. Its `target_size` and `warm_start` are of no account.
    target_sizes : sequence of int, float or str, default=None
        Sizes to choose from, as `l0_path` takes them.
    cv : int, cross-validation generator or iterable, default=None
        Folds as scikit-learn takes them; None is 5 of them, stratified.
    scoring : str or callable, default=None
        Name of a scikit-learn scorer, or ``scorer(estimator, X, y)``, with `sample_weight` as a
        keyword where fit was given one; larger is better. None is the accuracy.
    n_jobs : int, default=None
        Folds at a time, as in joblib. None is 1.
    verbose : int, default=0
        Verbosity of joblib.

    Attributes
    ----------
    best_estimator_ : HardL0MLPClassifier
        The network that was trained on all rows.
    target_size_ : int, float or str
        The size that was chosen, as it was given.
    target_sizes_ : list of int, float or str
        All sizes, large to small.
    scores_ : ndarray of shape (n_sizes, n_folds), float
        Scores on the rows that the fold was not trained on.
    n_parameters_path_ : ndarray of shape (n_sizes, n_folds), int
        Weights and biases of the networks that were scored.
    classes_, coefs_, intercepts_, support_, feature_importances_, n_units_, n_parameters_, \
n_layers_, n_outputs_, n_iter_, out_activation_
        Those of `best_estimator_`.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen in fit, where all are strings.

    References
    ----------
    .. [BFOS] Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees", 1984.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastl0 import HardL0MLPClassifier, HardL0MLPClassifierCV
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = HardL0MLPClassifier(max_iter=50, random_state=0)
    >>> search = HardL0MLPClassifierCV(clf, target_sizes=[0.3, 0.1, 0.03], cv=3).fit(X / 16, y)
    >>> search.target_size_ in search.target_sizes_
    True
    >>> search.scores_.shape
    (3, 3)
    """

    __module__ = "fastl0"  # pickles name the class so, wherever it lives

    _kind = HardL0MLPClassifier

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSizeCV._parameter_constraints,
        "estimator": [None, HardL0MLPClassifier],
    }

    def __init__(
        self,
        estimator: HardL0MLPClassifier | None = None,
        *,
        target_sizes: Sequence[int | float | str] | None = None,
        cv: Any = None,
        scoring: str | Callable[..., float] | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            estimator=estimator,
            target_sizes=target_sizes,
            cv=cv,
            scoring=scoring,
            n_jobs=n_jobs,
            verbose=verbose,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # --- predicting ------------------------------------------------------------------

    def predict(self, X: ArrayLike) -> NDArray[Any] | csr_matrix:
        """Predict class labels with `best_estimator_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or the multilabel indicator of 0 and 1 (a CSR matrix where fit
            was given a sparse one).
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(X)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating]:
        """Estimate class probabilities with `best_estimator_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            One column a class, in the order of `classes_`; for multilabel targets each
            label's own probability; for a single class as in `HardL0MLPClassifier`. float64 for
            float64 input, else float32.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict_proba(X)

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.floating]:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        return self.best_estimator_.predict_log_proba(X)


class HardL0MLPRegressorCV(BaseSizeCV, RegressorMixin, BaseEstimator):
    """Multilayer perceptron regressor whose size is chosen by cross-validation.

    As `HardL0MLPClassifierCV`: the smallest size whose mean score is within one standard error
    of the best mean ([BFOS]_ section 3.4.3).

    Parameters
    ----------
    estimator : HardL0MLPRegressor, default=None
        Settings of the networks, with ``pruning="hard"`` and ``lam=None``; None is
        ``HardL0MLPRegressor()``. Its `target_size` and `warm_start` are of no account.
    target_sizes : sequence of int, float or str, default=None
        Sizes to choose from, as `l0_path` takes them.
    cv : int, cross-validation generator or iterable, default=None
        Folds as scikit-learn takes them; None is 5 of them.
    scoring : str or callable, default=None
        Name of a scikit-learn scorer, or ``scorer(estimator, X, y)``, with `sample_weight` as a
        keyword where fit was given one; larger is better. None is the coefficient of
        determination R^2.
    n_jobs : int, default=None
        Folds at a time, as in joblib. None is 1.
    verbose : int, default=0
        Verbosity of joblib.

    Attributes
    ----------
    best_estimator_ : HardL0MLPRegressor
        The network that was trained on all rows.
    target_size_ : int, float or str
        The size that was chosen, as it was given.
    target_sizes_ : list of int, float or str
        All sizes, large to small.
    scores_ : ndarray of shape (n_sizes, n_folds), float
        Scores on the rows that the fold was not trained on.
    n_parameters_path_ : ndarray of shape (n_sizes, n_folds), int
        Weights and biases of the networks that were scored.
    center_, scale_, coefs_, intercepts_, support_, feature_importances_, n_units_, \
n_parameters_, n_layers_, n_outputs_, n_iter_, out_activation_
        Those of `best_estimator_`.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen in fit, where all are strings.

    References
    ----------
    .. [BFOS] Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees", 1984.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from fastl0 import HardL0MLPRegressor, HardL0MLPRegressorCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = HardL0MLPRegressor((50,), max_iter=50, random_state=0)
    >>> search = HardL0MLPRegressorCV(reg, target_sizes=[0.5, 0.2, 0.1], cv=3).fit(scale(X), y)
    >>> search.target_size_ in search.target_sizes_
    True
    """

    __module__ = "fastl0"  # pickles name the class so, wherever it lives

    _kind = HardL0MLPRegressor

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseSizeCV._parameter_constraints,
        "estimator": [None, HardL0MLPRegressor],
    }

    def __init__(
        self,
        estimator: HardL0MLPRegressor | None = None,
        *,
        target_sizes: Sequence[int | float | str] | None = None,
        cv: Any = None,
        scoring: str | Callable[..., float] | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            estimator=estimator,
            target_sizes=target_sizes,
            cv=cv,
            scoring=scoring,
            n_jobs=n_jobs,
            verbose=verbose,
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: ArrayLike) -> NDArray[np.floating]:
        """Predict numbers with `best_estimator_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            One dimension where y had one column. float64 for float64 input, else float32.
        """
        check_is_fitted(self)
        return self.best_estimator_.predict(X)


def _score_fold(
    model: BaseHardL0MLP,
    rows: LabelledRows,
    sizes: Sequence[tuple[Any, int]],
    train: NDArray[np.intp],
    test: NDArray[np.intp],
    scorer: Callable[..., float],
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Go down one path; return the scores and sizes of its networks."""
    from fastl0.estimators.path import fit_path

    path = fit_path(model, rows.take(train), sizes, rows.take(test), scorer)
    return path.scores, path.n_parameters


def _smallest_of_the_best(scores: NDArray[np.float64]) -> int:
    """Find the last size whose mean is within one standard error of the best mean."""
    if not np.isfinite(scores).all():
        raise ValueError(
            f"`scoring` must give finite scores in every fold, got {scores!r} (a row a size). Use "
            "another scorer, or folds that hold every class."
        )
    n_folds = scores.shape[1]
    means = scores.mean(axis=1)
    best = int(np.argmax(means))
    error = scores[best].std(ddof=1) / np.sqrt(n_folds) if n_folds > 1 else 0.0
    return int(np.flatnonzero(means >= means[best] - error)[-1])
