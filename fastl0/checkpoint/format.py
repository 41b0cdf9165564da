"""A file format for a nested state of plain values and arrays that can be read from anyone.

Reading runs no code, takes no more memory than the file is long, and refuses whatever is not
exactly as `write` writes it. Owns the bytes; what they mean, and whether they make sense, is
for others.

A file is, in this order:

* 8 bytes `MAGIC`, the version of the format as uint32 and the length of the header as uint32;
* the header: the state as JSON, where an array stands as ``{"$array": [dtype, shape]}`` and a
  float that is no number as ``{"$float": "nan"}``, "inf" or "-inf";
* the bytes of all arrays in the order in which the header names them, without gaps;
* 32 bytes: BLAKE2b of everything before.

All numbers are little-endian.
"""

import hashlib
import io
import json
import math
import os
import stat
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC = b"\x89fastl0\n"
VERSION = 1

#: Bytes of a header at most. Parsing takes some thirty times as much memory.
MOST_HEADER = 2**18

_HEAD = struct.Struct("<8sII")
_DIGEST_SIZE = 32
_BLOCK = 2**20
#: Dimensions of an array, and levels of lists and dicts, at most.
_MOST_DIMENSIONS, _MOST_LEVELS = 4, 16
#: Entries of an array at most, also along the other dimensions of an empty one.
_MOST_ENTRIES = 2**48
#: Digits of a whole number at most: the state of a random generator has 39.
_MOST_DIGITS = 64

_DTYPES = {
    code: np.dtype(code) for code in ("|b1", "|u1", "|i1", "<i4", "<i8", "<u4", "<u8", "<f4", "<f8")
}
_NOT_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class ArchiveError(ValueError):
    """A file is not an archive, is damaged, or holds what an archive cannot hold."""


# --- writing -------------------------------------------------------------------------


def write(file: BinaryIO, state: Any) -> None:
    """Write a state. Arrays are written straight from where they lie.

    Parameters
    ----------
    file : binary file
        Open for writing.
    state : dict, list, tuple, str, int, float, bool, None or ndarray
        Nested at will, up to a depth of 16; keys are strings that do not begin with "$".
        Tuples come back as lists. Arrays are of bool, integers or floats.

    Raises
    ------
    TypeError
        If something else is in it.
    ValueError
        If it is nested too deep, a key begins with "$", or there is too much of it beside
        arrays.
    """
    arrays: list[NDArray[Any]] = []
    plain = _described(state, arrays, 0)
    header = json.dumps(plain, allow_nan=False, separators=(",", ":")).encode()
    if len(header) > MOST_HEADER:
        raise ValueError(f"a state of {len(header)} bytes beside arrays is too long")
    digest = hashlib.blake2b(digest_size=_DIGEST_SIZE)
    for part in (_HEAD.pack(MAGIC, VERSION, len(header)), header, *map(_bytes_of, arrays)):
        digest.update(part)
        file.write(part)
    file.write(digest.digest())


def _described(value: Any, arrays_: list[NDArray[Any]], level: int) -> Any:
    """Return a value as JSON has it; append the arrays in it to `arrays_`."""
    if level > _MOST_LEVELS:
        raise ValueError(f"a state must not be nested deeper than {_MOST_LEVELS} levels")
    if isinstance(value, np.ndarray):
        dtype = value.dtype.newbyteorder("<")
        if dtype.str not in _DTYPES:
            raise TypeError(f"an archive takes no arrays of dtype {value.dtype}")
        arrays_.append(value)
        return {"$array": [dtype.str, list(value.shape)]}
    if value is None or isinstance(value, bool | str) or type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, list | tuple):
        return [_described(item, arrays_, level + 1) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str) or key.startswith("$"):
                raise ValueError(f"a key must be a string that does not begin with $, got {key!r}")
        return {key: _described(item, arrays_, level + 1) for key, item in value.items()}
    raise TypeError(f"an archive takes no {type(value).__name__}")


def _bytes_of(array: NDArray[Any]) -> Any:
    """The bytes of an array in C order; a view where they lie so already."""
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return array.reshape(-1).view(np.uint8).data


# --- reading -------------------------------------------------------------------------


