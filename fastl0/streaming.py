"""Training by `partial_fit`: rows come a few at a time, and there is no last epoch.

Stands between the estimators and the training loop, as `fitting` does; loaded by
`partial_fit` only. May import everything but the estimators and the commands.
"""

import math
import time
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from fastl0 import fitted, progress, pruning, validation
from fastl0._kernels import RowSource
from fastl0.epoch import train_batches
from fastl0.fitting import Validation, checked, given_judge, undone_on_error
from fastl0.memory import DRAWS_AHEAD
from fastl0.names import FITTED
from fastl0.network import Network
from fastl0.ordering import Order
from fastl0.planning import check_shaping, first_layout, make_plan, shaping
from fastl0.rows import checked_weights
from fastl0.targets import Targets
from fastl0.threads import Crew, Pace
from fastl0.training import Data, Judgement, Plan, Trainer

#: Mini-batches that make an epoch of a stream.
EPOCH = pruning.FEWEST_DRAWS

#: Rows that a stream counts for at least where `lam` is divided by their number: at its start
#: there are none.
_FEWEST_ROWS = 10_000

#: Mini-batches in one call from which on threads may share them.
_MANY = 32

_NO_ROWS, _NO_KEYS = np.zeros(0, np.int32), np.zeros(0, np.uint64)


