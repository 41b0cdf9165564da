"""What the classifier and the regressor share: parameters, fitting, the forward pass.

The training engine is loaded when a fit begins (`engine`): a process that predicts does not load
the C core.
"""

import os
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from fastl0.data import checks
from fastl0.data.blocks import BlockReader
from fastl0.data.targets import Targets
from fastl0.estimators import engine
from fastl0.estimators.attributes import (
    NOT_FITTED,
    NetworkAttributes,
    SettingAttributes,
    TrainingAttributes,
    UnavailableError,
    fitted_names,
)
from fastl0.estimators.callbacks import CallbackSupportMixin, with_callbacks
from fastl0.estimators.params import RealInterval
from fastl0.estimators.selector import InputSelectorMixin
from fastl0.estimators.validate import ValidationData, check_X
from fastl0.model.encoding import Encoding
from fastl0.model.importances import input_importances
from fastl0.model.network import Network

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    from fastl0.training.history import History
    from fastl0.training.listeners import EpochHook


class BaseHardL0MLP(
    NetworkAttributes,
    SettingAttributes,
    TrainingAttributes,
    CallbackSupportMixin,
    InputSelectorMixin,
    BaseEstimator,
    metaclass=ABCMeta,
):
    """Multilayer perceptron that shrinks while it trains; see the classifier and the regressor."""

    _own_names: ClassVar[tuple[str, ...]]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"sgd", "adam"})],
        "alpha": [RealInterval(0, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [StrOptions({"auto", "dynamic"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", "cosine"})],
        "learning_rate_init": [RealInterval(0, None, closed="neither")],
        "power_t": [RealInterval(0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [RealInterval(0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [RealInterval(0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [RealInterval(0, 1, closed="neither")],
        "scoring": [None, str, callable],
        "beta_1": [RealInterval(0, 1, closed="left")],
        "beta_2": [RealInterval(0, 1, closed="left")],
        "epsilon": [RealInterval(0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "lam": [None, RealInterval(0, None, closed="left")],
        "target_size": [None, Real, str],
        "memory_budget": [None, Integral, str],
        "penalty": [StrOptions({"size", "fan_out"})],
        "input_price": [RealInterval(0, None, closed="left")],
        "finetune_fraction": [RealInterval(0, 1, closed="left")],
        "pruning": [StrOptions({"hard", "soft", "none"})],
        "gate_inputs": ["boolean"],
        "encoding": [StrOptions({"none", "piecewise", "auto"})],
        "prune_threshold": [RealInterval(0, 1, closed="both")],
        "gate_learning_rate": [StrOptions({"constant", "cosine"})],
        "gate_learning_rate_init": [RealInterval(0, None, closed="neither")],
        "droprate_init": [Real, "array-like"],
        "checkpoint_dir": [None, str, os.PathLike],
        "checkpoint_interval": [Interval(Integral, 1, None, closed="left")],
    }

    @abstractmethod
    def __init__(
        self,
        hidden_layer_sizes: ArrayLike = (200, 100),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float | str = 0.0001,
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
        encoding: str = "none",
        prune_threshold: float = 0.5,
        gate_learning_rate: str = "constant",
        gate_learning_rate_init: float = 0.01,
        droprate_init: float | tuple[float, float] = (0.2, 0.5),
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_interval: int = 1,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.scoring = scoring
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.lam = lam
        self.target_size = target_size
        self.memory_budget = memory_budget
        self.penalty = penalty
        self.input_price = input_price
        self.finetune_fraction = finetune_fraction
        self.pruning = pruning
        self.gate_inputs = gate_inputs
        self.encoding = encoding
        self.prune_threshold = prune_threshold
        self.gate_learning_rate = gate_learning_rate
        self.gate_learning_rate_init = gate_learning_rate_init
        self.droprate_init = droprate_init
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_interval = checkpoint_interval

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.encoding != "none"
        return tags

    # --- what the two differ in ------------------------------------------------------

    @abstractmethod
    def _target_encoder(self) -> Any:
        """Return what checks and encodes y: a `targets.TargetEncoder`."""

    @abstractmethod
    def _fitted_targets(self) -> Any:
        """Return how y was encoded in the last fit, as targets of no rows."""

    @abstractmethod
    def _set_targets(self, targets: Any) -> None:
        """Set the fitted attributes that tell of the targets."""

    def _sk_visual_block_(self) -> Any:
        """Describe the estimator in scikit-learn's diagrams."""
        from fastl0.estimators.html_repr import visual_block

        return visual_block(self)

    # --- fitting ---------------------------------------------------------------------

    @with_callbacks
    def _fit(
        self,
        X: Any,
        y: Any,
        on_epoch: "EpochHook | None" = None,
        *,
        sample_weight: Any = None,
        validation: tuple[Any, Any, Any] = (None, None, None),
        keep_interrupted: bool = False,
    ) -> Self:
        """Fit, and call `on_epoch` after every epoch (see `listeners.EpochHook`).

        With `keep_interrupted`, Ctrl-C keeps what the finished epochs have trained.
        """
        fit, _ = engine.load()
        fit.fit_network(
            self,
            X,
            y,
            sample_weight,
            ValidationData(*validation),
            on_epoch,
            keep_interrupted=keep_interrupted,
        )
        return self

    def _fitted(self, network: Network, targets: Targets, history: "History | None") -> Self:
        """Return an estimator with nothing but the fitted attributes."""
        fitted = object.__new__(type(self))
        fitted._set_network(network)
        fitted._set_targets(targets)
        fitted._set_settings(self)
        if history is not None:
            fitted._set_training(history, early_stopping=self.early_stopping)
        return fitted

    def _adopt(self, fitted: Self, warm_state: dict[str, Any] | None) -> None:
        """Take over the attributes that `_fitted` has made, in place of those of a stream."""
        own = {k: v for k, v in vars(self).copy().items() if k not in NOT_FITTED}
        warm = {} if warm_state is None else {"_warm_state": warm_state}
        # One step: neither Ctrl-C nor another thread finds attributes of two networks.
        self.__dict__ = own | vars(fitted) | warm

    def _adopt_stream(self, stream: Any) -> None:
        """Let a stream tell of the network, in place of attributes that a fit has set."""
        ended = {*NOT_FITTED, *fitted_names(type(self))}
        own = {k: v for k, v in vars(self).copy().items() if k not in ended}
        self.__dict__ = own | {"_stream": stream}

    def _end_stream(self) -> None:
        """Take over what a stream tells; the next `partial_fit` begins another one from it."""
        stream = vars(self).get("_stream")
        if stream is None:
            return
        fitted: Any = object.__new__(type(self))
        with stream.lock:
            for of_training in (False, True):
                fitted.__dict__.update(stream.attributes(self, of_training=of_training))
        self._adopt(fitted, None)

    def _partial_fit(
        self,
        X: Any,
        y: Any,
        classes: Any,
        sample_weight: Any,
        validation: tuple[Any, Any, Any],
    ) -> Self:
        stream = vars(self).get("_stream")
        is_plain = classes is None and sample_weight is None
        is_plain = is_plain and all(part is None for part in validation)
        if stream is not None and is_plain and stream.learn_few(self, X, y):
            return self
        _, partial_fit = engine.load()
        partial_fit.partial_fit(self, X, y, classes, sample_weight, ValidationData(*validation))
        return self

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        """Names of the parameters; looked up once, as every row of a stream asks for them."""
        if "_own_names" not in vars(cls):
            cls._own_names = tuple(cls._get_param_names())
        return cls._own_names

    def __sklearn_is_fitted__(self) -> bool:
        return "coefs_" in vars(self) or vars(self).get("_stream") is not None

    def __getstate__(self) -> Any:
        # Copies, in one step: what is stored after the return shall not change meanwhile.
        state: dict[str, Any] = dict(super().__getstate__())
        while (stream := state.get("_stream")) is not None:
            with stream.lock:
                state = dict(super().__getstate__())
                has_ended = state.get("_stream") is not stream  # by a fit, meanwhile
                if not has_ended:
                    return state | {"_stream": stream.snapshot()}
        return state

    # --- predicting ------------------------------------------------------------------

    def _outputs(self, X: ArrayLike) -> NDArray[np.floating]:
        network = self._network()
        has_names = "feature_names_in_" in vars(self)
        if not has_names and checks.is_trusted_small(X, self.n_features_in_):
            return network.outputs(X)
        checked = check_X(self, X)
        if isinstance(checked, BlockReader):
            return self._outputs_by_blocks(network, checked)
        return network.outputs(checked)

    def _outputs_by_blocks(self, network: Network, blocks: BlockReader) -> NDArray[np.floating]:
        dtype = np.float64 if blocks.read_dtype == np.float64 else np.float32
        outputs = np.empty((blocks.shape[0], network.n_units[-1]), dtype)
        for places, values in blocks:
            outputs[places] = network.outputs(values)
        return outputs

    def _network(self) -> Network:
        """Return the network that predicts, its parts as they belong together."""
        own = vars(self).copy()  # in one step: another thread may fit meanwhile
        if "coefs_" in own:
            support, encoding, parts = own["support_"], None, own.get("parts_")
            if parts is not None:
                support, encoding = np.ones(len(parts), bool), Encoding(parts, len(support))
            return Network(
                own["coefs_"],
                own["intercepts_"],
                support,
                own["activation"],
                own["out_activation_"],
                encoding,
            )
        check_is_fitted(self)
        stream = own.get("_stream")
        # Without one, another thread has fitted since `own` was copied.
        return self._network() if stream is None else stream.network()

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """Share of each input in how strongly the outputs depend on the inputs."""
        check_is_fitted(self)
        with self._hold():
            try:
                network = self._network()
            except ValueError as error:
                raise UnavailableError(str(error)) from error
            return input_importances(network, self._output_scale())

    def _hold(self) -> AbstractContextManager[Any]:
        """Hold off other threads that train the stream, where there is one."""
        stream = vars(self).get("_stream")
        return nullcontext() if stream is None else stream.lock

    def _output_scale(self) -> NDArray[np.float64] | None:
        """Return what an output of 1 was in training; None for 1."""
        return None

    def to_sklearn(self) -> "MLPClassifier | MLPRegressor":
        """Return scikit-learn's own MLP, fitted, with the same predictions.

        For tools that know it, such as converters to C or ONNX: the first of its `coefs_` has a
        row for every input, zeros for deleted ones. It shares no memory with this estimator. (Of
        a single class it has two columns of probabilities, too, but that of the class is the last.)

        Parameters that both have are taken over, `hidden_layer_sizes` being the widths that are
        left, and "auto" and "constant" standing for ``batch_size="dynamic"`` and
        ``learning_rate="cosine"``. So are attributes that tell of the training; with
        ``warm_start=True``, or by `partial_fit`, it can be trained further, in scikit-learn's way:
        without gates, with new moments, and without what it has no parameter for (`class_weight`,
        `label_smoothing`, `scoring`, `normalize_y`, losses other than "squared_error" and
        "poisson"). It then looks for the lowest loss anew, or with ``early_stopping=True`` and a
        `scoring` for the highest score: until then `best_loss_` is inf, or
        `best_validation_score_` -inf.

        It computes float32 rows in float32 even where they are so large that this overflows, for
        which `predict` takes float64.

        Returns
        -------
        MLPClassifier or MLPRegressor
            With float32 weights: predictions are float64 for float64 input, as here.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            If ``loss="poisson"`` needs a newer scikit-learn (1.7).
        """
        check_is_fitted(self)
        from fastl0.estimators.to_sklearn import to_sklearn

        with self._hold():  # all of one moment of a stream
            return to_sklearn(self)
