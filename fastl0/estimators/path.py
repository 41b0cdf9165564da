"""`l0_path`: the whole frontier of size and score from one run, large to small.

Fits one estimator again and again with `warm_start=True`, each time to a smaller size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state

from fastl0.data.blocks import sort_if_blockwise
from fastl0.data.sample_weight import check_sample_weight
from fastl0.data.split import validation_split
from fastl0.estimators import params
from fastl0.estimators.attributes import NOT_IN_MODEL
from fastl0.estimators.base import BaseHardL0MLP
from fastl0.estimators.classifier import HardL0MLPClassifier
from fastl0.estimators.regressor import HardL0MLPRegressor
from fastl0.estimators.target_size import resolve_sizes
from fastl0.estimators.validate import ValidationData, check_validation_rows, check_X_y
from fastl0.model.encoding import NUMBERS_OF_A_PART
from fastl0.model.network import count_parameters

#: Sizes where none are given: shares of the parameters at the start.
SHARES = (0.5, 0.32, 0.21, 0.14, 0.09, 0.06, 0.04, 0.025, 0.015, 0.01)

#: Share of `max_iter` that a fit goes on for, for each factor of e by which it shrinks; at least.
_SHARE, _SMALLEST_SHARE = 0.4, 0.05

#: Power of the inverse share by which learning rates are raised.
_HASTE = 0.75

#: How far the log-odds of a gate may move in it, at least. They have to go by 4, one way; where
#: that takes long all gates close together, and none says which unit is needed.
_FARTHEST = 100.0

#: Epochs (one to prune in, and one to finish) and mini-batches that it goes on for at least,
#: as long as that is no longer than the first fit.
_FEWEST_EPOCHS, _FEWEST_BATCHES = 2, 500


@dataclass(frozen=True)
class L0Path:
    """Networks of falling size from one run; what `l0_path` returns.

    Attributes
    ----------
    n_parameters : ndarray of shape (n_sizes,), int
        Weights and biases of each network, large to small.
    n_bytes : ndarray of shape (n_sizes,), int
        Bytes of the weights and biases of each network, four a parameter.
    scores : ndarray of shape (n_sizes,), float
        Score of each network on the validation rows.
    estimators : list of HardL0MLPClassifier or HardL0MLPRegressor
        The networks as fitted estimators. Each predicts by itself, holds no training state,
        and has the parameters that fit a network of its size anew. Its history is that of the
        epochs from the size before to its own.
    """

    __module__ = "fastl0"  # pickles name the class so, wherever it lives

    n_parameters: NDArray[np.intp]
    n_bytes: NDArray[np.intp]
    scores: NDArray[np.float64]
    estimators: list[Any]


class LabelledRows(NamedTuple):
    """Checked rows to learn from or to score on; `weights` is None where they have none."""

    X: Any
    y: Any
    weights: NDArray[np.float64] | None

    def take(self, numbers: NDArray[np.integer]) -> Self:
        """Return copies of some of them."""
        numbers = sort_if_blockwise(self.X, numbers)
        weights = None if self.weights is None else self.weights[numbers]
        return type(self)(self.X[numbers], self.y[numbers], weights)


def l0_path(
    X: Any,
    y: Any,
    *,
    target_sizes: Sequence[int | float | str] | None = None,
    estimator: HardL0MLPClassifier | HardL0MLPRegressor | None = None,
    sample_weight: ArrayLike | None = None,
    X_val: ArrayLike | None = None,
    y_val: ArrayLike | None = None,
    sample_weight_val: ArrayLike | None = None,
    validation_fraction: float = 0.1,
    scoring: str | Callable[..., float] | None = None,
) -> L0Path:
    """Fit networks of many sizes in one run, large to small.

    The first size is reached as by a fit of the estimator. From each network that is finished
    pruning goes on to the next size: its gates open anew, units are deleted, and what is left
    is finished again. As the networks have learnt already, this takes a fraction of the
    epochs, in proportion to the logarithm of the factor by which they shrink.

    Parameters
    ----------
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training rows, as `HardL0MLPClassifier.fit` takes them.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Class labels, or a multilabel indicator of 0 and 1; numbers for a regressor.
    target_sizes : sequence of int, float or str, default=None
        Sizes as `HardL0MLPClassifier` takes them: numbers of parameters, shares in (0, 1] of
        those at the start, or bytes of weights and biases, as "64KiB"; in any order. None is
        ten shares from 0.5 to 0.01, without those too small for the network.
    estimator : HardL0MLPClassifier or HardL0MLPRegressor, default=None
        Settings of the networks, with ``pruning="hard"`` and ``lam=None``; None is
        ``HardL0MLPClassifier()``. Its `target_size` and `warm_start` are of no account, its
        `max_iter` is that of the first size. It is not changed.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, >= 0, in training and, for rows that are set aside, in the score.
    X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
        Rows to score the networks on, not used for training.
    y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
        Their targets.
    sample_weight_val : array-like of shape (n_val,), default=None
        Their weights, >= 0, in the score.
    validation_fraction : float, default=0.1
        Without `X_val`: share of the rows, in (0, 1), to score on instead of training on them,
        drawn with the `random_state` of the estimator and with the same share of each class
        (multilabel targets aside). This copies the rows, unless X is read by blocks.
    scoring : str or callable, default=None
        Name of a scikit-learn scorer, or ``scorer(estimator, X, y)``, with `sample_weight` as a
        keyword where there are weights; larger is better. None is the accuracy, or R^2.

    Returns
    -------
    L0Path

    Raises
    ------
    ValueError
        If a parameter, X or y breaks a rule, two sizes are the same, a score is no number, or
        the training loss stops being finite.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from fastl0 import HardL0MLPClassifier, l0_path
    >>> X, y = load_digits(return_X_y=True)
    >>> path = l0_path(X / 16, y, estimator=HardL0MLPClassifier(random_state=0))
    >>> len(path.estimators)
    10
    >>> bool((path.n_parameters[1:] < path.n_parameters[:-1]).all())
    True
    """
    model = clone_for_path(estimator)
    scorer = check_scoring(model, scoring=scoring)
    params.check_validation_arguments(X_val, y_val, sample_weight_val)
    rows, targets, sizes = check_path_input(model, X, y, sample_weight, target_sizes)
    if X_val is None:
        params.check_share("validation_fraction", validation_fraction)
        train, held_out = validation_split(
            rows.X.shape[0],
            validation_fraction,
            model.random_state,
            targets.strata,
            "or X_val and y_val",
        )
        rows, validation = rows.take(train), rows.take(held_out)
    else:
        given = ValidationData(X_val, y_val, sample_weight_val)
        validation = LabelledRows(*check_validation_rows(model, given))
        targets.encode_like(validation.y, "y_val")
    return fit_path(model, rows, sizes, validation, scorer)


def check_path_input(
    model: BaseHardL0MLP, X: Any, y: Any, sample_weight: Any, target_sizes: Any
) -> tuple[LabelledRows, Any, list[tuple[Any, int]]]:
    """Check what a path is to learn from, and note it in `model`.

    Returns
    -------
    rows : LabelledRows
    targets : Targets
    sizes : list of (size, n_parameters)
        Large to small.
    """
    X, y = check_X_y(model, X, y, reset=True)
    weights = check_sample_weight(sample_weight, X)
    targets = model._target_encoder().encode(y, weights)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y.toarray().ravel() if issparse(y) else y.ravel()
    n_parts = _count_parts(model, X, weights)
    sizes = _resolve(model, targets, n_parts, params.as_list_of_sizes(target_sizes), SHARES)
    return LabelledRows(X, y, weights), targets, sizes


def _count_parts(model: Any, X: Any, weights: NDArray[np.float64] | None) -> int:
    """Parts that inputs will be made of; 0 for none."""
    if model.encoding == "none":
        return 0
    from fastl0.training.place_encoding import place_encoding

    return len(place_encoding(X, weights, np.zeros(0, np.int32)).parts)


def _resolve(model: Any, targets: Any, n_parts: int, *sizes: Any) -> list[tuple[Any, int]]:
    hidden = params.hidden_widths(model.hidden_layer_sizes)
    widths = (model.n_features_in_, *hidden, targets.n_outputs)
    gated = (bool(model.gate_inputs), *(True for _ in hidden))
    return resolve_sizes(widths, gated, *sizes, n_parts=n_parts)


def clone_for_path(
    estimator: Any,
    kinds: tuple[type[BaseHardL0MLP], ...] = (HardL0MLPClassifier, HardL0MLPRegressor),
) -> Any:
    """Copy an estimator for a path, unfitted and with an int as its `random_state`.

    Parameters
    ----------
    estimator : estimator or None
        None for one of the first kind.
    kinds : tuple of type
        What it may be.

    Raises
    ------
    TypeError, ValueError
        If it is of another kind, or its settings leave no size to a path.
    """
    if estimator is None:
        estimator = kinds[0]()
    if not isinstance(estimator, kinds):
        names = " or ".join(f"a {kind.__name__}" for kind in kinds)
        raise TypeError(
            f"`estimator` must be {names}, got {estimator!r}. Where it is a step of a pipeline, "
            "transform X before."
        )
    model = clone(estimator).set_params(warm_start=False, target_size=None)
    model._validate_params()
    params.check_path_estimator(model)
    if not isinstance(model.random_state, Integral):
        # The same in every fit of the path, whose splits would differ otherwise.
        seed = check_random_state(estimator.random_state).randint(2**31 - 1)
        model.set_params(random_state=int(seed))
    return model


def fit_path(
    model: BaseHardL0MLP,
    rows: LabelledRows,
    sizes: Sequence[tuple[Any, int]],
    validation: LabelledRows,
    scorer: Callable[..., float],
) -> L0Path:
    """Fit and score the networks of a path.

    Parameters
    ----------
    model : HardL0MLPClassifier or HardL0MLPRegressor
        From `clone_for_path`; those of the path share its settings and feature names.
    rows : LabelledRows
        To learn from.
    sizes : sequence of (size, n_parameters)
        Large to small, from `target_size.resolve_sizes`.
    validation : LabelledRows
        To score on.
    scorer : callable

    Raises
    ------
    ValueError
        If it returns no number.
    """
    runner = clone(model).set_params(warm_start=True)
    estimators: list[BaseHardL0MLP] = []
    scores = []
    targets = model._target_encoder().encode(rows.y, rows.weights)
    n_parts = _count_parts(model, rows.X, rows.weights)
    hidden = params.hidden_widths(model.hidden_layer_sizes)
    widths = (n_parts or model.n_features_in_, *hidden, targets.n_outputs)
    n_before = count_parameters(widths, NUMBERS_OF_A_PART if n_parts else 0)
    for size, wanted in sizes:
        # Pruning may have gone a little further than it had to.
        n_parameters = min(wanted, n_before)
        if estimators:
            shrinkage = math.log(n_before / n_parameters)
            runner.set_params(**_in_less_time(model, rows.X.shape[0], shrinkage))
            runner._warm_state["state"]["history"] = None  # each tells of its own epochs
        # Not `fit`, which takes Ctrl-C for the end of this one training.
        runner.set_params(target_size=n_parameters)._fit(rows.X, rows.y, sample_weight=rows.weights)
        n_before = runner.n_parameters_
        member = clone(model).set_params(target_size=size)
        fitted = set(vars(runner)) - set(runner.get_params(deep=False)) - NOT_IN_MODEL
        vars(member).update({name: getattr(runner, name) for name in fitted})
        scores.append(_score(member, validation, scorer))
        # Not before: checked rows have no names.
        if hasattr(model, "feature_names_in_"):
            member.feature_names_in_ = model.feature_names_in_
        estimators.append(member)
    return L0Path(
        np.array([member.n_parameters_ for member in estimators]),
        params.BYTES_PER_PARAMETER * np.array([member.n_parameters_ for member in estimators]),
        np.array(scores),
        estimators,
    )


def _score(member: BaseHardL0MLP, rows: LabelledRows, scorer: Callable[..., float]) -> float:
    # Of rows set aside none may have a weight.
    is_weighted = rows.weights is not None and rows.weights.any()
    extra = {"sample_weight": rows.weights} if is_weighted else {}
    with params.name_scorer_in_errors(scorer):
        found = scorer(member, rows.X, rows.y, **extra)
    return params.check_score(found, scorer)


def _in_less_time(model: BaseHardL0MLP, n_rows: int, shrinkage: float) -> dict[str, Any]:
    """Settings that do in fewer epochs what those of `model` do in all of them.

    Gates have as far to go in fewer steps. Those of Adam are larger, too; those of gradient
    descent, for which Adam may have to make way within a memory budget, may be as large as
    they can be.

    Parameters
    ----------
    model : HardL0MLPClassifier or HardL0MLPRegressor
    n_rows : int
        Training rows.
    shrinkage : float
        Logarithm of the factor by which the network shrinks.
    """
    share = max(_SMALLEST_SHARE, _SHARE * shrinkage)
    n_batches = -(-n_rows // params.resolve_batch_size(model.batch_size, n_rows, gated=True))
    fewest = max(_FEWEST_EPOCHS, -(-_FEWEST_BATCHES // n_batches))
    n_epochs = min(model.max_iter, max(fewest, round(share * model.max_iter)))
    share = n_epochs / model.max_iter
    settings = {
        "max_iter": n_epochs,
        "gate_learning_rate_init": max(
            model.gate_learning_rate_init / share, _FARTHEST / (n_epochs * n_batches)
        ),
    }
    if model.solver == "adam" and model.memory_budget is None:
        settings["learning_rate_init"] = model.learning_rate_init / share**_HASTE
    return settings


l0_path.__module__ = "fastl0"
