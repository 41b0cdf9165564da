"""What scikit-learn's diagram of an estimator, in a notebook, says of its network."""

from typing import Any

from fastl0.estimators import params
from fastl0.model.network import count_parameters

try:
    from sklearn.utils._repr_html.estimator import _VisualBlock
except ImportError:  # scikit-learn < 1.7
    from sklearn.utils._estimator_html_repr import _VisualBlock


def visual_block(estimator: Any) -> Any:
    """Describe an estimator as scikit-learn does, with a caption once it is fitted.

    scikit-learn draws the block, alone or as a part of a pipeline, and escapes all of it.

    Parameters
    ----------
    estimator : HardL0MLPClassifier or HardL0MLPRegressor
    """
    return _VisualBlock(
        "single",
        estimator,
        names=type(estimator).__name__,
        name_details=str(estimator),
        name_caption=caption(estimator) if estimator.__sklearn_is_fitted__() else None,
    )


def caption(estimator: Any) -> str:
    """Say how small a fitted network is.

    Parameters
    ----------
    estimator : HardL0MLPClassifier or HardL0MLPRegressor

    Returns
    -------
    str
        Units of every layer, parameters, and bytes of the arrays of weights and biases.
    """
    kept = estimator.n_units_
    full = _full_widths(estimator) or kept
    units = ", ".join(
        f"{after}" if before == after else f"{before} \N{RIGHTWARDS ARROW} {after}"
        for before, after in zip(full, kept, strict=True)
    )
    n_bytes = sum(array.nbytes for array in [*estimator.coefs_, *estimator.intercepts_])
    n_full = count_parameters(full)
    of_all = "" if n_full == estimator.n_parameters_ else f" of {n_full:,}"
    return (
        f"units {units}; {estimator.n_parameters_:,}{of_all} parameters, {_in_units(n_bytes)} "
        "of weights and biases"
    )


def _full_widths(estimator: Any) -> tuple[int, ...] | None:
    """Widths before pruning; None where parameters have been set to others since the fit."""
    try:
        hidden = params.hidden_widths(estimator.hidden_layer_sizes)
    except ValueError:
        return None
    full = (estimator.n_features_in_, *hidden, estimator.n_outputs_)
    kept = estimator.n_units_
    is_of_it = len(full) == len(kept) and all(a >= b for a, b in zip(full, kept, strict=True))
    return full if is_of_it else None


def _in_units(n_bytes: int) -> str:
    if n_bytes < 1024:
        return f"{n_bytes} bytes"
    if n_bytes < 1024**2:
        return f"{n_bytes / 1024:.1f} KiB"
    return f"{n_bytes / 1024**2:.1f} MiB"
