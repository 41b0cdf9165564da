"""``fastl0 demo``: hard, soft and no pruning side by side on scikit-learn's digits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastl0.cli import console
from fastl0.cli.console import format_widths
from fastl0.cli.files import check_writable, save
from fastl0.cli.training_run import PRUNINGS, TrainingRun, train

ESTIMATOR: dict[str, Any] = {
    "hidden_layer_sizes": (100,),
    "batch_size": 32,
    "learning_rate_init": 0.003,
    "lam": 0.3,
    "penalty": "fan_out",
    "finetune_fraction": 0.0,
}


def add_options(subcommands: Any) -> None:
    """Add the subcommand and its options to the parser."""
    parser = subcommands.add_parser(
        "demo",
        help="compare hard, soft and no pruning on small digits, in less than a minute",
        description="Train a 64-100-10 network on scikit-learn's digits with each kind of "
        "pruning; print a table and draw how the networks shrink.",
    )
    parser.add_argument(
        "--out",
        type=console.path,
        default=Path("demo.png"),
        help="picture to write (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=console.seed,
        default=0,
        help="seed of split and training (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=console.positive_int,
        default=300,
        help="epochs per run (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Carry out the subcommand."""
    if options.out.suffix.lower() != ".png" or options.out.is_dir():
        raise console.CommandError(f"--out must name a .png file, got {str(options.out)!r}.")
    console.make_folder(options.out.parent)
    check_writable(options.out)
    data = _digits(options.seed)
    runs = {}
    for pruning in PRUNINGS:
        parameters = {
            **ESTIMATOR,
            "max_iter": options.epochs,
            "pruning": pruning,
            "random_state": options.seed,
        }
        with console.progress(options.epochs, pruning, "epoch", leave=True) as bar:
            runs[pruning] = train(parameters, *data, on_epoch=bar.update)
    console.say(results_table(runs))
    _draw(runs, options.out)


def results_table(runs: dict[str, TrainingRun]) -> str:
    """Lay out one line a kind of pruning, as its last epoch left it."""
    header = (
        "pruning",
        "test accuracy",
        "kept units",
        "parameters",
        "buffers at start",
        "at end",
        "seconds",
    )
    rows = [
        (
            pruning,
            f"{100 - run.history['test_error'][-1]:.1f} %",
            format_widths(run.n_units),
            f"{run.history['n_parameters_folded'][-1]:,}",
            f"{run.history['buffer_nbytes'][0]:,} B",
            f"{run.history['buffer_nbytes'][-1]:,} B",
            f"{sum(run.history['epoch_time']):.1f}",
        )
        for pruning, run in runs.items()
    ]
    return console.format_table(header, rows)


def _digits(
    seed: int,
) -> tuple[
    npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.int64]
]:
    """Return X_train, y_train, X_test and y_test, the pixels scaled to [0, 1]."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        (X / 16).astype(np.float32), y, stratify=y, random_state=seed
    )
    return X_train, y_train, X_test, y_test


def _draw(runs: dict[str, TrainingRun], path: Path) -> None:
    if not console.can_plot():
        console.say(console.PLOT_REMEDY)
        return
    from fastl0.cli.curves import training_curves

    curves = {
        pruning: {
            "n_parameters_folded": [run.history["n_parameters_folded"]],
            "buffer_nbytes": [run.history["buffer_nbytes"]],
            "accuracy": [[100 - error for error in run.history["test_error"]]],
        }
        for pruning, run in runs.items()
    }
    columns = ["n_parameters_folded", "buffer_nbytes", "accuracy"]
    figure = training_curves(curves, columns, title="Digits: 64 pixels, one hidden layer")
    save(figure, path)
    console.say(f"Picture: {path.resolve()}")
