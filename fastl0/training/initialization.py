"""The weights and log-odds that a training begins with."""

import itertools
import math

import numpy as np

from fastl0.model import hard_concrete
from fastl0.training.buffers import Buffers
from fastl0.training.config import TrainingConfig

#: Log-odds of gates that are opened: the lowest whose deterministic gate is 1.
OPEN_LOG_ODDS = 2.4


def initialize(
    buffers: Buffers, config: TrainingConfig, rng: np.random.Generator, *, gates_drawn: bool
) -> None:
    """Draw the weights, and the log-odds of gates that are drawn from the start; open the others.

    For Adam, whose steps are as long whatever the weights, these and the biases are uniform
    within ``sqrt(6 / (fan_in + fan_out))`` (Glorot and Bengio 2010, eq. 16). Gradient descent
    learns faster from larger ones, and gates take half of them away at first: normal of
    variance ``2 / fan_in`` for "relu" (He et al. 2015, eq. 10) and ``1 / fan_in`` else, biases
    of 0.

    Parameters
    ----------
    buffers : Buffers
        Overwritten.
    config : TrainingConfig
    rng : numpy Generator
    gates_drawn : bool
        Whether gates are drawn from the start, not held open.
    """
    gain = 2.0 if config.activation == "relu" else 1.0
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(buffers.widths)):
        weights, biases = buffers.layer(layer)
        if gates_drawn or config.solver != "adam":
            rng.standard_normal(out=weights, dtype=np.float32)
            weights *= np.float32(math.sqrt(gain / fan_in))
            continue
        bound = np.float32(math.sqrt(6.0 / (fan_in + fan_out)))
        for part in (weights, biases):
            rng.random(out=part, dtype=np.float32)
            part -= np.float32(0.5)
            part *= np.float32(2.0) * bound
    for layer, log_odds in enumerate(buffers.per_layer("log_odds")):
        if log_odds is not None:
            droprate = config.droprate_init[min(layer, 1)]
            log_odds[:] = (
                hard_concrete.initial_log_odds(droprate, len(log_odds), rng)
                if gates_drawn
                else OPEN_LOG_ODDS
            )
