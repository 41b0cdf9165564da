"""Streams: what `partial_fit` keeps from call to call, and how a call is checked and learned."""

import copy
import os
import threading
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from fastl0.data import checks
from fastl0.data.online_scaler import OnlineScaler
from fastl0.data.regression_targets import RegressionTargets
from fastl0.data.sample_weight import check_sample_weight, rescale_weights
from fastl0.data.targets import MAX_WEIGHT, RowWeigher, Targets
from fastl0.estimators import params
from fastl0.estimators.build_config import (
    architecture,
    build_config,
    check_architecture,
    check_widths,
    initial_layout,
)
from fastl0.estimators.choice import SETTINGS, open_names, settings_of_a_fit, with_settings
from fastl0.estimators.fit import evaluator_of, new_trainer
from fastl0.estimators.fit_warnings import warn_if_sgd_replaces_adam
from fastl0.estimators.validate import ValidationData, check_X_y, restored_on_error
from fastl0.model.encoding import N_BINS, Encoding
from fastl0.model.network import Network
from fastl0.training.buffer_layout import BufferLayout
from fastl0.training.online import OnlineTrainer, UnscaledTargets
from fastl0.training.place_encoding import place_encoding
from fastl0.training.trainer import Trainer

_NO_ROWS = np.zeros(0, np.int32)

#: Rows by which bins can be placed, at least: one in each.
_FEWEST_TO_ENCODE = N_BINS


