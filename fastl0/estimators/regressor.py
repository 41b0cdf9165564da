"""`HardL0MLPRegressor`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils._param_validation import StrOptions

from fastl0.data.regression_targets import RegressionEncoder, RegressionTargets
from fastl0.estimators.attributes import FittedAttribute
from fastl0.estimators.base import BaseHardL0MLP
from fastl0.estimators.docstrings import documented_method, documented_network
from fastl0.estimators.params import RealInterval

_OWN = """
    center_, scale_ : ndarray of shape (n_outputs_,), float64
        Training took ``(y - center_) / scale_`` for y; after `partial_fit`, those in use at the
        end of the last call. Their effect is folded into `coefs_` and `intercepts_`.
"""


@documented_network("the coefficient of determination R^2", _OWN)
class HardL0MLPRegressor(RegressorMixin, BaseHardL0MLP):
    """Multilayer perceptron regressor that deletes inputs and hidden units as it trains.

    As `HardL0MLPClassifier`, which see for gates, sizes and threads, for one or many numbers
    to predict. Training minimises::

        mean loss + alpha / (2 * batch) * ||W||^2 + lam / n_samples * E[size]

    where the loss of a row is the sum over its outputs.

    Parameters that MLPRegressor has too mean the same, with the differences that
    `HardL0MLPClassifier` has from MLPClassifier; `loss` is a keyword.

    Parameters
    ----------
    {parameters}
    loss : {"squared_error", "absolute_error", "huber", "quantile", "poisson"}, \
default="squared_error"
        Loss of an output with the residual r: r**2 / 2; abs(r); r**2 / 2 up to `delta` and
        linear above (Huber 1964); the pinball loss, whose minimum is a quantile (Koenker and
        Bassett 1978); half the Poisson deviance up to a constant, for counts, with a logarithmic
        link.
    quantile : float, default=0.5
        Level of ``loss="quantile"``, in (0, 1).
    delta : float, default=1.35
        Where ``loss="huber"`` becomes linear, > 0; with `normalize_y` in standard deviations of
        the targets.
    normalize_y : bool, default=True
        Whether to train on targets with a mean of 0 and a standard deviation of 1 in each column
        (a mean of 1 for "poisson"): `lam`, `alpha`, `tol` and learning rates then fit targets in
        any unit, and each column counts the same (subtract a constant where the mean is more than
        a million standard deviations: weights are float32). In `partial_fit` these follow the
        rows. The loss that is reported is that of these targets; predictions are in units of y.

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
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from fastl0 import HardL0MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = HardL0MLPRegressor(target_size=1000, max_iter=50, random_state=0).fit(scale(X), y)
    >>> reg.n_parameters_ <= 1000
    True
    >>> reg.predict(scale(X)).shape
    (442,)
    """

    center_: Any = FittedAttribute()
    scale_: Any = FittedAttribute()
    _one_column: Any = FittedAttribute()

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseHardL0MLP._parameter_constraints,
        "loss": [StrOptions({"squared_error", "absolute_error", "huber", "quantile", "poisson"})],
        "quantile": [RealInterval(0, 1, closed="neither")],
        "delta": [RealInterval(0, None, closed="neither")],
        "normalize_y": ["boolean"],
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
        loss: str = "squared_error",
        quantile: float = 0.5,
        delta: float = 1.35,
        normalize_y: bool = True,
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
        self.loss = loss
        self.quantile = quantile
        self.delta = delta
        self.normalize_y = normalize_y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
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
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers to predict.
        {fit_weights_and_rows}
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets.
        {fit_val_weights}

        Returns
        -------
        self : HardL0MLPRegressor

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
        sample_weight: ArrayLike | None = None,
        *,
        X_val: ArrayLike | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Train on some rows once, going on from where the last call stopped.

        With `normalize_y`, the first call sets the centre and scale of the targets, by its rows
        with weight or, if none has any, by all; it may be a single row. From then on they follow
        the moments of the last 256 to 512 rows (of fewer at first; those of a `fit` count as 256),
        wherever these differ by more than a quarter. The output layer changes its units with
        them, which leaves predictions as they are. Rows more than eight standard deviations away
        count only once eight have come within 256 rows. The scale falls no faster than the errors
        of the network do. As far as these are larger than the deviations of the targets, outputs
        are pulled to the mean, and after a change of the mean they move along with it, by up to
        `learning_rate_init` times the units of the last hidden layer in a mini-batch. `delta`,
        `alpha`, `lam` and losses mean the scale of the time. With another `normalize_y` centre and
        scale stay as they are from that call on, or follow from there.

        {stream}

        Parameters
        ----------
        {stream_X}
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.
        {stream_weights_and_rows}

        Returns
        -------
        self : HardL0MLPRegressor

        Raises
        ------
        {stream_errors}
        """
        return self._partial_fit(X, y, None, sample_weight, (X_val, y_val, sample_weight_val))

    def _target_encoder(self) -> RegressionEncoder:
        return RegressionEncoder(self.loss, self._loss_parameter, bool(self.normalize_y))

    @property
    def _loss_parameter(self) -> float:
        return float({"huber": self.delta, "quantile": self.quantile}.get(self.loss, 0.0))

    def _fitted_targets(self) -> RegressionTargets:
        loss = "poisson" if self.out_activation_ == "exp" else "squared_error"  # or like it
        return RegressionTargets(
            np.zeros((0, self.n_outputs_), np.float32),
            loss,
            self._loss_parameter,
            self.center_,
            self.scale_,
            self._one_column,
        )

    def _set_targets(self, targets: RegressionTargets) -> None:
        self.center_ = targets.center
        self.scale_ = targets.scale
        self._one_column = targets.one_column

    # --- predicting ------------------------------------------------------------------

    def _output_scale(self) -> NDArray[np.float64] | None:
        return None if self.out_activation_ == "exp" else self.scale_

    def predict(self, X: ArrayLike) -> NDArray[np.floating]:
        """Predict numbers.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            One dimension where y had one column. float64 for float64 input, else float32.
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if self._one_column else outputs
