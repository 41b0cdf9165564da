"""Tables and pictures of an experiment, from its CSV files alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import run_store
from experiments.mnist import N_PIXELS
from fastl0.cli.console import format_table
from fastl0.cli.files import save
from fastl0.cli.training_run import PRUNINGS


class Metric(NamedTuple):
    """A row of the summary: the column it comes from, its label, its factor and its decimals."""

    column: str
    label: str
    factor: float
    decimals: int


METRICS = (
    Metric("test_error", "test error (%)", 1, 3),
    Metric("n_parameters", "parameters", 1, 0),
    Metric("reduction", "reduction (%)", 100, 2),
    Metric("buffer_nbytes_start", "buffers at start (MB)", 1e-6, 3),
    Metric("buffer_nbytes_end", "buffers at end (MB)", 1e-6, 3),
    Metric("epoch_time_first", "first epochs (s each)", 1, 3),
    Metric("epoch_time_last", "last epochs (s each)", 1, 3),
    Metric("seconds", "training (s)", 1, 1),
)
_HISTORY, _SUPPORT = run_store.PAPER.others

Row = Mapping[str, str]


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and sample standard deviation; the latter is NaN for a single value."""
    sd = statistics.stdev(values) if len(values) > 1 else float("nan")
    return statistics.fmean(values), sd


def summarise(rows: Sequence[Row], column: str) -> dict[str, tuple[float, float]]:
    """Return mean and standard deviation of a column over the seeds.

    Parameters
    ----------
    rows : sequence of mapping of str to str
        The rows of paper.csv.
    column : str
        A column that holds numbers.

    Returns
    -------
    dict of str to tuple of float
        One entry for each kind of pruning, and ``"hard - soft"`` for the differences within a
        seed where both are there.
    """
    values = {
        kind: {row["seed"]: float(row[column]) for row in rows if row["pruning"] == kind}
        for kind in kinds(rows)
    }
    summary = {kind: mean_and_sd(list(by_seed.values())) for kind, by_seed in values.items()}
    hard, soft = values.get("hard", {}), values.get("soft", {})
    differences = [hard[seed] - soft[seed] for seed in hard if seed in soft]
    if differences:
        summary["hard - soft"] = mean_and_sd(differences)
    return summary


def kinds(rows: Sequence[Row]) -> list[str]:
    """List the kinds of pruning that have rows, in their fixed order."""
    return [kind for kind in PRUNINGS if any(row["pruning"] == kind for row in rows)]


def summary_table(rows: Sequence[Row]) -> str:
    """Lay out the summary of paper.csv: one line a metric, one column a kind of pruning."""
    by_metric = [summarise(rows, metric.column) for metric in METRICS]
    columns = list(by_metric[0])
    seeds = {kind: {row["seed"] for row in rows if row["pruning"] == kind} for kind in kinds(rows)}
    seeds["hard - soft"] = seeds.get("hard", set()) & seeds.get("soft", set())
    lines = [["seeds", *(str(len(seeds[column])) for column in columns)]]
    lines += [
        [metric.label, *(_cell(metric, *summary[column]) for column in columns)]
        for metric, summary in zip(METRICS, by_metric, strict=True)
    ]
    return format_table(["mean +- SD", *columns], lines)


def _cell(metric: Metric, mean: float, sd: float) -> str:
    text = f"{mean * metric.factor:,.{metric.decimals}f}"
    return text if sd != sd else f"{text} +- {sd * metric.factor:,.{metric.decimals}f}"


