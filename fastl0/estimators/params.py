"""The front door: checks of parameters and arguments before anything is allocated.

Every error names the parameter, the rule, the value given and the remedy. X is checked in
`data.checks`, y in `data.class_targets` and `data.regression_targets`.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval

from fastl0.estimators.byte_sizes import parse_bytes

_FLOAT32_MAX = float(np.finfo(np.float32).max)
#: Weights and biases are float32.
BYTES_PER_PARAMETER = 4

_FLOAT32_TINY = float(np.finfo(np.float32).tiny)
#: Bounds of an automatic mini-batch, and how many of them make an epoch where there are gates.
_SMALLEST_BATCH, _LARGEST_BATCH, _ENOUGH_BATCHES = 8, 200, 50


def as_float(value: Any) -> float:
    """Return a real number of whatever type as a float; infinity where it exceeds any."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


class RealInterval(Interval):
    """Real numbers of whatever type in an interval, as a constraint of scikit-learn's.

    Its own asks NumPy whether they are NaN, which knows no fractions.

    Parameters
    ----------
    left, right : float or None
        Bounds; None for none.
    closed : {"left", "right", "both", "neither"}
        Which of them belong to it.
    """

    def __init__(self, left: float | None, right: float | None, *, closed: str) -> None:
        super().__init__(Real, left, right, closed=closed)

    def __contains__(self, value: Any) -> bool:
        return bool(super().__contains__(as_float(value)))


def check_float32(name: str, value: Any) -> None:
    """Check that training, which computes in float32, can use a setting.

    Raises
    ------
    ValueError
        If it rounds to infinity, a decay rate to 1, or `epsilon` to a subnormal number.
    """
    number = as_float(value)
    if number > _FLOAT32_MAX and name != "tol":
        rule = f"be at most {_FLOAT32_MAX:.3g}, as training computes in float32"
    elif name in ("beta_1", "beta_2") and np.float32(number) >= 1.0:
        rule = "be below 1 in float32 (0.9999999 is)"
    elif name == "epsilon" and number < _FLOAT32_TINY:
        rule = f"be at least {_FLOAT32_TINY:.3g}, the smallest normal float32"
    else:
        return
    raise ValueError(f"`{name}` must {rule}, got {value!r}. Use the default or a value near it.")


def hidden_widths(hidden_layer_sizes: Any) -> list[int]:
    """Check `hidden_layer_sizes` and return it as a list.

    Raises
    ------
    ValueError
        If an entry is not an integer >= 1.
    """
    sizes = hidden_layer_sizes
    sizes = list(sizes) if np.iterable(sizes) and not isinstance(sizes, str) else [sizes]
    for size in sizes:
        if not isinstance(size, Integral) or isinstance(size, bool) or size < 1:
            remedy = "Drop the empty layer." if size == 0 else "Give the units of each layer."
            raise ValueError(
                f"`hidden_layer_sizes` must hold ints >= 1, got {hidden_layer_sizes!r}. {remedy}"
            )
    return [int(size) for size in sizes]


def check_droprates(droprate_init: Any) -> tuple[float, float]:
    """Check `droprate_init` and return it as (of the inputs, of the hidden units).

    Raises
    ------
    ValueError
        If it is not one number in (0, 1), or two of them.
    """
    pair = (droprate_init,) * 2 if isinstance(droprate_init, Real) else droprate_init
    sound = isinstance(pair, tuple | list | np.ndarray) and len(pair) == 2
    if not sound or not all(isinstance(d, Real) and 0 < as_float(d) < 1 for d in pair):
        raise ValueError(
            "`droprate_init` must be a number in (0, 1) or a pair of them, for the inputs and "
            f"for the hidden units, got {droprate_init!r}. Use (0.2, 0.5)."
        )
    return float(pair[0]), float(pair[1])


def resolve_strength(
    lam: Any, target_size: Any, pruning: str, default_share: float
) -> tuple[float, Any]:
    """Decide whether a price of a parameter is given, or a size to reach.

    Returns
    -------
    lam : float
        0 where a size is to be reached or nothing is pruned.
    target_size : int, float, str or None
        None where a price is given or nothing is pruned; `default_share` where neither is.

    Raises
    ------
    ValueError
        If both are given, or a size where nothing is deleted.
    """
    if lam is not None and target_size is not None:
        raise ValueError(
            "`lam` and `target_size` must not both be given: one sets the price of a parameter, "
            f"the other lets training find it, got lam={lam!r} and target_size={target_size!r}. "
            "Leave one of them at None."
        )
    if target_size is not None and pruning != "hard":
        raise ValueError(
            f'`target_size` must be None unless pruning="hard", got {target_size!r} with '
            f'pruning="{pruning}", which deletes nothing. Set pruning="hard".'
        )
    if pruning == "none":
        return 0.0, None
    if pruning == "soft":
        return 0.1 if lam is None else float(lam), None
    if lam is not None:
        return float(lam), None
    return 0.0, default_share if target_size is None else target_size