class Stream:
    """A network that learns from a stream, for an estimator.

    Parameters
    ----------
    online : OnlineTrainer
    settings : tuple
        Parameters of the estimator that it was made from.
    known : dict
        Values of parameters that are left to "auto".
    architecture : dict
        Those that cannot change.
    weigher : RowWeigher or None
        What rows weigh by their classes, where these have weights.
    """

    def __init__(
        self,
        online: OnlineTrainer,
        settings: tuple[Any, ...],
        known: dict[str, Any],
        architecture: dict[str, Any],
        weigher: RowWeigher | None,
    ) -> None:
        self.online = online
        self.known, self.architecture = known, architecture
        self._settings, self._weigher = settings, weigher
        self._network: Network | None = None  # of the time
        self._attributes: dict[bool, dict[str, Any]] = {}  # of the training, or not
        self._locks: dict[int, Any] = {}  # by process

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_network": None, "_attributes": {}, "_locks": {}}

    @property
    def trainer(self) -> Trainer:
        """What trains the network."""
        return self.online.trainer

    @property
    def lock(self) -> Any:
        """Held while the network changes or is described: other threads may predict meanwhile."""
        process = os.getpid()  # in a forked child nobody could give back that of the parent
        found = self._locks.get(process)
        if found is None:
            if self._locks:
                self.trainer.renew_generator()
            # In one step: two threads may be the first ones.
            found = self._locks.setdefault(process, threading.RLock())
        return found

    def snapshot(self) -> "Stream":
        """Return a copy that stays as it is; to be called with the lock held."""
        twin = copy.copy(self)
        twin.online, twin._weigher = self.online.snapshot(), copy.deepcopy(self._weigher)
        return twin

    # --- learning --------------------------------------------------------------------

    def learn(
        self, X: Any, codes: NDArray[np.float32], unscaled: UnscaledTargets | None = None
    ) -> None:
        """Train on some rows once; see `OnlineTrainer.learn`."""
        try:
            self.online.learn(X, codes, unscaled)
        finally:
            self._forget()

    def learn_few(self, estimator: Any, X: Any, y: Any) -> bool:
        """Learn from rows so plain that they need no preparation; say whether they were.

        scikit-learn's checks of one row take longer than to learn from it.
        """
        with self.lock:
            own = vars(estimator)
            if own.get("_stream") is not self:
                return False  # fit has ended it meanwhile
            if not self.has_settings_of(estimator) or "feature_names_in_" in own:
                return False
            if not checks.is_trusted_small(X, own["n_features_in_"]):
                return False
            codes = self.online.targets.encode_trusted(y)
            if codes is None or len(codes) != len(X):
                return False
            if self._weigher is not None:
                codes[:, -1] = self._weigher.weigh(codes)
            is_scaled = self.online.scaler is not None
            self.learn(X, codes, UnscaledTargets(y[:, None]) if is_scaled else None)
            return True

    def learn_checked(self, X: Any, y: Any, sample_weight: NDArray[np.float64] | None) -> None:
        """Learn from checked rows, one of which has a weight at least."""
        codes = self._encode(y, sample_weight)
        unscaled = None
        if self.online.scaler is not None:
            values = np.asarray(y).astype(np.float64).reshape(len(y), -1)
            unscaled = UnscaledTargets(values, sample_weight)
        self.learn(X, codes, unscaled)

    def _encode(self, y: Any, sample_weight: NDArray[np.float64] | None) -> NDArray[np.float32]:
        """Check y, and put it and the weights of rows into one array."""
        if sample_weight is not None and sample_weight.max() > MAX_WEIGHT:
            raise ValueError(
                f"`sample_weight` must be at most {MAX_WEIGHT:.0e} in partial_fit, which "
                f"takes it as it is, got {sample_weight.max():.3g}. Divide the weights of all "
                "calls by a constant."
            )
        codes = self.online.targets.encode_like(y, "y").codes
        both = np.ones((len(codes), codes.shape[1] + 1), np.float32)
        both[:, :-1] = codes
        if self._weigher is not None:
            both[:, -1] = self._weigher.weigh(codes)  # last: it counts the rows of each class
        if sample_weight is not None:
            both[:, -1] *= sample_weight
        return both

    def evaluate(self, evaluator: Any) -> None:
        """Note what validation rows say of the network as it is."""
        network = self.online.freeze()
        self.online.note_evaluation(evaluator(network), network)
        self._forget()

    def _forget(self) -> None:
        """Forget what was told of the network as it was."""
        self._network, self._attributes = None, {}

    # --- parameters ------------------------------------------------------------------

    def has_settings_of(self, estimator: Any) -> bool:
        """Whether the parameters are those of the last call."""
        settings = _settings(estimator)
        try:
            return settings == self._settings
        except ValueError:  # an array has no truth value
            return all(map(np.array_equal, settings, self._settings))

    def reconfigure(self, estimator: Any, n_rows: int) -> None:
        """Go on with the parameters that the estimator has now.

        Parameters
        ----------
        estimator : estimator
        n_rows : int
            Of the next call.

        Raises
        ------
        ValueError
            If one of them shapes the network or breaks a rule; nothing has changed then.
        """
        settings = _settings(estimator)
        known = {name: SETTINGS[0]._asdict()[name] for name in open_names(estimator)} | self.known
        estimator = with_settings(estimator, {n: known[n] for n in open_names(estimator)})
        check_architecture(estimator, self.architecture)
        online, trainer, encoder = self.online, self.trainer, estimator._target_encoder()
        online.check_network()  # by the settings that it was trained with
        before = dict(zip(estimator._names(), self._settings, strict=True))

        def is_changed(*names: str) -> bool:  # of numbers and text
            return any(getattr(estimator, name) != before[name] for name in names)

        targets = encoder.update(online.targets)
        weigher = encoder.weigher(targets, self._weigher)
        layout = trainer.buffers.layout
        if is_changed("batch_size", "memory_budget"):
            layout = _layout(estimator, targets, n_rows, layout)
        target = None if is_changed("target_size", "lam") else trainer.config.target
        gated = replace(layout, gated=trainer.pruner.gated)
        n_parts = len(trainer.encoding.parts) if trainer.encoding else 0
        config = build_config(estimator, targets, gated, target=target, n_parts=n_parts)
        if layout != trainer.buffers.layout:
            trainer.buffers.resize_batch(layout.batch_size, layout.n_threads)
        if not (_follows(targets) and online.scaler):
            online.scaler = _scaler(targets, None, is_known=True)
        self._settings, self._weigher, self.known = _to_keep(settings), weigher, known
        online.reconfigure(config, targets, estimator.verbose)
        self._forget()

    def _values(self, estimator: Any) -> dict[str, Any]:
        """Of what is left to "auto", and of the encoding, which a fit has settled."""
        values = {name: self.known[name] for name in open_names(estimator)}
        return values | {"encoding": "piecewise" if self.trainer.encoding else "none"}

    # --- what the estimator is asked for ---------------------------------------------

    def network(self) -> Network:
        """Return the network that predicts.

        Raises
        ------
        ValueError
            If training has come to a parameter that is not finite, or was interrupted within a
            deletion.
        """
        with self.lock:
            if self._network is None:
                self._network = self.online.network()
            return self._network

    def attributes(self, estimator: Any, *, of_training: bool) -> dict[str, Any]:
        """Return the fitted attributes that tell of the training, or else of the network.

        The former take the longer, the more epochs there have been: predicting does not ask for
        them.

        Raises
        ------
        ValueError
            As in `network`.
        """
        with self.lock:
            if of_training not in self._attributes:
                online, fitted = self.online, object.__new__(type(estimator))
                if of_training:
                    early_stopping = self.trainer.config.early_stopping
                    fitted._set_training(online.history(), early_stopping=early_stopping)
                    if online.best_score is not None:
                        fitted.best_validation_score_ = online.best_score
                else:
                    fitted._set_network(self.network())
                    fitted._set_targets(online.targets)
                    fitted._set_settings(with_settings(estimator, self._values(estimator)))
                self._attributes[of_training] = vars(fitted)
            return self._attributes[of_training]


