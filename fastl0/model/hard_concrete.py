"""Hard-concrete gates in closed form (NumPy, float64): once an epoch and at test time.

Sources: Louizos, Welling and Kingma 2017, arXiv 1712.01312 ([LWK]).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Stretch of the concrete distribution and its temperature ([LWK] section 4).
GAMMA, ZETA, BETA = -0.1, 1.1, 2.0 / 3.0

#: P(z != 0) = sigmoid(a + SHIFT); SHIFT = -beta * log(-gamma / zeta) ([LWK] eq. 12).
SHIFT = -BETA * math.log(-GAMMA / ZETA)

#: Log-odds are clamped to +-LOG_ODDS_LIMIT: on-probabilities stay within 0.047 and 0.998.
LOG_ODDS_LIMIT = 4.605


# Not `scipy.special.expit`: its last bits differ, and a gate in float32 may then, too.
def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    t = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, t) / (1.0 + t)


def on_probability(log_odds: ArrayLike) -> NDArray[np.float64]:
    """Probability that a gate is not exactly zero ([LWK] eq. 12).

    Parameters
    ----------
    log_odds : array-like of shape (n,)

    Returns
    -------
    ndarray of shape (n,), float64
        ``sigmoid(log_odds + SHIFT)``.
    """
    return _sigmoid(np.asarray(log_odds, dtype=np.float64) + SHIFT)


def log_odds_of(probability: float) -> float:
    """Log-odds of a gate with an on-probability in [0, 1]: the inverse of `on_probability`."""
    if not 0.0 < probability < 1.0:
        return math.inf if probability > 0.0 else -math.inf
    return math.log(probability / (1.0 - probability)) - SHIFT


def deterministic_gate(log_odds: ArrayLike) -> NDArray[np.float64]:
    """Value of the deterministic gate used once training is over ([LWK] eq. 13).

    Parameters
    ----------
    log_odds : array-like of shape (n,)

    Returns
    -------
    ndarray of shape (n,), float64
        ``clip(sigmoid(log_odds) * (zeta - gamma) + gamma, 0, 1)``; 0 below log-odds of
        -2.398.
    """
    s = _sigmoid(np.asarray(log_odds, dtype=np.float64))
    return np.clip(s * (ZETA - GAMMA) + GAMMA, 0.0, 1.0)


def initial_log_odds(droprate: float, size: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw starting log-odds, normal around ``log((1 - d) / d)`` with SD 0.01 ([LWK] section 4).

    Parameters
    ----------
    droprate : float in (0, 1)
        The d of the formula; larger values close more gates (0.5 leaves 83 % on).
    size : int
    rng : numpy Generator

    Returns
    -------
    ndarray of shape (size,), float32
    """
    mean = math.log((1.0 - droprate) / droprate)
    return rng.normal(mean, 0.01, size).astype(np.float32)
