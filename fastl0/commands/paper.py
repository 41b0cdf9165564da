"""Owns ``fastl0 paper``: which runs it needs, and carrying out those that are missing.

May import the estimator's trial, the store of results and their summary.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fastl0.commands import console, results, summary

if TYPE_CHECKING:
    from fastl0.datasets import MNIST

# Everything that sets the experiment up, beside what the options say. The runs use all epochs and
# never choose one by its test error.
ESTIMATOR: dict[str, Any] = {
    "hidden_layer_sizes": [300, 100],
    "activation": "relu",
    "solver": "adam",
    "batch_size": 128,
    "learning_rate_init": 0.001,
    "gate_learning_rate_init": 0.001,
    "penalty": "fan_out",
    "finetune_fraction": 0.0,
}
DENSE_PARAMETERS = 785 * 300 + 301 * 100 + 101 * 10


class Plan(NamedTuple):
    """What ``fastl0 paper`` is asked to do, checked."""

    out: Path
    epochs: int
    seeds: int
    lam: float
    pruning: tuple[str, ...] = results.PRUNINGS
    jobs: int = 1


def add_options(subcommands: Any) -> None:
    """Add the subcommand and its options to the parser."""
    parser = subcommands.add_parser(
        "paper",
        help="train hard, soft and unpruned networks on MNIST over several seeds",
        description="Train a 784-300-100-10 network on MNIST with each kind of pruning and every "
        "seed; write tables and pictures. Test errors are those of the last epoch. An interrupted "
        "start goes on when the same command is given again.",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("FASTL0_DATA") or None,
        help="folder of the four MNIST files (IDX, .gz or not), itself or its subfolder mnist; "
        "the environment variable FASTL0_DATA sets the default, and without either the set is "
        "fetched from OpenML",
    )
    parser.add_argument(
        "--epochs",
        type=console.positive_int,
        default=500,
        help="epochs per run (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        type=console.positive_int,
        default=5,
        help="number of seeds (default: %(default)s)",
    )
    parser.add_argument(
        "--lam",
        type=console.penalty,
        default=0.1,
        help="weight of the penalty (default: %(default)s)",
    )
    parser.add_argument(
        "--pruning",
        nargs="+",
        choices=results.PRUNINGS,
        default=results.PRUNINGS,
        metavar="KIND",
        help="kinds of pruning to compare, out of hard, soft and none (default: all)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("fastl0-paper"),
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
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Carry out the subcommand."""
    if options.plots_only:
        report(options.out)
        return
    plan = Plan(
        out=options.out,
        epochs=options.epochs,
        seeds=options.seeds,
        lam=options.lam,
        pruning=tuple(kind for kind in results.PRUNINGS if kind in options.pruning),
        jobs=options.jobs,
    )
    console.make_folder(plan.out)
    results.check_writable(plan.out / "paper.csv")
    carry_out(plan, _load(options.data))


def carry_out(plan: Plan, mnist: MNIST) -> None:
    """Make every run of the plan that is not yet stored, then report.

    Parameters
    ----------
    plan : Plan
    mnist : MNIST
        Images as bytes; the runs scale them to [0, 1].

    Raises
    ------
    results.StoreError
        If ``plan.out`` holds results of other settings, or a damaged file.
    KeyboardInterrupt
        After Ctrl-C, with a sentence that says how to go on.
    """
    store = results.ResultStore(plan.out, settings(plan, mnist))
    n_runs = len(store.keys())
    missing = store.missing()
    if len(missing) < n_runs:
        console.say(f"{n_runs - len(missing)} of {n_runs} runs are already in {plan.out}.")
    if not console.can_plot():
        console.say(console.PLOT_REMEDY)
    try:
        for finished in _runs(plan, mnist, missing):
            store.add(finished)
            console.say(_line(finished, n_runs - len(store.missing()), n_runs))
    except KeyboardInterrupt:
        n_done = n_runs - len(store.missing())
        raise KeyboardInterrupt(
            f"Interrupted. {n_done} of {n_runs} runs are stored in {plan.out}: "
            "give the same command again to go on."
        ) from None
    report(plan.out)