def check_threshold(prune_threshold: Any, lowest: float, highest: float) -> None:
    """Check that units can be told apart by a threshold on the way to a target size.

    Parameters
    ----------
    prune_threshold : float
    lowest, highest : float
        Bounds of the on-probability of a gate.

    Raises
    ------
    ValueError
        If every unit would count as open, or none.
    """
    if not lowest < prune_threshold < highest:
        raise ValueError(
            f"`prune_threshold` must lie between {lowest:.3f} and {highest:.3f}, where gates are, "
            f"to reach a target size, got {prune_threshold!r}. Use 0.5, or set a price by lam."
        )


def resolve_target_size(
    target_size: Any,
    full: int,
    smallest: int,
    name: str = "target_size",
    *,
    largest: int | None = None,
) -> int:
    """Check a target size and return it as a number of parameters.

    Parameters
    ----------
    target_size : int, float or str
        Parameters, share of `full`, or bytes of weights and biases, four a parameter.
    full, smallest : int
        Parameters to begin with, and with one unit in each layer that can shrink.
    name : str, default="target_size"
        Of the parameter.
    largest : int, default=None
        Parameters to begin with where they are more than those that shares are of.

    Raises
    ------
    ValueError
        If the size is of no known kind, larger than the network or too small.
    """
    largest = full if largest is None else largest
    bounds, is_share = f"{smallest} to {largest} parameters", False
    if isinstance(target_size, str):
        found = parse_bytes(name, target_size) // BYTES_PER_PARAMETER
        bounds = " to ".join(str(BYTES_PER_PARAMETER * n) for n in (smallest, largest)) + " bytes"
    elif isinstance(target_size, Integral) and not isinstance(target_size, bool):
        found = int(target_size)
    elif isinstance(target_size, Real) and not isinstance(target_size, bool):
        share = as_float(target_size)
        if not 0.0 < share <= 1.0:
            raise ValueError(
                f"`{name}` as a float must be a share of the {full} parameters in (0, 1], "
                f"got {target_size!r}. Give an int for a number of parameters."
            )
        found, is_share = int(share * full), True
        # Rounded up: what the error names has to do.
        bounds = f"{min(1.0, math.floor(1e6 * smallest / full + 1) / 1e6):.6g} to 1"
    else:
        raise ValueError(
            f"`{name}` must be an int (parameters), a float in (0, 1] (share of them) or a "
            f'str (bytes of the weights, as "64KiB"), got {target_size!r}. Write for instance '
            "0.1."
        )
    if not smallest <= found <= largest:
        what = "at least one unit in each layer" if found < smallest else "no larger than it is"
        shares = "" if is_share else " In a search over several widths give shares, as 0.1."
        raise ValueError(
            f"`{name}` must leave the network {what}, got {target_size!r}. Give {bounds}, or "
            f"change hidden_layer_sizes.{shares}"
        )
    return found


def check_together(**given: Any) -> None:
    """Check that two arguments are both given or both left out.

    Raises
    ------
    ValueError
        If one is None and the other is not.
    """
    (first, one), (second, other) = given.items()
    if (one is None) != (other is None):
        there, missing = (first, second) if other is None else (second, first)
        raise ValueError(
            f"`{first}` and `{second}` must be given together, got `{there}` only. Give "
            f"`{missing}` as well, or neither."
        )


def check_validation_arguments(X_val: Any, y_val: Any, sample_weight_val: Any) -> None:
    """Check that validation rows are given with their targets, and weights only with rows.

    Raises
    ------
    ValueError
        If something is missing.
    """
    check_together(X_val=X_val, y_val=y_val)
    if sample_weight_val is not None and X_val is None:
        raise ValueError(
            "`sample_weight_val` must be given together with the rows it weighs, got no `X_val`. "
            "Give `X_val` and `y_val` as well, or put weights of the rows of X into "
            "`sample_weight`."
        )


