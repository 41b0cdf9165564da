"""The folder of an experiment: every finished run in a file of its own, and the CSV files.

A run's file is the truth and the CSV files are derived from it, so a crash between two writes
leaves nothing behind that the next start does not mend.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastl0.cli.console import CommandError, format_widths
from fastl0.cli.files import check_writable, write_atomically
from fastl0.cli.training_run import HISTORY, PRUNINGS

# The columns up to `seconds` are the published format; later ones may be added behind them.
PAPER_COLUMNS = (
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
FRONTIER_COLUMNS = ("seed", "target_size", "test_error", "n_parameters", "n_units", "seconds")
_KEYS = ("seed", "pruning", "target_size", "epoch", "pixel")  # together they name a row
_INTS = ("seed", "epoch", "pixel")
_NO_NUMBERS = ("n_units", "loss")  # a loss may be NaN
_BYTES = re.compile(r"[0-9]+(\.[0-9]+)?([kKMG]i?)?B")  # what the estimator reads, less spaces
SIZE_RULE = "be an int >= 1, a share in (0, 1] such as 0.25, or bytes such as 64KiB"
REWRITE = "Run without --plots-only to write it anew."
_WINDOW = 10  # epochs that a first or last epoch time is the median of


class StoreError(CommandError, ValueError):
    """The folder holds something that the asked-for runs do not go with."""


Kind = int | float | str  # of a run: its kind of pruning, or its target size
Key = tuple[int, Kind]  # its seed and its kind


class Run(NamedTuple):
    """One finished run: its seed, its kind, and the fields of its TrainingRun."""

    seed: int
    kind: Kind
    history: dict[str, list[Any]]
    n_units: list[int]
    support: list[int]
    test_error: float
    n_parameters: int


class Table(NamedTuple):
    """A CSV file: its name, its columns, and the rows in it of a run made with some settings."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[Run, Mapping[str, Any]], Iterable[Sequence[Any]]]


class Layout(NamedTuple):
    """What the folder of an experiment holds.

    Attributes
    ----------
    kind : str
        What the runs of one seed differ by: a setting that lists the kinds, and a column.
    label : str
        Stands before a kind where the user reads of it.
    runs : Table
        The table with a row a run. It is written last, so that the others hold all of its runs.
    others : tuple of Table
    """

    kind: str
    label: str
    runs: Table
    others: tuple[Table, ...]

    def name(self, seed: int | str, kind: Kind) -> str:
        """Name a run to the user."""
        return f"{self.label}{kind}, seed {seed}"


