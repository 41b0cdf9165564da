"""Small kernels that others are made of: exp, log, sums of rows and products, picking entries.

A trailing underscore marks an argument that is overwritten. `tests/naive.py` holds the same steps
in slow, plain float64.
"""

import math

import numpy as np

from fastl0._numba.jit import kernel, multiply_add

# float32 throughout: a Python float in a kernel would turn the loop into float64.
_ONE = np.float32(1.0)
_ZERO = np.float32(0.0)
_HALF = np.float32(0.5)

# Not those of the C library: their last bits differ from machine to machine, and no loop over
# calls can be vectorised. These are plain arithmetic, on the bits of a float32 where it helps:
# 23 of them mantissa under a biased exponent.
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
# Taylor coefficients of tanh, and up to where six of them do.
_T3, _T5, _T7, _T9, _T11 = (
    np.float32(c) for c in (-1 / 3, 2 / 15, -17 / 315, 62 / 2835, -1382 / 155925)
)
_SMALL_TANH = np.float32(0.4)


@kernel
def exp(x):
    """Exponential of a float32 number <= 0, to 2e-7; below -87 as at -87, of NaN NaN.

    With ``x = n * log(2) + r``: 2^n times the Taylor series of ``exp(r)``.
    """
    y = _LOWEST_EXPONENT if x < _LOWEST_EXPONENT else x
    # Rounded to the nearest: y is not positive, and conversion cuts towards zero.
    n = np.int32(multiply_add(y, _LOG2_E, -_HALF))
    whole = np.float32(n)
    r = multiply_add(-whole, _LN2_LOW, multiply_add(-whole, _LN2_HIGH, y))
    p = multiply_add(_E7, r, _E6)
    p = multiply_add(p, r, _E5)
    p = multiply_add(p, r, _E4)
    p = multiply_add(p, r, _E3)
    p = multiply_add(p, r, _E2)
    power_of_2 = np.int32((n + _BIAS) << _N_MANTISSA).view(np.float32)
    return (multiply_add(p * r, r, r) + _ONE) * power_of_2


@kernel
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
    p = multiply_add(_L9, q, _L7)
    p = multiply_add(p, q, _L5)
    p = multiply_add(p, q, _L3) * q
    return multiply_add(n, _LN2_HIGH, multiply_add(n, _LN2_LOW, _TWO * multiply_add(s, p, s)))


@kernel
def log1p(x):
    """Logarithm of 1 + x, of a float32 number in [0, 1], to 4e-7 of the result.

    What 1 + x loses of x is made up for by a factor (Higham 2002, "Accuracy and Stability of
    Numerical Algorithms", section 1.14.1).
    """
    u = _ONE + x
    return x if u == _ONE else log(u) * (x / (u - _ONE))


@kernel
def tanh(x):
    """Hyperbolic tangent of a float32 number, to 4e-7 of the result; of NaN NaN.

    Near 0 the Taylor series, elsewhere ``(1 - t) / (1 + t)`` with ``t = exp(-2 |x|)``.
    """
    size = abs(x)
    t = exp(-_TWO * size)
    large = (_ONE - t) / (_ONE + t)
    q = x * x
    p = multiply_add(_T11, q, _T9)
    p = multiply_add(p, q, _T7)
    p = multiply_add(p, q, _T5)
    p = multiply_add(p, q, _T3) * q
    small = multiply_add(p, x, x)
    return small if size < _SMALL_TANH else (large if x >= _ZERO else -large)


@kernel
def power(x, n):
    """The n-th power of a float64 number, n >= 0 an int64, by squaring."""
    result = 1.0
    while n > 0:
        if n & 1:
            result *= x
        x *= x
        n >>= 1
    return result


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
