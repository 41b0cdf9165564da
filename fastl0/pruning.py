"""Decides which units go. Owns the thresholds; touches no buffer.

Source: Nardini, Valerio, Passarella, Perego, "Apprendimento di Reti Neurali su
Dispositivi a Risorse Limitate" ([NVPP]) section 2; [LWK] arXiv 1712.01312 for the price.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def prices(widths: Sequence[int], gated: Sequence[bool]) -> NDArray[np.float32]:
    """Price of every gated unit: the number of weights that leave it ([LWK] eq. 9).

    Parameters
    ----------
    widths : sequence of int
        Units of every layer, inputs first, outputs last.
    gated : sequence of bool
        Whether the inputs and each hidden layer carry gates.

    Returns
    -------
    ndarray of shape (n_gates,), float32
        Derivative of the expected number of weights by each unit's on-probability.
    """
    parts = [
        np.full(width, fan_out, dtype=np.float32)
        for width, fan_out, has_gates in zip(widths[:-1], widths[1:], gated, strict=True)
        if has_gates
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def decide(
    on_count: NDArray[np.int64], on_sum: NDArray[np.float64], n_draws: int, threshold: float
) -> NDArray[np.bool_]:
    """Say which units of one layer stay ([NVPP] section 2).

    A unit goes when it was on in a smaller share of the epoch's draws than `threshold`.
    With few draws that share is noisy (its standard deviation is up to
    ``0.5 / sqrt(n_draws)``) and a deletion is final, so the closed-form on-probability,
    averaged over the same mini-batches, must be below the threshold as well: it has the
    same expectation and no sampling noise.

    Parameters
    ----------
    on_count : int64 array of shape (n_units,)
        Draws of the epoch in which the gate was open.
    on_sum : float64 array of shape (n_units,)
        Sum over the same draws of the closed-form on-probability.
    n_draws : int
        Mini-batches of the epoch.
    threshold : float in [0, 1]

    Returns
    -------
    bool array of shape (n_units,)
        True where the unit stays; a layer keeps at least the unit that is most often on.
    """
    off = (on_count < threshold * n_draws) & (on_sum < threshold * n_draws)
    if off.all():
        off[np.argmax(on_sum)] = False
    return ~off
