"""What training takes of y: encoded targets, and what they mean for a network's outputs.

`Targets` is all that training a classifier and training a regressor differ in, and a
`TargetEncoder` makes them from y: see `class_targets` and `regression_targets`.
"""

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

#: Most that a row of a stream may weigh: its weight is taken as it is, and squared in float32.
MAX_WEIGHT = 1e18

#: What a number counts as, at least, where a loss of validation rows takes its logarithm.
SMALLEST = float(np.finfo(np.float32).eps)


class Targets(Protocol):
    """Encoded targets of some rows.

    Attributes
    ----------
    codes : ndarray of shape (n_rows, n_codes)
        What the kernels learn from: uint8, int32 or float32.
    n_outputs : int
        Units of the output layer.
    loss : str
        Name of the loss, see `kernel_api.codes.LOSSES`.
    parameter : float
        Of the loss, where it has one.
    out_activation : {"softmax", "logistic", "identity", "exp"}
    center, scale : float64 arrays of shape (n_outputs,), or None
        What an output means: ``center + scale * output`` before its activation.
    """

    codes: NDArray[Any]
    n_outputs: int
    loss: str
    parameter: float
    out_activation: str
    center: NDArray[np.float64] | None
    scale: NDArray[np.float64] | None

    @property
    def strata(self) -> NDArray[Any] | None:
        """What a split of the rows shall keep the shares of."""

    def null_loss(self, weights: NDArray[np.floating] | None) -> float:
        """Mean loss of the best prediction that is the same for every row."""

    def take(self, rows: NDArray[np.integer]) -> Self:
        """Return the targets of some rows."""

    def mean_loss(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """Mean loss of a network's outputs."""

    def row_losses(self, outputs: NDArray[Any]) -> NDArray[np.float64]:
        """Loss of each row for a network's outputs."""

    def score(self, outputs: NDArray[Any], weights: NDArray[np.floating] | None) -> float:
        """Score of a network's outputs: accuracy, or R^2."""

    def check_enough_to_score(self) -> None:
        """Check that these rows are enough for a score."""

    def encode_like(self, y: Any, name: str) -> Self:
        """Check and encode y of other rows in the same way; `name` is what errors call it."""

    def encode_trusted(self, y: Any) -> NDArray[np.float32] | None:
        """Encode y of a few rows, with weights of 1; None where it needs to be checked."""

    def check_classes(self, classes: Any) -> None:
        """Check that the classes named in a later call are the same."""


class RowWeigher(Protocol):
    """What the rows of a stream weigh by their encoded targets."""

    def weigh(self, codes: NDArray[Any]) -> NDArray[np.float64]:
        """Return the weights of some rows, which are counted."""


class TargetEncoder(Protocol):
    """Checks and encodes y, as an estimator with its parameters does."""

    def encode(self, y: Any, weights: NDArray[np.float64] | None) -> Targets:
        """Encode y for a new fit; `weights` are those of the rows."""

    def encode_again(self, y: Any, weights: NDArray[np.float64] | None, before: Targets) -> Targets:
        """Encode y for a fit that goes on from one that ended with the targets `before`."""

    def encode_first(self, y: Any, weights: NDArray[np.float64] | None, classes: Any) -> Targets:
        """Encode the first rows of a stream; `classes` are the labels there will be, or None."""

    def update(self, before: Targets) -> Targets:
        """Return targets of no rows that mean the same as `before`, with the present parameters."""

    def row_weights(
        self, y: Any, sample_weight: NDArray[np.float64] | None
    ) -> NDArray[np.float64] | None:
        """Return what the rows weigh in all; None for all the same."""

    def weigher(self, targets: Targets, before: Any = None) -> RowWeigher | None:
        """Return what weighs the rows of a stream, one that goes on from `before`; or None."""