def partial_fit(
    estimator: Any,
    X: Any,
    y: Any,
    classes: Any,
    sample_weight: Any,
    validation: ValidationData,
) -> None:
    """Train `estimator` on some rows once; see `HardL0MLPClassifier.partial_fit`.

    What `Stream.learn_few` takes need not come here.

    Where it fails, the rows from the mini-batch that has failed on are not learned; after a
    failed first call the estimator is as it was.
    """
    own = vars(estimator)
    estimator._validate_params()
    params.check_validation_arguments(*validation)
    stream = own.get("_stream")
    is_first = stream is None and "coefs_" not in own
    with restored_on_error(estimator):
        X, y = check_X_y(estimator, X, y, reset=is_first)
        weights = check_sample_weight(sample_weight, X, may_be_zero=True)
        if stream is None:
            stream = _begin(estimator, X, y, classes, weights)
        with stream.lock:
            _go_on(estimator, stream, X, y, classes, weights, validation)
    estimator._adopt_stream(stream)


def _go_on(
    estimator: Any,
    stream: Stream,
    X: Any,
    y: Any,
    classes: Any,
    weights: NDArray[np.float64] | None,
    validation: ValidationData,
) -> None:
    """Check what is left to check, and learn from the rows."""
    if not stream.has_settings_of(estimator):
        stream.reconfigure(estimator, X.shape[0])
    if classes is not None:
        stream.online.targets.check_classes(classes)
    evaluator = None
    if validation.X is not None:
        encoding = stream.trainer.encoding
        parts = encoding.parts if encoding else None
        evaluator = evaluator_of(estimator, stream.online.targets, validation, parts)
    if weights is not None and not weights.any():
        stream.online.targets.encode_like(y, "y")  # such rows are none
    else:
        stream.learn_checked(X, y, weights)
    if evaluator is not None:
        stream.evaluate(evaluator)


