"""``experiments frontier``: which runs it needs, and how each of them is made."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments import experiment, run_store, summary
from fastl0.cli import console

if TYPE_CHECKING:
    from experiments.mnist import MNIST

# Everything that sets the experiment up, beside what the options say, defaults of the estimator
# included. Found on rows held out of the training set (benches/NOTES.md). The runs use all epochs
# and never choose one by its test error.
ESTIMATOR: dict[str, Any] = {
    "hidden_layer_sizes": [300, 100],
    "batch_size": 128,
    "alpha": 0.05,
    "penalty": "size",
    "input_price": 2.0,
    "finetune_fraction": 0.4,
    "gate_learning_rate_init": 0.01,
}
SIZES = (70_000, 27_000, 9_700, 6_800)

#: Small networks learn better at higher rates: at 0.001 with 70,000 parameters, and at this power
#: of how much fewer they have, up to the highest rate. Found in the same way.
LEARNING_RATE, AT_SIZE, POWER, HIGHEST_RATE = 0.001, 70_000, 0.7, 0.003
#: Networks of as many parameters or more have room to learn the training set by heart; smoothed
#: labels help them, and smaller ones not. Found in the same way.
LABEL_SMOOTHING, SMOOTHED_FROM = 0.1, 20_000


class Plan(NamedTuple):
    """What ``experiments frontier`` is asked to do, checked."""

    out: Path
    epochs: int
    seeds: int
    sizes: tuple[run_store.Kind, ...] = SIZES
    jobs: int = 1


def add_options(subcommands: Any) -> None:
    """Add the subcommand and its options to the parser."""
    parser = subcommands.add_parser(
        "frontier",
        help="train networks of given final sizes on MNIST: test error against size",
        description="Train a 784-300-100-10 network on MNIST down to each size, with every seed; "
        "write tables and a picture of test error against size, beside published ones. Test "
        "errors are those of the network after the last epoch. An interrupted start goes on when "
        "the same command is given again.",
    )
    parser.add_argument(
        "--sizes",
        type=_size,
        nargs="+",
        default=SIZES,
        metavar="SIZE",
        help="sizes to end with: numbers of parameters, shares of them such as 0.25, or bytes "
        f"such as 64KiB (default: {' '.join(map(str, SIZES))})",
    )
    experiment.add_options(parser, epochs=200, out="fastl0-frontier")
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
        sizes=tuple({str(size): size for size in options.sizes}.values()),  # each once
        jobs=options.jobs,
    )
    mnist = experiment.prepare(plan, run_store.FRONTIER, options.data)
    _check_sizes(plan, mnist)
    carry_out(plan, mnist)


def carry_out(plan: Plan, mnist: MNIST) -> None:
    """Make every run of the plan that is not yet stored, then report.

    Raises what :func:`experiment.carry_out` raises.
    """
    experiment.carry_out(plan, run_store.FRONTIER, settings(plan, mnist), mnist, _run)
    report(plan.out)


def report(out: Path) -> None:
    """Print the summary of the CSV files in a folder and draw their picture."""
    experiment.report(out, run_store.FRONTIER, summary.frontier_table, summary.draw_frontier)


def settings(plan: Plan, mnist: MNIST) -> dict[str, Any]:
    """Return all that decides the results, for settings.json."""
    own = {
        "epochs": plan.epochs,
        "seeds": plan.seeds,
        "target_size": list(plan.sizes),
        "estimator": ESTIMATOR,
        "learning_rate": [LEARNING_RATE, AT_SIZE, POWER, HIGHEST_RATE],
        "label_smoothing": [LABEL_SMOOTHING, SMOOTHED_FROM],
    }
    return experiment.settings(mnist, own)


def by_size(target_size: run_store.Kind) -> dict[str, float]:
    """Return the settings that depend on the size of the network."""
    if isinstance(target_size, str):
        from fastl0.estimators.byte_sizes import parse_bytes

        n_parameters = parse_bytes("target_size", target_size) / 4
    elif isinstance(target_size, float):
        n_parameters = target_size * experiment.DENSE_PARAMETERS
    else:
        n_parameters = float(target_size)
    rate = LEARNING_RATE * (AT_SIZE / max(1.0, n_parameters)) ** POWER
    return {
        "learning_rate_init": round(min(rate, HIGHEST_RATE), 6),
        "label_smoothing": LABEL_SMOOTHING if n_parameters >= SMOOTHED_FROM else 0.0,
    }


def _size(text: str) -> run_store.Kind:
    """Read an option that must be a target size."""
    try:
        return run_store.read_size(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must {run_store.SIZE_RULE}, got {text!r}") from None


def _check_sizes(plan: Plan, mnist: MNIST) -> None:
    """Let the estimator refuse a size before the folder is tied to it and other runs are made."""
    for size in plan.sizes:
        try:
            _try_out(_parameters(plan, 0, size), mnist.X_train.shape[1], len(set(mnist.y_train)))
        except ValueError as error:
            raise console.CommandError(f"--sizes: {error}") from error


def _try_out(parameters: Mapping[str, Any], n_features: int, n_classes: int) -> None:
    """Give the estimator next to nothing to train on, so that it refuses what it cannot take.

    Parameters
    ----------
    parameters : mapping of str to object
        Arguments of :class:`fastl0.HardL0MLPClassifier`.
    n_features, n_classes : int
        Of the data that are to come.

    Raises
    ------
    ValueError
        If a parameter breaks a rule.
    """
    from fastl0.estimators.classifier import HardL0MLPClassifier

    batch_size = parameters.get("batch_size", "auto")
    n_rows = max(n_classes, batch_size if isinstance(batch_size, int) else 1)
    X = np.zeros((n_rows, n_features), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classifier = HardL0MLPClassifier(**parameters)
        classifier._fit(X, np.arange(n_rows) % n_classes, on_epoch=lambda *_: True)


def _parameters(plan: Plan, seed: int, target_size: run_store.Kind) -> dict[str, Any]:
    return {
        **ESTIMATOR,
        **by_size(target_size),
        "max_iter": plan.epochs,
        "target_size": target_size,
        "random_state": seed,
    }


def _run(
    plan: Plan,
    mnist: MNIST,
    seed: int,
    target_size: run_store.Kind,
    on_epoch: Callable[[], object] | None = None,
) -> run_store.Run:
    """Make one run."""
    parameters = _parameters(plan, seed, target_size)
    return run_store.Run(seed, target_size, *experiment.train_on(mnist, parameters, on_epoch))