class ResultStore:
    """The finished runs in one folder, bound to the settings they were made with.

    Parameters
    ----------
    folder : Path
        An existing folder.
    layout : Layout
    settings : mapping of str to object
        Everything that decides the results, in types that JSON knows; must hold ``seeds`` (their
        number), the kinds under the name ``layout.kind``, and what the tables need.

    Raises
    ------
    StoreError
        If the folder holds results of other settings or a damaged file, or cannot be written to.
    """

    def __init__(self, folder: Path, layout: Layout, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.layout = layout
        self.settings = settings
        self._bind()
        try:
            (folder / "runs").mkdir(exist_ok=True)
        except FileExistsError:
            raise StoreError(
                f"{folder / 'runs'} must be a folder, got a file. Move it, or name another --out."
            ) from None
        self._runs = {
            key: _read_run(self._path(key), layout.kind, key)
            for key in self.keys()
            if self._path(key).exists()
        }
        for key in self.missing():
            check_writable(self._path(key))
        self._write_tables()

    def keys(self) -> list[Key]:
        """List seed and kind of every run asked for, in the order of the files' rows."""
        kinds = self.settings[self.layout.kind]
        return [(seed, kind) for seed in range(self.settings["seeds"]) for kind in kinds]

    def missing(self) -> list[Key]:
        """List seed and kind of the runs that are not yet stored."""
        return [key for key in self.keys() if key not in self._runs]

    def add(self, run: Run) -> None:
        """Store a finished run for good, then bring the CSV files up to date."""
        key = (run.seed, run.kind)
        content = dict(zip(_run_fields(self.layout.kind), run, strict=True))
        write_atomically(self._path(key), json.dumps(content).encode())
        self._runs[key] = run
        self._write_tables()

    def _path(self, key: Key) -> Path:
        return self.folder / "runs" / f"seed{key[0]}-{key[1]}.json"

    def _bind(self) -> None:
        """Tie the folder to the settings, or refuse if it is tied to others."""
        path = self.folder / "settings.json"
        table = self.layout.runs.name
        if path.exists():
            _compare(path, read_json(path), json.loads(json.dumps(self.settings)))
        elif (self.folder / table).exists():
            raise StoreError(
                f"{self.folder} must hold settings.json beside {table}, and does not. "
                "Name another --out."
            )
        else:
            write_atomically(path, json.dumps(self.settings, indent=2).encode())

    def _write_tables(self) -> None:
        runs = [self._runs[key] for key in self.keys() if key in self._runs]
        for table in (*self.layout.others, self.layout.runs):
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(table.columns)
            for run in runs:
                writer.writerows(table.rows(run, self.settings))
            write_atomically(self.folder / table.name, text.getvalue().encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, or say which file is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StoreError(f"{path} must be JSON, and is not ({error}). Delete it.") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path} must hold a JSON object, got {type(value).__name__}. Delete it.")
    return value


def read_csv(folder: Path, table: Table) -> list[dict[str, str]]:
    """Read a CSV file of a result folder as one dict a row.

    Raises
    ------
    StoreError
        If the file is missing, is no CSV in UTF-8, lacks one of the columns, or has a cell that
        does not go with its column or a row that is there twice.
    """
    path, columns = folder / table.name, table.columns
    if not path.is_file():
        raise StoreError(
            f"{folder} must hold {table.name}, and does not. Run without --plots-only."
        )
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [column for column in columns if column not in (reader.fieldnames or ())]
            if lacking:
                raise StoreError(f"{path} must have the columns {lacking}. {REWRITE}")
            for row in reader:
                for column in columns:
                    _check_cell(f"{path}, line {reader.line_num}", column, row[column])
                key = tuple(row[column] for column in _KEYS if column in columns)
                if key in rows:
                    raise StoreError(f"{path} must hold {'-'.join(key)} once. {REWRITE}")
                rows[key] = row
    except (UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{path} must be CSV in UTF-8, and is not ({error}). {REWRITE}") from None
    return list(rows.values())


def read_size(text: str) -> int | float | str:
    """Read a target size: parameters as int, a share of them as float, or bytes as they are.

    Raises
    ------
    ValueError
        If the text is none of these.
    """
    if _BYTES.fullmatch(text):
        return text
    try:
        size: int | float = int(text)
    except ValueError:
        size = float(text)
    if not (size >= 1 if isinstance(size, int) else 0 < size <= 1):
        raise ValueError(text)
    return size


def _check_cell(place: str, column: str, cell: str | None) -> None:
    """Refuse what the column cannot hold; the csv module reads None where a row is cut short."""
    rule = ""
    try:
        if cell is None:
            rule = "be there"
        elif column == "pruning":
            rule = "" if cell in PRUNINGS else f"be one of {', '.join(PRUNINGS)}"
        elif column == "target_size":
            read_size(cell)
        elif column in _INTS:
            rule = "" if int(cell) >= 0 else "be an int >= 0"
        elif column not in _NO_NUMBERS:
            rule = "" if math.isfinite(float(cell)) else "be finite"
    except ValueError:
        rule = SIZE_RULE if column == "target_size" else "be a number"
    if rule:
        raise StoreError(f"{place}: {column} must {rule}, got {cell!r}. {REWRITE}")


def _run_fields(kind: str) -> list[str]:
    """Name the fields of a run as its file does."""
    return [kind if name == "kind" else name for name in Run._fields]


def _read_run(path: Path, kind: str, key: Key) -> Run:
    stored = read_json(path)
    rule = _broken_rule(stored, kind, key)
    if rule:
        raise StoreError(f"{path} must {rule}. Delete it to repeat the run.")
    return Run(*(stored[name] for name in _run_fields(kind)))


def _broken_rule(stored: Mapping[str, Any], kind: str, key: Key) -> str:
    """Return the first rule that the content of a run's file breaks, or nothing."""
    if set(stored) != set(_run_fields(kind)):
        return f"hold {', '.join(_run_fields(kind))}, got {', '.join(stored) or 'nothing'}"
    if (stored["seed"], stored[kind]) != key:
        return f"be of seed and {kind} {key}, got {(stored['seed'], stored[kind])}"
    history = stored["history"]
    for name in HISTORY:
        values = history.get(name) if isinstance(history, dict) else None
        if not isinstance(values, list) or not values:
            return f"hold the list {name} in its history, with an entry an epoch"
        if len(values) != len(history["loss"]):
            return (
                "hold lists of equal length in its history, "
                f"got {len(history['loss'])} of loss and {len(values)} of {name}"
            )
        if not all(_are_ints(v) if name == "n_units" else _is_number(v) for v in values):
            return f"hold {'widths' if name == 'n_units' else 'numbers'} in its history's {name}"
    for name in ("n_units", "support"):
        if not _are_ints(stored[name]):
            return f"hold a list of ints in {name}"
    if stored["n_units"][:1] != [len(stored["support"])]:
        return f"hold as many inputs in support as n_units says, got {len(stored['support'])}"
    for name in ("test_error", "n_parameters"):
        if not _is_number(stored[name]):
            return f"hold a number in {name}"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_ints(value: object) -> bool:
    return isinstance(value, list) and all(_is_number(v) and isinstance(v, int) for v in value)


def _compare(path: Path, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    remedy = "Start with the same options as before, or name another --out."
    old, new = _flatten(stored), _flatten(asked)
    lacking = [name for name in asked if name not in stored]
    if lacking:
        raise StoreError(f"{path} must hold {', '.join(lacking)}, and does not. {remedy}")
    names = [name for name in dict.fromkeys((*new, *old)) if old.get(name) != new.get(name)]
    if names:
        raise StoreError(
            f"{path} must hold the settings of this start ({_list(names, new)}), "
            f"got {_list(names, old)}. {remedy}"
        )


def _flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Bring the entries of inner dicts to the top, so that each can be compared."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = value.items() if isinstance(value, dict) else ()
        flat |= {f"{name}.{key}": v for key, v in inner} or {name: value}
    return flat


def _list(names: Sequence[str], settings: Mapping[str, Any]) -> str:
    texts = {name: repr(settings[name]) if name in settings else "nothing" for name in names}
    return ", ".join(
        f"{name}={text if len(text) <= 60 else text[:12] + '...'}" for name, text in texts.items()
    )


def _paper_rows(run: Run, settings: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    history = run.history
    times = history["epoch_time"]
    yield (
        run.seed,
        run.kind,
        round(run.test_error, 6),
        run.n_parameters,
        round(1 - run.n_parameters / settings["dense_parameters"], 6),
        history["buffer_nbytes"][0],
        history["buffer_nbytes"][-1],
        round(sum(times), 4),
        format_widths(run.n_units),
        round(statistics.median(times[:_WINDOW]), 6),
        round(statistics.median(times[-_WINDOW:]), 6),
    )


def _frontier_rows(run: Run, _: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    yield (
        run.seed,
        run.kind,
        round(run.test_error, 6),
        run.n_parameters,
        format_widths(run.n_units),
        round(sum(run.history["epoch_time"]), 4),
    )


def _history_rows(run: Run, _: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    history = run.history
    for i in range(len(history["loss"])):
        yield (
            run.seed,
            run.kind,
            i + 1,
            history["loss"][i],
            round(history["test_error"][i], 6),
            history["n_parameters"][i],
            format_widths(history["n_units"][i]),
            history["buffer_nbytes"][i],
            round(history["epoch_time"][i], 6),
            history["n_parameters_folded"][i],
        )


def _support_rows(run: Run, _: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    return ((run.seed, run.kind, pixel) for pixel in run.support)


def _history_table(kind: str) -> Table:
    return Table("history.csv", ("seed", kind, "epoch", *HISTORY), _history_rows)


PAPER = Layout(
    kind="pruning",
    label="",
    runs=Table("paper.csv", PAPER_COLUMNS, _paper_rows),
    others=(
        _history_table("pruning"),
        Table("support.csv", ("seed", "pruning", "pixel"), _support_rows),
    ),
)
FRONTIER = Layout(
    kind="target_size",
    label="size ",
    runs=Table("frontier.csv", FRONTIER_COLUMNS, _frontier_rows),
    others=(_history_table("target_size"),),
)
