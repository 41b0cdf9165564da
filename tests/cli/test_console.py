"""How the command line ends when its output, its folder or matplotlib is not as it should be."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastl0.cli import console, files


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_cannot_be_encoded_is_escaped(monkeypatch, encoding):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    console.say("\u0141\xf3d\u017a \udcff")  # the last stands for a byte that is no UTF-8
    said = raw.getvalue().decode(encoding)
    assert said.endswith("d\u017a \\udcff\n" if encoding == "utf-8" else "d\\u017a \\udcff\n")


def test_a_stream_without_encoding_gets_all(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    console.say("\u0141")
    assert sys.stdout.getvalue() == "\u0141\n"


def test_closed_streams_get_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    console.say("unheard")
    with console.progress(2, "runs", "run") as bar:
        bar.update()


BROKEN = """
import sys
from fastl0.cli import console, demo, main

def run(options):
    for _ in range(10_000):
        console.say("x" * 80)

demo.run = run
sys.exit(main(["demo"]))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs pipes that break")
def test_a_reader_that_goes_ends_it_quietly():
    process = subprocess.Popen(
        [sys.executable, "-c", BROKEN],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141
    assert err == b""


@pytest.mark.parametrize("module", ["matplotlib", "matplotlib.figure"])
def test_any_import_error_means_no_pictures(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert not console.can_plot()


def test_a_tilde_is_the_home_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert console.path("~/runs") == tmp_path / "runs"
    assert console.path("runs/~") == Path("runs/~")


def test_trial_of_writing_leaves_nothing(tmp_path):
    files.check_writable(tmp_path / "demo.png")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_file_is_named(tmp_path):
    path = tmp_path / ("x" * 254)  # the name of the temporary file is too long
    with pytest.raises(console.CommandError, match=r"must be writable, got: .*another --out"):
        files.check_writable(path)


def test_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "demo.png.tmp").mkdir()
    for write in (files.check_writable, lambda path: files.write_atomically(path, b"")):
        with pytest.raises(console.CommandError, match=r"demo\.png\.tmp must be free.* Move it"):
            write(tmp_path / "demo.png")


def test_help_needs_no_training_code():
    code = (
        "import sys\n"
        "from fastl0.cli import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "sys.exit(bool({'numba', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0
    assert found.stdout.startswith("usage: fastl0 ")
