"""The JIT policy: what is compiled, when code on disk counts, and what the user is told."""

import logging
import subprocess
import sys

import numpy as np
import pytest
from numba import config

from fastl0._numba import jit

pytestmark = pytest.mark.skipif(config.DISABLE_JIT, reason="looks at what is compiled")


def test_an_entry_is_found_by_its_number():
    @jit.kernel(cache=False)
    def at(address, n):
        return jit.floats(jit.entry(address, n), 1)[0]

    values = np.arange(7, dtype=np.float32)
    assert [at(values.ctypes.data, np.int32(n)) for n in range(7)] == values.tolist()
    assert at(values[5:].ctypes.data, -2) == 3


def test_literal_numbers_do_not_multiply_compilations():
    @jit.kernel(cache=False)
    def inner(n):
        return n + 1

    @jit.kernel(cache=False)
    def outer(n):
        return inner(1) + inner(2) + inner(n)

    assert outer(3) == 9
    assert len(inner.signatures) == 1


def test_views_are_the_memory_at_an_address():
    @jit.kernel(cache=False)
    def double(address, n):
        values = jit.floats(address, n)
        for k in range(n):
            values[k] *= np.float32(2)

    array = np.arange(5, dtype=np.float32)
    double(array[1:].ctypes.data, 3)
    np.testing.assert_array_equal(array, [0, 2, 4, 6, 4])


@pytest.fixture
def package(tmp_path):
    """A module with a kernel, and how to run it with its code on disk."""
    path = tmp_path / "some_kernels.py"
    path.write_text("from fastl0._numba import jit\n@jit.kernel\ndef one(n):\n    return n + 1\n")
    code = (
        "import sys; sys.path.insert(0, {folder!r})\n"
        "from fastl0._numba import jit\n"
        "jit._digest = lambda: {digest!r}\n"
        "import some_kernels\n"
        "some_kernels.one(1)\n"
        "print(sum(some_kernels.one.stats.cache_hits.values()))\n"
    )

    def hits(digest):
        command = [sys.executable, "-c", code.format(folder=str(tmp_path), digest=digest)]
        return int(subprocess.check_output(command))

    return hits


def test_code_on_disk_counts_until_any_kernel_changes(package):
    assert [package(digest) for digest in ("a", "a", "b", "b")] == [0, 1, 0, 1]


def test_compiling_is_announced_once_and_only_for_kernels_of_fastl0(caplog):
    @jit.kernel(cache=False)
    def foreign(n):
        return n

    @jit.kernel(cache=False)
    def own(n):
        return n + 1.0

    own.py_func.__module__ = "fastl0._numba.gates"
    own(1j)  # said for the whole process by now
    jit.events.register("numba:compile", jit._Announcement())
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="fastl0"):
        foreign(1)
        assert caplog.messages == []
        own(1)
        own(1.0)
    assert len(caplog.messages) == 1
    assert "compiles" in caplog.messages[0]
