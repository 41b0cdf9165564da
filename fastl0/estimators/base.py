"""What the classifier and the regressor share: parameters, fitting, the forward pass.

Checks, hands over to the training loop, and keeps what is left. Imports the training code
inside `fit` only: a process that predicts never loads Numba or the C core. May import
`blocks`, `callbacks`, `forks`, `inputs`, `names`, `network`, `selecting` and `validation`, and,
once it fits, `fitting` or `streaming`, once it is shown, `diagram`, and when they are asked for,
`importances` and `exporting`.
"""

import os
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from fastl0 import _fork_safety
from fastl0.data import checks
from fastl0.data.blocks import is_blockwise, open_blocks
from fastl0.estimators.attribute_names import FITTED_ATTRIBUTES
from fastl0.estimators.callbacks import CallbackSupportMixin, with_callbacks
from fastl0.estimators.params import RealInterval
from fastl0.estimators.selector import InputSelectorMixin
from fastl0.model.network import Network

if TYPE_CHECKING:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    from fastl0.data.targets import Targets
    from fastl0.estimators.partial_fit import Stream
    from fastl0.training.config import EpochHook


class BaseHardL0MLP(CallbackSupportMixin, InputSelectorMixin, BaseEstimator, metaclass=ABCMeta):
    """Multilayer perceptron that shrinks while it trains; see the classifier and the regressor."""

    _own_names: ClassVar[tuple[str, ...]]

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"sgd", "adam"})],
        "alpha": [RealInterval(0, None, closed="left")],
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
        self.prune_threshold = prune_threshold
        self.gate_learning_rate = gate_learning_rate
        self.gate_learning_rate_init = gate_learning_rate_init
        self.droprate_init = droprate_init
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_interval = checkpoint_interval

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # --- what the two differ in ------------------------------------------------------

    @abstractmethod
    def _encode(
        self,
        y: Any,
        weights: NDArray[np.float64] | None,
        *,
        again: bool = False,
        classes: Any = None,
        stream: bool = False,
    ) -> "Targets":
        """Check and encode y.

        Parameters
        ----------
        y : ndarray or sparse matrix
        weights : ndarray of shape (n_rows,) or None
        again : bool, default=False
            Whether it has to be as in the last fit.
        classes : array-like, default=None
            The labels there will be.
        stream : bool, default=False
            Whether y are the first of many.
        """

    @abstractmethod
    def _encoding(self) -> "Targets":
        """Return how y was encoded in the last fit, as targets of no rows."""

    def _row_weights(
        self, y: Any, sample_weight: NDArray[np.float64] | None
    ) -> NDArray[np.float64] | None:
        """Return what the rows weigh in all."""
        return sample_weight

    def _class_weights(self, targets: "Targets") -> NDArray[np.float64] | None:
        """Return what the rows of a stream weigh by their codes; None for all the same.

        Parameters
        ----------
        targets : Targets
            Of no rows.
        """
        return None

    def _balanced(self, targets: "Targets") -> NDArray[np.bool_]:
        """Tell which codes have classes that a stream has to balance."""
        return np.zeros(targets.codes.shape[1], bool)

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
        """Fit, and call `on_epoch` after every epoch (see `plan.EpochHook`).

        With `keep_interrupted`, Ctrl-C keeps what the finished epochs have trained.
        """
        with _fork_safety.importing:
            from fastl0.estimators.fit import Validation, fit_estimator

        fit_estimator(
            self,
            X,
            y,
            sample_weight,
            Validation(*validation),
            on_epoch,
            keep_interrupted=keep_interrupted,
        )
        return self

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
        if stream is not None and is_plain and stream.take_few(self, X, y):
            return self
        with _fork_safety.importing:
            from fastl0.estimators.fit import Validation
            from fastl0.estimators.partial_fit import partial_fit

        partial_fit(self, X, y, classes, sample_weight, Validation(*validation))
        return self

    @classmethod
    def _names(cls) -> tuple[str, ...]:
        """Names of the parameters; looked up once, as every row of a stream asks for them."""
        if "_own_names" not in vars(cls):
            cls._own_names = tuple(cls._get_param_names())
        return cls._own_names

    def __getattr__(self, name: str) -> Any:
        # What partial_fit has trained is described when it is asked for.
        if name in FITTED_ATTRIBUTES:
            with self._held() as stream:
                own = vars(self).copy()
                if stream is not None and name not in own:
                    own = stream.describe(name)
                    self.__dict__.update(own)
            if name in own:
                return own[name]
        # No property: that would be there, and fail, before a fit and where a stream has diverged.
        if name == "feature_importances_":
            from fastl0.model.importances import input_importances

            return input_importances(self._network(), self._output_scale())
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_is_fitted__(self) -> bool:
        return "coefs_" in vars(self) or "_stream" in vars(self)

    @contextmanager
    def _held(self) -> Iterator["Stream | None"]:
        """Hold off other threads that train the stream, or end it; None where there is none."""
        while True:
            stream = vars(self).get("_stream")
            with nullcontext() if stream is None else stream.lock:
                if vars(self).get("_stream") is stream:  # nobody has ended it meanwhile
                    yield stream
                    return

    def __getstate__(self) -> Any:
        with self._held() as stream:
            self._describe()  # pickled models tell of themselves, too
            # A copy, in one step: what is stored after the return shall not change meanwhile.
            state = dict(super().__getstate__())
            if stream is not None:
                state["_stream"] = stream.snapshot()
        return state

    def __dir__(self) -> list[str]:
        self._describe()
        computed = ["feature_importances_"] if "coefs_" in vars(self) else []
        return [*super().__dir__(), *computed]

    def _describe(self) -> None:
        """Have all attributes that tell of a stream, unless it has diverged."""
        if "_stream" in vars(self):
            with suppress(ValueError):
                hasattr(self, "coefs_")
                hasattr(self, "n_iter_")

    # --- predicting ------------------------------------------------------------------

    def _outputs(self, X: ArrayLike) -> NDArray[np.floating]:
        network = self._network()
        if checks.is_trusted_small(X, self):
            return network.outputs(X)
        if is_blockwise(X):
            return self._outputs_by_blocks(network, X)
        checks.check_no_mask("X", X)
        checks.check_numeric_columns(X)
        X = validate_data(self, X, accept_sparse="csr", reset=False)
        return network.outputs(checks.as_readable(X))

    def _network(self) -> Network:
        """Return the network that predicts, its parts as they belong together."""
        own: dict[str, Any] = {}
        while "coefs_" not in own:  # another thread may just forget them
            with self._held():
                if not hasattr(self, "coefs_"):
                    check_is_fitted(self, "coefs_")
                own = vars(self).copy()  # in one step
        return Network(
            own["coefs_"],
            own["intercepts_"],
            own["support_"],
            own["activation"],
            own["out_activation_"],
        )

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
        from fastl0.estimators import to_sklearn

        with self._held():  # all of one moment of a stream
            return to_sklearn.to_sklearn(self)

    def _outputs_by_blocks(self, network: Network, X: Any) -> NDArray[np.floating]:
        blocks = open_blocks(self, X, reset=False)
        dtype = np.float64 if blocks.read_dtype == np.float64 else np.float32
        outputs = np.empty((blocks.shape[0], network.n_units[-1]), dtype)
        for places, values in blocks:
            outputs[places] = network.outputs(values)
        return outputs
