"""Checkpoints on disk: written whole or not at all, the last two kept, by one run at a time."""

import builtins
import errno
import multiprocessing
import os
import shutil

import numpy as np
import pytest

from fastl0.checkpoint import format
from fastl0.checkpoint.store import CheckpointError, CheckpointStore

RUN = {"lam": 0.1, "hidden_layer_sizes": [200, 100], "random_state": None, "data": "abc"}


def state(epoch):
    return {"epoch": epoch, "theta": np.full(50, epoch, np.float32)}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def saved(folder, n_epochs, run=RUN):
    """Save `n_epochs` checkpoints of a run, as one that was killed then leaves them."""
    with CheckpointStore(folder, run) as checkpoints:
        for epoch in range(1, n_epochs + 1):
            checkpoints.save(epoch, state(epoch))
    return checkpoints.folder


def test_a_run_finds_its_newest_checkpoint(tmp_path):
    saved(tmp_path / "new" / "folder", 3)
    with CheckpointStore(tmp_path / "new" / "folder", RUN) as checkpoints:
        found, warnings = checkpoints.load()
    assert found["epoch"] == 3
    np.testing.assert_array_equal(found["theta"], state(3)["theta"])
    assert warnings == []


def test_a_first_run_finds_nothing(tmp_path):
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        assert checkpoints.load() == (None, [])


def test_the_last_two_are_kept(tmp_path):
    folder = saved(tmp_path, 5)
    assert names(folder) == ["epoch-00000004.checkpoint", "epoch-00000005.checkpoint", "lock"]


def test_epochs_are_numbers_however_many_digits_they_have(tmp_path):
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        for epoch in (99_999_999, 100_000_000):
            checkpoints.save(epoch, state(epoch))
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        assert checkpoints.load()[0]["epoch"] == 100_000_000


@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "directory"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(damage, tmp_path):
    folder = saved(tmp_path, 3)
    newest = folder / "epoch-00000003.checkpoint"
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.unlink()
    if damage == "directory":
        newest.mkdir()
    else:
        newest.write_bytes({"cut": data[:200], "empty": b"", "changed": data}[damage])
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        found, (warning,) = checkpoints.load()
        assert found["epoch"] == 2
        assert "epoch-00000003" in warning
        assert "cannot be used" in warning
        if damage != "directory":
            # As far as is known two good ones, and not the damaged one.
            checkpoints.save(3, state(3))
            assert names(folder) == [
                "epoch-00000002.checkpoint",
                "epoch-00000003.checkpoint",
                "lock",
            ]
            assert checkpoints.load()[0]["epoch"] == 3


def test_a_damaged_checkpoint_of_a_later_epoch_makes_way(tmp_path):
    folder = saved(tmp_path, 4)
    (folder / "epoch-00000004.checkpoint").write_bytes(b"torn")
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        checkpoints.load()
        checkpoints.save(4 - 1, state(30))  # the interval has changed
    assert names(folder) == ["epoch-00000003.checkpoint", "lock"]
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        assert checkpoints.load()[0]["epoch"] == 30


def test_nothing_is_silently_begun_anew_where_all_checkpoints_are_damaged(tmp_path):
    folder = saved(tmp_path, 2)
    for path in folder.glob("epoch-*"):
        path.write_bytes(path.read_bytes()[:-5])
    with (
        CheckpointStore(tmp_path, RUN) as checkpoints,
        pytest.raises(CheckpointError, match=r"00000002.*checksum.*no earlier one.*delete"),
    ):
        checkpoints.load()
    assert len(names(folder)) == 3


def test_runs_that_differ_have_folders_of_their_own(tmp_path):
    one = saved(tmp_path, 1)
    other = saved(tmp_path, 2, RUN | {"lam": 0.2})
    assert one != other
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        assert checkpoints.load()[0]["epoch"] == 1
    with CheckpointStore(tmp_path, dict(reversed(RUN.items()))) as checkpoints:
        assert checkpoints.load()[0]["epoch"] == 1


def test_a_checkpoint_of_another_run_says_what_differs(tmp_path):
    one, other = saved(tmp_path, 1), saved(tmp_path, 1, RUN | {"lam": 0.2, "data": "x"})
    shutil.copy(other / "epoch-00000001.checkpoint", one)
    with (
        CheckpointStore(tmp_path, RUN) as checkpoints,
        pytest.raises(CheckpointError) as caught,
    ):
        checkpoints.load()
    message = str(caught.value)
    assert "lam=0.2 there and 0.1 here, data='x' there and 'abc' here" in message
    assert "another checkpoint_dir" in message
    assert str(one) in message


@pytest.mark.parametrize("content", [None, [], {}, {"run": 1, "state": 2}, {"run": {}}])
def test_an_archive_of_something_else_is_refused(content, tmp_path):
    folder = saved(tmp_path, 1)
    with open(folder / "epoch-00000001.checkpoint", "wb") as file:
        format.write(file, content)
    with (
        CheckpointStore(tmp_path, RUN) as checkpoints,
        pytest.raises(CheckpointError, match="no checkpoint of a training"),
    ):
        checkpoints.load()


# --- writing -----------------------------------------------------------------------------