@dataclass
class Stream:
    """A network that learns from a stream.

    Attributes
    ----------
    trainer : Trainer
    plan : Plan
    targets : Targets
        How y is encoded; its codes are those of the last call.
    settings : tuple
        Parameters of the estimator that the plan was made from.
    shaping : dict
        Those that cannot change.
    verbose : bool or int
        Whether to log every epoch.
    """

    trainer: Trainer
    plan: Plan
    targets: Targets
    settings: tuple[Any, ...]
    shaping: dict[str, Any]
    verbose: bool | int = False
    n_rows: int = 0
    loss: float = 0.0  # of the epoch under way, summed up
    rows_since: int = 0
    seconds: float = 0.0
    judgement: Judgement | None = None
    best_score: float = -math.inf
    _since_priced: int = 0
    _lent: Any = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_lent": None}  # addresses

    # --- learning --------------------------------------------------------------------

    def learn(self, X: Any, codes: NDArray[Any]) -> None:
        """Train on some rows once.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_features)
            Readable.
        codes : ndarray of shape (n_rows, n_codes)
            Encoded targets and weights.

        Raises
        ------
        DivergedError
            If the loss or a parameter is not finite.
        """
        start = time.perf_counter()
        n_rows = len(codes)
        self.n_rows += n_rows
        if n_rows <= self.trainer.buffers.batch_size:
            self._learn_one_batch(X, codes)
        else:
            self._learn_many(X, codes)
        self.rows_since += n_rows
        self.seconds += time.perf_counter() - start

    def _learn_one_batch(self, X: Any, codes: NDArray[Any]) -> None:
        """As `_learn_many`, for what costs less than its preparations."""
        trainer = self.trainer
        if self._since_priced == 0:
            self._set_prices()
        if self._lent is None:
            self._lent = trainer.buffers.lend()
        x, y = RowSource(X), RowSource(codes)
        uniforms = trainer.buffers.draws(1)
        trainer.draw(uniforms)
        tally = np.zeros(1)
        rule = trainer.rule(self.plan, self._data(x, y), self.plan.learning_rate_init)
        sources = x.address, y.address, Order(len(codes), _NO_ROWS, _NO_KEYS)
        if not train_batches(*self._lent, rule, *sources, 0, uniforms, tally, 0, 0):
            raise trainer.diverged(self.plan)
        self._count(1, float(tally[0]))

    def _learn_many(self, X: Any, codes: NDArray[Any]) -> None:
        trainer = self.trainer
        n_batches = -(-len(codes) // trainer.buffers.batch_size)
        n_threads = trainer.buffers.n_threads if n_batches >= _MANY else 1
        data = self._data(RowSource(X, n_threads), RowSource(codes))
        order = trainer.order(self.plan, data)
        rate = self.plan.learning_rate_init
        pace = Pace(n_threads)
        first = 0
        with Crew(n_threads) as crew:
            while first < n_batches:
                trainer.buffers.begin_epoch(data.x)
                if self._since_priced == 0:
                    self._set_prices()
                n = min(n_batches - first, DRAWS_AHEAD - self._since_priced)
                lent = trainer.buffers.lend()
                loss = trainer.run_some(self.plan, data, rate, order, lent, crew, pace, first, n)
                crew.dismiss()  # before buffers change
                first += n
                self._count(n, loss)

    def _data(self, x: RowSource, y: RowSource) -> Data:
        # Weights are taken as they are, as what they are relative to is not known; `lam` is the
        # price by the loss of one row, of as many as there have been.
        return Data(x, y, y.n_rows, _NO_ROWS, float(max(self.n_rows, _FEWEST_ROWS)))

    def _set_prices(self) -> None:
        """Price units by the network as it is, at the point the stream has come to."""
        self.trainer.price_stream(self.plan, self._progress)

    @property
    def _progress(self) -> float:
        """Share of the way to a target size that is over."""
        n_epochs = self.trainer.record.n_epochs + self.trainer.n_draws / EPOCH
        return min(1.0, n_epochs / self._n_pruning)

    @property
    def _n_pruning(self) -> int:
        """Epochs of a stream that prune on the way to a target size."""
        return max(1, round((1.0 - self.plan.finetune_fraction) * self.plan.max_iter))

    def _count(self, n_batches: int, loss: float) -> None:
        self.loss += loss
        self._since_priced = (self._since_priced + n_batches) % DRAWS_AHEAD
        self.trainer.n_draws += n_batches
        if self.trainer.n_draws >= EPOCH:
            self.end_epoch()

    def end_epoch(self) -> None:
        """Delete what has stayed off, and note the epoch."""
        self.trainer.record.epochs.append(self.entries())
        if self.verbose:
            progress.log(str(self.trainer.record.n_epochs), self.trainer.record.epochs[-1])
        self.loss, self.rows_since, self.seconds, self.judgement = 0.0, 0, 0.0, None
        done = self.trainer.record.n_epochs >= self._n_pruning
        if self.trainer.end_stream_epoch(self.plan, done):
            self._lent = None
        self._since_priced = 0

    def entries(self) -> dict[str, Any]:
        """Return what there is to note of the epoch under way."""
        loss = self.loss / max(1, self.rows_since)
        entries = self.trainer.entries(loss, self.seconds, self.rows_since)
        if self.judgement is not None:
            entries["score"], entries["validation_loss"] = self.judgement
        return entries

    # --- describing ------------------------------------------------------------------

    def attributes(self) -> dict[str, Any]:
        """Return the fitted attributes of the estimator."""
        record = self.trainer.record
        network = self.trainer.freeze(self.plan)
        if self.plan.early_stopping and record.best is not None:
            network = record.best
        whole = replace(record, epochs=[*record.epochs])
        if self.rows_since or not record.epochs:
            whole.epochs.append(self.entries())
        return fitted.of_network(network, self.targets) | fitted.of_record(
            whole, self.plan.early_stopping
        )

    def note(self, judgement: Judgement, network: Network) -> None:
        """Note what validation rows say; keep the network if it is the best so far."""
        self.judgement = judgement
        record = self.trainer.record
        if self.plan.early_stopping and judgement.score >= self.best_score:
            self.best_score = judgement.score
            record.best = network

    def change_plan(self, estimator: Any) -> None:
        """Go on with other parameters.

        Raises
        ------
        ValueError
            If one of them shapes the network.
        """
        check_shaping(estimator, self.shaping)
        layout = self.trainer.buffers.layout
        self.plan = replace(
            make_plan(estimator, self.targets, layout), batch_size=self.plan.batch_size
        )
        self.settings = settings_of(estimator)
        self.verbose = estimator.verbose

    # --- from the estimator ----------------------------------------------------------

    def take_few(self, estimator: Any, X: Any, y: Any) -> bool:
        """Learn from rows so plain that they need no preparation; say whether they were.

        scikit-learn's checks of one row take longer than to learn from it.
        """
        if settings_of(estimator) != self.settings or not validation.is_plain(X, estimator):
            return False
        codes = self.targets.encode_few(y)
        if codes is None or len(codes) != len(X):
            return False
        self.learn(X, codes)
        return True

    def take(self, estimator: Any, X: Any, y: Any, sample_weight: Any) -> None:
        """Learn from checked rows."""
        weights = estimator._row_weights(y, checked_weights(sample_weight, X))
        codes = self.targets.alike(y, "y").codes
        both = np.empty((len(codes), codes.shape[1] + 1), np.float32)
        both[:, :-1] = codes
        both[:, -1] = 1.0 if weights is None else weights
        self.learn(X, both)


def partial_fit(
    estimator: Any,
    X: Any,
    y: Any,
    classes: Any,
    sample_weight: Any,
    held_out: Validation,
) -> None:
    """Train `estimator` on some rows once; see `HardL0MLPClassifier.partial_fit`.

    Where it fails, the estimator is as it was before the first call.
    """
    stream: Stream | None = vars(estimator).get("_stream")
    others = (sample_weight, classes, *held_out)
    plain = all(value is None for value in others)
    if plain and stream is not None and stream.take_few(estimator, X, y):
        forget_attributes(estimator)
        return
    estimator._validate_params()
    validation.check_held_out(*held_out)
    is_first = stream is None and "coefs_" not in vars(estimator)
    with undone_on_error(estimator, ("n_features_in_", "feature_names_in_")):
        X, y = checked(estimator, X, y, reset=is_first)
        if stream is None:
            stream = _begin(estimator, X, y, classes)
        elif settings_of(estimator) != stream.settings:
            stream.change_plan(estimator)
        if classes is not None:
            stream.targets.check_classes(classes)
        stream.take(estimator, X, y, sample_weight)
        if held_out.X is not None:
            network = stream.trainer.freeze(stream.plan)
            judge = given_judge(estimator, stream.targets, held_out)
            stream.note(judge(network), network)
    estimator._stream = stream
    forget_attributes(estimator)


def forget_attributes(estimator: Any) -> None:
    """Take away fitted attributes that are of the time before; they come when asked for."""
    own = vars(estimator)
    if "coefs_" in own:
        for name in FITTED:
            own.pop(name, None)


def _begin(estimator: Any, X: Any, y: Any, classes: Any) -> Stream:
    """Prepare a stream by its first rows, or by the network that a fit has left."""
    network = _network(estimator)
    if network is None:
        targets = estimator._encode(y, None, classes=classes, stream=True)
    else:
        targets = estimator._encoding()
    targets = targets.take(_NO_ROWS)
    batch_size = validation.stream_batch_size(
        estimator.batch_size, X.shape[0], estimator.pruning != "none"
    )
    # With room for weights, which may come later.
    n_codes = targets.codes.shape[1] + 1
    layout = first_layout(estimator, targets.n_outputs, n_codes, batch_size=batch_size)
    plan = make_plan(estimator, targets, layout)
    seed = check_random_state(estimator.random_state).randint(0, 2**31, size=8)
    trainer = Trainer(plan, layout, np.random.default_rng([int(part) for part in seed]))
    if network is not None:
        trainer.take_up(plan, network)
    trainer.begin_stream(plan)
    return Stream(
        trainer,
        plan,
        targets,
        settings_of(estimator),
        shaping(estimator),
        verbose=estimator.verbose,
    )


def _network(estimator: Any) -> Network | None:
    """Return the network of a fitted estimator, or None."""
    if "coefs_" not in vars(estimator):
        return None
    return Network(
        estimator.coefs_,
        estimator.intercepts_,
        estimator.support_,
        estimator.activation,
        estimator.out_activation_,
    )


def settings_of(estimator: Any) -> tuple[Any, ...]:
    """Parameters of an estimator, to see whether they have changed."""
    own = vars(estimator)
    return tuple([own[name] for name in estimator._names()])
