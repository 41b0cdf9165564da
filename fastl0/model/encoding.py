"""Inputs as parts: what a network reads in place of numbers, in NumPy.

An input becomes itself, standardised, and beside it one part for each bin between two quantiles of
the training rows: 0 below the bin, 1 above it, and on the way inside (Gorishniy, Rubachev and
Babenko 2022, arXiv 2203.05556, section 3.2). A sum of such parts is any function that is linear in
each bin, so that the first layer can bend at a threshold. Where numbers are missing (NaN), that is
a part of its own.

Part p of an input x is ``clip((x - start) * slope, low, high)``, which has the standardisation in
it, of x rounded to float32. The C core computes the same (`_kernels.RowSource`).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: A part: the number of its input; whether it says that x is missing; the numbers of the formula.
PART = np.dtype(
    [
        ("input", np.int32),
        ("is_missing", np.int32),
        ("start", np.float32),
        ("slope", np.float32),
        ("low", np.float32),
        ("high", np.float32),
    ]
)


class Encoding(NamedTuple):
    """What a network reads in place of the columns of X.

    Attributes
    ----------
    parts : ndarray of `PART`
        By input.
    n_features : int
        Columns of X.
    """

    parts: NDArray[Any]
    n_features: int


#: Numbers that a part takes in a model beside its weights: where it starts, and its slope.
NUMBERS_OF_A_PART = 2

#: Bins of an input that has as many different values.
N_BINS = 10

_LEAST_SPREAD = 1.0 / float(np.finfo(np.float32).max)

_PROBABILITIES = np.linspace(0.0, 1.0, N_BINS + 1)


def place_parts(
    values: NDArray[np.floating], weights: NDArray[np.float64] | None = None
) -> NDArray[Any]:
    """Say what parts some inputs are made of.

    Parameters
    ----------
    values : float array of shape (n_rows, n_inputs)
        Of training rows; NaN where they are missing.
    weights : float64 array of shape (n_rows,), default=None
        Of the rows, >= 0.

    Returns
    -------
    ndarray of `PART`
        By input, of each one at least.
    """
    if weights is not None:
        values, weights = values[weights > 0], weights[weights > 0]
    parts: list[tuple[Any, ...]] = []
    for number, stored in enumerate(values.T):
        column = stored.astype(np.float64)
        there = ~np.isnan(column)
        own = None if weights is None else weights[there]
        parts += _parts_of(number, column[there], own)
        if not there.all():
            parts.append((number, 1, 0.0, 0.0, 0.0, 1.0))
    return np.array(parts, PART)


def _parts_of(
    number: int, x: NDArray[np.float64], weights: NDArray[np.float64] | None
) -> list[tuple[Any, ...]]:
    """Parts of an input of which `x` are the values that are there."""
    if len(x) == 0:
        return [(number, 0, 0.0, 0.0, -np.inf, np.inf)]
    mean, deviation = _moments(x, weights)
    parts = [(number, 0, mean, _inverse(deviation), -np.inf, np.inf)]
    edges = np.unique(x)
    if len(edges) > N_BINS + 1:
        # Values of rows, not numbers in between: a weight of 2 is a row that is there twice.
        edges = np.unique(np.quantile(x, _PROBABILITIES, weights=weights, method="inverted_cdf"))
    if len(edges) < 3:  # a single bin is the input itself
        return parts
    for k, (left, right) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        low = -np.inf if k == 0 else 0.0
        high = np.inf if k == len(edges) - 2 else 1.0
        width = right - left
        mean, deviation = _moments(np.clip((x - left) / width, low, high), weights)
        slope = _inverse(width * deviation)
        if slope > 0.0:
            bounds = (low - mean) / deviation, (high - mean) / deviation
            parts.append((number, 0, left + mean * width, slope, *bounds))
    return parts


def _moments(x: NDArray[np.float64], weights: NDArray[np.float64] | None) -> tuple[float, float]:
    """Mean and standard deviation."""
    mean = float(np.average(x, weights=weights))
    return mean, float(np.sqrt(np.average((x - mean) ** 2, weights=weights)))


def _inverse(spread: float) -> float:
    """One over the spread; 0 for none, and for one so small that float32 has no such number."""
    return 1.0 / spread if spread > _LEAST_SPREAD else 0.0


def encode(
    values: NDArray[np.floating], parts: NDArray[Any], places: NDArray[np.intp], dtype: Any
) -> NDArray[np.floating]:
    """Compute parts.

    Parameters
    ----------
    values : float array of shape (n_rows, n_columns)
    parts : ndarray of `PART`
    places : intp array of shape (n_parts,)
        The column of `values` that holds the input of each part.
    dtype : dtype
        Of what is returned.

    Returns
    -------
    ndarray of shape (n_rows, n_parts)
    """
    # As rows of every kind are read.
    x = values.take(places, axis=1).astype(np.float32).astype(np.float64)
    start, slope = (parts[name].astype(np.float64) for name in ("start", "slope"))
    encoded = (x - start) * slope
    np.clip(encoded, parts["low"], parts["high"], out=encoded)
    missing = np.isnan(x)
    if missing.any():
        encoded[missing] = 0.0
    is_missing = parts["is_missing"] != 0
    if is_missing.any():
        encoded[:, is_missing] = missing[:, is_missing]
    return encoded.astype(dtype)
