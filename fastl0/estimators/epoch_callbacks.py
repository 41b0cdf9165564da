"""Tells scikit-learn's callbacks of the epochs of a fit."""

from collections.abc import Callable
from typing import Any

from fastl0.data.targets import Targets
from fastl0.estimators.attributes import NOT_FITTED
from fastl0.training.listeners import EpochListener
from fastl0.training.trainer import Trainer


class EpochCallbacks(EpochListener):
    """Tells the callbacks of an estimator of the beginning and end of fit and epochs.

    Every task that is begun is ended, also where training stops early or is interrupted.

    Parameters
    ----------
    estimator : estimator
        Being fitted.
    X, y : array-like
        The training data as given to fit: with the names that the fitted estimator looks for.
    sample_weight : array-like or None
        The weights of the rows as given to fit.
    max_iter : int
        Most epochs there can be.
    targets : Targets
        Of the training rows.
    settled : estimator
        As `estimator`, its open parameters chosen.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        max_iter: int,
        targets: Targets,
        settled: Any,
    ) -> None:
        self._estimator, self._settled = estimator, settled
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self._data = {"X": X, "y": y, "metadata": metadata}
        self._targets = targets
        self._epoch: Any = None
        self._fit: Any = None
        if getattr(estimator, "_skl_callbacks", None):
            self._fit = estimator._init_callback_context(max_subtasks=max_iter)
            self._fit.call_on_fit_task_begin(estimator=estimator, **self._data)

    def begin_epoch(self) -> None:
        """Tell of an epoch's beginning."""
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end_epoch(self, trainer: Trainer) -> bool:
        """Tell of an epoch's end; say whether a callback asks to stop."""

        def attributes() -> dict[str, Any]:
            network = trainer.best_network()
            fitted = self._settled._fitted(network, self._targets, trainer.history)
            # A copy of the estimator shall tell of this network, and of no stream before it.
            return vars(fitted) | dict.fromkeys(NOT_FITTED)

        return self._end_epoch(attributes)

    def _end_epoch(self, attributes: Callable[[], dict[str, Any]] | None) -> bool:
        """Tell of an epoch's end; without `attributes`, of one that was interrupted."""
        if self._epoch is None:
            return False
        epoch, self._epoch = self._epoch, None
        return bool(
            epoch.call_on_fit_task_end(
                estimator=self._estimator, **self._data, reconstruction_attributes=attributes
            )
        )

    def end_fit(self, attributes: Callable[[], dict[str, Any]]) -> None:
        """Tell of the end of fit, and of an epoch that was interrupted."""
        self._end_epoch(None)
        if self._fit is not None:
            self._fit.call_on_fit_task_end(
                estimator=self._estimator, **self._data, reconstruction_attributes=attributes
            )
