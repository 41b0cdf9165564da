"""Fitted attributes: their names, what they are after `fit`, and how a stream is asked for them."""

from typing import TYPE_CHECKING, Any

from fastl0.model.network import Network

if TYPE_CHECKING:
    from fastl0.training.history import History

#: What training goes on from.
NOT_FITTED = ("_stream", "_warm_state")

#: Attributes that are no part of the fitted model: training state and callbacks, with all they
#: refer to.
NOT_IN_MODEL = frozenset(
    (
        *NOT_FITTED,
        "_skl_callbacks",
        "_skl_callbacks_to_teardown",
        "_callback_fit_ctx",
        "_parent_callback_ctx",
    )
)


class UnavailableError(ValueError, AttributeError):
    """A stream has diverged, or was interrupted within a deletion: there is no network to tell of.

    An AttributeError as well, as scikit-learn's NotFittedError is, for `hasattr` and the like.
    """


class FittedAttribute:
    """An attribute that `fit` sets; after `partial_fit` it is read from the stream.

    Who sets one after `partial_fit`, say rounded weights, ends the stream: all of them are what
    they were from then on, but for this one.

    Parameters
    ----------
    of_training : bool, default=False
        Whether it tells of the training rather than of the network.
    """

    def __init__(self, *, of_training: bool = False) -> None:
        self._of_training = of_training

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        if model is None:
            return self
        if self._name in vars(model):
            return vars(model)[self._name]
        while (stream := vars(model).get("_stream")) is not None:
            try:
                found = stream.attributes(model, of_training=self._of_training)
            except ValueError as error:
                raise UnavailableError(str(error)) from error
            if vars(model).get("_stream") is stream:  # no fit has ended it meanwhile
                if self._name in found:
                    return found[self._name]
                break
        if self._name in vars(model):  # such a fit, in another thread
            return vars(model)[self._name]
        raise self._missing(model)

    def __set__(self, model: Any, value: Any) -> None:
        model._end_stream()
        vars(model)[self._name] = value

    def __delete__(self, model: Any) -> None:
        model._end_stream()
        if self._name not in vars(model):
            raise self._missing(model)
        del vars(model)[self._name]

    def _missing(self, model: Any) -> AttributeError:
        return AttributeError(f"{type(model).__name__!r} object has no attribute {self._name!r}")


def fitted_names(kind: Any) -> tuple[str, ...]:
    """Names of the fitted attributes of a kind of estimator."""
    return tuple(
        name
        for parent in kind.__mro__
        for name, value in vars(parent).items()
        if isinstance(value, FittedAttribute)
    )


class NetworkAttributes:
    """Fitted attributes that tell of the network; all of them are set at once."""

    coefs_: Any = FittedAttribute()
    intercepts_: Any = FittedAttribute()
    support_: Any = FittedAttribute()
    parts_: Any = FittedAttribute()
    n_units_: Any = FittedAttribute()
    n_parameters_: Any = FittedAttribute()
    n_layers_: Any = FittedAttribute()
    n_outputs_: Any = FittedAttribute()
    out_activation_: Any = FittedAttribute()

    def _set_network(self, network: Network) -> None:
        self.coefs_ = network.coefs
        self.intercepts_ = network.intercepts
        self.support_ = network.inputs
        self.parts_ = network.parts
        self.n_units_ = network.n_units
        self.n_parameters_ = network.n_parameters
        self.n_layers_ = len(network.n_units)
        self.n_outputs_ = network.n_units[-1]
        self.out_activation_ = network.out_activation


class SettingAttributes:
    """Fitted attributes that tell of settings, whether they were given or chosen."""

    alpha_: Any = FittedAttribute()
    encoding_: Any = FittedAttribute()

    def _set_settings(self, settled: Any) -> None:
        """Take them from an estimator that has no open parameters."""
        self.alpha_ = float(settled.alpha)
        self.encoding_ = settled.encoding


class TrainingAttributes:
    """Fitted attributes that tell of the training."""

    n_iter_: Any = FittedAttribute(of_training=True)
    loss_: Any = FittedAttribute(of_training=True)
    best_loss_: Any = FittedAttribute(of_training=True)
    loss_curve_: Any = FittedAttribute(of_training=True)
    validation_scores_: Any = FittedAttribute(of_training=True)
    validation_loss_curve_: Any = FittedAttribute(of_training=True)
    best_validation_score_: Any = FittedAttribute(of_training=True)
    t_: Any = FittedAttribute(of_training=True)
    history_: Any = FittedAttribute(of_training=True)

    def _set_training(self, history: "History", *, early_stopping: bool) -> None:
        columns = history.columns()
        scores: list[float | None] | None = history.column("score")
        # Epochs of a stream may have had none.
        if all(score is None for score in scores or ()):
            scores = None
        best_score = max((s for s in scores if s is not None), default=None) if scores else None
        # Of networks within the target size:
        if scores and early_stopping and history.best_network and history.stopper:
            best_score = history.stopper.best_score
        self.n_iter_ = history.n_epochs_in_fit
        self.loss_ = columns["loss"][-1]
        self.best_loss_ = None if early_stopping else min(columns["loss"])
        self.loss_curve_ = columns["loss"]
        self.validation_scores_ = scores
        self.validation_loss_curve_ = history.column("validation_loss") if scores else None
        self.best_validation_score_ = best_score
        self.t_ = history.samples_seen
        self.history_ = columns