def _begin(
    estimator: Any, X: Any, y: Any, classes: Any, weights: NDArray[np.float64] | None
) -> Stream:
    """Prepare a stream by its first rows, or by the network that a fit has left.

    What is left to "auto" is what the fit has chosen, or else the first of the settings.
    """
    settings, found = _to_keep(_settings(estimator)), settings_of_a_fit(estimator)
    estimator = with_settings(estimator, found)
    encoder = estimator._target_encoder()
    network = estimator._network() if "coefs_" in vars(estimator) else None
    if network is None:
        known = weights if weights is not None and weights.any() else None
        targets = encoder.encode_first(y, rescale_weights(known), classes)
    else:
        targets = encoder.update(estimator._fitted_targets())
    targets = targets.take(_NO_ROWS)
    weigher = encoder.weigher(targets)
    encoding = _encoding(estimator, X, weights, network)
    n_parts = len(encoding.parts) if encoding else 0
    layout = _layout(estimator, targets, X.shape[0], n_inputs=n_parts or X.shape[1])
    if network is not None:
        check_widths(estimator, network.n_units)
    config = build_config(estimator, targets, layout, n_parts=n_parts)
    warn_if_sgd_replaces_adam(estimator, config)
    random_state = check_random_state(estimator.random_state)
    trainer = new_trainer(config, layout, random_state, encoding=encoding)
    scaler = _scaler(targets, weights, is_known=network is not None)
    online = OnlineTrainer(trainer, targets, scaler, network, verbose=estimator.verbose)
    return Stream(online, settings, found, architecture(estimator), weigher)


def _encoding(
    estimator: Any, X: Any, weights: NDArray[np.float64] | None, network: Network | None
) -> Encoding | None:
    """What inputs are made of: as a fit has left it, or by the first rows.

    Raises
    ------
    ValueError
        If these are too few.
    """
    if network is not None:
        parts = network.parts
        return None if parts is None else Encoding(parts, X.shape[1])
    if estimator.encoding == "none":
        return None
    n_rows = X.shape[0] if weights is None else np.count_nonzero(weights)
    if n_rows < _FEWEST_TO_ENCODE:
        raise ValueError(
            f"`encoding={estimator.encoding!r}` places its bins by the rows of the first call of "
            f"partial_fit, which must be at least {_FEWEST_TO_ENCODE}, got {n_rows}. Collect some "
            "rows for the first call, or call fit before."
        )
    return place_encoding(X, weights, _NO_ROWS)


def _follows(targets: Targets) -> bool:
    """Whether the centre and scale of targets follow the rows to come."""
    return isinstance(targets, RegressionTargets) and targets.follows


def _scaler(
    targets: Targets, weights: NDArray[np.float64] | None, *, is_known: bool
) -> OnlineScaler | None:
    """Let centre and scale follow, where they are to.

    Those that are known already count as much as a block of rows that weigh as these do.
    """
    if not _follows(targets):
        return None
    assert targets.center is not None
    assert targets.scale is not None
    is_log = targets.out_activation == "exp"
    scaler = OnlineScaler(targets.center, targets.scale, logarithmic=is_log)
    if is_known:
        weight = 1.0
        if weights is not None and weights.any():
            weight = float(weights[weights > 0.0].mean())
        scaler.start_from_known_scale(weight)
    return scaler


def _layout(
    estimator: Any,
    targets: Targets,
    n_rows: int,
    before: BufferLayout | None = None,
    *,
    n_inputs: int = 0,
) -> BufferLayout:
    """Lay out the buffers, with room for weights of rows, which may come later.

    Where there are none `before`, for `n_inputs` inputs or parts.
    """
    is_gated = estimator.pruning != "none"
    batch_size = params.resolve_stream_batch_size(estimator.batch_size, n_rows, is_gated)
    n_codes = targets.codes.shape[1] + 1
    return initial_layout(
        estimator,
        targets.n_outputs,
        n_codes,
        n_inputs=n_inputs,
        batch_size=batch_size,
        before=before,
    )


def _settings(estimator: Any) -> tuple[Any, ...]:
    """Parameters of an estimator, to see whether they have changed."""
    own = vars(estimator)
    return tuple([own[name] for name in estimator._names()])


def _to_keep(settings: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copy dicts, lists and arrays, so that a change within one is seen."""
    changing = dict, list, np.ndarray
    return tuple(copy.deepcopy(v) if isinstance(v, changing) else v for v in settings)
