"""`HardL0MLPClassifier`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils._param_validation import StrOptions

from fastl0.data.class_targets import ClassEncoder, ClassTargets
from fastl0.estimators.attributes import FittedAttribute
from fastl0.estimators.base import BaseHardL0MLP
from fastl0.estimators.docstrings import documented_method, documented_network
from fastl0.estimators.params import RealInterval
from fastl0.model.network import codes_of

_OWN = """
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel targets the label numbers.
"""


@documented_network("the accuracy", _OWN)
class HardL0MLPClassifier(ClassifierMixin, BaseHardL0MLP):
    """Multilayer perceptron classifier that deletes inputs and hidden units as it trains.

    Every input and hidden unit carries a hard-concrete gate, a random factor in [0, 1]
    that is exactly 0 or 1 with positive probability. Training minimises::

        mean loss + alpha / (2 * batch) * ||W||^2 + lam / n_samples * E[size]

    where ``E[size]`` is the expected number of parameters in use. After each epoch, units that
    were on too seldom are deleted for good: their rows and columns leave the weights, the
    optimiser's moments, the gates and the activations, and deleted inputs are no longer read.
    In the last part of the training the gates of what is left are folded into the weights,
    which then train on without noise; the network that remains is an average over the last
    epochs.

    How small the network becomes is set by `target_size`, for which training finds `lam`
    itself, or by `lam`. With neither, 30 % of the parameters are kept.

    A mini-batch is split among as many threads as are measured to be fastest for the network
    at its present size, at most as many as scikit-learn's own parallel loops would use: the
    environment variable OMP_NUM_THREADS or a `threadpoolctl` context sets a limit. Their number
    changes no bit of the network. The first fit on a machine compiles the kernels, which takes
    about ten seconds; they are kept on disk.

    Parameters that MLPClassifier has too mean the same and have the same default, with
    these differences: `hidden_layer_sizes`, `batch_size`, `max_iter`, `tol` and
    `n_iter_no_change` as said there; `verbose` shows a progress bar or logs; `warm_start` has to be
    set before the first fit and goes on with moments and random numbers, too. ``solver="lbfgs"``
    is not there.

    Parameters
    ----------
    {parameters}
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn's classifiers: a dict from label to weight,
        "balanced" for weights in inverse proportion to the classes' shares, for multilabel
        targets a list of dicts from 0 and 1. They multiply `sample_weight` in training; in
        scores of validation rows they do not count (``scoring="balanced_accuracy"`` weighs
        classes there). For `partial_fit` the shares are those in all rows since it
        was set.
    label_smoothing : float, default=0.0
        Share of each label, in [0, 1), that is spread evenly over all classes. Probabilities
        become less extreme, and in networks that have room to learn their training set by heart
        there are fewer errors.

    Attributes
    ----------
    {attributes}

    Notes
    -----
    {notes}

    References
    ----------
    .. [LWK] Louizos, Welling and Kingma, "Learning Sparse Neural Networks through L0
       Regularization", 2017, arXiv 1712.01312.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import train_test_split
    >>> from fastl0 import HardL0MLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    >>> clf = HardL0MLPClassifier(target_size=5000, random_state=0).fit(X_train, y_train)
    >>> clf.n_parameters_ <= 5000
    True
    """

    classes_: Any = FittedAttribute()
    _multilabel: Any = FittedAttribute()
    _sparse_labels: Any = FittedAttribute()

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseHardL0MLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "label_smoothing": [RealInterval(0, 1, closed="left")],
    }

    def __init__(
        self,
        hidden_layer_sizes: ArrayLike = (200, 100),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: int | np.random.RandomState | None = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        scoring: str | Callable[..., float] | None = None,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        lam: float | None = None,
        target_size: int | float | str | None = None,
        memory_budget: int | str | None = None,
        penalty: str = "size",
        input_price: float = 3.0,
        finetune_fraction: float = 0.3,
        pruning: str = "hard",
        gate_inputs: bool = True,
        prune_threshold: float = 0.5,
        gate_learning_rate: str = "constant",
        gate_learning_rate_init: float = 0.01,
        droprate_init: float | tuple[float, float] = (0.2, 0.5),
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_interval: int = 1,
        class_weight: Mapping[Any, float] | list[Any] | str | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            scoring=scoring,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            lam=lam,
            target_size=target_size,
            memory_budget=memory_budget,
            penalty=penalty,
            input_price=input_price,
            finetune_fraction=finetune_fraction,
            pruning=pruning,
            gate_inputs=gate_inputs,
            prune_threshold=prune_threshold,
            gate_learning_rate=gate_learning_rate,
            gate_learning_rate_init=gate_learning_rate_init,
            droprate_init=droprate_init,
            checkpoint_dir=checkpoint_dir,
            checkpoint_interval=checkpoint_interval,
        )
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # --- fitting ---------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    @documented_method
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train on X and y, deleting units on the way.

        Parameters
        ----------
        {fit_X}
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or a multilabel indicator of 0 and 1. Labels of one class only, as a fold
            may have, are learned as a constant.
        {fit_weights_and_rows}
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            Their labels.
        {fit_val_weights}

        Returns
        -------
        self : HardL0MLPClassifier

        Raises
        ------
        {fit_errors}
        """
        validation = (X_val, y_val, sample_weight_val)
        return self._fit(
            X, y, sample_weight=sample_weight, validation=validation, keep_interrupted=True
        )

    @documented_method
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train on some rows once, going on from where the last call stopped.

        {stream}

        Parameters
        ----------
        {stream_X}
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their labels.
        classes : array-like of shape (n_classes,), default=None
            All labels there will be; needed in the first call, unless `fit` came before or
            y is a multilabel indicator.
        {stream_weights_and_rows}

        Returns
        -------
        self : HardL0MLPClassifier

        Raises
        ------
        {stream_errors}
        """
        return self._partial_fit(X, y, classes, sample_weight, (X_val, y_val, sample_weight_val))

    def _target_encoder(self) -> ClassEncoder:
        return ClassEncoder(self.class_weight, float(self.label_smoothing))

    def _fitted_targets(self) -> ClassTargets:
        return ClassTargets(
            np.zeros((0, self.n_outputs_ if self._multilabel else 1), np.uint8),
            self.classes_,
            self.n_outputs_,
            self.out_activation_,
            self._multilabel,
            self._sparse_labels,
            float(self.label_smoothing),
        )

    def _set_targets(self, targets: ClassTargets) -> None:
        self.classes_ = targets.classes
        self._multilabel = targets.multilabel
        self._sparse_labels = targets.sparse

    # --- predicting ------------------------------------------------------------------

    def predict(self, X: ArrayLike) -> NDArray[Any] | csr_matrix:
        """Predict class labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or the multilabel indicator of 0 and 1 (a CSR matrix where fit
            was given a sparse one).
        """
        codes = codes_of(self._outputs(X), self.out_activation_)
        if not self._multilabel:
            return self.classes_[codes]
        codes = codes.reshape(len(codes), -1)
        return csr_matrix(codes) if self._sparse_labels else codes

    def predict_proba(self, X: ArrayLike) -> NDArray[np.floating]:
        """Estimate class probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
            One column a class, in the order of `classes_`; for multilabel targets each
            label's own probability. Where there was one class only, a column of 1 for it and, as
            in MLPClassifier, a second one, of 0. float64 for float64 input, else float32.
        """
        outputs = self._outputs(X)
        if self._multilabel or outputs.shape[1] > 1:
            return outputs
        if len(self.classes_) == 1:  # its softmax is 1
            return np.hstack([outputs, 1 - outputs])
        return np.hstack([1 - outputs, outputs])

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.floating]:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))
