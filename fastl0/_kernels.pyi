"""Types of the C core."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES: dict[str, int]

class RowSource:
    n_rows: int
    n_columns: int
    def __init__(self, X: Any, n_readers: int = 1, parts: NDArray[Any] | None = None) -> None: ...
    @property
    def address(self) -> int: ...
    def gather(
        self,
        rows: NDArray[np.int32],
        columns: NDArray[np.int32],
        out: NDArray[np.float32],
        scale: NDArray[np.float32] | None = None,
    ) -> None: ...
    def nonzero(
        self, rows: NDArray[np.int32], columns: NDArray[np.int32], out: NDArray[np.uint8]
    ) -> None: ...
    def landmarks(self, columns: NDArray[np.int32], out: NDArray[np.int32]) -> int: ...

def check_csr(
    indptr: NDArray[Any], indices: NDArray[Any], n_stored: int, n_rows: int, n_columns: int
) -> None: ...
def pack_weights_(
    flat: NDArray[np.float32], widths: NDArray[np.int64], keep: NDArray[np.uint8]
) -> int: ...

class Team:
    most: int
    wanted: int
    closed: bool
    calling: bool
    late: bool
    @property
    def address(self) -> int: ...

def addresses() -> dict[str, int]: ...

isa: str
isas: dict[str, tuple[int, int, int]]

train_batches: Callable[..., int]

def fill_rows_(order: Any, start: int, rows_: NDArray[np.int32]) -> None: ...
