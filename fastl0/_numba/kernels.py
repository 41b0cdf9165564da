"""Element-wise Numba kernels: gates, activations, losses and optimiser steps.

Each kernel is one loop over its arguments; a trailing underscore marks an argument that
is overwritten. `tests/naive.py` holds the same steps in slow, plain float64.
May import `gates` (constants) and `jit`.
"""

import math

import numpy as np

from fastl0._numba.jit import kernel
from fastl0.model.hard_concrete import BETA, GAMMA, LOG_ODDS_LIMIT, SHIFT, ZETA

IDENTITY, LOGISTIC, TANH, RELU = range(4)
(
    SOFTMAX_LOSS, LOGISTIC_LOSS, SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, QUANTILE, POISSON,
) = range(7)  # fmt: skip
LOSSES = {
    "softmax": SOFTMAX_LOSS,
    "logistic": LOGISTIC_LOSS,
    "squared_error": SQUARED_ERROR,
    "absolute_error": ABSOLUTE_ERROR,
    "huber": HUBER,
    "quantile": QUANTILE,
    "poisson": POISSON,
}
ADAM, SGD = range(2)

ACTIVATIONS = {"identity": IDENTITY, "logistic": LOGISTIC, "tanh": TANH, "relu": RELU}
SOLVERS = {"adam": ADAM, "sgd": SGD}

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
_HALF = np.float32(0.5)


# The C library's exp and log are calls, and no loop over calls can be vectorised: these two
# are plain arithmetic on the bits of a float32, 23 of them mantissa under a biased exponent.
_LOG2_E = np.float32(1.0 / math.log(2.0))
# log(2) in two parts: the first has so few bits that its multiples are exact.
_LN2_HIGH = np.float32(355.0 / 512.0)
_LN2_LOW = np.float32(math.log(2.0) - 355.0 / 512.0)
_LOWEST_EXPONENT = np.float32(-87.0)
_N_MANTISSA, _MANTISSA = np.int32(23), np.int32(0x007FFFFF)
_BIAS, _BITS_OF_ONE = np.int32(127), np.int32(0x3F800000)
_SQRT_2 = np.float32(math.sqrt(2.0))
_TWO = np.float32(2.0)
_E2, _E3, _E4, _E5, _E6, _E7 = (np.float32(1.0 / math.factorial(k)) for k in range(2, 8))
_L3, _L5, _L7, _L9 = (np.float32(1.0 / k) for k in (3, 5, 7, 9))


@kernel(exact=True)
def exp(x):
    """Exponential of a float32 number <= 0, to 2e-7; below -87 as at -87, of NaN NaN.

    With ``x = n * log(2) + r``: 2^n times the Taylor series of ``exp(r)``.
    """
    y = _LOWEST_EXPONENT if x < _LOWEST_EXPONENT else x
    n = np.floor(y * _LOG2_E + _HALF)
    r = y - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_E7 * r + _E6) * r + _E5) * r + _E4) * r + _E3) * r + _E2
    power = np.int32((np.int32(n) + _BIAS) << _N_MANTISSA).view(np.float32)
    return (p * r * r + r + _ONE) * power


@kernel(exact=True)
def log(x):
    """Logarithm of a normal positive float32 number, to 2e-7 (of the result or of 1).

    With ``x = 2^n * m``, m around 1: ``n * log(2)`` plus the series of
    ``log(m) = 2 * atanh((m - 1) / (m + 1))``.
    """
    bits = np.float32(x).view(np.int32)
    n = np.float32((bits >> _N_MANTISSA) - _BIAS)
    m = np.int32((bits & _MANTISSA) | _BITS_OF_ONE).view(np.float32)
    is_high = m > _SQRT_2
    n = n + _ONE if is_high else n
    m = m * _HALF if is_high else m
    s = (m - _ONE) / (m + _ONE)
    q = s * s
    p = (((_L9 * q + _L7) * q + _L5) * q + _L3) * q
    return _TWO * (s + s * p) + n * _LN2_LOW + n * _LN2_HIGH


