"""What the size of a network is. Imports nothing of fastl0."""

from collections.abc import Sequence
from typing import TypeVar

Number = TypeVar("Number", int, float)


def count_parameters(widths: Sequence[Number]) -> Number:
    """Number of weights and biases of a dense network.

    Parameters
    ----------
    widths : sequence of int or float
        Units of every layer, or how many are expected, inputs first, outputs last.
    """
    return sum((i + 1) * o for i, o in zip(widths[:-1], widths[1:], strict=True))
