"""Files that are written as a whole, or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from fastl0.cli.console import CommandError


def check_writable(path: Path) -> None:
    """Make sure, by way of trial, that :func:`write_atomically` can write a file.

    Raises
    ------
    CommandError
        If it cannot.
    """
    temporary = _temporary(path)
    try:
        temporary.write_bytes(b"trial")
        temporary.unlink()
    except OSError as error:
        raise CommandError(
            f"{path} must be writable, got: {error.strerror}. Name another --out."
        ) from None


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as a whole: whoever reads it, at any moment, finds the old or the new one."""
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # the new name itself is safe once its folder is on the disk
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _temporary(path: Path) -> Path:
    # A fixed name, so that what a killed process leaves behind is overwritten by the next one.
    temporary = path.with_name(f"{path.name}.tmp")
    if os.path.isdir(temporary):  # Path.is_dir would raise for a name that is too long
        raise CommandError(
            f"{temporary} must be free for a file, got a folder. Move it, or name another --out."
        )
    return temporary


def save(figure: Any, path: Path) -> None:
    """Write a matplotlib figure as PNG, the whole file at once."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    write_atomically(path, content.getvalue())
