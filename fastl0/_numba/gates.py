"""Hard-concrete gates: drawing them, and moving their log-odds.

Sources: Louizos, Welling and Kingma 2017, arXiv 1712.01312 ([LWK]).
"""

import numpy as np

from fastl0._numba.elementwise import exp, log, sigmoid
from fastl0._numba.jit import doubles, floats, kernel, longs, multiply_add
from fastl0._numba.optimizers import adam_step_
from fastl0.model.hard_concrete import BETA, GAMMA, LOG_ODDS_LIMIT, SHIFT, ZETA

# float32 throughout: a Python float in a kernel would turn the loop into float64.
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)
_GAMMA = np.float32(GAMMA)
_STRETCH = np.float32(ZETA - GAMMA)
_INV_BETA = np.float32(1.0 / BETA)
_SLOPE = np.float32((ZETA - GAMMA) / BETA)
_SHIFT = np.float32(SHIFT)
_LIMIT = np.float32(LOG_ODDS_LIMIT)
_EDGE = np.float32(1e-6)
_SPAN = np.float32(1.0 - 2e-6)


@kernel
def sample_gates(uniforms, log_odds, gates_, slopes_, on_probability_):
    """Draw one hard-concrete gate per unit ([LWK] eq. 10 and 11).

    With ``l = log(u) - log1p(-u)`` and ``s = sigmoid((l + a) / beta)`` the gate is
    ``clip(s * (zeta - gamma) + gamma, 0, 1)``, its slope dz/da is
    ``(zeta - gamma) / beta * s * (1 - s)`` where ``0 < z < 1``, else 0, and its
    on-probability is ``sigmoid(a + c)``.

    Parameters
    ----------
    uniforms : float32 array of shape (n,)
        In ``[0, 1)``; mapped to ``[1e-6, 1 - 1e-6)``.
    log_odds : float32 array of shape (n,)
        The parameters a.
    gates_, slopes_, on_probability_ : float32 arrays of shape (n,)
        Overwritten with z, dz/da and P(z != 0).
    """
    for j in range(len(log_odds)):
        u = multiply_add(_SPAN, uniforms[j], _EDGE)
        x = (log(u / (_ONE - u)) + log_odds[j]) * _INV_BETA
        t = exp(-abs(x))
        inverse = _ONE / (_ONE + t)
        z = multiply_add(inverse if x >= _ZERO else t * inverse, _STRETCH, _GAMMA)
        slope = _SLOPE * t * inverse * inverse
        slopes_[j] = slope if (z > _ZERO) & (z < _ONE) else _ZERO
        gates_[j] = min(max(z, _ZERO), _ONE)
        on_probability_[j] = sigmoid(log_odds[j] + _SHIFT)


@kernel
def draw_gates_(gates_, uniforms, held_open):
    """Sample all gates of one mini-batch, or hold them open, and tally them."""
    n = gates_.n_gates
    values, pi = floats(gates_.gate_value, n), floats(gates_.on_probability, n)
    gradient = floats(gates_.gate_gradient, n)
    on_count, on_sum = longs(gates_.on_count, n), doubles(gates_.on_sum, n)
    slopes = floats(gates_.gate_slope, n)
    sample_gates(uniforms, floats(gates_.log_odds, n), values, slopes, pi)
    if held_open:
        for j in range(n):
            values[j] = slopes[j] = pi[j] = np.float32(1.0)
    for j in range(n):
        on_count[j] += values[j] > 0
        on_sum[j] += pi[j]
        gradient[j] = np.float32(0.0)


@kernel
def clip_log_odds_(log_odds_):
    """Clip log-odds to +-4.605, in place: no gate may get stuck for good."""
    for j in range(len(log_odds_)):
        log_odds_[j] = min(max(log_odds_[j], -_LIMIT), _LIMIT)


@kernel
def update_gates_(gates_, params, rate):
    """Add the penalty's derivative and take one Adam step on the log-odds.

    Gates that are held open stay where they are: only their moments take in dL/dz.
    """
    n = gates_.n_gates
    price, probability = floats(gates_.l0_gradient, n), floats(gates_.on_probability, n)
    gradient, slope = floats(gates_.gate_gradient, n), floats(gates_.gate_slope, n)
    log_odds = floats(gates_.log_odds, n)
    lam = np.float32(params.lam)
    for j in range(n):
        pi = probability[j]
        by_price = lam * price[j] * pi * (np.float32(1.0) - pi)
        gradient[j] = multiply_add(gradient[j], slope[j], by_price)
    if params.held_open:
        rate = 0.0
    adam_step_(
        log_odds, floats(gates_.gate_first, n), floats(gates_.gate_second, n), gradient,
        np.float32(rate), np.float32(params.beta_1), np.float32(params.beta_2),
        np.float32(params.epsilon), np.float32(0.0),
    )  # fmt: skip
    clip_log_odds_(log_odds)
