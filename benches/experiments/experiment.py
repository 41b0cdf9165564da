"""How an experiment on MNIST is carried out: its options, its missing runs, its report.

What it is made of comes from `paper` and `frontier`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from experiments import run_store
from fastl0.cli import console, files

if TYPE_CHECKING:
    from experiments.mnist import MNIST
    from fastl0.cli.training_run import TrainingRun

#: Of the network that all experiments start from, 784-300-100-10.
DENSE_PARAMETERS = 785 * 300 + 301 * 100 + 101 * 10


class Plan(Protocol):
    """What every experiment is asked to do; a command's own plan adds to it."""

    @property
    def out(self) -> Path:
        """Folder of the results."""

    @property
    def epochs(self) -> int:
        """Epochs of each run."""

    @property
    def jobs(self) -> int:
        """Runs at a time."""


# Takes plan, data, seed and kind, and a function to be called after every epoch.
MakeRun = Callable[..., run_store.Run]


def add_options(parser: argparse.ArgumentParser, *, epochs: int, out: str) -> None:
    """Add the options that all experiments have, with these defaults."""
    parser.add_argument(
        "--data",
        type=console.path,
        default=os.environ.get("FASTL0_DATA") or None,
        help="folder of the four MNIST files (IDX, .gz or not), itself or its subfolder mnist; "
        "the environment variable FASTL0_DATA sets the default, and without either the set is "
        "fetched from OpenML",
    )
    parser.add_argument(
        "--epochs",
        type=console.positive_int,
        default=epochs,
        help="epochs per run (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        type=console.positive_int,
        default=5,
        help="number of seeds (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=console.path,
        default=Path(out),
        help="folder of the results (default: %(default)s)",
    )
    parser.add_argument(
        "--jobs",
        type=console.positive_int,
        default=1,
        help="runs at a time; they slow each other down, so time with 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--plots-only",
        action="store_true",
        help="train nothing: print the table and draw the pictures from the CSV files in --out",
    )


def prepare(plan: Plan, layout: run_store.Layout, data: Path | None) -> MNIST:
    """Make sure that the results can be written, then read or fetch the data."""
    console.make_folder(plan.out)
    files.check_writable(plan.out / layout.runs.name)
    return load(data)


def settings(mnist: MNIST, own: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that decides the results, for settings.json: the experiment's own, data, code."""
    from fastl0 import __version__

    digest = hashlib.sha256()
    for array in mnist:
        digest.update(array.tobytes())
    return {**own, "data_sha256": digest.hexdigest(), "fastl0": __version__}


def carry_out(
    plan: Plan, layout: run_store.Layout, settings: Mapping[str, Any], mnist: MNIST, run: MakeRun
) -> None:
    """Make and store every run that is not yet stored.

    Parameters
    ----------
    plan : Plan
    layout : run_store.Layout
    settings : mapping of str to object
        See :class:`run_store.ResultStore`.
    mnist : MNIST
        Images as bytes; the runs scale them to [0, 1].
    run : callable
        Makes one run of the plan.

    Raises
    ------
    run_store.StoreError
        If ``plan.out`` holds results of other settings, or a damaged file.
    KeyboardInterrupt
        After Ctrl-C, with a sentence that says how to go on.
    """
    store = run_store.ResultStore(plan.out, layout, settings)
    n_runs = len(store.keys())
    missing = store.missing()
    if len(missing) < n_runs:
        console.say(f"{n_runs - len(missing)} of {n_runs} runs are already in {plan.out}.")
    if not console.can_plot():
        console.say(console.PLOT_REMEDY)
    try:
        for finished in _runs(plan, layout, mnist, run, missing):
            store.add(finished)
            n_done = n_runs - len(store.missing())
            console.say(f"[{n_done}/{n_runs}] {_describe(finished, layout)}")
    except KeyboardInterrupt:
        n_done = n_runs - len(store.missing())
        raise KeyboardInterrupt(
            f"Interrupted. {n_done} of {n_runs} runs are stored in {plan.out}: "
            "give the same command again to go on."
        ) from None


def report(
    out: Path,
    layout: run_store.Layout,
    tabulate: Callable[[Sequence[Mapping[str, str]]], str],
    draw: Callable[[Path], list[Path]],
) -> None:
    """Print the summary of the CSV files in a folder and draw their pictures."""
    rows = run_store.read_csv(out, layout.runs)
    if not rows:
        raise console.CommandError(
            f"{out / layout.runs.name} must hold a finished run, and holds none."
        )
    table = tabulate(rows)
    console.say(f"\n{table}\n")
    files.write_atomically(out / "summary.txt", f"{table}\n".encode())
    paths = [out / name for name in (*_csv_names(layout), "summary.txt")]
    if console.can_plot():
        paths += draw(out)
    else:
        console.say(console.PLOT_REMEDY)
    console.say("Written: " + ", ".join(str(path) for path in paths))


def load(data: Path | None) -> MNIST:
    """Read MNIST from a folder, or fetch it where none is given."""
    from experiments.mnist import load_mnist

    if data is None:
        console.say(
            "No --data given: fetching MNIST from OpenML, kept in scikit-learn's data folder."
        )
    else:
        console.say(f"Reading MNIST from {data.resolve()}.")
    try:
        return load_mnist(data)
    except (OSError, ValueError) as error:
        remedy = " Download MNIST yourself and name its folder with --data." if data is None else ""
        raise console.CommandError(f"{error}{remedy}") from error


def train_on(
    mnist: MNIST, parameters: Mapping[str, Any], on_epoch: Callable[[], object] | None
) -> TrainingRun:
    """Train one classifier on the images, scaled to [0, 1]; see :func:`training_run.train`."""
    import numpy as np

    from fastl0.cli.training_run import train

    full = np.float32(255)
    X_train, X_test = (X.astype(np.float32) / full for X in (mnist.X_train, mnist.X_test))
    return train(parameters, X_train, mnist.y_train, X_test, mnist.y_test, on_epoch)


def _runs(
    plan: Plan, layout: run_store.Layout, mnist: MNIST, run: MakeRun, keys: list[run_store.Key]
) -> Iterator[run_store.Run]:
    """Yield the runs as they finish."""
    if plan.jobs == 1:
        for key in keys:
            with console.progress(plan.epochs, layout.name(*key), "epoch") as bar:
                finished = run(plan, mnist, *key, bar.update)
            yield finished
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=plan.jobs, backend="loky", return_as="generator_unordered")
    with console.progress(len(keys), "all runs", "run") as bar:
        tasks = (delayed(_run_in_worker)(run, os.getpid(), plan, mnist, *key) for key in keys)
        for finished in parallel(tasks):
            bar.update()
            yield finished


def _run_in_worker(
    run: MakeRun, parent: int, plan: Plan, mnist: MNIST, seed: int, kind: run_store.Kind
) -> run_store.Run:
    """Make one run in a worker process, which gives up when its parent has been killed."""

    def quit_if_orphaned() -> None:
        if os.getppid() != parent:
            os._exit(1)

    return run(plan, mnist, seed, kind, quit_if_orphaned)


def _describe(run: run_store.Run, layout: run_store.Layout) -> str:
    return (
        f"{layout.name(run.seed, run.kind)}: "
        f"test error {run.test_error:.2f} %, {run.n_parameters:,} parameters "
        f"({console.format_widths(run.n_units)}), {sum(run.history['epoch_time']):.1f} s"
    )


def _csv_names(layout: run_store.Layout) -> list[str]:
    return [table.name for table in (layout.runs, *layout.others)]