@kernel
def sigmoid(x):
    """Logistic function of a float32 number, without overflow."""
    t = exp(-abs(x))
    return (_ONE if x >= _ZERO else t) / (_ONE + t)


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
        u = _EDGE + _SPAN * uniforms[j]
        x = (log(u / (_ONE - u)) + log_odds[j]) * _INV_BETA
        t = exp(-abs(x))
        inverse = _ONE / (_ONE + t)
        z = (inverse if x >= _ZERO else t * inverse) * _STRETCH + _GAMMA
        slope = _SLOPE * t * inverse * inverse
        slopes_[j] = slope if (z > _ZERO) & (z < _ONE) else _ZERO
        gates_[j] = min(max(z, _ZERO), _ONE)
        on_probability_[j] = sigmoid(log_odds[j] + _SHIFT)


@kernel
def activate_(activation, values_, bias, gates):
    """Overwrite pre-activations by gated activations: ``gates * f(values + bias)``.

    Where a pre-activation is not finite, its activation is neither: an infinite one gives NaN or
    infinity.

    Parameters
    ----------
    activation : int
        One of `IDENTITY`, `LOGISTIC`, `TANH`, `RELU`.
    values_ : float32 array of shape (n_rows, >= n_units)
        Its first n_units columns are overwritten.
    bias, gates : float32 arrays of shape (n_units,)
    """
    # A sum that has overflowed must be seen in the loss, and f would hide it: 0 times it is NaN.
    for i in range(values_.shape[0]):
        row = values_[i]
        if activation == RELU:
            for j in range(len(bias)):
                a = row[j] + bias[j]
                row[j] = max(a, _ZERO) * gates[j] + _ZERO * a
        elif activation == TANH:
            for j in range(len(bias)):
                a = row[j] + bias[j]
                row[j] = math.tanh(a) * gates[j] + _ZERO * a
        elif activation == LOGISTIC:
            for j in range(len(bias)):
                a = row[j] + bias[j]
                row[j] = sigmoid(a) * gates[j] + _ZERO * a
        else:
            for j in range(len(bias)):
                row[j] = (row[j] + bias[j]) * gates[j]


@kernel
def differentiate_(activation, values, upstream_, gates):
    """Turn the loss's derivative by ``z * h`` into that by the pre-activation.

    With ``h = f(a)`` and ``values = z * h``: ``upstream *= z * f'(a)``, f' expressed by h.

    Parameters
    ----------
    activation : int
    values : float32 array of shape (n_rows, >= n_units)
    upstream_ : float32 array of shape (n_rows, >= n_units)
        Its first n_units columns are overwritten.
    gates : float32 array of shape (n_units,)
        Where a gate is 0 the result is 0.
    """
    for i in range(values.shape[0]):
        row = values[i]
        up = upstream_[i]
        if activation == RELU:
            for j in range(len(gates)):
                up[j] = up[j] * gates[j] if row[j] > _ZERO else _ZERO
        elif activation == IDENTITY:
            for j in range(len(gates)):
                up[j] = up[j] * gates[j]
        else:
            for j in range(len(gates)):
                z = gates[j]
                h = row[j] / z if z > _ZERO else _ZERO
                slope = _ONE - h * h if activation == TANH else h * (_ONE - h)
                up[j] = up[j] * z * slope


