"""The frozen network: what is left once training is over, and its forward pass.

A plain dense MLP in NumPy; does not need the C core.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.special import expit

from fastl0.model.encoding import NUMBERS_OF_A_PART, Encoding, encode
from fastl0.model.hard_concrete import deterministic_gate

#: Bytes of input and activations worked on at a time when many rows are predicted.
_BLOCK_NBYTES = 8 * 2**20

#: Numbers up to which a product of vectors is the quickest way to look at them.
_SMALL = 2**13

#: Weights of a layer from which on it pays to look for zeros among its inputs.
_LARGE = 2**14

Number = TypeVar("Number", int, float)


def count_parameters(widths: Sequence[Number], input_cost: int = 0) -> Number:
    """Number of weights and biases of a dense network.

    Parameters
    ----------
    widths : sequence of int or float
        Units of every layer, or how many are expected, inputs first, outputs last.
    input_cost : int, default=0
        Numbers that each input takes beside its weights.
    """
    weights = sum((i + 1) * o for i, o in zip(widths[:-1], widths[1:], strict=True))
    return weights + input_cost * widths[0]


@dataclass(frozen=True)
class Network:
    """A compact dense network.

    Attributes
    ----------
    coefs : list of float32 arrays of shape (fan_in, fan_out)
        Weights of each layer; gates are folded in.
    intercepts : list of float32 arrays of shape (fan_out,)
    support : bool array of shape (n_features,), or of shape (n_parts,)
        The columns of X, or the parts, that the first layer reads.
    activation : {"identity", "logistic", "tanh", "relu"}
        Of the hidden layers.
    out_activation : {"softmax", "logistic", "identity", "exp"}
        Of the outputs.
    encoding : Encoding, default=None
        What inputs are made of; None for columns of X as they are.
    """

    coefs: list[NDArray[np.float32]]
    intercepts: list[NDArray[np.float32]]
    support: NDArray[np.bool_]
    activation: str
    out_activation: str
    encoding: Encoding | None = None

    @property
    def n_units(self) -> tuple[int, ...]:
        """Units of every layer, inputs first, outputs last."""
        return (len(self.coefs[0]), *(len(intercept) for intercept in self.intercepts))

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases, and of the numbers that parts take."""
        of_parts = 0 if self.encoding is None else NUMBERS_OF_A_PART * len(self.coefs[0])
        return sum(array.size for array in [*self.coefs, *self.intercepts]) + of_parts

    @property
    def parts(self) -> NDArray[Any] | None:
        """The parts that the first layer reads, where there are parts."""
        return None if self.encoding is None else self.encoding.parts[self.support]

    @property
    def inputs(self) -> NDArray[np.bool_]:
        """Which columns of X are read."""
        if self.encoding is None:
            return self.support
        read = np.zeros(self.encoding.n_features, dtype=bool)
        read[self.encoding.parts["input"][self.support]] = True
        return read

    @np.errstate(over="ignore", invalid="ignore")  # `_forward` looks for what comes of it
    def outputs(self, X: Any) -> NDArray[np.floating]:
        """Compute the activated outputs.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_features)
            Any real dtype, finite, within the range of float32. Rows are worked on in blocks: X
            is never converted as a whole.

        Returns
        -------
        ndarray of shape (n_rows, n_outputs)
            float64 for float64 input, else float32. What is too large for it is infinite.
        """
        dtype = np.float64 if X.dtype == np.float64 else np.float32
        if self.encoding is not None:
            return self._outputs_of_parts(X, dtype)
        reads_all = np.count_nonzero(self.support) == len(self.support)
        columns = None if reads_all else self.support.nonzero()[0]
        if X.shape[0] == 1:
            return self._forward(_select(X, columns, dtype)).astype(dtype, copy=False)
        out = np.empty((X.shape[0], len(self.intercepts[-1])), dtype=dtype)
        for rows in self._blocks(X.shape, out.itemsize):
            out[rows] = self._forward(_select(X[rows], columns, dtype))
        return out

    def _outputs_of_parts(self, X: Any, dtype: type) -> NDArray[np.floating]:
        parts = self.parts
        assert parts is not None
        columns, places = np.unique(parts["input"], return_inverse=True)
        out = np.empty((X.shape[0], len(self.intercepts[-1])), dtype=dtype)
        for rows in self._blocks((X.shape[0], max(X.shape[1], len(parts))), 8):
            block = X[rows][:, columns]
            block = block.toarray() if issparse(block) else block
            out[rows] = self._forward(encode(block, parts, places, dtype))
        return out

    def predict_codes(self, X: Any) -> NDArray[np.intp]:
        """Predict class codes, indices into the sorted classes.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_rows, n_features)

        Returns
        -------
        intp array of shape (n_rows,), or of shape (n_rows, n_outputs) for several
        logistic outputs
        """
        return codes_of(self.outputs(X), self.out_activation)

    def denormalize_outputs(self, center: ArrayLike | None, scale: ArrayLike | None) -> "Network":
        """Return the network whose outputs, before activation, are those of targets unscaled.

        Parameters
        ----------
        center, scale : array-like of shape (n_outputs,), or None
            Training took ``(y - center) / scale`` for y, and y / scale before a logarithm.
        """
        if center is None or scale is None:
            return self
        coefs, intercepts = list(self.coefs), list(self.intercepts)
        if self.out_activation == "exp":
            intercepts[-1] = (intercepts[-1] + np.log(scale)).astype(np.float32)
        else:
            coefs[-1] = (coefs[-1] * np.asarray(scale)).astype(np.float32)
            intercepts[-1] = (intercepts[-1] * np.asarray(scale) + np.asarray(center)).astype(
                np.float32
            )
        return replace(self, coefs=coefs, intercepts=intercepts)

    def normalize_outputs(self, center: ArrayLike | None, scale: ArrayLike | None) -> "Network":
        """Undo `denormalize_outputs`."""
        if center is None or scale is None:
            return self
        back = np.reciprocal(np.asarray(scale, np.float64))
        if self.out_activation == "exp":
            return self.denormalize_outputs(center, back)
        return self.denormalize_outputs(-np.asarray(center) * back, back)

    def _blocks(self, shape: tuple[int, int], itemsize: int) -> Iterator[slice]:
        n_rows, n_features = shape
        step = max(1, _BLOCK_NBYTES // (itemsize * max(n_features, *map(len, self.intercepts))))
        for start in range(0, n_rows, step):
            yield slice(start, start + step)

    def _forward(self, block: Any) -> NDArray[np.floating]:
        """Outputs of some rows; in float64 where a sum on the way is too large for float32.

        Sums are looked at before they are activated: a tanh makes 1 of infinity, and a relu 0 of
        minus infinity, whatever the sum would have come to. Flags of the processor would not do:
        threads of a BLAS keep theirs, and sparse products raise none.
        """
        last = len(self.coefs) - 1
        may_overflow = block.dtype == np.float32
        values = block
        for layer, (coef, intercept) in enumerate(zip(self.coefs, self.intercepts, strict=True)):
            if values.shape[0] == 1 and coef.size >= _LARGE and not issparse(values):
                values, coef = _without_zeros(values, coef)
            values = values @ coef
            values += intercept
            if may_overflow and not _all_finite(values):
                return self._forward(block.astype(np.float64))
            _activate_(values, self.activation if layer < last else self.out_activation)
        return values


def codes_of(outputs: NDArray[np.floating], out_activation: str) -> NDArray[np.intp]:
    """Class codes from activated outputs (n_rows, n_outputs)."""
    if out_activation == "softmax":
        return np.argmax(outputs, axis=1)
    codes = (outputs > 0.5).astype(np.intp)
    return codes[:, 0] if codes.shape[1] == 1 else codes


def _all_finite(values: NDArray[np.float32]) -> bool:
    """Whether all values are finite, and not so large that their sum, or that of squares, is not.

    One number tells. For a single row the product is quicker; for many rows the BLAS would call
    its threads, and wait for them where others use the processor.
    """
    is_small = values.size <= _SMALL
    return math.isfinite(np.vdot(values, values) if is_small else np.add.reduce(values, axis=None))


def _without_zeros(
    row: NDArray[np.floating], coef: NDArray[np.float32]
) -> tuple[NDArray[np.floating], NDArray[np.float32]]:
    """Leave out the terms of ``row @ coef`` that are zero, where these are many.

    Reading the weights is all the cost of a single row.
    """
    used = row[0].nonzero()[0]
    if len(used) > 0.6 * row.shape[1]:
        return row, coef
    return row.take(used, axis=1), coef.take(used, axis=0)


def _select(block: Any, columns: NDArray[np.intp] | None, dtype: type) -> Any:
    if columns is not None:
        block = block[:, columns] if issparse(block) else block.take(columns, axis=1)
    return block.astype(dtype, copy=False)


def _activate_(values: NDArray[np.floating], activation: str) -> None:
    if activation == "relu":
        np.maximum(values, 0, out=values)
    elif activation == "tanh":
        np.tanh(values, out=values)
    elif activation == "logistic":
        expit(values, out=values)
    elif activation == "exp":
        np.exp(values, out=values)
    elif activation == "softmax":
        values -= np.maximum.reduce(values, axis=1, keepdims=True)
        np.exp(values, out=values)
        values /= np.add.reduce(values, axis=1, keepdims=True)


def fold_gates(
    layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    log_odds: Sequence[NDArray[np.float32] | None],
) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]], NDArray[np.intp]]:
    """Fold deterministic gates into the weights they multiply; drop units whose gate is 0.

    Dropping them leaves the function unchanged: their rows would be zero. A layer keeps
    at least the unit with the highest log-odds.

    Parameters
    ----------
    layers : sequence of (weights, biases)
        float32 arrays of shapes (fan_in, fan_out) and (fan_out,); not modified.
    log_odds : sequence of float32 arrays of shape (fan_in,), or None
        Of the units that enter each layer; None where they carry no gates.

    Returns
    -------
    coefs, intercepts : lists of float32 arrays
        Copies that share no memory with `layers`.
    kept_inputs : intp array
        Positions of the inputs that stay.
    """
    gates = [
        np.ones(len(weights), np.float32) if a is None else deterministic_gate(a).astype(np.float32)
        for (weights, _), a in zip(layers, log_odds, strict=True)
    ]
    kept = []
    for gate, a in zip(gates, log_odds, strict=True):
        stays = np.flatnonzero(gate)
        kept.append(stays if len(stays) or a is None else np.array([np.argmax(a)]))
    kept.append(np.arange(len(layers[-1][1])))
    coefs, intercepts = [], []
    for index, (weights, bias) in enumerate(layers):
        rows, columns = kept[index], kept[index + 1]
        coefs.append(gates[index][rows, None] * weights[np.ix_(rows, columns)])
        intercepts.append(bias[columns])
    return coefs, intercepts, kept[0]