@contextmanager
def name_scorer_in_errors(scoring: Any) -> Iterator[None]:
    """Add to what a scorer raises, as one that takes no `sample_weight`, that it was the scorer.

    Parameters
    ----------
    scoring : str or callable
        What the note calls the scorer.
    """
    try:
        yield
    except Exception as error:
        error.add_note(f"This was raised by `scoring`={scoring!r}.")
        raise


def check_score(value: Any, scoring: Any) -> float:
    """Check what a scorer has returned.

    Parameters
    ----------
    value : object
    scoring : str or callable
        What errors call the scorer.

    Raises
    ------
    ValueError
        If it is no number.
    """
    if not isinstance(value, Real):
        raise ValueError(
            f"`scoring` must give one number, larger for a better network, got {value!r} from "
            f"{scoring!r}. Use another scorer, or let this one return a float."
        )
    return float(value)


def check_share(name: str, value: Any) -> None:
    """Check a share of the rows.

    Raises
    ------
    ValueError
        If it is not a number in (0, 1).
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 < as_float(value) < 1.0:
        raise ValueError(f"`{name}` must be a share of the rows in (0, 1), got {value!r}. Use 0.1.")


def check_path_estimator(estimator: Any) -> None:
    """Check that the settings of an estimator leave its size to a path.

    Raises
    ------
    ValueError
        If a price is given, or nothing is deleted.
    """
    if estimator.lam is not None:
        raise ValueError(
            "`estimator` must leave the price of a parameter to the target sizes, got "
            f"lam={estimator.lam!r}. Set lam=None."
        )
    if estimator.pruning != "hard":
        raise ValueError(
            '`estimator` must delete units (pruning="hard") to come to smaller sizes, got '
            f'pruning="{estimator.pruning}". Set pruning="hard".'
        )


def as_list_of_sizes(target_sizes: Any) -> list[Any] | None:
    """Check that `target_sizes` is a sequence and return it as a list of plain values.

    Raises
    ------
    ValueError
        If it is empty or no sequence.
    """
    if target_sizes is None:
        return None
    is_list = np.iterable(target_sizes) and not isinstance(target_sizes, str)
    sizes = list(target_sizes) if is_list else []
    if not sizes:
        raise ValueError(
            "`target_sizes` must be a list of one size or more, got "
            f"{target_sizes!r}. Write for instance [0.3, 0.1], or leave it at None for shares "
            "from 0.5 to 0.01."
        )
    return [size.item() if isinstance(size, np.generic) else size for size in sizes]


def check_different(sizes: Sequence[tuple[Any, int]]) -> None:
    """Check that no two (size, number of parameters) of `target_sizes` are the same.

    Raises
    ------
    ValueError
        If two are.
    """
    seen: dict[int, Any] = {}
    for size, n in sizes:
        if n in seen:
            raise ValueError(
                f"`target_sizes` must differ, got {seen[n]!r} and {size!r}, which both are {n} "
                "parameters. Drop one of them."
            )
        seen[n] = size


def budget_too_small(budget: Any, smallest: int) -> ValueError:
    """Make the error for a `memory_budget` that nothing fits into."""
    return ValueError(
        f"`memory_budget` must hold the training buffers, {smallest} bytes at least for this "
        f"network with the smallest mini-batch and one thread, got {budget!r}. Give as much, or "
        "fewer units in hidden_layer_sizes."
    )


def resolve_batch_size(batch_size: Any, n_rows: int, gated: bool) -> int:
    """Clip `batch_size` to the number of training rows; resolve "auto" and "dynamic".

    Gates are drawn once for each mini-batch: where there are gates an epoch shall have enough
    of them.
    """
    if isinstance(batch_size, str):
        most = max(_SMALLEST_BATCH, n_rows // _ENOUGH_BATCHES) if gated else n_rows
        return min(_LARGEST_BATCH, most, n_rows)
    return min(int(batch_size), n_rows)


def resolve_stream_batch_size(batch_size: Any, n_rows: int, gated: bool) -> int:
    """Resolve `batch_size` for rows that come a few at a time.

    Parameters
    ----------
    batch_size : int, "auto" or "dynamic"
    n_rows : int
        Rows of the first call; later ones may have more.
    gated : bool
    """
    if not isinstance(batch_size, str):
        return int(batch_size)
    if not gated:
        return _LARGEST_BATCH
    return min(_LARGEST_BATCH, max(_SMALLEST_BATCH, n_rows // _ENOUGH_BATCHES))