def frontier_table(rows: Sequence[Row]) -> str:
    """Lay out the summary of frontier.csv: one line a size.

    The widths are those of the run with the median test error; where two are in the middle, of the
    better one.
    """
    metrics = [
        metric for metric in METRICS if metric.column in ("n_parameters", "test_error", "seconds")
    ]
    lines = []
    for size, of_size in _by_size(rows).items():
        cells = [
            _cell(metric, *mean_and_sd([float(row[metric.column]) for row in of_size]))
            for metric in metrics
        ]
        by_error = sorted(of_size, key=lambda row: float(row["test_error"]))
        median = by_error[(len(by_error) - 1) // 2]
        lines.append([size, str(len(of_size)), *cells, median["n_units"]])
    labels = [metric.label for metric in metrics]
    return format_table(["target size", "seeds", *labels, "widths of the median run"], lines)


def _by_size(rows: Sequence[Row]) -> dict[str, list[Row]]:
    by_size: dict[str, list[Row]] = {}
    for row in rows:
        by_size.setdefault(row["target_size"], []).append(row)
    return by_size


def draw(folder: Path) -> list[Path]:
    """Draw every picture of the runs in a result folder.

    Parameters
    ----------
    folder : Path
        Holds paper.csv with at least one run, and history.csv and support.csv with the same.

    Returns
    -------
    list of Path
        The PNG files written.

    Raises
    ------
    run_store.StoreError
        If a file is damaged, or does not hold all of the runs in paper.csv.
    """
    from experiments import pictures
    from fastl0.cli import curves

    runs = run_store.read_csv(folder, run_store.PAPER.runs)
    history = _read_history(folder, runs)
    supports = _read_supports(folder, runs)
    supports.pop("none", None)  # keeps all
    figures = {
        "error_and_size.png": curves.training_curves(
            history,
            ["test_error", "n_parameters_folded"],
            title="MNIST, mean and range over the seeds",
        ),
        "memory_and_time.png": curves.training_curves(
            history, ["buffer_nbytes", "epoch_time"], title="MNIST, mean and range over the seeds"
        ),
    }
    if supports:
        figures["kept_pixels.png"] = pictures.kept_pixels(supports)
    for name, figure in figures.items():
        save(figure, folder / name)
    return [folder / name for name in figures]


def draw_frontier(folder: Path) -> list[Path]:
    """Draw test error against size, of the runs in a result folder and of published networks.

    Parameters
    ----------
    folder : Path
        Holds frontier.csv with at least one run.

    Returns
    -------
    list of Path
        The PNG file written.

    Raises
    ------
    run_store.StoreError
        If frontier.csv is damaged.
    """
    from experiments import pictures
    from experiments.published import PUBLISHED

    rows = run_store.read_csv(folder, run_store.FRONTIER.runs)
    runs = {
        size: [(float(row["n_parameters"]), float(row["test_error"])) for row in of_size]
        for size, of_size in _by_size(rows).items()
    }
    figure = pictures.frontier(runs, PUBLISHED, title="MNIST, 784-300-100-10: test error and size")
    path = folder / "frontier.png"
    save(figure, path)
    return [path]


def _read_history(folder: Path, runs: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Read history.csv as one array of shape (n_seeds, n_epochs) a kind of pruning and column."""
    by_run: dict[tuple[str, str], dict[int, Row]] = {_key(run): {} for run in runs}
    for row in run_store.read_csv(folder, _HISTORY):
        if _key(row) in by_run:  # one that paper.csv has not yet is no part of the table either
            by_run[_key(row)][int(row["epoch"])] = row
    n_epochs = max(1, *map(len, by_run.values()))
    for (seed, kind), by_epoch in by_run.items():
        if sorted(by_epoch) != list(range(1, n_epochs + 1)):
            raise run_store.StoreError(
                f"{folder / 'history.csv'} must hold epochs 1 to {n_epochs} of {kind}, "
                f"seed {seed}, got {len(by_epoch)} rows. {run_store.REWRITE}"
            )
    columns = ("test_error", "n_parameters_folded", "buffer_nbytes", "epoch_time")
    return {
        kind: {
            column: np.array(
                [
                    [float(by_epoch[i + 1][column]) for i in range(n_epochs)]
                    for run, by_epoch in by_run.items()
                    if run[1] == kind
                ]
            )
            for column in columns
        }
        for kind in kinds(runs)
    }


def _read_supports(folder: Path, runs: Sequence[Row]) -> dict[str, Any]:
    """Read support.csv as one mask of shape (n_seeds, 784) a kind of pruning."""
    masks = {_key(run): np.zeros(N_PIXELS, dtype=bool) for run in runs}
    path = folder / "support.csv"
    for row in run_store.read_csv(folder, _SUPPORT):
        pixel = int(row["pixel"])
        if pixel >= N_PIXELS:
            raise run_store.StoreError(
                f"{path} must hold pixels < {N_PIXELS}, got {pixel}. {run_store.REWRITE}"
            )
        if _key(row) in masks:
            masks[_key(row)][pixel] = True
    for run in runs:
        n_inputs = run["n_units"].partition("-")[0]
        n_kept = masks[_key(run)].sum()
        if str(n_kept) != n_inputs:
            raise run_store.StoreError(
                f"{path} must hold {n_inputs} pixels of {run['pruning']}, seed {run['seed']}, "
                f"got {n_kept}. {run_store.REWRITE}"
            )
    return {
        kind: np.array([mask for run, mask in masks.items() if run[1] == kind])
        for kind in kinds(runs)
    }


def _key(row: Row) -> tuple[str, str]:
    return row["seed"], row["pruning"]
