"""What a target size comes to in parameters: shares of the network, and bytes of its weights."""

from collections.abc import Sequence
from typing import Any

from fastl0.estimators import params
from fastl0.model.encoding import NUMBERS_OF_A_PART
from fastl0.model.network import count_parameters


def parameters_of(
    target_size: Any,
    widths: Sequence[int],
    gated: Sequence[bool],
    *,
    is_default: bool = False,
    n_parts: int = 0,
) -> int:
    """Return the parameters to end with; 0 for as many as there will be.

    Parameters
    ----------
    target_size : int, float, str or None
        As the estimators take it.
    widths : sequence of int
        Units of every layer to begin with, columns of X first, outputs last: shares are of such a
        network, whether or not inputs are made of parts.
    gated : sequence of bool
        Whether the inputs and each hidden layer carry gates.
    is_default : bool, default=False
        Whether it is a share that nobody has asked for, which a tiny network may exceed.
    n_parts : int, default=0
        Parts that inputs are made of; 0 for none.

    Raises
    ------
    ValueError
        If the size breaks a rule.
    """
    if target_size is None:
        return 0
    smallest, full, largest = _bounds(widths, gated, n_parts)
    if is_default:
        return max(smallest, int(target_size * full))
    return params.resolve_target_size(target_size, full, smallest, largest=largest)


def resolve_sizes(
    widths: Sequence[int],
    gated: Sequence[bool],
    target_sizes: Sequence[Any] | None,
    shares: Sequence[float] = (),
    *,
    n_parts: int = 0,
) -> list[tuple[Any, int]]:
    """Say how many parameters target sizes are in a network that is fitted anew.

    Parameters
    ----------
    widths : sequence of int
        Units of every layer to begin with, inputs first, outputs last.
    gated : sequence of bool
        Whether the inputs and each hidden layer carry gates.
    target_sizes : sequence of int, float and str, or None
        As the estimator takes them; None for `shares`.
    shares : sequence of float, default=()
        Those too small for the network are left out; where none is left it is the smallest
        network.
    n_parts : int, default=0
        Parts that inputs are made of; 0 for none.

    Returns
    -------
    list of (size, n_parameters)
        Large to small.

    Raises
    ------
    ValueError
        If a size breaks a rule, or two are the same.
    """
    smallest, full, largest = _bounds(widths, gated, n_parts)
    if target_sizes is None:
        # Of shares that are the same number of parameters, the largest.
        found: dict[int, Any] = {}
        for share in shares:
            if int(share * full) >= smallest:
                found.setdefault(int(share * full), share)
        sizes = [(share, n) for n, share in found.items()] or [(smallest, smallest)]
    else:
        sizes = [
            (
                size,
                params.resolve_target_size(size, full, smallest, "target_sizes", largest=largest),
            )
            for size in target_sizes
        ]
        params.check_different(sizes)
    return sorted(sizes, key=lambda size: -size[1])


def _bounds(widths: Sequence[int], gated: Sequence[bool], n_parts: int) -> tuple[int, int, int]:
    """Parameters of the smallest network that pruning can leave, those that shares are of, and
    those to begin with.
    """
    input_cost = NUMBERS_OF_A_PART if n_parts else 0
    whole = [n_parts or widths[0], *widths[1:]]
    ones = [1 if has_gates else w for w, has_gates in zip(whole, gated, strict=False)]
    smallest = count_parameters([*ones, widths[-1]], input_cost)
    largest = count_parameters(whole, input_cost)
    # Parts that may not go are no choice of the network's: they count in full.
    full = max(smallest, count_parameters(widths)) if gated[0] else largest
    return smallest, full, largest