def report(out: Path) -> None:
    """Print the summary of the CSV files in a folder and draw their pictures."""
    rows = results.read_csv(out, "paper.csv", results.RUN_COLUMNS)
    if not rows:
        raise console.CommandError(f"{out}/paper.csv must hold a finished run, and holds none.")
    table = summary.summary_table(rows)
    console.say(f"\n{table}\n")
    results.write_atomically(out / "summary.txt", f"{table}\n".encode())
    paths = [out / name for name in ("paper.csv", "history.csv", "support.csv", "summary.txt")]
    if console.can_plot():
        paths += summary.draw(out)
    else:
        console.say(console.PLOT_REMEDY)
    console.say("Written: " + ", ".join(str(path) for path in paths))


def settings(plan: Plan, mnist: MNIST) -> dict[str, Any]:
    """Return all that decides the results, for settings.json."""
    from fastl0 import __version__

    digest = hashlib.sha256()
    for array in mnist:
        digest.update(array.tobytes())
    return {
        "epochs": plan.epochs,
        "seeds": plan.seeds,
        "lam": plan.lam,
        "pruning": list(plan.pruning),
        "estimator": ESTIMATOR,
        "dense_parameters": DENSE_PARAMETERS,
        "data_sha256": digest.hexdigest(),
        "fastl0": __version__,
    }


def _load(data: Path | None) -> MNIST:
    from fastl0.datasets import load_mnist

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


def _runs(plan: Plan, mnist: MNIST, keys: list[tuple[int, str]]) -> Iterator[results.Run]:
    """Yield the runs as they finish."""
    if plan.jobs == 1:
        for seed, pruning in keys:
            with console.progress(plan.epochs, f"{pruning}, seed {seed}", "epoch") as bar:
                finished = _run(plan, mnist, seed, pruning, bar.update)
            yield finished
        return
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=plan.jobs, backend="loky", return_as="generator_unordered")
    with console.progress(len(keys), "all runs", "run") as bar:
        tasks = (delayed(_run_in_worker)(_run, os.getpid(), plan, mnist, *key) for key in keys)
        for finished in parallel(tasks):
            bar.update()
            yield finished


def _run_in_worker(
    run: Callable[..., results.Run],
    parent: int,
    plan: Plan,
    mnist: MNIST,
    seed: int,
    pruning: str,
) -> results.Run:
    """Make one run in a worker process, which gives up when its parent has been killed."""

    def quit_if_orphaned() -> None:
        if os.getppid() != parent:
            os._exit(1)

    return run(plan, mnist, seed, pruning, quit_if_orphaned)


def _run(
    plan: Plan,
    mnist: MNIST,
    seed: int,
    pruning: str,
    on_epoch: Callable[[], object] | None = None,
) -> results.Run:
    """Make one run."""
    import numpy as np

    from fastl0.commands.trial import train

    parameters = {
        **ESTIMATOR,
        "max_iter": plan.epochs,
        "lam": plan.lam,
        "pruning": pruning,
        "random_state": seed,
    }
    full = np.float32(255)
    X_train, X_test = (X.astype(np.float32) / full for X in (mnist.X_train, mnist.X_test))
    trial = train(parameters, X_train, mnist.y_train, X_test, mnist.y_test, on_epoch)
    return results.Run(seed, pruning, *trial)


def _line(run: results.Run, n_done: int, n_runs: int) -> str:
    last = {name: values[-1] for name, values in run.history.items()}
    return (
        f"[{n_done}/{n_runs}] {run.pruning}, seed {run.seed}: "
        f"test error {last['test_error']:.2f} %, {last['n_parameters_folded']:,} parameters "
        f"({results.format_widths(run.n_units)}), {sum(run.history['epoch_time']):.1f} s"
    )
