"""What fastl0 needs of `sklearn.callback`, for scikit-learn below 1.9.

The same callbacks are called with the same arguments, at the fit and at every epoch. What only
meta-estimators of scikit-learn 1.9 do is not here: callbacks reach the estimators that they were
set on and, by way of `clone`, their copies.
"""

import copy
import inspect
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from typing import Any, Self

_HOOKS = ("setup", "teardown", "on_fit_task_begin", "on_fit_task_end")


class CallbackSupportMixin:
    """Lets an estimator hold callbacks."""

    _skl_callbacks: list[Any]

    def set_callbacks(self, *callbacks: Any) -> Self:
        """Set the callbacks that `fit` tells of its beginning and end, and of those of each epoch.

        Parameters
        ----------
        *callbacks : objects
            With the methods ``setup(estimator, context)``, ``teardown(estimator, context)``,
            ``on_fit_task_begin(estimator, context)`` and
            ``on_fit_task_end(estimator, context)``. Those of tasks may take `X`, `y`,
            `metadata` (None, or a dict with "sample_weight") and `fitted_estimator` by
            keyword; where `on_fit_task_end` returns True after an epoch, training stops.
            `context.task_name` is "fit" or "epoch", `context.task_id` the number of the epoch
            from 0. None at all takes away those set before.

        Returns
        -------
        self : estimator

        Raises
        ------
        TypeError
            If one of them lacks a method.
        """
        for callback in callbacks:
            missing = [name for name in _HOOKS if not hasattr(callback, name)]
            if missing or isinstance(callback, type):
                raise TypeError(
                    f"`callbacks` must be instances with the methods {', '.join(_HOOKS)}, got "
                    f"{callback!r}. " + (f"Add {missing[0]}." if missing else "Make an instance.")
                )
        if callbacks:
            self._skl_callbacks = list(callbacks)
        else:
            vars(self).pop("_skl_callbacks", None)
        return self

    def __sklearn_clone__(self) -> Any:
        """Copy the callbacks as well: one callback may serve many estimators."""
        twin = super().__sklearn_clone__()  # type: ignore[misc]
        if "_skl_callbacks" in vars(self):
            twin._skl_callbacks = self._skl_callbacks
        return twin

    def _init_callback_context(self, max_subtasks: int) -> "TaskContext":
        context = TaskContext(type(self).__name__, "fit", max_subtasks, self._skl_callbacks)
        # First, so that a callback whose setup fails is torn down, too.
        self._callback_fit_ctx = context
        for callback in self._skl_callbacks:
            context.is_set_up.append(callback)
            callback.setup(self, context)
        return context


class TaskContext:
    """A fit or an epoch of it; what callbacks are given to tell them apart.

    Attributes
    ----------
    estimator_name : str
    task_name : str
        "fit" or "epoch".
    task_id : int
        Number of the epoch, from 0; 0 for a fit.
    max_subtasks : int
        Most epochs that a fit can have; 0 for an epoch.
    parent : TaskContext or None
        The fit that an epoch belongs to.
    root_uuid : UUID
        The same for all of one fit.
    """

    def __init__(
        self,
        estimator_name: str,
        task_name: str,
        max_subtasks: int,
        callbacks: list[Any],
        parent: "TaskContext | None" = None,
    ) -> None:
        self.n_subtasks: int = 0
        self.estimator_name = estimator_name
        self.task_name = task_name
        self.task_id: int = 0 if parent is None else parent.n_subtasks
        self.max_subtasks = max_subtasks
        self.parent = parent
        self.root_uuid: uuid.UUID = uuid.uuid4() if parent is None else parent.root_uuid
        self.is_set_up: list[Any] = []
        self._callbacks = callbacks

    def subcontext(self, task_name: str) -> "TaskContext":
        """Begin a task of this one."""
        task = TaskContext(self.estimator_name, task_name, 0, self._callbacks, self)
        self.n_subtasks += 1
        return task

    def call_on_fit_task_begin(self, *, estimator: Any, **values: Any) -> None:
        """Tell all callbacks that the task begins."""
        self._call("on_fit_task_begin", estimator, values)

    def call_on_fit_task_end(
        self,
        *,
        estimator: Any,
        reconstruction_attributes: Callable[[], dict[str, Any]] | None,
        **values: Any,
    ) -> bool:
        """Tell all callbacks that the task is over; say whether one asks to stop."""
        values["reconstruction_attributes"] = reconstruction_attributes
        return self._call("on_fit_task_end", estimator, values)

    def _call(self, hook: str, estimator: Any, values: dict[str, Any]) -> bool:
        """Call a hook with those of the values that it takes."""
        stop = False
        for callback in self._callbacks:
            method = getattr(callback, hook)
            names = [
                name
                for name, parameter in inspect.signature(method).parameters.items()
                if parameter.kind is parameter.KEYWORD_ONLY
            ]
            if "fitted_estimator" in names and "fitted_estimator" not in values:
                attributes = values.pop("reconstruction_attributes", None)
                values["fitted_estimator"] = attributes and _fitted(estimator, attributes())
            taken = {name: values.get(name) for name in names}
            stop |= bool(method(estimator, self, **taken))
        return stop

    def tear_down(self, estimator: Any) -> None:
        """Tell all callbacks that the fit is left, also where one of them fails."""
        with ExitStack() as stack:
            for callback in reversed(self.is_set_up):
                stack.callback(callback.teardown, estimator, self)


def _fitted(estimator: Any, attributes: dict[str, Any]) -> Any:
    """Copy an estimator as if its fit had stopped here."""
    fitted = copy.copy(estimator)
    vars(fitted).update(attributes)
    return fitted


def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
    """Tear the callbacks down when a fit is left, whether it succeeds or not."""

    @wraps(method)
    def managed(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(estimator, *args, **kwargs)
        finally:
            context = vars(estimator).pop("_callback_fit_ctx", None)
            if context is not None:
                context.tear_down(estimator)

    return managed
