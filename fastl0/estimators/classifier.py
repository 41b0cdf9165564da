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
from fastl0.estimators.params import RealInterval
from fastl0.model.network import codes_of


class HardL0MLPClassifier(ClassifierMixin, BaseHardL0MLP):
    """Multilayer perceptron classifier that deletes inputs and hidden units as it trains.

    Every input and hidden unit carries a hard-concrete gate, a random factor in [0, 1]
    that is exactly 0 or 1 with positive probability. Training minimises::

        mean loss + alpha / (2 * batch) * ||W||^2 + lam / n_samples * E[size]

    where ``E[size]`` is the expected number of parameters in use. Between epochs, units that
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
    changes no bit of the network. Nor does the machine, as far as kernels go, if it multiplies and
    adds in one step (x86 with AVX2 and FMA, 64-bit ARM). Validation rows are put through NumPy's
    BLAS, whose last bits may differ.

    Parameters that MLPClassifier has too mean the same and have the same default, with
    these differences: `hidden_layer_sizes`, `batch_size`, `max_iter`, `tol` and
    `n_iter_no_change` as said there; `verbose` shows a progress bar or logs; `warm_start` has to be
    set before the first fit and goes on with moments and random numbers, too. ``solver="lbfgs"``
    is not there.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default=(200, 100)
        Units of each hidden layer before pruning, each >= 1. A network that shrinks may begin
        larger than one that does not.
    activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
        Activation of the hidden layers.
    solver : {"sgd", "adam"}, default="adam"
        Optimiser of the weights. Gates are always moved by Adam.
    alpha : float or "auto", default=0.0001
        Strength of the L2 term, >= 0; divided by the mini-batch size, and not applied to biases and
        gates. "auto" leaves it to `fit`: a few settings of all that is "auto", and of the size
        where neither `target_size` nor `lam` is given, are tried on four fifths of the rows and
        judged by the loss of the others (in several ways where rows are few); then the best is
        fitted to all rows, or one half as large or smaller that is as good within a standard error.
        `alpha_` tells what was chosen. Each of the six takes about as long as a fit. `partial_fit`
        goes on with what `fit` has chosen, or else takes the defaults.
    batch_size : int, "auto" or "dynamic", default="auto"
        Rows per mini-batch; clipped by `fit`, with a warning, to the number of training rows.
        "auto" is ``min(200, n_samples)``; with gates, which are drawn once for each mini-batch, so
        few, down to 8, that an epoch has 50 mini-batches. "dynamic" begins with as many and lets
        mini-batches grow into the memory that deleted units have left, up to eight times and
        as long as an epoch has 20 of them; learning rates are multiplied by the square root of
        the growth, that of weights by the growth for ``solver="sgd"``.
    learning_rate : {"constant", "invscaling", "adaptive", "cosine"}, default="constant"
        Learning rate schedule. "invscaling" and "adaptive" act on ``solver="sgd"`` only, as in
        MLPClassifier. With "cosine" the rate of either solver falls along half a cosine over all
        `max_iter` epochs, with the others only over those of the last phase (see
        `finetune_fraction`).
    learning_rate_init : float, default=0.001
        Learning rate of the weights, > 0. Where the loss or a weight stops being finite, or the
        mean loss of an epoch exceeds that of the first mini-batch and of a constant prediction
        (or 1, if they are smaller) a hundredfold, training warns, goes back to the end of the
        last good epoch and on from there at a fifth of the learning rate. When that has not
        helped three times in a row, it is an error (a high loss that smaller steps make no lower
        is none). A first mini-batch that fails is an error at once, and so is any that fails
        where `memory_budget` has left no room for a copy of the weights.
    power_t : float, default=0.5
        Exponent of ``learning_rate="invscaling"``, >= 0.
    max_iter : int, default=200
        Most epochs, >= 1. With a target size (the default) all of them are run: the way down
        is spread over them. Gates need time to learn which units matter: where the pruning phase
        has fewer than ``12 / gate_learning_rate_init`` mini-batches (1,200), or than 300, all gates
        are held open and units are deleted once, in the middle of the epochs, by the mean square
        of the loss's derivative by their gate (Molchanov et al. 2019, arXiv 1906.10771): hidden
        layers in proportion, inputs the later, the lower `input_price` is. The learning rate then
        does not fall in the end, and a ConvergenceWarning says what to set.
    shuffle : bool, default=True
        Whether to shuffle the rows in each epoch (see Notes where X is not in memory).
    random_state : int, RandomState instance or None, default=None
        Seeds the initial weights, the shuffling, the gates and the validation split. The
        same int gives the same model, bit for bit, on the same machine.
    tol : float, default=1e-4
        Least improvement of the loss (or the validation score) that counts as progress.
        An epoch that deletes units counts as progress, too. Of no account with a target size.
    verbose : bool or int, default=False
        True or 1 shows a progress bar on standard error where that is a terminal or a notebook;
        elsewhere, with 2 and more everywhere, and in partial_fit each epoch becomes a record of
        level INFO of the logger "fastl0": its number, loss, units, parameters and validation
        score. They go to standard error until logging is set up.
    warm_start : bool, default=False
        Whether the next fit goes on from where this one stopped: weights, gates, moments,
        random numbers and the reduced network, whose gates open anew if they were folded. To
        be set before the first fit: it makes the estimator keep its weights, moments and gates.
    momentum : float, default=0.9
        Momentum of ``solver="sgd"``, in [0, 1].
    nesterovs_momentum : bool, default=True
        Whether ``solver="sgd"`` uses Nesterov's momentum.
    early_stopping : bool, default=False
        Whether to score every epoch by validation rows, stop when their score no longer rises,
        and keep the best epoch's network (the smallest of equals). The rows are those given to
        fit as `X_val`, or else are set aside. With a target size (the default) nothing stops
        early, and the best network within it is kept.
    validation_fraction : float, default=0.1
        Share of the rows to set aside, in (0, 1).
    scoring : str, callable or None, default=None
        How validation rows are scored: the name of a scikit-learn scorer, or
        ``scorer(estimator, X, y)``, with `sample_weight` as a keyword where fit was given one for
        these rows; larger is better. None is the accuracy, which takes no copy of rows that are set
        aside.
    beta_1, beta_2 : float, default=0.9, 0.999
        Decay rates of Adam's moments, in [0, 1).
    epsilon : float, default=1e-8
        Adam's guard against division by zero, > 0.
    n_iter_no_change : int, default=10
        Epochs without progress after which training stops, >= 1; np.inf for never. With gates
        the loss is noisy: it is averaged over as many epochs, and epochs of fewer than 20
        mini-batches count for a part of one only. Of no account with a target size.
    lam : float or None, default=None
        The price of one parameter, >= 0, in units of the loss of one training row. Larger
        values leave smaller networks. None leaves it to `target_size` (for "soft" it is 0.1).
    target_size : int, float, str or None, default=None
        Size to end with, which the fitted network does not exceed: a number of parameters, a
        share in (0, 1] of those at the start, or the bytes of its weights and biases, four a
        parameter, as "64KiB" or "20 kB". Needs ``pruning="hard"``, and excludes `lam`. A
        controller sets the price of a parameter in the course of the training
        (Gallego-Posada et al. 2022, arXiv 2208.04425) and the last units that are too many go
        when gates are folded: the network is then within 5 % of its size, where units are
        small enough for that. Without a last phase (see `finetune_fraction`) units that happen
        to be closed go as well. None is 0.3, or the smallest network where that is larger,
        unless `lam` is given.
    memory_budget : int, str or None, default=None
        Bytes that the training buffers (weights, moments, gates, activations, mini-batch) may
        take, as 1048576 or "1MiB". Gives up threads, then rows of the mini-batch, then Adam's
        second moments (training is then ``solver="sgd"`` at 30 times the learning rate, with
        a warning); the average over the last epochs is left out where it finds no room.
        "dynamic" mini-batches grow up to it, on one thread. The copy that a training which diverges
        goes back to (see `learning_rate_init`) is made where there is room left. What
        ``early_stopping=True`` keeps of the best epoch, ``warm_start=True`` of the last fit while
        the next one runs, and the reading of a checkpoint come on top.
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
        "hard" deletes units between epochs; "soft" trains with gates at full size and
        leaves out units with a zero gate at the end only; "none" trains a plain network
        without gates.
    gate_inputs : bool, default=True
        Whether inputs carry gates, so that features are selected; hidden units always do.
    encoding : {"none", "piecewise", "auto"}, default="none"
        What the network reads of an input; "auto" leaves it to `fit`, see `alpha`. "none": the
        number as it is; X should be standardised, and NaN is an error. "piecewise": the number,
        standardised, and beside it a part for each of ten bins between quantiles of the training
        rows, from 0 below the bin to 1 above it (Gorishniy et al. 2022, arXiv 2203.05556, section
        3.2), so that the network can bend at thresholds; where an input is missing (NaN) in
        training rows, that is a part as well, and to the other parts it is as if the mean were
        there. Every part has a gate of its own, and parts that nobody needs are deleted. They are
        computed as rows are gathered: X is neither copied nor widened. Sizes count two numbers for
        each part, where it starts and its slope, beside its weights; shares in `target_size` are of
        a network without an encoding. In `partial_fit` the first call places the bins, by 10 rows
        at least, unless `fit` has.
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
        gates on at first; larger values close more of them. In partial_fit they are held open
        before that: for the first 10 % of the pruning phase, or with `lam` for 1,000 mini-batches.
    checkpoint_dir : path-like, default=None
        Folder, made where it is missing ("~" in front is the user's home), in which `fit` keeps
        what it has reached. A fit that was killed goes on when it is repeated: the same estimator
        (with the same `random_state`, which may be None) fitted to the same data becomes the very
        network that it would have become, bit for bit on the same machine. Every fit has a
        subfolder of its own there, named by a digest of its parameters, its data and the version
        of fastl0, so that searches and several estimators may share the folder; a fit that
        differs in any of these begins anew and leaves what is there. The last two checkpoints are
        kept: should the newest be damaged, `fit` warns and goes on from the one before. Where one
        cannot be written, as on a full disk, `fit` warns and trains on. When a fit is over its
        subfolder is deleted, and the next fit trains anew; after Ctrl-C it stays. Checkpoints may
        come from anybody: reading them runs no code. `partial_fit` keeps none.
    checkpoint_interval : int, default=1
        Epochs from one checkpoint to the next, >= 1. Each takes about as long as writing 16 bytes
        a parameter to disk.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn's classifiers: a dict from label to weight,
        "balanced" for weights in inverse proportion to the classes' shares, for multilabel
        targets a list of dicts from 0 and 1. They multiply `sample_weight` in training; in
        scores of validation rows they do not count (``scoring="balanced_accuracy"`` weighs
        classes there). For `partial_fit` the shares are those in all rows since it
        was set.
    label_smoothing : float or "auto", default=0.0
        Share of each label, in [0, 1), that is spread evenly over all classes. Probabilities
        become less extreme, and in networks that have room to learn their training set by heart
        there are fewer errors. "auto" leaves it to `fit`, see `alpha`.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (fan_in, fan_out), float32
        Weights of the kept units; the deterministic gates ([LWK]_ eq. 13) are folded in.
        ``coefs_[0]`` has rows for the inputs that are read only (see `support_`): a tool that
        takes it for that of an MLP of all inputs computes wrong predictions without a word.
        Give such tools what `to_sklearn` returns.
    intercepts_ : list of ndarray of shape (fan_out,), float32
        Biases of the kept units.
    n_units_ : tuple of int
        Kept units of every layer, inputs first, outputs last.
    n_parameters_ : int
        Number of weights and biases kept.
    support_ : ndarray of shape (n_features_in_,), bool
        Which input features are read.
    alpha_ : float
        `alpha`, as it was given or chosen.
    encoding_ : {"none", "piecewise"}
        `encoding`, as it was given or chosen.
    label_smoothing_ : float
        `label_smoothing`, as it was given or chosen.
    parts_ : ndarray of shape (n_units_[0],) or None
        With an `encoding`, the parts that are read, by input; None without. Fields of each: the
        number of its "input"; "is_missing", 1 for the part that says that the input is missing;
        else "start", "slope", "low" and "high" of ``clip((x - start) * slope, low, high)``.
    feature_importances_ : ndarray of shape (n_features_in_,), float64
        Share of each input in how strongly the outputs depend on the inputs, >= 0, with a sum
        of one: 0 for deleted inputs, and 0 for all where none moves an output. The strength of an
        input is the root mean square of the derivatives by it of the outputs (before their
        activation, in the units of training), where every hidden unit passes a change on with
        probability 1/2; those of "identity" always do. By the weights alone, computed when asked
        for: inputs compare where they are of the same scale, as after a StandardScaler.
    classes_ : ndarray of shape (n_classes,)
        Class labels; for multilabel targets the label numbers.
    n_features_in_ : int
        Number of features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen in fit, where all are strings.
    n_iter_ : int
        Number of epochs that the last fit has run; 1 after `partial_fit`, of which a call goes
        through its rows once.
    n_layers_ : int
        Number of layers, inputs and outputs included.
    n_outputs_ : int
        Number of outputs.
    out_activation_ : str
        Activation of the outputs.
    loss_ : float
        Objective in the last epoch: mean loss and L2 term, and with `lam` the L0 term.
    best_loss_ : float or None
        Lowest objective of any epoch; None with ``early_stopping=True``.
    loss_curve_ : list of float
        Objective in every epoch of `history_`.
    validation_scores_ : list of float or None
        Score of the validation rows after every epoch; None without such rows. Where only some
        calls of `partial_fit` had them, None for the other epochs.
    validation_loss_curve_ : list of float or None
        Their mean loss after every epoch, without any regularisation.
    best_validation_score_ : float or None
        Highest of the validation scores; with ``early_stopping=True`` and a target size, of those
        of networks within it.
    t_ : int
        Number of training rows visited, all epochs added up.
    history_ : dict of list
        One entry an epoch: ``loss``; ``n_units`` and ``n_parameters`` of the network trained in
        that epoch; ``buffer_nbytes``, the bytes that the training buffers (weights, moments,
        gates, activations, mini-batch, some kilobytes a usable thread) occupied; ``batch_size``;
        ``epoch_time`` in seconds. As the curves, the scores and `t_` do, it goes back to the
        first of all fits of a warm start, or to the first call of `partial_fit`, in which 100
        mini-batches make an epoch.

    Notes
    -----
    An X that is no array but has a `shape`, a `dtype` and slices of rows, as dask and zarr arrays
    and HDF5 data sets have, is never read as a whole. It comes by blocks: a block is one chunk
    of rows, several neighbouring ones up to 1 MiB, or a part of one that is larger than 4 MiB (of
    which a reader may decode all for each part: chunks of 1 to 4 MiB are best). `fit` reads
    all blocks once to check them and then once an epoch, in random order. As many as a window of
    8 MiB has room for are mixed, so that a mini-batch has rows of these blocks only: rows that
    are sorted, for instance by class, should be shuffled before they are stored. The same
    `random_state` and chunks give the same network; with other chunks it is another one,
    unless all rows find room in the window or ``shuffle=False``: then it is the one that the
    array itself would give (validation rows that are set aside are an exception). y and
    weights are read into memory. To score rows that are set aside, X is read once more after
    every epoch; `X_val`, which may be of this kind as well, takes as much reading as it has
    rows. `predict`, `score` and `transform` go by block, too, and return arrays. The window, or
    the rows of a mini-batch and a block if they are larger, and what reading a block takes come on
    top of `memory_budget` and of ``history_["buffer_nbytes"]``.

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

    __module__ = "fastl0"  # pickles name the class so, wherever it lives

    classes_: Any = FittedAttribute()
    _multilabel: Any = FittedAttribute()
    _sparse_labels: Any = FittedAttribute()

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseHardL0MLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "label_smoothing": [RealInterval(0, 1, closed="left"), StrOptions({"auto"})],
    }

    label_smoothing_: Any = FittedAttribute()

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
        class_weight: Mapping[Any, float] | list[Any] | str | None = None,
        label_smoothing: float | str = 0.0,
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
            encoding=encoding,
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
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training rows. Integer, bool, float32 and float64 arrays of any memory layout,
            read-only and memory-mapped ones and CSR matrices are read in mini-batches and
            never copied or converted as a whole. Other sparse formats are converted to CSR,
            other dtypes to float, and data frames, whose columns must hold numbers, to one
            array. dask and zarr arrays, HDF5 data sets and the like are read by blocks of rows
            (see Notes of the class).
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Class labels, or a multilabel indicator of 0 and 1. Labels of one class only, as a fold
            may have, are learned as a constant.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0. A row of weight 2 counts like two rows, in the loss, in
            `alpha` and in `lam`.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Rows to score the network on after every epoch; with ``early_stopping=True`` in
            place of training rows that are set aside.
        y_val : array-like of shape (n_val,) or (n_val, n_labels), default=None
            Their labels.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : HardL0MLPClassifier

        Raises
        ------
        ValueError
            If a parameter, X or y breaks a rule, or the training loss stops being finite.
            The estimator is then as it was before the call.
        """
        validation = (X_val, y_val, sample_weight_val)
        return self._fit(
            X, y, sample_weight=sample_weight, validation=validation, keep_interrupted=True
        )

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

        The network shrinks as it goes: every 100 mini-batches, which make an epoch in
        `history_`, units that were on too seldom are deleted. With a target size, it is reached
        when ``(1 - finetune_fraction) * max_iter`` such epochs are over, and gates are then
        folded; with `lam`, which a row counts by one over the number of rows so far (over
        10,000 at first), they stay. After `fit` training goes on from the network it has left.
        At first all gates are held open, so that the network learns like one without gates (see
        `droprate_init`). The learning rate is constant. "auto" and "dynamic" mini-batches
        are as those of `fit` for the rows of the first call, or of 8 rows where these are
        few (of 200 rows without pruning). Parameters that do not shape the network may
        change from call to call: a new `target_size` is reached as many epochs after it is
        set. The history begins with the first call and holds the last 10,000 epochs. Losses
        are means over rows, without penalties. The training state is
        kept, and pickled, with the estimator; ``fit`` with ``warm_start=True`` goes on from
        it. Other threads may predict, copy and pickle meanwhile, which waits for the end of
        a call; only one may train.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows to learn from, one or more. float32 and float64 arrays of few rows, with y
            an array, take the least time.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Their labels.
        classes : array-like of shape (n_classes,), default=None
            All labels there will be; needed in the first call, unless `fit` came before or
            y is a multilabel indicator.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows, >= 0, relative to those of other calls. Where all are 0, nothing
            is learned.
        X_val, y_val, sample_weight_val : as in `fit`, default=None
            Rows to score the network on after this call. With ``early_stopping=True`` the
            network that they have scored best is the one that predicts; it never stops by
            itself.

        Returns
        -------
        self : HardL0MLPClassifier

        Raises
        ------
        ValueError
            If a parameter, X or y breaks a rule, or the loss stops being finite. Mini-batches
            before that one have been learned; after a failed first call the estimator is as it was.
        """
        return self._partial_fit(X, y, classes, sample_weight, (X_val, y_val, sample_weight_val))

    def _target_encoder(self) -> ClassEncoder:
        return ClassEncoder(self.class_weight, self._smoothing())

    def _smoothing(self) -> float:
        """Label smoothing; where it is left open, that of the last fit, or none."""
        if isinstance(self.label_smoothing, str):
            return float(vars(self).get("label_smoothing_", 0.0))
        return float(self.label_smoothing)

    def _set_settings(self, settled: Any) -> None:
        super()._set_settings(settled)
        self.label_smoothing_ = float(settled.label_smoothing)

    def _fitted_targets(self) -> ClassTargets:
        return ClassTargets(
            np.zeros((0, self.n_outputs_ if self._multilabel else 1), np.uint8),
            self.classes_,
            self.n_outputs_,
            self.out_activation_,
            self._multilabel,
            self._sparse_labels,
            self._smoothing(),
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
