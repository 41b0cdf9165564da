"""The centre and the scale in which a stream learns numbers, and how they follow its targets.

The first rows of a stream tell little of the targets to come, and these may drift. So running
moments of the last rows are kept, and where they have left the centre and the scale in use, the
output layer changes its units: what it predicts stays as it is (van Hasselt et al. 2016, arXiv
1602.07714, section 2.2).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Rows of a block. Moments are those of the last one to two blocks: a drift is followed within as
#: many rows, and chance moves them by less than the tolerances. The first blocks are shorter, each
#: of twice the rows of the one before, as the very first rows may be off.
_BLOCK = 256

#: How far the scale in use may be from the moments, as a ratio, and the centre, in scales.
_RATIO, _SHIFT = 1.25, 0.25

#: A row is far if it lies so many scales from the centre. So many of them have to come within a
#: block before they count: a few stray rows shall not change the scale of all others.
_FAR, _CONFIRMED = 8.0, 8

#: Rows from which on stray ones are told from others, and the scale may fall.
_FEW = 16

#: Mini-batches whose mean loss tells how large the errors of the network are.
_ERROR_BATCHES = 16

#: Errors in scales, at most: larger ones say no more.
_LARGEST_ERROR = 2.0

#: Mini-batches from one look at the moments to the next, once they are settled and of long blocks.
_PAUSE = 8

#: Rows up to which a loop takes less time than NumPy.
_SHORT = 32

#: A spread within so many parts of the mean is rounding.
_ROUNDING = 10.0 * float(np.finfo(float).eps)


class Change(NamedTuple):
    """Another centre and scale. An output x becomes ``factor * x + shift``; all by column."""

    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    factor: NDArray[np.float64]
    shift: NDArray[np.float64]


class Pull(NamedTuple):
    """How an output x is moved: to ``share * x + step``; by column."""

    share: NDArray[np.float64]
    step: NDArray[np.float64]


@dataclass
class _Rows:
    """The moments of some numbers."""

    n: int = 0
    weight: float = 0.0
    mean: float = 0.0
    square: float = 0.0  # weighted sum of squared deviations from the mean

    def add(self, n: int, weight: float, mean: float, square: float = 0.0) -> None:
        """Take in others (Chan, Golub and LeVeque 1983)."""
        total = self.weight + weight
        distance, share = mean - self.mean, weight / total
        self.n += n
        self.mean += share * distance
        self.square += square + self.weight * share * distance * distance
        self.weight = total


@dataclass
class _Column:
    """One column of the targets: what is in use, and what the last rows tell."""

    center: float
    scale: float
    logarithmic: bool
    earlier: _Rows = field(default_factory=_Rows)
    latest: _Rows = field(default_factory=_Rows)
    far: _Rows = field(default_factory=_Rows)
    room: int = 1  # rows of the latest block
    owed: float = 0.0  # what the bias has yet to move by

    # --- the last rows ---------------------------------------------------------------

    def note(self, value: float, weight: float) -> None:
        """Take in a row."""
        if abs(value - self.center) > _FAR * self.scale and self._knows_far:
            self.far.add(1, weight, value)
            if self.far.n < _CONFIRMED:
                return
            rows, self.far = self.far, _Rows()
            self._take(rows.n, rows.weight, rows.mean, rows.square)
        else:
            self._take(1, weight, value)

    def note_many(self, values: NDArray[np.float64], weights: NDArray[np.float64]) -> None:
        """Take in the rows of a mini-batch."""
        has_weight = weights > 0.0
        values, weights = values[has_weight], weights[has_weight]
        if self._knows_far:
            is_far = np.abs(values - self.center) > _FAR * self.scale
            if 0 < np.count_nonzero(is_far) < _CONFIRMED:
                for value, weight in zip(values[is_far], weights[is_far], strict=True):
                    self.note(float(value), float(weight))
                values, weights = values[~is_far], weights[~is_far]
        if len(values):
            total = float(weights.sum())
            mean = float((weights * values).sum()) / total
            square = float((weights * (values - mean) ** 2).sum())
            self._take(len(values), total, mean, square)

    @property
    def _knows_far(self) -> bool:
        """Whether there are rows enough, and not all the same, to tell which others are far."""
        is_many = self.latest.n + self.earlier.n >= _FEW
        return is_many and self.latest.square + self.earlier.square > 0.0 and not self.logarithmic

    def _take(self, n: int, weight: float, mean: float, square: float = 0.0) -> None:
        self.latest.add(n, weight, mean, square)
        if self.latest.n >= self.room:
            self.earlier, self.latest, self.far = self.latest, _Rows(), _Rows()
            self.room = min(_BLOCK, 2 * self.earlier.n)

    # --- what they tell --------------------------------------------------------------

    def moments(self) -> tuple[float, float]:
        """Centre and scale by the last rows; those in use as far as these do not tell."""
        a, b = self.earlier, self.latest
        total = a.weight + b.weight
        if total == 0.0:
            return self.center, self.scale
        distance, share = b.mean - a.mean, b.weight / total
        mean = a.mean + share * distance
        if self.logarithmic:
            return 0.0, mean if mean > 0.0 else self.scale
        spread = math.sqrt((a.square + b.square + a.weight * share * distance * distance) / total)
        is_known = spread > _ROUNDING * abs(mean)
        if not is_known or (spread < self.scale and a.n + b.n < _FEW):
            return mean, self.scale
        return mean, spread

    def wanted(self, error: float) -> tuple[float, float, bool]:
        """Centre and scale that shall be in use, and whether errors keep the scale from falling.

        Parameters
        ----------
        error : float
            Typical error of the network, in scales.
        """
        center, scale = self.moments()
        least = self.scale * min(1.0, error)
        is_held = _RATIO * scale < least and not self.logarithmic
        scale = max(scale, least)
        is_near = abs(center - self.center) <= _SHIFT * self.scale
        if is_near and self.scale <= _RATIO * scale and scale <= _RATIO * self.scale:
            return self.center, self.scale, is_held
        return center, scale, is_held


class OnlineScaler:
    """Running moments of the targets of a stream, and the centre and scale in use.

    Before every mini-batch call `note` and `is_up_to_date`; where that is false, `change` and, once
    the network has changed, `adopt`; then `pull`. Afterwards `update_loss`. All goes by
    mini-batches: how they are split into calls makes no difference.

    Where the network errs by more than the targets spread, as it does once these have become
    smaller, it has much to unlearn: in units of that spread, more than steps of the usual size
    can. So the scale falls no faster than the errors do, and meanwhile the outputs are pulled to
    the centre. After a change of the centre the biases are moved along. All this is learning:
    its pace is proportional to the learning rate.

    Parameters
    ----------
    center, scale : float64 arrays of shape (n_outputs,)
        To begin with.
    logarithmic : bool
        Whether outputs are logarithms; the scale is then the mean, and the centre 0.

    Attributes
    ----------
    has_rows : bool
        Whether there have been any.
    loss : float
        Of the rows since the errors of the network were measured.
    """

    def __init__(
        self, center: NDArray[np.float64], scale: NDArray[np.float64], *, logarithmic: bool
    ) -> None:
        pairs = zip(center.tolist(), scale.tolist(), strict=True)
        self._columns = [_Column(c, s, logarithmic) for c, s in pairs]
        self._logarithmic = logarithmic
        self.has_rows = False
        self._error = 1.0  # typical one of the network, in scales, as far as is known
        self._pause = 0
        self._weight, self._n_batches = 0.0, 0  # since it was measured
        self.loss = 0.0

    def start_from_known_scale(self, weight: float) -> None:
        """Take what is in use for the moments of a block of rows that weigh so much each."""
        self.has_rows = True
        total = _BLOCK * weight
        for column in self._columns:
            mean = column.scale if self._logarithmic else column.center
            column.earlier = _Rows(_BLOCK, total, mean, total * column.scale**2)
            column.room = _BLOCK

    def note(self, y: NDArray[Any], weights: NDArray[np.float64] | None) -> None:
        """Take in the targets of a mini-batch.

        Parameters
        ----------
        y : ndarray of shape (n_rows, n_outputs)
        weights : float64 array of shape (n_rows,), or None
        """
        self.has_rows = True
        n = len(y)
        if n == 1 and weights is None:
            for column, value in zip(self._columns, y[0].tolist(), strict=True):
                column.note(value, 1.0)
            return
        if n > _SHORT:
            each = np.ones(n) if weights is None else weights
            for j, column in enumerate(self._columns):
                column.note_many(y[:, j].astype(np.float64), each)
            return
        some = [1.0] * n if weights is None else weights.tolist()
        for column, values in zip(self._columns, y.T.tolist(), strict=True):
            for value, weight in zip(values, some, strict=True):
                if weight > 0.0:
                    column.note(value, weight)

    def is_up_to_date(self) -> bool:
        """Look whether there is something to change or to move; once before a mini-batch."""
        if self._pause > 0:
            self._pause -= 1
            return True
        for column in self._columns:
            center, scale, is_held = column.wanted(self._error)
            if is_held or column.owed or center != column.center or scale != column.scale:
                return False
        if all(column.earlier.n >= _BLOCK for column in self._columns):
            self._pause = _PAUSE - 1
        return True

    def change(self) -> Change | None:
        """Return the centre and scale that shall be in use, where they are not."""
        before = np.array([(c.center, c.scale) for c in self._columns])
        after = np.array([c.wanted(self._error)[:2] for c in self._columns])
        if np.array_equal(before, after):
            return None
        center, scale = after.T.copy()
        ratio = before[:, 1] / scale
        if self._logarithmic:
            return Change(center, scale, np.ones_like(ratio), np.log(ratio))
        return Change(center, scale, ratio, (before[:, 0] - center) / scale)

    def adopt(self, change: Change) -> None:
        """Note that a change has been made."""
        error = 0.0
        for column, center, scale, factor, shift in zip(
            self._columns, *(part.tolist() for part in change), strict=True
        ):
            column.owed = column.owed * factor - shift
            ratio, distance = column.scale / scale, (column.center - center) / scale
            column.center, column.scale = center, scale
            error = max(error, math.hypot(self._error * ratio, distance))
        self._error = min(error, _LARGEST_ERROR)
        self._begin_to_measure()

    def pull(self, pace: float) -> Pull | None:
        """Return how outputs are to be moved, where they are.

        Parameters
        ----------
        pace : float in (0, 1)
            What an output, in scales, may move by in one mini-batch.
        """
        shares, steps = [], []
        for column in self._columns:
            _, _, is_held = column.wanted(self._error)
            shares.append(1.0 - pace if is_held else 1.0)
            column.owed *= shares[-1]
            steps.append(min(pace, max(-pace, column.owed)))
            column.owed -= steps[-1]
        if all(share == 1.0 for share in shares) and not any(steps):
            return None
        return Pull(np.array(shares), np.array(steps))

    # --- the errors ------------------------------------------------------------------

    @property
    def n_until_measured(self) -> int:
        """Mini-batches that the errors are next measured after."""
        return _ERROR_BATCHES - self._n_batches

    def update_loss(
        self,
        loss: float,
        n_batches: int,
        n_rows: int,
        weights: NDArray[np.float64] | None,
        error_of: Callable[[float], float],
    ) -> None:
        """Note what the next mini-batches have lost.

        Parameters
        ----------
        loss : float
            Sum over the rows since the errors were measured, those before included.
        n_batches : int
            How many have come, `n_until_measured` at most.
        n_rows : int
            Of these.
        weights : float64 array of shape (n_rows,), or None
        error_of : callable
            The typical error of one output, in scales, by its mean loss.
        """
        self.loss = loss
        self._n_batches += n_batches
        if weights is None:
            self._weight += n_rows
        else:
            for weight in weights.tolist():  # one by one: the same sum, whatever the calls
                self._weight += weight
        if self._n_batches >= _ERROR_BATCHES:
            if self._weight > 0.0:
                error = error_of(loss / self._weight / len(self._columns))
                self._error = min(error, _LARGEST_ERROR)
            self._begin_to_measure()

    def _begin_to_measure(self) -> None:
        self.loss = self._weight = 0.0
        self._n_batches = 0
