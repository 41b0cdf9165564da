"""Owns the command ``fastl0``: which subcommands there are, and how each of them may end.

The rooms below it: demo, paper and frontier (one subcommand each), experiment (how the last two
are carried out), results (their resumable store), summary (their tables and pictures), published
(what frontier is drawn beside), trial (one training run watched by epoch) and console (what is said
to the user). Training and plotting code is imported when its subcommand runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        Arguments after the program's name; None takes those of the process.

    Returns
    -------
    int
        0 if all went well, 2 after a wrong option, a missing or a damaged file, 130 after Ctrl-C,
        141 if whoever read the output has gone, as in ``fastl0 demo | head -1``.
    """
    from fastl0.commands import console, demo, frontier, paper, results

    parser = console.Parser(
        prog="fastl0", description="Train neural networks that delete their own units."
    )
    parser.add_argument("--version", action="version", version=f"fastl0 {_version()}")
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="command")
    demo.add_options(subcommands)
    paper.add_options(subcommands)
    frontier.add_options(subcommands)
    options = parser.parse_args(argv)
    try:
        options.run(options)
    except BrokenPipeError:
        # What is still to be flushed at exit must not fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except (console.CommandError, results.StoreError, OSError) as error:
        print(f"fastl0 {options.command}: error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt as interrupt:
        print(f"\n{str(interrupt) or 'Interrupted.'}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0


def _version() -> str:
    from fastl0 import __version__

    return __version__