class _Array(NamedTuple):
    """An array that a header names."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


def read(path: str | os.PathLike[str]) -> Any:
    """Read a state.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict, list, str, int, float, bool, None or ndarray
        What was written, tuples as lists. Arrays are new and in native byte order.

    Raises
    ------
    ArchiveError
        If the file is no archive, of another version, cut off or changed.
    OSError
        If it cannot be read.
    """
    with open(path, "rb", opener=_open) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ArchiveError("it is not a regular file")
        n_bytes = status.st_size
        if n_bytes < _HEAD.size + _DIGEST_SIZE:
            raise ArchiveError(f"it is cut off: {n_bytes} bytes are less than a header takes")
        magic, version, n_header = _HEAD.unpack(_exactly(file, _HEAD.size))
        if magic != MAGIC:
            raise ArchiveError("it does not begin as a checkpoint of fastl0 does")
        _check_digest(file, n_bytes)
        if version != VERSION:
            raise ArchiveError(f"it is of version {version} of the format, not {VERSION}")
        n_rest = n_bytes - _HEAD.size - n_header - _DIGEST_SIZE
        if n_header > MOST_HEADER or n_rest < 0:
            raise ArchiveError(f"its header cannot be {n_header} bytes long")
        file.seek(_HEAD.size)
        plain = _parsed(_exactly(file, n_header))
        n_named = sum(array.nbytes for array in _arrays_in(plain, 0))
        if n_named != n_rest:
            raise ArchiveError(f"its arrays take {n_rest} bytes where its header names {n_named}")
        return _filled(plain, file)


def _open(path: str, flags: int) -> int:
    # Whoever put a pipe in the place of the file shall not make us wait.
    return os.open(path, flags | os.O_NONBLOCK)


def _exactly(file: BinaryIO, n_bytes: int) -> bytes:
    data = file.read(n_bytes)
    if len(data) != n_bytes:
        raise ArchiveError("it became shorter while it was read")
    return data


def _check_digest(file: BinaryIO, n_bytes: int) -> None:
    digest = hashlib.blake2b(digest_size=_DIGEST_SIZE)
    file.seek(0)
    left = n_bytes - _DIGEST_SIZE
    while left:
        block = _exactly(file, min(left, _BLOCK))
        digest.update(block)
        left -= len(block)
    if _exactly(file, _DIGEST_SIZE) != digest.digest():
        raise ArchiveError("its checksum is wrong: it is cut off or damaged")


def _parsed(header: bytes) -> Any:
    """Parse a header; arrays become `_Array`."""
    try:
        return json.loads(
            header.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except ArchiveError:
        raise
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"its header is not what it should be ({error})") from None


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ArchiveError(f"its header has a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ArchiveError(f"its header has a number that is too large ({digits[:20]})")
    return value


def _no_constant(name: str) -> float:
    raise ArchiveError(f"its header has {name} for a number")


def _object(pairs: list[tuple[str, Any]]) -> Any:
    """Make a dict, an array or a float out of a JSON object."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ArchiveError("its header names something twice")
    special = [key for key in found if key.startswith("$")]
    if not special:
        return found
    if len(found) == 1 and special == ["$array"]:
        return _named_array(found["$array"])
    if len(found) == 1 and special == ["$float"]:
        value = found["$float"]
        if isinstance(value, str) and value in _NOT_NUMBERS:
            return _NOT_NUMBERS[value]
    raise ArchiveError(f"its header has a {special[0][:20]} that there cannot be")


def _named_array(named: Any) -> _Array:
    match named:
        case [str(code), list(shape)] if code in _DTYPES and len(shape) <= _MOST_DIMENSIONS:
            # A flag is an int to Python.
            sound = all(type(n) is int and 0 <= n <= _MOST_ENTRIES for n in shape)
            if sound and math.prod(max(1, n) for n in shape) <= _MOST_ENTRIES:
                return _Array(_DTYPES[code], tuple(shape))
    raise ArchiveError(f"its header names an array that there cannot be ({str(named)[:60]})")


def _arrays_in(value: Any, level: int) -> Iterator[_Array]:
    """Arrays that a header names, in their order."""
    if level > _MOST_LEVELS:
        raise ArchiveError(f"its header is nested deeper than {_MOST_LEVELS} levels")
    if isinstance(value, _Array):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _arrays_in(item, level + 1)


def _filled(value: Any, file: io.BufferedReader) -> Any:
    """Return what a header says with its arrays read from where the file is."""
    if isinstance(value, _Array):
        return _read_array(value, file)
    if isinstance(value, list):
        return [_filled(item, file) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, file) for key, item in value.items()}
    return value


def _read_array(named: _Array, file: io.BufferedReader) -> NDArray[Any]:
    raw = np.empty(named.nbytes, np.uint8)
    if file.readinto(raw.data) != named.nbytes:
        raise ArchiveError("it became shorter while it was read")
    if named.dtype.kind == "b" and raw.size and raw.max() > 1:
        raise ArchiveError("it has flags that are neither true nor false")
    array = raw.view(named.dtype).reshape(named.shape)
    return array.astype(named.dtype.newbyteorder("="), copy=False)
