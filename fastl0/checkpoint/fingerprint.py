"""What tells one training from another: settings, data and where it starts.

Two fits with the same fingerprint do the same, but for how long it takes.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fastl0._version import __version__
from fastl0.data.blocks import BlockReader, is_blockwise

#: Parameters on which no result depends.
_WITHOUT_EFFECT = ("verbose", "checkpoint_dir", "checkpoint_interval")

#: Rows of X that are looked at, at most, and bytes unless two rows have more: X may be a file
#: that is larger than memory.
_MOST_ROWS, _MOST_BYTES = 256, 2**22


def describe_settings(kind: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Version, kind and parameters of an estimator as plain values.

    Parameters
    ----------
    kind : str
        Name of its class.
    params : mapping of str to object

    Returns
    -------
    dict of str to None, bool, int, float, str or list
    """
    return {
        "fastl0": __version__,
        "estimator": kind,
        **{name: _plain(params[name]) for name in params if name not in _WITHOUT_EFFECT},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return sorted([repr(_plain(key)), _plain(item)] for key, item in value.items())
    if isinstance(value, np.random.RandomState):
        kind, *parts = value.get_state(legacy=True)
        return f"{kind} {digest_of(*parts)}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"  # no address in memory
    return repr(value)


def digest_of(*parts: Any) -> str:
    """Digest of arrays, byte by byte, and of what else there is by its form as a string.

    Parameters
    ----------
    parts : ndarray, None, bool, int, float, str, or dict, list or tuple of such, nested at will
    """
    digest = hashlib.blake2b(digest_size=16)
    _digest_(digest, parts)
    return digest.hexdigest()


def _digest_(digest: Any, part: Any) -> None:
    if isinstance(part, np.ndarray):
        digest.update(f"{part.dtype.str}{part.shape}".encode())
        digest.update(_bytes_of(part))
    elif isinstance(part, dict | list | tuple):
        digest.update(f"{len(part)}".encode())
        for item in part.items() if isinstance(part, dict) else part:
            _digest_(digest, item)
    else:
        digest.update(f"{part!r};".encode())


def _bytes_of(array: NDArray[Any]) -> Any:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def describe_rows(X: Any) -> str:
    """Kind, shape and dtype of X, and a digest of some of its rows.

    Parameters
    ----------
    X : ndarray, CSR matrix or BlockReader, of shape (n_rows, n_columns)
        No more than a few rows of it are read, evenly spread, or the first and the last block.
    """
    kind, parts = "array", _some_rows(X)
    if isinstance(X, BlockReader):
        kind = "blocks"
    elif issparse(X):
        kind = "CSR"
    return f"{kind} {X.shape} {X.dtype} {digest_of(*parts)}"


def _some_rows(X: Any) -> tuple[NDArray[Any], ...]:
    if isinstance(X, BlockReader):
        sizes = X.sizes()  # which the order of the rows depends on
        return sizes, X.read(0), X.read(len(sizes) - 1)
    n_rows = X.shape[0]
    row_nbytes = max(1, (X.data.nbytes if issparse(X) else X.nbytes) // n_rows)
    n_seen = max(2, min(_MOST_ROWS, _MOST_BYTES // row_nbytes))
    some = X[np.unique(np.linspace(0, n_rows - 1, n_seen).astype(np.intp))]
    return (some.indptr, some.indices, some.data) if issparse(some) else (np.asarray(some),)


def describe_validation(*given: Any) -> str | None:
    """Digest of validation rows as they are given; None where there are none.

    Unless they are read by blocks, they are read as a whole, as after every epoch.
    """
    if all(part is None for part in given):
        return None
    parts = [describe_rows(BlockReader(part)) if is_blockwise(part) else part for part in given]
    return str(joblib.hash(parts, coerce_mmap=True))


def describe_start(state: dict[str, Any]) -> str:
    """Digest of the state that a warm start begins from (see `Trainer.persistent_state`)."""
    # How long it took, on how many threads, makes no difference.
    history = state["history"]
    if history is None:
        return digest_of(state)
    epochs = {
        name: column
        for name, column in history["epochs"].items()
        if name not in ("epoch_time", "buffer_nbytes")
    }
    return digest_of(state | {"history": history | {"epochs": epochs}})
