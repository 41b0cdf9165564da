"""The file format of checkpoints: what is written comes back, anything else is refused."""

import hashlib
import io
import json
import math
import os
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastl0.checkpoint import format
from fastl0.checkpoint.format import ArchiveError

DTYPES = ["?", "u1", "i1", "<i4", "<i8", "<u4", "<u8", "<f4", "<f8"]
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**130), 2**130) | st.floats() | st.text(max_size=9)
)
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=3, min_side=0, max_side=5))
)
KEYS = st.text(max_size=5).filter(lambda key: not key.startswith("$"))
STATES = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def written(state):
    file = io.BytesIO()
    format.write(file, state)
    return file.getvalue()


def read(data, tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(data)
    return format.read(path)


def sealed(header, arrays=b"", *, magic=format.MAGIC, version=1, n_header=None):
    """An archive with a correct checksum, whatever is in it."""
    header = header if isinstance(header, bytes) else json.dumps(header).encode()
    n_header = len(header) if n_header is None else n_header
    body = struct.pack("<8sII", magic, version, n_header) + header + arrays
    return body + hashlib.blake2b(body, digest_size=32).digest()


def same(a, b):
    """Whether two states are the same, NaN included, but for tuples."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return type(a) is type(b) and repr(a) == repr(b)


@given(state=STATES)
def test_what_is_written_is_read(state, tmp_path_factory):
    found = read(written(state), tmp_path_factory.mktemp("archive"))
    assert same(state, found)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24).reshape(4, 6).T,
        np.arange(24, dtype=np.float32)[::-2],
        np.arange(6, dtype=">i4"),
        np.arange(6, dtype=">f8").reshape(2, 3),
        np.zeros((0, 3), np.float32),
        np.array(5.0),
    ],
)
def test_arrays_of_any_layout_come_back_contiguous_and_native(array, tmp_path):
    found = read(written({"a": array}), tmp_path)["a"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype.isnative
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.flags.c_contiguous
    assert found.flags.aligned
    assert found.flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.0),
        np.bool_(True),
        np.int64(3),
        1j,
        b"bytes",
        {1, 2},
        object(),
        np.array(["a"]),
        np.array([object()]),
        np.array([1j]),
        np.zeros(2, [("a", int)]),
    ],
)
def test_nothing_else_is_written(value):
    with pytest.raises(TypeError, match="archive takes no"):
        written({"value": [value]})


def test_a_state_that_is_too_deep_too_long_or_named_oddly_is_not_written():
    deep = 1
    for _ in range(20):
        deep = [deep]
    with pytest.raises(ValueError, match="deeper than 16"):
        written(deep)
    with pytest.raises(ValueError, match="too long"):
        written("a" * 300_000)
    for key in ("$array", 3):
        with pytest.raises(ValueError, match="a key must be"):
            written({key: 1})


def test_writing_takes_no_copy_of_arrays(tmp_path):
    state = {"a": np.zeros(2**20), "b": np.ones((2**10, 2**10), np.float32)}
    with open(tmp_path / "archive", "wb") as file:
        tracemalloc.start()
        format.write(file, state)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 100_000


STATE = {"a": np.arange(5), "b": [1.5, None, {"c": np.ones((2, 3), bool)}], "d": "text"}


@pytest.mark.parametrize("n_bytes", [0, 1, 15, 16, 47, 48, 60, 120, -33, -32, -1])
def test_a_cut_file_is_refused(n_bytes, tmp_path):
    with pytest.raises(ArchiveError, match="cut off"):
        read(written(STATE)[:n_bytes], tmp_path)


def test_any_changed_byte_is_refused(tmp_path):
    data = written(STATE)
    for k in range(len(data)):
        changed = bytearray(data)
        changed[k] ^= 1 << k % 8
        with pytest.raises(ArchiveError, match=r"checksum|does not begin"):
            read(bytes(changed), tmp_path)


def test_more_bytes_are_refused(tmp_path):
    with pytest.raises(ArchiveError, match="checksum"):
        read(written(STATE) + b"\0", tmp_path)


def test_other_versions_and_other_files_are_told_apart(tmp_path):
    with pytest.raises(ArchiveError, match="version 2 of the format, not 1"):
        read(sealed({}, version=2), tmp_path)
    with pytest.raises(ArchiveError, match="does not begin"):
        read(b"\x80\x04pickle" * 20, tmp_path)
    with pytest.raises(IsADirectoryError):
        format.read(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ArchiveError, match="not a regular file"):
        format.read(tmp_path / "fifo")
    with pytest.raises(FileNotFoundError):
        format.read(tmp_path / "missing")


HUGE = 2**62
CRAFTED = {
    "no JSON": (b"{", "not what it should be"),
    "no text": (b'"\xff"', "not what it should be"),
    "nothing": (b"", "not what it should be"),
    "two values": (b"1 2", "not what it should be"),
    "as deep as the stack": (b"[" * 100_000, "not what it should be"),
    "deeper than written": (b"[" * 20 + b"]" * 20, "deeper than 16"),
    "deep dicts": (b'{"a":' * 20 + b"1" + b"}" * 20, "deeper than 16"),
    "a name twice": (b'{"a":1,"a":2}', "something twice"),
    "NaN": (b"[NaN]", "NaN for a number"),
    "infinity": (b"[-Infinity]", "-Infinity for a number"),
    "an infinite literal": (b"[1e999]", "too large"),
    "too many digits": (b"[" + b"9" * 100 + b"]", "100 digits"),
    "far too many digits": (b"[" + b"9" * 100_000 + b"]", "100000 digits"),
    "another tag": ({"$object": "os.system"}, r"a \$object that"),
    "a tag beside": ({"$float": "nan", "a": 1}, r"a \$float that"),
    "no such float": ({"$float": "1.0"}, r"a \$float that"),
    "a float of arrays": ({"$float": []}, r"a \$float that"),
    "no array": ({"$array": 1}, "array that there cannot be"),
    "no shape": ({"$array": ["<f4"]}, "array that there cannot be"),
    "three parts": ({"$array": ["<f4", [1], 0]}, "array that there cannot be"),
    "objects": ({"$array": ["|O", [1]]}, "array that there cannot be"),
    "records": ({"$array": [["a", "<f4"], [1]]}, "array that there cannot be"),
    "strings": ({"$array": ["<U3", [1]]}, "array that there cannot be"),
    "big-endian": ({"$array": [">f4", [1]]}, "array that there cannot be"),
    "negative": ({"$array": ["<f4", [-1]]}, "array that there cannot be"),
    "two negatives": ({"$array": ["<f4", [-2, -3]]}, "array that there cannot be"),
    "a fraction": ({"$array": ["<f4", [1.5]]}, "array that there cannot be"),
    "a flag": ({"$array": ["<f4", [True]]}, "array that there cannot be"),
    "a float for a length": ({"$array": ["<f4", [{"$float": "nan"}]]}, "there cannot be"),
    "nothing for a length": ({"$array": ["<f4", [None]]}, "array that there cannot be"),
    "huge": ({"$array": ["<f4", [HUGE]]}, "array that there cannot be"),
    "overflow": ({"$array": ["<f8", [2**31, 2**31, 2**3]]}, "array that there cannot be"),
    "hugely empty": ({"$array": ["<f8", [0, 2**40, 2**40]]}, "array that there cannot be"),
    "many dimensions": ({"$array": ["<f4", [1] * 65]}, "array that there cannot be"),
    "a gigabyte": ({"$array": ["<f4", [2**28]]}, "header names 1073741824"),
    "too short": ({"$array": ["<f4", [1]]}, "header names 4"),
    "too long": ({"$array": ["<f4", [3]]}, "header names 12"),
    "no arrays": ([1, 2], "header names 0"),
    "more arrays": ([{"$array": ["<f4", [1]]}] * 3, "header names 12"),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_header_is_refused_and_takes_no_memory(name, tmp_path):
    header, message = CRAFTED[name]
    path = tmp_path / "archive"
    path.write_bytes(sealed(header, b"\0" * 8))
    tracemalloc.start()
    with pytest.raises(ArchiveError, match=message):
        format.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.parametrize("n_header", [format.MOST_HEADER + 1, 2**32 - 1, 60])
def test_a_header_is_no_longer_than_the_file(n_header, tmp_path):
    with pytest.raises(ArchiveError, match=r"cannot be \d+ bytes long"):
        read(sealed([], n_header=n_header), tmp_path)


def test_flags_are_true_or_false(tmp_path):
    assert read(sealed({"$array": ["|b1", [2]]}, b"\1\0"), tmp_path).tolist() == [True, False]
    with pytest.raises(ArchiveError, match="neither true nor false"):
        read(sealed({"$array": ["|b1", [2]]}, b"\1\2"), tmp_path)
