"""Owns the folder of ``fastl0 paper``: every finished run in a file of its own, and the CSV files.

A run's file is the truth and the CSV files are derived from it, so a crash between two writes
leaves nothing behind that the next start does not mend. May import the standard library alone.
"""

from __future__ import annotations

import csv
import io
import json
import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PRUNINGS = ("hard", "soft", "none")
# The columns up to `seconds` are the published format; later ones may be added behind them.
RUN_COLUMNS = (
    "seed",
    "pruning",
    "test_error",
    "n_parameters",
    "reduction",
    "buffer_nbytes_start",
    "buffer_nbytes_end",
    "seconds",
    "n_units",
    "epoch_time_first",
    "epoch_time_last",
)
HISTORY_COLUMNS = (
    "seed",
    "pruning",
    "epoch",
    "loss",
    "test_error",
    "n_parameters",
    "n_units",
    "buffer_nbytes",
    "epoch_time",
    "n_parameters_folded",
)
SUPPORT_COLUMNS = ("seed", "pruning", "pixel")
_WINDOW = 10  # epochs that a first or last epoch time is the median of


class StoreError(ValueError):
    """The folder holds something that the asked-for runs do not go with."""


class Run(NamedTuple):
    """One finished run: its seed, its kind of pruning, and the fields of its Trial."""

    seed: int
    pruning: str
    history: dict[str, list[Any]]
    n_units: list[int]
    support: list[int]


class ResultStore:
    """The finished runs in one folder, bound to the settings they were made with.

    Parameters
    ----------
    folder : Path
        An existing folder.
    settings : mapping of str to object
        Everything that decides the results, in types that JSON knows; must hold ``seeds`` (their
        number), ``pruning`` (the kinds) and ``dense_parameters``.

    Raises
    ------
    StoreError
        If the folder holds results of other settings, or a damaged file.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings = settings
        self._bind()
        (folder / "runs").mkdir(exist_ok=True)
        self._runs = {
            key: _read_run(self._path(key)) for key in self.keys() if self._path(key).is_file()
        }
        self._write_tables()

    def keys(self) -> list[tuple[int, str]]:
        """List seed and pruning of every run asked for, in the order of the files' rows."""
        kinds = [kind for kind in PRUNINGS if kind in self.settings["pruning"]]
        return [(seed, kind) for seed in range(self.settings["seeds"]) for kind in kinds]

    def missing(self) -> list[tuple[int, str]]:
        """List seed and pruning of the runs that are not yet stored."""
        return [key for key in self.keys() if key not in self._runs]

    def add(self, run: Run) -> None:
        """Store a finished run for good, then bring the CSV files up to date."""
        key = (run.seed, run.pruning)
        write_atomically(self._path(key), json.dumps(run._asdict()).encode())
        self._runs[key] = run
        self._write_tables()

    def _path(self, key: tuple[int, str]) -> Path:
        return self.folder / "runs" / f"seed{key[0]}-{key[1]}.json"

    def _bind(self) -> None:
        """Tie the folder to the settings, or refuse if it is tied to others."""
        path = self.folder / "settings.json"
        if path.is_file():
            _compare(path, read_json(path), json.loads(json.dumps(self.settings)))
        elif (self.folder / "paper.csv").exists():
            raise StoreError(
                f"{self.folder} must hold settings.json beside paper.csv, and does not. "
                "Name another --out."
            )
        else:
            write_atomically(path, json.dumps(self.settings, indent=2).encode())

    def _write_tables(self) -> None:
        runs = [self._runs[key] for key in self.keys() if key in self._runs]
        dense = self.settings["dense_parameters"]
        tables: tuple[tuple[str, Sequence[str], Iterable[Sequence[Any]]], ...] = (
            ("history.csv", HISTORY_COLUMNS, (row for run in runs for row in _history_rows(run))),
            ("support.csv", SUPPORT_COLUMNS, ((*run[:2], i) for run in runs for i in run.support)),
            ("paper.csv", RUN_COLUMNS, (_run_row(run, dense) for run in runs)),
        )
        for name, columns, rows in tables:
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)
            write_atomically(self.folder / name, text.getvalue().encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as a whole: whoever reads it, at any moment, finds the old or the new one."""
    # A fixed name, so that what a killed process leaves behind is overwritten by the next one.
    temporary = path.with_name(f"{path.name}.tmp")
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


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or say which file is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} must be JSON, and is not ({error}). Delete it.") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path} must hold a JSON object, got {type(value).__name__}. Delete it.")
    return value


def read_csv(folder: Path, name: str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV file of a result folder as one dict a row, and check that it has the columns."""
    path = folder / name
    if not path.is_file():
        raise StoreError(f"{folder} must hold {name}, and does not. Run without --plots-only.")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        lacking = [column for column in columns if column not in (reader.fieldnames or ())]
        if lacking:
            raise StoreError(f"{path} must have the columns {lacking}. Run without --plots-only.")
        return list(reader)


def _read_run(path: Path) -> Run:
    try:
        return Run(**read_json(path))
    except TypeError:
        raise StoreError(f"{path} must hold {Run._fields}. Delete it to repeat the run.") from None


def _compare(path: Path, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    names = [name for name in (*asked, *stored) if stored.get(name) != asked.get(name)]
    if names:
        old = ", ".join(f"{name}={stored.get(name)!r}" for name in dict.fromkeys(names))
        new = ", ".join(f"{name}={asked.get(name)!r}" for name in dict.fromkeys(names))
        raise StoreError(
            f"{path} must hold the settings of this start ({new}), got {old}. "
            "Start with the same options as before, or name another --out."
        )


def _run_row(run: Run, dense_parameters: int) -> tuple[Any, ...]:
    history = run.history
    times = history["epoch_time"]
    n_parameters = history["n_parameters_folded"][-1]  # of the network that one gets
    return (
        run.seed,
        run.pruning,
        round(history["test_error"][-1], 6),
        n_parameters,
        round(1 - n_parameters / dense_parameters, 6),
        history["buffer_nbytes"][0],
        history["buffer_nbytes"][-1],
        round(sum(times), 4),
        format_widths(run.n_units),
        round(statistics.median(times[:_WINDOW]), 6),
        round(statistics.median(times[-_WINDOW:]), 6),
    )


def _history_rows(run: Run) -> Iterable[tuple[Any, ...]]:
    history = run.history
    for i in range(len(history["loss"])):
        yield (
            run.seed,
            run.pruning,
            i + 1,
            history["loss"][i],
            round(history["test_error"][i], 6),
            history["n_parameters"][i],
            format_widths(history["n_units"][i]),
            history["buffer_nbytes"][i],
            round(history["epoch_time"][i], 6),
            history["n_parameters_folded"][i],
        )


def format_widths(n_units: Sequence[int]) -> str:
    """Write the widths of a network, inputs first, as in 784-300-100-10."""
    return "-".join(str(width) for width in n_units)
