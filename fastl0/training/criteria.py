"""Decides which units go, and what each unit costs. Owns the thresholds; touches no buffer.

Sources: Nardini, Valerio, Passarella, Perego, "Apprendimento di Reti Neurali su
Dispositivi a Risorse Limitate" ([NVPP]) section 2; [LWK] arXiv 1712.01312 and, for the
product form of the expected size, Xia et al. 2022, arXiv 2204.00408 ([CoFi]).
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastl0.model.network import count_parameters

#: Draws that a decision is based on, at least: where epochs are short, several are pooled.
MIN_DRAWS = 100

#: No more than this share of a layer's units goes at a time: one bad epoch empties no layer.
MAX_SHARE_AT_ONCE = 0.5

#: A network is brought to a size as near as this share of it.
TOLERANCE = 0.05

#: Where gates have no time to learn: inputs begin to go when hidden layers have come to this
#: share of their units, times the price of inputs over that of other units.
_BEGIN_OF_INPUTS = 1.0 / 12.0

#: Ways to come nearer that are looked at, at most.
_MOST_WAYS = 20_000

_Flags = NDArray[np.bool_]


# --- prices --------------------------------------------------------------------------


#: Price of a unit, at most: it has to stay in float32.
_DEAREST = 1e30


def l0_gradient(
    kind: str,
    units: Sequence[float],
    widths: Sequence[int],
    gated: Sequence[bool],
    surcharge: float,
    input_cost: int = 0,
) -> NDArray[np.float32]:
    """Price of every gated unit: what the expected size loses with its on-probability.

    Parameters
    ----------
    kind : {"size", "fan_out"}
        "size": the parameters that a unit brings, weights that enter and leave it and its bias,
        as many as units on both sides are expected to be on: the derivative of
        ``sum_l (S_l + 1) * S_(l+1)`` by S_l ([CoFi] section 3.2). "fan_out": the weights that
        leave it, all of them ([LWK] eq. 9).
    units : sequence of float
        Expected open units S_l of every layer, inputs first, outputs last.
    widths : sequence of int
        All units of every layer.
    gated : sequence of bool
        Whether the inputs and each hidden layer carry gates.
    surcharge : float
        Factor on the price of inputs, with "size" only.
    input_cost : int, default=0
        As in `count_parameters`.

    Returns
    -------
    ndarray of shape (n_gates,), float32
    """
    parts = []
    for layer, has_gates in enumerate(gated):
        if not has_gates:
            continue
        if kind == "fan_out":
            price = float(widths[layer + 1])
        elif layer == 0:
            price = surcharge * (units[1] + input_cost)
        else:
            price = units[layer - 1] + 1.0 + units[layer + 1]
        parts.append(np.full(widths[layer], min(price, _DEAREST), dtype=np.float32))
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def expected_penalty(
    kind: str,
    units: Sequence[float],
    widths: Sequence[int],
    gated: Sequence[bool],
    surcharge: float,
    input_cost: int = 0,
) -> float:
    """Return the expected L0 term; parameters as those of `l0_gradient`.

    "size": the expected parameters, with the surcharge on the weights of the first layer where
    inputs carry gates. "fan_out": the weights that leave the open units of gated layers. The
    prices are its derivatives, but for the first hidden layer, which bears no surcharge.
    """
    if kind == "fan_out":
        pairs = zip(units[:-1], widths[1:], gated, strict=True)
        return sum(s * fan_out for s, fan_out, has_gates in pairs if has_gates)
    extra = (surcharge - 1.0) * units[0] * (units[1] + input_cost) if gated[0] else 0.0
    return count_parameters(units, input_cost) + extra


# --- decisions -----------------------------------------------------------------------


def select_units(
    on_count: NDArray[np.int64], on_sum: NDArray[np.float64], n_draws: int, threshold: float
) -> _Flags:
    """Say which units of one layer stay ([NVPP] section 2).

    A unit goes when it was on in a smaller share of the draws than `threshold`.
    With few draws that share is noisy (its standard deviation is up to
    ``0.5 / sqrt(n_draws)``) and a deletion is final, so the closed-form on-probability,
    averaged over the same mini-batches, must be below the threshold as well: it has the
    same expectation and no sampling noise.

    Parameters
    ----------
    on_count : int64 array of shape (n_units,)
        Draws in which the gate was open.
    on_sum : float64 array of shape (n_units,)
        Sum over the same draws of the closed-form on-probability.
    n_draws : int
        Mini-batches that were counted.
    threshold : float in [0, 1]

    Returns
    -------
    bool array of shape (n_units,)
        True where the unit stays. A share of `MAX_SHARE_AT_ONCE` goes at most, those that are most
        seldom on, and never the last unit.
    """
    stays = (on_count >= threshold * n_draws) | (on_sum >= threshold * n_draws)
    n_least = max(1, len(stays) - int(MAX_SHARE_AT_ONCE * len(stays)))
    if stays.sum() < n_least:
        stays[np.argsort(-on_sum, kind="stable")[:n_least]] = True
    return stays


def select_by_size(
    log_odds: Sequence[NDArray[np.floating] | None],
    widths: Sequence[int],
    size: int,
    *,
    exchange: bool = True,
    input_cost: int = 0,
) -> list[_Flags]:
    """Say which units stay so that a network has at most `size` parameters.

    Units go in the order of their log-odds, whatever their layer. Then what has room comes
    back, and where the network is still smaller by more than `TOLERANCE`, units of one layer
    are exchanged for units of others.

    Parameters
    ----------
    log_odds : sequence of arrays of shape (width,), or None
        Of the inputs and of each hidden layer; None where units carry no gates and stay.
    widths : sequence of int
        Units of every layer, inputs first, outputs last.
    size : int
        Parameters, at least those of a network with one unit in each gated layer.
    exchange : bool, default=True
        Whether to exchange units. Looking for the best way takes a tenth of a second.
    input_cost : int, default=0
        As in `count_parameters`.

    Returns
    -------
    list of bool arrays of shape (width,)
        True where the unit stays; at least one in each layer.
    """
    counts = _drop_and_refill(log_odds, widths, size, input_cost)
    if exchange and count_parameters(counts, input_cost) < (1 - TOLERANCE) * size:
        counts = _exchange(log_odds, counts, size, input_cost)
    return [
        np.ones(width, bool) if a is None else _highest(a, count)
        for a, width, count in zip(log_odds, widths[:-1], counts, strict=False)
    ]


def select_by_sensitivity(
    evidence: Sequence[NDArray[np.floating] | None],
    widths: Sequence[int],
    size: int,
    surcharge: float = 3.0,
    input_cost: int = 0,
) -> list[_Flags]:
    """Say which units stay so that a network has at most `size` parameters.

    For networks whose gates have had no time to learn: hidden layers keep the same share of
    their units, those with the most evidence. Inputs stay, but for those without any evidence,
    until that share is below a twelfth of `surcharge`; then they go in proportion to it.

    Parameters
    ----------
    evidence : sequence of arrays of shape (width,), or None
        Of the inputs and of each hidden layer: how much each unit matters, >= 0; None where
        units carry no gates and stay.
    widths : sequence of int
        Units of every layer, inputs first, outputs last.
    size : int
        Parameters, at least those of a network with one unit in each gated layer.
    surcharge : float, default=3.0
        Factor on the price of inputs, >= 0.
    input_cost : int, default=0
        As in `count_parameters`.

    Returns
    -------
    list of bool arrays of shape (width,)
        True where the unit stays; at least one in each layer.
    """
    tops = list(widths)
    if evidence[0] is not None and evidence[0].any():
        tops[0] = int(np.count_nonzero(evidence[0]))
    gated = [layer for layer, values in enumerate(evidence) if values is not None]
    if not any(evidence[layer].any() for layer in gated):  # type: ignore[union-attr]
        surcharge = 0.0  # to give up inputs blindly would be worst
    begin = max(1e-3, _BEGIN_OF_INPUTS * surcharge)

    def counts_at(share: float) -> list[int]:
        counts = list(tops)
        for layer in gated:
            part = min(1.0, share / begin) if layer == 0 else share
            counts[layer] = max(1, int(part * tops[layer]))
        return counts

    shares = np.arange(1000, -1, -1) / 1000
    counts = next(c for c in map(counts_at, shares) if count_parameters(c, input_cost) <= size)
    # What is left goes to all in turn.
    before = 0
    while before < count_parameters(counts, input_cost) < (1 - TOLERANCE) * size:
        before = count_parameters(counts, input_cost)
        for layer in sorted(gated, key=lambda layer: counts[layer] / tops[layer]):
            counts[layer] += counts[layer] < tops[layer]
            if count_parameters(counts, input_cost) > size:
                counts[layer] -= 1
    return [
        np.ones(width, bool) if values is None else _highest(values, count)
        for values, width, count in zip(evidence, widths[:-1], counts, strict=False)
    ]


def _highest(values: NDArray[np.floating], count: int) -> _Flags:
    flags = np.zeros(len(values), bool)
    flags[np.argsort(-values, kind="stable")[:count]] = True
    return flags


def _drop_and_refill(
    log_odds: Sequence[NDArray[np.floating] | None],
    widths: Sequence[int],
    size: int,
    input_cost: int,
) -> list[int]:
    """Units of every layer that are left when the lowest log-odds go first."""
    sets = [(layer, np.sort(a)) for layer, a in enumerate(log_odds) if a is not None]
    layers = np.concatenate([np.full(len(a), layer) for layer, a in sets])
    order = layers[np.argsort(np.concatenate([a for _, a in sets]), kind="stable")]
    counts, gone = list(widths), []
    for layer in order:
        if count_parameters(counts, input_cost) <= size:
            break
        if counts[layer] > 1:
            counts[layer] -= 1
            gone.append(layer)
    for layer in reversed(gone):
        counts[layer] += 1
        if count_parameters(counts, input_cost) > size:
            counts[layer] -= 1
    return counts


def _price_of_a_unit(counts: Sequence[int], layer: int, input_cost: int) -> int:
    """Parameters that a unit brings."""
    return (counts[layer - 1] + 1 if layer else input_cost) + counts[layer + 1]


def _exchange(
    log_odds: Sequence[NDArray[np.floating] | None],
    counts: list[int],
    size: int,
    input_cost: int,
) -> list[int]:
    """Exchange a few units of one layer for some of another to come nearer to `size`."""
    # What the n most likely units of a set are worth: the sum of their log-odds.
    worths = {
        layer: np.concatenate([[0.0], np.cumsum(-np.sort(-a.astype(float)))])
        for layer, a in enumerate(log_odds)
        if a is not None
    }
    # Three ways a layer are too many where layers are: those with the smallest units change.
    n_layers = int(math.log(_MOST_WAYS, 3))
    if len(worths) > n_layers:
        cheapest = sorted(worths, key=lambda layer: _price_of_a_unit(counts, layer, input_cost))[
            :n_layers
        ]
        worths = {layer: worths[layer] for layer in sorted(cheapest)}
    reach = max(1, int((_MOST_WAYS ** (1 / len(worths)) - 1) / 2))
    reaches = [
        range(max(1, counts[layer] - reach), min(len(worth) - 1, counts[layer] + reach) + 1)
        for layer, worth in worths.items()
    ]
    # Of those that are near enough, the one that keeps the most likely units.
    best, best_rank = counts, (False, float(count_parameters(counts, input_cost)))
    for ways in itertools.product(*reaches):
        tried = list(counts)
        for layer, n in zip(worths, ways, strict=True):
            tried[layer] = n
        n_parameters = count_parameters(tried, input_cost)
        if n_parameters <= size:
            is_near = n_parameters >= (1 - TOLERANCE) * size
            worth = sum(w[n] for w, n in zip(worths.values(), ways, strict=True))
            rank = (is_near, float(worth if is_near else n_parameters))
            if rank > best_rank:
                best, best_rank = tried, rank
    return best
