"""The command ``fastl0``: its subcommands, and how each of them may end.

Training and plotting code is imported when a subcommand runs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import ModuleType

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
        See `run`.
    """
    from fastl0.cli import demo

    return run("fastl0", "Train neural networks that delete their own units.", [demo], argv)


def run(
    prog: str, description: str, modules: Sequence[ModuleType], argv: Sequence[str] | None
) -> int:
    """Run a command line with subcommands.

    Parameters
    ----------
    prog, description : str
        Name of the program, and what it does.
    modules : sequence of module
        One a subcommand: its function `add_options` adds it to a parser.
    argv : sequence of str or None
        Arguments after the program's name; None takes those of the process.

    Returns
    -------
    int
        0 if all went well, 2 after a wrong option, a missing or a damaged file, 130 after Ctrl-C,
        141 if whoever read the output has gone, as in ``fastl0 demo | head -1``.
    """
    from fastl0._version import __version__
    from fastl0.cli import console

    parser = console.Parser(prog=prog, description=description)
    parser.add_argument("--version", action="version", version=f"fastl0 {__version__}")
    subcommands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for module in modules:
        module.add_options(subcommands)
    options = parser.parse_args(argv)
    try:
        options.run(options)
    except BrokenPipeError:
        # What is still to be flushed at exit must not fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except (console.CommandError, OSError) as error:
        print(f"{prog} {options.command}: error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt as interrupt:
        print(f"\n{str(interrupt) or 'Interrupted.'}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return 0
