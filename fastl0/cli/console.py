"""What commands say: option types, one-line errors, progress bars and tables."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

PLOT_REMEDY = 'No pictures: matplotlib is missing or broken. Run: pip install "fastl0[plot]"'


# tqdm's own lock reaches across processes and would leak when Ctrl-C stops a worker.
tqdm.set_lock(threading.RLock())


class CommandError(Exception):
    """A mistake the user can mend: printed on one line, without a traceback."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors take one line."""

    def error(self, message: str) -> NoReturn:
        """Print the message without the usage and exit with code 2."""
        self.exit(2, f"{self.prog}: error: {message}. See {self.prog} --help.\n")


def positive_int(text: str) -> int:
    """Read an option that must be an int >= 1."""
    return _at_least(text, 1)


def seed(text: str) -> int:
    """Read an option that must be an int from 0 to 2**32 - 1."""
    value = _at_least(text, 0)
    if value >= 2**32:
        raise argparse.ArgumentTypeError(f"must be an int < 2**32, got {text}")
    return value


def path(text: str) -> Path:
    """Read an option that names a file or a folder; "~" in front is the user's home."""
    return Path(os.path.expanduser(text))


def _at_least(text: str, least: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"must be an int >= {least}, got {text!r}")
    return value


def make_folder(folder: Path) -> None:
    """Create the folder if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise CommandError(f"{folder} must be a folder, got a file. Name another one.") from None
    except OSError as error:
        raise CommandError(
            f"{folder} must be a folder that can be created, got: {error.strerror}. "
            "Name another one."
        ) from None


def can_plot() -> bool:
    """Tell whether matplotlib is installed and can be imported."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def progress(total: int, label: str, unit: str, *, leave: bool = False) -> tqdm[NoReturn]:
    """Start a progress bar on stderr; where stderr is no terminal it stays silent."""
    return tqdm(
        total=total,
        desc=label,
        unit=f" {unit}s",
        leave=leave,
        disable=True if sys.stderr is None else None,
        dynamic_ncols=True,
    )


def say(text: str) -> None:
    """Print a line without tearing a running progress bar.

    Characters that stdout cannot encode are escaped, and a closed stdout (``>&-``) gets nothing.
    """
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "utf-8"
    tqdm.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()  # a log file should grow as the runs finish


def format_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay out rows under a header, the first column to the left and the others to the right."""
    lines = [[str(cell) for cell in line] for line in (header, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        ).rstrip()
        for line in lines
    )


def format_widths(n_units: Sequence[int]) -> str:
    """Write the widths of a network, inputs first, as in 784-300-100-10."""
    return "-".join(str(width) for width in n_units)
