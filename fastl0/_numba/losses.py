"""Losses of the outputs, and their derivatives."""

import numpy as np

from fastl0._numba.elementwise import exp, log, log1p, sigmoid
from fastl0._numba.jit import kernel
from fastl0.kernel_api.codes import (
    HUBER,
    LOGISTIC_LOSS,
    POISSON,
    QUANTILE,
    SOFTMAX_LOSS,
    SQUARED_ERROR,
)

# float32 throughout: a Python float in a kernel would turn the loop into float64.
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)


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
    target_logit = (_ONE - smoothing) * (row[code] - highest)
    if smoothing > _ZERO:
        for j in range(n_outputs):
            target_logit += smoothing * (row[j] - highest) / np.float32(n_outputs)
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
    return log(total) + _ZERO * total - target_logit


@kernel(part=True)
def _logistic_loss_(smoothing, row, n_outputs, codes, scale):
    loss = 0.0
    for j in range(n_outputs):
        y = codes[j] * (_ONE - smoothing) + _HALF * smoothing
        # -log p = log(1 + exp(-x)) for y = 1, with x negated for y = 0
        loss += max(row[j], _ZERO) - y * row[j] + log1p(exp(-abs(row[j])))
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
