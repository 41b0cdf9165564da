"""``experiments paper``: which runs it needs, and how each of them is made."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments import experiment, run_store, summary
from fastl0.cli.training_run import PRUNINGS

if TYPE_CHECKING:
    from experiments.mnist import MNIST

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


class Plan(NamedTuple):
    """What ``experiments paper`` is asked to do, checked."""

    out: Path
    epochs: int
    seeds: int
    lam: float
    pruning: tuple[str, ...] = PRUNINGS
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
        "--lam",
        type=_penalty,
        default=0.1,
        help="weight of the penalty (default: %(default)s)",
    )
    parser.add_argument(
        "--pruning",
        nargs="+",
        choices=PRUNINGS,
        default=PRUNINGS,
        metavar="KIND",
        help="kinds of pruning to compare, out of hard, soft and none (default: all)",
    )
    experiment.add_options(parser, epochs=500, out="fastl0-paper")
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
        pruning=tuple(kind for kind in PRUNINGS if kind in options.pruning),
        jobs=options.jobs,
    )
    carry_out(plan, experiment.prepare(plan, run_store.PAPER, options.data))


def carry_out(plan: Plan, mnist: MNIST) -> None:
    """Make every run of the plan that is not yet stored, then report.

    Raises what :func:`experiment.carry_out` raises.
    """
    experiment.carry_out(plan, run_store.PAPER, settings(plan, mnist), mnist, _run)
    report(plan.out)


def report(out: Path) -> None:
    """Print the summary of the CSV files in a folder and draw their pictures."""
    experiment.report(out, run_store.PAPER, summary.summary_table, summary.draw)


def settings(plan: Plan, mnist: MNIST) -> dict[str, Any]:
    """Return all that decides the results, for settings.json."""
    own = {
        "epochs": plan.epochs,
        "seeds": plan.seeds,
        "lam": plan.lam,
        "pruning": list(plan.pruning),
        "estimator": ESTIMATOR,
        "dense_parameters": experiment.DENSE_PARAMETERS,
    }
    return experiment.settings(mnist, own)


def _penalty(text: str) -> float:
    """Read an option that must be a finite number >= 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be a finite number >= 0, got {text!r}")
    return value


def _run(
    plan: Plan,
    mnist: MNIST,
    seed: int,
    pruning: str,
    on_epoch: Callable[[], object] | None = None,
) -> run_store.Run:
    """Make one run."""
    parameters = {
        **ESTIMATOR,
        "max_iter": plan.epochs,
        "lam": plan.lam,
        "pruning": pruning,
        "random_state": seed,
    }
    return run_store.Run(seed, pruning, *experiment.train_on(mnist, parameters, on_epoch))