@kernel
def output_loss_(loss, parameter, values_, bias, targets, scale, losses_):
    """Overwrite output pre-activations by the derivative of the loss; note each row's loss.

    Losses of a row are sums over its outputs. With x the pre-activations, r = x - y and c the
    parameter:

    - `SOFTMAX_LOSS`: cross-entropy of the softmax with smoothed labels (Szegedy et al. 2016,
      arXiv 1512.00567, section 7), of which a share c is spread evenly over all classes; y
      holds class codes.
    - `LOGISTIC_LOSS`: binary cross-entropy with labels y of 0 or 1, smoothed in the same way.
    - `SQUARED_ERROR`: r**2 / 2. `ABSOLUTE_ERROR`: |r|.
    - `HUBER`: r**2 / 2 up to |r| = c, c * (|r| - c / 2) above (Huber 1964).
    - `QUANTILE`: c * |r| for r < 0, (1 - c) * |r| above (Koenker and Bassett 1978).
    - `POISSON`: exp(x) - y * x, half the deviance up to a constant.

    Parameters
    ----------
    loss : int
    parameter : float32
    values_ : float32 array of shape (n_rows, >= n_outputs)
        Pre-activations without bias; overwritten with their derivatives times `scale`.
    bias : float32 array of shape (n_outputs,)
    targets : float32 array of shape (n_rows, n_codes) or (n_rows, n_codes + 1)
        y, and in the last column, where it is there, the weight of the row. n_codes is 1 for
        `SOFTMAX_LOSS`, else n_outputs.
    scale : float32
        One over the rows of the mini-batch, for the derivative of the mean loss.
    losses_ : float64 array of shape (n_rows,)
        Overwritten.
    """
    n_outputs = len(bias)
    n_codes = 1 if loss == SOFTMAX_LOSS else n_outputs
    weighted = targets.shape[1] > n_codes
    for i in range(values_.shape[0]):
        row = values_[i]
        for j in range(n_outputs):
            row[j] += bias[j]
        weight = targets[i, n_codes] if weighted else _ONE
        if weight == _ZERO:  # such a row is none, whatever its loss
            losses_[i] = 0.0
            for j in range(n_outputs):
                row[j] = _ZERO
            continue
        if loss == SOFTMAX_LOSS:
            losses_[i] = _softmax_loss_(parameter, row, n_outputs, targets[i], weight * scale)
        elif loss == LOGISTIC_LOSS:
            losses_[i] = _logistic_loss_(parameter, row, n_outputs, targets[i], weight * scale)
        else:
            losses_[i] = _real_loss_(loss, parameter, row, n_outputs, targets[i], weight * scale)
        losses_[i] *= weight


@kernel(part=True)
def _softmax_loss_(smoothing, row, n_outputs, codes, scale):
    code = int(codes[0])
    highest = row[0]
    for j in range(1, n_outputs):
        highest = max(highest, row[j])
    wanted = (_ONE - smoothing) * (row[code] - highest)
    if smoothing > _ZERO:
        for j in range(n_outputs):
            wanted += smoothing * (row[j] - highest) / np.float32(n_outputs)
    total = _ZERO
    for j in range(n_outputs):
        total += _ZERO * row[j]  # NaN where it is infinite, of which exp makes 0
        row[j] = exp(row[j] - highest)
        total += row[j]
    share = scale / total
    spread = scale * smoothing / np.float32(n_outputs)
    for j in range(n_outputs):
        row[j] = row[j] * share - spread
    row[code] -= scale * (_ONE - smoothing)
    return math.log(total) - wanted


@kernel(part=True)
def _logistic_loss_(smoothing, row, n_outputs, codes, scale):
    loss = 0.0
    for j in range(n_outputs):
        y = codes[j] * (_ONE - smoothing) + _HALF * smoothing
        # -log p = log(1 + exp(-x)) for y = 1, with x negated for y = 0
        loss += max(row[j], _ZERO) - y * row[j] + math.log1p(exp(-abs(row[j])))
        row[j] = (sigmoid(row[j]) - y) * scale
    return loss


