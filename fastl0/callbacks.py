"""scikit-learn's callback protocol (1.9 and newer) around the epochs of a fit.

Below 1.9 the mixin is empty and nothing is called. May import nothing of fastl0.
"""

from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stand-in: this scikit-learn has no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return `method` as it is."""
        return method


__all__ = ["CallbackSupportMixin", "EpochCallbacks", "with_callbacks"]


class EpochCallbacks:
    """Tells the callbacks of an estimator of the beginning and end of fit and epochs.

    Every task that is begun is ended, also where training stops early or is interrupted.

    Parameters
    ----------
    estimator : estimator
        Being fitted.
    X, y : array-like
        The training data.
    max_iter : int
        Most epochs there can be.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, max_iter: int) -> None:
        self._estimator = estimator
        self._data = {"X": X, "y": y}
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

    def end_epoch(self, attributes: Callable[[], dict[str, Any]] | None) -> bool:
        """Tell of an epoch's end; say whether a callback asks to stop.

        Parameters
        ----------
        attributes : callable or None
            Returns the fitted attributes the estimator would have if it stopped here;
            None for an epoch that was interrupted.
        """
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
        self.end_epoch(None)
        if self._fit is not None:
            self._fit.call_on_fit_task_end(
                estimator=self._estimator, **self._data, reconstruction_attributes=attributes
            )