class Full:
    """Wraps a file whose disk is full after some bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


def fails(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_disk(monkeypatch, where):
    """Let the disk be full: when a file is made, from its 100th byte on, or on the way to disk."""
    if where in ("fsync", "replace"):
        monkeypatch.setattr(os, where, fails)
        return
    original = builtins.open

    def opened(path, mode="r", *args, **keywords):
        if mode != "wb":
            return original(path, mode, *args, **keywords)
        return fails() if where == "open" else Full(original(path, mode), 100)

    monkeypatch.setattr(builtins, "open", opened)


@pytest.mark.parametrize("where", ["open", "write", "fsync", "replace"])
def test_a_full_disk_harms_no_checkpoint(where, tmp_path, monkeypatch):
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        for epoch in (1, 2):
            checkpoints.save(epoch, state(epoch))
        before = names(checkpoints.folder)
        with monkeypatch.context() as patch:
            full_disk(patch, where)
            for _ in range(2):
                with pytest.raises(OSError, match="No space"):
                    checkpoints.save(3, state(3))
        assert names(checkpoints.folder) == before
        assert checkpoints.load()[0]["epoch"] == 2
        checkpoints.save(4, state(4))
        assert checkpoints.load()[0]["epoch"] == 4


def test_an_interrupted_write_leaves_no_draft(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with CheckpointStore(tmp_path, RUN) as checkpoints:
        checkpoints.save(1, state(1))
        before = names(checkpoints.folder)
        monkeypatch.setattr(format, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(2, state(2))
        assert names(checkpoints.folder) == before


def test_a_folder_that_cannot_be_synced_is_no_error(tmp_path, monkeypatch):
    fsync = os.fsync

    def only_files(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    assert len(names(saved(tmp_path, 3))) == 3


def test_drafts_of_a_run_that_was_killed_are_cleared_away(tmp_path):
    folder = saved(tmp_path, 1)
    (folder / "epoch-00000002.checkpoint.tmp").write_bytes(b"half")
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        assert checkpoints.load()[0]["epoch"] == 1
        checkpoints.save(2, state(2))
    assert names(folder) == ["epoch-00000001.checkpoint", "epoch-00000002.checkpoint", "lock"]


def test_a_checkpoint_is_on_disk_before_the_one_before_it_goes(tmp_path, monkeypatch):
    """Whatever the machine does between two steps, at least one file is whole and synced."""
    steps = []
    replace, fsync, unlink = os.replace, os.fsync, os.unlink

    def note(name, function):
        def noting(path, *args, **keywords):
            steps.append(name if not isinstance(path, int) else f"{name} {kind(path)}")
            return function(path, *args, **keywords)

        return noting

    def kind(descriptor):
        return "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"

    with CheckpointStore(tmp_path, RUN) as checkpoints:
        for epoch in (1, 2):
            checkpoints.save(epoch, state(epoch))
        monkeypatch.setattr(os, "replace", note("replace", replace))
        monkeypatch.setattr(os, "fsync", note("fsync", fsync))
        monkeypatch.setattr(os, "unlink", note("unlink", unlink))
        checkpoints.save(3, state(3))
    assert steps == ["fsync file", "replace", "fsync folder", "unlink"]


# --- the folder --------------------------------------------------------------------------


def test_discarding_leaves_nothing_of_the_run_and_everything_else(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    other = saved(tmp_path, 1, RUN | {"lam": 0.2})
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        checkpoints.save(1, state(1))
        checkpoints.discard()
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "mine.txt", other])
    assert len(names(other)) == 2


@pytest.mark.parametrize("name", ["notes.txt", "epoch-1.checkpoint", "epoch-00000001.checkpoint~"])
def test_files_of_others_in_the_folder_of_a_run_are_not_touched(name, tmp_path):
    folder = saved(tmp_path, 1)
    (folder / name).write_text("mine")
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        assert checkpoints.load()[0]["epoch"] == 1
        for epoch in (2, 3, 4):
            checkpoints.save(epoch, state(epoch))
        checkpoints.discard()
    assert names(folder) == [name]


@pytest.mark.parametrize("inside", ["file", "file/folder"])
def test_a_folder_that_cannot_be_made_is_an_error_at_once(inside, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(CheckpointError, match=r"`checkpoint_dir` must be a folder.*Give another"),
        CheckpointStore(tmp_path / inside, RUN),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_must_not_be_written_to_is_an_error_at_once(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CheckpointError, match="permission"), CheckpointStore(tmp_path, RUN):
        pass


def hold(folder, held, release):
    with CheckpointStore(folder, RUN):
        held.set()
        release.wait()


def test_two_of_the_same_run_do_not_write_at_the_same_time(tmp_path):
    context = multiprocessing.get_context("fork")
    held, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(tmp_path, held, release))
    process.start()
    try:
        held.wait()
        with pytest.raises(CheckpointError, match="in use by another fit"):
            CheckpointStore(tmp_path, RUN).__enter__()
        with CheckpointStore(tmp_path, RUN | {"lam": 0.2}):
            pass
    finally:
        # Not in good order: a lock that a killed process held is free.
        process.kill()
        process.join()
    with CheckpointStore(tmp_path, RUN):
        pass


def test_a_folder_that_goes_while_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    import fcntl

    flock, n_calls = fcntl.flock, []

    def late(lock, how):
        n_calls.append(lock)
        if len(n_calls) == 1:  # its former owner has finished meanwhile
            shutil.rmtree(tmp_path / folder.name)
        return flock(lock, how)

    folder = CheckpointStore(tmp_path, RUN).folder
    monkeypatch.setattr(fcntl, "flock", late)
    with CheckpointStore(tmp_path, RUN) as checkpoints:
        checkpoints.save(1, state(1))
        assert checkpoints.load()[0]["epoch"] == 1
    assert len(n_calls) == 2
