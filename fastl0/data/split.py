"""Which rows train, and which are set aside to validate."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split


def validation_split(
    n_rows: int,
    share: float,
    seed: Any,
    strata: NDArray[Any] | None,
    remedy: str,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Split row numbers at random.

    Parameters
    ----------
    n_rows : int
    share : float
        Of the rows that are set aside, in (0, 1).
    seed : int or RandomState
    strata : ndarray of shape (n_rows,) or None
        Each of its values has the same share on both sides.
    remedy : str
        What else can be done, for the error.

    Returns
    -------
    train, held_out : int32 arrays

    Raises
    ------
    ValueError
        If there are too few rows.
    """
    rows = np.arange(n_rows, dtype=np.int32)
    try:
        train, held_out = train_test_split(
            rows, test_size=float(share), random_state=seed, stratify=strata
        )
    except ValueError as error:
        what = "some" if strata is None else "every class"
        raise ValueError(
            f"`validation_fraction`={share!r} cannot set aside a share of {n_rows} rows with "
            f"{what} on both sides ({error}). Give more rows or another share, {remedy}."
        ) from error
    return np.ascontiguousarray(train), np.ascontiguousarray(held_out)
