"""Small kernels that others are made of: exp, log, sums of rows and products, picking entries.

A trailing underscore marks an argument that is overwritten. `tests/naive.py` holds the same steps
in slow, plain float64.
"""

import math

import numpy as np

from fastl0._numba.jit import kernel

# float32 throughout: a Python float in a kernel would turn the loop into float64.
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)
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
def sum_rows(values, out_):
    """Overwrite `out_` (n_units,) by the column sums of `values` (n_rows, >= n_units)."""
    for j in range(len(out_)):
        out_[j] = _ZERO
    for i in range(values.shape[0]):
        row = values[i]
        for j in range(len(out_)):
            out_[j] += row[j]


@kernel
def gather_(values, places, out_):
    """Overwrite `out_` (n,) by ``values[places]``; places int32 (n,)."""
    for c in range(len(places)):
        out_[c] = values[places[c]]


@kernel
def scatter_(values, places, out_):
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
