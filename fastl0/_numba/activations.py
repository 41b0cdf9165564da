"""Activations of hidden units, and their derivatives."""

import numpy as np

from fastl0._numba.elementwise import sigmoid, tanh
from fastl0._numba.jit import kernel, multiply_add
from fastl0.kernel_api.codes import IDENTITY, LOGISTIC, RELU, TANH

# float32 throughout: a Python float in a kernel would turn the loop into float64.
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)


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
                row[j] = multiply_add(_ZERO, a, max(a, _ZERO) * gates[j])
        elif activation == TANH:
            for j in range(len(bias)):
                a = row[j] + bias[j]
                row[j] = multiply_add(_ZERO, a, tanh(a) * gates[j])
        elif activation == LOGISTIC:
            for j in range(len(bias)):
                a = row[j] + bias[j]
                row[j] = multiply_add(_ZERO, a, sigmoid(a) * gates[j])
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
