"""`HardL0MLPClassifier`, the scikit-learn face.

Checks, hands over to the training loop, and keeps what is left. Imports the training code
inside `fit` only: a process that predicts never loads Numba or the C core.
"""

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from fastl0 import validation
from fastl0.callbacks import CallbackSupportMixin, with_callbacks
from fastl0.network import Network, codes_of

if TYPE_CHECKING:
    from fastl0.training import EpochHook


class HardL0MLPClassifier(CallbackSupportMixin, ClassifierMixin, BaseEstimator):
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
    `n_iter_no_change` as said there; a `batch_size` above the number of rows is an error, not
    clipped; `verbose` shows a progress bar; `warm_start` has to be set before the first fit
    and goes on with moments and random numbers, too; weights start from a normal
    distribution of variance
    ``2 / fan_in`` for "relu" and ``1 / fan_in`` else. ``solver="lbfgs"``, `sample_weight`
    and `partial_fit` are not there.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(200, 100)
        Units of each hidden layer before pruning, each >= 1. A network that shrinks may begin
        larger than one that does not.
    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Activation of the hidden layers.
    solver : {"sgd", "adam"}, default="adam"
        Optimiser of the weights. Gates are always moved by Adam.
    alpha : float, default=0.0001
        Strength of the L2 term, >= 0; divided by the mini-batch size, and not applied to
        biases and gates.
    batch_size : int, "auto" or "dynamic", default="auto"
        Rows per mini-batch, at most the number of training rows. "auto" is
        ``min(200, n_samples)``; with gates, which are drawn once for each mini-batch, so few,
        down to 8, that an epoch has 50 mini-batches. "dynamic" begins with as many and lets
        mini-batches grow into the memory that deleted units have left, up to eight times and
        as long as an epoch has 20 of them; learning rates are multiplied by the square root of
        the growth, that of weights by the growth for ``solver="sgd"``.
    learning_rate : {"constant", "invscaling", "adaptive", "cosine"}, default="constant"
        Learning rate schedule. "invscaling" and "adaptive" act on ``solver="sgd"`` only, as in
        MLPClassifier. With "cosine" the rate of either solver falls along half a cosine over all
        `max_iter` epochs, with the others only over those of the last phase (see
        `finetune_fraction`).
    learning_rate_init : float, default=0.001
        Learning rate of the weights, > 0.
    power_t : float, default=0.5
        Exponent of ``learning_rate="invscaling"``, >= 0.
    max_iter : int, default=200
        Most epochs, >= 1. With a target size (the default) all of them are run: the way down
        is spread over them.
    shuffle : bool, default=True
        Whether to shuffle the rows in each epoch.
    random_state : int, RandomState instance or None, default=None
        Seeds the initial weights, the shuffling, the gates and the validation split. The
        same int gives the same model, bit for bit, on the same machine.
    tol : float, default=1e-4
        Least improvement of the loss (or the validation score) that counts as progress.
        An epoch that deletes units counts as progress, too. Of no account with a target size.
    verbose : bool, default=False
        Whether to show a progress bar on standard error.
    warm_start : bool, default=False
        Whether the next fit goes on from where this one stopped: weights, gates, moments,
        random numbers and the reduced network, whose gates open anew if they were folded. To
        be set before the first fit: it makes the estimator keep its training buffers.
    momentum : float, default=0.9
        Momentum of ``solver="sgd"``, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether ``solver="sgd"`` uses Nesterov's momentum.
    early_stopping : bool, default=False
        Whether to set rows aside, judge every epoch by the accuracy on them, stop when it
        no longer rises, and keep the best epoch's network (the smallest of equals). With a
        target size (the default) nothing stops early, and the best network within it is kept.
    validation_fraction : float, default=0.1
        Share of the rows to set aside, in (0, 1).
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's moments, in [0, 1).
    epsilon : float, default=1e-8
        Adam's guard against division by zero, > 0.
    n_iter_no_change : int, default=10
        Epochs without progress after which training stops, >= 1. With gates the loss is
        noisy: it is averaged over as many epochs, and epochs of fewer than 20 mini-batches
        count for a part of one only. Of no account with a target size.
    lam : float or None, default=None
        The price of one parameter, >= 0, in units of the loss of one training row. Larger
        values leave smaller networks. None leaves it to `target_size` (for "soft" it is 0.1).
    target_size : int, float, str or None, default=None
        Size to end with, which the fitted network does not exceed: a number of parameters, a
        share in (0, 1] of those at the start, or the bytes of the pickled estimator (without
        the training state that ``warm_start=True`` keeps), as "64KiB" or "20 kB". Needs
        ``pruning="hard"``, and excludes `lam`. A controller sets the price of a parameter in
        the course of the training (Gallego-Posada et al. 2022, arXiv 2208.04425) and the last
        units that are too many go when gates are folded: the network is then within 5 % of its
        size, where units are small enough for that. Without a last phase (see
        `finetune_fraction`) units that happen to be closed go as well. None is 0.3, or the
        smallest network where that is larger, unless `lam` is given.
    memory_budget : int, str or None, default=None
        Bytes that the training buffers (weights, moments, gates, activations, mini-batch) may
        take, as 1048576 or "1MiB". Gives up threads, then rows of the mini-batch, then Adam's
        second moments (training is then ``solver="sgd"`` at 30 times the learning rate, with
        a warning); the average over the last epochs is left out where it finds no room.
        "dynamic" mini-batches grow up to it, on one thread. What ``early_stopping=True`` keeps
        of the best epoch, and ``warm_start=True`` of the last fit while the next one runs,
        comes on top.
    penalty : {"size", "fan_out"}, default="size"
        What `lam` is the price of: "size", all weights and biases between open units, as
        many as are expected (Xia et al. 2022, arXiv 2204.00408); "fan_out", the weights that
        leave an open unit ([LWK]_ eq. 9), which hardly prunes the last hidden layer.
    input_price : float, default=3.0
        Factor, >= 0, on the price of inputs with ``penalty="size"``.
    finetune_fraction : float, default=0.3
        Share of `max_iter`, in [0, 1), that trains the folded network with a learning rate
        that falls along a cosine. Where a `lam` is given and training converges earlier, it is
        the share of the epochs run. Only with ``pruning="hard"``; 0 where a `lam` is given and
        ``warm_start=True``.
    pruning : {"hard", "soft", "none"}, default="hard"
        "hard" deletes units after each epoch; "soft" trains with gates at full size and
        leaves out units with a zero gate at the end only; "none" trains a plain network
        without gates.
    gate_inputs : bool, default=True
        Whether inputs carry gates, so that features are selected; hidden units always do.
    prune_threshold : float, default=0.5
        A unit goes when it was on in a smaller share of an epoch's mini-batches, in
        [0, 1]. Gates are kept from closing below 0.047, so lower values never prune; with a
        target size they are an error.
    gate_learning_rate : {"constant", "cosine"}, default="constant"
        Learning rate schedule of the gates. With "cosine" it falls along half a cosine over the
        pruning phase, to a tenth.
    gate_learning_rate_init : float, default=0.01
        Learning rate of the gates' log-odds, > 0.
    droprate_init : float or pair of float, default=(0.2, 0.5)
        Where the gates of inputs and of hidden units start, in (0, 1): at log-odds of
        ``log((1 - d) / d)``, [LWK]_ section 4. The defaults leave 95 % and 83 % of the
        gates on at first; larger values close more of them.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (fan_in, fan_out), float32
        Weights of the kept units; the deterministic gates ([LWK]_ eq. 13) are folded in.
    intercepts_ : list of ndarray of shape (fan_out,), float32
        Biases of the kept units.
    n_units_ : tuple of int
        Kept units of every layer, inputs first, outputs last.
    n_parameters_ : int
        Number of weights and biases kept.
    support_ : ndarray of shape (n_features_in_,), bool
        Which input features are read.
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel targets the label numbers.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen in fit, where all are strings.
    n_iter_ : int
        Number of epochs run, earlier fits of a warm start included.
    n_layers_ : int
        Number of layers, inputs and outputs included.
    n_outputs_ : int
        Number of outputs.
    out_activation_ : {"softmax", "logistic"}
        Activation of the outputs.
    loss_ : float
        Objective in the last epoch: mean loss and L2 term, and with `lam` the L0 term.
    best_loss_ : float or None
        Lowest objective of any epoch; None with ``early_stopping=True``.
    loss_curve_ : list of float
        Objective in every epoch.
    validation_scores_ : list of float or None
        Accuracy on the rows set aside after every epoch; None without early stopping.
    best_validation_score_ : float or None
        Highest of the validation scores, with a target size of those of networks within it.
    t_ : int
        Number of training rows visited, all epochs added up.
    history_ : dict of list
        One entry an epoch, each list of length `n_iter_`: ``loss``; ``n_units`` and
        ``n_parameters`` of the network trained in that epoch; ``buffer_nbytes``, the
        bytes that the training buffers (weights, moments, gates, activations, mini-batch,
        some kilobytes a usable thread) occupied; ``batch_size``; ``epoch_time`` in seconds.

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

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012 (scikit-learn's name)
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto", "dynamic"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", "cosine"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "lam": [None, Interval(Real, 0, None, closed="left")],
        "target_size": [None, Real, str],
        "memory_budget": [None, Integral, str],
        "penalty": [StrOptions({"size", "fan_out"})],
        "input_price": [Interval(Real, 0, None, closed="left")],
        "finetune_fraction": [Interval(Real, 0, 1, closed="left")],
        "pruning": [StrOptions({"hard", "soft", "none"})],
        "gate_inputs": ["boolean"],
        "prune_threshold": [Interval(Real, 0, 1, closed="both")],
        "gate_learning_rate": [StrOptions({"constant", "cosine"})],
        "gate_learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "droprate_init": [Real, "array-like"],
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
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags

    # --- fitting ---------------------------------------------------------------------

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train on X and y, deleting units on the way.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows. Integer, bool, float32 and float64 arrays of any memory layout,
            read-only and memory-mapped ones and CSR matrices are read in mini-batches and
            never copied or converted as a whole; other dtypes and formats are converted.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or a multilabel indicator of 0 and 1.

        Returns
        -------
        self : HardL0MLPClassifier

        Raises
        ------
        ValueError
            If a parameter, X or y breaks a rule, or the training loss stops being finite.
            The estimator is then as it was before the call.
        """
        return self._fit(X, y, keep_interrupted=True)

    def _fit(
        self,
        X: Any,
        y: Any,
        on_epoch: "EpochHook | None" = None,
        *,
        keep_interrupted: bool = False,
    ) -> Self:
        """Fit, and call `on_epoch` after every epoch (see `training.EpochHook`).

        With `keep_interrupted`, Ctrl-C keeps what the finished epochs have trained.
        """
        from fastl0.fitting import fit_classifier

        fit_classifier(self, X, y, on_epoch, keep_interrupted=keep_interrupted)
        return self

    # --- predicting ------------------------------------------------------------------

    def _outputs(self, X: ArrayLike) -> NDArray[np.floating]:
        if not hasattr(self, "coefs_"):
            check_is_fitted(self, "coefs_")
        network = Network(
            self.coefs_, self.intercepts_, self.support_, self.activation, self.out_activation_
        )
        if not validation.is_plain(X, self):
            X = validate_data(self, X, accept_sparse="csr", reset=False)
            X = validation.readable(X)
        return network.outputs(X)

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
            label's own probability. float64 for float64 input, else float32.
        """
        outputs = self._outputs(X)
        if self._multilabel or outputs.shape[1] > 1:
            return outputs
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
