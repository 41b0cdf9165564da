"""Turns a fitted estimator into scikit-learn's own MLP; loaded when that is asked for.

Goes by fitted attributes.
"""

import copy
from numbers import Integral, Rational
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.base import is_classifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import LabelBinarizer

#: Values of parameters that scikit-learn does not know, and what comes nearest.
_NEAREST = {"batch_size": {"dynamic": "auto"}, "learning_rate": {"cosine": "constant"}}


def to_sklearn(estimator: Any) -> MLPClassifier | MLPRegressor:
    """Build the fitted MLP that predicts as a fitted estimator does.

    Parameters
    ----------
    estimator : HardL0MLPClassifier or HardL0MLPRegressor

    Raises
    ------
    ValueError
        If scikit-learn's MLPRegressor has no exponential outputs, or inputs are made of parts.
    """
    if vars(estimator).get("parts_") is not None or estimator.encoding != "none":
        raise ValueError(
            f"`encoding` must be 'none' for to_sklearn, as scikit-learn's MLPs read numbers as "
            f"they are, got {estimator.encoding!r}. Fit with encoding='none'."
        )
    model: MLPClassifier | MLPRegressor
    if is_classifier(estimator):
        model = MLPClassifier(**_parameters(estimator, MLPClassifier()))
        model._label_binarizer = _binarizer(estimator)
        model.classes_ = model._label_binarizer.classes_
    else:
        model = MLPRegressor(**_parameters(estimator, MLPRegressor()))
    vars(model).update(_of_inputs(estimator) | _of_network(estimator) | _of_training(estimator))
    if estimator.early_stopping:  # what a further training goes back to where none is better
        model._best_coefs, model._best_intercepts = map(_copies, (model.coefs_, model.intercepts_))
    return model


def _parameters(estimator: Any, model: Any) -> dict[str, Any]:
    """Parameters of the model: those of the estimator where both have them, and its widths."""
    own, known = estimator.get_params(deep=False), set(model.get_params())
    found = {
        name: _NEAREST.get(name, {}).get(value, value) if isinstance(value, str) else value
        for name, value in own.items()
        if name in known - {"loss"}
    }
    # scikit-learn's own checks refuse other real numbers, such as fractions.
    found = {
        k: float(v) if isinstance(v, Rational) and not isinstance(v, Integral) else v
        for k, v in found.items()
    }
    found["hidden_layer_sizes"] = estimator.n_units_[1:-1]
    found["activation"] = estimator._network().activation
    found["random_state"] = copy.deepcopy(estimator.random_state)
    if estimator.out_activation_ == "exp":
        if "loss" not in known:
            raise ValueError(
                'A network trained with loss="poisson" has exponential outputs, which MLPRegressor '
                f"has from scikit-learn 1.7 on, got {sklearn.__version__}. Update scikit-learn."
            )
        found["loss"] = "poisson"
    return found


def _binarizer(estimator: Any) -> LabelBinarizer:
    classes = estimator.classes_.copy()
    y: Any = np.tile(classes, 3)  # all labels different would be taken for numbers to regress
    if estimator._multilabel:
        y = np.eye(len(classes), dtype=int)
        y = csr_matrix(y) if estimator._sparse_labels else y
    binarizer = LabelBinarizer().fit(y)
    binarizer.classes_ = classes  # of the same dtype
    return binarizer


def _of_inputs(estimator: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"n_features_in_": estimator.n_features_in_}
    if hasattr(estimator, "feature_names_in_"):
        found["feature_names_in_"] = estimator.feature_names_in_.copy()
    return found


def _of_network(estimator: Any) -> dict[str, Any]:
    first = np.zeros((len(estimator.support_), estimator.coefs_[0].shape[1]), np.float32)
    first[estimator.support_] = estimator.coefs_[0]
    return {
        "coefs_": [first, *_copies(estimator.coefs_[1:])],
        "intercepts_": _copies(estimator.intercepts_),
        "n_layers_": estimator.n_layers_,
        "n_outputs_": estimator.n_outputs_,
        "out_activation_": estimator.out_activation_,
    }


def _of_training(estimator: Any) -> dict[str, Any]:
    """What is told of the training, and what a further one, by scikit-learn, begins with."""
    found: dict[str, Any] = {
        "n_iter_": estimator.n_iter_,
        "t_": estimator.t_,
        "loss_": estimator.loss_,
        "loss_curve_": [*estimator.loss_curve_],
        # Its losses have other terms and units: by one of these it would end at once, or never.
        "best_loss_": np.inf,
        "validation_scores_": None,
        "best_validation_score_": None,
        "_no_improvement_count": 0,
    }
    if estimator.early_stopping:
        best = estimator.best_validation_score_ if estimator.scoring is None else None
        found["best_loss_"] = None
        found["validation_scores_"] = [*(estimator.validation_scores_ or [])]
        found["best_validation_score_"] = -np.inf if best is None else best
    return found


def _copies(arrays: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Copy what scikit-learn's solvers overwrite."""
    return [array.copy() for array in arrays]