@kernel(part=True)
def _real_loss_(loss, parameter, row, n_outputs, y, scale):
    total = 0.0
    for j in range(n_outputs):
        r = row[j] - y[j]
        if loss == POISSON:
            # exp is one of numbers <= 0; it does not overflow, and of NaN it is NaN.
            mean = _ONE / exp(-row[j]) if row[j] > _ZERO else exp(row[j])
            total += mean - y[j] * row[j]
            slope = mean - y[j]
        elif loss == SQUARED_ERROR or (loss == HUBER and abs(r) <= parameter):
            total += _HALF * r * r
            slope = r
        else:
            # Above for r > 0, below for r < 0, and no way to go for r = 0.
            above, below = _ONE, _ONE
            if loss == HUBER:
                above, below = parameter, parameter
                total -= _HALF * parameter * parameter
            elif loss == QUANTILE:
                above, below = _ONE - parameter, parameter
            slope = above if r > _ZERO else (-below if r < _ZERO else r)
            total += slope * r
        row[j] = slope * scale
    return total


@kernel
def sum_rows(values, out_):
    """Overwrite `out_` (n_units,) by the column sums of `values` (n_rows, >= n_units)."""
    for j in range(len(out_)):
        out_[j] = _ZERO
    for i in range(values.shape[0]):
        row = values[i]
        for j in range(len(out_)):
            out_[j] += row[j]


@kernel
def pick_(values, places, out_):
    """Overwrite `out_` (n,) by ``values[places]``; places int32 (n,)."""
    for c in range(len(places)):
        out_[c] = values[places[c]]


@kernel
def spread_(values, places, out_):
    """Overwrite `out_` by zeros, and ``out[places]`` by `values` (n,); places int32 (n,)."""
    for c in range(len(out_)):
        out_[c] = _ZERO
    for c in range(len(places)):
        out_[places[c]] = values[c]


@kernel
def dot(a, b):
    """Sum of the products of two float32 vectors."""
    total = _ZERO
    for k in range(len(a)):
        total += a[k] * b[k]
    return total


@kernel
def adam_step_(theta_, first_, second_, gradient, rate, beta_1, beta_2, epsilon, decay):
    """One Adam step (Kingma and Ba 2015, algorithm 1, in scikit-learn's arrangement).

    With ``g = gradient + decay * theta``: ``m = beta_1 * m + (1 - beta_1) * g``,
    ``v = beta_2 * v + (1 - beta_2) * g**2``, ``theta -= rate * m / (sqrt(v) + epsilon)``;
    `rate` already holds the bias correction.

    Parameters
    ----------
    theta_, first_, second_ : float32 arrays of shape (n,)
        Parameters and moments, overwritten.
    gradient : float32 array of shape (n,)
    rate, beta_1, beta_2, epsilon, decay : float32
    """
    keep_1 = _ONE - beta_1
    keep_2 = _ONE - beta_2
    for k in range(len(theta_)):
        g = gradient[k] + decay * theta_[k]
        m = beta_1 * first_[k] + keep_1 * g
        v = beta_2 * second_[k] + keep_2 * g * g
        first_[k] = m
        second_[k] = v
        theta_[k] -= rate * m / (math.sqrt(v) + epsilon)


@kernel
def sgd_step_(theta_, velocity_, gradient, rate, momentum, nesterov, decay):
    """One step of gradient descent with momentum, as in scikit-learn.

    With ``g = gradient + decay * theta``: ``velocity = momentum * velocity - rate * g``;
    theta moves by it, or with Nesterov by ``momentum * velocity - rate * g``.

    Parameters
    ----------
    theta_, velocity_ : float32 arrays of shape (n,)
        Overwritten.
    gradient : float32 array of shape (n,)
    rate, momentum, decay : float32
    nesterov : bool
    """
    for k in range(len(theta_)):
        step = rate * (gradient[k] + decay * theta_[k])
        v = momentum * velocity_[k] - step
        velocity_[k] = v
        theta_[k] += momentum * v - step if nesterov else v


@kernel
def clamp_(log_odds_):
    """Clip log-odds to +-4.605, in place: no gate may get stuck for good."""
    for j in range(len(log_odds_)):
        log_odds_[j] = min(max(log_odds_[j], -_LIMIT), _LIMIT)
