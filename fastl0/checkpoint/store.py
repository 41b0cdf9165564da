"""The checkpoints of a training on disk: one folder a run, the last two that are good.

Owns the files: their names, that each is written whole or not at all, and that nobody else
writes them at the same time. Their bytes are those of `format`.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from fastl0.checkpoint import format

#: CheckpointStore that are kept of a run.
N_KEPT = 2

_NAME = re.compile(r"epoch-(\d{8,})\.checkpoint(\.tmp)?")
_LOCK = "lock"


class CheckpointError(ValueError):
    """A checkpoint cannot be read, written or gone on from."""


class CheckpointStore:
    """The checkpoints of one run, in a folder of its own within that of the user.

    Use as a context manager: until it is left, nobody else can write into that folder. Files
    that are not named as those here are never touched.

    Parameters
    ----------
    folder : path-like
        The user's folder; made where it is missing. A "~" in front is the user's home.
    run : mapping of str to None, bool, int, float, str or list
        What tells this run from others: all that its result depends on.

    Attributes
    ----------
    folder : Path
        The folder of the run: "fastl0-" and a digest of `run`.
    """

    def __init__(self, folder: str | os.PathLike[str], run: Mapping[str, Any]) -> None:
        # As it comes back from a file.
        self._run: dict[str, Any] = json.loads(json.dumps(dict(run)))
        digest = hashlib.blake2b(json.dumps(self._run, sort_keys=True).encode(), digest_size=10)
        self.folder = _at_home(folder) / f"fastl0-{digest.hexdigest()}"
        self._good: list[Path] = []  # known to be whole, oldest first
        self._lock = -1

    def __enter__(self) -> Self:
        try:
            self._take_lock()
        except OSError as error:
            raise CheckpointError(
                f"`checkpoint_dir` must be a folder that can be written to, got "
                f"{str(self.folder.parent)!r} ({error.strerror}). Give another one, or change its "
                "permissions."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)
        self._lock = -1

    def _take_lock(self) -> None:
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it may have deleted the folder meanwhile.
                if os.path.samestat(os.fstat(lock), os.stat(self.folder / _LOCK)):
                    self._lock = lock
                    return
            except BlockingIOError:
                os.close(lock)
                raise CheckpointError(
                    f"`checkpoint_dir`: {str(self.folder)!r} is in use by another fit of the same "
                    "estimator to the same data. Wait for it, or give each a folder of its own."
                ) from None
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)

    # --- reading -----------------------------------------------------------------------

    def load(self) -> tuple[Any, list[str]]:
        """Read the newest checkpoint that is whole.

        Returns
        -------
        state : object
            As it was saved; None where there is no checkpoint.
        warnings : list of str
            What was wrong with newer ones.

        Raises
        ------
        CheckpointError
            If there are checkpoints and none can be read, or one is that of another run.
        """
        damaged: list[str] = []
        for path in self._finished():
            try:
                saved = format.read(path)
            except (format.ArchiveError, OSError) as error:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                damaged.append(f"The checkpoint {str(path)!r} cannot be used: {reason}.")
                continue
            self._good = [path]
            return self._checked(path, saved), damaged
        if damaged:
            raise CheckpointError(
                f"{damaged[0]} There is no earlier one to go back to: delete "
                f"{str(self.folder)!r} to train from the beginning."
            )
        return None, []

    def _finished(self) -> list[Path]:
        """Checkpoints that are no drafts, the newest first."""
        found = []
        for path in self.folder.iterdir():
            name = _NAME.fullmatch(path.name)
            if name and not name[2]:
                found.append((int(name[1]), path))
        return [path for _, path in sorted(found, reverse=True)]

    def _checked(self, path: Path, saved: Any) -> Any:
        match saved:
            case {"run": dict(run), "state": state} if len(saved) == 2:
                pass
            case _:
                raise self.unusable("it is no checkpoint of a training", path)
        if run != self._run:
            # By name or by hand: files of different runs are in different folders.
            raise self.unusable(
                f"it is of another run: {_difference(run, self._run)}",
                path,
                "Give the settings and the data that it was made with, another checkpoint_dir,",
            )
        return state

    def unusable(self, reason: str, path: Path | None = None, remedy: str = "") -> CheckpointError:
        """Say that the checkpoint that was loaded cannot be gone on from."""
        path = path or self._good[-1]
        rest = f"delete {str(self.folder)!r} to train from the beginning."
        rest = f"{remedy} or {rest}" if remedy else rest[0].upper() + rest[1:]
        return CheckpointError(f"The checkpoint {str(path)!r} cannot be used: {reason}. {rest}")

    # --- writing -----------------------------------------------------------------------

    def save(self, epoch: int, state: Any) -> None:
        """Write a checkpoint; where that fails, those that are there stay as they are.

        Parameters
        ----------
        epoch : int
            Its number.
        state : object
            As `format.write` takes it. Arrays are written from where they lie.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        path = self.folder / f"epoch-{epoch:08d}.checkpoint"
        draft = path.with_name(f"{path.name}.tmp")
        try:
            with open(draft, "wb") as file:
                format.write(file, {"run": self._run, "state": state})
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
        self._sync_folder()
        self._good = [*(good for good in self._good if good != path), path][-N_KEPT:]
        # Damaged ones, and drafts of a process that was killed, go as well.
        for other in self._own_files():
            if other not in self._good:
                with suppress(OSError):
                    other.unlink()

    def _own_files(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]

    def _sync_folder(self) -> None:
        """Have the new name on disk: not before are older checkpoints deleted."""
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno != errno.EINVAL:  # not every file system can
                raise
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Delete all checkpoints, and the folder of the run where nothing else is in it."""
        with suppress(OSError):
            for path in self._own_files():
                path.unlink()
            (self.folder / _LOCK).unlink()
            self.folder.rmdir()
        self._good = []


def _at_home(folder: str | os.PathLike[str]) -> Path:
    """Return a folder of which "~", or "~" and a name, is a user's home."""
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:  # there is no such user
        raise CheckpointError(
            f"`checkpoint_dir` must be a folder that can be found, got {os.fspath(folder)!r} "
            f"({error}). Write its whole path, or './~...' for a folder of such a name."
        ) from error


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Name what two runs differ in."""
    missing = object()
    names = [
        name
        for name in [*here, *(set(there) - set(here))]
        if there.get(name, missing) != here.get(name, missing)
    ]
    shown = [
        f"{name}={there.get(name, 'none')!r} there and {here.get(name, 'none')!r} here"
        for name in names[:3]
    ]
    if len(names) > 3:
        shown.append(f"{len(names) - 3} more")
    return ", ".join(shown)
