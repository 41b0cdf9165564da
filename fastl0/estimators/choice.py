"""Chooses, by rows that are held out, the settings that are left to "auto".

A network that has room learns the noise of a table by heart. How smooth and how small it has to
be is seen on rows that it has not learned from: a few settings are tried on a part of the training
rows, and the best is then fitted to all of them. Where a smaller network is as good within a
standard error, it is chosen.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fastl0.data.blocks import BlockReader
from fastl0.data.split import validation_split
from fastl0.data.targets import Targets
from fastl0.training.evaluation import row_losses

_LOGGER = logging.getLogger("fastl0")

#: Parameters that may be left open.
OPEN = ("alpha", "label_smoothing", "encoding")


class Setting(NamedTuple):
    """What is tried: parameters of the estimators of these names."""

    encoding: str
    alpha: float
    label_smoothing: float
    target_size: float | None


#: What is tried, in this order; the first one is what there is where nothing can be tried.
SETTINGS = (
    Setting("none", 1e-4, 0.0, None),
    Setting("none", 0.05, 0.1, None),
    Setting("none", 0.3, 0.1, None),
    Setting("none", 0.01, 0.1, 0.02),
    Setting("piecewise", 0.05, 0.1, None),
    Setting("piecewise", 0.3, 0.1, None),
)

#: Share of the rows that a trial is judged by; how often by others, and below how many rows.
_SHARE, _N_SPLITS, _FEW_ROWS = 0.2, 3, 500
#: Rows below which nothing is tried.
_FEWEST_ROWS = 50


def open_names(estimator: Any, *, with_size: bool = False) -> tuple[str, ...]:
    """Names of the parameters that are left to "auto"; with them the size, if asked for."""
    own = vars(estimator)
    names = tuple(name for name in OPEN if own.get(name) == "auto")
    is_free = own["target_size"] is None and own["lam"] is None and own["pruning"] == "hard"
    return (*names, "target_size") if names and with_size and is_free else names


def with_settings(estimator: Any, settings: dict[str, Any]) -> Any:
    """Return a copy of an estimator that differs in some parameters."""
    # Not by `copy`, which would take a stream along.
    settled = object.__new__(type(estimator))
    vars(settled).update(vars(estimator) | settings)
    return settled


def settings_of_a_fit(estimator: Any) -> dict[str, Any]:
    """Return values of what is left open: those that a fit has chosen, or the first setting's."""
    first, own = SETTINGS[0]._asdict(), vars(estimator)
    return {name: own.get(f"{name}_", first[name]) for name in open_names(estimator)}


class Choice:
    """Tries settings for one fit.

    Parameters
    ----------
    estimator : estimator
        Some of its parameters are "auto".
    rows : fit._CheckedRows
    train : int32 array
        Numbers of the rows to learn from; empty for all.
    prepare : callable
        ``prepare(estimator, targets, train, random_state)`` returns a trainer and its data.
    """

    def __init__(self, estimator: Any, rows: Any, train: NDArray[np.int32], prepare: Any) -> None:
        self._estimator, self._rows, self._prepare = estimator, rows, prepare
        everybody = np.arange(rows.X.shape[0], dtype=np.int32)
        self._train = train if len(train) else everybody

    def choose(self, seed: int) -> dict[str, Any]:
        """Return the values of the parameters that are open, the size of the network included."""
        candidates = self._candidates()
        if len(candidates) == 1 or len(self._train) < _FEWEST_ROWS:
            return candidates[0]
        splits = self._splits(seed)
        if splits is None:
            return candidates[0]
        losses, sizes = [], []
        for candidate in candidates:
            found = [self._try(candidate, seed, *split) for split in splits]
            losses.append(np.concatenate([own for own, _ in found]))
            sizes.append(max(size for _, size in found))
        chosen = candidates[_smallest_of_the_best(losses, sizes)]
        if self._estimator.verbose:
            words = ", ".join(f"{name}={value!r}" for name, value in chosen.items())
            _LOGGER.info("chosen of %d settings: %s", len(candidates), words)
        return chosen

    def _candidates(self) -> list[dict[str, Any]]:
        """Settings that differ in what is open."""
        names = open_names(self._estimator, with_size=True)
        found: list[dict[str, Any]] = []
        for setting in SETTINGS:
            if "encoding" in names and setting.encoding == "none" and self._has_missing():
                continue
            candidate = {name: getattr(setting, name) for name in names}
            if candidate not in found:
                found.append(candidate)
        return found

    def _has_missing(self) -> bool:
        X = self._rows.X
        if isinstance(X, BlockReader):
            return any(_has_nan(block) for _, block in X)
        return _has_nan(X.data if issparse(X) else X)

    def _splits(self, seed: int) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]] | None:
        """Rows to learn from and rows to judge by; None where a class has too few."""
        strata = self._rows.targets.strata
        strata = None if strata is None else strata[self._train]
        n_splits = _N_SPLITS if len(self._train) < _FEW_ROWS else 1
        try:
            splits = [
                validation_split(len(self._train), _SHARE, seed + k, strata, "")
                for k in range(n_splits)
            ]
        except ValueError:
            return None
        if isinstance(self._rows.X, BlockReader):
            splits = [(np.sort(learn), np.sort(judge)) for learn, judge in splits]
        return [(self._train[learn], self._train[judge]) for learn, judge in splits]

    def _try(
        self,
        candidate: dict[str, Any],
        seed: int,
        learn: NDArray[np.int32],
        judge: NDArray[np.int32],
    ) -> tuple[NDArray[np.float64], int]:
        """Losses of rows that a network with these settings has not learned from, and its size."""
        estimator = with_settings(self._estimator, candidate)
        # What is asked of the last fit only, and mini-batches that there are rows for.
        vars(estimator).update({"early_stopping": False, "warm_start": False, "verbose": False})
        if isinstance(estimator.batch_size, Integral):
            estimator.batch_size = min(int(estimator.batch_size), len(learn))
        targets: Targets = self._rows.targets
        if "label_smoothing" in candidate:
            targets = replace(targets, parameter=candidate["label_smoothing"])  # type: ignore[type-var]
        random_state = np.random.RandomState(seed)
        try:
            trainer, data = self._prepare(estimator, targets, learn, random_state)
            trainer.fit(data)
        except ValueError:  # it diverges, or the size is too small: the fit would say so
            return np.full(len(judge), np.inf), 0
        trainer.enforce_size()
        network = trainer.freeze()
        weights = self._rows.sample_weight
        losses = row_losses(network, data.x, judge, targets.take(judge), data.parts)
        if weights is not None:
            losses = losses * weights[judge]
        return losses, network.n_parameters


def _has_nan(values: Any) -> bool:
    return values.dtype.kind == "f" and bool(values.size) and bool(np.isnan(np.min(values)))


def _smallest_of_the_best(losses: Sequence[NDArray[np.float64]], sizes: Sequence[int]) -> int:
    """Number of the best; or of one not half as large that is as good within a standard error.

    That of the mean difference, row by row.
    """
    means = [float(np.mean(own)) for own in losses]
    best = int(np.argmin(means))
    if not np.isfinite(means[best]):
        return 0
    near = [best]
    for k, own in enumerate(losses):
        if np.isfinite(means[k]) and 2 * sizes[k] < sizes[best]:
            difference = own - losses[best]
            error = float(np.std(difference)) / max(1.0, np.sqrt(len(difference) - 1))
            if means[k] - means[best] <= error:
                near.append(k)
    return min(near, key=lambda k: sizes[k])
